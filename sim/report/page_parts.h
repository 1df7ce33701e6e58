#ifndef HOLDFAST_SIM_REPORT_PAGE_PARTS_H_
#define HOLDFAST_SIM_REPORT_PAGE_PARTS_H_

namespace holdfast {

// The files of sim/report/page, which the build puts into the program.
extern const char kPageHtml[];
extern const char kPageStyle[];
extern const char kPageScript[];

}  // namespace holdfast

#endif  // HOLDFAST_SIM_REPORT_PAGE_PARTS_H_
