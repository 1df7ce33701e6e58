#include "engine/raft/progress.h"

#include <algorithm>

#include "engine/base/check.h"

namespace holdfast {

const char* ToString(ProgressState state) {
  switch (state) {
    case ProgressState::kProbe:
      return "probe";
    case ProgressState::kReplicate:
      return "replicate";
    case ProgressState::kCheckpoint:
      return "checkpoint";
  }
  return "unknown";
}

void Progress::OnSent(Index last, uint64_t bytes) {
  if (state_ == ProgressState::kProbe) {
    probe_sent = true;
    return;
  }
  CHECK(state_ == ProgressState::kReplicate);
  CHECK_GE(last, next_);
  next_ = last + 1;
  bytes_in_flight_ += bytes;
  in_flight_.push_back({last, bytes});
}

bool Progress::OnAccepted(Index match) {
  while (head_ < in_flight_.size() && in_flight_[head_].last <= match) {
    bytes_in_flight_ -= in_flight_[head_].bytes;
    ++head_;
  }
  if (head_ > in_flight_.size() / 2) {
    in_flight_.erase(in_flight_.begin(),
                     in_flight_.begin() + static_cast<ptrdiff_t>(head_));
    head_ = 0;
  }
  if (match <= match_) return false;
  match_ = match;
  next_ = std::max(next_, match + 1);
  return true;
}

void Progress::Probe(Index next) {
  CHECK_GT(next, match_);
  state_ = ProgressState::kProbe;
  next_ = next;
  ClearInFlight();
}

void Progress::Replicate() {
  CHECK_GE(match_ + 1, next_);
  state_ = ProgressState::kReplicate;
  next_ = match_ + 1;
  ClearInFlight();
}

void Progress::NeedCheckpoint() {
  state_ = ProgressState::kCheckpoint;
  next_ = match_ + 1;
  ClearInFlight();
}

void Progress::ClearInFlight() {
  in_flight_.clear();
  head_ = 0;
  bytes_in_flight_ = 0;
  probe_sent = false;
  cold_token = 0;
  lacks = false;
}

}  // namespace holdfast
