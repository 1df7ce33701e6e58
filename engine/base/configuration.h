#ifndef HOLDFAST_ENGINE_BASE_CONFIGURATION_H_
#define HOLDFAST_ENGINE_BASE_CONFIGURATION_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/base/buffer.h"
#include "engine/base/entry_kind.h"
#include "engine/base/types.h"

namespace holdfast {

// One server of a cluster.
struct Member {
  ServerId id;
  Incarnation incarnation;
  std::string address;  // "HOST:PORT"

  bool operator==(const Member&) const = default;
};

// Who takes part. Each list is sorted by id and has no id twice.
struct Configuration {
  std::vector<Member> voters;
  // Not empty: a joint configuration (Ongaro's thesis, section 4.3), in which
  // every decision needs a majority of `voters` and one of `old_voters`.
  std::vector<Member> old_voters;
  // Receive the log, but don't vote and aren't counted.
  std::vector<Member> learners;
  // The same, but become voters once they have caught up.
  std::vector<Member> joining;
  // What the log and the servers' messages may have; see entry_kind.h. All
  // members support it, and it never falls.
  uint32_t feature_level = kFeatureLevelMin;

  // In each list.
  static constexpr size_t kMembersMax = 1024;
  static constexpr size_t kAddressBytesMax = 255;

  bool joint() const { return !old_voters.empty(); }
  bool operator==(const Configuration&) const = default;

  // Null when no list has it. A server that stays a voter is the same in
  // `voters` and `old_voters`.
  const Member* Find(ServerId id) const;
  // Each member once, in the order of ids.
  std::vector<Member> Everyone() const;
};

// The payload of a configuration entry. One value has one encoding, since the
// hash of the first entry names the cluster.
Buffer EncodeConfiguration(const Configuration& configuration);
// INVALID_ARGUMENT when the bytes aren't a configuration, an id stands twice
// in a list, or there is no voter, or no level.
absl::StatusOr<Configuration> DecodeConfiguration(absl::string_view bytes);

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_BASE_CONFIGURATION_H_
