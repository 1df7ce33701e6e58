#include "engine/wal/log_map.h"

#include <string>

#include "engine/base/bytes.h"

namespace holdfast {
namespace {

constexpr size_t kSegmentBytes = 16;

}  // namespace

Buffer EncodeLogMap(const LogMap& map) {
  const std::string terms = EncodeTermRuns(map.terms);
  Buffer bytes = Buffer::Uninitialized(terms.size() + 4 +
                                       map.segments.size() * kSegmentBytes);
  ByteWriter w(bytes.data_mutable(), bytes.size());
  w.Bytes(terms);
  w.Int<uint32_t>(static_cast<uint32_t>(map.segments.size()));
  for (const SegmentStart& s : map.segments) {
    w.Int<uint64_t>(s.id);
    w.Int<uint64_t>(s.first.value());
  }
  return bytes;
}

absl::StatusOr<LogMap> DecodeLogMap(absl::string_view bytes) {
  absl::StatusOr<std::vector<TermRun>> terms = DecodeTermRuns(bytes);
  if (!terms.ok()) return terms.status();
  LogMap map;
  map.terms = *std::move(terms);
  ByteReader r(bytes.substr(EncodeTermRuns(map.terms).size()));
  const uint32_t count = r.Int<uint32_t>();
  if (!r.ok() || r.rest().size() != count * kSegmentBytes) {
    return absl::DataLossError("map of the log: its length is wrong");
  }
  for (uint32_t i = 0; i < count; ++i) {
    const uint64_t id = r.Int<uint64_t>();
    map.segments.push_back(SegmentStart{id, Index(r.Int<uint64_t>())});
  }
  return map;
}

}  // namespace holdfast
