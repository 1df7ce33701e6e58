// Over real sockets, TLS and files, against three servers in this process.

#include "transport/blocking_client.h"

#include <atomic>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "transport/examples/local_cluster.h"

namespace holdfast {
namespace {

using Kind = ClientOutcome::Kind;
using Reason = ClientOutcome::Reason;
using ::testing::HasSubstr;

constexpr Duration kPatience = 60s;

BatchBuilder BatchOf(absl::string_view value) {
  BatchBuilder batch;
  EXPECT_TRUE(batch.Add(value).ok());
  return batch;
}

// Outcomes as callbacks bring them, by the value that was appended.
class Outcomes {
 public:
  ClientAppendFn For(const std::string& value) {
    return [this, value](ClientOutcome outcome) {
      std::lock_guard<std::mutex> lock(mutex_);
      by_value_[value].push_back(std::move(outcome));
      ++count_;
      changed_.notify_all();
    };
  }
  void WaitFor(size_t count) {
    std::unique_lock<std::mutex> lock(mutex_);
    EXPECT_TRUE(
        changed_.wait_for(lock, kPatience, [&] { return count_ >= count; }));
  }
  // With nobody who appends any more.
  const std::map<std::string, std::vector<ClientOutcome>>& by_value() const {
    return by_value_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  size_t count_ = 0;
  std::map<std::string, std::vector<ClientOutcome>> by_value_;
};

class BlockingClientTest : public testing::Test {
 protected:
  BlockingClientTest() {
    auto cluster = LocalCluster::Start();
    EXPECT_TRUE(cluster.ok()) << cluster.status();
    cluster_ = *std::move(cluster);
  }

  std::unique_ptr<BlockingClient> Connect(const BlockingClientConfig& config) {
    auto client = BlockingClient::Connect(config);
    EXPECT_TRUE(client.ok()) << client.status();
    return *std::move(client);
  }
  std::unique_ptr<BlockingClient> Connect() {
    return Connect(cluster_->ClientConfig());
  }

  uint64_t Leader() {
    for (uint64_t id = 1;; id = id % 3 + 1) {
      if (cluster_->node(id) == nullptr) continue;
      auto status = cluster_->node(id)->Status();
      EXPECT_TRUE(status.ok()) << status.status();
      if (status->leads) return id;
    }
  }
  void CloseAllNodes() {
    for (uint64_t id = 1; id <= 3; ++id) cluster_->CloseNode(id);
  }

  // The log's records up to its present end, by offset.
  std::map<uint64_t, std::string> ReadAll(BlockingClient* client) {
    std::map<uint64_t, std::string> found;
    Offset next(0);
    while (true) {
      auto result = client->Read(next);
      EXPECT_TRUE(result.ok()) << result.status();
      if (!result.ok() || result->batches.empty()) return found;
      for (const LogBatch& batch : result->batches) {
        uint64_t offset = batch.from.value();
        RecordCursor records = batch.Records();
        RecordView record;
        while (records.Next(&record)) {
          found[offset++] = std::string(record.value());
        }
      }
      next = result->next;
    }
  }

  // Each outcome there is, once; and the log is exactly what was committed,
  // and some of what is unknown, each once.
  void ExpectLogAgrees(const Outcomes& outcomes, BlockingClient* client) {
    std::map<uint64_t, std::string> log = ReadAll(client);
    std::map<std::string, int> times;
    for (const auto& entry : log) ++times[entry.second];
    for (const auto& entry : outcomes.by_value()) {
      ASSERT_EQ(entry.second.size(), 1u) << entry.first;
      const ClientOutcome& outcome = entry.second[0];
      int in_log = times[entry.first];
      switch (outcome.kind) {
        case Kind::kCommitted:
          EXPECT_EQ(in_log, 1) << entry.first;
          EXPECT_EQ(log[outcome.offset.value()], entry.first);
          break;
        case Kind::kRejected:
          EXPECT_EQ(in_log, 0) << entry.first;
          break;
        case Kind::kUnknown:
          EXPECT_LE(in_log, 1) << entry.first;
          break;
      }
    }
  }

