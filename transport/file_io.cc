#include "transport/file_io.h"

#include <limits.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"

namespace holdfast {

absl::Status ErrnoStatus(int error, absl::string_view operation,
                         absl::string_view name) {
  std::string text =
      absl::StrCat(operation, " ", name, ": ", std::strerror(error));
  switch (error) {
    case ENOENT:
      return absl::NotFoundError(text);
    case EEXIST:
      return absl::AlreadyExistsError(text);
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return absl::ResourceExhaustedError(text);
    case EACCES:
    case EPERM:
    case EROFS:
      return absl::PermissionDeniedError(text);
    case EIO:
      return absl::InternalError(text);
    default:
      return absl::UnknownError(text);
  }
}

absl::Status ReadErrnoStatus(int error, absl::string_view operation,
                             absl::string_view name) {
  absl::Status status = ErrnoStatus(error, operation, name);
  return error == EIO ? absl::DataLossError(status.message()) : status;
}

namespace {

constexpr size_t kLargeBytesMin = 1 << 20;
constexpr size_t kSpareBytesMax = 128 << 20;

// Stands before the memory of a large read.
struct alignas(std::max_align_t) LargeRead {
  size_t capacity;
};
std::atomic<LargeRead*> spare_read = nullptr;

void Keep(void* memory) {
  LargeRead* read = static_cast<LargeRead*>(memory) - 1;
  if (read->capacity <= kSpareBytesMax) read = spare_read.exchange(read);
  std::free(read);
}

}  // namespace

Buffer ReadBuffer(size_t n) {
  LargeRead* read = spare_read.exchange(nullptr);
  const bool fits =
      read != nullptr && read->capacity >= n && read->capacity / 2 <= n;
  if (!fits) {
    std::free(read);
    if (n < kLargeBytesMin) return Buffer::Uninitialized(n);
    void* memory = std::malloc(sizeof(LargeRead) + Buffer::kOverheadBytes + n);
    CHECK(memory != nullptr);
    read = new (memory) LargeRead{n};
  }
  return Buffer::In(read + 1, n, Keep);
}

void DropSpareReadBuffer() { std::free(spare_read.exchange(nullptr)); }

std::vector<iovec> FrontParts(const Buffers& data) {
  std::vector<iovec> parts;
  parts.reserve(std::min<size_t>(data.size(), IOV_MAX));
  for (const Buffer& b : data) {
    if (b.empty()) continue;
    if (parts.size() == IOV_MAX) break;
    parts.push_back(iovec{const_cast<char*>(b.data()), b.size()});
  }
  return parts;
}

size_t TotalSize(const std::vector<iovec>& parts) {
  size_t total = 0;
  for (const iovec& part : parts) total += part.iov_len;
  return total;
}

void FileExtent::BeginWrite(uint64_t begin, uint64_t end) {
  for (const Range& other : writing_) {
    CHECK(end <= other.begin || other.end <= begin);
  }
  writing_.push_back(Range{begin, end});
}

void FileExtent::EndWrite(uint64_t begin, uint64_t end, bool ok) {
  auto it = std::find_if(writing_.begin(), writing_.end(),
                         [begin, end](const Range& r) {
                           return r.begin == begin && r.end == end;
                         });
  CHECK(it != writing_.end());
  writing_.erase(it);
  if (ok) size_ = std::max(size_, end);
}

}  // namespace holdfast
