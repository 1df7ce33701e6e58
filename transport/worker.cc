#include "transport/worker.h"

#include <thread>
#include <utility>

namespace holdfast {

std::shared_ptr<Worker> Worker::Start() {
  std::shared_ptr<Worker> worker(new Worker);
  std::thread([worker] { worker->Loop(); }).detach();
  return worker;
}

void Worker::Run(Task job) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (stopped_) return;
    jobs_.push_back(std::move(job));
  }
  wake_.notify_one();
}

void Worker::Stop() {
  // They go once the lock is free again: what a job holds may come back to
  // Run as it is destroyed.
  std::deque<Task> dropped;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopped_ = true;
    dropped.swap(jobs_);
  }
  wake_.notify_one();
}

void Worker::Loop() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (true) {
    wake_.wait(lock, [this] { return stopped_ || !jobs_.empty(); });
    if (stopped_) return;
    Task job = std::move(jobs_.front());
    jobs_.pop_front();
    lock.unlock();
    job();
    job = nullptr;
    lock.lock();
  }
}

}  // namespace holdfast
