#ifndef HOLDFAST_SIM_CLI_SHRINK_H_
#define HOLDFAST_SIM_CLI_SHRINK_H_

#include <functional>

#include "sim/cli/flags.h"

namespace holdfast {

// `simulate shrink`: makes a failing run as small as it gets, writes its tape,
// and says how large it was and is. Returns the exit code. `prepare`: of each
// run, for tests.
int ShrinkCommand(const SimulateFlags& flags,
                  const std::function<void(Simulation*)>& prepare = nullptr);

}  // namespace holdfast

#endif  // HOLDFAST_SIM_CLI_SHRINK_H_
