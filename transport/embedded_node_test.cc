#include "transport/embedded_node.h"

#include <atomic>
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "transport/examples/local_cluster.h"

namespace holdfast {
namespace {

using Kind = AppendOutcome::Kind;
using ::testing::HasSubstr;

constexpr Duration kPatience = 60s;

// A cluster of one, for what needs no others.
EmbeddedNodeConfig Alone(const std::string& name) {
  EmbeddedNodeConfig config;
  config.data_dir = testing::TempDir() + "/" + name;
  std::filesystem::remove_all(config.data_dir);
  config.insecure = true;
  config.node().id = ServerId(1);
  config.node().listen = "127.0.0.1:0";
  config.node().bootstrap = {{ServerId(1), Incarnation(), "127.0.0.1:7400"}};
  config.node().wal.segment_bytes = 1 << 20;
  return config;
}

std::vector<std::string> ValuesIn(const ClientReadResult& result) {
  std::vector<std::string> values;
  for (const LogBatch& batch : result.batches) {
    RecordCursor records = batch.Records();
    RecordView record;
    while (records.Next(&record)) values.emplace_back(record.value());
  }
  return values;
}

std::unique_ptr<LocalCluster> ThreeNodes() {
  auto cluster = LocalCluster::Start();
  EXPECT_TRUE(cluster.ok()) << cluster.status();
  return *std::move(cluster);
}

uint64_t LeaderOf(LocalCluster* cluster) {
  for (uint64_t id = 1;; id = id % 3 + 1) {
    if (cluster->node(id) == nullptr) continue;
    auto status = cluster->node(id)->Status();
    EXPECT_TRUE(status.ok()) << status.status();
    if (status->leads) return id;
  }
}

// Until this server knows that the log is so long.
void AwaitEnd(EmbeddedNode* node, Offset end) {
  while (node->Status()->committed_end < end) {
    Reply<absl::Status> grown;
    std::unique_ptr<PendingOp> tail;
    ASSERT_TRUE(node->Run([&, giver = grown.Giver(absl::CancelledError()),
                           end](Service* service) mutable {
                      Offset from = service->log().committed_end();
                      if (from >= end) return giver(absl::OkStatus());
                      tail = service->log().Tail(
                          from, 1,
                          [giver = std::move(giver)](
                              absl::StatusOr<ReadResult> read) mutable {
                            giver(read.status());
                          });
                    })
                    .ok());
    ASSERT_TRUE(grown.Wait().ok());
    // It is the node's: so it goes there.
    Reply<absl::Status> gone;
    ASSERT_TRUE(node->Run([&tail, giver = gone.Giver(absl::CancelledError())](
                              Service*) mutable {
                      tail = nullptr;
                      giver(absl::OkStatus());
                    })
                    .ok());
    ASSERT_TRUE(gone.Wait().ok());
  }
}

TEST(EmbeddedNodeTest, ThreeNodesKeepALog) {
  std::unique_ptr<LocalCluster> cluster = ThreeNodes();
  for (uint64_t id = 1; id <= 3; ++id) {
    auto leader = cluster->node(id)->WaitForLeader(kPatience);
    ASSERT_TRUE(leader.ok()) << leader.status();
  }
  uint64_t leader = LeaderOf(cluster.get());
  uint64_t follower = leader % 3 + 1;
  AppendOutcome outcome = cluster->node(leader)->Append("one");
  ASSERT_EQ(outcome.kind, Kind::kCommitted) << outcome.message;
  BatchBuilder batch;
  ASSERT_TRUE(batch.Add("two").ok());
  ASSERT_TRUE(batch.Add("three").ok());
  outcome = cluster->node(leader)->Append(std::move(batch));
  ASSERT_EQ(outcome.kind, Kind::kCommitted) << outcome.message;
  EXPECT_EQ(outcome.offset, Offset(1));

  outcome = cluster->node(follower)->Append("elsewhere");
  EXPECT_EQ(outcome.kind, Kind::kNotLeader) << outcome.message;

  // It asks the leader, once it knows one.
  auto read = cluster->node(follower)->Read(Offset(0));
  while (absl::IsUnavailable(read.status())) {
    read = cluster->node(follower)->Read(Offset(0));
  }
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_THAT(ValuesIn(*read), testing::ElementsAre("one", "two", "three"));

  read = cluster->node(leader)->Read(Offset(0));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_THAT(ValuesIn(*read), testing::ElementsAre("one", "two", "three"));
  EXPECT_EQ(read->next, Offset(3));
  read = cluster->node(leader)->Read(Offset(2));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_THAT(ValuesIn(*read), testing::ElementsAre("three"));
  AwaitEnd(cluster->node(follower), Offset(3));
  read = cluster->node(follower)->Read(Offset(0), ReadMode::kLocal);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_THAT(ValuesIn(*read), testing::ElementsAre("one", "two", "three"));
  EXPECT_TRUE(
      absl::IsOutOfRange(cluster->node(leader)->Read(Offset(9)).status()));
}

TEST(EmbeddedNodeTest, TheOthersGoOnWithoutTheLeaderAndItCatchesUp) {
  std::unique_ptr<LocalCluster> cluster = ThreeNodes();
  uint64_t first = LeaderOf(cluster.get());
  ASSERT_EQ(cluster->node(first)->Append("one").kind, Kind::kCommitted);
  cluster->CloseNode(first);
  uint64_t second = LeaderOf(cluster.get());
  ASSERT_EQ(cluster->node(second)->Append("two").kind, Kind::kCommitted);
  absl::Status started = cluster->StartNode(first);
  ASSERT_TRUE(started.ok()) << started;
  AwaitEnd(cluster->node(first), Offset(2));
  auto read = cluster->node(first)->Read(Offset(0), ReadMode::kLocal);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_THAT(ValuesIn(*read), testing::ElementsAre("one", "two"));
}

// At whichever node leads, until it isn't UNAVAILABLE.
template <typename Ask>
absl::Status AskLeader(LocalCluster* cluster, Ask ask) {
  absl::Status answer;
  do {
    answer = ask(cluster->node(LeaderOf(cluster)));
  } while (absl::IsUnavailable(answer));
  return answer;
}

TEST(EmbeddedNodeTest, ServersLeaveAndJoin) {
  std::unique_ptr<LocalCluster> cluster = ThreeNodes();
  const uint64_t leader = LeaderOf(cluster.get());
  const uint64_t gone = leader % 3 + 1;
  ASSERT_EQ(cluster->node(leader)->Append("one").kind, Kind::kCommitted);
  EXPECT_TRUE(absl::IsUnavailable(cluster->node(gone)->Trim(Offset(0))));
  absl::Status left = AskLeader(cluster.get(), [gone](EmbeddedNode* node) {
    return node->Leave({ServerId(gone)});
  });
  // Not there any more: an answer got lost on the way.
  ASSERT_TRUE(left.ok() || absl::IsNotFound(left)) << left;
  EmbeddedNodeConfig config = cluster->NodeConfigOf(gone);
  cluster->CloseNode(gone);
  config.data_dir += "-new";
  config.node().bootstrap.clear();
  config.node().join = true;
  const Address address = config.node().listen;
  auto joining = EmbeddedNode::Start(std::move(config));
  ASSERT_TRUE(joining.ok()) << joining.status();
  absl::Status joined = AskLeader(cluster.get(), [&](EmbeddedNode* node) {
    return node->Join(ServerId(gone), address);
  });
  ASSERT_TRUE(joined.ok()) << joined;
  AwaitEnd(joining->get(), Offset(1));
  auto read = (*joining)->Read(Offset(0), ReadMode::kLocal);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_THAT(ValuesIn(*read), testing::ElementsAre("one"));
  absl::Status handed_over = AskLeader(cluster.get(), [](EmbeddedNode* node) {
    return node->Transfer(node->Status()->id);
  });
  EXPECT_TRUE(handed_over.ok()) << handed_over;
}

TEST(EmbeddedNodeTest, ATrimDropsTheBeginning) {
  auto node = EmbeddedNode::Start(Alone("trim"));
  ASSERT_TRUE(node.ok()) << node.status();
  ASSERT_TRUE((*node)->WaitForLeader(kPatience).ok());
  for (const char* value : {"one", "two", "three"}) {
    ASSERT_EQ((*node)->Append(value).kind, Kind::kCommitted);
  }
  EXPECT_TRUE(absl::IsOutOfRange((*node)->Trim(Offset(4))));
  absl::Status trimmed = (*node)->Trim(Offset(2));
  ASSERT_TRUE(trimmed.ok()) << trimmed;
  EXPECT_EQ((*node)->Status()->first_offset, Offset(2));
  EXPECT_TRUE(absl::IsOutOfRange((*node)->Read(Offset(1)).status()));
  auto read = (*node)->Read(Offset(2));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->first_offset, Offset(2));
  EXPECT_THAT(ValuesIn(*read), testing::ElementsAre("three"));
}

TEST(EmbeddedNodeTest, ManyThreadsUseOneNode) {
  auto node = EmbeddedNode::Start(Alone("threads"));
  ASSERT_TRUE(node.ok()) << node.status();
  ASSERT_TRUE((*node)->WaitForLeader(kPatience).ok());
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 20; ++i) {
        std::string value = absl::StrCat(t, " ", i);
        AppendOutcome outcome = (*node)->Append(value);
        ASSERT_EQ(outcome.kind, Kind::kCommitted) << outcome.message;
        auto read = (*node)->Read(outcome.offset);
        ASSERT_TRUE(read.ok()) << read.status();
        ASSERT_EQ(ValuesIn(*read)[0], value);
      }
    });
  }
  for (std::thread& t : threads) t.join();
  EXPECT_EQ((*node)->Status()->committed_end, Offset(160));
}

