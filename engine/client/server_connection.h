#ifndef HOLDFAST_ENGINE_CLIENT_SERVER_CONNECTION_H_
#define HOLDFAST_ENGINE_CLIENT_SERVER_CONNECTION_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/base/buffer.h"
#include "engine/base/inline_function.h"
#include "engine/base/types.h"
#include "engine/client/types.h"
#include "engine/env/completion.h"
#include "engine/env/env.h"
#include "engine/env/loop.h"
#include "engine/peer/dialer.h"
#include "engine/peer/message.h"
#include "engine/peer/message_stream.h"

namespace holdfast {

namespace wire {
class AppendAnswer;
}  // namespace wire

// A client's stream to one server: dialled when first needed, and again when
// needed after a loss. Matches answers with requests. Internal to the client.
class ServerConnection {
 public:
  // The answer, valid for the call, or why there is none: the stream is lost,
  // or the server refused the request. Not called inside Request.
  using AnswerFn = InlineFunction<void(absl::StatusOr<MessageView>)>;
  // Answers to appends go to one receiver, because there are so many.
  using AppendAnswerFn =
      InlineFunction<void(ServerConnection*, const wire::AppendAnswer&)>;
  using LostFn = InlineFunction<void(ServerConnection*)>;

  ServerConnection(const Env& env, const ClientOptions& options,
                   Address address, LostFn on_lost);
  ~ServerConnection();

  // Runs `done` once, later: OK when the stream is up, else why not.
  void WhenUp(DoneFn done);

  // Needs up(). `keep`: more than one answer may come, until Forget.
  void Request(uint64_t id, WireType type,
               const google::protobuf::MessageLite& header, AnswerFn answer,
               bool keep = false);
  // No answer to this request is wanted any more.
  void Forget(uint64_t id) { requests_.erase(id); }
  // Sends what has no answer here. False when the stream can't take it.
  bool Send(WireType type, const google::protobuf::MessageLite& header,
            absl::Span<const Buffer> payload = {});

  void set_append_receiver(AppendAnswerFn fn) {
    append_receiver_ = std::move(fn);
  }

  bool up() const { return stream_ != nullptr; }
  // Counts streams: a request belongs to the one it was sent on.
  uint64_t generation() const { return generation_; }
  const Address& address() const { return address_; }
  // Of the server that the last stream is to; 0: it isn't a cluster's member
  // yet.
  ClusterId cluster_id() const { return cluster_id_; }
  // Whether it is known to be of another cluster than that one; 0: not known.
  bool IsOfAnother(ClusterId than) const {
    return cluster_id_ != ClusterId() && than != ClusterId() &&
           cluster_id_ != than;
  }
  // OK while nothing went wrong, or since it is up again.
  const absl::Status& last_error() const { return last_error_; }
  // When it was last lost or couldn't be reached.
  Instant failed_at() const { return failed_at_; }
  // Gathers sends until Uncork. Needs up().
  MessageStream* stream() { return stream_.get(); }
  void set_last_error(absl::Status error) { last_error_ = std::move(error); }

 private:
  struct Waiting {
    AnswerFn answer;
    bool keep = false;
  };
  void OnDialed(absl::StatusOr<OutboundStream> dialed);
  void OnMessage(const MessageView& message);
  void OnClosed(const absl::Status& why);
  void Fail(absl::Status why);

  const Env env_;
  const ClientOptions& options_;
  const Address address_;
  LostFn on_lost_;
  AppendAnswerFn append_receiver_;
  std::vector<DoneFn> waiters_;
  std::map<uint64_t, Waiting> requests_;
  std::unique_ptr<wire::AppendAnswer> append_answer_;  // reused
  uint64_t generation_ = 0;
  ClusterId cluster_id_;
  absl::Status last_error_;
  Instant failed_at_ = Instant::min();
  Timer soon_;
  std::unique_ptr<PendingOp> dial_;
  std::unique_ptr<MessageStream> stream_;
};

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_CLIENT_SERVER_CONNECTION_H_
