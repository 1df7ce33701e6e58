// Leases: a leader that knows for a while that nobody else can be elected reads
// without asking (Ongaro's thesis, section 6.4.1; Gray and Cheriton, "Leases",
// SOSP 1989). It is the one thing here that trusts clocks, to a stated bound.
//
// A heartbeat carries when it was sent, by the leader's clock. The answer
// echoes that, with a promise: for so long from now on, by the follower's
// clock, it votes for nobody else, itself included. So the promise lasts at
// least until sent + length * (1 - d) / (1 + d) by the leader's clock, if
// either clock gains or loses at most d against the true time. A leader holds
// the lease as long as a quorum's promises last: any other leader needs a vote
// of one of these. That quorum is always one of the leader's latest
// configuration, also while it changes. Who stands by an older one lacks an
// entry that is committed, or asks a majority of which this one has some; who
// stands by the same one does, too; and nobody but this leader makes a later
// one.
//
// - A promise outlives the connection on which it was made, and the process: a
//   server that has just started behaves as if it had promised the most that
//   one before it could have.
// - A server which the leader itself told to stand (TimeoutNow) is voted for
// all
//   the same. That word may be late, so a leader that has given it holds no
//   lease any more, in that term.
// - Only promises in answers count: a server that makes none (by its options,
// or
//   an older release) is asked as ever.

#include <algorithm>

#include "engine/base/check.h"
#include "engine/raft/core.h"
#include "engine/raft/quorum.h"

namespace holdfast {
namespace {

constexpr int64_t kMillion = 1'000'000;

// By the leader's clock, how much of a promise is sure.
Duration SureOf(Duration promise, int64_t drift_ppm_max) {
  // Whole microseconds of at most an hour: no overflow.
  const int64_t us = promise.count() / 1000;
  return Duration(us * (kMillion - drift_ppm_max) / (kMillion + drift_ppm_max) *
                  1000);
}

}  // namespace

bool RaftCore::HoldsLease(Instant fresh) const {
  if (!options_.leases || role_ != Role::kLeader || lease_void_ ||
      commit_ < term_start_) {
    return false;
  }
  const uint64_t until = QuorumValue(*configuration_, [this](ServerId voter) {
    return ToOrdered(voter == id() ? kNever : FindProgress(voter)->promised);
  });
  return ToOrdered(fresh) < until;
}

void RaftCore::MakePromise(const Message& heartbeat, Message* answer) {
  if (!options_.leases || heartbeat.sent_at == Instant()) return;
  answer->sent_at = heartbeat.sent_at;
  answer->promise = options_.election_timeout_min;
  promised_until_ =
      std::max(promised_until_, now_ + options_.election_timeout_min);
}

void RaftCore::NotePromise(const Message& answer, Progress* peer) {
  if (!options_.leases || answer.promise <= Duration::zero()) return;
  if (answer.sent_at > now_) {
    ++stats_.message_malformed;
    return;
  }
  peer->promised = std::max(
      peer->promised,
      answer.sent_at + SureOf(answer.promise, options_.clock_drift_ppm_max));
}

bool RaftCore::HasPromised() const { return now_ < promised_until_; }

}  // namespace holdfast
