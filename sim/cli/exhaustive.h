#ifndef HOLDFAST_SIM_CLI_EXHAUSTIVE_H_
#define HOLDFAST_SIM_CLI_EXHAUSTIVE_H_

#include <functional>

#include "sim/cli/flags.h"

namespace holdfast {

// `simulate exhaustive`: the small scope with each fault at each place, a run
// each, whatever fails. The first run of each kind of failure is reported, with
// its tape; prints how many runs there were of each kind of case, and a
// summary. Returns the exit code: of the gravest failure. `prepare` is given
// each run's simulation before it starts.
int ExhaustiveCommand(
    const SimulateFlags& flags,
    const std::function<void(Simulation*)>& prepare = nullptr);

}  // namespace holdfast

#endif  // HOLDFAST_SIM_CLI_EXHAUSTIVE_H_
