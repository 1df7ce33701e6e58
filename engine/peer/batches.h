#ifndef HOLDFAST_ENGINE_PEER_BATCHES_H_
#define HOLDFAST_ENGINE_PEER_BATCHES_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/base/buffer.h"
#include "engine/base/time.h"
#include "engine/base/types.h"

namespace holdfast {

// Batches as servers send them to readers (the payload of ReadAnswer and
// TailData), one behind the other, each with 24 bytes in front of it:
//
//    0  log_time     i64  nanoseconds since the Unix epoch
//    8  base_offset  u64  of the batch's first record
//   16  length       u32  of the batch
//   20  zero         u32
inline constexpr size_t kSentBatchHeaderBytes = 24;

struct SentBatch {
  WallTime log_time;
  Offset base_offset;
  Buffer bytes;  // the batch; not validated
};

// Adds one batch behind the others: its 24 bytes, then its own, shared.
void AppendSentBatch(const SentBatch& batch, Buffers* payload);

// The batches share the payload. INVALID_ARGUMENT when it isn't `count` of
// them, or they aren't in the order of their offsets. The batches themselves
// are for BatchView::Parse to check.
absl::StatusOr<std::vector<SentBatch>> DecodeSentBatches(const Buffer& payload,
                                                         uint32_t count);

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_PEER_BATCHES_H_
