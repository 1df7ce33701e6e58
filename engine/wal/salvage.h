#ifndef HOLDFAST_ENGINE_WAL_SALVAGE_H_
#define HOLDFAST_ENGINE_WAL_SALVAGE_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/base/buffer.h"
#include "engine/base/inline_function.h"
#include "engine/base/types.h"
#include "engine/env/completion.h"
#include "engine/wal/entry.h"
#include "engine/wal/frame.h"
#include "engine/wal/segment.h"

namespace holdfast {

// Entries that were durable here and are damaged: other servers may have them.
// The term of the last one tells them from other entries of these indexes
// (Raft, section 5.3: the log matching property).
struct LogHole {
  Index first;
  Index last;
  // 0: not known; then only what is committed is the right one, or what stands
  // before `later` in another's log.
  Term last_term;
  // All of them are known to be of that term.
  bool one_term = false;
  // Nor is the entry before them known: nothing but its own frame speaks for
  // the first one.
  bool behind_gap = false;
  // If the last one's term isn't known: an entry of this log at or behind it,
  // with its term. Whoever has that one has these. Index 0: none is known.
  Index later;
  Term later_term;
  // Not 0: they aren't missing, but only a log counts that ends in a later term
  // than this, and in no earlier one than this server's.
  Term log_behind;
  // The log has nothing whole from the first one on: if it ends before them, no
  // copy of any entry goes.
  bool at_end = false;

  bool operator==(const LogHole&) const = default;
};

// What other servers know of a hole.
struct Mended {
  // From the hole's first one on, at least one; any number of them.
  std::vector<Entry> entries;
  // Instead: its last entry was committed in no term that this server has been
  // in, nor counts what it said of it: so it may be dropped, with all behind
  // it. Of one without a term: what is committed there is of a later term than
  // the server is in that asks.
  bool never_committed = false;
  // Instead: none of the other servers has those up to there. 0: not said.
  Index lost_to;
};
// Asks them, for as long as it takes; an error ends the recovery. `term`: this
// server's; it acknowledged nothing in a later one.
using MendFn =
    InlineFunction<void(const LogHole& hole, Term term, ResultFn<Mended> done)>;

// The last entry that a segment is known to have had.
struct SegmentEnd {
  Index index;
  Term term;
};
// What a segment's own frames say of it, of one without a successor: the last
// entry before the first intact frame that stands at `marked_to` or behind it.
// Nothing: there is none.
std::optional<SegmentEnd> FindMarkedEnd(absl::string_view bytes, uint64_t id,
                                        uint64_t marked_to);

// Where a segment begins, by its first frame, or by a mark, for one whose
// header is damaged: the entry before its first one, and, if that is known, its
// term.
std::optional<SegmentEnd> FindBeginning(absl::string_view bytes, uint64_t id);

// The entry's term, as a frame has it that is left. Nothing: none does.
std::optional<Term> FindTerm(absl::string_view bytes, uint64_t id, Index index);
// The greatest index up to `end` of which a frame that is left says that it is
// of end's term: that segment has, or had, the same entries up to there as any
// log with `end` in it (Raft, section 5.3). Nothing: none does.
std::optional<Index> FindLastOfTerm(absl::string_view bytes, uint64_t id,
                                    const SegmentEnd& end);

struct WholeEntries {
  std::vector<Entry> entries;
  // Without any: those from the first one up to there are damaged.
  Index damaged_to;
};
// Entries from `first` to `last`, about max_bytes, each continuing the one
// before, wherever they stand in a segment: for another server, which knows by
// the log's chained hash whether they are the right ones. Their frames are
// whole. Of one behind a frame whose header is lost, only the payload is known
// to be; but with `behind_gap` (LogHole) that isn't enough for the first one.
WholeEntries FindWhole(const Buffer& bytes, uint64_t id, Index first,
                       Index last, size_t max_bytes, bool behind_gap);

// Entries of a segment that are missing, and can't be had.
struct Gap {
  Index first;
  Index last;
  // Of the first one's first record, and behind the last one's last.
  Offset first_offset;
  Offset end_offset;
  // No other server has them, either. Else nobody knows.
  bool lost = false;
};

// What can be had of a damaged segment: the entries that are whole by their own
// checksums, wherever they stand in the file, in the log's order as its chained
// hash has it; and, one after the other, the holes between them, which whoever
// uses this fills with other servers' entries. Then the file can be written
// anew.
class SegmentSalvage {
 public:
  // The entries behind `begin` are wanted, which is the header's point, or a
  // later one. They must go up to `end`; and those that are found right behind
  // it are kept, too.
  SegmentSalvage(const SegmentHeader& header, const LogPoint& begin,
                 const Buffer& bytes, const SegmentEnd& end);

