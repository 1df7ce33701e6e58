// A simulated cluster whose faults are those of a tape that the input's bytes
// are (sim/tape.h): what a seed leaves to chance, libFuzzer chooses, and keeps
// what leads to what it hasn't seen. Besides the code's coverage it is told
// which states the cluster went through, as an abstract model has them: code
// looks the same for a candidate in any company, or on a disk that hangs.
//
// An input is a head of 8 bytes (seed, servers, features, changes of servers)
// and a fault per 8 bytes. Its tape, for simulate to replay, show and shrink,
// is written where the environment's HOLDFAST_TAPE says:
//   HOLDFAST_TAPE=$PWD/a.tape bazel-bin/fuzz/simulation_fuzz INPUT
//   bazel run //sim:simulate -- --tape=$PWD/a.tape

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "engine/base/check.h"
#include "engine/base/random.h"
#include "sim/cli/code_id.h"
#include "sim/cli/flags.h"
#include "sim/fault_sites.h"
#include "sim/simulation.h"

namespace holdfast {
namespace {

constexpr Duration kDuration = 6s;
constexpr size_t kRecordBytes = 8;
constexpr size_t kFaultsMax = 256;
constexpr uint32_t kClients = 2;
constexpr uint32_t kServersMax = 5;
constexpr uint32_t kSparesMax = 2;

// --- States ---

// libFuzzer is told of the cluster's states in three views, each with counters
// of its own. All of it as one state would hardly be met twice: it would keep
// every input, and learn from none.
// - The logs of all servers together: how each takes part, whose term and log
//   are the newest, what is durable and committed, and the configuration that
//   it goes by. A server has at most 2 + 4 * 2^6 * 4 = 1,026 of these states,
//   and a cluster far more than there can be counters. So each one, and each
//   pair of one and the next one, has one of 2^16 counters, by its hash.
// - Each server for itself: how it takes part, what is wrong with it, and what
//   the leader is about: 6 * 48 * 17 = 4,896 states, and as many counters.
// - What is wrong with the cluster: how many servers are down, paused, and so
//   on (none, less than half, more), whether the leader is among them, and what
//   it is about: 3^6 * 2 * 17 = 24,786 states, and as many counters.
// A counter says that there was such a state, not how often, which libFuzzer
// would take for eight things to look for in the place of one.
constexpr uint64_t kParts = 6;   // PartOf
constexpr uint64_t kPhases = 4;  // PhaseOf
// Trouble, but for being down.
constexpr uint64_t kTroubles = 2 * 2 * 2 * 2 * 3;
constexpr uint64_t kKindsOfTrouble = 6;
constexpr uint64_t kAmounts = 729;  // 3 to the power of the kinds
constexpr uint64_t kErrands = 1 + kPhases * 2 * 2;  // ErrandOf

constexpr size_t kLogCounters = 1 << 16;
constexpr size_t kServerCounters = kParts * kTroubles * kErrands;
constexpr size_t kClusterCounters = kAmounts * 2 * kErrands;
// libFuzzer clears them by words.
constexpr size_t kCounters =
    (kLogCounters + kServerCounters + kClusterCounters + 7) / 8 * 8;

// libFuzzer takes these for coverage, too (on Linux), and clears them before
// each input.
alignas(uint64_t) __attribute__((section("__libfuzzer_extra_counters")))
std::array<uint8_t, kCounters> state_counters;

// A number whose digits have bases of their own: a state's place among all.
class Digits {
 public:
  Digits& Add(uint64_t digit, uint64_t base) {
    CHECK_LT(digit, base);
    number_ = number_ * base + digit;
    return *this;
  }
  uint64_t number() const { return number_; }

