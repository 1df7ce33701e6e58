#ifndef HOLDFAST_SIM_SETUP_H_
#define HOLDFAST_SIM_SETUP_H_

#include <cstdint>

#include "engine/service/service.h"
#include "sim/chance.h"

namespace holdfast {

struct SimulationOptions;

// What a run's seed says of it before anything happens.

// What isn't given is drawn.
SimulationOptions DrawSetup(SimulationOptions options, Chance* chance);
// Of a world with these options, all of which are set: what each server has.
ServiceOptions DrawService(const SimulationOptions& options, Chance* chance);
// Makes a server's options others, with which it may be started at any time, as
// the value says. `leases`: it may use them.
void VaryService(uint64_t value, bool leases, ServiceOptions* service);

}  // namespace holdfast

#endif  // HOLDFAST_SIM_SETUP_H_
