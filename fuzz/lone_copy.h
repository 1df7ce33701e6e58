#ifndef HOLDFAST_FUZZ_LONE_COPY_H_
#define HOLDFAST_FUZZ_LONE_COPY_H_

#include <string>
#include <vector>

#include "fuzz/lone_server.h"

namespace holdfast {

// Another server's data directory with TheLoneDirectory()'s log, as `recover`
// may be given it: in segments that end elsewhere, and from an earlier entry
// on, behind a checkpoint that the other one has no more.
struct LoneCopy {
  // With half of the log, and with all of it.
  std::vector<DiskFiles> stages;
  // All that the last stage has. The order is what inputs count on: `identity`
  // and its copy, two copies of the hard state, the checkpoint, the spare
  // segment, from 6 on the others, the newest first.
  std::vector<std::string> names;

  const DiskFiles& files() const { return stages.back(); }
  const std::string& segment() const { return names[6]; }  // the newest one
};

// Made once.
const LoneCopy& TheLoneCopy();

}  // namespace holdfast

#endif  // HOLDFAST_FUZZ_LONE_COPY_H_
