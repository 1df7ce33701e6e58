#ifndef HOLDFAST_ENGINE_PEER_PEER_LINK_H_
#define HOLDFAST_ENGINE_PEER_PEER_LINK_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "absl/status/status.h"
#include "engine/base/inline_function.h"
#include "engine/base/random.h"
#include "engine/env/loop.h"
#include "engine/env/network.h"
#include "engine/peer/dialer.h"
#include "engine/peer/hello.h"
#include "engine/peer/message_stream.h"

namespace holdfast {

struct PeerLinkOptions {
  // For connection, handshake and hello together.
  Duration dial_deadline = 1s;
  // Pause before the next dial: doubles from the first to the second bound,
  // each time drawn from its upper half; starts over once a stream was up for
  // the max.
  Duration backoff_min = 50ms;
  Duration backoff_max = 1s;
  MessageStreamOptions stream{.silence_max = 5s};
};

// Keeps one outgoing Raft stream to one server: dials, proves, greets, and
// dials again when it is lost. Never gives up. Servers each dial the other
// and send on the stream they dialled; nothing but hellos, and signs of life,
// comes back on it.
class PeerLink {
 public:
  // They may call any method; on_up and on_down may destroy the link.
  struct Callbacks {
    // This side's hello, asked for at each dial.
    InlineFunction<Hello()> hello;
    // Whether the other server's hello will do; optional.
    InlineFunction<absl::Status(const Hello&)> judge;
    InlineFunction<void(const Hello&)> on_up;
    // A stream that was up is lost.
    InlineFunction<void(absl::Status)> on_down;
    InlineFunction<void(const MessageView&)> on_message;
    // Optional: the server refused this one's hello.
    InlineFunction<void(RefusalReason, const absl::Status&)> on_refused;
    // Optional: the queue shortened (see MessageStream::on_written).
    InlineFunction<void()> on_written;
  };

  // `key`: for the draws of the backoff; its site is filled in here. Dials at
  // once, but no callback runs inside. The others outlive it.
  PeerLink(Loop* loop, Network* network, Security* security, ServerId peer,
           Address address, DrawKey key, PeerLinkOptions options,
           Callbacks callbacks);
  ~PeerLink();

  PeerLink(const PeerLink&) = delete;
  PeerLink& operator=(const PeerLink&) = delete;

  // False, with nothing done, when there is no stream or its queue is full:
  // Raft sends again what matters.
  bool Send(const OutMessage& message);

  bool up() const { return stream_ != nullptr; }
  size_t bytes_queued() const;
  // The server's hello, as long as the stream is up.
  const std::optional<Hello>& peer_hello() const { return peer_hello_; }
  ServerId peer() const { return peer_; }
  const Address& address() const { return address_; }
  // Dials there, at once; a stream that is up is kept until it is lost, if
  // the address is the same.
  void SetAddress(Address address);
  // Ends the stream, if any (on_down isn't called), and dials anew.
  void Redial();
  // Why there is no stream, for status; OK while it is up.
  const absl::Status& last_error() const { return last_error_; }

 private:
  void Dial();
  void OnDialed(absl::StatusOr<OutboundStream> dialed);
  void OnClosed(absl::Status why);
  void DialLater();

  Loop* const loop_;
  Network* const network_;
  Security* const security_;
  const ServerId peer_;
  Address address_;
  DrawKey key_;
  const PeerLinkOptions options_;
  Callbacks callbacks_;
  uint64_t draws_ = 0;
  Duration backoff_;
  Instant up_since_;
  absl::Status last_error_;
  std::optional<Hello> peer_hello_;
  Timer redial_;
  std::unique_ptr<PendingOp> dial_;
  std::unique_ptr<MessageStream> stream_;
};

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_PEER_PEER_LINK_H_
