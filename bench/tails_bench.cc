// Many readers that follow the log of a cluster, each with a connection of its
// own: how long it takes until all of them have a record that is appended. Then
// it waits for the end of stdin. For tails.sh.
//
//   tails_bench HOST:PORT CERTS CLIENT READERS

#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/base/check.h"
#include "transport/certs.h"
#include "transport/client_host.h"
#include "transport/random_seed.h"
#include "transport/tcp.h"
#include "transport/tls.h"

namespace holdfast {
namespace {

// TLS handshakes that are begun at once.
constexpr size_t kBegunAtOnce = 64;

class Readers {
 public:
  Readers(TlsSecurity* security, EpollLoop* loop, ClientOptions options,
          size_t count)
      : security_(security),
        loop_(loop),
        network_(loop),
        options_(std::move(options)),
        count_(count) {
    clients_.reserve(count);
    tails_.reserve(count);
  }

  // Returns once all have what is in the log.
  void Start() {
    Append();
    loop_->Run();
    for (size_t i = 0; i < std::min(kBegunAtOnce, count_); ++i) StartOne();
    loop_->Run();
  }
  // Returns once all have one more record.
  void AppendOne() {
    reached_ = 0;
    Append();
    while (reached_ < count_) loop_->Run();
  }

 private:
  void Append() {
    if (writer_ == nullptr) writer_ = MakeClient();
    BatchBuilder batch;
    CHECK(batch.Add("a small record").ok());
    const absl::Status taken =
        writer_->Append(std::move(batch), {}, [this](ClientOutcome outcome) {
          CHECK(outcome.kind == ClientOutcome::Kind::kCommitted);
          if (clients_.empty()) loop_->Stop();
        });
    CHECK(taken.ok());
  }
  std::unique_ptr<Client> MakeClient() {
    return std::make_unique<Client>(Env{.loop = loop_,
                                        .network = &network_,
                                        .security = security_,
                                        .seed = RandomSeed()},
                                    options_);
  }
  void StartOne() {
    if (clients_.size() == count_) return;
    clients_.push_back(MakeClient());
    ClientTailCallbacks callbacks;
    callbacks.on_batches = [this, first = true](std::vector<LogBatch>) mutable {
      if (std::exchange(first, false)) StartOne();
      if (++reached_ == count_) loop_->Stop();
    };
    callbacks.on_end = [](absl::Status why) {
      std::fprintf(stderr, "%s\n", why.ToString().c_str());
      std::exit(1);
    };
    tails_.push_back(
        clients_.back()->Tail(Offset(0), {}, std::move(callbacks)));
  }

  TlsSecurity* const security_;
  EpollLoop* const loop_;
  TcpNetwork network_;
  const ClientOptions options_;
  const size_t count_;
  size_t reached_ = 0;
  std::unique_ptr<Client> writer_;
  std::vector<std::unique_ptr<Client>> clients_;
  std::vector<std::unique_ptr<ClientTail>> tails_;
};

int Run(const char* server, const char* certs, const char* name, size_t count) {
  rlimit files;
  CHECK(getrlimit(RLIMIT_NOFILE, &files) == 0);
  files.rlim_cur = files.rlim_max;
  CHECK(setrlimit(RLIMIT_NOFILE, &files) == 0);
  EpollLoop loop;
  absl::StatusOr<TlsCredentials> credentials = LoadClient(certs, name);
  CHECK(credentials.ok());
  auto security = TlsSecurity::Create(&loop, *credentials);
  CHECK(security.ok());
  ClientOptions options;
  options.servers = {server};
  options.name = name;
  options.cluster_name = (*security)->self().cluster;
  Readers readers(security->get(), &loop, options, count);
  readers.Start();
  std::printf("%zu readers\n", count);
  for (int i = 0; i < 3; ++i) {
    const auto before = std::chrono::steady_clock::now();
    readers.AppendOne();
    const std::chrono::duration<double, std::milli> took =
        std::chrono::steady_clock::now() - before;
    std::printf("all had a record within %.1f ms\n", took.count());
  }
  std::fflush(stdout);
  while (std::getchar() != EOF) {
  }
  std::_Exit(0);  // without closing each connection in order
}

}  // namespace
}  // namespace holdfast

int main(int argc, char** argv) {
  if (argc != 5) {
    std::fprintf(stderr, "usage: tails_bench HOST:PORT CERTS CLIENT READERS\n");
    return 2;
  }
  return holdfast::Run(argv[1], argv[2], argv[3],
                       static_cast<size_t>(std::atoll(argv[4])));
}
