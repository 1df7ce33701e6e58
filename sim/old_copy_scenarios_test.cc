// Scenes of disks that come back as they were once. The copies are taken and
// put back by OldCopies, whose checks are on.

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "gtest/gtest.h"
#include "sim/testing/scenario.h"

namespace holdfast {
namespace {

class OldCopyScenario : public Scenario {
 protected:
  // A cluster of three, with a copy of a follower's disk.
  void MakeWithCopy(uint64_t seed) {
    Make(seed, 3);
    ASSERT_TRUE(Progress(20));
    victim_ = sim_->server(sim_->Leader()->machine() % 3 + 1);
    EXPECT_FALSE(sim_->old_copies()->Strike(victim_));
    // Another start, of which the copy knows nothing.
    Restart(victim_);
    ASSERT_TRUE(Progress(50));
  }
  void Restart(SimServer* server) {
    server->Crash(true);
    server->Start();
  }
  // As soon as the others can do without it. False: they can't.
  bool PutBack() { return PutBack(victim_); }
  bool PutBack(SimServer* server) {
    return sim_->RunUntil([&] { return sim_->old_copies()->Strike(server); },
                          5s);
  }
  // It hears that its disk is older, and stops.
  void ExpectRefused() {
    EXPECT_TRUE(sim_->RunUntil([&] { return !victim_->failure().ok(); }, 10s));
    EXPECT_TRUE(absl::IsFailedPrecondition(victim_->failure()));
    EXPECT_TRUE(absl::StrContains(victim_->failure().message(), "older copy"))
        << victim_->failure();
  }
  void ExpectReplaced() {
    EXPECT_TRUE(sim_->RunUntil(
        [&] { return sim_->old_copies()->replaced() == 1; }, 20s));
    EXPECT_TRUE(Change(Join(victim_->machine())).ok());
    ExpectGoodEnd();
  }

  SimServer* victim_ = nullptr;
};

TEST_F(OldCopyScenario, ItIsRefusedAndReplaced) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    MakeWithCopy(seed);
    ASSERT_TRUE(PutBack()) << seed;
    ExpectRefused();
    // Nor does it serve again, and it needs nobody to tell it.
    Isolate(victim_->machine());
    Restart(victim_);
    ExpectRefused();
    sim_->network()->HealAll();
    ExpectReplaced();
  }
}

// It has forgotten all, and may neither vote nor serve under its id until it
// has left.
TEST_F(OldCopyScenario, AWipedOneWaitsUntilItHasLeft) {
  int struck = 0;
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    Make(seed, 3);
    ASSERT_TRUE(Progress(20));
    victim_ = sim_->server(1 + seed % 3);
    const bool wiped =
        sim_->RunUntil([&] { return sim_->old_copies()->Wipe(victim_); }, 5s);
    ASSERT_EQ(sim_->old_copies()->wiped(), wiped ? 1u : 0u);
    if (!wiped) continue;
    ++struck;
    EXPECT_TRUE(Progress(20));
    Restart(victim_);
    ASSERT_TRUE(sim_->RunFor(2s)) << sim_->verdict().what();
    EXPECT_FALSE(victim_->node().formed());
    ExpectReplaced();
  }
  EXPECT_GT(struck, 5);
}

TEST_F(OldCopyScenario, ScheduleWipesDisks) {
  SimulationOptions options;
  options.nodes = 5;
  options.changes = true;
  options.rates = FaultRates{};
  options.rates->wiped_disk_ppm = 100'000;
  Simulation sim(options);
  SimulationResult result = sim.Run();
  EXPECT_TRUE(result.verdict.ok()) << result.verdict.what();
  EXPECT_GT(result.stats["disk_wiped"], 0u);
  EXPECT_GT(result.stats["disk_put_back_replaced"], 0u);
}

// It meets the others only when it counts more starts than they remember.
TEST_F(OldCopyScenario, StartsWithoutTheOthersDontHideIt) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    MakeWithCopy(seed);
    ASSERT_TRUE(PutBack()) << seed;
    Isolate(victim_->machine());
    for (int i = 0; i < 5; ++i) {
      Restart(victim_);
      ASSERT_TRUE(sim_->RunFor(50ms));
    }
    EXPECT_TRUE(victim_->failure().ok());
    sim_->network()->HealAll();
    ExpectRefused();
    ExpectReplaced();
  }
}

TEST_F(OldCopyScenario, TheOthersRememberAcrossTheirOwnStarts) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    MakeWithCopy(seed);
    ASSERT_TRUE(PutBack()) << seed;
    Isolate(victim_->machine());
    for (MachineId m = 1; m <= 3; ++m) {
      if (m != victim_->machine()) Restart(sim_->server(m));
    }
    sim_->network()->HealAll();
    ExpectRefused();
    ExpectReplaced();
  }
}

TEST_F(OldCopyScenario, NothingIsPutBackThatTheOthersNeed) {
  Make(1, 3);
  ASSERT_TRUE(Progress(20));
  SimServer* leader = sim_->Leader();
  EXPECT_FALSE(sim_->old_copies()->Strike(leader));
  Restart(leader);
  ASSERT_TRUE(WaitForOtherLeader(leader->machine()));
  SimServer* third = nullptr;
  for (MachineId m = 1; m <= 3; ++m) {
    if (sim_->server(m) != leader && sim_->server(m) != sim_->Leader()) {
      third = sim_->server(m);
    }
  }
  third->Crash(true);
  ASSERT_TRUE(Progress(20));
  EXPECT_FALSE(PutBack(leader));
  ExpectGoodEnd();
}

}  // namespace
}  // namespace holdfast
