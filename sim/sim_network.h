#ifndef HOLDFAST_SIM_SIM_NETWORK_H_
#define HOLDFAST_SIM_SIM_NETWORK_H_

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "engine/base/lookup_map.h"
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
  // So many of a million writes are the last that gets through, either way,
  // without a word to anybody (a middle box that forgot the stream).
  uint64_t silence_ppm = 0;
  // So many of a million dials are refused though somebody listens.
  uint64_t refuse_ppm = 0;
  // So many of a million writes arrive with a bit that is the other one.
  uint64_t flip_ppm = 0;
  // Of so many of a million streams that an end gives up, what is on its way
  // arrives later, up to linger_max: after what a newer stream brings.
  uint64_t linger_ppm = 0;
  Duration linger_max = 500ms;
  // So many of a million reads bring fewer bytes than are there.
  uint64_t short_read_ppm = 50000;
  // Of so many of a million writes only a part is taken at first.
  uint64_t short_write_ppm = 0;
};

// By what a link is cut or slow; kOther isn't told apart.
enum class LinkFault : uint8_t {
  kOther,
  kIsolation,
  kSplit,
  kOneWay,
  kBridge,
  kFlap,
  kCutClient,
  kSlowLink,
};
inline constexpr size_t kLinkFaults =
    static_cast<size_t>(LinkFault::kSlowLink) + 1;

struct SimNetworkCounts {
  uint64_t connections = 0;
  uint64_t segments = 0;
  uint64_t resets = 0;
  uint64_t held = 0;     // directions that waited for a partition to end
  uint64_t refused = 0;  // dials, by the fault
  uint64_t tails = 0;
  uint64_t short_reads = 0;
  uint64_t short_writes = 0;
  uint64_t half_open = 0;  // ends whose peer vanished without a word
  uint64_t silenced = 0;   // streams
  uint64_t flips = 0;
  uint64_t lingered = 0;  // segments that came after a newer stream's
  uint64_t clogged = 0;   // segments that waited for a link with few bytes
  // What each LinkFault held up or delayed: directions of streams that are cut,
  // segments of those that are slow; dials and their answers.
  std::array<uint64_t, kLinkFaults> felt{};
  uint64_t unread = 0;  // streams that waited until their machine read on

  uint64_t of(LinkFault fault) const {
    return felt[static_cast<size_t>(fault)];
  }

  // What faults did.
  template <typename Fn>  // fn(name, value)
  void ForEach(Fn fn) const {
    fn("happened_isolation", of(LinkFault::kIsolation));
    fn("happened_split", of(LinkFault::kSplit));
    fn("happened_one_way_cut", of(LinkFault::kOneWay));
    fn("happened_bridge", of(LinkFault::kBridge));
    fn("happened_flap", of(LinkFault::kFlap));
    fn("happened_cut_client", of(LinkFault::kCutClient));
    fn("happened_slow_link", of(LinkFault::kSlowLink));
    fn("happened_reset", resets);
    fn("happened_hold", held);
    fn("happened_refusal", refused);
    fn("happened_tail", tails);
    fn("happened_short_read", short_reads);
    fn("happened_short_write", short_writes);
    fn("happened_half_open", half_open);
    fn("happened_silence", silenced);
    fn("happened_flip", flips);
    fn("happened_linger", lingered);
    fn("happened_clogged_link", clogged);
    fn("happened_stop_reading", unread);
  }
};

class SimConnection;
class SimListener;
class SimDial;

// All machines' network: who listens where, which links are cut or slow, and
// the streams between processes. A stream keeps its order and loses nothing:
// across a cut link bytes wait, as TCP's retransmissions do, and arrive when
// it heals, unless their sender has gone meanwhile. A reset is sent once: if
// the link is cut, the other end never hears of it, and is left half open
// until it sends something itself.
class NetworkFabric {
 public:
  NetworkFabric(World* world, SimNetworkOptions options);
  ~NetworkFabric();
  NetworkFabric(const NetworkFabric&) = delete;
  NetworkFabric& operator=(const NetworkFabric&) = delete;

  static Address AddressOf(MachineId machine);

  // One direction of a link: nothing gets through while it is cut.
  void SetCut(MachineId from, MachineId to, bool cut,
              LinkFault by = LinkFault::kOther);
  // Further delay for each segment.
  void SetSlow(MachineId from, MachineId to, Duration delay,
               LinkFault by = LinkFault::kOther);
  // All streams of that direction together get no more than so many bytes a
  // second; 0: as usual, and what waited for that arrives.
  void SetClogged(MachineId from, MachineId to, uint64_t bytes_per_s);
  // Whether the machine's process takes anything from its streams. While it
  // doesn't, it goes on writing, and learns of a stream that is broken; but
  // what it is sent stays in the stream's window. Its next process reads.
  void SetReads(MachineId machine, bool reads);
  void HealAll();
  // Those that are cut now.
  std::vector<std::pair<MachineId, MachineId>> CutLinks() const;

  // The process is gone: its ends of streams are, too. With the power lost
  // nobody tells the peers; otherwise its kernel resets the streams.
  void ProcessDied(const SimProcess& process, bool power_lost);
  // Whether the machine answers at all (with a reset, where nobody listens).
  void SetMachineUp(MachineId machine, bool up);

