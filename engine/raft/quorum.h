#ifndef HOLDFAST_ENGINE_RAFT_QUORUM_H_
#define HOLDFAST_ENGINE_RAFT_QUORUM_H_

// Decisions by majority, for plain and joint configurations (Ongaro's thesis,
// section 4.3: a joint one needs a majority of both its halves). Pure
// functions; O(voters log voters).

#include <cstdint>

#include "absl/functional/function_ref.h"
#include "engine/base/configuration.h"
#include "engine/base/time.h"
#include "engine/base/types.h"

namespace holdfast {

// The greatest v such that a quorum of the configuration has value(id) >= v.
// 0 when the configuration has no voters: nothing can be decided.
uint64_t QuorumValue(const Configuration& configuration,
                     absl::FunctionRef<uint64_t(ServerId)> value);

// Instants as values for QuorumValue: in order, and never its "nothing", 0.
inline uint64_t ToOrdered(Instant at) {
  return static_cast<uint64_t>(at.time_since_epoch().count()) ^
         (uint64_t{1} << 63);
}
inline Instant FromOrdered(uint64_t value) {
  return Instant(Duration(static_cast<int64_t>(value ^ (uint64_t{1} << 63))));
}

enum class Vote : uint8_t { kRefused = 0, kPending = 1, kGranted = 2 };
enum class VoteResult : uint8_t { kLost = 0, kPending = 1, kWon = 2 };

// Lost as soon as the pending votes can no longer win it.
VoteResult CountVotes(const Configuration& configuration,
                      absl::FunctionRef<Vote(ServerId)> vote);

// Whether it is among voters or old voters.
bool IsVoter(const Configuration& configuration, ServerId id);
// Whether it is in any of the lists.
bool IsMember(const Configuration& configuration, ServerId id);

// Every id in any of the lists, ascending, once.
void ForEachMember(const Configuration& configuration,
                   absl::FunctionRef<void(ServerId)> visit);

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_RAFT_QUORUM_H_
