// Scenes by name, driven by hand over whole simulated clusters. All of them
// run under the checkers that the random runs have, and end with Settle: a
// leader, progress, and equal logs that hold all that was acknowledged.

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sim/fault_sites.h"
#include "sim/simulation.h"

namespace holdfast {
namespace {

// A cluster to which nothing happens but what the scene does.
SimulationOptions Scene(uint64_t seed, uint32_t nodes, uint32_t clients = 1) {
  SimulationOptions options;
  options.seed = seed;
  options.nodes = nodes;
  options.clients = clients;
  options.rates = FaultRates{};
  return options;
}

class Cluster {
 public:
  explicit Cluster(const SimulationOptions& options) : sim_(options) {
    sim_.StartServers();
    sim_.StartClients();
  }

  Simulation* operator->() { return &sim_; }
  uint32_t size() const { return static_cast<uint32_t>(sim_.server_count()); }

  // Both ways, between the two groups.
  void Cut(const std::set<MachineId>& a, const std::set<MachineId>& b,
           bool cut = true) {
    for (MachineId x : a) {
      for (MachineId y : b) {
        if (x == y) continue;
        sim_.network()->SetCut(x, y, cut);
        sim_.network()->SetCut(y, x, cut);
      }
    }
  }
  std::set<MachineId> Servers() const {
    std::set<MachineId> all;
    for (MachineId m = 1; m <= size(); ++m) all.insert(m);
    return all;
  }
  std::set<MachineId> Except(std::set<MachineId> out) const {
    std::set<MachineId> rest = Servers();
    for (MachineId m : out) rest.erase(m);
    return rest;
  }
  void Isolate(MachineId m) { Cut({m}, Except({m})); }

  // 0 if none comes up.
  MachineId WaitForLeader(const std::set<MachineId>& among,
                          Duration limit = 20s) {
    MachineId leader = 0;
    sim_.RunUntil(
        [&] {
          SimServer* s = sim_.Leader();
          leader =
              s != nullptr && among.contains(s->machine()) ? s->machine() : 0;
          return leader != 0;
        },
        limit);
    return leader;
  }
  MachineId WaitForLeader() { return WaitForLeader(Servers()); }
  // Stops so soon after the election that nothing the leader sent has arrived;
  // 0 if none comes up.
  MachineId CatchElection(const std::set<MachineId>& among) {
    for (int i = 0; i < 1000000 && sim_.RunFor(20us); ++i) {
      for (MachineId m : among) {
        SimServer* s = sim_.server(m);
        if (s->running() && s->node().is_leader()) return m;
      }
    }
    return 0;
  }

  // Until so many more appends are acknowledged.
  bool Progress(uint64_t appends, Duration limit = 30s) {
    const uint64_t goal = sim_.history().acknowledged() + appends;
    return sim_.RunUntil([&] { return sim_.history().acknowledged() >= goal; },
                         limit);
  }

  uint64_t Stat(const std::string& name) { return sim_.Result().stats[name]; }
  Term TermOf(MachineId m) { return sim_.server(m)->node().core()->term(); }

  void ExpectGoodEnd() {
    for (MachineId m : Servers()) {
      if (!sim_.server(m)->running()) sim_.server(m)->Start();
    }
    sim_.Settle();
    EXPECT_TRUE(sim_.verdict().ok()) << sim_.verdict().what() << "\n"
                                     << sim_.Report(10);
  }

