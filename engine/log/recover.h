#ifndef HOLDFAST_ENGINE_LOG_RECOVER_H_
#define HOLDFAST_ENGINE_LOG_RECOVER_H_

#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/base/buffer.h"
#include "engine/base/lost_records.h"
#include "engine/base/types.h"
#include "engine/env/completion.h"
#include "engine/env/disk.h"
#include "engine/env/loop.h"
#include "engine/log/new_cluster.h"
#include "engine/log/old_log.h"
#include "engine/log/recover_copies.h"
#include "engine/log/recovered.h"
#include "engine/log/sessions.h"
#include "engine/log/steps.h"
#include "engine/node/identity.h"
#include "engine/wal/checkpoint_file.h"
#include "engine/wal/entry.h"

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
// What is damaged here, but whole in other servers' directories, is taken from
// them, where it is proved to be the same log's (recover_copies.h); only what
// none of them has is lost. The log ends where the one server's does, whatever
// stands behind that in the others'.
//
// Only reads the old directories. One recovery, once:
//
//   Recover recover(loop, old_disk, new_disk, options, copies);
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
    std::vector<RecoverCopyUse> copies;  // of each, the longest first
  };

  // The disks outlive it. `copies`: of other servers.
  Recover(Loop* loop, Disk* old_disk, Disk* new_disk, NewClusterOptions options,
          std::vector<RecoverCopy> copies = {});

  // FAILED_PRECONDITION: a server runs on an old directory, it has no log, it
  // is of another cluster than the first one or of a server that was given
  // already, or the new one isn't empty. DATA_LOSS: the first one is damaged in
  // such a way that it can't be told which entries are lost, or which of those
  // before them are the log's; another one isn't used then.
  void Run(ResultFn<Result> done);

 private:
  void Begin();
  // Of a log whose first entry is damaged.
  Checkpoint BehindTheFirst() const;
  void Copy(Index next);
  void OnRead(Index next, absl::StatusOr<std::vector<Entry>> entries);
  // What the copies have of what is damaged, from `next` on or further on.
  void OnFound(Index next, LostRecords lost, std::vector<Entry> found);
  void Append(std::vector<Entry> entries);
  // In the place of entries up to that one.
  absl::StatusOr<std::vector<Entry>> StandIns(const LostRecords& lost) const;
  // Makes them continue what the new log has instead of lost ones.
  absl::Status Reseal(std::vector<Entry>* entries);
  void Fail(absl::string_view why);
  void Finish();

  OldLog old_;
  RecoverCopies copies_;
  NewCluster new_cluster_;
  Result result_;
  // The last configuration, committed or not.
  Buffer configuration_;
  // The old log's point behind what was copied; nothing: that is lost.
  std::optional<LogPoint> copied_;
  // Those registered behind the last lost entry; nothing: none is lost.
  std::optional<Sessions> sessions_;
  Steps<Result> steps_;
};

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_LOG_RECOVER_H_
