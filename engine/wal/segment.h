#ifndef HOLDFAST_ENGINE_WAL_SEGMENT_H_
#define HOLDFAST_ENGINE_WAL_SEGMENT_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/base/buffer.h"
#include "engine/base/types.h"
#include "engine/env/disk.h"
#include "engine/wal/entry.h"
#include "engine/wal/frame.h"

namespace holdfast {

// A segment file: one block of header, then frames up to where zeroes begin.
//
//    0  magic            u64
//    8  version          u32   2
//   12  zero             u32
//   16  owner            u64   the data directory's incarnation
//   24  id               u64   rises with every segment that is begun
//   32  first_index      u64   of its first entry; replaces all entries from
//                              here on in segments with lower ids
//   40  previous.term    u64   the log's point before first_index:
//   48  previous.offset  u64     term, next offset,
//   56  previous.time    i64     log time
//   64  previous.chain   u64     and chained hash
//   72  zeroes
// 4092  crc              u32   CRC32C of the bytes before
//
// The header becomes durable together with the segment's first frames, or
// after them; a segment without an intact header, or without an intact first
// frame, holds nothing that counts. One that begins behind a checkpoint has
// its header synced first and then two marks: it counts without any entry, and
// all segments with lower ids are replaced by the checkpoint.
inline constexpr size_t kSegmentHeaderBytes = 4096;

struct SegmentHeader {
  Incarnation owner;
  uint64_t id = 0;
  // What the log before first_index amounts to; index is first_index - 1.
  LogPoint previous;

  Index first_index() const { return previous.index + 1; }
  bool operator==(const SegmentHeader&) const = default;
};

std::string SegmentName(uint64_t id);
std::optional<uint64_t> ParseSegmentName(absl::string_view name);

Buffer EncodeSegmentHeader(const SegmentHeader& header);
// NOT_FOUND: all zeroes, never begun. DATA_LOSS: not an intact header.
// FAILED_PRECONDITION: of a newer format.
absl::StatusOr<SegmentHeader> DecodeSegmentHeader(absl::string_view block);
// What the first frame's body checksum is seeded by.
uint32_t FirstSeed(const SegmentHeader& header);

// What a disk writes and loses as a whole, at most.
inline constexpr uint64_t kBlockBytes = 4096;

// Turns entries into frames, one behind the other in a segment.
class FrameWriter {
 public:
  FrameWriter() = default;
  explicit FrameWriter(const SegmentHeader& header);

  uint64_t position() const { return position_; }
  // What the next frame's body checksum is seeded by.
  uint32_t seed() const { return seed_; }

  // The buffers to write at position() as it was before.
  void AppendEntry(const Entry& entry, uint64_t synced_to, Index commit,
                   Buffers* out);
  void AppendMark(uint64_t synced_to, Index commit, Buffers* out);
  // For a tail at rest: one right here, and one at the next block's start,
  // so that no block that decays takes the last entry and all marks of it.
  void AppendRestingMarks(uint64_t synced_to, Index commit, Buffers* out);

 private:
  void AppendMark(uint64_t synced_to, Index commit, std::string body,
                  Buffers* out);
  void AppendFrame(LogFrameHeader header, absl::string_view head,
                   const Buffer& tail, Buffers* out);

  uint64_t segment_ = 0;
  uint64_t position_ = kSegmentHeaderBytes;
  uint32_t seed_ = 0;
  Index last_index_;
  Term last_term_;
  std::vector<TermRun> runs_;
};

// A frame as found.
struct FoundFrame {
  uint64_t position = 0;
  uint32_t seed = 0;  // that its body's checksum was seeded by
  LogFrameHeader header;

