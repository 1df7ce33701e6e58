// Scenes of storage that decays at rest, as the atlas allows it: the other
// servers help to repair it, nothing is lost, and nothing wrong is served.

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "engine/base/lost_records.h"
#include "engine/node/disk_space.h"
#include "engine/node/identity.h"
#include "engine/service/status.h"
#include "engine/wal/hard_state_file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sim/testing/damage_scenario.h"

namespace holdfast {
namespace {

class DecayScenario : public DamageScenario {
 protected:
  void Begin(uint64_t seed) {
    MakeFull(seed, 3);
    leader_ = sim_->Leader();
    victim_ = sim_->server(leader_->machine() % 3 + 1);
    segments_ = Segments(victim_);
    ASSERT_GT(segments_.size(), 3u);
  }
  // The victim, which is down, starts with the help of the others.
  void ExpectRepaired(const std::string& file) {
    const uint64_t mended = Mended();
    victim_->Start();
    ASSERT_TRUE(sim_->RunUntil([&] { return victim_->node().formed(); }, 10s))
        << file << ": " << victim_->failure();
    EXPECT_GT(Mended(), mended) << file;
    ASSERT_TRUE(Progress(10)) << sim_->verdict().what();
    ExpectGoodEnd();
  }
  // One whose checkpoint another server has, or a later one. Its name.
  std::string ChooseByCheckpoint() {
    const auto newest = [](SimServer* s) {
      return Checkpoints(s, CheckpointKind::kBase).back();
    };
    for (MachineId m = 1; m <= 3; ++m) {
      if (newest(sim_->server(m)) < newest(victim_)) victim_ = sim_->server(m);
    }
    return newest(victim_);
  }
  uint64_t Mended() {
    return Stat("wal_segment_mended") + Stat("repair_by_checkpoint");
  }
  // Of the victim's copy with that name; another kind for each seed, 1 to 5.
  Damage DamageOfHardState(const std::string& name, uint64_t seed) {
    const std::vector<Damage> kinds = {
        Rot(victim_, name, 30), Zeroes(name, 0, kHardStateBytes),
        Misdirect(victim_, name, 0, "identity", 0, kHardStateBytes),
        Truncate(name, 47), Refused(name, 0, kHardStateBytes)};
    return kinds[seed - 1];
  }
  // What the victim's own log has at that offset.
  absl::StatusOr<ReadResult> ReadAt(Offset offset) {
    return DamageScenario::ReadAt(victim_, offset);
  }

  SimServer* leader_ = nullptr;
  SimServer* victim_ = nullptr;
  std::vector<Segment> segments_;  // of the victim
};

TEST_F(DecayScenario, RotBelowAMarkOfTheNewestSegment) {
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    Begin(seed);
    Segment newest = Segments(victim_).back();
    for (int i = 0; i < 1000; ++i) {
      if (newest.HasEntryBefore(newest.scan.marked_to)) break;
      ASSERT_TRUE(sim_->RunFor(10ms));
      newest = Segments(victim_).back();
    }
    ASSERT_TRUE(newest.HasEntryBefore(newest.scan.marked_to));
    victim_->Crash(true);
    Spoil(victim_,
          Rot(victim_,
              newest.LastEntryBefore(newest.scan.marked_to).header.index));
    ExpectRepaired(newest.name);
  }
}

TEST_F(DecayScenario, ZeroesInThePlaceOfASegmentsHeader) {
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    Begin(seed);
    const Segment& sealed = segments_[seed % (segments_.size() - 1)];
    victim_->Crash(true);
    const bool all = seed % 2 == 0;
    Spoil(victim_, Zeroes(sealed.name, 0, all ? sealed.bytes : 512));
    ExpectRepaired(sealed.name);
  }
}

TEST_F(DecayScenario, AnothersBytesInThePlaceOfASegments) {
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    Begin(seed);
    const Segment& sealed = segments_[1];
    victim_->Crash(true);
    Spoil(victim_, Misdirect(victim_, sealed.name, 0, segments_[2].name, 0,
                             kSegmentHeaderBytes));
    ExpectRepaired(sealed.name);
  }
}

