// The rules of the Raft paper (Ongaro and Ousterhout, "In Search of an
// Understandable Consensus Algorithm", extended version, 2014) one by one, in
// its order; and those of Ongaro's thesis that replace or refine them.

#include <algorithm>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "engine/raft/core.h"
#include "engine/raft/testing/cluster.h"
#include "engine/raft/testing/solo.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace holdfast {
namespace {

using ::testing::ElementsAre;
using Terms = std::vector<uint64_t>;

// --- Section 5.1: terms -----------------------------------------------------

TEST(RaftPaperTest, ServersStartAsFollowers) {
  Solo s;
  EXPECT_EQ(s.core().role(), Role::kFollower);
  EXPECT_EQ(s.core().leader(), ServerId());
}

TEST(RaftPaperTest, AnyRoleAdoptsAHigherTermAndBecomesFollower) {
  for (Role role : {Role::kFollower, Role::kPreCandidate, Role::kCandidate,
                    Role::kLeader}) {
    Solo s;
    if (role == Role::kLeader) s.Lead();
    if (role == Role::kPreCandidate || role == Role::kCandidate) s.Timeout();
    if (role == Role::kCandidate) s.GetVotes(MessageType::kPreVoteAnswer, 2);
    ASSERT_EQ(s.core().role(), role);
    const uint64_t last = s.core().last_index().value();
    const uint64_t last_term = s.core().last_term().value();
    s.Get(Solo::Append(2, 9, last, last_term, {}));
    EXPECT_EQ(s.core().role(), Role::kFollower);
    EXPECT_EQ(s.core().term(), Term(9));
    EXPECT_EQ(s.core().vote(), ServerId());
    EXPECT_EQ(s.core().leader(), ServerId(2));
    ASSERT_TRUE(s.out().persist.has_value());
    EXPECT_EQ(s.out().persist->hard_state, (HardState{Term(9), ServerId()}));
  }
}

TEST(RaftPaperTest, RequestsOfAnOlderTermAreRefused) {
  Solo s(3, {1}, 1, {Term(5), ServerId()});
  for (const Message& m :
       {Solo::VoteRequest(2, 4, 9, 4), Solo::Append(2, 4, 1, 1, {4})}) {
    s.Get(m);
    ASSERT_EQ(s.out().messages.size(), 1u);
    EXPECT_TRUE(s.out().messages[0].rejected);
    EXPECT_EQ(s.out().messages[0].term, Term(5));
    EXPECT_EQ(s.core().last_index(), Index(1));
    EXPECT_EQ(s.core().vote(), ServerId());
  }
}

TEST(RaftPaperTest, AnswersOfAnOlderTermAreIgnored) {
  Solo s;
  s.Lead();
  const Index commit = s.core().commit();
  Message stale = Solo::From(2, MessageType::kAppendAnswer, 1);
  stale.index = Index(2);
  s.Get(stale);
  EXPECT_EQ(s.core().commit(), commit);
  EXPECT_TRUE(s.out().messages.empty());
}

// --- Section 5.2: leader election -------------------------------------------

TEST(RaftPaperTest, LeaderSendsHeartbeatsToAllOthers) {
  Solo s(5);
  s.Lead();
  for (int i = 0; i < 3; ++i) {
    s.Advance(50ms);
    s.Step(Tick{});
    std::set<uint64_t> to;
    for (const Message& m : OfType(s.out(), MessageType::kHeartbeat)) {
      to.insert(m.to.value());
    }
    EXPECT_EQ(to, (std::set<uint64_t>{2, 3, 4, 5}));
  }
}

TEST(RaftPaperTest, FollowerStaysFollowerWhileItHearsFromALeader) {
  Solo s;
  for (int i = 0; i < 50; ++i) {
    s.Advance(200ms);
    s.Get(Solo::From(2, MessageType::kHeartbeat, 1));
    s.Step(Tick{});
    EXPECT_EQ(s.core().role(), Role::kFollower);
    EXPECT_EQ(s.core().leader(), ServerId(2));
  }
}

TEST(RaftPaperTest, FollowerStandsForElectionAfterATimeout) {
  Solo s;
  s.Timeout();
  EXPECT_EQ(s.core().role(), Role::kPreCandidate);
  EXPECT_EQ(s.core().term(), Term(1));  // pre-vote changes nothing
  EXPECT_EQ(OfType(s.out(), MessageType::kPreVoteRequest).size(), 2u);
  s.Get(Solo::From(2, MessageType::kPreVoteAnswer, 2));
  EXPECT_EQ(s.core().role(), Role::kCandidate);
  EXPECT_EQ(s.core().term(), Term(2));
  EXPECT_EQ(s.core().vote(), ServerId(1));
}

TEST(RaftPaperTest, CandidateStandsAgainAfterATimeout) {
  Solo s;
  s.Timeout();
  s.GetVotes(MessageType::kPreVoteAnswer, 2);
  s.Persist();
  ASSERT_EQ(s.core().role(), Role::kCandidate);
  s.Timeout();
  EXPECT_EQ(s.core().role(), Role::kPreCandidate);
  s.GetVotes(MessageType::kPreVoteAnswer, 3);
  EXPECT_EQ(s.core().role(), Role::kCandidate);
  EXPECT_EQ(s.core().term(), Term(3));
}

TEST(RaftPaperTest, ElectionTimeoutsAreRandomisedWithinTheirBounds) {
  std::set<Duration> seen;
  for (uint64_t boot = 1; boot <= 200; ++boot) {
    RaftOptions options;
    options.boot_count = boot;
    Solo s(3, {1}, 1, {}, options);
    const Duration timeout = s.core().wake() - s.now();
    EXPECT_GE(timeout, options.election_timeout_min);
    EXPECT_LE(timeout, options.election_timeout_max);
    seen.insert(timeout);
  }
  EXPECT_GT(seen.size(), 190u);
  EXPECT_LT(*seen.begin(), 260ms);
  EXPECT_GT(*seen.rbegin(), 490ms);
}

TEST(RaftPaperTest, CandidateAsksAllForVotesWithItsLastIndexAndTerm) {
  Solo s(5, {1, 2, 2}, 1);
  s.Timeout();
  s.GetVotes(MessageType::kPreVoteAnswer, 3);
  s.Persist();
  std::set<uint64_t> to;
  for (const Message& m : OfType(s.out(), MessageType::kVoteRequest)) {
    EXPECT_EQ(m.term, Term(3));
    EXPECT_EQ(m.index, Index(3));
    EXPECT_EQ(m.log_term, Term(2));
    to.insert(m.to.value());
  }
  EXPECT_EQ(to, (std::set<uint64_t>{2, 3, 4, 5}));
}

TEST(RaftPaperTest, CandidateWinsWithTheVotesOfAMajority) {
  struct Case {
    uint64_t servers;
    int granted;
    int refused;
    Role role;
  };
  for (const Case& c : std::vector<Case>{{1, 0, 0, Role::kLeader},
                                         {2, 1, 0, Role::kLeader},
                                         {2, 0, 1, Role::kFollower},
                                         {3, 1, 0, Role::kLeader},
                                         {3, 1, 1, Role::kLeader},
                                         {3, 0, 1, Role::kCandidate},
                                         {3, 0, 2, Role::kFollower},
                                         {4, 1, 0, Role::kCandidate},
                                         {4, 2, 0, Role::kLeader},
                                         {4, 1, 2, Role::kFollower},
                                         {5, 2, 0, Role::kLeader},
                                         {5, 2, 2, Role::kLeader},
                                         {5, 1, 2, Role::kCandidate},
                                         {5, 1, 3, Role::kFollower},
                                         {7, 3, 0, Role::kLeader},
                                         {7, 2, 3, Role::kCandidate},
                                         {7, 2, 4, Role::kFollower}}) {
    SCOPED_TRACE(::testing::Message()
                 << c.servers << " servers, " << c.granted << " granted, "
                 << c.refused << " refused");
    Solo s(c.servers);
    s.Timeout();
    s.GetVotes(MessageType::kPreVoteAnswer, 2);
    s.Persist();
    uint64_t voter = 1;
    for (int i = 0; i < c.granted; ++i) {
      s.Get(Solo::From(++voter, MessageType::kVoteAnswer, 2));
    }
    for (int i = 0; i < c.refused; ++i) {
      Message m = Solo::From(++voter, MessageType::kVoteAnswer, 2);
      m.rejected = true;
      s.Get(m);
    }
    EXPECT_EQ(s.core().role(), c.role);
    EXPECT_EQ(s.core().term(), Term(2));
  }
}

TEST(RaftPaperTest, AVoteCountsOnce) {
  Solo s(5);
  s.Timeout();
  s.GetVotes(MessageType::kPreVoteAnswer, 2);
  s.Persist();
  for (int i = 0; i < 5; ++i) {
    s.Get(Solo::From(2, MessageType::kVoteAnswer, 2));
  }
  EXPECT_EQ(s.core().role(), Role::kCandidate);
}

TEST(RaftPaperTest, ServerVotesForAtMostOneCandidateInATerm) {
  Solo s;
  s.Get(Solo::VoteRequest(2, 2, 1, 1));
  s.Persist();
  ASSERT_EQ(s.out().messages.size(), 1u);
  EXPECT_FALSE(s.out().messages[0].rejected);
  s.Get(Solo::VoteRequest(3, 2, 1, 1));
  ASSERT_EQ(s.out().messages.size(), 1u);
  EXPECT_TRUE(s.out().messages[0].rejected);
  // The same candidate gets the same answer again.
  s.Get(Solo::VoteRequest(2, 2, 1, 1));
  ASSERT_EQ(s.out().messages.size(), 1u);
  EXPECT_FALSE(s.out().messages[0].rejected);
  // A new term, a new vote.
  s.Get(Solo::VoteRequest(3, 3, 1, 1));
  s.Persist();
  ASSERT_EQ(s.out().messages.size(), 1u);
  EXPECT_FALSE(s.out().messages[0].rejected);
}

TEST(RaftPaperTest, VoteIsNotGivenTwiceAcrossARestart) {
  Solo s(3, {1}, 1, {Term(2), ServerId(2)});
  s.Get(Solo::VoteRequest(3, 2, 1, 1));
  ASSERT_EQ(s.out().messages.size(), 1u);
  EXPECT_TRUE(s.out().messages[0].rejected);
}

TEST(RaftPaperTest, CandidateYieldsToALeaderOfItsTermOrALaterOne) {
  for (uint64_t term : {2, 3}) {
    Solo s;
    s.Timeout();
    s.GetVotes(MessageType::kPreVoteAnswer, 2);
    ASSERT_EQ(s.core().role(), Role::kCandidate);
    s.Get(Solo::Append(2, term, 1, 1, {term}));
    EXPECT_EQ(s.core().role(), Role::kFollower);
    EXPECT_EQ(s.core().leader(), ServerId(2));
    EXPECT_EQ(s.core().term(), Term(term));
  }
}

// --- Section 5.3: log replication -------------------------------------------

TEST(RaftPaperTest, LeaderAppendsANoOpAndSendsItWithThePreviousEntry) {
  Solo s(3, {1, 1}, 2);
  s.Timeout();
  s.GetVotes(MessageType::kPreVoteAnswer, 2);
  s.Persist();
  s.Get(Solo::From(2, MessageType::kVoteAnswer, 2));
  ASSERT_EQ(s.core().role(), Role::kLeader);
  ASSERT_TRUE(s.out().persist.has_value());
  ASSERT_EQ(s.out().persist->entries.size(), 1u);
  EXPECT_EQ(s.out().persist->entries[0].kind, EntryKind::kNoOp);
  const auto appends = OfType(s.out(), MessageType::kAppendRequest);
  ASSERT_EQ(appends.size(), 2u);
  for (const Message& m : appends) {
    EXPECT_EQ(m.index, Index(2));
    EXPECT_EQ(m.log_term, Term(1));
    EXPECT_EQ(m.commit, Index(2));
    ASSERT_EQ(m.entries.size(), 1u);
    EXPECT_EQ(m.entries[0].index, Index(3));
    EXPECT_EQ(m.entries[0].term, Term(2));
  }
}

TEST(RaftPaperTest, LeaderCommitsWhatAMajorityHas) {
  struct Case {
    uint64_t servers;
    std::set<uint64_t> have;  // besides the leader
    bool committed;
  };
  for (const Case& c : std::vector<Case>{{1, {}, true},
                                         {2, {}, false},
                                         {2, {2}, true},
                                         {3, {}, false},
                                         {3, {2}, true},
                                         {3, {3}, true},
                                         {4, {2}, false},
                                         {4, {2, 4}, true},
                                         {5, {2}, false},
                                         {5, {3, 5}, true},
                                         {7, {2, 3}, false},
                                         {7, {2, 3, 7}, true}}) {
    Solo s(c.servers);
    s.Lead();
    s.Propose();
    s.Persist();
    const uint64_t last = s.core().last_index().value();
    for (uint64_t from : c.have) s.Accept(from, last);
    EXPECT_EQ(s.core().commit() == Index(last), c.committed)
        << c.servers << " servers, " << c.have.size() << " have it";
  }
}

TEST(RaftPaperTest, CommittingAnEntryCommitsAllBeforeIt) {
  for (const Terms& terms :
       std::vector<Terms>{{1}, {1, 1}, {1, 1, 2}, {1, 1, 2, 3}}) {
    Solo s(3, terms, 1);
    s.Lead();
    s.Propose(3);
    s.Persist();
    const uint64_t last = s.core().last_index().value();
    EXPECT_EQ(s.core().commit(), Index(1));
    s.Accept(2, last);
    EXPECT_EQ(s.core().commit(), Index(last));
    EXPECT_TRUE(s.out().commit_advanced);
  }
}

TEST(RaftPaperTest, FollowerCommitsTheLesserOfLeadersCommitAndLastNewEntry) {
  struct Case {
    Terms entries;
    uint64_t leader_commit;
    uint64_t commit;
  };
  for (const Case& c : std::vector<Case>{
           {{1, 1}, 1, 1}, {{1, 1}, 2, 2}, {{1, 1}, 9, 3}, {{}, 9, 1}}) {
    Solo s;
    s.Get(Solo::Append(2, 1, 1, 1, c.entries, c.leader_commit));
    EXPECT_EQ(s.core().commit(), Index(c.commit));
  }
}

TEST(RaftPaperTest, FollowerRefusesAnAppendBehindAnEntryThatItLacks) {
  struct Case {
    uint64_t prev;
    uint64_t prev_term;
    bool refused;
    uint64_t hint;
    uint64_t hint_term;
  };
  for (const Case& c : std::vector<Case>{{1, 1, false, 0, 0},
                                         {2, 1, false, 0, 0},
                                         {4, 3, false, 0, 0},
                                         {3, 2, true, 2, 1},
                                         {3, 4, true, 3, 3},
                                         {4, 1, true, 2, 1},
                                         {5, 3, true, 4, 3},
                                         {9, 5, true, 4, 3}}) {
    SCOPED_TRACE(c.prev);
    Solo s(3, {1, 1, 3, 3}, 1);
    s.Get(Solo::Append(2, 5, c.prev, c.prev_term, {}));
    s.Persist();
    ASSERT_EQ(s.out().messages.size(), 1u);
    const Message& m = s.out().messages[0];
    EXPECT_EQ(m.rejected, c.refused);
    EXPECT_EQ(m.index, Index(c.prev));
    EXPECT_EQ(m.hint_index, Index(c.hint));
    EXPECT_EQ(m.hint_term, Term(c.hint_term));
    EXPECT_EQ(s.core().last_index(), Index(4));
  }
}

TEST(RaftPaperTest, FollowerDeletesAConflictingEntryAndAllBehindIt) {
  struct Case {
    uint64_t prev;
    uint64_t prev_term;
    Terms entries;
    Terms log;
    bool cut;
  };
  for (const Case& c : std::vector<Case>{{3, 2, {3}, {1, 1, 2, 3}, false},
                                         {2, 1, {3, 4}, {1, 1, 3, 4}, true},
                                         {1, 1, {3, 4}, {1, 3, 4}, true},
                                         {1, 1, {3}, {1, 3}, true},
                                         {2, 1, {2, 4}, {1, 1, 2, 4}, false}}) {
    Solo s(3, {1, 1, 2}, 1);
    s.Get(Solo::Append(2, 4, c.prev, c.prev_term, c.entries));
    EXPECT_EQ(s.Terms(), c.log);
    ASSERT_TRUE(s.out().persist.has_value());
    EXPECT_EQ(s.out().persist->cut_from.has_value(), c.cut);
  }
}

TEST(RaftPaperTest, FollowerKeepsWhatFollowsAMatchingAppend) {
  Solo s(3, {1, 1, 2, 2}, 1);
  // Late, and shorter than what has come since.
  s.Get(Solo::Append(2, 2, 1, 1, {1}));
  EXPECT_EQ(s.Terms(), (Terms{1, 1, 2, 2}));
  EXPECT_FALSE(s.out().persist.has_value());
  ASSERT_EQ(s.out().messages.size(), 1u);
  EXPECT_EQ(s.out().messages[0].index, Index(2));
}

TEST(RaftPaperTest, LeaderBringsEveryLogOfFigure7IntoLine) {
  const Terms leader = {1, 1, 1, 4, 4, 5, 5, 6, 6, 6};
  const std::vector<Terms> followers = {
      {1, 1, 1, 4, 4, 5, 5, 6, 6},           // (a)
      {1, 1, 1, 4},                          // (b)
      {1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6},     // (c)
      {1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7},  // (d)
      {1, 1, 1, 4, 4, 4, 4},                 // (e)
      {1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3}};    // (f)
  for (const Terms& terms : followers) {
    Solo lead(3, leader, 1, {Term(8), ServerId()});
    Solo follow(3, terms, 1, {Term(8), ServerId()});
    lead.Lead();
    lead.Advance(1ms);
    // Talk until the other has all of it. Server 2 of the leader's cluster is
    // played by a core that calls itself 1.
    Message probe;
    probe.type = MessageType::kAppendAnswer;
    std::vector<Message> to_leader;
    lead.Step(SendLost{ServerId(2)});
    std::vector<Message> to_follower = lead.out().messages;
    int rounds = 0;
    while (!to_follower.empty() && ++rounds < 20) {
      std::vector<Message> answers;
      for (Message m : to_follower) {
        if (m.to != ServerId(2)) continue;
        m.from = ServerId(2);
        m.to = ServerId(1);
        follow.Get(m);
        answers.insert(answers.end(), follow.out().messages.begin(),
                       follow.out().messages.end());
        follow.Persist();
        answers.insert(answers.end(), follow.out().messages.begin(),
                       follow.out().messages.end());
      }
      to_follower.clear();
      for (Message m : answers) {
        m.from = ServerId(2);
        m.to = ServerId(1);
        lead.Get(m);
        to_follower.insert(to_follower.end(), lead.out().messages.begin(),
                           lead.out().messages.end());
      }
    }
    EXPECT_EQ(follow.Terms(), lead.Terms());
    // Whole terms are skipped in each exchange.
    EXPECT_LT(rounds, 6);
  }
}

// --- Section 5.4: safety ----------------------------------------------------

TEST(RaftPaperTest, VoterRefusesACandidateWhoseLogIsBehind) {
  struct Case {
    Terms log;
    uint64_t last;
    uint64_t last_term;
    bool refused;
  };
  for (const Case& c : std::vector<Case>{{{1}, 1, 1, false},
                                         {{1}, 2, 1, false},
                                         {{1, 1}, 1, 1, true},
                                         {{1}, 1, 2, false},
                                         {{1, 1, 1}, 2, 2, false},
                                         {{1, 2}, 9, 1, true},
                                         {{1, 2}, 2, 2, false},
                                         {{1, 2, 2}, 2, 2, true}}) {
    Solo s(3, c.log, 1);
    s.Get(Solo::VoteRequest(2, 4, c.last, c.last_term));
    s.Persist();
    ASSERT_EQ(s.out().messages.size(), 1u);
    EXPECT_EQ(s.out().messages[0].rejected, c.refused);
    EXPECT_EQ(s.core().term(), Term(4));
    EXPECT_EQ(s.core().vote(), ServerId(c.refused ? 0 : 2));
  }
}

TEST(RaftPaperTest, LeaderCommitsOnlyEntriesOfItsOwnTerm) {
  Solo s(3, {1, 2, 2}, 1);
  s.Lead();  // term 3, its no-op at 4
  // A majority has the older term's entries: that alone commits nothing.
  s.Accept(2, 3);
  s.Accept(3, 3);
  EXPECT_EQ(s.core().commit(), Index(1));
  s.Accept(2, 4);
  EXPECT_EQ(s.core().commit(), Index(4));
}

TEST(RaftPaperTest, LeaderNeverDeletesOrOverwritesItsOwnEntries) {
  Solo s;
  s.Lead();
  s.Propose(3);
  const Terms log = s.Terms();
  for (uint64_t from : {2, 3}) {
    Message m = Solo::From(from, MessageType::kAppendAnswer, 2);
    m.rejected = true;
    m.index = Index(1);
    s.Get(m);
    EXPECT_EQ(s.Terms(), log);
    EXPECT_FALSE(s.out().persist.has_value());
  }
}

// --- Section 5.6 and figure 2: persistent state -----------------------------

TEST(RaftPaperTest, VoteIsDurableBeforeItIsSent) {
  Solo s;
  s.Get(Solo::VoteRequest(2, 2, 1, 1));
  EXPECT_TRUE(s.out().messages.empty());
  ASSERT_TRUE(s.out().persist.has_value());
  EXPECT_EQ(s.out().persist->hard_state, (HardState{Term(2), ServerId(2)}));
  EXPECT_EQ(s.core().withheld_count(), 1u);
  s.Persist();
  EXPECT_EQ(OfType(s.out(), MessageType::kVoteAnswer).size(), 1u);
}

TEST(RaftPaperTest, OwnVoteIsDurableBeforeItCountsOrAnyIsAskedFor) {
  Solo s;
  s.Timeout();
  s.GetVotes(MessageType::kPreVoteAnswer, 2);
  EXPECT_TRUE(OfType(s.out(), MessageType::kVoteRequest).empty());
  EXPECT_EQ(s.core().withheld_count(), 2u);
  s.Persist();
  EXPECT_EQ(OfType(s.out(), MessageType::kVoteRequest).size(), 2u);
}

TEST(RaftPaperTest, EntriesAreDurableBeforeTheyAreAcknowledged) {
  Solo s;
  s.Get(Solo::Append(2, 1, 1, 1, {1, 1}));
  EXPECT_TRUE(s.out().messages.empty());
  s.Persist();
  ASSERT_EQ(s.out().messages.size(), 1u);
  EXPECT_EQ(s.out().messages[0].index, Index(3));
}

TEST(RaftPaperTest, LeaderCountsItsOwnDiskOnlyOnceItIsDone) {
  Solo s;
  s.Lead();
  s.Propose();
  const Index last = s.core().last_index();
  s.Accept(2, last.value());
  EXPECT_LT(s.core().commit(), last);  // one of three: 2
  s.Persist();
  EXPECT_EQ(s.core().commit(), last);
}

TEST(RaftPaperTest, OthersDisksCommitWithoutTheLeadersOwn) {
  Solo s;
  s.Lead();
  s.Propose();
  const Index last = s.core().last_index();
  s.Accept(2, last.value());
  s.Accept(3, last.value());
  EXPECT_EQ(s.core().commit(), last);
  EXPECT_LT(s.core().durable(), last);
}

// --- Section 6: membership --------------------------------------------------

TEST(RaftPaperTest, VoteRequestsAreDisregardedWhileALeaderIsAlive) {
  Solo s;
  s.Get(Solo::From(2, MessageType::kHeartbeat, 1));
  s.Advance(200ms);
  s.Get(Solo::VoteRequest(3, 7, 1, 1));
  EXPECT_TRUE(s.out().messages.empty());
  EXPECT_EQ(s.core().term(), Term(1));
  s.Advance(51ms);
  s.Get(Solo::VoteRequest(3, 7, 1, 1));
  EXPECT_EQ(s.core().term(), Term(7));
}

TEST(RaftPaperTest, JointConsensusNeedsBothMajorities) {
  TestCluster c(5, MakeConfiguration({1, 2, 3}), RaftOptions());
  c.Run(2s);
  const ServerId leader = c.leader();
  ASSERT_NE(leader, ServerId());
  std::set<uint64_t> silent;
  c.cut_link = [&](const Message& m) {
    return silent.contains(m.from.value()) || silent.contains(m.to.value());
  };
  // Of the new majority {leader, 4, 5}, only the leader can be reached.
  Configuration joint =
      MakeConfiguration({leader.value(), 4, 5}, {}, {1, 2, 3});
  std::sort(joint.voters.begin(), joint.voters.end(),
            [](const Member& a, const Member& b) { return a.id < b.id; });
  silent = {4, 5};
  c.ProposeConfiguration(leader, joint);
  c.Settle();
  const Index entry = c.core(leader).last_index();
  EXPECT_LT(c.core(leader).commit(), entry);
  // With one of the new ones, both have a majority.
  silent = {5};
  c.Run(300ms);
  ASSERT_EQ(c.leader(), leader);
  EXPECT_GE(c.core(leader).commit(), entry);
  // And none without the old one's.
  silent.clear();
  for (uint64_t id : {1, 2, 3}) {
    if (ServerId(id) != leader) silent.insert(id);
  }
  c.Propose(leader, 1);
  c.Settle();
  EXPECT_LT(c.core(leader).commit(), c.core(leader).last_index());
}

// --- Section 8: clients -----------------------------------------------------

TEST(RaftPaperTest, LeaderServesReadsOnlyAfterACommitInItsTerm) {
  Solo s;
  s.Lead();
  s.Step(ReadRequest{1});
  for (uint64_t peer : {2, 3}) {
    Message m = Solo::From(peer, MessageType::kHeartbeatAnswer, 2);
    m.read_round = 1;
    m.index = Index(2);
    s.Get(m);
    EXPECT_TRUE(s.out().reads_ready.empty());
  }
  s.Accept(2, 2);
  ASSERT_EQ(s.out().reads_ready.size(), 1u);
  EXPECT_EQ(s.out().reads_ready[0].index, Index(2));
}

TEST(RaftPaperTest, LeaderExchangesHeartbeatsWithAMajorityBeforeItReads) {
  Solo s(5);
  s.Lead();
  for (uint64_t peer : {2, 3, 4, 5}) s.Accept(peer, 2);
  s.Step(ReadRequest{1});
  EXPECT_EQ(OfType(s.out(), MessageType::kHeartbeat).size(), 4u);
  EXPECT_TRUE(s.out().reads_ready.empty());
  Message m = Solo::From(2, MessageType::kHeartbeatAnswer, 2);
  m.read_round = 1;
  m.index = Index(2);
  s.Get(m);
  EXPECT_TRUE(s.out().reads_ready.empty());
  m.from = ServerId(3);
  m.read_round = 0;  // an answer to a heartbeat from before the read
  s.Get(m);
  EXPECT_TRUE(s.out().reads_ready.empty());
  m.read_round = 1;
  s.Get(m);
  ASSERT_EQ(s.out().reads_ready.size(), 1u);
}

}  // namespace
}  // namespace holdfast
