#ifndef HOLDFAST_TRANSPORT_FILE_IO_H_
#define HOLDFAST_TRANSPORT_FILE_IO_H_

#include <sys/uio.h>

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "engine/base/buffer.h"
#include "transport/owned_fd.h"
#include "transport/worker.h"

namespace holdfast {

// What the two kinds of files of a PosixDisk share.

// What errno says of an operation on a file, as the Disk's errors (see
// engine/env/disk.h); ReadErrnoStatus: of one that changes nothing.
absl::Status ErrnoStatus(int error, absl::string_view operation,
                         absl::string_view name);
absl::Status ReadErrnoStatus(int error, absl::string_view operation,
                             absl::string_view name);

// The front of `data` as one system call takes it: at most IOV_MAX parts, none
// of them empty. Points into `data`.
std::vector<iovec> FrontParts(const Buffers& data);
size_t TotalSize(const std::vector<iovec>& parts);

// For n bytes to read. The memory of the last large one that was let go of
// serves the next one, since to have its pages made and unmade takes longer
// than to read to them, and a start reads one segment after the other. A small
// one gives it back to the system: that is over then. It is one for the
// process; a disk that goes has it given back, too.
Buffer ReadBuffer(size_t n);
void DropSpareReadBuffer();

// The descriptor of an open file, closed by a helper thread: closing a file
// that was removed takes as long as freeing its space. `directory`, with its
// lock, stays until then: the kernel may still write to the file, long after
// its Disk has gone.
class FileFd {
 public:
  FileFd(OwnedFd fd, std::shared_ptr<const void> directory,
         std::shared_ptr<Worker> closer)
      : fd_(std::move(fd)),
        directory_(std::move(directory)),
        closer_(std::move(closer)) {}
  FileFd(const FileFd&) = delete;
  FileFd& operator=(const FileFd&) = delete;
  ~FileFd() {
    closer_->Run([directory = std::move(directory_), fd = std::move(fd_)] {});
  }

  int get() const { return fd_.get(); }

 private:
  OwnedFd fd_;
  std::shared_ptr<const void> directory_;
  const std::shared_ptr<Worker> closer_;
};

// A file's size and the writes in flight, as its File's user knows them.
class FileExtent {
 public:
  explicit FileExtent(uint64_t size) : size_(size) {}

  // CHECKs that no write in flight overlaps.
  void BeginWrite(uint64_t begin, uint64_t end);
  void EndWrite(uint64_t begin, uint64_t end, bool ok);
  void Truncate(uint64_t size) { size_ = size; }
  uint64_t size() const { return size_; }

 private:
  struct Range {
    uint64_t begin;
    uint64_t end;
  };
  uint64_t size_;
  std::vector<Range> writing_;
};

}  // namespace holdfast

#endif  // HOLDFAST_TRANSPORT_FILE_IO_H_
