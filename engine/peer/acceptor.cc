#include "engine/peer/acceptor.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"

namespace holdfast {
namespace {

constexpr uint8_t kBareTlsHello = 0x16;
constexpr Duration kLogWindow = 1s;
constexpr int kLogWindowLinesMax = 10;

std::string DescribeFirstByte(uint8_t byte) {
  if (byte == kBareTlsHello) {
    return "it starts with a bare TLS hello: Holdfast's clients send a byte "
           "1 or 2 first";
  }
  return absl::StrCat("its first byte is 0x", absl::Hex(byte, absl::kZeroPad2),
                      ", expected 1 (Raft) or 2 (client)");
}

}  // namespace

// A connection on its way from its first byte to its hello.
struct Acceptor::Pending {
  std::string from;
  StreamKind kind = StreamKind::kRaft;
  PeerIdentity peer;
  bool refused = false;  // lives on only for the peer to read why
  Timer deadline;
  // One of these at a time.
  std::unique_ptr<Connection> raw;
  std::unique_ptr<PendingOp> handshake;
  std::unique_ptr<MessageStream> stream;
};

Acceptor::Acceptor(Loop* loop, Network* network, Security* security,
                   AcceptorOptions options, Callbacks callbacks)
    : loop_(loop),
      network_(network),
      security_(security),
      options_(std::move(options)),
      callbacks_(std::move(callbacks)),
      log_window_start_(loop->Now()) {}

Acceptor::~Acceptor() = default;

absl::Status Acceptor::Listen(const Address& address) {
  CHECK(listener_ == nullptr);
  absl::StatusOr<std::unique_ptr<Listener>> listener =
      network_->Listen(address, [this](std::unique_ptr<Connection> connection) {
        OnAccept(std::move(connection));
      });
  if (!listener.ok()) return listener.status();
  listener_ = *std::move(listener);
  return absl::OkStatus();
}

void Acceptor::Close() {
  listener_ = nullptr;
  pending_.clear();
}

void Acceptor::OnAccept(std::unique_ptr<Connection> connection) {
  if (pending_.size() >= options_.pending_max) {
    // Of those that were refused, or haven't said a byte, the oldest gives way:
    // else they could keep all others out. Not who is in the midst of a
    // handshake.
    const auto silent =
        std::find_if(pending_.begin(), pending_.end(), [](const auto& each) {
          return each.second->refused || each.second->raw != nullptr;
        });
    const std::string why =
        absl::StrCat(pending_.size(),
                     " connections are already waiting to say who they are");
    if (silent == pending_.end()) {
      ++counts_.refused_full;
      return Log(connection->Describe(), why);
    }
    Drop(silent->first, &AcceptorCounts::refused_full, why);
  }
  const uint64_t id = next_id_++;
  auto pending = std::make_unique<Pending>();
  pending->from = connection->Describe();
  pending->raw = std::move(connection);
  pending->deadline = loop_->After(options_.deadline, [this, id] {
    Drop(id, &AcceptorCounts::timed_out,
         absl::StrCat("it didn't say who it is within ",
                      ToMillis(options_.deadline), " ms"));
  });
  pending->raw->Read(1, [this, id](absl::StatusOr<Buffer> byte) {
    OnFirstByte(id, std::move(byte));
  });
  pending_.emplace(id, std::move(pending));
}

void Acceptor::OnFirstByte(uint64_t id, absl::StatusOr<Buffer> byte) {
  if (!byte.ok()) {
    return Drop(id, &AcceptorCounts::lost, byte.status().message());
  }
  if (byte->empty()) {
    return Drop(id, &AcceptorCounts::lost, "it was closed without a byte");
  }
  const uint8_t first = static_cast<uint8_t>(byte->view()[0]);
  if (first != static_cast<uint8_t>(StreamKind::kRaft) &&
      first != static_cast<uint8_t>(StreamKind::kClient)) {
    return Drop(id, &AcceptorCounts::refused_first_byte,
                DescribeFirstByte(first));
  }
  Pending* pending = pending_.at(id).get();
  pending->kind = static_cast<StreamKind>(first);
  pending->handshake =
      security_->Accept(std::move(pending->raw),
                        [this, id](absl::StatusOr<SecuredConnection> secured) {
                          OnSecured(id, std::move(secured));
                        });
}

void Acceptor::OnSecured(uint64_t id,
                         absl::StatusOr<SecuredConnection> secured) {
  if (!secured.ok()) {
    return Drop(id, &AcceptorCounts::refused_handshake,
                secured.status().message());
  }
  Pending* pending = pending_.at(id).get();
  pending->peer = std::move(secured->peer);
  // So little until it has said a good hello.
  MessageStreamOptions small;
  small.message_bytes_max = kHelloBytesMax;
  small.read_bytes = 2 * kHelloBytesMax;
  small.queue_bytes_max = 2 * kHelloBytesMax;
  pending->stream = std::make_unique<MessageStream>(
      loop_, std::move(secured->connection), small);
  MessageStream::Callbacks callbacks;
  callbacks.on_message = [this, id](const MessageView& message) {
    OnHello(id, message);
  };
  callbacks.on_closed = [this, id](const absl::Status& why) {
    Drop(id, &AcceptorCounts::lost, why.message());
  };
  pending->stream->Start(std::move(callbacks));
}

void Acceptor::OnHello(uint64_t id, const MessageView& message) {
  Pending* pending = pending_.at(id).get();
  if (pending->refused) return;
  absl::StatusOr<Hello> hello = DecodeHello(message);
  if (!hello.ok()) {
    return Refuse(id, Refusal{.reason = RefusalReason::kMalformed,
                              .text = std::string(hello.status().message())});
  }
  if (std::optional<Refusal> bad = CheckHello(
          *hello, pending->peer, pending->kind, options_.cluster_name)) {
    return Refuse(id, *bad);
  }
  if (pending->kind == StreamKind::kClient &&
      pending->peer.kind == PeerIdentity::Kind::kServer) {
    return Refuse(
        id, Refusal{.reason = RefusalReason::kRole,
                    .text = "the certificate is a server's: clients need one "
                            "of their own"});
  }
  HelloVerdict verdict = callbacks_.judge(pending->peer, *hello);
  if (Refusal* refusal = std::get_if<Refusal>(&verdict)) {
    return Refuse(id, *refusal);
  }
  HandOn(id, std::get<Hello>(std::move(verdict)), *std::move(hello));
}

void Acceptor::HandOn(uint64_t id, Hello reply, Hello theirs) {
  auto it = pending_.find(id);
  const std::unique_ptr<Pending> pending = std::move(it->second);
  pending_.erase(it);
  ++counts_.accepted;
  pending->stream->Detach();
  const bool raft = pending->kind == StreamKind::kRaft;
  pending->stream->set_options(raft ? options_.raft_stream
                                    : options_.client_stream);
  reply.kind = pending->kind;
  const std::string encoded = EncodeHello(reply);
  OutMessage message;
  message.type = WireType::kHello;
  message.header = encoded;
  pending->stream->Send(message);
  InboundStream inbound{.peer = std::move(pending->peer),
                        .hello = std::move(theirs),
                        .stream = std::move(pending->stream)};
  // Last: it may destroy the Acceptor.
  (raft ? callbacks_.on_raft : callbacks_.on_client)(std::move(inbound));
}

void Acceptor::Refuse(uint64_t id, const Refusal& refusal) {
  Pending* pending = pending_.at(id).get();
  ++counts_.refused_hello;
  Log(pending->from, ToStatus(refusal).message());
  pending->refused = true;
  const std::string encoded = EncodeRefusal(refusal);
  OutMessage message;
  message.type = WireType::kRefusal;
  message.header = encoded;
  pending->stream->Send(message);
  // Until the peer closes, or the deadline: closing at once could take the
  // refusal away from it.
  pending->stream->FinishSending();
}

void Acceptor::Drop(uint64_t id, uint64_t AcceptorCounts::*count,
                    absl::string_view why) {
  auto it = pending_.find(id);
  CHECK(it != pending_.end());
  const std::unique_ptr<Pending> pending = std::move(it->second);
  pending_.erase(it);
  if (pending->refused) return;  // counted and logged then
  ++(counts_.*count);
  Log(pending->from, why);
}

void Acceptor::Log(absl::string_view from, absl::string_view why) {
  if (!callbacks_.log_line) return;
  if (loop_->Now() - log_window_start_ >= kLogWindow) {
    log_window_start_ = loop_->Now();
    log_window_lines_ = 0;
  }
  if (++log_window_lines_ > kLogWindowLinesMax) {
    ++log_lines_dropped_;
    return;
  }
  std::string line = absl::StrCat("event=connection_refused from=", from,
                                  " why=\"", OneLine(why), "\"");
  if (log_lines_dropped_ > 0) {
    absl::StrAppend(
        &line, " lines_dropped_before=", std::exchange(log_lines_dropped_, 0));
  }
  callbacks_.log_line(line);
}

}  // namespace holdfast
