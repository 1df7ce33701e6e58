#include "transport/cli/log_lines.h"

#include <fcntl.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace holdfast {
namespace {

using ::testing::ContainsRegex;
using ::testing::HasSubstr;

constexpr Duration kLong = 60s;

class LogLinesTest : public ::testing::Test {
 protected:
  LogLinesTest() { EXPECT_EQ(pipe2(ends_, O_CLOEXEC), 0); }
  ~LogLinesTest() override {
    close(ends_[0]);
    close(ends_[1]);
  }
  // Reads until that many lines are there.
  std::vector<std::string> Read(size_t lines) {
    std::vector<std::string> all = absl::StrSplit(text_, '\n');
    while (all.size() <= lines) {
      char bytes[4096];
      const ssize_t n = read(ends_[0], bytes, sizeof(bytes));
      if (n <= 0) break;
      text_.append(bytes, static_cast<size_t>(n));
      all = absl::StrSplit(text_, '\n');
    }
    return all;
  }

  int ends_[2];
  std::string text_;
};

TEST_F(LogLinesTest, HaveTimeAndLevelInTheOrderInWhichTheyCame) {
  LogLines lines(ends_[1]);
  lines.Add("info", "event=one");
  lines.Add("warning", "event=two");
  lines.Flush(kLong);
  const std::vector<std::string> all = Read(2);
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
  lines.Flush(1ms);  // in vain
  const std::vector<std::string> first = Read(LogLines::kWaitingMax);
  EXPECT_THAT(first[0], HasSubstr("line=0 "));
  EXPECT_THAT(first[100], HasSubstr("line=100 "));
  // The pipe has room for the few that were written before they waited.
  lines.Flush(kLong);
  lines.Add("info", "event=last");
  lines.Flush(kLong);
  close(ends_[1]);
  const std::vector<std::string> all = Read(kAdded);
  ASSERT_GT(all.size(), 3u);
  EXPECT_THAT(all[all.size() - 3], HasSubstr("event=lines_dropped count="));
  EXPECT_THAT(all[all.size() - 2], HasSubstr("event=last"));
  ends_[1] = open("/dev/null", O_WRONLY | O_CLOEXEC);
}

}  // namespace
}  // namespace holdfast
