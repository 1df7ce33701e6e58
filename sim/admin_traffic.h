#ifndef HOLDFAST_SIM_ADMIN_TRAFFIC_H_
#define HOLDFAST_SIM_ADMIN_TRAFFIC_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "engine/env/network.h"

namespace holdfast {

// What was seen of operators' requests (joins, leaves, transfers, trims) on the
// connections of one client.
//
// Servers don't tell how many of them they have under way, but it shows. A
// server takes a connection's requests in their order, and refuses at once what
// is one too many; answers go out in the order in which they are given, and
// these before others. So when a request is answered, of those that were sent
// before it, all that have no answer yet are under way.
struct AdminTraffic {
  size_t under_way_max = 0;  // on one connection, at any time
  uint64_t overloaded = 0;   // that were one too many
};

// As `security`, with all that it connects watched: above TLS, where messages
// can be read. `seen` outlives it.
std::unique_ptr<Security> WatchAdminTraffic(std::unique_ptr<Security> security,
                                            AdminTraffic* seen);

}  // namespace holdfast

#endif  // HOLDFAST_SIM_ADMIN_TRAFFIC_H_
