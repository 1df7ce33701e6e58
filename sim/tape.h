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

// One thing that went wrong: the `ordinal`-th draw of `site` for `actor` came
// out as `value` rather than benign. For ambient faults the ordinal is the
// number of a window of simulated time.
struct TapeEntry {
  std::string site;  // "net/tail"
  ChanceActor actor;
  uint64_t ordinal = 0;
  uint64_t value = 0;
  bool operator==(const TapeEntry&) const = default;
};

// All that went wrong in a run, in the order in which it was drawn; with the
// seed and the options, the whole run. Kept as text, an entry a line, so that
// it can be read and cut down by hand:
//
//   holdfast-tape 1
//   option seed 42
//   fault net/tail 1002.0 17 0x00000000000003e8
struct Tape {
  // Names and values of the options that the run depends on, in order.
  std::vector<std::pair<std::string, std::string>> options;
  std::vector<TapeEntry> entries;

  std::string ToText() const;
  // INVALID_ARGUMENT with the line that can't be understood; a text without
  // its last line ("end", with the number of entries) is cut off.
  static absl::StatusOr<Tape> FromText(const std::string& text);
};

}  // namespace holdfast

#endif  // HOLDFAST_SIM_TAPE_H_
