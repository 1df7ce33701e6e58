// Runs by seed, as `simulate` does them, in groups that Bazel deals out to its
// shards. For more: bazel run //sim:simulate -- --seed=S --seeds=N.

#include <cstdint>

#include "gtest/gtest.h"
#include "sim/simulation.h"

namespace holdfast {
namespace {

class SeedsTest : public ::testing::TestWithParam<uint64_t> {};

constexpr uint64_t kFirst = 1;
constexpr uint64_t kSeeds = 200;
constexpr uint64_t kGroups = 20;

TEST_P(SeedsTest, NothingBreaks) {
  for (uint64_t seed = kFirst + GetParam(); seed < kFirst + kSeeds;
       seed += kGroups) {
    SimulationOptions options;
    options.seed = seed;
    options.duration = 20s;
    Simulation simulation(options);
    const SimulationResult result = simulation.Run();
    ASSERT_TRUE(result.verdict.ok())
        << result.verdict.what() << "\n"
        << simulation.Report(20)
        << "show it again: bazel run //sim:simulate -- --seed=" << seed
        << " --duration=20s --verbose";
  }
}

INSTANTIATE_TEST_SUITE_P(Group, SeedsTest,
                         ::testing::Range(uint64_t{0}, kGroups));

}  // namespace
}  // namespace holdfast
