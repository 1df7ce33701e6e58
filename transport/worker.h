#ifndef HOLDFAST_TRANSPORT_WORKER_H_
#define HOLDFAST_TRANSPORT_WORKER_H_

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>

#include "engine/env/loop.h"

namespace holdfast {

// A helper thread that runs jobs one after the other. It is detached: one that
// hangs in the kernel holds up nobody, not even the process's end. Jobs must
// own whatever they touch.
class Worker {
 public:
  static std::shared_ptr<Worker> Start();

  // From any thread.
  void Run(Task job);
  // No job starts after this, old or new; the thread ends once it is idle.
  void Stop();

 private:
  Worker() = default;
  void Loop();

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Task> jobs_;
  bool stopped_ = false;
};

}  // namespace holdfast

#endif  // HOLDFAST_TRANSPORT_WORKER_H_
