#ifndef HOLDFAST_SIM_SIM_NETWORK_H_
#define HOLDFAST_SIM_SIM_NETWORK_H_

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/env/network.h"
#include "sim/sim_process.h"
#include "sim/world.h"

namespace holdfast {

struct SimNetworkOptions {
  Duration delay_min = 50us;
  Duration delay_max = 300us;
  // A heavy tail: so many of a million segments wait up to tail_max longer.
  uint64_t tail_ppm = 2000;
  Duration tail_max = 40ms;
  // Bytes a second on each stream.
  uint64_t bytes_per_s = 400 << 20;
  // Bytes that a stream holds on their way and unread, each direction.
  size_t window_bytes = 256 << 10;
  // So many of a million writes end in a reset, in the midst of their bytes.
  uint64_t reset_ppm = 0;
  // So many of a million reads bring fewer bytes than are there.
  uint64_t short_read_ppm = 50000;
};

struct SimNetworkCounts {
  uint64_t connections = 0;
  uint64_t segments = 0;
  uint64_t resets = 0;
  uint64_t held = 0;  // segments that waited for a partition to end
  uint64_t tails = 0;
  uint64_t short_reads = 0;
  uint64_t half_open = 0;  // ends whose peer vanished without a word
};

class SimConnection;
class SimListener;
class SimDial;

// All machines' network: who listens where, which links are cut or slow, and
// the streams between processes. A stream keeps its order and loses nothing;
// across a cut link bytes wait, as TCP's retransmissions do, and arrive when
// it heals, unless an end has given up meanwhile.
class NetworkFabric {
 public:
  NetworkFabric(World* world, SimNetworkOptions options);
  ~NetworkFabric();
  NetworkFabric(const NetworkFabric&) = delete;
  NetworkFabric& operator=(const NetworkFabric&) = delete;

  static Address AddressOf(MachineId machine);

  // One direction of a link: nothing gets through while it is cut.
  void SetCut(MachineId from, MachineId to, bool cut);
  // Further delay for each segment.
  void SetSlow(MachineId from, MachineId to, Duration delay);
  void HealAll();

  // The process is gone: its ends of streams are, too. With the power lost
  // nobody tells the peers; otherwise its kernel resets the streams.
  void ProcessDied(const SimProcess& process, bool power_lost);
  // Whether the machine answers at all (with a reset, where nobody listens).
  void SetMachineUp(MachineId machine, bool up) { up_[machine] = up; }

  void set_options(const SimNetworkOptions& options) { options_ = options; }
  const SimNetworkCounts& counts() const { return counts_; }

 private:
  friend class SimConnection;
  friend class SimDial;
  friend class SimListener;
  friend class SimNetwork;

  using Link = std::pair<MachineId, MachineId>;

  struct Segment {
    enum class Kind : uint8_t { kData, kEnd, kReset };
    Kind kind = Kind::kData;
    Buffer data;
  };
  // One end of a stream, as its machine's kernel keeps it.
  struct End {
    MachineId machine = 0;
    SimProcess* process = nullptr;  // null: it died
    SimConnection* connection = nullptr;
    Buffers received;
    size_t received_bytes = 0;
    bool end_received = false;
    absl::Status broken;
    // What this end sent.
    TrueTime last_arrival{};
    size_t outstanding = 0;  // sent, and not read by the other end
    std::deque<Segment> held;
  };
  struct Stream {
    uint64_t id = 0;
    std::array<End, 2> ends;
    uint64_t segments = 0;
  };
  using StreamPtr = std::shared_ptr<Stream>;

  bool Cut(MachineId from, MachineId to) const {
    return cuts_.contains(Link{from, to});
  }
  Duration Delay(MachineId from, MachineId to, size_t bytes);
  void Send(const StreamPtr& stream, int from, Segment segment);
  void Arrive(const StreamPtr& stream, int from, Segment segment);
  // The end learns that the stream is broken.
  void Break(const StreamPtr& stream, int end, absl::Status why);
  // The other end took bytes from what `from` had sent.
  void Credit(const StreamPtr& stream, int from, size_t bytes);
  void Leave(const StreamPtr& stream, int end);

  World* const world_;
  SimNetworkOptions options_;
  std::map<Address, SimListener*> listeners_;
  std::map<Link, bool> cuts_;
  std::map<Link, Duration> slow_;
  std::map<MachineId, bool> up_;
  std::map<uint64_t, std::weak_ptr<Stream>> streams_;
  uint64_t next_stream_ = 1;
  uint64_t draws_ = 0;
  SimNetworkCounts counts_;
};

// The Network of one process.
class SimNetwork final : public Network {
 public:
  SimNetwork(SimProcess* process, NetworkFabric* fabric)
      : process_(process), fabric_(fabric) {}

  absl::StatusOr<std::unique_ptr<Listener>> Listen(const Address& address,
                                                   AcceptFn accept) override;
  std::unique_ptr<PendingOp> Dial(const Address& address,
                                  ConnectDone done) override;

 private:
  SimProcess* const process_;
  NetworkFabric* const fabric_;
};

}  // namespace holdfast

#endif  // HOLDFAST_SIM_SIM_NETWORK_H_
