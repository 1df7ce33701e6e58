#include "engine/log/sessions.h"

#include "gtest/gtest.h"

namespace holdfast {
namespace {

using Verdict = Sessions::Verdict;

constexpr WallTime kNow(1000s);

Sessions::Result At(uint64_t index, uint64_t offset) {
  return {Index(index), Offset(offset)};
}

TEST(Sessions, UnregisteredSessionIsUnknown) {
  Sessions sessions;
  EXPECT_EQ(sessions.Check(SessionId(7), Sequence(1)).verdict,
            Verdict::kUnknownSession);
}

TEST(Sessions, RepetitionFindsTheFirstOnesPlace) {
  Sessions sessions;
  sessions.Register(Index(2), kNow, {});
  ASSERT_TRUE(sessions.Record(SessionId(2), Sequence(1), At(3, 100), kNow));
  ASSERT_TRUE(sessions.Record(SessionId(2), Sequence(2), At(5, 110), kNow));
  Sessions::Answer first = sessions.Check(SessionId(2), Sequence(1));
  EXPECT_EQ(first.verdict, Verdict::kDuplicate);
  EXPECT_EQ(first.result.index, Index(3));
  EXPECT_EQ(first.result.base_offset, Offset(100));
  EXPECT_EQ(sessions.Check(SessionId(2), Sequence(2)).result.base_offset,
            Offset(110));
  EXPECT_EQ(sessions.Check(SessionId(2), Sequence(3)).verdict, Verdict::kNew);
}

TEST(Sessions, RepetitionIsNotRecordedTwice) {
  Sessions sessions;
  sessions.Register(Index(1), kNow, {});
  ASSERT_TRUE(sessions.Record(SessionId(1), Sequence(1), At(2, 0), kNow));
  EXPECT_FALSE(sessions.Record(SessionId(1), Sequence(1), At(3, 1), kNow));
  EXPECT_EQ(sessions.Check(SessionId(1), Sequence(1)).result.index, Index(2));
}

TEST(Sessions, GapNamesTheSequenceThatMustComeFirst) {
  Sessions sessions;
  sessions.Register(Index(1), kNow, {});
  Sessions::Answer answer = sessions.Check(SessionId(1), Sequence(2));
  EXPECT_EQ(answer.verdict, Verdict::kGap);
  EXPECT_EQ(answer.expected, Sequence(1));
}

TEST(Sessions, CutTakesBackBatchesAndRegistrations) {
  Sessions sessions;
  sessions.Register(Index(1), kNow, {});
  ASSERT_TRUE(sessions.Record(SessionId(1), Sequence(1), At(2, 0), kNow));
  ASSERT_TRUE(sessions.Record(SessionId(1), Sequence(2), At(3, 1), kNow));
  sessions.Register(Index(4), kNow, {});
  sessions.Cut(Index(3));
  EXPECT_EQ(sessions.Check(SessionId(4), Sequence(1)).verdict,
            Verdict::kUnknownSession);
  EXPECT_EQ(sessions.Check(SessionId(1), Sequence(2)).verdict, Verdict::kNew);
  EXPECT_EQ(sessions.Check(SessionId(1), Sequence(1)).verdict,
            Verdict::kDuplicate);
}

TEST(Sessions, OldResultsAreForgottenAndACutBringsThemBack) {
  Sessions sessions;
  sessions.Register(Index(1), kNow, {});
  uint64_t n = Sessions::kResultsKept;
  for (uint64_t i = 1; i <= n; ++i) {
    ASSERT_TRUE(sessions.Record(SessionId(1), Sequence(i), At(i + 1, i), kNow));
  }
  sessions.Commit(Index(n + 1));
  EXPECT_EQ(sessions.Check(SessionId(1), Sequence(1)).verdict,
            Verdict::kDuplicate);
  ASSERT_TRUE(
      sessions.Record(SessionId(1), Sequence(n + 1), At(n + 2, n + 1), kNow));
  EXPECT_EQ(sessions.Check(SessionId(1), Sequence(1)).verdict,
            Verdict::kForgotten);
  sessions.Cut(Index(n + 2));
  Sessions::Answer again = sessions.Check(SessionId(1), Sequence(1));
  EXPECT_EQ(again.verdict, Verdict::kDuplicate);
  EXPECT_EQ(again.result.base_offset, Offset(1));
}

TEST(Sessions, EndWhenIdleTooLongByLogTime) {
  Sessions sessions;
  const SessionLimits limits{.idle_max = 10s, .count_max = 100};
  sessions.Register(Index(1), kNow, limits);
  sessions.Register(Index(2), kNow, limits);
  ASSERT_TRUE(sessions.Record(SessionId(1), Sequence(1), At(3, 0), kNow + 5s));
  sessions.Register(Index(4), kNow + 15s, limits);
  EXPECT_EQ(sessions.Check(SessionId(1), Sequence(1)).verdict,
            Verdict::kDuplicate);
  EXPECT_EQ(sessions.Check(SessionId(2), Sequence(1)).verdict,
            Verdict::kUnknownSession);
  // Perhaps that registration comes to nothing.
  sessions.Cut(Index(4));
  EXPECT_EQ(sessions.Check(SessionId(2), Sequence(1)).verdict, Verdict::kNew);
  EXPECT_EQ(sessions.size(), 2u);
}

TEST(Sessions, LeastRecentlyActiveEndsWhenThereAreTooMany) {
  Sessions sessions;
  const SessionLimits limits{.idle_max = 1000s, .count_max = 2};
  sessions.Register(Index(1), kNow, limits);
  sessions.Register(Index(2), kNow + 1s, limits);
  ASSERT_TRUE(sessions.Record(SessionId(1), Sequence(1), At(3, 0), kNow + 2s));
  sessions.Register(Index(4), kNow + 3s, limits);
  EXPECT_EQ(sessions.size(), 2u);
  EXPECT_EQ(sessions.Check(SessionId(2), Sequence(1)).verdict,
            Verdict::kUnknownSession);
  EXPECT_EQ(sessions.Check(SessionId(1), Sequence(2)).verdict, Verdict::kNew);
}

TEST(Sessions, AllEndWhereEntriesAreLost) {
  Sessions sessions;
  const SessionLimits limits{.idle_max = 10s, .count_max = 10};
  sessions.Register(Index(1), kNow, limits);
  sessions.Register(Index(2), kNow, limits);
  ASSERT_TRUE(sessions.Record(SessionId(1), Sequence(1), At(3, 0), kNow));
  sessions.EndAll(Index(4));
  EXPECT_EQ(sessions.size(), 0u);
  EXPECT_EQ(sessions.ended(), 2u);
  EXPECT_EQ(sessions.Check(SessionId(1), Sequence(2)).verdict,
            Verdict::kUnknownSession);
  sessions.Register(Index(5), kNow, limits);
  // Perhaps that entry comes to nothing.
  sessions.Cut(Index(4));
  EXPECT_EQ(sessions.Check(SessionId(1), Sequence(1)).verdict,
            Verdict::kDuplicate);
  EXPECT_EQ(sessions.Check(SessionId(2), Sequence(1)).verdict, Verdict::kNew);
  EXPECT_EQ(sessions.size(), 2u);
}

TEST(Sessions, SurviveTheirEncoding) {
  Sessions sessions;
  const SessionLimits limits{.idle_max = 10s, .count_max = 2};
  EXPECT_EQ(*DecodeSessionLimits(EncodeSessionLimits(limits).view()), limits);
  EXPECT_FALSE(DecodeSessionLimits("").ok());
  sessions.Register(Index(1), kNow, limits);
  ASSERT_TRUE(sessions.Record(SessionId(1), Sequence(1), At(2, 7), kNow + 2s));
  sessions.Register(Index(3), kNow, limits);
  const Buffer bytes = sessions.Encode();
  absl::StatusOr<Sessions> decoded = Sessions::Decode(bytes.view());
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_EQ(decoded->Check(SessionId(1), Sequence(1)).result.base_offset,
            Offset(7));
  EXPECT_EQ(decoded->Encode().view(), bytes.view());
  for (size_t n = 0; n < bytes.size(); ++n) {
    EXPECT_FALSE(Sessions::Decode(bytes.view().substr(0, n)).ok());
  }
}

}  // namespace
}  // namespace holdfast
