#ifndef HOLDFAST_SIM_SETUP_H_
#define HOLDFAST_SIM_SETUP_H_

#include <cstdint>

#include "engine/service/service.h"
#include "sim/chance.h"
#include "sim/sim_client.h"

namespace holdfast {

struct SimulationOptions;

// What a run's seed says of it before anything happens.

// What isn't given is drawn.
SimulationOptions DrawSetup(SimulationOptions options, Chance* chance);
// Of a world with these options, all of which are set: what each server has.
ServiceOptions DrawService(const SimulationOptions& options, Chance* chance);
// And the i-th client, but for its servers.
SimClientOptions DrawClient(const SimulationOptions& options, uint32_t i,
                            Chance* chance);
// How long a client may have to wait for its place at a server.
Duration PlaceMax(const SimulationOptions& options);
// Whether that server may use leases.
bool DrawLeases(const SimulationOptions& options, uint32_t machine,
                Chance* chance);
// Of what else has such a site, for each server or client.
uint64_t Drawn(Chance* chance, const ChanceSite& site, uint32_t id,
               uint64_t bound);
// Makes a server's options others, with which it may be started at any time, as
// the value says. `leases`: it may use them.
void VaryService(uint64_t value, bool leases, ServiceOptions* service);

}  // namespace holdfast

#endif  // HOLDFAST_SIM_SETUP_H_
