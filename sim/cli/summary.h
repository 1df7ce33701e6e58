#ifndef HOLDFAST_SIM_CLI_SUMMARY_H_
#define HOLDFAST_SIM_CLI_SUMMARY_H_

#include <cstdint>
#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "sim/simulation.h"

namespace holdfast {

// What a campaign came to: sums over its seeds, for the last line.
class Summary {
 public:
  void Add(const SimulationResult& result);
  // Of another process, as its ToText gave it; INVALID_ARGUMENT if it isn't
  // that.
  absl::Status AddText(absl::string_view text);
  void AddSummary(const Summary& other);
  std::string ToText() const;

  // The last line. `seed`: the first, or the one that failed.
  std::string Line(bool json, uint64_t seed, absl::string_view verdict,
                   int64_t wall_ms) const;

  // Adds to what the last line tells as JSON.
  void AddCount(const std::string& name, uint64_t n) { counts_[name] += n; }

  // What the engine's layers counted, by name.
  const std::map<std::string, uint64_t>& paths() const { return paths_; }

  // The names in a list of rare paths (a line each, '#' begins a comment).
  static std::vector<std::string> PathsIn(absl::string_view list);
  // Those that were never taken.
  std::vector<std::string> NeverTaken(absl::string_view list) const;
  // A line for each name in the list, or if there is none for each path: how
  // often it was taken, and by how many runs; the rarest first.
  std::string PathTable(absl::string_view list) const;

  uint64_t hash() const { return hash_; }
  // 0: there is no count of that name.
  uint64_t count(const std::string& name) const;

 private:
  void Most(const std::string& name, uint64_t value);

  std::map<std::string, uint64_t> counts_;
  std::map<std::string, uint64_t> paths_;
  std::map<std::string, uint64_t> takers_;  // runs that took a path
  // Of all runs: until all had settled, and of the steps to that (Recovery);
  // what laggards took; what a run held.
  std::map<std::string, uint64_t> most_;
  // One seed's own; of several the sum, which is the same in any order.
  uint64_t hash_ = 0;
};

}  // namespace holdfast

#endif  // HOLDFAST_SIM_CLI_SUMMARY_H_