TEST_F(DecayScenario, ASegmentThatEndsEarly) {
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    Begin(seed);
    const Segment& sealed = segments_[segments_.size() - 2];
    victim_->Crash(true);
    Spoil(victim_, Truncate(sealed.name, seed % 2 == 0 ? 0 : 100));
    ExpectRepaired(sealed.name);
  }
}

// What the device refuses to read is repaired as if it were damaged: at a
// start, and while the server is running.
TEST_F(DecayScenario, TheDeviceRefusesToReadABlock) {
  for (uint64_t seed = 1; seed <= 8; ++seed) {
    set_scrub(seed % 2 == 0);
    Begin(seed);
    const Segment& s = segments_[seed % (segments_.size() - 1)];
    const uint64_t page = seed % 3 * 4096;
    if (seed % 2 == 0) {
      const uint64_t mended = Mended();
      Spoil(victim_, Refused(s.name, page, 4096));
      ASSERT_TRUE(sim_->RunUntil([&] { return Mended() > mended; }, 60s));
      ExpectGoodEnd();
      continue;
    }
    victim_->Crash(true);
    for (const auto& name : Checkpoints(victim_, CheckpointKind::kResume)) {
      Spoil(victim_, Refused(name, 0, 10));
    }
    Spoil(victim_, Refused(s.name, page, 4096));
    ExpectRepaired(s.name);
  }
}

// In the midst of a segment that a start needn't read. It shows when somebody
// reads it, who waits for the others' help, and gets what was written.
TEST_F(DecayScenario, DamagedEntriesAreNeverServed) {
  for (uint64_t seed = 1; seed <= 8; ++seed) {
    Begin(seed);
    const bool restarts = seed % 2 == 0;
    if (restarts) victim_->Crash(true);
    const Segment& s = segments_[segments_.size() / 2];
    const FoundFrame& frame = s.LastEntryBefore(s.scan.end);
    const Buffer before = Bytes(victim_, s.name);
    const absl::StatusOr<Entry> entry = DecodeEntry(before.Slice(
        frame.position + kLogFrameHeaderBytes, frame.header.body_size));
    ASSERT_TRUE(entry.ok());
    const uint64_t page = frame.position / 4096 * 4096;
    const std::vector<Damage> kinds = {
        Rot(victim_, frame.header.index), Zeroes(s.name, page, 4096),
        Misdirect(victim_, s.name, page, segments_[2].name, 4096, 4096),
        Truncate(s.name, frame.position + 100)};
    Spoil(victim_, kinds[(seed - 1) / 2]);
    if (restarts) victim_->Start();
    ASSERT_TRUE(sim_->RunFor(1s)) << sim_->verdict().what();
    const absl::StatusOr<ReadResult> read = ReadAt(entry->header.base_offset);
    ASSERT_TRUE(read.ok()) << seed << ": " << read.status();
    EXPECT_EQ(read->batches.front().payload.view(), entry->payload.view());
    EXPECT_GT(Stat("wal_segment_mended"), 0u);
    ASSERT_TRUE(Progress(10)) << sim_->verdict().what();
    ExpectGoodEnd();
  }
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
    ASSERT_TRUE(TrimMostEverywhere());
    ASSERT_TRUE(Fill());
    ASSERT_TRUE(sim_->RunUntil(
        [&] { return victim_->node().base().index > Index(0); }, 20s));
    found += Stat("waypoint_damaged");
    ExpectGoodEnd();
  }
  EXPECT_GT(found, 0u);
}

TEST_F(DecayScenario, OneCopyOfTheHardStateIsRepaired) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    Begin(seed);
    for (size_t which : {0, 1}) {
      victim_->Crash(true);
      const std::string name = HardStateCopyName(which);
      Spoil(victim_, DamageOfHardState(name, seed));
      victim_->Start();
      ASSERT_TRUE(sim_->RunFor(1s));
      EXPECT_TRUE(victim_->node().formed());
    }
    EXPECT_GE(Stat("wal_hard_state_repaired"), 2u);
    ExpectGoodEnd();
  }
}

