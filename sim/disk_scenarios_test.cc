// Scenes of disks that report errors, are slow, hang, or forget what they were
// to write.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "gtest/gtest.h"
#include "sim/testing/scenario.h"

namespace holdfast {
namespace {

constexpr uint64_t kAlways = 1'000'000;  // ppm

class DiskScenario : public Scenario {
 protected:
  void Begin(uint64_t seed, uint32_t nodes) {
    Make(seed, nodes);
    ASSERT_TRUE(Progress(20));
  }
  // It stops by itself within a moment, and says why.
  void ExpectStops(SimServer* server, absl::string_view why) {
    ASSERT_TRUE(sim_->RunUntil([&] { return !server->failure().ok(); }, 2s));
    EXPECT_TRUE(absl::StrContains(server->failure().message(), why))
        << server->failure();
  }
  // With a disk that is well again.
  void StartAgain(SimServer* server, bool power_lost) {
    server->Crash(power_lost);
    server->CalmDisk();
    server->Start();
  }
};

TEST_F(DiskScenario, LeaderStopsWhenAWriteFailsAndLosesNothing) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    Begin(seed, 3);
    SimServer* leader = sim_->Leader();
    leader->disk()->set_options({.write_error_ppm = kAlways});
    ExpectStops(leader, kDeviceError);
    ASSERT_TRUE(WaitForOtherLeader(leader->machine()));
    ASSERT_TRUE(Progress(20));
    StartAgain(leader, /*power_lost=*/seed % 2 == 0);
    ExpectGoodEnd();
  }
}

// What the page cache shows afterwards isn't on the device, and no sync will
// bring it there: the next start must write it anew before it counts.
TEST_F(DiskScenario, WhatAFailedSyncLeavesInTheCacheDoesNotCount) {
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    Begin(seed, 1);  // nobody else has a copy
    SimServer* server = sim_->server(1);
    server->disk()->set_options({.sync_error_ppm = kAlways});
    ExpectStops(server, kDeviceError);
    StartAgain(server, /*power_lost=*/false);
    ASSERT_TRUE(Progress(5)) << sim_->verdict().what();
    server->Crash(/*power_lost=*/true);
    server->Start();
    ExpectGoodEnd();
  }
}

// A start says what it can't read, rather than that bytes are gone.
TEST_F(DiskScenario, UnreadableFilesStopAStartAndNothingIsLost) {
  Begin(1, 3);
  SimServer* server = sim_->server(1);
  for (int i = 0; i < 50; ++i) {
    server->Crash(false);
    server->disk()->set_options({.read_error_ppm = 100'000});
    server->Start();
    ASSERT_TRUE(sim_->RunFor(100ms)) << sim_->verdict().what();
  }
  EXPECT_GT(server->disk()->counts().read_errors, 20u);
  StartAgain(server, false);
  ExpectGoodEnd();
}

// Now and then an operation takes up to 100 ms, on all disks.
TEST_F(DiskScenario, SlowOperationsCostNoLeadership) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    Begin(seed, 3);
    SimServer* leader = sim_->Leader();
    const Term term = leader->node().core()->term();
    for (MachineId m = 1; m <= 3; ++m) {
      sim_->server(m)->disk()->set_options({.slow_ppm = 100'000});
    }
    const uint64_t before = sim_->history().acknowledged();
    ASSERT_TRUE(sim_->RunFor(60s));
    EXPECT_GT(sim_->history().acknowledged(), before + 50);
    EXPECT_GT(Stat("happened_slow_disk"), 20u);
    EXPECT_EQ(sim_->Leader(), leader);
    EXPECT_EQ(leader->node().core()->term(), term);
    ExpectGoodEnd();
  }
}

// Neither reads nor writes of a follower end, and the third one is gone. Its
// loop goes on: the leader hears of its quorum, and clients are answered; only
// nothing is committed.
TEST_F(DiskScenario, ADiskThatHangsHoldsUpAppendsAndNothingElse) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    Begin(seed, 3);
    SimServer* leader = sim_->Leader();
    SimServer* hung = sim_->server(leader->machine() % 3 + 1);
    SimServer* third = sim_->server(hung->machine() % 3 + 1);
    third->Crash(false);
    ASSERT_TRUE(Progress(20));
    const Term term = leader->node().core()->term();
    hung->HangDisk(8s, /*all=*/true);
    ASSERT_TRUE(sim_->RunFor(1s));
    const uint64_t before = sim_->history().acknowledged();
    ASSERT_TRUE(sim_->RunFor(3s));
    EXPECT_EQ(sim_->history().acknowledged(), before);
    EXPECT_TRUE(Ask(hung, [](DistributedLog* log, DoneFn done) {
                  log->Read(log->committed_end(), 1000, ReadMode::kLinearizable,
                            [done = std::move(done)](
                                absl::StatusOr<ReadResult> read) mutable {
                              done(read.status());
                            });
                }).ok());
    EXPECT_EQ(sim_->history().acknowledged(), before);
    EXPECT_GT(hung->disk()->BusyUntil(), sim_->world()->now());
    EXPECT_EQ(sim_->Leader(), leader);
    EXPECT_EQ(leader->node().core()->term(), term);
    hung->MendDisk();
    ASSERT_TRUE(Progress(20));
    EXPECT_EQ(sim_->Leader(), leader);
    ExpectGoodEnd();
  }
}

