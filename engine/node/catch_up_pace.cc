#include "engine/node/catch_up_pace.h"

#include <chrono>

namespace holdfast {

Duration TimeFor(uint64_t bytes, uint64_t bytes_per_second) {
  // In microseconds, for 64 bits are enough then.
  return std::chrono::microseconds(
      static_cast<int64_t>(bytes * 1'000'000 / bytes_per_second));
}

void CatchUpPace::OnAppended(Instant now, uint64_t bytes) {
  appended_ += bytes;
  appended_at_ = now;
}

void CatchUpPace::OnSent(ServerId to, Instant now, uint64_t bytes) {
  sent_[to] = Sent{.at = now, .bytes = bytes, .appended = appended_};
}

Instant CatchUpPace::NextRead(ServerId to, Instant now) {
  auto it = sent_.find(to);
  if (it == sent_.end() || now - appended_at_ >= kBusyFor) return now;
  const Sent& sent = it->second;
  const uint64_t keeps_up = 2 * (appended_ - sent.appended);
  if (sent.bytes <= keeps_up) return now;
  const Instant next =
      sent.at + TimeFor(sent.bytes - keeps_up, bytes_per_second_);
  if (next <= now) return now;
  ++stats_.paced;
  return next;
}

}  // namespace holdfast
