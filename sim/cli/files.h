#ifndef HOLDFAST_SIM_CLI_FILES_H_
#define HOLDFAST_SIM_CLI_FILES_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace holdfast {

absl::StatusOr<std::string> ReadWholeFile(const std::string& path);

// All of it or nothing: whoever dies in between leaves what was there before.
absl::Status ReplaceFile(const std::string& path, absl::string_view contents);

// git's HEAD in the source tree that `bazel run` was called in, or the working
// directory; empty: it is no git work tree. For whoever looks for the code that
// was built: this may be another one (kCodeId tells), or have changes.
std::string Revision();

}  // namespace holdfast

#endif  // HOLDFAST_SIM_CLI_FILES_H_
