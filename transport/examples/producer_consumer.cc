// One thread appends numbered records, many at once; another one follows the
// log and counts what it finds. Nobody else is to append meanwhile.
//
//   producer_consumer                             three servers of its own
//   producer_consumer HOST:PORT,... CERTS CLIENT  a cluster that runs already

#include <atomic>
#include <cstdio>
#include <memory>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "transport/blocking_client.h"
#include "transport/examples/local_cluster.h"

namespace holdfast {
namespace {

constexpr int kRecords = 10'000;
constexpr char kLast[] = "that was all";

int Fail(const absl::Status& status) {
  std::fprintf(stderr, "%s\n", status.ToString().c_str());
  return 1;
}

// Appends a record, which is like no other, at just this offset: once, however
// often it has to be tried, since at most one try gets the offset.
absl::Status AppendAt(BlockingClient* client, Offset offset,
                      const std::string& record) {
  while (true) {
    ClientOutcome outcome = client->Append(record, {.expected_offset = offset});
    if (outcome.kind == ClientOutcome::Kind::kCommitted) {
      return absl::OkStatus();
    }
    if (outcome.kind == ClientOutcome::Kind::kUnknown) continue;
    if (outcome.reason != ClientOutcome::Reason::kWrongOffset) {
      return absl::UnavailableError(outcome.message);
    }
    // Is it this one, from an earlier try?
    absl::StatusOr<ClientReadResult> found = client->Read(offset);
    if (!found.ok()) return found.status();
    RecordView there;
    if (!found->batches.empty() && found->batches[0].Records().Next(&there) &&
        there.value() == record) {
      return absl::OkStatus();
    }
    return absl::FailedPreconditionError(outcome.message);
  }
}

// False unless each of the records is in the log, the last one at this offset.
bool Produce(BlockingClient* client, Offset last) {
  std::atomic<int> committed = 0;
  for (int i = 0; i < kRecords; ++i) {
    BatchBuilder batch;
    absl::Status status = batch.Add(absl::StrCat("record ", i));
    // Waits whenever as much as may be is outstanding.
    status.Update(client->AppendAsync(
        std::move(batch), {}, [&committed](const ClientOutcome& outcome) {
          if (outcome.kind == ClientOutcome::Kind::kCommitted) ++committed;
        }));
    if (!status.ok()) break;
  }
  // The callbacks refer to `committed`.
  client->Flush().IgnoreError();
  return committed == kRecords && AppendAt(client, last, kLast).ok();
}

absl::StatusOr<int> Consume(BlockingClient* client, Offset from) {
  absl::StatusOr<std::unique_ptr<TailReader>> tail = client->Tail(from);
  if (!tail.ok()) return tail.status();
  for (int found = 0;; ++found) {
    absl::StatusOr<LogRecord> record = (*tail)->Next(30s);
    if (!record.ok()) return record.status();
    if (record->value() == kLast) return found;
  }
}

int Run(int argc, char** argv) {
  std::unique_ptr<LocalCluster> cluster;
  BlockingClientConfig config;
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
  absl::StatusOr<std::unique_ptr<BlockingClient>> client =
      BlockingClient::Connect(config);
  if (!client.ok()) return Fail(client.status());

  // The log may hold something already: what follows this record is ours.
  ClientOutcome first = (*client)->Append("here it begins");
  if (first.kind != ClientOutcome::Kind::kCommitted) {
    return Fail(absl::UnavailableError(first.message));
  }
  bool all_in = false;
  std::thread producer(
      [&] { all_in = Produce(client->get(), first.offset + 1 + kRecords); });
  absl::StatusOr<int> found = Consume(client->get(), first.offset + 1);
  producer.join();
  if (!found.ok()) return Fail(found.status());
  std::printf("%d records appended, %d found\n", kRecords, *found);
  return all_in && *found == kRecords ? 0 : 1;
}

}  // namespace
}  // namespace holdfast

int main(int argc, char** argv) { return holdfast::Run(argc, argv); }
