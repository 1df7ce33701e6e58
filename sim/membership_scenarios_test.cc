// Scenes in which the cluster's servers change: joining, leaving, handing
// over, and what goes wrong meanwhile.

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "sim/testing/scenario.h"

namespace holdfast {
namespace {

class MembershipScenario : public Scenario {
 protected:
  static Request Leave(std::vector<uint64_t> ids) {
    return [=](DistributedLog* log, DoneFn done) {
      std::vector<ServerId> leaving;
      for (uint64_t id : ids) leaving.push_back(ServerId(id));
      log->Leave(std::move(leaving), std::move(done));
    };
  }
  static Request Transfer(uint64_t to) {
    return [=](DistributedLog* log, DoneFn done) {
      log->Transfer(ServerId(to), std::move(done));
    };
  }
  const Configuration& configuration() {
    return *sim_->Leader()->node().configuration();
  }
  static std::vector<uint64_t> Ids(const std::vector<Member>& members) {
    std::vector<uint64_t> ids;
    for (const Member& m : members) ids.push_back(m.id.value());
    return ids;
  }
  using IdList = std::vector<uint64_t>;
  // A majority of the first three that isn't this one.
  static MachineId Other(MachineId m) { return m % 3 + 1; }
};

TEST(QuorumsOverlapTest, OfConfigurations) {
  const auto members = [](std::initializer_list<uint64_t> ids) {
    std::vector<Member> all;
    for (uint64_t id : ids) all.push_back({ServerId(id), Incarnation(), ""});
    return all;
  };
  const auto of = [&](std::initializer_list<uint64_t> voters,
                      std::initializer_list<uint64_t> old_voters = {}) {
    Configuration c;
    c.voters = members(voters);
    c.old_voters = members(old_voters);
    return c;
  };
  EXPECT_TRUE(QuorumsOverlap(of({1}), of({1})));
  EXPECT_TRUE(QuorumsOverlap(of({1, 2, 3}), of({1, 2, 3, 4})));
  EXPECT_TRUE(QuorumsOverlap(of({1, 2, 3, 4}), of({1, 2, 3})));
  EXPECT_FALSE(QuorumsOverlap(of({1}), of({1, 2, 3})));
  EXPECT_FALSE(QuorumsOverlap(of({1, 2, 3}), of({1, 2, 3, 4, 5})));
  EXPECT_FALSE(QuorumsOverlap(of({1, 2, 3}), of({3, 4, 5})));
  // By way of both at once (Raft, section 6).
  EXPECT_TRUE(QuorumsOverlap(of({1, 2, 3}), of({3, 4, 5}, {1, 2, 3})));
  EXPECT_TRUE(QuorumsOverlap(of({3, 4, 5}, {1, 2, 3}), of({3, 4, 5})));
  EXPECT_FALSE(QuorumsOverlap(of({1, 2, 3}), of({3, 4, 5}, {3, 6, 7})));
}

TEST_F(MembershipScenario, GrowsFromOneToFiveAndShrinksUnderLoad) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    Make(seed, 1, 2, 4);
    set_clients(2);
    ASSERT_TRUE(Progress(20));
    for (MachineId m = 2; m <= 5; ++m) {
      ASSERT_TRUE(Change(Join(m)).ok());
      ASSERT_TRUE(Progress(20));
    }
    EXPECT_EQ(Ids(configuration().voters), (IdList{1, 2, 3, 4, 5}));
    ASSERT_TRUE(Change(Leave({5, 4})).ok());
    ASSERT_TRUE(Progress(20));
    // The leader each time.
    for (int left = 3; left > 1; --left) {
      const MachineId leader = sim_->Leader()->machine();
      ASSERT_TRUE(Change(Leave({leader})).ok());
      ASSERT_TRUE(Progress(20));
      EXPECT_EQ(configuration().voters.size(), static_cast<size_t>(left - 1));
      EXPECT_EQ(configuration().Find(ServerId(leader)), nullptr);
    }
    ExpectGoodEnd();
  }
}

