// The step, and what makes the driver's life simple: numbering what is to be
// persisted, and withholding messages until it is.

#include "engine/raft/core.h"

#include <algorithm>
#include <type_traits>
#include <utility>

#include "engine/base/check.h"

namespace holdfast {

const char* ToString(Role role) {
  switch (role) {
    case Role::kFollower:
      return "follower";
    case Role::kPreCandidate:
      return "pre-candidate";
    case Role::kCandidate:
      return "candidate";
    case Role::kLeader:
      return "leader";
  }
  return "unknown";
}

void RaftOutput::Clear() {
  persist.reset();
  messages.clear();
  cold_reads.clear();
  commit = Index();
  commit_advanced = false;
  reads_ready.clear();
  reads_failed.clear();
  rejected_proposals = 0;
  installed = false;
  role_changed = false;
  wake = kNever;
}

RaftCore::RaftCore(const Options& options, RaftRecovered recovered, Instant now)
    : options_(options),
      now_(now),
      hard_state_(recovered.hard_state),
      trail_(std::move(recovered.trail)) {
  CHECK(options.id != ServerId());
  CHECK(options.heartbeat_interval > Duration::zero());
  CHECK(options.election_timeout_min > options.heartbeat_interval);
  CHECK(options.election_timeout_max >= options.election_timeout_min);
  CHECK(options.max_messages_in_flight > 0);
  CHECK(options.clock_drift_ppm_max >= 0);
  CHECK(options.clock_drift_ppm_max <= 500'000);
  CHECK_GE(hard_state_.term, trail_.last_term());
  durable_ = trail_.last_index();
  commit_ = std::clamp(recovered.commit_hint, trail_.base_index(), durable_);
  trail_.ForgetConfigurationsBefore(commit_);
  trail_.Evict(options_.hot_bytes, commit_);
  AdoptConfiguration();
  promised_until_ = now + options.earlier_promise;
  DrawElectionTimeout();
  // Who is alone has nobody to wait for.
  bool alone = is_voter() && configuration_->voters.size() == 1 &&
               !configuration_->joint();
  election_at_ = alone ? now : now + election_timeout_;
}

void RaftCore::Step(const RaftInput& input, RaftOutput* output) {
  CHECK(input.now >= now_);
  now_ = input.now;
  ++steps_;
  output->Clear();
  output_ = output;
  const Role old_role = role_;
  const Term old_term = term();
  const ServerId old_leader = leader_;
  const Index old_commit = commit_;
  const ServerId old_transfer = transfer_to_;

  Dispatch(input);
  if (role_ == Role::kLeader && match_changed_) CountCommit();
  // A new configuration's quorum may have answered already.
  if (role_ == Role::kLeader && match_changed_) CountReads();
  if (role_ == Role::kLeader && replicate_) Replicate();
  if (transfer_to_ != ServerId()) TryToHandOver();
  match_changed_ = false;
  replicate_ = false;
  // Entries become cold only once they are final and can be read from disk.
  trail_.Evict(options_.hot_bytes, durable_commit());

  output->commit = commit_;
  output->commit_advanced = commit_ != old_commit;
  output->role_changed = role_ != old_role || term() != old_term ||
                         leader_ != old_leader || transfer_to_ != old_transfer;
  output->wake = wake();
  output_ = nullptr;
}

void RaftCore::Dispatch(const RaftInput& input) {
  std::visit(
      [this](const auto& event) {
        using T = std::decay_t<decltype(event)>;
        if constexpr (std::is_same_v<T, Tick>) {
          OnTick();
        } else if constexpr (std::is_same_v<T, Receive>) {
          OnReceive(event.message);
        } else if constexpr (std::is_same_v<T, Propose>) {
          OnPropose(event);
        } else if constexpr (std::is_same_v<T, Persisted>) {
          OnPersisted(event.sequence);
        } else if constexpr (std::is_same_v<T, ReadRequest>) {
          OnReadRequest(event.id);
        } else if constexpr (std::is_same_v<T, PeerLost>) {
          OnPeerLost(event.peer);
        } else if constexpr (std::is_same_v<T, SendLost>) {
          OnSendLost(event.peer);
        } else if constexpr (std::is_same_v<T, Transfer>) {
          OnTransfer(event.to);
        } else if constexpr (std::is_same_v<T, ColdSent>) {
          OnColdSent(event);
        } else if constexpr (std::is_same_v<T, ColdFailed>) {
          OnColdFailed(event);
        } else if constexpr (std::is_same_v<T, Compacted>) {
          OnCompacted(event.up_to);
        } else {
          static_assert(std::is_same_v<T, InstallCheckpoint>);
          OnInstallCheckpoint(event);
        }
      },
      input.event);
}

void RaftCore::OnTick() {
  if (role_ != Role::kLeader) {
    if (now_ >= election_at_) OnElectionTimeout();
    return;
  }
  if (DiskStalled()) {
    ++stats_.stepped_down_disk_stall;
    BecomeFollower(term(), ServerId());
    return;
  }
  if (transfer_to_ != ServerId() && now_ >= transfer_until_) {
    ++stats_.transfer_given_up;
    transfer_to_ = ServerId();
  }
  if (now_ >= heartbeat_at_) {
    CheckQuorum();
    if (role_ != Role::kLeader) return;
    SendHeartbeats();
    heartbeat_at_ = now_ + options_.heartbeat_interval;
  }
  SendCommitNotices();
}

void RaftCore::OnReceive(const Message& message) {
  if (message.to != id() || !IsWellFormed(message)) {
    ++stats_.message_malformed;
    return;
  }
  if (!MeetTerm(message)) return;
  switch (message.type) {
    case MessageType::kPreVoteRequest:
    case MessageType::kVoteRequest:
      return OnVoteRequest(message);
    case MessageType::kPreVoteAnswer:
    case MessageType::kVoteAnswer:
      return OnVoteAnswer(message);
    case MessageType::kAppendRequest:
      return OnAppendRequest(message);
    case MessageType::kAppendAnswer:
      return OnAppendAnswer(message);
    case MessageType::kHeartbeat:
      return OnHeartbeat(message);
    case MessageType::kHeartbeatAnswer:
      return OnHeartbeatAnswer(message);
    case MessageType::kTimeoutNow:
      return OnTimeoutNow(message);
  }
  CHECK(false);  // not well-formed
}

void RaftCore::OnPersisted(uint64_t sequence) {
  CHECK_LE(sequence, sequence_);
  if (sequence <= persisted_sequence_) return;
  const bool votes_waited = !hard_state_durable();
  persisted_sequence_ = sequence;
  while (!pending_.empty() && pending_.front().sequence <= sequence) {
    durable_ = std::max(durable_, pending_.front().last);
    pending_.pop_front();
  }
  ReleaseWithheld();
  if (role_ == Role::kLeader) OwnLogDurable();
  if (votes_waited && hard_state_durable() && vote() != ServerId() &&
      leader_ == ServerId()) {
    // Only now do the requests, or the answer, go out.
    election_at_ = now_ + ElectionWait();
  }
  if (role_ == Role::kCandidate) CountOwnVote();
}

RaftPersist& RaftCore::OpenPersist() {
  if (!output_->persist.has_value()) {
    const Index last = pending_.empty() ? durable_ : pending_.back().last;
    pending_.push_back({++sequence_, now_, last});
    output_->persist.emplace().sequence = sequence_;
  }
  return *output_->persist;
}

void RaftCore::SaveHardState(HardState hard_state) {
  CHECK_GE(hard_state.term, term());
  if (hard_state.term > term()) {
    // What was promised in an older term is void, and was never sent.
    stats_.withheld_dropped += withheld_.size();
    withheld_.clear();
  } else {
    // One vote a term.
    CHECK(vote() == ServerId() || vote() == hard_state.vote);
  }
  hard_state_ = hard_state;
  OpenPersist().hard_state = hard_state;
  hard_state_sequence_ = sequence_;
}

void RaftCore::AppendToLog(const EntryMeta& meta) {
  trail_.Append(meta);
  OpenPersist().entries.push_back(meta);
  pending_.back().last = meta.index;
  if (meta.kind == EntryKind::kConfiguration) AdoptConfiguration();
}

void RaftCore::CutLog(Index from) {
  CHECK_GT(from, commit_);
  RaftPersist& persist = OpenPersist();
  CHECK(persist.entries.empty() && !persist.cut_from.has_value());
  persist.cut_from = from;
  trail_.Cut(from);
  // Writes in flight may still complete, but no longer for what comes to
  // stand at these indexes.
  durable_ = std::min(durable_, from - 1);
  for (PendingPersist& p : pending_) p.last = std::min(p.last, from - 1);
  if (configuration_index_ >= from) AdoptConfiguration();
}

uint64_t RaftCore::SequenceFor(Index index) const {
  if (index <= durable_) return 0;
  for (const PendingPersist& p : pending_) {
    if (p.last >= index) return p.sequence;
  }
  CHECK(false);  // every entry is durable or on its way
  return 0;
}

void RaftCore::SendAfter(uint64_t sequence, Message message) {
  CHECK(message.to != id());
  message.from = id();
  sequence = std::max(sequence, hard_state_sequence_);
  if (sequence <= persisted_sequence_) {
    output_->messages.push_back(std::move(message));
    return;
  }
  if (withheld_.size() >= kWithheldMax) {
    // The disk hangs. What is left out counts as lost on the way.
    ++stats_.withheld_dropped;
    return;
  }
  if (!withheld_.empty()) {
    sequence = std::max(sequence, withheld_.back().sequence);
  }
  withheld_.push_back({sequence, std::move(message)});
}

void RaftCore::ReleaseWithheld() {
  // Acknowledgements are cumulative: one of all that a sync has covered.
  Message* answer = nullptr;
  while (!withheld_.empty() &&
         withheld_.front().sequence <= persisted_sequence_) {
    Message& m = withheld_.front().message;
    ++stats_.withheld_sent;
    const bool accepted = m.type == MessageType::kAppendAnswer && !m.rejected;
    if (accepted && answer != nullptr && answer->to == m.to) {
      CHECK_EQ(answer->term, m.term);
      answer->index = std::max(answer->index, m.index);
      ++stats_.withheld_merged;
    } else {
      output_->messages.push_back(std::move(m));
      // Nothing is pushed between two acknowledgements that get merged: later
      // messages must not be overtaken by what an answer learns.
      answer = accepted ? &output_->messages.back() : nullptr;
    }
    withheld_.pop_front();
  }
}

bool RaftCore::DiskStalled() const {
  return !pending_.empty() &&
         now_ - pending_.front().since >= options_.disk_stall_timeout;
}

void RaftCore::RaiseCommit(Index index) {
  CHECK_LE(index, last_index());
  if (index <= commit_) return;
  if (index > durable_) ++stats_.commit_before_own_disk;
  commit_ = index;
  trail_.ForgetConfigurationsBefore(commit_);
}

void RaftCore::OnCompacted(Index up_to) {
  CHECK_LE(up_to, durable_commit());
  trail_.DropTo(up_to);
  for (Progress& peer : progress_) {
    if (peer.id() != id() && peer.state() != ProgressState::kCheckpoint &&
        peer.next() <= trail_.base_index()) {
      Restart(&peer, peer.next());
    }
  }
}

Instant RaftCore::wake() const {
  if (role_ != Role::kLeader) return election_at_;
  Instant at = heartbeat_at_;
  if (transfer_to_ != ServerId()) at = std::min(at, transfer_until_);
  if (!pending_.empty()) {
    at = std::min(at, pending_.front().since + options_.disk_stall_timeout);
  }
  for (const Progress& peer : progress_) {
    if (peer.id() != id()) at = std::min(at, CommitNoticeAt(peer));
  }
  return at;
}

}  // namespace holdfast
