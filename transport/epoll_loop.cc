#include "transport/epoll_loop.h"

#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "engine/base/check.h"

namespace holdfast {
namespace {

constexpr int kEventsMax = 256;
// Rounds of posted tasks between two looks at the descriptors, so that tasks
// that post tasks can't starve them.
constexpr int kPostedRoundsMax = 16;

int64_t ReadClock(clockid_t clock) {
  timespec t;
  CHECK_EQ(clock_gettime(clock, &t), 0);
  return int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}

sigset_t ToSet(const std::vector<int>& signals) {
  sigset_t set;
  sigemptyset(&set);
  for (int s : signals) sigaddset(&set, s);
  return set;
}

constexpr uint64_t MakeTimerId(uint32_t slot, uint32_t generation) {
  return uint64_t{generation} << 32 | slot;
}

}  // namespace

class EpollLoop::SignalHandler : public EventHandler {
 public:
  SignalHandler(int fd, InlineFunction<void(int)> task)
      : fd_(fd), task_(std::move(task)) {}
  ~SignalHandler() override { close(fd_); }

  void OnEvents(uint32_t) override {
    signalfd_siginfo info;
    while (read(fd_, &info, sizeof(info)) == sizeof(info)) {
      task_(static_cast<int>(info.ssi_signo));
    }
  }

 private:
  const int fd_;
  InlineFunction<void(int)> task_;
};

LoopInbox::LoopInbox() : wake_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  CHECK(wake_fd_ >= 0);
}

LoopInbox::~LoopInbox() { close(wake_fd_); }

void LoopInbox::Run(Task task) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (closed_) return;
    tasks_.push_back(std::move(task));
    if (std::exchange(wake_pending_, true)) return;
  }
  uint64_t one = 1;
  [[maybe_unused]] ssize_t n = write(wake_fd_, &one, sizeof(one));
}

void LoopInbox::RunLater(Task task) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (!closed_) tasks_.push_back(std::move(task));
}

std::vector<Task> LoopInbox::Take() {
  uint64_t count;
  [[maybe_unused]] ssize_t n = read(wake_fd_, &count, sizeof(count));
  std::vector<Task> tasks;
  std::lock_guard<std::mutex> lock(mutex_);
  tasks.swap(tasks_);
  wake_pending_ = false;
  return tasks;
}

void LoopInbox::Close() {
  std::vector<Task> tasks;
  std::lock_guard<std::mutex> lock(mutex_);
  closed_ = true;
  tasks.swap(tasks_);
}

EpollLoop::EpollLoop() {
  epoll_fd_ = epoll_create1(EPOLL_CLOEXEC);
  CHECK(epoll_fd_ >= 0);
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.ptr = nullptr;
  CHECK_EQ(epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, inbox_->wake_fd_, &event), 0);
  now_ = FreshNow();
}

EpollLoop::~EpollLoop() {
  inbox_->Close();
  for (EventHandler* handler : signal_handlers_) delete handler;
  // Tasks may own what has timers on this loop: they go while it is whole.
  posted_.clear();
  running_.clear();
  for (size_t i = 0; i < slots_.size(); ++i) slots_[i].task = nullptr;
  close(epoll_fd_);
}

Instant EpollLoop::FreshNow() const {
  return Instant(Duration(ReadClock(CLOCK_BOOTTIME)));
}

WallTime EpollLoop::WallNow() const {
  return WallTime(Duration(ReadClock(CLOCK_REALTIME)));
}

// --- Timers ---

Timer EpollLoop::At(Instant when, Task task) {
  // It would stay in the heap when it is cancelled.
  if (when == kNever) return Timer();
  uint32_t slot;
  if (free_slots_.empty()) {
    slot = static_cast<uint32_t>(slots_.size());
    slots_.emplace_back();
  } else {
    slot = free_slots_.back();
    free_slots_.pop_back();
  }
  slots_[slot].task = std::move(task);
  slots_[slot].armed = true;
  uint32_t generation = slots_[slot].generation;
  heap_.push_back(HeapItem{when, next_sequence_++, slot, generation});
  std::push_heap(heap_.begin(), heap_.end(), Later());
  return Timer(this, MakeTimerId(slot, generation));
}

void EpollLoop::Cancel(uint64_t timer_id) {
  uint32_t slot = static_cast<uint32_t>(timer_id);
  uint32_t generation = static_cast<uint32_t>(timer_id >> 32);
  TimerSlot& s = slots_[slot];
  if (!s.armed || s.generation != generation) return;
  s.armed = false;
  ++s.generation;
  // Its task may own what cancels another timer.
  Task task = std::move(s.task);
  free_slots_.push_back(slot);
}

