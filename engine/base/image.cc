#include "engine/base/image.h"

#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "engine/base/bytes.h"
#include "engine/base/check.h"
#include "engine/base/crc32c.h"

namespace holdfast {
namespace {

constexpr uint64_t kMagic = 0x316567616d496648u;  // "HfImage1"
constexpr uint32_t kVersion = 1;
constexpr size_t kVersionAt = 8;
constexpr size_t kHeaderCrcAt = 12;
constexpr uint32_t kBatchMagic = 0x61426648;  // "HfBa"
constexpr uint32_t kEndMagic = 0x6e456648;    // "HfEn"
constexpr size_t kBlockCrcFrom = 8;
constexpr size_t kChainAt = 32;

uint32_t HeaderCrc(absl::string_view bytes) {
  return ExtendCrc32c(Crc32c(bytes.substr(0, kHeaderCrcAt)),
                      bytes.substr(kHeaderCrcAt + 4));
}

uint32_t Chain(uint32_t before, absl::string_view block,
               absl::string_view batch) {
  const uint32_t crc = ExtendCrc32c(
      before, block.substr(kBlockCrcFrom, kChainAt - kBlockCrcFrom));
  return ExtendCrc32c(crc, batch);
}

}  // namespace

// --- Encoding ---

Buffer ImageEncoder::Begin(const ImageHeader& header) {
  CHECK_LE(header.cluster_name.size(), kClusterNameBytesMax);
  Buffer bytes = Buffer::Zeroes(kImageHeaderBytes);
  ByteWriter w(bytes.data_mutable(), bytes.size());
  w.Int<uint64_t>(kMagic);
  w.Int<uint32_t>(kVersion);
  w.Int<uint32_t>(0);
  w.Int<uint64_t>(header.cluster.value());
  w.Int<int64_t>(header.time.time_since_epoch().count());
  w.Int<uint64_t>(header.first_offset.value());
  w.Int<uint64_t>(header.end_offset.value());
  w.Int<uint8_t>(static_cast<uint8_t>(header.cluster_name.size()));
  w.Bytes(header.cluster_name);
  chain_ = HeaderCrc(bytes.view());
  StoreInt<uint32_t>(bytes.data_mutable() + kHeaderCrcAt, chain_);
  end_ = header.end_offset;
  return bytes;
}

Buffers ImageEncoder::Add(const ImageBatch& batch) {
  const Buffer& bytes = batch.batch.bytes();
  ++counts_.batches;
  counts_.records += batch.batch.record_count();
  return {
      Block(kBatchMagic, batch.base_offset.value(),
            static_cast<uint64_t>(batch.log_time.time_since_epoch().count()),
            uint64_t{bytes.size()} << 32 | batch.batch.record_count(),
            bytes.view()),
      bytes};
}

Buffer ImageEncoder::End() {
  return Block(kEndMagic, counts_.batches, counts_.records, end_.value(), {});
}

Buffer ImageEncoder::Block(uint32_t magic, uint64_t a, uint64_t b, uint64_t c,
                           absl::string_view batch) {
  Buffer bytes = Buffer::Uninitialized(kImageBlockBytes);
  char* const to = bytes.data_mutable();
  ByteWriter w(to, kImageBlockBytes);
  w.Int<uint32_t>(magic);
  w.Int<uint32_t>(0);
  w.Int<uint64_t>(a);
  w.Int<uint64_t>(b);
  w.Int<uint64_t>(c);
  chain_ = Chain(chain_, bytes.view(), batch);
  w.Int<uint32_t>(chain_);
  w.Int<uint32_t>(0);
  StoreInt<uint32_t>(to + 4, Crc32c(bytes.view().substr(kBlockCrcFrom)));
  return bytes;
}

// --- Decoding ---

size_t ImageDecoder::wanted() const {
  if (next_ == Next::kHeader) return kImageHeaderBytes;
  if (next_ == Next::kBlock) return kImageBlockBytes;
  CHECK(next_ == Next::kBatch);
  return LoadInt<uint32_t>(block_.data() + 28);
}

absl::Status ImageDecoder::Damaged(absl::string_view what) const {
  return absl::DataLossError(
      absl::StrCat("the image is damaged at byte ", position_, ": ", what));
}

absl::Status ImageDecoder::Take(const Buffer& piece) {
  CHECK(!complete());
  batch_.reset();
  if (piece.size() < wanted()) {
    return absl::DataLossError(absl::StrCat(
        "the image is cut short: it ends at byte ", position_ + piece.size(),
        ", and what begins at byte ", position_, " has ", wanted(), " bytes"));
  }
  absl::Status taken;
  if (next_ == Next::kHeader) {
    taken = TakeHeader(piece.view());
  } else if (next_ == Next::kBlock) {
    taken = TakeBlock(piece.view());
  } else {
    taken = TakeBatch(piece);
  }
  if (taken.ok()) position_ += piece.size();
  return taken;
}

absl::Status ImageDecoder::TakeHeader(absl::string_view piece) {
  ByteReader r(piece);
  if (r.Int<uint64_t>() != kMagic) return Damaged("this isn't an image");
  // Another version may have its checksum elsewhere.
  if (const uint32_t version = r.Int<uint32_t>(); version != kVersion) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the image, at byte ", kVersionAt, ": expected format version ",
        kVersion, ", found ", version,
        "; it was written by another release, or is damaged"));
  }
  chain_ = r.Int<uint32_t>();
  if (chain_ != HeaderCrc(piece)) {
    return Damaged("the header's checksum doesn't match its bytes");
  }
  header_.cluster = ClusterId(r.Int<uint64_t>());
  header_.time = WallTime(Duration(r.Int<int64_t>()));
  header_.first_offset = Offset(r.Int<uint64_t>());
  header_.end_offset = Offset(r.Int<uint64_t>());
  header_.cluster_name = std::string(r.Bytes(r.Int<uint8_t>()));
  if (header_.first_offset > header_.end_offset) {
    return Damaged("its records end before they begin");
  }
  end_ = header_.first_offset;
  next_ = Next::kBlock;
  return absl::OkStatus();
}

