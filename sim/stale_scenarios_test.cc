// Scenes of writes that a device took for done and never did, or did elsewhere:
// what is read there is what stood there before.

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/base/random.h"
#include "engine/wal/entry.h"
#include "engine/wal/hard_state_file.h"
#include "gtest/gtest.h"
#include "sim/testing/damage_scenario.h"

namespace holdfast {
namespace {

class StaleScenario : public DamageScenario {
 protected:
  void Begin(uint64_t seed) {
    MakeFull(seed, 3);
    victim_ = sim_->server(sim_->Leader()->machine() % 3 + 1);
    victim_->Crash(true);
  }
  // As pages of the victim's file were before they were overwritten.
  std::vector<Damage> Stale(const std::string& name) {
    std::vector<Damage> all;
    for (const FileImage::Earlier& page :
         victim_->disk()->names().durable().at(name)->earlier()) {
      all.push_back({.kind = DamageKind::kStale,
                     .file = name,
                     .from = page.from,
                     .bytes = page.bytes});
    }
    return all;
  }
  HardStateCopy HardStateAt(size_t which) {
    const Buffer bytes = Bytes(victim_, HardStateCopyName(which));
    absl::StatusOr<HardStateCopy> copy =
        DecodeHardStateCopy(bytes.view().substr(0, kHardStateBytes));
    EXPECT_TRUE(copy.ok()) << copy.status();
    return copy.value_or(HardStateCopy{});
  }
  // By which a segment that has a successor loses this entry.
  struct Loss {
    Damage damage;
    Entry entry;
  };
  std::optional<Loss> FindLoss() {
    std::vector<Segment> segments = Segments(victim_);
    segments.pop_back();
    for (const Segment& segment : segments) {
      for (const Damage& damage : Stale(segment.name)) {
        if (!May(victim_, damage)) continue;
        for (const FoundFrame& frame : segment.scan.frames) {
          if (frame.header.kind != FrameKind::kEntry ||
              frame.position < damage.from ||
              frame.position + kLogFrameHeaderBytes > damage.end()) {
            continue;
          }
          // It wasn't there yet.
          if (damage.bytes.view()[frame.position - damage.from] != '\0') {
            continue;
          }
          absl::StatusOr<Entry> entry =
              DecodeEntry(Bytes(victim_, segment.name)
                              .Slice(frame.position + kLogFrameHeaderBytes,
                                     frame.header.body_size));
          EXPECT_TRUE(entry.ok()) << entry.status();
          if (entry.ok() && entry->header.count > 0) {
            return Loss{damage, *std::move(entry)};
          }
        }
      }
    }
    return std::nullopt;
  }

  SimServer* victim_ = nullptr;  // it is down
};

TEST_F(StaleScenario, AnEarlierCopyOfTheHardStateIsWrittenAnew) {
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    Begin(seed);
    for (const size_t which : {0, 1}) {
      const HardStateCopy before = HardStateAt(which);
      const std::vector<Damage> stale = Stale(HardStateCopyName(which));
      ASSERT_EQ(stale.size(), 1u);
      Spoil(victim_, stale[0]);
      EXPECT_LT(HardStateAt(which).sequence, before.sequence);
      victim_->Start();
      ASSERT_TRUE(sim_->RunFor(1s)) << sim_->verdict().what();
      ASSERT_TRUE(victim_->node().formed());
      EXPECT_GE(victim_->node().core()->term(), before.state.term);
      victim_->Crash(true);
      EXPECT_GT(HardStateAt(which).sequence, before.sequence);
    }
    EXPECT_GE(Stat("wal_hard_state_repaired"), 2u);
    ExpectGoodEnd();
  }
}

// A server that votes has been told of the vote by both copies, but for one
// that reads as it was before.
TEST_F(StaleScenario, WhoHasAnEarlierCopyVotesOn) {
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    Begin(seed);
    victim_->Start();
    ASSERT_TRUE(sim_->RunFor(1s));
    ASSERT_TRUE(victim_->node().formed());
    const std::vector<Damage> stale = Stale(HardStateCopyName(0));
    ASSERT_EQ(stale.size(), 1u);
    Spoil(victim_, stale[0]);
    // Of the others only one is left.
    SimServer* const leader = sim_->Leader();
    ASSERT_NE(leader, victim_);
    leader->Crash(true);
    ASSERT_TRUE(WaitForOtherLeader(leader->machine()));
    ASSERT_TRUE(Progress(10)) << sim_->verdict().what();
    EXPECT_EQ(HardStateAt(0).sequence, HardStateAt(1).sequence);
    ExpectGoodEnd();
  }
}

TEST_F(StaleScenario, OneCopyOfTheLastPromiseStays) {
  Begin(1);
  const std::string copy[] = {HardStateCopyName(0), HardStateCopyName(1)};
  Spoil(victim_, Stale(copy[0])[0]);
  EXPECT_FALSE(May(victim_, Stale(copy[1])[0]));
  EXPECT_FALSE(May(victim_, Rot(victim_, copy[1], 30)));
  EXPECT_TRUE(May(victim_, Rot(victim_, copy[0], 30)));
}

