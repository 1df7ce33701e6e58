// Scenes of servers and links that are neither well nor dead: hung and slow
// disks, stalled processes, links that work for some, in one direction, or now
// and then.

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "sim/testing/scenario.h"

namespace holdfast {
namespace {

// Followers notice within the longest election timeout, and elect soon after.
constexpr Duration kFailover = 1500ms;

class GrayScenario : public Scenario {
 protected:
  using Linked = std::function<bool(MachineId a, MachineId b)>;

  void Begin(uint64_t seed, uint32_t nodes) {
    Make(seed, nodes, 2);
    set_clients(2);
    ASSERT_TRUE(Progress(20));
  }
  static SimulationOptions FiveServers() {
    SimulationOptions options;
    options.nodes = 5;
    options.clients = 2;
    options.rates = FaultRates{};
    return options;
  }
  static void ExpectServiceWithEach(const std::vector<ScheduledFault>& kinds,
                                    const SimulationOptions& options) {
    for (const ScheduledFault& kind : kinds) {
      EXPECT_GT(RunWith(options, kind).acknowledged, 100u);
    }
  }
  MachineId LeaderId() { return sim_->Leader()->machine(); }
  uint64_t Elections() { return sim_->checker().elections(); }
  void SlowDown(MachineId m, Duration sync) {
    SimDiskOptions options;
    options.sync_min = options.sync_max = sync;
    sim_->server(m)->disk()->set_options(options);
  }
  void Pause(MachineId m, Duration length) {
    sim_->world()->scheduler.Pause(sim_->server(m)->process()->actor(),
                                   sim_->world()->now() + length);
  }
  // Only these pairs of servers see each other; clients see all.
  void Connect(const Linked& linked) {
    for (MachineId a = 1; a <= sim_->server_count(); ++a) {
      for (MachineId b = 1; b <= sim_->server_count(); ++b) {
        if (a != b) sim_->network()->SetCut(a, b, !linked(a, b));
      }
    }
  }
  // The leader of three dies, and these disks are slow.
  void ExpectElectionWithSlowDisks(
      const std::function<bool(MachineId)>& is_slow) {
    for (const Duration sync : {100ms, 150ms, 250ms, 400ms}) {
      for (uint64_t seed = 1; seed <= 5; ++seed) {
        SCOPED_TRACE(absl::StrCat(ToMillis(sync), " ms, seed ", seed));
        Begin(seed, 3);
        const MachineId leader = LeaderId();
        for (MachineId m = 1; m <= 3; ++m) {
          if (is_slow(m)) SlowDown(m, sync);
        }
        sim_->server(leader)->Crash(false);
        EXPECT_TRUE(
            sim_->RunUntil([&] { return sim_->Leader() != nullptr; }, 20s));
        ExpectGoodEnd();
      }
    }
  }
  // What was committed goes on within a bound, and the cluster stays with its
  // leader then.
  void ExpectProgressAndCalm() {
    const bool on = sim_->RunUntil(
        [this, goal = sim_->history().acknowledged() + 20] {
          return sim_->history().acknowledged() >= goal;
        },
        10s);
    ASSERT_TRUE(on) << sim_->verdict().what();
    const uint64_t elections = Elections();
    ASSERT_TRUE(sim_->RunFor(60s));
    EXPECT_LE(Elections() - elections, 2u);
    ASSERT_TRUE(Progress(20));
    sim_->network()->HealAll();
    ExpectGoodEnd();
  }
};

TEST_F(GrayScenario, LeaderWithAHungDiskStepsDown) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    Begin(seed, 3);
    const MachineId hung = LeaderId();
    // Of half of them reads and writes hang, too, not only syncs.
    sim_->server(hung)->HangDisk(40s, /*all=*/seed % 2 == 0);
    const RaftOptions raft;
    EXPECT_TRUE(
        sim_->RunUntil([&] { return !sim_->server(hung)->node().is_leader(); },
                       raft.disk_stall_timeout + 500ms));
    EXPECT_TRUE(sim_->RunUntil(
        [&] { return sim_->Leader() != nullptr && LeaderId() != hung; },
        kFailover));
    const uint64_t elections = Elections();
    for (int i = 0; i < 20; ++i) {
      ASSERT_TRUE(Progress(5));
      ASSERT_TRUE(sim_->RunFor(1s));
      EXPECT_FALSE(sim_->server(hung)->node().is_leader());
    }
    EXPECT_EQ(Elections(), elections);
    // The disk comes back.
    sim_->server(hung)->MendDisk();
    ASSERT_TRUE(sim_->RunFor(40s));
    ExpectGoodEnd();
  }
}

