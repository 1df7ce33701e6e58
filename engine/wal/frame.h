#ifndef HOLDFAST_ENGINE_WAL_FRAME_H_
#define HOLDFAST_ENGINE_WAL_FRAME_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/base/types.h"

namespace holdfast {

// One server's wrapping of an entry on its disk. A segment is a header block
// and then frames, each at a multiple of kFrameAlignment, so that frames can
// be found again behind damage. Little-endian:
//
//    0  magic       u32
//    4  header_crc  u32   CRC32C of the bytes 8 to 63, seeded by the frame's
//                         position in its file: elsewhere it is no frame
//    8  segment     u64   id of the segment that the frame was written to
//   16  index       u64   of the entry; in a mark, of the last entry before it
//   24  term        u64   likewise
//   32  prev_term   u64   of the entry before: the second place for its term
//   40  commit      u64   an index that was known to be committed
//   48  synced_to   u32   position in this segment up to which all was synced
//   52  body_size   u32   bytes that follow; then zeroes up to the alignment
//   56  body_crc    u32   CRC32C of the body, seeded by that of the frame
//                         before, and at first by the segment header's
//   60  kind        u8    1 entry, 2 mark
//   61  zero        3 bytes
//
// The body of an entry's frame is the entry (engine/wal/entry.h). The body of
// a mark is the terms of all of the segment's entries so far, as runs: the
// second place for the index and term of each of them. It is a count (u32),
// the runs (first index and term, u64 each), and zeroes.
enum class FrameKind : uint8_t { kEntry = 1, kMark = 2 };

inline constexpr size_t kLogFrameHeaderBytes = 64;
inline constexpr size_t kFrameAlignment = 64;

struct LogFrameHeader {
  uint64_t segment = 0;
  Index index;
  Term term;
  Term prev_term;
  Index commit;
  uint32_t synced_to = 0;
  uint32_t body_size = 0;
  uint32_t body_crc = 0;
  FrameKind kind = FrameKind::kEntry;

  bool operator==(const LogFrameHeader&) const = default;
};

// Header, body and padding.
constexpr size_t FrameBytes(size_t body_size) {
  return (kLogFrameHeaderBytes + body_size + kFrameAlignment - 1) /
         kFrameAlignment * kFrameAlignment;
}

// Writes all kLogFrameHeaderBytes. `position`: of the frame in its file.
void EncodeLogFrameHeader(const LogFrameHeader& header, uint64_t position,
                          char* to);
// Nothing when the bytes aren't an intact frame header that was meant for this
// segment and this position.
std::optional<LogFrameHeader> DecodeLogFrameHeader(absl::string_view bytes,
                                                   uint64_t segment,
                                                   uint64_t position);

// A run of entries of one term, within a segment.
struct TermRun {
  Index first;
  Term term;
  bool operator==(const TermRun&) const = default;
};
std::string EncodeTermRuns(const std::vector<TermRun>& runs);
absl::StatusOr<std::vector<TermRun>> DecodeTermRuns(absl::string_view body);

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_WAL_FRAME_H_