TEST_F(MembershipScenario, LeaderHandsOverBeforeItLeaves) {
  Make(1, 3);
  ASSERT_TRUE(Progress(20));
  SimServer* leader = sim_->Leader();
  const uint64_t elections = sim_->checker().elections();
  EXPECT_TRUE(absl::IsUnavailable(Ask(leader, Leave({leader->machine()}))));
  ASSERT_TRUE(WaitForOtherLeader(leader->machine()));
  EXPECT_EQ(sim_->checker().elections(), elections + 1);
  ASSERT_TRUE(Change(Leave({leader->machine()})).ok());
  // It is there yet, but nobody listens to it.
  const Term term = sim_->Leader()->node().core()->term();
  EXPECT_TRUE(sim_->RunFor(20s));
  EXPECT_EQ(sim_->Leader()->node().core()->term(), term);
  ExpectGoodEnd();
}

TEST_F(MembershipScenario, NextLeaderFinishesAJointConfiguration) {
  uint64_t inherited = 0;
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    Make(seed, 3, 1, 1);
    ASSERT_TRUE(Progress(20));
    SimServer* leader = sim_->Leader();
    leader->log().Join(ServerId(4), NetworkFabric::AddressOf(4), false,
                       [](absl::Status) {});
    const bool joint = sim_->RunUntil(
        [&] {
          const RaftCore& core = *leader->node().core();
          return core.configuration().joint() &&
                 (seed % 2 == 0 || core.commit() >= core.configuration_index());
        },
        20s);
    if (!joint) continue;
    leader->Crash(seed % 3 == 0);
    ASSERT_TRUE(WaitForOtherLeader(leader->machine()));
    ASSERT_TRUE(Progress(20));
    EXPECT_FALSE(configuration().joint());
    ExpectGoodEnd();
    EXPECT_EQ(Ids(configuration().voters), (IdList{1, 2, 3, 4}));
    inherited += Stat("membership_inherited");
  }
  EXPECT_GT(inherited, 0u);
}

TEST_F(MembershipScenario, JoiningServerThatDiesCostsNoQuorum) {
  Make(1, 3, 1, 1);
  ASSERT_TRUE(Progress(20));
  sim_->Leader()->log().Join(ServerId(4), NetworkFabric::AddressOf(4), false,
                             [](absl::Status) {});
  ASSERT_TRUE(
      sim_->RunUntil([&] { return !configuration().joining.empty(); }, 5s));
  sim_->server(4)->Crash(true);
  sim_->server(Other(sim_->Leader()->machine()))->Crash(true);
  EXPECT_TRUE(Progress(50));
  EXPECT_EQ(Ids(configuration().joining), (IdList{4}));
  // It is carried on when both are back.
  ExpectGoodEnd();
  EXPECT_EQ(Ids(configuration().voters), (IdList{1, 2, 3, 4}));
}

TEST_F(MembershipScenario, WhoCannotBeReachedDoesNotJoin) {
  Make(1, 3, 1, 1);
  ASSERT_TRUE(Progress(20));
  sim_->server(4)->Crash(true);
  const absl::Status status = Ask(sim_->Leader(), Join(4));
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_EQ(configuration().Find(ServerId(4)), nullptr);
  ExpectGoodEnd();
}

