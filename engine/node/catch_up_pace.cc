#include "engine/node/catch_up_pace.h"

#include <chrono>

namespace holdfast {

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
  // In microseconds, for 64 bits are enough then.
  const uint64_t turn_us =
      (sent.bytes - keeps_up) * 1'000'000 / bytes_per_second_;
  const Instant next =
      sent.at + std::chrono::microseconds(static_cast<int64_t>(turn_us));
  if (next <= now) return now;
  ++stats_.paced;
  return next;
}

}  // namespace holdfast
