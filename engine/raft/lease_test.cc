// Leases (lease.cc): who promises what, and until when a leader counts on it.

#include <cstdint>
#include <vector>

#include "engine/base/check.h"
#include "engine/raft/core.h"
#include "engine/raft/testing/solo.h"
#include "gtest/gtest.h"

namespace holdfast {
namespace {

RaftOptions WithLeases(int64_t drift_ppm_max = 10'000) {
  RaftOptions options;
  options.leases = true;
  options.clock_drift_ppm_max = drift_ppm_max;
  return options;
}

constexpr Duration kPromise = 250ms;  // of the default options

// --- The leader ---

Message Promised(const Solo& s, uint64_t from, Instant sent_at,
                 Duration promise = kPromise) {
  Message m = HeartbeatAnswer(s, from, s.core().last_index().value());
  m.sent_at = sent_at;
  m.promise = promise;
  return m;
}

// Leads three servers since some time, and has just sent heartbeats.
Instant SendHeartbeats(Solo* s) {
  std::vector<Message> heartbeats;
  while (heartbeats.empty()) {
    s->Timeout();
    CHECK(s->core().role() == Role::kLeader);
    heartbeats = OfType(s->out(), MessageType::kHeartbeat);
  }
  const bool asks = s->core().options().leases;
  EXPECT_EQ(heartbeats[0].sent_at, asks ? s->now() : Instant());
  return s->now();
}

bool ReadsAtOnce(Solo* s) {
  const RaftOutput& out = s->Step(ReadRequest{7});
  if (out.reads_ready.empty()) return false;
  EXPECT_EQ(out.reads_ready[0].id, 7u);
  EXPECT_EQ(out.reads_ready[0].index, s->core().commit());
  EXPECT_TRUE(OfType(out, MessageType::kHeartbeat).empty());
  return true;
}

TEST(Lease, AQuorumsPromisesSpareReadsTheirRound) {
  Solo s = Leader(WithLeases());
  EXPECT_FALSE(s.core().HoldsLease(s.now()));
  const Instant sent = SendHeartbeats(&s);
  EXPECT_FALSE(ReadsAtOnce(&s));
  s.Get(Promised(s, 2, sent));
  EXPECT_TRUE(ReadsAtOnce(&s));
}

TEST(Lease, EndsBeforeThePromiseByWhatClocksMayDiffer) {
  for (int64_t ppm : {int64_t{0}, int64_t{10'000}, int64_t{500'000}}) {
    Solo s = Leader(WithLeases(ppm));
    const Instant sent = SendHeartbeats(&s);
    s.Get(Promised(s, 2, sent));
    // A slow clock here, and a fast one there.
    const Duration sure = kPromise * (1'000'000 - ppm) / (1'000'000 + ppm);
    EXPECT_TRUE(s.core().HoldsLease(sent + sure - 2us)) << ppm;
    EXPECT_FALSE(s.core().HoldsLease(sent + sure)) << ppm;
  }
}

TEST(Lease, CountsFromTheSendingOfWhatWasAnswered) {
  Solo s = Leader(WithLeases(0));
  const Instant first = SendHeartbeats(&s);
  const Instant second = SendHeartbeats(&s);
  s.Get(Promised(s, 2, first));
  EXPECT_FALSE(s.core().HoldsLease(first + kPromise));
  s.Get(Promised(s, 2, second));
  EXPECT_TRUE(s.core().HoldsLease(first + kPromise));
  // An old answer takes nothing back.
  s.Get(Promised(s, 2, first));
  EXPECT_TRUE(s.core().HoldsLease(first + kPromise));
  EXPECT_FALSE(s.core().HoldsLease(second + kPromise));
}

TEST(Lease, NeedsPromisesOfAMajority) {
  Solo s = Leader(WithLeases(), 5);
  const Instant sent = SendHeartbeats(&s);
  s.Get(Promised(s, 2, sent));
  // Answers, but promises nothing.
  s.Get(HeartbeatAnswer(s, 3, s.core().last_index().value()));
  EXPECT_FALSE(s.core().HoldsLease(s.now()));
  s.Get(Promised(s, 4, sent));
  EXPECT_TRUE(s.core().HoldsLease(s.now()));
}

TEST(Lease, IgnoresWhatNobodyCanHaveAnswered) {
  Solo s = Leader(WithLeases());
  SendHeartbeats(&s);
  s.Get(Promised(s, 2, s.now() + 1ns));
  s.Get(Promised(s, 3, s.now(), -kPromise));
  s.Get(Promised(s, 3, s.now(), 2h));
  EXPECT_FALSE(s.core().HoldsLease(s.now()));
}

TEST(Lease, NoneIsHeldOnceAnotherWasToldToStand) {
  Solo s = Leader(WithLeases());
  const Instant sent = SendHeartbeats(&s);
  s.Get(Promised(s, 2, sent));
  ASSERT_TRUE(s.core().HoldsLease(s.now()));
  s.Step(Transfer{ServerId(3)});
  ASSERT_FALSE(OfType(s.out(), MessageType::kTimeoutNow).empty());
  EXPECT_FALSE(s.core().HoldsLease(s.now()));
  // Nor when that was given up: the word may still be on its way.
  for (int i = 0; i < 20; ++i) {  // beyond the time that it takes
    const Instant again = SendHeartbeats(&s);
    s.Get(Promised(s, 2, again));
    s.Get(Promised(s, 3, again));
  }
  EXPECT_EQ(s.core().transfer_to(), ServerId());
  EXPECT_EQ(s.core().role(), Role::kLeader);
  EXPECT_FALSE(s.core().HoldsLease(s.now()));
}

TEST(Lease, NoneIsHeldBeforeTheTermsFirstCommit) {
  Solo s(3, {1}, 1, {}, WithLeases());
  s.Lead();
  const Instant sent = SendHeartbeats(&s);
  s.Get(Promised(s, 2, sent));
  EXPECT_FALSE(ReadsAtOnce(&s));
  s.Accept(2, 2);
  EXPECT_TRUE(s.core().HoldsLease(s.now()));
}

TEST(Lease, WithoutItAskingGoesAsEver) {
  Solo s = Leader();
  SendHeartbeats(&s);
  EXPECT_EQ(OfType(s.out(), MessageType::kHeartbeat).size(), 2u);
  s.Get(Promised(s, 2, s.now()));
  EXPECT_FALSE(s.core().HoldsLease(s.now()));
  EXPECT_FALSE(ReadsAtOnce(&s));
}

// --- The follower ---

class LeaseFollower : public testing::Test {
 protected:
  // Server 2 leads term 2, and is promised something.
  const RaftOutput& Heartbeat(Solo* s) {
    Message m = Solo::From(2, MessageType::kHeartbeat, 2);
    m.sent_at = Instant(77s);
    s->Get(m);
    return s->Persist();
  }
  static bool GrantsVote(Solo* s, uint64_t term, bool transfer = false) {
    Message m = Solo::VoteRequest(3, term, 9, 2);
    m.transfer = transfer;
    s->Get(m);
    const auto answers = OfType(s->Persist(), MessageType::kVoteAnswer);
    return !answers.empty() && !answers[0].rejected;
  }
};

TEST_F(LeaseFollower, EchoesTheTimeAndPromises) {
  Solo s(3, {1}, 1, {}, WithLeases());
  const auto answers = OfType(Heartbeat(&s), MessageType::kHeartbeatAnswer);
  ASSERT_EQ(answers.size(), 1u);
  EXPECT_EQ(answers[0].sent_at, Instant(77s));
  EXPECT_EQ(answers[0].promise, kPromise);
}

TEST_F(LeaseFollower, PromisesNothingUnlessBothWantTo) {
  Solo off(3, {1}, 1);
  auto answers = OfType(Heartbeat(&off), MessageType::kHeartbeatAnswer);
  ASSERT_EQ(answers.size(), 1u);
  EXPECT_EQ(answers[0].promise, Duration::zero());
  Solo on(3, {1}, 1, {}, WithLeases());
  on.Get(Solo::From(2, MessageType::kHeartbeat, 2));
  answers = OfType(on.Persist(), MessageType::kHeartbeatAnswer);
  ASSERT_EQ(answers.size(), 1u);
  EXPECT_EQ(answers[0].promise, Duration::zero());
}

TEST_F(LeaseFollower, KeepsItsPromiseThoughTheLeadersConnectionIsLost) {
  Solo s(3, {1}, 1, {}, WithLeases());
  Heartbeat(&s);
  s.Step(PeerLost{ServerId(2)});
  s.Advance(kPromise - 1ns);
  s.Step(Tick{});
  EXPECT_EQ(s.core().role(), Role::kFollower);
  Message pre = Solo::From(3, MessageType::kPreVoteRequest, 3);
  pre.index = Index(9);
  pre.log_term = Term(2);
  s.Get(pre);
  const auto answers = OfType(s.out(), MessageType::kPreVoteAnswer);
  EXPECT_TRUE(answers.empty() || answers[0].rejected);
  EXPECT_FALSE(GrantsVote(&s, 3));
  s.Advance(1ns);
  EXPECT_TRUE(GrantsVote(&s, 3));
}

TEST_F(LeaseFollower, DoesntStandBeforeItsPromiseEnds) {
  Solo s(3, {1}, 1, {}, WithLeases());
  Heartbeat(&s);
  const Instant promised = s.now();
  s.Step(PeerLost{ServerId(2)});
  while (s.core().role() == Role::kFollower) s.Timeout();
  EXPECT_GE(s.now(), promised + kPromise);
  // Once it may, it doesn't wait for its own timeout.
  EXPECT_LE(s.now(),
            promised + kPromise + s.core().options().peer_lost_delay_max);
}

TEST_F(LeaseFollower, VotesForWhomTheLeaderItselfTellsToStand) {
  Solo s(3, {1}, 1, {}, WithLeases());
  Heartbeat(&s);
  EXPECT_TRUE(GrantsVote(&s, 3, /*transfer=*/true));
}

TEST_F(LeaseFollower, StandsWhenTheLeaderTellsItTo) {
  Solo s(3, {1}, 1, {}, WithLeases());
  Heartbeat(&s);
  Message now = Solo::From(2, MessageType::kTimeoutNow, 2);
  now.index = Index(1);
  now.log_term = Term(1);
  s.Get(now);
  EXPECT_EQ(s.core().role(), Role::kCandidate);
}

// In the same term, too, which it may have learned of by another way.
TEST_F(LeaseFollower, KeepsItsPromiseInALaterTerm) {
  Solo s(3, {1}, 1, {}, WithLeases());
  Heartbeat(&s);
  Message stale = Solo::From(3, MessageType::kAppendAnswer, 3);
  stale.index = Index(1);
  s.Get(stale);
  s.Persist();
  ASSERT_EQ(s.core().term(), Term(3));
  EXPECT_FALSE(GrantsVote(&s, 3));
  s.Advance(kPromise);
  EXPECT_TRUE(GrantsVote(&s, 3));
}

TEST_F(LeaseFollower, KeepsWhatAnEarlierProcessMayHavePromised) {
  RaftOptions options;  // leases are off by now
  options.earlier_promise = kPromise;
  Solo s(3, {1}, 1, {}, options);
  s.Advance(kPromise - 1ns);
  EXPECT_FALSE(GrantsVote(&s, 2));
  s.Advance(1ns);
  EXPECT_TRUE(GrantsVote(&s, 2));
}

}  // namespace
}  // namespace holdfast
