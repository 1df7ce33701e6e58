#ifndef HOLDFAST_TESTS_TIDY_DETERMINISM_H_
#define HOLDFAST_TESTS_TIDY_DETERMINISM_H_

#include <vector>

#include "absl/strings/string_view.h"
#include "tests/tidy/rules.h"
#include "tests/tidy/source.h"

namespace holdfast::tidy {

// The rules of determinism that text can show: no thread, clock, randomness,
// environment or OS call, no order that depends on hashes or addresses, and no
// state outside objects. For files in engine/ and sim/.
std::vector<Finding> CheckDeterminism(absl::string_view path,
                                      const Source& source);

}  // namespace holdfast::tidy

#endif  // HOLDFAST_TESTS_TIDY_DETERMINISM_H_
