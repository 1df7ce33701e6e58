// Scenes in which a server's log isn't the others', and no checksum shows it:
// the last entry on its disk has become another one (OldCopies::Forge, whose
// check that the server never leads is on).

#include <string>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "sim/testing/scenario.h"

namespace holdfast {
namespace {

class DivergenceScenario : public Scenario {
 protected:
  // All have all of the log, and nothing happens to it any more.
  void MakeQuiet(uint64_t seed, uint32_t nodes) {
    Make(seed, nodes);
    ASSERT_TRUE(Progress(20));
    for (size_t i = 0; i < clients(); ++i) sim_->client(i)->Crash();
    ASSERT_TRUE(sim_->RunFor(2s));
    victim_ = sim_->server(sim_->Leader()->machine() % nodes + 1);
  }
  // The last entry mustn't end a segment: the next one's header knows of it.
  bool Forge() {
    for (int i = 0; i < 10; ++i) {
      if (sim_->old_copies()->Forge(victim_)) return true;
      const std::string record = absl::StrCat("one more, ", i);
      sim_->mutable_history()->AppendInvoked(record);
      AppendRecord(SessionId(0), Sequence(0), record);
      sim_->RunFor(1s);
    }
    return false;
  }
  void StartClients() {
    for (size_t i = 0; i < clients(); ++i) sim_->client(i)->Start();
  }
  // It hears that it is the one whose log differs, and stops.
  void ExpectStopped() {
    ASSERT_TRUE(sim_->RunUntil([&] { return !victim_->failure().ok(); }, 20s))
        << sim_->Report(20);
    EXPECT_TRUE(absl::IsDataLoss(victim_->failure())) << victim_->failure();
    EXPECT_TRUE(absl::StrContains(victim_->failure().message(),
                                  "isn't the same in this server's log"))
        << victim_->failure();
    EXPECT_GE(Stat("log_differing"), 1u);
  }
  // Somebody has it leave, and it joins with an empty disk.
  void ExpectGoodEndWithoutIt() {
    ASSERT_TRUE(sim_->RunUntil(
        [&] { return sim_->old_copies()->replaced() == 1; }, 20s));
    EXPECT_TRUE(Change(Join(victim_->machine())).ok());
    ExpectGoodEnd();
  }
  void PowerLostEverywhere() {
    for (MachineId m = 1; m <= sim_->server_count(); ++m) {
      SimServer* server = sim_->server(m);
      if (server->running()) server->Crash(true);
    }
  }

  SimServer* victim_ = nullptr;
};

// The leader compares what the others say of their logs, though nothing is
// appended.
TEST_F(DivergenceScenario, AFollowersAtRest) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    MakeQuiet(seed, 3);
    ASSERT_TRUE(Forge()) << seed;
    ExpectStopped();
    StartClients();
    ExpectGoodEndWithoutIt();
  }
}

// What the leader sends doesn't continue the follower's log: it isn't taken.
TEST_F(DivergenceScenario, AFollowersThatIsBehind) {
  uint64_t contradicted = 0;
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    MakeQuiet(seed, 3);
    ASSERT_TRUE(Forge()) << seed;
    victim_->Crash(true);
    StartClients();
    ASSERT_TRUE(Progress(50));
    victim_->Start();
    ExpectStopped();
    contradicted += Stat("log_contradicted");
    ExpectGoodEndWithoutIt();
  }
  EXPECT_GT(contradicted, 0u);
}

// After a power failure all logs are as long, and any server may stand first.
TEST_F(DivergenceScenario, ItIsNeverElected) {
  uint64_t withheld = 0;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    MakeQuiet(seed, 3);
    ASSERT_TRUE(Forge()) << seed;
    PowerLostEverywhere();
    victim_->Start();
    ASSERT_TRUE(sim_->RunFor(1s));
    for (MachineId m = 1; m <= 3; ++m) {
      if (!sim_->server(m)->running()) sim_->server(m)->Start();
    }
    ExpectStopped();
    withheld += Stat("log_vote_withheld");
    StartClients();
    ExpectGoodEndWithoutIt();
  }
  EXPECT_GT(withheld, 0u);
}

// The leader's own disk: when it starts again, another one leads.
TEST_F(DivergenceScenario, TheLeaders) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    MakeQuiet(seed, 3);
    victim_ = sim_->Leader();
    ASSERT_TRUE(Forge()) << seed;
    ExpectStopped();
    StartClients();
    ExpectGoodEndWithoutIt();
  }
}

// Two of three: who is wrong isn't known before the third one is there. Until
// then nobody leads, nothing is taken, and both say why.
TEST_F(DivergenceScenario, NobodyLeadsUntilAQuorumHasSpoken) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    MakeQuiet(seed, 3);
    ASSERT_TRUE(Forge()) << seed;
    PowerLostEverywhere();
    SimServer* good = sim_->server(victim_->machine() % 3 + 1);
    SimServer* third = sim_->server(good->machine() % 3 + 1);
    victim_->Start();
    good->Start();
    StartClients();
    const uint64_t before = sim_->history().acknowledged();
    ASSERT_TRUE(sim_->RunFor(5s)) << sim_->verdict().what();
    EXPECT_EQ(sim_->history().acknowledged(), before);
    EXPECT_TRUE(victim_->failure().ok()) << victim_->failure();
    EXPECT_TRUE(good->failure().ok()) << good->failure();
    EXPECT_EQ(sim_->Leader(), nullptr);
    const LogComparison& told = good->node().log_comparison();
    EXPECT_TRUE(told.DifferenceOf(victim_->id()).has_value());
    third->Start();
    ExpectStopped();
    ExpectGoodEndWithoutIt();
  }
}

}  // namespace
}  // namespace holdfast
