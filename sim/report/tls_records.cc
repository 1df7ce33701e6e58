#include "sim/report/tls_records.h"

#include "absl/strings/str_cat.h"

namespace holdfast {
namespace {

constexpr size_t kHeaderBytes = 5;  // type, version, length

const char* TypeName(uint8_t type) {
  switch (type) {
    case 20:
      return "change of cipher";
    case 21:
      return "alert";
    case 22:
      return "hello";  // no other handshake message is in the clear
    case 23:
      return "ciphertext";
    default:
      return "unknown";
  }
}

}  // namespace

WireText Describe(const TlsRecord& record) {
  return {
      .name = "TlsRecord",
      .group = MessageGroup::kTls,
      .text = absl::StrCat(TypeName(record.type), ", ", record.bytes, " bytes"),
      .exchange = {}};
}

std::optional<TlsRecord> TlsRecordReader::Next() {
  if (pending_.size() < kHeaderBytes) return std::nullopt;
  const auto byte = [this](size_t i) {
    return static_cast<uint8_t>(pending_[i]);
  };
  const TlsRecord record{.type = byte(0),
                         .bytes = size_t{byte(3)} << 8 | byte(4)};
  if (pending_.size() < kHeaderBytes + record.bytes) return std::nullopt;
  pending_.erase(0, kHeaderBytes + record.bytes);
  return record;
}

}  // namespace holdfast
