// A log whose disk is full.

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
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

}  // namespace
}  // namespace holdfast
