#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "transport/cli/command.h"
#include "transport/cli/connection.h"

namespace holdfast {
namespace {

// Keeps a number of appends under way, one record each.
class Bench {
 public:
  Bench(std::unique_ptr<ClientConnection> connection, uint64_t records,
        uint64_t size, uint64_t outstanding)
      : connection_(std::move(connection)),
        records_(records),
        outstanding_max_(outstanding),
        value_(size, 'x') {
    latencies_ns_.reserve(records);
  }

  absl::Status Run() {
    // The first append finds the leader and opens the session; it isn't timed.
    Append(false);
    connection_->loop()->Run();
    if (!status_.ok()) return status_;
    started_ = connection_->loop()->FreshNow();
    Fill();
    connection_->loop()->Run();
    ended_ = connection_->loop()->FreshNow();
    return status_;
  }

  void Print(bool json) {
    std::sort(latencies_ns_.begin(), latencies_ns_.end());
    double seconds = static_cast<double>((ended_ - started_).count()) / 1e9;
    double rate = static_cast<double>(records_) / seconds;
    double mbytes = rate * static_cast<double>(value_.size()) / 1e6;
    const char* format =
        json ? "{\"records\":%llu,\"size\":%zu,\"outstanding\":%llu,"
               "\"seconds\":%.3f,\"appends_per_s\":%.0f,\"mb_per_s\":%.1f,"
               "\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"p999_ms\":%.3f,"
               "\"max_ms\":%.3f}\n"
             : "%llu records of %zu bytes, %llu outstanding, in %.3f s: %.0f "
               "appends/s, %.1f MB/s, latency p50 %.3f ms, p99 %.3f ms, p99.9 "
               "%.3f ms, max %.3f ms\n";
    std::printf(format, static_cast<unsigned long long>(records_),
                value_.size(),
                static_cast<unsigned long long>(outstanding_max_), seconds,
                rate, mbytes, At(0.5), At(0.99), At(0.999), At(1));
  }

 private:
  double At(double quantile) const {
    size_t n = latencies_ns_.size();
    size_t i =
        std::min(n - 1, static_cast<size_t>(quantile * static_cast<double>(n)));
    return static_cast<double>(latencies_ns_[i]) / 1e6;
  }

  void Fill() {
    while (sent_ < records_ && outstanding_ < outstanding_max_) {
      ++sent_;
      Append(true);
      if (!status_.ok()) return;
    }
  }

  void Append(bool timed) {
    BatchBuilder batch(value_.size() + 64);
    absl::Status added = batch.Add(value_);
    if (!added.ok()) return Stop(added);
    ClientAppendOptions options;
    options.timeout = connection_->timeout();
    Instant start = connection_->loop()->FreshNow();
    ++outstanding_;
    absl::Status taken = connection_->client()->Append(
        std::move(batch), options, [this, start, timed](ClientOutcome outcome) {
          --outstanding_;
          if (outcome.kind != ClientOutcome::Kind::kCommitted) {
            return Stop(absl::UnavailableError(
                absl::StrCat("an append failed: ", outcome.message)));
          }
          if (!timed) return connection_->loop()->Stop();
          latencies_ns_.push_back(
              (connection_->loop()->FreshNow() - start).count());
          if (latencies_ns_.size() == records_) {
            return connection_->loop()->Stop();
          }
          Fill();
        });
    if (!taken.ok()) Stop(std::move(taken));
  }

  void Stop(absl::Status status) {
    status_.Update(status);
    connection_->loop()->Stop();
  }

  std::unique_ptr<ClientConnection> connection_;
  const uint64_t records_;
  const uint64_t outstanding_max_;
  const std::string value_;
  uint64_t sent_ = 0;
  uint64_t outstanding_ = 0;
  Instant started_;
  Instant ended_;
  std::vector<int64_t> latencies_ns_;
  absl::Status status_;
};

int RunBench(const Args& args) {
  absl::StatusOr<uint64_t> records =
      args.Number("records", 10000, 1, 100000000);
  if (!records.ok()) return FailWith(records.status());
  absl::StatusOr<uint64_t> size = args.Number("size", 1024, 1, 16 << 20);
  if (!size.ok()) return FailWith(size.status());
  absl::StatusOr<uint64_t> outstanding =
      args.Number("outstanding", 64, 1, kAppendsInFlightMax);
  if (!outstanding.ok()) return FailWith(outstanding.status());
  absl::StatusOr<std::unique_ptr<ClientConnection>> connection =
      ClientConnection::Open(args);
  if (!connection.ok()) return FailWith(connection.status());
  Bench bench(*std::move(connection), *records, *size, *outstanding);
  if (absl::Status run = bench.Run(); !run.ok()) return FailWith(run);
  bench.Print(args.Has("json"));
  return kExitDone;
}

}  // namespace

Command BenchCommand() {
  return {"bench", "measures appends, one record each",
          WithConnectionFlags(
              {{"records", "N", "how many; 10000 unless told otherwise"},
               {"size", "BYTES", "of each record; 1024"},
               {"outstanding", "K", "appends under way at once; 64"},
               {"json", nullptr, "as JSON"}}),
          RunBench};
}

}  // namespace holdfast
