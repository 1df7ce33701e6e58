#ifndef HOLDFAST_SIM_CLI_DIFF_H_
#define HOLDFAST_SIM_CLI_DIFF_H_

#include "sim/cli/flags.h"

namespace holdfast {

// `simulate diff`: runs each seed in two processes, one of this program and one
// of --with, or of this program again, whose heaps, stacks and addresses are
// unlike. Of the first seed whose runs differ it tells the first event that
// does; and it tells what else fails, in both alike. Returns the exit code:
// kExitDifferent, or that of the gravest failure, or kExitUsage.
int DiffCommand(const SimulateFlags& flags);

}  // namespace holdfast

#endif  // HOLDFAST_SIM_CLI_DIFF_H_
