#ifndef HOLDFAST_SIM_CLI_COMMANDS_H_
#define HOLDFAST_SIM_CLI_COMMANDS_H_

#include <functional>

#include "sim/simulation.h"

namespace holdfast {

// All of the program: does what its command line says, and returns the exit
// code. `prepare` is given each run's simulation before it starts, for a test's
// own program; a run that another program is to do (`diff`) is that one's.
int SimulateMain(int argc, char** argv,
                 const std::function<void(Simulation*)>& prepare = nullptr);

}  // namespace holdfast

#endif  // HOLDFAST_SIM_CLI_COMMANDS_H_