 private:
  Simulation sim_;
};

TEST(Scenario, CalmClustersOfAllSizes) {
  for (uint32_t nodes = 1; nodes <= 7; ++nodes) {
    Cluster c(Scene(nodes, nodes));
    EXPECT_TRUE(c.Progress(100)) << nodes;
    EXPECT_EQ(c->Result().elections, 1u) << "nothing disturbed the leader";
    c.ExpectGoodEnd();
  }
}

TEST(Scenario, LeaderCrashes) {
  for (const bool power_lost : {false, true}) {
    Cluster c(Scene(1, 3));
    ASSERT_TRUE(c.Progress(50));
    const MachineId old = c->Leader()->machine();
    c->Leader()->Crash(power_lost);
    EXPECT_NE(c.WaitForLeader(c.Except({old}), 3s), 0u);
    EXPECT_TRUE(c.Progress(50));
    c.ExpectGoodEnd();
  }
}

TEST(Scenario, FollowersCrashOneAfterTheOther) {
  Cluster c(Scene(2, 3));
  ASSERT_TRUE(c.Progress(20));
  for (int round = 0; round < 6; ++round) {
    const MachineId leader = c.WaitForLeader();
    const MachineId follower = leader % 3 + 1;
    c->server(follower)->Crash(round % 2 == 0);
    EXPECT_TRUE(c.Progress(20));
    c->server(follower)->Start();
    EXPECT_TRUE(c.Progress(20));
  }
  EXPECT_EQ(c->Result().elections, 1u);
  c.ExpectGoodEnd();
}

TEST(Scenario, PartitionedLeaderStepsDownAndItsEntriesAreCut) {
  uint64_t cut = 0;
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    Cluster c(Scene(seed, 5, 3));
    ASSERT_TRUE(c.Progress(50));
    const MachineId old = c->Leader()->machine();
    c.Isolate(old);  // from the servers; clients still reach it
    const MachineId next = c.WaitForLeader(c.Except({old}));
    ASSERT_NE(next, 0u);
    EXPECT_TRUE(c->RunFor(2s));
    EXPECT_FALSE(c->server(old)->node().is_leader());
    EXPECT_TRUE(c.Progress(50));
    c->network()->HealAll();
    EXPECT_TRUE(c.Progress(50));
    EXPECT_GT(c.Stat("stepped_down_check_quorum"), 0u);
    c.ExpectGoodEnd();
    cut += c.Stat("log_conflict_cut");
  }
  EXPECT_GT(cut, 0u);
}

// The clients of the old leader, which doesn't know yet that it is none, must
// not be given what the others have overtaken.
TEST(Scenario, OldLeaderServesNoStaleReads) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    Cluster c(Scene(seed, 3, 2));
    ASSERT_TRUE(c.Progress(50));
    const MachineId old = c->Leader()->machine();
    const MachineId first_client = c->client(0)->process()->machine();
    const MachineId second_client = c->client(1)->process()->machine();
    c.Isolate(old);
    c.Cut({first_client}, c.Except({old}));
    c.Cut({second_client}, {old});
    EXPECT_TRUE(c.Progress(50));
    EXPECT_TRUE(c->RunFor(2s));
    c->network()->HealAll();
    c.ExpectGoodEnd();
  }
}

TEST(Scenario, NoLeaderWithoutAMajority) {
  Cluster c(Scene(3, 4));
  ASSERT_TRUE(c.Progress(20));
  c.Cut({1, 2}, {3, 4});
  EXPECT_TRUE(c->RunFor(3s));
  EXPECT_EQ(c->Leader(), nullptr);
  const Term before = std::max(c.TermOf(1), c.TermOf(3));
  EXPECT_TRUE(c->RunFor(20s));
  // Pre-votes don't raise the term.
  EXPECT_EQ(std::max(c.TermOf(1), c.TermOf(3)), before);
  const uint64_t acknowledged = c->history().acknowledged();
  EXPECT_TRUE(c->RunFor(5s));
  EXPECT_EQ(c->history().acknowledged(), acknowledged);
  c->network()->HealAll();
  EXPECT_TRUE(c.Progress(20));
  c.ExpectGoodEnd();
}

