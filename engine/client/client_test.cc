#include "engine/client/client.h"

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/base/random.h"
#include "engine/client/client_fixture.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace holdfast {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using Kind = ClientOutcome::Kind;
using Reason = ClientOutcome::Reason;

TEST_F(ClientTest, AppendsInOrderAndTellsOffsets) {
  for (const char* value : {"a", "b", "c"}) ASSERT_TRUE(Append(value).ok());
  EXPECT_THAT(outcomes_, IsEmpty());
  loop_.RunDue();
  EXPECT_THAT(Records(), ElementsAre("a", "b", "c"));
  for (const char* value : {"a", "b", "c"}) {
    EXPECT_EQ(outcomes_[value].kind, Kind::kCommitted);
  }
  EXPECT_EQ(outcomes_["c"].offset, Offset(2));
  EXPECT_EQ(client_->leader(), "s:1");
  EXPECT_EQ(client_->session(), SessionId(1));
  EXPECT_EQ(client_->appends_pending(), 0u);
  EXPECT_EQ(client_->append_bytes_pending(), 0u);
}

TEST_F(ClientTest, FollowsTheHintToTheLeader) {
  log_.leader = "s:3";
  ASSERT_TRUE(Append("a").ok());
  loop_.RunDue();
  EXPECT_EQ(outcomes_["a"].kind, Kind::kCommitted);
  EXPECT_EQ(client_->leader(), "s:3");
  EXPECT_EQ(network_.dials(), 2u);
}

TEST_F(ClientTest, TriesAllServersWhenThereAreNoHints) {
  log_.leader = "s:3";
  for (auto& [address, server] : servers_) server->set_hints(false);
  ASSERT_TRUE(Append("a").ok());
  loop_.RunFor(100ms);
  EXPECT_EQ(outcomes_["a"].kind, Kind::kCommitted);
}

TEST_F(ClientTest, SkipsServersThatAreDown) {
  servers_.erase("s:1");
  log_.leader = "s:2";
  ASSERT_TRUE(Append("a").ok());
  loop_.RunDue();
  EXPECT_EQ(outcomes_["a"].kind, Kind::kCommitted);
}

TEST_F(ClientTest, ALostAnswerIsAskedForAgainAndNothingIsTwice) {
  server(1).set_mode(FakeServer::Mode::kSilent);
  ASSERT_TRUE(Append("a").ok());
  ASSERT_TRUE(Append("b").ok());
  loop_.RunDue();
  EXPECT_EQ(Records().size(), 2u);  // but nobody said so
  EXPECT_THAT(outcomes_, IsEmpty());
  log_.leader = "s:2";
  server(1).DropClients();
  loop_.RunFor(1s);
  EXPECT_THAT(Records(), ElementsAre("a", "b"));
  EXPECT_EQ(outcomes_["a"].offset, Offset(0));
  EXPECT_EQ(outcomes_["b"].offset, Offset(1));
}

TEST_F(ClientTest, AnUnknownAnswerIsAskedForAgain) {
  server(1).set_mode(FakeServer::Mode::kUnknown);
  ASSERT_TRUE(Append("a").ok());
  loop_.RunFor(1s);
  EXPECT_THAT(outcomes_, IsEmpty());
  server(1).set_mode(FakeServer::Mode::kServe);
  loop_.RunFor(1s);
  EXPECT_EQ(outcomes_["a"].kind, Kind::kCommitted);
  EXPECT_THAT(Records(), ElementsAre("a"));
}

TEST_F(ClientTest, OnlyOneAppendAsksWhoLeads) {
  ASSERT_TRUE(Append("a").ok());
  loop_.RunDue();
  for (auto& [address, server] : servers_) server->set_hints(false);
  log_.leader = "nobody";
  server(1).DropClients();
  std::vector<std::string> values{"a"};
  for (int i = 0; i < 100; ++i) {
    values.push_back(absl::StrCat(100 + i));
    ASSERT_TRUE(Append(values.back()).ok());
  }
  const uint64_t before = server(1).appends();
  loop_.RunFor(2s);
  const uint64_t asked = server(1).appends() - before;
  // Once a round, with pauses of 10 to 250 ms.
  EXPECT_GE(asked, 8u);
  EXPECT_LE(asked, 20u);
  log_.leader = "s:3";
  loop_.RunFor(1s);
  EXPECT_EQ(Records(), values);
  EXPECT_LT(server(3).appends(), 130u);
}