  // Called before bytes reach a machine to which the link isn't cut; it may cut
  // that.
  void set_before_arrival(std::function<void(MachineId, MachineId)> fn) {
    before_arrival_ = std::move(fn);
  }

  void set_options(const SimNetworkOptions& options) { options_ = options; }
  // What is written differs from run to run, and only its length doesn't: the
  // trace hash leaves out the bytes.
  void CarriesCiphertext() { ciphertext_ = true; }
  const SimNetworkCounts& counts() const { return counts_; }
  // Of all streams: what is on its way, or wasn't read.
  uint64_t memory_bytes() const;

 private:
  friend class SimConnection;
  friend class SimDial;
  friend class SimListener;
  friend class SimNetwork;

  using Link = std::pair<MachineId, MachineId>;

  struct Segment {
    enum class Kind : uint8_t { kData, kEnd, kReset };
    Kind kind = Kind::kData;
    TrueTime arrives{};
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
    // What this end sent: on its way, in order, with one event for the first
    // of them; or stalled, until the link heals.
    std::deque<Segment> on_way;
    TrueTime due{};  // when that event is; another one is none
    bool stalled = false;
    bool lingers = false;  // it is given up, and that takes longer
    TrueTime last_arrival{};
    size_t outstanding = 0;  // sent, and not read by the other end
    size_t credit_held = 0;  // read, but the link back is cut
  };
  struct Stream {
    uint64_t id = 0;
    std::array<End, 2> ends;
    bool silent = false;  // nothing gets through any more, and nobody is told
  };
  using StreamPtr = std::shared_ptr<Stream>;

  bool Cut(MachineId from, MachineId to) const {
    return !cuts_.empty() && cuts_.contains(Link{from, to});
  }
  // Something that is there to get through can't.
  bool HeldByCut(MachineId from, MachineId to);
  bool Up(MachineId machine) const {
    auto it = up_.find(machine);
    return it == up_.end() || it->second;
  }
  bool Reads(MachineId machine) const {
    return not_reading_.empty() || !not_reading_.contains(machine);
  }
  struct Slow {
    Duration delay = Duration::zero();
    LinkFault by = LinkFault::kOther;
  };
  // A link that carries few bytes, one behind the other.
  struct Clog {
    uint64_t bytes_per_s = 0;
    TrueTime free_at{};  // its last byte has left
  };

  void CountFelt(LinkFault fault) {
    ++counts_.felt[static_cast<size_t>(fault)];
  }
  Duration Delay(MachineId from, MachineId to, size_t bytes);
  // How long the link is busy with what goes before, and with that.
  Duration Queued(MachineId from, MachineId to, size_t bytes);
  // Nobody has the end any more; perhaps what it sent takes longer still.
  void GiveUp(const StreamPtr& stream, int end, absl::string_view why);
  void Linger(const StreamPtr& stream, int from);
  static StreamDirection DirectionOf(const Stream& stream, int from) {
    return {stream.id, from, stream.ends[from].machine,
            stream.ends[1 - from].machine};
  }
  // Tells whoever watches.
  void Tell(IncidentKind kind, MachineId from, MachineId to,
            Duration length = Duration::zero(), uint64_t count = 0) {
    if (world_->observer() == nullptr) return;
    world_->observer()->OnIncident({.kind = kind,
                                    .machine = from,
                                    .other = to,
                                    .length = length,
                                    .count = count});
  }
  void Send(const StreamPtr& stream, int from, Segment::Kind kind, Buffer data);
  void DeliverAt(TrueTime when, const StreamPtr& stream, int from);
  // What has arrived by now is delivered.
  void Deliver(const StreamPtr& stream, int from);
  void Arrive(const StreamPtr& stream, int from, Segment segment);
  // Bytes have arrived: whether a newer stream was faster.
  void NoteOrder(const Stream& stream, int from);
  // What is on its way waits no longer for a clogged link.
  void Drain(const StreamPtr& stream, int from);
  // A stalled direction goes on.
  void Resume(const StreamPtr& stream, int from);
  // The end learns that the stream is broken.
  void Break(const StreamPtr& stream, int end, absl::Status why);
  // The other end took bytes from what `from` had sent.
  void Credit(const StreamPtr& stream, int from, size_t bytes);
  void Leave(const StreamPtr& stream, int end);
  // The streams that somebody still holds.
  std::vector<StreamPtr> Streams();

  World* const world_;
  SimNetworkOptions options_;
  bool ciphertext_ = false;
  std::map<Address, SimListener*> listeners_;
  std::map<Link, LinkFault> cuts_;
  std::map<Link, Slow> slow_;
  std::map<Link, Clog> clogged_;
  std::set<MachineId> not_reading_;
  std::map<MachineId, bool> up_;
  std::map<uint64_t, std::weak_ptr<Stream>> streams_;
  // The newest stream of a link of which bytes have arrived.
  LookupMap<Link, uint64_t> newest_arrived_;
  uint64_t next_stream_ = 1;
  uint32_t next_port_ = 49152;
  uint64_t draws_ = 0;
  SimNetworkCounts counts_;
  std::function<void(MachineId, MachineId)> before_arrival_;
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
