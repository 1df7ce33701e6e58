#include "transport/cli/log_lines.h"

#include <fcntl.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace holdfast {
namespace {

using ::testing::ContainsRegex;
using ::testing::HasSubstr;

class LogLinesTest : public ::testing::Test {
 protected:
  LogLinesTest() { EXPECT_EQ(pipe2(ends_, O_CLOEXEC), 0); }
  ~LogLinesTest() override {
    close(ends_[0]);
    close(ends_[1]);
  }
  // Reads all that is written meanwhile, and then what is there.
  std::vector<std::string> ReadAll(LogLines* lines) {
    EXPECT_EQ(fcntl(ends_[0], F_SETFL, O_NONBLOCK), 0);
    bool all = false;
    while (!all) {
      all = lines->Flush(1ms);
      char bytes[4096];
      for (ssize_t n; (n = read(ends_[0], bytes, sizeof(bytes))) > 0;) {
        text_.append(bytes, static_cast<size_t>(n));
      }
    }
    return absl::StrSplit(text_, '\n');
  }

  int ends_[2];
  std::string text_;
};

TEST_F(LogLinesTest, HaveTimeAndLevelInTheOrderInWhichTheyCame) {
  LogLines lines(ends_[1]);
  lines.Add("info", "event=one");
  lines.Add("warning", "event=two");
  const std::vector<std::string> all = ReadAll(&lines);
  ASSERT_EQ(all.size(), 3u);  // the last one is empty
  EXPECT_THAT(all[0], ContainsRegex("^time=[0-9]+-[0-9]+-[0-9]+T[0-9:.]+Z "
                                    "level=info event=one$"));
  EXPECT_THAT(all[1], HasSubstr("level=warning event=two"));
}

TEST_F(LogLinesTest, NobodyWaitsForAReaderThatTakesNone) {
  LogLines lines(ends_[1]);
  // The pipe holds a few hundred of them, and one is being written to it.
  constexpr size_t kAdded = 2 * LogLines::kWaitingMax;
  const std::string filling(200, 'x');
  for (size_t i = 0; i < kAdded; ++i) {
    lines.Add("info", absl::StrCat("line=", i, " ", filling));
  }
  EXPECT_FALSE(lines.Flush(1ms));
  ReadAll(&lines);
  lines.Add("info", "event=last");
  const std::vector<std::string> all = ReadAll(&lines);
  // Those that are missing are counted where they would stand.
  size_t next = 0;
  size_t there = 0;
  for (const std::string& line : all) {
    const std::vector<std::string> words = absl::StrSplit(line, ' ');
    const std::vector<std::string> last = absl::StrSplit(words.back(), '=');
    size_t count = 0;
    if (absl::StrContains(line, "event=lines_dropped")) {
      ASSERT_TRUE(absl::SimpleAtoi(last.back(), &count)) << line;
      next += count;
    } else if (absl::StrContains(line, " line=")) {
      EXPECT_THAT(line, HasSubstr(absl::StrCat(" line=", next, " ")));
      ++next;
      ++there;
    }
  }
  EXPECT_EQ(next, kAdded);
  EXPECT_GE(there, LogLines::kWaitingMax);
  EXPECT_LT(there, kAdded);
  EXPECT_THAT(all[all.size() - 2], HasSubstr("event=last"));
}

}  // namespace
}  // namespace holdfast