 private:
  uint64_t number_ = 0;
};

uint64_t PartOf(const SimServer& server) {
  if (!server.running()) return 0;
  if (!server.node().formed()) return 1;
  // Roles are numbered from 1.
  return 1 + static_cast<uint64_t>(server.node().core()->role());
}

// Of a change of servers.
uint64_t PhaseOf(const Configuration& configuration) {
  if (configuration.joint()) return 3;
  if (!configuration.joining.empty()) return 2;
  return configuration.learners.empty() ? 0 : 1;
}

// What the leader is about: how far a change of servers is, and whether it is
// committed; whether it is handing over.
uint64_t ErrandOf(const SimServer* leader) {
  if (leader == nullptr) return 0;
  const RaftCore& core = *leader->node().core();
  return 1 + Digits()
                 .Add(PhaseOf(core.configuration()), kPhases)
                 .Add(core.configuration_index() > core.commit(), 2)
                 .Add(core.transfer_to() != ServerId(), 2)
                 .number();
}

// The logs of all servers together, hashed.
uint64_t LogsOf(Simulation* sim) {
  Term newest;
  LogPoint longest;
  for (MachineId m = 1; m <= sim->server_count(); ++m) {
    const SimServer& server = *sim->server(m);
    if (!server.running() || !server.node().formed()) continue;
    const RaftCore& core = *server.node().core();
    newest = std::max(newest, core.term());
    if (std::pair(core.last_term(), core.last_index()) >
        std::pair(longest.term, longest.index)) {
      longest.term = core.last_term();
      longest.index = core.last_index();
    }
  }
  // Which server it is doesn't matter.
  std::vector<uint64_t> servers;
  for (MachineId m = 1; m <= sim->server_count(); ++m) {
    const SimServer& server = *sim->server(m);
    Digits state;
    if (server.running() && server.node().formed()) {
      const RaftCore& core = *server.node().core();
      state.Add(core.term() == newest, 2)
          .Add(core.last_term() == longest.term, 2)
          .Add(core.last_index() == longest.index, 2)
          .Add(core.durable() == core.last_index(), 2)
          .Add(core.commit() == core.last_index(), 2)
          .Add(core.hard_state_durable(), 2)
          .Add(PhaseOf(core.configuration()), kPhases);
    }
    servers.push_back(state.Add(PartOf(server), kParts).number());
  }
  std::sort(servers.begin(), servers.end());
  uint64_t hash = 0;
  for (const uint64_t server : servers) hash = HashCombine(hash, server);
  return hash;
}

// What is wrong with a server at this moment.
struct Trouble {
  bool down = false;
  bool paused = false;
  bool disk_late = false;  // it hangs, or is slow
  bool disk_full = false;
  // It was damaged, mended or not, or is an older copy, or a forged one.
  bool disk_spoilt = false;
  uint64_t cut_off = 0;  // from none of the others, from some, from all

  bool any() const {
    return down || paused || disk_late || disk_full || disk_spoilt ||
           cut_off > 0;
  }
};

// No operation of a disk takes as long, unless something is wrong
// (SimDiskOptions, and what Simulation draws).
constexpr Duration kDiskUsualMax = 20ms;

// Of all servers, in the order of their machines.
std::vector<Trouble> TroublesOf(Simulation* sim) {
  const auto servers = static_cast<MachineId>(sim->server_count());
  // Of each one a bit for each of those between whom and it nothing gets
  // through, one way or both.
  std::array<uint32_t, 1 + kServersMax + kSparesMax> cut{};
  for (const auto& [from, to] : sim->network()->CutLinks()) {
    if (from > servers || to > servers) continue;  // a client
    cut[from] |= 1u << to;
    cut[to] |= 1u << from;
  }
  const TrueTime now = sim->world()->now();
  std::vector<Trouble> troubles;
  for (MachineId m = 1; m <= servers; ++m) {
    SimServer& server = *sim->server(m);
    Trouble& trouble = troubles.emplace_back();
    trouble.down = !server.running();
    trouble.paused = server.running() && sim->world()->scheduler.PausedUntil(
                                             server.process()->actor()) > now;
    trouble.disk_late = server.disk()->BusyUntil() > now + kDiskUsualMax;
    trouble.disk_full = server.disk()->short_of_room();
    trouble.disk_spoilt =
        server.disk()->damaged() || server.put_back() || server.forged();
    const auto others = static_cast<MachineId>(std::popcount(cut[m]));
    trouble.cut_off = others == 0 ? 0 : others + 1 < servers ? 1 : 2;
  }
  return troubles;
}

uint64_t ServerState(const SimServer& server, const Trouble& trouble,
                     uint64_t errand) {
  return Digits()
      .Add(PartOf(server), kParts)
      .Add(trouble.paused, 2)
      .Add(trouble.disk_late, 2)
      .Add(trouble.disk_full, 2)
      .Add(trouble.disk_spoilt, 2)
      .Add(trouble.cut_off, 3)
      .Add(errand, kErrands)
      .number();
}

uint64_t ClusterState(const std::vector<Trouble>& troubles,
                      const SimServer* leader, uint64_t errand) {
  std::array<size_t, kKindsOfTrouble> counts{};
  for (const Trouble& t : troubles) {
    counts[0] += t.down ? 1 : 0;
    counts[1] += t.paused ? 1 : 0;
    counts[2] += t.disk_late ? 1 : 0;
    counts[3] += t.disk_full ? 1 : 0;
    counts[4] += t.disk_spoilt ? 1 : 0;
    counts[5] += t.cut_off > 0 ? 1 : 0;
  }
  Digits state;
  for (const size_t count : counts) {
    state.Add(count == 0 ? 0 : 2 * count < troubles.size() ? 1 : 2, 3);
  }
  const bool leader_has_any =
      leader != nullptr && troubles[leader->machine() - 1].any();
  return state.Add(leader_has_any, 2).Add(errand, kErrands).number();
}

// Notes each state that there is.
class StateCoverage : public Observer {
 public:
  explicit StateCoverage(Simulation* sim) : sim_(sim) {
    sim->world()->trace.set_observer(this);
  }
  ~StateCoverage() override { sim_->world()->trace.set_observer(nullptr); }

