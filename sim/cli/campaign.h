#ifndef HOLDFAST_SIM_CLI_CAMPAIGN_H_
#define HOLDFAST_SIM_CLI_CAMPAIGN_H_

#include <functional>

#include "sim/cli/flags.h"

namespace holdfast {

// `simulate campaign`: runs all its seeds, whatever fails, and tells which
// failures are different ones, with a command for each. Returns the exit code.
// With --state it can be ended at any moment, and goes on from there when it is
// run again. `prepare`: of each run, for tests.
int CampaignCommand(const SimulateFlags& flags,
                    const std::function<void(Simulation*)>& prepare = nullptr);

}  // namespace holdfast

#endif  // HOLDFAST_SIM_CLI_CAMPAIGN_H_
