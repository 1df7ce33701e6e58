#ifndef HOLDFAST_FUZZ_LONE_SERVER_H_
#define HOLDFAST_FUZZ_LONE_SERVER_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/base/buffer.h"
#include "engine/base/time.h"
#include "engine/base/types.h"
#include "engine/log/distributed_log.h"
#include "engine/peer/plaintext.h"
#include "engine/peer/testing/manual_loop.h"
#include "engine/peer/testing/memory_network.h"
#include "engine/wal/entry.h"
#include "engine/wal/testing/memory_disk.h"

namespace holdfast {

// What a LoneServer runs in, but for its disk.
struct LoneWorld {
  ManualLoop loop;
  MemoryNetwork network{&loop};
  Plaintext security{&loop};
  uint64_t starts = 0;  // of servers, each with another seed
};

// Lets time pass until it is there. False after a minute: by then a server that
// knows of no others has long given up waiting for some.
template <typename T>
bool Await(LoneWorld* world, const std::optional<T>& result) {
  for (int i = 0; i < 6000 && !result.has_value(); ++i) {
    world->loop.RunFor(10ms);
  }
  return result.has_value();
}

// What can be read of a log.
struct FoundRecords {
  Offset first;
  // From there to the log's end; nothing: it is said to be lost.
  std::vector<std::optional<std::string>> records;

  Offset end() const { return first + records.size(); }
  bool operator==(const FoundRecords&) const = default;
};

// By name.
using DiskFiles = std::map<std::string, std::string>;
DiskFiles FilesOf(const MemoryDisk& disk);
std::unique_ptr<MemoryDisk> DiskOf(const DiskFiles& files, LoneWorld* world);

// One life of a server that is a cluster alone, with segments of 16 KiB. What
// it must never do ends the process (Broke, fuzz/story.h). Destroying it is a
// crash.
class LoneServer {
 public:
  static constexpr ServerId kId = ServerId(1);
  static constexpr char kAddress[] = "server:1";
  static constexpr char kCluster[] = "alone";

  // `scrubs`: it looks for damage, too. Both outlive it.
  LoneServer(LoneWorld* world, MemoryDisk* disk, bool scrubs);

  // OK: it serves, and leads. Else why it refuses to.
  absl::Status Start();

  // The rest needs that it serves.

  // All at once; the first one's place.
  Offset Append(std::vector<Buffer> batches);
  // And the batches that hold them, if they are wanted.
  FoundRecords ReadAll(std::vector<Entry>* batches = nullptr);
  DistributedLog& log() { return *log_; }

 private:
  absl::StatusOr<ReadResult> ReadFrom(Offset from);
  void NoteLost(const absl::Status& status, FoundRecords* found);

  LoneWorld* const world_;
  absl::Status fatal_;  // it has stopped
  std::unique_ptr<DistributedLog> log_;
};

}  // namespace holdfast

#endif  // HOLDFAST_FUZZ_LONE_SERVER_H_
