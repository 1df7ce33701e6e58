#ifndef HOLDFAST_ENGINE_LOG_RECOVER_H_
#define HOLDFAST_ENGINE_LOG_RECOVER_H_

#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/base/callback_scope.h"
#include "engine/base/lost_records.h"
#include "engine/env/completion.h"
#include "engine/env/disk.h"
#include "engine/env/loop.h"
#include "engine/log/new_cluster.h"
#include "engine/log/recovered.h"
#include "engine/log/sessions.h"
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
// Or when there is a majority, but none of it has some of the entries any more:
// in the place of those that are damaged here the new log has others, of
// EntryKind::kLost, which keep their indexes and offsets, and end all sessions:
// nobody knows what was in them. All else stays as it was, but for the chained
// hashes, and for the sessions in batches behind. A trim that is lost is
// undone.
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
    std::vector<LostRecords> lost;  // some without records
    // The old log had come so far, if that is behind from.last_index: what
    // stood in between is gone with its offsets.
    Index reached;
  };

  // The disks outlive it.
  Recover(Loop* loop, Disk* old_disk, Disk* new_disk,
          NewClusterOptions options);

  // FAILED_PRECONDITION: a server runs on the old directory, it has no log, or
  // the new one isn't empty. DATA_LOSS: the old one is damaged in such a way
  // that it can't be told which entries are lost, or which of those before them
  // are the log's.
  void Run(ResultFn<Result> done);

 private:
  void OnIdentity(absl::StatusOr<Identity> identity);
  void OnCheckpoint(absl::StatusOr<CheckpointFile::Found> found);
  void OnReplayed(const Entry& entry);
  void OnOpen();
  // Of a log whose first entry is damaged.
  Checkpoint BehindTheFirst() const;
  void Copy(Index next);
  void OnRead(absl::StatusOr<std::vector<Entry>> entries);
  // In the place of entries up to that one.
  absl::StatusOr<std::vector<Entry>> StandIns(const LostRecords& lost) const;
  // Makes them continue what the new log has instead of lost ones.
  absl::Status Reseal(std::vector<Entry>* entries);
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
  // Those registered behind the last lost entry; nothing: none is lost.
  std::optional<Sessions> sessions_;
  Steps<Result> steps_;
  CallbackScope scope_;
};

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_LOG_RECOVER_H_
