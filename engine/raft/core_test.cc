// Pre-vote, check-quorum, stalled disks, ReadIndex, membership, and input that
// should not come in: what RaftCore does beyond the paper's rules.

#include "engine/raft/core.h"

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "engine/raft/testing/cluster.h"
#include "engine/raft/testing/solo.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace holdfast {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// --- Pre-vote and check-quorum ----------------------------------------------

TEST(CorePreVoteTest, ServerThatWasCutOffDisturbsNobody) {
  TestCluster c(3, MakeConfiguration({1, 2, 3}), RaftOptions());
  c.Run(2s);
  const ServerId leader = c.leader();
  ASSERT_NE(leader, ServerId());
  const ServerId lonely = leader == ServerId(1) ? ServerId(2) : ServerId(1);
  const Term term = c.core(leader).term();
  c.cut_link = [&](const Message& m) {
    return m.from == lonely || m.to == lonely;
  };
  c.Run(5s);
  EXPECT_EQ(c.core(lonely).role(), Role::kPreCandidate);
  EXPECT_EQ(c.core(lonely).term(), term);
  c.cut_link = nullptr;
  c.Run(1s);
  EXPECT_EQ(c.leader(), leader);
  EXPECT_EQ(c.core(lonely).leader(), leader);
  EXPECT_EQ(c.core(leader).term(), term);
}

TEST(CorePreVoteTest, ServerWithAHigherTermIsNotStuck) {
  // It became a candidate of term 9 in an earlier life.
  TestCluster c(3, MakeConfiguration({1, 2, 3}), RaftOptions());
  c.Crash(ServerId(3));
  c.Run(2s);
  ASSERT_NE(c.leader(), ServerId());
  c.server(ServerId(3)).hard_state = {Term(9), ServerId(3)};
  c.Restart(ServerId(3));
  c.Run(3s);
  ASSERT_NE(c.leader(), ServerId());
  EXPECT_GT(c.core(c.leader()).term(), Term(9));
  for (ServerId id : c.ids()) EXPECT_EQ(c.core(id).leader(), c.leader());
  EXPECT_GT(c.Stats()["stale_leader_answered"], 0u);
}

TEST(CorePreVoteTest, RefusedWhileALeaderIsAliveAndGrantedAfterwards) {
  Solo s;
  s.Get(Solo::From(2, MessageType::kHeartbeat, 1));
  Message ask = Solo::VoteRequest(3, 2, 1, 1);
  ask.type = MessageType::kPreVoteRequest;
  s.Get(ask);
  ASSERT_EQ(s.out().messages.size(), 1u);
  EXPECT_TRUE(s.out().messages[0].rejected);
  EXPECT_EQ(s.out().messages[0].term, Term(1));
  s.Advance(250ms);
  s.Get(ask);
  ASSERT_EQ(s.out().messages.size(), 1u);
  EXPECT_FALSE(s.out().messages[0].rejected);
  EXPECT_EQ(s.out().messages[0].term, Term(2));
  EXPECT_EQ(s.core().term(), Term(1));
  EXPECT_FALSE(s.out().persist.has_value());
}

TEST(CorePreVoteTest, LostConnectionToTheLeaderStartsItSoon) {
  Solo s;
  s.Get(Solo::From(2, MessageType::kHeartbeat, 1));
  s.Step(PeerLost{ServerId(3)});
  EXPECT_EQ(s.core().leader(), ServerId(2));
  s.Step(PeerLost{ServerId(2)});
  EXPECT_EQ(s.core().leader(), ServerId());
  EXPECT_LE(s.out().wake, s.now() + s.core().options().peer_lost_delay_max);
  s.Timeout();
  EXPECT_EQ(s.core().role(), Role::kPreCandidate);
  // The leader was there after all.
  s.Get(Solo::From(2, MessageType::kHeartbeat, 1));
  EXPECT_EQ(s.core().role(), Role::kFollower);
  EXPECT_EQ(s.core().leader(), ServerId(2));
}

TEST(CoreCheckQuorumTest, LeaderThatHearsFromNoQuorumStepsDown) {
  Solo s = Leader({}, 5);
  for (int i = 0; i < 20; ++i) {  // two of four others: a quorum
    s.Advance(50ms);
    s.Step(Tick{});
    s.Get(HeartbeatAnswer(s, 2, 2));
    s.Get(HeartbeatAnswer(s, 3, 2));
    EXPECT_EQ(s.core().role(), Role::kLeader);
  }
  s.Step(ReadRequest{1});
  bool failed = false;
  for (int i = 0; i < 12; ++i) {
    s.Advance(50ms);
    s.Step(Tick{});
    if (s.core().role() != Role::kLeader) {
      failed = failed || !s.out().reads_failed.empty();
      break;
    }
    s.Get(HeartbeatAnswer(s, 2, 2));
  }
  EXPECT_EQ(s.core().role(), Role::kFollower);
  EXPECT_EQ(s.core().stats().stepped_down_check_quorum, 1u);
  EXPECT_TRUE(failed);
}

