#ifndef HOLDFAST_ENGINE_WAL_ENTRY_H_
#define HOLDFAST_ENGINE_WAL_ENTRY_H_

#include <cstddef>
#include <cstdint>

#include "absl/status/statusor.h"
#include "engine/base/buffer.h"
#include "engine/base/entry_kind.h"
#include "engine/base/time.h"
#include "engine/base/types.h"

namespace holdfast {

// What Raft replicates: the same bytes on all servers. 64 bytes, little-endian:
//
//    0  index         u64
//    8  term          u64
//   16  base_offset   u64   offset of the first record
//   24  log_time      i64   nanoseconds since the Unix epoch
//   32  chain         u64   hash of the whole log up to and with this entry
//   40  count         u32   records
//   44  payload_size  u32   bytes that follow
//   48  payload_crc   u32   CRC32C of them
//   52  kind          u8    EntryKind
//   53  zero          11 bytes
struct EntryHeader {
  Index index;
  Term term;
  EntryKind kind = EntryKind::kNoOp;
  Offset base_offset;
  uint32_t count = 0;
  WallTime log_time;
  uint64_t chain = 0;
  uint32_t payload_size = 0;
  uint32_t payload_crc = 0;

  bool operator==(const EntryHeader&) const = default;
};

struct Entry {
  EntryHeader header;
  Buffer payload;
};

inline constexpr size_t kEntryHeaderBytes = 64;
// The largest payload of one entry: a batch with the largest record.
inline constexpr uint32_t kEntryPayloadBytesMax = (16 << 20) + (64 << 10);
// As encoded: its header, then its payload.
inline size_t EntryBytes(const Entry& entry) {
  return kEntryHeaderBytes + entry.payload.size();
}

// Writes all kEntryHeaderBytes.
void EncodeEntryHeader(const EntryHeader& header, char* to);
// INVALID_ARGUMENT when the bytes can't be an entry's header. Neither a
// payload's checksum is looked at, nor whether the kind is one that this
// release knows.
absl::StatusOr<EntryHeader> DecodeEntryHeader(absl::string_view bytes);
// The entry at the front of `bytes`; its payload shares them.
absl::StatusOr<Entry> DecodeEntry(const Buffer& bytes);

// What the log's prefix up to and with one entry amounts to: all that is
// needed to append behind it. All zero for the empty log.
struct LogPoint {
  Index index;
  Term term;
  Offset next_offset;
  WallTime log_time;
  uint64_t chain = 0;

  bool operator==(const LogPoint&) const = default;
};
LogPoint PointAfter(const EntryHeader& header);

// The hash of the log up to and with an entry: over the hash before it, the
// header's other fields and the payload's checksum. Equal chains at one index
// mean equal logs, but for accidents of 2^-64, or of 2^-32 where only a payload
// differs. It guards against faults, not against forgers.
uint64_t ChainHash(uint64_t previous_chain, const EntryHeader& header);

// The entry behind `point`: the same header on whichever server makes it, with
// the log time max(point's, now).
Entry SealEntry(const LogPoint& point, Term term, EntryKind kind,
                uint32_t record_count, WallTime now, Buffer payload);

// Whether an entry with this header may stand right behind `point`: index,
// term, base offset, log time and chained hash fit.
bool Continues(const LogPoint& point, const EntryHeader& header);

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_WAL_ENTRY_H_
