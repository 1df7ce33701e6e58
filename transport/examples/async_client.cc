// The client without threads: one loop, on which this program's own code runs
// too. It appends numbered records as fast as the client takes them, then reads
// back where they are.
//
//   async_client                             three servers of its own
//   async_client HOST:PORT,... CERTS CLIENT  a cluster that runs already

#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "transport/client_host.h"
#include "transport/examples/local_cluster.h"

namespace holdfast {
namespace {

constexpr int kRecords = 10'000;

// All of it is called on the loop.
class Copier {
 public:
  explicit Copier(ClientHost* host) : host_(host), client_(host->client()) {}

  // Runs the loop until all is done.
  int Run() {
    AppendMore();
    host_->loop()->Run();
    std::printf("%d records appended, %d found\n", committed_, found_);
    return committed_ == kRecords && found_ >= kRecords ? 0 : 1;
  }

 private:
  void AppendMore() {
    for (; taken_ < kRecords; ++taken_) {
      BatchBuilder batch;
      if (!batch.Add(absl::StrCat("record ", taken_)).ok()) return Stop();
      // Refused when the queue is full: goes on with the next outcome.
      absl::Status taken = client_->Append(
          std::move(batch), {},
          [this](const ClientOutcome& outcome) { OnOutcome(outcome); });
      if (absl::IsResourceExhausted(taken)) return;
      if (!taken.ok()) return Stop();
    }
  }

  void OnOutcome(const ClientOutcome& outcome) {
    ++settled_;
    if (stopping_) return;
    switch (outcome.kind) {
      case ClientOutcome::Kind::kCommitted:
        ++committed_;
        first_ = std::min(first_, outcome.offset);
        last_ = std::max(last_, outcome.offset);
        break;
      case ClientOutcome::Kind::kRejected:  // it is not in the log
      case ClientOutcome::Kind::kUnknown:   // it may be
        std::fprintf(stderr, "%s\n", outcome.message.c_str());
        break;
    }
    if (settled_ == kRecords) return ReadFrom(first_);
    AppendMore();
  }

  void ReadFrom(Offset from) {
    client_->Read(from, {}, [this](absl::StatusOr<ClientReadResult> result) {
      if (!result.ok() || result->batches.empty()) return Stop();
      for (const LogBatch& batch : result->batches) {
        RecordCursor records = batch.Records();
        RecordView record;
        while (records.Next(&record)) ++found_;
      }
      if (result->next > last_) return Stop();
      ReadFrom(result->next);
    });
  }

  void Stop() {
    if (std::exchange(stopping_, true)) return;
    client_->Close([this](const absl::Status&) { host_->loop()->Stop(); });
  }

  ClientHost* const host_;
  Client* const client_;
  int taken_ = 0;
  int settled_ = 0;
  int committed_ = 0;
  int found_ = 0;
  Offset first_{UINT64_MAX};
  Offset last_;
  bool stopping_ = false;
};

int Fail(const absl::Status& status) {
  std::fprintf(stderr, "%s\n", status.ToString().c_str());
  return 1;
}

int Main(int argc, char** argv) {
  std::unique_ptr<LocalCluster> cluster;
  ClientConfig config;
  if (argc == 4) {
    config.client.servers = absl::StrSplit(argv[1], ',');
    config.certs = argv[2];
    config.client.name = argv[3];
  } else {
    absl::StatusOr<std::unique_ptr<LocalCluster>> started =
        LocalCluster::Start();
    if (!started.ok()) return Fail(started.status());
    cluster = *std::move(started);
    config = cluster->ClientConfig();
  }
  config.client.queue_bytes_max = 256 << 10;
  absl::StatusOr<std::unique_ptr<ClientHost>> host =
      ClientHost::Create(std::move(config));
  if (!host.ok()) return Fail(host.status());
  return Copier(host->get()).Run();
}

}  // namespace
}  // namespace holdfast

int main(int argc, char** argv) { return holdfast::Main(argc, argv); }
