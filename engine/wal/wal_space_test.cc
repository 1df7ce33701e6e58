// A log whose disk is full.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/wal/testing/wal_run.h"
#include "engine/wal/wal.h"
#include "gtest/gtest.h"

namespace holdfast {
namespace {

constexpr Term kTerm(1);

TEST(WalSpaceTest, WithoutAnybodyToTellAFullDiskIsAnError) {
  WalRun run;
  run.OpenNew(kTerm);
  run.Append(kTerm, {100});
  run.RunUntilIdle();
  run.disk().set_full(true);
  for (int i = 0; i < 30; ++i) run.Append(kTerm, {3000});
  run.RunUntilIdle();
  EXPECT_EQ(run.failure().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_FALSE(run.all_persisted());
  run.disk().set_full(false);
  uint64_t persisted = run.persisted();
  WalRun after(run, Everything);
  ASSERT_TRUE(after.Open().ok());
  EXPECT_EQ(after.WhyNotOf(run.Outcomes()), "");
  EXPECT_GT(persisted, 3u);
}

// Whoever is told of it says when to look again; what is needed gets a small
// segment then.
TEST(WalSpaceTest, AFullDiskIsWaitedOut) {
  WalOptions options = SmallWalOptions();
  options.segment_bytes = 4 << 20;
  WalRun run(options);
  std::vector<bool> told;
  run.SetNoSpace([&told](bool needed) { told.push_back(needed); });
  run.disk().set_full(true);
  run.OpenNew(kTerm);
  EXPECT_EQ(told, std::vector<bool>({false}));
  EXPECT_TRUE(run.wal().short_of_space());
  EXPECT_EQ(run.wal().room(), 0u);
  run.Append(kTerm, {100, 3000});
  run.RunUntilIdle();
  EXPECT_EQ(told, std::vector<bool>({false, true}));
  run.wal().TryAgain();
  run.RunUntilIdle();
  EXPECT_EQ(told, std::vector<bool>({false, true, true}));
  EXPECT_EQ(run.persisted(), 1u);  // the term
  run.disk().set_full(true, 2 << 20);
  run.wal().TryAgain();
  run.RunUntilIdle();
  EXPECT_TRUE(run.all_persisted());
  EXPECT_TRUE(run.wal().short_of_space());
  EXPECT_LT(run.wal().room(), uint64_t{1} << 20);
  // The next one is made when there is room, not before it is asked for.
  EXPECT_EQ(told.size(), 3u);
  run.disk().set_full(false);
  run.wal().TryAgain();
  run.RunUntilIdle();
  EXPECT_FALSE(run.wal().short_of_space());
  EXPECT_GE(run.wal().room(), options.segment_bytes);
  for (int i = 0; i < 1000; ++i) run.Append(kTerm, {3000});
  run.RunUntilIdle();
  EXPECT_TRUE(run.all_persisted());
  EXPECT_TRUE(run.failure().ok());
  WalRun after(run, Everything);
  ASSERT_TRUE(after.Open().ok());
  EXPECT_EQ(after.WhyNotOf(run.Outcomes()), "");
}

// As much as is allowed, less a segment at most.
TEST(WalSpaceTest, WhatIsToGoForItsSizeIsNoMoreThanNeeded) {
  WalRun run;
  run.OpenNew(kTerm);
  for (int i = 0; i < 120; ++i) {
    run.Append(kTerm, {1000});
    run.RunUntilIdle();
  }
  Wal& wal = run.wal();
  const uint64_t all = wal.bytes();
  const uint64_t segment = SmallWalOptions().segment_bytes;
  ASSERT_GT(all, 7 * segment);
  EXPECT_EQ(wal.OffsetToKeep(std::nullopt, std::nullopt), Offset(0));
  EXPECT_EQ(wal.OffsetToKeep(all, std::nullopt), Offset(0));
  int dropped = 0;
  for (uint64_t limit = all; limit > 2 * segment; limit -= segment / 2) {
    SCOPED_TRACE(limit);
    const Offset keep = wal.OffsetToKeep(limit, std::nullopt);
    // Each entry is one record.
    if (keep > Offset(0)) {
      ++dropped;
      wal.DropTo(run.PointAt(Index(keep.value())));
      run.RunUntilIdle();
    }
    EXPECT_LE(wal.bytes(), limit);
    EXPECT_GT(wal.bytes() + segment, limit);
  }
  EXPECT_GT(dropped, 4);
}

// As long as the next segment is waited for, which may be hours, what was
// acknowledged last is as safe from rot as all before it.
class WaitsForASegment : public ::testing::TestWithParam<bool> {};

TEST_P(WaitsForASegment, WithAllThatIsDurableMarked) {
  const bool cuts = GetParam();
  WalRun run;
  bool needed = false;
  Instant told;
  run.SetNoSpace([&](bool is_needed) {
    if (is_needed && !std::exchange(needed, true)) told = run.loop().Now();
  });
  run.OpenNew(kTerm);
  run.disk().set_full(true);
  for (int i = 0; i < 30; ++i) run.Append(kTerm, {1000});
  Index acknowledged;
  if (cuts) {
    run.RunTasks(20);
    acknowledged = Index(run.persisted() - 1);  // the first one is the term
    ASSERT_LT(Index(3), acknowledged);
    run.CutAndAppend(acknowledged - 1, kTerm + 1, {100});
  }
  const Instant asked = run.loop().Now();
  run.RunUntilIdle();
  ASSERT_FALSE(run.all_persisted());
  // Whoever has a reserve is told at once, not when that is marked.
  ASSERT_TRUE(needed);
  EXPECT_LT(told - asked, 100ms);
  int refused = 0;
  for (const std::string& name : run.disk().Names()) {
    if (!ParseSegmentName(name).has_value()) continue;
    const size_t used = run.disk().Contents(name).find_last_not_of('\0') + 1;
    for (size_t at = kSegmentHeaderBytes; at < used; at += 61) {
      SCOPED_TRACE(absl::StrCat(name, " at ", at));
      WalRun after(run, Everything);
      after.disk().Flip(name, at, 1);
      // With nobody to ask.
      const absl::Status opened = after.Open();
      if (!opened.ok()) {
        ASSERT_TRUE(absl::IsDataLoss(opened)) << opened;
        ++refused;
        continue;
      }
      ASSERT_EQ(after.WhyNotOf(run.Outcomes()), "");
    }
  }
  EXPECT_GT(refused, 100);
}

INSTANTIATE_TEST_SUITE_P(AppendsOrCuts, WaitsForASegment, ::testing::Bool());

}  // namespace
}  // namespace holdfast
