// Scenes of storage that decays at rest, as the atlas allows it. Today's engine
// detects it (but for two bugs, below) and refuses; what it lacks is to fetch
// the entries or the checkpoint from another server, so that the server would
// start, and serve. Until then somebody restores the files, as from a mirror of
// the disk.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "engine/wal/hard_state_file.h"
#include "gtest/gtest.h"
#include "sim/testing/damage_scenario.h"

namespace holdfast {
namespace {

class DecayScenario : public DamageScenario {
 protected:
  void Begin(uint64_t seed) {
    MakeFull(seed, 3);
    sim_->DamagedServersMayStop();
    leader_ = sim_->Leader();
    victim_ = sim_->server(leader_->machine() % 3 + 1);
    segments_ = Segments(victim_);
    ASSERT_GT(segments_.size(), 3u);
  }
  // The victim, which is down, doesn't start, and names the file; the others go
  // on without it; with its files restored it comes back.
  void ExpectRefused(const std::string& file) {
    victim_->Start();
    ASSERT_TRUE(sim_->RunUntil([&] { return !victim_->failure().ok(); }, 5s))
        << file;
    EXPECT_TRUE(absl::IsDataLoss(victim_->failure())) << victim_->failure();
    EXPECT_TRUE(absl::StrContains(victim_->failure().message(), file))
        << victim_->failure();
    ASSERT_TRUE(Progress(10)) << sim_->verdict().what();
    victim_->Crash(true);
    Restore(victim_);
    ExpectGoodEnd();
  }
  // What the victim's own log has at that offset.
  absl::StatusOr<ReadResult> ReadAt(Offset offset) {
    auto result = std::make_shared<std::optional<absl::StatusOr<ReadResult>>>();
    victim_->log().Read(
        offset, 1000, ReadMode::kLocal,
        [result](absl::StatusOr<ReadResult> r) { *result = std::move(r); });
    sim_->RunUntil([&] { return result->has_value(); }, 5s);
    return result->value_or(absl::DeadlineExceededError("no answer"));
  }

  SimServer* leader_ = nullptr;
  SimServer* victim_ = nullptr;
  std::vector<Segment> segments_;  // of the victim
};

TEST_F(DecayScenario, RotBelowAMarkOfTheNewestSegmentStopsAStart) {
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    Begin(seed);
    victim_->Crash(true);
    const Segment newest = Segments(victim_).back();
    Spoil(victim_,
          Rot(victim_,
              newest.LastEntryBefore(newest.scan.marked_to).header.index));
    ExpectRefused(newest.name);
  }
}

TEST_F(DecayScenario, ZeroesInThePlaceOfASegmentsHeaderStopAStart) {
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    Begin(seed);
    const Segment& sealed = segments_[seed % (segments_.size() - 1)];
    victim_->Crash(true);
    const bool all = seed % 2 == 0;
    Spoil(victim_, Zeroes(sealed.name, 0, all ? sealed.bytes : 512));
    ExpectRefused(sealed.name);
  }
}

TEST_F(DecayScenario, AnothersBytesInThePlaceOfASegmentsStopAStart) {
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    Begin(seed);
    const Segment& sealed = segments_[1];
    victim_->Crash(true);
    Spoil(victim_, Misdirect(victim_, sealed.name, 0, segments_[2].name, 0,
                             kSegmentHeaderBytes));
    ExpectRefused(sealed.name);
  }
}

TEST_F(DecayScenario, ASegmentThatEndsEarlyStopsAStart) {
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    Begin(seed);
    const Segment& sealed = segments_[segments_.size() - 2];
    victim_->Crash(true);
    Spoil(victim_, Truncate(sealed.name, seed % 2 == 0 ? 0 : 100));
    ExpectRefused(sealed.name);
  }
}