TEST(EmbeddedNodeTest, StartSaysWhatIsWrong) {
  EmbeddedNodeConfig config = Alone("wrong");
  config.insecure = false;
  EXPECT_TRUE(
      absl::IsInvalidArgument(EmbeddedNode::Start(std::move(config)).status()));
  config = Alone("wrong");
  config.node().id = ServerId(0);
  EXPECT_TRUE(
      absl::IsInvalidArgument(EmbeddedNode::Start(std::move(config)).status()));
  config = Alone("wrong");
  config.node().bootstrap.push_back({ServerId(1), Incarnation(), "a:1"});
  EXPECT_TRUE(
      absl::IsInvalidArgument(EmbeddedNode::Start(std::move(config)).status()));
  config = Alone("wrong");
  config.node().advertise = "nonsense";
  EXPECT_TRUE(
      absl::IsInvalidArgument(EmbeddedNode::Start(std::move(config)).status()));
  auto node = EmbeddedNode::Start(Alone("wrong"));
  ASSERT_TRUE(node.ok()) << node.status();
  // Its port, and its directory.
  config = Alone("another");
  config.node().listen = (*node)->Status()->address;
  absl::Status refused = EmbeddedNode::Start(std::move(config)).status();
  EXPECT_THAT(std::string(refused.message()), HasSubstr("in use"));
  config = Alone("another");
  config.data_dir = testing::TempDir() + "/wrong";
  EXPECT_FALSE(EmbeddedNode::Start(std::move(config)).ok());
}

