// Configurations: each counts from the moment it is in the log (Ongaro's
// thesis, section 4.1).

#include <algorithm>
#include <utility>

#include "engine/base/check.h"
#include "engine/raft/core.h"

namespace holdfast {

const Configuration& RaftCore::committed_configuration() const {
  return *trail_.ConfigurationAtOrBelow(commit_).configuration;
}

Index RaftCore::committed_configuration_index() const {
  return trail_.ConfigurationAtOrBelow(commit_).index;
}

bool RaftCore::VotesIn(const Configuration& configuration) const {
  return IsVoter(configuration, id()) &&
         configuration.Find(id())->incarnation == options_.incarnation;
}

bool RaftCore::may_stand() const {
  return is_voter() ||
         (configuration_index_ > commit_ && VotesIn(committed_configuration()));
}

bool RaftCore::may_propose_configuration() const {
  if (role_ != Role::kLeader) return false;
  // One at a time, and none before the term's first commit: the correction to
  // section 4.1 of the thesis (raft-dev, "bug in single-server membership
  // changes", 2015).
  return commit_ >= term_start_ && configuration_index_ <= commit_;
}

void RaftCore::AdoptConfiguration() {
  const Trail::ConfigurationAt& latest =
      trail_.ConfigurationAtOrBelow(last_index());
  configuration_ = latest.configuration;
  configuration_index_ = latest.index;
  if (role_ == Role::kLeader) RebuildProgress();
}

void RaftCore::RebuildProgress() {
  std::vector<Progress> rebuilt;
  ForEachMember(*configuration_, [&](ServerId member) {
    const Progress* known = FindProgress(member);
    if (known != nullptr) {
      rebuilt.push_back(*known);
      return;
    }
    Progress fresh(member, last_index() + 1, now_);
    fresh.retry_delay = FirstRetryDelay();
    if (member == id()) {
      fresh.SetMatch(durable_);
    }
    rebuilt.push_back(std::move(fresh));
  });
  progress_ = std::move(rebuilt);
  match_changed_ = true;  // another quorum may count
}

Progress* RaftCore::FindProgress(ServerId member) {
  for (Progress& p : progress_) {
    if (p.id() == member) return &p;
  }
  return nullptr;
}

const Progress* RaftCore::FindProgress(ServerId member) const {
  for (const Progress& p : progress_) {
    if (p.id() == member) return &p;
  }
  return nullptr;
}

void RaftCore::StepDownIfRemoved() {
  if (configuration_index_ > commit_ || is_voter()) return;
  // Thesis, section 4.2.2: it led until the configuration without it was
  // committed. The others had better hear that before it falls silent.
  ++stats_.stepped_down_removed;
  SendHeartbeats();
  BecomeFollower(term(), ServerId());
}

}  // namespace holdfast