TEST_F(MembershipScenario, RefusesWhatMakesNoSense) {
  Make(1, 3, 1, 2);
  ASSERT_TRUE(Progress(20));
  SimServer* leader = sim_->Leader();
  const MachineId other = Other(leader->machine());
  auto join_at = [](uint64_t id, MachineId at) -> Request {
    return [=](DistributedLog* log, DoneFn done) {
      log->Join(ServerId(id), NetworkFabric::AddressOf(at), false,
                std::move(done));
    };
  };
  // Somebody else answers at that address.
  EXPECT_FALSE(Ask(leader, join_at(4, other)).ok());
  EXPECT_FALSE(Ask(leader, join_at(other, 4)).ok());
  EXPECT_TRUE(absl::IsInvalidArgument(Ask(leader, join_at(0, 4))));
  EXPECT_TRUE(absl::IsNotFound(Ask(leader, Leave({9}))));
  EXPECT_TRUE(absl::IsInvalidArgument(Ask(leader, Leave({}))));
  EXPECT_TRUE(absl::IsFailedPrecondition(Ask(leader, Leave({1, 2, 3}))));
  EXPECT_TRUE(absl::IsFailedPrecondition(Ask(leader, Transfer(9))));
  EXPECT_TRUE(absl::IsAlreadyExists(Ask(leader, Join(other, true))));
  // Only the leader does any of it.
  EXPECT_TRUE(absl::IsUnavailable(Ask(sim_->server(other), Leave({9}))));
  EXPECT_EQ(configuration().Everyone().size(), 3u);
  // What is so already, is so.
  EXPECT_TRUE(Ask(leader, Join(other)).ok());
  EXPECT_TRUE(Ask(leader, Transfer(leader->machine())).ok());
  // A learner stays one, until it is asked to vote.
  ASSERT_TRUE(Change(Join(5, true)).ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(Ask(leader, Transfer(5))));
  EXPECT_EQ(Ids(configuration().learners), (IdList{5}));
  ASSERT_TRUE(Change(Join(5)).ok());
  EXPECT_EQ(Ids(configuration().voters), (IdList{1, 2, 3, 5}));
  ExpectGoodEnd();
}

TEST_F(MembershipScenario, NobodyLeavesIfTheRestCouldNotGoOn) {
  Make(1, 3);
  ASSERT_TRUE(Progress(20));
  SimServer* leader = sim_->Leader();
  const MachineId down = Other(leader->machine());
  const MachineId up = 6 - leader->machine() - down;
  sim_->server(down)->Crash(true);
  ASSERT_TRUE(Progress(50));
  ASSERT_TRUE(sim_->RunFor(2s));
  EXPECT_TRUE(absl::IsUnavailable(Ask(sim_->Leader(), Leave({up}))));
  EXPECT_EQ(configuration().voters.size(), 3u);
  // The dead one may go.
  EXPECT_TRUE(Change(Leave({down})).ok());
  EXPECT_TRUE(Progress(20));
  ExpectGoodEnd();
}

TEST_F(MembershipScenario, WipedServerJoinsAnewAfterItHasLeft) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    Make(seed, 3);
    ASSERT_TRUE(Progress(20));
    SimServer* wiped = sim_->server(Other(sim_->Leader()->machine()));
    wiped->Crash(true);
    wiped->WipeDisk();
    wiped->set_join();
    wiped->Start();
    ASSERT_TRUE(Progress(50));
    EXPECT_FALSE(wiped->node().formed());
    const absl::Status early = Change(Join(wiped->machine()));
    EXPECT_TRUE(absl::IsAlreadyExists(early)) << early;
    ASSERT_TRUE(Change(Leave({wiped->machine()})).ok());
    ASSERT_TRUE(Change(Join(wiped->machine())).ok());
    EXPECT_EQ(Ids(configuration().voters), (IdList{1, 2, 3}));
    ExpectGoodEnd();
  }
}

// Else no other one would reach it, nor commit another address.
TEST_F(MembershipScenario, ALeaderTakesNoAddressThatItWasntTold) {
  Make(1, 2);
  ASSERT_TRUE(Progress(20));
  SimServer* leader = sim_->Leader();
  const absl::Status refused =
      Ask(leader, [&](DistributedLog* log, DoneFn done) {
        log->Join(leader->id(), "m9:7400", false, std::move(done));
      });
  EXPECT_TRUE(absl::IsFailedPrecondition(refused)) << refused;
  EXPECT_TRUE(Ask(leader, Join(leader->machine())).ok());
  ASSERT_TRUE(Progress(20));
  ExpectGoodEnd();
}

