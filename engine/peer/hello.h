#ifndef HOLDFAST_ENGINE_PEER_HELLO_H_
#define HOLDFAST_ENGINE_PEER_HELLO_H_

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/base/entry_kind.h"
#include "engine/base/types.h"
#include "engine/env/network.h"
#include "engine/peer/message.h"

namespace holdfast {

// What a connection is for. Its number is the connection's first byte, in
// front of the TLS handshake, and is repeated in the hello.
enum class StreamKind : uint8_t { kRaft = 1, kClient = 2 };

// The versions of this protocol that this code speaks.
inline constexpr uint32_t kProtocolVersionMin = 1;
inline constexpr uint32_t kProtocolVersionMax = 1;
// What a hello message may have before anything else is accepted.
inline constexpr size_t kHelloBytesMax = 4096;
inline constexpr size_t kHelloLivesMax = 64;

// The first message each way on a secured stream: the dialler speaks first,
// the acceptor answers with its own hello or a Refusal.
struct Hello {
  uint32_t version_min = kProtocolVersionMin;
  uint32_t version_max = kProtocolVersionMax;
  // Optional abilities that both must have to use one; none so far.
  uint64_t features = 0;
  StreamKind kind = StreamKind::kRaft;
  // The operators' name of the cluster, as in the certificates. A client may
  // leave it empty (plaintext, where nothing tells it).
  std::string cluster_name;
  // 0: a server that isn't formed, or a client.
  ClusterId cluster_id;
  // A server's own; 0 from a client.
  ServerId server_id;
  Incarnation incarnation;
  uint64_t boot_count = 0;
  // Drawn anew at each start of the server: lives[i] by start boot_count - i.
  std::vector<uint64_t> lives;
  // The log index of the latest configuration that the server knows to be
  // committed: of two servers, the one that knows less believes the other.
  Index configuration_index;
  // How it is reached, for a server whose configuration lacks it.
  Address address;
  // The highest feature level that the server supports (entry_kind.h).
  uint32_t feature_level_max = kFeatureLevelMin;
  // A client's name; empty from a server.
  std::string client_name;

  bool operator==(const Hello&) const = default;
};

// Why a hello is refused. The numbers are on the wire.
enum class RefusalReason : uint8_t {
  kUnspecified = 0,
  kVersion = 1,      // no protocol version in common
  kKind = 2,         // the hello's kind isn't the first byte's
  kCluster = 3,      // another cluster, by name or by id
  kCertificate = 4,  // the hello isn't what the certificate says
  kRole = 5,         // the certificate doesn't allow this kind of stream
  kIncarnation = 6,  // "join anew": the id's data directory is another one
  kNotMember = 7,    // no member of this cluster
  kMalformed = 8,    // not a hello
  kBusy = 9,         // too many connections: try again later
  kOldCopy = 10,     // the id's data directory is an older copy: "join anew"
};

struct Refusal {
  RefusalReason reason = RefusalReason::kUnspecified;
  // For people: what was expected, what was found, what to do.
  std::string text;

  bool operator==(const Refusal&) const = default;
};

// An acceptor's answer to a hello.
using HelloVerdict = std::variant<Hello, Refusal>;

// What somebody else says, made fit for a line of a log or a terminal: control
// characters and double quotes are replaced, and it is cut if very long.
std::string OneLine(absl::string_view text);

const char* ToString(RefusalReason reason);
// FAILED_PRECONDITION with the reason and the text.
absl::Status ToStatus(const Refusal& refusal);
// Of a status that ToStatus has made, or one that was made of it by
// WithContext; nothing of others.
std::optional<RefusalReason> ReasonOf(const absl::Status& status);
// The same error with `context` in front of its text.
absl::Status WithContext(absl::string_view context, const absl::Status& status);
// "server 3 (incarnation 7f..)" or "client \"app\"".
std::string Describe(const Hello& hello);

std::string EncodeHello(const Hello& hello);
std::string EncodeRefusal(const Refusal& refusal);
// INVALID_ARGUMENT when the message isn't a hello within its limits.
absl::StatusOr<Hello> DecodeHello(const MessageView& message);
absl::StatusOr<Refusal> DecodeRefusal(const MessageView& message);
// A dialler's: the acceptor's hello, or its refusal as a Status.
absl::StatusOr<Hello> DecodeHelloAnswer(const MessageView& message);

// The version both speak.
std::optional<uint32_t> AgreeOnVersion(const Hello& a, const Hello& b);

// What each side checks of the other's hello, whatever it is for: version,
// kind, and that it says what the certificate proves. `cluster_name`: this
// side's (empty: not known).
std::optional<Refusal> CheckHello(const Hello& theirs, const PeerIdentity& peer,
                                  StreamKind kind,
                                  absl::string_view cluster_name);

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_PEER_HELLO_H_
