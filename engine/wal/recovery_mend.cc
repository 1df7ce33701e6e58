// How a recovery mends what is damaged, with the help of whom it may ask.

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"
#include "engine/wal/recovery.h"

namespace holdfast {
namespace {

// By then each of the others has been asked, and what isn't committed anywhere
// has gone.
constexpr int kFillsInVainMax = 100;

}  // namespace

absl::Status WalRot(uint64_t segment, uint64_t position,
                    absl::string_view what) {
  return absl::DataLossError(absl::StrCat(
      "file ", SegmentName(segment), ", position ", position, ": ", what,
      ". These bytes were synced, so this is damage of the disk, not a crash; "
      "nothing was changed. Restore the directory from its disk's mirror, or "
      "clear it and let the server join anew"));
}

std::optional<SegmentEnd> WalRecovery::Damaged(size_t i,
                                               const SegmentScan& scan,
                                               absl::string_view bytes) const {
  const Candidate& c = candidates_[i];
  // What isn't the checkpoint's goes as a whole.
  if (conflict_) return std::nullopt;
  if (c.newest) {
    if (scan.end >= c.marked_to || Covered(scan.seen)) return std::nullopt;
    return EndOf(i, bytes, c.marked_to);
  }
  Index last = c.header->previous.index;
  for (const FoundFrame& frame : scan.frames) last = frame.header.index;
  if (last >= c.live_last) return std::nullopt;
  return EndOf(i, bytes, c.marked_to);
}

std::optional<SegmentEnd> WalRecovery::EndOf(size_t i, absl::string_view bytes,
                                             uint64_t marked_to) const {
  const Candidate& c = candidates_[i];
  if (c.newest) return FindMarkedEnd(bytes, c.id, marked_to);
  const Candidate* later = FindBehind(i, c.live_last);
  if (later == nullptr) return std::nullopt;
  return SegmentEnd{c.live_last, later->header->previous.term};
}

const WalRecovery::Candidate* WalRecovery::FindBehind(size_t i,
                                                      Index last) const {
  for (size_t next = i + 1; next < candidates_.size(); ++next) {
    const Candidate& later = candidates_[next];
    // Not one that was replaced itself.
    if (!later.is_void && later.header->previous.index == last &&
        later.header->first_index() <= later.live_last) {
      return &later;
    }
  }
  return nullptr;
}

void WalRecovery::Guess(Candidate* c, Index before_first, Term before_term) {
  SegmentHeader header{.owner = owner_, .id = c->id};
  header.previous.index = before_first;
  header.previous.term = before_term;
  c->header = header;
  c->is_void = false;
  c->guessed = true;
}

void WalRecovery::GuessBehindPrevious(Candidate* c, size_t n) {
  while (n > 0 && candidates_[n - 1].is_void) --n;
  if (n == 0) {
    Guess(c, base_.index);
    return JudgeHeaderless();
  }
  auto on_read = [this, c, n](absl::StatusOr<PatchedBytes> file) {
    if (!file.ok()) return Finish(file.status());
    const Candidate& previous = candidates_[n - 1];
    const absl::string_view bytes = file->bytes.view();
    FoundHeaders found;
    FindMarkedTo(bytes, kSegmentHeaderBytes, previous.id, &found);
    Index last = found.seen;
    if (previous.header.ok()) {
      last = std::max(last, previous.header->previous.index);
    } else if (last == Index(0)) {
      return GuessBehindPrevious(c, n - 1);  // nothing is left of it
    }
    // All its frames stand behind where it begins. An entry of another term
    // there was replaced, too.
    const SegmentEnd first = c->before_first_frame.value_or(SegmentEnd());
    if (first.index > Index(0) && first.index <= last) {
      const bool there =
          FindTerm(bytes, previous.id, first.index) == first.term;
      last = there ? first.index : first.index - 1;
    }
    Guess(c, std::max(last, base_.index));
    JudgeHeaderless();
  };
  ReadFile(candidates_[n - 1], std::move(on_read));
}

bool WalRecovery::GuessBefore(size_t i) {
  // Only an entry that was read says behind what it begins.
  if (unread_to_ > Index(0) && point_.index <= unread_to_) return false;
  const Index before = std::max(point_.index, base_.index);
  if (candidates_[i].header->previous.index <= before) return false;
  for (size_t v = i; v > 0 && candidates_[v - 1].is_void; --v) {
    if (candidates_[v - 1].file == nullptr) continue;
    Guess(&candidates_[v - 1], before);
    NoteLive();
    // Those before it were taken.
    ScanNext(v - 1);
    return true;
  }
  // Files that were dropped, as a checkpoint stood for them, which is damaged
  // now.
  const uint64_t id = candidates_[i].id - 1;
  if (id == 0 || (i > 0 && candidates_[i - 1].id == id)) return false;
  auto missing = candidates_.emplace(
      candidates_.begin() + static_cast<ptrdiff_t>(i), Candidate{.id = id});
  Guess(&*missing, before);
  NoteLive();
  ScanNext(i);
  return true;
}

void WalRecovery::MendGuessed(size_t i, const Buffer& bytes) {
  const Candidate& c = candidates_[i];
  const Index before = c.header->previous.index;
  if (before > base_.index && before == point_.index &&
      c.header->previous.term > Term() &&
      c.header->previous.term != point_.term) {
    // Others' entries would never continue those.
    return Finish(WalRot(
        c.id, 0,
        absl::StrCat("the header is damaged, and entry ", before.value(),
                     " in the segments before it was replaced by one of term ",
                     c.header->previous.term.value(), ", which is gone")));
  }
  if (before <= base_.index || before == point_.index) {
    std::optional<SegmentEnd> end = EndOf(i, bytes.view(), c.marked_to);
    if (!end.has_value()) {
      return Finish(WalRot(c.id, 0, "nothing tells where the segment ends"));
    }
    return Mend(i, before <= base_.index ? base_ : point_, *end, bytes);
  }
  // What it begins behind wasn't read.
  const auto ends_there = [before](const Candidate& each) {
    return !each.is_void && each.live_last == before &&
           each.header->first_index() <= each.live_last;
  };
  size_t previous = i;
  while (previous > 0 && !ends_there(candidates_[--previous])) {
  }
  const Candidate& each = candidates_[previous];
  if (!ends_there(each)) {
    if (GuessBefore(i)) return;
    return Finish(
        WalRot(c.id, 0,
               absl::StrCat("the header is damaged, and no segment ends "
                            "at entry ",
                            before.value())));
  }
  ReadFile(each, [this, i, previous, bytes](absl::StatusOr<PatchedBytes> file) {
    if (!file.ok()) return Finish(file.status());
    OnPreviousRead(i, previous, bytes, file->bytes);
  });
}

void WalRecovery::OnPreviousRead(size_t i, size_t previous, const Buffer& bytes,
                                 const Buffer& previous_bytes) {
  const Index before = candidates_[i].header->previous.index;
  const SegmentHeader& header = *candidates_[previous].header;
  for (const FoundFrame& f :
       ScanSegment(previous_bytes.view(), header).frames) {
    if (f.header.kind != FrameKind::kEntry || f.header.index != before) {
      continue;
    }
    absl::StatusOr<Entry> entry = DecodeEntry(previous_bytes.Slice(
        f.position + kLogFrameHeaderBytes, f.header.body_size));
    if (!entry.ok()) break;
    point_ = PointAfter(entry->header);
    return MendGuessed(i, bytes);
  }
  if (mode_ == Mode::kInPart) {
    return Finish(WalRot(candidates_[i].id, 0,
                         absl::StrCat("the header is damaged, and so is entry ",
                                      before.value(), " before it")));
  }
  // That one first, then.
  std::optional<SegmentEnd> end = EndOf(previous, previous_bytes.view(), 0);
  CHECK(end.has_value());
  CHECK(!result_.segments.empty() &&
        result_.segments.back().id() == candidates_[previous].id);
  result_.segments.pop_back();
  Mend(previous, BeginOf(header), *end, previous_bytes);
}

void WalRecovery::Mend(size_t i, const LogPoint& begin, const SegmentEnd& end,
                       const Buffer& bytes) {
  salvage_ = std::make_unique<SegmentSalvage>(*candidates_[i].header, begin,
                                              bytes, end);
  begins_by_guess_ = BeginsByGuess(candidates_[i]);
  ++result_.stats.segments_damaged;
  if (mode_ == Mode::kInPart) return TakeInPart(i, end, bytes);
  ReadTerm(i);
}

absl::Status WalRecovery::CheckPart(size_t i, const SegmentSalvage& salvage,
                                    const SegmentEnd& end,
                                    const Buffer& bytes) const {
  const Candidate& c = candidates_[i];
  const LogPoint& begin = salvage.begin();
  const auto refuse = [&c](absl::string_view what) {
    return WalRot(c.id, 0,
                  absl::StrCat("entries are missing, and ", what,
                               ": which of those before them are the log's "
                               "can't be told"));
  };
  if (salvage.contradicted()) {
    return refuse("what stands behind doesn't continue what stands before");
  }
  if (base_.index > Index(0) &&
      FindTerm(bytes.view(), c.id, base_.index).value_or(base_.term) !=
          base_.term) {
    return refuse("the checkpoint's last entry is another one");
  }
  // Entries that a lost segment replaced may stand before what is missing.
  if (c.guessed && BeginsInDoubt(c, salvage, end)) {
    return refuse("nothing tells where the segment begins");
  }
  LogPoint last = begin;
  for (const Entry& entry : salvage.entries()) {
    if (entry.header.index <= end.index) last = PointAfter(entry.header);
  }
  const Index commit =
      std::max(result_.commit, std::min(salvage.commit(), last.index));
  if (c.newest || last.index == end.index || last.index <= commit) {
    return absl::OkStatus();
  }
  // No other segment stood in between.
  const Candidate* next = FindBehind(i, end.index);
  if (next != nullptr && !next->guessed && next->id == c.id + 1) {
    return absl::OkStatus();
  }
  if (last.term > end.term ||
      (last.term < end.term &&
       !FindLastOfTerm(bytes.view(), c.id, end).has_value())) {
    return refuse("nothing tells whose they were");
  }
  return absl::OkStatus();
}

void WalRecovery::TakeInPart(size_t i, const SegmentEnd& end,
                             const Buffer& bytes) {
  Candidate& c = candidates_[i];
  if (c.file == nullptr) return Finish(WalRot(c.id, 0, "the file is gone"));
  salvage_->GiveUpAll(/*lost=*/true);
  const std::unique_ptr<SegmentSalvage> salvage = std::move(salvage_);
  absl::Status part = CheckPart(i, *salvage, end, bytes);
  if (!part.ok()) return Finish(std::move(part));
  if (c.guessed) c.header = salvage->header();
  c.guessed = false;
  if (absl::Status joined = Join(c); !joined.ok()) return Finish(joined);
  if (conflict_) {
    return Finish(WalRot(c.id, 0, "it isn't the checkpoint's log"));
  }
  for (const Entry& entry : salvage->entries()) {
    if (entry.header.index > c.live_last) break;
    point_ = PointAfter(entry.header);
    Replay(entry);
  }
  NoteCommit(salvage->commit());
  // Where the log goes on behind a hole, the next one's header says.
  if (!c.newest && point_.index < c.live_last) unread_to_ = c.live_last;
  if (c.newest) result_.reached = salvage->last().index;
  LogSegment segment(*c.header, c.file);
  segment.TakeUnread(c.newest ? point_.index : c.live_last, c.bytes);
  if (segment.last() >= segment.first()) {
    result_.segments.push_back(std::move(segment));
  }
  ScanNext(i + 1);
}

void WalRecovery::ReadTerm(size_t i) {
  if (term_ > Term()) return FillHole(i);
  term_file_ = std::make_unique<HardStateFile>(disk_, owner_);
  // Without it this server can't serve anyway.
  constexpr bool kExpected = true;
  term_file_->Read(kExpected,
                   [this, i](absl::StatusOr<HardStateFile::Found> found) {
                     OnTerm(i, std::move(found));
                   });
}

void WalRecovery::OnTerm(size_t i, absl::StatusOr<HardStateFile::Found> found) {
  if (!found.ok()) return Finish(found.status());
  term_ = found->state->term;
  FillHole(i);
}

void WalRecovery::FillHole(size_t i) {
  std::optional<LogHole> hole = salvage_->NextHole();
  if (!hole.has_value()) return ReplaceSegment(i);
  FindLater(i, &*hole);
  hole->at_end = candidates_[i].newest && salvage_->NothingWholeFrom(*hole);
  mend_(*hole, term_,
        scope_.Wrap([this, i, hole = *hole](absl::StatusOr<Mended> mended) {
          OnMended(i, hole, std::move(mended));
        }));
}

void WalRecovery::FindLater(size_t i, LogHole* hole) const {
  if (hole->last_term > Term()) return;
  const Candidate* c = FindBehind(i, hole->last);
  if (c == nullptr || !c->before_first_frame.has_value()) return;
  const SegmentEnd& later = *c->before_first_frame;
  if (later.index < hole->last || later.index > c->live_last) return;
  hole->later = later.index;
  hole->later_term = later.term;
}

void WalRecovery::OnMended(size_t i, const LogHole& hole,
                           absl::StatusOr<Mended> mended) {
  if (!mended.ok() && !absl::IsDataLoss(mended.status()) &&
      !absl::IsUnavailable(mended.status())) {
    return Finish(mended.status());
  }
  if (!mended.ok()) {
    return Finish(WalRot(
        candidates_[i].id, 0,
        absl::StrCat("entries ", hole.first.value(), " to ", hole.last.value(),
                     " are damaged, and ", mended.status().message())));
  }
  if (!mended->never_committed) {
    // If they don't fit, perhaps what stands before them isn't the log's.
    const size_t taken = salvage_->Fill(mended->entries);
    if (taken > 0 || mended->entries.empty()) {
      result_.stats.entries_mended += taken;
      fills_in_vain_ = 0;
    } else if (!salvage_->entries().empty()) {
      salvage_->Doubt();
    } else if (++fills_in_vain_ == kFillsInVainMax) {
      return Finish(
          WalRot(candidates_[i].id, 0,
                 absl::StrCat("entries ", hole.first.value(), " to ",
                              hole.last.value(),
                              " are damaged, and those of other servers don't "
                              "continue what stands before them here")));
    }
    return FillHole(i);
  }
  if (!salvage_->IsEnd(hole)) {
    salvage_->Distrust();
    return FillHole(i);
  }
  if (hole.first <=
      std::max({result_.commit, salvage_->commit(), went_to_.index})) {
    return Finish(WalRot(candidates_[i].id, 0,
                         absl::StrCat("entry ", hole.last.value(),
                                      ", which was committed, is damaged, and "
                                      "other servers have another one")));
  }
  const Candidate& c = candidates_[i];
  if (BeginsByGuess(c) &&
      BeginsInDoubt(c, *salvage_, {hole.last, hole.last_term})) {
    return AskForBegin(i, hole);
  }
  DropFrom(i, hole);
}

void WalRecovery::DropFrom(size_t i, const LogHole& hole) {
  result_.stats.entries_dropped += hole.last - hole.first + 1;
  salvage_->Drop();
  CutBehind(i);
}

void WalRecovery::AskForBegin(size_t i, const LogHole& hole) {
  const LogPoint begin = salvage_->begin();
  auto on_answer = [this, i, hole, begin](absl::StatusOr<Mended> mended) {
    const bool has = mended.ok() && !mended->entries.empty() &&
                     PointAfter(mended->entries[0].header) == begin;
    if (has) return DropFrom(i, hole);
    const bool lacks = mended.ok() && mended->never_committed;
    if (lacks && hole.last_term > Term()) {
      return AskForCommitted(i, hole, result_.commit + 1);
    }
    RefuseBegin(i, hole, begin.index, mended.status());
  };
  // A log that ends in a term has all that was committed in earlier ones (Raft,
  // section 5.4.3), and nothing was acknowledged here in that.
  mend_(LogHole{.first = begin.index,
                .last = begin.index,
                .last_term = begin.term,
                .one_term = true,
                .log_behind = hole.last_term},
        term_, scope_.Wrap(std::move(on_answer)));
}

void WalRecovery::AskForCommitted(size_t i, const LogHole& hole, Index index) {
  // All of them are what was committed; so whatever the segment had there
  // was replaced in its turn.
  if (index > salvage_->begin().index) return DropFrom(i, hole);
  auto on_answer = [this, i, hole, index](absl::StatusOr<Mended> mended) {
    const bool has = mended.ok() && !mended->entries.empty() &&
                     mended->entries[0].header.index == index;
    const bool later = has ? mended->entries[0].header.term > hole.last_term
                           : mended.ok() && mended->never_committed;
    // Terms never decrease along a log (Raft, section 5.3): none of those from
    // here on was ever in the segment.
    if (later) return DropFrom(i, hole);
    // None: what is here isn't the checkpoint's log.
    const LogSegment* passed = FindPassed(index);
    if (!has || passed == nullptr) {
      return RefuseBegin(i, hole, index, mended.status());
    }
    auto on_own = [this, i, hole, index,
                   committed = PointAfter(mended->entries[0].header)](
                      absl::StatusOr<WholeEntries> own) {
      const bool same = own.ok() && !own->entries.empty() &&
                        PointAfter(own->entries[0].header) == committed;
      if (!same) return RefuseBegin(i, hole, index, own.status());
      AskForCommitted(i, hole, index + 1);
    };
    ReadPassed(*passed, index, /*max_bytes=*/1, /*behind_gap=*/false,
               scope_.Wrap(std::move(on_own)));
  };
  mend_(LogHole{.first = index,
                .last = index,
                .behind_gap = true,
                .log_behind = hole.last_term},
        std::max(term_, hole.last_term), scope_.Wrap(std::move(on_answer)));
}

void WalRecovery::RefuseBegin(size_t i, const LogHole& hole, Index replaced,
                              const absl::Status& why) {
  const std::string more =
      why.ok() ? "" : absl::StrCat(" (", why.message(), ")");
  Finish(WalRot(candidates_[i].id, 0,
                absl::StrCat("the header is gone, entries ", hole.first.value(),
                             " to ", hole.last.value(),
                             " were never committed, and nothing tells whether "
                             "the segment replaced entry ",
                             replaced.value(), ", which stands before", more)));
}

bool WalRecovery::BeginsInDoubt(const Candidate& c,
                                const SegmentSalvage& salvage,
                                const SegmentEnd& end) const {
  // Nothing that was committed was ever replaced, nor anything by entries of
  // the same term (Raft, section 5.3).
  const LogPoint& begin = salvage.begin();
  const bool continues = !salvage.entries().empty() &&
                         salvage.entries()[0].header.index == begin.index + 1;
  if (continues || begin.index <= result_.commit) return false;
  const SegmentEnd first = c.before_first_frame.value_or(end);
  return first.index < begin.index || first.term != begin.term;
}

void WalRecovery::CutBehind(size_t i) {
  before_tail_ = salvage_->last();
  const uint64_t id = result_.next_id;
  BeginSegment(kSegmentHeaderBytes + 2 * kBlockBytes, [this, i, id] {
    Candidate& empty = candidates_.emplace_back();
    empty.id = id;
    empty.bytes = tail_file_->size();
    empty.file = tail_file_;
    empty.header = tail_header_;
    reached_ = SegmentEnd();
    NoteLive();
    if (!salvage_->entries().empty()) return FillHole(i);
    salvage_ = nullptr;
    ScanNext(i);
  });
}

void WalRecovery::ReplaceSegment(size_t i) {
  candidates_[i].header = salvage_->header();
  candidates_[i].guessed = false;
  const std::string name = SegmentName(candidates_[i].id);
  mended_file_ = std::make_unique<ReplacedFile>(disk_, name, 0);
  mended_file_->Write(
      salvage_->Encode(), scope_.Wrap([this, i, name](absl::Status written) {
        if (!written.ok()) return Finish(std::move(written));
        disk_->Open(
            name, OpenMode::kExisting,
            scope_.Wrap([this, i](absl::StatusOr<std::unique_ptr<File>> file) {
              OnReplaced(i, std::move(file));
            }));
      }));
}

void WalRecovery::OnReplaced(size_t i,
                             absl::StatusOr<std::unique_ptr<File>> file) {
  if (!file.ok()) return Finish(file.status());
  ++result_.stats.segments_mended;
  salvage_ = nullptr;
  candidates_[i].file = *std::move(file);
  candidates_[i].bytes = candidates_[i].file->size();
  ScanNext(i);
}

absl::Span<const Entry> WalRecovery::mended() const {
  if (salvage_ == nullptr) return {};
  return salvage_->entries();
}

Index WalRecovery::known_commit() const {
  if (salvage_ == nullptr) return result_.commit;
  // Its frames may speak of another entry than the one before it.
  if (begins_by_guess_ && salvage_->entries().empty()) return result_.commit;
  return std::max(result_.commit,
                  std::min(salvage_->commit(), salvage_->last().index));
}

const LogSegment* WalRecovery::FindPassed(Index index) const {
  for (const LogSegment& s : result_.segments) {
    if (s.first() <= index && index <= s.last()) return &s;
  }
  return nullptr;
}

void WalRecovery::ReadHole(const LogHole& hole, bool has_last, size_t max_bytes,
                           ResultFn<WholeEntries> done) {
  const absl::Span<const Entry> mended = this->mended();
  const auto find_mended = [mended](Index index) -> const Entry* {
    if (mended.empty() || index < mended.front().header.index) return nullptr;
    const uint64_t at = index - mended.front().header.index;
    return at < mended.size() ? &mended[at] : nullptr;
  };
  const bool by_term = hole.last_term > Term();
  if (const Entry* last = find_mended(hole.last); by_term && last != nullptr) {
    has_last = last->header.term == hole.last_term;
  }
  if (!by_term) has_last = hole.last <= known_commit();
  if (has_last && find_mended(hole.first) != nullptr) {
    WholeEntries whole;
    size_t bytes = 0;
    for (const Entry* entry = find_mended(hole.first);
         entry != nullptr && entry->header.index <= hole.last &&
         bytes < max_bytes;
         entry = find_mended(entry->header.index + 1)) {
      bytes += EntryBytes(*entry);
      whole.entries.push_back(*entry);
    }
    return done(std::move(whole));
  }
  const LogSegment* passed = FindPassed(hole.first);
  if (has_last && passed != nullptr) {
    return ReadPassed(*passed, hole.first, max_bytes, hole.behind_gap,
                      std::move(done));
  }
  if (by_term) {
    return ReadUpTo(hole.first, {hole.last, hole.last_term}, max_bytes,
                    hole.behind_gap, std::move(done));
  }
  done(absl::OutOfRangeError(absl::StrCat("entry ", hole.last.value(),
                                          " isn't known to be committed, "
                                          "or wasn't looked at yet")));
}

void WalRecovery::ReadPassed(const LogSegment& segment, Index first,
                             size_t max_bytes, bool behind_gap,
                             ResultFn<WholeEntries> done) {
  // Those before it may be damaged, which nobody looked at.
  auto on_read =
      [id = segment.id(), first, last = segment.last(), max_bytes, behind_gap,
       done = std::move(done)](absl::StatusOr<PatchedBytes> file) mutable {
        if (!file.ok()) return done(file.status());
        done(FindWhole(file->bytes, id, first, last, max_bytes, behind_gap));
      };
  ReadAround(segment.file(), segment.end(), std::move(on_read));
}

void WalRecovery::ReadUpTo(Index first, const SegmentEnd& last,
                           size_t max_bytes, bool behind_gap,
                           ResultFn<WholeEntries> done) {
  const auto c = std::find_if(
      candidates_.begin(), candidates_.end(), [&last](const Candidate& each) {
        return !each.is_void && each.file != nullptr && each.header.ok() &&
               each.header->first_index() <= last.index &&
               last.index <= each.live_last;
      });
  if (c == candidates_.end()) return done(WholeEntries());
  auto on_read = [this, id = c->id, header = *c->header, first, last, max_bytes,
                  behind_gap, done = std::move(done)](
                     absl::StatusOr<PatchedBytes> file) mutable {
    if (!file.ok()) return done(file.status());
    const std::optional<Index> same =
        FindLastOfTerm(file->bytes.view(), id, last);
    if (!same.has_value()) return done(WholeEntries());
    if (header.first_index() > first && header.previous.term > Term()) {
      return ReadUpTo(first, {header.previous.index, header.previous.term},
                      max_bytes, behind_gap, std::move(done));
    }
    WholeEntries whole;
    whole.entries =
        FindWhole(file->bytes, id, first, *same, max_bytes, behind_gap).entries;
    result_.stats.entries_given_ahead += whole.entries.size();
    done(std::move(whole));
  };
  ReadFile(*c, std::move(on_read));
}

void WalRecovery::MendEnd() {
  // What perhaps was never synced goes there, too.
  const bool behind = Covered(point_.index);
  const LogPoint begin =
      !tail_.empty() ? before_tail_ : (behind ? base_ : point_);
  Candidate& last = candidates_.emplace_back();
  last.id = result_.next_id++;
  Guess(&last, begin.index);
  NoteLive();
  const size_t i = candidates_.size() - 1;
  point_ = begin;
  salvage_ = std::make_unique<SegmentSalvage>(*last.header, begin, Buffer(),
                                              SegmentEnd{promised_, Term()});
  CHECK_EQ(salvage_->Fill(tail_), tail_.size());
  tail_.clear();
  ReadTerm(i);
}

}  // namespace holdfast
