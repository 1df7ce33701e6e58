#ifndef HOLDFAST_ENGINE_WAL_LOG_MAP_H_
#define HOLDFAST_ENGINE_WAL_LOG_MAP_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/base/buffer.h"
#include "engine/base/types.h"
#include "engine/wal/frame.h"

namespace holdfast {

// A segment of the log, and its first entry.
struct SegmentStart {
  uint64_t id = 0;
  Index first;

  bool operator==(const SegmentStart&) const = default;
};

// What a start must know of the entries that it doesn't read:
//
//   term runs    as in a mark (frame.h), of all entries up to some point
//   count        u32
//   segments     each: id u64, first index u64; rising. Those up to the one
//                that holds the point are as they were, but for its end; later
//                ones may never have been durable.
struct LogMap {
  std::vector<TermRun> terms;
  std::vector<SegmentStart> segments;

  bool operator==(const LogMap&) const = default;
};

Buffer EncodeLogMap(const LogMap& map);
// DATA_LOSS when the bytes aren't one.
absl::StatusOr<LogMap> DecodeLogMap(absl::string_view bytes);

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_WAL_LOG_MAP_H_
