#include "transport/uring_file.h"

#include <fcntl.h>
#include <liburing.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <deque>
#include <utility>
#include <vector>

#include "engine/base/check.h"

namespace holdfast {
namespace {

// The kernel takes up to 2 GiB at once.
constexpr size_t kReadBytesMax = 1 << 30;

// The request didn't run, or may run again as if it hadn't.
bool MayRetry(int result) {
  return result == -EINTR || result == -EAGAIN || result == -ECANCELED;
}

}  // namespace

// Shared with the chains under way.
struct UringFile::Shared {
  Shared(OwnedFd opened, std::shared_ptr<const void> directory,
         std::shared_ptr<Worker> closer)
      : fd(std::move(opened), std::move(directory), std::move(closer)) {}

  std::shared_ptr<Uring> uring;
  std::shared_ptr<Worker> worker;
  std::shared_ptr<LoopInbox> inbox;
  const FileFd fd;
  std::string name;
  // The UringFile, for completions; only the Loop looks at it.
  UringFile* file = nullptr;
  // While its cache is dropped, reads wait: one that overtook that would be
  // given what the kernel has in memory, and have it kept there.
  size_t drops = 0;
  std::vector<std::shared_ptr<UringChain>> reads;
};

// --- What changes the file ---

class UringFile::Changes final : public UringChain,
                                 public std::enable_shared_from_this<Changes> {
 public:
  enum class Kind { kWrite, kSync, kTruncate };
  struct Change {
    Kind kind;
    uint64_t at = 0;  // to truncate: the size
    Buffers data;
    InlineFunction<void(UringFile*, absl::Status), 96> after;
    // Of the request under way.
    std::vector<iovec> parts = {};
  };

  explicit Changes(std::shared_ptr<Shared> shared)
      : shared_(std::move(shared)) {}

  void Add(Change change) {
    queue_.push_back(std::move(change));
    if (!busy_) StartNext();
  }

  void Prepare(NextFn next) override {
    CHECK_EQ(running_, 0u);
    for (Change& change : queue_) {
      if (running_ == kRequestsMax || !RunsInRing(change)) return;
      ++running_;
      const int fd = shared_->fd.get();
      if (change.kind == Kind::kSync) {
        io_uring_prep_fsync(next(), fd, IORING_FSYNC_DATASYNC);
        continue;
      }
      change.parts = FrontParts(change.data);
      io_uring_prep_writev(next(), fd, change.parts.data(),
                           static_cast<unsigned>(change.parts.size()),
                           change.at);
      // The rest of it comes before anything else.
      if (TotalSize(change.parts) < TotalSize(change.data)) return;
    }
  }

  void OnEnded(size_t index, int result,
               std::vector<Task>* completions) override {
    const bool last = index + 1 == std::exchange(running_, 0);
    for (size_t i = 0; i < index; ++i) {
      completions->push_back(PopFront(absl::OkStatus()));
    }
    Change& change = queue_.front();
    bool ended = true;
    absl::Status status;
    if (change.kind == Kind::kWrite) {
      ended = OnWritten(result, &change, &status);
    } else if (result == -ECANCELED) {
      ended = false;
    } else if (result < 0) {
      // The kernel may have dropped the pages: no later sync may succeed.
      status = ErrnoStatus(-result, "fdatasync", shared_->name);
    }
    // Nothing that succeeds ends a chain before its end.
    CHECK(last || !ended || !status.ok());
    error_.Update(status);
    if (ended) completions->push_back(PopFront(std::move(status)));
    StartNext();
  }

  void Abandon() override {
    std::vector<Change> dropped;
    while (queue_.size() > running_) {
      dropped.push_back(std::move(queue_.back()));
      queue_.pop_back();
    }
    for (Change& change : queue_) change.after = nullptr;
  }

 private:
  // After a failed write a sync fails by itself.
  bool RunsInRing(const Change& change) const {
    return change.kind == Kind::kWrite ||
           (change.kind == Kind::kSync && error_.ok());
  }

  void StartNext() {
    busy_ = !queue_.empty();
    if (!busy_) return;
    if (RunsInRing(queue_.front())) {
      shared_->uring->Start(shared_from_this(), Uring::Lane::kWrites);
    } else if (queue_.front().kind == Kind::kTruncate) {
      shared_->worker->Run([self = shared_from_this(),
                            size = queue_.front().at] {
        int error = 0;
        if (ftruncate(self->shared_->fd.get(), static_cast<off_t>(size)) != 0) {
          error = errno;
        }
        self->shared_->inbox->Run([self, error] {
          self->EndOutsideRing(
              error == 0 ? absl::OkStatus()
                         : ErrnoStatus(error, "truncate", self->shared_->name));
        });
      });
    } else {
      shared_->inbox->Run(
          [self = shared_from_this()] { self->EndOutsideRing(self->error_); });
    }
  }

  void EndOutsideRing(absl::Status status) {
    Task completion = PopFront(std::move(status));
    StartNext();
    completion();
  }

  // Whether the write has ended, with `status`; else the rest of it is left.
  bool OnWritten(int result, Change* change, absl::Status* status) {
    if (MayRetry(result)) return false;
    if (result >= 0) {
      DropFront(&change->data, static_cast<size_t>(result));
      change->at += static_cast<uint64_t>(result);
      if (change->data.empty()) return true;
      if (result > 0) return false;
      result = -EIO;
    }
    *status = ErrnoStatus(-result, "write", shared_->name);
    return true;
  }

  Task PopFront(absl::Status status) {
    Task completion = [shared = shared_,
                       after = std::move(queue_.front().after),
                       status = std::move(status)]() mutable {
      if (shared->file != nullptr) after(shared->file, std::move(status));
    };
    queue_.pop_front();
    return completion;
  }

  const std::shared_ptr<Shared> shared_;
  // A deque: what the kernel points to stays where it is.
  std::deque<Change> queue_;
  size_t running_ = 0;  // the first ones of queue_: the chain
  bool busy_ = false;
  // The first failed write or sync since the open.
  absl::Status error_;
};

// --- Reads ---

class UringFile::ReadChain final
    : public UringChain,
      public std::enable_shared_from_this<ReadChain> {
 public:
  ReadChain(std::shared_ptr<Shared> shared, uint64_t at, size_t n,
            ResultFn<Buffer> done)
      : shared_(std::move(shared)),
        at_(at),
        bytes_(ReadBuffer(n)),
        done_(std::move(done)) {}

  void Prepare(NextFn next) override {
    io_uring_prep_read(
        next(), shared_->fd.get(), bytes_.data_mutable() + have_,
        static_cast<unsigned>(std::min(bytes_.size() - have_, kReadBytesMax)),
        at_ + have_);
  }

  void OnEnded(size_t, int result, std::vector<Task>* completions) override {
    if (result > 0) have_ += static_cast<size_t>(result);
    if (MayRetry(result) || (result > 0 && have_ < bytes_.size())) {
      return shared_->uring->Start(shared_from_this(), Uring::Lane::kReads);
    }
    absl::StatusOr<Buffer> bytes = bytes_.Slice(0, have_);
    if (result < 0) bytes = ReadErrnoStatus(-result, "read", shared_->name);
    completions->push_back([shared = shared_, done = std::move(done_),
                            bytes = std::move(bytes)]() mutable {
      if (shared->file != nullptr) done(std::move(bytes));
    });
  }

  void Abandon() override { done_ = nullptr; }

 private:
  const std::shared_ptr<Shared> shared_;
  const uint64_t at_;
  Buffer bytes_;
  size_t have_ = 0;
  ResultFn<Buffer> done_;
};

class UringFile::DropCacheChain final : public UringChain {
 public:
  explicit DropCacheChain(std::shared_ptr<Shared> shared)
      : shared_(std::move(shared)) {}

