// A library to be preloaded (LD_PRELOAD) below a server: it writes down, in the
// directory $VOLATILE_DISK, how to take back each change of the files below
// $VOLATILE_DISK_OF, and which of them were synced. When the server has been
// killed, lose_power takes back some of what wasn't, as a failure of the power
// would have.

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <mutex>
#include <string>

#include "tests/disks/journal.h"

namespace {

using holdfast::JournalRecord;

template <typename Fn>
Fn* Real(const char* name) {
  return reinterpret_cast<Fn*>(dlsym(RTLD_NEXT, name));
}

// Calls take effect one at a time, but for syncs.
std::mutex& Mutex() {
  static auto* const mutex = new std::mutex;
  return *mutex;
}

[[noreturn]] void Die(const char* what) {
  fprintf(stderr, "volatile_disk: %s: %s\n", what, strerror(errno));
  abort();
}

const char* Directory() {
  static const char* const directory = getenv("VOLATILE_DISK");
  return directory;
}

// Of what a descriptor is open.
std::string PathOf(int fd) {
  char link[64];
  char path[PATH_MAX];
  snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
  const ssize_t n = readlink(link, path, sizeof(path));
  return n > 0 ? std::string(path, static_cast<size_t>(n)) : std::string();
}

bool IsConcerned(int fd) {
  static const char* const of = getenv("VOLATILE_DISK_OF");
  return of != nullptr && Directory() != nullptr &&
         PathOf(fd).compare(0, strlen(of), of) == 0;
}

// Needs the mutex. `next`: the number of the record that comes next.
uint64_t next = 1;

void Append(JournalRecord record, const std::string& name,
            const std::string& other, const std::string& bytes) {
  static const int journal = [] {
    const std::string path =
        std::string(Directory()) + "/" + holdfast::kJournalName;
    const int fd = Real<int(const char*, int, ...)>("open")(
        path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0) Die("the journal");
    return fd;
  }();
  record.name_bytes = static_cast<uint32_t>(name.size());
  record.other_bytes = static_cast<uint32_t>(other.size());
  record.bytes = bytes.size();
  std::string all(reinterpret_cast<const char*>(&record), sizeof(record));
  all += name + other + bytes;
  if (write(journal, all.data(), all.size()) !=
      static_cast<ssize_t>(all.size())) {
    Die("the journal");
  }
  ++next;
}

// Of a file before it changes: what is between these positions.
std::string Before(int fd, const struct stat& info, uint64_t from,
                   uint64_t to) {
  to = std::min(to, static_cast<uint64_t>(info.st_size));
  if (from >= to) return "";
  std::string bytes(to - from, '\0');
  const ssize_t n =
      pread(fd, bytes.data(), bytes.size(), static_cast<off_t>(from));
  if (n != static_cast<ssize_t>(bytes.size())) Die("read before a write");
  return bytes;
}

void NoteWrite(int fd, uint64_t at, uint64_t length) {
  struct stat info;
  if (fstat(fd, &info) != 0) Die("fstat");
  JournalRecord record;
  record.kind = JournalRecord::kWrite;
  record.inode = info.st_ino;
  record.at = at;
  record.length = length;
  record.old_size = static_cast<uint64_t>(info.st_size);
  Append(record, "", "", Before(fd, info, at, at + length));
}

void NoteTruncate(int fd, uint64_t size) {
  struct stat info;
  if (fstat(fd, &info) != 0) Die("fstat");
  JournalRecord record;
  record.kind = JournalRecord::kTruncate;
  record.inode = info.st_ino;
  record.at = size;
  record.old_size = static_cast<uint64_t>(info.st_size);
  Append(record, "", "", Before(fd, info, size, record.old_size));
}

// A second name for a file that is about to lose its own.
uint32_t Keep(int directory, const char* name) {
  const std::string kept =
      std::string(Directory()) + "/" + std::to_string(next);
  if (linkat(directory, name, AT_FDCWD, kept.c_str(), 0) == 0) {
    return static_cast<uint32_t>(next);
  }
  if (errno != ENOENT) Die("a second name");
  return 0;
}

// What is written up to now is durable, if the sync succeeds.
int Sync(int fd, const char* name) {
  int (*const real)(int) = Real<int(int)>(name);
  if (!IsConcerned(fd)) return real(fd);
  struct stat info;
  if (fstat(fd, &info) != 0) Die("fstat");
  JournalRecord record;
  record.kind =
      S_ISDIR(info.st_mode) ? JournalRecord::kSyncNames : JournalRecord::kSync;
  record.inode = info.st_ino;
  {
    const std::lock_guard<std::mutex> lock(Mutex());
    record.at = next - 1;
  }
  // As a slow disk: so that something is under way when the power fails.
  usleep(20000);
  if (const int failed = real(fd); failed != 0) return failed;
  const std::lock_guard<std::mutex> lock(Mutex());
  Append(record, "", "", "");
  return 0;
}

}  // namespace