TEST_F(ClientTest, ForEverIsATimeout) {
  servers_.clear();
  ASSERT_TRUE(Append("a", {.timeout = Duration::max()}).ok());
  absl::Status read;
  client_->Read(Offset(0), {.timeout = Duration::max()},
                [&](absl::StatusOr<ClientReadResult> r) { read = r.status(); });
  loop_.RunFor(10s);
  EXPECT_THAT(outcomes_, IsEmpty());
  EXPECT_TRUE(read.ok()) << read;
}

// Nobody leads for long: what was never sent goes, and isn't in anybody's way.
TEST_F(ClientTest, ManyAppendsMayTimeOutBehindAnUnknownOne) {
  server(1).set_mode(FakeServer::Mode::kSwallow);
  ClientOptions options;
  options.appends_in_flight_max = 1;
  NewClient(options);
  ASSERT_TRUE(Append("first", {.timeout = 100ms}).ok());
  loop_.RunDue();
  for (int i = 0; i < 500; ++i) {
    const std::string value = absl::StrCat("v", i);
    // One in ten has time enough.
    ASSERT_TRUE(
        Append(value, {.timeout = i % 10 == 0 ? Duration(60s) : 50ms}).ok());
    loop_.RunFor(1ms);
  }
  loop_.RunFor(1s);
  EXPECT_EQ(outcomes_["first"].kind, Kind::kUnknown);
  EXPECT_EQ(outcomes_.size(), 451u);
  EXPECT_EQ(client_->appends_pending(), 50u);
  server(1).set_mode(FakeServer::Mode::kServe);
  server(1).DropClients();
  ASSERT_TRUE(Append("last").ok());
  loop_.RunFor(5s);
  std::vector<std::string> expected{"first"};
  for (int i = 0; i < 500; i += 10) expected.push_back(absl::StrCat("v", i));
  expected.push_back("last");
  EXPECT_EQ(Records(), expected);
  EXPECT_EQ(outcomes_["v490"].kind, Kind::kCommitted);
  EXPECT_EQ(outcomes_["v491"].kind, Kind::kRejected);
  EXPECT_EQ(client_->appends_pending(), 0u);
  EXPECT_EQ(client_->append_bytes_pending(), 0u);
}

TEST_F(ClientTest, KeepsTheOrderWhenTheServerIsOverloaded) {
  server(1).set_mode(FakeServer::Mode::kOverloaded, 3);
  std::vector<std::string> values;
  for (int i = 0; i < 50; ++i) values.push_back(absl::StrCat("v", 100 + i));
  for (const std::string& value : values) ASSERT_TRUE(Append(value).ok());
  loop_.RunFor(5s);
  EXPECT_EQ(Records(), values);
  EXPECT_EQ(outcomes_.size(), values.size());
}

TEST_F(ClientTest, LeavesALeaderThatFellSilent) {
  ASSERT_TRUE(Append("a").ok());
  loop_.RunDue();
  network_.set_black_hole(true);
  ASSERT_TRUE(Append("b").ok());
  loop_.RunFor(3s);
  EXPECT_EQ(outcomes_.count("b"), 0u);
  network_.set_black_hole(false);
  log_.leader = "s:2";
  loop_.RunFor(2s);
  EXPECT_EQ(outcomes_["b"].kind, Kind::kCommitted);
  EXPECT_THAT(Records(), ElementsAre("a", "b"));
}

