#include "transport/uring.h"

#include <liburing.h>

#include <cerrno>
#include <cstring>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"

namespace holdfast {
namespace {

constexpr unsigned kEntries = 256;
// Their sum is below the size of the completion queue (twice kEntries), so that
// it never overflows: a chain ends in one event.
constexpr size_t kWritesMax = 256;
constexpr size_t kReadsMax = 4;
// Else the kernel has four threads for each processor: on a small machine the
// reads alone would keep all of them busy.
constexpr unsigned kKernelThreads = 16;
constexpr Duration kRetryDelay = 1ms;

absl::Status Refused(absl::string_view what, int error) {
  return absl::FailedPreconditionError(
      absl::StrCat(what, ": ", std::strerror(error)));
}

}  // namespace

// The ring and the chains that the kernel has.
struct Uring::Ring {
  struct Slot {
    std::shared_ptr<UringChain> chain;
    Lane lane;
  };

  ~Ring() {
    if (ready) io_uring_queue_exit(&ring);
  }

  absl::Status Open();
  void Prepare(std::shared_ptr<UringChain> chain, Lane lane);
  // Waits for all chains to end.
  void Drain();

  io_uring ring{};
  bool ready = false;
  std::vector<Slot> slots;
  std::vector<uint32_t> free_slots;
};

absl::Status Uring::Ring::Open() {
  // SUBMIT_ALL: a request that is refused doesn't hold up those behind it.
  int result = io_uring_queue_init(kEntries, &ring, IORING_SETUP_SUBMIT_ALL);
  if (result != 0) return Refused("io_uring_setup", -result);
  ready = true;
  if ((ring.features & IORING_FEAT_CQE_SKIP) == 0) {
    return Refused("IOSQE_CQE_SKIP_SUCCESS", ENOSYS);
  }
  std::unique_ptr<io_uring_probe, decltype(&io_uring_free_probe)> probe(
      io_uring_get_probe_ring(&ring), &io_uring_free_probe);
  if (probe == nullptr) return Refused("io_uring_register", EPERM);
  for (int operation :
       {IORING_OP_READ, IORING_OP_WRITEV, IORING_OP_FSYNC, IORING_OP_FADVISE}) {
    if (io_uring_opcode_supported(probe.get(), operation) == 0) {
      return Refused(absl::StrCat("io_uring operation ", operation), ENOSYS);
    }
  }
  // A filter may refuse io_uring_enter only.
  io_uring_prep_nop(io_uring_get_sqe(&ring));
  result = io_uring_submit_and_wait(&ring, 1);
  if (result < 0) return Refused("io_uring_enter", -result);
  io_uring_cqe* event;
  if (io_uring_peek_cqe(&ring, &event) != 0) {
    return Refused("io_uring_enter", EIO);
  }
  io_uring_cqe_seen(&ring, event);
  unsigned threads[2] = {kKernelThreads, 0};
  // Without it, it's only slower.
  io_uring_register_iowq_max_workers(&ring, threads);
  return absl::OkStatus();
}

void Uring::Ring::Prepare(std::shared_ptr<UringChain> chain, Lane lane) {
  if (free_slots.empty()) {
    free_slots.push_back(static_cast<uint32_t>(slots.size()));
    slots.emplace_back();
  }
  uint32_t slot = free_slots.back();
  free_slots.pop_back();
  uint64_t count = 0;
  io_uring_sqe* last = nullptr;
  const auto finish = [&](unsigned flags) {
    if (last == nullptr) return;
    last->flags |= static_cast<uint8_t>(IOSQE_ASYNC | flags);
    last->user_data = uint64_t{slot} << 32 | (count - 1);
  };
  chain->Prepare([&] {
    finish(IOSQE_IO_LINK | IOSQE_CQE_SKIP_SUCCESS);
    last = io_uring_get_sqe(&ring);
    CHECK(last != nullptr && count < UringChain::kRequestsMax);
    ++count;
    return last;
  });
  CHECK(last != nullptr);
  finish(0);
  slots[slot] = Slot{std::move(chain), lane};
}

void Uring::Ring::Drain() {
  while (free_slots.size() < slots.size()) {
    int result = io_uring_submit_and_wait(&ring, 1);
    CHECK(result >= 0 || result == -EINTR || result == -EAGAIN);
    io_uring_cqe* event;
    while (io_uring_peek_cqe(&ring, &event) == 0) {
      uint32_t slot = static_cast<uint32_t>(event->user_data >> 32);
      io_uring_cqe_seen(&ring, event);
      slots[slot].chain = nullptr;
      free_slots.push_back(slot);
    }
  }
}

absl::StatusOr<std::shared_ptr<Uring>> Uring::Create(EpollLoop* loop) {
  auto ring = std::make_unique<Ring>();
  if (absl::Status opened = ring->Open(); !opened.ok()) return opened;
  return std::shared_ptr<Uring>(new Uring(loop, std::move(ring)));
}

Uring::Uring(EpollLoop* loop, std::unique_ptr<Ring> ring)
    : loop_(loop),
      ring_(std::move(ring)),
      lanes_{LaneState{kWritesMax}, LaneState{kReadsMax}} {
  loop_->Add(ring_->ring.ring_fd, this);
}

Uring::~Uring() { Stop(); }

void Uring::Start(std::shared_ptr<UringChain> chain, Lane lane) {
  if (ring_ == nullptr) return;
  lanes_[static_cast<size_t>(lane)].waiting.push_back(std::move(chain));
  SubmitSoon();
}

void Uring::SubmitSoon() {
  if (std::exchange(submit_posted_, true)) return;
  loop_->Post(scope_.Wrap([this] {
    submit_posted_ = false;
    Submit();
  }));
}

void Uring::Submit() {
  for (size_t i = 0; i < lanes_.size(); ++i) {
    LaneState& lane = lanes_[i];
    while (!lane.waiting.empty() && lane.running < lane.running_max) {
      // The kernel knows a chain's end by the end of a submission.
      if (io_uring_sq_space_left(&ring_->ring) < UringChain::kRequestsMax &&
          !Enter()) {
        return;
      }
      std::shared_ptr<UringChain> chain = std::move(lane.waiting.front());
      lane.waiting.pop_front();
      ++lane.running;
      ring_->Prepare(std::move(chain), static_cast<Lane>(i));
    }
  }
  Enter();
}

bool Uring::Enter() {
  while (unsigned ready = io_uring_sq_ready(&ring_->ring)) {
    int taken = io_uring_submit(&ring_->ring);
    if (taken == -EINTR) continue;
    if (taken == -EAGAIN) {
      retry_ = loop_->After(kRetryDelay, [this] { Submit(); });
      return false;
    }
    // Out of memory amid a chain it would start the rest as another one: a sync
    // that doesn't wait for its write. Rather stop.
    CHECK_EQ(taken, static_cast<int>(ready));
  }
  return true;
}

void Uring::OnEvents(uint32_t) {
  std::vector<Task> completions;
  io_uring_cqe* event;
  while (io_uring_peek_cqe(&ring_->ring, &event) == 0) {
    const uint32_t slot = static_cast<uint32_t>(event->user_data >> 32);
    const uint32_t index = static_cast<uint32_t>(event->user_data);
    const int result = event->res;
    io_uring_cqe_seen(&ring_->ring, event);
    Ring::Slot ended = std::move(ring_->slots[slot]);
    CHECK(ended.chain != nullptr);
    ring_->free_slots.push_back(slot);
    --lanes_[static_cast<size_t>(ended.lane)].running;
    ended.chain->OnEnded(index, result, &completions);
  }
  for (const LaneState& lane : lanes_) {
    if (!lane.waiting.empty()) SubmitSoon();
  }
  // One of them may destroy this.
  for (Task& completion : completions) completion();
}

void Uring::Stop() {
  if (ring_ == nullptr) return;
  loop_->Remove(ring_->ring.ring_fd, this);
  retry_.Cancel();
  scope_.DropAll();
  std::unique_ptr<Ring> ring = std::move(ring_);
  for (LaneState& lane : lanes_) {
    for (auto& chain : std::exchange(lane.waiting, {})) chain->Abandon();
  }
  for (Ring::Slot& slot : ring->slots) {
    if (slot.chain != nullptr) slot.chain->Abandon();
  }
  if (ring->free_slots.size() == ring->slots.size()) return;
  std::thread([ring = std::move(ring)] { ring->Drain(); }).detach();
}

}  // namespace holdfast
