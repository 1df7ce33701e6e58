// Scenes of a log's end that is gone without a trace: its newest segment, with
// all that it held.

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sim/testing/damage_scenario.h"

namespace holdfast {
namespace {

class VanishedEndScenario : public DamageScenario {
 protected:
  void Begin(uint64_t seed) {
    MakeFull(seed, 3);
    victim_ = sim_->server(sim_->Leader()->machine() % 3 + 1);
  }
  // The newest segment, as if it had never been.
  void LoseNewest() {
    SpoilAnyway(victim_, Truncate(Segments(victim_).back().name, 0));
  }
  void LoseResumePoints() {
    for (const std::string& name :
         Checkpoints(victim_, CheckpointKind::kResume)) {
      SpoilAnyway(victim_, Truncate(name, 0));
    }
  }

  SimServer* victim_ = nullptr;
};

// Nothing on the disk tells that the newest segment was there, once no resume
// point does, but the leader remembers what it was told: the server stops, and
// says why.
TEST_F(VanishedEndScenario, TheLeaderMissesANewestSegment) {
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    Begin(seed);
    victim_->Crash(true);
    LoseNewest();
    LoseResumePoints();
    victim_->Start();
    EXPECT_FALSE(sim_->RunUntil([&] { return !sim_->verdict().ok(); }, 20s));
    EXPECT_TRUE(absl::IsDataLoss(victim_->failure())) << victim_->failure();
    EXPECT_THAT(std::string(victim_->failure().message()),
                testing::HasSubstr("its disk has lost what was durable"))
        << sim_->verdict().what();
    EXPECT_TRUE(victim_->node().identity().retired);
  }
}

// But a resume point says how far the log went at least. Nobody knows how far
// it went behind that, so the server doesn't start, also where it would do
// without the resume point otherwise, as a checkpoint is before it.
TEST_F(VanishedEndScenario, AResumePointTellsOfIt) {
  int told = 0;
  for (uint64_t seed = 1; seed <= 12; ++seed) {
    SCOPED_TRACE(seed);
    Begin(seed);
    ASSERT_TRUE(TrimMostEverywhere());
    ASSERT_TRUE(Fill());
    // Until one stands in the newest segment, and nobody notes a later one.
    const auto resume_point = [this] {
      const auto names = Checkpoints(victim_, CheckpointKind::kResume);
      return names.empty()
                 ? Index()
                 : *ParseCheckpointName(CheckpointKind::kResume, names.back());
    };
    const auto begins = [this] {
      return Segments(victim_).back().header.first_index();
    };
    for (int i = 0; i < 5000 && resume_point() < begins(); ++i) {
      ASSERT_TRUE(sim_->RunFor(1ms));
    }
    victim_->Crash(true);
    if (resume_point() < begins()) continue;
    ASSERT_FALSE(Checkpoints(victim_, CheckpointKind::kBase).empty());
    // What its leader remembers of it is gone, too.
    for (MachineId m = 1; m <= 3; ++m) {
      if (m != victim_->machine()) Restart(sim_->server(m));
    }
    LoseNewest();
    victim_->Start();
    EXPECT_FALSE(sim_->RunUntil([&] { return !sim_->verdict().ok(); }, 20s));
    EXPECT_TRUE(absl::IsDataLoss(victim_->failure())) << victim_->failure();
    EXPECT_THAT(std::string(victim_->failure().message()),
                testing::HasSubstr("were durable"));
    ++told;
  }
  EXPECT_GE(told, 3);
}

// On a schedule only beyond the model, where the loss is judged as any other.
TEST_F(VanishedEndScenario, ScheduleHasItVanishBeyondTheModel) {
  const auto run = [](bool beyond, uint64_t seed) {
    SimulationOptions options;
    options.seed = seed;
    options.nodes = 3;
    options.duration = 20s;
    options.settle = false;
    options.beyond_model = beyond;
    options.rates = FaultRates{};
    options.rates->power_loss_ppm = 60'000;
    options.rates->vanish_ppm = 300'000;
    Simulation sim(options);
    const SimulationResult result = sim.Run();
    EXPECT_TRUE(beyond || result.verdict.ok()) << result.verdict.what();
    return result.verdict.ok();
  };
  bool broke = false;
  for (uint64_t seed = 1; seed <= 20 && !broke; ++seed) {
    run(false, seed);
    broke = !run(true, seed);
  }
  EXPECT_TRUE(broke);
}

}  // namespace
}  // namespace holdfast
