#ifndef HOLDFAST_SIM_CLI_HASHES_H_
#define HOLDFAST_SIM_CLI_HASHES_H_

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "sim/cli/flags.h"
#include "sim/cli/jobs.h"
#include "sim/cli/run.h"

namespace holdfast {

// A run as one program tells it to another (`simulate --hashes`): its options,
// drawn ones too, its trace hash after each event, and how it ended.
//
//   holdfast-hashes 1
//   option seed 42
//   option nodes 3
//   0 6a09e667f3bcc908
//   1 bb67ae8584caa73b
//   ...
//   outcome
//   (RunOutcome::ToText)
//
// Nothing of its code: whether runs of other code are the same may be just what
// is asked. What happens between two events counts as the later one's; what
// does before the simulation starts, as event 0's.

// Writes that on stdout, of that one run. Returns the exit code. `prepare`: of
// the run, for tests.
int HashesCommand(const SimulateFlags& flags,
                  const std::function<void(Simulation*)>& prepare = nullptr);

struct HashedRun {
  std::string lines;   // all before the outcome
  RunOutcome outcome;  // a crash, if the process ended without one
  // If it did, as one does that is killed or that a sanitizer ends, what it
  // told last is lost.
  bool complete = true;
  std::string errors;  // what it wrote to stderr
};

// Of the process that ran it. INVALID_ARGUMENT, with how it ended instead, if
// it isn't a program that tells its run in this way.
absl::StatusOr<HashedRun> HashedRunOf(JobPool::Result job);

// The first thing that isn't the same in two runs.
struct RunDifference {
  enum class In : uint8_t {
    kOptions,  // what is run
    kEvent,    // or only one of them has that event
    kLost,     // one has lost that event, and all that followed
    kEnd,      // how they ended, or what they counted
  };
  In in = In::kOptions;
  uint64_t event = 0;  // its number
  // The line that differs, of each, or how the run ended before it.
  std::array<std::string, 2> lines;
};
// Nothing: they are the same, to their ends.
std::optional<RunDifference> FirstDifference(const HashedRun& one,
                                             const HashedRun& other);

}  // namespace holdfast

#endif  // HOLDFAST_SIM_CLI_HASHES_H_
