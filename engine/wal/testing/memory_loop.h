#ifndef HOLDFAST_ENGINE_WAL_TESTING_MEMORY_LOOP_H_
#define HOLDFAST_ENGINE_WAL_TESTING_MEMORY_LOOP_H_

#include <algorithm>
#include <cstdint>
#include <map>
#include <utility>

#include "engine/env/loop.h"

namespace holdfast {

// A Loop for tests that runs by hand, in a time of its own.
class MemoryLoop : public Loop {
 public:
  Instant Now() const override { return now_; }
  Instant FreshNow() const override { return now_; }
  WallTime WallNow() const override {
    return WallTime(now_.time_since_epoch());
  }
  Timer At(Instant when, Task task) override {
    uint64_t id = next_id_++;
    tasks_.emplace(std::pair(std::max(when, now_), id), std::move(task));
    return Timer(this, id);
  }
  void Post(Task task) override {
    uint64_t id = next_id_++;
    tasks_.emplace(std::pair(now_, id), std::move(task));
  }

  // Runs the next task, moving the time there; false when there is none.
  bool RunOne() {
    if (tasks_.empty()) return false;
    auto next = tasks_.extract(tasks_.begin());
    now_ = next.key().first;
    next.mapped()();
    return true;
  }
  // Runs all tasks, also those that they schedule.
  void RunUntilIdle() {
    while (RunOne()) {
    }
  }
  // Runs all that is due by then.
  void RunFor(Duration time) {
    Instant until = now_ + time;
    while (!tasks_.empty() && tasks_.begin()->first.first <= until) RunOne();
    now_ = until;
  }

 protected:
  void Cancel(uint64_t id) override {
    for (auto it = tasks_.begin(); it != tasks_.end(); ++it) {
      if (it->first.second != id) continue;
      Task dropped = std::move(it->second);
      tasks_.erase(it);
      return;
    }
  }

 private:
  Instant now_;
  uint64_t next_id_ = 1;
  std::map<std::pair<Instant, uint64_t>, Task> tasks_;
};

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_WAL_TESTING_MEMORY_LOOP_H_
