#ifndef HOLDFAST_ENGINE_NODE_STARTUP_H_
#define HOLDFAST_ENGINE_NODE_STARTUP_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/base/callback_scope.h"
#include "engine/base/types.h"
#include "engine/env/completion.h"
#include "engine/env/disk.h"
#include "engine/env/env.h"
#include "engine/node/disk_space.h"
#include "engine/node/identity.h"

namespace holdfast {

// Takes a data directory for this process and settles whose it is: locks it,
// makes or checks its identity, and counts this start, durably, before
// anything else may happen.
class Startup {
 public:
  // `promise`: what this process may promise (Identity::promise). `space`, if
  // it isn't null, is prepared before anything is written, and outlives this.
  Startup(const Env& env, ServerId id, std::string cluster_name,
          Duration promise = Duration::zero(), DiskSpace* space = nullptr);

  // What earlier processes may have promised, once Run is done.
  Duration earlier_promise() const { return earlier_promise_; }

  // Once. FAILED_PRECONDITION: in use, another server's or cluster's, or a
  // log without an identity; DATA_LOSS: the identity is damaged.
  void Run(ResultFn<Identity> done);

 private:
  void OnRead(absl::StatusOr<Identity> found);
  void MakeNew();
  void Save();
  void Finish(absl::Status status);

  const Env env_;
  const ServerId id_;
  const std::string cluster_name_;
  const Duration promise_;
  DiskSpace* const space_;
  Duration earlier_promise_ = Duration::zero();
  ResultFn<Identity> done_;
  Identity identity_;
  IdentityFile file_;
  CallbackScope scope_;
};

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_NODE_STARTUP_H_
