#ifndef HOLDFAST_ENGINE_BASE_ENTRY_KIND_H_
#define HOLDFAST_ENGINE_BASE_ENTRY_KIND_H_

#include <cstdint>
#include <optional>

namespace holdfast {

// What a log entry is. The numbers are on disk and on the wire.
enum class EntryKind : uint8_t {
  kNoOp = 1,           // a new leader's first entry
  kBatch = 2,          // records of a client (engine/base/batch.h)
  kConfiguration = 3,  // the cluster's servers
  kSession = 4,        // registers a producer's session
  kTrim = 5,           // records before an offset are not needed any more
  kRecovered = 7,      // what is before it came from another cluster
  // As kNoOp, of level 2: no release so far supports it, but servers in tests
  // of upgrades, which are told to.
  kNextNoOp = 8,
  // Stands for entries that a recovery found damaged: one of each index, the
  // first one with the records of all of them. No payload. What producers'
  // sessions had come to is lost with them, so it ends all. Only recoveries
  // make them, in a new cluster: no server of an earlier release is in it.
  kLost = 9,
};

// What the servers of a cluster may put into its log, and say to each other,
// goes by its feature level, which is in its configuration: it is raised once
// all of them support the higher one.
inline constexpr uint32_t kFeatureLevelMin = 1;  // of each new cluster
inline constexpr uint32_t kFeatureLevelMax = 1;  // that this release supports

// From which level on such an entry may be in a log; nothing: no server that
// this release knows of can read it.
constexpr std::optional<uint32_t> FeatureLevelOf(EntryKind kind) {
  switch (kind) {
    case EntryKind::kNoOp:
    case EntryKind::kBatch:
    case EntryKind::kConfiguration:
    case EntryKind::kSession:
    case EntryKind::kTrim:
    case EntryKind::kRecovered:
    case EntryKind::kLost:
      return 1;
    case EntryKind::kNextNoOp:
      return 2;
  }
  return std::nullopt;
}

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_BASE_ENTRY_KIND_H_
