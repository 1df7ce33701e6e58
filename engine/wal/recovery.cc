#include "engine/wal/recovery.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "engine/base/check.h"
#include "engine/base/crc32c.h"

namespace holdfast {

WalRecovery::WalRecovery(Disk* disk, Incarnation owner, const LogPoint& base,
                         const WalResume& resume,
                         HardStateFile* hard_state_file, Mode mode,
                         ReplayFn replay, MendFn mend,
                         ResultFn<RecoveredWal> done)
    : disk_(disk),
      owner_(owner),
      base_(base),
      hard_state_file_(hard_state_file),
      mode_(mode),
      replay_(std::move(replay)),
      mend_(std::move(mend)),
      done_(std::move(done)) {
  if (resume.point.index > base.index) went_to_ = resume.point;
  if (!resume.segments.empty() && went_to_.index > Index(0)) resume_ = resume;
  result_.last = base;
  result_.commit = std::max(base.index, resume_.point.index);
}

void WalRecovery::Run() {
  disk_->List(scope_.Wrap([this](absl::StatusOr<std::vector<FileInfo>> files) {
    OnListed(std::move(files));
  }));
}

void WalRecovery::OnListed(absl::StatusOr<std::vector<FileInfo>> files) {
  if (!files.ok()) return Finish(files.status());
  for (const FileInfo& info : *files) {
    absl::string_view name = info.name;
    if (absl::ConsumeSuffix(&name, ReplacedFile::kNewSuffix)) {
      if (ParseSegmentName(name).has_value()) half_mended_.push_back(info.name);
      continue;
    }
    std::optional<uint64_t> id = ParseSegmentName(info.name);
    if (!id.has_value()) continue;
    Candidate& candidate = candidates_.emplace_back();
    candidate.id = *id;
    candidate.bytes = info.size;
    result_.next_id = std::max(result_.next_id, *id + 1);
  }
  std::sort(candidates_.begin(), candidates_.end(),
            [](const Candidate& a, const Candidate& b) { return a.id < b.id; });
  ReadHeader(0);
}

void WalRecovery::NoteLive() {
  Index live_last(UINT64_MAX);
  bool newest = true;
  for (auto c = candidates_.rbegin(); c != candidates_.rend(); ++c) {
    if (c->is_void) continue;
    c->newest = std::exchange(newest, false);
    c->live_last = live_last;
    live_last = std::min(live_last, c->header->first_index() - 1);
  }
}

void WalRecovery::Arrange() {
  NoteLive();
  if (absl::Status there = CheckSealed(); !there.ok()) {
    return Finish(std::move(there));
  }
  ScanNext(SkipOlderLog());
}

size_t WalRecovery::SkipOlderLog() {
  for (size_t i = candidates_.size(); i > 0; --i) {
    Candidate& c = candidates_[i - 1];
    // A header alone at the checkpoint's end is what a reset began with.
    if (c.is_void && (!c.header.ok() || c.id != reached_by_ ||
                      c.header->previous.index <= base_.index)) {
      continue;
    }
    const LogPoint& previous = c.header->previous;
    if (c.guessed || previous.index <= base_.index ||
        previous.term >= base_.term) {
      return 0;
    }
    // Stays until all that it tells of is removed.
    c.is_void = false;
    reached_ = SegmentEnd();
    NoteLive();
    point_ = previous;
    joined_ = true;
    conflict_ = true;
    return i - 1;
  }
  return 0;
}

void WalRecovery::GuessKnown() {
  SegmentStart newest{.id = UINT64_MAX};
  for (size_t i = 0; i < resume_.segments.size(); ++i) {
    const SegmentStart& start = resume_.segments[i];
    // What begins behind the resume point may never have been durable.
    if (!Known(start.first)) break;
    newest = start;
    const bool last = i + 1 == resume_.segments.size();
    if (!last && Covered(resume_.segments[i + 1].first - 1)) continue;
    // Nothing replaces the file of a segment that ends before the resume point
    // but one of the same name.
    const bool sealed = !last && Known(resume_.segments[i + 1].first);
    auto it = FindCandidate(start.id);
    if (it == candidates_.end()) {
      if (!sealed) continue;
      it = candidates_.insert(
          std::find_if(candidates_.begin(), candidates_.end(),
                       [&](const Candidate& c) { return c.id > start.id; }),
          Candidate{.id = start.id, .is_void = true});
    }
    if (it->is_void ||
        (it->guessed && it->header->first_index() != start.first)) {
      Guess(&*it, start.first - 1);
    }
  }
  if (newest.id != UINT64_MAX) GuessHolder(newest);
  // None of those behind it replaced what stands before it.
  for (Candidate& c : candidates_) {
    if (c.id <= newest.id || !c.guessed ||
        c.header->first_index() >= newest.first) {
      continue;
    }
    Guess(&c, newest.first - 1);
  }
  NoteLive();
}

void WalRecovery::GuessHolder(const SegmentStart& holder) {
  if (FindCandidate(holder.id) != candidates_.end()) return;
  const auto next = std::find_if(
      candidates_.begin(), candidates_.end(),
      [&holder](const Candidate& c) { return c.id > holder.id && !c.is_void; });
  // If it was the newest one, nothing tells how far it went.
  if (next == candidates_.end() || next->header->first_index() <= holder.first)
    return;
  const bool there =
      next != candidates_.begin() && std::prev(next)->id > holder.id;
  const auto anew =
      there ? std::prev(next)
            : candidates_.emplace(next, Candidate{.id = next->id - 1});
  Guess(&*anew, holder.first - 1);
}

absl::Status WalRecovery::CheckSealed() {
  if (TakesDamage()) GuessKnown();
  // The last one before the resume point may have been cut, and written anew,
  // since.
  for (size_t i = 0; i + 1 < resume_.segments.size(); ++i) {
    const SegmentStart& start = resume_.segments[i];
    const SegmentStart& next = resume_.segments[i + 1];
    if (!Known(next.first)) break;
    const Index end = next.first - 1;
    if (Covered(end)) continue;
    const auto it = FindCandidate(start.id);
    if (it == candidates_.end() || it->is_void ||
        it->header->first_index() < start.first ||
        (it->header->first_index() > start.first &&
         it->header->previous.index > base_.index) ||
        it->live_last != end) {
      return WalRot(start.id, 0,
                    absl::StrCat("the segment with entries ",
                                 start.first.value(), " to ", end.value(),
                                 ", or the one behind it, is gone or damaged"));
    }
  }
  // The one with the resume point has its beginning still.
  const auto holder =
      std::find_if(resume_.segments.rbegin(), resume_.segments.rend(),
                   [this](const SegmentStart& s) { return Known(s.first); });
  if (holder == resume_.segments.rend()) return absl::OkStatus();
  // Or its entries were written anew, to a later one.
  const bool there = std::any_of(candidates_.begin(), candidates_.end(),
                                 [&](const Candidate& c) {
                                   return c.id >= holder->id && !c.is_void &&
                                          Known(c.header->first_index());
                                 });
  if (there) return absl::OkStatus();
  return WalRot(holder->id, 0,
                absl::StrCat("the segment with entry ",
                             resume_.point.index.value(), " is gone"));
}

std::vector<WalRecovery::Candidate>::iterator WalRecovery::FindCandidate(
    uint64_t id) {
  return std::find_if(candidates_.begin(), candidates_.end(),
                      [id](const Candidate& each) { return each.id == id; });
}

void WalRecovery::ScanNext(size_t i) {
  if (i == candidates_.size()) return CheckReached();
  Candidate& c = candidates_[i];
  if (c.is_void) return ScanNext(i + 1);
  if (IsReplaced(c)) {
    leftovers_.push_back(SegmentName(c.id));
    return ScanNext(i + 1);
  }
  if (IsKnown(c)) {
    absl::Status taken = TakeUnread(c);
    return taken.ok() ? ScanNext(i + 1) : Finish(std::move(taken));
  }
  if (c.file == nullptr) return OnScanned(i, PatchedBytes());
  ReadInTurn(i, [this, i](absl::StatusOr<PatchedBytes> file) {
    if (!file.ok()) return Finish(file.status());
    OnScanned(i, *file);
  });
}

void WalRecovery::ReadInTurn(size_t i, ResultFn<PatchedBytes> done) {
  const auto begin = [this](const Candidate& c) {
    auto reading = std::make_shared<Reading>(Reading{.file = c.file});
    ReadFile(c, [reading](absl::StatusOr<PatchedBytes> found) {
      if (reading->done) return reading->done(std::move(found));
      reading->found = std::move(found);
    });
    return reading;
  };
  const auto is_ahead = [this](const Candidate& c) {
    return ahead_ != nullptr && ahead_->file == c.file;
  };
  const std::shared_ptr<Reading> reading = is_ahead(candidates_[i])
                                               ? std::exchange(ahead_, nullptr)
                                               : begin(candidates_[i]);
  const auto next = std::find_if(
      candidates_.begin() + static_cast<ptrdiff_t>(i) + 1, candidates_.end(),
      [this](const Candidate& c) {
        return !c.is_void && c.file != nullptr && !IsReplaced(c) && !IsKnown(c);
      });
  if (next == candidates_.end()) {
    ahead_ = nullptr;
  } else if (!is_ahead(*next)) {
    ahead_ = begin(*next);
  }
  if (reading->found.has_value()) return done(*std::move(reading->found));
  reading->done = std::move(done);
}

void WalRecovery::OnScanned(size_t i, const PatchedBytes& file) {
  Candidate& c = candidates_[i];
  const Buffer& bytes = file.bytes;
  const SegmentScan scan = ScanSegment(bytes.view(), *c.header);
  if (absl::Status s = NoteMarked(&c, scan, file); !s.ok()) return Finish(s);
  if (c.guessed && !IsAllCovered(c, scan)) return MendGuessed(i, bytes);
  if (TakesDamage() && !Joins(c) && GuessBefore(i)) return;
  if (TakesDamage()) {
    std::optional<SegmentEnd> end = Damaged(i, scan, bytes.view());
    if (end.has_value()) return Mend(i, BeginOf(*c.header), *end, bytes);
  }
  absl::Status taken = TakeSegment(c, scan, bytes);
  if (!taken.ok()) return Finish(std::move(taken));
  ScanNext(i + 1);
}

absl::Status WalRecovery::NoteMarked(Candidate* c, const SegmentScan& scan,
                                     const PatchedBytes& file) const {
  c->marked_to = scan.marked_to;
  c->marks_end = scan.marks_end;
  const uint64_t to = file.unreadable_to;
  if (!c->newest || conflict_ || to <= std::max(scan.end, scan.marked_to)) {
    return absl::OkStatus();
  }
  // What no mark covers isn't a torn tail there. A frame behind it tells what
  // there was; else it may be more than anybody here knows of.
  if (!FindMarkedEnd(file.bytes.view(), c->id, to).has_value()) {
    return WalUnreadable(c->id, to);
  }
  c->marked_to = to;
  return absl::OkStatus();
}

absl::Status WalRecovery::TakeUnread(const Candidate& c) {
  if (absl::Status joined = Join(c); !joined.ok()) return joined;
  LogSegment segment(*c.header, c.file);
  segment.TakeUnread(c.live_last, c.bytes);
  result_.segments.push_back(std::move(segment));
  ++result_.stats.segments_unread;
  unread_to_ = c.live_last;
  return absl::OkStatus();
}

bool WalRecovery::Joins(const Candidate& c) const {
  const LogPoint& previous = c.header->previous;
  return (!joined_ && Covered(previous.index)) ||
         (unread_to_ > Index(0) && previous.index == unread_to_) ||
         previous == point_;
}

absl::Status WalRecovery::Join(const Candidate& c) {
  const LogPoint& previous = c.header->previous;
  if (!joined_ && Covered(previous.index)) {
    joined_ = true;
    point_ = previous;
    conflict_ = previous.index == base_.index && previous != base_;
    return absl::OkStatus();
  }
  // The chained hash at the resume point vouches for what isn't read; nothing
  // does for what is missing.
  if (unread_to_ > Index(0) && previous.index == unread_to_ &&
      previous.term >= point_.term &&
      previous.next_offset >= point_.next_offset &&
      previous.log_time >= point_.log_time) {
    point_ = previous;
  }
  // The first one, without a checkpoint's help, begins behind nothing.
  if (previous == point_) {
    joined_ = true;
    return absl::OkStatus();
  }
  if (!suspect_.ok()) return suspect_;
  return WalRot(
      c.id, 0,
      absl::StrCat("the segment begins behind entry ", previous.index.value(),
                   ", but the segments before it, or the checkpoint, end at "
                   "entry ",
                   std::max(point_.index, base_.index).value(),
                   ": a segment is missing or not this log's"));
}

absl::Status WalRecovery::TakeSegment(const Candidate& c,
                                      const SegmentScan& scan,
                                      const Buffer& bytes) {
  const LogPoint& previous = c.header->previous;
  if (c.newest && previous == base_) empty_id_ = c.id;  // if nothing follows
  // Damaged or not, nothing in it or before it matters.
  if (IsAllCovered(c, scan)) {
    return absl::OkStatus();
  }
  if (absl::Status joined = Join(c); !joined.ok()) return joined;
  if (absl::Status same = CheckResume(c); !same.ok()) return same;
  result_.stats.frames_behind_damage += scan.frames_behind_damage;
  if (absl::Status taken = TakeEntries(c, scan, bytes); !taken.ok()) {
    return taken;
  }
  return CheckEnd(c, scan, bytes.view());
}

absl::Status WalRecovery::CheckResume(const Candidate& c) const {
  if (point_.index != went_to_.index || point_.index == Index(0)) {
    return absl::OkStatus();
  }
  const bool same = resume_.segments.empty() ? point_.term == went_to_.term
                                             : point_ == went_to_;
  if (same) return absl::OkStatus();
  return WalRot(c.id, 0,
                absl::StrCat("entry ", point_.index.value(),
                             " isn't the one that was committed there"));
}

absl::Status WalRecovery::TakeEntries(const Candidate& c,
                                      const SegmentScan& scan,
                                      const Buffer& bytes) {
  LogSegment segment(*c.header, c.file);
  uint64_t end = kSegmentHeaderBytes;
  for (const FoundFrame& frame : scan.frames) {
    uint64_t after = frame.end();
    if (frame.header.kind == FrameKind::kMark) {
      NoteCommit(frame.header.commit);
      // Marks stay: they tell damage from a torn tail.
      if (tail_.empty()) end = after;
      continue;
    }
    if (frame.header.index > c.live_last) break;
    absl::StatusOr<Entry> entry = DecodeEntry(bytes.Slice(
        frame.position + kLogFrameHeaderBytes, frame.header.body_size));
    if (!entry.ok() || !Continues(point_, entry->header) ||
        Crc32c(entry->payload.view()) != entry->header.payload_crc) {
      return WalRot(c.id, frame.position,
                    absl::StrCat("entry ", frame.header.index.value(),
                                 " doesn't continue the log before it"));
    }
    LogPoint before = std::exchange(point_, PointAfter(entry->header));
    if (point_.index == base_.index && point_ != base_) conflict_ = true;
    if (absl::Status same = CheckResume(c); !same.ok()) return same;
    // Goes on, since a log that isn't whole doesn't prove that it is another
    // one, unless SkipOlderLog has seen that.
    if (conflict_) continue;
    // Not a slice: it would pin the whole segment's bytes.
    entry->payload = Buffer::Copy(entry->payload.view());
    // Of the newest segment, what stands behind the last sync is rewritten.
    if (c.newest && frame.position >= scan.marked_to &&
        mode_ == Mode::kRepair) {
      if (tail_.empty()) before_tail_ = before;
      tail_.push_back(*entry);
    } else {
      segment.Note(entry->header, frame.position, frame.seed);
      end = after;
    }
    NoteCommit(frame.header.commit);
    // Others may show that the tail isn't the log's.
    if (tail_.empty()) Replay(*entry);
  }
  segment.set_end(end);
  if (segment.last() >= segment.first()) {
    result_.segments.push_back(std::move(segment));
  } else if (!tail_.empty()) {
    // All of it gets rewritten.
    leftovers_.push_back(SegmentName(c.id));
  } else if (c.newest && c.id != empty_id_) {
    // It cuts what stands before it, as long as no newer one does.
    result_.replaced.push_back(SegmentName(c.id));
  }
  return absl::OkStatus();
}

absl::Status WalRecovery::CheckEnd(const Candidate& c, const SegmentScan& scan,
                                   absl::string_view bytes) {
  if (!c.newest) {
    // A later segment began only once all of this one was synced.
    if (point_.index == c.live_last) return absl::OkStatus();
    return WalRot(
        c.id, scan.end,
        absl::StrCat("expected entries up to ", c.live_last.value(),
                     ", found intact ones up to ", point_.index.value()));
  }
  // A log that isn't the checkpoint's goes, in whatever state its end is.
  if (scan.end < scan.marked_to && !conflict_) {
    return WalRot(
        c.id, scan.end,
        absl::StrCat("expected intact frames up to position ", scan.marked_to,
                     ", found them up to entry ", point_.index.value()));
  }
  absl::string_view rest = bytes.substr(std::min(scan.end, bytes.size()));
  if (!IsAllZero(rest)) ++result_.stats.torn_tails_cut;
  return absl::OkStatus();
}

void WalRecovery::Replay(const Entry& entry) {
  const Index index = entry.header.index;
  if (Covered(index) || Known(index) || index <= replayed_to_) return;
  replayed_to_ = index;
  replay_(entry, std::min(result_.commit, index));
}

void WalRecovery::NoteCommit(Index commit) {
  result_.commit = std::max(result_.commit, std::min(commit, point_.index));
}

void WalRecovery::CheckReached() {
  Index end = std::max(point_.index, base_.index);
  if (mend_ && !conflict_ && end < promised_) return MendEnd();
  for (const Entry& entry : tail_) Replay(entry);
  result_.reached = std::max(result_.reached, reached_.index);
  // In part, as long as nothing up to there can have been replaced.
  const bool kept = end <= result_.commit || point_.term == reached_.term;
  if (end < reached_.index && (mode_ != Mode::kInPart || !kept)) {
    return Finish(WalRot(
        reached_by_, 0,
        absl::StrCat(
            "the segment was begun behind entry ", reached_.index.value(),
            ", but the segments before it end at entry ", end.value())));
  }
  if (end < went_to_.index || (conflict_ && base_.index < went_to_.index)) {
    return Finish(
        WalRot(result_.next_id - 1, 0,
               absl::StrCat("the log ends at entry ", end.value(),
                            ", but entries up to ", went_to_.index.value(),
                            " were durable")));
  }
  if (conflict_ || Covered(point_.index)) {
    KeepNothing();
  } else {
    result_.last = point_;
  }
  RecoverHardState();
}

void WalRecovery::KeepNothing() {
  result_.commit = base_.index;
  result_.reached = Index();
  result_.segments.clear();
  tail_.clear();
  before_tail_ = base_;
  leftovers_.clear();
  for (const Candidate& c : candidates_) {
    if (c.is_void) continue;
    leftovers_.push_back(SegmentName(c.id));
    // One that is there already may be in the page cache only.
    if (c.id != empty_id_) write_empty_ = true;
  }
  if (!write_empty_) result_.replaced = std::move(leftovers_);
}

void WalRecovery::RecoverHardState() {
  auto done = [this](absl::StatusOr<HardStateFile::Found> found) {
    OnHardState(std::move(found));
  };
  // Who only reads will not vote.
  if (mode_ != Mode::kRepair) return hard_state_file_->Read(false, done);
  // The hard state is written before the first segment is allocated.
  hard_state_file_->Open(!candidates_.empty() || base_.index > Index(0), done);
}

void WalRecovery::OnHardState(absl::StatusOr<HardStateFile::Found> found) {
  if (!found.ok()) return Finish(found.status());
  if (found->repaired) ++result_.stats.hard_states_repaired;
  result_.hard_state = found->state.value_or(HardState{});
  if (mode_ != Mode::kRepair) return Finish(absl::OkStatus());
  if (result_.last.term > result_.hard_state.term) {
    return Finish(absl::DataLossError(absl::StrCat(
        "expected the hard state of term ", result_.last.term.value(),
        " or later, because the log has an entry of it, found term ",
        result_.hard_state.term.value(),
        " in hardstate-0 and hardstate-1: they are old copies, and this "
        "server can't know how it voted; clear its directory and let it "
        "join anew")));
  }
  RemoveVoid();
}

void WalRecovery::RemoveVoid() {
  auto it = std::find_if(
      candidates_.begin(), candidates_.end(),
      [](const Candidate& c) { return c.is_void && c.file != nullptr; });
  // Durable with the directory's sync for whichever segment is begun next:
  // below that one, a segment without an intact header is taken for damage.
  if (it == candidates_.end()) return RewriteTail();
  it->file = nullptr;
  ++result_.stats.leftovers_removed;
  disk_->Remove(SegmentName(it->id), scope_.Wrap([this](absl::Status removed) {
    if (!removed.ok()) return Finish(std::move(removed));
    RemoveVoid();
  }));
}

void WalRecovery::RewriteTail() {
  if (tail_.empty() && !write_empty_) return Tidy();
  if (!tail_.empty()) ++result_.stats.tails_rewritten;
  uint64_t bytes = kSegmentHeaderBytes + 2 * kBlockBytes;  // and the marks
  for (const Entry& e : tail_) bytes += FrameBytes(EntryBytes(e));
  BeginSegment(bytes, [this] { Tidy(); });
}

void WalRecovery::BeginSegment(uint64_t bytes, Task then) {
  sealed_ = std::move(then);
  disk_->Allocate(
      SegmentName(result_.next_id), bytes,
      scope_.Wrap([this](absl::StatusOr<std::unique_ptr<File>> file) {
        if (!file.ok()) return Finish(file.status());
        std::shared_ptr<File> shared = *std::move(file);
        disk_->SyncDir(scope_.Wrap([this, shared](absl::Status synced) {
          if (!synced.ok()) return Finish(std::move(synced));
          WriteTail(shared);
        }));
      }));
}

void WalRecovery::WriteTail(std::shared_ptr<File> file) {
  tail_file_ = std::move(file);
  tail_header_ = SegmentHeader{
      .owner = owner_, .id = result_.next_id++, .previous = before_tail_};
  FrameWriter writer(tail_header_);
  LogSegment segment(tail_header_, tail_file_);
  Buffers frames;
  for (const Entry& e : tail_) {
    segment.Note(e.header, writer.position(), writer.seed());
    writer.AppendEntry(e, 0, result_.commit, &frames);
  }
  // The header follows when they are durable: without it, the old tail still
  // stands. The mark comes last, since frames without a header must not say
  // that they were synced.
  uint64_t end = writer.position();
  Buffers marks;
  writer.AppendRestingMarks(end, result_.commit, &marks);
  segment.set_end(writer.position());
  Buffer block = EncodeSegmentHeader(tail_header_);
  if (tail_.empty()) {
    if (write_empty_) result_.replaced.push_back(SegmentName(tail_header_.id));
    return SealTail(end, std::move(block), std::move(marks));
  }
  result_.segments.push_back(std::move(segment));
  WriteAndSync(tail_file_.get(), kSegmentHeaderBytes, std::move(frames),
               [this, end, block = std::move(block),
                marks = std::move(marks)]() mutable {
                 SealTail(end, std::move(block), std::move(marks));
               });
}

void WalRecovery::SealTail(uint64_t end, Buffer header, Buffers marks) {
  WriteAndSync(tail_file_.get(), 0, {std::move(header)},
               [this, end, marks = std::move(marks)]() mutable {
                 WriteAndSync(tail_file_.get(), end, std::move(marks),
                              [this] { std::exchange(sealed_, nullptr)(); });
               });
}

void WalRecovery::WriteAndSync(File* file, uint64_t at, Buffers data,
                               Task then) {
  file->Write(at, std::move(data), [](absl::Status) {
    // A failed write fails the Sync.
  });
  file->Sync(
      scope_.Wrap([this, then = std::move(then)](absl::Status synced) mutable {
        if (!synced.ok()) return Finish(std::move(synced));
        then();
      }));
}

void WalRecovery::Tidy() {
  for (std::string& name : half_mended_) leftovers_.push_back(std::move(name));
  TrimSegments();
  RemoveLeftovers();
}

void WalRecovery::TrimSegments() {
  // A new segment is begun for what comes next: what was allocated behind the
  // last frames is given back. Not the marks behind one that is damaged:
  // without them nothing would tell the log's end from a torn one any more.
  for (const Candidate& c : candidates_) {
    for (const LogSegment& s : result_.segments) {
      const uint64_t end = std::max(s.end(), c.marks_end);
      if (s.id() != c.id || end >= c.bytes) continue;
      if (c.newest) s.file()->Truncate(end, [](absl::Status) {});
    }
  }
}

void WalRecovery::RemoveLeftovers() {
  if (leftovers_.empty()) return Finish(absl::OkStatus());
  std::string name = std::move(leftovers_.back());
  leftovers_.pop_back();
  ++result_.stats.leftovers_removed;
  disk_->Remove(name, scope_.Wrap([this](absl::Status removed) {
    if (!removed.ok() && !absl::IsNotFound(removed)) {
      return Finish(std::move(removed));
    }
    RemoveLeftovers();
  }));
}

void WalRecovery::Finish(absl::Status status) {
  ResultFn<RecoveredWal> done = std::move(done_);
  if (!status.ok()) return done(std::move(status));
  done(std::move(result_));
}

}  // namespace holdfast
