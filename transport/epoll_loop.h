#ifndef HOLDFAST_TRANSPORT_EPOLL_LOOP_H_
#define HOLDFAST_TRANSPORT_EPOLL_LOOP_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "absl/types/span.h"
#include "engine/base/inline_function.h"
#include "engine/base/time.h"
#include "engine/env/loop.h"

namespace holdfast {

// Hears of a file descriptor's events.
class EventHandler {
 public:
  virtual ~EventHandler() = default;
  // `events`: EPOLLIN, EPOLLOUT, EPOLLERR, EPOLLHUP as epoll_wait(2) gave
  // them. May destroy this or any other handler.
  virtual void OnEvents(uint32_t events) = 0;
};

// Where other threads leave tasks for a Loop. Outlives it if they do: what
// comes too late is dropped.
class LoopInbox {
 public:
  LoopInbox();
  ~LoopInbox();
  LoopInbox(const LoopInbox&) = delete;
  LoopInbox& operator=(const LoopInbox&) = delete;

  // Runs `task` on the Loop. From any thread.
  void Run(Task task);
  // The same, but leaves it to a Run that is sure to follow to wake the Loop.
  void RunLater(Task task);

 private:
  friend class EpollLoop;
  std::vector<Task> Take();
  void Close();

  int wake_fd_ = -1;
  std::mutex mutex_;
  std::vector<Task> tasks_;
  bool wake_pending_ = false;
  bool closed_ = false;
};

// The real Loop: one thread, epoll(7), CLOCK_BOOTTIME. Only Stop and
// the inbox may be used from other threads.
class EpollLoop final : public Loop {
 public:
  EpollLoop();
  ~EpollLoop() override;

  Instant Now() const override { return now_; }
  Instant FreshNow() const override;
  WallTime WallNow() const override;
  Timer At(Instant when, Task task) override;
  void Post(Task task) override;

  // Runs tasks and events until Stop. May be called again afterwards.
  void Run();
  // From any thread, or a signal's task: Run returns soon.
  void Stop();

  // Room for one read of unknown size, to be copied out within the task.
  absl::Span<char> scratch() { return absl::MakeSpan(scratch_); }

  // For other threads.
  const std::shared_ptr<LoopInbox>& inbox() const { return inbox_; }

  // Edge-triggered, for EPOLLIN and EPOLLOUT. The handler stays until Remove,
  // which must precede closing `fd`.
  void Add(int fd, EventHandler* handler);
  void Remove(int fd, EventHandler* handler);

  // Runs `task` on the Loop whenever one of these signals comes. The signals
  // must be blocked in all threads (BlockSignals, before any is started).
  void OnSignals(const std::vector<int>& signals,
                 InlineFunction<void(int)> task);
  static void BlockSignals(const std::vector<int>& signals);

 private:
  struct TimerSlot {
    Task task;
    uint32_t generation = 0;
    bool armed = false;
  };
  struct HeapItem {
    Instant when;
    uint64_t sequence;
    uint32_t slot;
    uint32_t generation;
  };
  struct Later {
    bool operator()(const HeapItem& a, const HeapItem& b) const {
      return a.when != b.when ? a.when > b.when : a.sequence > b.sequence;
    }
  };
  class SignalHandler;

  void Cancel(uint64_t timer_id) override;
  void RunDue();
  void RunPosted();
  // Forgets cancelled timers at the top of the heap.
  void DropCancelled();
  void Poll();

  int epoll_fd_ = -1;
  Instant now_;
  bool stop_ = false;
  uint64_t next_sequence_ = 0;
  std::vector<HeapItem> heap_;
  std::vector<TimerSlot> slots_;
  std::vector<uint32_t> free_slots_;
  std::vector<Task> posted_;
  std::vector<Task> running_;
  // Handlers removed while a batch of events is being handed out.
  std::vector<EventHandler*> removed_;
  bool dispatching_ = false;
  std::vector<EventHandler*> signal_handlers_;
  std::vector<char> scratch_ = std::vector<char>(256 << 10);
  std::shared_ptr<LoopInbox> inbox_ = std::make_shared<LoopInbox>();
};

}  // namespace holdfast

#endif  // HOLDFAST_TRANSPORT_EPOLL_LOOP_H_
