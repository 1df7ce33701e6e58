// ReadIndex (Ongaro's thesis, section 6.4): a read is linearizable at the
// commit index of its arrival, if a quorum confirms afterwards that this is
// still the leader, and if the leader knows what was committed before its
// term, which it does once it has committed an entry of its own.
//
// Confirmation goes by numbered rounds that heartbeats carry and their answers
// echo. One round is under way at a time; reads that come in meanwhile share
// the next one.

#include <algorithm>

#include "engine/base/check.h"
#include "engine/raft/core.h"

namespace holdfast {

void RaftCore::OnReadRequest(uint64_t read_id) {
  if (role_ != Role::kLeader) {
    ++stats_.read_rejected;
    output_->reads_failed.push_back(read_id);
    return;
  }
  if (HoldsLease(now_)) {
    ++stats_.read_by_lease;
    output_->reads_ready.push_back({read_id, commit_});
    return;
  }
  if (options_.leases) ++stats_.read_without_lease;
  if (commit_ < term_start_) ++stats_.read_waited_for_term;
  const bool under_way = read_round_ > read_round_done_;
  if (under_way) ++stats_.read_joined_next_round;
  reads_.push_back({read_id, read_round_ + 1, std::max(commit_, term_start_)});
  if (!under_way) StartReadRound();
}

void RaftCore::StartReadRound() {
  ++read_round_;
  SendHeartbeats();
  CountReads();  // alone, it is its own quorum
}

void RaftCore::CountReads() {
  if (read_round_ == read_round_done_) return;
  const uint64_t done = QuorumValue(*configuration_, [this](ServerId voter) {
    return voter == id() ? read_round_ : FindProgress(voter)->read_round;
  });
  CHECK_LE(done, read_round_);
  if (done <= read_round_done_) return;
  read_round_done_ = done;
  EmitReads();
  const bool more = !reads_.empty() && reads_.back().round > read_round_;
  if (more && read_round_ == read_round_done_) StartReadRound();
}

void RaftCore::EmitReads() {
  if (commit_ < term_start_) return;
  while (!reads_.empty() && reads_.front().round <= read_round_done_) {
    CHECK_LE(reads_.front().index, commit_);
    output_->reads_ready.push_back({reads_.front().id, reads_.front().index});
    reads_.pop_front();
  }
}

void RaftCore::FailReads() {
  stats_.read_failed += reads_.size();
  for (const PendingRead& read : reads_) {
    output_->reads_failed.push_back(read.id);
  }
  reads_.clear();
}

}  // namespace holdfast
