#include "engine/wal/frame.h"

#include "absl/status/status.h"
#include "engine/base/bytes.h"
#include "engine/base/crc32c.h"

namespace holdfast {
namespace {

constexpr uint32_t kFrameMagic = 0x72466648;  // "HfFr"
constexpr size_t kRunBytes = 16;

uint32_t HeaderCrc(absl::string_view bytes, uint64_t position) {
  return ExtendCrc32c(static_cast<uint32_t>(position), bytes);
}

}  // namespace

void EncodeLogFrameHeader(const LogFrameHeader& header, uint64_t position,
                          char* to) {
  ByteWriter w(to, kLogFrameHeaderBytes);
  w.Int<uint32_t>(kFrameMagic);
  w.Int<uint32_t>(0);  // header_crc, below
  w.Int<uint64_t>(header.segment);
  w.Int<uint64_t>(header.index.value());
  w.Int<uint64_t>(header.term.value());
  w.Int<uint64_t>(header.prev_term.value());
  w.Int<uint64_t>(header.commit.value());
  w.Int<uint32_t>(header.synced_to);
  w.Int<uint32_t>(header.body_size);
  w.Int<uint32_t>(header.body_crc);
  w.Int<uint32_t>(static_cast<uint32_t>(header.kind));
  const absl::string_view rest(to + 8, kLogFrameHeaderBytes - 8);
  StoreInt<uint32_t>(to + 4, HeaderCrc(rest, position));
}

std::optional<LogFrameHeader> DecodeLogFrameHeader(absl::string_view bytes,
                                                   uint64_t segment,
                                                   uint64_t position) {
  if (bytes.size() < kLogFrameHeaderBytes) return std::nullopt;
  ByteReader r(bytes.substr(0, kLogFrameHeaderBytes));
  if (r.Int<uint32_t>() != kFrameMagic) return std::nullopt;
  uint32_t crc = r.Int<uint32_t>();
  if (HeaderCrc(r.rest(), position) != crc) return std::nullopt;
  LogFrameHeader h;
  h.segment = r.Int<uint64_t>();
  if (h.segment != segment) return std::nullopt;
  h.index = Index(r.Int<uint64_t>());
  h.term = Term(r.Int<uint64_t>());
  h.prev_term = Term(r.Int<uint64_t>());
  h.commit = Index(r.Int<uint64_t>());
  h.synced_to = r.Int<uint32_t>();
  h.body_size = r.Int<uint32_t>();
  h.body_crc = r.Int<uint32_t>();
  uint32_t kind = r.Int<uint32_t>();
  if (kind != static_cast<uint32_t>(FrameKind::kEntry) &&
      kind != static_cast<uint32_t>(FrameKind::kMark)) {
    return std::nullopt;
  }
  h.kind = static_cast<FrameKind>(kind);
  return h;
}

std::string EncodeTermRuns(const std::vector<TermRun>& runs) {
  std::string body(4 + runs.size() * kRunBytes, '\0');
  ByteWriter w(body.data(), body.size());
  w.Int<uint32_t>(static_cast<uint32_t>(runs.size()));
  for (const TermRun& run : runs) {
    w.Int<uint64_t>(run.first.value());
    w.Int<uint64_t>(run.term.value());
  }
  return body;
}

absl::StatusOr<std::vector<TermRun>> DecodeTermRuns(absl::string_view body) {
  ByteReader r(body);
  uint32_t count = r.Int<uint32_t>();
  if (!r.ok() || r.rest().size() / kRunBytes < count) {
    return absl::DataLossError("mark: its length is wrong");
  }
  std::vector<TermRun> runs;
  for (uint32_t i = 0; i < count; ++i) {
    Index first(r.Int<uint64_t>());
    Term term(r.Int<uint64_t>());
    runs.push_back(TermRun{first, term});
  }
  return runs;
}

}  // namespace holdfast
