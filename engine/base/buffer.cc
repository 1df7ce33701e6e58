#include "engine/base/buffer.h"

#include <new>

#include "engine/base/crc32c.h"

namespace holdfast {

Buffer Buffer::Uninitialized(size_t size) {
  if (size == 0) return Buffer();
  return In(::operator new(kOverheadBytes + size), size,
            [](void* memory) { ::operator delete(memory); });
}

Buffer Buffer::In(void* memory, size_t size, GiveFn give) {
  static_assert(sizeof(Block) <= kOverheadBytes);
  Buffer b;
  b.block_ = new (memory) Block;
  b.block_->count.store(1, std::memory_order_relaxed);
  b.block_->size = size;
  b.block_->give = give;
  b.data_ = static_cast<char*>(memory) + kOverheadBytes;
  b.size_ = size;
  return b;
}

Buffer Buffer::Zeroes(size_t size) {
  Buffer b = Uninitialized(size);
  if (size > 0) std::memset(b.data_, 0, size);
  return b;
}

Buffer Buffer::Copy(absl::string_view bytes) {
  Buffer b = Uninitialized(bytes.size());
  if (!bytes.empty()) std::memcpy(b.data_, bytes.data(), bytes.size());
  return b;
}

Buffer Buffer::Slice(size_t from, size_t n) const {
  CHECK_LE(from, size_);
  CHECK_LE(n, size_ - from);
  Buffer b = *this;
  b.data_ += from;
  b.size_ = n;
  if (n != size_) b.crc_.reset();
  return b;
}

uint32_t Buffer::Crc() const {
  return crc_.has_value() ? *crc_ : Crc32c(view());
}

uint32_t Buffer::ExtendCrc(uint32_t crc) const {
  // To go over fewer bytes takes less time.
  constexpr size_t kConcatBytesMin = 512;
  return crc_.has_value() && size_ >= kConcatBytesMin
             ? ConcatCrc32c(crc, *crc_, size_)
             : ExtendCrc32c(crc, view());
}

void Buffer::Release() {
  if (block_ == nullptr) return;
  if (block_->count.fetch_sub(1, std::memory_order_acq_rel) == 1) {
    const GiveFn give = block_->give;
    block_->~Block();
    give(block_);
  }
}

size_t TotalSize(const Buffers& buffers) {
  size_t total = 0;
  for (const Buffer& b : buffers) total += b.size();
  return total;
}

Buffer Flatten(const Buffers& buffers) {
  if (buffers.size() == 1) return buffers[0];
  Buffer all = Buffer::Uninitialized(TotalSize(buffers));
  char* to = all.data_mutable();
  for (const Buffer& b : buffers) {
    if (b.empty()) continue;
    std::memcpy(to, b.data(), b.size());
    to += b.size();
  }
  return all;
}

void DropFront(Buffers* buffers, size_t n) {
  size_t whole = 0;
  while (whole < buffers->size() && n >= (*buffers)[whole].size()) {
    n -= (*buffers)[whole].size();
    ++whole;
  }
  buffers->erase(buffers->begin(), buffers->begin() + whole);
  if (n > 0) {
    CHECK(!buffers->empty());
    buffers->front() = buffers->front().SliceFrom(n);
  }
}

}  // namespace holdfast
