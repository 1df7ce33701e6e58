#include "engine/log/recover.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"
#include "engine/base/configuration.h"
#include "engine/log/log_state.h"

namespace holdfast {
namespace {

// About how much of the log is in memory at once.
constexpr size_t kCopyBytes = 4 << 20;

}  // namespace

Recover::Recover(Loop* loop, Disk* old_disk, Disk* new_disk,
                 NewClusterOptions options)
    : loop_(loop),
      old_disk_(old_disk),
      wal_options_(options.wal),
      new_cluster_(loop, new_disk, std::move(options)),
      identity_file_(old_disk),
      steps_(loop) {}

void Recover::Run(ResultFn<Result> done) {
  steps_.Begin(std::move(done));
  new_cluster_.Prepare(steps_.Then([this] {
    old_disk_->Lock(scope_.Wrap(steps_.Then([this] {
      identity_file_.Read([this](absl::StatusOr<Identity> identity) {
        OnIdentity(std::move(identity));
      });
    })));
  }));
}

// --- What is there ---

void Recover::OnIdentity(absl::StatusOr<Identity> identity) {
  if (absl::IsNotFound(identity.status())) {
    return steps_.End(absl::FailedPreconditionError(
        "expected a server's directory, found no file identity in it"));
  }
  if (!identity.ok()) return steps_.End(identity.status());
  result_.old = *std::move(identity);
  result_.from.origin = Recovered::Origin::kServer;
  checkpoint_file_ = std::make_unique<CheckpointFile>(
      old_disk_, result_.old.incarnation, CheckpointKind::kBase);
  checkpoint_file_->Open([this](absl::StatusOr<CheckpointFile::Found> found) {
    OnCheckpoint(std::move(found));
  });
}

void Recover::OnCheckpoint(absl::StatusOr<CheckpointFile::Found> found) {
  if (!found.ok()) return steps_.End(found.status());
  LogPoint base;
  if (found->newest.has_value()) {
    checkpoint_ = *std::move(found->newest);
    configuration_ = checkpoint_->configuration;
    result_.from.cluster = checkpoint_->cluster;
    base = checkpoint_->point;
  }
  Wal::Events events;
  events.on_persisted = [](uint64_t) {};
  events.on_failed = [this](absl::Status why) { steps_.End(std::move(why)); };
  wal_ = std::make_unique<Wal>(loop_, old_disk_, result_.old.incarnation,
                               wal_options_, std::move(events));
  wal_->OpenReadOnly(
      base, [this](const Entry& entry, Index) { OnReplayed(entry); },
      steps_.Then([this] { OnOpen(); }));
}

void Recover::OnReplayed(const Entry& entry) {
  if (entry.header.kind == EntryKind::kConfiguration) {
    configuration_ = entry.payload;
  }
  if (entry.header.index > Index(1)) return;
  // What stands for this one entry is a checkpoint from now on.
  LogState state;
  state.Apply(entry);
  checkpoint_ = state.MakeCheckpoint();
  result_.from.cluster = ClusterId(entry.header.chain);
}

void Recover::OnOpen() {
  if (!checkpoint_.has_value()) {
    return steps_.End(absl::FailedPreconditionError(
        "expected a log, found none: this server was never in a cluster, or "
        "had received nothing of it"));
  }
  const ClusterId noted = result_.old.cluster_id;
  if (noted != ClusterId() && noted != result_.from.cluster) {
    return steps_.End(absl::DataLossError(
        "the log isn't the one of this directory's cluster"));
  }
  result_.from.last_index = wal_->last_index();
  result_.from.last_term = wal_->last_term();
  result_.from.commit = std::max(wal_->commit_hint(), checkpoint_->point.index);
  const Term term = std::max(wal_->hard_state().term, wal_->last_term());
  const Index next = checkpoint_->point.index + 1;
  new_cluster_.Begin(*std::move(checkpoint_), term,
                     steps_.Then([this, next] { Copy(next); }));
}

// --- What comes of it ---

void Recover::Copy(Index next) {
  if (next > wal_->last_index()) return Finish();
  wal_->Read(next, kCopyBytes,
             [this](absl::StatusOr<std::vector<Entry>> entries) {
               if (!entries.ok()) return steps_.End(entries.status());
               const Index after = entries->back().header.index + 1;
               new_cluster_.Append(*std::move(entries),
                                   steps_.Then([this, after] { Copy(after); }));
             });
}

void Recover::Finish() {
  absl::StatusOr<Configuration> configuration =
      DecodeConfiguration(configuration_.view());
  if (!configuration.ok()) {
    return steps_.End(absl::DataLossError(configuration.status().message()));
  }
  result_.from.next_offset = new_cluster_.last().next_offset;
  result_.cluster = new_cluster_.cluster();
  new_cluster_.Finish(result_.from, configuration->feature_level,
                      result_.old.cluster_name,
                      steps_.Then([this] { steps_.End(result_); }));
}

}  // namespace holdfast