TEST_F(GrayScenario, SlowDisksDoNotChurnElections) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    Begin(seed, 3);
    SlowDown(LeaderId(), 300ms);
    const uint64_t elections = Elections();
    ASSERT_TRUE(sim_->RunFor(60s));
    EXPECT_LE(Elections() - elections, 2u);
    ASSERT_TRUE(Progress(5));
    ExpectGoodEnd();
  }
}

// Votes are durable on time for nobody's usual patience: neither those of the
// candidates, nor those of the others.
TEST_F(GrayScenario, WhereAllDisksAreSlowSomebodyIsElected) {
  ExpectElectionWithSlowDisks([](MachineId) { return true; });
}

// One of them has a fast disk, and stands again before the other's vote is
// durable.
TEST_F(GrayScenario, BesideASlowDiskSomebodyIsElected) {
  ExpectElectionWithSlowDisks(
      [this](MachineId m) { return m == LeaderId() % 3 + 1; });
}

TEST_F(GrayScenario, StalledLeaderIsReplacedAndStepsDownWhenItWakes) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    Begin(seed, 3);
    const MachineId stalled = LeaderId();
    Pause(stalled, 5s);
    ASSERT_TRUE(
        sim_->RunUntil([&] { return LeaderId() != stalled; }, kFailover));
    ASSERT_TRUE(Progress(20));
    ASSERT_TRUE(sim_->RunFor(5s));
    EXPECT_FALSE(sim_->server(stalled)->node().is_leader());
    ExpectGoodEnd();
  }
}

TEST_F(GrayScenario, ShortStallCostsNoElection) {
  Begin(1, 3);
  const uint64_t elections = Elections();
  for (int i = 0; i < 50; ++i) {
    Pause(LeaderId(), 150ms);
    ASSERT_TRUE(sim_->RunFor(1s));
  }
  EXPECT_EQ(Elections(), elections);
  ExpectGoodEnd();
}

// All of a server's timers end late, by up to 8 ms, and together.
TEST_F(GrayScenario, LateTimersCostNoElection) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    SimulationOptions options;
    options.seed = seed;
    options.nodes = 3;
    options.rates = FaultRates{};
    options.rates->timer_slack_max_ns = 8'000'000;
    sim_ = std::make_unique<Simulation>(options);
    sim_->StartServers();
    sim_->StartClients();
    set_clients(sim_->client_count());
    ASSERT_TRUE(sim_->RunFor(5s));
    const uint64_t elections = Elections();
    EXPECT_GT(elections, 0u);
    ASSERT_TRUE(sim_->RunFor(60s));
    EXPECT_EQ(Elections(), elections);
    EXPECT_GT(Stat("happened_late_timer"), 500u);
    ASSERT_TRUE(Progress(20));
    ExpectGoodEnd();
  }
}

TEST_F(GrayScenario, LeaderThatCannotHearOrBeHeardStepsDown) {
  for (bool hears : {false, true}) {
    for (uint64_t seed = 1; seed <= 10; ++seed) {
      Begin(seed, 3);
      const MachineId deaf = LeaderId();
      for (MachineId m = 1; m <= 3; ++m) {
        if (m == deaf) continue;
        sim_->network()->SetCut(hears ? deaf : m, hears ? m : deaf, true);
      }
      // It counts who answered within an election timeout, each such time.
      EXPECT_TRUE(sim_->RunUntil(
          [&] { return !sim_->server(deaf)->node().is_leader(); },
          2 * RaftOptions().election_timeout_max + 500ms));
      EXPECT_TRUE(sim_->RunUntil(
          [&] { return sim_->Leader() != nullptr && LeaderId() != deaf; }, 3s));
      ExpectProgressAndCalm();
    }
  }
}

TEST_F(GrayScenario, ChainOfNeighboursHasALeader) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    Begin(seed, 5);
    Connect([](MachineId a, MachineId b) { return a + 1 == b || b + 1 == a; });
    ExpectProgressAndCalm();
  }
}

