#ifndef HOLDFAST_SIM_DURABLE_LOG_H_
#define HOLDFAST_SIM_DURABLE_LOG_H_

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "engine/base/types.h"
#include "engine/wal/segment.h"
#include "sim/file_image.h"

namespace holdfast {

// The end of the log that is durable on a disk, by the bytes that a power loss
// would leave at this moment and the rules of the format
// (engine/wal/segment.h); the engine isn't asked.
class DurableLog {
 public:
  // Takes in what has become durable since; cheap when that is little.
  void Update(const NameTable& disk);
  // Whether the entry was durable at the last Update; not for those far from
  // the log's end.
  bool Has(Index index, Term term) const;

 private:
  // A segment, and what was read of it so far.
  struct Segment {
    std::shared_ptr<const FileImage> file;
    uint64_t changes = 0;   // that the file had taken by then
    uint64_t position = 0;  // of the next frame; 0: no intact header yet
    uint32_t seed = 0;
    // It replaces all entries behind this one in those before it, once it has
    // an intact frame.
    Index before_first;
    std::vector<Term> terms;  // of its entries

    bool begun() const { return position > kSegmentHeaderBytes; }
  };
  // Of the segments from this one on.
  void UpdateNames(const NameTable::Files& files, uint64_t first);
  // Segments with lower ids have all their frames.
  uint64_t FirstGrowing() const;
  static void Read(uint64_t id, Segment* segment);

  uint64_t name_changes_ = 0;             // that the directory had taken
  std::map<uint64_t, Segment> segments_;  // by id
};

// Whether the vote in that term is durable, or a later term is: by each intact
// copy of the hard state that a power loss would leave, of which there is one.
bool HasVotedDurably(const NameTable& disk, Term term, ServerId vote);

}  // namespace holdfast

#endif  // HOLDFAST_SIM_DURABLE_LOG_H_