TEST_F(DecayScenario, OneCopyOfTheIdentityIsRepaired) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    Begin(seed);
    for (const std::string name :
         {IdentityFile::kName, IdentityFile::kCopyName}) {
      victim_->Crash(true);
      const std::vector<Damage> kinds = {
          Rot(victim_, name, 30), Zeroes(name, 0, 512),
          Misdirect(victim_, name, 0, HardStateCopyName(0), 0, kHardStateBytes),
          Truncate(name, 47), Refused(name, 0, 47)};
      Spoil(victim_, kinds[seed - 1]);
      victim_->Start();
      ASSERT_TRUE(sim_->RunFor(1s));
      EXPECT_TRUE(victim_->node().formed());
      EXPECT_EQ(Bytes(victim_, IdentityFile::kName).view(),
                Bytes(victim_, IdentityFile::kCopyName).view());
    }
    ExpectGoodEnd();
  }
}

// Where the log has gone since the one before.
TEST_F(DecayScenario, ADamagedCheckpoint) {
  for (const bool refused : {false, true}) {
    Begin(1);
    ASSERT_TRUE(TrimMostEverywhere());
    ASSERT_TRUE(Fill());
    ASSERT_TRUE(TrimMostEverywhere());
    const std::string name = ChooseByCheckpoint();
    victim_->Crash(true);
    Spoil(victim_, refused ? Refused(name, 0, Bytes(victim_, name).size())
                           : Rot(victim_, name, 60));
    ExpectRepaired(name);
  }
}

// It would wait for another one's, if its log couldn't be opened without it;
// but a sync that fails says nothing of the log, and ends the server.
TEST_F(DecayScenario, AFailedSyncIsNoReasonToWaitForACheckpoint) {
  int stopped = 0;
  // Somewhere in the course of a start.
  for (Duration after = 0us; after < 12ms; after += 500us) {
    uint64_t seed = 0;
    do {
      ASSERT_LT(++seed, 20u);
      Begin(seed);
      ASSERT_TRUE(TrimUntilItHasACheckpoint(
          leader_, Offset(sim_->history().established().value() / 2)));
      for (MachineId m = 1; m <= 3; ++m) sim_->server(m)->Crash(true);
      // The log must still be there from the start.
    } while (Segments(leader_).front().header.previous.index > Index(0));
    SpoilAnyway(
        leader_,
        Rot(leader_, Checkpoints(leader_, CheckpointKind::kBase)[0], 60));
    // So that there is something to write.
    SpoilAnyway(leader_, Rot(leader_, "hardstate-1", 30));
    leader_->Start();
    ASSERT_TRUE(sim_->RunFor(after));
    SimDiskOptions failing;
    failing.sync_error_ppm = 1'000'000;
    leader_->disk()->set_options(failing);
    ASSERT_TRUE(sim_->RunUntil(
        [&] { return leader_->node().formed() || !leader_->failure().ok(); },
        10s));
    if (leader_->failure().ok()) continue;
    EXPECT_TRUE(leader_->StoppedByItsDisk()) << leader_->failure();
    ++stopped;
  }
  EXPECT_GT(stopped, 5);
}

// Bytes of another place of the same segment: frames that were intact there.
TEST_F(DecayScenario, AnotherPlacesBytesNeverHideTheMarks) {
  int struck = 0;
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    Make(seed, 3);
    ASSERT_TRUE(Progress(40));
    ASSERT_TRUE(sim_->RunFor(300ms));
    victim_ = sim_->server(sim_->Leader()->machine() % 3 + 1);
    victim_->Crash(true);
    const Segment newest = Segments(victim_).back();
    constexpr uint64_t kSector = FileImage::kSector;
    const uint64_t sectors =
        std::max<uint64_t>(1, newest.scan.end / kSector - 8);
    const uint64_t from = kSegmentHeaderBytes + seed % sectors * kSector;
    const uint64_t to = kSegmentHeaderBytes + seed * 7 % sectors * kSector;
    const Damage damage =
        Misdirect(victim_, newest.name, to, newest.name, from, kSector);
    if (from != to && May(victim_, damage)) {
      ++struck;
      Spoil(victim_, damage);
    }
    victim_->Start();
    ASSERT_TRUE(sim_->RunUntil([&] { return victim_->node().formed(); }, 10s))
        << seed << ": " << sim_->verdict().what();
    ExpectGoodEnd();
  }
  EXPECT_GT(struck, 10);
}

