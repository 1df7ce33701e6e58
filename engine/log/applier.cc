#include "engine/log/applier.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"
#include "engine/base/lost_records.h"

namespace holdfast {
namespace {

// Between slices of a snapshot: nobody is in a hurry, and all else goes on.
constexpr Duration kSlicePause = 1ms;
// Of a read of what is damaged here, which nobody could help with.
constexpr Duration kRetry = 500ms;

}  // namespace

Applier::Applier(Loop* loop, Node* node, StateMachine* machine,
                 size_t slice_bytes,
                 std::function<void(Index, std::string)> applied)
    : loop_(loop),
      node_(node),
      machine_(machine),
      slice_bytes_(slice_bytes),
      on_applied_(std::move(applied)) {}

void Applier::Close() {
  closed_ = true;
  retry_.Cancel();
  taking_ = nullptr;
  restoring_ = nullptr;
}

// --- Applying ---

void Applier::OnCommit() {
  if (reading_) return;
  while (restoring_ == nullptr && !closed_ && applied_ < node_->commit()) {
    const Entry* entry = node_->tail().Find(applied_ + 1);
    if (entry == nullptr) return ReadBack();
    // A copy, as what is called below may have the log's tail move.
    Apply(Entry(*entry));
  }
}

void Applier::Apply(const Entry& entry) {
  CHECK(entry.header.index == applied_ + 1);
  applied_ = entry.header.index;
  std::string result;
  if (entry.header.kind == EntryKind::kBatch) {
    absl::StatusOr<BatchView> batch = BatchView::Parse(entry.payload);
    if (!batch.ok()) {
      return node_->Fail(absl::DataLossError(
          absl::StrCat("entry ", applied_.value(),
                       " can't be applied: ", batch.status().message())));
    }
    ++stats_.batches;
    result =
        machine_->Apply(CommittedBatch{.index = entry.header.index,
                                       .base_offset = entry.header.base_offset,
                                       .log_time = entry.header.log_time,
                                       .batch = *std::move(batch)});
  }
  on_applied_(applied_, std::move(result));
}

// What lags behind the log's tail in memory: at a start, mostly.
void Applier::ReadBack() {
  // While the log is being recovered it can't be read.
  if (!node_->formed()) return;
  reading_ = true;
  ++stats_.read_back;
  const Index next = applied_ + 1;
  node_->ReadEntries(
      next, slice_bytes_,
      scope_.Wrap([this, next](absl::StatusOr<std::vector<Entry>> entries) {
        reading_ = false;
        // A checkpoint may have come in between.
        if (closed_ || restoring_ != nullptr) return;
        if (applied_ + 1 == next) {
          if (absl::IsUnavailable(entries.status()) ||
              LostRecordsOf(entries.status()).has_value()) {
            // They are damaged here, and others don't help for now.
            reading_ = true;
            retry_ = loop_->After(kRetry, [this] {
              reading_ = false;
              OnCommit();
            });
            return;
          }
          if (!entries.ok()) return node_->Fail(entries.status());
          for (const Entry& entry : *entries) {
            if (closed_) break;
            Apply(entry);
          }
        }
        OnCommit();
      }));
}

// --- Restoring ---

void Applier::OnCheckpoint(Index begins_behind,
                           const MachineSnapshot& snapshot) {
  // Else it has applied, or can read, all that the snapshot stands for.
  if (begins_behind <= applied_) return;
  // No record is before it.
  if (snapshot.index == Index(0)) {
    applied_ = begins_behind;
    return;
  }
  CHECK_GE(snapshot.index, begins_behind);
  taking_ = nullptr;
  const bool under_way = restoring_ != nullptr;
  restoring_ = std::make_unique<Restoring>();
  restoring_->snapshot = snapshot;
  restoring_->writer = machine_->Restore();
  if (!under_way) loop_->Post(scope_.Wrap([this] { RestoreSlice(); }));
}

void Applier::RestoreSlice() {
  if (closed_) return;
  Restoring& r = *restoring_;
  const size_t size = std::min(slice_bytes_, r.snapshot.bytes.size() - r.done);
  absl::Status status =
      size == 0 ? r.writer->Finish()
                : r.writer->Write(r.snapshot.bytes.view().substr(r.done, size));
  if (!status.ok()) {
    return node_->Fail(absl::Status(
        status.code(),
        absl::StrCat("the state machine refuses the snapshot of entry ",
                     r.snapshot.index.value(), ": ", status.message())));
  }
  r.done += size;
  if (size > 0) return loop_->Post(scope_.Wrap([this] { RestoreSlice(); }));
  ++stats_.restored;
  applied_ = r.snapshot.index;
  restoring_ = nullptr;
  on_applied_(applied_, std::string());
  OnCommit();
}

// --- Snapshots ---

void Applier::TakeSnapshot(size_t bytes_max, ResultFn<MachineSnapshot> done) {
  CHECK(restoring_ == nullptr);
  ++stats_.snapshots;
  taking_ = std::make_unique<Taking>();
  taking_->index = applied_;
  taking_->reader = machine_->Snapshot();
  taking_->bytes_max = bytes_max;
  taking_->done = std::move(done);
  TakeSliceLater();
}

void Applier::TakeSliceLater() {
  taking_->next = loop_->After(kSlicePause, [this] { TakeSlice(); });
}

void Applier::TakeSlice() {
  const std::string slice = taking_->reader->Read(slice_bytes_);
  taking_->bytes += slice;
  absl::StatusOr<MachineSnapshot> result;
  if (taking_->bytes.size() > taking_->bytes_max) {
    result = absl::FailedPreconditionError(
        absl::StrCat("the state machine's snapshot: expected at most ",
                     taking_->bytes_max, " bytes, found more"));
  } else if (!slice.empty()) {
    return TakeSliceLater();
  } else {
    result = MachineSnapshot{taking_->index, Buffer::Copy(taking_->bytes)};
  }
  ResultFn<MachineSnapshot> done = std::move(taking_->done);
  taking_ = nullptr;
  done(std::move(result));
}

}  // namespace holdfast
