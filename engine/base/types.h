#ifndef HOLDFAST_ENGINE_BASE_TYPES_H_
#define HOLDFAST_ENGINE_BASE_TYPES_H_

// The numbers of the log, each a type of its own, so that an entry's index
// can't be passed where a record's offset is meant.

#include <compare>
#include <cstdint>
#include <string>
#include <utility>

namespace holdfast {

// An unsigned 64-bit count or position that converts to no other. Arithmetic
// is with plain integers (`index + 1`), differences are plain integers.
template <typename Tag>
class Number {
 public:
  constexpr Number() = default;
  constexpr explicit Number(uint64_t value) : value_(value) {}

  constexpr uint64_t value() const { return value_; }

  constexpr auto operator<=>(const Number&) const = default;

  constexpr Number operator+(uint64_t n) const { return Number(value_ + n); }
  constexpr Number operator-(uint64_t n) const { return Number(value_ - n); }
  constexpr uint64_t operator-(Number other) const {
    return value_ - other.value_;
  }
  constexpr Number& operator++() {
    ++value_;
    return *this;
  }
  constexpr Number& operator+=(uint64_t n) {
    value_ += n;
    return *this;
  }

  // For absl's hash tables (engine/base/lookup_map.h).
  template <typename H>
  friend H AbslHashValue(H h, Number n) {
    return H::combine(std::move(h), n.value_);
  }

 private:
  uint64_t value_ = 0;
};

// A Raft term; 0 is before the first election.
using Term = Number<struct TermTag>;
// Counts Raft entries; the first is 1, 0 stands before it.
using Index = Number<struct IndexTag>;
// Counts records in the log; the first is 0.
using Offset = Number<struct OffsetTag>;
// A server's id, chosen by its operator, unique in the cluster; 0 is none.
using ServerId = Number<struct ServerIdTag>;
// Names one life of a server's data directory, drawn when it is made; 0 is
// none. A wiped disk comes back with another one.
using Incarnation = Number<struct IncarnationTag>;
// Names a cluster: the hash of its first entry; 0 while it is not formed.
using ClusterId = Number<struct ClusterIdTag>;
// A producer's session: the index of the entry that registered it; 0 is none.
using SessionId = Number<struct SessionIdTag>;
// Numbers one producer's batches within its session, from 1.
using Sequence = Number<struct SequenceTag>;

template <typename Tag>
std::string ToString(Number<Tag> n) {
  return std::to_string(n.value());
}

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_BASE_TYPES_H_