// The one in which the newest resume point ends isn't read, either.
TEST_F(DecayScenario, TheHeaderOfTheLastUnreadSegment) {
  int struck = 0;
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    Begin(seed);
    victim_->Crash(true);
    const auto resumes = Checkpoints(victim_, CheckpointKind::kResume);
    if (resumes.empty()) continue;
    const std::optional<Index> point =
        ParseCheckpointName(CheckpointKind::kResume, resumes.back());
    const std::vector<Segment> all = Segments(victim_);
    for (size_t i = 0; i + 1 < all.size(); ++i) {
      if (all[i].scan.seen != *point) continue;
      ++struck;
      Spoil(victim_, Rot(victim_, all[i].name, 20));
      ExpectRepaired(all[i].name);
      break;
    }
  }
  EXPECT_GT(struck, 0);
}

// What nobody reads is looked at in the background, and repaired.
TEST_F(DecayScenario, ScrubbingFindsWhatNobodyReads) {
  set_scrub(true);
  for (uint64_t seed = 1; seed <= 6; ++seed) {
    Begin(seed);
    const Segment& s = segments_[seed % segments_.size()];
    const std::vector<Damage> kinds = {
        Rot(victim_, s.name, 100), Zeroes(s.name, kSegmentHeaderBytes, 4096),
        Rot(victim_, s.header.first_index())};
    const uint64_t mended = Mended();
    Spoil(victim_, kinds[seed % kinds.size()]);
    ASSERT_TRUE(sim_->RunUntil([&] { return Mended() > mended; }, 60s)) << seed;
    EXPECT_EQ(Mended(), mended + 1);
    EXPECT_EQ(Stat("wal_scrub_found_damage"), 1u);
    EXPECT_TRUE(sim_->atlas()->IsWhole(victim_));
    ExpectGoodEnd();
  }
}

// An entry that is damaged on every server is lost, and nothing else is: who
// reads it hears which records these are; all others are read on each server,
// also those of the same segments that only one server has; and the log goes
// on. When a disk's mirror brings the entry back, all have it again.
TEST_F(DecayScenario, WhatNoServerHasIsLostAndAllElseIsServed) {
  set_may_lose(true);
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    Begin(seed);
    const Offset end = leader_->log().committed_end();
    const auto [all, none] = ReadAll(leader_, end);
    ASSERT_TRUE(none.empty());
    const Segment& s = segments_[segments_.size() / 2];
    const FoundFrame& frame = s.LastEntryBefore(s.scan.end);
    const Buffer bytes = Bytes(victim_, s.name);
    const absl::StatusOr<Entry> entry = DecodeEntry(bytes.Slice(
        frame.position + kLogFrameHeaderBytes, frame.header.body_size));
    ASSERT_TRUE(entry.ok() && entry->header.count > 0) << entry.status();
    const Offset first = entry->header.base_offset;
    const LostRecords gone{first, first + entry->header.count,
                           frame.header.index};
    // Each one lacks another entry besides, right beside it.
    const Index index = frame.header.index;
    const Index neighbours[] = {index - 1, index + 1, index + 2};
    for (MachineId m = 1; m <= 3; ++m) {
      SimServer* server = sim_->server(m);
      // The later one first: it couldn't be found behind the other.
      for (Index each : {std::max(index, neighbours[m - 1]),
                         std::min(index, neighbours[m - 1])}) {
        SpoilAnyway(server, Rot(server, each));
      }
      if (seed % 2 == m % 2) Restart(server);
    }
    ASSERT_TRUE(Progress(10)) << sim_->verdict().what();
    for (MachineId m = 1; m <= 3; ++m) {
      SCOPED_TRACE(absl::StrCat("seed ", seed, ", server ", m));
      SimServer* server = sim_->server(m);
      const auto [found, lost] = ReadAll(server, end);
      EXPECT_EQ(lost, std::vector<LostRecords>{gone});
      for (const auto& [offset, batch] : all) {
        if (offset == first) continue;
        ASSERT_TRUE(found.contains(offset)) << offset.value();
        EXPECT_EQ(found.at(offset), batch);
      }
      EXPECT_EQ(server->node().wal()->lost(), lost);
      EXPECT_THAT(DescribeStatus(server->log()).text(),
                  testing::HasSubstr("records are lost"));
    }
    if (seed % 2 == 1) {
      // Or it is trimmed, with what is before it.
      ASSERT_TRUE(TrimMostEverywhere());
      for (MachineId m = 1; m <= 3; ++m) {
        EXPECT_GT(sim_->server(m)->node().base().index, index);
        EXPECT_TRUE(sim_->server(m)->node().wal()->lost().empty());
      }
      ExpectGoodEnd();
      continue;
    }
    victim_->Crash(/*power_lost=*/true);
    Restore(victim_);
    victim_->Start();
    // Those who were told that it is lost ask again by then.
    ASSERT_TRUE(sim_->RunFor(11s)) << sim_->verdict().what();
    for (MachineId m = 1; m <= 3; ++m) {
      const auto [found, lost] = ReadAll(sim_->server(m), end);
      EXPECT_TRUE(lost.empty());
      EXPECT_TRUE(sim_->server(m)->node().wal()->lost().empty());
      for (const auto& [offset, batch] : all) {
        EXPECT_EQ(found.at(offset), batch);
      }
    }
    ExpectGoodEnd();
  }
}

