#ifndef HOLDFAST_ENGINE_BASE_TIME_H_
#define HOLDFAST_ENGINE_BASE_TIME_H_

// Instants and durations in whole nanoseconds. These types only measure: the
// one clock that can be read is the Loop's (engine/env/loop.h).

#include <chrono>
#include <cstdint>
#include <string>

namespace holdfast {

using Duration = std::chrono::nanoseconds;
using namespace std::chrono_literals;

// Tags, not clocks: neither has a now().
struct MonotonicTag {
  using rep = int64_t;
  using period = std::nano;
  using duration = Duration;
  using time_point = std::chrono::time_point<MonotonicTag>;
};
struct WallTag {
  using rep = int64_t;
  using period = std::nano;
  using duration = Duration;
  using time_point = std::chrono::time_point<WallTag>;
};

// A point on the process's own monotonic clock. Instants of two processes
// can't be compared.
using Instant = std::chrono::time_point<MonotonicTag, Duration>;
// Nanoseconds since the Unix epoch; may jump either way.
using WallTime = std::chrono::time_point<WallTag, Duration>;

inline constexpr Instant kNever = Instant::max();

// kNever where it is too late to be said.
inline Instant Later(Instant from, Duration delay) {
  return delay > Duration::zero() && from > kNever - delay ? kNever
                                                           : from + delay;
}

inline int64_t ToMillis(Duration d) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(d).count();
}
inline int64_t ToMicros(Duration d) {
  return std::chrono::duration_cast<std::chrono::microseconds>(d).count();
}

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_BASE_TIME_H_
