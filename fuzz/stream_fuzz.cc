// A stranger at a server's port: arbitrary bytes in arbitrary pieces, as they
// are or as messages' headers, in plaintext, in place of a TLS handshake,
// behind a good one, or with a good one's bytes changed on their way. Whatever
// comes, the server hands on only streams with a good hello, keeps none
// longer than its deadlines say, and accepts a good peer afterwards.
//
// The input: how (4 bytes), then pieces: a length, and so many bytes; length 0:
// time passes. The seeds are a good hello of each kind, as hello_fuzz has them,
// and a little behind it, and the first bytes of a handshake.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/base/bytes.h"
#include "engine/base/check.h"
#include "engine/base/crc32c.h"
#include "engine/peer/acceptor.h"
#include "engine/peer/dialer.h"
#include "engine/peer/message.h"
#include "engine/peer/plaintext.h"
#include "engine/peer/testing/manual_loop.h"
#include "engine/peer/testing/memory_network.h"
#include "transport/tls.h"
#include "transport/tls_authority.h"

namespace holdfast {
namespace {

constexpr char kAddress[] = "server:1";
constexpr char kCluster[] = "c";

enum class Mode { kPlaintext, kNoHandshake, kBehindHandshake, kRelayed };

// --- Certificates, the same for all inputs ---

const TlsAuthority& Authority() {
  static const TlsAuthority* const kAuthority = new TlsAuthority(
      *TlsAuthority::Create(kCluster, {WallTime(), WallTime(24h)}));
  return *kAuthority;
}

TlsCredentials Issue(PeerIdentity::Kind kind, const char* name) {
  PeerIdentity identity;
  identity.kind = kind;
  identity.cluster = kCluster;
  identity.name = name;
  identity.role = ClientRole::kWrite;
  return *Authority().Issue(identity, {}, {WallTime(), WallTime(24h)});
}

std::unique_ptr<Security> MakeSecurity(ManualLoop* loop, Mode mode,
                                       const TlsCredentials& credentials) {
  if (mode == Mode::kPlaintext) return std::make_unique<Plaintext>(loop);
  return *TlsSecurity::Create(loop, credentials);
}

struct Certificates {
  TlsCredentials acceptor = Issue(PeerIdentity::Kind::kServer, "1");
  TlsCredentials server = Issue(PeerIdentity::Kind::kServer, "2");
  TlsCredentials client = Issue(PeerIdentity::Kind::kClient, "app");
};

const Certificates& Certs() {
  static const Certificates* const kCertificates = new Certificates;
  return *kCertificates;
}

// --- The server ---

class Server {
 public:
  Server(ManualLoop* loop, MemoryNetwork* network, Security* security)
      : acceptor_(loop, network, security, {.cluster_name = kCluster},
                  {.judge = [](const PeerIdentity&,
                               const Hello&) -> HelloVerdict { return Own(); },
                   .on_raft =
                       [this](InboundStream in) {
                         CHECK(in.hello.kind == StreamKind::kRaft);
                         Take(std::move(in));
                       },
                   .on_client =
                       [this](InboundStream in) {
                         CHECK(in.hello.kind == StreamKind::kClient);
                         CHECK(in.peer.kind != PeerIdentity::Kind::kServer);
                         Take(std::move(in));
                       },
                   .log_line = [](absl::string_view) {}}) {
    CHECK(acceptor_.Listen(kAddress).ok());
  }

  const Acceptor& acceptor() const { return acceptor_; }
  size_t open() const {
    return static_cast<size_t>(
        std::count_if(streams_.begin(), streams_.end(),
                      [](const auto& s) { return s != nullptr; }));
  }

 private:
  static Hello Own() {
    Hello own;
    own.cluster_name = kCluster;
    own.server_id = ServerId(1);
    own.incarnation = Incarnation(77);
    return own;
  }

