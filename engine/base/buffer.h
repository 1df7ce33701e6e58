#ifndef HOLDFAST_ENGINE_BASE_BUFFER_H_
#define HOLDFAST_ENGINE_BASE_BUFFER_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "engine/base/check.h"

namespace holdfast {

// A reference-counted run of bytes, or a slice of one. Copying a Buffer
// shares the bytes; they live as long as any slice of them. Bytes are written
// once, by whoever made the Buffer, before it is first shared (data_mutable
// CHECKs that), and are immutable from then on: so one received payload goes
// to disk, to peers and to readers without a copy.
//
// The count is atomic, because a disk's helper thread may let go of a Buffer.
class Buffer {
 public:
  Buffer() = default;

  // `size` bytes, uninitialised: the caller writes all of them.
  static Buffer Uninitialized(size_t size);
  static Buffer Zeroes(size_t size);
  static Buffer Copy(absl::string_view bytes);

  // As Uninitialized, in memory of the caller's: kOverheadBytes and `size`
  // more, aligned as by new. `give` gets it back once nobody needs the bytes,
  // on whatever thread that is.
  using GiveFn = void (*)(void* memory);
  static constexpr size_t kOverheadBytes = 32;  // the bytes are aligned, too
  static Buffer In(void* memory, size_t size, GiveFn give);

  Buffer(const Buffer& other)
      : block_(other.block_),
        data_(other.data_),
        size_(other.size_),
        crc_(other.crc_) {
    if (block_ != nullptr) {
      block_->count.fetch_add(1, std::memory_order_relaxed);
    }
  }
  Buffer(Buffer&& other) noexcept
      : block_(std::exchange(other.block_, nullptr)),
        data_(std::exchange(other.data_, nullptr)),
        size_(std::exchange(other.size_, 0)),
        crc_(std::exchange(other.crc_, std::nullopt)) {}
  Buffer& operator=(Buffer other) noexcept {
    std::swap(block_, other.block_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(crc_, other.crc_);
    return *this;
  }
  ~Buffer() { Release(); }

  const char* data() const { return data_; }
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  absl::string_view view() const { return {data_, size_}; }

  // Only while this is the one reference to the bytes.
  char* data_mutable() {
    CHECK(block_ == nullptr ||
          block_->count.load(std::memory_order_acquire) == 1);
    crc_.reset();
    return data_;
  }

  // The bytes [from, from + n), sharing them. Needs from + n <= size().
  Buffer Slice(size_t from, size_t n) const;
  Buffer SliceFrom(size_t from) const { return Slice(from, size_ - from); }

  // Notes the CRC32C of all its bytes, once it is known, so that what they
  // become part of can be checksummed without another look at them. Copies have
  // it, too; slices of a part don't.
  void set_crc(uint32_t crc) { crc_ = crc; }
  // That of its bytes: as noted, or computed.
  uint32_t Crc() const;
  // The checksum of the concatenation of what `crc` covered and its bytes.
  uint32_t ExtendCrc(uint32_t crc) const;

  // Bytes that this Buffer keeps alive, which may be more than size().
  size_t bytes_pinned() const { return block_ == nullptr ? 0 : block_->size; }

 private:
  struct Block {
    std::atomic<uint32_t> count;
    size_t size;
    GiveFn give;
    // The bytes follow.
  };
  void Release();

  Block* block_ = nullptr;
  char* data_ = nullptr;
  size_t size_ = 0;
  std::optional<uint32_t> crc_;  // as noted
};

using Buffers = std::vector<Buffer>;

size_t TotalSize(const Buffers& buffers);
// One contiguous Buffer with the bytes of all; shares when there is one only.
Buffer Flatten(const Buffers& buffers);
// Drops the first n bytes; needs n <= TotalSize.
void DropFront(Buffers* buffers, size_t n);

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_BASE_BUFFER_H_
