#ifndef HOLDFAST_ENGINE_CLIENT_ADMIN_H_
#define HOLDFAST_ENGINE_CLIENT_ADMIN_H_

#include <vector>

#include "engine/base/types.h"
#include "engine/client/cluster.h"
#include "engine/client/requests.h"
#include "engine/client/types.h"
#include "engine/env/completion.h"

namespace holdfast {

// An operator's requests: changes of members, transfers of leadership, trims.
// The contracts are Client's. Internal to the client.
class Admin {
 public:
  explicit Admin(Cluster* cluster) : requests_(cluster) {}

  void Join(ServerId id, const Address& address, bool learner, Duration timeout,
            DoneFn done);
  void Leave(const std::vector<ServerId>& ids, Duration timeout, DoneFn done);
  void Transfer(ServerId to, Duration timeout, DoneFn done);
  void Trim(Offset first, Duration timeout, DoneFn done);
  // All that waits gets CANCELLED.
  void Close() { requests_.Close(); }

 private:
  Requests requests_;
};

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_CLIENT_ADMIN_H_
