// The follower's side of log replication: Raft section 5.3.

#include <algorithm>
#include <utility>

#include "engine/base/check.h"
#include "engine/raft/core.h"

namespace holdfast {

void RaftCore::OnAppendRequest(const Message& message) {
  HeardFromLeader(message.from);
  if (!trail_.Has(message.index, message.log_term)) {
    RefuseAppend(message);
    return;
  }
  size_t known = 0;  // entries of the message that are here already
  const size_t count = message.entries.size();
  while (known < count && trail_.Has(message.entries[known].index,
                                     message.entries[known].term)) {
    ++known;
  }
  if (known < count) {
    const Index first = message.entries[known].index;
    if (first <= last_index()) {
      // An entry that contradicts a committed one would be the end of all
      // promises: CutLog checks.
      ++stats_.log_conflict_cut;
      CutLog(first);
    }
    for (size_t i = known; i < count; ++i) AppendToLog(message.entries[i]);
  } else if (count > 0) {
    ++stats_.append_duplicate;
  }
  const Index match = message.index + count;
  RaiseCommit(std::min(message.commit, match));

  AnswerMatch(match);
}

void RaftCore::AnswerMatch(Index match) {
  Message answer;
  answer.type = MessageType::kAppendAnswer;
  answer.to = leader_;
  answer.term = term();
  answer.index = match;
  SendAfter(SequenceFor(match), std::move(answer));
}

void RaftCore::OnInstallCheckpoint(const InstallCheckpoint& checkpoint) {
  if (role_ == Role::kLeader) return;  // it can't lack what was committed
  if (checkpoint.index > commit_) {
    if (trail_.Has(checkpoint.index, checkpoint.term)) {
      ++stats_.checkpoint_not_needed;
      RaiseCommit(checkpoint.index);
    } else {
      // Votes that it has were for another log, and by another configuration,
      // in which an id may have stood for another server.
      if (role_ != Role::kFollower) BecomeFollower(term(), ServerId());
      ++stats_.checkpoint_installed;
      trail_ =
          Trail(checkpoint.index, checkpoint.term, checkpoint.configuration);
      commit_ = durable_ = checkpoint.index;
      for (PendingPersist& p : pending_) p.last = checkpoint.index;
      AdoptConfiguration();
      output_->installed = true;
    }
  }
  if (role_ == Role::kFollower && leader_ != ServerId()) AnswerMatch(commit_);
}

void RaftCore::RefuseAppend(const Message& message) {
  // Whoever leads a term has all that was committed before it.
  CHECK_GT(message.index, commit_);
  const Index end = std::min(message.index, last_index());
  ++(end < message.index ? stats_.append_refused_gap
                         : stats_.append_refused_term);
  Message answer;
  answer.type = MessageType::kAppendAnswer;
  answer.to = message.from;
  answer.term = term();
  answer.rejected = true;
  answer.index = message.index;
  // Here, too, whole terms are skipped: an entry of a later term than the
  // leader's at `end` can't be in its log.
  answer.hint_index = trail_.LastAtOrBelow(end, message.log_term);
  answer.hint_term = trail_.TermAt(answer.hint_index);
  Send(std::move(answer));
}

void RaftCore::OnHeartbeat(const Message& message) {
  HeardFromLeader(message.from);
  // The leader has our word for all up to `commit` (Node::Counts).
  RaiseCommit(message.commit);

  Message answer;
  answer.type = MessageType::kHeartbeatAnswer;
  answer.to = message.from;
  answer.term = term();
  answer.index = last_index();
  answer.rejected = !trail_.Has(message.index, message.log_term);
  answer.read_round = message.read_round;
  MakePromise(message, &answer);
  Send(std::move(answer));
}

}  // namespace holdfast
