// The leader's side of log replication: Raft section 5.3, pipelined, and the
// commit rule of section 5.4.2.

#include <algorithm>
#include <utility>

#include "engine/base/check.h"
#include "engine/raft/core.h"

namespace holdfast {

void RaftCore::OnPropose(const Propose& propose) {
  if (role_ != Role::kLeader) {
    stats_.proposal_rejected += propose.entries.size();
    output_->rejected_proposals = propose.entries.size();
    return;
  }
  for (const EntryMeta& entry : propose.entries) {
    if (entry.kind != EntryKind::kConfiguration) continue;
    CHECK_EQ(propose.entries.size(), size_t{1});
    if (!may_propose_configuration()) {
      ++stats_.configuration_rejected;
      output_->rejected_proposals = 1;
      return;
    }
  }
  for (EntryMeta entry : propose.entries) {
    entry.index = last_index() + 1;
    entry.term = term();
    AppendToLog(entry);
  }
  replicate_ = true;
}

// --- Sending ----------------------------------------------------------------

void RaftCore::Replicate() {
  for (Progress& peer : progress_) {
    if (peer.id() != id()) ReplicateTo(&peer);
  }
}

void RaftCore::ReplicateTo(Progress* peer) {
  if (peer->state() == ProgressState::kProbe) {
    if (!peer->probe_sent) SendAppend(peer, options_.max_probe_bytes);
    return;
  }
  if (peer->state() != ProgressState::kReplicate) return;
  while (peer->next() <= last_index() && peer->cold_token == 0 &&
         peer->bytes_in_flight() < options_.max_bytes_in_flight &&
         peer->messages_in_flight() < options_.max_messages_in_flight) {
    if (peer->next() < hot_first()) {
      StartColdRead(peer);
    } else {
      SendAppend(peer, options_.max_append_bytes);
    }
  }
}

void RaftCore::SendAppend(Progress* peer, uint64_t max_bytes) {
  const bool probe = peer->state() == ProgressState::kProbe;
  Message append = AppendBehind(*peer, peer->next() - 1);
  uint64_t bytes = 0;
  if (peer->next() >= hot_first() && peer->next() <= last_index()) {
    const uint64_t available = last_index() - peer->next() + 1;
    const EntryMeta* first = trail_.Hot(peer->next());
    uint64_t count = 0;
    while (count < available && bytes + first[count].size <= max_bytes) {
      bytes += first[count].size;
      ++count;
    }
    // A probe may be lost or refused: rather empty than large.
    if (count == 0 && !probe) {
      bytes = first->size;
      count = 1;
    }
    append.entries.assign(first, first + count);
  }
  const Index last = append.index + append.entries.size();
  NoteSent(peer, last, bytes);
  if (probe) peer->last_progress = now_;
  Send(std::move(append));
}

Message RaftCore::AppendBehind(const Progress& peer, Index prev) const {
  Message append;
  append.type = MessageType::kAppendRequest;
  append.from = id();
  append.to = peer.id();
  append.term = term();
  append.index = prev;
  append.log_term = trail_.TermAt(prev);
  append.commit = commit_;
  return append;
}

void RaftCore::NoteSent(Progress* peer, Index last, uint64_t bytes) {
  peer->OnSent(last, bytes);
  peer->last_sent = now_;
  peer->commit_sent = std::max(peer->commit_sent, std::min(commit_, last));
}

void RaftCore::Restart(Progress* peer, Index next) {
  if (next <= trail_.base_index()) {
    ++stats_.checkpoint_needed;
    peer->NeedCheckpoint();
    return;
  }
  peer->Probe(next);
  replicate_ = true;
}

void RaftCore::OnSendLost(ServerId peer_id) {
  if (role_ != Role::kLeader) return;
  Progress* peer = FindProgress(peer_id);
  if (peer == nullptr || peer_id == id()) return;
  peer->commit_sent = std::min(peer->commit_sent, peer->match());
  if (peer->state() == ProgressState::kCheckpoint) return;
  const bool something_lost =
      peer->probe_sent || peer->messages_in_flight() > 0;
  if (!something_lost) return;
  ++stats_.resent;
  Restart(peer, peer->state() == ProgressState::kProbe ? peer->next()
                                                       : peer->match() + 1);
}

// --- Entries that are no longer in memory -----------------------------------

void RaftCore::StartColdRead(Progress* peer) {
  ++stats_.cold_read;
  peer->cold_token = ++cold_tokens_;
  RaftColdRead read;
  read.to = peer->id();
  read.token = peer->cold_token;
  read.term = term();
  read.first = peer->next();
  read.prev_index = peer->next() - 1;
  read.prev_term = trail_.TermAt(read.prev_index);
  read.max_bytes = options_.max_append_bytes;
  output_->cold_reads.push_back(read);
}

std::optional<Message> RaftCore::ColdAppend(
    const RaftColdRead& read, std::vector<EntryMeta> entries) const {
  if (role_ != Role::kLeader || read.term != term()) return std::nullopt;
  const Progress* peer = FindProgress(read.to);
  if (peer == nullptr || peer->cold_token != read.token) return std::nullopt;
  // Acknowledged and dropped, while they were being read.
  if (read.prev_index < trail_.base_index()) return std::nullopt;
  CHECK(!entries.empty());
  for (size_t i = 0; i < entries.size(); ++i) {
    CHECK_EQ(entries[i].index, read.first + i);
    CHECK_EQ(entries[i].term, trail_.TermAt(entries[i].index));
  }
  Message append = AppendBehind(*peer, read.prev_index);
  append.entries = std::move(entries);
  return append;
}

void RaftCore::OnColdSent(const ColdSent& sent) {
  Progress* peer = FindProgress(sent.to);
  if (peer == nullptr || sent.token == 0 || peer->cold_token != sent.token) {
    ++stats_.cold_read_stale;
    return;
  }
  CHECK(peer->state() == ProgressState::kReplicate);
  CHECK_LE(sent.last_index, last_index());
  peer->cold_token = 0;
  replicate_ = true;
  // A late acknowledgement may have overtaken the read.
  if (sent.last_index < peer->next()) return;
  NoteSent(peer, sent.last_index, sent.bytes);
}

void RaftCore::OnColdFailed(const ColdFailed& failed) {
  Progress* peer = FindProgress(failed.to);
  if (peer == nullptr || failed.token == 0 ||
      peer->cold_token != failed.token) {
    ++stats_.cold_read_stale;
    return;
  }
  ++stats_.cold_read_failed;
  // As if a probe had been lost: tried again after a while.
  Restart(peer, peer->match() + 1);
  peer->probe_sent = true;
  peer->last_progress = now_;
}

// --- Answers ----------------------------------------------------------------

void RaftCore::OnAppendAnswer(const Message& message) {
  Progress* peer = FindAnswering(message);
  if (peer == nullptr) return;
  if (message.rejected) {
    OnAppendRefused(peer, message);
    return;
  }
  if (message.index > last_index()) {
    // Nobody can have more of this term's log than its leader.
    ++stats_.message_malformed;
    return;
  }
  if (peer->OnAccepted(message.index)) {
    match_changed_ = true;
    peer->lacks = false;
    peer->retry_delay = FirstRetryDelay();
    peer->last_progress = now_;
  }
  // After a checkpoint that is too old by now it needs the next one.
  if (peer->state() != ProgressState::kReplicate &&
      peer->match() + 1 >= peer->next() &&
      peer->match() >= trail_.base_index()) {
    peer->Replicate();
  }
  replicate_ = true;
}

void RaftCore::OnAppendRefused(Progress* peer, const Message& message) {
  const bool expected = peer->state() == ProgressState::kProbe
                            ? message.index == peer->next() - 1
                            : peer->state() == ProgressState::kReplicate &&
                                  message.index > peer->match() &&
                                  message.index < peer->next();
  if (!expected || message.index <= peer->match()) {
    ++stats_.message_out_of_place;
    return;
  }
  ++stats_.backtrack;
  // Skips whole terms: below the follower's entry at the hint, only an entry
  // of its term or an older one can be common to both logs.
  const Index common =
      trail_.LastAtOrBelow(message.hint_index, message.hint_term);
  const Index next = std::min(message.index, common + 1);
  Restart(peer, std::max(next, peer->match() + 1));
}

void RaftCore::OnHeartbeatAnswer(const Message& message) {
  Progress* peer = FindAnswering(message);
  if (peer == nullptr) return;
  NotePromise(message, peer);
  if (message.read_round > peer->read_round) {
    peer->read_round = std::min(message.read_round, read_round_);
    CountReads();
  }
  const bool waited = now_ - peer->last_progress >= peer->retry_delay;
  if (peer->state() == ProgressState::kProbe) {
    if (peer->probe_sent && waited) RetryProbe(peer, peer->next());
    return;
  }
  if (peer->state() != ProgressState::kReplicate) return;
  if (!message.rejected) {
    peer->lacks = false;
    // All arrived, but some acknowledgement didn't come: the disk there is
    // slow, or it got lost. Ask for it again.
    if (peer->messages_in_flight() > 0 && waited) {
      ++stats_.nudged;
      BackOff(peer);
      Send(AppendBehind(*peer, peer->next() - 1));
    }
    return;
  }
  // Lost, or overtaken by the heartbeat. As long as more keeps arriving, it
  // is the latter.
  if (!peer->lacks || message.index > peer->lacks_last) {
    peer->lacks = true;
    peer->lacks_last = message.index;
    peer->last_progress = now_;
  } else if (waited) {
    const Index next = std::min(message.index, peer->next() - 1) + 1;
    RetryProbe(peer, std::max(next, peer->match() + 1));
  }
}

void RaftCore::RetryProbe(Progress* peer, Index next) {
  ++stats_.resent;
  BackOff(peer);
  Restart(peer, next);
}

void RaftCore::BackOff(Progress* peer) {
  // A path that is merely slow must not be filled with copies.
  peer->retry_delay =
      std::min(peer->retry_delay * 2, options_.election_timeout_max * 4);
  peer->last_progress = now_;
}

Duration RaftCore::FirstRetryDelay() const {
  return options_.heartbeat_interval * 2;
}

Progress* RaftCore::FindAnswering(const Message& message) {
  Progress* peer =
      role_ == Role::kLeader ? FindProgress(message.from) : nullptr;
  if (peer == nullptr) {
    ++stats_.message_out_of_place;
    return nullptr;
  }
  peer->last_heard = now_;
  return peer;
}

// --- Heartbeats -------------------------------------------------------------

void RaftCore::SendHeartbeat(Progress* peer) {
  Message heartbeat;
  heartbeat.type = MessageType::kHeartbeat;
  heartbeat.to = peer->id();
  heartbeat.term = term();
  if (peer->state() == ProgressState::kReplicate) {
    heartbeat.index = peer->next() - 1;
    heartbeat.log_term = trail_.TermAt(heartbeat.index);
  }
  // Beyond its match, the follower's log may still hold other entries.
  heartbeat.commit = std::min(commit_, peer->match());
  heartbeat.read_round = read_round_;
  if (options_.leases) heartbeat.sent_at = now_;
  peer->commit_sent = std::max(peer->commit_sent, heartbeat.commit);
  peer->last_sent = now_;
  Send(std::move(heartbeat));
}

void RaftCore::SendHeartbeats() {
  for (Progress& peer : progress_) {
    if (peer.id() != id()) SendHeartbeat(&peer);
  }
}

Instant RaftCore::CommitNoticeAt(const Progress& peer) const {
  if (std::min(commit_, peer.match()) <= peer.commit_sent) return kNever;
  return peer.last_sent + options_.commit_notice_delay;
}

void RaftCore::SendCommitNotices() {
  for (Progress& peer : progress_) {
    if (peer.id() == id() || CommitNoticeAt(peer) > now_) continue;
    ++stats_.commit_notice;
    SendHeartbeat(&peer);
  }
}

// --- Commit -----------------------------------------------------------------

void RaftCore::OwnLogDurable() {
  Progress* own = FindProgress(id());
  if (own == nullptr || durable_ <= own->match()) return;
  own->SetMatch(durable_);
  match_changed_ = true;
}

void RaftCore::CountCommit() {
  const Index quorum(QuorumValue(*configuration_, [this](ServerId voter) {
    return FindProgress(voter)->match().value();
  }));
  // Only an entry of its own term is committed by counting (section 5.4.2);
  // it commits all before it.
  if (quorum <= commit_ || quorum < term_start_) return;
  RaiseCommit(quorum);
  EmitReads();
  StepDownIfRemoved();
}

}  // namespace holdfast