// What a server has in memory it needs nobody for.
TEST_F(DecayScenario, ScrubbingMendsFromMemoryWhatNoDiskHas) {
  set_scrub(true);
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    Begin(seed);
    // Of the newest ones that are full.
    const Segment& s = segments_[segments_.size() - 2];
    const Index index = s.LastEntryBefore(s.scan.end).header.index;
    const uint64_t mended = Mended();
    for (MachineId m = 1; m <= 3; ++m) {
      ASSERT_NE(sim_->server(m)->node().tail().Find(index), nullptr);
      SpoilAnyway(sim_->server(m), Rot(sim_->server(m), index));
    }
    ASSERT_TRUE(sim_->RunUntil([&] { return Mended() >= mended + 3; }, 60s))
        << seed;
    EXPECT_EQ(Stat("wal_entry_lost"), 0u);
    ExpectGoodEnd();
  }
}

// Nor does anybody read these before the next start.
TEST_F(DecayScenario, ScrubbingFindsADamagedCheckpointAndIdentity) {
  set_scrub(true);
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    Begin(seed);
    ASSERT_TRUE(TrimMostEverywhere());
    const std::string checkpoint = ChooseByCheckpoint();
    const Buffer before = Bytes(victim_, checkpoint);
    const std::vector<Damage> kinds = {
        Rot(victim_, checkpoint, before.size() - 1),
        Zeroes(checkpoint, 0, before.size()), Truncate(checkpoint, 50),
        Refused(checkpoint, 0, before.size())};
    Spoil(victim_, kinds[seed - 1]);
    const Buffer identity = Bytes(victim_, IdentityFile::kName);
    Spoil(victim_, Rot(victim_, IdentityFile::kName, 30));
    const auto mended = [&] {
      // Not while it is being replaced.
      return !Checkpoints(victim_, CheckpointKind::kBase).empty() &&
             Bytes(victim_, checkpoint).view() == before.view() &&
             Bytes(victim_, IdentityFile::kName).view() == identity.view();
    };
    ASSERT_TRUE(sim_->RunUntil(mended, 60s)) << seed;
    EXPECT_EQ(Stat("checkpoint_mended"), 1u);
    ExpectGoodEnd();
  }
}

