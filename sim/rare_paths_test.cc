// The lists of paths that a campaign must take: a rare one is of no run without
// faults, and each name is in one list, and is known to the simulator.

#include <cstdint>
#include <cstdio>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gtest/gtest.h"
#include "sim/cli/files.h"
#include "sim/cli/summary.h"
#include "sim/fault_sites.h"
#include "sim/simulation.h"

namespace holdfast {
namespace {

constexpr uint64_t kSeeds = 24;

using Names = std::vector<std::string>;
using Counts = std::map<std::string, uint64_t>;

Names List(const std::string& which) {
  const absl::StatusOr<std::string> text =
      ReadWholeFile(absl::StrCat("sim/", which, "_paths.txt"));
  EXPECT_TRUE(text.ok()) << text.status();
  return text.ok() ? Summary::PathsIn(*text) : Names();
}

// Nothing goes wrong, and no delay is an outlier.
FaultRates NoFaults() {
  FaultRates rates;
  rates.tear_ppm = rates.lose_write_ppm = rates.lose_name_ppm = 0;
  rates.drop_in_flight_ppm = rates.cut_in_flight_ppm = 0;
  rates.tail_ppm = rates.short_read_ppm = rates.slow_reader_ppm = 0;
  return rates;
}

// With all features of a run but the one that takes servers down.
SimulationOptions Calm(uint64_t seed) {
  SimulationOptions options;
  options.seed = seed;
  options.duration = 30s;
  options.rates = NoFaults();
  options.spares = 2;
  options.changes = options.trims = options.transfers = true;
  options.kv = options.leases = options.scrub = true;
  options.tails = options.reads = options.conditions = true;
  options.names_servers = true;
  options.admin = seed % 2 == 0;
  options.minority_down = false;
  // Old records expire in some.
  if (seed % 4 == 0) options.retention_bytes = 256 << 10;
  return options;
}

// How often calm runs took each path that there is, also if never.
Counts CalmPaths() {
  Counts paths;
  for (const ChanceSite* site : faults::kAll) paths[site->name] = 0;
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    const SimulationResult result = Simulation(Calm(seed)).Run();
    EXPECT_TRUE(result.verdict.ok())
        << "seed " << seed << ": " << result.verdict.what();
    for (const auto& [name, count] : result.stats) paths[name] += count;
  }
  return paths;
}

TEST(RarePathsTest, NoRunWithoutFaultsTakesARareOne) {
  const Counts calm = CalmPaths();
  Names wrong, unknown;
  for (const char* list : {"rare", "rarest"}) {
    for (const std::string& name : List(list)) {
      const auto found = calm.find(name);
      if (found == calm.end()) {
        unknown.push_back(name);
      } else if (found->second > 0) {
        wrong.push_back(absl::StrCat(name, ": ", found->second, " times"));
      }
    }
  }
  Names never;
  for (const std::string& name : List("common")) {
    const auto found = calm.find(name);
    if (found == calm.end()) {
      unknown.push_back(name);
    } else if (found->second == 0) {
      never.push_back(name);
    }
  }
  EXPECT_TRUE(wrong.empty()) << "runs without faults take these, which belong "
                                "into common_paths.txt:\n"
                             << absl::StrJoin(wrong, "\n");
  EXPECT_TRUE(unknown.empty()) << "nothing counts these:\n"
                               << absl::StrJoin(unknown, "\n");
  // Other seeds may well.
  std::printf("of common_paths.txt, these runs didn't take:\n%s\n",
              absl::StrJoin(never, "\n").c_str());
}

TEST(RarePathsTest, NoPathIsInTwoLists) {
  std::set<std::string> seen;
  Names twice;
  for (const char* list : {"rare", "common", "rarest"}) {
    const Names names = List(list);
    EXPECT_FALSE(names.empty()) << list;
    for (const std::string& name : names) {
      if (!seen.insert(name).second) twice.push_back(name);
    }
  }
  EXPECT_TRUE(twice.empty()) << absl::StrJoin(twice, "\n");
}

}  // namespace
}  // namespace holdfast