  void Take(InboundStream in) {
    CHECK(!CheckHello(in.hello, in.peer, in.hello.kind, kCluster).has_value());
    const size_t i = streams_.size();
    streams_.push_back(std::move(in.stream));
    streams_[i]->Start({.on_message =
                            [](const MessageView& m) {
                              CHECK_LE(m.header.size() + m.payload.size(),
                                       kMessageBytesMax);
                            },
                        .on_closed =
                            [this, i](const absl::Status& why) {
                              CHECK(!why.ok());
                              streams_[i] = nullptr;
                            }});
  }

  std::vector<std::unique_ptr<MessageStream>> streams_;
  Acceptor acceptor_;
};

// --- The stranger ---

// One who says what the pieces say on whatever stream it is given.
class Stranger {
 public:
  Stranger(ManualLoop* loop, ByteReader pieces, bool as_messages)
      : loop_(loop), pieces_(pieces), as_messages_(as_messages) {}

  // Until there are no more, or the stream has ended.
  void Speak(Connection* connection) {
    Drain(connection);
    while (!pieces_.rest().empty()) {
      const size_t size = pieces_.Int<uint8_t>();
      const std::string piece(
          pieces_.Bytes(std::min(size, pieces_.rest().size())));
      if (piece.empty()) {
        loop_->RunFor(700ms);
        continue;
      }
      bool written = false;
      connection->Write({Buffer::Copy(as_messages_ ? Message(piece) : piece)},
                        [&](const absl::Status& s) { written = s.ok(); });
      loop_->RunDue();
      if (!written) return;
    }
  }

 private:
  // Its type, and its Protobuf header.
  static std::string Message(absl::string_view piece) {
    std::string bytes(kFrameHeaderBytes, '\0');
    FrameHeader frame;
    frame.type = static_cast<WireType>(piece[0]);
    frame.header_length = static_cast<uint16_t>(piece.size() - 1);
    frame.length = frame.header_length;
    EncodeFrameHeader(frame, bytes.data());
    frame.crc = ExtendCrc32c(FrameHeaderCrc(bytes.data()), piece.substr(1));
    EncodeFrameHeader(frame, bytes.data());
    return bytes.append(piece.data() + 1, piece.size() - 1);
  }

  // Takes whatever comes.
  static void Drain(Connection* connection) {
    connection->Read(4096, [connection](absl::StatusOr<Buffer> bytes) {
      if (bytes.ok() && !bytes->empty()) Drain(connection);
    });
  }

  ManualLoop* const loop_;
  ByteReader pieces_;
  const bool as_messages_;
};

std::unique_ptr<Connection> Dial(ManualLoop* loop, MemoryNetwork* network) {
  std::unique_ptr<Connection> raw;
  auto dial = network->Dial(kAddress,
                            [&](absl::StatusOr<std::unique_ptr<Connection>> c) {
                              raw = *std::move(c);
                            });
  loop->RunDue();
  CHECK(raw != nullptr);
  return raw;
}

// Bytes from one to the other, as they come, the next one changed by each
// piece.
class Relay {
 public:
  Relay(Connection* from, Connection* to, ByteReader* changes)
      : from_(from), to_(to), changes_(changes) {
    Next();
  }

 private:
  void Next() {
    from_->Read(4096, [this](absl::StatusOr<Buffer> read) {
      if (!read.ok() || read->empty()) return;
      std::string bytes(read->view());
      if (changes_ != nullptr && changes_->rest().size() >= 3) {
        const size_t at = changes_->Int<uint16_t>() % bytes.size();
        bytes[at] = static_cast<char>(bytes[at] ^ changes_->Int<uint8_t>());
      }
      to_->Write({Buffer::Copy(bytes)}, [this](const absl::Status& written) {
        if (written.ok()) Next();
      });
    });
  }

