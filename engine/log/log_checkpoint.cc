// How a DistributedLog loses its beginning, begins behind a checkpoint, and
// spares its next start the reading of all of it.

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"
#include "engine/log/distributed_log.h"

namespace holdfast {
namespace {

// After a checkpoint that was refused as too large.
constexpr Duration kDropAgain = 60s;
// While followers are waited for.
constexpr Duration kDropLater = 1s;

}  // namespace

// --- Dropping ---

// The state of the log's lost prefix becomes that of the last waypoint of what
// is to be lost next. Without any it is rolled forward over those entries, a
// slice at a time, if it is worth the reading: otherwise the log keeps a
// segment until a waypoint behind it may be used. Then it is the next
// checkpoint, which waits for a resume point that is being made: the machine
// takes one snapshot at a time.
void DistributedLog::DropTrimmed() {
  const Offset kept_from = std::max(trimmed_to_, heard_trimmed_to_);
  if (rolling_ != nullptr || dropping_ != nullptr || closing_ ||
      kept_from <= node_.base().next_offset) {
    return;
  }
  // Entries from this one on may hold records that are kept. All of the log
  // is trimmed when the offset is its end.
  const Index needed = kept_from < committed_end()
                           ? node_.FloorIndexOfOffset(kept_from)
                           : node_.commit();
  if (applier_ != nullptr && applier_->restoring()) return;
  const bool needs_room =
      options_.log_bytes_max.has_value() &&
      LogBytes() > *options_.log_bytes_max - *options_.log_bytes_max / 8;
  const Node::Droppable droppable =
      node_.DroppableTo(std::min(needed - 1, applied()), needs_room);
  if (droppable.waits) {
    // Perhaps nothing is committed meanwhile.
    drop_later_ = env_.loop->After(kDropLater, [this] { DropTrimmed(); });
  }
  const bool jump = droppable.waypoint > base_.point().index;
  const bool worth_reading =
      droppable.several ||
      (node_.disk_space().is_short() && droppable.to > base_.point().index);
  if (!jump && !worth_reading) return;
  if (jump) {
    rolling_ = std::make_unique<LogState>();
    return JumpTo(droppable.waypoint);
  }
  rolling_ = std::make_unique<LogState>(base_);
  ++stats_.prefix_read;
  RollTo(droppable.to);
}

// The trim itself may come behind records that this server has no room for,
// until it drops what was trimmed. Nothing may be committed here before that,
// so each heartbeat is another try.
void DistributedLog::OnTrimmed(Offset first) {
  if (first > std::max(trimmed_to_, heard_trimmed_to_)) {
    ++stats_.trims_heard;
    heard_trimmed_to_ = first;
  }
  DropTrimmed();
}

void DistributedLog::JumpTo(Index waypoint) {
  node_.ReadWaypoint(waypoint, [this, waypoint, from = base_.point()](
                                   const absl::StatusOr<Checkpoint>& found) {
    // A checkpoint from the leader may have come in between.
    if (rolling_ == nullptr || base_.point() != from || closing_) return;
    absl::StatusOr<LogState> state =
        found.ok() ? LogState::Of(*found) : found.status();
    if (!state.ok()) {
      node_.DiscardWaypoint(waypoint, state.status());
      rolling_ = nullptr;
      return DropTrimmed();  // by an earlier one, or by none
    }
    ++stats_.prefix_jumped;
    *rolling_ = *std::move(state);
    dropping_ = std::move(rolling_);
    TakeCheckpoint();
  });
}

void DistributedLog::RollTo(Index last) {
  constexpr size_t kSliceBytes = 1 << 20;
  const Index next = rolling_->point().index + 1;
  node_.ReadEntriesAtPace(
      next, kSliceBytes,
      [this, last, next](absl::StatusOr<std::vector<Entry>> entries) {
        // As in JumpTo.
        if (rolling_ == nullptr || rolling_->point().index + 1 != next ||
            closing_) {
          return;
        }
        if (!entries.ok() || entries->front().header.index != next) {
          rolling_ = nullptr;
          return;
        }
        for (const Entry& entry : *entries) {
          if (entry.header.index > last) break;
          rolling_->Apply(entry);
        }
        if (rolling_->point().index < last) return RollTo(last);
        dropping_ = std::move(rolling_);
        TakeCheckpoint();
      });
}

void DistributedLog::TakeCheckpoint() {
  if (dropping_ == nullptr) return;
  if (resuming_ != nullptr) {
    ++stats_.drops_waited;
    return;
  }
  AddSnapshot(dropping_->MakeCheckpoint(),
              [this](absl::StatusOr<Checkpoint> checkpoint) {
                // As in JumpTo.
                if (dropping_ == nullptr) return;
                if (!checkpoint.ok()) return OnDropped(checkpoint.status());
                if (dropping_->point() == checkpoint->point) {
                  DropTo(*std::move(checkpoint));
                }
              });
}

void DistributedLog::AddSnapshot(Checkpoint checkpoint,
                                 ResultFn<Checkpoint> done) {
  if (applier_ == nullptr) return done(std::move(checkpoint));
  const size_t size = CheckpointBytes(checkpoint);
  applier_->TakeSnapshot(
      kCheckpointBytesMax - std::min(size, kCheckpointBytesMax),
      [checkpoint = std::move(checkpoint), done = std::move(done)](
          absl::StatusOr<MachineSnapshot> snapshot) mutable {
        if (!snapshot.ok()) return done(snapshot.status());
        checkpoint.machine_index = snapshot->index;
        checkpoint.machine = snapshot->bytes;
        done(std::move(checkpoint));
      });
}

void DistributedLog::DropTo(Checkpoint checkpoint) {
  node_.DropTo(std::move(checkpoint),
               scope_.Wrap([this](absl::Status s) { OnDropped(s); }));
}

void DistributedLog::OnDropped(const absl::Status& dropped) {
  if (dropping_ == nullptr) return;
  if (dropped.ok()) {
    ++stats_.prefix_dropped;
    base_ = *std::exchange(dropping_, nullptr);
    return DropTrimmed();
  }
  if (absl::IsUnavailable(dropped)) {
    dropping_ = nullptr;  // another try with the next commit
    return;
  }
  // It would come to the same again, for a while.
  LogLine("event=log_not_dropped", dropped);
  drop_again_ = env_.loop->After(kDropAgain, [this] {
    dropping_ = nullptr;
    DropTrimmed();
  });
}

void DistributedLog::LogLine(absl::string_view what, const absl::Status& why) {
  if (env_.log_line == nullptr || !*env_.log_line) return;
  (*env_.log_line)(absl::StrCat(what, " why=\"", why.message(), "\""));
}

// --- Resume points ---

void DistributedLog::TakeResume() {
  if (resuming_ != nullptr || no_resume_ || dropping_ != nullptr || closing_ ||
      applied() < node_.commit() || !node_.ResumeDue()) {
    return;
  }
  Sessions committed = sessions_;
  committed.Cut(node_.commit() + 1);
  resuming_ = std::make_unique<Checkpoint>(node_.MakeResume());
  resuming_->first_offset = trimmed_to_;
  resuming_->state = committed.Encode();
  AddSnapshot(*resuming_, [this](absl::StatusOr<Checkpoint> resume) {
    if (resuming_ == nullptr) return;
    if (!resume.ok()) return OnResumeWritten(resume.status());
    if (resume->point != resuming_->point) return;
    node_.WriteResume(
        *std::move(resume),
        scope_.Wrap([this, point = resuming_->point](absl::Status written) {
          if (resuming_ == nullptr || resuming_->point != point) {
            return;
          }
          OnResumeWritten(written);
        }));
  });
}

void DistributedLog::OnResumeWritten(const absl::Status& written) {
  resuming_ = nullptr;
  if (written.ok()) {
    ++stats_.resume_points;
  } else if (!absl::IsCancelled(written)) {
    // What it lacks may be there the next time.
    no_resume_ = !absl::IsResourceExhausted(written);
    LogLine("event=no_resume_point", written);
  }
  TakeCheckpoint();
}

void DistributedLog::OnResume(const Checkpoint& resume) {
  const LogState state = *LogState::Of(resume);
  ++stats_.resumed;
  sessions_ = state.sessions();
  trimmed_to_ = std::max(trimmed_to_, state.trimmed_to());
  if (applier_ != nullptr) {
    applier_->OnCheckpoint(
        resume.point.index,
        MachineSnapshot{resume.machine_index, resume.machine});
  }
}

absl::Status DistributedLog::CheckCheckpoint(const Checkpoint& checkpoint) {
  const bool has_machine = checkpoint.machine_index != Index(0);
  // Before the first record no machine has a state.
  const bool either = !has_machine && checkpoint.point.next_offset == Offset(0);
  if (!either && has_machine != (applier_ != nullptr)) {
    return absl::FailedPreconditionError(
        absl::StrCat("expected a checkpoint ", has_machine ? "without" : "with",
                     " a state machine's snapshot, as this server is run ",
                     has_machine ? "without" : "with",
                     " one; all servers of a cluster need the same kind, from "
                     "its beginning"));
  }
  return LogState::Of(checkpoint).status();
}

void DistributedLog::OnCheckpoint(const Checkpoint& checkpoint, bool replaced) {
  base_ = *LogState::Of(checkpoint);
  rolling_ = nullptr;
  dropping_ = nullptr;
  resuming_ = nullptr;
  drop_again_.Cancel();
  trimmed_to_ = std::max(trimmed_to_, base_.trimmed_to());
  if (replaced) FailPendingFrom(Index(0), "a checkpoint replaced the log");
  if (applier_ != nullptr) {
    applier_->OnCheckpoint(
        checkpoint.point.index,
        MachineSnapshot{checkpoint.machine_index, checkpoint.machine});
  }
  if (!replaced) return;
  // The log may be opened a second time, behind an earlier point.
  trimmed_to_ = base_.trimmed_to();
  ++stats_.restored;
  sessions_ = base_.sessions();
  trims_.clear();
  WakeTails();
}

}  // namespace holdfast
