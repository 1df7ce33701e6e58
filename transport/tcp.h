#ifndef HOLDFAST_TRANSPORT_TCP_H_
#define HOLDFAST_TRANSPORT_TCP_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/env/network.h"
#include "transport/epoll_loop.h"
#include "transport/worker.h"

namespace holdfast {

struct HostPort {
  std::string host;  // without brackets
  uint16_t port = 0;
};
// "HOST:PORT", "[IPV6]:PORT". INVALID_ARGUMENT with what was expected.
absl::StatusOr<HostPort> ParseAddress(absl::string_view address);

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
