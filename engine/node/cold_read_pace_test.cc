#include "engine/node/cold_read_pace.h"

#include <algorithm>
#include <cstdint>

#include "gtest/gtest.h"

namespace holdfast {
namespace {

constexpr ServerId kOne(1);
constexpr ServerId kTwo(2);
constexpr ServerId kSelf(3);
constexpr uint64_t kMib = 1 << 20;

Instant At(Duration since_start) { return Instant(since_start); }

TEST(ColdReadPaceTest, NothingWaitsWhileNobodyAppends) {
  ColdReadPace pace(kSelf, kMib);
  pace.OnRead(kOne, At(1s), 8 * kMib);
  EXPECT_EQ(pace.NextRead(kOne, At(1s)), At(1s));
  pace.OnAppended(At(2s), 1);
  pace.OnRead(kOne, At(3s), 8 * kMib);
  EXPECT_EQ(pace.NextRead(kOne, At(3s)), At(3s));
  EXPECT_EQ(pace.stats().paced, 0u);
}

TEST(ColdReadPaceTest, EachReaderHasItsTurnWhileClientsAppend) {
  ColdReadPace pace(kSelf, kMib);
  pace.OnAppended(At(1s), 100);
  EXPECT_EQ(pace.NextRead(kOne, At(1s)), At(1s));
  pace.OnRead(kOne, At(1s), kMib / 4);
  EXPECT_EQ(pace.NextRead(kOne, At(1s)), At(1250ms));
  EXPECT_EQ(pace.NextRead(kTwo, At(1s)), At(1s));
  pace.OnRead(kTwo, At(1050ms), kMib / 8);
  EXPECT_EQ(pace.NextRead(kTwo, At(1060ms)), At(1175ms));
  EXPECT_EQ(pace.NextRead(kOne, At(1060ms)), At(1250ms));
  EXPECT_EQ(pace.stats().paced, 3u);
  EXPECT_EQ(pace.stats().own_paced, 0u);
  pace.OnRead(kSelf, At(1060ms), kMib);
  EXPECT_EQ(pace.NextRead(kSelf, At(1060ms)), At(2060ms));
  EXPECT_EQ(pace.stats().own_paced, 1u);
}

TEST(ColdReadPaceTest, AReaderGetsMoreThanIsAppendedWhateverThePace) {
  ColdReadPace pace(kSelf, 1);
  Instant now = At(1s);
  uint64_t appended = 0;
  uint64_t read = 0;
  for (int i = 0; i < 1000; ++i) {
    now += 1ms;
    pace.OnAppended(now, 1000);
    appended += 1000;
    if (pace.NextRead(kOne, now) > now) continue;
    pace.OnRead(kOne, now, 3000);
    read += 3000;
  }
  EXPECT_GE(read, appended * 3 / 2 - 3000);
}

// The pace, or somewhat more than is appended: not both.
TEST(ColdReadPaceTest, WhatIsAppendedDoesNotAddToThePace) {
  for (const uint64_t appended_a_ms : {100, 1000, 2000}) {
    constexpr uint64_t kPace = 1'000'000;
    constexpr uint64_t kSlice = 16'000;
    ColdReadPace pace(kSelf, kPace);
    uint64_t read = 0;
    Instant next = At(1s);
    for (Instant now = At(1s); now < At(11s); now += 1ms) {
      pace.OnAppended(now, appended_a_ms);
      if (now < next) continue;
      pace.OnRead(kOne, now, kSlice);
      read += kSlice;
      next = pace.NextRead(kOne, now);
    }
    const uint64_t most =
        10 * std::max(kPace, appended_a_ms * 1000 * 3 / 2) + kSlice;
    EXPECT_LE(read, most) << appended_a_ms;
    EXPECT_GE(read, most * 8 / 10) << appended_a_ms;
  }
}

}  // namespace
}  // namespace holdfast
