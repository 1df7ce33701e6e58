// A client's reads and tails.

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/base/lost_records.h"
#include "engine/client/client_fixture.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace holdfast {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST_F(ClientTest, ReadsWholeBatchesFromWithinThem) {
  BatchBuilder batch;
  for (const char* value : {"a", "b", "c"}) ASSERT_TRUE(batch.Add(value).ok());
  ASSERT_TRUE(client_->Append(std::move(batch), {}, nullptr).ok());
  ASSERT_TRUE(Append("d").ok());
  loop_.RunDue();
  absl::StatusOr<ClientReadResult> read = Read(Offset(1));
  ASSERT_TRUE(read.ok()) << read.status();
  ASSERT_EQ(read->batches.size(), 2u);
  std::vector<std::string> values;
  for (const LogBatch& one : read->batches) {
    RecordCursor cursor = one.Records();
    RecordView record;
    while (cursor.Next(&record)) values.emplace_back(record.value());
  }
  EXPECT_THAT(values, ElementsAre("b", "c", "d"));
  EXPECT_EQ(read->batches[0].from, Offset(1));
  EXPECT_EQ(read->next, Offset(4));
  EXPECT_EQ(read->committed_end, Offset(4));
  read = Read(Offset(4));
  ASSERT_TRUE(read.ok());
  EXPECT_THAT(read->batches, IsEmpty());
  EXPECT_TRUE(absl::IsOutOfRange(Read(Offset(5)).status()));
}

TEST_F(ClientTest, LinearizableReadsFindTheLeaderLocalOnesDont) {
  log_.leader = "s:2";
  ASSERT_TRUE(Append("a").ok());
  loop_.RunDue();
  EXPECT_TRUE(Read(Offset(0)).ok());
  EXPECT_EQ(server(2).reads(), 1u);
  ClientReadOptions local;
  local.mode = ClientReadMode::kLocal;
  local.server = "s:3";
  EXPECT_TRUE(Read(Offset(0), local).ok());
  EXPECT_EQ(server(3).reads(), 1u);
  local.server = "s:9";
  EXPECT_THAT(std::string(Read(Offset(0), local).status().message()),
              HasSubstr("s:9: connect: connection refused"));
}

TEST_F(ClientTest, ReadsSayWhatStoodInTheirWay) {
  log_.leader = "nobody";
  ClientReadOptions options;
  options.timeout = 1s;
  const absl::Status late = Read(Offset(0), options, 2s).status();
  EXPECT_TRUE(absl::IsDeadlineExceeded(late)) << late;
  log_.leader = "s:1";
  EXPECT_TRUE(Read(Offset(0), options, 2s).ok());
}

// Bytes that broke on their way, say: that isn't the caller's fault.
TEST_F(ClientTest, WhoAnswersNonsenseIsUnavailable) {
  std::vector<std::unique_ptr<Connection>> accepted;
  const auto listener =
      network_.Listen("s:7", [&](std::unique_ptr<Connection> connection) {
        connection->Write({Buffer::Copy(std::string(64, '\xff'))},
                          [](const absl::Status&) {});
        accepted.push_back(std::move(connection));
      });
  ASSERT_TRUE(listener.ok()) << listener.status();
  const absl::Status read =
      Read(Offset(0), {.mode = ClientReadMode::kLocal, .server = "s:7"})
          .status();
  EXPECT_TRUE(absl::IsUnavailable(read)) << read;
  EXPECT_THAT(std::string(read.message()), HasSubstr("s:7: hello: "));
}