// A new server's log begins with the time when its leader was elsewhere; it
// answers where the leader has said that it is.
TEST_F(MembershipScenario, WhoCatchesUpAnswersALeaderThatHasMoved) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    Make(seed, 3, 1, /*spares=*/1);
    ASSERT_TRUE(Progress(20));
    SimServer* moved = sim_->server(Other(sim_->Leader()->machine()));
    const MachineId id = moved->machine();
    const Address address = absl::StrCat("m", id, ":7500");
    moved->Crash(false);
    moved->set_address(address);
    moved->Start();
    ASSERT_TRUE(sim_->RunFor(1s));
    ASSERT_TRUE(Change([&](DistributedLog* log, DoneFn done) {
                  log->Join(ServerId(id), address, false, std::move(done));
                }).ok());
    ASSERT_TRUE(Change(Transfer(id)).ok());
    ASSERT_TRUE(sim_->RunUntil(
        [&] { return sim_->Leader() == moved && moved->node().is_leader(); },
        10s));
    // More than is ever in flight.
    ASSERT_TRUE(Fill());
    ASSERT_EQ(sim_->Leader(), moved);
    EXPECT_TRUE(Ask(moved, Join(4)).ok()) << seed;
    ExpectGoodEnd();
  }
}

// What the old disk had acknowledged is long on its way, and comes when the
// leader knows the id for that of an empty one.
TEST_F(MembershipScenario, AnswersOfAnOlderDiskCountForNoNewOne) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    Make(seed, 3);
    ASSERT_TRUE(Progress(20));
    const MachineId leader = sim_->Leader()->machine();
    SimServer* wiped = sim_->server(Other(leader));
    sim_->network()->SetSlow(wiped->machine(), leader, 1s);
    ASSERT_TRUE(Progress(20));
    wiped->Crash(true);
    wiped->WipeDisk();
    sim_->network()->SetSlow(wiped->machine(), leader, Duration::zero());
    ASSERT_TRUE(Change(Leave({wiped->machine()})).ok());
    wiped->set_join();
    wiped->Start();
    ASSERT_TRUE(sim_->RunFor(200ms));
    absl::Status joined = absl::UnavailableError("not yet");
    sim_->Leader()->log().Join(ServerId(wiped->machine()),
                               NetworkFabric::AddressOf(wiped->machine()),
                               false, [&](absl::Status s) { joined = s; });
    for (int i = 0; configuration().joining.empty(); ++i) {
      ASSERT_LT(i, 1000) << seed << " " << joined;
      ASSERT_TRUE(sim_->RunFor(100us));
    }
    // It gets nothing, so it can't have anything, and would stop if the leader
    // told it that it has.
    sim_->network()->SetCut(leader, wiped->machine(), true);
    EXPECT_TRUE(sim_->RunFor(2s)) << sim_->verdict().what();
    EXPECT_EQ(configuration().voters.size(), 2u) << seed;
    sim_->network()->HealAll();
    EXPECT_TRUE(
        sim_->RunUntil([&] { return configuration().voters.size() == 3; }, 20s))
        << joined << sim_->verdict().what();
    ExpectGoodEnd();
  }
}

// Its log begins with the time when an older disk under its id was the only
// voter: that is none of its own.
TEST_F(MembershipScenario, NewDiskDoesNotActOnOldConfigurations) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    Make(seed, 1, 1, 1);
    ASSERT_TRUE(Progress(50));
    ASSERT_TRUE(Change(Join(2)).ok());
    ASSERT_TRUE(Change(Leave({1})).ok());
    ASSERT_TRUE(Progress(20));
    SimServer* anew = sim_->server(1);
    anew->Crash(true);
    anew->WipeDisk();
    anew->set_join();
    anew->Start();
    sim_->RunFor(500ms);
    sim_->Leader()->log().Join(ServerId(1), NetworkFabric::AddressOf(1), true,
                               [](absl::Status) {});
    ASSERT_TRUE(sim_->RunUntil(
        [&] {
          return anew->node().formed() &&
                 anew->node().tail().last().index > Index(0);
        },
        10s));
    Isolate(1);
    EXPECT_TRUE(sim_->RunFor(5s)) << sim_->verdict().what();
    EXPECT_FALSE(anew->node().is_leader());
    sim_->network()->HealAll();
    ExpectGoodEnd();
  }
}

