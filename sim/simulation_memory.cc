#include <algorithm>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "sim/simulation.h"

// How much a run holds. It is counted, not measured: a run that holds too much
// does so in each build, and with each allocator.

namespace holdfast {
namespace {

// It is counted anew after so many events.
constexpr uint64_t kEvents = 4096;

// For each server, and minute of faults that was begun. Three clients append
// some 35 MB in a minute, with the shortest pauses and the largest records that
// are drawn. If nothing is trimmed, a disk has all of that, and, where segments
// are smallest, a waypoint of up to 64 KiB for each 8 KiB of it: 0.4 GB, and
// twice that, for it has a volatile and a durable image. A copy that is kept to
// be put back, where servers change, has as much once more.
constexpr uint64_t kServerMinute = uint64_t{1} << 30;

// In which the history has a record: by itself, by its place, and as one that
// was acknowledged.
constexpr uint64_t kCopiesOfARecord = 3;

}  // namespace

uint64_t Simulation::MemoryInUse() const {
  uint64_t bytes = fabric_.memory_bytes() + old_copies_->memory_bytes() +
                   kCopiesOfARecord * history_.record_bytes() +
                   world_.chance.tape().entries.size() * sizeof(TapeEntry);
  for (const auto& server : servers_) {
    bytes += server->disk()->names().memory_bytes();
  }
  return bytes;
}

uint64_t Simulation::MemoryMax() const {
  constexpr Duration kMinute = 60s;
  const auto minutes =
      static_cast<uint64_t>((options_.duration + kMinute - 1ns) / kMinute);
  const uint64_t clients =
      (options_.clients + 2) / 3;  // threes that were begun
  return options_.memory_bytes_max.value_or(
      servers_.size() * std::max<uint64_t>(minutes, 1) *
      std::max<uint64_t>(clients, 1) * (*options_.changes ? 2 : 1) *
      kServerMinute);
}

void Simulation::CheckMemory() {
  if (world_.scheduler.dispatched() % kEvents != 0) return;
  const uint64_t in_use = MemoryInUse();
  memory_most_ = std::max(memory_most_, in_use);
  if (in_use <= MemoryMax()) return;
  verdict_.Violate(absl::StrCat("memory: ", in_use >> 20,
                                " MiB in use, expected at most ",
                                MemoryMax() >> 20, " MiB"));
}

}  // namespace holdfast
