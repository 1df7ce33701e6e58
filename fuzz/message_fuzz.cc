// Feeds arbitrary bytes to the message decoder, as a stranger on the port
// could: in one piece and in pieces cut by the input itself. Both must yield
// the same messages, or fail; nothing beyond the limit is allocated; a batch
// that validates can be walked.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "engine/base/batch.h"
#include "engine/base/buffer.h"
#include "engine/base/bytes.h"
#include "engine/base/check.h"
#include "engine/base/crc32c.h"
#include "engine/peer/batches.h"
#include "engine/peer/message.h"

namespace holdfast {
namespace {

constexpr size_t kMessageBytes = 1 << 16;

struct Got {
  uint8_t type;
  uint64_t group;
  std::string header;
  std::string payload;
  bool operator==(const Got&) const = default;
};

struct Outcome {
  std::vector<Got> got;
  bool broken = false;
  bool at_boundary = false;
};

// Pieces as long as the bytes of `cuts` say, over and over.
Outcome Decode(absl::string_view bytes, absl::string_view cuts) {
  Outcome outcome;
  MessageDecoder decoder(kMessageBytes);
  for (size_t i = 0; !bytes.empty(); ++i) {
    size_t n = bytes.size();
    if (!cuts.empty()) {
      n = std::min<size_t>(n, 1 + static_cast<uint8_t>(cuts[i % cuts.size()]));
    }
    decoder.Push(Buffer::Copy(bytes.substr(0, n)));
    bytes.remove_prefix(n);
    MessageView message;
    while (true) {
      absl::StatusOr<bool> next = decoder.Next(&message);
      if (!next.ok()) {
        outcome.broken = true;
        return outcome;
      }
      if (!*next) break;
      CHECK_LE(message.header.size() + message.payload.size(), kMessageBytes);
      outcome.got.push_back({.type = static_cast<uint8_t>(message.type),
                             .group = message.group,
                             .header = std::string(message.header),
                             .payload = std::string(message.payload.view())});
    }
  }
  outcome.at_boundary = decoder.at_boundary();
  return outcome;
}

// Makes the frames' checksums right, or the fuzzer would hardly get past them.
std::string WithGoodChecksums(absl::string_view bytes) {
  std::string good(bytes);
  size_t at = 0;
  while (good.size() - at >= kFrameHeaderBytes) {
    const size_t length = LoadInt<uint32_t>(good.data() + at);
    const size_t body_at = at + kFrameHeaderBytes;
    if (length > good.size() - body_at) break;
    StoreInt<uint32_t>(
        good.data() + at + 4,
        ExtendCrc32c(FrameHeaderCrc(good.data() + at),
                     absl::string_view(good).substr(body_at, length)));
    at = body_at + length;
  }
  return good;
}

void WalkBatch(Buffer bytes) {
  if (bytes.size() >= 8) {
    std::string good(bytes.view());
    StoreInt<uint32_t>(good.data() + 4,
                       Crc32c(absl::string_view(good).substr(8)));
    bytes = Buffer::Copy(good);
  }
  absl::StatusOr<BatchView> batch = BatchView::Parse(bytes);
  if (!batch.ok()) return;
  RecordCursor cursor = batch->Records();
  RecordView record;
  uint32_t count = 0;
  size_t size = kBatchHeaderBytes;
  while (cursor.Next(&record)) {
    ++count;
    size += kRecordHeaderBytes + record.value().size();
    if (record.key().has_value()) size += record.key()->size();
    CHECK_EQ(record.headers().size(), record.header_count());
    for (const RecordHeader& header : record.headers()) {
      size += 6 + header.name.size() + header.value.size();
    }
  }
  CHECK_EQ(count, batch->record_count());
  CHECK_EQ(size, bytes.size());
}

}  // namespace
}  // namespace holdfast

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace holdfast;
  absl::string_view input(reinterpret_cast<const char*>(data), size);
  if (input.empty()) return 0;
  // The first byte says how many bytes of cuts follow, and whether the
  // checksums are to be made right.
  const size_t cut_count =
      std::min<size_t>(static_cast<uint8_t>(input[0]) % 16, input.size() - 1);
  const absl::string_view cuts = input.substr(1, cut_count);
  const bool repair = static_cast<uint8_t>(input[0]) >= 128;
  const std::string repaired =
      repair ? WithGoodChecksums(input.substr(1 + cut_count)) : std::string();
  const absl::string_view bytes =
      repair ? absl::string_view(repaired) : input.substr(1 + cut_count);
  const Outcome whole = Decode(bytes, "");
  const Outcome pieces = Decode(bytes, cuts);
  CHECK_EQ(whole.broken, pieces.broken);
  CHECK_EQ(whole.at_boundary, pieces.at_boundary);
  CHECK(whole.got == pieces.got);
  for (const Got& message : whole.got) {
    WalkBatch(Buffer::Copy(message.payload));
    const Buffer payload = Buffer::Copy(message.payload);
    absl::StatusOr<std::vector<SentBatch>> batches = DecodeSentBatches(
        payload, static_cast<uint32_t>(message.header.size()));
    if (!batches.ok()) continue;
    for (const SentBatch& batch : *batches) WalkBatch(batch.bytes);
  }
  WalkBatch(Buffer::Copy(bytes));
  return 0;
}
