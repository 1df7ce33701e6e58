#ifndef HOLDFAST_TRANSPORT_TCP_H_
#define HOLDFAST_TRANSPORT_TCP_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "engine/env/address.h"
#include "engine/env/network.h"
#include "transport/epoll_loop.h"
#include "transport/worker.h"

namespace holdfast {

// Network over TCP: no delay, keep-alive, names resolved on a helper thread.
class TcpNetwork final : public Network {
 public:
  explicit TcpNetwork(EpollLoop* loop);
  ~TcpNetwork() override;

  absl::StatusOr<std::unique_ptr<Listener>> Listen(const Address& address,
                                                   AcceptFn accept) override;
  std::unique_ptr<PendingOp> Dial(const Address& address,
                                  ConnectDone done) override;

 private:
  EpollLoop* const loop_;
  std::shared_ptr<Worker> resolver_;
};

}  // namespace holdfast

#endif  // HOLDFAST_TRANSPORT_TCP_H_
