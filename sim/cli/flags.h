#ifndef HOLDFAST_SIM_CLI_FLAGS_H_
#define HOLDFAST_SIM_CLI_FLAGS_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "sim/cli/watch.h"
#include "sim/simulation.h"
#include "sim/tape.h"

namespace holdfast {

// simulate's command line.
struct SimulateFlags {
  uint64_t seed = 1;
  uint64_t seeds = 1;
  uint32_t nodes = 0;    // 0: drawn by the seed
  uint32_t clients = 0;  // likewise
  uint64_t jobs = 1;
  Duration duration = 60s;
  bool json = false;
  bool verbose = false;
  bool check_determinism = false;
  bool help = false;
  std::string rare_paths;  // a file
  std::string tape_dir = ".";
  std::optional<Tape> tape;  // to replay
  WatchFlags watch;
};

extern const char kSimulateUsage[];

// INVALID_ARGUMENT with what is wrong.
absl::StatusOr<SimulateFlags> ParseSimulateFlags(int argc, char** argv);

SimulationOptions OptionsFor(const SimulateFlags& flags, uint64_t seed);

// What shows that seed's run again.
std::string CommandFor(const SimulateFlags& flags, uint64_t seed);

// The options that belong on a tape of that run.
void WriteOptions(const SimulateFlags& flags, uint64_t seed, Tape* tape);

}  // namespace holdfast

#endif  // HOLDFAST_SIM_CLI_FLAGS_H_
