#ifndef HOLDFAST_SIM_REPORT_PAGE_H_
#define HOLDFAST_SIM_REPORT_PAGE_H_

#include <cstdint>
#include <string>

#include "sim/report/recording.h"

namespace holdfast {

struct PageInfo {
  uint64_t seed = 0;
  std::string command;  // that shows the run again
};

// A run as one HTML page that needs nothing else: a time-space diagram, which
// opens where the run broke, if it did. sim/report/page/ has its parts.
std::string Page(const Recording& recording, const TimeWindow& window,
                 const PageInfo& info);

}  // namespace holdfast

#endif  // HOLDFAST_SIM_REPORT_PAGE_H_
