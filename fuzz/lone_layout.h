#ifndef HOLDFAST_FUZZ_LONE_LAYOUT_H_
#define HOLDFAST_FUZZ_LONE_LAYOUT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "engine/base/types.h"
#include "fuzz/lone_server.h"

namespace holdfast {

// Where in TheLoneDirectory()'s files its log stands, and what damaged files
// still say of it by docs/DISK_FORMAT.md.
class LoneLayout {
 public:
  LoneLayout();

  // Up to where something that is left shows that the log went: checkpoints,
  // resume points, headers of segments, and frames that say how much of theirs
  // was synced. What stands behind that may be taken for a torn tail.
  Offset ShownEnd(const DiskFiles& files) const;

  // Whether it may be said of this record that it is lost: some of its entry's
  // frame is damaged, or of a frame between that and the entry before, or of
  // that one, since nothing may speak for it then; or its segment's header is,
  // or that of the next segment, which it stands right before.
  bool MayBeLost(const DiskFiles& files, Offset record) const;

 private:
  struct Frame {
    uint64_t position = 0;
    uint64_t end = 0;
    uint64_t synced_to = 0;  // of its segment, as it says
    bool is_entry = false;
    // Of an entry: its records.
    Offset first;
    Offset next;
  };
  struct Segment {
    std::string name;
    Offset begins_at;
    std::vector<Frame> frames;
  };

  std::vector<Segment> segments_;  // in the log's order
};

}  // namespace holdfast

#endif  // HOLDFAST_FUZZ_LONE_LAYOUT_H_
