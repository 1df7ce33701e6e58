#include "engine/node/cold_read_pace.h"

#include <algorithm>
#include <chrono>

namespace holdfast {

Duration TimeFor(uint64_t bytes, uint64_t bytes_per_second) {
  // In microseconds, for 64 bits are enough then.
  return std::chrono::microseconds(
      static_cast<int64_t>(bytes * 1'000'000 / bytes_per_second));
}

void ColdReadPace::OnAppended(Instant now, uint64_t bytes) {
  if (!busy(now)) {
    window_began_ = now;
    window_bytes_ = 0;
    appended_per_second_ = 0;
  }
  appended_at_ = now;
  window_bytes_ += bytes;
  const Duration passed = now - window_began_;
  if (passed < kWindow) return;
  appended_per_second_ =
      window_bytes_ * 1'000'000 /
      static_cast<uint64_t>(passed / std::chrono::microseconds(1));
  window_began_ = now;
  window_bytes_ = 0;
}

Instant ColdReadPace::NextRead(ServerId reader, Instant now) {
  Turn& turn = turns_[reader];
  if (!busy(now) || turn.bytes == 0) {
    turn = Turn{.at = now};
    return now;
  }
  const Instant next = turn.at + TimeFor(turn.bytes, pace());
  if (next <= now) {
    turn = Turn{.at = std::max(next, now - kMakeUp)};
    return now;
  }
  if (!turn.waited) ++(reader == self_ ? stats_.own_paced : stats_.paced);
  turn.waited = true;
  // The pace may be another one by then.
  return std::min(next, now + kWindow);
}

uint64_t ColdReadPace::BytesAtOnce(Instant now, uint64_t bytes_max) const {
  if (!busy(now)) return bytes_max;
  const uint64_t needed = pace() / (1s / kReadTime);
  return std::min(bytes_max, std::max(kBytesAtOnceMin, needed));
}

}  // namespace holdfast
