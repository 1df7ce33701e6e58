#include "engine/client/server_connection.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"
#include "engine/peer/client.pb.h"
#include "engine/peer/hello.h"

namespace holdfast {
namespace {

absl::Status ToStatus(const wire::RequestRefused& refused) {
  const std::string text = OneLine(refused.text());
  switch (refused.code()) {
    case wire::CODE_PERMISSION_DENIED:
      return absl::PermissionDeniedError(text);
    case wire::CODE_MALFORMED:
      return absl::InvalidArgumentError(text);
    case wire::CODE_REFUSED:
      return absl::FailedPreconditionError(text);
    default:
      return absl::UnavailableError(text);
  }
}

// In case that an append was refused like any request.
wire::AppendAnswer ToAppendAnswer(const wire::RequestRefused& refused) {
  wire::AppendAnswer answer;
  answer.set_request_id(refused.request_id());
  answer.set_text(refused.text());
  switch (refused.code()) {
    case wire::CODE_PERMISSION_DENIED:
      answer.set_result(wire::APPEND_RESULT_REJECTED);
      answer.set_reason(wire::REJECT_REASON_PERMISSION);
      break;
    case wire::CODE_MALFORMED:
      answer.set_result(wire::APPEND_RESULT_REJECTED);
      answer.set_reason(wire::REJECT_REASON_MALFORMED);
      break;
    default:
      answer.set_result(wire::APPEND_RESULT_NOT_LEADER);
      break;
  }
  return answer;
}

}  // namespace

ServerConnection::ServerConnection(const Env& env, const ClientOptions& options,
                                   Address address, LostFn on_lost)
    : env_(env),
      options_(options),
      address_(std::move(address)),
      on_lost_(std::move(on_lost)),
      append_answer_(std::make_unique<wire::AppendAnswer>()) {}

ServerConnection::~ServerConnection() = default;

void ServerConnection::WhenUp(DoneFn done) {
  waiters_.push_back(std::move(done));
  if (up()) {
    soon_ = env_.loop->After(0ns, [this] {
      for (DoneFn& waiter : std::exchange(waiters_, {})) {
        waiter(up() ? absl::OkStatus() : last_error_);
      }
    });
    return;
  }
  if (dial_ != nullptr) return;
  Hello hello;
  hello.kind = StreamKind::kClient;
  hello.cluster_name = options_.cluster_name;
  hello.client_name = options_.name;
  MessageStreamOptions stream;
  stream.silence_max = options_.silence_max;
  // The producer bounds what it sends; nothing else is large.
  stream.queue_bytes_max = 2 * options_.append_bytes_in_flight_max + (64 << 20);
  dial_ = DialServer(env_.loop, env_.network, env_.security,
                     DialOptions{.address = address_,
                                 .hello = std::move(hello),
                                 .expected_server = ServerId(0),
                                 .deadline = options_.dial_deadline,
                                 .stream = stream},
                     [this](absl::StatusOr<OutboundStream> dialed) {
                       OnDialed(std::move(dialed));
                     });
}

void ServerConnection::OnDialed(absl::StatusOr<OutboundStream> dialed) {
  dial_ = nullptr;
  if (!dialed.ok()) return Fail(dialed.status());
  last_error_ = absl::OkStatus();
  ++generation_;
  cluster_id_ = dialed->hello.cluster_id;
  stream_ = std::move(dialed->stream);
  MessageStream::Callbacks callbacks;
  callbacks.on_message = [this](const MessageView& message) {
    OnMessage(message);
  };
  callbacks.on_closed = [this](const absl::Status& why) { OnClosed(why); };
  stream_->Start(std::move(callbacks));
  for (DoneFn& waiter : std::exchange(waiters_, {})) {
    waiter(up() ? absl::OkStatus() : last_error_);
  }
}

void ServerConnection::Request(uint64_t id, WireType type,
                               const google::protobuf::MessageLite& header,
                               AnswerFn answer, bool keep) {
  CHECK(up());
  requests_.emplace(id, Waiting{.answer = std::move(answer), .keep = keep});
  // A full queue drains, or the stream is lost: then the answer says so.
  stream_->Send(type, header);
}

bool ServerConnection::Send(WireType type,
                            const google::protobuf::MessageLite& header,
                            absl::Span<const Buffer> payload) {
  // What is small mustn't wait behind what is large.
  const MessagePriority priority =
      payload.empty() ? MessagePriority::kControl : MessagePriority::kBulk;
  return up() && stream_->Send(type, header, payload, priority);
}

void ServerConnection::OnMessage(const MessageView& message) {
  const int size = static_cast<int>(message.header.size());
  if (message.type == WireType::kAppendAnswer) {
    if (!append_answer_->ParseFromArray(message.header.data(), size)) {
      return OnClosed(
          absl::InvalidArgumentError("the answer to an append can't be read"));
    }
    if (append_receiver_) append_receiver_(this, *append_answer_);
    return;
  }
  wire::AnswerId id;
  wire::RequestRefused refused;
  const bool refusal = message.type == WireType::kRequestRefused;
  if (!(refusal ? refused.ParseFromArray(message.header.data(), size)
                : id.ParseFromArray(message.header.data(), size))) {
    return OnClosed(absl::InvalidArgumentError("an answer can't be read"));
  }
  auto it = requests_.find(refusal ? refused.request_id() : id.request_id());
  if (it == requests_.end()) {
    if (refusal && append_receiver_) {
      append_receiver_(this, ToAppendAnswer(refused));
    }
    return;  // or nobody waits for it any more
  }
  if (refusal || !it->second.keep) {
    AnswerFn answer = std::move(it->second.answer);
    requests_.erase(it);
    if (refusal) {
      answer(ToStatus(refused));
    } else {
      answer(message);
    }
    return;
  }
  // It may forget itself meanwhile.
  const uint64_t key = it->first;
  AnswerFn answer = std::move(it->second.answer);
  answer(message);
  it = requests_.find(key);
  if (it != requests_.end()) it->second.answer = std::move(answer);
}

void ServerConnection::OnClosed(const absl::Status& why) {
  const absl::Status lost(why.code(),
                          absl::StrCat(address_, ": lost: ", why.message()));
  stream_ = nullptr;
  Fail(lost);
}

void ServerConnection::Fail(absl::Status why) {
  // Bytes that broke on their way say nothing of the log.
  if (absl::IsDataLoss(why)) why = absl::UnavailableError(why.message());
  last_error_ = why;
  failed_at_ = env_.loop->Now();
  // All are told below; who waits from then on does so for another stream.
  soon_.Cancel();
  std::map<uint64_t, Waiting> requests = std::exchange(requests_, {});
  std::vector<DoneFn> waiters = std::exchange(waiters_, {});
  for (auto& [id, waiting] : requests) {
    waiting.answer(absl::UnavailableError(why.message()));
  }
  for (DoneFn& waiter : waiters) waiter(why);
  if (on_lost_) on_lost_(this);
}

}  // namespace holdfast
