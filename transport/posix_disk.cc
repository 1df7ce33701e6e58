#include "transport/posix_disk.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"
#include "transport/file_io.h"
#include "transport/owned_fd.h"
#include "transport/posix_file.h"
#include "transport/uring_file.h"

namespace holdfast {
namespace {

constexpr mode_t kDirectoryMode = 0750;
constexpr mode_t kFileMode = 0640;
constexpr size_t kZeroBytes = 1 << 20;
constexpr char kLockName[] = "LOCK";

absl::Status Zero(int fd, uint64_t size, const std::string& name) {
  std::vector<char> zeroes(kZeroBytes, 0);
  for (uint64_t at = 0; at < size;) {
    size_t n = static_cast<size_t>(std::min<uint64_t>(kZeroBytes, size - at));
    ssize_t written = pwrite(fd, zeroes.data(), n, static_cast<off_t>(at));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return ErrnoStatus(errno, "allocate", name);
    at += static_cast<uint64_t>(written);
  }
  if (fdatasync(fd) != 0) return ErrnoStatus(errno, "fdatasync", name);
  return absl::OkStatus();
}

absl::Status SyncDirectory(const std::string& path) {
  const OwnedFd fd(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd.get() < 0 || fsync(fd.get()) != 0) {
    return ErrnoStatus(errno, "fsync directory", path);
  }
  return absl::OkStatus();
}

// With its parents, as mkdir -p does, and durably: after a power failure the
// directory of a server that has promised something mustn't look like a new
// one.
absl::Status MakeDirectory(const std::string& path) {
  std::string parent = path.starts_with('/') ? "/" : ".";
  // Of the deepest one that was there: who made it may have died before this.
  std::string unsure;
  for (size_t at = 1; at <= path.size(); ++at) {
    if (at != path.size() && path[at] != '/') continue;
    const std::string name = path.substr(0, at);
    if (mkdir(name.c_str(), kDirectoryMode) == 0) {
      if (absl::Status s = SyncDirectory(parent); !s.ok()) return s;
    } else if (errno == EEXIST) {
      unsure = parent;
    } else {
      return ErrnoStatus(errno, "make directory", name);
    }
    parent = name;
  }
  // It needn't be one that this process may read.
  if (!unsure.empty()) SyncDirectory(unsure).IgnoreError();
  return absl::OkStatus();
}

}  // namespace

struct PosixDisk::Directory {
  OwnedFd fd;
  OwnedFd lock;
  std::string path;
  bool read_only = false;
  // Of the first sync that failed (errno); 0: none did. The kernel reports it
  // once, to whoever syncs next, and forgets what it couldn't write.
  std::atomic<int> sync_error = 0;
};

// What a job opened; the File itself is made on the Loop.
struct PosixDisk::OpenedFile {
  OwnedFd fd;
  uint64_t size = 0;
};

absl::StatusOr<std::unique_ptr<PosixDisk>> PosixDisk::Open(
    EpollLoop* loop, const std::string& path, DiskBackend backend) {
  if (absl::Status made = MakeDirectory(path); !made.ok()) return made;
  return OpenDirectory(loop, path, backend, false);
}

absl::StatusOr<std::unique_ptr<PosixDisk>> PosixDisk::OpenReadOnly(
    EpollLoop* loop, const std::string& path) {
  return OpenDirectory(loop, path, DiskBackend::kAuto, true);
}

absl::StatusOr<std::unique_ptr<PosixDisk>> PosixDisk::OpenDirectory(
    EpollLoop* loop, const std::string& path, DiskBackend backend,
    bool read_only) {
  auto directory = std::make_shared<Directory>();
  directory->fd =
      OwnedFd(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory->fd.get() < 0) {
    return ReadErrnoStatus(errno, "open data directory", path);
  }
  directory->path = path;
  directory->read_only = read_only;
  const int needed = R_OK | X_OK | (read_only ? 0 : W_OK);
  if (faccessat(directory->fd.get(), ".", needed, 0) != 0) {
    return ReadErrnoStatus(errno, "use data directory", path);
  }
  std::shared_ptr<Uring> uring;
  if (backend != DiskBackend::kThreads) {
    absl::StatusOr<std::shared_ptr<Uring>> made = Uring::Create(loop);
    if (made.ok()) {
      uring = *std::move(made);
    } else if (backend == DiskBackend::kIoUring) {
      return absl::FailedPreconditionError(
          absl::StrCat("io_uring doesn't work here (", made.status().message(),
                       "); threads do everywhere"));
    }
  }
  return std::unique_ptr<PosixDisk>(
      new PosixDisk(loop, std::move(directory), std::move(uring)));
}

PosixDisk::PosixDisk(EpollLoop* loop, std::shared_ptr<Directory> directory,
                     std::shared_ptr<Uring> uring)
    : loop_(loop),
      directory_(std::move(directory)),
      uring_(std::move(uring)),
      writer_(Worker::Start()),
      reader_(uring_ == nullptr ? Worker::Start() : nullptr),
      background_(Worker::Start()) {}

PosixDisk::~PosixDisk() {
  if (uring_ != nullptr) uring_->Stop();
  writer_->Stop();
  if (reader_ != nullptr) reader_->Stop();
  background_->Stop();
  DropSpareReadBuffer();
}

DiskBackend PosixDisk::backend() const {
  return uring_ == nullptr ? DiskBackend::kThreads : DiskBackend::kIoUring;
}

template <typename Result>
void PosixDisk::RunInBackground(InlineFunction<Result()> job,
                                InlineFunction<void(Result)> done) {
  background_->Run([inbox = loop_->inbox(), job = std::move(job),
                    done = InlineFunction<void(Result)>(
                        scope_.Wrap(std::move(done)))]() mutable {
    Result result = job();
    inbox->Run([done = std::move(done), result = std::move(result)]() mutable {
      done(std::move(result));
    });
  });
}

absl::StatusOr<std::unique_ptr<File>> PosixDisk::MakeFile(
    absl::StatusOr<OpenedFile> opened, const std::string& name) {
  if (!opened.ok()) return opened.status();
  if (uring_ != nullptr) {
    return std::make_unique<UringFile>(loop_, uring_, writer_, background_,
                                       directory_, std::move(opened->fd),
                                       opened->size, name);
  }
  return std::make_unique<PosixFile>(loop_, writer_, reader_, background_,
                                     directory_, std::move(opened->fd),
                                     opened->size, name);
}

void PosixDisk::Open(const std::string& name, OpenMode mode,
                     ResultFn<std::unique_ptr<File>> done) {
  CHECK(!directory_->read_only || mode == OpenMode::kExisting);
  RunInBackground<absl::StatusOr<OpenedFile>>(
      [directory = directory_, name, mode]() -> absl::StatusOr<OpenedFile> {
        int flags = (directory->read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC;
        if (mode == OpenMode::kCreateNew) flags |= O_CREAT | O_EXCL;
        OwnedFd fd(openat(directory->fd.get(), name.c_str(), flags, kFileMode));
        if (fd.get() < 0 && mode == OpenMode::kCreateNew) {
          return ErrnoStatus(errno, "create", name);
        }
        if (fd.get() < 0) return ReadErrnoStatus(errno, "open", name);
        struct stat info;
        if (fstat(fd.get(), &info) != 0) {
          return ReadErrnoStatus(errno, "stat", name);
        }
        return OpenedFile{std::move(fd), static_cast<uint64_t>(info.st_size)};
      },
      [this, name,
       done = std::move(done)](absl::StatusOr<OpenedFile> opened) mutable {
        done(MakeFile(std::move(opened), name));
      });
}

void PosixDisk::Allocate(const std::string& name, uint64_t size,
                         ResultFn<std::unique_ptr<File>> done) {
  CHECK(!directory_->read_only);
  RunInBackground<absl::StatusOr<OpenedFile>>(
      [directory = directory_, name, size]() -> absl::StatusOr<OpenedFile> {
        OwnedFd fd(openat(directory->fd.get(), name.c_str(),
                          O_RDWR | O_CLOEXEC | O_CREAT | O_EXCL, kFileMode));
        if (fd.get() < 0) return ErrnoStatus(errno, "allocate", name);
        if (absl::Status zeroed = Zero(fd.get(), size, name); !zeroed.ok()) {
          unlinkat(directory->fd.get(), name.c_str(), 0);
          return zeroed;
        }
        return OpenedFile{std::move(fd), size};
      },
      [this, name,
       done = std::move(done)](absl::StatusOr<OpenedFile> opened) mutable {
        done(MakeFile(std::move(opened), name));
      });
}

void PosixDisk::List(ResultFn<std::vector<FileInfo>> done) {
  RunInBackground<absl::StatusOr<std::vector<FileInfo>>>(
      [directory = directory_]() -> absl::StatusOr<std::vector<FileInfo>> {
        const int own = openat(directory->fd.get(), ".",
                               O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (own < 0) return ReadErrnoStatus(errno, "list", directory->path);
        const std::unique_ptr<DIR, int (*)(DIR*)> dir(fdopendir(own), closedir);
        if (dir == nullptr) {
          const int error = errno;
          close(own);
          return ReadErrnoStatus(error, "list", directory->path);
        }
        std::vector<FileInfo> files;
        while (true) {
          errno = 0;
          const dirent* entry = readdir(dir.get());
          if (entry == nullptr && errno != 0) {
            return ReadErrnoStatus(errno, "list", directory->path);
          }
          if (entry == nullptr) break;
          struct stat info;
          if (fstatat(directory->fd.get(), entry->d_name, &info, 0) != 0) {
            // Removed meanwhile, or a link that leads nowhere. A file that is
            // there and can't be looked at must not go for one that isn't.
            if (errno == ENOENT) continue;
            return ReadErrnoStatus(errno, "stat", entry->d_name);
          }
          if (!S_ISREG(info.st_mode)) continue;
          files.push_back({entry->d_name, static_cast<uint64_t>(info.st_size)});
        }
        std::sort(files.begin(), files.end(),
                  [](const FileInfo& a, const FileInfo& b) {
                    return a.name < b.name;
                  });
        return files;
      },
      std::move(done));
}

void PosixDisk::Rename(const std::string& from, const std::string& to,
                       DoneFn done) {
  CHECK(!directory_->read_only);
  RunInBackground<absl::Status>(
      [directory = directory_, from, to]() -> absl::Status {
        if (renameat(directory->fd.get(), from.c_str(), directory->fd.get(),
                     to.c_str()) != 0) {
          return ErrnoStatus(errno, "rename", from);
        }
        return absl::OkStatus();
      },
      std::move(done));
}

void PosixDisk::Remove(const std::string& name, DoneFn done) {
  CHECK(!directory_->read_only);
  RunInBackground<absl::Status>(
      [directory = directory_, name]() -> absl::Status {
        if (unlinkat(directory->fd.get(), name.c_str(), 0) != 0) {
          return ErrnoStatus(errno, "remove", name);
        }
        return absl::OkStatus();
      },
      std::move(done));
}

void PosixDisk::SyncDir(DoneFn done) {
  RunInBackground<absl::Status>(
      [directory = directory_]() -> absl::Status {
        // Whatever is read of a disk that is about to die, is enough.
        if (directory->read_only) return absl::OkStatus();
        if (directory->sync_error == 0 && fsync(directory->fd.get()) != 0) {
          directory->sync_error = errno;
        }
        const int error = directory->sync_error;
        return error == 0
                   ? absl::OkStatus()
                   : ErrnoStatus(error, "fsync directory", directory->path);
      },
      std::move(done));
}

void PosixDisk::Lock(DoneFn done) {
  RunInBackground<absl::Status>(
      [directory = directory_]() -> absl::Status {
        const int flags = directory->read_only ? O_RDONLY : O_RDWR | O_CREAT;
        OwnedFd fd(openat(directory->fd.get(), kLockName, flags | O_CLOEXEC,
                          kFileMode));
        if (fd.get() < 0 && directory->read_only && errno == ENOENT) {
          return absl::OkStatus();
        }
        if (fd.get() < 0) return ErrnoStatus(errno, "lock", directory->path);
        if (flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
          if (errno != EWOULDBLOCK) {
            return ErrnoStatus(errno, "lock", directory->path);
          }
          return absl::FailedPreconditionError(
              absl::StrCat("the data directory ", directory->path,
                           " is in use by another process; ",
                           directory->read_only
                               ? "stop it first"
                               : "give this server its own (one that was "
                                 "closed has it until its last write ends)"));
        }
        directory->lock = std::move(fd);
        return absl::OkStatus();
      },
      std::move(done));
}

void PosixDisk::FreeSpace(ResultFn<uint64_t> done) {
  RunInBackground<absl::StatusOr<uint64_t>>(
      [directory = directory_]() -> absl::StatusOr<uint64_t> {
        struct statvfs info;
        if (fstatvfs(directory->fd.get(), &info) != 0) {
          return ReadErrnoStatus(errno, "statvfs", directory->path);
        }
        return uint64_t{info.f_bavail} * info.f_frsize;
      },
      std::move(done));
}

}  // namespace holdfast
