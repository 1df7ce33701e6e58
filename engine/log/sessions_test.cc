#include "engine/log/sessions.h"

#include "gtest/gtest.h"

namespace holdfast {
namespace {

using Verdict = Sessions::Verdict;

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
  sessions.Register(Index(2));
  ASSERT_TRUE(sessions.Record(SessionId(2), Sequence(1), At(3, 100)));
  ASSERT_TRUE(sessions.Record(SessionId(2), Sequence(2), At(5, 110)));
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
  sessions.Register(Index(1));
  ASSERT_TRUE(sessions.Record(SessionId(1), Sequence(1), At(2, 0)));
  EXPECT_FALSE(sessions.Record(SessionId(1), Sequence(1), At(3, 1)));
  EXPECT_EQ(sessions.Check(SessionId(1), Sequence(1)).result.index, Index(2));
}

TEST(Sessions, GapNamesTheSequenceThatMustComeFirst) {
  Sessions sessions;
  sessions.Register(Index(1));
  Sessions::Answer answer = sessions.Check(SessionId(1), Sequence(2));
  EXPECT_EQ(answer.verdict, Verdict::kGap);
  EXPECT_EQ(answer.expected, Sequence(1));
}

TEST(Sessions, CutTakesBackBatchesAndRegistrations) {
  Sessions sessions;
  sessions.Register(Index(1));
  ASSERT_TRUE(sessions.Record(SessionId(1), Sequence(1), At(2, 0)));
  ASSERT_TRUE(sessions.Record(SessionId(1), Sequence(2), At(3, 1)));
  sessions.Register(Index(4));
  sessions.Cut(Index(3));
  EXPECT_EQ(sessions.Check(SessionId(4), Sequence(1)).verdict,
            Verdict::kUnknownSession);
  EXPECT_EQ(sessions.Check(SessionId(1), Sequence(2)).verdict, Verdict::kNew);
  EXPECT_EQ(sessions.Check(SessionId(1), Sequence(1)).verdict,
            Verdict::kDuplicate);
}

TEST(Sessions, OldResultsAreForgottenAndACutBringsThemBack) {
  Sessions sessions;
  sessions.Register(Index(1));
  uint64_t n = Sessions::kResultsKept;
  for (uint64_t i = 1; i <= n; ++i) {
    ASSERT_TRUE(sessions.Record(SessionId(1), Sequence(i), At(i + 1, i)));
  }
  sessions.Commit(Index(n + 1));
  EXPECT_EQ(sessions.Check(SessionId(1), Sequence(1)).verdict,
            Verdict::kDuplicate);
  ASSERT_TRUE(sessions.Record(SessionId(1), Sequence(n + 1), At(n + 2, n + 1)));
  EXPECT_EQ(sessions.Check(SessionId(1), Sequence(1)).verdict,
            Verdict::kForgotten);
  sessions.Cut(Index(n + 2));
  Sessions::Answer again = sessions.Check(SessionId(1), Sequence(1));
  EXPECT_EQ(again.verdict, Verdict::kDuplicate);
  EXPECT_EQ(again.result.base_offset, Offset(1));
}

}  // namespace
}  // namespace holdfast
