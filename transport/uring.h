#ifndef HOLDFAST_TRANSPORT_URING_H_
#define HOLDFAST_TRANSPORT_URING_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/base/callback_scope.h"
#include "engine/env/loop.h"
#include "transport/epoll_loop.h"

struct io_uring_sqe;

namespace holdfast {

// Some requests for the kernel that run one after the other. The first that
// doesn't wholly succeed (a short read or write counts as a failure) ends the
// chain: those behind it never start.
class UringChain {
 public:
  static constexpr size_t kRequestsMax = 64;

  virtual ~UringChain() = default;

  // Makes the requests, at least one: calls io_uring_prep_... on what `next`
  // gives, at most kRequestsMax times.
  using NextFn = InlineFunction<io_uring_sqe*()>;
  virtual void Prepare(NextFn next) = 0;

  // The chain ended with request `index`, counted from 0: the last one, or one
  // that failed, with `result` as the system call would give it, or -errno;
  // all before it succeeded. May Start this or others. `completions` run once
  // that is done.
  virtual void OnEnded(size_t index, int result,
                       std::vector<Task>* completions) = 0;

  // OnEnded will never be called: lets go of all that it would call. What the
  // kernel may still touch must stay until this is destroyed, which may happen
  // on another thread.
  virtual void Abandon() = 0;
};

// An io_uring(7) on an EpollLoop. What one round of tasks Starts goes to the
// kernel in one system call, right behind these tasks. No request is tried
// within that call (IOSQE_ASYNC), since even a read of cached data may hang in
// the file system; the kernel's own helper threads run them. Each chain ends
// in one event, so a write and its sync wake the Loop once.
//
// Chains run side by side, in no order. Of reads only a few do, so that slow
// ones can't take all the threads and hold up a sync.
class Uring final : public EventHandler {
 public:
  enum class Lane { kWrites, kReads };

  // FAILED_PRECONDITION, saying why, where the kernel has no io_uring, not all
  // that it takes (Linux 5.18 has), or doesn't let this process use it.
  static absl::StatusOr<std::shared_ptr<Uring>> Create(EpollLoop* loop);
  // From any thread, but on the Loop if Stop wasn't called.
  ~Uring() override;

  // Takes part in the ownership of `chain` until it has ended.
  void Start(std::shared_ptr<UringChain> chain, Lane lane);

  // Abandons all chains, and starts no more. Those under way, which may hang
  // for ever, are left to a thread of their own. The Loop may go then.
  void Stop();

  void OnEvents(uint32_t events) override;

 private:
  struct Ring;
  struct LaneState {
    size_t running_max;
    size_t running = 0;
    std::deque<std::shared_ptr<UringChain>> waiting = {};
  };

  Uring(EpollLoop* loop, std::unique_ptr<Ring> ring);

  void SubmitSoon();
  // Hands the kernel all that it may have.
  void Submit();
  // False if it takes nothing for now: Submit will try again.
  bool Enter();

  EpollLoop* const loop_;
  std::unique_ptr<Ring> ring_;  // null: stopped
  std::array<LaneState, 2> lanes_;
  bool submit_posted_ = false;
  Timer retry_;
  CallbackScope scope_;
};

}  // namespace holdfast

#endif  // HOLDFAST_TRANSPORT_URING_H_