// --- Stalled disks ----------------------------------------------------------

TEST(CoreDiskStallTest, LeaderWhoseDiskStallsStepsDownAndStaysDown) {
  Solo s = Leader();
  s.Propose();
  for (int i = 0; i < 19; ++i) {
    s.Advance(50ms);
    s.Step(Tick{});
    s.Get(HeartbeatAnswer(s, 2, 3));
    s.Get(HeartbeatAnswer(s, 3, 3));
    ASSERT_EQ(s.core().role(), Role::kLeader);
  }
  s.Timeout();
  EXPECT_EQ(s.core().role(), Role::kFollower);
  EXPECT_EQ(s.core().stats().stepped_down_disk_stall, 1u);
  for (int i = 0; i < 10; ++i) {
    s.Timeout();
    EXPECT_EQ(s.core().role(), Role::kFollower);
  }
  s.Persist();
  s.Timeout();
  EXPECT_EQ(s.core().role(), Role::kPreCandidate);
}

// --- Checkpoints ------------------------------------------------------------

// Server 2 votes as the one that the log's configuration names; by the
// checkpoint's, which waited for the disk, its id is another server's.
TEST(CoreCheckpointTest, ACandidateThatInstallsOneHasNoVotesAnyMore) {
  Solo s(5);
  s.Timeout();
  s.GetVotes(MessageType::kPreVoteAnswer, 2);
  s.Persist();
  ASSERT_EQ(s.core().role(), Role::kCandidate);
  s.Get(Solo::From(2, MessageType::kVoteAnswer, 2));
  ASSERT_EQ(s.core().role(), Role::kCandidate);
  Configuration three = MakeConfiguration({1, 2, 3});
  three.voters[1].incarnation = Incarnation(200);
  s.Step(InstallCheckpoint{
      Index(9),
      Term(1),
      {Index(9), std::make_shared<const Configuration>(std::move(three))}});
  EXPECT_EQ(s.core().role(), Role::kFollower);
  EXPECT_EQ(s.core().last_index(), Index(9));
  // Nor does the other server's vote, on its way meanwhile, count for long.
  s.Get(Solo::From(3, MessageType::kVoteAnswer, 2));
  EXPECT_EQ(s.core().role(), Role::kFollower);
}

// --- ReadIndex --------------------------------------------------------------

TEST(CoreReadTest, ReadsThatComeDuringARoundShareTheNextOne) {
  Solo s = Leader();
  s.Step(ReadRequest{1});
  EXPECT_EQ(OfType(s.out(), MessageType::kHeartbeat).size(), 2u);
  s.Step(ReadRequest{2});
  s.Step(ReadRequest{3});
  EXPECT_THAT(s.out().messages, IsEmpty());
  s.Get(HeartbeatAnswer(s, 2, 2, 1));
  ASSERT_EQ(s.out().reads_ready.size(), 1u);
  EXPECT_EQ(s.out().reads_ready[0].id, 1u);
  EXPECT_EQ(OfType(s.out(), MessageType::kHeartbeat).size(), 2u);
  // The other one's late answer to round 1 confirms nothing for round 2.
  s.Get(HeartbeatAnswer(s, 3, 2, 1));
  EXPECT_THAT(s.out().reads_ready, IsEmpty());
  s.Get(HeartbeatAnswer(s, 3, 2, 2));
  ASSERT_EQ(s.out().reads_ready.size(), 2u);
  EXPECT_EQ(s.core().reads_waiting(), 0u);
}

TEST(CoreReadTest, LostRoundIsRepeatedByTheNextHeartbeat) {
  Solo s = Leader();
  s.Step(ReadRequest{1});  // all its messages are lost
  s.Advance(50ms);
  s.Step(Tick{});
  const auto heartbeats = OfType(s.out(), MessageType::kHeartbeat);
  ASSERT_EQ(heartbeats.size(), 2u);
  EXPECT_EQ(heartbeats[0].read_round, 1u);
}