TEST(EmbeddedNodeTest, CloseAnswersAllThatWait) {
  EmbeddedNodeConfig config = Alone("close");
  // It waits for a server that never comes.
  config.node().bootstrap.push_back(
      {ServerId(2), Incarnation(), "127.0.0.1:1"});
  auto started = EmbeddedNode::Start(std::move(config));
  ASSERT_TRUE(started.ok()) << started.status();
  std::unique_ptr<EmbeddedNode> node = *std::move(started);
  std::vector<std::thread> waiting;
  for (int i = 0; i < 4; ++i) {
    waiting.emplace_back([&] {
      EXPECT_FALSE(node->WaitForLeader(kPatience * 60).ok());
      EXPECT_FALSE(node->Read(Offset(0)).ok());
      EXPECT_NE(node->Append("x").kind, Kind::kCommitted);
    });
  }
  node->Close();
  for (std::thread& t : waiting) t.join();
  node->Close();
  EXPECT_TRUE(absl::IsFailedPrecondition(node->Status().status()));
  AppendOutcome outcome = node->Append("x");
  EXPECT_EQ(outcome.kind, Kind::kRejected);
  EXPECT_THAT(outcome.message, HasSubstr("closed"));
}

TEST(EmbeddedNodeTest, NothingWaitsOnItsOwnThread) {
  auto node = EmbeddedNode::Start(Alone("own"));
  ASSERT_TRUE(node.ok()) << node.status();
  Reply<absl::Status> done;
  ASSERT_TRUE((*node)
                  ->Run([&, giver = done.Giver(absl::CancelledError())](
                            Service*) mutable {
                    EXPECT_EQ((*node)->Append("x").kind, Kind::kRejected);
                    giver((*node)->Read(Offset(0)).status());
                  })
                  .ok());
  absl::Status status = done.Wait();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
}

TEST(EmbeddedNodeTest, TellsThatItCantGoOn) {
  EmbeddedNodeConfig config = Alone("stopped");
  const std::string directory = config.data_dir;
  std::atomic<int> times = 0;
  Reply<absl::Status> stopped;
  config.on_stopped = [&, giver = stopped.Giver(absl::CancelledError())](
                          absl::Status why) mutable {
    ++times;
    giver(std::move(why));
  };
  auto node = EmbeddedNode::Start(std::move(config));
  ASSERT_TRUE(node.ok()) << node.status();
  ASSERT_TRUE((*node)->WaitForLeader(kPatience).ok());
  // Its next segments have no place any more. It may just be making a file.
  std::error_code not_empty;
  do {
    std::filesystem::remove_all(directory, not_empty);
  } while (not_empty);
  AppendOutcome outcome;
  do {
    outcome = (*node)->Append(std::string(100 << 10, 'x'));
  } while (outcome.kind == Kind::kCommitted);
  absl::Status why = stopped.Wait();
  EXPECT_FALSE(why.ok());
  EXPECT_EQ((*node)->Append("x").kind, Kind::kRejected);
  EXPECT_EQ((*node)->Status().status(), why);
  (*node)->Close();
  EXPECT_EQ(times, 1);
}

}  // namespace
}  // namespace holdfast
