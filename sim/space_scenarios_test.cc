// Scenes of disks that are full, and of logs that may not become longer.

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "gtest/gtest.h"
#include "sim/testing/scenario.h"

namespace holdfast {
namespace {

class SpaceScenario : public Scenario {
 protected:
  // With a log of several segments.
  void Begin(uint64_t seed, uint32_t nodes) {
    set_kept_for_laggards(0);
    // More than what may be on its way when a disk is found to be full.
    set_segment_bytes(128 << 10);
    // For some starts: each begins a segment.
    set_reserve_bytes(256 << 10);
    Make(seed, nodes);
    ASSERT_TRUE(Fill());
  }
  static bool IsShort(SimServer* server) {
    return server->running() && server->node().formed() &&
           server->node().disk_space().is_short();
  }
  // There is hardly any room left, and clients append until it says so.
  void FillUp(SimServer* server) {
    server->FillDisk(1000);
    ASSERT_TRUE(sim_->RunUntil([&] { return IsShort(server); }, 60s));
  }
  // What clients were promised before is still in the pipes for a moment.
  void ExpectNoProgress(Duration length) {
    ASSERT_TRUE(sim_->RunFor(2s));
    const uint64_t before = sim_->history().acknowledged();
    ASSERT_TRUE(sim_->RunFor(length));
    EXPECT_EQ(sim_->history().acknowledged(), before);
  }
  void ExpectRefusal(SimServer* leader, absl::string_view why) {
    std::optional<AppendOutcome> outcome;
    Append(leader, SessionId(0), Sequence(0), &outcome);
    ASSERT_TRUE(sim_->RunUntil([&] { return outcome.has_value(); }, 5s));
    EXPECT_EQ(outcome->kind, AppendOutcome::Kind::kOverloaded);
    EXPECT_EQ(outcome->reason, AppendOutcome::Reason::kNoSpace);
    EXPECT_TRUE(absl::StrContains(outcome->message, why)) << outcome->message;
  }
  void ExpectNobodyStopped() {
    for (MachineId m = 1; m <= sim_->server_count(); ++m) {
      EXPECT_TRUE(sim_->server(m)->failure().ok())
          << m << ": " << sim_->server(m)->failure();
    }
  }
};

TEST_F(SpaceScenario, AFullLeaderRefusesRecordsUntilThereIsRoom) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    Begin(seed, 3);
    SimServer* leader = sim_->Leader();
    FillUp(leader);
    const Term term = leader->node().core()->term();
    ExpectNoProgress(10s);
    EXPECT_GT(Stat("log_no_space"), 0u);
    ExpectRefusal(leader, "disk is full");
    // It leads, and answers all else.
    EXPECT_EQ(sim_->Leader(), leader);
    EXPECT_EQ(leader->node().core()->term(), term);
    EXPECT_TRUE(Ask(leader, [](DistributedLog* log, DoneFn done) {
                  log->Read(log->committed_end(), 1000, ReadMode::kLinearizable,
                            [done = std::move(done)](
                                absl::StatusOr<ReadResult> read) mutable {
                              done(read.status());
                            });
                }).ok());
    leader->EmptyDisk();
    ASSERT_TRUE(Progress(20));
    ExpectNobodyStopped();
    EXPECT_EQ(leader->boots(), 1u);
    ExpectGoodEnd();
  }
}

// Elections, a trim and its checkpoint go on with what is kept for them, and
// the trim makes room.
TEST_F(SpaceScenario, WhenAllDisksAreFullATrimMakesRoom) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    Begin(seed, 3);
    ASSERT_TRUE(Fill());  // enough to trim
    for (MachineId m = 1; m <= 3; ++m) sim_->server(m)->FillDisk(500);
    ASSERT_TRUE(sim_->RunUntil([&] { return Stat("log_no_space") > 0; }, 60s));
    for (int i = 0; i < 3; ++i) {
      SimServer* leader = sim_->Leader();
      leader->Crash(/*power_lost=*/i == 1);
      ASSERT_TRUE(WaitForOtherLeader(leader->machine()));
      leader->Start();
      ASSERT_TRUE(sim_->RunUntil(
          [&] {
            SimServer* next = sim_->Leader();
            return next != nullptr &&
                   next->node().core()->commit() ==
                       next->node().core()->trail().last_index();
          },
          20s));
    }
    ASSERT_TRUE(TrimMost().ok());
    ASSERT_TRUE(Progress(20)) << sim_->Report(20);
    ExpectNobodyStopped();
    EXPECT_GT(Stat("log_prefix_dropped"), 0u);
    ExpectGoodEnd();
  }
}

