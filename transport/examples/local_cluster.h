#ifndef HOLDFAST_TRANSPORT_EXAMPLES_LOCAL_CLUSTER_H_
#define HOLDFAST_TRANSPORT_EXAMPLES_LOCAL_CLUSTER_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "transport/blocking_client.h"
#include "transport/embedded_node.h"

namespace holdfast {

// Three servers in this process, with certificates, on loopback and in a
// temporary directory that goes with them: for examples and tests.
class LocalCluster {
 public:
  // They serve; they may not have a leader yet.
  static absl::StatusOr<std::unique_ptr<LocalCluster>> Start();
  ~LocalCluster();

  // 1 to 3; null while closed.
  EmbeddedNode* node(uint64_t id) { return nodes_[id - 1].get(); }
  absl::Status StartNode(uint64_t id);
  void CloseNode(uint64_t id) { nodes_[id - 1] = nullptr; }
  // Of one that runs.
  EmbeddedNodeConfig NodeConfigOf(uint64_t id) const;

  // For an administrator.
  BlockingClientConfig ClientConfig() const;

 private:
  LocalCluster() = default;

  std::string directory_;
  std::vector<Member> members_;
  std::vector<std::unique_ptr<EmbeddedNode>> nodes_;
};

// Addresses on loopback whose ports are free now.
absl::StatusOr<std::vector<Address>> FreeAddresses(size_t count);

}  // namespace holdfast

#endif  // HOLDFAST_TRANSPORT_EXAMPLES_LOCAL_CLUSTER_H_
