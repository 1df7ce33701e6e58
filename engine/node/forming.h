#ifndef HOLDFAST_ENGINE_NODE_FORMING_H_
#define HOLDFAST_ENGINE_NODE_FORMING_H_

#include <map>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "engine/base/configuration.h"
#include "engine/base/types.h"
#include "engine/wal/entry.h"

namespace holdfast {

// How a new cluster comes to be: each server named by --bootstrap waits until
// it has heard every other one's hello, then writes the same first entry,
// which holds all ids, addresses and incarnations. Its hash is the cluster's
// id. So a server that lost its disk meanwhile has another incarnation,
// computes another cluster, and can't pass for the old one.
//
// One incarnation forms at most once. Two clusters of different incarnations
// can't both have a majority: the majorities share a server, whose second
// incarnation begins after a majority of the first cluster has formed, so it
// hears of at least one of these as formed, and stops. (A hello is made at each
// dial, never kept.)
class Forming {
 public:
  // `named`: the servers of --bootstrap, self among them; incarnations 0.
  Forming(std::vector<Member> named, ServerId self, Incarnation incarnation);

  // A server said hello. `cluster_id` is 0 while it isn't formed itself.
  void Heard(ServerId id, Incarnation incarnation, ClusterId cluster_id);

  // The cluster's first entry, once all have been heard and nobody that is
  // formed already contradicts it.
  std::optional<Entry> FirstEntry() const;

  // Not OK when it can't form as things stand: somebody is formed otherwise.
  absl::Status Obstacle() const;

  // The named servers not heard of yet, for messages to people.
  std::vector<ServerId> Missing() const;

 private:
  struct Hello {
    Incarnation incarnation;
    ClusterId cluster_id;
  };
  std::vector<Member> named_;
  std::map<ServerId, Hello> heard_;
};

// The first entry of a cluster of these servers: the same bytes wherever it
// is made.
Entry MakeFirstEntry(const Configuration& configuration);

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_NODE_FORMING_H_
