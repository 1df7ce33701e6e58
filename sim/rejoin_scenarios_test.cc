// More scenes (see scenarios_test.cc): what one server or client, asked
// directly, may and may not answer, and how the crashed come back.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/batch.h"
#include "gtest/gtest.h"
#include "sim/testing/scenario.h"

namespace holdfast {
namespace {

using RejoinScenario = Scenario;

TEST_F(RejoinScenario,
       PartitionedLeaderStepsDownAndItsUncommittedAppendsAreNeverAcknowledged) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    Make(seed, 3);
    ASSERT_TRUE(Progress(20));
    SimServer* old = sim_->Leader();
    ASSERT_NE(old, nullptr);
    Isolate(old->machine());
    std::optional<AppendOutcome::Kind> kind;
    BatchBuilder batch;
    ASSERT_TRUE(batch.Add("never committed").ok());
    // It isn't told to the history: nobody may ever see it.
    Log(old)->Append(batch.Finish(), {},
                     [&](AppendOutcome outcome) { kind = outcome.kind; });
    EXPECT_TRUE(WaitForOtherLeader(old->machine()));
    ASSERT_TRUE(Progress(20));
    EXPECT_TRUE(sim_->RunUntil([&] { return kind.has_value(); }, 10s)) << seed;
    EXPECT_EQ(kind, AppendOutcome::Kind::kUnknown) << seed;
    EXPECT_FALSE(old->node().is_leader());
    sim_->network()->HealAll();
    ExpectGoodEnd();
    EXPECT_GT(Stat("log_conflict_cut"), 0u);
  }
}

TEST_F(RejoinScenario, MinorityLeaderAnswersNoLinearizableRead) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    Make(seed, 5);
    ASSERT_TRUE(Progress(20));
    SimServer* old = sim_->Leader();
    ASSERT_NE(old, nullptr);
    Isolate(old->machine());
    std::optional<absl::Status> answer;
    Log(old)->Read(
        Offset(0), 1000, ReadMode::kLinearizable,
        [&](absl::StatusOr<ReadResult> result) { answer = result.status(); });
    EXPECT_TRUE(sim_->RunUntil([&] { return answer.has_value(); }, 10s));
    ASSERT_TRUE(answer.has_value()) << seed;
    EXPECT_TRUE(absl::IsUnavailable(*answer)) << *answer;
    sim_->network()->HealAll();
    ExpectGoodEnd();
  }
}

// Its log may end where the cluster's doesn't any more.
TEST_F(RejoinScenario, MinorityLeaderJudgesNoConditionalAppend) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    Make(seed, 5);
    ASSERT_TRUE(Progress(20));
    SimServer* old = sim_->Leader();
    ASSERT_NE(old, nullptr);
    Isolate(old->machine());
    std::optional<AppendOutcome> outcome;
    AppendOptions options;
    options.expected_offset = Log(old)->committed_end() + 100;
    Append(old, SessionId(0), Sequence(0), &outcome, options);
    EXPECT_TRUE(sim_->RunUntil([&] { return outcome.has_value(); }, 10s));
    ASSERT_TRUE(outcome.has_value()) << seed;
    EXPECT_EQ(outcome->kind, AppendOutcome::Kind::kNotLeader)
        << outcome->message;
    sim_->network()->HealAll();
    ExpectGoodEnd();
  }
}

// What it lacks of a producer's session, its successor may have.
TEST_F(RejoinScenario, MinorityLeaderJudgesNoSequence) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    Make(seed, 5);
    ASSERT_TRUE(Progress(20));
    SimServer* old = sim_->Leader();
    ASSERT_NE(old, nullptr);
    std::optional<SessionId> session;
    Log(old)->RegisterSession([&](absl::StatusOr<SessionId> registered) {
      if (registered.ok()) session = *registered;
    });
    ASSERT_TRUE(sim_->RunUntil([&] { return session.has_value(); }, 1s));
    Isolate(old->machine());
    std::optional<AppendOutcome> outcome;
    Append(old, *session, Sequence(2), &outcome);
    EXPECT_TRUE(sim_->RunUntil([&] { return outcome.has_value(); }, 10s));
    ASSERT_TRUE(outcome.has_value()) << seed;
    EXPECT_EQ(outcome->kind, AppendOutcome::Kind::kNotLeader)
        << outcome->message;
    sim_->network()->HealAll();
    ExpectGoodEnd();
  }
}

