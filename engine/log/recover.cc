#include "engine/log/recover.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/batch.h"
#include "engine/base/configuration.h"
#include "engine/log/log_state.h"

namespace holdfast {
namespace {

// About how much of the log is in memory at once.
constexpr size_t kCopyBytes = 4 << 20;
constexpr size_t kStandInsMax = 10'000;

absl::Status DoesNotFit(const EntryHeader& header) {
  return absl::DataLossError(absl::StrCat(
      "entry ", header.index.value(), " doesn't continue what is before it"));
}

absl::Status CheckContinue(LogPoint point, const std::vector<Entry>& entries) {
  for (const Entry& entry : entries) {
    if (!Continues(point, entry.header)) return DoesNotFit(entry.header);
    point = PointAfter(entry.header);
  }
  return absl::OkStatus();
}

}  // namespace

Recover::Recover(Loop* loop, Disk* old_disk, Disk* new_disk,
                 NewClusterOptions options, std::vector<RecoverCopy> copies)
    : old_(loop, old_disk, options.wal),
      copies_(loop, options.wal, &old_, std::move(copies)),
      new_cluster_(loop, new_disk, std::move(options)),
      steps_(loop) {}

void Recover::Run(ResultFn<Result> done) {
  steps_.Begin(std::move(done));
  new_cluster_.Prepare(steps_.Then([this] {
    old_.Open(steps_.Then(
        [this] { copies_.Open(steps_.Then([this] { Begin(); })); }));
  }));
}

void Recover::Begin() {
  const Wal& wal = *old_.wal();
  Checkpoint checkpoint = old_.TakeCheckpoint().value_or(BehindTheFirst());
  configuration_ = checkpoint.configuration;
  copied_ = checkpoint.point;
  result_.old = old_.identity();
  result_.reached = wal.reached();
  result_.from.origin = Recovered::Origin::kServer;
  result_.from.cluster = old_.cluster();
  result_.from.last_index = std::max(wal.last_index(), Index(1));
  result_.from.last_term = wal.last_term();
  result_.from.commit = std::max(wal.commit_hint(), checkpoint.point.index);
  const Term term = std::max(wal.hard_state().term, wal.last_term());
  const Index next = checkpoint.point.index + 1;
  new_cluster_.Begin(std::move(checkpoint), term,
                     steps_.Then([this, next] { Copy(next); }));
}

Checkpoint Recover::BehindTheFirst() const {
  Checkpoint checkpoint;
  checkpoint.point = LogPoint{.index = Index(1),
                              .term = Term(1),
                              .next_offset = Offset(),
                              .log_time = WallTime(),
                              .chain = old_.cluster().value()};
  checkpoint.configuration_index = checkpoint.point.index;
  checkpoint.configuration =
      new_cluster_.EncodedConfiguration(kFeatureLevelMin);
  checkpoint.state = Sessions().Encode();
  return checkpoint;
}

// --- What comes of it ---

void Recover::Copy(Index next) {
  if (next > old_.wal()->last_index()) return Finish();
  old_.wal()->Read(next, kCopyBytes,
                   [this, next](absl::StatusOr<std::vector<Entry>> entries) {
                     OnRead(next, std::move(entries));
                   });
}

void Recover::OnRead(Index next, absl::StatusOr<std::vector<Entry>> entries) {
  if (entries.ok()) return Append(*std::move(entries));
  const auto lost = LostRecordsOf(entries.status());
  if (!lost.has_value()) return Fail(entries.status().message());
  copies_.Read(next, lost->last_index, copied_,
               [this, next, lost](absl::StatusOr<std::vector<Entry>> found) {
                 OnFound(next, *lost, *std::move(found));
               });
}

void Recover::OnFound(Index next, LostRecords lost, std::vector<Entry> found) {
  lost.first = new_cluster_.last().next_offset;
  if (!found.empty()) {
    const EntryHeader& h = found.front().header;
    if (h.index == next) return Append(std::move(found));
    lost.end = h.base_offset;
    lost.last_index = h.index - 1;
  }
  // Or there are more stand-ins for the same.
  if (result_.lost.empty() ||
      result_.lost.back().last_index != lost.last_index) {
    result_.lost.push_back(lost);
  }
  sessions_.emplace();
  copied_.reset();
  absl::StatusOr<std::vector<Entry>> entries = StandIns(lost);
  if (!entries.ok()) return Fail(entries.status().message());
  const Index after = entries->back().header.index + 1;
  new_cluster_.Append(*std::move(entries),
                      steps_.Then([this, after] { Copy(after); }));
}

void Recover::Append(std::vector<Entry> entries) {
  for (const Entry& entry : entries) {
    if (entry.header.kind != EntryKind::kConfiguration) continue;
    // Not a slice: it would keep all that was read with it.
    configuration_ = Buffer::Copy(entry.payload.view());
  }
  // Behind what is lost nothing vouches for the first one.
  absl::Status fits;
  if (copied_.has_value()) fits = CheckContinue(*copied_, entries);
  copied_ = PointAfter(entries.back().header);
  if (fits.ok() && sessions_.has_value()) fits = Reseal(&entries);
  if (!fits.ok()) return Fail(fits.message());
  new_cluster_.Append(std::move(entries),
                      steps_.Then([this] { Copy(copied_->index + 1); }));
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
      return DoesNotFit(h);
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

void Recover::Fail(absl::string_view why) {
  steps_.End(absl::DataLossError(why));
}

void Recover::Finish() {
  absl::StatusOr<Configuration> configuration =
      DecodeConfiguration(configuration_.view());
  if (!configuration.ok()) return Fail(configuration.status().message());
  result_.copies = copies_.uses();
  result_.from.next_offset = new_cluster_.last().next_offset;
  result_.cluster = new_cluster_.cluster();
  new_cluster_.Finish(result_.from, configuration->feature_level,
                      result_.old.cluster_name,
                      steps_.Then([this] { steps_.End(result_); }));
}

}  // namespace holdfast