// Two halves that don't see each other, and one server that sees all: the
// leader may be in either, or be that one.
TEST_F(GrayScenario, BridgeKeepsTheHalvesTogether) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    Begin(seed, 5);
    Connect([](MachineId a, MachineId b) {
      return a == 3 || b == 3 || (a < 3) == (b < 3);
    });
    ExpectProgressAndCalm();
  }
}

// Nobody but one server sees a majority, and that one doesn't lead.
TEST_F(GrayScenario, TheOnlyOneThatSeesAMajorityTakesOver) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    Begin(seed, 5);
    const MachineId hub = LeaderId() % 5 + 1;
    Connect([hub](MachineId a, MachineId b) { return a == hub || b == hub; });
    ExpectProgressAndCalm();
  }
}

// A switch fails: the leader sees one half, another server the other half.
TEST_F(GrayScenario, LeaderOfAMajorityStaysThoughOthersDoNotSeeIt) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    Begin(seed, 5);
    const MachineId leader = LeaderId();
    const MachineId lost = leader % 5 + 1;
    const uint64_t elections = Elections();
    const Term term = sim_->Leader()->node().core()->term();
    // It sees all others.
    Connect([=](MachineId a, MachineId b) {
      return !(std::min(a, b) == std::min(leader, lost) &&
               std::max(a, b) == std::max(leader, lost));
    });
    ASSERT_TRUE(sim_->RunFor(30s));
    EXPECT_EQ(Elections(), elections);
    EXPECT_EQ(sim_->Leader()->node().core()->term(), term);
    ExpectProgressAndCalm();
  }
}

// What the others said while they still followed it arrives when another one
// leads. Reads that come in meanwhile must not take it for an answer, nor may
// anything be rejected by it.
TEST_F(GrayScenario, LeaderThatHearsLateOfItsSuccessorAnswersNothingStale) {
  int replaced = 0;  // while it answered on
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    Begin(seed, 3);
    SimServer* const old = sim_->Leader();
    for (MachineId m = 1; m <= 3; ++m) {
      if (m == old->machine()) continue;
      sim_->network()->SetSlow(m, old->machine(), 200ms);
    }
    auto answered = std::make_shared<uint64_t>(0);
    old->log().Transfer(ServerId(), [](const absl::Status&) {});
    // It may not hand over in time.
    for (int i = 0; i < 100 && old->node().is_leader(); ++i) {
      replaced += sim_->Leader() != old ? 1 : 0;
      History* const history = sim_->mutable_history();
      old->log().Read(
          Offset(0), 1000, ReadMode::kLinearizable,
          [=, noted = history->Invoke()](absl::StatusOr<ReadResult> result) {
            if (!result.ok()) return;
            ++*answered;
            history->LinearizableEnd(result->committed_end, noted, "a read");
          });
      ASSERT_TRUE(sim_->RunFor(10ms)) << sim_->verdict().what();
    }
    EXPECT_GT(*answered, 0u);
    ExpectGoodEnd();
  }
  EXPECT_GT(replaced, 0);
}

TEST_F(GrayScenario, ScheduleHasLeadersHearLate) {
  SimulationOptions options;
  options.nodes = 3;
  options.rates = FaultRates{};
  options.rates->late_news_ppm = 300'000;
  Simulation sim(options);
  const SimulationResult result = sim.Run();
  EXPECT_TRUE(result.verdict.ok()) << result.verdict.what();
  EXPECT_GT(result.faults.late_news, 20u);
  EXPECT_GT(result.elections, 20u);
}

