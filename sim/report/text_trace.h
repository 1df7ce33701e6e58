#ifndef HOLDFAST_SIM_REPORT_TEXT_TRACE_H_
#define HOLDFAST_SIM_REPORT_TEXT_TRACE_H_

#include <string>

#include "sim/report/recording.h"

namespace holdfast {

// A run as text, an event a line: its number, when, whose, of what kind, and
// what it did:
//
//   #33120 12.345678901s server 2 read-done takes VoteRequest (term=7
//   last=12/6) from server 1; begins write of 512 bytes at 0, hard-state-a
//
// (on one line). The violation, if there is one, has a line of its own behind
// its event.
std::string TextTrace(const Recording& recording, const TimeWindow& window);

// The line of one event; empty if there is none of that number.
std::string EventLine(const Recording& recording, uint64_t number);

}  // namespace holdfast

#endif  // HOLDFAST_SIM_REPORT_TEXT_TRACE_H_
