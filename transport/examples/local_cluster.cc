#include "transport/examples/local_cluster.h"

#include <stdlib.h>

#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "transport/certs.h"
#include "transport/epoll_loop.h"
#include "transport/tcp.h"

namespace holdfast {
namespace {

constexpr uint64_t kServers = 3;
constexpr Duration kValidity = 24h;

}  // namespace

absl::StatusOr<std::vector<Address>> FreeAddresses(size_t count) {
  EpollLoop loop;
  TcpNetwork network(&loop);
  // Held until all are known, so that they differ.
  std::vector<std::unique_ptr<Listener>> listeners;
  std::vector<Address> addresses;
  while (addresses.size() < count) {
    auto listener = network.Listen("127.0.0.1:0", [](auto) {});
    if (!listener.ok()) return listener.status();
    addresses.push_back((*listener)->address());
    listeners.push_back(*std::move(listener));
  }
  return addresses;
}

absl::StatusOr<std::unique_ptr<LocalCluster>> LocalCluster::Start() {
  std::unique_ptr<LocalCluster> cluster(new LocalCluster);
  std::string pattern = std::filesystem::temp_directory_path().string() +
                        "/holdfast-local.XXXXXX";
  if (mkdtemp(pattern.data()) == nullptr) {
    return absl::PermissionDeniedError(
        absl::StrCat("can't make a temporary directory ", pattern));
  }
  cluster->directory_ = pattern;
  const std::string certs = cluster->directory_ + "/certs";
  absl::Status status = InitCa(certs, "local");
  status.Update(IssueClient(certs, "app", ClientRole::kAdmin, kValidity));
  absl::StatusOr<std::vector<Address>> addresses = FreeAddresses(kServers);
  if (!addresses.ok()) return addresses.status();
  for (uint64_t id = 1; id <= kServers; ++id) {
    status.Update(IssueServer(certs, ServerId(id), {"127.0.0.1"}, kValidity));
    cluster->members_.push_back(
        Member{ServerId(id), Incarnation(), (*addresses)[id - 1]});
  }
  cluster->nodes_.resize(kServers);
  for (uint64_t id = 1; id <= kServers; ++id) {
    if (status.ok()) status = cluster->StartNode(id);
  }
  if (!status.ok()) return status;
  return cluster;
}

LocalCluster::~LocalCluster() {
  nodes_.clear();
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

EmbeddedNodeConfig LocalCluster::NodeConfigOf(uint64_t id) const {
  EmbeddedNodeConfig config;
  config.data_dir = absl::StrCat(directory_, "/data", id);
  config.certs = directory_ + "/certs";
  config.node().id = ServerId(id);
  config.node().listen = members_[id - 1].address;
  config.node().bootstrap = members_;
  config.node().wal.segment_bytes = 1 << 20;
  return config;
}

absl::Status LocalCluster::StartNode(uint64_t id) {
  absl::StatusOr<std::unique_ptr<EmbeddedNode>> node =
      EmbeddedNode::Start(NodeConfigOf(id));
  if (!node.ok()) return node.status();
  nodes_[id - 1] = *std::move(node);
  return absl::OkStatus();
}

BlockingClientConfig LocalCluster::ClientConfig() const {
  BlockingClientConfig config;
  for (const Member& m : members_) config.client.servers.push_back(m.address);
  config.client.name = "app";
  config.certs = directory_ + "/certs";
  return config;
}

}  // namespace holdfast