// Nobody reads a running server's copies of the hard state, so both are written
// anew at the end of each pass.
TEST_F(DecayScenario, ScrubbingWritesTheHardStateAnew) {
  set_scrub(true);
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    Begin(seed);
    const auto at_rest = [this](size_t which) {
      return victim_->disk()->AtRest(HardStateCopyName(which), 0,
                                     kHardStateBytes);
    };
    // It may be being written anew right now.
    for (int i = 0; !at_rest(0) || !at_rest(1); ++i) {
      ASSERT_TRUE(i < 10'000 && sim_->RunFor(100us));
    }
    std::vector<Buffer> spoiled;
    for (size_t which : {0, 1}) {
      const std::string name = HardStateCopyName(which);
      SpoilAnyway(victim_, DamageOfHardState(name, seed));
      spoiled.push_back(Bytes(victim_, name));
    }
    const auto rewritten = [&] {
      return Bytes(victim_, HardStateCopyName(0)).view() != spoiled[0].view() &&
             Bytes(victim_, HardStateCopyName(1)).view() != spoiled[1].view();
    };
    const Term term = leader_->node().core()->term();
    ASSERT_TRUE(sim_->RunUntil(rewritten, 60s)) << seed;
    victim_->Crash(true);
    victim_->Start();
    ASSERT_TRUE(sim_->RunFor(1s));
    EXPECT_TRUE(victim_->failure().ok()) << victim_->failure();
    EXPECT_EQ(Stat("wal_hard_state_repaired"), 0u);
    EXPECT_EQ(sim_->Leader(), leader_);
    EXPECT_EQ(leader_->node().core()->term(), term);
    ExpectGoodEnd();
  }
}

// On a full disk a damaged segment is written anew with what is kept for that,
// by a server that runs, and by one that starts.
TEST_F(DecayScenario, AFullDiskIsMendedWithinTheReserve) {
  set_segment_bytes(128 << 10);
  set_reserve_bytes(512 << 10);
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    Begin(seed);
    victim_->FillDisk(1000);
    const auto is_short = [&] {
      return victim_->node().formed() &&
             victim_->node().disk_space().is_short();
    };
    ASSERT_TRUE(Fill());
    ASSERT_TRUE(sim_->RunUntil(is_short, 60s));
    Spoil(victim_, Zeroes(segments_[1].name, kSegmentHeaderBytes, 4096));
    const FoundFrame& first = segments_[1].scan.frames.front();
    ASSERT_EQ(first.header.kind, FrameKind::kEntry);
    const Offset offset = segments_[1].header.previous.next_offset;
    const absl::StatusOr<ReadResult> read = ReadAt(offset);
    EXPECT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(Mended(), 1u);
    EXPECT_TRUE(is_short());
    victim_->Crash(true);
    for (const std::string& name :
         Checkpoints(victim_, CheckpointKind::kResume)) {
      Spoil(victim_, Zeroes(name, 0, 100));  // it reads all of the log
    }
    Spoil(victim_, Zeroes(segments_[2].name, kSegmentHeaderBytes, 4096));
    victim_->Start();
    ASSERT_TRUE(sim_->RunUntil(is_short, 10s)) << victim_->failure();
    EXPECT_EQ(Mended(), 2u);
    EXPECT_GT(Stat("disk_reserve_given_up"), 0u);
    victim_->EmptyDisk();
    ExpectGoodEnd();
  }
}

// A file of another length isn't the reserve: it is made anew.
TEST_F(DecayScenario, AReserveOfAnotherLength) {
  constexpr uint64_t kReserve = 256 << 10;
  set_reserve_bytes(kReserve);
  for (const uint64_t length : {uint64_t{0}, uint64_t{100}, kReserve - 1}) {
    Begin(1);
    ASSERT_EQ(Bytes(victim_, DiskSpace::kReserveName).size(), kReserve);
    victim_->Crash(true);
    SpoilAnyway(victim_, Truncate(DiskSpace::kReserveName, length));
    victim_->Start();
    ASSERT_TRUE(sim_->RunUntil(
        [&] {
          const auto& files = victim_->disk()->names().durable();
          return files.contains(DiskSpace::kReserveName) &&
                 Bytes(victim_, DiskSpace::kReserveName).size() == kReserve;
        },
        20s));
    ExpectGoodEnd();
  }
}

