#include "transport/cli/connection.h"

#include <sys/random.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "engine/base/check.h"
#include "engine/peer/plaintext.h"
#include "transport/certs.h"
#include "transport/tls.h"

namespace holdfast {

uint64_t RandomSeed() {
  uint64_t seed;
  CHECK_EQ(getrandom(&seed, sizeof(seed), 0), ssize_t{sizeof(seed)});
  return seed;
}

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

  ClientOptions options;
  options.servers = c->servers_;
  options.name = args.Text("as", "cli");
  if (insecure) {
    c->security_ = std::make_unique<Plaintext>(&c->loop_);
  } else {
    if (absl::Status s = args.Require({"as"}); !s.ok()) return s;
    absl::StatusOr<TlsCredentials> credentials =
        LoadClient(args.Text("certs"), args.Text("as"));
    if (!credentials.ok()) return credentials.status();
    absl::StatusOr<std::unique_ptr<TlsSecurity>> security =
        TlsSecurity::Create(&c->loop_, *credentials);
    if (!security.ok()) return security.status();
    options.cluster_name = (*security)->self().cluster;
    c->security_ = *std::move(security);
  }
  c->client_ = std::make_unique<Client>(Env{.loop = &c->loop_,
                                            .network = &c->network_,
                                            .security = c->security_.get(),
                                            .seed = RandomSeed()},
                                        options);
  return c;
}

}  // namespace holdfast
