#ifndef HOLDFAST_SIM_SIM_LOOP_H_
#define HOLDFAST_SIM_SIM_LOOP_H_

#include <cstdint>

#include "engine/env/loop.h"
#include "sim/scheduler.h"

namespace holdfast {

class Chance;

// How one process's clocks stand to the true time.
struct ClockModel {
  // Gains (or, negative, loses) so many microseconds a second.
  int64_t drift_ppm = 0;
  // Timers end only at multiples of this, in true time: late, and together.
  // Zero: each when it is due.
  Duration timer_slack = Duration::zero();
  // What the monotonic clock shows at true time 0.
  Instant at_zero = Instant(Duration(1000000000));
  // What the wall clock shows then; 2020-01-01T00:00:00Z.
  WallTime wall_at_zero = WallTime(Duration(1577836800000000000));
};

// How wrong the clocks of processes may be; 0: they aren't.
struct ClockLimits {
  int64_t drift_ppm_max = 0;
  Duration timer_slack_max = Duration::zero();
};

// Of the process that starts on that machine, by the faults of its run: the
// same one in each of its lives, unless a tape has it otherwise.
ClockModel DrawClock(Chance* chance, MachineId machine,
                     const ClockLimits& limits);

// The Loop of one simulated process: its clock drifts against the true time
// (in integer arithmetic), and its events are the scheduler's events of its
// actor, so they die with it. Instants that are less than a nanosecond of
// true time apart count as one.
class SimLoop final : public Loop {
 public:
  SimLoop(Scheduler* scheduler, ActorId actor, ClockModel clock)
      : scheduler_(scheduler), actor_(actor), clock_(clock) {}

  Instant Now() const override { return ToLocal(scheduler_->task_time()); }
  Instant FreshNow() const override { return ToLocal(scheduler_->now()); }
  WallTime WallNow() const override;
  Timer At(Instant when, Task task) override;
  void Post(Task task) override;

  bool drifts() const { return clock_.drift_ppm != 0; }
  // Timers that ended later than they were due.
  uint64_t late_timers() const { return late_timers_; }

  // Moves the wall clock, and only that.
  void JumpWall(Duration by) { clock_.wall_at_zero += by; }

  Instant ToLocal(TrueTime time) const;
  // The first true time at which the clock shows `when` or later.
  TrueTime ToTrue(Instant when) const;

 private:
  void Cancel(uint64_t timer_id) override { scheduler_->Cancel(timer_id); }
  // How far the clock has moved after `true_ns`.
  int64_t Drifted(int64_t true_ns) const;

  Scheduler* const scheduler_;
  const ActorId actor_;
  ClockModel clock_;
  uint64_t late_timers_ = 0;
};

}  // namespace holdfast

#endif  // HOLDFAST_SIM_SIM_LOOP_H_
