#ifndef HOLDFAST_ENGINE_CLIENT_REQUESTS_H_
#define HOLDFAST_ENGINE_CLIENT_REQUESTS_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/base/callback_scope.h"
#include "engine/client/cluster.h"
#include "engine/client/server_connection.h"
#include "engine/client/types.h"
#include "engine/env/loop.h"
#include "engine/peer/client.pb.h"
#include "engine/peer/message.h"

namespace holdfast {

// What an answer comes to.
struct RequestVerdict {
  wire::Code code = wire::CODE_OK;
  std::string text;
  wire::LeaderHint leader;
  uint32_t retry_after_ms = 0;
  // CODE_OK: the request isn't done yet; the same server is to be asked on.
  bool ask_on = false;
  // CODE_OK: only a leader does that.
  bool by_leader = true;
};

// For answers that have all of it.
template <typename Answer>
RequestVerdict VerdictOf(const Answer& answer) {
  return {.code = answer.code(),
          .text = answer.text(),
          .leader = answer.leader(),
          .retry_after_ms = answer.retry_after_ms()};
}

// One request of a client's, however often it has to be sent.
class Request {
 public:
  virtual ~Request() = default;
  // Sends it under this id.
  virtual void Send(ServerConnection* server, uint64_t id,
                    ServerConnection::AnswerFn answer) = 0;
  // Takes an answer. INVALID_ARGUMENT when it can't be read.
  virtual absl::StatusOr<RequestVerdict> OnAnswer(
      const MessageView& message) = 0;
  // The end, once; OK: as the last answer says.
  virtual void Done(absl::Status status) = 0;
};

// A client's requests, each until its answer or its timeout. Internal to the
// client.
class Requests final : public LeaderListener {
 public:
  explicit Requests(Cluster* cluster);
  ~Requests() override;

  // Asks the leader; whoever leads then, again, after a lost connection or
  // an answer that says to try again.
  void AskLeader(std::unique_ptr<Request> request, Duration timeout);
  // Asks this server, once.
  void AskServer(const Address& address, std::unique_ptr<Request> request,
                 Duration timeout);
  // All that waits gets CANCELLED, and so does all that is asked for later.
  void Close();

 private:
  struct Pending {
    std::unique_ptr<Request> request;
    bool to_leader = false;
    // Where it was sent; null: waits for a leader, a connection or a pause.
    ServerConnection* server = nullptr;
    uint64_t request_id = 0;
    Timer deadline;
    Timer retry;
    absl::Status last_error;
  };

  void OnLeader(ServerConnection* leader) override;
  uint64_t Add(std::unique_ptr<Request> request, bool to_leader,
               Duration timeout);
  void SendToLeader(uint64_t id);
  void Send(uint64_t id, ServerConnection* server);
  void OnAnswer(uint64_t id, ServerConnection* server,
                const absl::StatusOr<MessageView>& message);
  void TryAgain(uint64_t id, absl::Status why, Duration pause);
  void Cancel(uint64_t id);
  // `id` is done with, if it isn't already.
  void Finish(uint64_t id, absl::Status status);
  void ListenWhileNeeded();

  Cluster* const cluster_;
  Loop* const loop_;
  uint64_t listener_ = 0;
  uint64_t next_id_ = 1;
  std::map<uint64_t, Pending> pending_;
  bool closed_ = false;
  CallbackScope scope_;
};

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_CLIENT_REQUESTS_H_
