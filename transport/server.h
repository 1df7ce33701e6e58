#ifndef HOLDFAST_TRANSPORT_SERVER_H_
#define HOLDFAST_TRANSPORT_SERVER_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "engine/env/env.h"
#include "engine/service/service.h"
#include "transport/epoll_loop.h"
#include "transport/posix_disk.h"
#include "transport/tcp.h"

namespace holdfast {

// A server in the real world.
struct NodeConfig {
  // Its directory; made if it isn't there.
  std::string data_dir;
  // Directory with the certificates (transport/certs.h); empty, and
  // `insecure`: plaintext. They also say what the cluster is called.
  std::string certs;
  bool insecure = false;
  DiskBackend disk = DiskBackend::kAuto;
  // The engine's options. Needed are node().id, .listen ("HOST:PORT"), and
  // either .bootstrap (all servers of a new cluster, in any order) or .join;
  // both are harmless when the directory has a log already. .advertise, if the
  // others reach it elsewhere than where it listens. Without certificates
  // .cluster_name is the same on all servers.
  ServiceOptions service;
  NodeOptions& node() { return service.log.node; }
  const NodeOptions& node() const { return service.log.node; }
};

// A Service with the network, the security and the files that it stands on:
// what the binary runs, and EmbeddedNode. All of it on one EpollLoop.
class Server {
 public:
  // Takes nothing and opens nothing but the directory: that is
  // service()->Open. Both pointers outlive the Server. INVALID_ARGUMENT, or
  // FAILED_PRECONDITION, with what is wrong.
  static absl::StatusOr<std::unique_ptr<Server>> Create(EpollLoop* loop,
                                                        NodeConfig config,
                                                        LogLineFn* log_line);

  Service* service() { return &*service_; }
  const PosixDisk& disk() const { return *disk_; }

 private:
  explicit Server(EpollLoop* loop) : network_(loop) {}

  TcpNetwork network_;
  std::unique_ptr<Security> security_;
  std::unique_ptr<PosixDisk> disk_;
  std::unique_ptr<Service> service_;
};

}  // namespace holdfast

#endif  // HOLDFAST_TRANSPORT_SERVER_H_
