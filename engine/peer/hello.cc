#include "engine/peer/hello.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "engine/peer/peer.pb.h"

namespace holdfast {
namespace {

constexpr size_t kNameBytesMax = 255;
constexpr size_t kRefusalTextBytesMax = 2048;
constexpr RefusalReason kReasonMax = RefusalReason::kOldCopy;
// Under which a status made of a refusal carries the reason's number.
constexpr char kReasonUrl[] = "holdfast/refusal-reason";

absl::Status NotAHello(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("hello: ", what));
}

// What someone else says of himself, in a line for people.
std::string Quoted(absl::string_view name) {
  return absl::StrCat("\"", OneLine(name.substr(0, kNameBytesMax)), "\"");
}

Refusal Refuse(RefusalReason reason, std::string text) {
  return Refusal{.reason = reason, .text = std::move(text)};
}

std::optional<Refusal> CheckServerCertificate(const Hello& theirs,
                                              const PeerIdentity& peer) {
  if (theirs.server_id.value() == 0) {
    return Refuse(RefusalReason::kRole,
                  absl::StrCat("the certificate is server ", Quoted(peer.name),
                               "'s, the hello is a client's: clients need a "
                               "certificate of their own"));
  }
  if (peer.name != std::to_string(theirs.server_id.value())) {
    return Refuse(
        RefusalReason::kCertificate,
        absl::StrCat("the certificate is server ", Quoted(peer.name),
                     "'s, the hello says server ", theirs.server_id.value(),
                     ": use the certificate that was issued for this id"));
  }
  return std::nullopt;
}

std::optional<Refusal> CheckClientCertificate(const Hello& theirs,
                                              const PeerIdentity& peer,
                                              StreamKind kind) {
  if (kind == StreamKind::kRaft) {
    return Refuse(RefusalReason::kRole,
                  absl::StrCat("the certificate is client ", Quoted(peer.name),
                               "'s: only servers speak Raft"));
  }
  if (theirs.server_id.value() != 0) {
    return Refuse(
        RefusalReason::kCertificate,
        absl::StrCat("the certificate is client ", Quoted(peer.name),
                     "'s, the hello says server ", theirs.server_id.value()));
  }
  if (!theirs.client_name.empty() && theirs.client_name != peer.name) {
    return Refuse(
        RefusalReason::kCertificate,
        absl::StrCat("the certificate is client ", Quoted(peer.name),
                     "'s, the hello says ", Quoted(theirs.client_name)));
  }
  return std::nullopt;
}

}  // namespace

std::string OneLine(absl::string_view text) {
  std::string line(text.substr(0, kRefusalTextBytesMax));
  for (char& c : line) {
    if (absl::ascii_iscntrl(static_cast<unsigned char>(c))) c = '?';
    if (c == '"') c = '\'';
  }
  return line;
}

const char* ToString(RefusalReason reason) {
  switch (reason) {
    case RefusalReason::kUnspecified:
      break;
    case RefusalReason::kVersion:
      return "version";
    case RefusalReason::kKind:
      return "kind";
    case RefusalReason::kCluster:
      return "foreign cluster";
    case RefusalReason::kCertificate:
      return "certificate";
    case RefusalReason::kRole:
      return "role";
    case RefusalReason::kIncarnation:
      return "join anew";
    case RefusalReason::kNotMember:
      return "not a member";
    case RefusalReason::kMalformed:
      return "malformed";
    case RefusalReason::kBusy:
      return "busy";
    case RefusalReason::kOldCopy:
      return "older copy";
  }
  return "unspecified";
}

absl::Status ToStatus(const Refusal& refusal) {
  // All but one need somebody to change something.
  absl::Status status(
      refusal.reason == RefusalReason::kBusy
          ? absl::StatusCode::kUnavailable
          : absl::StatusCode::kFailedPrecondition,
      absl::StrCat("refused (", ToString(refusal.reason), "): ", refusal.text));
  status.SetPayload(kReasonUrl,
                    absl::Cord(absl::StrCat(static_cast<int>(refusal.reason))));
  return status;
}

