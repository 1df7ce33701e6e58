#ifndef HOLDFAST_SIM_TAPE_H_
#define HOLDFAST_SIM_TAPE_H_

#include <compare>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace holdfast {

// Who a draw is for: a process (its machine and which of its lives), a
// directed link, or a whole window's worth of a fault. Stable under changes
// elsewhere in the run, so that a shrunk tape still means what it said.
struct ChanceActor {
  uint32_t id = 0;
  uint32_t boot = 0;
  auto operator<=>(const ChanceActor&) const = default;
};

// One thing that went wrong: a draw of `site` for `actor` at that place in time
// came out as `value` rather than benign.
struct TapeEntry {
  // A place is a window of simulated time (Chance::kWindow) and the number of
  // the draw within it, among those of the site and the actor.
  static constexpr int kDrawBits = 24;
  static constexpr uint64_t Place(uint64_t window, uint64_t draw) {
    return window << kDrawBits | draw;
  }
  uint64_t window() const { return place >> kDrawBits; }
  uint64_t draw() const { return place & ((uint64_t{1} << kDrawBits) - 1); }

  std::string site;    // "net/tail", of sim/fault_sites.h
  uint32_t actor = 0;  // the id, of whichever of its lives
  uint64_t place = 0;
  uint64_t value = 0;
  bool operator==(const TapeEntry&) const = default;
};

// All that went wrong in a run, in the order in which it was drawn; with the
// seed and the options, the whole run. Kept as text, an entry a line, so that
// it can be read and cut down by hand:
//
//   holdfast-tape 2
//   code 8c5f0a93d2be4716
//   revision 2a86e4de1f9c3b1f0a5d4c7b8e9f00112233aabb
//   option seed 42
//   fault net/tail 1002 17.3 0x00000000000003e8
//   end 1
//
// The number in the first line changes with what an entry means; another one
// is refused. So is other code, by simulate: it may be another run there.
struct Tape {
  std::string code;      // that ran it (sim/cli/code_id.h); empty: unknown
  std::string revision;  // git's, of the tree it was run in; only a hint
  // Names and values of the options that the run depends on, in order.
  std::vector<std::pair<std::string, std::string>> options;
  std::vector<TapeEntry> entries;

  std::string ToText() const;
  // INVALID_ARGUMENT with the line that can't be understood, also if it names a
  // fault that isn't in sim/fault_sites.h; a text without its last line ("end",
  // with the number of entries) is cut off.
  static absl::StatusOr<Tape> FromText(const std::string& text);
};

}  // namespace holdfast

#endif  // HOLDFAST_SIM_TAPE_H_
