// What must hold between any two steps. Kept apart from the algorithm, so that
// neither can share the other's mistakes.

#include <algorithm>

#include "engine/base/check.h"
#include "engine/raft/core.h"

namespace holdfast {

class InvariantChecker {
 public:
  explicit InvariantChecker(const RaftCore& core) : c_(core) {}

  void Check() const {
    CheckLog();
    CheckPersisting();
    CheckRole();
    if (c_.role() == Role::kLeader) CheckLeader();
  }

 private:
  void CheckLog() const {
    const Trail& trail = c_.trail();
    CHECK_LE(trail.base_index(), c_.commit());
    CHECK_LE(c_.commit(), trail.last_index());
    CHECK_LE(c_.durable(), trail.last_index());
    CHECK_LE(trail.last_term(), c_.term());
    // What isn't final, or not on disk, has to be in memory, but for what was
    // found on disk at the start.
    CHECK_LE(trail.hot_first(), trail.last_index() + 1);
    CHECK_LE(trail.hot_first(), c_.durable() + 1);
    if (trail.hot_first() <= trail.last_index()) {
      const EntryMeta& first = *trail.Hot(trail.hot_first());
      const EntryMeta& last = *trail.Hot(trail.last_index());
      CHECK_EQ(first.index, trail.hot_first());
      CHECK_EQ(first.term, trail.TermAt(first.index));
      CHECK_EQ(last.index, trail.last_index());
      CHECK_EQ(last.term, trail.last_term());
    }
    const auto& latest = trail.ConfigurationAtOrBelow(trail.last_index());
    CHECK_EQ(c_.configuration_index(), latest.index);
    CHECK(&c_.configuration() == latest.configuration.get());
    CHECK(trail.configurations().front().index <= c_.commit());
  }

  void CheckPersisting() const {
    uint64_t sequence = c_.persisted_sequence_;
    Index last = c_.durable_;
    for (const auto& pending : c_.pending_) {
      CHECK_EQ(pending.sequence, sequence + 1);
      CHECK_GE(pending.last, last);
      CHECK_LE(pending.last, c_.last_index());
      sequence = pending.sequence;
      last = pending.last;
    }
    CHECK_EQ(sequence, c_.sequence_);
    // All of the log is durable, or will be by the writes in flight.
    CHECK_EQ(last, c_.last_index());
    sequence = c_.persisted_sequence_ + 1;
    for (const auto& withheld : c_.withheld_) {
      CHECK_GE(withheld.sequence, sequence);
      CHECK_LE(withheld.sequence, c_.sequence_);
      sequence = withheld.sequence;
      const Message& m = withheld.message;
      const bool pre_vote = m.type == MessageType::kPreVoteRequest ||
                            m.type == MessageType::kPreVoteAnswer;
      CHECK(m.term == c_.term() || (pre_vote && m.term > c_.term()));
    }
    CHECK_LE(c_.withheld_.size(), RaftCore::kWithheldMax);
    CHECK_LE(c_.hard_state_sequence_, c_.sequence_);
  }

  void CheckRole() const {
    const bool leads = c_.role() == Role::kLeader;
    CHECK_EQ(leads, c_.leader() == c_.id());
    CHECK_EQ(leads, c_.term_start() != Index());
    if (!leads) {
      CHECK(c_.progress_.empty());
      CHECK(c_.reads_.empty());
    }
    if (c_.role() == Role::kFollower) {
      CHECK(c_.votes_.empty());
    } else {
      CHECK(leads || c_.leader() == ServerId());
      CHECK(c_.role() != Role::kCandidate || c_.vote() == c_.id());
    }
    CHECK(!c_.match_changed_ && !c_.replicate_);
  }

  void CheckLeader() const {
    CHECK(c_.vote() == c_.id());
    CHECK_LE(c_.hard_state_sequence_, c_.persisted_sequence_);
    CHECK_LE(c_.term_start(), c_.last_index());
    CHECK_EQ(c_.last_term(), c_.term());
    // As long as the log isn't dropped that far.
    if (c_.term_start() > c_.trail().base_index()) {
      CHECK_EQ(c_.trail().TermAt(c_.term_start()), c_.term());
      CHECK(c_.trail().TermAt(c_.term_start() - 1) < c_.term());
    }
    size_t members = 0;
    ForEachMember(c_.configuration(), [&](ServerId id) {
      CHECK(members < c_.progress_.size());
      CHECK(c_.progress_[members].id() == id);
      ++members;
    });
    CHECK_EQ(members, c_.progress_.size());
    uint64_t round = c_.read_round_done_ + 1;
    for (const auto& read : c_.reads_) {
      CHECK(read.round >= round || c_.commit() < c_.term_start());
      CHECK_LE(read.round, c_.read_round_ + 1);
      round = std::max(round, read.round);
    }
    for (const Progress& p : c_.progress_) CheckProgress(p);
    CheckCommitted();
  }

  void CheckProgress(const Progress& p) const {
    CHECK_LE(p.match(), c_.last_index());
    if (p.id() == c_.id()) {
      CHECK_EQ(p.match(), c_.durable());
      return;
    }
    CHECK_LT(p.match(), p.next());
    CHECK_LE(p.next(), c_.last_index() + 1);
    CHECK_LE(p.read_round, c_.read_round_);
    CHECK(p.messages_in_flight() == 0 ||
          p.state() == ProgressState::kReplicate);
    CHECK(p.cold_token == 0 || p.state() == ProgressState::kReplicate);
    CHECK_LE(p.messages_in_flight(), c_.options().max_messages_in_flight);
    uint64_t bytes = 0;
    Index last = p.match();
    for (size_t i = 0; i < p.messages_in_flight(); ++i) {
      CHECK_GT(p.in_flight(i).last, last);
      last = p.in_flight(i).last;
      bytes += p.in_flight(i).bytes;
    }
    CHECK_LT(last, p.next());
    CHECK_EQ(bytes, p.bytes_in_flight());
  }

  void CheckCommitted() const {
    const Index quorum(QuorumValue(c_.configuration(), [&](ServerId id) {
      for (const Progress& p : c_.progress_) {
        if (p.id() == id) return p.match().value();
      }
      CHECK(false);
      return uint64_t{0};
    }));
    // Nothing of its own term is committed without a quorum, and nothing that
    // a quorum has is left uncommitted.
    if (c_.commit() >= c_.term_start() && !c_.configuration().joint() &&
        c_.configuration_index() <= c_.commit()) {
      CHECK_GE(quorum, c_.commit());
    }
    if (quorum >= c_.term_start()) CHECK_GE(c_.commit(), quorum);
  }

  const RaftCore& c_;
};

void CheckInvariants(const RaftCore& core) { InvariantChecker(core).Check(); }

}  // namespace holdfast