std::optional<RefusalReason> ReasonOf(const absl::Status& status) {
  const absl::optional<absl::Cord> payload = status.GetPayload(kReasonUrl);
  int number = 0;
  if (!payload.has_value() ||
      !absl::SimpleAtoi(std::string(*payload), &number)) {
    return std::nullopt;
  }
  return static_cast<RefusalReason>(number);
}

absl::Status WithContext(absl::string_view context,
                         const absl::Status& status) {
  absl::Status with(status.code(),
                    absl::StrCat(context, ": ", status.message()));
  status.ForEachPayload([&](absl::string_view url, const absl::Cord& payload) {
    with.SetPayload(url, payload);
  });
  return with;
}

std::string Describe(const Hello& hello) {
  if (hello.server_id.value() == 0) {
    return absl::StrCat("client ", Quoted(hello.client_name));
  }
  return absl::StrCat("server ", hello.server_id.value(), " (incarnation ",
                      absl::Hex(hello.incarnation.value(), absl::kZeroPad16),
                      ", boot ", hello.boot_count, ")");
}

std::string EncodeHello(const Hello& hello) {
  wire::Hello proto;
  proto.set_version_min(hello.version_min);
  proto.set_version_max(hello.version_max);
  proto.set_features(hello.features);
  proto.set_kind(static_cast<uint32_t>(hello.kind));
  proto.set_cluster_name(hello.cluster_name);
  proto.set_cluster_id(hello.cluster_id.value());
  proto.set_server_id(hello.server_id.value());
  proto.set_incarnation(hello.incarnation.value());
  proto.set_boot_count(hello.boot_count);
  for (uint64_t life : hello.lives) proto.add_lives(life);
  proto.set_client_name(hello.client_name);
  proto.set_configuration_index(hello.configuration_index.value());
  proto.set_address(hello.address);
  proto.set_feature_level_max(hello.feature_level_max);
  return proto.SerializeAsString();
}

std::string EncodeRefusal(const Refusal& refusal) {
  wire::Refusal proto;
  proto.set_reason(static_cast<uint32_t>(refusal.reason));
  proto.set_text(refusal.text.substr(0, kRefusalTextBytesMax));
  return proto.SerializeAsString();
}

absl::StatusOr<Hello> DecodeHello(const MessageView& message) {
  if (message.type != WireType::kHello) {
    return NotAHello(absl::StrCat("expected as the first message, found type ",
                                  static_cast<int>(message.type)));
  }
  wire::Hello proto;
  if (!message.payload.empty() ||
      !proto.ParseFromArray(message.header.data(),
                            static_cast<int>(message.header.size()))) {
    return NotAHello("its bytes can't be read");
  }
  if (proto.kind() != static_cast<uint32_t>(StreamKind::kRaft) &&
      proto.kind() != static_cast<uint32_t>(StreamKind::kClient)) {
    return NotAHello(absl::StrCat("unknown kind of stream ", proto.kind()));
  }
  if (proto.version_min() == 0 || proto.version_min() > proto.version_max()) {
    return NotAHello(absl::StrCat("versions ", proto.version_min(), " to ",
                                  proto.version_max()));
  }
  if (proto.cluster_name().size() > kNameBytesMax ||
      proto.client_name().size() > kNameBytesMax) {
    return NotAHello(
        absl::StrCat("a name of more than ", kNameBytesMax, " bytes"));
  }
  if (proto.address().size() > kNameBytesMax) {
    return NotAHello(
        absl::StrCat("an address of more than ", kNameBytesMax, " bytes"));
  }
  if (proto.lives_size() > static_cast<int>(kHelloLivesMax)) {
    return NotAHello(absl::StrCat("more than ", kHelloLivesMax, " lives"));
  }
  Hello hello;
  hello.version_min = proto.version_min();
  hello.version_max = proto.version_max();
  hello.features = proto.features();
  hello.kind = static_cast<StreamKind>(proto.kind());
  hello.cluster_name = proto.cluster_name();
  hello.cluster_id = ClusterId(proto.cluster_id());
  hello.server_id = ServerId(proto.server_id());
  hello.incarnation = Incarnation(proto.incarnation());
  hello.boot_count = proto.boot_count();
  hello.lives.assign(proto.lives().begin(), proto.lives().end());
  hello.client_name = proto.client_name();
  hello.configuration_index = Index(proto.configuration_index());
  hello.address = proto.address();
  hello.feature_level_max =
      std::max(proto.feature_level_max(), kFeatureLevelMin);
  return hello;
}