// In the midst of a segment that a start needn't read. It shows when somebody
// reads it: they get an error, and never the bytes.
TEST_F(DecayScenario, DamagedEntriesAreNeverServed) {
  int failed_reads = 0;
  for (uint64_t seed = 1; seed <= 8; ++seed) {
    Begin(seed);
    const bool restarts = seed % 2 == 0;
    if (restarts) victim_->Crash(true);
    const Segment& s = segments_[segments_.size() / 2];
    const FoundFrame& frame = s.LastEntryBefore(s.scan.end);
    const uint64_t page = frame.position / 4096 * 4096;
    const std::vector<Damage> kinds = {
        Rot(victim_, frame.header.index), Zeroes(s.name, page, 4096),
        Misdirect(victim_, s.name, page, segments_[2].name, 4096, 4096),
        Truncate(s.name, frame.position + 100)};
    Spoil(victim_, kinds[(seed - 1) / 2]);
    if (restarts) victim_->Start();
    ASSERT_TRUE(sim_->RunFor(1s)) << sim_->verdict().what();
    if (victim_->failure().ok()) {
      const Buffer bytes =
          Bytes(leader_, FrameOf(leader_, frame.header.index).first);
      const auto there = FrameOf(leader_, frame.header.index).second;
      const absl::StatusOr<Entry> entry = DecodeEntry(bytes.Slice(
          there.position + kLogFrameHeaderBytes, there.header.body_size));
      ASSERT_TRUE(entry.ok());
      EXPECT_TRUE(absl::IsDataLoss(ReadAt(entry->header.base_offset).status()));
      ++failed_reads;
    } else {
      EXPECT_TRUE(absl::IsDataLoss(victim_->failure()));
    }
    ASSERT_TRUE(Progress(10)) << sim_->verdict().what();
    victim_->Crash(true);
    Restore(victim_);
    ExpectGoodEnd();
  }
  EXPECT_GT(failed_reads, 3);
}

TEST_F(DecayScenario, DamagedResumePointsAndWaypointsHarmNothing) {
  uint64_t found = 0;
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    Begin(seed);
    victim_->Crash(true);
    for (CheckpointKind kind :
         {CheckpointKind::kResume, CheckpointKind::kWaypoint}) {
      for (const std::string& name : Checkpoints(victim_, kind)) {
        const uint64_t size = Bytes(victim_, name).size();
        const std::vector<Damage> kinds = {
            Rot(victim_, name, size - 1), Zeroes(name, 0, size),
            Misdirect(victim_, name, 0, HardStateCopyName(0), 0, 48),
            Truncate(name, size / 2)};
        Spoil(victim_, kinds[seed - 1]);
      }
    }
    victim_->Start();
    ASSERT_TRUE(sim_->RunFor(1s));
    ASSERT_TRUE(TrimMost());
    ASSERT_TRUE(Fill());
    ASSERT_TRUE(sim_->RunUntil(
        [&] { return victim_->node().base().index > Index(0); }, 20s));
    found += Stat("waypoint_damaged");
    ExpectGoodEnd();
  }
  EXPECT_GT(found, 0u);
}

TEST_F(DecayScenario, OneCopyOfTheHardStateIsRepaired) {
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    Begin(seed);
    for (size_t which : {0, 1}) {
      victim_->Crash(true);
      const std::string name = HardStateCopyName(which);
      const std::vector<Damage> kinds = {
          Rot(victim_, name, 30), Zeroes(name, 0, kHardStateBytes),
          Misdirect(victim_, name, 0, "identity", 0, kHardStateBytes),
          Truncate(name, 47)};
      Spoil(victim_, kinds[seed - 1]);
      victim_->Start();
      ASSERT_TRUE(sim_->RunFor(1s));
      EXPECT_TRUE(victim_->node().formed());
    }
    EXPECT_GE(Stat("wal_hard_state_repaired"), 2u);
    ExpectGoodEnd();
  }
}

// Where the log has gone since the one before.
TEST_F(DecayScenario, ADamagedCheckpointStopsAStart) {
  Begin(1);
  ASSERT_TRUE(TrimMost());
  ASSERT_TRUE(Fill());
  ASSERT_TRUE(TrimMost());
  // One whose checkpoint another server has, or a later one.
  const auto newest = [](SimServer* s) {
    return Checkpoints(s, CheckpointKind::kBase).back();
  };
  for (MachineId m = 1; m <= 3; ++m) {
    if (newest(sim_->server(m)) < newest(victim_)) victim_ = sim_->server(m);
  }
  victim_->Crash(true);
  const std::string name = newest(victim_);
  Spoil(victim_, Rot(victim_, name, 60));
  ExpectRefused(name);
}

