#ifndef HOLDFAST_TRANSPORT_POSIX_FILE_H_
#define HOLDFAST_TRANSPORT_POSIX_FILE_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "engine/env/disk.h"
#include "transport/epoll_loop.h"
#include "transport/file_io.h"
#include "transport/owned_fd.h"
#include "transport/worker.h"

namespace holdfast {

// A File of a PosixDisk with helper threads: one for what changes the file, in
// the order of submission, one for reads, and one that closes it.
class PosixFile final : public File {
 public:
  PosixFile(EpollLoop* loop, std::shared_ptr<Worker> writer,
            std::shared_ptr<Worker> reader, std::shared_ptr<Worker> closer,
            std::shared_ptr<const void> directory, OwnedFd fd, uint64_t size,
            std::string name);
  ~PosixFile() override;

  void Read(uint64_t at, size_t n, ResultFn<Buffer> done) override;
  void Write(uint64_t at, Buffers data, DoneFn done) override;
  void Sync(DoneFn done) override;
  void Truncate(uint64_t size, DoneFn done) override;
  void DropCache() override;
  uint64_t size() const override { return extent_.size(); }

 private:
  // Shared with the jobs under way.
  struct Shared {
    Shared(OwnedFd opened, std::shared_ptr<const void> directory,
           std::shared_ptr<Worker> closer)
        : fd(std::move(opened), std::move(directory), std::move(closer)) {}

    std::shared_ptr<LoopInbox> inbox;
    const FileFd fd;
    std::string name;
    // The PosixFile, for completions; only the Loop looks at it.
    PosixFile* file = nullptr;
    // Of the writer's thread: the first failed write since the open.
    absl::Status write_error;
    // Jobs for the writer that haven't ended.
    std::atomic<int> queued{0};
  };

  // Runs `job` on the writer's thread, then `after` here if the file is
  // still there.
  void RunOnWriter(InlineFunction<absl::Status(Shared*), 96> job,
                   InlineFunction<void(PosixFile*, absl::Status), 96> after);

  std::shared_ptr<Worker> writer_;
  std::shared_ptr<Worker> reader_;
  std::shared_ptr<Shared> shared_;
  FileExtent extent_;
};

}  // namespace holdfast

#endif  // HOLDFAST_TRANSPORT_POSIX_FILE_H_
