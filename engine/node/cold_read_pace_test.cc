#include "engine/node/cold_read_pace.h"

#include <cstdint>
#include <functional>

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
  auto read = [&pace](Instant now) {
    ASSERT_EQ(pace.NextRead(kOne, now), now);
    pace.OnRead(kOne, 8 * kMib);
  };
  read(At(1s));
  read(At(1s));
  pace.OnAppended(At(2s), 1);
  read(At(3s));
  read(At(3s));
  EXPECT_EQ(pace.stats().paced, 0u);
}

TEST(ColdReadPaceTest, EachReaderHasItsTurnWhileClientsAppend) {
  ColdReadPace pace(kSelf, kMib);
  auto read = [&pace](ServerId reader, Instant now, uint64_t bytes) {
    pace.OnAppended(now, 1);
    ASSERT_EQ(pace.NextRead(reader, now), now);
    pace.OnRead(reader, bytes);
  };
  read(kOne, At(1s), kMib / 16);
  EXPECT_EQ(pace.NextRead(kOne, At(1s)), At(1062500us));
  read(kTwo, At(1s), kMib / 32);
  EXPECT_EQ(pace.NextRead(kTwo, At(1010ms)), At(1031250us));
  EXPECT_EQ(pace.NextRead(kOne, At(1020ms)), At(1062500us));
  EXPECT_EQ(pace.stats().paced, 2u);
  EXPECT_EQ(pace.stats().own_paced, 0u);
  // Longer than that nobody waits without asking.
  read(kSelf, At(1020ms), kMib);
  EXPECT_EQ(pace.NextRead(kSelf, At(1030ms)), At(1130ms));
  EXPECT_EQ(pace.stats().own_paced, 1u);
  // A turn that begins late makes up for it, but only for so much.
  read(kOne, At(1070ms), kMib / 16);
  EXPECT_EQ(pace.NextRead(kOne, At(1070ms)), At(1125ms));
  read(kOne, At(1165ms), kMib / 16);
  EXPECT_EQ(pace.NextRead(kOne, At(1165ms)), At(1207500us));
}

// What is read in 10 s of 8,000 bytes each, while what `appended` says is
// appended in each millisecond.
uint64_t ReadIn10Seconds(uint64_t bytes_per_second,
                         const std::function<uint64_t(int)>& appended) {
  constexpr uint64_t kSlice = 8'000;
  ColdReadPace pace(kSelf, bytes_per_second);
  uint64_t read = 0;
  for (int ms = 0; ms < 10'000; ++ms) {
    const Instant now = At(1s + Duration(1ms) * ms);
    if (const uint64_t bytes = appended(ms); bytes > 0) {
      pace.OnAppended(now, bytes);
    }
    while (pace.NextRead(kOne, now) <= now) {
      pace.OnRead(kOne, kSlice);
      read += kSlice;
    }
  }
  return read;
}

void ExpectAbout(uint64_t found, uint64_t expected) {
  EXPECT_GE(found, expected * 95 / 100);
  EXPECT_LE(found, expected * 105 / 100);
}

// The pace, or somewhat more than is appended: not both.
TEST(ColdReadPaceTest, ThePaceOrAnEighthMoreThanIsAppended) {
  auto steadily = [](uint64_t bytes) { return [=](int) { return bytes; }; };
  ExpectAbout(ReadIn10Seconds(1'000'000, steadily(1)), 10'000'000);
  ExpectAbout(ReadIn10Seconds(1'000'000, steadily(800)), 10'000'000);
  ExpectAbout(ReadIn10Seconds(1'000'000, steadily(2000)), 22'500'000);
  ExpectAbout(ReadIn10Seconds(1, steadily(1000)), 11'250'000);
}

// Clients' appends come in groups, and readers ask in between.
TEST(ColdReadPaceTest, BurstsDoNotAddToThePace) {
  auto in_bursts = [](int ms) { return ms % 40 < 20 ? 1400u : 0u; };
  ExpectAbout(ReadIn10Seconds(1'000'000, in_bursts), 10'000'000);
  ExpectAbout(ReadIn10Seconds(1, in_bursts), 7'875'000);
}

TEST(ColdReadPaceTest, ReadsAtOnceWhatThePaceNeeds) {
  constexpr uint64_t kMost = 512 << 10;
  auto at_once = [&](uint64_t pace, uint64_t appended_per_second) {
    ColdReadPace reads(kSelf, pace);
    Instant now = At(1s);
    EXPECT_EQ(reads.BytesAtOnce(now, kMost), kMost);  // nobody appends
    for (int i = 0; i < 30; ++i, now += 10ms) {
      reads.OnAppended(now, appended_per_second / 100);
    }
    return reads.BytesAtOnce(now, kMost);
  };
  EXPECT_EQ(at_once(kMib, kMib), 128u << 10);
  EXPECT_EQ(at_once(32 * kMib, kMib), 32 * kMib / 100);
  EXPECT_NEAR(static_cast<double>(at_once(kMib, 32 * kMib)),
              9 / 8.0 * 32 * kMib / 100, 32.0 * kMib / 100 / 8);
  EXPECT_EQ(at_once(kMib, 200 * kMib), kMost);
}

}  // namespace
}  // namespace holdfast