TEST(Scenario, SplitVotesAreResolved) {
  uint64_t lost = 0;
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    Cluster c(Scene(seed, 4));
    // Each round, all wake up at once and without a leader.
    for (int round = 0; round < 5; ++round) {
      ASSERT_NE(c.WaitForLeader(), 0u) << seed;
      for (MachineId m : c.Servers()) c->server(m)->Crash(false);
      for (MachineId m : c.Servers()) c->server(m)->Start();
    }
    EXPECT_NE(c.WaitForLeader(), 0u) << seed;
    lost += c.Stat("election_lost");
    c.ExpectGoodEnd();
  }
  EXPECT_GT(lost, 0u);
}

// A follower that hears nothing, but is heard.
TEST(Scenario, DeafFollowerDoesntDisturbTheLeader) {
  Cluster c(Scene(4, 3));
  ASSERT_TRUE(c.Progress(20));
  const MachineId leader = c->Leader()->machine();
  const MachineId deaf = leader % 3 + 1;
  const Term term = c.TermOf(leader);
  for (MachineId m : c.Except({deaf})) c->network()->SetCut(m, deaf, true);
  EXPECT_TRUE(c.Progress(50));
  EXPECT_TRUE(c->RunFor(20s));
  EXPECT_EQ(c->Leader()->machine(), leader);
  EXPECT_EQ(c.TermOf(leader), term);
  c->network()->HealAll();
  c.ExpectGoodEnd();
}

// A leader that is heard, but hears nothing, has to give way.
TEST(Scenario, DeafLeaderStepsDown) {
  Cluster c(Scene(5, 5));
  ASSERT_TRUE(c.Progress(20));
  const MachineId deaf = c->Leader()->machine();
  for (MachineId m : c.Except({deaf})) c->network()->SetCut(m, deaf, true);
  EXPECT_NE(c.WaitForLeader(c.Except({deaf})), 0u);
  EXPECT_TRUE(c.Progress(20));
  EXPECT_FALSE(c->server(deaf)->node().is_leader());
  c->network()->HealAll();
  c.ExpectGoodEnd();
}

// A leader that hears, but isn't heard.
TEST(Scenario, MuteLeaderIsReplaced) {
  Cluster c(Scene(6, 5));
  ASSERT_TRUE(c.Progress(20));
  const MachineId mute = c->Leader()->machine();
  for (MachineId m : c.Except({mute})) c->network()->SetCut(mute, m, true);
  EXPECT_NE(c.WaitForLeader(c.Except({mute})), 0u);
  EXPECT_TRUE(c.Progress(20));
  c->network()->HealAll();
  c.ExpectGoodEnd();
}

// {1,2} and {4,5} don't see each other; 3 sees both.
TEST(Scenario, BridgeBetweenTwoHalves) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    Cluster c(Scene(seed, 5, 2));
    ASSERT_TRUE(c.Progress(20));
    c.Cut({1, 2}, {4, 5});
    EXPECT_TRUE(c.Progress(100, 60s));
    c->network()->HealAll();
    c.ExpectGoodEnd();
  }
}

TEST(Scenario, FollowerFarBehindCatchesUpFromTheLeadersDisk) {
  Cluster c(Scene(7, 3, 3));
  ASSERT_TRUE(c.Progress(20));
  const MachineId behind = c->Leader()->machine() % 3 + 1;
  c->server(behind)->Crash(false);
  ASSERT_TRUE(c.Progress(3000, 120s));
  c->server(behind)->Start();
  c.ExpectGoodEnd();
  EXPECT_GT(c.Stat("cold_read"), 0u);
}

// What it gets from the leader's files takes turns with what clients append,
// and it comes up to them all the same.
TEST(Scenario, FollowersFarBehindCatchUpAtAPaceWhileClientsAppend) {
  uint64_t paced = 0;
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    Cluster c(Scene(seed, 5, 3));
    ASSERT_TRUE(c.Progress(20));
    const MachineId leader = c->Leader()->machine();
    const std::set<MachineId> behind = {leader % 5 + 1, (leader + 1) % 5 + 1};
    for (MachineId m : behind) c->server(m)->Crash(false);
    ASSERT_TRUE(c.Progress(1000, 120s));
    for (MachineId m : behind) c->server(m)->Start();
    ASSERT_TRUE(c.Progress(1000, 120s));
    paced += c.Stat("cold_read_paced");
    c.ExpectGoodEnd();
  }
  EXPECT_GT(paced, 0u);
}

