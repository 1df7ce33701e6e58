// Scenes of whole files that are gone with their names, as the atlas allows it:
// nothing is lost, and nothing wrong is served.

#include <cstdint>
#include <string>
#include <vector>

#include "engine/node/identity.h"
#include "engine/wal/hard_state_file.h"
#include "gtest/gtest.h"
#include "sim/testing/damage_scenario.h"

namespace holdfast {
namespace {

class VanishScenario : public DamageScenario {
 protected:
  void Begin(uint64_t seed) {
    MakeFull(seed, 3);
    victim_ = sim_->server(sim_->Leader()->machine() % 3 + 1);
    victim_->Crash(true);
  }
  bool Has(const std::string& name) {
    return victim_->disk()->names().durable().contains(name);
  }
  // The victim, which is down.
  void ExpectGoodStart(const std::string& file) {
    victim_->Start();
    ASSERT_TRUE(sim_->RunUntil([&] { return victim_->node().formed(); }, 10s))
        << file << ": " << victim_->failure();
    ASSERT_TRUE(Progress(10)) << sim_->verdict().what();
    ExpectGoodEnd();
  }

  SimServer* victim_ = nullptr;
};

TEST_F(VanishScenario, ASegmentIsFetchedAsAWhole) {
  for (uint64_t seed = 1; seed <= 6; ++seed) {
    Begin(seed);
    const std::vector<Segment> segments = Segments(victim_);
    ASSERT_GT(segments.size(), 3u);
    const Segment& sealed = segments[seed % (segments.size() - 1)];
    const uint64_t mended = Stat("wal_segment_mended");
    Spoil(victim_, Vanish(sealed.name));
    EXPECT_FALSE(Has(sealed.name));
    victim_->Start();
    ASSERT_TRUE(sim_->RunUntil([&] { return victim_->node().formed(); }, 10s))
        << sealed.name << ": " << victim_->failure();
    EXPECT_GT(Stat("wal_segment_mended"), mended);
    EXPECT_TRUE(sim_->atlas()->IsWhole(victim_));
    ASSERT_TRUE(Progress(10)) << sim_->verdict().what();
    ExpectGoodEnd();
  }
}

// What was durable was acknowledged: a quorum had it all the same.
TEST_F(VanishScenario, WhatVanishedWasDurableOnce) {
  Begin(1);
  const Segment sealed = Segments(victim_)[1];
  const FoundFrame& frame = sealed.LastEntryBefore(sealed.scan.end);
  const Index index = frame.header.index;
  const Term term = frame.header.term;
  Spoil(victim_, Vanish(sealed.name));
  EXPECT_TRUE(victim_->HadDurably(index, term));
  EXPECT_FALSE(victim_->WholeLog().HasIntact(index, term));
  EXPECT_TRUE(victim_->WholeLog().damaged());
  ExpectGoodStart(sealed.name);
}

TEST_F(VanishScenario, OneOfTwoCopiesIsMadeAnew) {
  for (const std::string& name : {HardStateCopyName(0), HardStateCopyName(1),
                                  std::string(IdentityFile::kName),
                                  std::string(IdentityFile::kCopyName)}) {
    Begin(1);
    Spoil(victim_, Vanish(name));
    ExpectGoodStart(name);
    EXPECT_TRUE(Has(name));
  }
}

TEST_F(VanishScenario, ResumePointsAndWaypointsAreDoneWithout) {
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    Begin(seed);
    for (const CheckpointKind kind :
         {CheckpointKind::kResume, CheckpointKind::kWaypoint}) {
      const std::vector<std::string> names = Checkpoints(victim_, kind);
      EXPECT_FALSE(names.empty());
      for (const std::string& name : names) Spoil(victim_, Vanish(name));
    }
    ExpectGoodStart("resume points and waypoints");
  }
}

// Where the log is there from its first entry, as if nothing had been trimmed
// yet.
TEST_F(VanishScenario, ACheckpointIsMadeAnew) {
  int made = 0;
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    MakeFull(seed, 3);
    victim_ = sim_->Leader();
    ASSERT_TRUE(TrimUntilItHasACheckpoint(
        victim_, Offset(sim_->history().established().value() / 2)));
    victim_->Crash(true);
    // Its first segment may be gone already.
    if (Segments(victim_).front().header.previous.index > Index(0)) continue;
    ++made;
    const std::string name = Checkpoints(victim_, CheckpointKind::kBase).back();
    Spoil(victim_, Vanish(name));
    ExpectGoodStart(name);
  }
  EXPECT_GT(made, 2);
}

// --- What doesn't vanish ---

TEST_F(VanishScenario, NothingOfWhichNothingElseTells) {
  Begin(1);
  EXPECT_FALSE(May(victim_, Vanish(Segments(victim_).back().name)));
}

// Its log is gone up to there, so a start would look for its beginning.
TEST_F(VanishScenario, NotACheckpointThatTheLogBeginsBehind) {
  set_kept_for_laggards(0);
  Begin(1);
  victim_->Start();
  ASSERT_TRUE(sim_->RunUntil([&] { return victim_->node().formed(); }, 10s));
  ASSERT_TRUE(TrimMostEverywhere());
  ASSERT_TRUE(sim_->RunUntil(
      [&] {
        return Segments(victim_).front().header.previous.index > Index(0);
      },
      20s));
  // Nothing is being removed any more.
  ASSERT_TRUE(sim_->RunFor(1s));
  victim_->Crash(true);
  const std::vector<std::string> names =
      Checkpoints(victim_, CheckpointKind::kBase);
  ASSERT_EQ(names.size(), 1u);
  EXPECT_FALSE(May(victim_, Vanish(names[0])));
}

TEST_F(VanishScenario, NotBothOfTwoCopies) {
  Begin(1);
  Spoil(victim_, Vanish(HardStateCopyName(0)));
  EXPECT_FALSE(May(victim_, Vanish(HardStateCopyName(1))));
  Spoil(victim_, Vanish(IdentityFile::kCopyName));
  EXPECT_FALSE(May(victim_, Vanish(IdentityFile::kName)));
}

TEST_F(VanishScenario, NothingThatIsOpen) {
  Begin(1);
  const std::string sealed = Segments(victim_)[1].name;
  EXPECT_TRUE(May(victim_, Vanish(sealed)));
  victim_->Start();
  ASSERT_TRUE(sim_->RunUntil([&] { return victim_->node().formed(); }, 10s));
  EXPECT_FALSE(May(victim_, Vanish(sealed)));
}

TEST_F(VanishScenario, ScheduleHasFilesVanish) {
  SimulationOptions options;
  options.seed = 1;
  options.nodes = 5;
  options.duration = 20s;
  options.settle = false;
  options.rates = FaultRates{};
  options.rates->crash_ppm = 100'000;
  RunWith(options,
          {&FaultRates::vanish_ppm, 900'000,
           [](const SimulationResult& r) { return r.damages.vanished; }});
}

}  // namespace
}  // namespace holdfast
