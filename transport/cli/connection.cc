#include "transport/cli/connection.h"

#include <utility>

#include "absl/strings/str_split.h"

namespace holdfast {

std::vector<FlagSpec> WithConnectionFlags(std::vector<FlagSpec> flags,
                                          const char* timeout_help) {
  std::vector<FlagSpec> all = {
      {"servers", "HOST:PORT,...", "servers of the cluster, at least one"},
      {"certs", "DIR", "directory with the certificates"},
      {"as", "CLIENT", "whose certificate to use: client-CLIENT.crt"},
      {"insecure", nullptr, "plaintext, without certificates"},
      {"timeout", "TIME", timeout_help},
      {"flagfile", "FILE", "more flags, one a line"}};
  all.insert(all.end(), flags.begin(), flags.end());
  return all;
}

absl::StatusOr<std::vector<Address>> ParseServers(const std::string& text) {
  std::vector<Address> servers = absl::StrSplit(text, ',');
  for (const Address& server : servers) {
    if (absl::StatusOr<HostPort> parsed = ParseAddress(server); !parsed.ok()) {
      return parsed.status();
    }
  }
  return servers;
}

absl::StatusOr<std::unique_ptr<ClientConnection>> ClientConnection::Open(
    const Args& args, Duration timeout_default) {
  if (absl::Status s = args.Require({"servers"}); !s.ok()) return s;
  bool insecure = args.Has("insecure");
  if (insecure == args.Has("certs")) {
    return absl::InvalidArgumentError(
        "expected either --certs=DIR with --as=CLIENT, or --insecure");
  }
  std::unique_ptr<ClientConnection> c(new ClientConnection);
  absl::StatusOr<std::vector<Address>> servers =
      ParseServers(args.Text("servers"));
  if (!servers.ok()) return servers.status();
  c->servers_ = *std::move(servers);
  absl::StatusOr<Duration> timeout = args.Time("timeout", timeout_default);
  if (!timeout.ok()) return timeout.status();
  c->timeout_ = *timeout;

  ClientConfig config;
  config.client.servers = c->servers_;
  config.client.name = args.Text("as", "cli");
  config.insecure = insecure;
  if (!insecure) {
    if (absl::Status s = args.Require({"as"}); !s.ok()) return s;
    config.certs = args.Text("certs");
  }
  absl::StatusOr<std::unique_ptr<ClientHost>> host =
      ClientHost::Create(std::move(config));
  if (!host.ok()) return host.status();
  c->host_ = *std::move(host);
  return c;
}

}  // namespace holdfast