TEST_F(StaleScenario, WhatASegmentForgotIsFetched) {
  int struck = 0;
  for (uint64_t seed = 1; seed <= 8; ++seed) {
    Begin(seed);
    const std::optional<Loss> loss = FindLoss();
    if (!loss.has_value()) continue;
    ++struck;
    Spoil(victim_, loss->damage);
    victim_->Start();
    ASSERT_TRUE(sim_->RunFor(1s)) << sim_->verdict().what();
    const absl::StatusOr<ReadResult> read =
        ReadAt(victim_, loss->entry.header.base_offset);
    ASSERT_TRUE(read.ok()) << seed << ": " << read.status();
    EXPECT_EQ(read->batches.front().payload.view(), loss->entry.payload.view());
    EXPECT_GT(Stat("wal_segment_mended"), 0u);
    ASSERT_TRUE(Progress(10)) << sim_->verdict().what();
    ExpectGoodEnd();
  }
  EXPECT_GT(struck, 2);
}

// What a misdirected write leaves as it was is what it has put elsewhere.
TEST_F(StaleScenario, AMisdirectedWriteIsMissingInItsOwnPlace) {
  Begin(1);
  const NameTable& disk = victim_->disk()->names();
  int drawn = 0;
  int missing_writes = 0;
  for (uint64_t i = 1; i <= 200; ++i) {
    const uint64_t value = Mix64(i);
    const auto damage = DrawDamage(DamageKind::kMisdirect, value, 0, disk);
    if (!damage.has_value() || damage->kind != DamageKind::kMisdirect) continue;
    ++drawn;
    const auto missing = DrawMissing(value, 0, disk);
    if (!missing.has_value()) continue;
    ++missing_writes;
    EXPECT_EQ(missing->kind, DamageKind::kStale);
    const Buffer there = Bytes(victim_, missing->file);
    const size_t size = std::min(damage->bytes.size(), missing->bytes.size());
    EXPECT_EQ(damage->bytes.view().substr(0, size),
              there.view().substr(missing->from, size));
    EXPECT_NE(missing->bytes.view(),
              there.view().substr(missing->from, missing->bytes.size()));
  }
  EXPECT_GT(missing_writes, drawn / 5);
  EXPECT_LT(missing_writes, drawn);
}

TEST_F(StaleScenario, BothPlacesOfAMisdirectedWriteAreRepaired) {
  int struck = 0;
  for (uint64_t seed = 1; seed <= 8; ++seed) {
    Begin(seed);
    StorageDecay* const decay = sim_->decay();
    for (uint64_t i = 0; i < 12; ++i) {
      decay->Strike(victim_, DamageKind::kMisdirect, Mix64(100 * seed + i));
      if (decay->counts().misdirected_stale > 0) break;
    }
    struck += static_cast<int>(decay->counts().misdirected_stale);
    victim_->Start();
    ASSERT_TRUE(sim_->RunUntil([&] { return victim_->node().formed(); }, 10s))
        << seed << ": " << victim_->failure();
    ASSERT_TRUE(Progress(10)) << sim_->verdict().what();
    ExpectGoodEnd();
  }
  EXPECT_GT(struck, 2);
}

TEST_F(StaleScenario, ScheduleMakesBlocksStale) {
  SimulationOptions options;
  options.seed = 1;
  options.nodes = 5;
  options.duration = 20s;
  options.settle = false;
  options.rates = FaultRates{};
  options.rates->crash_ppm = 10'000;
  RunWith(options, {&FaultRates::stale_ppm, 400'000,
                    [](const SimulationResult& r) { return r.damages.stale; }});
}

// --- What the disk remembers ---

TEST(EarlierPagesTest, AreThoseBeforeTheLastSync) {
  FileImage file(0);
  const auto write = [&file](uint64_t number, uint64_t at, const char* text) {
    file.Write(number, at, {Buffer::Copy(text)});
  };
  write(1, 0, "one");
  file.SyncBefore(2);
  EXPECT_TRUE(file.earlier().empty());
  write(2, 0, "two");
  write(3, 3, "!");
  EXPECT_TRUE(file.earlier().empty());
  file.SyncBefore(4);
  ASSERT_EQ(file.earlier().size(), 1u);
  EXPECT_EQ(file.earlier()[0].from, 0u);
  EXPECT_EQ(file.earlier()[0].bytes.view(), "one");
  // Of no more than two pages.
  write(4, 5000, "x");
  write(5, 9000, "y");
  file.SyncBefore(6);
  write(6, 5001, "x");
  write(7, 9001, "y");
  file.SyncBefore(8);
  ASSERT_EQ(file.earlier().size(), 2u);
  EXPECT_EQ(file.earlier()[0].from, 4096u);
  EXPECT_EQ(file.earlier()[1].from, 8192u);
  file.Truncate(8, 6000);
  file.SyncBefore(9);
  EXPECT_TRUE(file.earlier().empty());
}

TEST(EarlierPagesTest, AFileIsStaleUntilThatIsWrittenDurably) {
  FileImage file(0);
  file.Write(1, 0, {Buffer::Copy("one")});
  file.SyncBefore(2);
  file.Write(2, 0, {Buffer::Copy("two")});
  file.SyncBefore(3);
  EXPECT_FALSE(file.stale());
  file.MakeStale(0, file.earlier()[0].bytes);
  EXPECT_EQ(file.now().Read(0, 3).view(), "one");
  EXPECT_TRUE(file.stale());
  EXPECT_TRUE(file.CopyDurable()->stale());
  file.Write(3, 0, {Buffer::Copy("six")});
  EXPECT_TRUE(file.stale());
  file.SyncBefore(4);
  EXPECT_FALSE(file.stale());
}

}  // namespace
}  // namespace holdfast
