#include "engine/node/log_comparison.h"

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"

namespace holdfast {
namespace {

constexpr ServerId kSelf(1);
constexpr ServerId kSecond(2);
constexpr ServerId kThird(3);

// A server's log, as its node and its core see it.
struct Log {
  Tail tail;
  Trail trail;
  LogComparison comparison{&tail};

  // The next one of that term; another one with other words.
  Entry Next(Term term, const std::string& words = "same") {
    return tail.Seal(term, EntryKind::kBatch, 1, WallTime(),
                     Buffer::Copy(words));
  }
  void Add(const Entry& entry) {
    tail.Append(entry);
    trail.Append(*MetaOf(entry));
  }
  void Add(Term term, const std::string& words = "same") {
    Add(Next(term, words));
  }
  // What its leader would send of it, and what it says itself.
  ReceivedMessage Append(Index from) const {
    ReceivedMessage append;
    append.message.type = MessageType::kAppendRequest;
    append.message.term = trail.last_term();
    append.message.index = from - 1;
    append.message.log_term = trail.TermAt(from - 1);
    for (Index i = from; i <= tail.last().index; ++i) {
      append.entries.push_back(*tail.Find(i));
      append.message.entries.push_back(*MetaOf(append.entries.back()));
    }
    return append;
  }
  MessageExtras Answer(Term term) const {
    Message answer;
    answer.type = MessageType::kHeartbeatAnswer;
    answer.term = term;
    MessageExtras extras;
    comparison.Claim(answer, trail, &extras);
    return extras;
  }
  ReceivedMessage VoteRequest() const {
    ReceivedMessage request;
    request.message.type = MessageType::kPreVoteRequest;
    request.message.from = kSecond;
    request.message.term = trail.last_term() + 1;
    request.message.index = trail.last_index();
    request.message.log_term = trail.last_term();
    comparison.Claim(request.message, trail, &request.extras);
    return request;
  }
};

Configuration Voters(uint64_t count) {
  Configuration configuration;
  for (uint64_t id = 1; id <= count; ++id) {
    configuration.voters.push_back(Member{ServerId(id), Incarnation(id), "a"});
  }
  return configuration;
}

class LogComparisonTest : public testing::Test {
 protected:
  // Both have entries 1 to 5; from `other` on they aren't the same.
  void Make(uint64_t other, uint64_t committed) {
    for (uint64_t i = 1; i <= 5; ++i) {
      good_.Add(Term(1));
      bad_.Add(Term(1), i < other ? "same" : "other");
    }
    good_.tail.Commit(Index(committed));
    bad_.tail.Commit(Index(committed));
  }

