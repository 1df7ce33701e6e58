#ifndef HOLDFAST_TRANSPORT_CLI_FILE_PATH_H_
#define HOLDFAST_TRANSPORT_CLI_FILE_PATH_H_

#include <string>

#include "absl/status/statusor.h"

namespace holdfast {

// A file, as a Disk over its directory takes it.
struct FilePath {
  std::string directory;
  std::string name;
};

// INVALID_ARGUMENT, naming the flag, unless the directory is there.
absl::StatusOr<FilePath> ParseFilePath(const char* flag,
                                       const std::string& text);

}  // namespace holdfast

#endif  // HOLDFAST_TRANSPORT_CLI_FILE_PATH_H_
