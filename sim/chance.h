#ifndef HOLDFAST_SIM_CHANCE_H_
#define HOLDFAST_SIM_CHANCE_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "engine/base/random.h"
#include "engine/base/time.h"
#include "sim/tape.h"
#include "sim/trace.h"

namespace holdfast {

// A place that draws, by name: "net/delay". A constant of its file.
struct ChanceSite {
  constexpr explicit ChanceSite(const char* site_name)
      : name(site_name), hash(Site(site_name)) {}
  const char* name;
  uint64_t hash;
};

// All chance of a simulated world (DESIGN.md, "Time and chance"). A draw is a
// hash of (seed, site, actor, ordinal), so draws don't depend on the order in
// which they are made. There are two kinds:
// - Bits: how the world is when nothing is wrong (a delay, a payload).
// - Fault: whether something goes wrong, and how. Each that does is recorded
//   on the tape; when replaying, faults come from a tape alone.
class Chance {
 public:
  Chance(uint64_t seed, Trace* trace) : seed_(seed), trace_(trace) {}
  Chance(const Chance&) = delete;
  Chance& operator=(const Chance&) = delete;

  // From now on faults are those of `tape`, and no others.
  void Replay(const Tape& tape);

  uint64_t seed() const { return seed_; }

  // 64 uniform bits.
  uint64_t Bits(const ChanceSite& site, ChanceActor actor, uint64_t ordinal) {
    return BitsWithPrefix(Prefix(site, actor), ordinal);
  }
  uint64_t Below(const ChanceSite& site, ChanceActor actor, uint64_t ordinal,
                 uint64_t bound) {
    return holdfast::Below(Bits(site, actor, ordinal), bound);
  }

  // Nothing with probability 1 - rate_ppm / 10^6, otherwise 64 bits that say
  // how bad it is; small values are to mean milder outcomes where there is a
  // choice.
  std::optional<uint64_t> Fault(const ChanceSite& site, ChanceActor actor,
                                uint64_t ordinal, uint64_t rate_ppm) {
    return FaultWithPrefix(Prefix(site, actor), site, actor, ordinal, rate_ppm);
  }

  // What went wrong so far.
  const Tape& tape() const { return tape_; }
  uint64_t draws() const { return draws_; }

 private:
  friend class ChanceSource;

  uint64_t Prefix(const ChanceSite& site, ChanceActor actor) const {
    return HashCombine(HashCombine(seed_, site.hash),
                       Actor(actor.id, actor.boot));
  }
  uint64_t BitsWithPrefix(uint64_t prefix, uint64_t ordinal) {
    const uint64_t bits = HashCombine(prefix, ordinal);
    trace_->Draw(bits);
    ++draws_;
    return bits;
  }
  std::optional<uint64_t> FaultWithPrefix(uint64_t prefix,
                                          const ChanceSite& site,
                                          ChanceActor actor, uint64_t ordinal,
                                          uint64_t rate_ppm) {
    // The trace gets the outcome, not the bits: a replay, which doesn't draw
    // them, is to have the same hash.
    std::optional<uint64_t> value;
    if (replaying_) {
      value = FromTape(site, actor, ordinal);
      if (rate_ppm == 0 && !value.has_value()) return std::nullopt;
    } else {
      if (rate_ppm == 0) return std::nullopt;
      const uint64_t bits = HashCombine(prefix, ordinal);
      if (holdfast::Below(bits, 1000000) < rate_ppm) value = Mix64(bits);
    }
    trace_->Draw(value.value_or(0));
    ++draws_;
    if (value.has_value()) Record(site, actor, ordinal, *value);
    return value;
  }
  void Record(const ChanceSite& site, ChanceActor actor, uint64_t ordinal,
              uint64_t value);
  std::optional<uint64_t> FromTape(const ChanceSite& site, ChanceActor actor,
                                   uint64_t ordinal) const;

  struct ReplayKey {
    std::string site;
    ChanceActor actor;
    uint64_t ordinal;
    auto operator<=>(const ReplayKey&) const = default;
  };

  const uint64_t seed_;
  Trace* const trace_;
  Tape tape_;
  uint64_t draws_ = 0;
  bool replaying_ = false;
  std::map<ReplayKey, uint64_t> replay_;
};

// The draws of one site for one actor, numbered as they are made.
class ChanceSource {
 public:
  ChanceSource(Chance* chance, const ChanceSite& site, ChanceActor actor)
      : chance_(chance),
        site_(site),
        actor_(actor),
        prefix_(chance->Prefix(site, actor)) {}

  uint64_t Bits() { return chance_->BitsWithPrefix(prefix_, next_++); }
  uint64_t Below(uint64_t bound) { return holdfast::Below(Bits(), bound); }
  // Uniform in [low, high].
  Duration Between(Duration low, Duration high) {
    return low + Duration(static_cast<int64_t>(
                     Below(static_cast<uint64_t>((high - low).count()) + 1)));
  }
  std::optional<uint64_t> Fault(uint64_t rate_ppm) {
    return chance_->FaultWithPrefix(prefix_, site_, actor_, next_++, rate_ppm);
  }

 private:
  Chance* chance_;
  ChanceSite site_;
  ChanceActor actor_;
  uint64_t prefix_;
  uint64_t next_ = 0;
};

}  // namespace holdfast

#endif  // HOLDFAST_SIM_CHANCE_H_
