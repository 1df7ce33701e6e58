#include "sim/fault_sites.h"

#include <map>
#include <set>
#include <string>

#include "gtest/gtest.h"
#include "sim/simulation.h"

namespace holdfast {
namespace {

constexpr uint32_t kNodes = 3;
constexpr uint32_t kClients = 2;

// Which actors a run draws for at each site.
class ActorsOfSites final : public Observer {
 public:
  void OnPlace(const char* site, uint32_t actor, uint64_t /*place*/) override {
    actors_[site].insert(actor);
  }
  const std::map<std::string, std::set<uint32_t>>& actors() const {
    return actors_;
  }

 private:
  std::map<std::string, std::set<uint32_t>> actors_;
};

bool IsServer(uint32_t machine) { return machine >= 1 && machine <= kNodes; }
bool IsMachine(uint32_t machine) {
  return IsServer(machine) ||
         (machine >= kFirstClient && machine < kFirstClient + kClients);
}

bool Fits(faults::Struck who, uint32_t actor) {
  switch (who) {
    case faults::Struck::kSeveral:
      return actor == 0;
    case faults::Struck::kServer:
      return IsServer(actor);
    case faults::Struck::kProcess:
      return IsMachine(actor);
    case faults::Struck::kClient:
      return actor < kClients;
    case faults::Struck::kLink:
      return IsMachine(actor / 1000) && IsMachine(actor % 1000);
  }
  return false;
}

// So a tape, a fuzzer's too, can strike at each site.
TEST(FaultSitesTest, EachSiteDrawsForWhomItStrikes) {
  Tape tape;
  const auto strike = [&tape](const ChanceSite& site, uint32_t actor,
                              uint64_t window, uint64_t value) {
    tape.entries.push_back(
        {site.name, actor, TapeEntry::Place(window, 0), value});
  };
  // Disks lose what is on its way to them, and connections likewise.
  for (uint64_t window = 4; window < 36; window += 4) {
    strike(faults::kClusterPowerLoss, 0, window, 0);
    for (uint32_t m = 1; m <= kNodes; ++m) {
      // Before one of its next operations of the disk.
      strike(faults::kCrashInIo, m, window + 2, faults::Written(0, m << 8 | 2));
    }
  }
  SimulationOptions options;
  options.seed = 2;
  options.nodes = kNodes;
  options.clients = kClients;
  options.duration = 10s;
  options.rates = FaultRates{};
  Simulation sim(options);
  sim.world()->chance.Replay(tape);
  ActorsOfSites seen;
  sim.world()->trace.set_observer(&seen);
  EXPECT_TRUE(sim.Run().verdict.ok());
  sim.world()->trace.set_observer(nullptr);

  for (const ChanceSite* site : faults::kAll) {
    const auto found = seen.actors().find(site->name);
    ASSERT_NE(found, seen.actors().end()) << site->name << " draws for nobody";
    for (const uint32_t actor : found->second) {
      EXPECT_TRUE(Fits(faults::WhoIsStruck(site->name), actor))
          << site->name << " draws for " << actor;
    }
  }
}

}  // namespace
}  // namespace holdfast