TEST(Scenario, WholeClusterLosesPower) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    Cluster c(Scene(seed, 3, 3));
    for (int round = 0; round < 3; ++round) {
      ASSERT_TRUE(c.Progress(50));
      for (MachineId m : c.Servers()) c->server(m)->Crash(true);
      EXPECT_TRUE(c->RunFor(100ms));
      for (MachineId m : c.Servers()) c->server(m)->Start();
    }
    c.ExpectGoodEnd();
  }
}

// Some of those who have just voted, or won, lose power at once: what they were
// writing at that moment, promises among it, is in their disks' caches.
TEST(Scenario, ServersLosePowerTogetherAtElections) {
  SimulationOptions options = Scene(15, 5, 2);
  options.rates->ambush_ppm = 1'000'000;
  // So that there are elections.
  options.rates->crash_ppm = 60'000;
  Simulation sim(options);
  const SimulationResult result = sim.Run();
  // Also that nothing is lost that was acknowledged.
  EXPECT_TRUE(result.verdict.ok()) << result.verdict.what();
  EXPECT_GT(result.faults.ambushes, 5u);
  EXPECT_GT(result.faults.power_losses, result.faults.ambushes);
  const SimDiskCounts& disks = result.disks;
  EXPECT_GT(disks.dropped_in_flight + disks.lost_writes + disks.torn_writes,
            0u);
  EXPECT_GT(result.acknowledged, 20u);
}

TEST(Scenario, TornTailsAreCut) {
  uint64_t torn = 0;
  uint64_t cut = 0;
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    Cluster c(Scene(seed, 3, 3));
    ASSERT_TRUE(c.Progress(30));
    // Power fails just before a sync: what was written isn't durable.
    for (uint64_t n = 1; n <= 4; ++n) {
      SimServer* server = c->Leader();
      if (server == nullptr) break;
      server->process()->DieBeforeIo(n + seed % 5, SimProcess::Io::kDisk,
                                     [server] { server->Crash(true); });
      c->RunUntil([&] { return !server->running(); }, 5s);
      if (!server->running()) server->Start();
      ASSERT_NE(c.WaitForLeader(), 0u);
    }
    c.ExpectGoodEnd();
    torn += c->Result().disks.torn_writes;
    cut += c.Stat("wal_torn_tail_cut");
  }
  EXPECT_GT(torn, 0u);
  EXPECT_GT(cut, 0u);
}

// The server dies before its n-th operation from the moment when appends go
// on, for each n: so in each step of an append, of the leader's or a
// follower's part in it.
void CrashInEachStep(bool leader, bool power_lost, SimProcess::Io kind,
                     uint64_t steps) {
  for (uint64_t n = 1; n <= steps; ++n) {
    Cluster c(Scene(11, 3));
    ASSERT_TRUE(c.Progress(5));
    SimServer* server = c->Leader();
    if (!leader) server = c->server(server->machine() % 3 + 1);
    server->process()->DieBeforeIo(
        n, kind, [server, power_lost] { server->Crash(power_lost); });
    ASSERT_TRUE(c->RunUntil([&] { return !server->running(); }, 30s)) << n;
    EXPECT_TRUE(c.Progress(10)) << n;
    server->Start();
    EXPECT_TRUE(c.Progress(10)) << n;
    c.ExpectGoodEnd();
    if (::testing::Test::HasFailure()) return;
  }
}