TEST_F(ClientTest, AWrongOffsetIsRejectedAndLaterOnesGoOn) {
  ASSERT_TRUE(Append("a").ok());
  ASSERT_TRUE(Append("b", {.expected_offset = Offset(7)}).ok());
  ASSERT_TRUE(Append("c").ok());
  ASSERT_TRUE(Append("d", {.expected_offset = Offset(2)}).ok());
  loop_.RunFor(1s);
  EXPECT_EQ(outcomes_["b"].kind, Kind::kRejected);
  EXPECT_EQ(outcomes_["b"].reason, Reason::kWrongOffset);
  EXPECT_EQ(outcomes_["b"].offset, Offset(1));
  EXPECT_EQ(outcomes_["c"].kind, Kind::kCommitted);
  EXPECT_EQ(outcomes_["d"].kind, Kind::kCommitted);
  EXPECT_THAT(Records(), ElementsAre("a", "c", "d"));
  // One behind which nothing waits costs no new session.
  const uint64_t sessions = log_.sessions;
  ASSERT_TRUE(Append("e", {.expected_offset = Offset(0)}).ok());
  loop_.RunDue();
  ASSERT_TRUE(Append("f").ok());
  loop_.RunDue();
  EXPECT_EQ(outcomes_["e"].kind, Kind::kRejected);
  EXPECT_EQ(outcomes_["f"].kind, Kind::kCommitted);
  EXPECT_EQ(log_.sessions, sessions);
}

TEST_F(ClientTest, WhatWasNeverSentIsRejectedInTime) {
  servers_.clear();
  ASSERT_TRUE(Append("a", {.timeout = 2s}).ok());
  loop_.RunFor(1900ms);
  EXPECT_THAT(outcomes_, IsEmpty());
  loop_.RunFor(200ms);
  EXPECT_EQ(outcomes_["a"].kind, Kind::kRejected);
  EXPECT_EQ(outcomes_["a"].reason, Reason::kUnavailable);
  for (const char* address : {"s:1", "s:2", "s:3"}) {
    EXPECT_THAT(outcomes_["a"].message,
                HasSubstr(absl::StrCat(address, ": connect: connection")));
  }
}

TEST_F(ClientTest, WhatMayHaveArrivedIsUnknownAndStillSettled) {
  server(1).set_mode(FakeServer::Mode::kSwallow);
  ASSERT_TRUE(Append("a", {.timeout = 2s}).ok());
  ASSERT_TRUE(Append("b", {.timeout = 60s}).ok());
  loop_.RunFor(3s);
  EXPECT_EQ(outcomes_["a"].kind, Kind::kUnknown);
  EXPECT_EQ(client_->appends_pending(), 1u);
  server(1).set_mode(FakeServer::Mode::kServe);
  server(1).DropClients();
  loop_.RunFor(1s);
  // "b" waits for "a", which therefore had to be sent again.
  EXPECT_EQ(outcomes_["b"].kind, Kind::kCommitted);
  EXPECT_THAT(Records(), ElementsAre("a", "b"));
}

TEST_F(ClientTest, WhatWasCertainlyNotAppendedIsRejectedInTime) {
  server(1).set_mode(FakeServer::Mode::kOverloaded, 1'000'000);
  ASSERT_TRUE(Append("a", {.timeout = 2s}).ok());
  ASSERT_TRUE(Append("b", {.timeout = 60s}).ok());
  loop_.RunFor(3s);
  EXPECT_EQ(outcomes_["a"].kind, Kind::kRejected);
  EXPECT_EQ(outcomes_["a"].reason, Reason::kUnavailable);
  server(1).set_mode(FakeServer::Mode::kServe);
  loop_.RunFor(1s);
  EXPECT_EQ(outcomes_["b"].kind, Kind::kCommitted);
  EXPECT_THAT(Records(), ElementsAre("b"));
}