// As a process that was stopped and goes on with a SIGTERM: what was due before
// runs first.
TEST_F(MembershipScenario, LeaderEndsWhileAServerJoins) {
  Make(1, 3, 1, 1);
  ASSERT_TRUE(Progress(20));
  SimServer* leader = sim_->Leader();
  leader->log().Join(ServerId(4), NetworkFabric::AddressOf(4),
                     /*learner=*/false, [](const absl::Status&) {});
  ASSERT_TRUE(sim_->RunUntil(
      [&] { return !leader->node().configuration()->joining.empty(); }, 5s));
  Isolate(4);
  ASSERT_TRUE(sim_->RunFor(500ms));
  sim_->world()->scheduler.Pause(leader->process()->actor(),
                                 sim_->world()->now() + 500ms);
  ASSERT_TRUE(sim_->RunFor(300ms));
  bool ended = false;
  leader->Close([&] { ended = true; });
  ASSERT_TRUE(sim_->RunUntil([&] { return ended; }, 1s));
  EXPECT_FALSE(leader->running());
  sim_->network()->HealAll();
  ExpectGoodEnd();
}

TEST_F(MembershipScenario, ServerOfAnotherClusterDoesNotJoin) {
  Make(1, 3, 1, 1);
  // The client mustn't take it for one of this cluster either.
  sim_->network()->SetCut(101, 4, true);
  ASSERT_TRUE(Progress(20));
  SimServer* foreign = sim_->server(4);
  foreign->Crash(true);
  foreign->WipeDisk();
  foreign->set_bootstrap(
      {Member{ServerId(4), Incarnation(), NetworkFabric::AddressOf(4)}});
  foreign->Start();
  ASSERT_TRUE(sim_->RunUntil([&] { return foreign->node().is_leader(); }, 5s));
  const absl::Status status = Ask(sim_->Leader(), Join(4));
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_EQ(configuration().Find(ServerId(4)), nullptr);
  foreign->Crash(true);
  EXPECT_TRUE(Progress(20));
}

TEST_F(MembershipScenario, RemovedServerDoesNotDisturb) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    Make(seed, 5);
    ASSERT_TRUE(Progress(20));
    const MachineId leader = sim_->Leader()->machine();
    const MachineId removed = leader % 5 + 1;
    // It doesn't hear of it.
    Isolate(removed);
    ASSERT_TRUE(Change(Leave({removed})).ok());
    const Term term = sim_->Leader()->node().core()->term();
    sim_->network()->HealAll();
    EXPECT_TRUE(sim_->RunFor(20s));
    EXPECT_EQ(sim_->Leader()->node().core()->term(), term);
    EXPECT_EQ(sim_->Leader()->machine(), leader);
    ExpectGoodEnd();
  }
}

// While it was cut off, all the others changed: who leads now is nobody that it
// knows, at an address that it doesn't know.
TEST_F(MembershipScenario, LateServerHearsFromALeaderItDoesNotKnow) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    Make(seed, 3, 1, 2);
    ASSERT_TRUE(Progress(20));
    const MachineId late = Other(sim_->Leader()->machine());
    Isolate(late);
    ASSERT_TRUE(Change(Join(4)).ok());
    ASSERT_TRUE(Change(Join(5)).ok());
    IdList old = {1, 2, 3};
    std::erase(old, late);
    for (uint64_t id : old) ASSERT_TRUE(Change(Leave({id})).ok());
    for (uint64_t id : old)
      sim_->server(static_cast<MachineId>(id))->Crash(true);
    sim_->network()->HealAll();
    ASSERT_TRUE(sim_->RunUntil(
        [&] {
          return sim_->server(late)->node().configuration()->voters.size() ==
                     3 &&
                 !sim_->server(late)->node().configuration()->joint();
        },
        10s));
    // It counts, too.
    sim_->server(4)->Crash(true);
    ASSERT_TRUE(Progress(20));
    ExpectGoodEnd();
    EXPECT_EQ(Ids(configuration().voters), (IdList{late, 4, 5}));
  }
}

