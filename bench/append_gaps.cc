// Appends small records to a running cluster, one after another, and for each
// line on stdin prints the longest time, in milliseconds, between two
// acknowledgements since the line before. Ends with stdin. For failover.sh.
//
//   append_gaps HOST:PORT,... CERTS CLIENT

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_split.h"
#include "transport/blocking_client.h"

namespace holdfast {
namespace {

using Clock = std::chrono::steady_clock;

// How many bytes came; -1 at the end, 0 if there is nothing.
ssize_t PollStdin(char* bytes, size_t size) {
  pollfd in = {.fd = STDIN_FILENO, .events = POLLIN, .revents = 0};
  if (poll(&in, 1, 0) <= 0) return 0;
  const ssize_t n = read(STDIN_FILENO, bytes, size);
  return n == 0 ? -1 : n;
}

int Run(BlockingClient* client) {
  Clock::time_point last = Clock::now();
  std::chrono::duration<double, std::milli> longest{0};
  while (true) {
    const ClientOutcome outcome = client->Append("a small record");
    const Clock::time_point now = Clock::now();
    if (outcome.kind == ClientOutcome::Kind::kCommitted) {
      longest = std::max<std::chrono::duration<double, std::milli>>(longest,
                                                                    now - last);
      last = now;
    }
    char lines[16];
    const ssize_t n = PollStdin(lines, sizeof(lines));
    if (n < 0) return 0;
    for (ssize_t i = 0; i < n; ++i) {
      if (lines[i] != '\n') continue;
      std::printf("%.1f\n", longest.count());
      std::fflush(stdout);
      longest = std::chrono::duration<double, std::milli>{0};
    }
  }
}

}  // namespace
}  // namespace holdfast

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: append_gaps HOST:PORT,... CERTS CLIENT\n");
    return 2;
  }
  holdfast::BlockingClientConfig config;
  config.client.servers =
      std::vector<std::string>(absl::StrSplit(argv[1], ','));
  config.certs = argv[2];
  config.client.name = argv[3];
  auto client = holdfast::BlockingClient::Connect(config);
  if (!client.ok()) {
    std::fprintf(stderr, "%s\n", client.status().ToString().c_str());
    return 1;
  }
  return holdfast::Run(client->get());
}