// A bug of the engine: recovery skips the body of each frame header that it
// finds behind damage. A sector with an earlier header of the same segment
// makes it skip the marks, and cut durable entries as a torn tail.
TEST_F(DecayScenario, DISABLED_AnotherPlacesBytesNeverHideTheMarks) {
  int hidden = 0;
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    Make(seed, 3);
    sim_->DamagedServersMayStop();
    ASSERT_TRUE(Progress(40));
    ASSERT_TRUE(sim_->RunFor(300ms));
    victim_ = sim_->server(sim_->Leader()->machine() % 3 + 1);
    victim_->Crash(true);
    const Segment newest = Segments(victim_).back();
    const Buffer bytes = Bytes(victim_, newest.name);
    constexpr uint64_t kSector = FileImage::kSector;
    const auto hides = [&](uint64_t from, uint64_t to) {
      Buffer copy = Buffer::Copy(bytes.view());
      std::copy_n(bytes.data() + from, kSector, copy.data_mutable() + to);
      const SegmentScan scan = ScanSegment(copy.view(), newest.header);
      return scan.end < newest.scan.marked_to && scan.end >= scan.marked_to &&
             May(victim_, Misdirect(victim_, newest.name, to, newest.name, from,
                                    kSector));
    };
    for (uint64_t to = kSegmentHeaderBytes; to + kSector <= newest.scan.end;
         to += kSector) {
      for (uint64_t from = kSegmentHeaderBytes; from < to; from += kSector) {
        if (!victim_->running() && hides(from, to)) {
          Spoil(victim_, Misdirect(victim_, newest.name, to, newest.name, from,
                                   kSector));
          ++hidden;
          victim_->Start();
        }
      }
    }
    if (!victim_->running()) continue;
    ASSERT_TRUE(sim_->RunFor(1s)) << seed << ": " << sim_->verdict().what();
    EXPECT_TRUE(absl::IsDataLoss(victim_->failure())) << seed;
  }
  EXPECT_GT(hidden, 0);
}

// Another one: the segment in which the newest resume point ends is neither
// scanned nor looked for. Without its header it is taken for one that never
// began, and removed; its entries are thought to stand in the one before.
TEST_F(DecayScenario, DISABLED_TheHeaderOfTheLastUnreadSegmentIsMissed) {
  int struck = 0;
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    Begin(seed);
    victim_->Crash(true);
    const std::string resume =
        Checkpoints(victim_, CheckpointKind::kResume).back();
    const std::optional<Index> point =
        ParseCheckpointName(CheckpointKind::kResume, resume);
    const std::vector<Segment> all = Segments(victim_);
    for (size_t i = 0; i + 1 < all.size(); ++i) {
      if (all[i].scan.seen != *point) continue;
      ++struck;
      Spoil(victim_, Rot(victim_, all[i].name, 20));
      ExpectRefused(all[i].name);
    }
  }
  EXPECT_GT(struck, 0);
}

// Each by itself, on a schedule. Servers that have found something are down for
// the rest of the run, or serve what they can.
TEST_F(DecayScenario, ScheduleDamagesDisks) {
  const struct {
    uint64_t FaultRates::*rate;
    uint64_t DamageCounts::*count;
  } kinds[] = {
      {&FaultRates::rot_ppm, &DamageCounts::rot},
      {&FaultRates::zeroes_ppm, &DamageCounts::zeroes},
      {&FaultRates::misdirect_ppm, &DamageCounts::misdirected},
      {&FaultRates::truncate_ppm, &DamageCounts::truncated},
  };
  for (const auto& kind : kinds) {
    SimulationOptions options;
    options.nodes = 5;
    options.duration = 20s;
    options.settle = false;
    options.rates = FaultRates{};
    options.rates->crash_ppm = 10'000;
    (*options.rates).*kind.rate = 40'000;
    Simulation sim(options);
    sim.DamagedServersMayStop();
    const SimulationResult result = sim.Run();
    EXPECT_TRUE(result.verdict.ok()) << result.verdict.what();
    EXPECT_GT(result.damages.*kind.count, 4u);
  }
}

}  // namespace
}  // namespace holdfast
