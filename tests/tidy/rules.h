#ifndef HOLDFAST_TESTS_TIDY_RULES_H_
#define HOLDFAST_TESTS_TIDY_RULES_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace holdfast::tidy {

struct Finding {
  int line = 0;  // from 1
  std::string what;
};

// What is wrong with one file. `path` is from the root of the tree and decides
// which rules hold:
//
//   *.h *.cc     length, header guard, no unfinished-work marks
//                in engine/ and sim/ also the rules of determinism, but for the
//                simulator's command line (sim/cli/, sim/*_main.cc)
//   *.h *.cc *.proto   the direction of includes
//   *.proto      no maps
//   BUILD.bazel  private by default
//
// It looks at text, so it finds slips, not sabotage.
std::vector<Finding> CheckFile(absl::string_view path,
                               absl::string_view contents);

}  // namespace holdfast::tidy

#endif  // HOLDFAST_TESTS_TIDY_RULES_H_
