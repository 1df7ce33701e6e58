#include "transport/cli/command.h"

#include <cstdio>
#include <string>

namespace holdfast {

int Fail(int code, absl::string_view problem) {
  std::fprintf(stderr, "holdfast: %s\n", std::string(problem).c_str());
  return code;
}

int FailWith(const absl::Status& status) {
  int code = kExitFailed;
  if (absl::IsInvalidArgument(status)) code = kExitUsage;
  if (absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status)) {
    code = kExitUnknown;
  }
  return Fail(code, status.message());
}

}  // namespace holdfast
