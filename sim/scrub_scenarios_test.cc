// Scenes of damage that scrubbing finds before more of it comes: of marks, by
// which a log at rest tells where it ends, and of files that can be done
// without.

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/algorithm/container.h"
#include "gtest/gtest.h"
#include "sim/testing/damage_scenario.h"

namespace holdfast {
namespace {

class ScrubScenario : public DamageScenario {
 protected:
  void Begin(uint64_t seed) {
    set_scrub(true);
    MakeFull(seed, 3);
    victim_ = sim_->server(sim_->Leader()->machine() % 3 + 1);
  }
  // Nobody appends any more.
  void Rest() {
    for (size_t i = 0; i < clients(); ++i) sim_->client(i)->Crash();
    ASSERT_TRUE(sim_->RunFor(2s));
  }
  // The last two frames of the victim's log, whose marks are whole.
  std::vector<FoundFrame> LastMarks() {
    const std::vector<FoundFrame> frames = Segments(victim_).back().scan.frames;
    if (frames.size() < 2) return {};
    return {frames[frames.size() - 2], frames.back()};
  }
  // Of the first one, and of the second one.
  std::vector<Damage> RotOfMarks() {
    const std::string name = Segments(victim_).back().name;
    std::vector<Damage> damages;
    for (const FoundFrame& mark : LastMarks()) {
      damages.push_back(Rot(victim_, name, mark.position + 8));
    }
    return damages;
  }
  bool AwaitMarks() {
    return sim_->RunUntil(
        [this] { return victim_->WholeLog().ShowsEndTwice(Index()); }, 60s);
  }
  void ExpectMarks() {
    const std::vector<FoundFrame> marks = LastMarks();
    ASSERT_EQ(marks.size(), 2u);
    for (const FoundFrame& mark : marks) {
      ASSERT_EQ(mark.header.kind, FrameKind::kMark);
    }
  }
  // The log's last entry decays, and what tells of it: the next start misses
  // it, and the others have it.
  void ExpectTold(uint64_t seed) {
    const Segment newest = Segments(victim_).back();
    const Index last = newest.LastEntryBefore(newest.scan.end).header.index;
    const uint64_t mended = Stat("wal_entry_mended");
    victim_->Crash(/*power_lost=*/true);
    Spoil(victim_, Rot(victim_, last));
    victim_->Start();
    ASSERT_TRUE(sim_->RunUntil([&] { return victim_->node().formed(); }, 10s))
        << victim_->failure();
    EXPECT_EQ(Stat("wal_entry_mended"), mended + 1) << seed;
    EXPECT_GE(victim_->node().wal()->last_index(), last);
  }

  SimServer* victim_ = nullptr;
};

// One of them rots, is written anew, and then the other one does.
TEST_F(ScrubScenario, TheLastMarksRotOneAfterTheOther) {
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    ASSERT_NO_FATAL_FAILURE(Begin(seed));
    ASSERT_NO_FATAL_FAILURE(Rest());
    for (const size_t which : {seed % 2, 1 - seed % 2}) {
      ASSERT_NO_FATAL_FAILURE(ExpectMarks());
      const std::vector<Damage> damages = RotOfMarks();
      Spoil(victim_, damages[which]);
      EXPECT_FALSE(May(victim_, damages[1 - which]));
      ASSERT_TRUE(AwaitMarks()) << seed;
    }
    EXPECT_EQ(Stat("wal_scrub_found_damage"), 2u);
    EXPECT_EQ(Stat("wal_segment_mended"), 2u);
    EXPECT_EQ(Stat("repair_asked"), 0u);
    ASSERT_NO_FATAL_FAILURE(ExpectTold(seed));
    ExpectGoodEnd();
  }
}

// Both at once: a server that runs knows where its log ends.
TEST_F(ScrubScenario, TheLastMarksRotTogether) {
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    ASSERT_NO_FATAL_FAILURE(Begin(seed));
    ASSERT_NO_FATAL_FAILURE(Rest());
    ASSERT_NO_FATAL_FAILURE(ExpectMarks());
    const std::string name = Segments(victim_).back().name;
    const std::vector<FoundFrame> marks = LastMarks();
    SpoilAnyway(victim_, Zeroes(name, marks[0].position,
                                marks[1].end() - marks[0].position));
    ASSERT_TRUE(AwaitMarks()) << seed;
    EXPECT_EQ(Stat("wal_scrub_found_damage"), 1u);
    ASSERT_NO_FATAL_FAILURE(ExpectTold(seed));
    ExpectGoodEnd();
  }
}

