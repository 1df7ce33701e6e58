// The simulator's speed, on two workloads that stay as they are: a calm cluster
// of three, and five servers with twelve kinds of fault. One iteration is ten
// simulated seconds; reported per CPU second: events, simulated seconds,
// acknowledged appends, injected faults.

#include <cstdint>

#include "benchmark/benchmark.h"
#include "engine/base/check.h"
#include "sim/simulation.h"

namespace holdfast {
namespace {

FaultRates AllFaults() {
  FaultRates rates;
  rates.crash_ppm = 20000;
  rates.power_loss_ppm = 20000;
  rates.crash_in_io_ppm = 20000;
  rates.cluster_power_loss_ppm = 4000;
  rates.client_crash_ppm = 10000;
  rates.isolate_ppm = 20000;
  rates.split_ppm = 30000;
  rates.one_way_ppm = 30000;
  rates.slow_link_ppm = 30000;
  rates.reset_ppm = 500;
  rates.slow_disk_ppm = 1000;
  rates.drift_ppm_max = 10000;
  return rates;
}

void RunSeeds(benchmark::State& state, uint32_t nodes,
              const FaultRates& rates) {
  uint64_t seed = 1;
  double events = 0;
  double acknowledged = 0;
  double faults = 0;
  double simulated_s = 0;
  for (auto _ : state) {
    SimulationOptions options;
    options.seed = seed++;
    options.nodes = nodes;
    options.clients = 2;
    options.duration = 10s;
    options.rates = rates;
    Simulation simulation(options);
    SimulationResult result = simulation.Run();
    CHECK(result.verdict.ok());
    events += static_cast<double>(result.events);
    acknowledged += static_cast<double>(result.acknowledged);
    faults += static_cast<double>(simulation.tape().entries.size());
    simulated_s += static_cast<double>(result.simulated_ms) / 1000;
  }
  using benchmark::Counter;
  state.counters["events"] = Counter(events, Counter::kIsRate);
  state.counters["acknowledged"] = Counter(acknowledged, Counter::kIsRate);
  state.counters["faults"] = Counter(faults, Counter::kIsRate);
  state.counters["simulated_s"] = Counter(simulated_s, Counter::kIsRate);
}

void BM_CalmClusterOfThree(benchmark::State& state) {
  RunSeeds(state, 3, FaultRates{});
}
BENCHMARK(BM_CalmClusterOfThree)->Unit(benchmark::kMillisecond);

void BM_FiveServersWithAllFaults(benchmark::State& state) {
  RunSeeds(state, 5, AllFaults());
}
BENCHMARK(BM_FiveServersWithAllFaults)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace holdfast

BENCHMARK_MAIN();
