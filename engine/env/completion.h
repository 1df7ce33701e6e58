#ifndef HOLDFAST_ENGINE_ENV_COMPLETION_H_
#define HOLDFAST_ENGINE_ENV_COMPLETION_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/base/inline_function.h"

namespace holdfast {

// How an asynchronous operation reports: once, on the Loop, never inside the
// call that started it.
using DoneFn = InlineFunction<void(absl::Status)>;
template <typename T>
using ResultFn = InlineFunction<void(absl::StatusOr<T>)>;

// An operation under way; destroying it drops its completion.
class PendingOp {
 public:
  virtual ~PendingOp() = default;
};

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_ENV_COMPLETION_H_
