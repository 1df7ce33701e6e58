#ifndef HOLDFAST_ENGINE_BASE_ENTRY_KIND_H_
#define HOLDFAST_ENGINE_BASE_ENTRY_KIND_H_

#include <cstdint>

namespace holdfast {

// What a log entry is. The numbers are on disk and on the wire.
enum class EntryKind : uint8_t {
  kNoOp = 1,           // a new leader's first entry
  kBatch = 2,          // records of a client (engine/base/batch.h)
  kConfiguration = 3,  // the cluster's servers
  kSession = 4,        // registers a producer's session
  kTrim = 5,           // records before an offset are not needed any more
};

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_BASE_ENTRY_KIND_H_
