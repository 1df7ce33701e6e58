#ifndef HOLDFAST_SIM_DURABLE_LOG_H_
#define HOLDFAST_SIM_DURABLE_LOG_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "engine/base/types.h"
#include "engine/wal/segment.h"
#include "sim/file_image.h"

namespace holdfast {

// The log that is durable on a disk, by the bytes that a power loss would
// leave at this moment and the rules of the format (engine/wal/segment.h); the
// engine isn't asked.
//
// What was durable once stays so in Has, though it is damaged since
// (sim/damage.h); HasIntact tells. So it is with a file that has vanished,
// until other ones have all that it had, or a checkpoint stands for it. A file
// that another one replaces under its name, as a repair does, is read anew.
class DurableLog {
 public:
  // Takes in what has become durable since; cheap when that is little.
  void Update(const NameTable& disk);
  // Whether the entry was durable at the last Update; not for those far from
  // the log's end.
  bool Has(Index index, Term term) const;

  // --- All of the log, and what is damaged of it ---

  // As Update, of all files as they are. What follows is as of the last call.
  void UpdateWhole(const NameTable& disk);
  // Whether the entry can still be read: its frame, and the header before it,
  // whose checksum the frame's continues, are as they were written.
  bool HasIntact(Index index, Term term) const;
  // Whether anything of it is damaged.
  bool damaged() const;
  // Each entry that was durable, can't be read any more, and that no later
  // segment replaces.
  void ForEachDamaged(const std::function<void(Index, Term)>& fn) const;
  // The entry before the first one that it has, damaged or not, and the last
  // one; 0 and 0: it has none.
  Index before_first() const;
  Index last() const;
  // Whether it has, damaged or not, each entry behind `after` up to `to`; not
  // others that stood there before, whose successors are gone with their files.
  bool GoesOn(Index after, Index to) const;
  bool Contains(uint64_t id) const { return segments_.contains(id); }
  // Whether that segment has begun, and none behind it has.
  bool IsNewest(uint64_t id) const;
  // What would be left if this file stood in the place of that segment's.
  DurableLog With(uint64_t id, std::shared_ptr<const FileImage> file) const;
  // Whether what is intact still shows that entries stood in that segment up to
  // the position, and which these were: what is damaged before it can't be
  // taken for a tail that was never durable. It needs, and so does the engine,
  // - a frame header behind it that says that it was synced, or a later segment
  //   that is sure to have begun, which it did only when this one was durable;
  // - the segment's own header, unless its first entry is the one behind all
  //   those in earlier files: else the header alone tells which of these it
  //   replaces.
  bool Shows(uint64_t id, uint64_t position) const;
  // Whether the position is behind the last entry of that segment, which is the
  // newest, and what is intact shows all the same that all of them were synced.
  bool ShowsEnd(uint64_t id, uint64_t position) const;
  // Whether two intact marks stand behind the newest segment's last entry, as
  // they do in a log at rest, or it has no entry behind `base`.
  bool ShowsEndTwice(Index base) const;

 private:
  struct Frame {
    uint32_t position = 0;
    uint32_t seed = 0;  // of its body's checksum
    uint32_t synced_to = 0;
    bool is_entry = false;
    bool has_header = true;  // as it was written
    bool has_body = true;
  };
  // A segment, and what was read of it so far.
  struct Segment {
    std::shared_ptr<const FileImage> file;
    uint64_t changes = 0;   // that the file had taken by then
    uint64_t damages = 0;   // likewise
    uint64_t position = 0;  // of the next frame; 0: no intact header yet
    uint32_t seed = 0;
    // It replaces all entries behind this one in those before it, once it has
    // an intact frame.
    Index before_first;
    Term before_term;           // that entry's
    std::vector<Term> terms;    // of its entries
    std::vector<Frame> frames;  // marks included
    bool has_header = true;
    std::vector<bool> lost;  // entries, the first ones; the others are intact

    bool begun() const { return position > kSegmentHeaderBytes; }
    Term TermAt(Index index) const { return terms[index - before_first - 1]; }
    Index last() const { return before_first + terms.size(); }
    // Where in `frames` those behind its last entry begin: marks.
    size_t FirstMark() const;
    bool Lost(uint64_t at) const { return at < lost.size() && lost[at]; }
    bool damaged() const { return !has_header || !lost.empty(); }
  };
  // Of the segments from this one on.
  void UpdateNames(const NameTable& disk, uint64_t first);
  // Those of which other segments have what they had: an earlier one that was
  // mended goes on to there, or a later one begins before it.
  void ForgetVanished(const NameTable& disk);
  // Segments with lower ids have all their frames.
  uint64_t FirstGrowing() const;
  static void ReadOn(uint64_t id, Segment* segment);
  static void Read(uint64_t id, Segment* segment);
  // Compares what was read with what is there now.
  static void Inspect(uint64_t id, Segment* segment);
  // That has the entry; null: none.
  const Segment* Find(Index index) const;
  // Null: none has begun.
  const Segment* Newest() const;

  // As name_changes_, at the last UpdateWhole; nothing: there was none.
  std::optional<uint64_t> whole_changes_;
  uint64_t name_changes_ = 0;             // that the directory had taken
  std::map<uint64_t, Segment> segments_;  // by id
};

// Whether the vote in that term is durable, or a later term is: by each intact
// copy of the hard state that a power loss would leave, of which there is one.
bool HasVotedDurably(const NameTable& disk, Term term, ServerId vote);

}  // namespace holdfast

#endif  // HOLDFAST_SIM_DURABLE_LOG_H_
