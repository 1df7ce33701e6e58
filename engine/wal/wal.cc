#include "engine/wal/wal.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"
#include "engine/wal/recovery.h"

namespace holdfast {
namespace {

// The last segments, whose pages are left to the kernel: the one that is being
// written, and the one before it.
constexpr size_t kCachedSegments = 2;

// Behind what a segment has room for: its last marks, of a few hundred terms.
constexpr uint64_t kMarksBytes = 4 * kBlockBytes;

// Mostly the next segment is there, or soon: marks at each roll would cost a
// sync for nothing.
constexpr Duration kMarkWhileWaiting = 1s;

}  // namespace

Wal::Wal(Loop* loop, Disk* disk, Incarnation owner, WalOptions options,
         Events events)
    : loop_(loop),
      disk_(disk),
      owner_(owner),
      options_(options),
      events_(std::move(events)),
      hard_state_file_(disk, owner) {
  CHECK_LE(options_.segment_bytes, uint64_t{1} << 31);
}

Wal::~Wal() = default;

void Wal::Recover(const LogPoint& base, const WalResume& resume,
                  WalRecovery::Mode mode, ReplayFn replay, DoneFn done) {
  read_only_ = mode != WalRecovery::Mode::kRepair;
  in_part_ = mode == WalRecovery::Mode::kInPart;
  base_ = base;
  MendFn mend;
  if (mend_) {
    mend = [this](const LogHole& hole, Term term, ResultFn<Mended> mended) {
      mend_(hole, term, std::move(mended));
    };
  }
  recovery_ = std::make_unique<WalRecovery>(
      disk_, owner_, base, resume, &hard_state_file_, mode, std::move(replay),
      std::move(mend),
      [this,
       done = std::move(done)](absl::StatusOr<RecoveredWal> found) mutable {
        if (!found.ok()) return done(found.status());
        segments_ = std::move(found->segments);
        hard_state_ = found->hard_state;
        last_ = found->last;
        durable_last_ = last_.index;
        commit_ = found->commit;
        reached_ = found->reached;
        next_id_ = found->next_id;
        replaced_ = std::move(found->replaced);
        stats_ = found->stats;
        NoteSealed();
        // Not here, inside a callback of the recovery's.
        loop_->Post(scope_.Wrap([this] { recovery_ = nullptr; }));
        if (!read_only_) AllocateAhead();
        done(absl::OkStatus());
      });
  recovery_->set_promised(promised_);
  recovery_->Run();
}

absl::Span<const Entry> Wal::FoundWhileMending() const {
  if (recovery_ == nullptr) return {};
  return recovery_->mended();
}

void Wal::ReadWhileMending(const LogHole& hole, bool has_last, size_t max_bytes,
                           ResultFn<WholeEntries> done) {
  // Not here, inside the caller's call.
  loop_->Post(scope_.Wrap(
      [this, hole, has_last, max_bytes, done = std::move(done)]() mutable {
        if (recovery_ == nullptr) {
          return done(absl::OutOfRangeError("the log isn't being opened"));
        }
        // It may take several files, and who asked asks again in the meantime.
        if (std::exchange(helping_, true)) {
          return done(absl::UnavailableError("another server is helped"));
        }
        recovery_->ReadHole(
            hole, has_last, max_bytes,
            scope_.Wrap([this, done = std::move(done)](
                            absl::StatusOr<WholeEntries> whole) mutable {
              helping_ = false;
              done(std::move(whole));
            }));
      }));
}

Index Wal::first_index() const {
  return segments_.empty() ? last_.index + 1 : segments_.front().first();
}

// --- Writing ---

void Wal::Write(WalWrite write, Index commit) {
  CHECK(!read_only_);
  if (failed_) return;
  commit_ = std::max(commit_, commit);
  if (write.hard_state.has_value()) {
    Item& item = queue_.emplace_back();
    item.kind = Item::Kind::kHardState;
    item.hard_state = *write.hard_state;
  }
  if (write.cut_to.has_value()) {
    CHECK(!write.entries.empty());
    Item& item = queue_.emplace_back();
    item.kind = Item::Kind::kCut;
    item.cut_to = *write.cut_to;
    ++cuts_;
    ++cuts_queued_;
    readable_to_ = std::min(readable_to_, item.cut_to.index);
  }
  for (Entry& entry : write.entries) {
    Item& item = queue_.emplace_back();
    item.kind = Item::Kind::kEntry;
    item.entry = std::move(entry);
    bytes_queued_ += item.entry.payload.size();
  }
  Item& item = queue_.emplace_back();
  item.kind = Item::Kind::kSequence;
  item.sequence = write.sequence;
  Pump();
}

void Wal::Pump() {
  if (busy_ || failed_) return;
  MendNext();
  if (busy_) return;
  if (std::exchange(refresh_hard_state_, false)) {
    return WriteHardState(hard_state_);
  }
  if (queue_.empty()) return ArmMark(options_.mark_delay);
  switch (queue_.front().kind) {
    case Item::Kind::kHardState: {
      const HardState state = queue_.front().hard_state;
      queue_.pop_front();
      return WriteHardState(state);
    }
    case Item::Kind::kCut:
      // The entries come right behind it.
      if (MarksFirst(queue_[1].entry)) return;
      CutTo(queue_.front().cut_to);
      queue_.pop_front();
      return WriteGroup();
    case Item::Kind::kReset:
      return WriteReset();
    case Item::Kind::kEntry:
      return WriteGroup();
    case Item::Kind::kSequence: {
      // Nothing of it is left to be written; reported from the Loop, never
      // inside Write.
      uint64_t sequence = queue_.front().sequence;
      queue_.pop_front();
      busy_ = true;
      loop_->Post(scope_.Wrap([this, sequence] {
        if (failed_) return;
        busy_ = false;
        events_.on_persisted(sequence);
        Pump();
      }));
      return;
    }
  }
}

void Wal::WriteHardState(const HardState& state) {
  busy_ = true;
  hard_state_file_.Write(state, [this, state](absl::Status written) {
    if (failed_) return;
    if (!written.ok()) return Fail(std::move(written));
    hard_state_ = state;
    busy_ = false;
    Pump();
  });
}

bool Wal::MarksFirst(const Entry& next) {
  if (all_marked() ||
      SpareReady(kSegmentHeaderBytes + FrameBytes(EntryBytes(next)))) {
    return false;
  }
  // Not later with each write that comes to wait.
  if (!std::exchange(mark_waits_, true)) ArmMark(kMarkWhileWaiting);
  return true;
}

void Wal::WriteGroup() {
  const Entry& first = queue_.front().entry;
  uint64_t needed = FrameBytes(EntryBytes(first));
  if (!begin_segment_ && writer_.position() + needed > capacity_) {
    if (MarksFirst(first)) return;
    begin_segment_ = true;
  }
  DisarmMark();
  Buffers out;
  uint64_t at = writer_.position();
  if (begin_segment_) {
    if (!SpareReady(kSegmentHeaderBytes + needed)) return;
    BeginSegment(&out);
    at = 0;
  }
  uint64_t sequence = GatherFrames(&out);
  uint64_t end = writer_.position();
  busy_ = true;
  ++stats_.groups;
  File* file = segments_.back().file().get();
  file->Write(at, std::move(out), [](absl::Status) {
    // A failed write fails the Sync.
  });
  // In the scope, since a file may outlive this for a moment (see OnRead).
  file->Sync(scope_.Wrap([this, end, sequence](absl::Status synced) {
    OnGroupSynced(std::move(synced), end, sequence);
  }));
}

uint64_t Wal::GatherFrames(Buffers* out) {
  LogSegment& segment = segments_.back();
  uint64_t sequence = 0;
  uint64_t start = writer_.position();
  while (!queue_.empty()) {
    Item& item = queue_.front();
    if (item.kind == Item::Kind::kSequence) {
      sequence = item.sequence;
      queue_.pop_front();
      continue;
    }
    if (item.kind != Item::Kind::kEntry) break;
    uint64_t bytes = FrameBytes(EntryBytes(item.entry));
    uint64_t position = writer_.position();
    if (position + bytes > capacity_) break;
    if (position > start && position + bytes - start > options_.group_bytes_max)
      break;
    if (position - marked_at_ > options_.mark_every_bytes) {
      writer_.AppendMark(synced_to_, commit_, out);
      ++stats_.marks;
      marked_at_ = writer_.position();
      position = marked_at_;
      if (position + bytes > capacity_) {
        marked_at_ = start;  // it doesn't cover this group
        break;
      }
    }
    CHECK(Continues(last_, item.entry.header));
    segment.Note(item.entry.header, position, writer_.seed());
    writer_.AppendEntry(item.entry, synced_to_, commit_, out);
    last_ = PointAfter(item.entry.header);
    bytes_queued_ -= item.entry.payload.size();
    queue_.pop_front();
  }
  segment.set_end(writer_.position());
  return sequence;
}

void Wal::OnGroupSynced(absl::Status status, uint64_t synced_to,
                        uint64_t sequence) {
  if (failed_) return;
  if (!status.ok()) return Fail(std::move(status));
  synced_to_ = synced_to;
  beginning_ = false;
  durable_last_ = last_.index;
  busy_ = false;
  RemoveReplaced();
  DropSegments();
  if (sequence > 0) events_.on_persisted(sequence);
  Pump();
}

void Wal::CutTo(const LogPoint& point) {
  CHECK_LT(point.index, last_.index);
  ++stats_.suffixes_cut;
  if (--cuts_queued_ == 0) readable_to_ = kNoCut;
  while (!segments_.empty() && segments_.back().first() > point.index) {
    replaced_.push_back(SegmentName(segments_.back().id()));
    segments_.pop_back();
  }
  if (!segments_.empty()) segments_.back().CutTo(point.index);
  NoteSealed();
  last_ = point;
  durable_last_ = point.index;
  begin_segment_ = true;
  // It may have entries that are gone.
  partial_ = nullptr;
}

void Wal::RemoveReplaced() {
  // Their successor's header is durable: they hold nothing that counts.
  for (std::string& name : replaced_) Remove(std::move(name));
  replaced_.clear();
}

void Wal::Remove(std::string name) {
  to_remove_.push_back(std::move(name));
  if (!removing_) RemoveNext();
}

void Wal::RemoveNext() {
  removing_ = !to_remove_.empty();
  if (!removing_) return;
  const std::string name = std::move(to_remove_.front());
  to_remove_.pop_front();
  disk_->Remove(name, scope_.Wrap([this](absl::Status) {
    // If it stays, the next start removes it.
    RemoveNext();
  }));
}

// --- Checkpoints ---

void Wal::Reset(const LogPoint& base, DoneFn done) {
  CHECK_LT(Index(0), base.index);
  CHECK(!read_only_);
  if (failed_) return;
  Item& item = queue_.emplace_back();
  item.kind = Item::Kind::kReset;
  item.cut_to = base;
  item.done = std::move(done);
  Pump();
}

void Wal::WriteReset() {
  DisarmMark();
  begin_segment_ = true;
  if (!SpareReady(kSegmentHeaderBytes + 2 * kBlockBytes)) return;
  Item item = std::move(queue_.front());
  queue_.pop_front();
  ++stats_.resets;
  ++cuts_;
  for (const LogSegment& s : segments_)
    replaced_.push_back(SegmentName(s.id()));
  segments_.clear();
  NoteSealed();
  last_ = item.cut_to;
  base_ = last_;
  durable_last_ = last_.index;
  commit_ = std::max(commit_, last_.index);
  // An empty segment that counts without an entry: two syncs, since only a mark
  // that says that the header was synced tells it from a roll that was torn.
  Buffers out;
  BeginSegment(&out);
  busy_ = true;
  File* file = segments_.back().file().get();
  file->Write(0, std::move(out), [](absl::Status) {
    // A failed write fails the Sync.
  });
  file->Sync(scope_.Wrap(
      [this, done = std::move(item.done)](absl::Status synced) mutable {
        if (failed_) return;
        if (!synced.ok()) return Fail(std::move(synced));
        OnResetHeaderSynced(std::move(done));
      }));
}

void Wal::OnResetHeaderSynced(DoneFn done) {
  Buffers marks;
  uint64_t at = writer_.position();
  writer_.AppendRestingMarks(at, commit_, &marks);
  marked_at_ = writer_.position();
  segments_.back().set_end(marked_at_);
  File* file = segments_.back().file().get();
  file->Write(at, std::move(marks), [](absl::Status) {});
  file->Sync(scope_.Wrap([this, end = marked_at_,
                          done = std::move(done)](absl::Status synced) mutable {
    if (!failed_ && synced.ok()) done(absl::OkStatus());
    OnGroupSynced(std::move(synced), end, 0);
  }));
}

void Wal::DropTo(const LogPoint& base) {
  if (base.index > base_.index) base_ = base;
  DropSegments();
}

void Wal::DropSegments() {
  // Not while the last segment's beginning isn't durable: if it is a cut, what
  // it is to replace could come back with a gap before it.
  if (beginning_) return;
  while (segments_.size() > 1 && segments_.front().last() <= base_.index) {
    ++stats_.segments_dropped;
    sealed_bytes_ -= segments_.front().end();
    Remove(SegmentName(segments_.front().id()));
    segments_.erase(segments_.begin());
  }
}

Index Wal::DroppableTo(Index up_to) const {
  Index last;
  for (size_t i = 0; i + 1 < segments_.size(); ++i) {
    if (segments_[i].last() > up_to) break;
    last = segments_[i].last();
  }
  return last;
}

std::vector<SegmentStart> Wal::SegmentStarts() const {
  std::vector<SegmentStart> starts;
  for (const LogSegment& s : segments_) starts.push_back({s.id(), s.first()});
  return starts;
}

Index Wal::SealedTo() const {
  const size_t n = segments_.size();
  return n < 2 ? Index() : segments_[n - 2].last();
}

Index Wal::FirstOfLastSegments(size_t n) const {
  if (n == 0 || segments_.empty()) return last_.index + 1;
  return segments_[segments_.size() - std::min(n, segments_.size())].first();
}

Offset Wal::OffsetToKeep(std::optional<uint64_t> bytes_max,
                         std::optional<WallTime> before) const {
  uint64_t bytes = this->bytes();
  Offset keep;
  for (size_t i = 0; i + 1 < segments_.size(); ++i) {
    const LogSegment& next = segments_[i + 1];
    const bool too_much = bytes_max.has_value() && bytes > *bytes_max;
    const bool too_old = before.has_value() && next.begun() < *before;
    if ((!too_much && !too_old) || next.last() < next.first()) break;
    bytes -= segments_[i].end();
    keep = next.first_offset();
  }
  return keep;
}

// --- Segments ---

bool Wal::SpareReady(uint64_t bytes) {
  if (spare_ != nullptr && spare_bytes_ >= bytes) return true;
  if (allocating_ || no_room_) {
    ++stats_.spare_waits;
    return false;
  }
  if (spare_ != nullptr) {
    // Too small for this entry. Ids rise in the order in which segments are
    // begun, so it can't be kept for later.
    Remove(SegmentName(spare_id_));
    spare_ = nullptr;
  }
  if (bytes > options_.segment_bytes) ++stats_.oversize_segments;
  const uint64_t usual =
      short_of_space_
          ? std::min(options_.segment_bytes, options_.small_segment_bytes)
          : options_.segment_bytes;
  AllocateSpare(std::max(bytes, usual));
  return false;
}

void Wal::AllocateSpare(uint64_t bytes) {
  allocating_ = true;
  spare_id_ = next_id_++;
  spare_bytes_ = bytes;
  disk_->Allocate(
      SegmentName(spare_id_), bytes + kMarksBytes,
      scope_.Wrap([this](absl::StatusOr<std::unique_ptr<File>> file) {
        OnSpare(std::move(file));
      }));
}

void Wal::OnSpare(absl::StatusOr<std::unique_ptr<File>> file) {
  if (!file.ok()) {
    allocating_ = false;
    const bool needed = WaitsForSegment();
    if (absl::IsResourceExhausted(file.status()) && events_.on_no_space) {
      short_of_space_ = true;
      no_room_ = needed;
      return events_.on_no_space(needed);
    }
    // Fatal only when an entry waits for it; the next one that does tries
    // again.
    if (needed) Fail(file.status());
    return;
  }
  std::shared_ptr<File> spare = *std::move(file);
  disk_->SyncDir(scope_.Wrap([this, spare](absl::Status synced) {
    allocating_ = false;
    if (!synced.ok()) return Fail(std::move(synced));
    spare_ = spare;
    if (spare_bytes_ >= options_.segment_bytes) short_of_space_ = false;
    Pump();
  }));
}

void Wal::TryAgain() {
  if (failed_) return;
  if (mend_waits_) WriteMended();
  if (allocating_) return;
  no_room_ = false;
  if (!short_of_space_) return;
  if (WaitsForSegment()) return Pump();
  if (spare_ != nullptr) {
    // A small one, which nothing needed in the end.
    Remove(SegmentName(spare_id_));
    spare_ = nullptr;
  }
  AllocateAhead();
}

void Wal::AllocateAhead() {
  if (events_.may_make_segments == nullptr || events_.may_make_segments()) {
    return AllocateSpare(options_.segment_bytes);
  }
  short_of_space_ = true;
  events_.on_no_space(false);
}

uint64_t Wal::room() const {
  const uint64_t used = begin_segment_ ? capacity_ : writer_.position();
  return capacity_ - std::min(used, capacity_) +
         (spare_ == nullptr ? 0 : spare_bytes_);
}

uint64_t Wal::bytes() const {
  return sealed_bytes_ + (segments_.empty() ? 0 : segments_.back().end());
}

void Wal::NoteSealed() {
  sealed_bytes_ = 0;
  for (size_t i = 0; i + 1 < segments_.size(); ++i) {
    sealed_bytes_ += segments_[i].end();
  }
}

void Wal::BeginSegment(Buffers* out) {
  SegmentHeader header;
  header.owner = owner_;
  header.id = spare_id_;
  header.previous = last_;
  out->push_back(EncodeSegmentHeader(header));
  writer_ = FrameWriter(header);
  capacity_ = spare_bytes_;
  synced_to_ = 0;
  marked_at_ = kSegmentHeaderBytes;
  begin_segment_ = false;
  beginning_ = true;
  ++stats_.segments_begun;
  if (!segments_.empty() &&
      segments_.back().last() < segments_.back().first()) {
    // Of a reset, without room for the first entry.
    replaced_.push_back(SegmentName(segments_.back().id()));
    segments_.pop_back();
  }
  segments_.emplace_back(header, std::move(spare_));
  spare_ = nullptr;
  NoteSealed();
  // Who reads what was just written finds it in memory; but a log that only
  // grows would fill the page cache with what nobody reads, and writing to
  // pages that the kernel has yet to find costs more than all the rest.
  if (segments_.size() > kCachedSegments) {
    segments_[segments_.size() - 1 - kCachedSegments].file()->DropCache();
  }
  // Whoever was told that there is no room says when to look again.
  if (!short_of_space_) AllocateAhead();
}

// --- Marks ---

void Wal::ArmMark(Duration delay) {
  if (all_marked()) return;
  mark_timer_ = loop_->After(delay, [this] { WriteMark(); });
}

void Wal::DisarmMark() {
  mark_timer_.Cancel();
  mark_waits_ = false;
}

void Wal::WriteMark() {
  DisarmMark();
  if (busy_ || failed_ || begin_segment_) return;
  Buffers out;
  uint64_t at = writer_.position();
  writer_.AppendRestingMarks(synced_to_, commit_, &out);
  marked_at_ = writer_.position();
  segments_.back().set_end(marked_at_);
  ++stats_.marks;
  busy_ = true;
  File* file = segments_.back().file().get();
  file->Write(at, std::move(out), [](absl::Status) {});
  file->Sync(scope_.Wrap([this, end = marked_at_](absl::Status synced) {
    OnGroupSynced(std::move(synced), end, 0);
    if (rest_done_ && !failed_) {
      DoneFn done = std::move(rest_done_);
      done(absl::OkStatus());
    }
  }));
}

void Wal::Rest(DoneFn done) {
  CHECK(idle() && !rest_done_);
  DisarmMark();
  if (failed_) return;
  if (all_marked()) {
    return loop_->Post(scope_.Wrap(
        [done = std::move(done)]() mutable { done(absl::OkStatus()); }));
  }
  rest_done_ = std::move(done);
  WriteMark();
}

void Wal::Fail(absl::Status status) {
  if (failed_) return;
  failed_ = true;
  DisarmMark();
  queue_.clear();
  bytes_queued_ = 0;
  if (events_.on_failed) events_.on_failed(std::move(status));
}

}  // namespace holdfast
