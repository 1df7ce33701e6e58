#ifndef HOLDFAST_ENGINE_LOG_RECOVER_H_
#define HOLDFAST_ENGINE_LOG_RECOVER_H_

#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/base/callback_scope.h"
#include "engine/env/completion.h"
#include "engine/env/disk.h"
#include "engine/env/loop.h"
#include "engine/log/new_cluster.h"
#include "engine/log/recovered.h"
#include "engine/log/steps.h"
#include "engine/node/identity.h"
#include "engine/wal/checkpoint_file.h"
#include "engine/wal/wal.h"

namespace holdfast {

// Makes a new cluster of what one server of an old one has left, when the old
// one has lost its majority for good: its whole log, whether it is known to be
// committed or not. What other servers had acknowledged without this one is
// lost, and nobody can tell what that was; so it is for people to decide. For
// producers, it is the same log: their sessions go on.
//
// Only reads the old directory. One recovery, once:
//
//   Recover recover(loop, old_disk, new_disk, options);
//   recover.Run([](absl::StatusOr<Recover::Result> result) { ... });
class Recover {
 public:
  struct Result {
    Recovered from;
    ClusterId cluster;
    Identity old;
  };

  // The disks outlive it.
  Recover(Loop* loop, Disk* old_disk, Disk* new_disk,
          NewClusterOptions options);

  // FAILED_PRECONDITION: a server runs on the old directory, it has no log, or
  // the new one isn't empty. DATA_LOSS: the old one is damaged.
  void Run(ResultFn<Result> done);

 private:
  void OnIdentity(absl::StatusOr<Identity> identity);
  void OnCheckpoint(absl::StatusOr<CheckpointFile::Found> found);
  void OnReplayed(const Entry& entry);
  void OnOpen();
  void Copy(Index next);
  void Finish();

  Loop* const loop_;
  Disk* const old_disk_;
  const WalOptions wal_options_;
  NewCluster new_cluster_;
  IdentityFile identity_file_;
  Result result_;
  std::unique_ptr<CheckpointFile> checkpoint_file_;
  std::unique_ptr<Wal> wal_;
  // That the new log begins behind.
  std::optional<Checkpoint> checkpoint_;
  // The last configuration, committed or not.
  Buffer configuration_;
  Steps<Result> steps_;
  CallbackScope scope_;
};

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_LOG_RECOVER_H_
