#ifndef HOLDFAST_ENGINE_SERVICE_CLIENT_SESSION_H_
#define HOLDFAST_ENGINE_SERVICE_CLIENT_SESSION_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "engine/base/callback_scope.h"
#include "engine/base/types.h"
#include "engine/env/env.h"
#include "engine/env/loop.h"
#include "engine/env/network.h"
#include "engine/log/distributed_log.h"
#include "engine/peer/acceptor.h"
#include "engine/peer/client.pb.h"
#include "engine/peer/message_stream.h"
#include "engine/service/service.h"

namespace holdfast {

// One client's connection: takes its requests to the log, and the answers
// back. All it holds is bounded; a client that doesn't take its answers is
// read from no more, and so slows only itself.
class ClientSession {
 public:
  // `on_gone` runs once, when the connection has ended; it destroys this.
  ClientSession(const Env& env, const ServiceOptions& options,
                DistributedLog* log, InboundStream inbound, Task on_gone);

  // The server doesn't lead (any more): tails that want the leader end.
  void OnNotLeading();

  ClientLoad load() const;

  ClientSession(const ClientSession&) = delete;
  ClientSession& operator=(const ClientSession&) = delete;

 private:
  struct TailState {
    Offset next;
    bool leader_only = false;
    int64_t credit = 0;
    std::unique_ptr<PendingOp> waiting;
  };

  void OnMessage(const MessageView& message);
  void OnRegister(const MessageView& message);
  void OnAppend(const MessageView& message);
  void OnRead(const MessageView& message);
  void OnTail(const MessageView& message);
  void OnTailCredit(const MessageView& message);
  void OnStopTail(const MessageView& message);
  void OnStatus(const MessageView& message);
  void OnJoin(const MessageView& message);
  void OnLeave(const MessageView& message);
  void OnTransfer(const MessageView& message);
  void OnTrim(const MessageView& message);

  void AnswerAppend(uint64_t request, const AppendOutcome& outcome);
  struct WaitingRead {
    uint64_t request = 0;
    Offset from;
    uint32_t bytes = 0;  // at most
    ReadMode mode = ReadMode::kLocal;
    size_t expected = 0;  // bytes of its answer; once it was read, that many
  };
  // As many of those that wait as there is room for their answers.
  void StartReads();
  void OnReadDone(WaitingRead read, absl::StatusOr<ReadResult> result);
  void AnswerRead(uint64_t request, absl::StatusOr<ReadResult> result);
  // Whether one more may be under way; refuses it if not.
  bool BeginAdmin(uint64_t request);
  // What takes the log's answer to it.
  DoneFn AdminDone(uint64_t request);
  void AnswerAdmin(uint64_t request, wire::Code code, absl::string_view text);
  // Asks the log for more, if the tail may have more.
  void PushTail(uint64_t id);
  void OnTailData(uint64_t id, absl::StatusOr<ReadResult> result);
  void EndTail(uint64_t id, wire::Code code, absl::string_view text);
  void EndTail(uint64_t id, wire::TailEnd end);
  void Refuse(uint64_t request, wire::Code code, absl::string_view text);

  // Parses the header, or ends the connection: what it says can't be known.
  template <typename Request>
  bool Parse(const MessageView& message, Request* request);
  bool Allowed(uint64_t request, ClientRole needed, absl::string_view what);
  void FillLeader(wire::LeaderHint* hint) const;
  // What is sent until this task ends goes out as one write.
  void GatherAnswers();
  template <typename Answer>
  void Send(WireType type, const Answer& answer, Buffers payload = {});
  void RequestDone();
  void OnWritten();
  // Reads on, or stops reading, as the bounds say.
  void Regulate();
  void End(absl::string_view why);
  bool full() const;
  // Bytes of answers that the stream takes, before it would lose the client.
  uint64_t answers_max() const;
  // Whether so much more may be queued, of so much room.
  bool Fits(size_t bytes, uint64_t room) const;

  const Env env_;
  const ServiceOptions& options_;
  DistributedLog* const log_;
  const PeerIdentity peer_;
  const ClientRole role_;
  Task on_gone_;
  size_t requests_ = 0;
  size_t admin_requests_ = 0;  // among them
  std::deque<WaitingRead> reads_;
  size_t reads_under_way_ = 0;
  uint64_t read_bytes_under_way_ = 0;
  size_t last_read_bytes_ = 0;  // what the last ones brought, about
  bool gathering_ = false;
  bool paused_ = false;
  bool ended_ = false;
  std::map<uint64_t, TailState> tails_;  // by request id
  uint64_t last_pushed_ = 0;             // of these
  std::unique_ptr<MessageStream> stream_;
  CallbackScope scope_;
};

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_SERVICE_CLIENT_SESSION_H_
