#ifndef HOLDFAST_ENGINE_SERVICE_SERVICE_H_
#define HOLDFAST_ENGINE_SERVICE_SERVICE_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "engine/base/callback_scope.h"
#include "engine/env/completion.h"
#include "engine/env/env.h"
#include "engine/env/loop.h"
#include "engine/log/distributed_log.h"
#include "engine/peer/acceptor.h"

namespace holdfast {

struct ServiceOptions {
  LogOptions log;
  // The software's version, for status.
  std::string version;
  // Clients connected at once; further ones are refused.
  size_t clients_max = 16384;
  // Of one client: requests that wait for their answers. Beyond them nothing
  // more is read from it.
  size_t requests_per_client_max = 4096;
  // Of one client: bytes of answers that it hasn't taken. Beyond them nothing
  // more is read from it, and its tails wait.
  size_t answer_bytes_per_client_max = 4 << 20;
  // The most that one read or one push of a tail brings (a batch always
  // goes).
  uint32_t read_bytes_max = 1 << 20;
  // Changes of members and transfers under way on one connection.
  size_t admin_requests_per_client_max = 16;
  // Tails on one connection.
  size_t tails_per_client_max = 64;
};

// What a client's connection holds here, which ServiceOptions bound.
struct ClientLoad {
  size_t requests = 0;  // that wait for their answers
  size_t tails = 0;
  size_t answer_bytes = 0;  // that it hasn't taken
  bool reads_on = false;    // whether more is read from it
};

class ClientSession;

// A whole server: a DistributedLog, and the clients that use it over the
// network (docs/PROTOCOL.md). Production and the simulator run this same
// object.
class Service {
 public:
  Service(const Env& env, ServiceOptions options);
  // As a crash of the process.
  ~Service();

  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;

  // As DistributedLog::Open.
  void Open(DoneFn done);
  // Answers what is in flight with "unknown" or "stopping", then closes.
  void Close(DoneFn done);
  // Called once when the server can't go on.
  void OnFatal(DoneFn fatal) { log_.OnFatal(std::move(fatal)); }

  DistributedLog& log() { return log_; }
  const DistributedLog& log() const { return log_; }
  size_t client_count() const { return clients_.size(); }
  const ServiceOptions& options() const { return options_; }
  void ForEachClient(absl::FunctionRef<void(const ClientLoad&)> fn) const;

 private:
  void OnClient(InboundStream inbound);
  void Remove(uint64_t id);

  Env env_;
  const ServiceOptions options_;
  uint64_t next_client_ = 1;
  bool closing_ = false;
  std::map<uint64_t, std::unique_ptr<ClientSession>> clients_;
  CallbackScope scope_;
  DistributedLog log_;
};

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_SERVICE_SERVICE_H_
