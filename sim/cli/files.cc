#include "sim/cli/files.h"

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace holdfast {
namespace {

// Empty: there is none.
std::string FirstLine(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// "HASH refs/heads/NAME" in the file of those that are packed.
std::string PackedHash(const std::string& path, absl::string_view ref) {
  std::ifstream file(path);
  std::string line;
  while (std::getline(file, line)) {
    if (absl::EndsWith(line, absl::StrCat(" ", ref))) {
      return line.substr(0, line.find(' '));
    }
  }
  return "";
}

}  // namespace

absl::StatusOr<std::string> ReadWholeFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return absl::NotFoundError(absl::StrCat("can't read ", path));
  return std::string(std::istreambuf_iterator<char>(file),
                     std::istreambuf_iterator<char>());
}

absl::Status ReplaceFile(const std::string& path, absl::string_view contents) {
  const std::string fresh = absl::StrCat(path, ".new");
  std::ofstream file(fresh, std::ios::binary);
  file << contents;
  file.close();
  if (!file || std::rename(fresh.c_str(), path.c_str()) != 0) {
    return absl::UnavailableError(absl::StrCat("can't write ", path));
  }
  return absl::OkStatus();
}

std::string Revision() {
  const char* workspace = std::getenv("BUILD_WORKSPACE_DIRECTORY");
  std::string git =
      absl::StrCat(workspace == nullptr ? "." : workspace, "/.git");
  // In a linked work tree it is a file that says where its own folder is; that
  // says where the common one is.
  const std::string link = FirstLine(git);
  std::string common = git;
  if (absl::StartsWith(link, "gitdir: ")) {
    git = common = link.substr(8);
    const std::string to_common = FirstLine(absl::StrCat(git, "/commondir"));
    if (!to_common.empty()) common = absl::StrCat(git, "/", to_common);
  }
  const std::string head = FirstLine(absl::StrCat(git, "/HEAD"));
  absl::string_view ref = head;
  if (!absl::ConsumePrefix(&ref, "ref: ")) return head;
  const std::string hash = FirstLine(absl::StrCat(common, "/", ref));
  return hash.empty() ? PackedHash(absl::StrCat(common, "/packed-refs"), ref)
                      : hash;
}

}  // namespace holdfast
