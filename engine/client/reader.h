#ifndef HOLDFAST_ENGINE_CLIENT_READER_H_
#define HOLDFAST_ENGINE_CLIENT_READER_H_

#include <cstdint>
#include <map>
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

// A client's reads and questions of status, each until its answer or its
// timeout. Internal to the client.
class Reader final : public LeaderListener {
 public:
  explicit Reader(Cluster* cluster);
  ~Reader() override;

  void Read(Offset from, const ClientReadOptions& options, ClientReadFn done);
  void Status(const Address& server, Duration timeout,
              ResultFn<ServerStatus> done);
  // All that waits gets CANCELLED.
  void Close();

 private:
  struct Pending {
    Offset from;
    ClientReadOptions options;
    ClientReadFn read_done;              // a read, or
    ResultFn<ServerStatus> status_done;  // a question of status
    // Where it was sent; null: waits for a leader, a connection or a pause.
    ServerConnection* server = nullptr;
    uint64_t request = 0;
    Timer deadline;
    Timer retry;
    absl::Status last_error;
  };

  void OnLeader(ServerConnection* leader) override;
  uint64_t Add(Pending pending, Duration timeout);
  void SendToLeader(uint64_t id);
  void AskServer(uint64_t id, const Address& address);
  void SendRead(uint64_t id, ServerConnection* server);
  void SendStatus(uint64_t id, ServerConnection* server);
  void OnReadAnswer(uint64_t id, ServerConnection* server,
                    const absl::StatusOr<MessageView>& message);
  void OnStatusAnswer(uint64_t id, const absl::StatusOr<MessageView>& message);
  void TryAgain(uint64_t id, absl::Status why, Duration pause);
  // `id` is done with; false if it is already.
  bool Take(uint64_t id, Pending* pending);
  void Fail(uint64_t id, absl::Status why);
  void ListenWhileNeeded();

  Cluster* const cluster_;
  Loop* const loop_;
  uint64_t listener_ = 0;
  uint64_t next_id_ = 1;
  std::map<uint64_t, Pending> pending_;
  CallbackScope scope_;
};

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_CLIENT_READER_H_
