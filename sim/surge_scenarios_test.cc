// Several disks that are spoiled at one moment, while some servers lose power,
// so that these mend their logs at the same time.

#include "gtest/gtest.h"
#include "sim/testing/damage_scenario.h"

namespace holdfast {
namespace {

using SurgeScenario = DamageScenario;

TEST_F(SurgeScenario, ScheduleSpoilsDisksTogether) {
  SimulationOptions options;
  options.seed = 1;
  options.nodes = 5;
  options.duration = 20s;
  options.scrub = true;
  options.trims = true;
  options.rates = FaultRates{};
  RunWith(options, {&FaultRates::surge_ppm, 300'000,
                    [](const SimulationResult& r) { return r.faults.surges; }});
}

}  // namespace
}  // namespace holdfast
