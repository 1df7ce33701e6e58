#ifndef HOLDFAST_ENGINE_CLIENT_CLIENT_FIXTURE_H_
#define HOLDFAST_ENGINE_CLIENT_CLIENT_FIXTURE_H_

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/client/client.h"
#include "engine/client/fake_server.h"
#include "engine/peer/plaintext.h"
#include "engine/peer/testing/manual_loop.h"
#include "engine/peer/testing/memory_network.h"
#include "gtest/gtest.h"

namespace holdfast {

inline BatchBuilder BatchOf(absl::string_view value) {
  BatchBuilder batch;
  EXPECT_TRUE(batch.Add(value).ok());
  return batch;
}

// A client and three servers from a script.
class ClientTest : public ::testing::Test {
 protected:
  ClientTest() {
    env_.loop = &loop_;
    env_.network = &network_;
    env_.security = &security_;
    env_.seed = 1;
    log_.leader = "s:1";
    for (int i = 1; i <= 3; ++i) {
      const Address address = absl::StrCat("s:", i);
      servers_[address] = std::make_unique<FakeServer>(
          &loop_, &network_, &security_, &log_, address);
    }
    NewClient({});
  }

  void NewClient(ClientOptions options) {
    client_ = nullptr;
    options.servers = {"s:1", "s:2", "s:3"};
    options.name = "test";
    client_ = std::make_unique<Client>(env_, options);
  }

  FakeServer& server(int i) { return *servers_.at(absl::StrCat("s:", i)); }

  // Another cluster takes the servers' place, whose log has `batches` of a
  // producer of its own.
  void ReplaceCluster(size_t batches) {
    FakeLog other;
    other.cluster = ClusterId(log_.cluster.value() + 1);
    other.leader = log_.leader;
    other.sessions = 1;
    for (size_t i = 0; i < batches; ++i) {
      other.results[1].push_back(other.end);
      other.batches.push_back(
          {.base = other.end,
           .bytes = BatchOf("other").Finish(SessionId(1), Sequence(i + 1))});
      other.end += 1;
    }
    log_ = std::move(other);
    for (auto& [address, server] : servers_) {
      server->set_mode(FakeServer::Mode::kServe);
      server->DropClients();
    }
  }

  // Its outcome comes to outcomes_[value].
  absl::Status Append(const std::string& value,
                      ClientAppendOptions options = {}) {
    return client_->Append(BatchOf(value), options,
                           [this, value](ClientOutcome outcome) {
                             EXPECT_EQ(outcomes_.count(value), 0u);
                             outcomes_[value] = outcome;
                           });
  }

  // The log's records.
  std::vector<std::string> Records() {
    std::vector<std::string> records;
    for (const FakeLog::Batch& batch : log_.batches) {
      absl::StatusOr<BatchView> view = BatchView::Parse(batch.bytes);
      RecordCursor cursor = view->Records();
      RecordView record;
      while (cursor.Next(&record)) records.emplace_back(record.value());
    }
    return records;
  }

  absl::StatusOr<ClientReadResult> Read(Offset from,
                                        ClientReadOptions options = {},
                                        Duration time = 1s) {
    std::optional<absl::StatusOr<ClientReadResult>> result;
    client_->Read(from, options, [&](absl::StatusOr<ClientReadResult> r) {
      result = std::move(r);
    });
    EXPECT_FALSE(result.has_value());
    loop_.RunFor(time);
    if (!result.has_value()) return absl::UnknownError("not done");
    return *std::move(result);
  }

  // What an operator's request came to, if it is done.
  DoneFn TakeDone() {
    done_.reset();
    return [this](absl::Status status) { done_ = std::move(status); };
  }

  ManualLoop loop_;
  MemoryNetwork network_{&loop_};
  Plaintext security_{&loop_};
  Env env_;
  FakeLog log_;
  std::map<Address, std::unique_ptr<FakeServer>> servers_;
  std::map<std::string, ClientOutcome> outcomes_;
  std::optional<absl::Status> done_;
  std::unique_ptr<Client> client_;
};

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_CLIENT_CLIENT_FIXTURE_H_
