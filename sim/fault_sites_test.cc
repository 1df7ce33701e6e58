#include "sim/fault_sites.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <tuple>

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

// Which links are cut, slow or clogged in the course of a run.
class SpoiltLinks final : public Observer {
 public:
  using Link = std::tuple<IncidentKind, MachineId, MachineId>;
  void OnIncident(const Incident& incident) override {
    links_.insert({incident.kind, incident.machine, incident.other});
  }
  bool Has(const Link& link) const { return links_.contains(link); }
  // One between such machines.
  bool HasOne(IncidentKind kind, bool from_client, bool to_client) const {
    return std::any_of(links_.begin(), links_.end(), [=](const Link& link) {
      const auto& [what, from, to] = link;
      return what == kind && (from >= kFirstClient) == from_client &&
             (to >= kFirstClient) == to_client;
    });
  }

 private:
  std::set<Link> links_;
};

SimulationOptions WithoutFaults() {
  SimulationOptions options;
  options.nodes = kNodes;
  options.clients = kClients;
  options.rates = FaultRates{};
  return options;
}

TEST(FaultSitesTest, ALinkJoinsServersOrAClientAndAServer) {
  SimulationOptions options = WithoutFaults();
  options.rates->one_way_ppm = options.rates->slow_link_ppm = 500'000;
  options.rates->clog_ppm = options.rates->flap_ppm = 500'000;
  Simulation sim(options);
  SpoiltLinks seen;
  sim.world()->trace.set_observer(&seen);
  const SimulationResult result = sim.Run();
  sim.world()->trace.set_observer(nullptr);
  EXPECT_TRUE(result.verdict.ok()) << result.verdict.what();
  for (const IncidentKind kind :
       {IncidentKind::kCut, IncidentKind::kSlow, IncidentKind::kClog}) {
    EXPECT_TRUE(seen.HasOne(kind, false, false));
    EXPECT_TRUE(seen.HasOne(kind, false, true));
    EXPECT_TRUE(seen.HasOne(kind, true, false));
    EXPECT_FALSE(seen.HasOne(kind, true, true));
  }
}

TEST(FaultSitesTest, AWrittenValueNamesTheEndsOfALink) {
  constexpr uint64_t kClient = 192;
  Tape tape;
  const auto strike = [&tape](const ChanceSite& site, uint64_t window,
                              uint64_t from, uint64_t to) {
    tape.entries.push_back({site.name, 0, TapeEntry::Place(window, 0),
                            faults::Written(0xffff, to << 8 | from)});
  };
  strike(faults::kOneWay, 8, kClient + 1, 2);
  strike(faults::kClog, 9, 0, kClient);
  strike(faults::kSlowLink, 10, 2, 1);
  SimulationOptions options = WithoutFaults();
  options.duration = 5s;
  Simulation sim(options);
  sim.world()->chance.Replay(tape);
  SpoiltLinks seen;
  sim.world()->trace.set_observer(&seen);
  EXPECT_TRUE(sim.Run().verdict.ok());
  sim.world()->trace.set_observer(nullptr);
  EXPECT_TRUE(seen.Has({IncidentKind::kCut, kFirstClient + 1, 3}));
  EXPECT_TRUE(seen.Has({IncidentKind::kClog, 1, kFirstClient}));
  EXPECT_TRUE(seen.Has({IncidentKind::kSlow, 3, 2}));
  EXPECT_FALSE(seen.HasOne(IncidentKind::kSlow, false, true));
}

}  // namespace
}  // namespace holdfast