  bool AfterEvent() override {
    const uint64_t logs = LogsOf(sim_);
    if (logs != last_logs_) {
      // A state, and how it was entered.
      state_counters[logs % kLogCounters] = 1;
      state_counters[HashCombine(last_logs_, logs) % kLogCounters] = 1;
      last_logs_ = logs;
    }
    const std::vector<Trouble> troubles = TroublesOf(sim_);
    const SimServer* const leader = sim_->Leader();
    const uint64_t errand = ErrandOf(leader);
    for (size_t i = 0; i < troubles.size(); ++i) {
      const SimServer& server = *sim_->server(static_cast<MachineId>(i + 1));
      const uint64_t state = ServerState(server, troubles[i], errand);
      state_counters[kLogCounters + state] = 1;
    }
    const uint64_t state = ClusterState(troubles, leader, errand);
    state_counters[kLogCounters + kServerCounters + state] = 1;
    return true;
  }

 private:
  Simulation* const sim_;
  uint64_t last_logs_ = 0;
};

// --- Inputs ---

// Whom a fault of that site strikes, as a tape has it.
uint32_t ActorFor(const ChanceSite& site, uint8_t byte, uint32_t servers) {
  switch (faults::WhoIsStruck(site.name)) {
    case faults::Struck::kSeveral:
      return 0;
    case faults::Struck::kServer:
      return 1 + byte % servers;
    case faults::Struck::kProcess: {
      const uint32_t i = byte % (servers + kClients);
      return i < servers ? 1 + i : kFirstClient + i - servers;
    }
    case faults::Struck::kClient:
      return byte % kClients;
    case faults::Struck::kLink:  // between servers
      return (1 + byte / 16 % servers) * 1000 + 1 + byte % 16 % servers;
  }
  return 0;
}

// How bad it is, and which of several, as that site reads it.
uint64_t ValueFor(const ChanceSite& site, uint8_t bad, uint64_t which) {
  // What a disk's operation or a connection meets is a part of the worst by all
  // 64 bits; written with few of them, it would always be the mildest.
  const absl::string_view name = site.name;
  if (site.hash != faults::kCutBeforeArrival.hash &&
      (absl::StartsWith(name, "disk/") || absl::StartsWith(name, "net/"))) {
    return uint64_t{bad} << 56 | which;
  }
  // Not the worst: a pause or a hung disk isn't to last for all of it.
  return faults::Written(uint64_t{bad} << 6, which);
}

Tape TapeOf(const uint8_t* data, size_t size, const SimulateFlags& flags) {
  constexpr uint64_t kWindows = kDuration / Chance::kWindow;
  const uint32_t servers = flags.nodes + *flags.spares;
  Tape tape;
  const size_t count = std::min(size / kRecordBytes, kFaultsMax);
  for (size_t i = 0; i < count; ++i, data += kRecordBytes) {
    const ChanceSite& site = *faults::kAll[data[0] % std::size(faults::kAll)];
    if (faults::NeedsReplacing(site.name) && !*flags.changes) continue;
    const bool in_window = absl::StartsWith(site.name, "fault/");
    TapeEntry& fault = tape.entries.emplace_back();
    fault.site = site.name;
    fault.actor = ActorFor(site, data[1], servers);
    fault.place = TapeEntry::Place(data[2] % kWindows, in_window ? 0 : data[3]);
    fault.value = ValueFor(site, data[4], uint64_t{data[5]} << 8 | data[6]);
  }
  return tape;
}

SimulateFlags FlagsOf(const uint8_t* head) {
  SimulateFlags flags;
  flags.seed = 1 + head[0];
  flags.duration = kDuration;
  flags.nodes = 1 + head[1] % kServersMax;
  flags.clients = kClients;
  flags.kv = (head[2] & 1) != 0;
  flags.trims = (head[2] & 2) != 0;
  flags.leases = (head[2] & 4) != 0;
  flags.transfers = (head[2] & 8) != 0;
  // Half of all clusters change, as by seed (DrawSetup); those of an input that
  // says nothing of it, or was made before it could, don't.
  const uint32_t drawn = head[3] % (2 * (kSparesMax + 1));
  flags.changes = drawn > kSparesMax;
  flags.spares = *flags.changes ? drawn - (kSparesMax + 1) : 0;
  return flags;
}

void Run(const uint8_t* data, size_t size) {
  std::array<uint8_t, kRecordBytes> head{};
  const size_t head_size = std::min(size, head.size());
  if (head_size > 0) std::memcpy(head.data(), data, head_size);
  const SimulateFlags flags = FlagsOf(head.data());
  Tape tape = TapeOf(data + head_size, size - head_size, flags);
  tape.code = kCodeId;
  WriteOptions(flags, flags.seed, &tape);
  if (const char* file = std::getenv("HOLDFAST_TAPE")) {
    std::ofstream(file) << tape.ToText();
  }
  Simulation sim(OptionsFor(flags, flags.seed));
  sim.world()->chance.Replay(tape);
  const StateCoverage coverage(&sim);
  const SimulationResult result = sim.Run();
  if (result.verdict.ok()) return;
  std::fprintf(stderr, "%s\n%s", result.verdict.what().c_str(),
               tape.ToText().c_str());
  std::abort();
}

}  // namespace
}  // namespace holdfast

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  holdfast::Run(data, size);
  return 0;
}
