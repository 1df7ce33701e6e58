#ifndef HOLDFAST_ENGINE_PEER_TESTING_MANUAL_LOOP_H_
#define HOLDFAST_ENGINE_PEER_TESTING_MANUAL_LOOP_H_

#include <algorithm>
#include <cstdint>
#include <map>
#include <utility>

#include "engine/base/check.h"
#include "engine/env/loop.h"

namespace holdfast {

// A Loop whose time stands still until a test moves it.
class ManualLoop final : public Loop {
 public:
  Instant Now() const override { return now_; }
  Instant FreshNow() const override { return now_; }
  WallTime WallNow() const override {
    return WallTime(now_.time_since_epoch());
  }

  Timer At(Instant when, Task task) override {
    return Timer(this, Add(when, std::move(task)));
  }
  void Post(Task task) override { Add(now_, std::move(task)); }

  // Runs what is due now, and what that makes due now.
  void RunDue() { RunFor(Duration::zero()); }

  // Runs all that is due until then, in order.
  void RunFor(Duration time) {
    const Instant until = now_ + time;
    for (int n = 0; !tasks_.empty() && tasks_.begin()->first.when <= until;
         ++n) {
      CHECK_LT(n, 10'000'000);  // or it never ends
      RunFirst();
    }
    now_ = until;
  }

  // Runs the next so many tasks, or all there are.
  void RunTasks(int count) {
    for (; count > 0 && !tasks_.empty(); --count) RunFirst();
  }

  // As if the process had been stopped for a while: nothing runs meanwhile.
  void Stall(Duration time) { now_ += time; }

 private:
  struct Key {
    Instant when;
    uint64_t id;
    auto operator<=>(const Key&) const = default;
  };

  void RunFirst() {
    auto first = tasks_.begin();
    now_ = std::max(now_, first->first.when);
    Task task = std::move(first->second);
    times_.erase(first->first.id);
    tasks_.erase(first);
    task();
  }
  uint64_t Add(Instant when, Task task) {
    const uint64_t id = next_id_++;
    tasks_.emplace(Key{.when = when, .id = id}, std::move(task));
    times_.emplace(id, when);
    return id;
  }
  void Cancel(uint64_t id) override {
    auto it = times_.find(id);
    if (it == times_.end()) return;
    tasks_.erase(Key{.when = it->second, .id = id});
    times_.erase(it);
  }

  Instant now_ = Instant(1s);
  uint64_t next_id_ = 1;
  std::map<Key, Task> tasks_;
  std::map<uint64_t, Instant> times_;
};

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_PEER_TESTING_MANUAL_LOOP_H_
