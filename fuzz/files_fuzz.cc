// Arbitrary bytes as each of the small files and the parts of checkpoints:
// hard state, checkpoint, its configuration, sessions and map, identity, peers,
// backup image, and the payloads of entries that aren't batches. Decoding never
// reads beyond them; what is decoded encodes to the same again.
//
// The input: which format (and 128: with checksums made right), then the bytes.
// The seeds are valid examples with a field of each kind.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "engine/base/buffer.h"
#include "engine/base/bytes.h"
#include "engine/base/check.h"
#include "engine/base/configuration.h"
#include "engine/base/crc32c.h"
#include "engine/base/image.h"
#include "engine/log/log_state.h"
#include "engine/log/recovered.h"
#include "engine/log/sessions.h"
#include "engine/node/identity.h"
#include "engine/node/peer_boots.h"
#include "engine/wal/checkpoint_file.h"
#include "engine/wal/hard_state_file.h"
#include "engine/wal/log_map.h"

namespace holdfast {
namespace {

// --- Checksums, or hardly anything would be decoded ---

void RepairCrcAt(size_t at, std::string* bytes) {
  if (bytes->size() < at + 4) return;
  const absl::string_view all = *bytes;
  const uint32_t crc =
      ExtendCrc32c(Crc32c(all.substr(0, at)), all.substr(at + 4));
  StoreInt<uint32_t>(bytes->data() + at, crc);
}

void RepairLastCrc(std::string* bytes) {
  if (bytes->size() < 4) return;
  const size_t at = bytes->size() - 4;
  const uint32_t crc = Crc32c(absl::string_view(*bytes).substr(0, at));
  StoreInt<uint32_t>(bytes->data() + at, crc);
}

// Of an image: the header's, and each block's with its batch's.
void RepairImage(std::string* bytes) {
  if (bytes->size() < kImageHeaderBytes) return;
  std::string header = bytes->substr(0, kImageHeaderBytes);
  RepairCrcAt(12, &header);
  bytes->replace(0, header.size(), header);
  uint32_t chain = LoadInt<uint32_t>(bytes->data() + 12);
  size_t at = kImageHeaderBytes;
  while (bytes->size() - at >= kImageBlockBytes) {
    char* const block = bytes->data() + at;
    const bool end = LoadInt<uint32_t>(block) == 0x6e456648;
    const size_t size = end ? 0 : LoadInt<uint32_t>(block + 28);
    if (size > bytes->size() - at - kImageBlockBytes) break;
    if (size >= 8) {
      char* const batch = block + kImageBlockBytes;
      StoreInt<uint32_t>(batch + 4, Crc32c({batch + 8, size - 8}));
    }
    chain = ExtendCrc32c(chain, {block + 8, 24});
    chain = ExtendCrc32c(chain, {block + kImageBlockBytes, size});
    StoreInt<uint32_t>(block + 32, chain);
    StoreInt<uint32_t>(block + 4, Crc32c({block + 8, kImageBlockBytes - 8}));
    if (end) break;
    at += kImageBlockBytes + size;
  }
}

// --- Each format ---

void TryHardState(absl::string_view bytes) {
  absl::StatusOr<HardStateCopy> copy = DecodeHardStateCopy(bytes);
  if (copy.ok()) CHECK_LE(kHardStateBytes, bytes.size());
}

void TryConfiguration(absl::string_view bytes) {
  absl::StatusOr<Configuration> c = DecodeConfiguration(bytes);
  if (!c.ok()) return;
  CHECK(EncodeConfiguration(*c).view() == bytes);
  CHECK(!c->Everyone().empty());
  for (const Member& m : c->Everyone()) CHECK(c->Find(m.id) != nullptr);
}

void TryMap(absl::string_view bytes) {
  absl::StatusOr<LogMap> map = DecodeLogMap(bytes);
  if (map.ok()) CHECK(EncodeLogMap(*map).view() == bytes);
}

void TrySessions(absl::string_view bytes) {
  absl::StatusOr<Sessions> sessions = Sessions::Decode(bytes);
  if (sessions.ok()) CHECK(sessions->Encode().view() == bytes);
}

void TryCheckpoint(absl::string_view bytes) {
  absl::StatusOr<Checkpoint> c = DecodeCheckpoint(Buffer::Copy(bytes));
  if (!c.ok()) return;
  CHECK_EQ(CheckpointBytes(*c), bytes.size());
  // But for the reserved bytes, which are written as zeroes.
  std::string expected(bytes);
  expected.replace(116, 4, 4, '\0');
  RepairCrcAt(12, &expected);
  CHECK(EncodeCheckpoint(*c).view() == expected);
  TryConfiguration(c->configuration.view());
  TryMap(c->map.view());
  absl::StatusOr<LogState> state = LogState::Of(*c);
  if (!state.ok()) return;
  const Checkpoint again = state->MakeCheckpoint();
  CHECK(again.point == c->point);
  CHECK(again.configuration.view() == c->configuration.view());
  CHECK(again.state.view() == c->state.view());
}

void TryIdentity(absl::string_view bytes) {
  absl::StatusOr<Identity> identity = DecodeIdentity(bytes);
  if (!identity.ok()) return;
  absl::StatusOr<Identity> again =
      DecodeIdentity(EncodeIdentity(*identity).view());
  CHECK(again.ok());
  CHECK(*again == *identity);
}

void TryPeers(absl::string_view bytes) {
  absl::StatusOr<PeerBoots::Boots> boots = PeerBoots::Decode(bytes);
  if (!boots.ok()) return;
  absl::StatusOr<PeerBoots::Boots> again =
      PeerBoots::Decode(PeerBoots::Encode(*boots).view());
  CHECK(again.ok());
  CHECK(*again == *boots);
}

void TryImage(absl::string_view bytes) {
  ImageDecoder decoder;
  ImageEncoder encoder;
  std::string encoded;
  Offset end;
  bool first = true;
  while (!decoder.complete()) {
    const bool has_header = decoder.position() > 0;
    const absl::string_view piece =
        bytes.substr(decoder.position(), decoder.wanted());
    if (!decoder.Take(Buffer::Copy(piece)).ok()) return;
    if (!has_header) {
      encoded = std::string(encoder.Begin(decoder.header()).view());
      end = decoder.header().first_offset;
    }
    if (!decoder.batch().has_value()) continue;
    const ImageBatch& batch = *decoder.batch();
    CHECK(first ? batch.base_offset <= end : batch.base_offset == end);
    CHECK_LT(end, batch.end());
    first = false;
    end = batch.end();
    absl::StrAppend(&encoded, Flatten(encoder.Add(batch)).view());
  }
  CHECK_EQ(end, decoder.header().end_offset);
  absl::StrAppend(&encoded, encoder.End().view());
  CHECK_EQ(encoded.size(), decoder.position());
  CHECK_EQ(decoder.counts().records, encoder.counts().records);
  // What was encoded anew is an image, too, if the records' places are.
  CHECK(encoded.substr(16, 32) == bytes.substr(16, 32));
}

void TryPayloads(absl::string_view bytes) {
  if (absl::StatusOr<Recovered> r = DecodeRecovered(bytes); r.ok()) {
    CHECK(EncodeRecovered(*r).view() == bytes);
    CHECK(!Describe(*r).empty());
  }
  if (absl::StatusOr<SessionLimits> s = DecodeSessionLimits(bytes); s.ok()) {
    CHECK(EncodeSessionLimits(*s).view() == bytes);
  }
  if (absl::StatusOr<Offset> trim = DecodeTrim(bytes); trim.ok()) {
    CHECK(EncodeTrim(*trim).view() == bytes);
  }
}

void Try(int format, bool repair, std::string bytes) {
  switch (format % 9) {
    case 0:
      bytes.resize(std::min(bytes.size(), kHardStateBytes));  // as it is read
      if (repair) RepairCrcAt(12, &bytes);
      return TryHardState(bytes);
    case 1:
      if (repair) RepairCrcAt(12, &bytes);
      return TryCheckpoint(bytes);
    case 2:
      if (repair) RepairLastCrc(&bytes);
      return TryIdentity(bytes);
    case 3:
      if (repair) RepairLastCrc(&bytes);
      return TryPeers(bytes);
    case 4:
      return TryConfiguration(bytes);
    case 5:
      return TryMap(bytes);
    case 6:
      return TrySessions(bytes);
    case 7:
      if (repair) RepairImage(&bytes);
      return TryImage(bytes);
    default:
      return TryPayloads(bytes);
  }
}

}  // namespace
}  // namespace holdfast

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  holdfast::Try(data[0] & 127, data[0] >= 128,
                std::string(reinterpret_cast<const char*>(data) + 1, size - 1));
  return 0;
}
