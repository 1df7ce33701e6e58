// Which part of what an append costs the processor goes into checksums and
// chained hashes. A server and a client in this process, over plaintext on
// loopback and on a real disk, and appends as `holdfast bench` has them: one
// record each, 64 under way. In turn with them, the same checksums and hashes
// alone, of as many batches of these bytes. `checksum_share` is the ratio of
// their CPU time to that of this whole process while it appended: client,
// server, and what the kernel did for both.
//
//   bazel run -c opt //bench:checksum_bench
//
// A follower computes about as many as the leader; TLS would make the ratio
// smaller.

#include <stdlib.h>
#include <time.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "benchmark/benchmark.h"
#include "engine/base/batch.h"
#include "engine/base/check.h"
#include "engine/base/crc32c.h"
#include "engine/peer/message.h"
#include "engine/wal/entry.h"
#include "engine/wal/frame.h"
#include "transport/blocking_client.h"
#include "transport/embedded_node.h"

namespace holdfast {
namespace {

constexpr size_t kOutstanding = 64;
// Of one iteration, about.
constexpr size_t kBytes = 4 << 20;

double CpuSeconds(clockid_t clock) {
  timespec now;
  CHECK(clock_gettime(clock, &now) == 0);
  return static_cast<double>(now.tv_sec) +
         static_cast<double>(now.tv_nsec) / 1e9;
}

BatchBuilder BatchOf(const std::string& record) {
  BatchBuilder batch(record.size() + kRecordHeaderBytes);
  CHECK(batch.Add(record).ok());
  return batch;
}

// A cluster of one, and a client of it.
class Appends {
 public:
  explicit Appends(const std::string& record) : record_(record) {
    directory_ = std::filesystem::temp_directory_path().string() +
                 "/holdfast-checksums.XXXXXX";
    CHECK(mkdtemp(directory_.data()) != nullptr);
    EmbeddedNodeConfig config;
    config.data_dir = directory_;
    config.insecure = true;
    config.node().id = ServerId(1);
    config.node().listen = "127.0.0.1:0";
    config.node().bootstrap = {{ServerId(1), Incarnation(), "127.0.0.1:7400"}};
    absl::StatusOr<std::unique_ptr<EmbeddedNode>> node =
        EmbeddedNode::Start(std::move(config));
    CHECK(node.ok());
    node_ = *std::move(node);
    CHECK(node_->WaitForLeader(60s).ok());
    BlockingClientConfig client;
    client.client.servers = {node_->Status()->address};
    client.insecure = true;
    client.appends_outstanding_max = kOutstanding;
    absl::StatusOr<std::unique_ptr<BlockingClient>> connected =
        BlockingClient::Connect(std::move(client));
    CHECK(connected.ok());
    client_ = *std::move(connected);
    Run(1);  // opens the session
  }
  ~Appends() {
    client_->Close();
    node_->Close();
    std::filesystem::remove_all(directory_);
  }

  void Run(size_t appends) {
    for (size_t i = 0; i < appends; ++i) {
      CHECK(client_
                ->AppendAsync(BatchOf(record_), {},
                              [](const ClientOutcome& outcome) {
                                CHECK(outcome.kind ==
                                      ClientOutcome::Kind::kCommitted);
                              })
                .ok());
    }
    CHECK(client_->Flush().ok());
  }

 private:
  const std::string record_;
  std::string directory_;
  std::unique_ptr<EmbeddedNode> node_;
  std::unique_ptr<BlockingClient> client_;
};

// What is computed of one append between the client's call and its answer.
class Checksums {
 public:
  explicit Checksums(const std::string& record)
      : batch_(BatchOf(record).Finish(SessionId(1), Sequence(1))),
        header_(SealEntry(LogPoint(), Term(1), EntryKind::kBatch, 1, WallTime(),
                          batch_)
                    .header) {}

  void OfOneAppend() {
    // The client, when it numbers the batch; engine/base/batch.cc.
    Batch();
    // Its message, whose checksum takes in the batch's; then all of the bytes,
    // when they arrive: engine/peer/message_stream.cc, message.cc.
    const uint32_t sent = Message();
    benchmark::DoNotOptimize(batch_.ExtendCrc(sent));
    benchmark::DoNotOptimize(ExtendCrc32c(Message(), batch_.view()));
    // The server, when it looks at the batch.
    Batch();
    // The entry, and its frame in the log: engine/wal/entry.cc, segment.cc.
    header_.payload_crc = batch_.Crc();
    header_.chain = ChainHash(header_.chain, header_);
    seed_ = batch_.ExtendCrc(ExtendCrc32c(seed_, Zeroes(kEntryHeaderBytes)));
    benchmark::DoNotOptimize(
        ExtendCrc32c(seed_, Zeroes(kLogFrameHeaderBytes - 8)));
    // The answer's message, on both sides.
    benchmark::DoNotOptimize(Message());
    benchmark::DoNotOptimize(Message());
  }

 private:
  // A batch's own checksum, and from that the one of all its bytes.
  void Batch() {
    constexpr size_t kFrom = 8;
    const absl::string_view bytes = batch_.view();
    const uint32_t crc = Crc32c(bytes.substr(kFrom));
    batch_.set_crc(ConcatCrc32c(Crc32c(bytes.substr(0, kFrom)), crc,
                                bytes.size() - kFrom));
  }
  // Of a message's two headers.
  uint32_t Message() {
    constexpr size_t kProtobufBytes = 24;
    return ExtendCrc32c(Crc32c(Zeroes(kFrameHeaderBytes - 8)),
                        Zeroes(kProtobufBytes));
  }
  // Of at most kEntryHeaderBytes.
  absl::string_view Zeroes(size_t n) const { return {zeroes_, n}; }

  Buffer batch_;
  EntryHeader header_;
  uint32_t seed_ = 0;
  const char zeroes_[kEntryHeaderBytes] = {};
};

void BM_Append(benchmark::State& state) {
  const std::string record(static_cast<size_t>(state.range(0)), 'x');
  const size_t batches =
      std::clamp<size_t>(kBytes / record.size(), 2 * kOutstanding, 8192);
  Appends appends(record);
  Checksums checksums(record);
  double append_s = 0;
  double checksum_s = 0;
  for (auto _ : state) {
    const double before = CpuSeconds(CLOCK_PROCESS_CPUTIME_ID);
    appends.Run(batches);
    append_s += CpuSeconds(CLOCK_PROCESS_CPUTIME_ID) - before;
    state.PauseTiming();
    const double alone = CpuSeconds(CLOCK_THREAD_CPUTIME_ID);
    for (size_t i = 0; i < batches; ++i) checksums.OfOneAppend();
    checksum_s += CpuSeconds(CLOCK_THREAD_CPUTIME_ID) - alone;
    state.ResumeTiming();
  }
  const double n =
      static_cast<double>(state.iterations()) * static_cast<double>(batches);
  state.SetItemsProcessed(static_cast<int64_t>(n));
  state.SetBytesProcessed(state.items_processed() * state.range(0));
  state.counters["append_cpu_ns"] = append_s * 1e9 / n;
  state.counters["checksum_cpu_ns"] = checksum_s * 1e9 / n;
  state.counters["checksum_share"] = checksum_s / append_s;
}
BENCHMARK(BM_Append)
    ->Arg(128)
    ->Arg(1 << 10)
    ->Arg(16 << 10)
    ->Arg(64 << 10)
    ->MeasureProcessCPUTime()
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond)
    ->MinTime(2);

}  // namespace
}  // namespace holdfast

BENCHMARK_MAIN();
