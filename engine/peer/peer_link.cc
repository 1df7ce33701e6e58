#include "engine/peer/peer_link.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace holdfast {

PeerLink::PeerLink(Loop* loop, Network* network, Security* security,
                   ServerId peer, Address address, DrawKey key,
                   PeerLinkOptions options, Callbacks callbacks)
    : loop_(loop),
      network_(network),
      security_(security),
      peer_(peer),
      address_(std::move(address)),
      key_(key),
      options_(options),
      callbacks_(std::move(callbacks)),
      backoff_(options.backoff_min),
      last_error_(absl::UnavailableError("not connected yet")) {
  // Many links draw from one seed.
  key_.site = HashCombine(Site("peer_link_backoff"), peer.value());
  redial_ = loop_->After(0ns, [this] { Dial(); });
}

PeerLink::~PeerLink() = default;

bool PeerLink::Send(const OutMessage& message) {
  return stream_ != nullptr && stream_->Send(message);
}

size_t PeerLink::bytes_queued() const {
  return stream_ == nullptr ? 0 : stream_->bytes_queued();
}

void PeerLink::SetAddress(Address address) {
  if (address == address_) return;
  address_ = std::move(address);
  Redial();
}

void PeerLink::Redial() {
  stream_ = nullptr;
  peer_hello_.reset();
  dial_ = nullptr;
  backoff_ = options_.backoff_min;
  if (last_error_.ok()) last_error_ = absl::UnavailableError("redialling");
  redial_ = loop_->After(0ns, [this] { Dial(); });
}

void PeerLink::Dial() {
  DialOptions dial{.address = address_,
                   .hello = callbacks_.hello(),
                   .expected_server = peer_,
                   .deadline = options_.dial_deadline,
                   .stream = options_.stream};
  dial.hello.kind = StreamKind::kRaft;
  dial_ = DialServer(loop_, network_, security_, std::move(dial),
                     [this](absl::StatusOr<OutboundStream> dialed) {
                       OnDialed(std::move(dialed));
                     });
}

void PeerLink::OnDialed(absl::StatusOr<OutboundStream> dialed) {
  dial_ = nullptr;
  absl::Status status = dialed.status();
  const std::optional<RefusalReason> refused = ReasonOf(status);
  if (status.ok() && callbacks_.judge) status = callbacks_.judge(dialed->hello);
  if (!status.ok()) {
    last_error_ = std::move(status);
    DialLater();
    if (refused.has_value() && callbacks_.on_refused) {
      callbacks_.on_refused(*refused, last_error_);
    }
    return;
  }
  last_error_ = absl::OkStatus();
  stream_ = std::move(dialed->stream);
  peer_hello_ = std::move(dialed->hello);
  MessageStream::Callbacks callbacks;
  callbacks.on_message = [this](const MessageView& message) {
    if (callbacks_.on_message) callbacks_.on_message(message);
  };
  callbacks.on_closed = [this](absl::Status why) { OnClosed(std::move(why)); };
  if (callbacks_.on_written) {
    callbacks.on_written = [this] { callbacks_.on_written(); };
  }
  stream_->Start(std::move(callbacks));
  up_since_ = loop_->Now();
  // Last: it may destroy the link.
  if (callbacks_.on_up) callbacks_.on_up(*peer_hello_);
}

void PeerLink::OnClosed(absl::Status why) {
  // A stream that is lost as soon as it is up must not be dialled in a loop.
  if (loop_->Now() - up_since_ >= options_.backoff_max) {
    backoff_ = options_.backoff_min;
  }
  stream_ = nullptr;
  peer_hello_.reset();
  last_error_ = absl::Status(why.code(),
                             absl::StrCat(address_, ": lost: ", why.message()));
  DialLater();
  if (callbacks_.on_down) callbacks_.on_down(last_error_);
}

void PeerLink::DialLater() {
  const uint64_t half = static_cast<uint64_t>(backoff_.count() / 2);
  const Duration wait =
      backoff_ / 2 +
      Duration(static_cast<int64_t>(DrawBelow(key_, draws_++, half + 1)));
  backoff_ = std::min(backoff_ * 2, options_.backoff_max);
  redial_ = loop_->After(wait, [this] { Dial(); });
}

}  // namespace holdfast