TEST_F(ClientTest, BoundsWhatWaitsAndWhatIsInFlight) {
  ClientOptions options;
  options.queue_bytes_max = 10'000;
  options.appends_in_flight_max = 4;
  NewClient(options);
  server(1).set_mode(FakeServer::Mode::kSilent);
  int taken = 0;
  while (Append(absl::StrCat("v", taken), {}).ok()) ++taken;
  EXPECT_GT(taken, 100);
  EXPECT_LT(taken, 300);
  loop_.RunDue();
  EXPECT_EQ(server(1).unanswered_max(), 4u);
  EXPECT_TRUE(absl::IsResourceExhausted(Append("more")));
  server(1).set_mode(FakeServer::Mode::kServe);
  server(1).DropClients();
  loop_.RunFor(1s);
  EXPECT_EQ(outcomes_.size(), static_cast<size_t>(taken));
  EXPECT_TRUE(Append("more").ok());
}

TEST_F(ClientTest, AReaderMayNotAppend) {
  server(1).set_read_only(true);
  ASSERT_TRUE(Append("a").ok());
  loop_.RunDue();
  EXPECT_EQ(outcomes_["a"].kind, Kind::kRejected);
  EXPECT_EQ(outcomes_["a"].reason, Reason::kPermission);
  EXPECT_EQ(outcomes_["a"].message, "only reads");
}

TEST_F(ClientTest, CloseSettlesAll) {
  server(1).set_mode(FakeServer::Mode::kSwallow);
  ClientOptions options;
  options.appends_in_flight_max = 1;
  NewClient(options);
  ASSERT_TRUE(Append("sent").ok());
  ASSERT_TRUE(Append("waits").ok());
  loop_.RunDue();
  log_.leader = "nobody";
  absl::Status read;
  client_->Read(Offset(0), {},
                [&](absl::StatusOr<ClientReadResult> r) { read = r.status(); });
  client_->Close([this](const absl::Status&) { client_ = nullptr; });
  EXPECT_THAT(outcomes_, IsEmpty());
  EXPECT_TRUE(absl::IsFailedPrecondition(Append("late")));
  loop_.RunDue();
  EXPECT_EQ(client_, nullptr);
  EXPECT_EQ(outcomes_["sent"].kind, Kind::kUnknown);
  EXPECT_EQ(outcomes_["waits"].kind, Kind::kRejected);
  EXPECT_TRUE(absl::IsCancelled(read));
}

// Callers may be in the midst of something that asks again and again.
TEST_F(ClientTest, WhatIsAskedForAfterCloseIsCancelled) {
  std::vector<absl::Status> ends;
  const auto tail = [&](const ClientTailOptions& options) {
    ClientTailCallbacks callbacks;
    callbacks.on_batches = [](const std::vector<LogBatch>&) {};
    callbacks.on_end = [&](absl::Status why) { ends.push_back(why); };
    return client_->Tail(Offset(0), options, std::move(callbacks));
  };
  std::vector<std::unique_ptr<ClientTail>> tails;
  tails.push_back(tail({}));
  tails.push_back(tail({.server = "s:2"}));
  tails.push_back(tail({.server = "s:9"}));
  loop_.RunDue();
  tails.push_back(tail({.server = "s:3"}));  // not connected yet
  int asked = 0;
  InlineFunction<void()> ask = [&] {
    client_->Read(Offset(0), {}, [&](absl::StatusOr<ClientReadResult> r) {
      EXPECT_TRUE(absl::IsCancelled(r.status())) << r.status();
      if (++asked < 5) ask();
    });
  };
  log_.leader = "nobody";
  ask();
  client_->Close(nullptr);
  loop_.RunFor(1s);
  EXPECT_EQ(asked, 5);
  tails.push_back(tail({}));
  tails.push_back(tail({.server = "s:2"}));
  absl::Status status;
  client_->Status("s:1", 1s, [&](absl::StatusOr<ServerStatus> s) {
    status = std::move(s).status();
  });
  client_->Transfer(ServerId(0), 1s, TakeDone());
  loop_.RunFor(1s);
  EXPECT_TRUE(absl::IsCancelled(status)) << status;
  ASSERT_TRUE(done_.has_value());
  EXPECT_TRUE(absl::IsCancelled(*done_)) << *done_;
  ASSERT_EQ(ends.size(), 6u);
  EXPECT_TRUE(absl::IsUnavailable(ends[0])) << ends[0];  // s:9, before
  for (size_t i = 1; i < ends.size(); ++i) {
    EXPECT_TRUE(absl::IsCancelled(ends[i])) << ends[i];
  }
  EXPECT_EQ(server(3).tails(), 0u);
}