  std::unique_ptr<LocalCluster> cluster_;
};

TEST_F(BlockingClientTest, WhatIsAppendedIsReadBackAndTailed) {
  auto client = Connect();
  auto tail = client->Tail(Offset(0));
  ASSERT_TRUE(tail.ok());
  EXPECT_TRUE(absl::IsDeadlineExceeded((*tail)->Next(0s).status()));

  ClientOutcome one = client->Append("one");
  ASSERT_EQ(one.kind, Kind::kCommitted) << one.message;
  EXPECT_EQ(one.offset, Offset(0));
  BatchBuilder batch;
  ASSERT_TRUE(batch.Add("key", {{"name", "value"}}, "two").ok());
  ASSERT_TRUE(batch.Add("three").ok());
  ClientOutcome two =
      client->Append(std::move(batch), {.expected_offset = Offset(1)});
  ASSERT_EQ(two.kind, Kind::kCommitted) << two.message;
  EXPECT_EQ(two.offset, Offset(1));

  EXPECT_EQ(ReadAll(client.get()), (std::map<uint64_t, std::string>{
                                       {0, "one"}, {1, "two"}, {2, "three"}}));
  EXPECT_TRUE(absl::IsOutOfRange(client->Read(Offset(4)).status()));
  for (const char* value : {"one", "two", "three"}) {
    auto record = (*tail)->Next(kPatience);
    ASSERT_TRUE(record.ok()) << record.status();
    EXPECT_EQ(record->value(), value);
    EXPECT_EQ(record->record.key().has_value(), record->offset == Offset(1));
  }
  // From within a batch.
  auto later = client->Tail(Offset(2));
  ASSERT_TRUE(later.ok());
  auto record = (*later)->Next(kPatience);
  ASSERT_TRUE(record.ok()) << record.status();
  EXPECT_EQ(record->offset, Offset(2));
  EXPECT_EQ(record->value(), "three");
}

TEST_F(BlockingClientTest, RefusesWhatCantBeAppended) {
  auto client = Connect();
  ClientOutcome outcome = client->Append(BatchBuilder());
  EXPECT_EQ(outcome.kind, Kind::kRejected);
  EXPECT_EQ(outcome.reason, Reason::kMalformed);
  outcome = client->Append(std::string(kRecordBytesMax + 1, 'x'));
  EXPECT_EQ(outcome.reason, Reason::kMalformed);
  outcome = client->Append("x", {.expected_offset = Offset(7)});
  EXPECT_EQ(outcome.kind, Kind::kRejected);
  EXPECT_EQ(outcome.reason, Reason::kWrongOffset);
  EXPECT_TRUE(
      absl::IsInvalidArgument(client->Tail(Offset(0), {}, {}).status()));
}

TEST_F(BlockingClientTest, WhatWasTrimmedIsOutOfRange) {
  auto client = Connect();
  for (const char* value : {"one", "two", "three"}) {
    ASSERT_EQ(client->Append(value).kind, Kind::kCommitted);
  }
  absl::Status status = client->Trim(Offset(9), kPatience);
  EXPECT_FALSE(status.ok());
  status = client->Trim(Offset(2), kPatience);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_TRUE(absl::IsOutOfRange(client->Read(Offset(1)).status()));
  auto read = client->Read(Offset(2));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->first_offset, Offset(2));
  auto tail = client->Tail(Offset(1));
  ASSERT_TRUE(tail.ok());
  EXPECT_TRUE(absl::IsOutOfRange((*tail)->Next(kPatience).status()));
}

TEST_F(BlockingClientTest, NothingIsLostOrDoubledWhenTheLeaderCloses) {
  auto client = Connect();
  auto tail = client->Tail(Offset(0));
  ASSERT_TRUE(tail.ok());
  constexpr size_t kAppends = 2000;
  Outcomes outcomes;
  std::thread producer([&] {
    for (size_t i = 0; i < kAppends; ++i) {
      std::string value = absl::StrCat("record ", i);
      ASSERT_TRUE(client
                      ->AppendAsync(BatchOf(value), {.timeout = kPatience},
                                    outcomes.For(value))
                      .ok());
    }
  });
  outcomes.WaitFor(kAppends / 4);
  cluster_->CloseNode(Leader());
  // Close lets nothing be acknowledged that isn't on the others.
  for (size_t i = 0; i < kAppends; ++i) {
    auto record = (*tail)->Next(kPatience);
    ASSERT_TRUE(record.ok()) << record.status();
    EXPECT_EQ(record->offset, Offset(i));
    EXPECT_EQ(record->value(), absl::StrCat("record ", i));
  }
  producer.join();
  ASSERT_TRUE(client->Flush().ok());
  for (const auto& entry : outcomes.by_value()) {
    EXPECT_EQ(entry.second[0].kind, Kind::kCommitted)
        << entry.second[0].message;
  }
  ExpectLogAgrees(outcomes, client.get());
}

TEST_F(BlockingClientTest, RefusesMoreThanTheBoundWhenToldSo) {
  BlockingClientConfig config = cluster_->ClientConfig();
  config.wait_when_full = false;
  config.appends_outstanding_max = 4;
  config.client.queue_bytes_max = 1 << 20;
  auto client = Connect(config);
  CloseAllNodes();
  Outcomes outcomes;
  // By number, and by bytes.
  for (int i = 0; i < 4; ++i) {
    std::string value = absl::StrCat(i);
    ASSERT_TRUE(
        client->AppendAsync(BatchOf(value), {}, outcomes.For(value)).ok());
  }
  absl::Status full = client->AppendAsync(BatchOf("5"), {}, outcomes.For("5"));
  EXPECT_TRUE(absl::IsResourceExhausted(full)) << full;
  ClientOutcome outcome = client->Append("6");
  EXPECT_EQ(outcome.kind, Kind::kRejected);
  EXPECT_EQ(outcome.reason, Reason::kUnavailable);
  client->Close();
  EXPECT_EQ(outcomes.by_value().size(), 4u);

  config.appends_outstanding_max = 1000;
  config.connect_timeout = 0s;
  client = Connect(config);
  Outcomes large;
  std::string value(700 << 10, 'x');
  EXPECT_TRUE(client->AppendAsync(BatchOf(value), {}, large.For("a")).ok());
  full = client->AppendAsync(BatchOf(value), {}, large.For("b"));
  EXPECT_TRUE(absl::IsResourceExhausted(full)) << full;
  client->Close();
  EXPECT_EQ(large.by_value().size(), 1u);
}

TEST_F(BlockingClientTest, WaitsForRoomUntilThereIsSomeOrTheEnd) {
  BlockingClientConfig config = cluster_->ClientConfig();
  config.appends_outstanding_max = 2;
  auto client = Connect(config);
  Outcomes outcomes;
  for (int i = 0; i < 300; ++i) {
    std::string value = absl::StrCat("record ", i);
    ASSERT_TRUE(
        client->AppendAsync(BatchOf(value), {}, outcomes.For(value)).ok());
  }
  ASSERT_TRUE(client->Flush().ok());
  EXPECT_EQ(outcomes.by_value().size(), 300u);
  ExpectLogAgrees(outcomes, client.get());

  CloseAllNodes();
  std::vector<std::thread> waiting;
  std::atomic<int> taken = 0;
  std::atomic<int> refused = 0;
  Outcomes ended;
  for (int i = 0; i < 6; ++i) {
    waiting.emplace_back([&, i] {
      absl::Status status =
          client->AppendAsync(BatchOf("x"), {.timeout = kPatience * 60},
                              ended.For(absl::StrCat(i)));
      EXPECT_TRUE(status.ok() || absl::IsFailedPrecondition(status)) << status;
      ++(status.ok() ? taken : refused);
    });
  }
  client->Close();
  for (std::thread& t : waiting) t.join();
  EXPECT_EQ(taken + refused, 6);
  EXPECT_EQ(ended.by_value().size(), static_cast<size_t>(taken));
}

TEST_F(BlockingClientTest, DestructionGivesEachAppendExactlyOneOutcome) {
  Outcomes outcomes;
  size_t taken = 0;
  {
    auto client = Connect();
    for (; taken < 3000; ++taken) {
      std::string value = absl::StrCat("record ", taken);
      ASSERT_TRUE(
          client->AppendAsync(BatchOf(value), {}, outcomes.For(value)).ok());
    }
    outcomes.WaitFor(10);
  }
  EXPECT_EQ(outcomes.by_value().size(), taken);
  auto client = Connect();
  ExpectLogAgrees(outcomes, client.get());
}

TEST_F(BlockingClientTest, CloseAnswersAllThatWait) {
  auto client = Connect();
  auto tail = client->Tail(Offset(0));
  ASSERT_TRUE(tail.ok());
  CloseAllNodes();
  std::vector<std::thread> waiting;
  waiting.emplace_back([&] {
    ClientOutcome outcome = client->Append("x", {.timeout = kPatience * 60});
    EXPECT_NE(outcome.kind, Kind::kCommitted);
  });
  waiting.emplace_back([&] {
    EXPECT_FALSE(client->Read(Offset(0), {.timeout = kPatience * 60}).ok());
  });
  waiting.emplace_back([&] {
    absl::Status status = (*tail)->Next(kPatience * 60).status();
    EXPECT_TRUE(absl::IsCancelled(status)) << status;
  });
  waiting.emplace_back([&] {
    EXPECT_FALSE(client->Transfer(ServerId(1), kPatience * 60).ok());
  });
  client->Close();
  for (std::thread& t : waiting) t.join();
  client->Close();
  EXPECT_TRUE(absl::IsFailedPrecondition(client->Read(Offset(0)).status()));
  EXPECT_TRUE(absl::IsFailedPrecondition(client->Tail(Offset(0)).status()));
  ClientOutcome outcome = client->Append("x");
  EXPECT_EQ(outcome.kind, Kind::kRejected);
  EXPECT_EQ(outcome.reason, Reason::kNone);
  // A tail may outlive its client.
  client = nullptr;
  EXPECT_TRUE(absl::IsCancelled((*tail)->Next(0s).status()));
}

TEST_F(BlockingClientTest, ACallbackMayCallWhatDoesntWait) {
  auto client = Connect();
  auto tail = client->Tail(Offset(100));
  ASSERT_TRUE(tail.ok());
  Outcomes outcomes;
  ClientAppendFn second = outcomes.For("second");
  ASSERT_TRUE(
      client
          ->AppendAsync(
              BatchOf("first"), {},
              [&](const ClientOutcome&) {
                EXPECT_TRUE(absl::IsFailedPrecondition(client->Flush()));
                EXPECT_TRUE(absl::IsFailedPrecondition(
                    client->Read(Offset(0)).status()));
                EXPECT_TRUE(absl::IsFailedPrecondition(client->Transfer()));
                EXPECT_TRUE(absl::IsFailedPrecondition(
                    client->Tail(Offset(0)).value()->Next(1s).status()));
                ClientOutcome waits = client->Append("no");
                EXPECT_EQ(waits.kind, Kind::kRejected);
                EXPECT_EQ(waits.reason, Reason::kNone);
                EXPECT_THAT(waits.message, HasSubstr("another thread"));
                EXPECT_TRUE(
                    client
                        ->AppendAsync(BatchOf("second"), {}, std::move(second))
                        .ok());
              })
          .ok());
  outcomes.WaitFor(1);
  EXPECT_EQ(ReadAll(client.get()),
            (std::map<uint64_t, std::string>{{0, "first"}, {1, "second"}}));
}

TEST_F(BlockingClientTest, ATailWithCallbacksEndsWhenDestroyedAlsoByItself) {
  auto client = Connect();
  ASSERT_EQ(client->Append("one").kind, Kind::kCommitted);
  Outcomes seen;
  auto note = [&seen](const std::string& what) {
    seen.For(what)(ClientOutcome());
  };
  // One that ends itself, one that is ended, one that the client ends.
  std::mutex mutex;
  std::unique_ptr<TailSubscription> self;
  ClientTailCallbacks callbacks;
  callbacks.on_batches = [&](std::vector<LogBatch>) {
    std::lock_guard<std::mutex> lock(mutex);
    self = nullptr;
    note("self");
  };
  callbacks.on_end = [&](absl::Status) { ADD_FAILURE(); };
  {
    std::lock_guard<std::mutex> lock(mutex);
    self = *client->Tail(Offset(0), {}, std::move(callbacks));
  }
  auto counted = std::make_shared<std::atomic<int>>(0);
  callbacks = ClientTailCallbacks();
  callbacks.on_batches = [counted, note](std::vector<LogBatch>) {
    ++*counted;
    note("ended");
  };
  auto ended = *client->Tail(Offset(0), {}, std::move(callbacks));
  callbacks = ClientTailCallbacks();
  callbacks.on_batches = [](std::vector<LogBatch>) {};
  callbacks.on_caught_up = [note](Offset end) {
    note(absl::StrCat("caught up at ", end.value()));
  };
  callbacks.on_end = [note](absl::Status why) {
    EXPECT_TRUE(absl::IsCancelled(why)) << why;
    note("closed");
  };
  auto closed = *client->Tail(Offset(0), {}, std::move(callbacks));
  seen.WaitFor(3);
  ended = nullptr;
  int count = *counted;
  ASSERT_EQ(client->Append("two").kind, Kind::kCommitted);
  seen.WaitFor(4);
  EXPECT_EQ(*counted, count);
  client = nullptr;
  EXPECT_EQ(seen.by_value().count("closed"), 1u);
  EXPECT_EQ(seen.by_value().count("caught up at 2"), 1u);
  EXPECT_EQ(seen.by_value().at("self").size(), 1u);
}

TEST_F(BlockingClientTest, ASlowReaderGetsAllOfIt) {
  auto client = Connect();
  // Pauses and goes on many times.
  auto tail = client->Tail(Offset(0), {.credit_bytes = 4 << 10});
  ASSERT_TRUE(tail.ok());
  Outcomes outcomes;
  constexpr int kAppends = 1000;
  for (int i = 0; i < kAppends; ++i) {
    std::string value = absl::StrCat(std::string(500, '.'), i);
    ASSERT_TRUE(
        client->AppendAsync(BatchOf(value), {}, outcomes.For(value)).ok());
  }
  // It holds up nobody else.
  ASSERT_TRUE(client->Flush().ok());
  for (int i = 0; i < kAppends; ++i) {
    auto record = (*tail)->Next(kPatience);
    ASSERT_TRUE(record.ok()) << record.status();
    ASSERT_EQ(record->value(), absl::StrCat(std::string(500, '.'), i));
  }
}

TEST_F(BlockingClientTest, TailsAndAppendsEndWhileTheClientIsClosed) {
  for (int round = 0; round < 3; ++round) {
    auto client = Connect();
    Outcomes outcomes;
    std::atomic<size_t> taken = 0;
    std::atomic<size_t> calls = 0;
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0;; ++i) {
          std::string value = absl::StrCat(round, " ", t, " ", i);
          ClientTailCallbacks callbacks;
          callbacks.on_batches = [&](const std::vector<LogBatch>&) { ++calls; };
          callbacks.on_end = [&](const absl::Status&) { ++calls; };
          auto tail = client->Tail(Offset(0), {}, std::move(callbacks));
          auto reader = client->Tail(Offset(0));
          absl::Status status =
              client->AppendAsync(BatchOf(value), {}, outcomes.For(value));
          if (!status.ok()) {
            EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
            return;
          }
          ++taken;
          if (i % 2 == 0 && tail.ok()) (*tail)->Pause();
          if (i % 2 == 0 && reader.ok())
            (*reader)->Next(0s).status().IgnoreError();
        }
      });
    }
    outcomes.WaitFor(20);
    client->Close();
    const size_t calls_by_then = calls;
    for (std::thread& t : threads) t.join();
    EXPECT_EQ(calls, calls_by_then);
    EXPECT_EQ(outcomes.by_value().size(), taken);
  }
}

