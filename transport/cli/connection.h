#ifndef HOLDFAST_TRANSPORT_CLI_CONNECTION_H_
#define HOLDFAST_TRANSPORT_CLI_CONNECTION_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/client/client.h"
#include "engine/env/network.h"
#include "transport/cli/args.h"
#include "transport/epoll_loop.h"
#include "transport/tcp.h"

namespace holdfast {

// The flags of every command that talks to servers.
std::vector<FlagSpec> WithConnectionFlags(
    std::vector<FlagSpec> flags,
    const char* timeout_help = "how long to try, such as 30s (the default)");

// A client of a cluster, as the connection flags describe it, with its loop.
class ClientConnection {
 public:
  // INVALID_ARGUMENT, or what is wrong with the certificates.
  static absl::StatusOr<std::unique_ptr<ClientConnection>> Open(
      const Args& args, Duration timeout_default = 30s);

  EpollLoop* loop() { return &loop_; }
  Client* client() { return client_.get(); }
  const std::vector<Address>& servers() const { return servers_; }
  Duration timeout() const { return timeout_; }

 private:
  ClientConnection() = default;

  EpollLoop loop_;
  TcpNetwork network_{&loop_};
  std::vector<Address> servers_;
  Duration timeout_;
  std::unique_ptr<Security> security_;
  std::unique_ptr<Client> client_;
};

// 64 bits from the system, for the seed of a process.
uint64_t RandomSeed();

// "A,B,C", each HOST:PORT.
absl::StatusOr<std::vector<Address>> ParseServers(const std::string& text);

}  // namespace holdfast

#endif  // HOLDFAST_TRANSPORT_CLI_CONNECTION_H_
