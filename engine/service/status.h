#ifndef HOLDFAST_ENGINE_SERVICE_STATUS_H_
#define HOLDFAST_ENGINE_SERVICE_STATUS_H_

#include "engine/log/distributed_log.h"
#include "engine/peer/client.pb.h"

namespace holdfast {

// What a server says of itself, without the request's id and the software's
// version.
wire::StatusAnswer DescribeStatus(const DistributedLog& log);

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_SERVICE_STATUS_H_