absl::Status ImageDecoder::TakeBlock(absl::string_view piece) {
  const uint32_t magic = LoadInt<uint32_t>(piece.data());
  if ((magic != kBatchMagic && magic != kEndMagic) ||
      LoadInt<uint32_t>(piece.data() + 4) !=
          Crc32c(piece.substr(kBlockCrcFrom))) {
    return Damaged("a block's checksum doesn't match its bytes");
  }
  block_ = std::string(piece);
  if (magic == kEndMagic) {
    if (absl::Status whole = TakeEnd(); !whole.ok()) return whole;
    next_ = Next::kNothing;
    return absl::OkStatus();
  }
  const uint32_t size = LoadInt<uint32_t>(piece.data() + 28);
  if (size < kBatchHeaderBytes || size > kBatchBytesMax) {
    return Damaged(absl::StrCat("a batch can't have ", size, " bytes"));
  }
  next_ = Next::kBatch;
  return absl::OkStatus();
}

absl::Status ImageDecoder::TakeBatch(const Buffer& piece) {
  ByteReader r(absl::string_view(block_).substr(kBlockCrcFrom));
  const Offset base(r.Int<uint64_t>());
  const WallTime log_time{Duration(r.Int<int64_t>())};
  const uint32_t records = r.Int<uint32_t>();
  r.Int<uint32_t>();
  const uint32_t chain = Chain(chain_, block_, piece.view());
  if (chain != r.Int<uint32_t>()) {
    return Damaged("a batch's checksum doesn't match its bytes");
  }
  absl::StatusOr<BatchView> batch = BatchView::Parse(piece);
  if (!batch.ok()) return Damaged(batch.status().message());
  // The first one holds the first record, the others follow.
  const bool fits = counts_.batches == 0 ? base <= end_ : base == end_;
  if (!fits || batch->record_count() != records || base + records <= end_ ||
      base + records > header_.end_offset) {
    return Damaged(absl::StrCat("expected a batch with offset ", end_.value(),
                                ", found offsets ", base.value(), " to ",
                                (base + records).value(), " (exclusive)"));
  }
  chain_ = chain;
  end_ = base + records;
  ++counts_.batches;
  counts_.records += records;
  batch_ = ImageBatch{base, log_time, *std::move(batch)};
  next_ = Next::kBlock;
  return absl::OkStatus();
}

absl::Status ImageDecoder::TakeEnd() const {
  ByteReader r(absl::string_view(block_).substr(kBlockCrcFrom));
  const uint64_t batches = r.Int<uint64_t>();
  const uint64_t records = r.Int<uint64_t>();
  const Offset end(r.Int<uint64_t>());
  const uint32_t chain = r.Int<uint32_t>();
  if (batches != counts_.batches || records != counts_.records ||
      end != header_.end_offset || end_ != header_.end_offset ||
      chain != Chain(chain_, block_, {})) {
    return Damaged(absl::StrCat(
        "expected ", batches, " batches with ", records,
        " records, up to offset ", end.value(), " (exclusive), found ",
        counts_.batches, " with ", counts_.records, ", up to ", end_.value()));
  }
  return absl::OkStatus();
}

}  // namespace holdfast
