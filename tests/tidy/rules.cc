#include "tests/tidy/rules.h"

#include <cstddef>
#include <initializer_list>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "tests/tidy/determinism.h"
#include "tests/tidy/source.h"

namespace holdfast::tidy {
namespace {

// About 600 is the aim; beyond this a file does more than one thing.
constexpr size_t kLinesMax = 700;

// A folder and what its files may include besides their own folder. The first
// row that a path starts with counts.
struct Layer {
  absl::string_view folder;
  std::initializer_list<absl::string_view> may_include;
};

constexpr Layer kLayers[] = {
    // Even the layout of a batch is in base: the client writes it, the log and
    // the disk read it.
    {"engine/base/", {}},
    {"engine/raft/", {"engine/base/"}},
    {"engine/env/", {"engine/base/"}},
    {"engine/wal/", {"engine/env/", "engine/base/"}},
    {"engine/peer/", {"engine/env/", "engine/base/"}},
    {"engine/client/", {"engine/peer/", "engine/env/", "engine/base/"}},
    {"engine/node/",
     {"engine/wal/", "engine/peer/", "engine/raft/", "engine/env/",
      "engine/base/"}},
    {"engine/log/",
     {"engine/node/", "engine/wal/", "engine/peer/", "engine/raft/",
      "engine/env/", "engine/base/"}},
    {"engine/service/",
     {"engine/log/", "engine/node/", "engine/wal/", "engine/peer/",
      "engine/raft/", "engine/env/", "engine/base/"}},
    // A new folder in engine/ needs a row above.
    {"engine/", {}},
    {"transport/", {"engine/"}},
    // The TLS mode wraps the real TLS connection around a simulated one.
    {"sim/tls", {"engine/", "sim/", "transport/tls"}},
    {"sim/", {"engine/"}},
    {"fuzz/", {"engine/", "sim/", "transport/", "tests/"}},
    {"bench/", {"engine/", "sim/", "transport/"}},
    {"tests/", {"engine/", "sim/", "transport/"}},
    {"tools/", {"engine/", "sim/", "transport/"}},
};

// Quoted includes that are not ours.
constexpr absl::string_view kLibraries[] = {"absl/", "benchmark/", "gmock/",
                                            "google/protobuf/", "gtest/"};

bool StartsWithAny(absl::string_view path,
                   std::initializer_list<absl::string_view> prefixes) {
  return absl::c_any_of(prefixes, [&](absl::string_view prefix) {
    return absl::StartsWith(path, prefix);
  });
}

// What an #include or import line names in quotes, or nothing.
absl::string_view QuotedInclude(absl::string_view line) {
  if (!absl::ConsumePrefix(&line, "#include \"") &&
      !absl::ConsumePrefix(&line, "import public \"") &&
      !absl::ConsumePrefix(&line, "import \"")) {
    return {};
  }
  return line.substr(0, line.find('"'));
}

// Simulated code: everything in these folders but the simulator's command
// line, which reads flags, files and the machine's clock like any program, and
// tests, which read theirs.
bool IsSimulated(absl::string_view path) {
  if (absl::EndsWith(path, "_test.cc")) return false;
  if (absl::StartsWith(path, "engine/")) return true;
  return absl::StartsWith(path, "sim/") &&
         !absl::StartsWith(path, "sim/cli/") &&
         !absl::EndsWith(path, "_main.cc");
}

std::string HeaderGuard(absl::string_view path) {
  return absl::StrCat("HOLDFAST_",
                      absl::AsciiStrToUpper(absl::StrReplaceAll(
                          path, {{"/", "_"}, {".", "_"}, {"-", "_"}})),
                      "_");
}

class Checker {
 public:
  Checker(absl::string_view path, absl::string_view contents)
      : path_(path), source_(ParseSource(contents)) {}

  std::vector<Finding> Check() {
    const bool proto = absl::EndsWith(path_, ".proto");
    if (absl::EndsWith(path_, ".h")) CheckHeaderGuard();
    if (absl::EndsWith(path_, "BUILD.bazel")) {
      CheckVisibility();
      return std::move(findings_);
    }
    CheckIncludes();
    CheckLength();
    CheckUnfinished();
    if (proto) CheckNoMaps();
    if (!proto && IsSimulated(path_)) {
      for (Finding& finding : CheckDeterminism(path_, source_)) {
        findings_.push_back(std::move(finding));
      }
    }
    return std::move(findings_);
  }

 private:
  void Report(size_t i, std::string what) {
    findings_.push_back(
        {.line = static_cast<int>(i) + 1, .what = std::move(what)});
  }

  void CheckHeaderGuard() {
    const std::string guard = HeaderGuard(path_);
    size_t i = 0;
    while (i < source_.code.size() &&
           absl::StripAsciiWhitespace(source_.code[i]).empty()) {
      ++i;
    }
    if (i + 1 >= source_.code.size() ||
        source_.code[i] != absl::StrCat("#ifndef ", guard) ||
        source_.code[i + 1] != absl::StrCat("#define ", guard)) {
      Report(i, absl::StrCat("the header guard must be ", guard));
    }
  }

  void CheckIncludes() {
    const Layer* layer = absl::c_find_if(kLayers, [&](const Layer& row) {
      return absl::StartsWith(path_, row.folder);
    });
    for (size_t i = 0; i < source_.text.size(); ++i) {
      const absl::string_view include = QuotedInclude(source_.text[i]);
      if (include.empty() ||
          absl::c_any_of(kLibraries, [&](absl::string_view library) {
            return absl::StartsWith(include, library);
          })) {
        continue;
      }
      if (layer == std::end(kLayers)) {
        Report(i, "this folder has no row in the table of layers");
      } else if (!absl::StartsWith(include, layer->folder) &&
                 !StartsWithAny(include, layer->may_include)) {
        Report(i, absl::StrCat(layer->folder, " may not include ", include));
      }
    }
  }

  void CheckLength() {
    if (source_.raw.size() > kLinesMax) {
      Report(kLinesMax, absl::StrCat(source_.raw.size(), " lines; at most ",
                                     kLinesMax, ": split it by idea"));
    }
  }

  void CheckUnfinished() {
    // Put together, so that this file itself passes.
    for (const std::string& mark :
         {absl::StrCat("TO", "DO"), absl::StrCat("FIX", "ME")}) {
      for (size_t i = 0; i < source_.raw.size(); ++i) {
        if (HasName(source_.raw[i], mark)) {
          Report(i, absl::StrCat(mark, ": do it, or drop it"));
        }
      }
    }
  }

  void CheckNoMaps() {
    for (size_t i = 0; i < source_.code.size(); ++i) {
      if (HasName(source_.code[i], "map") &&
          absl::StrContains(source_.code[i], "<")) {
        Report(i, "a Protobuf map has no order: use a repeated message");
      }
    }
  }

  void CheckVisibility() {
    if (!StartsWithAny(path_, {"engine/", "sim/", "transport/"})) return;
    for (size_t i = 0; i < source_.raw.size(); ++i) {
      if (absl::StrContains(source_.raw[i], "//visibility:public")) {
        Report(i, "name the group of users in the root BUILD.bazel instead");
      }
    }
  }

  const absl::string_view path_;
  const Source source_;
  std::vector<Finding> findings_;
};

}  // namespace

std::vector<Finding> CheckFile(absl::string_view path,
                               absl::string_view contents) {
  return Checker(path, contents).Check();
}

}  // namespace holdfast::tidy
