#ifndef HOLDFAST_ENGINE_BASE_IMAGE_H_
#define HOLDFAST_ENGINE_BASE_IMAGE_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "engine/base/batch.h"
#include "engine/base/buffer.h"
#include "engine/base/time.h"
#include "engine/base/types.h"

namespace holdfast {

// An image: a log's records, from its first to a committed end, as one file.
// A header, then each batch behind a block of 40 bytes, then one such block
// that says that this was all. Little-endian. The header:
//
//    0  magic         u64
//    8  version       u32   1
//   12  crc           u32   CRC32C of the other bytes
//   16  cluster       u64   whose log it is
//   24  time          i64   when it was begun, nanoseconds since the Unix epoch
//   32  first_offset  u64   the first record; its batch may begin before it
//   40  end_offset    u64   behind the last one
//   48  name_length   u8
//   49  the cluster's name, and zeroes
inline constexpr size_t kImageHeaderBytes = 304;

// A batch's block:                      The block at the end:
//
//    0  magic         u32                  0  magic         u32
//    4  crc           u32  of 8 to 39      4  crc           u32  of 8 to 39
//    8  base_offset   u64                  8  batches       u64
//   16  log_time      i64                 16  records       u64
//   24  record_count  u32                 24  end_offset    u64
//   28  batch_size    u32
//   32  chain         u32                 32  chain         u32
//   36  zero          u32                 36  zero          u32
//
// The chain is a CRC32C of the bytes 8 to 31 and of the batch, continued from
// the chain before; at first from the header's crc.
inline constexpr size_t kImageBlockBytes = 40;
inline constexpr size_t kClusterNameBytesMax = 255;

struct ImageHeader {
  ClusterId cluster;
  std::string cluster_name;  // at most kClusterNameBytesMax
  WallTime time;
  Offset first_offset;
  Offset end_offset;

  bool operator==(const ImageHeader&) const = default;
};

struct ImageBatch {
  Offset base_offset;
  WallTime log_time;
  BatchView batch;

  Offset end() const { return base_offset + batch.record_count(); }
};

// How much an image holds.
struct ImageCounts {
  uint64_t batches = 0;
  uint64_t records = 0;
};

// Makes an image, piece by piece.
class ImageEncoder {
 public:
  Buffer Begin(const ImageHeader& header);
  // Shares the batch.
  Buffers Add(const ImageBatch& batch);
  Buffer End();

  const ImageCounts& counts() const { return counts_; }

 private:
  Buffer Block(uint32_t magic, uint64_t a, uint64_t b, uint64_t c,
               absl::string_view batch);

  uint32_t chain_ = 0;
  Offset end_;
  ImageCounts counts_;
};

// Takes an image apart, and checks all of it.
//
//   while (!decoder.complete()) {
//     status = decoder.Take(<the next decoder.wanted() bytes>);
//     if (decoder.batch().has_value()) Use(*decoder.batch());
//   }
class ImageDecoder {
 public:
  // How many bytes the next piece has, above 0.
  size_t wanted() const;
  // Where in the image it begins.
  uint64_t position() const { return position_; }
  // All of it was taken, and nothing may follow.
  bool complete() const { return next_ == Next::kNothing; }

  // The next piece; all of it, or fewer bytes if the file ends. Errors name the
  // position: DATA_LOSS for damage, and FAILED_PRECONDITION for a newer format.
  // Not after an error, nor when complete.
  absl::Status Take(const Buffer& piece);

  // The batch that the last piece completed.
  const std::optional<ImageBatch>& batch() const { return batch_; }
  // Once the first piece was taken.
  const ImageHeader& header() const { return header_; }
  const ImageCounts& counts() const { return counts_; }

 private:
  enum class Next { kHeader, kBlock, kBatch, kNothing };

  absl::Status TakeHeader(absl::string_view piece);
  absl::Status TakeBlock(absl::string_view piece);
  absl::Status TakeBatch(const Buffer& piece);
  absl::Status TakeEnd() const;
  absl::Status Damaged(absl::string_view what) const;

  Next next_ = Next::kHeader;
  uint64_t position_ = 0;
  uint32_t chain_ = 0;
  ImageHeader header_;
  Offset end_;         // of the batches so far
  std::string block_;  // the one before the batch to come
  std::optional<ImageBatch> batch_;
  ImageCounts counts_;
};

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_BASE_IMAGE_H_
