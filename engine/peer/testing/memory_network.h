#ifndef HOLDFAST_ENGINE_PEER_TESTING_MEMORY_NETWORK_H_
#define HOLDFAST_ENGINE_PEER_TESTING_MEMORY_NETWORK_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <utility>

#include "engine/env/loop.h"
#include "engine/env/network.h"

namespace holdfast {

class MemoryConnection;

// A Network within one process, for the tests of what stands on connections.
// Bytes arrive at once, unless a test says otherwise.
class MemoryNetwork final : public Network {
 public:
  explicit MemoryNetwork(Loop* loop) : loop_(loop) {}
  ~MemoryNetwork() override;

  absl::StatusOr<std::unique_ptr<Listener>> Listen(const Address& address,
                                                   AcceptFn accept) override;
  std::unique_ptr<PendingOp> Dial(const Address& address,
                                  ConnectDone done) override;

  // Two ends of one connection.
  std::pair<std::unique_ptr<Connection>, std::unique_ptr<Connection>> Pair();

  // At most so many bytes a read.
  void set_read_max(size_t n) { read_max_ = n; }
  // So many bytes that nobody has read yet make writes wait.
  void set_capacity(size_t n) { capacity_ = n; }
  // Nothing arrives, and no dial ends, until it is off again.
  void set_black_hole(bool on);
  // Every connection ends with an error.
  void ResetAll();

  uint64_t dials() const { return dials_; }
  uint64_t writes() const { return writes_; }
  uint64_t reads() const { return reads_; }

 private:
  friend class MemoryConnection;
  class MemoryListener;
  class MemoryDial;

  Loop* const loop_;
  size_t read_max_ = SIZE_MAX;
  size_t capacity_ = SIZE_MAX;
  bool black_hole_ = false;
  uint64_t dials_ = 0;
  uint64_t writes_ = 0;
  uint64_t reads_ = 0;
  uint64_t next_id_ = 1;
  std::map<Address, MemoryListener*> listeners_;
  std::map<uint64_t, MemoryConnection*> connections_;
};

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_PEER_TESTING_MEMORY_NETWORK_H_