  uint64_t end() const { return position + FrameBytes(header.body_size); }
};

// Reads the frame at `position` of a segment, of which `bytes` stand from
// `bytes_at` on, and whose body's checksum is seeded by `seed`; nothing unless
// it is intact.
std::optional<FoundFrame> ReadFrame(absl::string_view bytes, uint64_t position,
                                    uint64_t segment, uint32_t seed,
                                    uint64_t bytes_at = 0);

// All that is in one segment.
struct SegmentScan {
  // The intact frames from the start on, without a gap.
  std::vector<FoundFrame> frames;
  // Where they end.
  uint64_t end = kSegmentHeaderBytes;
  // Up to where the segment is known to have been synced, by any intact frame
  // header in it, also one behind damage.
  uint64_t marked_to = 0;
  // The greatest index that any intact frame header names, likewise.
  Index seen;
  // Frames found behind `end`.
  size_t frames_behind_damage = 0;
  // Where the last mark of these ends; 0: there is none.
  uint64_t marks_end = 0;
  Index commit;
};
// The next intact frame header from `at` on, wherever it stands: behind damage.
// One that says that more was synced than what stands before it is none.
// Whoever wants the next one looks behind its body: a client chose those bytes.
std::optional<FoundFrame> NextFrameHeader(absl::string_view bytes, uint64_t at,
                                          uint64_t segment);
// The first of them in the segment that is wanted.
template <typename Wanted>  // bool(const FoundFrame&)
std::optional<FoundFrame> FindFrameIf(absl::string_view bytes, uint64_t segment,
                                      Wanted wanted) {
  uint64_t at = kSegmentHeaderBytes;
  while (std::optional<FoundFrame> frame =
             NextFrameHeader(bytes, at, segment)) {
    if (wanted(*frame)) return frame;
    at = frame->end();
  }
  return std::nullopt;
}
// What frame headers tell, wherever they stand.
struct FoundHeaders {
  size_t count = 0;
  Index seen;              // the greatest index that they name
  uint64_t marks_end = 0;  // where the last mark ends; 0: there is none
};
// Up to where frame headers from `at` on say that the segment was synced; what
// else they tell is added to `found`.
uint64_t FindMarkedTo(absl::string_view bytes, uint64_t at, uint64_t segment,
                      FoundHeaders* found = nullptr);
SegmentScan ScanSegment(absl::string_view bytes, const SegmentHeader& header);

// Where a segment's live entries are: a sparse index, with a sample for each
// kBytesPerSample of frames that were looked at, and for the first one.
class LogSegment {
 public:
  static constexpr uint64_t kBytesPerSample = 16 << 10;

  struct Sample {
    Index index;
    Offset offset;
    uint64_t position = 0;
    uint32_t seed = 0;
  };

  // Empty.
  LogSegment(const SegmentHeader& header, std::shared_ptr<File> file)
      : header_(header),
        file_(std::move(file)),
        last_(header.previous.index),
        samples_{Sample{first(), header.previous.next_offset,
                        kSegmentHeaderBytes, FirstSeed(header)}} {}

  uint64_t id() const { return header_.id; }
  const SegmentHeader& header() const { return header_; }
  const std::shared_ptr<File>& file() const { return file_; }
  Index first() const { return header_.first_index(); }
  Index last() const { return last_; }  // first() - 1 while empty
  // The log time of the entry before its first one.
  WallTime begun() const { return header_.previous.log_time; }
  // Of the frames that may be read.
  uint64_t end() const { return end_; }
  void set_end(uint64_t end) { end_ = end; }

  // The next entry stands at `position`.
  void Note(const EntryHeader& header, uint64_t position, uint32_t seed);
  // Its entries reach to `last`, and to `end` at most; nobody has looked.
  void TakeUnread(Index last, uint64_t end) {
    last_ = last;
    end_ = end;
  }
  // Of an entry of this segment.
  void AddSample(const Sample& sample);
  // Forgets the entries behind `last`, which must not be below first().
  void CutTo(Index last);
  // The base offset of the first entry.
  Offset first_offset() const { return samples_.front().offset; }
  // The last sample at or before an entry, or an offset, of this segment.
  const Sample& Floor(Index index) const;
  const Sample& Floor(Offset offset) const;

 private:
  SegmentHeader header_;
  std::shared_ptr<File> file_;  // shared with reads under way
  Index last_;
  uint64_t end_ = kSegmentHeaderBytes;
  std::vector<Sample> samples_;
};

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_WAL_SEGMENT_H_
