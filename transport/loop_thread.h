#ifndef HOLDFAST_TRANSPORT_LOOP_THREAD_H_
#define HOLDFAST_TRANSPORT_LOOP_THREAD_H_

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "engine/base/inline_function.h"
#include "engine/env/loop.h"
#include "transport/epoll_loop.h"

namespace holdfast {

// An answer that one thread gives and another one waits for. The giver's end
// lives on without this object.
template <typename T>
class Reply {
 public:
  // Call it once. If it is dropped uncalled, the answer is `dropped`: so a wait
  // always ends.
  InlineFunction<void(T)> Giver(T dropped) {
    return [giver = GiverEnd(shared_, std::move(dropped))](T value) mutable {
      giver.Give(std::move(value));
    };
  }

  T Wait() {
    std::unique_lock<std::mutex> lock(shared_->mutex);
    shared_->given.wait(lock, [this] { return shared_->value.has_value(); });
    return *std::move(shared_->value);
  }

 private:
  struct Shared {
    std::mutex mutex;
    std::condition_variable given;
    std::optional<T> value;
  };
  class GiverEnd {
   public:
    GiverEnd(std::shared_ptr<Shared> shared, T dropped)
        : shared_(std::move(shared)), dropped_(std::move(dropped)) {}
    GiverEnd(GiverEnd&&) noexcept = default;
    GiverEnd& operator=(GiverEnd&&) = delete;
    ~GiverEnd() {
      if (shared_ != nullptr) Give(std::move(dropped_));
    }
    void Give(T value) {
      std::shared_ptr<Shared> shared = std::exchange(shared_, nullptr);
      std::lock_guard<std::mutex> lock(shared->mutex);
      shared->value = std::move(value);
      shared->given.notify_one();
    }

   private:
    std::shared_ptr<Shared> shared_;
    T dropped_;
  };

  const std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();
};

// A thread that runs an EpollLoop, and what other threads ask of it. What
// stands on the loop is touched in its tasks only, until End has returned.
class LoopThread {
 public:
  // `owner`: for messages, such as "the client".
  explicit LoopThread(std::string owner) : owner_(std::move(owner)) {}
  ~LoopThread();  // after End, if it was started

  LoopThread(const LoopThread&) = delete;
  LoopThread& operator=(const LoopThread&) = delete;

  // The thread takes no signals: they stay with the program's own threads.
  void Start(EpollLoop* loop);

  // All else from any thread.

  // Is the caller a task of the loop? Then it must not wait for another one.
  bool is_current() const {
    return id_.load(std::memory_order_acquire) == std::this_thread::get_id();
  }
  // FAILED_PRECONDITION if so.
  absl::Status MayWait() const;
  // For what can't answer with an error: a CHECK, which prints the reason.
  void CheckMayWait() const;

  // Runs `task` on the loop, behind the ones before. FAILED_PRECONDITION, and
  // the task is dropped, once End was called.
  absl::Status Run(Task task);

  // Runs start(giver) on the loop, and waits until the giver was called with a
  // T, which is an absl::Status or StatusOr. CANCELLED if it was dropped.
  template <typename T, typename Start>
  T Ask(Start start) {
    if (absl::Status s = MayWait(); !s.ok()) return s;
    Reply<T> reply;
    if (absl::Status s = Run([start = std::move(start),
                              giver = reply.Giver(T(absl::CancelledError(
                                  owner_ + " ended meanwhile")))]() mutable {
          start(std::move(giver));
        });
        !s.ok()) {
      return s;
    }
    return reply.Wait();
  }

  // Runs `last` behind all other tasks: it must bring it about that the loop is
  // stopped. Returns when the loop has ended, and runs nothing more. Once, from
  // another thread.
  void End(Task last);

 private:
  const std::string owner_;
  std::shared_ptr<LoopInbox> inbox_;
  std::mutex mutex_;  // keeps the last task behind all others
  bool ended_ = false;
  std::atomic<std::thread::id> id_;
  std::thread thread_;
  Reply<bool> ran_;
};

}  // namespace holdfast

#endif  // HOLDFAST_TRANSPORT_LOOP_THREAD_H_
