#ifndef HOLDFAST_ENGINE_LOG_STATE_MACHINE_H_
#define HOLDFAST_ENGINE_LOG_STATE_MACHINE_H_

#include <cstddef>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "engine/base/batch.h"
#include "engine/base/time.h"
#include "engine/base/types.h"

namespace holdfast {

// A batch that is in the log for ever.
struct CommittedBatch {
  Index index;
  Offset base_offset;  // of its first record
  WallTime log_time;   // the leader's; never before that of an earlier batch
  BatchView batch;
};

// Gives a snapshot's bytes, piece by piece.
class SnapshotReader {
 public:
  virtual ~SnapshotReader() = default;
  // The next bytes, about `max_bytes` of them; none: that was all.
  virtual std::string Read(size_t max_bytes) = 0;
};

// Takes a snapshot's bytes, cut into pieces at any place.
class SnapshotWriter {
 public:
  virtual ~SnapshotWriter() = default;
  // An error says what was expected and found; nothing follows it.
  virtual absl::Status Write(absl::string_view bytes) = 0;
  // The machine has the snapshot's state now. Until here it keeps its own.
  virtual absl::Status Finish() = 0;
};

// A state that the log's batches make, the same on each server: replicated by
// replicating the log (Schneider, "Implementing fault-tolerant services using
// the state machine approach", 1990). Handed to a DistributedLog, it is called
// on that one's Loop, and outlives it. It begins empty at each start.
class StateMachine {
 public:
  virtual ~StateMachine() = default;

  // The next batch: each committed one, once, in the log's order. The state
  // afterwards, and what is returned, are functions of the state before and of
  // the batch, on every server and in every release: no clock but log_time, no
  // chance, no order of hash tables. What is returned goes to whoever appended
  // the batch at this server (AppendOutcome::result). It may not call the log.
  virtual std::string Apply(const CommittedBatch& batch) = 0;

  // A view of the state as it is, which later Applies don't change. Calls of
  // Apply come between those of Read, so that taking a snapshot stalls nothing:
  // this call, and each Read, should take no more than milliseconds. It may
  // outlive neither the machine nor the log. The bytes of one state may differ
  // from server to server.
  virtual std::unique_ptr<SnapshotReader> Snapshot() = 0;

  // The state is to become that of a snapshot, taken here or elsewhere by any
  // release. Destroyed before Finish: it came to nothing.
  virtual std::unique_ptr<SnapshotWriter> Restore() = 0;
};

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_LOG_STATE_MACHINE_H_
