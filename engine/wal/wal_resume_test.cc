// Starts that read the log from a resume point on only.

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/wal/testing/wal_run.h"
#include "engine/wal/wal.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace holdfast {
namespace {

constexpr Term kTerm(1);

bool Nothing(size_t, size_t) { return false; }

// Some segments full of entries, each of one record.
void Fill(WalRun* run, size_t entries) {
  ASSERT_TRUE(run->Open().ok());
  run->SetHardState({kTerm, ServerId(1)});
  for (size_t i = 0; i < entries; ++i) run->Append(kTerm, {1 + i % 7 * 300});
  run->RunUntilIdle();
  ASSERT_TRUE(run->all_persisted());
  ASSERT_GE(run->wal().SegmentStarts().size(), 5u);
}

std::vector<Entry> From(const std::vector<Entry>& log, Index first) {
  return {log.begin() + static_cast<ptrdiff_t>(first.value()) - 1, log.end()};
}

void ExpectDataLoss(const WalRun& before, const WalResume& resume,
                    const std::string& what) {
  WalRun after(before, Nothing);
  after.SetResume(resume);
  const absl::Status opened = after.Open();
  EXPECT_EQ(opened.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(opened.message(), testing::HasSubstr(what));
}

TEST(WalResumeTest, ReplaysAndReadsWhatComesBehindOnly) {
  WalRun run;
  Fill(&run, 100);
  for (uint64_t at : {1u, 40u, 99u, 100u}) {
    run.SetResume(run.ResumeAt(Index(at)));
    WalRun after(run, Nothing);
    ASSERT_TRUE(after.Open().ok());
    EXPECT_TRUE(SameEntries(after.recovered(), From(run.log(), Index(at + 1))));
    EXPECT_EQ(after.wal().first_index(), Index(1));
    EXPECT_EQ(after.wal().last_index(), Index(100));
    uint64_t unread = 0;
    for (const SegmentStart& s : run.wal().SegmentStarts()) {
      if (s.first > Index(1) && s.first <= Index(at + 1)) ++unread;
    }
    EXPECT_EQ(after.wal().stats().segments_unread, unread);
  }
}

TEST(WalResumeTest, WhatWasNotReadAtTheStartCanBeReadInAnyOrder) {
  WalRun run;
  Fill(&run, 100);
  run.SetResume(run.ResumeAt(Index(100)));
  for (uint64_t step : {1u, 37u, 99u}) {
    WalRun after(run, Nothing);
    ASSERT_TRUE(after.Open().ok());
    for (uint64_t i = 0; i < 100; ++i) {
      const Index index(1 + i * step % 100);
      auto entries = after.Read(index, 3000);
      ASSERT_TRUE(entries.ok()) << entries.status();
      for (const Entry& e : *entries) {
        const Entry& expected = run.log()[e.header.index.value() - 1];
        EXPECT_EQ(e.header, expected.header);
        EXPECT_EQ(e.payload.view(), expected.payload.view());
      }
      EXPECT_EQ(entries->front().header.index, index);
      const Offset offset = entries->front().header.base_offset;
      EXPECT_LE(after.wal().FloorIndexOfOffset(offset), index);
    }
  }
}

TEST(WalResumeTest, EntriesLargerThanAReadAreFoundBehindOthers) {
  WalOptions large = SmallWalOptions();
  large.segment_bytes = 8 << 20;
  WalRun wide(large);
  ASSERT_TRUE(wide.Open().ok());
  wide.SetHardState({kTerm, ServerId(1)});
  for (int i = 0; i < 30; ++i) wide.Append(kTerm, {5000, 300000, 700});
  wide.Append(kTerm, {3 << 20, 100});
  wide.RunUntilIdle();
  wide.SetResume(wide.ResumeAt(Index(92)));
  WalRun after(wide, Nothing);
  ASSERT_TRUE(after.Open().ok());
  ASSERT_GT(after.wal().stats().segments_unread, 0u);
  for (uint64_t i : {80u, 92u, 91u, 2u}) {
    auto entries = after.Read(Index(i), 1);
    ASSERT_TRUE(entries.ok()) << entries.status();
    EXPECT_EQ(entries->front().header, wide.log()[i - 1].header);
  }
}

TEST(WalResumeTest, AResumePointBehindTheCheckpointSaysNothing) {
  WalRun run;
  Fill(&run, 100);
  run.SetCheckpoint(run.PointAt(Index(60)));
  WalResume other{run.PointAt(Index(60)), {{4711, Index(5)}}};
  other.point.chain += 1;
  run.SetResume(other);
  WalRun after(run, Nothing);
  ASSERT_TRUE(after.Open().ok());
  EXPECT_TRUE(SameEntries(after.recovered(), From(run.log(), Index(61))));
}

TEST(WalResumeTest, SegmentsThatTheCheckpointCoversMayBeGone) {
  WalRun run;
  Fill(&run, 100);
  run.SetResume(run.ResumeAt(Index(90)));
  const Index dropped = run.wal().DroppableTo(Index(60));
  run.SetCheckpoint(run.PointAt(dropped));
  run.wal().DropTo(run.checkpoint());
  run.RunUntilIdle();
  for (const auto& survives : {Nothing, Everything}) {
    WalRun after(run, survives);
    ASSERT_TRUE(after.Open().ok());
    EXPECT_TRUE(SameEntries(after.recovered(), From(run.log(), Index(91))));
    EXPECT_TRUE(after.Read(dropped + 1, 1).ok());
  }
}

TEST(WalResumeTest, ALogThatIsNotTheOneIsRefused) {
  WalRun run;
  Fill(&run, 100);
  const WalResume resume = run.ResumeAt(Index(90));
  WalResume other = resume;
  other.point.chain += 1;
  ExpectDataLoss(run, other, "isn't the one that was committed");
  other = resume;
  other.point.index = Index(101);
  ExpectDataLoss(run, other, "the log ends at entry 100");
  for (size_t i = 0; resume.segments[i + 1].first <= Index(90); ++i) {
    other = resume;
    other.segments[i].id += 1000;
    ExpectDataLoss(run, other, "is gone or damaged");
    other = resume;
    other.segments[i].first = other.segments[i].first + 1;
    ExpectDataLoss(run, other, "is gone or damaged");
  }
}

TEST(WalResumeTest, DamageInWhatIsNotReadShowsWhenItIs) {
  WalRun run;
  Fill(&run, 100);
  run.SetResume(run.ResumeAt(Index(100)));
  const std::vector<SegmentStart> starts = run.wal().SegmentStarts();
  WalRun after(run, Nothing);
  const std::string name = SegmentName(starts[1].id);
  std::string bytes = after.disk().Contents(name);
  bytes[kSegmentHeaderBytes + 100] ^= 1;  // its first entry
  after.disk().SetContents(name, bytes);
  ASSERT_TRUE(after.Open().ok());
  EXPECT_EQ(after.Read(starts[1].first, 1).status().code(),
            absl::StatusCode::kDataLoss);
  EXPECT_TRUE(after.Read(starts[1].first - 1, 1).ok());
  EXPECT_TRUE(after.Read(starts[2].first, 1).ok());
}

// What is begun may be gone after a power failure, and the end of the segment
// before it be written anew.
TEST(WalResumeTest, PowerFailsWhileASegmentIsBegun) {
  size_t begun = 0;
  for (size_t tasks = 0; tasks < 60; ++tasks) {
    WalRun run;
    Fill(&run, 60);
    const Index sealed = run.wal().SealedTo();
    for (int i = 0; i < 12; ++i) run.Append(kTerm, {2000});
    run.RunTasks(tasks);
    if (run.wal().SealedTo() > sealed) ++begun;
    run.SetResume(run.ResumeAt(run.wal().SealedTo()));
    for (const auto& survives : {Nothing, Everything}) {
      WalRun after(run, survives);
      const absl::Status opened = after.Open();
      ASSERT_TRUE(opened.ok()) << opened << " after " << tasks << " tasks";
      WalRun again(after, survives);
      const absl::Status reopened = again.Open();
      ASSERT_TRUE(reopened.ok()) << reopened << " after " << tasks << " tasks";
      EXPECT_TRUE(SameEntries(again.recovered(), after.recovered()));
    }
  }
  EXPECT_GT(begun, 10u);
}

TEST(WalResumeTest, PowerFailsWhileTheLogGoesOnBehindIt) {
  for (size_t tasks = 0; tasks < 60; ++tasks) {
    WalRun run;
    Fill(&run, 60);
    run.SetResume(run.ResumeAt(Index(50)));
    run.CutAndAppend(Index(52), kTerm, std::vector<size_t>(9, 2000));
    run.CutAndAppend(Index(50), kTerm, std::vector<size_t>(9, 2500));
    run.RunTasks(tasks);
    for (const auto& survives : {Nothing, Everything}) {
      WalRun after(run, survives);
      const absl::Status opened = after.Open();
      ASSERT_TRUE(opened.ok()) << opened << " after " << tasks << " tasks";
      // And once more, since a start rewrites the log's end.
      WalRun again(after, survives);
      ASSERT_TRUE(again.Open().ok());
      EXPECT_TRUE(SameEntries(again.recovered(), after.recovered()));
      EXPECT_TRUE(again.Read(Index(50), 1).ok());
    }
  }
}

}  // namespace
}  // namespace holdfast