TEST(Scenario, LeaderDiesInEachStepOfAnAppend) {
  CrashInEachStep(true, false, SimProcess::Io::kAny, 60);
  CrashInEachStep(true, false, SimProcess::Io::kDisk, 20);
}
TEST(Scenario, LeaderLosesPowerInEachStepOfAnAppend) {
  CrashInEachStep(true, true, SimProcess::Io::kAny, 60);
  CrashInEachStep(true, true, SimProcess::Io::kDisk, 20);
}
TEST(Scenario, FollowerDiesInEachStepOfAnAppend) {
  CrashInEachStep(false, false, SimProcess::Io::kAny, 40);
  CrashInEachStep(false, false, SimProcess::Io::kDisk, 20);
}
TEST(Scenario, FollowerLosesPowerInEachStepOfAnAppend) {
  CrashInEachStep(false, true, SimProcess::Io::kAny, 40);
  CrashInEachStep(false, true, SimProcess::Io::kDisk, 20);
}

// Death in each step of a start: of forming, of recovery, of an election.
TEST(Scenario, ServerDiesInEachStepOfItsStart) {
  for (const bool power_lost : {false, true}) {
    for (uint64_t n = 1; n <= 60; ++n) {
      Cluster c(Scene(n, 3));
      SimServer* server = c->server(1);
      server->process()->DieBeforeIo(
          n, SimProcess::Io::kDisk,
          [server, power_lost] { server->Crash(power_lost); });
      c->RunUntil([&] { return !server->running(); }, 2s);
      if (!server->running()) server->Start();
      EXPECT_TRUE(c.Progress(5)) << n;
      c.ExpectGoodEnd();
      if (::testing::Test::HasFailure()) return;
    }
  }
}

// Raft, figure 8: an entry of an older term that reaches a majority isn't
// committed by that, and a server with a later one may still replace it. The
// leader of (c) dies after the n-th of its events, for each n, so one of these
// runs stops it in just that state.
TEST(Scenario, Figure8) {
  uint64_t replaced = 0;
  for (uint64_t n = 1; n <= 80; ++n) {
    Cluster c(Scene(8, 5, 2));
    ASSERT_TRUE(c.Progress(20));
    // (a) S1 leads and replicates to S2 alone.
    const MachineId s1 = c->Leader()->machine();
    const MachineId s2 = s1 % 5 + 1, s3 = s2 % 5 + 1, s4 = s3 % 5 + 1,
                    s5 = s4 % 5 + 1;
    c.Cut({s1, s2}, {s3, s4, s5});
    EXPECT_TRUE(c->RunFor(150ms));
    c->server(s1)->Crash(false);
    // (b) S5 leads with S3 and S4, and has an entry that nobody else has.
    c.Cut({s3}, {s4});  // neither of them can lead
    ASSERT_EQ(c.CatchElection({s5}), s5) << n;
    c.Cut({s5}, c.Except({s5}));
    EXPECT_TRUE(c->RunFor(100ms));
    c->server(s5)->Crash(false);
    // (c) S1 leads again, or S2, which may have got more than S1 had on disk;
    // S3 gets what they have.
    c->network()->HealAll();
    c.Cut({s4}, c.Except({s4}));
    c->server(s1)->Start();
    const MachineId first = c.CatchElection({s1, s2});
    ASSERT_NE(first, 0u) << n;
    SimServer* server = c->server(first);
    c->world()->scheduler.AfterEventsOf(server->process()->actor(), n,
                                        [server] { server->Crash(false); });
    EXPECT_TRUE(c->RunUntil([&] { return !server->running(); }, 10s)) << n;
    // (d) S5 leads, if they didn't get as far as (e).
    c->network()->HealAll();
    c->server(s5)->Start();
    ASSERT_NE(c.WaitForLeader(), 0u) << n;
    c.ExpectGoodEnd();
    replaced += c.Stat("log_conflict_cut");
    if (::testing::Test::HasFailure()) return;
  }
  EXPECT_GT(replaced, 0u);
}

