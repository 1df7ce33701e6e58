#include "transport/client_host.h"

#include <utility>

#include "engine/env/address.h"
#include "engine/peer/plaintext.h"
#include "transport/certs.h"
#include "transport/random_seed.h"
#include "transport/tls.h"

namespace holdfast {

absl::StatusOr<std::unique_ptr<ClientHost>> ClientHost::Create(
    ClientConfig config) {
  if (config.client.servers.empty()) {
    return absl::InvalidArgumentError("expected at least one server");
  }
  for (const Address& server : config.client.servers) {
    if (absl::StatusOr<HostPort> parsed = ParseAddress(server); !parsed.ok()) {
      return parsed.status();
    }
  }
  if (config.insecure != config.certs.empty()) {
    return absl::InvalidArgumentError(
        "expected either a directory of certificates, or insecure for "
        "plaintext");
  }
  std::unique_ptr<ClientHost> host(new ClientHost);
  if (config.insecure) {
    host->security_ = std::make_unique<Plaintext>(&host->loop_);
  } else {
    absl::StatusOr<TlsCredentials> credentials =
        LoadClient(config.certs, config.client.name);
    if (!credentials.ok()) return credentials.status();
    absl::StatusOr<std::unique_ptr<TlsSecurity>> security =
        TlsSecurity::Create(&host->loop_, *credentials);
    if (!security.ok()) return security.status();
    config.client.cluster_name = (*security)->self().cluster;
    host->security_ = *std::move(security);
  }
  host->client_ =
      std::make_unique<Client>(Env{.loop = &host->loop_,
                                   .network = &host->network_,
                                   .security = host->security_.get(),
                                   .seed = RandomSeed()},
                               std::move(config.client));
  return host;
}

}  // namespace holdfast
