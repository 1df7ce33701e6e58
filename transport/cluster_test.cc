// Three whole servers and a client in one process, over real sockets, TLS and
// files: the composition that production runs, without its processes.

#include <stdlib.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/client/client.h"
#include "engine/service/service.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "transport/certs.h"
#include "transport/epoll_loop.h"
#include "transport/posix_disk.h"
#include "transport/tcp.h"
#include "transport/tls.h"

namespace holdfast {
namespace {

using ::testing::HasSubstr;

// A test that hangs says where, instead of running into Bazel's limit.
constexpr Duration kPatience = 60s;

struct Server {
  std::unique_ptr<TlsSecurity> security;
  std::unique_ptr<PosixDisk> disk;
  LogLineFn log_line;
  std::unique_ptr<Service> service;
};

class ClusterTest : public testing::Test {
 protected:
  ClusterTest() : network_(&loop_) {
    std::string pattern = testing::TempDir() + "/holdfast-cluster.XXXXXX";
    directory_ = mkdtemp(pattern.data());
    std::string certs = Path("certs");
    EXPECT_TRUE(InitCa(certs, "test").ok());
    for (uint64_t id = 1; id <= 3; ++id) {
      EXPECT_TRUE(IssueServer(certs, ServerId(id), {"127.0.0.1"}, 24h).ok());
    }
    EXPECT_TRUE(IssueClient(certs, "app", ClientRole::kWrite, 24h).ok());
    EXPECT_TRUE(IssueClient(certs, "ops", ClientRole::kAdmin, 24h).ok());
    // Ports that are free now; each listener is closed again at once.
    for (uint64_t id = 1; id <= 3; ++id) {
      auto listener = network_.Listen("127.0.0.1:0", [](auto) {});
      EXPECT_TRUE(listener.ok());
      members_.push_back(Member{ServerId(id), {}, (*listener)->address()});
      holding_.push_back(*std::move(listener));
    }
    holding_.clear();
    servers_.resize(4);
  }
  ~ClusterTest() override {
    client_.reset();
    servers_.clear();
    std::filesystem::remove_all(directory_);
  }

  std::string Path(const std::string& name) const {
    return directory_ + "/" + name;
  }

  void Start(uint64_t id) {
    Server& s = servers_[id];
    auto credentials = LoadServer(Path("certs"), ServerId(id));
    ASSERT_TRUE(credentials.ok()) << credentials.status();
    auto security = TlsSecurity::Create(&loop_, *credentials);
    ASSERT_TRUE(security.ok()) << security.status();
    s.security = *std::move(security);
    auto disk = PosixDisk::Open(&loop_, Path(absl::StrCat("data", id)));
    ASSERT_TRUE(disk.ok()) << disk.status();
    s.disk = *std::move(disk);
    s.log_line = [this, id](absl::string_view line) {
      absl::StrAppend(&log_, id, ": ", line, "\n");
    };
    ServiceOptions options;
    options.log.node.id = ServerId(id);
    options.log.node.cluster_name = "test";
    options.log.node.listen = members_[id - 1].address;
    options.log.node.bootstrap = members_;
    options.log.node.wal.segment_bytes = 1 << 20;
    options.clients_max = clients_max_;
    s.service = std::make_unique<Service>(Env{.loop = &loop_,
                                              .disk = s.disk.get(),
                                              .network = &network_,
                                              .security = s.security.get(),
                                              .seed = id * 1000 + ++starts_,
                                              .log_line = &s.log_line},
                                          options);
    absl::Status opened = absl::UnknownError("not opened");
    s.service->Open([this, &opened](absl::Status status) {
      opened = status;
      loop_.Stop();
    });
    RunLoop();
    ASSERT_TRUE(opened.ok()) << opened << log_;
  }

  void Kill(uint64_t id) { servers_[id] = Server(); }

  void Connect(const std::string& name = "app") {
    client_ = nullptr;
    auto credentials = LoadClient(Path("certs"), name);
    ASSERT_TRUE(credentials.ok());
    auto security = TlsSecurity::Create(&loop_, *credentials);
    ASSERT_TRUE(security.ok()) << security.status();
    client_security_ = *std::move(security);
    ClientOptions options;
    for (const Member& m : members_) options.servers.push_back(m.address);
    options.name = name;
    client_ = std::make_unique<Client>(Env{.loop = &loop_,
                                           .network = &network_,
                                           .security = client_security_.get(),
                                           .seed = 7},
                                       options);
  }

  // Until somebody stops it; fails the test when nobody does.
  void RunLoop() {
    Timer patience = loop_.After(kPatience, [this] {
      ADD_FAILURE() << "nothing happened for long\n" << log_;
      loop_.Stop();
    });
    loop_.Run();
  }

