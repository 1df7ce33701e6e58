// Scenes in which a server's log isn't the others', and no checksum shows it:
// the last entry on its disk has become another one (OldCopies::Forge, whose
// check that the server never leads is on).

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/service/status.h"
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
  void ExpectReplaced() {
    ASSERT_TRUE(sim_->RunUntil(
        [&] { return sim_->old_copies()->replaced() == 1; }, 20s));
    EXPECT_TRUE(Change(Join(victim_->machine())).ok());
  }
  void ExpectGoodEndWithoutIt() {
    ASSERT_NO_FATAL_FAILURE(ExpectReplaced());
    ExpectGoodEnd();
  }
  // The members of whom this server's status says that their logs aren't its.
  static std::vector<ServerId> NamedBy(SimServer* server) {
    std::vector<ServerId> named;
    const wire::StatusAnswer status = DescribeStatus(server->log());
    for (const wire::MemberStatus& member : status.members()) {
      if (absl::StrContains(member.last_error(),
                            "its log isn't this server's")) {
        named.push_back(ServerId(member.server_id()));
      }
    }
    return named;
  }
  bool IsNamedByTheLeader() {
    SimServer* const leader = sim_->Leader();
    return leader != nullptr &&
           NamedBy(leader) == std::vector<ServerId>{victim_->id()};
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

// Whoever asks the leader is told which server it is, and that one alone, until
// it has joined anew.
TEST_F(DivergenceScenario, TheLeadersStatusNamesIt) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    SCOPED_TRACE(seed);
    MakeQuiet(seed, 3);
    EXPECT_TRUE(NamedBy(sim_->Leader()).empty());
    ASSERT_TRUE(Forge());
    ASSERT_TRUE(sim_->RunUntil([&] { return IsNamedByTheLeader(); }, 20s))
        << sim_->Report(20);
    ExpectStopped();
    EXPECT_TRUE(IsNamedByTheLeader());
    StartClients();
    ASSERT_NO_FATAL_FAILURE(ExpectReplaced());
    EXPECT_TRUE(sim_->RunUntil(
        [&] {
          SimServer* const leader = sim_->Leader();
          return leader != nullptr && NamedBy(leader).empty();
        },
        20s));
    ExpectGoodEnd();
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
  int told_by_both = 0;
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
    EXPECT_EQ(NamedBy(good), std::vector<ServerId>{victim_->id()});
    // If the other one has stood, too.
    if (NamedBy(victim_) == std::vector<ServerId>{good->id()}) ++told_by_both;
    third->Start();
    ExpectStopped();
    ExpectGoodEndWithoutIt();
  }
  EXPECT_GT(told_by_both, 0);
}

}  // namespace
}  // namespace holdfast
