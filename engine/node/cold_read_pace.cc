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
  appended_ += bytes;
  appended_at_ = now;
}

uint64_t ColdReadPace::ComesCloser(const Read& last) const {
  const uint64_t appended = appended_ - last.appended;
  return appended + appended / 2;
}

void ColdReadPace::OnRead(ServerId reader, Instant now, uint64_t bytes) {
  Read& last = reads_[reader];
  // On the assumption that as much is appended until the next one as was since
  // the last one.
  const int64_t passed =
      std::max<int64_t>(1, (now - last.at) / std::chrono::microseconds(1));
  const uint64_t rate =
      ComesCloser(last) * 1'000'000 / static_cast<uint64_t>(passed);
  last = Read{.at = now,
              .bytes = bytes,
              .appended = appended_,
              .bytes_per_second = std::max(bytes_per_second_, rate)};
}

Instant ColdReadPace::NextRead(ServerId reader, Instant now) {
  auto it = reads_.find(reader);
  if (it == reads_.end() || now - appended_at_ >= kBusyFor) return now;
  const Read& last = it->second;
  if (last.bytes <= ComesCloser(last)) return now;
  const Instant next = last.at + TimeFor(last.bytes, last.bytes_per_second);
  if (next <= now) return now;
  ++(reader == self_ ? stats_.own_paced : stats_.paced);
  return next;
}

}  // namespace holdfast