// A start cuts them off behind the one that is damaged.
TEST_F(ScrubScenario, AStartFindsOneOfTheLastMarks) {
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    ASSERT_NO_FATAL_FAILURE(Begin(seed));
    ASSERT_NO_FATAL_FAILURE(Rest());
    ASSERT_NO_FATAL_FAILURE(ExpectMarks());
    victim_->Crash(/*power_lost=*/true);
    Spoil(victim_, RotOfMarks()[seed % 2]);
    victim_->Start();
    ASSERT_TRUE(AwaitMarks()) << seed;
    EXPECT_EQ(Stat("wal_scrub_found_no_marks"), 1u);
    EXPECT_EQ(Stat("wal_scrub_found_damage"), 0u);
    ASSERT_NO_FATAL_FAILURE(ExpectTold(seed));
    ExpectGoodEnd();
  }
}

// The checkpoint before the newest one, resume points, waypoints: those that
// are damaged go, and all others stay.
TEST_F(ScrubScenario, DamagedFilesThatCanBeDoneWithoutGo) {
  constexpr CheckpointKind kKinds[] = {CheckpointKind::kBase,
                                       CheckpointKind::kResume,
                                       CheckpointKind::kWaypoint};
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    ASSERT_NO_FATAL_FAILURE(Begin(seed));
    ASSERT_TRUE(TrimMostEverywhere());
    ASSERT_TRUE(Fill());
    ASSERT_TRUE(TrimMostEverywhere());
    ASSERT_TRUE(Fill());
    ASSERT_NO_FATAL_FAILURE(Rest());
    std::vector<std::string> spoiled, whole;
    for (const CheckpointKind kind : kKinds) {
      const std::vector<std::string> names = Checkpoints(victim_, kind);
      ASSERT_FALSE(names.empty());
      for (const std::string& name : names) {
        const bool needed = kind == CheckpointKind::kBase;
        const bool newest = name == names.back();
        const bool goes = needed ? !newest : seed % 2 == 0 || newest;
        (goes ? spoiled : whole).push_back(name);
      }
    }
    for (size_t i = 0; i < spoiled.size(); ++i) {
      const std::string& name = spoiled[i];
      const uint64_t size = Bytes(victim_, name).size();
      const std::vector<Damage> kinds = {
          Rot(victim_, name, size - 1), Zeroes(name, 0, size),
          Truncate(name, size / 2), Refused(name, 0, size)};
      Spoil(victim_, kinds[(i + seed) % kinds.size()]);
    }
    ASSERT_GE(spoiled.size(), 2u);
    const auto left = [&] {
      std::vector<std::string> names;
      for (const CheckpointKind kind : kKinds) {
        for (const std::string& name : Checkpoints(victim_, kind)) {
          names.push_back(name);
        }
      }
      return names;
    };
    ASSERT_TRUE(sim_->RunUntil([&] { return left() == whole; }, 60s)) << seed;
    EXPECT_EQ(Stat("scrub_found_damaged_file"), spoiled.size());
    EXPECT_TRUE(sim_->atlas()->IsWhole(victim_));
    Restart(victim_);
    ASSERT_TRUE(sim_->RunFor(1s));
    EXPECT_TRUE(victim_->node().formed()) << victim_->failure();
    EXPECT_EQ(absl::c_count(left(), whole.front()), 1);
    ExpectGoodEnd();
  }
}

}  // namespace
}  // namespace holdfast
