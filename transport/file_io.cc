#include "transport/file_io.h"

#include <limits.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

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
      return absl::DataLossError(text);
    default:
      return absl::UnknownError(text);
  }
}

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
