#include "engine/raft/quorum.h"

#include <algorithm>
#include <functional>
#include <limits>
#include <vector>

#include "absl/container/inlined_vector.h"

namespace holdfast {
namespace {

// The greatest v that a majority reaches: the middle one in descending order,
// the lower middle one when their number is even.
uint64_t MajorityValue(const std::vector<Member>& members,
                       absl::FunctionRef<uint64_t(ServerId)> value) {
  absl::InlinedVector<uint64_t, 9> values;
  for (const Member& m : members) values.push_back(value(m.id));
  std::sort(values.begin(), values.end(), std::greater<uint64_t>());
  return values[values.size() / 2];
}

bool Contains(const std::vector<Member>& members, ServerId id) {
  for (const Member& m : members) {
    if (m.id == id) return true;
  }
  return false;
}

}  // namespace

uint64_t QuorumValue(const Configuration& configuration,
                     absl::FunctionRef<uint64_t(ServerId)> value) {
  if (configuration.voters.empty()) return 0;
  uint64_t quorum = MajorityValue(configuration.voters, value);
  if (configuration.joint()) {
    quorum = std::min(quorum, MajorityValue(configuration.old_voters, value));
  }
  return quorum;
}

VoteResult CountVotes(const Configuration& configuration,
                      absl::FunctionRef<Vote(ServerId)> vote) {
  // The best level that a quorum reaches: all granted, none refused, or less.
  return static_cast<VoteResult>(QuorumValue(
      configuration,
      [vote](ServerId id) { return static_cast<uint64_t>(vote(id)); }));
}

bool IsVoter(const Configuration& configuration, ServerId id) {
  return Contains(configuration.voters, id) ||
         Contains(configuration.old_voters, id);
}

bool IsMember(const Configuration& configuration, ServerId id) {
  return IsVoter(configuration, id) || Contains(configuration.learners, id) ||
         Contains(configuration.joining, id);
}

void ForEachMember(const Configuration& configuration,
                   absl::FunctionRef<void(ServerId)> visit) {
  absl::InlinedVector<ServerId, 16> ids;
  for (const Member& m : configuration.voters) ids.push_back(m.id);
  for (const Member& m : configuration.old_voters) ids.push_back(m.id);
  for (const Member& m : configuration.learners) ids.push_back(m.id);
  for (const Member& m : configuration.joining) ids.push_back(m.id);
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  for (ServerId id : ids) visit(id);
}

}  // namespace holdfast
