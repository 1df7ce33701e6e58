// Arbitrary bytes as a hello or a refusal: decoding bounds them, what is
// decoded survives its encoding, and every judgement of it is one printable
// line.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/string_view.h"
#include "engine/base/check.h"
#include "engine/env/network.h"
#include "engine/peer/hello.h"
#include "engine/peer/message.h"

namespace holdfast {
namespace {

void CheckOneLine(absl::string_view text) {
  for (char c : text) {
    CHECK(!absl::ascii_iscntrl(static_cast<unsigned char>(c)));
  }
}

MessageView MessageOf(WireType type, absl::string_view header) {
  MessageView message;
  message.type = type;
  message.header = header;
  return message;
}

void TryHello(absl::string_view bytes) {
  absl::StatusOr<Hello> hello = DecodeHello(MessageOf(WireType::kHello, bytes));
  if (!hello.ok()) return CheckOneLine(hello.status().message());
  CheckOneLine(Describe(*hello));
  const std::string encoded = EncodeHello(*hello);
  CHECK_LE(encoded.size(), kHelloBytesMax);
  absl::StatusOr<Hello> again =
      DecodeHello(MessageOf(WireType::kHello, encoded));
  CHECK(again.ok());
  CHECK(*again == *hello);

  PeerIdentity identities[3];
  identities[1].kind = PeerIdentity::Kind::kServer;
  identities[1].cluster = "c";
  identities[1].name = "1";
  identities[2].kind = PeerIdentity::Kind::kClient;
  identities[2].cluster = "c";
  identities[2].name = "app";
  for (const PeerIdentity& identity : identities) {
    for (StreamKind kind : {StreamKind::kRaft, StreamKind::kClient}) {
      const std::optional<Refusal> refusal =
          CheckHello(*hello, identity, kind, "c");
      if (refusal.has_value()) {
        CheckOneLine(ToStatus(*refusal).message());
      } else {
        // What every accepted hello must hold.
        CHECK(hello->kind == kind);
        CHECK(identity.kind != PeerIdentity::Kind::kClient ||
              kind == StreamKind::kClient);
        CHECK(identity.kind != PeerIdentity::Kind::kServer ||
              hello->server_id == ServerId(1));
      }
    }
  }
}

void TryRefusal(absl::string_view bytes) {
  absl::StatusOr<Refusal> refusal =
      DecodeRefusal(MessageOf(WireType::kRefusal, bytes));
  if (!refusal.ok()) return;
  CheckOneLine(ToStatus(*refusal).message());
  const std::string encoded = EncodeRefusal(*refusal);
  CHECK_LE(encoded.size(), kHelloBytesMax);
  absl::StatusOr<Refusal> again =
      DecodeRefusal(MessageOf(WireType::kRefusal, encoded));
  CHECK(again.ok());
  CHECK(*again == *refusal);
}

}  // namespace
}  // namespace holdfast

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view input(reinterpret_cast<const char*>(data), size);
  holdfast::TryHello(input);
  holdfast::TryRefusal(input);
  return 0;
}
