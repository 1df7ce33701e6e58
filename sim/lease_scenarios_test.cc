// Scenes of reads by lease. ServerChecker sees to it that nobody else leads
// while one is held, in true time, and History that no read is stale.

#include <memory>
#include <optional>

#include "absl/status/status.h"
#include "engine/base/check.h"
#include "gtest/gtest.h"
#include "sim/testing/scenario.h"

namespace holdfast {
namespace {

class LeaseScenario : public Scenario {
 protected:
  LeaseScenario() { set_leases(true); }

  // A cluster of three at work; its leader, which holds a lease.
  SimServer* MakeWithLease(uint64_t seed) {
    Make(seed, 3);
    EXPECT_TRUE(Progress(20)) << seed;
    SimServer* leader = LeaderWithLease();
    CHECK(leader != nullptr && leader->node().holds_lease());
    return leader;
  }
  SimServer* LeaderWithLease() {
    sim_->RunUntil(
        [&] {
          SimServer* leader = sim_->Leader();
          return leader != nullptr && leader->node().holds_lease();
        },
        5s);
    return sim_->Leader();
  }
  // Reads there; nothing if there is no answer in that time.
  std::optional<absl::Status> ReadAt(SimServer* server, Duration within) {
    auto answer = std::make_shared<std::optional<absl::Status>>();
    Log(server)->Read(Offset(0), 1000, ReadMode::kLinearizable,
                      [answer](absl::StatusOr<ReadResult> result) {
                        *answer = result.status();
                      });
    sim_->RunUntil([&] { return answer->has_value(); }, within);
    return *answer;
  }
  bool AnotherLeads(SimServer* than) {
    SimServer* leader = sim_->Leader();
    return leader != nullptr && leader != than;
  }
};

TEST_F(LeaseScenario, ReadsNeedNoAnswerOfOthers) {
  SimServer* leader = MakeWithLease(1);
  // Whatever comes from now on comes too late.
  Isolate(leader->machine());
  const uint64_t reads = Stat("read_by_lease");
  std::optional<absl::Status> read = ReadAt(leader, 1ms);
  ASSERT_TRUE(read.has_value());
  EXPECT_TRUE(read->ok()) << *read;
  EXPECT_GT(Stat("read_by_lease"), reads);
  sim_->network()->HealAll();
  ExpectGoodEnd();
}

TEST_F(LeaseScenario, ACutOffLeaderStopsReadingBeforeAnotherLeads) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    SimServer* old = MakeWithLease(seed);
    Isolate(old->machine());
    // Reads go on to the lease's end, and no further.
    while (!AnotherLeads(old)) {
      const bool held = old->node().holds_lease();
      std::optional<absl::Status> read = ReadAt(old, 1ms);
      const bool served = read.has_value() && read->ok();
      EXPECT_TRUE(held || !served) << seed;
      ASSERT_TRUE(sim_->RunFor(1ms)) << sim_->verdict().what();
    }
    ASSERT_TRUE(Progress(5));
    std::optional<absl::Status> read = ReadAt(old, 5s);
    ASSERT_TRUE(read.has_value());
    EXPECT_TRUE(absl::IsUnavailable(*read)) << *read;
    sim_->network()->HealAll();
    ExpectGoodEnd();
  }
}

// The clock that it read before it was stopped would let it.
TEST_F(LeaseScenario, APausedLeaderDoesntReadWhenItWakes) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    SimServer* old = MakeWithLease(seed);
    std::optional<absl::Status> read;
    Log(old)->Read(Offset(0), 1000, ReadMode::kLinearizable,
                   [&](absl::StatusOr<ReadResult> r) { read = r.status(); });
    // Before the task in which the core hears of it.
    sim_->world()->scheduler.Pause(old->process()->actor(),
                                   sim_->world()->now() + 3s);
    ASSERT_TRUE(sim_->RunUntil([&] { return AnotherLeads(old); }, 2500ms));
    ASSERT_TRUE(Progress(5));
    EXPECT_TRUE(sim_->RunUntil([&] { return read.has_value(); }, 10s));
    EXPECT_TRUE(absl::IsUnavailable(*read)) << *read;
    ExpectGoodEnd();
  }
}

TEST_F(LeaseScenario, LeadershipThatIsHandedOverTakesTheLeaseAlong) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    SimServer* old = MakeWithLease(seed);
    // Each event on the way is looked at by the checker.
    EXPECT_TRUE(Change([](DistributedLog* log, DoneFn done) {
                  log->Transfer(ServerId(), std::move(done));
                }).ok());
    EXPECT_FALSE(old->node().holds_lease());
    EXPECT_NE(LeaderWithLease(), nullptr);
    ExpectGoodEnd();
  }
}

// A majority of the voters has forgotten all, but for what is on disk.
TEST_F(LeaseScenario, FollowersThatStartAnewKeepTheirPromise) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    SimServer* old = MakeWithLease(seed);
    Isolate(old->machine());
    for (MachineId m = 1; m <= 3; ++m) {
      SimServer* server = sim_->server(m);
      if (server == old) continue;
      server->Crash(true);
      // Leases are on where the promise was made, and off afterwards.
      server->set_leases(seed % 2 == 0);
      server->Start();
    }
    EXPECT_TRUE(WaitForOtherLeader(old->machine()));
    sim_->network()->HealAll();
    ExpectGoodEnd();
  }
}

TEST_F(LeaseScenario, NoneIsHeldWhereTooFewPromise) {
  Make(1, 3);
  for (MachineId m = 1; m <= 3; ++m) {
    SimServer* server = sim_->server(m);
    server->Crash(false);
    server->set_leases(m == 1);
    server->Start();
  }
  ASSERT_TRUE(Progress(20));
  if (sim_->Leader()->machine() != 1) {
    ASSERT_TRUE(Change([](DistributedLog* log, DoneFn done) {
                  log->Transfer(ServerId(1), std::move(done));
                }).ok());
  }
  ASSERT_TRUE(Progress(20));
  EXPECT_FALSE(sim_->server(1)->node().holds_lease());
  ExpectGoodEnd();
}

}  // namespace
}  // namespace holdfast
