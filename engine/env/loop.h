#ifndef HOLDFAST_ENGINE_ENV_LOOP_H_
#define HOLDFAST_ENGINE_ENV_LOOP_H_

#include <cstdint>
#include <utility>

#include "engine/base/inline_function.h"
#include "engine/base/time.h"

namespace holdfast {

// What the loop runs. Captures of up to 48 bytes cost no allocation.
using Task = InlineFunction<void()>;

class Loop;

// Owns one future run of a Task; destroying or cancelling it drops the Task.
// Must not outlive its Loop.
class [[nodiscard]] Timer {
 public:
  Timer() = default;
  Timer(Loop* loop, uint64_t id) : loop_(loop), id_(id) {}
  Timer(Timer&& other) noexcept
      : loop_(std::exchange(other.loop_, nullptr)), id_(other.id_) {}
  Timer& operator=(Timer&& other) noexcept {
    if (this != &other) {
      Cancel();
      loop_ = std::exchange(other.loop_, nullptr);
      id_ = other.id_;
    }
    return *this;
  }
  ~Timer() { Cancel(); }

  // The Task won't run. Harmless when it has run, or there is none.
  inline void Cancel();

 private:
  Loop* loop_ = nullptr;
  uint64_t id_ = 0;
};

// The single thread on which an engine lives: its clock and its order of
// events. Events run one at a time, in the total order of (time, sequence of
// submission); no Task runs inside the call that scheduled it.
//
// Implementations: transport/epoll_loop.h (real time) and sim/ (simulated
// time, one Loop for each process, each with its own drift).
class Loop {
 public:
  virtual ~Loop() = default;

  // Monotonic, counts through suspends (CLOCK_BOOTTIME). Keeps one value for
  // the length of one Task.
  virtual Instant Now() const = 0;

  // A reading of the same clock made by this call, for what must not trust
  // the Task's own (possibly stale) Now, such as a lease.
  virtual Instant FreshNow() const = 0;

  // May jump either way. Only for the leader's log time and the validity of
  // certificates; no timeout may depend on it.
  virtual WallTime WallNow() const = 0;

  // Runs `task` at `when`, or as soon as possible if that has passed. Two
  // tasks for one instant run in the order of these calls.
  virtual Timer At(Instant when, Task task) = 0;

  Timer After(Duration delay, Task task) {
    return At(Later(Now(), delay), std::move(task));
  }

  // Runs `task` after the tasks that are due already. For owners that drop
  // nothing: it can't be cancelled, so it must not outlive what it captures.
  virtual void Post(Task task) = 0;

 protected:
  friend class Timer;
  virtual void Cancel(uint64_t timer_id) = 0;
};

inline void Timer::Cancel() {
  if (Loop* loop = std::exchange(loop_, nullptr)) loop->Cancel(id_);
}

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_ENV_LOOP_H_