  Log good_;
  Log bad_;
};

TEST_F(LogComparisonTest, CommittedEntriesAreCompared) {
  Make(3, 4);
  good_.comparison.Note(kSecond, bad_.Answer(Term(1)));
  EXPECT_TRUE(good_.comparison.Differs(kSecond));
  EXPECT_EQ(good_.comparison.DifferenceOf(kSecond)->index, Index(4));
  good_.comparison.Note(kThird, good_.Answer(Term(1)));
  EXPECT_FALSE(good_.comparison.Differs(kThird));
}

TEST_F(LogComparisonTest, AlsoThoseLongCommitted) {
  Make(3, 4);
  const uint64_t more = Tail::kChainsKept;
  for (uint64_t i = 0; i < more; ++i) good_.Add(Term(1));
  good_.tail.Commit(Index(more + 4));
  good_.comparison.Note(kSecond, bad_.Answer(Term(1)));
  EXPECT_TRUE(good_.comparison.Differs(kSecond));
  // Not for ever; but then it isn't taken for another one either.
  good_.comparison.BeginToLead();
  good_.tail.Commit(Index(more + 5));
  good_.comparison.Note(kSecond, bad_.Answer(Term(1)));
  EXPECT_FALSE(good_.comparison.Differs(kSecond));
  EXPECT_EQ(good_.comparison.ToLookUp(kSecond, Index(1)), std::nullopt);
}

TEST_F(LogComparisonTest, AQuorumCondemns) {
  Make(3, 4);
  const Configuration three = Voters(3);
  LogComparison& leader = good_.comparison;
  leader.Note(kSecond, bad_.Answer(Term(1)));
  EXPECT_EQ(leader.Condemn(kSecond, kSelf, three), std::nullopt);
  leader.Note(kThird, good_.Answer(Term(1)));
  const std::optional<LogClaim> condemned =
      leader.Condemn(kSecond, kSelf, three);
  ASSERT_TRUE(condemned.has_value());
  EXPECT_TRUE(bad_.comparison.Is(*condemned));
  EXPECT_FALSE(good_.comparison.Is(*condemned));
  EXPECT_EQ(leader.Condemn(kThird, kSelf, three), std::nullopt);
  EXPECT_FALSE(leader.Outvoted(three));
  // It is named when it is gone, until there is one with this log again.
  leader.Forget(kSecond);
  EXPECT_EQ(leader.DifferenceOf(kSecond), condemned);
  EXPECT_FALSE(leader.Differs(kSecond));
  leader.Note(kSecond, good_.Answer(Term(1)));
  EXPECT_EQ(leader.DifferenceOf(kSecond), std::nullopt);
}

// Of two servers one can't have a majority against it, whatever it said before.
TEST_F(LogComparisonTest, WhoIsAccusedHasNoVoice) {
  Make(3, 4);
  LogComparison& leader = good_.comparison;
  leader.Note(kSecond, good_.Answer(Term(1)));
  leader.Note(kSecond, bad_.Answer(Term(1)));
  EXPECT_TRUE(leader.Differs(kSecond));
  EXPECT_EQ(leader.Condemn(kSecond, kSelf, Voters(2)), std::nullopt);
}

// What the others said was the same as something that this log no more is.
TEST_F(LogComparisonTest, WhoAgreesMustAgreeNow) {
  Make(6, 4);
  LogComparison& leader = good_.comparison;
  leader.Note(kThird, bad_.Answer(Term(1)));
  const MessageExtras second = bad_.Answer(Term(1));
  // Its memory goes bad.
  good_.tail.Reset(LogPoint{.index = Index(4), .term = Term(1), .chain = 666});
  leader.Note(kSecond, second);
  EXPECT_TRUE(leader.Differs(kSecond));
  EXPECT_EQ(leader.Condemn(kSecond, kSelf, Voters(3)), std::nullopt);
  leader.Note(kThird, second);
  EXPECT_TRUE(leader.Outvoted(Voters(3)));
}

TEST_F(LogComparisonTest, AQuorumDeposes) {
  Make(3, 4);
  LogComparison& leader = bad_.comparison;
  leader.Note(kSecond, good_.Answer(Term(1)));
  EXPECT_FALSE(leader.Outvoted(Voters(3)));
  leader.Note(kThird, good_.Answer(Term(1)));
  EXPECT_TRUE(leader.Outvoted(Voters(3)));
  EXPECT_FALSE(leader.Outvoted(Voters(5)));
}

TEST_F(LogComparisonTest, AnAppendThatDoesNotFitIsNotTaken) {
  Make(5, 3);
  good_.Add(Term(2));
  LogComparison& follower = bad_.comparison;
  // Neither behind the entry that is another one, nor with it again, nor in the
  // place of a committed one.
  for (uint64_t from : {6, 5, 2}) {
    EXPECT_TRUE(follower.Contradicts(good_.Append(Index(from)), bad_.trail))
        << from;
    EXPECT_EQ(follower.contradiction()->index, Index(5)) << from;
    follower.ForgetContradiction();
  }
  // Another term's may replace what isn't committed, and then all is well.
  Log later;
  for (uint64_t i = 1; i <= 4; ++i) later.Add(Term(1));
  later.Add(Term(2));
  EXPECT_TRUE(follower.Contradicts(good_.Append(Index(6)), bad_.trail));
  EXPECT_FALSE(follower.Contradicts(later.Append(Index(4)), bad_.trail));
  EXPECT_EQ(follower.contradiction(), std::nullopt);
}

// Only what fits behind this log says that all is well.
TEST_F(LogComparisonTest, WhatIsKnownAlreadyEndsNoContradiction) {
  Make(5, 3);
  good_.Add(Term(2));
  LogComparison& follower = bad_.comparison;
  ASSERT_TRUE(follower.Contradicts(good_.Append(Index(6)), bad_.trail));
  ReceivedMessage known = good_.Append(Index(3));
  known.entries.resize(1);
  known.message.entries.resize(1);
  EXPECT_FALSE(follower.Contradicts(known, bad_.trail));
  EXPECT_TRUE(follower.contradiction().has_value());
}

TEST_F(LogComparisonTest, AnEmptyLogIsContradictedToo) {
  Log empty;
  good_.Add(Term(1));
  ReceivedMessage append = good_.Append(Index(1));
  append.entries[0].header.count += 1;
  EXPECT_TRUE(empty.comparison.Contradicts(append, empty.trail));
  EXPECT_EQ(empty.comparison.contradiction()->index, Index(0));
}

TEST_F(LogComparisonTest, ACommittedEntryIsNotReplaced) {
  Make(6, 4);
  Log later;
  for (uint64_t i = 1; i <= 3; ++i) later.Add(Term(1));
  later.Add(Term(2));
  later.Add(Term(2));
  EXPECT_TRUE(
      good_.comparison.Contradicts(later.Append(Index(4)), good_.trail));
  EXPECT_EQ(good_.comparison.contradiction()->index, Index(4));
  EXPECT_TRUE(
      good_.comparison.Contradicts(later.Append(Index(5)), good_.trail));
}

TEST_F(LogComparisonTest, WhatIsContradictedIsToldToThatTermsLeader) {
  Make(5, 3);
  good_.Add(Term(2));
  ASSERT_TRUE(bad_.comparison.Contradicts(good_.Append(Index(6)), bad_.trail));
  const MessageExtras answer = bad_.Answer(Term(2));
  EXPECT_TRUE(answer.contradicted);
  EXPECT_EQ(answer.claim.index, Index(5));
  good_.comparison.Note(kSecond, answer);
  EXPECT_TRUE(good_.comparison.Differs(kSecond));
  // To the next one it has only said what it knows to be committed.
  EXPECT_FALSE(bad_.Answer(Term(3)).contradicted);
  EXPECT_EQ(bad_.Answer(Term(3)).claim.index, Index(3));
}

TEST_F(LogComparisonTest, WhoIsTheSameIsNotToBlame) {
  Make(6, 3);
  MessageExtras answer = bad_.Answer(Term(1));
  answer.contradicted = true;
  good_.comparison.Note(kSecond, answer);
  EXPECT_FALSE(good_.comparison.Differs(kSecond));
  EXPECT_EQ(good_.comparison.DifferenceOf(kSecond), std::nullopt);
}

TEST_F(LogComparisonTest, AClaimThatIsNotInMemoryIsLookedUp) {
  Make(5, 5);
  LogComparison& leader = good_.comparison;
  MessageExtras answer = bad_.Answer(Term(1));
  answer.contradicted = true;
  // The leader began behind a checkpoint.
  good_.tail.Reset(LogPoint{.index = Index(9), .chain = 9});
  leader.Note(kSecond, answer);
  EXPECT_FALSE(leader.Differs(kSecond));
  EXPECT_EQ(leader.DifferenceOf(kSecond), answer.claim);
  // Not if that entry is gone.
  EXPECT_EQ(leader.ToLookUp(kSecond, Index(6)), std::nullopt);
  EXPECT_EQ(leader.ToLookUp(kSecond, Index(5)), answer.claim);
  EXPECT_EQ(leader.ToLookUp(kSecond, Index(5)), std::nullopt);
  // It couldn't be read.
  leader.LookedUp(kSecond, answer.claim, std::nullopt);
  leader.Note(kSecond, answer);
  EXPECT_EQ(leader.ToLookUp(kSecond, Index(5)), answer.claim);
  leader.LookedUp(kSecond, answer.claim, answer.claim.chain + 1);
  EXPECT_TRUE(leader.Differs(kSecond));
  // What is said again is known.
  leader.Note(kSecond, answer);
  EXPECT_TRUE(leader.Differs(kSecond));
  EXPECT_EQ(leader.ToLookUp(kSecond, Index(5)), std::nullopt);
  // Later it goes on, and says so.
  answer.contradicted = false;
  answer.claim = {Index(7), 7};
  leader.Note(kSecond, answer);
  EXPECT_FALSE(leader.Differs(kSecond));
}

TEST_F(LogComparisonTest, AnotherLogGetsNoVote) {
  Make(5, 3);
  EXPECT_TRUE(good_.comparison.RefusesVote(bad_.VoteRequest(), good_.trail));
  EXPECT_EQ(good_.comparison.DifferenceOf(kSecond)->index, Index(5));
  EXPECT_FALSE(good_.comparison.RefusesVote(good_.VoteRequest(), good_.trail));
  // One that is longer shows what it is by what is committed.
  bad_.Add(Term(1));
  EXPECT_FALSE(good_.comparison.RefusesVote(bad_.VoteRequest(), good_.trail));
  bad_.tail.Commit(Index(5));
  good_.tail.Commit(Index(5));
  EXPECT_TRUE(good_.comparison.RefusesVote(bad_.VoteRequest(), good_.trail));
}

// A request that waited for the disk while another leader replaced the entry.
TEST_F(LogComparisonTest, ARequestSaysNothingOfAnEntryThatIsGone) {
  Make(6, 3);
  ReceivedMessage request = bad_.VoteRequest();
  bad_.tail.Cut(Index(5));
  bad_.trail.Cut(Index(5));
  bad_.Add(Term(2));
  request.extras = MessageExtras();
  bad_.comparison.Claim(request.message, bad_.trail, &request.extras);
  EXPECT_FALSE(good_.comparison.RefusesVote(request, good_.trail));
  EXPECT_EQ(good_.comparison.DifferenceOf(kSecond), std::nullopt);
}

TEST_F(LogComparisonTest, EntriesOfAnotherTermAreNoOtherLog) {
  Make(6, 3);
  bad_.tail.Cut(Index(5));
  bad_.trail.Cut(Index(5));
  bad_.Add(Term(2));
  EXPECT_FALSE(good_.comparison.RefusesVote(bad_.VoteRequest(), good_.trail));
  // Behind its base a trail doesn't know the terms any more.
  good_.tail.Commit(Index(5));
  good_.trail.DropTo(Index(5));
  Log old;
  for (uint64_t i = 1; i <= 3; ++i) old.Add(Term(1));
  old.Add(Term(2));
  EXPECT_FALSE(good_.comparison.RefusesVote(old.VoteRequest(), good_.trail));
}

TEST_F(LogComparisonTest, WhoIsContradictedNeedsWhoHasItsLastEntry) {
  Make(5, 3);
  good_.Add(Term(2));
  ASSERT_TRUE(bad_.comparison.Contradicts(good_.Append(Index(6)), bad_.trail));
  Log shorter;
  for (uint64_t i = 1; i <= 3; ++i) shorter.Add(Term(1));
  EXPECT_TRUE(
      shorter.comparison.RefusesVote(bad_.VoteRequest(), shorter.trail));
  Log same = {};
  for (uint64_t i = 1; i <= 5; ++i) same.Add(*bad_.tail.Find(Index(i)));
  EXPECT_FALSE(same.comparison.RefusesVote(bad_.VoteRequest(), same.trail));
}

TEST_F(LogComparisonTest, AnEarlierReleaseClaimsNothing) {
  Make(3, 4);
  ReceivedMessage request = bad_.VoteRequest();
  request.extras = MessageExtras();
  EXPECT_FALSE(good_.comparison.RefusesVote(request, good_.trail));
  good_.comparison.Note(kSecond, MessageExtras());
  EXPECT_FALSE(good_.comparison.Differs(kSecond));
}

}  // namespace
}  // namespace holdfast
