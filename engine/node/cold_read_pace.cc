#include "engine/node/cold_read_pace.h"

#include <chrono>

namespace holdfast {

Duration TimeFor(uint64_t bytes, uint64_t bytes_per_second) {
  // In microseconds, for 64 bits are enough then.
  return std::chrono::microseconds(
      static_cast<int64_t>(bytes * 1'000'000 / bytes_per_second));
}

void ColdReadPace::OnAppended(Instant now, uint64_t bytes) {
  appended_ += bytes;
  appended_at_ = now;
}

void ColdReadPace::OnRead(ServerId reader, Instant now, uint64_t bytes) {
  reads_[reader] = Read{.at = now, .bytes = bytes, .appended = appended_};
}

Instant ColdReadPace::NextRead(ServerId reader, Instant now) {
  auto it = reads_.find(reader);
  if (it == reads_.end() || now - appended_at_ >= kBusyFor) return now;
  const Read& read = it->second;
  const uint64_t appended = appended_ - read.appended;
  const uint64_t comes_closer = appended + appended / 2;
  if (read.bytes <= comes_closer) return now;
  const Instant next =
      read.at + TimeFor(read.bytes - comes_closer, bytes_per_second_);
  if (next <= now) return now;
  ++(reader == self_ ? stats_.own_paced : stats_.paced);
  return next;
}

}  // namespace holdfast
