// A client's sessions, and what becomes of appends when one can't go on.

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/client/client.h"
#include "engine/client/client_fixture.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace holdfast {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Kind = ClientOutcome::Kind;
using Reason = ClientOutcome::Reason;

// A session's number says nothing in another log: there it is another
// producer's, whose batches aren't this one's.
TEST_F(ClientTest, AnotherClusterIsNotTakenForTheOneBefore) {
  for (size_t batches : {0, 1, 2, 3, 9}) {
    SCOPED_TRACE(batches);
    outcomes_.clear();
    log_ = FakeLog{.leader = "s:1"};
    NewClient({});
    ASSERT_TRUE(Append("a").ok());
    loop_.RunDue();
    EXPECT_EQ(outcomes_["a"].kind, Kind::kCommitted);
    EXPECT_EQ(client_->session(), SessionId(1));
    server(1).set_mode(FakeServer::Mode::kSilent);
    ASSERT_TRUE(Append("b").ok());
    loop_.RunDue();
    ReplaceCluster(batches);
    loop_.RunDue();
    ASSERT_TRUE(Append("c").ok());
    loop_.RunFor(1s);
    EXPECT_EQ(outcomes_["b"].kind, Kind::kUnknown);
    EXPECT_THAT(outcomes_["b"].message, HasSubstr("another cluster"));
    EXPECT_EQ(outcomes_["c"].kind, Kind::kCommitted);
    std::vector<std::string> expected(batches, "other");
    expected.push_back("c");
    EXPECT_EQ(Records(), expected);
    EXPECT_EQ(client_->session(), SessionId(2));
  }
}

// What it expects of the one log, it can't expect of the other.
TEST_F(ClientTest, AnAppendOnConditionIsOneLogsOnly) {
  ASSERT_TRUE(Append("a").ok());
  loop_.RunDue();
  log_.leader = "nobody";
  server(1).DropClients();
  loop_.RunFor(100ms);
  ASSERT_TRUE(Append("b", {.expected_offset = Offset(1)}).ok());
  ASSERT_TRUE(Append("c").ok());
  loop_.RunDue();  // those whom it was sent to don't lead
  log_.leader = "s:1";
  ReplaceCluster(1);
  loop_.RunFor(1s);
  EXPECT_EQ(outcomes_["b"].kind, Kind::kRejected);
  EXPECT_EQ(outcomes_["b"].reason, Reason::kUnavailable);
  EXPECT_THAT(outcomes_["b"].message, HasSubstr("another cluster"));
  EXPECT_EQ(outcomes_["c"].kind, Kind::kCommitted);
  EXPECT_THAT(Records(), ElementsAre("other", "c"));
}

// A producer that was idle for a day, say: nothing of it is in doubt.
TEST_F(ClientTest, AnEndedSessionCostsNothing) {
  ASSERT_TRUE(Append("a").ok());
  loop_.RunDue();
  log_.results.erase(1);
  for (const char* value : {"b", "c", "d"}) ASSERT_TRUE(Append(value).ok());
  loop_.RunFor(1s);
  EXPECT_THAT(Records(), ElementsAre("a", "b", "c", "d"));
  for (const char* value : {"b", "c", "d"}) {
    EXPECT_EQ(outcomes_[value].kind, Kind::kCommitted) << value;
  }
  EXPECT_EQ(client_->session(), SessionId(2));
}

// But what may have got in before is.
TEST_F(ClientTest, WithAnEndedSessionWhatWasSentBeforeIsUnknown) {
  ASSERT_TRUE(Append("a").ok());
  loop_.RunDue();
  server(1).set_mode(FakeServer::Mode::kSilent);
  ASSERT_TRUE(Append("b").ok());
  ASSERT_TRUE(Append("c").ok());
  loop_.RunDue();
  log_.results.erase(1);
  server(1).set_mode(FakeServer::Mode::kServe);
  server(1).DropClients();
  loop_.RunDue();
  ASSERT_TRUE(Append("d").ok());
  loop_.RunFor(1s);
  EXPECT_EQ(outcomes_["b"].kind, Kind::kUnknown);
  EXPECT_EQ(outcomes_["c"].kind, Kind::kUnknown);
  EXPECT_EQ(outcomes_["d"].kind, Kind::kCommitted);
  EXPECT_THAT(Records(), ElementsAre("a", "b", "c", "d"));
}

// Its servers came back with older disks, say: the session can't go on, but its
// producer can.
TEST_F(ClientTest, ALogThatLostWhatWasAcknowledgedIsAppendedTo) {
  for (const char* value : {"a", "b"}) ASSERT_TRUE(Append(value).ok());
  loop_.RunDue();
  log_.results[1].pop_back();
  log_.batches.pop_back();
  log_.end = log_.end - 1;
  for (const char* value : {"c", "d"}) ASSERT_TRUE(Append(value).ok());
  loop_.RunFor(1s);
  EXPECT_THAT(Records(), ElementsAre("a", "c", "d"));
  EXPECT_EQ(outcomes_["c"].kind, Kind::kCommitted);
  EXPECT_EQ(outcomes_["d"].kind, Kind::kCommitted);
  EXPECT_EQ(client_->session(), SessionId(2));
}

// A server of the old one that turns up, and doesn't lead, changes nothing.
TEST_F(ClientTest, AServerOfAnotherClusterThatDoesntLeadIsPassedOver) {
  ASSERT_TRUE(Append("a").ok());
  loop_.RunDue();
  absl::Status end;
  ClientTailCallbacks callbacks;
  callbacks.on_batches = [](const std::vector<LogBatch>&) {};
  callbacks.on_end = [&](absl::Status why) { end = std::move(why); };
  const std::unique_ptr<ClientTail> tail =
      client_->Tail(Offset(0), {}, std::move(callbacks));
  loop_.RunDue();
  server(1).set_mode(FakeServer::Mode::kSilent);
  ASSERT_TRUE(Append("b").ok());
  loop_.RunDue();
  log_.leader = "s:3";
  server(2).set_cluster(ClusterId(99));
  for (int i = 1; i <= 3; ++i) server(i).set_hints(false);
  server(1).DropClients();
  const size_t dials = network_.dials();
  loop_.RunFor(2s);
  EXPECT_GE(network_.dials(), dials + 2);  // s:2, and s:3
  EXPECT_EQ(outcomes_["b"].kind, Kind::kCommitted);
  EXPECT_THAT(Records(), ElementsAre("a", "b"));
  EXPECT_EQ(client_->session(), SessionId(1));
  EXPECT_TRUE(end.ok()) << end;
}

}  // namespace
}  // namespace holdfast