TEST(Scenario, RetriesAreAnsweredAndNotAppendedTwice) {
  SimulationOptions options = Scene(9, 3, 3);
  options.rates->reset_ppm = 20000;
  Cluster c(options);
  EXPECT_TRUE(c.Progress(2000, 120s));
  c.ExpectGoodEnd();
  EXPECT_GT(c.Stat("log_duplicate_answered"), 0u);
}

TEST(Scenario, SilentStreamsAreGivenUp) {
  SimulationOptions options = Scene(10, 3, 2);
  options.rates->silence_ppm = 2000;
  Cluster c(options);
  EXPECT_TRUE(c->RunFor(60s));
  EXPECT_GT(c->Result().network.silenced, 10u);
  EXPECT_GT(c->history().acknowledged(), 100u);
  c.ExpectGoodEnd();
}

TEST(Scenario, ClocksDriftApart) {
  SimulationOptions options = Scene(12, 3);
  options.rates->drift_ppm_max = 20000;
  Cluster c(options);
  const uint64_t before = c.Stat("happened_drift");
  // Their next lives: one is as slow as it may be, one as fast, and one right.
  Tape tape;
  for (const MachineId m : {1u, 2u}) {
    tape.entries.push_back({faults::kDrift.name, m, TapeEntry::Place(0, 1),
                            faults::Written(0xffff, m)});
  }
  c->world()->chance.Replay(tape);
  for (MachineId m : c.Servers()) {
    c->server(m)->Crash(false);
    c->server(m)->Start();
  }
  EXPECT_TRUE(c.Progress(50));
  EXPECT_TRUE(c->RunFor(60s));
  EXPECT_LE(c->Result().elections, 2u);
  EXPECT_EQ(c.Stat("happened_drift"), before + 2);
  c.ExpectGoodEnd();
}

// A leader whose disk hangs gives way to one whose disk doesn't.
TEST(Scenario, LeadersDiskStalls) {
  Cluster c(Scene(13, 3));
  ASSERT_TRUE(c.Progress(20));
  const MachineId stalled = c->Leader()->machine();
  SimDiskOptions hung;
  // It goes on within what the end waits for.
  hung.sync_min = 10s;
  hung.sync_max = 20s;
  c->server(stalled)->disk()->set_options(hung);
  EXPECT_NE(c.WaitForLeader(c.Except({stalled})), 0u);
  EXPECT_TRUE(c.Progress(50));
  EXPECT_GT(c.Stat("stepped_down_disk_stall"), 0u);
  c.ExpectGoodEnd();
}

// As by SIGSTOP. When it goes on, it takes itself for the leader, until it
// hears of the other one.
TEST(Scenario, PausedLeaderIsReplaced) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    Cluster c(Scene(seed, 3, 2));
    ASSERT_TRUE(c.Progress(20));
    SimServer* paused = c->Leader();
    const Term term = c.TermOf(paused->machine());
    c->world()->scheduler.Pause(paused->process()->actor(),
                                c->world()->now() + 5s);
    EXPECT_NE(c.WaitForLeader(c.Except({paused->machine()})), 0u);
    EXPECT_TRUE(c.Progress(20));
    EXPECT_TRUE(c->RunFor(6s));
    EXPECT_GT(c.TermOf(paused->machine()), term);
    EXPECT_FALSE(paused->node().is_leader());
    c.ExpectGoodEnd();
  }
}

TEST(Scenario, SlowLinksOnlySlowThingsDown) {
  Cluster c(Scene(14, 3));
  ASSERT_TRUE(c.Progress(20));
  for (MachineId a : c.Servers()) {
    for (MachineId b : c.Servers()) {
      if (a != b) c->network()->SetSlow(a, b, 60ms);
    }
  }
  EXPECT_TRUE(c.Progress(50, 60s));
  c->network()->HealAll();
  c.ExpectGoodEnd();
}

}  // namespace
}  // namespace holdfast