absl::StatusOr<Refusal> DecodeRefusal(const MessageView& message) {
  wire::Refusal proto;
  if (message.type != WireType::kRefusal ||
      !proto.ParseFromArray(message.header.data(),
                            static_cast<int>(message.header.size()))) {
    return NotAHello("neither a hello nor a refusal came");
  }
  Refusal refusal;
  // A reason from a later version is still a refusal.
  refusal.reason = proto.reason() <= static_cast<uint32_t>(kReasonMax)
                       ? static_cast<RefusalReason>(proto.reason())
                       : RefusalReason::kUnspecified;
  refusal.text = OneLine(proto.text());
  return refusal;
}

absl::StatusOr<Hello> DecodeHelloAnswer(const MessageView& message) {
  if (message.type != WireType::kRefusal) return DecodeHello(message);
  absl::StatusOr<Refusal> refusal = DecodeRefusal(message);
  if (!refusal.ok()) return refusal.status();
  return ToStatus(*refusal);
}

std::optional<uint32_t> AgreeOnVersion(const Hello& a, const Hello& b) {
  const uint32_t version = std::min(a.version_max, b.version_max);
  if (version < std::max(a.version_min, b.version_min)) return std::nullopt;
  return version;
}

std::optional<Refusal> CheckHello(const Hello& theirs, const PeerIdentity& peer,
                                  StreamKind kind,
                                  absl::string_view cluster_name) {
  if (!AgreeOnVersion(Hello{}, theirs).has_value()) {
    return Refuse(RefusalReason::kVersion,
                  absl::StrCat("protocol versions ", theirs.version_min, " to ",
                               theirs.version_max, " are offered, ",
                               kProtocolVersionMin, " to ", kProtocolVersionMax,
                               " are spoken here: upgrade the older side"));
  }
  if (theirs.kind != kind) {
    return Refuse(RefusalReason::kKind,
                  absl::StrCat("the connection's first byte says ",
                               static_cast<int>(kind), ", the hello says ",
                               static_cast<int>(theirs.kind)));
  }
  const bool proved = peer.kind != PeerIdentity::Kind::kUnproved;
  // What is proved counts more than what is said.
  for (absl::string_view name :
       {absl::string_view(theirs.cluster_name),
        absl::string_view(proved ? peer.cluster : theirs.cluster_name)}) {
    if (!name.empty() && !cluster_name.empty() && name != cluster_name) {
      return Refuse(RefusalReason::kCluster,
                    absl::StrCat("cluster ", Quoted(name), " is asked for, ",
                                 "this is ", Quoted(cluster_name)));
    }
  }
  if (kind == StreamKind::kRaft && theirs.server_id.value() == 0) {
    return Refuse(RefusalReason::kMalformed,
                  "a Raft stream's hello must name a server");
  }
  if (peer.kind == PeerIdentity::Kind::kServer) {
    return CheckServerCertificate(theirs, peer);
  }
  if (peer.kind == PeerIdentity::Kind::kClient) {
    return CheckClientCertificate(theirs, peer, kind);
  }
  return std::nullopt;
}

}  // namespace holdfast
