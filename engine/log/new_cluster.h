#ifndef HOLDFAST_ENGINE_LOG_NEW_CLUSTER_H_
#define HOLDFAST_ENGINE_LOG_NEW_CLUSTER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "engine/base/callback_scope.h"
#include "engine/base/types.h"
#include "engine/env/completion.h"
#include "engine/env/disk.h"
#include "engine/env/loop.h"
#include "engine/env/network.h"
#include "engine/log/recovered.h"
#include "engine/node/identity.h"
#include "engine/wal/checkpoint_file.h"
#include "engine/wal/entry.h"
#include "engine/wal/wal.h"

namespace holdfast {

struct NewClusterOptions {
  // Its one server, and how the others will reach it.
  ServerId id;
  Address advertise;
  // The operators' name of it; empty: as it was.
  std::string cluster_name;
  // Of the draws of ids; not the same twice.
  uint64_t seed = 0;
  WalOptions wal;
};

// Makes a data directory of a new cluster of one server, with a log that came
// from elsewhere: from a server that is left of a cluster (recover.h), or from
// an image (restore.h). The new cluster has an id of its own, and its log
// begins behind a checkpoint that says so: servers of the old one and of the
// new one refuse each other, and whoever joins gets that checkpoint first,
// since the log doesn't hold entry 1.
//
// Call Prepare, Begin, Append as often as there are entries, and Finish, each
// when the one before is done. After an error, nothing more.
//
// Crash outcomes. The file `identity` comes last, when all else is durable: a
// directory without it is refused by servers, and by Prepare.
class NewCluster {
 public:
  // `disk`: the new directory.
  NewCluster(Loop* loop, Disk* disk, NewClusterOptions options);

  // Takes the directory. FAILED_PRECONDITION unless it is empty.
  void Prepare(DoneFn done);
  // The log begins behind this checkpoint, but for its cluster and owner.
  // `term`: of the entries to come, at most, and of all votes.
  void Begin(Checkpoint checkpoint, Term term, DoneFn done);
  // Durable when done. Each must continue the log.
  void Append(std::vector<Entry> entries, DoneFn done);
  // Says where it came from, in a term of its own, and makes this server the
  // only one. `feature_level`: of the configuration before.
  void Finish(const Recovered& recovered, uint32_t feature_level,
              const std::string& old_name, DoneFn done);

  // The end of the log.
  const LogPoint& last() const { return last_; }
  ClusterId cluster() const { return cluster_; }
  // Of this one server, as Finish makes it.
  Buffer EncodedConfiguration(uint32_t feature_level) const;

 private:
  void Write(WalWrite write);
  void Done(absl::Status status);
  void WriteCheckpoint();
  void WriteIdentity(std::string name);

  Loop* const loop_;
  Disk* const disk_;
  const NewClusterOptions options_;
  const Incarnation incarnation_;
  const ClusterId cluster_;
  Term term_;  // of what Finish adds
  Checkpoint checkpoint_;
  LogPoint last_;
  uint64_t sequence_ = 0;
  std::unique_ptr<Wal> wal_;
  std::unique_ptr<CheckpointFile> checkpoint_file_;
  IdentityFile identity_file_;
  absl::Status failure_;  // the log's
  Task persisted_;        // once what was written is durable
  DoneFn done_;           // of the call under way
  CallbackScope scope_;
};

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_LOG_NEW_CLUSTER_H_