TEST_F(RejoinScenario, CloseAnswersAllThatIsUnderWay) {
  Make(1, 5);
  ASSERT_TRUE(Progress(20));
  SimServer* old = sim_->Leader();
  ASSERT_NE(old, nullptr);
  Isolate(old->machine());
  std::optional<absl::Status> read;
  Log(old)->Read(Offset(0), 1000, ReadMode::kLinearizable,
                 [&](absl::StatusOr<ReadResult> r) { read = r.status(); });
  std::optional<AppendOutcome> proposed;
  Append(old, SessionId(0), Sequence(0), &proposed);
  std::optional<AppendOutcome> unsure;  // an unknown session, or not a leader
  Append(old, SessionId(999999), Sequence(1), &unsure);
  EXPECT_TRUE(sim_->RunFor(5ms));
  EXPECT_FALSE(read.has_value() || proposed.has_value() || unsure.has_value());
  bool closed = false;
  Log(old)->Close([&](absl::Status) { closed = true; });
  EXPECT_TRUE(sim_->RunUntil([&] { return closed; }, 1s));
  ASSERT_TRUE(read.has_value() && proposed.has_value() && unsure.has_value());
  EXPECT_TRUE(absl::IsUnavailable(*read)) << *read;
  EXPECT_EQ(proposed->kind, AppendOutcome::Kind::kUnknown);
  EXPECT_EQ(unsure->kind, AppendOutcome::Kind::kNotLeader);
}

TEST_F(RejoinScenario, RetriedAppendIsAnsweredWithItsFirstOffset) {
  uint64_t answered = 0;
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    set_clients(3);
    Make(seed, 3, 3);
    for (int round = 0; round < 3; ++round) {
      ASSERT_TRUE(Progress(20));
      SimServer* old = sim_->Leader();
      ASSERT_NE(old, nullptr);
      // Its followers have what it sent, its clients no answers.
      for (MachineId client = 101; client <= 103; ++client) {
        sim_->network()->SetCut(old->machine(), client, true);
      }
      EXPECT_TRUE(sim_->RunFor(300ms));
      old->Crash(false);
      EXPECT_TRUE(WaitForOtherLeader(old->machine()));
      sim_->network()->HealAll();
      old->Start();
    }
    ExpectGoodEnd();
    answered += Stat("log_duplicate_answered");
  }
  EXPECT_GT(answered, 0u);
}

// The peers of a machine without power aren't told that its streams ended.
TEST_F(RejoinScenario, HalfOpenStreamsAreReplaced) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    Make(seed, 3);
    ASSERT_TRUE(Progress(20));
    SimServer* lost = sim_->server(1 + seed % 3);
    lost->Crash(true);
    EXPECT_TRUE(sim_->RunFor(seed * 300ms));
    lost->Start();
    EXPECT_TRUE(Progress(20));
    EXPECT_GT(sim_->Result().network.half_open, 0u);
    ExpectGoodEnd();
  }
}

TEST_F(RejoinScenario, ClientCrashesInTheMidstOfAppends) {
  uint64_t unknown = 0;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    Make(seed, 3);
    for (uint64_t round = 0; round < 5; ++round) {
      ASSERT_TRUE(Progress(5));
      SimClient* client = sim_->client(0);
      client->process()->DieBeforeIo(1 + (seed + round) % 7,
                                     SimProcess::Io::kNetwork,
                                     [client] { client->Crash(); });
      EXPECT_TRUE(sim_->RunUntil([&] { return !client->running(); }, 30s));
      client->Start();
    }
    ExpectGoodEnd();
    unknown += sim_->history().unknown();
  }
  EXPECT_GT(unknown, 0u);
}

// Recovery is cut short at each of its operations, and then runs whole.
TEST_F(RejoinScenario, CrashInEachIoOfARestart) {
  for (const bool power_lost : {false, true}) {
    for (uint64_t n = 1; n <= 40; ++n) {
      Make(n, 3);
      ASSERT_TRUE(Progress(10));
      SimServer* server = sim_->server(1 + n % 3);
      server->Crash(true);
      EXPECT_TRUE(sim_->RunFor(50ms));
      server->Start();
      server->process()->DieBeforeIo(
          n, SimProcess::Io::kAny,
          [server, power_lost] { server->Crash(power_lost); });
      sim_->RunUntil([&] { return !server->running(); }, 5s);
      ExpectGoodEnd();
      if (HasFailure()) {
        FAIL() << "n = " << n << ", power_lost = " << power_lost;
      }
    }
  }
}

// All servers die in the same step of forming their cluster.
TEST_F(RejoinScenario, CrashInEachIoOfForming) {
  for (const bool power_lost : {false, true}) {
    for (uint64_t n = 1; n <= 40; ++n) {
      Make(n, 3);
      for (MachineId m = 1; m <= 3; ++m) {
        SimServer* server = sim_->server(m);
        server->process()->DieBeforeIo(
            n, SimProcess::Io::kAny,
            [server, power_lost] { server->Crash(power_lost); });
      }
      sim_->RunFor(2s);
      ExpectGoodEnd();
      if (HasFailure()) {
        FAIL() << "n = " << n << ", power_lost = " << power_lost;
      }
    }
  }
}

