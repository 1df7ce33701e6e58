#ifndef HOLDFAST_SIM_DAMAGE_H_
#define HOLDFAST_SIM_DAMAGE_H_

#include <cstdint>
#include <optional>
#include <string>

#include "engine/base/buffer.h"
#include "sim/atlas.h"
#include "sim/server.h"
#include "sim/world.h"

namespace holdfast {

// A damage to one of the files at rest on the disk, as a fault's value says
// (sim/fault_sites.h): which file and where by hash, or by the lower 16 bits
// (8 for the file, by name; 8 for the place in it); how much by hash, or by the
// upper ones. `attempt`: of several for one fault. Nothing: there is no such
// file, or the same bytes would stand there.
//
// One in four of kMisdirect by hash is a kFrameOverEnd: in the newest segment,
// a header of one of its frames stands before all that shows that what is there
// was synced, and its body would reach over that.
//
// kStale strikes only where it is known what stood there before: at the end of
// what was written to a file, and one time in two in the hard state.
//
// Segments, checkpoints, resume points, waypoints, the hard state and
// `identity` are damaged; `peers`, by which the others' old copies are noticed,
// isn't.
std::optional<Damage> DrawDamage(DamageKind kind, uint64_t value,
                                 uint32_t attempt, const NameTable& disk);

// What a kMisdirect of the same value and attempt has put elsewhere is missing
// in the place that it was for, which is stale then: to be drawn before the
// other one strikes. Half of them leave none, by hash or by the upper bits, and
// all whose place the disk doesn't remember as it was.
std::optional<Damage> DrawMissing(uint64_t value, uint32_t attempt,
                                  const NameTable& disk);

struct DamageCounts {
  uint64_t rot = 0;
  uint64_t zeroes = 0;
  uint64_t misdirected = 0;
  uint64_t misdirected_stale = 0;  // of these, with the place they were for
  uint64_t frames_over_end = 0;
  uint64_t truncated = 0;
  uint64_t refused = 0;
  uint64_t stale = 0;
  uint64_t vanished = 0;
  uint64_t vetoed = 0;  // faults for which the atlas left no place

  template <typename Fn>  // fn(name, value) of each kind
  void ForEach(Fn fn) const {
    fn("damage_rot", rot);
    fn("damage_zeroes", zeroes);
    fn("damage_misdirected", misdirected);
    fn("damage_misdirected_stale", misdirected_stale);
    fn("damage_frame_over_end", frames_over_end);
    fn("damage_truncated", truncated);
    fn("damage_refused", refused);
    fn("damage_stale", stale);
    fn("damage_vanished", vanished);
  }
};

// Faults of storage at rest: what the device had, and processes could read,
// decays at any moment, whether the server is up or down.
class StorageDecay {
 public:
  StorageDecay(World* world, const Atlas* atlas)
      : world_(world), atlas_(atlas) {}

  // The first of a few places at which the atlas allows it; false: none.
  bool Strike(SimServer* server, DamageKind kind, uint64_t value);
  const DamageCounts& counts() const { return counts_; }

 private:
  void Spoil(SimServer* server, const Damage& damage);
  void Count(DamageKind kind);

  World* const world_;
  const Atlas* const atlas_;
  DamageCounts counts_;
};

}  // namespace holdfast

#endif  // HOLDFAST_SIM_DAMAGE_H_
