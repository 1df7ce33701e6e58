#include "sim/report/page.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "sim/report/page_data.h"
#include "sim/report/page_parts.h"

namespace holdfast {

std::string Page(const Recording& recording, const TimeWindow& window,
                 const PageInfo& info) {
  return absl::StrReplaceAll(kPageHtml,
                             {{"{{seed}}", absl::StrCat(info.seed)},
                              {"{{style}}", kPageStyle},
                              {"{{script}}", kPageScript},
                              {"{{data}}", PageData(recording, window, info)}});
}

}  // namespace holdfast
