// The wal's formats over arbitrary bytes: nothing is read beyond them, what
// is accepted is encoded alike again, and a scan claims only what is there.

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/base/check.h"
#include "engine/base/crc32c.h"
#include "engine/wal/entry.h"
#include "engine/wal/frame.h"
#include "engine/wal/segment.h"

namespace holdfast {
namespace {

void FuzzDecoders(absl::string_view bytes) {
  if (absl::StatusOr<EntryHeader> h = DecodeEntryHeader(bytes); h.ok()) {
    char again[kEntryHeaderBytes];
    EncodeEntryHeader(*h, again);
    CHECK(absl::string_view(again, sizeof(again)) ==
          bytes.substr(0, sizeof(again)));
  }
  if (absl::StatusOr<Entry> e = DecodeEntry(Buffer::Copy(bytes)); e.ok()) {
    CHECK_EQ(e->payload.size(), size_t{e->header.payload_size});
  }
  if (auto runs = DecodeTermRuns(bytes); runs.ok()) {
    std::string again = EncodeTermRuns(*runs);
    CHECK(again == bytes.substr(0, again.size()));
  }
  (void)DecodeSegmentHeader(bytes);
}

// As the frames of a segment; checksums are set right by the size of a frame
// every so often, or hardly any frame would be seen.
void FuzzScan(absl::string_view bytes) {
  SegmentHeader header;
  header.owner = Incarnation(1);
  header.id = 1;
  std::string file(EncodeSegmentHeader(header).view());
  file.append(bytes.data(), bytes.size());
  uint32_t seed = FirstSeed(header);
  uint64_t at = kSegmentHeaderBytes;
  while (at + kLogFrameHeaderBytes <= file.size()) {
    LogFrameHeader frame;
    const char* from = file.data() + at;
    frame.segment = 1;
    frame.index = Index(static_cast<uint8_t>(from[16]));
    frame.commit = Index(static_cast<uint8_t>(from[40]));
    frame.synced_to =
        static_cast<uint32_t>(static_cast<uint8_t>(from[48]) * kFrameAlignment);
    frame.kind = from[60] % 2 == 0 ? FrameKind::kEntry : FrameKind::kMark;
    frame.body_size = static_cast<uint8_t>(from[52]) * 3u;
    if (static_cast<uint8_t>(from[0]) >= 250) break;
    uint64_t body = at + kLogFrameHeaderBytes;
    absl::string_view rest = absl::string_view(file).substr(body);
    frame.body_crc = ExtendCrc32c(seed, rest.substr(0, frame.body_size));
    EncodeLogFrameHeader(frame, at, file.data() + at);
    seed = frame.body_crc;
    at += FrameBytes(frame.body_size);
  }
  SegmentScan scan = ScanSegment(file, header);
  uint64_t end = kSegmentHeaderBytes;
  seed = FirstSeed(header);
  for (const FoundFrame& frame : scan.frames) {
    CHECK_EQ(frame.position, end);
    CHECK_EQ(frame.seed, seed);
    absl::string_view body = absl::string_view(file).substr(
        frame.position + kLogFrameHeaderBytes, frame.header.body_size);
    CHECK_EQ(body.size(), size_t{frame.header.body_size});
    CHECK_EQ(ExtendCrc32c(seed, body), frame.header.body_crc);
    seed = frame.header.body_crc;
    end += FrameBytes(frame.header.body_size);
    CHECK(frame.header.synced_to <= scan.marked_to);
  }
  CHECK_EQ(scan.end, end);
}

}  // namespace
}  // namespace holdfast

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  absl::string_view bytes(reinterpret_cast<const char*>(data), size);
  holdfast::FuzzDecoders(bytes);
  holdfast::FuzzScan(bytes);
  return 0;
}
