#include "engine/log/recover.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/batch.h"
#include "engine/base/check.h"
#include "engine/base/configuration.h"
#include "engine/log/log_state.h"

namespace holdfast {
namespace {

// About how much of the log is in memory at once.
constexpr size_t kCopyBytes = 4 << 20;
constexpr size_t kStandInsMax = 10'000;

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
  wal_->OpenInPart(
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

Checkpoint Recover::BehindTheFirst() const {
  Checkpoint checkpoint;
  checkpoint.point = LogPoint{.index = Index(1),
                              .term = Term(1),
                              .next_offset = Offset(),
                              .log_time = WallTime(),
                              .chain = result_.old.cluster_id.value()};
  checkpoint.configuration_index = checkpoint.point.index;
  checkpoint.configuration =
      new_cluster_.EncodedConfiguration(kFeatureLevelMin);
  checkpoint.state = Sessions().Encode();
  return checkpoint;
}

void Recover::OnOpen() {
  const bool begun = wal_->reached() > Index(0);
  if (!checkpoint_.has_value() && begun &&
      result_.old.cluster_id != ClusterId()) {
    checkpoint_ = BehindTheFirst();
    if (configuration_.empty()) configuration_ = checkpoint_->configuration;
    result_.from.cluster = result_.old.cluster_id;
  }
  if (!checkpoint_.has_value() && begun) {
    return steps_.End(absl::DataLossError(
        "the log's first entry is damaged, and the directory doesn't say "
        "which cluster it is of"));
  }
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
  result_.reached = wal_->reached();
  result_.from.last_index = std::max(wal_->last_index(), Index(1));
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
               OnRead(std::move(entries));
             });
}

void Recover::OnRead(absl::StatusOr<std::vector<Entry>> entries) {
  if (const auto lost = LostRecordsOf(entries.status()); lost.has_value()) {
    if (result_.lost.empty() || result_.lost.back() != *lost) {
      result_.lost.push_back(*lost);
    }
    sessions_.emplace();
    entries = StandIns(*lost);
  } else if (entries.ok() && sessions_.has_value()) {
    const absl::Status resealed = Reseal(&*entries);
    if (!resealed.ok()) entries = resealed;
  }
  if (!entries.ok()) {
    return steps_.End(absl::DataLossError(entries.status().message()));
  }
  const Index after = entries->back().header.index + 1;
  new_cluster_.Append(*std::move(entries),
                      steps_.Then([this, after] { Copy(after); }));
}

absl::StatusOr<std::vector<Entry>> Recover::StandIns(
    const LostRecords& lost) const {
  std::vector<Entry> entries;
  LogPoint point = new_cluster_.last();
  uint64_t records = lost.end - std::min(lost.end, point.next_offset);
  while (point.index < lost.last_index && entries.size() < kStandInsMax) {
    const uint64_t some = std::min<uint64_t>(records, UINT32_MAX);
    records -= some;
    entries.push_back(SealEntry(point, point.term, EntryKind::kLost,
                                static_cast<uint32_t>(some), point.log_time,
                                Buffer()));
    point = PointAfter(entries.back().header);
  }
  if (point.next_offset > lost.end ||
      (point.index == lost.last_index && records > 0)) {
    return absl::DataLossError(absl::StrCat(
        "entries up to ", lost.last_index.value(), " are damaged, and can't ",
        "have had the records from ", lost.first.value(), " to ",
        lost.end.value(), " (exclusive)"));
  }
  return entries;
}

absl::Status Recover::Reseal(std::vector<Entry>* entries) {
  LogPoint point = new_cluster_.last();
  for (Entry& entry : *entries) {
    const EntryHeader& h = entry.header;
    if (h.index != point.index + 1 || h.term < point.term ||
        h.base_offset != point.next_offset || h.log_time < point.log_time) {
      return absl::DataLossError(absl::StrCat(
          "entry ", h.index.value(), " doesn't continue what is before it"));
    }
    const absl::Status applied = sessions_->Apply(entry);
    if (absl::IsFailedPrecondition(applied)) {
      entry.payload = RestampBatch(entry.payload, SessionId(), Sequence());
    } else if (!applied.ok()) {
      return applied;
    }
    sessions_->Commit(h.index);
    entry = SealEntry(point, h.term, h.kind, h.count, h.log_time,
                      std::move(entry.payload));
    point = PointAfter(entry.header);
  }
  return absl::OkStatus();
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