  // The first entries that are missing; nothing: all are there.
  std::optional<LogHole> NextHole();
  // NextHole()'s, from the first one on. How many of them it takes: those
  // before the first one that doesn't continue the log.
  size_t Fill(const std::vector<Entry>& entries);
  // What didn't fit may be right, and this server's own entries before it not
  // the log's: a header that is lost said that they were replaced. NextHole()
  // has the last ones of them then, more with each call.
  void Doubt();
  // The log ends before NextHole(); needs IsEnd of it.
  void Drop();
  // NextHole()'s entries up to `last` can't be had; with `lost`: by nobody.
  // What comes behind them has no chained hash before it to continue.
  void GiveUp(Index last, bool lost);
  // The same for all that is missing.
  void GiveUpAll(bool lost);
  // What was given up. The last one's end_offset counts once EndsAt was asked.
  const std::vector<Gap>& gaps() const { return gaps_; }
  // A frame that is whole didn't continue the entry before it: they can't both
  // be the log's.
  bool contradicted() const { return contradicted_; }
  // Once there is no hole: whether what was found behind the last gap leads to
  // the log at `end`, which is of this segment.
  bool EndsAt(const LogPoint& end);
  // Whether all that stands behind the hole, in this segment and in later ones,
  // is known to continue its last entry.
  bool IsEnd(const LogHole& hole) const {
    return hole.last == end_.index && hole.last_term == end_.term;
  }
  // Whether nothing whole was found in the segment from the hole's first entry
  // on, also of what was doubted or distrusted since.
  bool NothingWholeFrom(const LogHole& hole) const {
    return hole.first > found_to_;
  }
  // That entry of NextHole(), which isn't the end, was never committed: what
  // the segment has from there on was replaced, by entries of a segment that is
  // lost. NextHole() goes up to the end then.
  void Distrust();

  const LogPoint& begin() const { return begin_; }
  const LogPoint& last() const { return last_; }
  // An index that frames call committed; perhaps of an entry that is missing.
  Index commit() const { return commit_; }
  const std::vector<Entry>& entries() const { return entries_; }
  // The segment's bytes, once there is no hole: of the same id, with all of its
  // entries, and with marks that say that they were synced.
  Buffers Encode() const { return Encode(nullptr); }
  // Where they will be in it.
  LogSegment Locate(std::shared_ptr<File> file) const;
  SegmentHeader header() const;

 private:
  struct Found {
    Entry entry;
    Term before;  // of the entry before it
    // Its frame is whole, by the checksum that continues the frame's before it;
    // else its payload is, and the chained hash tells of the rest.
    bool whole_frame = false;
  };
  void Find(const Buffer& bytes);
  // Whether the entry may stand behind last_, once its frame is whole.
  bool Follows(const EntryHeader& header) const;
  // The hole from behind last_ to there, or the part of it that is of one term.
  LogHole HoleTo(Index last, Term last_term) const;
  void Take(const Entry& entry);
  Buffers Encode(LogSegment* segment) const;

  SegmentHeader header_;
  const LogPoint begin_;
  SegmentEnd end_;
  std::map<Index, Found> found_;  // behind last_
  Index found_to_;                // the last one that ever was among them
  std::vector<TermRun> runs_;     // of an intact mark, the last one
  std::vector<Entry> entries_;    // behind begin_, but for the gaps
  std::vector<Gap> gaps_;
  // The last of entries_; or, while at_gap_, of the entry before the last gap,
  // with the index of the gap's end.
  LogPoint last_;
  bool at_gap_ = false;
  bool contradicted_ = false;
  Index commit_;
  size_t doubted_ = 1;
};

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_WAL_SALVAGE_H_
