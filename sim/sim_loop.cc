#include "sim/sim_loop.h"

#include <optional>
#include <utility>

#include "sim/chance.h"
#include "sim/fault_sites.h"

namespace holdfast {
namespace {

constexpr int64_t kMillion = 1000000;
// Nothing is simulated for longer (about 11 days); later Instants never come.
constexpr int64_t kEndOfTimeNs = 1000000000000000;

// Up to that, and as often too slow as too fast; 0 is the mildest.
int64_t DriftWithin(uint64_t value, int64_t max) {
  if (!faults::IsWritten(value)) {
    const auto drifts = static_cast<uint64_t>(2 * max + 1);
    return static_cast<int64_t>(Below(value, drifts)) - max;
  }
  const int64_t drift =
      max * static_cast<int64_t>(faults::HowBad(value)) / 65536;
  return value % 2 == 0 ? drift : -drift;
}

}  // namespace

ClockModel DrawClock(Chance* chance, MachineId machine,
                     const ClockLimits& limits) {
  // Each is as wrong as it happens to be.
  constexpr uint64_t kAll = kMillion;
  const ChanceActor actor{machine, 0};
  const bool may_drift = limits.drift_ppm_max > 0;
  const bool may_be_late = limits.timer_slack_max > Duration::zero();
  const std::optional<uint64_t> drift =
      chance->Fault(faults::kDrift, actor, 0, may_drift ? kAll : 0);
  const std::optional<uint64_t> late =
      chance->Fault(faults::kLateTimer, actor, 0, may_be_late ? kAll : 0);
  ClockModel clock;
  if (drift.has_value()) {
    clock.drift_ppm = DriftWithin(*drift, limits.drift_ppm_max);
  }
  if (late.has_value() && may_be_late) {
    clock.timer_slack =
        faults::LengthBelow(*late, limits.timer_slack_max + 1ns);
  }
  return clock;
}

int64_t SimLoop::Drifted(int64_t true_ns) const {
  if (clock_.drift_ppm == 0) return true_ns;
  // In two parts, so that nothing overflows.
  return true_ns + true_ns / kMillion * clock_.drift_ppm +
         true_ns % kMillion * clock_.drift_ppm / kMillion;
}

Instant SimLoop::ToLocal(TrueTime time) const {
  return clock_.at_zero + Duration(Drifted(time.time_since_epoch().count()));
}

TrueTime SimLoop::ToTrue(Instant when) const {
  const int64_t local_ns = (when - clock_.at_zero).count();
  if (clock_.drift_ppm == 0) return TrueTime(Duration(local_ns));
  const int64_t rate = kMillion + clock_.drift_ppm;
  int64_t true_ns =
      local_ns / rate * kMillion + local_ns % rate * kMillion / rate;
  while (Drifted(true_ns) >= local_ns) --true_ns;
  while (Drifted(true_ns) < local_ns) ++true_ns;
  return TrueTime(Duration(true_ns));
}

WallTime SimLoop::WallNow() const {
  return clock_.wall_at_zero + (Now() - clock_.at_zero);
}

Timer SimLoop::At(Instant when, Task task) {
  if (when > clock_.at_zero + Duration(kEndOfTimeNs)) return Timer(this, 0);
  TrueTime due = ToTrue(when);
  if (clock_.timer_slack > Duration::zero()) {
    const Duration past = due.time_since_epoch() % clock_.timer_slack;
    if (past > Duration::zero()) {
      due += clock_.timer_slack - past;
      // Most timers are cancelled before they end, and were never late.
      task = [this, task = std::move(task)]() mutable {
        ++late_timers_;
        task();
      };
    }
  }
  return Timer(this,
               scheduler_->At(due, actor_, EventKind::kTimer, std::move(task)));
}

void SimLoop::Post(Task task) {
  scheduler_->At(scheduler_->now(), actor_, EventKind::kPost, std::move(task));
}

}  // namespace holdfast