  Connection* const from_;
  Connection* const to_;
  ByteReader* const changes_;
};

void RunStranger(Mode mode, uint8_t flags, uint8_t preface, ByteReader pieces,
                 ManualLoop* loop, MemoryNetwork* network) {
  std::unique_ptr<Connection> connection = Dial(loop, network);
  if (mode == Mode::kPlaintext || mode == Mode::kNoHandshake) {
    Stranger stranger(loop, pieces, (flags & 1) != 0);
    connection->Write({Buffer::Copy({reinterpret_cast<char*>(&preface), 1})},
                      [](const absl::Status&) {});
    loop->RunDue();
    return stranger.Speak(connection.get());
  }
  auto security = MakeSecurity(
      loop, mode, (flags & 2) != 0 ? Certs().server : Certs().client);
  std::unique_ptr<Connection> near = std::move(connection);
  std::unique_ptr<Connection> far;
  std::optional<Relay> there;
  std::optional<Relay> back;
  ByteReader changes = pieces;
  if (mode == Mode::kRelayed) {
    far = std::move(near);
    auto [mine, relayed] = network->Pair();
    near = std::move(mine);
    connection = std::move(relayed);
    there.emplace(connection.get(), far.get(),
                  (flags & 4) != 0 ? &changes : nullptr);
    back.emplace(far.get(), connection.get(),
                 (flags & 4) == 0 ? &changes : nullptr);
  }
  std::optional<absl::StatusOr<SecuredConnection>> secured;
  auto handshake = security->Connect(
      std::move(near), Buffer::Copy({reinterpret_cast<char*>(&preface), 1}), "",
      [&](absl::StatusOr<SecuredConnection> s) { secured = std::move(s); });
  loop->RunFor(1ms);
  if (secured.has_value() && secured->ok()) {
    Stranger stranger(loop, pieces, (flags & 1) != 0);
    stranger.Speak((*secured)->connection.get());
  }
  if ((flags & 8) != 0) loop->RunFor(30s);
}

void CheckGoodPeer(ManualLoop* loop, MemoryNetwork* network,
                   Security* security) {
  DialOptions options;
  options.address = kAddress;
  options.hello.kind = StreamKind::kRaft;
  options.hello.cluster_name = kCluster;
  options.hello.server_id = ServerId(2);
  std::optional<absl::StatusOr<OutboundStream>> dialed;
  auto dial = DialServer(loop, network, security, std::move(options),
                         [&](absl::StatusOr<OutboundStream> stream) {
                           dialed = std::move(stream);
                         });
  loop->RunFor(10ms);
  CHECK(dialed.has_value());
  CHECK_EQ(std::string(dialed->status().message()), "");
}

void Run(ByteReader r) {
  const Mode mode = static_cast<Mode>(r.Int<uint8_t>() % 4);
  const uint8_t flags = r.Int<uint8_t>();
  const uint8_t preface = r.Int<uint8_t>();
  const uint8_t read_max = r.Int<uint8_t>();
  ManualLoop loop;
  MemoryNetwork network(&loop);
  if (read_max > 0) network.set_read_max(read_max);
  auto security = MakeSecurity(&loop, mode, Certs().acceptor);
  auto good = MakeSecurity(&loop, mode, Certs().server);
  {
    Server server(&loop, &network, security.get());
    RunStranger(mode, flags, preface, r, &loop, &network);
    // Whether it is still there or not.
    loop.RunFor(60s);
    CHECK_EQ(server.acceptor().pending(), size_t{0});
    CHECK_EQ(server.open(), size_t{0});
    const AcceptorCounts c = server.acceptor().counts();
    CHECK_EQ(c.accepted + c.refused_full + c.refused_first_byte +
                 c.refused_handshake + c.refused_hello + c.timed_out + c.lost,
             uint64_t{1});
    network.set_read_max(SIZE_MAX);
    CheckGoodPeer(&loop, &network, good.get());
    CHECK_EQ(server.acceptor().counts().accepted, c.accepted + 1);
  }
}

}  // namespace
}  // namespace holdfast

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 4 || size > 4096) return 0;
  holdfast::Run(holdfast::ByteReader(
      absl::string_view(reinterpret_cast<const char*>(data), size)));
  return 0;
}
