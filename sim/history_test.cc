#include "sim/history.h"

#include <string>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace holdfast {
namespace {

using ::testing::HasSubstr;

class HistoryTest : public ::testing::Test {
 protected:
  void Append(const std::string& record, uint64_t at) {
    history_.AppendInvoked(record);
    history_.AppendCommitted(record, Offset(at), history_.Invoke(), "a");
  }
  Verdict verdict_;
  History history_{&verdict_};
};

TEST_F(HistoryTest, AcceptsWhatALogDoes) {
  Append("x", 0);
  Append("y", 1);
  history_.Saw("x", Offset(0), "b");
  history_.Saw("x", Offset(0), "c");
  history_.LinearizableEnd(Offset(2), history_.Invoke(), "b");
  EXPECT_TRUE(verdict_.ok()) << verdict_.what();
  EXPECT_EQ(history_.acknowledged(), 2u);
  EXPECT_EQ(history_.reads(), 2u);
  EXPECT_EQ(history_.committed().size(), 2u);
}

TEST_F(HistoryTest, AnUnknownRecordMayBeThereOrNot) {
  history_.AppendInvoked("maybe");
  history_.AppendInvoked("never");
  history_.AppendUnknown();
  history_.AppendUnknown();
  history_.Saw("maybe", Offset(0), "b");
  EXPECT_TRUE(verdict_.ok());
  history_.Saw("maybe", Offset(1), "b");
  EXPECT_THAT(verdict_.what(), HasSubstr("twice"));
}

TEST_F(HistoryTest, CatchesARecordThatNobodyAppended) {
  history_.Saw("ghost", Offset(0), "b");
  EXPECT_EQ(verdict_.kind(), Verdict::Kind::kCorrectness);
  EXPECT_THAT(verdict_.what(), HasSubstr("nobody appended"));
}

TEST_F(HistoryTest, CatchesAnOffsetThatHeldSomethingElse) {
  Append("x", 0);
  history_.AppendInvoked("y");
  history_.Saw("y", Offset(0), "b");
  EXPECT_THAT(verdict_.what(), HasSubstr("offset 0 held \"x\""));
}

TEST_F(HistoryTest, CatchesARejectedRecordInTheLog) {
  history_.AppendInvoked("x");
  history_.AppendRejected("x", "a");
  EXPECT_TRUE(verdict_.ok());
  history_.Saw("x", Offset(0), "b");
  EXPECT_THAT(verdict_.what(), HasSubstr("rejected"));
}

TEST_F(HistoryTest, CatchesARejectionOfWhatIsInTheLog) {
  history_.AppendInvoked("x");
  history_.Saw("x", Offset(0), "b");
  history_.AppendRejected("x", "a");
  EXPECT_THAT(verdict_.what(), HasSubstr("was rejected, though"));
}

TEST_F(HistoryTest, CatchesAReadThatMissesWhatWasAcknowledgedBeforeIt) {
  Append("x", 0);
  Append("y", 1);
  const Offset noted = history_.Invoke();
  history_.LinearizableEnd(Offset(1), noted, "b");
  EXPECT_THAT(verdict_.what(), HasSubstr("linearizability"));
}

TEST_F(HistoryTest, ConcurrentReadsMayMissAnAppend) {
  const Offset noted = history_.Invoke();
  Append("x", 0);
  history_.LinearizableEnd(Offset(0), noted, "b");
  EXPECT_TRUE(verdict_.ok());
}

TEST_F(HistoryTest, CatchesAReadThatGoesBackBehindAnotherRead) {
  history_.LinearizableEnd(Offset(3), history_.Invoke(), "a");
  history_.LinearizableEnd(Offset(2), history_.Invoke(), "b");
  EXPECT_THAT(verdict_.what(), HasSubstr("reach up to 3"));
}

TEST_F(HistoryTest, CatchesAnAppendBelowTheKnownLength) {
  history_.LinearizableEnd(Offset(3), history_.Invoke(), "a");
  Append("x", 1);
  EXPECT_THAT(verdict_.what(), HasSubstr("append got offset 1"));
}

TEST_F(HistoryTest, TheFirstViolationStands) {
  history_.Saw("ghost", Offset(0), "b");
  const std::string first = verdict_.what();
  history_.Saw("another", Offset(1), "b");
  EXPECT_EQ(verdict_.what(), first);
}

ClientOutcome WrongOffset(uint64_t end) {
  ClientOutcome outcome;
  outcome.kind = ClientOutcome::Kind::kRejected;
  outcome.reason = ClientOutcome::Reason::kWrongOffset;
  outcome.offset = Offset(end);
  return outcome;
}

TEST_F(HistoryTest, AConditionalAppendMayFindTheLogLonger) {
  Append("x", 0);
  history_.Conditional(Offset(1), WrongOffset(3), history_.Invoke(), "a");
  EXPECT_TRUE(verdict_.ok()) << verdict_.what();
  EXPECT_EQ(history_.established(), Offset(3));
}

TEST_F(HistoryTest, CatchesAConditionalAppendJudgedByAnOldEnd) {
  Append("x", 0);
  Append("y", 1);
  history_.Conditional(Offset(2), WrongOffset(1), history_.Invoke(), "a");
  EXPECT_THAT(verdict_.what(), HasSubstr("shown it to reach up to 2"));
}

TEST_F(HistoryTest, CatchesAConditionalAppendAtAnotherOffset) {
  ClientOutcome outcome;
  outcome.kind = ClientOutcome::Kind::kCommitted;
  outcome.offset = Offset(4);
  history_.Conditional(Offset(3), outcome, history_.Invoke(), "a");
  EXPECT_THAT(verdict_.what(), HasSubstr("at offset 3 or nowhere"));
}

TEST_F(HistoryTest, ATailGoesOnWithoutAGapAndOnce) {
  history_.TailBrought(Offset(3), Offset(3), "b");
  history_.AnythingMayBeTrimmed();
  history_.TailEnded(Offset(3), absl::OutOfRangeError("trimmed"), "b");
  history_.TailPaused(100, 100, "b");
  EXPECT_TRUE(verdict_.ok()) << verdict_.what();
  history_.TailBrought(Offset(4), Offset(3), "b");
  EXPECT_THAT(verdict_.what(), HasSubstr("was to go on at offset 3"));
}

TEST_F(HistoryTest, CatchesATailThatEndsWhereNothingIsTrimmed) {
  history_.TrimInvoked(Offset(3));
  history_.TailEnded(Offset(3), absl::OutOfRangeError("trimmed"), "b");
  EXPECT_THAT(verdict_.what(), HasSubstr("ended at offset 3"));
}

TEST_F(HistoryTest, CatchesATailThatIsSentMoreThanItAskedFor) {
  history_.TailPaused(101, 100, "b");
  EXPECT_THAT(verdict_.what(), HasSubstr("was sent 101 bytes"));
}

}  // namespace
}  // namespace holdfast