extern "C" {

ssize_t pwritev(int fd, const iovec* parts, int count, off_t at) {
  const auto real = Real<ssize_t(int, const iovec*, int, off_t)>("pwritev");
  if (!IsConcerned(fd)) return real(fd, parts, count, at);
  uint64_t length = 0;
  for (int i = 0; i < count; ++i) length += parts[i].iov_len;
  const std::lock_guard<std::mutex> lock(Mutex());
  NoteWrite(fd, static_cast<uint64_t>(at), length);
  return real(fd, parts, count, at);
}
ssize_t pwritev64(int fd, const iovec* parts, int count, off_t at) {
  return pwritev(fd, parts, count, at);
}

ssize_t pwrite(int fd, const void* from, size_t n, off_t at) {
  const auto real = Real<ssize_t(int, const void*, size_t, off_t)>("pwrite");
  if (!IsConcerned(fd)) return real(fd, from, n, at);
  const std::lock_guard<std::mutex> lock(Mutex());
  NoteWrite(fd, static_cast<uint64_t>(at), n);
  return real(fd, from, n, at);
}
ssize_t pwrite64(int fd, const void* from, size_t n, off_t at) {
  return pwrite(fd, from, n, at);
}

int ftruncate(int fd, off_t size) {
  const auto real = Real<int(int, off_t)>("ftruncate");
  if (!IsConcerned(fd)) return real(fd, size);
  const std::lock_guard<std::mutex> lock(Mutex());
  NoteTruncate(fd, static_cast<uint64_t>(size));
  return real(fd, size);
}
int ftruncate64(int fd, off_t size) { return ftruncate(fd, size); }

int openat(int directory, const char* name, int flags, ...) {
  mode_t mode = 0;
  if ((flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE) {
    va_list arguments;
    va_start(arguments, flags);
    mode = va_arg(arguments, mode_t);
    va_end(arguments);
  }
  const auto real = Real<int(int, const char*, int, ...)>("openat");
  if ((flags & O_CREAT) == 0 || !IsConcerned(directory)) {
    return real(directory, name, flags, mode);
  }
  const std::lock_guard<std::mutex> lock(Mutex());
  struct stat info;
  const bool there = fstatat(directory, name, &info, 0) == 0;
  const int fd = real(directory, name, flags, mode);
  if (fd >= 0 && !there) {
    JournalRecord record;
    record.kind = JournalRecord::kCreate;
    Append(record, name, "", "");
  }
  return fd;
}
int openat64(int directory, const char* name, int flags, ...)
    __attribute__((alias("openat")));

int renameat(int directory, const char* from, int to_directory,
             const char* to) {
  const auto real = Real<int(int, const char*, int, const char*)>("renameat");
  if (!IsConcerned(directory)) return real(directory, from, to_directory, to);
  const std::lock_guard<std::mutex> lock(Mutex());
  JournalRecord record;
  record.kind = JournalRecord::kRename;
  record.kept = Keep(to_directory, to);
  if (const int failed = real(directory, from, to_directory, to); failed != 0) {
    return failed;
  }
  Append(record, from, to, "");
  return 0;
}

int unlinkat(int directory, const char* name, int flags) {
  const auto real = Real<int(int, const char*, int)>("unlinkat");
  if (!IsConcerned(directory)) return real(directory, name, flags);
  const std::lock_guard<std::mutex> lock(Mutex());
  JournalRecord record;
  record.kind = JournalRecord::kRemove;
  record.kept = Keep(directory, name);
  if (const int failed = real(directory, name, flags); failed != 0) {
    return failed;
  }
  Append(record, name, "", "");
  return 0;
}

int fdatasync(int fd) { return Sync(fd, "fdatasync"); }
int fsync(int fd) { return Sync(fd, "fsync"); }

}  // extern "C"
