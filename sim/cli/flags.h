#ifndef HOLDFAST_SIM_CLI_FLAGS_H_
#define HOLDFAST_SIM_CLI_FLAGS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "sim/cli/watch.h"
#include "sim/simulation.h"
#include "sim/tape.h"

namespace holdfast {

enum class SimulateCommand { kRun, kShrink, kCampaign, kExhaustive, kDiff };

// simulate's command line.
struct SimulateFlags {
  SimulateCommand command = SimulateCommand::kRun;

  // What a run is a function of; a tape brings all of it.
  uint64_t seed = 1;
  Duration duration = 60s;
  uint32_t nodes = 0;              // 0: drawn by the seed
  uint32_t clients = 0;            // likewise
  std::optional<uint32_t> spares;  // nothing: likewise
  std::optional<bool> changes;
  std::optional<bool> trims;
  std::optional<bool> transfers;
  std::optional<bool> admin;
  std::optional<bool> kv;
  std::optional<bool> leases;
  std::optional<bool> scrub;
  std::optional<bool> tails;
  std::optional<bool> reads;
  std::optional<bool> conditions;
  std::optional<bool> names_servers;
  std::optional<bool> minority_down;
  bool drift = true;
  bool settle = true;
  bool tls = false;
  bool damage = true;
  bool beyond_model = false;
  uint32_t operations = 0;   // of each client; 0: no bound
  std::optional<Tape> tape;  // whose faults are replayed

  uint64_t seeds = 1;
  uint64_t jobs = 1;
  bool json = false;
  bool verbose = false;
  bool help = false;
  bool check_determinism = false;
  WatchFlags watch;        // of a single run
  bool hashes = false;     // likewise: see sim/cli/hashes.h
  std::string rare_paths;  // files, with commas between them
  std::string paths_out;   // a file; empty: none
  std::string tape_dir = ".";
  std::string state;       // campaign: a file; empty: none
  std::string with;        // diff: a program; empty: this one
  std::string out;         // shrink: the smallest tape
  Duration effort = 5min;  // shrink: of real time
};

extern const char kSimulateUsage[];

// INVALID_ARGUMENT with what is wrong, in one line.
absl::StatusOr<SimulateFlags> ParseSimulateFlags(int argc, char** argv);

SimulationOptions OptionsFor(const SimulateFlags& flags, uint64_t seed);

// The same run, with what the seed drew given.
SimulateFlags WithDrawn(const SimulateFlags& flags,
                        const SimulationOptions& drawn);

// Those of the run on a tape, which they hold; INVALID_ARGUMENT with the option
// that this code doesn't know.
absl::StatusOr<SimulateFlags> FlagsOfTape(Tape tape);

// Flags that are that seed's run, for this program or another build of it.
std::vector<std::string> ArgumentsFor(const SimulateFlags& flags,
                                      uint64_t seed);
// What shows that seed's run again.
std::string CommandFor(const SimulateFlags& flags, uint64_t seed);
std::string CommandForTape(const std::string& path);

// The options that belong on a tape of that run.
void WriteOptions(const SimulateFlags& flags, uint64_t seed, Tape* tape);

}  // namespace holdfast

#endif  // HOLDFAST_SIM_CLI_FLAGS_H_
