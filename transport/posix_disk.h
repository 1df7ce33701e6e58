#ifndef HOLDFAST_TRANSPORT_POSIX_DISK_H_
#define HOLDFAST_TRANSPORT_POSIX_DISK_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/base/callback_scope.h"
#include "engine/env/disk.h"
#include "transport/epoll_loop.h"
#include "transport/uring.h"
#include "transport/worker.h"

namespace holdfast {

// What runs the reads, writes and syncs of a PosixDisk.
enum class DiskBackend {
  kAuto,     // io_uring where it works, else threads
  kIoUring,  // transport/uring_file.h
  kThreads,  // transport/posix_file.h
};

// A Disk over a directory of a POSIX file system. Nothing that may block runs
// on the Loop's thread, so a hung disk blocks neither the Loop nor closing.
// Reads, writes and syncs go through io_uring, or to helper threads: one for
// writes and syncs, in the order of submission, and one for reads. One more
// thread is for names and for what takes long (allocating a segment).
class PosixDisk final : public Disk {
 public:
  // Makes the directory (mode 0750) if it isn't there. Errors: the path is
  // not a directory, or can't be made, read or written; FAILED_PRECONDITION if
  // io_uring is asked for and doesn't work here. `loop` outlives the disk.
  static absl::StatusOr<std::unique_ptr<PosixDisk>> Open(
      EpollLoop* loop, const std::string& path,
      DiskBackend backend = DiskBackend::kAuto);
  // Nothing can be changed in it; whatever is there is needed. To be read while
  // nobody else uses it: Lock takes it if a server ever did.
  static absl::StatusOr<std::unique_ptr<PosixDisk>> OpenReadOnly(
      EpollLoop* loop, const std::string& path);
  ~PosixDisk() override;

  // The one in use, never kAuto.
  DiskBackend backend() const;

  void Open(const std::string& name, OpenMode mode,
            ResultFn<std::unique_ptr<File>> done) override;
  void Allocate(const std::string& name, uint64_t size,
                ResultFn<std::unique_ptr<File>> done) override;
  void List(ResultFn<std::vector<FileInfo>> done) override;
  void Rename(const std::string& from, const std::string& to,
              DoneFn done) override;
  void Remove(const std::string& name, DoneFn done) override;
  void SyncDir(DoneFn done) override;
  void Lock(DoneFn done) override;
  void FreeSpace(ResultFn<uint64_t> done) override;

 private:
  struct Directory;
  struct OpenedFile;

  static absl::StatusOr<std::unique_ptr<PosixDisk>> OpenDirectory(
      EpollLoop* loop, const std::string& path, DiskBackend backend,
      bool read_only);
  PosixDisk(EpollLoop* loop, std::shared_ptr<Directory> directory,
            std::shared_ptr<Uring> uring);

  // Runs `job` on the background thread, and `done` with its result here.
  template <typename Result>
  void RunInBackground(InlineFunction<Result()> job,
                       InlineFunction<void(Result)> done);

  // What a job opened, as a File.
  absl::StatusOr<std::unique_ptr<File>> MakeFile(
      absl::StatusOr<OpenedFile> opened, const std::string& name);

  EpollLoop* const loop_;
  std::shared_ptr<Directory> directory_;
  std::shared_ptr<Uring> uring_;  // null: threads
  // Threads may hang in the kernel for ever: they own all that they touch, and
  // are left behind when this goes.
  std::shared_ptr<Worker> writer_;
  std::shared_ptr<Worker> reader_;  // null: io_uring
  std::shared_ptr<Worker> background_;
  CallbackScope scope_;
};

}  // namespace holdfast

#endif  // HOLDFAST_TRANSPORT_POSIX_DISK_H_