// Its vote and its entries are gone: it must not pass for the old one.
TEST_F(RejoinScenario, WipedDirectoryIsRefused) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    Make(seed, 3);
    ASSERT_TRUE(Progress(20));
    SimServer* wiped = sim_->server(1 + seed % 3);
    wiped->Crash(true);
    wiped->WipeDisk();
    wiped->Start();
    EXPECT_TRUE(Progress(50));
    EXPECT_TRUE(sim_->RunFor(10s)) << sim_->verdict().what();
    EXPECT_FALSE(wiped->node().formed());
    EXPECT_FALSE(wiped->node().forming_status().ok());
    // It doesn't stand in for the majority.
    MachineId other = wiped->machine() % 3 + 1;
    sim_->server(other)->Crash(false);
    EXPECT_TRUE(sim_->RunFor(5s));
    EXPECT_EQ(sim_->Leader(), nullptr);
    sim_->server(other)->Start();
    EXPECT_TRUE(Progress(20));
    EXPECT_TRUE(sim_->verdict().ok()) << sim_->verdict().what();
  }
}

// Raft, figure 8, stopped in the very state of (c): an entry of an older term
// is on a majority, and must not be taken for committed.
TEST_F(RejoinScenario, OldTermsEntryOnAMajorityIsNotCommitted) {
  uint64_t reached = 0;
  uint64_t replaced = 0;
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    Make(seed, 5);
    ASSERT_TRUE(Progress(10));
    sim_->client(0)->Crash();
    EXPECT_TRUE(sim_->RunFor(1s));
    // (a) S1 leads, and has entries that nobody else has.
    SimServer* s1 = sim_->Leader();
    ASSERT_NE(s1, nullptr);
    Isolate(s1->machine());
    const Index old_index = s1->node().core()->last_index() + 1;
    const Term old_term = s1->node().core()->term();
    for (int i = 0; i < 8; ++i) {
      BatchBuilder batch;
      std::string record =
          absl::StrCat("figure 8, ", i, std::string(7000, 'x'));
      const_cast<History&>(sim_->history()).AppendInvoked(record);
      ASSERT_TRUE(batch.Add(record).ok());
      Log(s1)->Append(batch.Finish(), {}, [](AppendOutcome) {});
    }
    EXPECT_TRUE(sim_->RunFor(100ms));
    s1->Crash(false);
    // (b) S5 is elected, and has an entry that nobody else has.
    SimServer* s5 = nullptr;
    for (int i = 0; i < 1000000 && s5 == nullptr; ++i) {
      ASSERT_TRUE(sim_->RunFor(20us));
      s5 = sim_->Leader();
    }
    ASSERT_NE(s5, nullptr);
    Isolate(s5->machine());
    EXPECT_TRUE(sim_->RunFor(50ms));
    s5->Crash(false);
    // (c) S1 leads again, and its old entries get to a majority.
    // The network is so slow that they arrive well before the new term's.
    sim_->network()->HealAll();
    Isolate(s5->machine());
    // Without this one, the others can't elect anybody but S1.
    MachineId s2 = 1;
    while (s2 == s1->machine() || s2 == s5->machine()) ++s2;
    Isolate(s2);
    SimNetworkOptions slow;
    slow.bytes_per_s = 1 << 20;
    sim_->network()->set_options(slow);
    s1->Start();
    bool on_majority = false;
    for (int i = 0; i < 500000 && !on_majority; ++i) {
      ASSERT_TRUE(sim_->RunFor(20us)) << sim_->verdict().what();
      int holders = 0;
      for (MachineId m = 1; m <= 5; ++m) {
        SimServer* s = sim_->server(m);
        if (!s->running() || !s->node().formed()) continue;
        const RaftCore& core = *s->node().core();
        if (core.durable() >= old_index &&
            core.trail().Has(old_index, old_term)) {
          ++holders;
        }
      }
      on_majority = holders >= 3;
    }
    if (on_majority && s1->node().core()->commit() < old_index) ++reached;
    Isolate(s1->machine());
    s1->Crash(false);
    // (d) S5 may lead again, and replace them.
    const uint64_t cut = Stat("log_conflict_cut");
    sim_->network()->HealAll();
    s5->Start();
    EXPECT_TRUE(WaitForOtherLeader(s1->machine()));
    ExpectGoodEnd();
    if (Stat("log_conflict_cut") > cut + 1) ++replaced;
    if (HasFailure()) FAIL() << "seed " << seed;
  }
  EXPECT_GT(reached, 20u);
  EXPECT_GT(replaced, 0u);
  RecordProperty("reached", static_cast<int>(reached));
  RecordProperty("replaced", static_cast<int>(replaced));
}

}  // namespace
}  // namespace holdfast