// It has a vote and no more records, and disturbs nobody.
TEST_F(SpaceScenario, OneFullFollowerStopsNobody) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    Begin(seed, 3);
    SimServer* leader = sim_->Leader();
    SimServer* follower = sim_->server(leader->machine() % 3 + 1);
    FillUp(follower);
    const Term term = leader->node().core()->term();
    ASSERT_TRUE(Fill());
    ASSERT_TRUE(sim_->RunFor(5s));
    EXPECT_EQ(leader->node().core()->term(), term);
    EXPECT_GT(Stat("disk_records_refused"), 0u);
    EXPECT_LT(follower->node().tail().last().index, leader->node().commit());
    // It counts when the third one is gone, though not for new records.
    SimServer* third = sim_->server(follower->machine() % 3 + 1);
    third->Crash(false);
    ASSERT_TRUE(sim_->RunFor(2s));
    third->Start();
    follower->EmptyDisk();
    ASSERT_TRUE(sim_->RunUntil(
        [&] { return follower->node().commit() == leader->node().commit(); },
        20s));
    ExpectNobodyStopped();
    ExpectGoodEnd();
  }
}

// Without it the others went on, and trimmed the log behind records that it has
// no room for. So it hears of the trim, which it can't store, from its leader.
TEST_F(SpaceScenario, ATrimHelpsAServerThatIsFullAlone) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    Begin(seed, 3);
    SimServer* leader = sim_->Leader();
    SimServer* follower = sim_->server(leader->machine() % 3 + 1);
    FillUp(follower);
    const Offset has = follower->log().committed_end();
    ASSERT_TRUE(Fill());
    ASSERT_LT(follower->log().committed_end(), leader->log().committed_end());
    // Less than it has: its leader's log goes back to what it lacks.
    ASSERT_TRUE(Trim(Offset(has.value() - has.value() / 8)).ok());
    ASSERT_TRUE(sim_->RunUntil(
        [&] { return follower->node().commit() == leader->node().commit(); },
        60s))
        << sim_->Report(20);
    EXPECT_GT(Stat("log_trim_heard"), 0u);
    EXPECT_EQ(Stat("log_restored"), 0u);
    ExpectNobodyStopped();
    ExpectGoodEnd();
  }
}

// The third one is away: nothing is committed without the one that is full, so
// the leader must not go on taking records, and what makes room gets through.
TEST_F(SpaceScenario, AFullFollowerThatIsNeededTakesWhatMakesRoom) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    Begin(seed, 3);
    SimServer* leader = sim_->Leader();
    SimServer* follower = sim_->server(leader->machine() % 3 + 1);
    SimServer* third = sim_->server(follower->machine() % 3 + 1);
    FillUp(follower);
    third->Crash(false);
    ASSERT_TRUE(sim_->RunUntil([&] { return Stat("log_no_space") > 0; }, 60s));
    ExpectNoProgress(10s);
    ASSERT_TRUE(TrimMost().ok()) << sim_->Report(20);
    ASSERT_TRUE(Progress(20));
    third->Start();
    ExpectNobodyStopped();
    ExpectGoodEnd();
  }
}

