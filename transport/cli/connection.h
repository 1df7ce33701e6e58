#ifndef HOLDFAST_TRANSPORT_CLI_CONNECTION_H_
#define HOLDFAST_TRANSPORT_CLI_CONNECTION_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/client/client.h"
#include "engine/env/network.h"
#include "transport/cli/args.h"
#include "transport/client_host.h"
#include "transport/epoll_loop.h"

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

  EpollLoop* loop() { return host_->loop(); }
  Client* client() { return host_->client(); }
  const std::vector<Address>& servers() const { return servers_; }
  Duration timeout() const { return timeout_; }

 private:
  ClientConnection() = default;

  std::vector<Address> servers_;
  Duration timeout_;
  std::unique_ptr<ClientHost> host_;
};

// "A,B,C", each HOST:PORT.
absl::StatusOr<std::vector<Address>> ParseServers(const std::string& text);

}  // namespace holdfast

#endif  // HOLDFAST_TRANSPORT_CLI_CONNECTION_H_