// The error says up to where, so that whoever wants to can go on behind them.
TEST_F(ClientTest, RecordsThatAreLostEndReadsAndTails) {
  for (const char* value : {"a", "b", "c"}) ASSERT_TRUE(Append(value).ok());
  loop_.RunDue();
  log_.lost_from = Offset(1);
  log_.lost_end = Offset(2);
  const LostRecords lost{.first = Offset(1), .end = Offset(2)};
  const absl::Status read = Read(Offset(1)).status();
  EXPECT_EQ(read.code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(LostRecordsOf(read), lost);
  EXPECT_THAT(std::string(read.message()), HasSubstr("goes on at offset 2"));
  EXPECT_TRUE(Read(Offset(2)).ok());

  absl::Status why;
  ClientTailCallbacks callbacks;
  callbacks.on_batches = [](const std::vector<LogBatch>&) {};
  callbacks.on_end = [&](absl::Status status) { why = std::move(status); };
  std::unique_ptr<ClientTail> tail =
      client_->Tail(Offset(1), {}, std::move(callbacks));
  loop_.RunDue();
  wire::TailEnd end;
  end.set_code(wire::CODE_RECORDS_LOST);
  end.set_lost_from(1);
  end.set_lost_end(2);
  server(1).EndTails(end);
  loop_.RunFor(1s);
  EXPECT_EQ(LostRecordsOf(why), lost);
}

TEST_F(ClientTest, TailsAcrossLeadersWithoutGapsOrRepeats) {
  std::vector<std::string> got;
  int caught_up = 0;
  ClientTailCallbacks callbacks;
  callbacks.on_batches = [&](std::vector<LogBatch> batches) {
    for (const LogBatch& one : batches) {
      RecordCursor cursor = one.Records();
      RecordView record;
      while (cursor.Next(&record)) got.emplace_back(record.value());
    }
  };
  callbacks.on_caught_up = [&](Offset) { ++caught_up; };
  callbacks.on_end = [](const absl::Status& why) { ADD_FAILURE() << why; };
  std::unique_ptr<ClientTail> tail =
      client_->Tail(Offset(0), {}, std::move(callbacks));
  ASSERT_TRUE(Append("a").ok());
  loop_.RunDue();
  server(1).PushTails();
  loop_.RunDue();
  EXPECT_THAT(got, ElementsAre("a"));
  log_.leader = "s:2";
  ASSERT_TRUE(Append("b").ok());
  loop_.RunFor(1s);
  server(1).EndTails();
  loop_.RunFor(1s);
  server(2).PushTails();
  loop_.RunDue();
  EXPECT_THAT(got, ElementsAre("a", "b"));
  server(2).DropClients();
  loop_.RunFor(1s);
  ASSERT_TRUE(Append("c").ok());
  loop_.RunFor(1s);
  server(2).PushTails();
  loop_.RunDue();
  EXPECT_THAT(got, ElementsAre("a", "b", "c"));
  EXPECT_GE(caught_up, 3);
  EXPECT_EQ(tail->next(), Offset(3));
  tail.reset();
  loop_.RunDue();
  server(2).DropClients();
}

// Its offsets may be other records'.
class OtherClustersLog : public ClientTest,
                         public ::testing::WithParamInterface<size_t> {};

TEST_P(OtherClustersLog, NoTailGoesOnThere) {
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(Append(absl::StrCat(i)).ok());
  loop_.RunDue();
  absl::Status end;
  size_t records = 0;
  ClientTailCallbacks callbacks;
  callbacks.on_batches = [&](const std::vector<LogBatch>& batches) {
    records += batches.size();
  };
  callbacks.on_end = [&](absl::Status why) { end = std::move(why); };
  const std::unique_ptr<ClientTail> tail =
      client_->Tail(Offset(0), {}, std::move(callbacks));
  loop_.RunDue();
  server(1).DropClients();
  loop_.RunFor(1s);
  ASSERT_TRUE(Append("3").ok());
  loop_.RunDue();
  server(1).PushTails();
  loop_.RunFor(1s);
  EXPECT_EQ(records, 4u);
  EXPECT_TRUE(end.ok()) << end;
  ReplaceCluster(GetParam());
  loop_.RunFor(1s);
  EXPECT_EQ(records, 4u);
  EXPECT_TRUE(absl::IsFailedPrecondition(end)) << end;
}

// Be that longer or shorter than where it is.
INSTANTIATE_TEST_SUITE_P(Batches, OtherClustersLog, ::testing::Values(2, 20));

TEST_F(ClientTest, APausedTailStopsItsServerAndAsksNoOther) {
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(Append(absl::StrCat(i, std::string(1000, 'x'))).ok());
  }
  loop_.RunFor(1s);
  size_t got = 0;
  ClientTailCallbacks callbacks;
  callbacks.on_batches = [&](const auto& batches) { got += batches.size(); };
  std::unique_ptr<ClientTail> tail =
      client_->Tail(Offset(0), {.credit_bytes = 10'000}, std::move(callbacks));
  tail->Pause();
  loop_.RunFor(1s);
  EXPECT_GE(server(1).tail_bytes(), 10'000u);
  EXPECT_LT(server(1).tail_bytes(), 12'000u);
  log_.leader = "s:2";
  server(1).EndTails();
  loop_.RunFor(1s);
  EXPECT_EQ(server(2).tail_bytes(), 0u);
  EXPECT_LT(got, 12u);
  tail->Resume();
  loop_.RunFor(1s);
  EXPECT_EQ(got, 100u);
}

TEST_F(ClientTest, ATailMayBeDestroyedWithinItsCallback) {
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(Append(absl::StrCat(i)).ok());
  loop_.RunDue();
  int calls = 0;
  std::unique_ptr<ClientTail> tail;
  ClientTailCallbacks callbacks;
  callbacks.on_batches =
      [&, check = std::string("still here")](const std::vector<LogBatch>&) {
        ++calls;
        tail = nullptr;
        EXPECT_EQ(check, "still here");
      };
  tail = client_->Tail(Offset(0), {}, std::move(callbacks));
  loop_.RunFor(1s);
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(server(1).tails(), 0u);
}

TEST_F(ClientTest, ATailOfOneServerEndsWithIt) {
  absl::Status end;
  ClientTailOptions options;
  options.server = "s:3";
  ClientTailCallbacks callbacks;
  callbacks.on_batches = [](const std::vector<LogBatch>&) {};
  callbacks.on_end = [&](absl::Status why) { end = std::move(why); };
  std::unique_ptr<ClientTail> tail =
      client_->Tail(Offset(0), options, std::move(callbacks));
  loop_.RunDue();
  EXPECT_EQ(server(3).tails(), 1u);
  servers_.erase("s:3");
  loop_.RunDue();
  EXPECT_TRUE(absl::IsUnavailable(end)) << end;
}

}  // namespace
}  // namespace holdfast
