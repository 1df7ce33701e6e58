#ifndef HOLDFAST_TRANSPORT_CLIENT_HOST_H_
#define HOLDFAST_TRANSPORT_CLIENT_HOST_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "engine/base/time.h"
#include "engine/client/client.h"
#include "transport/epoll_loop.h"
#include "transport/tcp.h"

namespace holdfast {

// A client in the real world.
struct ClientConfig {
  // The engine's options. Needed are .servers (some of the cluster's,
  // "HOST:PORT"), and, with certificates, .name. What certificates say of the
  // cluster's name counts.
  ClientOptions client;
  // Directory with ca.crt, client-NAME.crt and client-NAME.key; empty, and
  // `insecure`: plaintext.
  std::string certs;
  bool insecure = false;
};

// A Client with the loop, the network and the security that it stands on. All
// of it belongs to one thread: the one that is in loop()->Run(), or before and
// after that whoever has this object. Others leave tasks in loop()->inbox().
//
//   auto host = ClientHost::Create(config);
//   (*host)->client()->Append(std::move(batch), {}, [&](ClientOutcome outcome)
//   {
//     (*host)->loop()->Stop();
//   });
//   (*host)->loop()->Run();
//
// To end it in an orderly way, Close the client, and Stop the loop when that is
// done. Destroying it, not within a callback, drops all that is under way.
class ClientHost {
 public:
  // Says nothing to anybody yet. INVALID_ARGUMENT, or what is wrong with the
  // certificates.
  static absl::StatusOr<std::unique_ptr<ClientHost>> Create(
      ClientConfig config);

  EpollLoop* loop() { return &loop_; }
  Client* client() { return client_.get(); }

 private:
  ClientHost() = default;

  EpollLoop loop_;
  TcpNetwork network_{&loop_};
  std::unique_ptr<Security> security_;
  std::unique_ptr<Client> client_;
};

}  // namespace holdfast

#endif  // HOLDFAST_TRANSPORT_CLIENT_HOST_H_