TEST_F(ClientTest, OutcomesMayAppend) {
  int left = 100;
  InlineFunction<void()> next = [&] {
    if (left-- == 0) return;
    ASSERT_TRUE(
        client_->Append(BatchOf("x"), {}, [&](const ClientOutcome&) { next(); })
            .ok());
  };
  next();
  loop_.RunFor(1s);
  EXPECT_EQ(Records().size(), 100u);
}

// Leaders change, connections break, answers get lost: whatever was appended
// is in the log once, in order; and what was acknowledged is there.
// The server that is hinted at had a stream, which is lost just then, so that
// it is dialed anew: the append has to go there by the new one.
TEST_F(ClientTest, AHintToAServerWhoseStreamIsLostIsFollowed) {
  constexpr int kMoments = 60;
  for (int moment = 0; moment < kMoments; ++moment) {
    SCOPED_TRACE(moment);
    log_ = FakeLog();
    outcomes_.clear();
    NewClient({});
    // It knows both servers, and takes the first one for the leader.
    for (const auto& [leader, value] :
         {std::pair("s:2", "a"), std::pair("s:1", "b")}) {
      log_.leader = leader;
      ASSERT_TRUE(Append(value).ok());
      loop_.RunFor(1s);
      ASSERT_EQ(outcomes_[value].kind, Kind::kCommitted);
    }
    log_.leader = "s:2";
    ASSERT_TRUE(Append("c", {.timeout = 600s}).ok());
    loop_.RunTasks(moment);
    server(2).DropClients();
    loop_.RunFor(5s);
    EXPECT_EQ(outcomes_["c"].kind, Kind::kCommitted);
  }
}

TEST_F(ClientTest, NothingIsLostTwiceOrOutOfOrderUnderFaults) {
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    log_ = FakeLog();
    log_.leader = "s:1";
    outcomes_.clear();
    for (auto& [address, server] : servers_) {
      server->set_mode(FakeServer::Mode::kServe);
    }
    env_.seed = seed;
    ClientOptions options;
    options.appends_in_flight_max = 16;
    NewClient(options);
    const DrawKey key{.seed = seed, .site = Site("client_test"), .actor = 0};
    uint64_t draws = 0;
    std::vector<std::string> values;
    for (int i = 0; i < 300; ++i) {
      values.push_back(absl::StrCat(1000 + i));
      ASSERT_TRUE(Append(values.back(), {.timeout = 600s}).ok());
      FakeServer& leader = *servers_.at(log_.leader);
      switch (DrawBelow(key, draws++, 12)) {
        case 0:
          log_.leader = absl::StrCat("s:", 1 + DrawBelow(key, draws++, 3));
          break;
        case 1:
          leader.DropClients();
          break;
        case 2:
          leader.set_mode(FakeServer::Mode::kOverloaded, 3);
          break;
        case 3:
          leader.set_mode(FakeServer::Mode::kSilent);
          break;
        case 4:
          leader.set_mode(FakeServer::Mode::kUnknown);
          break;
        case 5:
          network_.ResetAll();
          break;
        default:
          leader.set_mode(FakeServer::Mode::kServe);
          break;
      }
      loop_.RunFor(Duration(DrawBelow(key, draws++, 20'000'000)));
    }
    for (auto& [address, server] : servers_) {
      server->set_mode(FakeServer::Mode::kServe);
      server->DropClients();
    }
    loop_.RunFor(5s);
    EXPECT_EQ(Records(), values) << "seed " << seed;
    for (size_t i = 0; i < values.size(); ++i) {
      EXPECT_EQ(outcomes_[values[i]].kind, Kind::kCommitted);
      EXPECT_EQ(outcomes_[values[i]].offset, Offset(i));
    }
  }
}

