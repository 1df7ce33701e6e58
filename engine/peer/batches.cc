#include "engine/peer/batches.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/bytes.h"
#include "engine/base/check.h"

namespace holdfast {

void AppendSentBatch(const SentBatch& batch, Buffers* payload) {
  Buffer header = Buffer::Uninitialized(kSentBatchHeaderBytes);
  ByteWriter writer(header.data_mutable(), kSentBatchHeaderBytes);
  writer.Int<int64_t>(batch.log_time.time_since_epoch().count());
  writer.Int<uint64_t>(batch.base_offset.value());
  writer.Int<uint32_t>(static_cast<uint32_t>(batch.bytes.size()));
  writer.Int<uint32_t>(0);
  payload->push_back(std::move(header));
  payload->push_back(batch.bytes);
}

absl::StatusOr<std::vector<SentBatch>> DecodeSentBatches(const Buffer& payload,
                                                         uint32_t count) {
  if (count > payload.size() / kSentBatchHeaderBytes) {
    return absl::InvalidArgumentError(absl::StrCat(
        "batches: ", count, " are announced in ", payload.size(), " bytes"));
  }
  std::vector<SentBatch> batches;
  batches.reserve(count);
  ByteReader reader(payload.view());
  for (uint32_t i = 0; i < count; ++i) {
    SentBatch batch;
    batch.log_time = WallTime(Duration(reader.Int<int64_t>()));
    batch.base_offset = Offset(reader.Int<uint64_t>());
    const size_t length = reader.Int<uint32_t>();
    const uint32_t zero = reader.Int<uint32_t>();
    const size_t at = payload.size() - reader.rest().size();
    reader.Bytes(length);
    if (!reader.ok() || zero != 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("batches: number ", i, " of ", count,
                       " doesn't fit into the ", payload.size(), " bytes"));
    }
    batch.bytes = payload.Slice(at, length);
    if (!batches.empty() && batch.base_offset <= batches.back().base_offset) {
      return absl::InvalidArgumentError(
          absl::StrCat("batches: offset ", batch.base_offset.value(),
                       " comes behind ", batches.back().base_offset.value()));
    }
    batches.push_back(std::move(batch));
  }
  if (!reader.rest().empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "batches: ", reader.rest().size(), " bytes behind the last one"));
  }
  return batches;
}

}  // namespace holdfast
