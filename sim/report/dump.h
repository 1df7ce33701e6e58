#ifndef HOLDFAST_SIM_REPORT_DUMP_H_
#define HOLDFAST_SIM_REPORT_DUMP_H_

#include <string>

#include "sim/report/recording.h"
#include "sim/simulation.h"

namespace holdfast {

// What all is like now: of each server its role, term, vote, log, commit,
// configuration, its view of its peers, its connections, its disk; what clients
// wait for; links that are cut. Between two events, of a run that was watched
// from its beginning.
std::string Dump(Simulation* simulation, const Recording& recording);

}  // namespace holdfast

#endif  // HOLDFAST_SIM_REPORT_DUMP_H_
