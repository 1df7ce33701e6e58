#ifndef HOLDFAST_ENGINE_LOG_STEPS_H_
#define HOLDFAST_ENGINE_LOG_STEPS_H_

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/base/callback_scope.h"
#include "engine/env/completion.h"
#include "engine/env/loop.h"

namespace holdfast {

// One operation of many steps, one after another, whose first error is its end.
// Internal to engine/log.
template <typename Result>
class Steps {
 public:
  explicit Steps(Loop* loop) : loop_(loop) {}

  void Begin(ResultFn<Result> done) { done_ = std::move(done); }
  // A step's completion: goes on with `then`, if it went well.
  DoneFn Then(Task then) {
    return [this, then = std::move(then)](absl::Status status) mutable {
      if (!status.ok()) return End(std::move(status));
      then();
    };
  }
  // Once; later ones don't count. Told from the Loop: this may run inside a
  // callback of the owner's members, and `done` may destroy the owner.
  void End(absl::StatusOr<Result> result) {
    if (!done_) return;
    loop_->Post(scope_.Wrap(
        [done = std::move(done_), result = std::move(result)]() mutable {
          done(std::move(result));
        }));
  }

 private:
  Loop* const loop_;
  ResultFn<Result> done_;
  CallbackScope scope_;
};

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_LOG_STEPS_H_
