// Terms, votes and leadership: Raft section 5.2 and 5.4.1; pre-vote and
// check-quorum as in Ongaro's thesis, sections 9.6 and 6.2.

#include <algorithm>
#include <utility>

#include "engine/base/check.h"
#include "engine/raft/core.h"

namespace holdfast {
namespace {

bool IsPreVote(const Message& message) {
  return message.type == MessageType::kPreVoteRequest ||
         message.type == MessageType::kPreVoteAnswer;
}

}  // namespace

// --- Terms ------------------------------------------------------------------

bool RaftCore::MeetTerm(const Message& message) {
  if (message.term == term()) return true;
  if (message.term < term()) {
    AnswerStale(message);
    return false;
  }
  switch (message.type) {
    case MessageType::kPreVoteRequest:
      return true;  // asks about a term that nobody has entered yet
    case MessageType::kPreVoteAnswer:
      if (!message.rejected) return true;  // the same
      break;
    case MessageType::kVoteRequest:
      // A server that the leader can't reach must not depose it (thesis,
      // section 4.2.3). It learns of this by the leader's own messages, whose
      // answers then bring the leader to the higher term.
      if (LeaderIsAlive() && !message.transfer) {
        ++stats_.vote_refused_leader_alive;
        return false;
      }
      if (HasPromised() && !message.transfer) {
        ++stats_.vote_refused_promise;
        return false;
      }
      break;
    default:
      break;
  }
  if (role_ == Role::kLeader) ++stats_.stepped_down_higher_term;
  const bool from_leader = message.type == MessageType::kAppendRequest ||
                           message.type == MessageType::kHeartbeat;
  BecomeFollower(message.term, from_leader ? message.from : ServerId());
  return true;
}

void RaftCore::AnswerStale(const Message& message) {
  ++stats_.message_stale_term;
  Message answer;
  answer.to = message.from;
  answer.term = term();
  answer.rejected = true;
  switch (message.type) {
    case MessageType::kVoteRequest:
      ++stats_.vote_refused_stale_term;
      answer.type = MessageType::kVoteAnswer;
      break;
    case MessageType::kPreVoteRequest:
      ++stats_.pre_vote_refused_stale_term;
      answer.type = MessageType::kPreVoteAnswer;
      break;
    case MessageType::kAppendRequest:
    case MessageType::kHeartbeat:
      // Makes the old leader step down.
      ++stats_.stale_leader_answered;
      answer.type = MessageType::kHeartbeatAnswer;
      answer.index = last_index();
      break;
    default:
      return;
  }
  Send(std::move(answer));
}

void RaftCore::BecomeFollower(Term new_term, ServerId new_leader) {
  CHECK_GE(new_term, term());
  const bool was_follower = role_ == Role::kFollower;
  if (role_ == Role::kLeader) LeaveLeadership();
  if (new_term > term()) SaveHardState({new_term, ServerId()});
  role_ = Role::kFollower;
  votes_.clear();
  leader_ = new_leader;
  if (new_leader != ServerId()) candidacies_ = 0;
  leader_heard_ = now_;
  // A follower that only learns of a term goes on waiting as before: else a
  // candidate that can't win could keep those who can from trying.
  if (!was_follower || new_leader != ServerId()) {
    DrawElectionTimeout();
    election_at_ = now_ + election_timeout_;
  }
}

void RaftCore::HeardFromLeader(ServerId from) {
  CHECK(role_ != Role::kLeader);  // at most one leader a term
  if (role_ != Role::kFollower) {
    BecomeFollower(term(), from);
    return;
  }
  CHECK(leader_ == ServerId() || leader_ == from);
  leader_ = from;
  candidacies_ = 0;
  leader_heard_ = now_;
  election_at_ = now_ + election_timeout_;
}

bool RaftCore::LeaderIsAlive() const {
  if (role_ == Role::kLeader) return true;
  return leader_ != ServerId() &&
         now_ - leader_heard_ < options_.election_timeout_min;
}

void RaftCore::DrawElectionTimeout() {
  const DrawKey key{.seed = options_.seed,
                    .site = Site("election_timeout"),
                    .actor = Actor(id().value(), options_.boot_count)};
  const Duration span =
      options_.election_timeout_max - options_.election_timeout_min;
  ++draws_;
  election_timeout_ = options_.election_timeout_min +
                      Duration(DrawBelow(key, draws_, span.count() + 1));
}

void RaftCore::OnPeerLost(ServerId peer) {
  if (role_ != Role::kFollower || peer == ServerId() || peer != leader_) return;
  ++stats_.leader_lost;
  leader_ = ServerId();
  // Not all at the same time, for that would split the votes.
  const DrawKey key{.seed = options_.seed,
                    .site = Site("peer_lost_delay"),
                    .actor = Actor(id().value(), options_.boot_count)};
  ++draws_;
  const Duration delay = Duration(
      DrawBelow(key, draws_, options_.peer_lost_delay_max.count() + 1));
  const Instant soonest = std::max(now_, promised_until_);
  election_at_ = std::min(election_at_, soonest + delay);
}

// --- Handing over (thesis, section 3.10) ------------------------------------

void RaftCore::OnTransfer(ServerId to) {
  const bool possible = role_ == Role::kLeader && to != id() &&
                        IsVoter(*configuration_, to) &&
                        transfer_to_ == ServerId();
  if (!possible) return;
  ++stats_.transfer_started;
  transfer_to_ = to;
  transfer_until_ = now_ + options_.election_timeout_max;
  transfer_sent_ = false;
}

void RaftCore::TryToHandOver() {
  const Progress* peer = FindProgress(transfer_to_);
  if (peer == nullptr) {  // it was removed meanwhile
    transfer_to_ = ServerId();
    return;
  }
  if (transfer_sent_ || peer->match() < last_index()) return;
  transfer_sent_ = true;
  lease_void_ = true;
  Message message;
  message.type = MessageType::kTimeoutNow;
  message.to = transfer_to_;
  message.term = term();
  message.index = last_index();
  message.log_term = last_term();
  Send(std::move(message));
}

void RaftCore::OnTimeoutNow(const Message& message) {
  if (role_ != Role::kFollower || !is_voter() || DiskStalled() ||
      !trail_.Has(message.index, message.log_term)) {
    ++stats_.message_out_of_place;
    return;
  }
  ++stats_.transfer_election;
  // No pre-vote: the leader's word counts for more than anybody's opinion.
  StartElection(/*transfer=*/true);
}

// --- Candidates -------------------------------------------------------------

void RaftCore::OnElectionTimeout() {
  if (!may_stand()) {
    leader_ = ServerId();
    election_at_ = now_ + election_timeout_;
    return;
  }
  ++stats_.election_timeout;
  if (DiskStalled()) {
    // It couldn't make its own vote durable, nor lead afterwards.
    ++stats_.candidacy_given_up_disk_stall;
    if (role_ != Role::kFollower) BecomeFollower(term(), ServerId());
    leader_ = ServerId();
    election_at_ = now_ + election_timeout_;
    return;
  }
  if (!hard_state_durable()) {
    // Nobody counts yet on the vote that it has given, itself or another one;
    // and for the next term that would all begin anew.
    ++stats_.candidacy_put_off_vote;
    election_at_ = now_ + election_timeout_;
    return;
  }
  if (HasPromised()) {
    ++stats_.candidacy_put_off_promise;
    election_at_ = promised_until_;
    return;
  }
  StartPreVote();
}

void RaftCore::StartPreVote() {
  ++stats_.pre_vote_started;
  role_ = Role::kPreCandidate;
  leader_ = ServerId();
  DrawElectionTimeout();
  election_at_ = now_ + election_timeout_;
  votes_.assign(1, {id(), Vote::kGranted});
  RequestVotes(MessageType::kPreVoteRequest, term() + 1, /*transfer=*/false);
  CountElection();
}

void RaftCore::StartElection(bool transfer) {
  ++stats_.election_started;
  SaveHardState({term() + 1, id()});
  role_ = Role::kCandidate;
  leader_ = ServerId();
  ++candidacies_;
  DrawElectionTimeout();
  election_at_ = now_ + ElectionWait();
  // Its own vote counts once it is durable, like anybody's.
  votes_.clear();
  RequestVotes(MessageType::kVoteRequest, term(), transfer);
}

Duration RaftCore::ElectionWait() const {
  if (role_ != Role::kCandidate) return election_timeout_;
  if (candidacies_ < 3) return election_timeout_ * candidacies_;
  return std::max(4 * election_timeout_, options_.disk_stall_timeout);
}

void RaftCore::RequestVotes(MessageType type, Term new_term, bool transfer) {
  ForEachMember(*configuration_, [&](ServerId to) {
    if (to == id() || !IsVoter(*configuration_, to)) return;
    Message request;
    request.type = type;
    request.to = to;
    request.term = new_term;
    request.index = last_index();
    request.log_term = last_term();
    request.transfer = transfer;
    Send(std::move(request));
  });
}

void RaftCore::CountOwnVote() {
  if (hard_state_sequence_ > persisted_sequence_) return;
  CHECK(vote() == id());
  RecordVote(id(), Vote::kGranted);
  CountElection();
}

void RaftCore::RecordVote(ServerId from, Vote vote) {
  for (const auto& [voter, earlier] : votes_) {
    if (voter == from) return;  // the first answer counts
  }
  votes_.emplace_back(from, vote);
}

void RaftCore::CountElection() {
  const VoteResult result = CountVotes(*configuration_, [this](ServerId voter) {
    for (const auto& [from, vote] : votes_) {
      if (from == voter) return vote;
    }
    return Vote::kPending;
  });
  if (result == VoteResult::kPending) return;
  if (result == VoteResult::kLost) {
    ++(role_ == Role::kPreCandidate ? stats_.pre_vote_lost
                                    : stats_.election_lost);
    BecomeFollower(term(), ServerId());
  } else if (role_ == Role::kPreCandidate) {
    StartElection(/*transfer=*/false);
  } else {
    BecomeLeader();
  }
}

void RaftCore::OnVoteAnswer(const Message& message) {
  const bool pre = IsPreVote(message);
  const Role asked = pre ? Role::kPreCandidate : Role::kCandidate;
  // A granted pre-vote names the term asked about.
  const Term of = pre && !message.rejected ? term() + 1 : term();
  if (role_ != asked || message.term != of) {
    ++stats_.message_out_of_place;
    return;
  }
  RecordVote(message.from, message.rejected ? Vote::kRefused : Vote::kGranted);
  CountElection();
}

// --- Voters -----------------------------------------------------------------

void RaftCore::OnVoteRequest(const Message& message) {
  const bool pre = IsPreVote(message);
  Message answer;
  answer.type = pre ? MessageType::kPreVoteAnswer : MessageType::kVoteAnswer;
  answer.to = message.from;
  answer.term = term();
  if (RefusesVote(message)) {
    answer.rejected = true;
    Send(std::move(answer));
    return;
  }
  if (pre) {
    ++stats_.pre_vote_granted;
    answer.term = message.term;
    Send(std::move(answer));
    return;
  }
  ++stats_.vote_granted;
  if (role_ == Role::kPreCandidate) BecomeFollower(term(), ServerId());
  if (vote() != message.from) SaveHardState({term(), message.from});
  election_at_ = now_ + election_timeout_;
  Send(std::move(answer));  // withheld until the vote is durable
}

bool RaftCore::RefusesVote(const Message& message) {
  const bool pre = IsPreVote(message);
  if (pre && LeaderIsAlive()) {
    ++stats_.pre_vote_refused_leader_alive;
    return true;
  }
  if (HasPromised() && !message.transfer) {
    ++stats_.vote_refused_promise;
    return true;
  }
  const bool free = vote() == message.from ||
                    (vote() == ServerId() && leader_ == ServerId()) ||
                    (pre && message.term > term());
  if (!free) {
    ++(pre ? stats_.pre_vote_refused_already_voted
           : stats_.vote_refused_already_voted);
    return true;
  }
  // Section 5.4.1: the last term first, then the length.
  const bool behind =
      message.log_term < last_term() ||
      (message.log_term == last_term() && message.index < last_index());
  if (behind) {
    ++(pre ? stats_.pre_vote_refused_log_behind
           : stats_.vote_refused_log_behind);
  }
  return behind;
}

// --- Leaders ----------------------------------------------------------------

void RaftCore::BecomeLeader() {
  CHECK(role_ == Role::kCandidate);
  CHECK(vote() == id() && hard_state_sequence_ <= persisted_sequence_);
  ++stats_.election_won;
  role_ = Role::kLeader;
  leader_ = id();
  candidacies_ = 0;
  term_start_ = last_index() + 1;
  read_round_done_ = read_round_;
  lease_void_ = false;
  heartbeat_at_ = now_ + options_.heartbeat_interval;
  RebuildProgress();
  // Older entries can be committed only behind one of its own term.
  EntryMeta no_op;
  no_op.index = term_start_;
  no_op.term = term();
  no_op.size = options_.no_op_size;
  no_op.kind = EntryKind::kNoOp;
  AppendToLog(no_op);
  replicate_ = true;
}

void RaftCore::LeaveLeadership() {
  transfer_to_ = ServerId();
  FailReads();
  progress_.clear();
  term_start_ = Index();
  match_changed_ = false;
  replicate_ = false;
}

void RaftCore::CheckQuorum() {
  const uint64_t heard = QuorumValue(*configuration_, [this](ServerId voter) {
    return ToOrdered(voter == id() ? now_ : FindProgress(voter)->last_heard);
  });
  if (ToOrdered(now_) - heard <
      static_cast<uint64_t>(options_.election_timeout_max.count())) {
    return;
  }
  ++stats_.stepped_down_check_quorum;
  BecomeFollower(term(), ServerId());
}

}  // namespace holdfast