TEST_F(ClientTest, AsksEachServerForItsStatus) {
  std::map<Address, absl::StatusOr<ServerStatus>> got;
  for (const char* address : {"s:1", "s:2", "s:9"}) {
    client_->Status(address, 1s, [&, address](absl::StatusOr<ServerStatus> s) {
      got.emplace(address, std::move(s));
    });
  }
  loop_.RunFor(2s);
  ASSERT_EQ(got.size(), 3u);
  ASSERT_TRUE(got.at("s:1").ok());
  EXPECT_EQ(got.at("s:1")->role, ServerRole::kLeader);
  EXPECT_EQ(got.at("s:1")->term, Term(7));
  ASSERT_EQ(got.at("s:1")->members.size(), 1u);
  EXPECT_EQ(got.at("s:1")->members[0].address, "s:2");
  EXPECT_EQ(got.at("s:1")->members[0].kind, MemberKind::kVoter);
  EXPECT_EQ(got.at("s:2")->role, ServerRole::kFollower);
  EXPECT_THAT(std::string(got.at("s:9").status().message()),
              HasSubstr("connection refused"));
}

TEST_F(ClientTest, JoinsAndLeavesAtTheLeader) {
  log_.leader = "s:3";
  client_->Join(ServerId(4), "s:4", false, 1s, TakeDone());
  EXPECT_FALSE(done_.has_value());
  loop_.RunDue();
  EXPECT_EQ(done_, absl::OkStatus());
  EXPECT_THAT(log_.members, ElementsAre(Pair(4, "s:4")));
  EXPECT_EQ(client_->leader(), "s:3");
  log_.members[5] = "s:5";
  client_->Leave({ServerId(4), ServerId(5)}, 1s, TakeDone());
  loop_.RunDue();
  EXPECT_EQ(done_, absl::OkStatus());
  EXPECT_THAT(log_.members, IsEmpty());
  EXPECT_EQ(server(3).admin_requests(), 2u);
  client_->Transfer(ServerId(2), 1s, TakeDone());
  loop_.RunDue();
  EXPECT_EQ(done_, absl::OkStatus());
  EXPECT_EQ(log_.leader, "s:2");
}

TEST_F(ClientTest, AnOperatorsRequestIsRepeatedUntilItIsAnswered) {
  server(1).set_mode(FakeServer::Mode::kOverloaded, 2);
  client_->Join(ServerId(4), "s:4", false, 10s, TakeDone());
  loop_.RunFor(150ms);
  EXPECT_FALSE(done_.has_value());
  EXPECT_EQ(server(1).admin_requests(), 2u);
  server(1).set_mode(FakeServer::Mode::kUnknown);
  loop_.RunFor(150ms);
  EXPECT_FALSE(done_.has_value());
  server(1).set_mode(FakeServer::Mode::kSilent);
  loop_.RunFor(2s);
  log_.leader = "s:2";
  server(1).DropClients();
  loop_.RunFor(1s);
  EXPECT_EQ(done_, absl::OkStatus());
  EXPECT_EQ(server(2).admin_requests(), 1u);
}

TEST_F(ClientTest, ARefusalOfAnOperatorsRequestIsFinal) {
  server(1).set_refusal("server 4 is at s:5");
  client_->Join(ServerId(4), "s:4", false, 1s, TakeDone());
  loop_.RunDue();
  EXPECT_EQ(done_, absl::FailedPreconditionError("server 4 is at s:5"));
  server(1).set_read_only(true);
  client_->Leave({ServerId(4)}, 1s, TakeDone());
  loop_.RunDue();
  EXPECT_EQ(done_, absl::PermissionDeniedError("only reads"));
  EXPECT_EQ(server(1).admin_requests(), 2u);
}

