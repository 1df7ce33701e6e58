// Withholding what is not durable, pipelining, lost messages, commit notices
// and reads from disk: replication beyond the paper's rules.

#include <cstdint>
#include <memory>
#include <vector>

#include "engine/raft/core.h"
#include "engine/raft/testing/cluster.h"
#include "engine/raft/testing/solo.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace holdfast {
namespace {

using ::testing::IsEmpty;

// --- Persisting and withholding ---------------------------------------------

TEST(CoreWithholdTest, SequencesRiseByOneAndOneAnswerCoversAll) {
  Solo s;
  s.Get(Solo::Append(2, 1, 1, 1, {1}));
  EXPECT_EQ(s.out().persist->sequence, 1u);
  s.Get(Solo::Append(2, 1, 2, 1, {1}));
  EXPECT_EQ(s.out().persist->sequence, 2u);
  s.Get(Solo::Append(2, 1, 3, 1, {1}));
  EXPECT_EQ(s.out().persist->sequence, 3u);
  s.Step(Persisted{3});
  // One acknowledgement for all that one sync covered.
  ASSERT_EQ(s.out().messages.size(), 1u);
  EXPECT_EQ(s.out().messages[0].index, Index(4));
  EXPECT_EQ(s.core().stats().withheld_merged, 2u);
}

TEST(CoreWithholdTest, EachAnswerWaitsForItsOwnWrite) {
  Solo s;
  s.Get(Solo::Append(2, 1, 1, 1, {1}));
  s.Get(Solo::Append(2, 1, 2, 1, {1}));
  s.Step(Persisted{1});
  ASSERT_EQ(s.out().messages.size(), 1u);
  EXPECT_EQ(s.out().messages[0].index, Index(2));
  s.Step(Persisted{1});
  EXPECT_THAT(s.out().messages, IsEmpty());
  s.Step(Persisted{2});
  ASSERT_EQ(s.out().messages.size(), 1u);
  EXPECT_EQ(s.out().messages[0].index, Index(3));
}

TEST(CoreWithholdTest, RepeatedAppendIsNotAcknowledgedBeforeTheFirstIsDurable) {
  Solo s;
  s.Get(Solo::Append(2, 1, 1, 1, {1}));
  s.Get(Solo::Append(2, 1, 1, 1, {1}));
  EXPECT_FALSE(s.out().persist.has_value());
  EXPECT_THAT(s.out().messages, IsEmpty());
  s.Persist();
  EXPECT_EQ(s.out().messages.size(), 1u);
  s.Get(Solo::Append(2, 1, 1, 1, {1}));
  EXPECT_EQ(s.out().messages.size(), 1u);
}

TEST(CoreWithholdTest, ReplacedEntryIsNotAcknowledgedByTheOldWrite) {
  Solo s;
  s.Get(Solo::Append(2, 2, 1, 1, {2, 2}));  // writes 2 and 3 of term 2
  const uint64_t old_write = s.out().persist->sequence;
  s.Get(Solo::Append(3, 3, 1, 1, {3, 3}));  // which a new leader replaces
  EXPECT_EQ(s.out().persist->cut_from, Index(2));
  const uint64_t new_write = s.out().persist->sequence;
  s.Step(Persisted{old_write});
  EXPECT_THAT(s.out().messages, IsEmpty());
  EXPECT_EQ(s.core().durable(), Index(1));
  s.Step(Persisted{new_write});
  ASSERT_EQ(s.out().messages.size(), 1u);
  EXPECT_EQ(s.out().messages[0].to, ServerId(3));
  EXPECT_EQ(s.out().messages[0].index, Index(3));
  EXPECT_EQ(s.core().durable(), Index(3));
}

TEST(CoreWithholdTest, WithheldMessagesAreDroppedWhenTheTermRises) {
  Solo s;
  s.Get(Solo::VoteRequest(2, 2, 1, 1));
  EXPECT_EQ(s.core().withheld_count(), 1u);
  s.Get(Solo::VoteRequest(3, 3, 1, 1));
  EXPECT_EQ(s.core().stats().withheld_dropped, 1u);
  s.Persist();
  ASSERT_EQ(s.out().messages.size(), 1u);
  EXPECT_EQ(s.out().messages[0].to, ServerId(3));
  EXPECT_EQ(s.out().messages[0].term, Term(3));
}

TEST(CoreWithholdTest, NothingIsSaidInATermThatIsNotDurable) {
  Solo s;
  s.Get(Solo::Append(2, 5, 9, 5, {}));  // refused, but in a new term
  EXPECT_THAT(s.out().messages, IsEmpty());
  s.Get(Solo::From(2, MessageType::kHeartbeat, 5));
  EXPECT_THAT(s.out().messages, IsEmpty());
  s.Persist();
  EXPECT_EQ(s.out().messages.size(), 2u);
}

TEST(CoreWithholdTest, HungDiskDoesNotPileUpAnswers) {
  Solo s;
  for (int i = 0; i < 3000; ++i) {
    s.Get(Solo::From(2, MessageType::kHeartbeat, 5));
  }
  EXPECT_EQ(s.core().withheld_count(), 1000u);
  s.Persist();
  EXPECT_EQ(s.core().withheld_count(), 0u);
}

TEST(CoreWithholdTest, HeartbeatsAreAnsweredWhileTheDiskIsBusy) {
  Solo s;
  s.Get(Solo::Append(2, 1, 1, 1, {1}));
  s.Get(Solo::From(2, MessageType::kHeartbeat, 1));
  ASSERT_EQ(s.out().messages.size(), 1u);
  EXPECT_EQ(s.out().messages[0].type, MessageType::kHeartbeatAnswer);
}

TEST(CoreWithholdTest, LeaderThatStepsDownMidWriteAcknowledgesToItsSuccessor) {
  Solo s = Leader();
  s.Propose(2);  // 3 and 4 of term 2, in flight
  const uint64_t write = s.out().persist->sequence;
  // The new leader has the first of them, and another one behind it.
  Message m = Solo::Append(3, 3, 2, 2, {2, 3});
  s.Get(m);
  EXPECT_EQ(s.core().role(), Role::kFollower);
  EXPECT_EQ(s.out().persist->cut_from, Index(4));
  s.Step(Persisted{write});
  EXPECT_EQ(s.core().durable(), Index(3));
  EXPECT_THAT(s.out().messages, IsEmpty());
  s.Persist();
  ASSERT_EQ(s.out().messages.size(), 1u);
  EXPECT_EQ(s.out().messages[0].index, Index(4));
}

// --- Pipelining -------------------------------------------------------------

TEST(CorePipelineTest, AppendsFollowWithoutWaitingForAnswers) {
  Solo s = Leader();
  for (uint64_t i = 3; i < 8; ++i) {
    s.Propose();
    const auto appends = AppendsTo(s.out(), 2);
    ASSERT_EQ(appends.size(), 1u);
    EXPECT_EQ(appends[0].index, Index(i - 1));
    EXPECT_EQ(appends[0].entries.size(), 1u);
  }
  EXPECT_EQ(ProgressOf(s, 2).messages_in_flight(), 5u);
}

TEST(CorePipelineTest, WhatAFullWindowHoldsBackGoesInOneMessage) {
  RaftOptions options;
  options.max_messages_in_flight = 2;
  Solo s = Leader(options);
  s.Propose();
  s.Propose();
  for (int i = 0; i < 5; ++i) {
    s.Propose();
    EXPECT_THAT(AppendsTo(s.out(), 2), IsEmpty());
  }
  s.Accept(2, 3);
  const auto appends = AppendsTo(s.out(), 2);
  ASSERT_EQ(appends.size(), 1u);
  EXPECT_EQ(appends[0].entries.size(), 5u);
}

TEST(CorePipelineTest, BytesInFlightAreBounded) {
  RaftOptions options;
  options.max_bytes_in_flight = 1000;
  options.max_append_bytes = 400;
  Solo s = Leader(options);
  s.Propose(20, 100);
  auto appends = AppendsTo(s.out(), 2);
  ASSERT_EQ(appends.size(), 3u);  // 400 each: the third starts below 1000
  for (const Message& m : appends) EXPECT_EQ(m.entries.size(), 4u);
  EXPECT_EQ(ProgressOf(s, 2).bytes_in_flight(), 1200u);
  // Acknowledgements are cumulative.
  s.Accept(2, 10);
  EXPECT_EQ(ProgressOf(s, 2).bytes_in_flight(), 1200u);
  EXPECT_EQ(AppendsTo(s.out(), 2).size(), 2u);
}

TEST(CorePipelineTest, AnEntryAboveTheLimitGoesAlone) {
  RaftOptions options;
  options.max_append_bytes = 400;
  Solo s = Leader(options);
  s.Propose(3, 5000);
  const auto appends = AppendsTo(s.out(), 2);
  ASSERT_EQ(appends.size(), 3u);
  for (const Message& m : appends) EXPECT_EQ(m.entries.size(), 1u);
}

TEST(CorePipelineTest, LostAppendIsSentAgainAtOnceWhenTheStreamBroke) {
  Solo s = Leader();
  s.Propose(3);
  s.Step(SendLost{ServerId(2)});
  const auto appends = AppendsTo(s.out(), 2);
  ASSERT_EQ(appends.size(), 1u);
  EXPECT_EQ(appends[0].index, Index(2));
  EXPECT_EQ(appends[0].entries.size(), 3u);
  EXPECT_THAT(AppendsTo(s.out(), 3), IsEmpty());
}

TEST(CorePipelineTest, LostAppendIsFoundByTheNextOnesRefusal) {
  Solo s = Leader();
  s.Propose();  // lost
  s.Propose();
  Message m = Solo::From(2, MessageType::kAppendAnswer, 2);
  m.rejected = true;
  m.index = Index(3);
  m.hint_index = Index(2);
  m.hint_term = Term(2);
  s.Get(m);
  auto appends = AppendsTo(s.out(), 2);
  ASSERT_EQ(appends.size(), 1u);
  EXPECT_EQ(appends[0].index, Index(2));
  s.Get(m);  // late or twice: changes nothing
  EXPECT_THAT(s.out().messages, IsEmpty());
}

TEST(CorePipelineTest, LostAppendIsFoundByHeartbeats) {
  Solo s = Leader();
  s.Propose();  // lost on the way to 2
  int sent_again = 0;
  for (int i = 0; i < 4 && sent_again == 0; ++i) {
    s.Advance(50ms);
    s.Step(Tick{});
    s.Get(HeartbeatAnswer(s, 2, 2, 0, /*lacking=*/true));
    sent_again += AppendsTo(s.out(), 2).size();
  }
  EXPECT_EQ(sent_again, 1);
  EXPECT_EQ(s.core().stats().resent, 1u);
}

TEST(CorePipelineTest, SlowAppendIsNotSentAgainWhileMoreKeepsArriving) {
  Solo s = Leader();
  s.Propose(20);
  for (uint64_t last = 3; last < 20; ++last) {
    s.Advance(50ms);
    s.Step(Tick{});
    s.Get(HeartbeatAnswer(s, 2, last, 0, /*lacking=*/true));
    EXPECT_THAT(AppendsTo(s.out(), 2), IsEmpty());
  }
}

TEST(CorePipelineTest, LostAcknowledgementIsAskedForAgain) {
  Solo s = Leader();
  s.Propose();
  std::vector<Message> asked;
  for (int i = 0; i < 4 && asked.empty(); ++i) {
    s.Advance(50ms);
    s.Step(Tick{});
    s.Get(HeartbeatAnswer(s, 2, 3));
    asked = AppendsTo(s.out(), 2);
  }
  ASSERT_EQ(asked.size(), 1u);
  EXPECT_EQ(asked[0].index, Index(3));
  EXPECT_THAT(asked[0].entries, IsEmpty());
}

// --- Commit notices ---------------------------------------------------------

TEST(CoreCommitTest, FollowersHearOfACommitSoonEvenWhenNothingElseIsSent) {
  Solo s = Leader();
  s.Advance(1ms);
  s.Propose();
  s.Persist();
  s.Accept(2, 3);
  ASSERT_EQ(s.core().commit(), Index(3));
  EXPECT_LE(s.out().wake, s.now() + 5ms);
  s.Advance(5ms);
  s.Step(Tick{});
  const auto notices = OfType(s.out(), MessageType::kHeartbeat);
  // 3 has not got the entry yet: its log may hold another there.
  ASSERT_EQ(notices.size(), 1u);
  EXPECT_EQ(notices[0].to, ServerId(2));
  EXPECT_EQ(notices[0].commit, Index(3));
  EXPECT_GT(s.out().wake, s.now() + 30ms);  // and then there is silence
}

TEST(CoreCommitTest, CommitRidesOnTheNextAppend) {
  Solo s = Leader();
  s.Propose();
  s.Persist();
  s.Accept(2, 3);
  s.Propose();
  ASSERT_EQ(AppendsTo(s.out(), 2).size(), 1u);
  EXPECT_EQ(AppendsTo(s.out(), 2)[0].commit, Index(3));
}

TEST(CoreCommitTest, ServerAloneLeadsAtOnceAndCommitsWhatIsDurable) {
  Solo s(1);
  s.Timeout();
  EXPECT_EQ(s.now(), Instant(1s));
  s.Persist();
  ASSERT_EQ(s.core().role(), Role::kLeader);
  s.Persist();
  EXPECT_EQ(s.core().commit(), Index(2));
  s.Propose(3);
  EXPECT_EQ(s.core().commit(), Index(2));
  s.Persist();
  EXPECT_EQ(s.core().commit(), Index(5));
  s.Step(ReadRequest{7});
  ASSERT_EQ(s.out().reads_ready.size(), 1u);
  EXPECT_EQ(s.out().reads_ready[0].index, Index(5));
}

TEST(CoreCommitTest, RecoveredCommitIsWithinTheRecoveredLog) {
  EXPECT_EQ(Solo(3, {1, 1, 1}, 9).core().commit(), Index(3));
  EXPECT_EQ(Solo(3, {1, 1, 1}, 2).core().commit(), Index(2));
  EXPECT_EQ(Solo(3, {1, 1, 1}, 0).core().commit(), Index(0));
}

// --- Cold reads -------------------------------------------------------------

RaftOptions Cold() {
  RaftOptions options;
  options.hot_bytes = 0;
  return options;
}

// A leader with a cold log whose follower 2 stands at the beginning.
Solo LeaderOfCold() {
  Solo s = Leader(Cold());
  s.Propose(10);
  s.Persist();
  s.Accept(3, 12);
  EXPECT_EQ(s.core().commit(), Index(12));
  EXPECT_EQ(s.core().hot_first(), Index(13));
  s.Step(SendLost{ServerId(2)});
  // The probe is empty, since nothing is in memory.
  const auto probes = AppendsTo(s.out(), 2);
  EXPECT_EQ(probes.size(), 1u);
  EXPECT_THAT(probes[0].entries, IsEmpty());
  s.Accept(2, 2);
  return s;
}

std::vector<EntryMeta> Entries(uint64_t first, uint64_t last) {
  std::vector<EntryMeta> entries;
  for (uint64_t i = first; i <= last; ++i) entries.push_back(Solo::Entry(i, 2));
  return entries;
}

TEST(CoreColdTest, EntriesThatLeftMemoryAreReadFromDisk) {
  Solo s = LeaderOfCold();
  ASSERT_EQ(s.out().cold_reads.size(), 1u);
  const RaftColdRead read = s.out().cold_reads[0];
  EXPECT_EQ(read.to, ServerId(2));
  EXPECT_EQ(read.first, Index(3));
  EXPECT_EQ(read.prev_index, Index(2));
  EXPECT_EQ(read.prev_term, Term(2));
  const auto append = s.core().ColdAppend(read, Entries(3, 7));
  ASSERT_TRUE(append.has_value());
  EXPECT_EQ(append->index, Index(2));
  EXPECT_EQ(append->entries.size(), 5u);
  EXPECT_EQ(append->commit, Index(12));
  // One at a time; the next one once this is on its way.
  s.Step(ColdSent{read.to, read.token, Index(7), 500});
  ASSERT_EQ(s.out().cold_reads.size(), 1u);
  EXPECT_EQ(s.out().cold_reads[0].first, Index(8));
  EXPECT_EQ(ProgressOf(s, 2).bytes_in_flight(), 500u);
}

TEST(CoreColdTest, UncommittedEntriesStayInMemory) {
  Solo s = Leader(Cold());
  s.Propose(5);
  s.Persist();
  EXPECT_EQ(s.core().hot_first(), Index(3));
  s.Accept(2, 5);
  EXPECT_EQ(s.core().hot_first(), Index(6));
}

TEST(CoreColdTest, EntriesThatAreNotDurableStayInMemory) {
  Solo s = Leader(Cold());
  s.Propose(5);
  s.Accept(2, 7);
  s.Accept(3, 7);
  EXPECT_EQ(s.core().commit(), Index(7));
  EXPECT_EQ(s.core().hot_first(), Index(3));
  s.Persist();
  EXPECT_EQ(s.core().hot_first(), Index(8));
}

TEST(CoreColdTest, ResultForAnotherTermIsStale) {
  Solo s = LeaderOfCold();
  const RaftColdRead read = s.out().cold_reads[0];
  s.Get(Solo::From(3, MessageType::kHeartbeat, 9));
  EXPECT_FALSE(s.core().ColdAppend(read, Entries(3, 7)).has_value());
  s.Step(ColdSent{read.to, read.token, Index(7), 500});
  EXPECT_EQ(s.core().stats().cold_read_stale, 1u);
}

TEST(CoreColdTest, ResultBehindALostStreamIsStale) {
  Solo s = LeaderOfCold();
  const RaftColdRead read = s.out().cold_reads[0];
  s.Step(ColdSent{read.to, read.token, Index(7), 500});
  const RaftColdRead next = s.out().cold_reads[0];
  s.Step(SendLost{ServerId(2)});
  EXPECT_FALSE(s.core().ColdAppend(next, Entries(8, 9)).has_value());
  s.Step(ColdFailed{next.to, next.token});
  EXPECT_EQ(s.core().stats().cold_read_failed, 0u);
}

TEST(CoreColdTest, FailedReadIsTriedAgainLater) {
  Solo s = LeaderOfCold();
  const RaftColdRead read = s.out().cold_reads[0];
  s.Step(ColdFailed{read.to, read.token});
  EXPECT_THAT(s.out().cold_reads, IsEmpty());
  s.Advance(100ms);
  s.Get(HeartbeatAnswer(s, 2, 2));
  EXPECT_EQ(AppendsTo(s.out(), 2).size(), 1u);
  s.Accept(2, 2);
  EXPECT_EQ(s.out().cold_reads.size(), 1u);
}

}  // namespace
}  // namespace holdfast
