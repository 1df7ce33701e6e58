#include "engine/peer/dialer.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/buffer.h"
#include "engine/peer/message.h"

namespace holdfast {
namespace {

class DialOp final : public PendingOp {
 public:
  DialOp(Loop* loop, Security* security, DialOptions options,
         ResultFn<OutboundStream> done)
      : loop_(loop),
        security_(security),
        options_(std::move(options)),
        done_(std::move(done)) {}

  void Start(Network* network) {
    deadline_ = loop_->After(options_.deadline, [this] {
      dial_ = nullptr;
      secure_ = nullptr;
      Fail(absl::DeadlineExceededError(absl::StrCat(
          "no answer within ", ToMillis(options_.deadline), " ms")));
    });
    dial_ = network->Dial(
        options_.address,
        [this](absl::StatusOr<std::unique_ptr<Connection>> connection) {
          OnConnected(std::move(connection));
        });
  }

 private:
  void OnConnected(absl::StatusOr<std::unique_ptr<Connection>> connection) {
    if (!connection.ok()) return Fail(connection.status());
    step_ = "handshake";
    const char kind = static_cast<char>(options_.hello.kind);
    const std::string expected =
        options_.expected_server.value() == 0
            ? std::string()
            : std::to_string(options_.expected_server.value());
    secure_ = security_->Connect(
        *std::move(connection), Buffer::Copy(absl::string_view(&kind, 1)),
        expected, [this](absl::StatusOr<SecuredConnection> secured) {
          OnSecured(std::move(secured));
        });
  }

  void OnSecured(absl::StatusOr<SecuredConnection> secured) {
    if (!secured.ok()) return Fail(secured.status());
    step_ = "hello";
    peer_ = std::move(secured->peer);
    MessageStreamOptions small = options_.stream;
    small.message_bytes_max = kHelloBytesMax;
    small.silence_max = Duration::zero();
    stream_ = std::make_unique<MessageStream>(
        loop_, std::move(secured->connection), small);
    MessageStream::Callbacks callbacks;
    callbacks.on_message = [this](const MessageView& message) {
      OnHello(message);
    };
    callbacks.on_closed = [this](const absl::Status& why) { Broken(why); };
    stream_->Start(std::move(callbacks));
    const std::string hello = EncodeHello(options_.hello);
    OutMessage message;
    message.type = WireType::kHello;
    message.header = hello;
    stream_->Send(message);
  }

  void OnHello(const MessageView& message) {
    absl::StatusOr<Hello> hello = DecodeHelloAnswer(message);
    if (!hello.ok()) return Broken(hello.status());
    const std::optional<Refusal> bad = CheckHello(
        *hello, peer_, options_.hello.kind, options_.hello.cluster_name);
    if (bad.has_value()) return Fail(ToStatus(*bad));
    const ServerId expected = options_.expected_server;
    if (expected.value() != 0 && hello->server_id != expected) {
      return Fail(absl::FailedPreconditionError(absl::StrCat(
          "server ", hello->server_id.value(), " is there, expected server ",
          expected.value(), ": check the addresses")));
    }
    stream_->Detach();
    stream_->set_options(options_.stream);
    OutboundStream outbound{.peer = std::move(peer_),
                            .hello = *std::move(hello),
                            .stream = std::move(stream_)};
    Finish(std::move(outbound));
  }

  // Bytes that broke on their way, or aren't a server's, say nothing of what
  // the stream is wanted for; a refusal does.
  void Broken(const absl::Status& why) {
    const bool said = ReasonOf(why).has_value();
    Fail(said ? why : absl::UnavailableError(why.message()));
  }

  void Fail(const absl::Status& why) {
    Finish(WithContext(absl::StrCat(options_.address, ": ", step_), why));
  }

  // Last: `done` may destroy this.
  void Finish(absl::StatusOr<OutboundStream> result) {
    deadline_.Cancel();
    stream_ = nullptr;
    ResultFn<OutboundStream> done = std::move(done_);
    done(std::move(result));
  }

  Loop* const loop_;
  Security* const security_;
  const DialOptions options_;
  ResultFn<OutboundStream> done_;
  const char* step_ = "connect";
  PeerIdentity peer_;
  Timer deadline_;
  std::unique_ptr<PendingOp> dial_;
  std::unique_ptr<PendingOp> secure_;
  std::unique_ptr<MessageStream> stream_;
};

}  // namespace

std::unique_ptr<PendingOp> DialServer(Loop* loop, Network* network,
                                      Security* security, DialOptions options,
                                      ResultFn<OutboundStream> done) {
  auto op = std::make_unique<DialOp>(loop, security, std::move(options),
                                     std::move(done));
  op->Start(network);
  return op;
}

}  // namespace holdfast
