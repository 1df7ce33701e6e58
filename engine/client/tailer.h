#ifndef HOLDFAST_ENGINE_CLIENT_TAILER_H_
#define HOLDFAST_ENGINE_CLIENT_TAILER_H_

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/base/callback_scope.h"
#include "engine/base/types.h"
#include "engine/client/cluster.h"
#include "engine/client/server_connection.h"
#include "engine/client/types.h"
#include "engine/env/loop.h"
#include "engine/peer/message.h"

namespace holdfast {

// A tail: asks for the log from its offset on, wherever the leader is (or at
// the one server it was given), and grants bytes as it delivers. Internal to
// the client.
class Tailer final : public ClientTail, public LeaderListener {
 public:
  Tailer(Cluster* cluster, Offset from, ClientTailOptions options,
         ClientTailCallbacks callbacks);
  ~Tailer() override;

  void Pause() override;
  void Resume() override;
  Offset next() const override { return next_; }

 private:
  void OnLeader(ServerConnection* leader) override;
  void Begin(ServerConnection* server);
  void OnMessage(ServerConnection* server,
                 const absl::StatusOr<MessageView>& message);
  void OnData(ServerConnection* server, const MessageView& message);
  void OnTailEnd(ServerConnection* server, const MessageView& message);
  void GrantCredit();
  void Leave();
  void EndBeforeOther(ServerConnection* server);
  // With a given server: the end. Else it is tried again, after a pause or
  // with the next leader.
  void Lose(absl::Status why);
  void End(absl::Status why);
  void Cancel();

  Cluster* const cluster_;
  Loop* const loop_;
  ClientTailOptions options_;
  // Outlives this while one of them runs.
  const std::shared_ptr<ClientTailCallbacks> callbacks_;
  Offset next_;
  uint64_t listener_ = 0;
  uint64_t on_close_ = 0;
  ClusterId cluster_id_;                // whose log it is; 0: not known yet
  ServerConnection* server_ = nullptr;  // who was asked
  uint64_t request_ = 0;
  uint64_t delivered_bytes_ = 0;  // not granted again yet
  bool paused_ = false;
  bool ended_ = false;
  Timer retry_;
  const std::shared_ptr<int> alive_ = std::make_shared<int>(0);
  CallbackScope scope_;
};

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_CLIENT_TAILER_H_
