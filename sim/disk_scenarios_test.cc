// Scenes of disks that report errors.

#include <cstdint>
#include <string>

#include "absl/status/status.h"
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

}  // namespace
}  // namespace holdfast
