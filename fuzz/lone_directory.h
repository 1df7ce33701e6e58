#ifndef HOLDFAST_FUZZ_LONE_DIRECTORY_H_
#define HOLDFAST_FUZZ_LONE_DIRECTORY_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "engine/base/types.h"
#include "fuzz/lone_server.h"

namespace holdfast {

// A data directory with a file of each kind, several of most, as a LoneServer
// has left it at rest after some lives; and backups of its records.
struct LoneDirectory {
  static constexpr char kImage[] = "log.image";
  static constexpr char kOlderImage[] = "older.image";
  struct Image {
    std::string bytes;
    Offset first;
    Offset end;
  };

  // As it was at the end of each of the server's lives: with each it has other
  // segments, a later term, and knows of more starts.
  std::vector<DiskFiles> stages;
  std::vector<Image> images;            // of the log then
  std::vector<DiskFiles> image_stages;  // the last one, and the first one
  std::vector<std::string> image_names{kImage, kOlderImage};
  // All that the last stage has. The order is what inputs count on: `identity`
  // and its copy, two copies of the hard state, `peers`, `reserve`, from 6 on
  // two checkpoints, from 8 on two resume points, 10 the spare segment, from 11
  // on the others, then waypoints; the newest of each first.
  std::vector<std::string> names;
  std::vector<std::string> records;  // all that were appended, by offset
  Offset first;                      // the first one that wasn't trimmed
  ClusterId cluster;

  const DiskFiles& files() const { return stages.back(); }
  Offset end() const { return Offset(records.size()); }
  const std::string& checkpoint() const { return names[6]; }  // the newest one
  const std::string& resume() const { return names[8]; }      // likewise
  const std::string& spare() const { return names[10]; }
  const std::string& segment() const { return names[11]; }  // likewise
};

// Made once.
const LoneDirectory& TheLoneDirectory();

// The frames of a segment's file: what it has room for says nothing.
absl::string_view HeldBy(absl::string_view segment);

}  // namespace holdfast

#endif  // HOLDFAST_FUZZ_LONE_DIRECTORY_H_
