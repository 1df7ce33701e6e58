// For catch_up.sh: fills a log, and has an empty server catch up with it.
//
//   catch_up_bench fill HOST:PORT,... CERTS CLIENT MIB RECORD-BYTES RECORDS
//       appends MIB of batches of RECORDS records each
//   catch_up_bench join HOST:PORT,... CERTS CLIENT ID HOST:PORT
//       joins a learner, and prints the seconds until it durably has all that
//       was in the log before it asked

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "engine/base/check.h"
#include "transport/client_host.h"

namespace holdfast {
namespace {

constexpr Duration kTimeout = 60s;
constexpr Duration kPollInterval = 5ms;

void Check(const absl::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "catch_up_bench: %s\n", status.ToString().c_str());
  std::exit(1);
}

std::unique_ptr<ClientHost> Connect(char** argv) {
  ClientConfig config;
  config.client.servers =
      std::vector<std::string>(absl::StrSplit(argv[2], ','));
  config.certs = argv[3];
  config.client.name = argv[4];
  absl::StatusOr<std::unique_ptr<ClientHost>> host =
      ClientHost::Create(std::move(config));
  Check(host.status());
  return *std::move(host);
}

class Fill {
 public:
  Fill(ClientHost* host, uint64_t bytes, size_t record_bytes, size_t records)
      : host_(host),
        batches_(bytes / (record_bytes * records)),
        records_(records),
        record_(record_bytes, 'x') {}

  void Run() {
    for (size_t i = 0; i < kUnderWay; ++i) AppendOne();
    host_->loop()->Run();
  }

 private:
  static constexpr size_t kUnderWay = 64;

  void AppendOne() {
    if (begun_ == batches_) return;
    ++begun_;
    BatchBuilder batch((record_.size() + kRecordHeaderBytes) * records_);
    for (size_t i = 0; i < records_; ++i) Check(batch.Add(record_));
    Check(host_->client()->Append(
        std::move(batch), {.timeout = kTimeout}, [this](ClientOutcome outcome) {
          CHECK(outcome.kind == ClientOutcome::Kind::kCommitted);
          if (++done_ == batches_) return host_->loop()->Stop();
          AppendOne();
        }));
  }

  ClientHost* const host_;
  const uint64_t batches_;
  const size_t records_;
  const std::string record_;
  uint64_t begun_ = 0;
  uint64_t done_ = 0;
};

class Join {
 public:
  // `any`: one of the cluster's servers.
  Join(ClientHost* host, Address any, ServerId id, Address address)
      : host_(host),
        any_(std::move(any)),
        id_(id),
        address_(std::move(address)) {}

  void Run() {
    host_->client()->Status(
        any_, kTimeout, [this](absl::StatusOr<ServerStatus> status) {
          Check(status.status());
          for (const MemberStatus& member : status->members) {
            if (member.id == status->leader) leader_ = member.address;
          }
          CHECK(!leader_.empty());
          Begin();
        });
    host_->loop()->Run();
  }

 private:
  void Ask(ResultFn<ServerStatus> done) {
    host_->client()->Status(leader_, kTimeout, std::move(done));
  }
  void Begin() {
    Ask([this](absl::StatusOr<ServerStatus> status) {
      Check(status.status());
      goal_ = status->last;
      started_ = std::chrono::steady_clock::now();
      host_->client()->Join(id_, address_, true, kTimeout,
                            [](absl::Status joined) { Check(joined); });
      Poll();
    });
  }
  void Poll() {
    Ask([this](absl::StatusOr<ServerStatus> status) {
      Check(status.status());
      for (const MemberStatus& member : status->members) {
        if (member.id != id_ || member.match < goal_) continue;
        const std::chrono::duration<double> took =
            std::chrono::steady_clock::now() - started_;
        std::printf("%.3f\n", took.count());
        return host_->loop()->Stop();
      }
      again_ = host_->loop()->After(kPollInterval, [this] { Poll(); });
    });
  }

  ClientHost* const host_;
  const Address any_;
  const ServerId id_;
  const Address address_;
  Address leader_;
  Index goal_;
  std::chrono::steady_clock::time_point started_;
  Timer again_;
};

uint64_t ToNumber(const char* text) { return std::strtoull(text, nullptr, 10); }

}  // namespace
}  // namespace holdfast

int main(int argc, char** argv) {
  using holdfast::ToNumber;
  const absl::string_view what = argc > 1 ? argv[1] : "";
  if (what == "fill" && argc == 8) {
    auto host = holdfast::Connect(argv);
    holdfast::Fill(host.get(), ToNumber(argv[5]) << 20, ToNumber(argv[6]),
                   ToNumber(argv[7]))
        .Run();
    return 0;
  }
  if (what == "join" && argc == 7) {
    auto host = holdfast::Connect(argv);
    const std::vector<std::string> servers = absl::StrSplit(argv[2], ',');
    holdfast::Join(host.get(), servers[0],
                   holdfast::ServerId(ToNumber(argv[5])), argv[6])
        .Run();
    return 0;
  }
  std::fprintf(
      stderr,
      "usage: catch_up_bench fill SERVERS CERTS CLIENT MIB "
      "RECORD-BYTES RECORDS\n"
      "       catch_up_bench join SERVERS CERTS CLIENT ID HOST:PORT\n");
  return 2;
}
