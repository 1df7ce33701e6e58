// The simulator's speed, on four workloads: a calm cluster of three; five
// servers with twelve kinds of fault, which stays as it is; five servers with
// all that a seed may draw, each kind of fault at half of its most; and what
// seeds draw, as a campaign has it. Reported per CPU second: events, simulated
// seconds, acknowledged appends, injected faults; and of the run that held the
// most, what is counted of it (sim/simulation_memory.cc), and what all of its
// process held.
//
// One iteration is a seed: ten simulated seconds of it, or what a seed has by
// default where seeds draw. There, and where there are all kinds of fault,
// seeds differ much from each other: so it is always the same ones.

#include <malloc.h>

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "benchmark/benchmark.h"
#include "sim/simulation.h"

namespace holdfast {
namespace {

constexpr int kSeeds = 40;

FaultRates TwelveKinds() {
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

SimulationOptions TenSeconds(uint32_t nodes, const FaultRates& rates) {
  SimulationOptions options;
  options.nodes = nodes;
  options.clients = 2;
  options.duration = 10s;
  options.rates = rates;
  return options;
}

// With given rates, a run has no more features than it is told.
SimulationOptions WithAllFeatures(SimulationOptions options) {
  options.spares = 2;
  options.changes = options.trims = options.transfers = true;
  options.admin = true;
  options.kv = options.leases = options.scrub = true;
  options.minority_down = options.names_servers = true;
  return options;
}

// From now on the process has held no more than it does now.
void ForgetPeak() {
  malloc_trim(0);
  std::ofstream("/proc/self/clear_refs") << 5;
}

double PeakKib() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    double kib = 0;
    if (word == "VmHWM:" && status >> kib) return kib;
  }
  return 0;
}

void RunSeeds(benchmark::State& state, SimulationOptions options) {
  double events = 0;
  double acknowledged = 0;
  double faults = 0;
  double simulated_s = 0;
  uint64_t memory_bytes = 0;
  options.seed = 0;
  ForgetPeak();
  for (auto _ : state) {
    ++options.seed;
    Simulation simulation(options);
    const SimulationResult result = simulation.Run();
    if (!result.verdict.ok()) {
      state.SkipWithError(
          absl::StrCat("seed ", options.seed, ": ", result.verdict.what())
              .c_str());
      return;
    }
    events += static_cast<double>(result.events);
    acknowledged += static_cast<double>(result.acknowledged);
    faults += static_cast<double>(result.injected);
    simulated_s += static_cast<double>(result.simulated_ms) / 1000;
    memory_bytes = std::max(memory_bytes, result.memory_bytes);
  }
  using benchmark::Counter;
  state.counters["events"] = Counter(events, Counter::kIsRate);
  state.counters["acknowledged"] = Counter(acknowledged, Counter::kIsRate);
  state.counters["faults"] = Counter(faults, Counter::kIsRate);
  state.counters["simulated_s"] = Counter(simulated_s, Counter::kIsRate);
  state.counters["run_bytes_max"] = Counter(
      static_cast<double>(memory_bytes), Counter::kDefaults, Counter::kIs1024);
  state.counters["process_bytes_max"] =
      Counter(PeakKib() * 1024, Counter::kDefaults, Counter::kIs1024);
}

void BM_CalmClusterOfThree(benchmark::State& state) {
  RunSeeds(state, TenSeconds(3, FaultRates{}));
}
BENCHMARK(BM_CalmClusterOfThree)->Unit(benchmark::kMillisecond);

void BM_FiveServersWithTwelveKindsOfFault(benchmark::State& state) {
  RunSeeds(state, TenSeconds(5, TwelveKinds()));
}
BENCHMARK(BM_FiveServersWithTwelveKindsOfFault)->Unit(benchmark::kMillisecond);

void BM_FiveServersWithAllKindsOfFault(benchmark::State& state) {
  RunSeeds(state, WithAllFeatures(TenSeconds(
                      5, FaultRates::Swarm(nullptr, /*damage=*/true))));
}
BENCHMARK(BM_FiveServersWithAllKindsOfFault)
    ->Unit(benchmark::kMillisecond)
    ->Iterations(kSeeds);

void BM_Swarm(benchmark::State& state) { RunSeeds(state, SimulationOptions()); }
BENCHMARK(BM_Swarm)->Unit(benchmark::kMillisecond)->Iterations(kSeeds);

}  // namespace
}  // namespace holdfast

BENCHMARK_MAIN();