  // Appends n records, many at once, and waits for all.
  void Append(int n) {
    int left = n;
    for (int i = 0; i < n; ++i) {
      std::string value = absl::StrCat("record ", appended_++);
      BatchBuilder batch;
      ASSERT_TRUE(batch.Add(value).ok());
      absl::Status taken = client_->Append(
          std::move(batch), {}, [this, &left, value](ClientOutcome outcome) {
            EXPECT_EQ(outcome.kind, ClientOutcome::Kind::kCommitted)
                << outcome.message;
            expected_[outcome.offset.value()] = value;
            if (--left == 0) loop_.Stop();
          });
      ASSERT_TRUE(taken.ok()) << taken;
    }
    RunLoop();
    ASSERT_EQ(left, 0) << client_->Trouble() << log_;
  }

  void ExpectReadsBack(const ClientReadOptions& options) {
    std::map<uint64_t, std::string> found;
    Offset next(0);
    bool more = true;
    while (more && !HasFailure()) {
      client_->Read(next, options,
                    [&](absl::StatusOr<ClientReadResult> result) {
                      loop_.Stop();
                      more = result.ok() && !result->batches.empty();
                      ASSERT_TRUE(result.ok()) << result.status() << log_;
                      for (const LogBatch& batch : result->batches) {
                        uint64_t offset = batch.from.value();
                        RecordCursor records = batch.Records();
                        RecordView record;
                        while (records.Next(&record)) {
                          found[offset++] = std::string(record.value());
                        }
                      }
                      next = result->next;
                    });
      RunLoop();
    }
    EXPECT_EQ(found, expected_);
  }

  absl::Status Join(ServerId id, const Address& address) {
    absl::Status result = absl::UnknownError("not done");
    client_->Join(id, address, false, kPatience, [&](absl::Status done) {
      result = std::move(done);
      loop_.Stop();
    });
    RunLoop();
    return result;
  }

  uint64_t Leader() {
    for (uint64_t id = 1; id <= 3; ++id) {
      if (servers_[id].service != nullptr &&
          servers_[id].service->log().node().is_leader()) {
        return id;
      }
    }
    return 0;
  }

