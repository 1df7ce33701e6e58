#include "engine/node/catch_up_pace.h"

#include "gtest/gtest.h"

namespace holdfast {
namespace {

constexpr ServerId kOne(1);
constexpr ServerId kTwo(2);
constexpr uint64_t kMib = 1 << 20;

Instant At(Duration since_start) { return Instant(since_start); }

TEST(CatchUpPaceTest, NothingWaitsWhileNobodyAppends) {
  CatchUpPace pace(kMib);
  pace.OnSent(kOne, At(1s), 8 * kMib);
  EXPECT_EQ(pace.NextRead(kOne, At(1s)), At(1s));
  pace.OnAppended(At(2s), 1);
  pace.OnSent(kOne, At(3s), 8 * kMib);
  EXPECT_EQ(pace.NextRead(kOne, At(3s)), At(3s));
  EXPECT_EQ(pace.stats().paced, 0u);
}

TEST(CatchUpPaceTest, EachServerHasItsTurnWhileClientsAppend) {
  CatchUpPace pace(kMib);
  pace.OnAppended(At(1s), 100);
  EXPECT_EQ(pace.NextRead(kOne, At(1s)), At(1s));
  pace.OnSent(kOne, At(1s), kMib / 4);
  EXPECT_EQ(pace.NextRead(kOne, At(1s)), At(1250ms));
  EXPECT_EQ(pace.NextRead(kTwo, At(1s)), At(1s));
  pace.OnSent(kTwo, At(1050ms), kMib / 8);
  EXPECT_EQ(pace.NextRead(kTwo, At(1060ms)), At(1175ms));
  EXPECT_EQ(pace.NextRead(kOne, At(1060ms)), At(1250ms));
  EXPECT_EQ(pace.stats().paced, 3u);
}

TEST(CatchUpPaceTest, AServerGetsTwiceWhatIsAppendedWhateverThePace) {
  CatchUpPace pace(1);
  Instant now = At(1s);
  uint64_t appended = 0;
  uint64_t sent = 0;
  for (int i = 0; i < 1000; ++i) {
    now += 1ms;
    pace.OnAppended(now, 1000);
    appended += 1000;
    if (pace.NextRead(kOne, now) > now) continue;
    pace.OnSent(kOne, now, 4000);
    sent += 4000;
  }
  EXPECT_GE(sent, 2 * appended - 4000);
}

}  // namespace
}  // namespace holdfast
