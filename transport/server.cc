#include "transport/server.h"

#include <sys/resource.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/env/address.h"
#include "engine/peer/plaintext.h"
#include "transport/certs.h"
#include "transport/random_seed.h"
#include "transport/tls.h"
#include "transport/version.h"

namespace holdfast {
namespace {

absl::Status CheckBootstrap(const std::vector<Member>& members) {
  for (size_t i = 0; i < members.size(); ++i) {
    const Member& one = members[i];
    if (one.id.value() == 0) {
      return absl::InvalidArgumentError("bootstrap: expected ids above 0");
    }
    if (absl::StatusOr<HostPort> address = ParseAddress(one.address);
        !address.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat("bootstrap: ", address.status().message()));
    }
    for (size_t j = 0; j < i; ++j) {
      if (members[j].id == one.id || members[j].address == one.address) {
        return absl::InvalidArgumentError(absl::StrCat(
            "bootstrap: an id or an address stands twice: ", one.id.value(),
            " at ", one.address));
      }
    }
  }
  return absl::OkStatus();
}

absl::Status Check(const NodeConfig& config) {
  const NodeOptions& node = config.node();
  if (node.id.value() == 0) {
    return absl::InvalidArgumentError("expected a server's id above 0");
  }
  if (config.insecure != config.certs.empty()) {
    return absl::InvalidArgumentError(
        "expected either a directory of certificates, or insecure for "
        "plaintext");
  }
  if (node.join && !node.bootstrap.empty()) {
    return absl::InvalidArgumentError(
        "expected either join or bootstrap, found both");
  }
  if (absl::StatusOr<HostPort> listen = ParseAddress(node.listen);
      !listen.ok()) {
    return listen.status();
  }
  if (!node.advertise.empty()) {
    if (absl::StatusOr<HostPort> advertise = ParseAddress(node.advertise);
        !advertise.ok()) {
      return advertise.status();
    }
  }
  return CheckBootstrap(node.bootstrap);
}

// The server's own certificate, and the cluster's name, which it knows.
absl::StatusOr<std::unique_ptr<Security>> MakeTls(EpollLoop* loop,
                                                  NodeConfig* config) {
  NodeOptions& node = config->node();
  absl::StatusOr<TlsCredentials> credentials =
      LoadServer(config->certs, node.id);
  if (!credentials.ok()) return credentials.status();
  absl::StatusOr<std::unique_ptr<TlsSecurity>> tls =
      TlsSecurity::Create(loop, *credentials);
  if (!tls.ok()) return tls.status();
  const PeerIdentity& self = (*tls)->self();
  if (self.kind != PeerIdentity::Kind::kServer ||
      self.name != absl::StrCat(node.id.value())) {
    return absl::FailedPreconditionError(absl::StrCat(
        "expected the certificate of server ", node.id.value(), " in ",
        config->certs, ", found that of ", FormatIdentityUri(self)));
  }
  node.cluster_name = self.cluster;
  return *std::move(tls);
}

// Of the files that the process may have open, what is left for clients. A
// server that can't open its log's next segment any more stops.
size_t DescriptorsForClients() {
  constexpr rlim_t kOthers = 512;
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return kOthers;
  return static_cast<size_t>(limit.rlim_cur > 2 * kOthers
                                 ? limit.rlim_cur - kOthers
                                 : limit.rlim_cur / 2);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Server>> Server::Create(EpollLoop* loop,
                                                       NodeConfig config,
                                                       LogLineFn* log_line) {
  if (absl::Status s = Check(config); !s.ok()) return s;
  std::unique_ptr<Server> server(new Server(loop));
  if (config.insecure) {
    server->security_ = std::make_unique<Plaintext>(loop);
  } else {
    absl::StatusOr<std::unique_ptr<Security>> tls = MakeTls(loop, &config);
    if (!tls.ok()) return tls.status();
    server->security_ = *std::move(tls);
  }
  absl::StatusOr<std::unique_ptr<PosixDisk>> disk =
      PosixDisk::Open(loop, config.data_dir, config.disk);
  if (!disk.ok()) {
    return absl::FailedPreconditionError(disk.status().message());
  }
  server->disk_ = *std::move(disk);
  std::vector<Member>& members = config.node().bootstrap;
  std::sort(members.begin(), members.end(),
            [](const Member& a, const Member& b) { return a.id < b.id; });
  config.service.version = kVersion;
  config.service.clients_max =
      std::min(config.service.clients_max, DescriptorsForClients());
  server->service_ =
      std::make_unique<Service>(Env{.loop = loop,
                                    .disk = server->disk_.get(),
                                    .network = &server->network_,
                                    .security = server->security_.get(),
                                    .seed = RandomSeed(),
                                    .log_line = log_line},
                                std::move(config.service));
  return server;
}

}  // namespace holdfast