// Each by itself, so often that hardly anything else happens.
TEST_F(GrayScenario, ScheduleSpoilsLinks) {
  const std::vector<ScheduledFault> kinds = {
      {&FaultRates::bridge_ppm, 150'000,
       [](const SimulationResult& r) {
         return r.network.of(LinkFault::kBridge);
       }},
      {&FaultRates::flap_ppm, 200'000,
       [](const SimulationResult& r) {
         return r.network.of(LinkFault::kFlap);
       }},
      {&FaultRates::isolate_ppm, 30'000,
       [](const SimulationResult& r) {
         return r.network.of(LinkFault::kIsolation);
       }},
      {&FaultRates::split_ppm, 100'000,
       [](const SimulationResult& r) {
         return r.network.of(LinkFault::kSplit);
       }},
      {&FaultRates::one_way_ppm, 200'000,
       [](const SimulationResult& r) {
         return r.network.of(LinkFault::kOneWay);
       }},
      {&FaultRates::slow_link_ppm, 200'000,
       [](const SimulationResult& r) {
         return r.network.of(LinkFault::kSlowLink);
       }},
      {&FaultRates::clog_ppm, 300'000,
       [](const SimulationResult& r) { return r.network.clogged; }},
      {&FaultRates::cut_client_ppm, 100'000,
       [](const SimulationResult& r) {
         return r.network.of(LinkFault::kCutClient);
       }},
      {&FaultRates::flip_ppm, 5'000,
       [](const SimulationResult& r) { return r.network.flips; }},
      {&FaultRates::short_write_ppm, 300'000,
       [](const SimulationResult& r) { return r.network.short_writes; }},
  };
  ExpectServiceWithEach(kinds, FiveServers());
  // Only where processes end is there anything to dial.
  ExpectServiceWithEach(
      {{&FaultRates::refuse_ppm, 300'000,
        [](const SimulationResult& r) { return r.network.refused; }}},
      CrashesAndTrims());
}

TEST_F(GrayScenario, ScheduleDisturbsProcesses) {
  const std::vector<ScheduledFault> kinds = {
      {&FaultRates::other_options_ppm, 100'000,
       [](const SimulationResult& r) { return r.faults.other_options; }},
      {&FaultRates::crash_loop_ppm, 50'000,
       [](const SimulationResult& r) { return r.faults.crash_loops; }},
      {&FaultRates::burst_ppm, 100'000,
       [](const SimulationResult& r) { return r.faults.bursts; }},
  };
  SimulationOptions options = FiveServers();
  options.leases = true;
  options.rates->timer_slack_max_ns = 8'000'000;
  ExpectServiceWithEach(kinds, options);
}

TEST_F(GrayScenario, ScheduleDisturbsClients) {
  const std::vector<ScheduledFault> kinds = {
      {&FaultRates::client_crash_ppm, 100'000,
       [](const SimulationResult& r) { return r.faults.client_crashes; }},
      {&FaultRates::slow_reader_ppm, 200'000,
       [](const SimulationResult& r) { return r.faults.slow_readers; }},
      {&FaultRates::stop_reading_ppm, 100'000,
       [](const SimulationResult& r) { return r.network.unread; }},
      {&FaultRates::pause_client_ppm, 150'000,
       [](const SimulationResult& r) { return r.faults.client_pauses; }},
      {&FaultRates::close_client_ppm, 100'000,
       [](const SimulationResult& r) { return r.faults.clients_closed; }},
  };
  ExpectServiceWithEach(kinds, FiveServers());
}

// All that they have under way has an outcome by then, and what they ask for
// later has one, too; SimClient sees to it.
TEST_F(GrayScenario, ClientsThatAreAskedToEndAnswerAllTheirCallers) {
  uint64_t unknown = 0;
  for (uint64_t seed = 1; seed <= 12; ++seed) {
    Begin(seed, 3);
    SimClient* const client = sim_->client(0);
    // Of some nobody takes what they send, nor gives up their connections.
    if (seed % 3 == 0) {
      for (MachineId m = 1; m <= 3; ++m) Pause(m, 200ms);
    }
    client->Burst(50);
    EXPECT_TRUE(client->in_request());
    bool ended = false;
    client->Close(/*goes_at_once=*/seed % 2 == 0, [&ended] { ended = true; });
    EXPECT_TRUE(client->closing());
    ASSERT_TRUE(sim_->RunFor(500ms)) << sim_->verdict().what();
    EXPECT_TRUE(ended);
    EXPECT_FALSE(client->running());
    EXPECT_FALSE(client->in_request());
    ASSERT_TRUE(Progress(5));  // of the other one
    ExpectGoodEnd();
    unknown += sim_->history().unknown();
  }
  EXPECT_GT(unknown, 0u);
}

