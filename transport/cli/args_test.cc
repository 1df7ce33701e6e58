#include "transport/cli/args.h"

#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace holdfast {
namespace {

using testing::HasSubstr;

std::vector<FlagSpec> Specs() {
  return {{"timeout", "TIME", "how long"},
          {"count", "N", "how many"},
          {"local", nullptr, "a switch"},
          {"flagfile", "FILE", "more"}};
}

absl::StatusOr<Args> Parse(const std::vector<std::string>& args) {
  return Args::Parse(Specs(), args);
}

std::string ErrorOf(const std::vector<std::string>& args) {
  absl::Status status = Parse(args).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  return std::string(status.message());
}

std::string WriteFile(const std::string& name, const std::string& text) {
  std::string path = absl::StrCat(testing::TempDir(), "/", name);
  std::ofstream(path) << text;
  return path;
}

TEST(ArgsTest, TakesValuesAndSwitches) {
  auto args = Parse({"--timeout=5s", "--local", "--count=7"});
  ASSERT_TRUE(args.ok()) << args.status();
  EXPECT_TRUE(args->Has("local"));
  EXPECT_EQ(args->Text("timeout"), "5s");
  EXPECT_EQ(*args->Time("timeout", 1s), 5s);
  EXPECT_EQ(*args->Number("count", 1, 1, 10), 7u);
}

TEST(ArgsTest, FallsBackOnWhatIsNotGiven) {
  auto args = Parse({});
  ASSERT_TRUE(args.ok()) << args.status();
  EXPECT_FALSE(args->Has("local"));
  EXPECT_EQ(args->Text("timeout", "none"), "none");
  EXPECT_EQ(*args->Time("timeout", 3s), 3s);
  EXPECT_EQ(*args->Number("count", 9, 1, 10), 9u);
}

TEST(ArgsTest, AValueMayHoldAnEqualsSign) {
  auto args = Parse({"--timeout=1=HOST:PORT"});
  ASSERT_TRUE(args.ok()) << args.status();
  EXPECT_EQ(args->Text("timeout"), "1=HOST:PORT");
}

TEST(ArgsTest, NamesTheNearestFlagToAnUnknownOne) {
  EXPECT_EQ(ErrorOf({"--tiemout=5s"}),
            "unknown flag --tiemout; did you mean --timeout?");
  EXPECT_EQ(ErrorOf({"--something-else"}),
            "unknown flag --something-else; --help lists what there is");
}

TEST(ArgsTest, RefusesBadForms) {
  EXPECT_THAT(ErrorOf({"stray"}), HasSubstr("found \"stray\""));
  EXPECT_THAT(ErrorOf({"--"}), HasSubstr("expected a flag"));
  EXPECT_THAT(ErrorOf({"-local"}), HasSubstr("expected a flag"));
  EXPECT_EQ(ErrorOf({"--timeout"}), "expected --timeout=TIME");
  EXPECT_EQ(ErrorOf({"--timeout="}), "expected --timeout=TIME");
  EXPECT_EQ(ErrorOf({"--local=yes"}), "--local takes no value, found \"yes\"");
  EXPECT_EQ(ErrorOf({"--local", "--local"}), "--local is given twice");
}

TEST(ArgsTest, NumbersKeepTheirRange) {
  for (const char* bad :
       {"0", "11", "-1", "x", "1.5", "99999999999999999999"}) {
    auto args = Parse({absl::StrCat("--count=", bad)});
    ASSERT_TRUE(args.ok());
    auto number = args->Number("count", 1, 1, 10);
    EXPECT_TRUE(absl::IsInvalidArgument(number.status())) << bad;
    EXPECT_THAT(std::string(number.status().message()),
                HasSubstr("--count: expected a number from 1 to 10"));
  }
}

TEST(ArgsTest, NumbersAreAListInOrderAndEachOnce) {
  using testing::ElementsAre;
  for (const char* good : {"5,4", "4,5,4", "4,5"}) {
    auto args = Parse({absl::StrCat("--count=", good)});
    ASSERT_TRUE(args.ok());
    auto numbers = args->Numbers("count", 1, 9, 3);
    ASSERT_TRUE(numbers.ok()) << numbers.status();
    EXPECT_THAT(*numbers, ElementsAre(4, 5));
  }
  for (const char* bad : {"4,", ",4", "4 5", "0", "10", "x", "1,2,3,4"}) {
    auto args = Parse({absl::StrCat("--count=", bad)});
    ASSERT_TRUE(args.ok());
    auto numbers = args->Numbers("count", 1, 9, 3);
    EXPECT_TRUE(absl::IsInvalidArgument(numbers.status())) << bad;
    EXPECT_THAT(std::string(numbers.status().message()),
                HasSubstr("--count: expected at most 3 numbers from 1 to 9"));
  }
  EXPECT_FALSE(Parse({})->Numbers("count", 1, 9, 3).ok());
}

TEST(ArgsTest, RequireNamesWhatIsMissing) {
  auto args = Parse({"--count=1"});
  ASSERT_TRUE(args.ok());
  EXPECT_TRUE(args->Require({"count"}).ok());
  EXPECT_THAT(std::string(args->Require({"count", "timeout"}).message()),
              HasSubstr("expected --timeout"));
}

TEST(ArgsTest, TakesMoreFlagsFromAFile) {
  std::string path =
      WriteFile("flags", "# a comment\n\n  --timeout=2m  \n--local\n");
  auto args = Parse({"--flagfile=" + path, "--count=3"});
  ASSERT_TRUE(args.ok()) << args.status();
  EXPECT_EQ(*args->Time("timeout", 1s), 120s);
  EXPECT_TRUE(args->Has("local"));
  EXPECT_EQ(args->Text("count"), "3");
}

TEST(ArgsTest, AnErrorInAFlagFileNamesTheFile) {
  std::string path = WriteFile("bad-flags", "--nonsense=1\n");
  std::string error = ErrorOf({"--flagfile=" + path});
  EXPECT_THAT(error, HasSubstr(path));
  EXPECT_THAT(error, HasSubstr("unknown flag --nonsense"));
  EXPECT_THAT(ErrorOf({"--flagfile=/nowhere/at/all"}),
              HasSubstr("can't read the flag file /nowhere/at/all"));
  EXPECT_EQ(ErrorOf({"--flagfile"}), "expected --flagfile=FILE");
}

TEST(ArgsTest, AFlagFileThatNamesItselfIsAnError) {
  std::string path = absl::StrCat(testing::TempDir(), "/self");
  WriteFile("self", "--flagfile=" + path + "\n");
  EXPECT_THAT(ErrorOf({"--flagfile=" + path}), HasSubstr("nest too deeply"));
}

TEST(ParseDurationTest, Units) {
  EXPECT_EQ(*ParseDuration("500ms"), 500ms);
  EXPECT_EQ(*ParseDuration("5s"), 5s);
  EXPECT_EQ(*ParseDuration("2m"), 120s);
  EXPECT_EQ(*ParseDuration("1h"), 3600s);
  EXPECT_EQ(*ParseDuration("0s"), 0s);
  for (const char* bad :
       {"", "5", "s", "ms", "-1s", "1.5s", "5 minutes", "99999999999999999h"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(ParseDuration(bad).status())) << bad;
  }
}

TEST(ParseDurationTest, DoesNotOverflow) {
  EXPECT_FALSE(ParseDuration("1000000000h").ok());
}

TEST(EditDistanceTest, Levenshtein) {
  EXPECT_EQ(EditDistance("", ""), 0u);
  EXPECT_EQ(EditDistance("", "abc"), 3u);
  EXPECT_EQ(EditDistance("kitten", "sitting"), 3u);
  EXPECT_EQ(EditDistance("tiemout", "timeout"), 2u);
}

}  // namespace
}  // namespace holdfast
