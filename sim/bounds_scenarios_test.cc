// Scenes in which something is held back, so that queues before it fill up to
// their bounds, which all simulations check (bounds_checker.h).

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>

#include "gtest/gtest.h"
#include "sim/testing/scenario.h"

namespace holdfast {
namespace {

class BoundsScenario : public Scenario {
 protected:
  void Begin(uint64_t seed) {
    SimulationOptions options;
    options.seed = seed;
    options.nodes = 3;
    options.clients = 1;
    options.kv = false;
    // They would wonder at what this scene appends.
    options.reads = options.tails = false;
    options.rates = FaultRates{};
    options.pending_bytes_max = kRoom;
    sim_ = nullptr;
    sim_ = std::make_unique<Simulation>(options);
    sim_->StartServers();
    sim_->StartClients();
    ASSERT_TRUE(Progress(5));
  }
  // Without a session: no answer to it matters.
  void AppendBytes(SimServer* server, size_t bytes) {
    BatchBuilder batch;
    ASSERT_TRUE(batch.Add(std::string(bytes, 'x')).ok());
    Log(server)->Append(batch.Finish(SessionId(), Sequence()), {},
                        [this](const AppendOutcome& outcome) {
                          using Kind = AppendOutcome::Kind;
                          committed_ += outcome.kind == Kind::kCommitted;
                          overloaded_ += outcome.kind == Kind::kOverloaded;
                        });
  }

  static constexpr size_t kRoom = 16 << 10;
  uint64_t committed_ = 0;
  uint64_t overloaded_ = 0;
};

// Its followers commit without its disk, so that nothing waits for a commit.
TEST_F(BoundsScenario, LeaderWithASlowDiskTakesNoMoreThanItHasRoomFor) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    Begin(seed);
    SimServer* leader = sim_->Leader();
    SimDiskOptions slow;
    slow.sync_min = slow.sync_max = 500ms;
    leader->disk()->set_options(slow);
    uint64_t most = 0;
    for (int i = 0; i < 1000 && sim_->verdict().ok(); ++i) {
      if (!leader->node().is_leader()) break;
      AppendBytes(leader, 2000);
      sim_->RunFor(2ms);
      most = std::max(most, leader->node().wal()->bytes_queued());
    }
    EXPECT_TRUE(sim_->verdict().ok()) << sim_->verdict().what();
    EXPECT_GT(committed_, 5u);
    EXPECT_GT(overloaded_, 20u);
    EXPECT_GT(most, kRoom / 2);
    EXPECT_LT(most, 2 * kRoom);
  }
}

// Heartbeats overtake what waits for it, and say that it lacks that. It is sent
// again, but not again and again, while it is merely on its way.
TEST_F(BoundsScenario, SlowLinkIsNotFilledWithCopies) {
  size_t most = 0;
  uint64_t resent = 0;
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    Begin(seed);
    SimServer* leader = sim_->Leader();
    const MachineId slow = leader->machine() % 3 + 1;
    SimNetworkOptions network;
    network.window_bytes = 4 << 10;
    sim_->network()->set_options(network);
    sim_->network()->SetClogged(leader->machine(), slow, 16 << 10);
    for (int i = 0; i < 1500 && sim_->verdict().ok(); ++i) {
      AppendBytes(leader, 2000);
      sim_->RunFor(10ms);
      ASSERT_TRUE(leader->running() && leader->node().is_leader());
      leader->node().peers().ForEachQueue(
          [&](ServerId, size_t queued) { most = std::max(most, queued); });
    }
    EXPECT_TRUE(sim_->verdict().ok()) << sim_->verdict().what();
    resent += Stat("resent");
  }
  EXPECT_GT(most, size_t{30000});
  EXPECT_GT(resent, 5u);
}

// What a run's settling looks at, with a server that stays cut off, and comes
// back in time.
TEST_F(BoundsScenario, LaggardThatDoesNotCatchUpIsNotLive) {
  for (const bool comes_back : {false, true}) {
    Begin(1);
    SimServer* leader = sim_->Leader();
    Isolate(leader->machine() % 3 + 1);
    ASSERT_TRUE(Progress(50));
    Verdict verdict;
    BoundsChecker bounds(&verdict);
    CatchUp catch_up(&bounds, &verdict);
    const auto look = [&] {
      bounds.Check(*leader);
      catch_up.Look(sim_->world()->now(), *leader, [this](ServerId id) {
        return sim_->server(static_cast<MachineId>(id.value()));
      });
    };
    look();
    EXPECT_EQ(catch_up.worst().laggards, 1u);
    EXPECT_GT(catch_up.worst().bytes, 0u);
    if (comes_back) sim_->network()->HealAll();
    for (int i = 0; i < 100; ++i) {
      ASSERT_TRUE(sim_->RunFor(100ms));
      look();
    }
    EXPECT_EQ(verdict.kind(),
              comes_back ? Verdict::Kind::kOk : Verdict::Kind::kLiveness)
        << verdict.what();
    EXPECT_EQ(catch_up.worst().percent > 100, !comes_back);
    EXPECT_GT(catch_up.worst().took, Duration::zero());
  }
}

}  // namespace
}  // namespace holdfast