// It led, and has filled its disk with entries that nobody else has: they are
// cut, with what is kept for that.
TEST_F(SpaceScenario, AFullServerCutsItsLog) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    Begin(seed, 3);
    SimServer* old = sim_->Leader();
    Isolate(old->machine());
    old->FillDisk(1000);
    for (int i = 0; i < 60; ++i) {
      std::string record = absl::StrCat("alone-", i);
      record.resize(4 << 10, 'x');
      sim_->mutable_history()->AppendInvoked(record);
      BatchBuilder batch;
      ASSERT_TRUE(batch.Add(record).ok());
      old->log().Append(batch.Finish(SessionId(0), Sequence(0)), {},
                        [](AppendOutcome) {});
    }
    ASSERT_TRUE(sim_->RunUntil([&] { return IsShort(old); }, 1s));
    ASSERT_TRUE(WaitForOtherLeader(old->machine()));
    EXPECT_EQ(Stat("wal_suffix_cut"), 0u);
    sim_->network()->HealAll();
    bool given_up = false;
    for (int i = 0; old->node().wal()->stats().suffixes_cut == 0; ++i) {
      ASSERT_LT(i, 200'000) << seed;
      ASSERT_TRUE(sim_->RunFor(100us));
      given_up = given_up || old->node().disk_space().given_up();
    }
    EXPECT_TRUE(given_up) << seed;
    old->EmptyDisk();
    ASSERT_TRUE(Progress(20));
    ExpectNobodyStopped();
    ExpectGoodEnd();
  }
}

TEST_F(SpaceScenario, FullFollowersMakeTheLeaderRefuse) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    Begin(seed, 3);
    SimServer* leader = sim_->Leader();
    for (MachineId m = 1; m <= 3; ++m) {
      if (m != leader->machine()) sim_->server(m)->FillDisk(1000);
    }
    ASSERT_TRUE(sim_->RunUntil([&] { return Stat("log_no_space") > 0; }, 60s));
    EXPECT_FALSE(IsShort(leader));
    ExpectNoProgress(5s);
    EXPECT_EQ(sim_->Leader(), leader);
    ExpectRefusal(leader, "too many servers");
    for (MachineId m = 1; m <= 3; ++m) sim_->server(m)->EmptyDisk();
    ASSERT_TRUE(Progress(20));
    ExpectNobodyStopped();
    ExpectGoodEnd();
  }
}

TEST_F(SpaceScenario, AServerStartsOnAFullDisk) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    Begin(seed, 1);
    SimServer* server = sim_->server(1);
    FillUp(server);
    ExpectNoProgress(2s);
    server->Crash(/*power_lost=*/seed % 2 == 0);
    server->Start();
    ASSERT_TRUE(sim_->RunUntil([&] { return sim_->Leader() == server; }, 20s))
        << server->failure();
    ASSERT_TRUE(TrimMost().ok());
    ASSERT_TRUE(Progress(20));
    ExpectNobodyStopped();
    ExpectGoodEnd();
  }
}

TEST_F(SpaceScenario, ALogAsLongAsItMayBecomeIsTrimmed) {
  set_log_bytes_max(400 << 10);
  set_kept_for_laggards(0);
  set_segment_bytes(64 << 10);
  Make(1, 3);
  EXPECT_FALSE(Fill());  // it is longer than that
  ASSERT_TRUE(sim_->RunUntil([&] { return Stat("log_no_space") > 5; }, 60s));
  for (MachineId m = 1; m <= 3; ++m) {
    EXPECT_LE(sim_->server(m)->node().wal()->bytes(), uint64_t{450} << 10);
  }
  ASSERT_TRUE(TrimMost().ok());
  ASSERT_TRUE(Progress(20));
  ExpectGoodEnd();
}

// As often as the cluster bears it; nobody stops for it.
TEST_F(SpaceScenario, ScheduleFillsDisks) {
  const SimulationResult result =
      RunWith(CrashesAndTrims(),
              {&FaultRates::full_disk_ppm, 60'000,
               [](const SimulationResult& r) { return r.disks.found_full; }});
  EXPECT_EQ(result.faults.started_again, 0u);
  EXPECT_GT(result.acknowledged, 1000u);
  EXPECT_GT(result.stats.at("disk_shortage"), 10u);
}

}  // namespace
}  // namespace holdfast