  void Prepare(NextFn next) override {
    io_uring_prep_fadvise(next(), shared_->fd.get(), 0, 0, POSIX_FADV_DONTNEED);
  }
  void OnEnded(size_t, int, std::vector<Task>*) override {
    if (--shared_->drops > 0) return;
    for (auto& read : std::exchange(shared_->reads, {})) {
      shared_->uring->Start(std::move(read), Uring::Lane::kReads);
    }
  }
  void Abandon() override {
    for (auto& read : std::exchange(shared_->reads, {})) read->Abandon();
  }

 private:
  const std::shared_ptr<Shared> shared_;
};

// --- The file ---

UringFile::UringFile(EpollLoop* loop, std::shared_ptr<Uring> uring,
                     std::shared_ptr<Worker> worker,
                     std::shared_ptr<Worker> closer,
                     std::shared_ptr<const void> directory, OwnedFd fd,
                     uint64_t size, std::string name)
    : shared_(std::make_shared<Shared>(std::move(fd), std::move(directory),
                                       std::move(closer))),
      changes_(std::make_shared<Changes>(shared_)),
      extent_(size) {
  shared_->uring = std::move(uring);
  shared_->worker = std::move(worker);
  shared_->inbox = loop->inbox();
  shared_->name = std::move(name);
  shared_->file = this;
}

UringFile::~UringFile() {
  shared_->file = nullptr;
  shared_->reads.clear();
}

void UringFile::Read(uint64_t at, size_t n, ResultFn<Buffer> done) {
  auto read = std::make_shared<ReadChain>(shared_, at, n, std::move(done));
  if (shared_->drops > 0) {
    shared_->reads.push_back(std::move(read));
  } else {
    shared_->uring->Start(std::move(read), Uring::Lane::kReads);
  }
}

void UringFile::Write(uint64_t at, Buffers data, DoneFn done) {
  const uint64_t end = at + TotalSize(data);
  extent_.BeginWrite(at, end);
  changes_->Add({.kind = Changes::Kind::kWrite,
                 .at = at,
                 .data = std::move(data),
                 .after = [at, end, done = std::move(done)](
                              UringFile* file, absl::Status status) mutable {
                   file->extent_.EndWrite(at, end, status.ok());
                   done(std::move(status));
                 }});
}

void UringFile::Sync(DoneFn done) {
  changes_->Add({.kind = Changes::Kind::kSync,
                 .after = [done = std::move(done)](
                              UringFile*, absl::Status status) mutable {
                   done(std::move(status));
                 }});
}

void UringFile::Truncate(uint64_t size, DoneFn done) {
  changes_->Add({.kind = Changes::Kind::kTruncate,
                 .at = size,
                 .after = [size, done = std::move(done)](
                              UringFile* file, absl::Status status) mutable {
                   if (status.ok()) file->extent_.Truncate(size);
                   done(std::move(status));
                 }});
}

void UringFile::DropCache() {
  ++shared_->drops;
  shared_->uring->Start(std::make_shared<DropCacheChain>(shared_),
                        Uring::Lane::kReads);
}

}  // namespace holdfast
