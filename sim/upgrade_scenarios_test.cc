// Scenes of rolling upgrades: servers of two feature levels in one cluster.

#include <cstdint>

#include "absl/status/status.h"
#include "engine/base/entry_kind.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sim/testing/scenario.h"

namespace holdfast {
namespace {

constexpr uint32_t kNext = kFeatureLevelMax + 1;

class UpgradeScenario : public Scenario {
 protected:
  void Restart(MachineId m, uint32_t feature_level_max) {
    SimServer* server = sim_->server(m);
    if (server->running()) server->Crash(false);
    server->set_feature_level_max(feature_level_max);
    server->Start();
  }
  bool WaitForLevel(MachineId m, uint32_t level) {
    return sim_->RunUntil([&] { return LevelOf(m) == level; }, 20s);
  }
  // As committed, as far as the server knows.
  uint32_t LevelOf(MachineId m) {
    const Node& node = sim_->server(m)->node();
    if (!node.formed()) return 0;
    return node.core()->committed_configuration().feature_level;
  }
  void UpgradeAll(uint32_t nodes) {
    for (MachineId m = 1; m <= nodes; ++m) Restart(m, kNext);
    for (MachineId m = 1; m <= nodes; ++m) ASSERT_TRUE(WaitForLevel(m, kNext));
  }
  bool HasNextKind(MachineId m) {
    const Tail& tail = sim_->server(m)->node().tail();
    for (Index i = tail.hot_first(); i <= tail.last().index; ++i) {
      if (tail.Find(i)->header.kind == EntryKind::kNextNoOp) return true;
    }
    return false;
  }
  void ExpectStopped(MachineId m, const std::string& why) {
    EXPECT_FALSE(sim_->RunFor(20s));
    EXPECT_EQ(sim_->server(m)->failure().code(),
              absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(sim_->server(m)->failure().message(), testing::HasSubstr(why));
  }
};

TEST_F(UpgradeScenario, LevelRisesOnceAllServersSupportIt) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    Make(seed, 3);
    ASSERT_TRUE(Progress(10));
    for (MachineId m : {2, 3}) {
      Restart(m, kNext);
      ASSERT_TRUE(Progress(10));
      ASSERT_TRUE(sim_->RunFor(5s));
      for (MachineId any : {1, 2, 3}) EXPECT_EQ(LevelOf(any), kFeatureLevelMax);
    }
    Restart(1, kNext);
    for (MachineId m : {1, 2, 3}) ASSERT_TRUE(WaitForLevel(m, kNext));
    // What is new comes with the next leader at the latest.
    const MachineId leader = sim_->Leader()->machine();
    sim_->server(leader)->Crash(true);
    ASSERT_TRUE(WaitForOtherLeader(leader));
    ASSERT_TRUE(Progress(1));
    EXPECT_TRUE(HasNextKind(sim_->Leader()->machine()));
    ExpectGoodEnd();
  }
}

TEST_F(UpgradeScenario, ServerThatIsDownKeepsTheLevelDown) {
  Make(1, 3);
  ASSERT_TRUE(Progress(10));
  sim_->server(3)->Crash(false);
  Restart(1, kNext);
  Restart(2, kNext);
  ASSERT_TRUE(Progress(10));
  ASSERT_TRUE(sim_->RunFor(10s));
  EXPECT_EQ(LevelOf(1), kFeatureLevelMax);
  // Without the one that isn't known to go along, it rises.
  ASSERT_TRUE(Change([](DistributedLog* log, DoneFn done) {
                log->Leave({ServerId(3)}, std::move(done));
              }).ok());
  EXPECT_TRUE(WaitForLevel(1, kNext));
  EXPECT_TRUE(WaitForLevel(2, kNext));
}

TEST_F(UpgradeScenario, NextLeaderRaisesTheLevel) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    Make(seed, 3);
    ASSERT_TRUE(Progress(10));
    for (MachineId m : {1, 2, 3}) Restart(m, kNext);
    ASSERT_TRUE(sim_->RunUntil(
        [&] {
          SimServer* leader = sim_->Leader();
          return leader != nullptr &&
                 leader->node().configuration()->feature_level == kNext;
        },
        20s));
    // It may have sent the entry to nobody, to some, or to all.
    const MachineId leader = sim_->Leader()->machine();
    ASSERT_TRUE(sim_->RunFor(seed * 100us));
    sim_->server(leader)->Crash(true);
    ASSERT_TRUE(WaitForOtherLeader(leader));
    ASSERT_TRUE(Progress(10));
    sim_->server(leader)->Start();
    for (MachineId m : {1, 2, 3}) ASSERT_TRUE(WaitForLevel(m, kNext));
    ExpectGoodEnd();
  }
}

TEST_F(UpgradeScenario, OldServerIsNotJoined) {
  Make(1, 3, 1, 1);
  ASSERT_TRUE(Progress(10));
  UpgradeAll(3);
  const absl::Status refused = Change(Join(4));
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(refused.message(), testing::HasSubstr("run a newer release"));
  EXPECT_EQ(sim_->Leader()->node().configuration()->Find(ServerId(4)), nullptr);
  Restart(4, kNext);
  EXPECT_TRUE(Change(Join(4)).ok());
  ExpectGoodEnd();
}

TEST_F(UpgradeScenario, ServerThatWentBackStopsAtItsStart) {
  Make(1, 3);
  ASSERT_TRUE(Progress(10));
  UpgradeAll(3);
  Restart(2, kFeatureLevelMax);
  ExpectStopped(2, "the cluster is at feature level 2");
}

TEST_F(UpgradeScenario, ServerThatWentBackStopsAtTheEntry) {
  Make(1, 3);
  ASSERT_TRUE(Progress(10));
  // It has said that it goes along, and then hears of nothing.
  for (MachineId m : {1, 2, 3}) Restart(m, kNext);
  ASSERT_TRUE(sim_->RunUntil(
      [&] {
        SimServer* leader = sim_->Leader();
        return leader != nullptr &&
               leader->node().configuration()->feature_level == kNext;
      },
      20s));
  const MachineId other = sim_->Leader()->machine() % 3 + 1;
  sim_->server(other)->Crash(true);
  ASSERT_TRUE(Progress(10));
  Restart(other, kFeatureLevelMax);
  ExpectStopped(other, "the cluster is at feature level 2");
}

}  // namespace
}  // namespace holdfast
