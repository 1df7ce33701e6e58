#include "transport/posix_file.h"

#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <utility>
#include <vector>

namespace holdfast {
namespace {

absl::Status WriteFully(int fd, uint64_t at, Buffers data,
                        const std::string& name) {
  while (TotalSize(data) > 0) {
    std::vector<iovec> parts = FrontParts(data);
    ssize_t n = pwritev(fd, parts.data(), static_cast<int>(parts.size()),
                        static_cast<off_t>(at));
    if (n < 0 && errno == EINTR) continue;
    // Nothing, and no error: it would never end.
    if (n <= 0) return ErrnoStatus(n < 0 ? errno : EIO, "write", name);
    at += static_cast<uint64_t>(n);
    DropFront(&data, static_cast<size_t>(n));
  }
  return absl::OkStatus();
}

absl::StatusOr<Buffer> ReadFully(int fd, uint64_t at, size_t n,
                                 const std::string& name) {
  Buffer bytes = ReadBuffer(n);
  size_t have = 0;
  while (have < n) {
    ssize_t got = pread(fd, bytes.data_mutable() + have, n - have,
                        static_cast<off_t>(at + have));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ReadErrnoStatus(errno, "read", name);
    if (got == 0) break;
    have += static_cast<size_t>(got);
  }
  return bytes.Slice(0, have);
}

}  // namespace

PosixFile::PosixFile(EpollLoop* loop, std::shared_ptr<Worker> writer,
                     std::shared_ptr<Worker> reader,
                     std::shared_ptr<Worker> closer,
                     std::shared_ptr<const void> directory, OwnedFd fd,
                     uint64_t size, std::string name)
    : writer_(std::move(writer)),
      reader_(std::move(reader)),
      shared_(std::make_shared<Shared>(std::move(fd), std::move(directory),
                                       std::move(closer))),
      extent_(size) {
  shared_->inbox = loop->inbox();
  shared_->name = std::move(name);
  shared_->file = this;
}

PosixFile::~PosixFile() { shared_->file = nullptr; }

void PosixFile::Read(uint64_t at, size_t n, ResultFn<Buffer> done) {
  reader_->Run([shared = shared_, at, n, done = std::move(done)]() mutable {
    absl::StatusOr<Buffer> bytes =
        ReadFully(shared->fd.get(), at, n, shared->name);
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
  const uint64_t end = at + TotalSize(data);
  extent_.BeginWrite(at, end);
  RunOnWriter(
      [at, data = std::move(data)](Shared* shared) mutable {
        absl::Status written =
            WriteFully(shared->fd.get(), at, std::move(data), shared->name);
        shared->write_error.Update(written);
        return written;
      },
      [at, end, done = std::move(done)](PosixFile* file,
                                        absl::Status status) mutable {
        file->extent_.EndWrite(at, end, status.ok());
        done(std::move(status));
      });
}

void PosixFile::Sync(DoneFn done) {
  RunOnWriter(
      [](Shared* shared) -> absl::Status {
        if (!shared->write_error.ok()) return shared->write_error;
        if (fdatasync(shared->fd.get()) == 0) return absl::OkStatus();
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
        if (ftruncate(shared->fd.get(), static_cast<off_t>(size)) == 0) {
          return absl::OkStatus();
        }
        return ErrnoStatus(errno, "truncate", shared->name);
      },
      [size, done = std::move(done)](PosixFile* file,
                                     absl::Status status) mutable {
        if (status.ok()) file->extent_.Truncate(size);
        done(std::move(status));
      });
}

void PosixFile::DropCache() {
  reader_->Run([shared = shared_] {
    posix_fadvise(shared->fd.get(), 0, 0, POSIX_FADV_DONTNEED);
  });
}

}  // namespace holdfast
