#ifndef HOLDFAST_ENGINE_LOG_OLD_LOG_H_
#define HOLDFAST_ENGINE_LOG_OLD_LOG_H_

#include <cstddef>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/base/callback_scope.h"
#include "engine/base/types.h"
#include "engine/env/completion.h"
#include "engine/env/disk.h"
#include "engine/env/loop.h"
#include "engine/node/identity.h"
#include "engine/wal/checkpoint_file.h"
#include "engine/wal/entry.h"
#include "engine/wal/wal.h"

namespace holdfast {

// The log in a stopped server's directory, for whoever makes a new one of it
// (recover.h): as far as it is whole. Nothing on the disk changes. Internal to
// engine/log.
class OldLog {
 public:
  // The disk outlives it.
  OldLog(Loop* loop, Disk* disk, const WalOptions& options);

  // Takes the directory, and finds out what is there. Once, before all else.
  // FAILED_PRECONDITION: a server runs on it, it isn't a server's, or it has no
  // log. DATA_LOSS: it is damaged in such a way that it can't be told which
  // entries are missing, or which of those before them are the log's. `done`
  // must not destroy this object.
  void Open(DoneFn done);

  // These also after an Open that failed, as far as that has come: all zero
  // where it isn't known.
  const Identity& identity() const { return identity_; }
  ClusterId cluster() const { return cluster_; }

  // What the log begins behind: a checkpoint, else one that stands for its
  // first entry. Nothing: that entry is damaged. Once.
  std::optional<Checkpoint> TakeCheckpoint() {
    return std::exchange(checkpoint_, std::nullopt);
  }
  // Opened in part (Wal::OpenInPart).
  Wal* wal() { return wal_.get(); }
  // Entries, about max_bytes of them, from the first one on that is whole, and
  // stands at `from` or behind it, and behind the checkpoint. An error: there
  // is none, or it can't be read.
  void ReadFrom(Index from, size_t max_bytes,
                ResultFn<std::vector<Entry>> done);

 private:
  void OnIdentity(absl::StatusOr<Identity> identity);
  void OnCheckpoint(absl::StatusOr<CheckpointFile::Found> found);
  void OnReplayed(const Entry& entry);
  void OnOpen(absl::Status opened);

  Loop* const loop_;
  Disk* const disk_;
  const WalOptions options_;
  IdentityFile identity_file_;
  Identity identity_;
  ClusterId cluster_;
  std::unique_ptr<CheckpointFile> checkpoint_file_;
  Index base_;  // of the checkpoint that was there
  std::optional<Checkpoint> checkpoint_;
  std::unique_ptr<Wal> wal_;
  DoneFn done_;
  CallbackScope scope_;
};

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_LOG_OLD_LOG_H_