TEST_F(DiskScenario, ReadsThatHangHoldUpOnlyWhoReads) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    Begin(seed, 3);
    // More than a server has in memory.
    ASSERT_TRUE(Fill() && Fill());
    SimServer* leader = sim_->Leader();
    const Term term = leader->node().core()->term();
    leader->disk()->set_options({.read_min = 60s, .read_max = 60s});
    const auto read = std::make_shared<std::optional<absl::Status>>();
    leader->log().Read(
        leader->log().first_offset(), 1000, ReadMode::kLocal,
        [read](absl::StatusOr<ReadResult> r) { *read = r.status(); });
    ASSERT_TRUE(Progress(20));
    ASSERT_TRUE(sim_->RunFor(5s));
    EXPECT_FALSE(read->has_value());
    EXPECT_EQ(sim_->Leader(), leader);
    EXPECT_EQ(leader->node().core()->term(), term);
    leader->disk()->set_options({});
    ASSERT_TRUE(sim_->RunUntil([&] { return read->has_value(); }, 120s));
    EXPECT_TRUE((*read)->ok()) << **read;
    ExpectGoodEnd();
  }
}

// Each by itself, as often as the cluster bears it.
TEST_F(DiskScenario, ScheduleSpoilsDisks) {
  const ScheduledFault kinds[] = {
      {&FaultRates::read_error_ppm, 20'000,
       [](const SimulationResult& r) { return r.disks.read_errors; }},
      {&FaultRates::write_error_ppm, 2'000,
       [](const SimulationResult& r) { return r.disks.write_errors; }},
      {&FaultRates::sync_error_ppm, 2'000,
       [](const SimulationResult& r) { return r.disks.sync_errors; }},
  };
  for (const ScheduledFault& kind : kinds) {
    const SimulationResult result = RunWith(CrashesAndTrims(), kind);
    // What can't be read is read again, or around.
    if (kind.rate != &FaultRates::read_error_ppm) {
      EXPECT_GT(result.faults.started_again, 0u);
    }
    EXPECT_GT(result.acknowledged, 1000u);
  }
}

// Likewise; nobody ends for it.
TEST_F(DiskScenario, ScheduleHoldsUpDisks) {
  const ScheduledFault kinds[] = {
      {&FaultRates::slow_disk_ppm, 30'000,
       [](const SimulationResult& r) { return r.disks.slow; }},
      {&FaultRates::hang_disk_ppm, 60'000,
       [](const SimulationResult& r) { return r.disks.held_up; }},
  };
  for (const ScheduledFault& kind : kinds) {
    const SimulationResult result = RunWith(CrashesAndTrims(), kind);
    EXPECT_EQ(result.faults.started_again, 0u);
    EXPECT_GT(result.acknowledged, 100u);
  }
}

// What becomes of that which a process had under way when it ended, or hadn't
// synced when the power failed: each by itself, and always.
TEST_F(DiskScenario, ScheduleLosesWhatIsNotDurable) {
  const struct {
    uint64_t FaultRates::*rate;
    uint64_t SimDiskCounts::*count;
  } kinds[] = {
      {&FaultRates::drop_in_flight_ppm, &SimDiskCounts::dropped_in_flight},
      {&FaultRates::cut_in_flight_ppm, &SimDiskCounts::cut_in_flight},
      {&FaultRates::lose_write_ppm, &SimDiskCounts::lost_writes},
      {&FaultRates::tear_ppm, &SimDiskCounts::torn_writes},
      {&FaultRates::lose_name_ppm, &SimDiskCounts::lost_names},
  };
  for (const auto& kind : kinds) {
    SimulationOptions options = CrashesAndTrims();
    options.duration = 20s;
    options.rates->crash_in_io_ppm = 100'000;
    for (const auto& each : kinds) (*options.rates).*each.rate = 0;
    (*options.rates).*kind.rate = kAlways;
    // Names are seldom under way.
    uint64_t count = 0;
    for (options.seed = 1; options.seed <= 10 && count == 0; ++options.seed) {
      Simulation sim(options);
      const SimulationResult result = sim.Run();
      EXPECT_TRUE(result.verdict.ok()) << result.verdict.what();
      EXPECT_GT(result.faults.crashes_in_io, 10u);
      count += result.disks.*kind.count;
    }
    EXPECT_GT(count, 0u);
  }
}

}  // namespace
}  // namespace holdfast
