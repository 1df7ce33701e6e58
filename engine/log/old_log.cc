#include "engine/log/old_log.h"

#include <algorithm>
#include <utility>

#include "engine/base/lost_records.h"
#include "engine/log/log_state.h"

namespace holdfast {

OldLog::OldLog(Loop* loop, Disk* disk, const WalOptions& options)
    : loop_(loop), disk_(disk), options_(options), identity_file_(disk) {}

void OldLog::Open(DoneFn done) {
  done_ = std::move(done);
  disk_->Lock(scope_.Wrap([this](absl::Status locked) {
    if (!locked.ok()) return done_(std::move(locked));
    identity_file_.Read([this](absl::StatusOr<Identity> identity) {
      OnIdentity(std::move(identity));
    });
  }));
}

void OldLog::OnIdentity(absl::StatusOr<Identity> identity) {
  if (absl::IsNotFound(identity.status())) {
    return done_(absl::FailedPreconditionError(
        "expected a server's directory, found no file identity in it"));
  }
  if (!identity.ok()) return done_(identity.status());
  identity_ = *std::move(identity);
  cluster_ = identity_.cluster_id;
  checkpoint_file_ = std::make_unique<CheckpointFile>(
      disk_, identity_.incarnation, CheckpointKind::kBase);
  checkpoint_file_->Open([this](absl::StatusOr<CheckpointFile::Found> found) {
    OnCheckpoint(std::move(found));
  });
}

void OldLog::OnCheckpoint(absl::StatusOr<CheckpointFile::Found> found) {
  if (!found.ok()) return done_(found.status());
  LogPoint base;
  checkpoint_ = std::move(found->newest);
  if (checkpoint_.has_value()) base = checkpoint_->point;
  base_ = base.index;
  // Nothing is written, so nothing is reported.
  wal_ = std::make_unique<Wal>(loop_, disk_, identity_.incarnation, options_,
                               Wal::Events());
  wal_->OpenInPart(
      base, [this](const Entry& entry, Index) { OnReplayed(entry); },
      [this](absl::Status opened) { OnOpen(std::move(opened)); });
}

void OldLog::OnReplayed(const Entry& entry) {
  if (entry.header.index > Index(1)) return;
  LogState state;
  state.Apply(entry);
  checkpoint_ = state.MakeCheckpoint();
  checkpoint_->cluster = ClusterId(entry.header.chain);
}

void OldLog::OnOpen(absl::Status opened) {
  if (!opened.ok()) return done_(std::move(opened));
  if (wal_->reached() == Index(0)) {
    return done_(absl::FailedPreconditionError(
        "expected a log, found none: this server was never in a cluster, or "
        "had received nothing of it"));
  }
  const ClusterId noted = identity_.cluster_id;
  if (checkpoint_.has_value()) cluster_ = checkpoint_->cluster;
  if (cluster_ == ClusterId()) {
    return done_(absl::DataLossError(
        "the log's first entry is damaged, and the directory doesn't say "
        "which cluster it is of"));
  }
  if (noted != ClusterId() && noted != cluster_) {
    return done_(absl::DataLossError(
        "the log isn't the one of this directory's cluster"));
  }
  done_(absl::OkStatus());
}

void OldLog::ReadFrom(Index from, size_t max_bytes,
                      ResultFn<std::vector<Entry>> done) {
  // Of what the checkpoint stands for nothing need be the log's.
  from = std::max(from, base_ + 1);
  wal_->Read(from, max_bytes,
             [this, max_bytes, done = std::move(done)](
                 absl::StatusOr<std::vector<Entry>> entries) mutable {
               const auto lost = LostRecordsOf(entries.status());
               if (!lost.has_value()) return done(std::move(entries));
               ReadFrom(lost->last_index + 1, max_bytes, std::move(done));
             });
}

}  // namespace holdfast