// A leader that was cut off at once has its term's first entry alone, in a
// segment of which only a mark is left, behind an entry that isn't known to it
// to be committed. The others have gone on without the one, and vouch for the
// other, unless that was never committed either: then what they have committed
// in its place does.
TEST_F(DecayScenario, TheEntryBeforeADroppedOneIsMadeSureOf) {
  int vouched = 0;
  for (uint64_t seed = 1; seed <= 8; ++seed) {
    Begin(seed);
    for (size_t i = 0; i < clients(); ++i) sim_->client(i)->Crash();
    ASSERT_TRUE(sim_->RunFor(2s));
    const std::string record = "the last one";
    sim_->mutable_history()->AppendInvoked(record);
    ASSERT_TRUE(AppendRecord(SessionId(0), Sequence(0), record).has_value());
    for (MachineId m = 1; m <= 3; ++m) sim_->server(m)->Crash(false);
    for (MachineId m = 1; m <= 3; ++m) sim_->server(m)->Start();
    ASSERT_NE(victim_ = WhoLeadsAlone(), nullptr);
    if (seed % 2 == 0) {
      // Once more, behind that entry, by the vote of who lacks it.
      SimServer* const before = victim_;
      const MachineId m = before->machine();
      for (MachineId each = 1; each <= 3; ++each) {
        sim_->server(each)->Crash(false);
      }
      Isolate(m, false);
      before->Start();
      sim_->server(m % 3 + 1)->Start();
      ASSERT_EQ(victim_ = WhoLeadsAlone(), before);
      sim_->server((m + 1) % 3 + 1)->Start();
    }
    ASSERT_TRUE(WaitForOtherLeader(victim_->machine()));
    ASSERT_TRUE(sim_->RunFor(1s));
    victim_->Crash(true);
    SpoilAnyway(victim_, Zeroes(Segments(victim_).back().name, 0,
                                kSegmentHeaderBytes + 4096));
    Isolate(victim_->machine(), false);
    const uint64_t questions = Stat("repair_asked");
    victim_->Start();
    ASSERT_TRUE(sim_->RunUntil([&] { return victim_->node().formed(); }, 20s))
        << victim_->failure() << sim_->Report(30);
    EXPECT_EQ(Stat("wal_damaged_entry_dropped"), 1u);
    // Twice for what is missing, and where no frame says that the one before is
    // committed, for that; and for what was committed in its place.
    const uint64_t asked = Stat("repair_asked") - questions;
    if (asked > 2) ++vouched;
    EXPECT_TRUE(seed % 2 == 1 || asked > 3) << seed << " " << asked;
    ExpectGoodEnd();
  }
  EXPECT_GE(vouched, 4);
}

// Each by itself, on a schedule.
TEST_F(DecayScenario, ScheduleDamagesDisks) {
  const struct {
    uint64_t FaultRates::*rate;
    uint64_t DamageCounts::*count;
  } kinds[] = {
      {&FaultRates::rot_ppm, &DamageCounts::rot},
      {&FaultRates::zeroes_ppm, &DamageCounts::zeroes},
      {&FaultRates::misdirect_ppm, &DamageCounts::misdirected},
      {&FaultRates::truncate_ppm, &DamageCounts::truncated},
      {&FaultRates::refuse_blocks_ppm, &DamageCounts::refused},
  };
  const auto run = [](uint64_t FaultRates::*rate, uint64_t seed) {
    SimulationOptions options;
    options.seed = seed;
    options.nodes = 5;
    options.duration = 20s;
    options.settle = false;
    options.rates = FaultRates{};
    options.rates->crash_ppm = 10'000;
    (*options.rates).*rate = 40'000;
    Simulation sim(options);
    const SimulationResult result = sim.Run();
    EXPECT_TRUE(result.verdict.ok()) << result.verdict.what();
    return result.damages;
  };
  for (const auto& kind : kinds) {
    EXPECT_GT(run(kind.rate, 1).*kind.count, 4u);
  }
  // Only where records are large.
  uint64_t frames_over_end = 0;
  for (uint64_t seed = 1; seed <= 20 && frames_over_end == 0; ++seed) {
    frames_over_end = run(&FaultRates::misdirect_ppm, seed).frames_over_end;
  }
  EXPECT_GT(frames_over_end, 0u);
}

}  // namespace
}  // namespace holdfast
