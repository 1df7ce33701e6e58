#ifndef HOLDFAST_SIM_CHANCE_H_
#define HOLDFAST_SIM_CHANCE_H_

#include <cstdint>
#include <optional>
#include <utility>

#include "engine/base/lookup_map.h"
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
  // Windows of simulated time by which a tape numbers faults.
  static constexpr Duration kWindow = 250ms;

  Chance(uint64_t seed, Trace* trace) : seed_(seed), trace_(trace) {}
  Chance(const Chance&) = delete;
  Chance& operator=(const Chance&) = delete;

  // From now on faults are those of `tape`, and no others.
  void Replay(const Tape& tape);

  // From now on rates are others: a site that was off counts its draws, or the
  // other way round. A tape, which has no rates, would count others in the
  // window that is on; so windows have other numbers from now on.
  void OtherRates() { ++windows_more_; }

  uint64_t seed() const { return seed_; }

  // 64 uniform bits.
  uint64_t Bits(const ChanceSite& site, ChanceActor actor, uint64_t ordinal) {
    const uint64_t bits = Hash(site, actor, ordinal);
    trace_->Draw(bits);
    ++draws_;
    return bits;
  }
  uint64_t Below(const ChanceSite& site, ChanceActor actor, uint64_t ordinal,
                 uint64_t bound) {
    return holdfast::Below(Bits(site, actor, ordinal), bound);
  }

  // Nothing with probability 1 - rate_ppm / 10^6, otherwise 64 bits that say
  // how it goes wrong (sim/fault_sites.h). The tape knows it by its site, the
  // actor's id, the window of time, and its number among such draws there: so
  // that one that is left out, or a crash, moves no later ones.
  std::optional<uint64_t> Fault(const ChanceSite& site, ChanceActor actor,
                                uint64_t ordinal, uint64_t rate_ppm) {
    if (rate_ppm == 0 && !replaying_) return std::nullopt;
    const uint64_t place = NextPlace(site, actor.id);
    // The trace gets the outcome, not the bits: a replay, which doesn't draw
    // them, is to have the same hash.
    std::optional<uint64_t> value;
    if (replaying_) {
      value = FromTape(site, actor.id, place);
      if (Observer* observer = trace_->observer()) {
        observer->OnPlace(site.name, actor.id, place);
      }
      if (rate_ppm == 0 && !value.has_value()) return std::nullopt;
    } else {
      const uint64_t bits = Hash(site, actor, ordinal);
      if (holdfast::Below(bits, 1000000) < rate_ppm) value = Mix64(bits);
    }
    trace_->Draw(value.value_or(0));
    ++draws_;
    if (value.has_value()) Record(site, actor.id, place, *value);
    return value;
  }

  bool replaying() const { return replaying_; }
  // What went wrong so far.
  const Tape& tape() const { return tape_; }
  uint64_t draws() const { return draws_; }

 private:
  uint64_t Hash(const ChanceSite& site, ChanceActor actor,
                uint64_t ordinal) const {
    return HashCombine(
        HashCombine(HashCombine(seed_, site.hash), Actor(actor.id, actor.boot)),
        ordinal);
  }
  // Of the next draw in this window of time.
  uint64_t NextPlace(const ChanceSite& site, uint32_t actor);
  void Record(const ChanceSite& site, uint32_t actor, uint64_t place,
              uint64_t value);
  std::optional<uint64_t> FromTape(const ChanceSite& site, uint32_t actor,
                                   uint64_t place) const;

  using SiteAndActor = std::pair<uint64_t, uint32_t>;  // the site's hash

  const uint64_t seed_;
  Trace* const trace_;
  Tape tape_;
  uint64_t draws_ = 0;
  uint64_t window_ = 0;
  uint64_t windows_more_ = 0;
  LookupMap<SiteAndActor, uint64_t> draws_in_window_;
  bool replaying_ = false;
  LookupMap<std::pair<SiteAndActor, uint64_t>, uint64_t> replay_;
};

}  // namespace holdfast

#endif  // HOLDFAST_SIM_CHANCE_H_