TEST_F(BlockingClientTest, APausedSubscriptionIsSentNoMoreThanItsCredit) {
  auto client = Connect();
  constexpr size_t kAppends = 300;
  for (size_t i = 0; i < kAppends; ++i) {
    ASSERT_TRUE(
        client->AppendAsync(BatchOf(std::string(500, '.')), {}, {}).ok());
  }
  ASSERT_TRUE(client->Flush().ok());
  Outcomes seen;
  size_t records = 0;  // the client's thread
  std::mutex mutex;
  std::unique_ptr<TailSubscription> tail;
  ClientTailCallbacks callbacks;
  callbacks.on_batches = [&](std::vector<LogBatch> batches) {
    // Of one such credit at most, 8 at a time.
    EXPECT_LE(batches.size(), 9u);
    records += batches.size();
    std::lock_guard<std::mutex> lock(mutex);
    tail->Pause();
    for (const LogBatch& batch : batches) {
      seen.For(absl::StrCat(batch.from.value()))(ClientOutcome());
    }
  };
  {
    std::lock_guard<std::mutex> lock(mutex);
    tail = *client->Tail(Offset(0), {.credit_bytes = 4 << 10},
                         std::move(callbacks));
  }
  // Each time it goes on, at least one more comes.
  for (size_t i = 1; i <= kAppends; ++i) {
    seen.WaitFor(i);
    std::lock_guard<std::mutex> lock(mutex);
    tail->Resume();
  }
  client->Close();
  EXPECT_EQ(records, kAppends);
  EXPECT_EQ(seen.by_value().size(), kAppends);
  tail->Pause();
  tail->Resume();
}

