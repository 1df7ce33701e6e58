#include "transport/posix_file.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"

namespace holdfast {
namespace {

absl::Status WriteFully(int fd, uint64_t at, const Buffers& data,
                        const std::string& name) {
  std::vector<iovec> parts;
  parts.reserve(data.size());
  for (const Buffer& b : data) {
    if (b.empty()) continue;
    parts.push_back(iovec{const_cast<char*>(b.data()), b.size()});
  }
  size_t first = 0;
  while (first < parts.size()) {
    int count =
        static_cast<int>(std::min<size_t>(parts.size() - first, IOV_MAX));
    ssize_t n = pwritev(fd, &parts[first], count, static_cast<off_t>(at));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoStatus(errno, "write", name);
    at += static_cast<uint64_t>(n);
    size_t left = static_cast<size_t>(n);
    while (left > 0) {
      size_t taken = std::min(left, parts[first].iov_len);
      parts[first].iov_base = static_cast<char*>(parts[first].iov_base) + taken;
      parts[first].iov_len -= taken;
      left -= taken;
      if (parts[first].iov_len == 0) ++first;
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<Buffer> ReadFully(int fd, uint64_t at, size_t n,
                                 const std::string& name) {
  Buffer bytes = Buffer::Uninitialized(n);
  size_t have = 0;
  while (have < n) {
    ssize_t got = pread(fd, bytes.data_mutable() + have, n - have,
                        static_cast<off_t>(at + have));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoStatus(errno, "read", name);
    if (got == 0) break;
    have += static_cast<size_t>(got);
  }
  return bytes.Slice(0, have);
}

}  // namespace

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

PosixFile::Shared::~Shared() { close(fd); }

PosixFile::PosixFile(EpollLoop* loop, std::shared_ptr<Worker> writer,
                     std::shared_ptr<Worker> reader, int fd, uint64_t size,
                     std::string name)
    : writer_(std::move(writer)),
      reader_(std::move(reader)),
      shared_(std::make_shared<Shared>()),
      size_(size) {
  shared_->inbox = loop->inbox();
  shared_->fd = fd;
  shared_->name = std::move(name);
  shared_->file = this;
}

PosixFile::~PosixFile() { shared_->file = nullptr; }

void PosixFile::Read(uint64_t at, size_t n, ResultFn<Buffer> done) {
  reader_->Run([shared = shared_, at, n, done = std::move(done)]() mutable {
    absl::StatusOr<Buffer> bytes = ReadFully(shared->fd, at, n, shared->name);
    std::shared_ptr<LoopInbox> inbox = shared->inbox;
    inbox->Run([shared = std::move(shared), done = std::move(done),
                bytes = std::move(bytes)]() mutable {
      if (shared->file != nullptr) done(std::move(bytes));
    });
  });
}

void PosixFile::RunOnWriter(
    InlineFunction<absl::Status(Shared*), 96> job,
    InlineFunction<void(PosixFile*, absl::Status), 96> after) {
  shared_->queued.fetch_add(1);
  writer_->Run([shared = shared_, job = std::move(job),
                after = std::move(after)]() mutable {
    absl::Status status = job(shared.get());
    // What comes behind it will wake the Loop for both.
    bool last = shared->queued.fetch_sub(1) == 1;
    std::shared_ptr<LoopInbox> inbox = shared->inbox;
    Task completion = [shared = std::move(shared), after = std::move(after),
                       status = std::move(status)]() mutable {
      if (shared->file != nullptr) after(shared->file, std::move(status));
    };
    if (last) {
      inbox->Run(std::move(completion));
    } else {
      inbox->RunLater(std::move(completion));
    }
  });
}

void PosixFile::Write(uint64_t at, Buffers data, DoneFn done) {
  Range range{at, at + TotalSize(data)};
  for (const Range& other : writing_) {
    CHECK(range.end <= other.begin || other.end <= range.begin);
  }
  writing_.push_back(range);
  RunOnWriter(
      [at, data = std::move(data)](Shared* shared) mutable {
        absl::Status written = WriteFully(shared->fd, at, data, shared->name);
        if (!written.ok()) shared->write_error.Update(written);
        data.clear();
        return written;
      },
      [range, done = std::move(done)](PosixFile* file,
                                      absl::Status status) mutable {
        auto it = std::find_if(
            file->writing_.begin(), file->writing_.end(),
            [&range](const Range& r) { return r.begin == range.begin; });
        file->writing_.erase(it);
        if (status.ok()) file->size_ = std::max(file->size_, range.end);
        done(std::move(status));
      });
}

void PosixFile::Sync(DoneFn done) {
  RunOnWriter(
      [](Shared* shared) -> absl::Status {
        if (!shared->write_error.ok()) return shared->write_error;
        if (fdatasync(shared->fd) == 0) return absl::OkStatus();
        // The kernel may have dropped the pages: no later sync may succeed.
        shared->write_error = ErrnoStatus(errno, "fdatasync", shared->name);
        return shared->write_error;
      },
      [done = std::move(done)](PosixFile*, absl::Status status) mutable {
        done(std::move(status));
      });
}

void PosixFile::Truncate(uint64_t size, DoneFn done) {
  RunOnWriter(
      [size](Shared* shared) -> absl::Status {
        if (ftruncate(shared->fd, static_cast<off_t>(size)) == 0) {
          return absl::OkStatus();
        }
        return ErrnoStatus(errno, "truncate", shared->name);
      },
      [size, done = std::move(done)](PosixFile* file,
                                     absl::Status status) mutable {
        if (status.ok()) file->size_ = size;
        done(std::move(status));
      });
}

void PosixFile::DropCache() {
  reader_->Run([shared = shared_] {
    posix_fadvise(shared->fd, 0, 0, POSIX_FADV_DONTNEED);
  });
}

}  // namespace holdfast
