#ifndef HOLDFAST_SIM_REPORT_SENTENCES_H_
#define HOLDFAST_SIM_REPORT_SENTENCES_H_

#include <string>

#include "sim/report/recording.h"

namespace holdfast {

// What is in a Recording, in words.

// "write of 512 bytes at 4096, log-7"
std::string ToString(const Recording::DiskOperation& operation);
// "append of 2 records, m101-1-7- on"
std::string ToString(const Recording::Call& call);
// "done: at offset 12"
std::string ResultOf(const Recording::Call& call);
// "leader of term 3, voted for 2, log up to 9 (8 durable), committed 7"
std::string ToString(const Recording::State& state);
// "server 2 loses power", "nothing gets from server 1 to server 2"
std::string ToString(const Incident& incident);
// Of a step of the run, as a part of its line.
std::string ToString(const Recording& recording, const Recording::Fact& fact);

}  // namespace holdfast

#endif  // HOLDFAST_SIM_REPORT_SENTENCES_H_
