#ifndef HOLDFAST_SIM_CLI_SEEDS_H_
#define HOLDFAST_SIM_CLI_SEEDS_H_

#include <functional>

#include "sim/cli/flags.h"

namespace holdfast {

// `simulate` without a command: runs seeds, up to the first that fails, and
// prints a summary. Returns the exit code. `prepare`: of each run, for tests.
int RunSeedsCommand(const SimulateFlags& flags,
                    const std::function<void(Simulation*)>& prepare = nullptr);

}  // namespace holdfast

#endif  // HOLDFAST_SIM_CLI_SEEDS_H_
