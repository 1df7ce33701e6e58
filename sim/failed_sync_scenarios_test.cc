// Scenes of syncs that fail of files that can be done without. Their server
// ends all the same: a device that lost those bytes says nothing of the next
// ones.

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "engine/node/identity.h"
#include "gtest/gtest.h"
#include "sim/testing/damage_scenario.h"

namespace holdfast {
namespace {

class FailedSyncScenario : public DamageScenario {
 protected:
  void Begin(uint64_t seed) {
    set_scrub(true);
    MakeFull(seed, 3);
    victim_ = sim_->server(sim_->Leader()->machine() % 3 + 1);
  }
  // From now on, of files with this in their names.
  void FailSyncsOf(absl::string_view names) {
    victim_->disk()->set_options(
        {.sync_error_ppm = 1'000'000, .sync_errors_of = std::string(names)});
  }
  // At once, with the reason; and comes back with a disk that is well again.
  void ExpectStopped(uint64_t seed, absl::string_view names) {
    ASSERT_TRUE(sim_->RunUntil([&] { return !victim_->failure().ok(); }, 60s))
        << seed << ": " << names;
    EXPECT_TRUE(victim_->StoppedByItsDisk()) << victim_->failure();
    EXPECT_TRUE(absl::StrContains(victim_->failure().message(), names))
        << victim_->failure();
    // Not one more.
    EXPECT_EQ(victim_->disk()->counts().sync_errors, 1u) << names;
    victim_->Crash(/*power_lost=*/seed % 2 == 0);
    victim_->CalmDisk();
    victim_->Start();
    ExpectGoodEnd();
  }

  SimServer* victim_ = nullptr;
};

TEST_F(FailedSyncScenario, OfAResumePointOrAWaypoint) {
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    for (const absl::string_view names : {"resume", "waypoint"}) {
      Begin(seed);
      FailSyncsOf(names);
      ASSERT_TRUE(Fill());
      ExpectStopped(seed, names);
    }
  }
}

TEST_F(FailedSyncScenario, OfTheCheckpointOfATrim) {
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    Begin(seed);
    FailSyncsOf("checkpoint");
    ASSERT_TRUE(TrimMost().ok());
    ExpectStopped(seed, "checkpoint");
  }
}

TEST_F(FailedSyncScenario, OfACheckpointThatIsMended) {
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    Begin(seed);
    ASSERT_TRUE(TrimMostEverywhere());
    const std::string name = Checkpoints(victim_, CheckpointKind::kBase).back();
    SpoilAnyway(victim_, Rot(victim_, name, 60));
    FailSyncsOf("checkpoint");
    ExpectStopped(seed, "checkpoint");
  }
}

TEST_F(FailedSyncScenario, OfAnIdentityThatIsMended) {
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    Begin(seed);
    Spoil(victim_, Rot(victim_, IdentityFile::kName, 30));
    FailSyncsOf(IdentityFile::kName);
    ExpectStopped(seed, IdentityFile::kName);
  }
}

TEST_F(FailedSyncScenario, OfAHardStateThatIsWrittenAnew) {
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    Begin(seed);
    FailSyncsOf("hardstate");
    ExpectStopped(seed, "hardstate");
  }
}

}  // namespace
}  // namespace holdfast
