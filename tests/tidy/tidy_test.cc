// Style checked by a test, not by a reviewer: first the rules themselves on
// snippets, then the rules on the tree.

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/tidy/rules.h"
#include "tests/tidy/source.h"

namespace holdfast::tidy {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

// The findings as "line: what", for a source file of the engine.
std::vector<std::string> Check(absl::string_view contents,
                               absl::string_view path = "engine/log/x.cc") {
  std::vector<std::string> found;
  for (const Finding& finding : CheckFile(path, contents)) {
    found.push_back(absl::StrCat(finding.line, ": ", finding.what));
  }
  return found;
}

std::vector<std::string> MutableStatics(absl::string_view contents) {
  std::vector<std::string> found;
  for (const Variable& variable : FindMutableStatics(ParseSource(contents))) {
    found.push_back(absl::StrCat(variable.line, ": ", variable.declaration));
  }
  return found;
}

TEST(ParseSource, BlanksCommentsAndLiterals) {
  const Source source = ParseSource(
      "int a = 1'000; // std::mutex\n"
      "f(\"a // \\\" b\", '\"'); /* x\n"
      "y */ g(R\"x(\n"
      "\")x\");\n");
  EXPECT_THAT(source.text, ElementsAre("int a = 1'000;              ",
                                       "f(\"a // \\\" b\", '\"');     ",
                                       "     g(R\"x(", "\")x\");"));
  EXPECT_THAT(source.code, ElementsAre("int a = 1'000;              ",
                                       "f(\"         \", ' ');     ",
                                       "     g(R\"  ", "   \");"));
}

TEST(HasName, FindsWholeNamesOnly) {
  EXPECT_TRUE(HasName("a(std::mutex& m)", "std::mutex"));
  EXPECT_FALSE(HasName("std::mutexes m", "std::mutex"));
  EXPECT_FALSE(HasName("MyStd::mutex m; notstd::mutex n", "std::mutex"));
}

TEST(HasCall, TellsCallsFromMethodsAndDeclarations) {
  for (absl::string_view call :
       {"x = time(nullptr);", "return time(0);", "::time(0)", "f(time(0))",
        "std::time(nullptr)", "time(&t);"}) {
    EXPECT_TRUE(HasCall(call, "time")) << call;
  }
  for (absl::string_view other :
       {"x.time(0)", "x->time()", "Instant time() const;", "const T& time();",
        "log_time(3)", "Entry::time(3)"}) {
    EXPECT_FALSE(HasCall(other, "time")) << other;
  }
}

TEST(MutableStatics, FindsGlobals) {
  EXPECT_THAT(MutableStatics("namespace a {\n"
                             "int g_count = 0;\n"
                             "const char* name = \"x\";\n"
                             "static std::function<void()> hook;\n"
                             "inline std::map<int, int> m{{1, 2}};\n"
                             "extern int elsewhere;\n"
                             "}  // namespace a\n"),
              ElementsAre("2: int g_count", "3: const char* name",
                          "4: static std::function hook",
                          "5: inline std::map m", "6: extern int elsewhere"));
}

TEST(MutableStatics, FindsFunctionStatics) {
  EXPECT_THAT(
      MutableStatics("int F() {\n"
                     "  static int calls = 0;\n"
                     "  if (calls) {\n"
                     "    static const std::string s{\"x\"};\n"
                     "  }\n"
                     "  G([&] { static T t; });\n"
                     "}\n"
                     "int g;\n"),
      ElementsAre("2: static int calls", "4: static const std::string s",
                  "6: static T t", "8: int g"));
}

TEST(MutableStatics, FindsStaticMembers) {
  EXPECT_THAT(MutableStatics("class A : public B<int(int)> {\n"
                             " public:\n"
                             "  A() : x_{1}, y_(2) {}\n"
                             "  static A Make(int x = 3);\n"
                             "  static constexpr int kA = 1;\n"
                             "  static const int kB = 1;\n"
                             " private:\n"
                             "  static int count_;\n"
                             "  int x_ = 0;\n"
                             "};\n"
                             "int A::count_ = 0;\n"),
              ElementsAre("8: static int count_", "11: int A::count_"));
}

TEST(MutableStatics, PassesWhatIsNotAMutableVariable) {
  EXPECT_THAT(MutableStatics("#define X \\\n"
                             "  int y;\n"
                             "using A = int;\n"
                             "class B;\n"
                             "extern \"C\" {\n"
                             "int F(int a = 3, B b = {}, int c = 4);\n"
                             "}\n"
                             "constexpr int kA[] = {1, 2};\n"
                             "const int kB = 3;\n"
                             "const char* const kC = \"x\";\n"
                             "template <typename T = int>\n"
                             "void G(int a = 3) {\n"
                             "  int local = 0;\n"
                             "  static constexpr int kD = 1;\n"
                             "  auto x = static_cast<int>(local);\n"
                             "}\n"
                             "bool operator<(A a, A b) { return a < b; }\n"
                             "enum class E : int { kA = 1, kB };\n"
                             "struct S {\n"
                             "  S() : a{1} {}\n"
                             "  int a = 3;\n"
                             "  std::vector<int> b{1, 2};\n"
                             "};\n"
                             "A::A() : a_(1), b_{2} {\n"
                             "  int z;\n"
                             "}\n"
                             "TEST(A, B) {\n"
                             "  int z;\n"
                             "}\n"),
              IsEmpty());
}

TEST(Determinism, FindsWhatItsRulesName) {
  for (absl::string_view line : {
           "std::thread t;",
           "absl::MutexLock lock(&mutex);",
           "thread_local int x;",
           "auto now = std::chrono::steady_clock::now();",
           "absl::Time t = absl::Now();",
           "x = time(nullptr);",
           "std::mt19937 g;",
           "absl::BitGen g;",
           "const char* home = std::getenv(kHome);",
           "std::unordered_map<int, int> m;",
           "absl::flat_hash_map<int, int> m;",
           "std::set<Node*> nodes;",
           "std::map<const Node*, int> m;",
           "printf(\"%p\", x);",
           "auto n = reinterpret_cast<uintptr_t>(x);",
           "return std::strerror(errno);",
           "#include <sys/stat.h>",
           "#include <unistd.h>",
           "#include <openssl/ssl.h>",
           "#include \"absl/random/random.h\"",
       }) {
    const std::string body = absl::StartsWith(line, "#")
                                 ? std::string(line)
                                 : absl::StrCat("void F() {\n", line, "\n}");
    EXPECT_THAT(Check(body), Not(IsEmpty())) << line;
    EXPECT_THAT(Check(body, "sim/disk.cc"), Not(IsEmpty())) << line;
    EXPECT_THAT(Check(body, "transport/disk.cc"), IsEmpty()) << line;
    EXPECT_THAT(Check(body, "sim/cli/main.cc"), IsEmpty()) << line;
    EXPECT_THAT(Check(body, "sim/simulate_main.cc"), IsEmpty()) << line;
  }
}

TEST(Determinism, PassesPlainCode) {
  EXPECT_THAT(Check("// std::thread, time(0) and %p are forbidden.\n"
                    "void F() {\n"
                    "  std::map<NodeId, Node*> nodes;\n"
                    "  Log(\"std::mutex time(0)\");\n"
                    "  loop_->time(3);\n"
                    "}\n"),
              IsEmpty());
}

TEST(Determinism, OnlyTheLookupMapIsMadeOfAHashTable) {
  constexpr absl::string_view kMap =
      "#ifndef HOLDFAST_ENGINE_BASE_LOOKUP_MAP_H_\n"
      "#define HOLDFAST_ENGINE_BASE_LOOKUP_MAP_H_\n"
      "class A {\n"
      "  absl::flat_hash_map<int, int> map_;\n"
      "};\n"
      "#endif\n";
  EXPECT_THAT(Check(kMap, "engine/base/lookup_map.h"), IsEmpty());
}

TEST(Includes, PointOneWay) {
  const std::map<std::string, std::vector<std::string>> allowed = {
      {"engine/raft/a.cc", {"engine/base/", "engine/raft/"}},
      {"engine/env/a.cc", {"engine/base/", "engine/env/"}},
      {"engine/wal/a.cc", {"engine/base/", "engine/env/", "engine/wal/"}},
      {"engine/client/a.cc",
       {"engine/base/", "engine/env/", "engine/peer/", "engine/client/"}},
      {"engine/node/a.cc",
       {"engine/base/", "engine/env/", "engine/raft/", "engine/wal/",
        "engine/peer/", "engine/node/"}},
      {"transport/a.cc",
       {"engine/base/", "engine/env/", "engine/raft/", "engine/wal/",
        "engine/peer/", "engine/node/", "engine/log/", "engine/service/",
        "engine/client/", "transport/"}},
  };
  for (const auto& [path, folders] : allowed) {
    for (std::string folder :
         {"engine/base/", "engine/env/", "engine/raft/", "engine/wal/",
          "engine/peer/", "engine/node/", "engine/log/", "engine/service/",
          "engine/client/", "transport/", "sim/", "tests/"}) {
      const auto findings =
          Check(absl::StrCat("#include \"", folder, "b.h\"\n"), path);
      EXPECT_EQ(findings.empty(),
                testing::Value(folders, testing::Contains(folder)))
          << path << " " << folder;
    }
  }
}

TEST(Includes, TheSimulatorSeesOfTransportOnlyTls) {
  constexpr absl::string_view kTls = "#include \"transport/tls.h\"\n";
  constexpr absl::string_view kLoop = "#include \"transport/loop.h\"\n";
  EXPECT_THAT(Check(kTls, "sim/tls_mode.cc"), IsEmpty());
  EXPECT_THAT(Check(kTls, "sim/network.cc"), Not(IsEmpty()));
  EXPECT_THAT(Check(kLoop, "sim/tls_mode.cc"), Not(IsEmpty()));
}

TEST(Includes, AreFromTheRoot) {
  EXPECT_THAT(Check("#include \"x.h\"\n"),
              ElementsAre("1: engine/log/ may not include x.h"));
  EXPECT_THAT(Check("#include \"absl/strings/match.h\"\n#include <map>\n"),
              IsEmpty());
  EXPECT_THAT(Check("import \"engine/wal/x.proto\";\n", "engine/peer/x.proto"),
              Not(IsEmpty()));
}

TEST(Files, HaveTheirPathAsHeaderGuard) {
  EXPECT_THAT(Check("// A comment.\n"
                    "#ifndef HOLDFAST_ENGINE_LOG_X_H_\n"
                    "#define HOLDFAST_ENGINE_LOG_X_H_\n"
                    "#endif\n",
                    "engine/log/x.h"),
              IsEmpty());
  EXPECT_THAT(Check("#pragma once\n", "engine/log/x.h"), Not(IsEmpty()));
  EXPECT_THAT(Check("#ifndef X_H_\n#define X_H_\n#endif\n", "engine/log/x.h"),
              Not(IsEmpty()));
}

TEST(Files, AreShort) {
  std::string lines(700, '\n');
  EXPECT_THAT(Check(lines), IsEmpty());
  lines.push_back('\n');
  EXPECT_THAT(Check(lines), ElementsAre(HasSubstr("701 lines")));
}

TEST(Files, HoldNoUnfinishedWork) {
  EXPECT_THAT(Check(absl::StrCat("// TO", "DO(me): later\n")), Not(IsEmpty()));
  EXPECT_THAT(Check("// MASTODON\n"), IsEmpty());
}

TEST(Files, ProtoFilesHoldNoMaps) {
  EXPECT_THAT(Check("  map<string, string> m = 1;\n", "engine/peer/x.proto"),
              Not(IsEmpty()));
}

TEST(Files, BuildFilesArePrivateByDefault) {
  constexpr absl::string_view kPublic =
      "cc_library(visibility = [\"//visibility:public\"])\n";
  EXPECT_THAT(Check(kPublic, "engine/log/BUILD.bazel"), Not(IsEmpty()));
  EXPECT_THAT(Check(kPublic, "BUILD.bazel"), IsEmpty());
}

// The tree itself, not a copy: Bazel hands over WORKSPACE as a link into it.
std::filesystem::path Root() {
  return std::filesystem::canonical("WORKSPACE").parent_path();
}

// All files that the rules speak about, from the root, sorted.
std::vector<std::string> TreeFiles() {
  std::vector<std::string> files;
  for (const auto& top : std::filesystem::directory_iterator(Root())) {
    const std::string name = top.path().filename().string();
    if (top.is_symlink() || !top.is_directory() || name[0] == '.') continue;
    for (const auto& entry :
         std::filesystem::recursive_directory_iterator(top.path())) {
      const std::string extension = entry.path().extension().string();
      if (extension == ".h" || extension == ".cc" || extension == ".proto" ||
          entry.path().filename() == "BUILD.bazel") {
        files.push_back(
            std::filesystem::relative(entry.path(), Root()).string());
      }
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

TEST(Tree, KeepsTheRules) {
  const std::vector<std::string> files = TreeFiles();
  ASSERT_THAT(files, testing::Contains("tests/tidy/tidy_test.cc"));
  for (const std::string& path : files) {
    std::ifstream file(Root() / path, std::ios::binary);
    const std::string contents((std::istreambuf_iterator<char>(file)),
                               std::istreambuf_iterator<char>());
    for (const Finding& finding : CheckFile(path, contents)) {
      ADD_FAILURE() << path << ":" << finding.line << ": " << finding.what;
    }
  }
}

TEST(Tree, IsFormatted) {
  if (std::system("command -v clang-format >/dev/null") != 0) {
    GTEST_SKIP() << "clang-format is not installed: run tools/setup";
  }
  std::vector<std::string> files = TreeFiles();
  files.erase(std::remove_if(files.begin(), files.end(),
                             [](const std::string& path) {
                               return absl::EndsWith(path, "BUILD.bazel");
                             }),
              files.end());
  const std::string command =
      absl::StrCat("cd '", Root().string(),
                   "' && clang-format --dry-run -Werror --ferror-limit=1 ",
                   absl::StrJoin(files, " "));
  EXPECT_EQ(std::system(command.c_str()), 0)
      << "run: clang-format -i on the files named above";
}

}  // namespace
}  // namespace holdfast::tidy
