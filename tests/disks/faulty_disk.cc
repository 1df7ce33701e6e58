// A library to be preloaded (LD_PRELOAD) below a server: calls of the system
// for files then fail or hang as the files in the directory $FAULTY_DISK say.
// Each call looks anew, so that a test can change its mind while the server
// runs.
//
//   write-error, sync-error    each such call fails with EIO
//   hang, hang-write, hang-read
//                              each sync, write or read waits until it is gone;
//                              since when, is told in the file "hung", a line
//                              for each, with the time as servers' logs have it
//   read-error                 "INODE POSITION": what reads that byte of that
//                              file fails with EIO, as of a bad block
//
// Only what is below $FAULTY_DISK_OF is concerned.

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

namespace {

template <typename Fn>
Fn* Real(const char* name) {
  return reinterpret_cast<Fn*>(dlsym(RTLD_NEXT, name));
}

// Null: there is none.
FILE* OpenHere(const char* name, const char* mode) {
  const char* directory = getenv("FAULTY_DISK");
  if (directory == nullptr) return nullptr;
  char path[PATH_MAX];
  snprintf(path, sizeof(path), "%s/%s", directory, name);
  return fopen(path, mode);
}
FILE* Order(const char* name) { return OpenHere(name, "r"); }

bool Ordered(const char* name) {
  FILE* order = Order(name);
  if (order == nullptr) return false;
  fclose(order);
  return true;
}

void WaitWhile(const char* name) {
  if (!Ordered(name)) return;
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  tm utc;
  gmtime_r(&now.tv_sec, &utc);
  char time[32];
  strftime(time, sizeof(time), "%Y-%m-%dT%H:%M:%S", &utc);
  if (FILE* hung = OpenHere("hung", "a")) {
    fprintf(hung, "time=%s.%03ldZ %s\n", time, now.tv_nsec / 1000000, name);
    fclose(hung);
  }
  while (Ordered(name)) usleep(20000);
}

bool IsConcerned(int fd) {
  const char* of = getenv("FAULTY_DISK_OF");
  if (of == nullptr) return false;
  char link[64];
  char path[PATH_MAX];
  snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
  const ssize_t n = readlink(link, path, sizeof(path) - 1);
  return n > 0 && strncmp(path, of, strlen(of)) == 0;
}

bool IsBad(int fd, size_t n, off_t at) {
  FILE* order = Order("read-error");
  if (order == nullptr) return false;
  unsigned long long inode = 0;
  long long position = 0;
  const int found = fscanf(order, "%llu %lld", &inode, &position);
  fclose(order);
  struct stat info;
  return found == 2 && fstat(fd, &info) == 0 && info.st_ino == inode &&
         at <= position && position < at + static_cast<off_t>(n);
}

int Sync(int fd, int (*real)(int)) {
  if (!IsConcerned(fd)) return real(fd);
  WaitWhile("hang");
  if (Ordered("sync-error")) {
    errno = EIO;
    return -1;
  }
  return real(fd);
}

}  // namespace

extern "C" {

ssize_t pwritev(int fd, const iovec* parts, int count, off_t at) {
  if (IsConcerned(fd)) {
    WaitWhile("hang-write");
    if (Ordered("write-error")) {
      errno = EIO;
      return -1;
    }
  }
  return Real<ssize_t(int, const iovec*, int, off_t)>("pwritev")(fd, parts,
                                                                 count, at);
}
ssize_t pwritev64(int fd, const iovec* parts, int count, off_t at) {
  return pwritev(fd, parts, count, at);
}

ssize_t pread(int fd, void* to, size_t n, off_t at) {
  if (IsConcerned(fd)) WaitWhile("hang-read");
  if (IsBad(fd, n, at)) {
    errno = EIO;
    return -1;
  }
  return Real<ssize_t(int, void*, size_t, off_t)>("pread")(fd, to, n, at);
}
ssize_t pread64(int fd, void* to, size_t n, off_t at) {
  return pread(fd, to, n, at);
}

int fdatasync(int fd) { return Sync(fd, Real<int(int)>("fdatasync")); }
int fsync(int fd) { return Sync(fd, Real<int(int)>("fsync")); }

}  // extern "C"