TEST_F(ClientTest, AnOperatorsRequestSaysWhatStoodInItsWay) {
  servers_.erase("s:2");
  log_.leader = "s:3";
  server(3).set_mode(FakeServer::Mode::kUnknown);
  server(1).set_hints(false);
  client_->Join(ServerId(4), "s:4", false, 1s, TakeDone());
  loop_.RunFor(2s);
  ASSERT_TRUE(done_.has_value());
  EXPECT_TRUE(absl::IsDeadlineExceeded(*done_));
  EXPECT_THAT(std::string(done_->message()),
              AllOf(HasSubstr("no result within 1000 ms: it takes long"),
                    HasSubstr("s:2: connect: connection refused")));
  log_.leader = "nobody";
  client_->Transfer(ServerId(0), 1s, TakeDone());
  loop_.RunFor(2s);
  ASSERT_TRUE(done_.has_value());
  EXPECT_TRUE(absl::IsDeadlineExceeded(*done_));
  EXPECT_THAT(std::string(done_->message()), HasSubstr("it isn't the leader"));
  client_->Transfer(ServerId(0), 1s, TakeDone());
  client_->Close(nullptr);
  loop_.RunDue();
  ASSERT_TRUE(done_.has_value());
  EXPECT_TRUE(absl::IsCancelled(*done_));
}

TEST_F(ClientTest, ALostTransferMovesLeadershipOnce) {
  for (FakeServer::Mode mode :
       {FakeServer::Mode::kServe, FakeServer::Mode::kSilent,
        FakeServer::Mode::kUnknown, FakeServer::Mode::kSwallow}) {
    log_.leader = "s:1";
    log_.transfers = 0;
    server(1).set_mode(mode);
    client_->Transfer(ServerId(0), 10s, TakeDone());
    loop_.RunFor(50ms);
    server(1).set_mode(FakeServer::Mode::kServe);
    server(1).DropClients();
    loop_.RunFor(2s);
    EXPECT_EQ(done_, absl::OkStatus());
    EXPECT_EQ(log_.leader, "s:2");
    EXPECT_EQ(log_.transfers, 1);
  }
}

TEST_F(ClientTest, ALostLeaveIsDoneWhenItsServersAreGone) {
  for (FakeServer::Mode mode :
       {FakeServer::Mode::kSilent, FakeServer::Mode::kUnknown,
        FakeServer::Mode::kSwallow}) {
    log_.leader = "s:1";
    log_.members = {{4, "s:4"}, {5, "s:5"}};
    server(1).set_mode(mode);
    client_->Leave({ServerId(4), ServerId(5)}, 10s, TakeDone());
    loop_.RunFor(5ms);
    EXPECT_FALSE(done_.has_value());
    log_.leader = "s:2";
    server(1).set_mode(FakeServer::Mode::kServe);
    server(1).DropClients();
    loop_.RunFor(2s);
    EXPECT_EQ(done_, absl::OkStatus());
    EXPECT_THAT(log_.members, IsEmpty());
  }
}

TEST_F(ClientTest, ALeaveOfSomebodyUnknownIsRefusedHoweverOftenItIsSent) {
  log_.members = {{4, "s:4"}};
  server(1).set_mode(FakeServer::Mode::kOverloaded, 3);
  client_->Leave({ServerId(4), ServerId(6)}, 10s, TakeDone());
  loop_.RunFor(2s);
  EXPECT_EQ(done_, absl::FailedPreconditionError("it isn't a member"));
  EXPECT_EQ(log_.members.size(), 1u);
  client_->Leave({ServerId(6)}, 10s, TakeDone());
  loop_.RunFor(2s);
  EXPECT_EQ(done_, absl::FailedPreconditionError("it isn't a member"));
}

TEST_F(ClientTest, ATransferIsDoneWhenAnotherLeads) {
  server(1).set_mode(FakeServer::Mode::kSwallow);
  client_->Transfer(ServerId(0), 10s, TakeDone());
  loop_.RunDue();
  log_.leader = "s:3";  // an election
  server(1).DropClients();
  loop_.RunFor(2s);
  EXPECT_EQ(done_, absl::OkStatus());
  EXPECT_EQ(log_.leader, "s:3");
  EXPECT_EQ(log_.transfers, 0);
}

}  // namespace
}  // namespace holdfast
