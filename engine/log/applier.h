#ifndef HOLDFAST_ENGINE_LOG_APPLIER_H_
#define HOLDFAST_ENGINE_LOG_APPLIER_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "engine/base/buffer.h"
#include "engine/base/callback_scope.h"
#include "engine/base/types.h"
#include "engine/env/completion.h"
#include "engine/env/loop.h"
#include "engine/log/state_machine.h"
#include "engine/node/node.h"

namespace holdfast {

// A machine's state, and the entry up to which batches made it.
struct MachineSnapshot {
  Index index;
  Buffer bytes;
};

// Keeps a StateMachine up with the log: applies what is committed, restores it
// from checkpoints, takes its snapshots. All that is long is done in slices.
// Internal to DistributedLog.
class Applier {
 public:
  // `applied(index, result)`: the entry, a batch or not, counts now. All of
  // them outlive this object, but for its calls' callbacks.
  Applier(Loop* loop, Node* node, StateMachine* machine, size_t slice_bytes,
          std::function<void(Index, std::string)> applied);

  // Entries up to here count.
  Index applied() const { return applied_; }
  bool restoring() const { return restoring_ != nullptr; }

  // More may have been committed.
  void OnCommit();
  // The log begins behind a checkpoint that has this snapshot; index 0: the
  // machine has no state there yet.
  void OnCheckpoint(Index begins_behind, const MachineSnapshot& snapshot);
  // Of the state as it is; not while restoring(). Another one that is being
  // taken is dropped, without a callback.
  // FAILED_PRECONDITION when it is larger than `bytes_max`.
  void TakeSnapshot(size_t bytes_max, ResultFn<MachineSnapshot> done);
  // Nothing is applied any more; a snapshot under way is dropped.
  void Close();

  struct Stats {
    uint64_t batches = 0;
    uint64_t read_back = 0;  // slices of entries, from the disk
    uint64_t snapshots = 0;
    uint64_t restored = 0;

    template <typename Fn>  // fn(name, value)
    void ForEach(Fn fn) const {
      fn("machine_batch_applied", batches);
      fn("machine_read_back", read_back);
      fn("machine_snapshot", snapshots);
      fn("machine_restored", restored);
    }
  };
  const Stats& stats() const { return stats_; }

 private:
  struct Restoring {
    MachineSnapshot snapshot;
    size_t done = 0;
    std::unique_ptr<SnapshotWriter> writer;
  };
  struct Taking {
    Index index;
    std::unique_ptr<SnapshotReader> reader;
    std::string bytes;
    size_t bytes_max = 0;
    ResultFn<MachineSnapshot> done;
    Timer next;
  };

  void Apply(const Entry& entry);
  void ReadBack();
  void RestoreSlice();
  void TakeSliceLater();
  void TakeSlice();

  Loop* const loop_;
  Node* const node_;
  StateMachine* const machine_;
  const size_t slice_bytes_;
  const std::function<void(Index, std::string)> on_applied_;
  Index applied_;
  bool reading_ = false;
  Timer retry_;
  bool closed_ = false;
  std::unique_ptr<Restoring> restoring_;
  std::unique_ptr<Taking> taking_;
  Stats stats_;
  CallbackScope scope_;
};

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_LOG_APPLIER_H_
