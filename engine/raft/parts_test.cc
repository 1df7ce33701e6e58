// The core's parts: quorums, the trail, progress, messages as text.

#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <vector>

#include "engine/raft/message.h"
#include "engine/raft/progress.h"
#include "engine/raft/quorum.h"
#include "engine/raft/testing/cluster.h"
#include "engine/raft/testing/solo.h"
#include "engine/raft/trail.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace holdfast {
namespace {

using ::testing::ElementsAre;

// --- Quorum -----------------------------------------------------------------

uint64_t Value(const Configuration& c, std::map<uint64_t, uint64_t> values) {
  return QuorumValue(c, [&](ServerId id) { return values[id.value()]; });
}

TEST(QuorumTest, IsWhatAMajorityReaches) {
  EXPECT_EQ(Value(Configuration(), {}), 0u);
  EXPECT_EQ(Value(MakeConfiguration({1}), {{1, 7}}), 7u);
  EXPECT_EQ(Value(MakeConfiguration({1, 2}), {{1, 7}, {2, 5}}), 5u);
  EXPECT_EQ(Value(MakeConfiguration({1, 2, 3}), {{1, 7}, {2, 5}, {3, 1}}), 5u);
  EXPECT_EQ(
      Value(MakeConfiguration({1, 2, 3, 4}), {{1, 7}, {2, 5}, {3, 4}, {4, 1}}),
      4u);
  EXPECT_EQ(Value(MakeConfiguration({1, 2, 3, 4, 5}), {{3, 9}, {4, 9}, {5, 8}}),
            8u);
}

TEST(QuorumTest, LearnersDontCount) {
  EXPECT_EQ(Value(MakeConfiguration({1}, {2, 3}), {{1, 2}, {2, 9}, {3, 9}}),
            2u);
}

TEST(QuorumTest, JointNeedsBothHalves) {
  const Configuration c = MakeConfiguration({3, 4, 5}, {}, {1, 2, 3});
  EXPECT_EQ(Value(c, {{3, 9}, {4, 9}, {5, 9}, {1, 2}, {2, 3}}), 3u);
  EXPECT_EQ(Value(c, {{1, 9}, {2, 9}, {3, 9}, {4, 1}}), 1u);
}

TEST(QuorumTest, JointHalvesAgreeWithCountingSubsets) {
  // All subsets of five servers, for a joint configuration of 3 and 4.
  const Configuration c = MakeConfiguration({2, 3, 4, 5}, {}, {1, 2, 3});
  for (unsigned set = 0; set < 64; ++set) {
    auto has = [set](uint64_t id) { return (set >> id) & 1; };
    const bool both =
        has(2) + has(3) + has(4) + has(5) >= 3 && has(1) + has(2) + has(3) >= 2;
    EXPECT_EQ(
        QuorumValue(
            c, [&](ServerId id) -> uint64_t { return has(id.value()); }) == 1,
        both);
  }
}

TEST(QuorumTest, VotesAreLostAsSoonAsTheyCannotBeWon) {
  const Configuration c = MakeConfiguration({1, 2, 3, 4});
  auto count = [&c](std::vector<Vote> votes) {
    return CountVotes(c, [&](ServerId id) { return votes[id.value() - 1]; });
  };
  constexpr Vote kYes = Vote::kGranted;
  constexpr Vote kNo = Vote::kRefused;
  constexpr Vote kWait = Vote::kPending;
  EXPECT_EQ(count({kYes, kYes, kWait, kWait}), VoteResult::kPending);
  EXPECT_EQ(count({kYes, kYes, kYes, kWait}), VoteResult::kWon);
  EXPECT_EQ(count({kYes, kYes, kNo, kWait}), VoteResult::kPending);
  EXPECT_EQ(count({kYes, kYes, kNo, kNo}), VoteResult::kLost);
  EXPECT_EQ(count({kWait, kWait, kNo, kNo}), VoteResult::kLost);
}

TEST(QuorumTest, MembersAreVisitedOnceInOrder) {
  const Configuration c = MakeConfiguration({3, 5}, {2}, {1, 3});
  std::vector<uint64_t> seen;
  ForEachMember(c, [&](ServerId id) { seen.push_back(id.value()); });
  EXPECT_THAT(seen, ElementsAre(1, 2, 3, 5));
  EXPECT_TRUE(IsVoter(c, ServerId(1)));
  EXPECT_FALSE(IsVoter(c, ServerId(2)));
  EXPECT_TRUE(IsMember(c, ServerId(2)));
  EXPECT_FALSE(IsMember(c, ServerId(4)));
}

// --- Trail ------------------------------------------------------------------

Trail MakeTrail(const std::vector<uint64_t>& terms) {
  Trail trail;
  for (uint64_t term : terms) {
    trail.Append(Solo::Entry(trail.last_index().value() + 1, term));
  }
  return trail;
}

TEST(TrailTest, KnowsEveryTermByRuns) {
  const std::vector<uint64_t> terms = {1, 1, 2, 4, 4, 4, 7};
  const Trail trail = MakeTrail(terms);
  EXPECT_EQ(trail.runs().size(), 4u);
  EXPECT_EQ(trail.TermAt(Index(0)), Term(0));
  for (size_t i = 0; i < terms.size(); ++i) {
    EXPECT_EQ(trail.TermAt(Index(i + 1)), Term(terms[i]));
  }
  EXPECT_EQ(trail.last_term(), Term(7));
  EXPECT_TRUE(trail.Has(Index(4), Term(4)));
  EXPECT_FALSE(trail.Has(Index(4), Term(3)));
  EXPECT_FALSE(trail.Has(Index(8), Term(7)));
}

TEST(TrailTest, FindsTheLastEntryOfATermOrBelow) {
  const Trail trail = MakeTrail({1, 1, 2, 4, 4, 4, 7});
  EXPECT_EQ(trail.LastAtOrBelow(Index(9), Term(9)), Index(7));
  EXPECT_EQ(trail.LastAtOrBelow(Index(7), Term(6)), Index(6));
  EXPECT_EQ(trail.LastAtOrBelow(Index(5), Term(4)), Index(5));
  EXPECT_EQ(trail.LastAtOrBelow(Index(5), Term(3)), Index(3));
  EXPECT_EQ(trail.LastAtOrBelow(Index(5), Term(1)), Index(2));
  EXPECT_EQ(trail.LastAtOrBelow(Index(5), Term(0)), Index(0));
}

TEST(TrailTest, CutForgetsTermsConfigurationsAndHotEntries) {
  Trail trail = MakeTrail({1, 1, 2});
  EntryMeta c = Solo::Entry(4, 2);
  c.kind = EntryKind::kConfiguration;
  c.configuration = std::make_shared<const Configuration>();
  trail.Append(c);
  EXPECT_EQ(trail.ConfigurationAtOrBelow(Index(9)).index, Index(4));
  EXPECT_EQ(trail.ConfigurationAtOrBelow(Index(3)).index, Index(0));
  trail.Cut(Index(3));
  EXPECT_EQ(trail.last_index(), Index(2));
  EXPECT_EQ(trail.last_term(), Term(1));
  EXPECT_EQ(trail.ConfigurationAtOrBelow(Index(9)).index, Index(0));
  EXPECT_EQ(trail.hot_bytes(), 2 * (100 + Trail::kHotOverheadBytes));
  trail.Append(Solo::Entry(3, 5));
  EXPECT_EQ(trail.Hot(Index(3))->term, Term(5));
}

TEST(TrailTest, EvictsFromTheFrontUpToABound) {
  Trail trail = MakeTrail(std::vector<uint64_t>(100, 1));
  constexpr uint64_t kEach = 100 + Trail::kHotOverheadBytes;
  trail.Evict(10 * kEach, Index(50));
  EXPECT_EQ(trail.hot_first(), Index(51));
  trail.Evict(10 * kEach, Index(100));
  EXPECT_EQ(trail.hot_first(), Index(91));
  EXPECT_EQ(trail.hot_bytes(), 10 * kEach);
  for (uint64_t i = 91; i <= 100; ++i) {
    EXPECT_EQ(trail.Hot(Index(i))->index, Index(i));
  }
  trail.Cut(Index(80));  // below the window
  EXPECT_EQ(trail.hot_first(), Index(80));
  EXPECT_EQ(trail.hot_bytes(), 0u);
  trail.Append(Solo::Entry(80, 2));
  EXPECT_EQ(trail.Hot(Index(80))->term, Term(2));
}

TEST(TrailTest, MayStandBehindACheckpoint) {
  auto configuration =
      std::make_shared<const Configuration>(MakeConfiguration({1}));
  Trail trail(Index(10), Term(3), {Index(8), configuration});
  EXPECT_EQ(trail.last_index(), Index(10));
  EXPECT_EQ(trail.last_term(), Term(3));
  EXPECT_TRUE(trail.Has(Index(4), Term(1)));
  EXPECT_TRUE(trail.Has(Index(10), Term(3)));
  EXPECT_FALSE(trail.Has(Index(10), Term(2)));
  trail.Append(Solo::Entry(11, 3));
  EXPECT_EQ(trail.LastAtOrBelow(Index(11), Term(2)), Index(10));
  EXPECT_EQ(trail.ConfigurationAtOrBelow(Index(11)).configuration,
            configuration);
}

// --- Progress ---------------------------------------------------------------

TEST(ProgressTest, CountsWhatIsInFlight) {
  Progress p(ServerId(2), Index(5), Instant(1s));
  p.OnSent(Index(6), 100);
  EXPECT_TRUE(p.probe_sent);
  EXPECT_EQ(p.next(), Index(5));
  EXPECT_TRUE(p.OnAccepted(Index(6)));
  p.Replicate();
  p.OnSent(Index(8), 200);
  p.OnSent(Index(9), 50);
  EXPECT_EQ(p.next(), Index(10));
  EXPECT_EQ(p.bytes_in_flight(), 250u);
  EXPECT_FALSE(p.OnAccepted(Index(6)));
  EXPECT_TRUE(p.OnAccepted(Index(8)));
  EXPECT_EQ(p.bytes_in_flight(), 50u);
  EXPECT_EQ(p.messages_in_flight(), 1u);
  p.Probe(Index(9));
  EXPECT_EQ(p.bytes_in_flight(), 0u);
  EXPECT_EQ(p.match(), Index(8));
}

// --- Messages ---------------------------------------------------------------

TEST(MessageTest, ReadsWell) {
  EXPECT_EQ(ToString(Solo::Append(2, 5, 3, 4, {4, 5}, 2)),
            "2->1 AppendRequest term=5 prev=3/4 commit=2 entries=[4/4 5/5]");
  EXPECT_EQ(ToString(Solo::VoteRequest(3, 5, 9, 4)),
            "3->1 VoteRequest term=5 last=9/4");
  Message m = Solo::From(2, MessageType::kAppendAnswer, 5);
  m.index = Index(7);
  EXPECT_EQ(ToString(m), "2->1 AppendAnswer term=5 match=7");
}

TEST(MessageTest, IndexesNearTheEndOfTheWorldAreNotWellFormed) {
  Message m = Solo::From(2, MessageType::kAppendAnswer, 5);
  EXPECT_TRUE(IsWellFormed(m));
  m.index = Index(std::numeric_limits<uint64_t>::max());
  EXPECT_FALSE(IsWellFormed(m));
}

}  // namespace
}  // namespace holdfast
