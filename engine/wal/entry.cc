#include "engine/wal/entry.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/base/bytes.h"
#include "engine/base/crc32c.h"
#include "engine/base/random.h"

namespace holdfast {
namespace {

constexpr size_t kReservedBytes = 11;

}  // namespace

void EncodeEntryHeader(const EntryHeader& header, char* to) {
  ByteWriter w(to, kEntryHeaderBytes);
  w.Int<uint64_t>(header.index.value());
  w.Int<uint64_t>(header.term.value());
  w.Int<uint64_t>(header.base_offset.value());
  w.Int<int64_t>(header.log_time.time_since_epoch().count());
  w.Int<uint64_t>(header.chain);
  w.Int<uint32_t>(header.count);
  w.Int<uint32_t>(header.payload_size);
  w.Int<uint32_t>(header.payload_crc);
  w.Int<uint8_t>(static_cast<uint8_t>(header.kind));
  std::memset(w.at(), 0, kReservedBytes);
}

absl::StatusOr<EntryHeader> DecodeEntryHeader(absl::string_view bytes) {
  if (bytes.size() < kEntryHeaderBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("entry: expected ", kEntryHeaderBytes,
                     " bytes of header, found ", bytes.size()));
  }
  ByteReader r(bytes.substr(0, kEntryHeaderBytes));
  EntryHeader h;
  h.index = Index(r.Int<uint64_t>());
  h.term = Term(r.Int<uint64_t>());
  h.base_offset = Offset(r.Int<uint64_t>());
  h.log_time = WallTime(Duration(r.Int<int64_t>()));
  h.chain = r.Int<uint64_t>();
  h.count = r.Int<uint32_t>();
  h.payload_size = r.Int<uint32_t>();
  h.payload_crc = r.Int<uint32_t>();
  h.kind = static_cast<EntryKind>(r.Int<uint8_t>());
  if (h.payload_size > kEntryPayloadBytesMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("entry: expected a payload of at most ",
                     kEntryPayloadBytesMax, " bytes, found ", h.payload_size));
  }
  if (static_cast<int>(h.kind) == 0) {
    return absl::InvalidArgumentError("entry: it has no kind");
  }
  for (char c : r.rest()) {
    if (c != 0) {
      return absl::InvalidArgumentError(
          "entry: its reserved bytes aren't zero");
    }
  }
  return h;
}

absl::StatusOr<Entry> DecodeEntry(const Buffer& bytes) {
  absl::StatusOr<EntryHeader> header = DecodeEntryHeader(bytes.view());
  if (!header.ok()) return header.status();
  if (bytes.size() - kEntryHeaderBytes < header->payload_size) {
    return absl::InvalidArgumentError(absl::StrCat(
        "entry ", header->index.value(), ": expected ", header->payload_size,
        " bytes of payload, found ", bytes.size() - kEntryHeaderBytes));
  }
  Entry entry;
  entry.header = *header;
  entry.payload = bytes.Slice(kEntryHeaderBytes, header->payload_size);
  return entry;
}

LogPoint PointAfter(const EntryHeader& h) {
  return LogPoint{.index = h.index,
                  .term = h.term,
                  .next_offset = h.base_offset + h.count,
                  .log_time = h.log_time,
                  .chain = h.chain};
}

Entry SealEntry(const LogPoint& point, Term term, EntryKind kind,
                uint32_t record_count, WallTime now, Buffer payload) {
  Entry entry;
  EntryHeader& h = entry.header;
  h.index = point.index + 1;
  h.term = term;
  h.kind = kind;
  h.base_offset = point.next_offset;
  h.count = record_count;
  h.log_time = std::max(point.log_time, now);
  h.payload_size = static_cast<uint32_t>(payload.size());
  h.payload_crc = payload.Crc();
  payload.set_crc(h.payload_crc);
  h.chain = ChainHash(point.chain, h);
  entry.payload = std::move(payload);
  return entry;
}

bool Continues(const LogPoint& point, const EntryHeader& h) {
  return h.index == point.index + 1 && h.term >= point.term &&
         h.base_offset == point.next_offset && h.log_time >= point.log_time &&
         h.chain == ChainHash(point.chain, h);
}

uint64_t ChainHash(uint64_t previous_chain, const EntryHeader& header) {
  uint64_t h = HashCombine(previous_chain, header.index.value());
  h = HashCombine(h, header.term.value());
  h = HashCombine(h, header.base_offset.value());
  h = HashCombine(
      h, static_cast<uint64_t>(header.log_time.time_since_epoch().count()));
  h = HashCombine(h, uint64_t{header.count} << 32 | header.payload_size);
  return HashCombine(
      h, uint64_t{header.payload_crc} << 8 | static_cast<uint8_t>(header.kind));
}

}  // namespace holdfast
