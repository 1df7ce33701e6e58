// How long a server takes from its start until it leads, for logs of 1, 10 and
// 100 segments: a cluster of one, on a directory with a log of records of 16
// KiB. With resume points, and with them taken away, when it reads all of its
// log. The page cache is warm.
//
//   bazel run //bench:start_bench [-- DIR]    else a temporary directory

#include <stdlib.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"
#include "transport/embedded_node.h"

namespace holdfast {
namespace {

constexpr uint64_t kSegmentBytes = 4 << 20;
constexpr int kRounds = 5;

EmbeddedNodeConfig Config(const std::string& directory) {
  EmbeddedNodeConfig config;
  config.data_dir = directory;
  config.insecure = true;  // nobody connects
  config.node().id = ServerId(1);
  config.node().listen = "127.0.0.1:0";
  config.node().bootstrap = {{ServerId(1), Incarnation(), "127.0.0.1:7400"}};
  config.node().wal.segment_bytes = kSegmentBytes;
  return config;
}

// In milliseconds. The directory may still be locked, by what the node before
// was doing there.
double Start(const std::string& directory,
             std::unique_ptr<EmbeddedNode>* started) {
  while (true) {
    const auto before = std::chrono::steady_clock::now();
    absl::StatusOr<std::unique_ptr<EmbeddedNode>> node =
        EmbeddedNode::Start(Config(directory));
    if (absl::IsFailedPrecondition(node.status())) continue;
    CHECK(node.ok());
    CHECK((*node)->WaitForLeader(60s).ok());
    const std::chrono::duration<double, std::milli> took =
        std::chrono::steady_clock::now() - before;
    *started = *std::move(node);
    return took.count();
  }
}

void Fill(const std::string& directory, uint64_t segments) {
  std::unique_ptr<EmbeddedNode> node;
  Start(directory, &node);
  const std::string record(16 << 10, 'x');
  constexpr int kRecords = 32;
  const uint64_t bytes = kSegmentBytes * segments - kSegmentBytes / 2;
  for (uint64_t done = 0; done < bytes; done += kRecords * record.size()) {
    BatchBuilder batch;
    for (int i = 0; i < kRecords; ++i) CHECK(batch.Add(record).ok());
    CHECK(node->Append(std::move(batch)).kind ==
          AppendOutcome::Kind::kCommitted);
  }
}

void RemoveResumePoints(const std::string& directory) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    if (entry.path().extension() == ".resume") files.push_back(entry.path());
  }
  for (const std::filesystem::path& file : files) {
    std::filesystem::remove(file);
  }
}

// The best of some, in milliseconds.
double TimeStart(const std::string& directory, bool resumed) {
  double best = 1e9;
  for (int i = 0; i < kRounds; ++i) {
    if (!resumed) RemoveResumePoints(directory);
    std::unique_ptr<EmbeddedNode> node;
    best = std::min(best, Start(directory, &node));
  }
  return best;
}

void Run(const std::string& directory) {
  std::printf("%9s %12s %14s %9s\n", "segments", "resumed, ms", "all read, ms",
              "ratio");
  for (uint64_t segments : {1, 10, 100}) {
    const std::string data = absl::StrCat(directory, "/", segments);
    std::filesystem::create_directories(data);
    Fill(data, segments);
    const double resumed = TimeStart(data, true);
    const double all = TimeStart(data, false);
    std::printf("%9llu %12.1f %14.1f %9.2f\n",
                static_cast<unsigned long long>(segments), resumed, all,
                all / resumed);
  }
}

}  // namespace
}  // namespace holdfast

int main(int argc, char** argv) {
  if (argc > 1) {
    holdfast::Run(argv[1]);
    return 0;
  }
  std::string pattern = std::filesystem::temp_directory_path().string() +
                        "/holdfast-start.XXXXXX";
  if (mkdtemp(pattern.data()) == nullptr) return 1;
  holdfast::Run(pattern);
  std::filesystem::remove_all(pattern);
  return 0;
}
