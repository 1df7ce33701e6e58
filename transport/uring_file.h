#ifndef HOLDFAST_TRANSPORT_URING_FILE_H_
#define HOLDFAST_TRANSPORT_URING_FILE_H_

#include <cstdint>
#include <memory>
#include <string>

#include "engine/env/disk.h"
#include "transport/epoll_loop.h"
#include "transport/file_io.h"
#include "transport/owned_fd.h"
#include "transport/uring.h"
#include "transport/worker.h"

namespace holdfast {

// A File of a PosixDisk with io_uring. What changes the file runs in the order
// of submission, as on a thread of the file's own: what has queued up goes to
// the kernel as one chain, and the next chain when that has ended. So a sync
// starts when all writes before it have succeeded, and not at all after one
// that failed. Reads run beside these.
class UringFile final : public File {
 public:
  // `worker` runs what io_uring doesn't have: truncating. `closer` closes the
  // file.
  UringFile(EpollLoop* loop, std::shared_ptr<Uring> uring,
            std::shared_ptr<Worker> worker, std::shared_ptr<Worker> closer,
            std::shared_ptr<const void> directory, OwnedFd fd, uint64_t size,
            std::string name);
  ~UringFile() override;

  void Read(uint64_t at, size_t n, ResultFn<Buffer> done) override;
  void Write(uint64_t at, Buffers data, DoneFn done) override;
  void Sync(DoneFn done) override;
  void Truncate(uint64_t size, DoneFn done) override;
  void DropCache() override;
  uint64_t size() const override { return extent_.size(); }

 private:
  struct Shared;
  class Changes;
  class ReadChain;
  class DropCacheChain;

  std::shared_ptr<Shared> shared_;
  std::shared_ptr<Changes> changes_;
  FileExtent extent_;
};

}  // namespace holdfast

#endif  // HOLDFAST_TRANSPORT_URING_FILE_H_