// Its servers have given it up when it goes on, or not yet.
TEST_F(GrayScenario, PausedClientHoldsUpNobodyAndGoesOn) {
  for (const Duration length : {Duration(3s), Duration(18s)}) {
    Begin(1, 3);
    SimClient* const paused = sim_->client(0);
    sim_->world()->scheduler.Pause(paused->process()->actor(),
                                   sim_->world()->now() + length);
    EXPECT_TRUE(paused->paused());
    const uint64_t begun = paused->operations();
    const uint64_t before = sim_->history().acknowledged();
    ASSERT_TRUE(sim_->RunFor(length - 1ms));
    EXPECT_EQ(paused->operations(), begun);
    EXPECT_GT(sim_->history().acknowledged(), before);
    ASSERT_TRUE(sim_->RunFor(1ms));
    EXPECT_FALSE(paused->paused());
    EXPECT_TRUE(
        sim_->RunUntil([&] { return paused->operations() > begun + 5; }, 20s));
    ExpectGoodEnd();
  }
}

// Of one client, at once: what there is no room for is refused, and appended
// later or not at all, and nobody else is worse off for long.
TEST_F(GrayScenario, ABurstBeyondWhatThereIsRoomFor) {
  SimulationOptions options;
  options.nodes = 3;
  options.clients = 3;
  options.pending_bytes_max = 16 << 10;
  options.rates = FaultRates{};
  Simulation sim(options);
  sim.StartServers();
  sim.StartClients();
  ASSERT_TRUE(sim.RunFor(2s));
  uint64_t refused = 0;
  for (int i = 0; i < 5; ++i) {
    for (size_t c = 0; c < sim.client_count(); ++c) sim.client(c)->Burst(500);
    ASSERT_TRUE(sim.RunFor(2s)) << sim.verdict().what();
    refused = sim.Result().stats["log_overloaded"];
  }
  EXPECT_GT(refused, 0u);
  const uint64_t before = sim.Result().acknowledged;
  ASSERT_TRUE(sim.RunFor(2s));
  EXPECT_GT(sim.Result().acknowledged, before + 10);
  sim.Settle();
  EXPECT_TRUE(sim.verdict().ok()) << sim.verdict().what();
}

// A bound that is broken is a failure.
TEST_F(GrayScenario, TooLateIsAFailure) {
  SimulationOptions options;
  options.nodes = 3;
  options.rates = FaultRates{};
  options.rates->crash_ppm = 100'000;
  options.duration = 5s;
  const SimulationResult in_time = Simulation(options).Run();
  EXPECT_TRUE(in_time.verdict.ok()) << in_time.verdict.what();
  EXPECT_GT(in_time.recovery.leader.percent(), 0u);
  EXPECT_LE(in_time.recovery.leader.percent(), 100u);
  EXPECT_LE(in_time.recovery.clients.percent(), 100u);
  EXPECT_LE(in_time.recovery.commit.percent(), 100u);
  options.leader_max_timeouts = 0;
  EXPECT_TRUE(absl::StrContains(Simulation(options).Run().verdict.what(),
                                "no leader within 0 ms"));
}

TEST_F(GrayScenario, ServersThatAreAskedToEndDoSoAndNothingIsLost) {
  SimulationOptions options;
  options.nodes = 3;
  options.clients = 2;
  options.kv = true;
  options.rates = FaultRates{};
  options.rates->close_ppm = 100'000;
  Simulation sim(options);
  const SimulationResult result = sim.Run();
  EXPECT_TRUE(result.verdict.ok()) << result.verdict.what();
  EXPECT_GT(result.faults.closed, 30u);
  EXPECT_GT(result.acknowledged, 1000u);
}

TEST_F(GrayScenario, ScheduleLetsOldStreamsLinger) {
  SimulationOptions options;
  options.nodes = 5;
  options.clients = 3;
  options.rates = FaultRates{};
  options.rates->linger_ppm = 1'000'000;
  options.rates->crash_ppm = 50'000;
  options.rates->slow_link_ppm = 300'000;
  Simulation sim(options);
  const SimulationResult result = sim.Run();
  EXPECT_TRUE(result.verdict.ok()) << result.verdict.what();
  EXPECT_GT(result.network.lingered, 0u);
}

TEST_F(GrayScenario, FlappingLinkCostsNoElection) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    Begin(seed, 3);
    const MachineId leader = LeaderId();
    const MachineId other = leader % 3 + 1;
    const Term term = sim_->Leader()->node().core()->term();
    for (int i = 0; i < 60; ++i) {
      sim_->network()->SetCut(leader, other, i % 2 == 0);
      sim_->network()->SetCut(other, leader, i % 2 == 0);
      ASSERT_TRUE(sim_->RunFor(i % 2 == 0 ? 700ms : 200ms));
    }
    EXPECT_EQ(sim_->Leader()->node().core()->term(), term);
    ExpectGoodEnd();
  }
}