  EpollLoop loop_;
  TcpNetwork network_;
  std::string directory_;
  std::vector<Member> members_;
  std::vector<std::unique_ptr<Listener>> holding_;
  std::vector<Server> servers_;
  uint64_t starts_ = 0;
  size_t clients_max_ = 100;
  std::unique_ptr<TlsSecurity> client_security_;
  std::unique_ptr<Client> client_;
  std::map<uint64_t, std::string> expected_;
  int appended_ = 0;
  std::string log_;
};

TEST_F(ClusterTest, KeepsTheLogThroughTheLossOfItsLeaderAndARestart) {
  for (uint64_t id = 1; id <= 3; ++id) ASSERT_NO_FATAL_FAILURE(Start(id));
  ASSERT_NO_FATAL_FAILURE(Connect());
  ASSERT_NO_FATAL_FAILURE(Append(500));
  uint64_t leader = Leader();
  ASSERT_NE(leader, 0u);
  Kill(leader);
  ASSERT_NO_FATAL_FAILURE(Append(500));
  ASSERT_NO_FATAL_FAILURE(Start(leader));
  ASSERT_NO_FATAL_FAILURE(Append(500));
  ExpectReadsBack({.mode = ClientReadMode::kLinearizable});
  EXPECT_EQ(expected_.size(), 1500u);
  EXPECT_EQ(expected_.rbegin()->first, 1499u);
}

// Each of which is as large as an answer may be; all have to come through the
// one connection, which nobody may lose for that.
TEST_F(ClusterTest, ManyLargeReadsAndTailsAtOnce) {
  for (uint64_t id = 1; id <= 3; ++id) ASSERT_NO_FATAL_FAILURE(Start(id));
  ASSERT_NO_FATAL_FAILURE(Connect());
  constexpr size_t kReads = 200;
  constexpr size_t kTails = 12;
  constexpr size_t kRecordBytes = 15 << 20;
  const auto append = [this](size_t bytes) {
    BatchBuilder batch;
    ASSERT_TRUE(batch.Add(std::string(bytes, 'x')).ok());
    ASSERT_TRUE(client_
                    ->Append(std::move(batch), {},
                             [this](const ClientOutcome& outcome) {
                               EXPECT_EQ(outcome.kind,
                                         ClientOutcome::Kind::kCommitted);
                               loop_.Stop();
                             })
                    .ok());
    RunLoop();
  };
  ASSERT_NO_FATAL_FAILURE(append(1 << 20));
  size_t left = kReads;
  for (size_t i = 0; i < kReads; ++i) {
    client_->Read(Offset(0), {.mode = ClientReadMode::kLinearizable},
                  [&](const absl::StatusOr<ClientReadResult>& result) {
                    EXPECT_TRUE(result.ok()) << result.status();
                    if (--left == 0) loop_.Stop();
                  });
  }
  RunLoop();
  EXPECT_EQ(left, 0u);
  left = kTails;
  std::vector<std::unique_ptr<ClientTail>> tails;
  for (size_t i = 0; i < kTails; ++i) {
    ClientTailCallbacks callbacks;
    callbacks.on_batches = [&](const std::vector<LogBatch>& batches) {
      if (batches.back().end() == Offset(2) && --left == 0) loop_.Stop();
    };
    callbacks.on_end = [](const absl::Status& why) { FAIL() << why; };
    tails.push_back(client_->Tail(Offset(1), {}, std::move(callbacks)));
  }
  ASSERT_NO_FATAL_FAILURE(append(kRecordBytes));
  if (left > 0) RunLoop();
  EXPECT_EQ(left, 0u);
  EXPECT_EQ(log_.find("client_dropped"), std::string::npos) << log_;
}

// However many reads there are, at all times, a tail of the same connection
// gets its records.
TEST_F(ClusterTest, ReadsDontStarveATail) {
  for (uint64_t id = 1; id <= 3; ++id) ASSERT_NO_FATAL_FAILURE(Start(id));
  ASSERT_NO_FATAL_FAILURE(Connect());
  const auto append = [this] {
    BatchBuilder batch;
    ASSERT_TRUE(batch.Add(std::string(1 << 20, 'x')).ok());
    ASSERT_TRUE(client_
                    ->Append(std::move(batch), {},
                             [](const ClientOutcome& outcome) {
                               EXPECT_EQ(outcome.kind,
                                         ClientOutcome::Kind::kCommitted);
                             })
                    .ok());
  };
  bool over = false;
  std::function<void()> read = [&] {
    if (over) return;
    client_->Read(Offset(0), {.mode = ClientReadMode::kLinearizable},
                  [&](const absl::StatusOr<ClientReadResult>& result) {
                    EXPECT_TRUE(result.ok()) << result.status();
                    read();
                  });
  };
  ClientTailCallbacks callbacks;
  callbacks.on_batches = [&](const std::vector<LogBatch>& batches) {
    if (batches.front().base_offset == Offset(0)) {
      for (int i = 0; i < 200; ++i) read();
    }
    if (batches.back().end() < Offset(20)) return append();
    over = true;
    loop_.Stop();
  };
  callbacks.on_end = [](const absl::Status& why) { FAIL() << why; };
  const std::unique_ptr<ClientTail> tail =
      client_->Tail(Offset(0), {}, std::move(callbacks));
  append();
  RunLoop();
  EXPECT_TRUE(over);
  EXPECT_EQ(log_.find("client_dropped"), std::string::npos) << log_;
}

// It is told so, and gets in when another one has gone.
TEST_F(ClusterTest, AClientTooManyIsRefused) {
  clients_max_ = 1;
  for (uint64_t id = 1; id <= 3; ++id) ASSERT_NO_FATAL_FAILURE(Start(id));
  ASSERT_NO_FATAL_FAILURE(Connect());
  const auto ask = [this] {
    absl::Status result;
    client_->Status(members_[0].address, kPatience,
                    [&](const absl::StatusOr<ServerStatus>& status) {
                      result = status.status();
                      loop_.Stop();
                    });
    RunLoop();
    return result;
  };
  EXPECT_TRUE(ask().ok());
  std::unique_ptr<TlsSecurity> security = std::move(client_security_);
  std::unique_ptr<Client> first = std::move(client_);
  ASSERT_NO_FATAL_FAILURE(Connect("ops"));
  const absl::Status refused = ask();
  EXPECT_TRUE(absl::IsUnavailable(refused)) << refused;
  EXPECT_THAT(std::string(refused.message()),
              HasSubstr("(busy): this server has 1 clients"));
  first = nullptr;
  absl::Status taken = absl::UnavailableError("not asked");
  while (!taken.ok() && !HasFailure()) {
    Timer pause = loop_.After(10ms, [this] { loop_.Stop(); });
    RunLoop();
    taken = ask();
  }
  EXPECT_TRUE(taken.ok()) << taken;
}

TEST_F(ClusterTest, OnlyAnAdminChangesMembersAndOnlySensibly) {
  for (uint64_t id = 1; id <= 3; ++id) ASSERT_NO_FATAL_FAILURE(Start(id));
  ASSERT_NO_FATAL_FAILURE(Connect());
  absl::Status status = Join(ServerId(4), "127.0.0.1:1");
  EXPECT_TRUE(absl::IsPermissionDenied(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("the role admin"));
  ASSERT_NO_FATAL_FAILURE(Connect("ops"));
  for (const Address& bad :
       {Address("nonsense"), Address("127.0.0.1:0"), Address("a b:1"),
        absl::StrCat(std::string(300, 'h'), ":1")}) {
    status = Join(ServerId(4), bad);
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  }
  status = Join(ServerId(0), "127.0.0.1:1");
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
}

}  // namespace
}  // namespace holdfast