TEST(CoreReadTest, ReadFailsWhenLeadershipIsLost) {
  Solo s = Leader();
  s.Step(ReadRequest{1});
  s.Step(ReadRequest{2});
  s.Get(Solo::From(3, MessageType::kHeartbeat, 9));
  EXPECT_THAT(s.out().reads_failed, ElementsAre(1u, 2u));
  s.Step(ReadRequest{3});
  EXPECT_THAT(s.out().reads_failed, ElementsAre(3u));
}

TEST(CoreReadTest, DeposedLeaderCannotReadAnOldState) {
  TestCluster c(3, MakeConfiguration({1, 2, 3}), RaftOptions());
  c.Run(2s);
  const ServerId old_leader = c.leader();
  c.cut_link = [&](const Message& m) {
    return m.from == old_leader || m.to == old_leader;
  };
  // Its clock stands still, as if it were stopped, while the others go on.
  for (int i = 0; i < 3000 && (c.leader() == old_leader); ++i) {
    c.Advance(1ms);
    for (ServerId id : c.ids()) {
      if (id != old_leader) c.Step(id, Tick{});
    }
    c.Settle();
  }
  ASSERT_NE(c.leader(), old_leader);
  c.Propose(c.leader(), 1);
  c.Settle();
  ASSERT_EQ(c.core(old_leader).role(), Role::kLeader);
  c.Read(old_leader, 1);
  c.cut_link = nullptr;
  c.Run(1s);
  EXPECT_THAT(c.reads_ready(), IsEmpty());
  EXPECT_THAT(c.reads_failed(), ElementsAre(1u));
}

TEST(CoreReadTest, SmallerQuorumOfANewConfigurationFinishesARound) {
  Solo s = Leader({}, 4);
  s.Step(ReadRequest{1});
  s.Get(HeartbeatAnswer(s, 2, 2, 1));
  EXPECT_THAT(s.out().reads_ready, IsEmpty());  // two of four
  struct Propose propose;
  propose.entries.resize(1);
  propose.entries[0].kind = EntryKind::kConfiguration;
  propose.entries[0].size = 100;
  propose.entries[0].configuration =
      std::make_shared<const Configuration>(MakeConfiguration({1, 2, 3}));
  s.Step(propose);
  EXPECT_EQ(s.out().reads_ready.size(), 1u);
}

// --- Membership -------------------------------------------------------------

TEST(CoreMembershipTest, LearnersGetTheLogButHaveNoSay) {
  TestCluster c(3, MakeConfiguration({1, 2}, {3}), RaftOptions());
  c.Run(2s);
  const ServerId leader = c.leader();
  ASSERT_NE(leader, ServerId());
  c.Propose(leader, 5);
  c.Run(200ms);
  EXPECT_EQ(c.core(ServerId(3)).commit(), c.core(leader).last_index());
  const ServerId other = leader == ServerId(1) ? ServerId(2) : ServerId(1);
  c.Crash(other);
  c.Propose(leader, 1);
  c.Settle();
  EXPECT_LT(c.core(leader).commit(), c.core(leader).last_index());
  c.Crash(leader);
  c.Run(3s);
  EXPECT_EQ(c.core(ServerId(3)).role(), Role::kFollower);
}

TEST(CoreMembershipTest, OneConfigurationChangeAtATime) {
  TestCluster c(3, MakeConfiguration({1, 2, 3}), RaftOptions());
  c.Run(2s);
  const ServerId leader = c.leader();
  c.ProposeConfiguration(leader, MakeConfiguration({1, 2, 3}, {}, {1, 2, 3}));
  EXPECT_EQ(c.output().rejected_proposals, 0u);
  c.ProposeConfiguration(leader, MakeConfiguration({1, 2, 3}));
  EXPECT_EQ(c.output().rejected_proposals, 1u);
  c.Settle();
  c.ProposeConfiguration(leader, MakeConfiguration({1, 2, 3}));
  EXPECT_EQ(c.output().rejected_proposals, 0u);
}

TEST(CoreMembershipTest, LeaderThatIsRemovedLeadsUntilThatIsCommitted) {
  TestCluster c(4, MakeConfiguration({1, 2, 3}), RaftOptions());
  c.Run(2s);
  const ServerId leader = c.leader();
  std::vector<uint64_t> rest;
  for (uint64_t id = 1; id <= 3; ++id) {
    if (ServerId(id) != leader) rest.push_back(id);
  }
  c.ProposeConfiguration(leader, MakeConfiguration(rest, {}, {1, 2, 3}));
  c.Settle();
  c.ProposeConfiguration(leader, MakeConfiguration(rest));
  EXPECT_EQ(c.core(leader).role(), Role::kLeader);
  EXPECT_EQ(c.core(leader).progress().size(), 2u);
  c.Settle();
  EXPECT_EQ(c.core(leader).role(), Role::kFollower);
  EXPECT_EQ(c.Stats()["stepped_down_removed"], 1u);
  EXPECT_FALSE(c.core(leader).may_stand());
  c.Run(2s);
  EXPECT_NE(c.leader(), ServerId());
  EXPECT_NE(c.leader(), leader);
}