// As by a firewall that forgets its rules for a while. Streams that stand are
// none of its business; who needs new ones, either way, has them within a pause
// of the dialler's, of 1 s at most, once they aren't refused any more.
TEST_F(GrayScenario, ServerWhoseDialsAreRefusedComesBackOnceTheyAreNot) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    Begin(seed, 3);
    SimServer* const leader = sim_->Leader();
    SimServer* const alone = sim_->server(leader->machine() % 3 + 1);
    const uint64_t elections = Elections();
    sim_->network()->set_options({.refuse_ppm = 1'000'000});
    alone->Crash(false);
    alone->Start();
    ASSERT_TRUE(Progress(50));
    ASSERT_TRUE(sim_->RunFor(5s));
    EXPECT_GT(Stat("happened_refusal"), 10u);
    const Index goal = leader->node().commit();
    EXPECT_EQ(alone->node().leader(), ServerId());
    EXPECT_LT(alone->node().commit(), goal);
    sim_->network()->set_options({});
    EXPECT_TRUE(sim_->RunUntil(
        [&] { return alone->node().leader() == leader->id(); }, 2s));
    EXPECT_TRUE(
        sim_->RunUntil([&] { return alone->node().commit() >= goal; }, 20s));
    EXPECT_EQ(sim_->Leader(), leader);
    EXPECT_EQ(Elections(), elections);
    ExpectGoodEnd();
  }
}

TEST_F(GrayScenario, ServerInACrashLoopDisturbsNobody) {
  Begin(1, 3);
  const MachineId leader = LeaderId();
  SimServer* flapping = sim_->server(leader % 3 + 1);
  const Term term = sim_->Leader()->node().core()->term();
  for (int i = 0; i < 60; ++i) {
    flapping->Crash(i % 3 == 0);
    ASSERT_TRUE(sim_->RunFor(50ms));
    flapping->Start();
    ASSERT_TRUE(sim_->RunFor(300ms));
  }
  EXPECT_EQ(LeaderId(), leader);
  EXPECT_EQ(sim_->Leader()->node().core()->term(), term);
  ExpectGoodEnd();
}

// Its connections end with it: nobody waits for a timeout.
TEST_F(GrayScenario, LeaderThatDiesIsReplacedAtOnce) {
  std::vector<Duration> took;
  for (uint64_t seed = 1; seed <= 21; ++seed) {
    Begin(seed, 3);
    const MachineId leader = LeaderId();
    const TrueTime died = sim_->world()->now();
    sim_->server(leader)->Crash(false);
    ASSERT_TRUE(sim_->RunUntil([&] { return sim_->Leader() != nullptr; }, 5s));
    took.push_back(sim_->world()->now() - died);
  }
  std::sort(took.begin(), took.end());
  EXPECT_LT(took[took.size() / 2], RaftOptions().election_timeout_min);
}

TEST_F(GrayScenario, FlakyLinksDoNotChurnElections) {
  Begin(1, 3);
  const uint64_t elections = Elections();
  SimNetworkOptions flaky;
  flaky.reset_ppm = 2000;  // of writes: many a second
  sim_->network()->set_options(flaky);
  ASSERT_TRUE(sim_->RunFor(120s));
  EXPECT_LE(Elections() - elections, 12u);
  sim_->network()->set_options(SimNetworkOptions{});
  ExpectGoodEnd();
}

TEST_F(GrayScenario, CalmHourWithOutliersHasNoElection) {
  Begin(1, 3);
  const uint64_t elections = Elections();
  SimNetworkOptions outliers;
  outliers.tail_ppm = 10000;  // 1 %
  outliers.tail_max = 200ms;
  sim_->network()->set_options(outliers);
  // Some minutes under load, and the rest with nothing but heartbeats.
  ASSERT_TRUE(sim_->RunFor(120s));
  for (size_t i = 0; i < clients(); ++i) sim_->client(i)->Crash();
  ASSERT_TRUE(sim_->RunFor(3480s));
  EXPECT_EQ(Elections(), elections);
}

}  // namespace
}  // namespace holdfast