void EpollLoop::DropCancelled() {
  while (!heap_.empty() &&
         slots_[heap_.front().slot].generation != heap_.front().generation) {
    std::pop_heap(heap_.begin(), heap_.end(), Later());
    heap_.pop_back();
  }
}

void EpollLoop::RunDue() {
  // Only what is due now: a task that arms another for "now" waits its turn.
  Instant until = FreshNow();
  now_ = until;
  uint64_t sequence_end = next_sequence_;
  while (!stop_) {
    DropCancelled();
    if (heap_.empty() || heap_.front().when > until ||
        heap_.front().sequence >= sequence_end) {
      return;
    }
    HeapItem item = heap_.front();
    std::pop_heap(heap_.begin(), heap_.end(), Later());
    heap_.pop_back();
    TimerSlot& slot = slots_[item.slot];
    Task task = std::move(slot.task);
    slot.armed = false;
    ++slot.generation;
    free_slots_.push_back(item.slot);
    now_ = FreshNow();
    task();
  }
}

// --- Tasks ---

void EpollLoop::Post(Task task) { posted_.push_back(std::move(task)); }

void EpollLoop::RunPosted() {
  for (int round = 0; round < kPostedRoundsMax && !posted_.empty(); ++round) {
    running_.swap(posted_);
    now_ = FreshNow();
    for (Task& task : running_) {
      if (stop_) {
        // Kept for the next Run.
        posted_.push_back(std::move(task));
        continue;
      }
      task();
      task = nullptr;
    }
    running_.clear();
  }
}

void EpollLoop::Stop() {
  inbox_->Run([this] { stop_ = true; });
}

void EpollLoop::Run() {
  stop_ = false;
  while (!stop_) {
    RunPosted();
    if (stop_) break;
    RunDue();
    if (stop_) break;
    Poll();
  }
}

// --- Descriptors ---

void EpollLoop::Poll() {
  timespec timeout{};
  timespec* wait = nullptr;
  DropCancelled();
  if (!posted_.empty()) {
    wait = &timeout;
  } else if (!heap_.empty()) {
    int64_t ns =
        std::max<int64_t>((heap_.front().when - FreshNow()).count(), 0);
    timeout.tv_sec = ns / 1'000'000'000;
    timeout.tv_nsec = ns % 1'000'000'000;
    wait = &timeout;
  }
  epoll_event events[kEventsMax];
  int n = epoll_pwait2(epoll_fd_, events, kEventsMax, wait, nullptr);
  if (n < 0) {
    CHECK(errno == EINTR);
    return;
  }
  dispatching_ = true;
  // All of them, whatever Stop says: an edge comes only once.
  for (int i = 0; i < n; ++i) {
    auto* handler = static_cast<EventHandler*>(events[i].data.ptr);
    if (handler == nullptr) {
      for (Task& task : inbox_->Take()) posted_.push_back(std::move(task));
      continue;
    }
    if (std::find(removed_.begin(), removed_.end(), handler) !=
        removed_.end()) {
      continue;
    }
    now_ = FreshNow();
    handler->OnEvents(events[i].events);
  }
  dispatching_ = false;
  removed_.clear();
}

void EpollLoop::Add(int fd, EventHandler* handler) {
  epoll_event event{};
  event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  event.data.ptr = handler;
  CHECK_EQ(epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, fd, &event), 0);
  // A new handler may get the address of one that was just removed.
  removed_.erase(std::remove(removed_.begin(), removed_.end(), handler),
                 removed_.end());
}

void EpollLoop::Remove(int fd, EventHandler* handler) {
  CHECK_EQ(epoll_ctl(epoll_fd_, EPOLL_CTL_DEL, fd, nullptr), 0);
  if (dispatching_) removed_.push_back(handler);
}

// --- Signals ---

void EpollLoop::BlockSignals(const std::vector<int>& signals) {
  sigset_t set = ToSet(signals);
  CHECK_EQ(pthread_sigmask(SIG_BLOCK, &set, nullptr), 0);
}

void EpollLoop::OnSignals(const std::vector<int>& signals,
                          InlineFunction<void(int)> task) {
  sigset_t set = ToSet(signals);
  int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  CHECK(fd >= 0);
  auto* handler = new SignalHandler(fd, std::move(task));
  signal_handlers_.push_back(handler);
  Add(fd, handler);
}

}  // namespace holdfast