// The third of a new cluster's servers died before it had formed; one of the
// others, whose hello it never got, is lost for good afterwards.
TEST_F(MembershipScenario, ServerThatMissedTheFormingIsTakenIn) {
  int scenes = 0;
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    for (uint64_t n = 1; n < 150; ++n) {
      Make(seed, 3);
      SimServer* third = sim_->server(3);
      third->process()->DieBeforeIo(n, SimProcess::Io::kAny,
                                    [third] { third->Crash(true); });
      sim_->RunFor(3s);
      if (third->running()) break;
      if (!sim_->server(1)->node().formed() ||
          !sim_->server(2)->node().formed()) {
        continue;
      }
      ASSERT_TRUE(Progress(20));
      sim_->server(1)->Crash(true);
      third->Start();
      ASSERT_TRUE(Progress(20)) << "seed " << seed << ", before I/O " << n;
      ++scenes;
      ExpectGoodEnd();
    }
  }
  EXPECT_GT(scenes, 0);
}

// As by the command line. Whoever asks may crash, end or be cut off meanwhile,
// and a server has one such request of it at a time.
TEST_F(MembershipScenario, OperatorsAskByClients) {
  std::map<std::string, uint64_t> stats;
  for (uint64_t seed = 1; seed <= 6; ++seed) {
    SimulationOptions options;
    options.seed = seed;
    options.nodes = 3;
    options.clients = 2;
    options.spares = 1;
    options.duration = 30s;
    options.changes = options.trims = options.transfers = true;
    options.admin = true;
    options.admin_requests_max = 1;
    options.tls = seed % 3 == 0;
    options.rates = FaultRates{};
    options.rates->crash_ppm = 10'000;
    options.rates->client_crash_ppm = 50'000;
    options.rates->close_client_ppm = 50'000;
    options.rates->cut_client_ppm = 50'000;
    Simulation sim(options);
    const SimulationResult result = sim.Run();
    ASSERT_TRUE(result.verdict.ok()) << seed << ": " << result.verdict.what();
    for (const auto& [name, n] : result.stats) stats[name] += n;
  }
  for (const char* name :
       {"admin_done", "admin_refused", "admin_unknown", "admin_cancelled",
        "admin_overloaded", "operator_joins", "operator_leaves",
        "operator_transfers", "operator_trims", "operator_replaced"}) {
    EXPECT_GT(stats[name], 0u) << name;
  }
}

TEST_F(MembershipScenario, TransferGoesWhereItIsTold) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    Make(seed, 5, 2);
    set_clients(2);
    ASSERT_TRUE(Progress(20));
    for (uint64_t to = 1; to <= 5; ++to) {
      const uint64_t elections = sim_->checker().elections();
      const bool there = sim_->Leader()->machine() == to;
      ASSERT_TRUE(Ask(sim_->Leader(), Transfer(to)).ok());
      EXPECT_EQ(sim_->Leader()->machine(), to);
      EXPECT_EQ(sim_->checker().elections(), elections + (there ? 0 : 1));
      ASSERT_TRUE(Progress(20));
    }
    // One that can't take over leaves all as it is.
    const MachineId leader = sim_->Leader()->machine();
    const MachineId away = leader % 5 + 1;
    Isolate(away);
    EXPECT_TRUE(absl::IsUnavailable(Ask(sim_->Leader(), Transfer(away))));
    EXPECT_EQ(sim_->Leader()->machine(), leader);
    ASSERT_TRUE(Progress(20));
    ExpectGoodEnd();
  }
}

}  // namespace
}  // namespace holdfast