TEST_F(BlockingClientTest, ManyThreadsUseOneClient) {
  auto client = Connect();
  const Address server = cluster_->ClientConfig().client.servers[0];
  Outcomes outcomes;
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      auto tail = client->Tail(Offset(0));
      ASSERT_TRUE(tail.ok());
      for (int i = 0; i < 40; ++i) {
        std::string value = absl::StrCat(t, " async ", i);
        ASSERT_TRUE(
            client->AppendAsync(BatchOf(value), {}, outcomes.For(value)).ok());
        ClientOutcome outcome = client->Append(absl::StrCat(t, " sync ", i));
        ASSERT_EQ(outcome.kind, Kind::kCommitted) << outcome.message;
        auto read = client->Read(outcome.offset);
        ASSERT_TRUE(read.ok()) << read.status();
        ASSERT_FALSE(read->batches.empty());
        auto record = (*tail)->Next(kPatience);
        ASSERT_TRUE(record.ok()) << record.status();
        ASSERT_EQ(record->offset, Offset(static_cast<uint64_t>(i)));
        if (i % 10 == 0) {
          ASSERT_TRUE(client->Status(server).ok());
          ASSERT_TRUE(client->Flush().ok());
        }
      }
    });
  }
  for (std::thread& t : threads) t.join();
  ASSERT_TRUE(client->Flush().ok());
  ExpectLogAgrees(outcomes, client.get());
  EXPECT_EQ(ReadAll(client.get()).size(), 640u);
}

