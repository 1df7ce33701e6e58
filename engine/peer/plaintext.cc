#include "engine/peer/plaintext.h"

#include <utility>

#include "engine/base/buffer.h"

namespace holdfast {
namespace {

// A stream on its way to be called secured. The completion runs behind the
// call that started it, in a task of its own or after the preface's write.
class Handshake final : public PendingOp {
 public:
  Handshake(std::unique_ptr<Connection> raw, SecureDone done)
      : raw_(std::move(raw)), done_(std::move(done)) {}

  void WritePreface(Buffer preface) {
    Buffers data;
    data.push_back(std::move(preface));
    raw_->Write(std::move(data),
                [this](absl::Status status) { Finish(std::move(status)); });
  }
  void FinishSoon(Loop* loop) {
    soon_ = loop->After(0ns, [this] { Finish(absl::OkStatus()); });
  }

 private:
  // `done` may destroy this.
  void Finish(absl::Status status) {
    SecureDone done = std::move(done_);
    if (!status.ok()) {
      done(std::move(status));
      return;
    }
    done(SecuredConnection{.connection = std::move(raw_),
                           .peer = PeerIdentity{}});
  }

  std::unique_ptr<Connection> raw_;
  SecureDone done_;
  Timer soon_;
};

}  // namespace

std::unique_ptr<PendingOp> Plaintext::Connect(
    std::unique_ptr<Connection> raw, Buffer preface,
    const std::string& /*expected_server*/, SecureDone done) {
  auto handshake = std::make_unique<Handshake>(std::move(raw), std::move(done));
  if (preface.empty()) {
    handshake->FinishSoon(loop_);
  } else {
    handshake->WritePreface(std::move(preface));
  }
  return handshake;
}

std::unique_ptr<PendingOp> Plaintext::Accept(std::unique_ptr<Connection> raw,
                                             SecureDone done) {
  auto handshake = std::make_unique<Handshake>(std::move(raw), std::move(done));
  handshake->FinishSoon(loop_);
  return handshake;
}

}  // namespace holdfast