TEST(CoreMembershipTest, ConfigurationOfACutSuffixIsForgotten) {
  Solo s;
  Message m = Solo::Append(2, 2, 1, 1, {2});
  m.entries[0].kind = EntryKind::kConfiguration;
  m.entries[0].configuration =
      std::make_shared<const Configuration>(MakeConfiguration({1, 2}));
  s.Get(m);
  EXPECT_EQ(s.core().configuration_index(), Index(2));
  EXPECT_EQ(s.core().configuration().voters.size(), 2u);
  s.Get(Solo::Append(3, 3, 1, 1, {3}));
  EXPECT_EQ(s.core().configuration_index(), Index(1));
  EXPECT_EQ(s.core().configuration().voters.size(), 3u);
}

TEST(CoreMembershipTest, ServerWithoutAConfigurationNeverStands) {
  RaftOptions options;
  options.id = ServerId(1);
  options.incarnation = Incarnation(1);
  RaftCore core(options, RaftRecovered(), Instant(1s));
  RaftOutput out;
  Instant now = Instant(1s);
  for (int i = 0; i < 10; ++i) {
    now = core.wake();
    core.Step({now, Tick{}}, &out);
    EXPECT_EQ(core.role(), Role::kFollower);
    EXPECT_THAT(out.messages, IsEmpty());
  }
}

// --- What should not come in ------------------------------------------------

TEST(CoreInputTest, MalformedMessagesAreCountedAndIgnored) {
  Solo s;
  std::vector<Message> bad(7, Solo::Append(2, 2, 1, 1, {2, 2}));
  bad[0].to = ServerId(9);
  bad[1].entries[1].index = Index(7);
  bad[2].entries[1].term = Term(3);
  bad[3].entries[1].term = Term(1);
  bad[4].type = MessageType::kHeartbeat;  // with entries
  bad[5].from = ServerId(1);
  bad[6].entries[0].kind = EntryKind::kConfiguration;  // without one
  bad.push_back(Solo::From(2, static_cast<MessageType>(77), 2));
  bad.push_back(Solo::From(2, MessageType::kHeartbeat, 2));
  bad.back().transfer = true;
  bad.push_back(Solo::From(2, MessageType::kHeartbeat, 0));
  for (const Message& m : bad) {
    s.Get(m);
    EXPECT_THAT(s.out().messages, IsEmpty());
    EXPECT_EQ(s.core().term(), Term(1));
  }
  EXPECT_EQ(s.core().stats().message_malformed, bad.size());
}

TEST(CoreInputTest, AcknowledgementOfMoreThanThereIsCommitsNothing) {
  Solo s = Leader();
  s.Accept(2, 99);
  s.Accept(3, 99);
  EXPECT_EQ(s.core().commit(), Index(2));
  EXPECT_EQ(ProgressOf(s, 2).match(), Index(2));
}

TEST(CoreInputTest, ProposalsAtAFollowerComeBack) {
  Solo s;
  s.Propose(3);
  EXPECT_EQ(s.out().rejected_proposals, 3u);
  EXPECT_FALSE(s.out().persist.has_value());
}

TEST(CoreDeathTest, LogThatContradictsACommittedEntryStopsTheProcess) {
  Solo s(3, {1, 1, 1}, 3);
  EXPECT_DEATH(s.Get(Solo::Append(2, 2, 1, 1, {2})), "from > commit_");
}

TEST(CoreDeathTest, TwoLeadersInATermStopTheProcess) {
  Solo s;
  s.Get(Solo::From(2, MessageType::kHeartbeat, 1));
  EXPECT_DEATH(s.Get(Solo::From(3, MessageType::kHeartbeat, 1)), "leader_");
}

TEST(CoreStatsTest, EveryCounterHasAName) {
  std::set<std::string> names;
  CoreStats().ForEach([&](const char* name, uint64_t) { names.insert(name); });
  EXPECT_EQ(names.size() * sizeof(uint64_t), sizeof(CoreStats));
}

}  // namespace
}  // namespace holdfast