TEST_F(BlockingClientTest, AdministersTheCluster) {
  auto client = Connect();
  uint64_t leader = Leader();
  ServerId other(leader % 3 + 1);
  absl::Status status = client->Transfer(other, kPatience);
  EXPECT_TRUE(status.ok()) << status;
  status = client->Leave({ServerId(leader)}, kPatience);
  EXPECT_TRUE(status.ok()) << status;
  auto described = client->Status(
      cluster_->ClientConfig().client.servers[other.value() - 1]);
  ASSERT_TRUE(described.ok()) << described.status();
  EXPECT_EQ(described->members.size(), 2u);
  status = client->Join(ServerId(9), "nonsense");
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
}

// A callback that would wait for its own end.
void CloseWithinACallback() {
  BlockingClientConfig config;
  config.client.servers = {"127.0.0.1:1"};
  config.insecure = true;
  config.connect_timeout = 0s;
  auto client = *BlockingClient::Connect(config);
  client
      ->AppendAsync(BatchOf("x"), {.timeout = 1ms},
                    [&](const ClientOutcome&) { client->Close(); })
      .IgnoreError();
  client->Flush().IgnoreError();
}

TEST(BlockingClientDeathTest, ClosingWithinACallbackSaysWhatIsWrong) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(CloseWithinACallback(), "call from another thread");
}

TEST_F(BlockingClientTest, ConnectSaysWhatIsWrong) {
  BlockingClientConfig config = cluster_->ClientConfig();
  config.client.servers.clear();
  EXPECT_TRUE(
      absl::IsInvalidArgument(BlockingClient::Connect(config).status()));
  config = cluster_->ClientConfig();
  config.insecure = true;
  EXPECT_TRUE(
      absl::IsInvalidArgument(BlockingClient::Connect(config).status()));
  config = cluster_->ClientConfig();
  config.client.name = "nobody";
  EXPECT_THAT(std::string(BlockingClient::Connect(config).status().message()),
              HasSubstr("client-nobody"));
  CloseAllNodes();
  config = cluster_->ClientConfig();
  config.connect_timeout = 1ms;
  EXPECT_FALSE(BlockingClient::Connect(config).ok());
}

}  // namespace
}  // namespace holdfast
