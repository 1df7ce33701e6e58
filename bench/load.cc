// Appends records to a running cluster, as many at once as told, and for each
// line on stdin prints how many a second were acknowledged since the line
// before. Ends with stdin. For join_cost.sh.
//
//   load HOST:PORT,... CERTS CLIENT RECORD-BYTES OUTSTANDING

#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_split.h"
#include "engine/base/check.h"
#include "transport/client_host.h"

namespace holdfast {
namespace {

constexpr Duration kTimeout = 60s;

class Load {
 public:
  Load(ClientHost* host, size_t record_bytes)
      : host_(host), record_(record_bytes, 'x') {}

  void AppendOne() {
    BatchBuilder batch(record_.size() + kRecordHeaderBytes);
    CHECK(batch.Add(record_).ok());
    const absl::Status begun = host_->client()->Append(
        std::move(batch), {.timeout = kTimeout}, [this](ClientOutcome outcome) {
          if (outcome.kind == ClientOutcome::Kind::kCommitted) {
            ++acknowledged_;
          }
          AppendOne();
        });
    CHECK(begun.ok());
  }

  uint64_t acknowledged() const { return acknowledged_; }

 private:
  ClientHost* const host_;
  const std::string record_;
  std::atomic<uint64_t> acknowledged_{0};
};

// A rate for each line.
[[noreturn]] void Report(const Load* load) {
  using Clock = std::chrono::steady_clock;
  Clock::time_point last = Clock::now();
  uint64_t before = 0;
  char byte;
  while (read(STDIN_FILENO, &byte, 1) == 1) {
    if (byte != '\n') continue;
    const Clock::time_point now = Clock::now();
    const uint64_t acknowledged = load->acknowledged();
    const std::chrono::duration<double> took = now - last;
    std::printf("%.0f\n",
                static_cast<double>(acknowledged - before) / took.count());
    std::fflush(stdout);
    last = now;
    before = acknowledged;
  }
  std::_Exit(0);
}

}  // namespace
}  // namespace holdfast

int main(int argc, char** argv) {
  if (argc != 6) {
    std::fprintf(stderr,
                 "usage: load HOST:PORT,... CERTS CLIENT RECORD-BYTES "
                 "OUTSTANDING\n");
    return 2;
  }
  holdfast::ClientConfig config;
  config.client.servers =
      std::vector<std::string>(absl::StrSplit(argv[1], ','));
  config.certs = argv[2];
  config.client.name = argv[3];
  auto host = holdfast::ClientHost::Create(std::move(config));
  if (!host.ok()) {
    std::fprintf(stderr, "%s\n", host.status().ToString().c_str());
    return 1;
  }
  holdfast::Load load(host->get(), std::strtoull(argv[4], nullptr, 10));
  const uint64_t outstanding = std::strtoull(argv[5], nullptr, 10);
  for (uint64_t i = 0; i < outstanding; ++i) load.AppendOne();
  std::thread(holdfast::Report, &load).detach();
  (*host)->loop()->Run();
}
