#ifndef HOLDFAST_ENGINE_CLIENT_READER_H_
#define HOLDFAST_ENGINE_CLIENT_READER_H_

#include "engine/base/types.h"
#include "engine/client/cluster.h"
#include "engine/client/requests.h"
#include "engine/client/types.h"

namespace holdfast {

// A client's reads and questions of status, each until its answer or its
// timeout. Internal to the client.
class Reader {
 public:
  explicit Reader(Cluster* cluster) : cluster_(cluster), requests_(cluster) {}

  void Read(Offset from, const ClientReadOptions& options, ClientReadFn done);
  void Status(const Address& server, Duration timeout,
              ResultFn<ServerStatus> done);
  // All that waits gets CANCELLED.
  void Close() { requests_.Close(); }

 private:
  Cluster* const cluster_;
  Requests requests_;
};

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_CLIENT_READER_H_
