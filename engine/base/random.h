#ifndef HOLDFAST_ENGINE_BASE_RANDOM_H_
#define HOLDFAST_ENGINE_BASE_RANDOM_H_

// Keyed chance: a draw is a hash of what it is for, not the next number of a
// stream. So adding a draw at one site moves no other site's draws, and a
// replay can leave one fault out without changing all that follow.
//
//   DrawKey key{.seed = seed, .site = Site("election_timeout"),
//               .actor = Actor(id, boot_count)};
//   Duration timeout = min + Duration(DrawBelow(key, ordinal, span_ns));

#include <cstdint>

#include "absl/strings/string_view.h"

namespace holdfast {

// A bijective 64-bit mix (the finaliser of SplitMix64: Steele, Lea, Flood,
// "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014, section 5).
constexpr uint64_t Mix64(uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

// Order-dependent combination of two 64-bit values.
constexpr uint64_t HashCombine(uint64_t a, uint64_t b) {
  return Mix64(Mix64(a) ^ (b + 0x632be59bd9b4e019u));
}

// The place in the code that draws, by name.
constexpr uint64_t Site(absl::string_view name) {
  uint64_t h = 0xcbf29ce484222325u;
  for (char c : name) h = (h ^ static_cast<uint8_t>(c)) * 0x100000001b3u;
  return Mix64(h);
}

// Who draws: a process in one of its lives.
constexpr uint64_t Actor(uint64_t id, uint64_t boot_count) {
  return HashCombine(id, boot_count);
}

struct DrawKey {
  uint64_t seed = 0;
  uint64_t site = 0;
  uint64_t actor = 0;
};

// 64 uniform bits for the ordinal-th draw under `key`.
constexpr uint64_t Draw(const DrawKey& key, uint64_t ordinal) {
  return HashCombine(HashCombine(HashCombine(key.seed, key.site), key.actor),
                     ordinal);
}

// Maps 64 uniform bits onto [0, bound); bound > 0. The bias is below
// bound / 2^64.
constexpr uint64_t Below(uint64_t bits, uint64_t bound) {
  return static_cast<uint64_t>((static_cast<unsigned __int128>(bits) * bound) >>
                               64);
}

constexpr uint64_t DrawBelow(const DrawKey& key, uint64_t ordinal,
                             uint64_t bound) {
  return Below(Draw(key, ordinal), bound);
}

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_BASE_RANDOM_H_
