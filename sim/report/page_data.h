#ifndef HOLDFAST_SIM_REPORT_PAGE_DATA_H_
#define HOLDFAST_SIM_REPORT_PAGE_DATA_H_

#include <string>

#include "sim/report/page.h"
#include "sim/report/recording.h"

namespace holdfast {

// A window of a run as JSON, for page/data.js: lists by columns, of which those
// that rise hold differences, and texts by their number in a table. It can
// stand within a <script> element.
std::string PageData(const Recording& recording, const TimeWindow& window,
                     const PageInfo& info);

}  // namespace holdfast

#endif  // HOLDFAST_SIM_REPORT_PAGE_DATA_H_
