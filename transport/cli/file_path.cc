#include "transport/cli/file_path.h"

#include <filesystem>

#include "absl/strings/str_cat.h"

namespace holdfast {

absl::StatusOr<FilePath> ParseFilePath(const char* flag,
                                       const std::string& text) {
  const std::filesystem::path path(text);
  FilePath parts{path.parent_path().string(), path.filename().string()};
  if (parts.directory.empty()) parts.directory = ".";
  std::error_code error;
  if (parts.name.empty() ||
      !std::filesystem::is_directory(parts.directory, error)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--", flag, ": expected a file in a directory that is there, found \"",
        text, "\""));
  }
  return parts;
}

}  // namespace holdfast
