// A simulated cluster whose faults are those of a tape that the input's bytes
// are (sim/tape.h): what a seed leaves to chance, libFuzzer chooses, and keeps
// what leads to what it hasn't seen. Besides the code's coverage it is told
// which states the cluster went through, as an abstract model has them: code
// looks the same for a candidate in any company.
//
// An input is a head of 8 bytes and a fault per 8 bytes. Its tape, for simulate
// to replay, show and shrink, is written where the environment's HOLDFAST_TAPE
// says:
//   HOLDFAST_TAPE=$PWD/a.tape bazel-bin/fuzz/simulation_fuzz INPUT
//   bazel run //sim:simulate -- --tape=$PWD/a.tape

#include <algorithm>
#include <array>
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

#include "engine/base/random.h"
#include "sim/cli/flags.h"
#include "sim/fault_sites.h"
#include "sim/simulation.h"

namespace holdfast {
namespace {

constexpr Duration kDuration = 6s;
constexpr size_t kRecordBytes = 8;
constexpr size_t kFaultsMax = 256;
constexpr uint32_t kClients = 2;

// libFuzzer takes these for coverage, too (on Linux), and clears them before
// each input.
constexpr size_t kStates = 1 << 16;
__attribute__((section("__libfuzzer_extra_counters")))
std::array<uint8_t, kStates>
    state_counters;

// What the cluster is like, without numbers: the roles, who is ahead of whom in
// term and log, the phase of a change of servers, what is down.
uint64_t AbstractState(Simulation* sim) {
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
    if (!server.running()) {
      servers.push_back(0);
    } else if (!server.node().formed()) {
      servers.push_back(1);
    } else {
      const RaftCore& core = *server.node().core();
      const Configuration& configuration = core.configuration();
      uint64_t state = 2 + static_cast<uint64_t>(core.role());
      const auto add = [&state](bool bit) {
        state = state << 1 | (bit ? 1 : 0);
      };
      add(core.term() == newest);
      add(core.last_term() == longest.term);
      add(core.last_index() == longest.index);
      add(core.durable() == core.last_index());
      add(core.commit() == core.last_index());
      add(core.hard_state_durable());
      add(configuration.joint());
      add(!configuration.joining.empty());
      add(!configuration.learners.empty());
      servers.push_back(state);
    }
  }
  std::sort(servers.begin(), servers.end());
  uint64_t hash = 0;
  for (const uint64_t server : servers) hash = HashCombine(hash, server);
  return hash;
}

// Notes each state that is entered.
class StateCoverage : public Observer {
 public:
  explicit StateCoverage(Simulation* sim) : sim_(sim) {
    sim->world()->trace.set_observer(this);
  }
  ~StateCoverage() override { sim_->world()->trace.set_observer(nullptr); }

  bool AfterEvent() override {
    const uint64_t state = AbstractState(sim_);
    if (state == last_) return true;
    // A state, and how it was entered.
    for (const uint64_t seen : {state, HashCombine(last_, state)}) {
      uint8_t& counter = state_counters[seen % kStates];
      if (counter < UINT8_MAX) ++counter;
    }
    last_ = state;
    return true;
  }

 private:
  Simulation* const sim_;
  uint64_t last_ = 0;
};

// Whom a fault of that site strikes, as a tape has it.
uint32_t ActorFor(const ChanceSite& site, uint8_t byte, uint32_t nodes) {
  switch (faults::WhoIsStruck(site.name)) {
    case faults::Struck::kSeveral:
      return 0;
    case faults::Struck::kServer:
      return 1 + byte % nodes;
    case faults::Struck::kProcess: {
      const uint32_t i = byte % (nodes + kClients);
      return i < nodes ? 1 + i : kFirstClient + i - nodes;
    }
    case faults::Struck::kClient:
      return byte % kClients;
    case faults::Struck::kLink:  // between servers
      return (1 + byte / 16 % nodes) * 1000 + 1 + byte % 16 % nodes;
  }
  return 0;
}

Tape TapeOf(const uint8_t* data, size_t size, uint32_t nodes) {
  constexpr uint64_t kWindows = kDuration / Chance::kWindow;
  Tape tape;
  const size_t count = std::min(size / kRecordBytes, kFaultsMax);
  for (size_t i = 0; i < count; ++i, data += kRecordBytes) {
    const ChanceSite& site = *faults::kAll[data[0] % std::size(faults::kAll)];
    // An old disk has to be replaced by somebody.
    if (site.hash == faults::kOldDisk.hash ||
        site.hash == faults::kWipedDisk.hash) {
      continue;
    }
    const bool in_window = std::string(site.name).starts_with("fault/");
    TapeEntry& fault = tape.entries.emplace_back();
    fault.site = site.name;
    fault.actor = ActorFor(site, data[1], nodes);
    fault.place = TapeEntry::Place(data[2] % kWindows, in_window ? 0 : data[3]);
    // Not the worst: a pause or a hung disk isn't to last for all of it.
    fault.value = faults::Written(uint64_t{data[4]} << 6,
                                  uint64_t{data[5]} << 8 | data[6]);
  }
  return tape;
}

SimulateFlags FlagsOf(const uint8_t* head) {
  SimulateFlags flags;
  flags.seed = 1 + head[0];
  flags.duration = kDuration;
  flags.nodes = 1 + head[1] % 5;
  flags.clients = kClients;
  flags.spares = 0;
  flags.changes = false;
  flags.kv = (head[2] & 1) != 0;
  flags.trims = (head[2] & 2) != 0;
  flags.leases = (head[2] & 4) != 0;
  flags.transfers = (head[2] & 8) != 0;
  return flags;
}

void Run(const uint8_t* data, size_t size) {
  std::array<uint8_t, kRecordBytes> head{};
  const size_t head_size = std::min(size, head.size());
  if (head_size > 0) std::memcpy(head.data(), data, head_size);
  const SimulateFlags flags = FlagsOf(head.data());
  Tape tape = TapeOf(data + head_size, size - head_size, flags.nodes);
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
