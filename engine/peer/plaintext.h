#ifndef HOLDFAST_ENGINE_PEER_PLAINTEXT_H_
#define HOLDFAST_ENGINE_PEER_PLAINTEXT_H_

#include <memory>
#include <string>

#include "engine/env/loop.h"
#include "engine/env/network.h"

namespace holdfast {

// Security without security: streams stay as they are, and nothing is proved
// of the other end (PeerIdentity::Kind::kUnproved). For tests, simulation,
// and an explicit --insecure.
class Plaintext final : public Security {
 public:
  explicit Plaintext(Loop* loop) : loop_(loop) {}

  std::unique_ptr<PendingOp> Connect(std::unique_ptr<Connection> raw,
                                     Buffer preface,
                                     const std::string& expected_server,
                                     SecureDone done) override;
  std::unique_ptr<PendingOp> Accept(std::unique_ptr<Connection> raw,
                                    SecureDone done) override;

 private:
  Loop* const loop_;
};

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_PEER_PLAINTEXT_H_
