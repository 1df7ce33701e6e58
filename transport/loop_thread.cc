#include "transport/loop_thread.h"

#include <pthread.h>
#include <signal.h>

#include "engine/base/check.h"

namespace holdfast {

LoopThread::~LoopThread() { CHECK(!thread_.joinable()); }

void LoopThread::Start(EpollLoop* loop) {
  inbox_ = loop->inbox();
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  // A thread inherits the mask of the one that starts it.
  CHECK_EQ(pthread_sigmask(SIG_SETMASK, &all, &before), 0);
  thread_ = std::thread([loop, ran = ran_.Giver(false)]() mutable {
    loop->Run();
    ran(true);
  });
  CHECK_EQ(pthread_sigmask(SIG_SETMASK, &before, nullptr), 0);
  id_.store(thread_.get_id(), std::memory_order_release);
}

absl::Status LoopThread::MayWait() const {
  if (!is_current()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      "a callback of " + owner_ + " may not wait for " + owner_ +
      ", whose thread it is on: call from another thread");
}

void LoopThread::CheckMayWait() const {
  CHECK_EQ(std::string(MayWait().message()), "");
}

absl::Status LoopThread::Run(Task task) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (ended_) return absl::FailedPreconditionError(owner_ + " is closed");
  inbox_->Run(std::move(task));
  return absl::OkStatus();
}

void LoopThread::End(Task last) {
  CheckMayWait();
  {
    std::lock_guard<std::mutex> lock(mutex_);
    CHECK(!std::exchange(ended_, true));
    inbox_->Run(std::move(last));
  }
  // Not for its end: the kernel has a thread that began requests of an
  // io_uring wait for them, and a disk may hang.
  ran_.Wait();
  // Another thread may get the same id.
  id_.store(std::thread::id(), std::memory_order_release);
  thread_.detach();
}

}  // namespace holdfast
