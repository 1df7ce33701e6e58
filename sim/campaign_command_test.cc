#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sim/cli/campaign.h"
#include "sim/cli/campaign_state.h"
#include "sim/cli/files.h"

namespace holdfast {
namespace {

using ::testing::HasSubstr;

RunOutcome Failed(const std::string& what) {
  RunOutcome outcome;
  outcome.end = RunEnd::kCorrectness;
  outcome.what = what;
  SimulationResult result;
  result.events = 5;
  outcome.summary.Add(result);
  return outcome;
}

TEST(CampaignResultTest, CountsWhatFailsInTheSameWay) {
  CampaignResult first;
  first.Add(9, Failed("server 3 lost 7"));
  first.Add(12, Failed("\"a\tb\" and\nserver 1"));
  CampaignResult all;
  all.Add(20, Failed("server 1 lost 12"));
  ASSERT_TRUE(all.AddText(first.ToText()).ok());
  ASSERT_EQ(all.failures.size(), 2u);
  const Failure& lost = all.failures["correctness: server # lost #"];
  EXPECT_EQ(lost.count, 2u);
  EXPECT_EQ(lost.seed, 9u);
  EXPECT_EQ(lost.what, "server 3 lost 7");
  EXPECT_EQ(all.summary.count("events"), 15u);
}

class CampaignTest : public ::testing::Test {
 protected:
  CampaignTest() {
    flags_.command = SimulateCommand::kCampaign;
    flags_.seeds = 20;
    flags_.nodes = 3;
    flags_.duration = 300ms;
    flags_.settle = false;
    flags_.jobs = 2;
    flags_.json = true;
    flags_.tape_dir = ::testing::TempDir();
    flags_.state = ::testing::TempDir() + "/state";
    std::filesystem::remove(flags_.state);
  }
  // Exit code, and the last line but for what the machine's speed decides.
  std::pair<int, std::string> Run(
      const std::function<void(Simulation*)>& prepare = nullptr) {
    ::testing::internal::CaptureStdout();
    ::testing::internal::CaptureStderr();
    const int code = CampaignCommand(flags_, prepare);
    said_ = ::testing::internal::GetCapturedStderr();
    const std::string line = ::testing::internal::GetCapturedStdout();
    const size_t hash = line.find("\"trace_hash\"");
    return {code, hash == std::string::npos ? line : line.substr(hash)};
  }
  std::string State() { return *ReadWholeFile(flags_.state); }

  SimulateFlags flags_;
  std::string said_;  // on stderr
};

TEST_F(CampaignTest, GoesOnWhereItWasEnded) {
  const auto whole = Run();
  EXPECT_EQ(whole.first, 0);
  EXPECT_THAT(said_, HasSubstr("20 of 20 seeds"));
  const std::string state = State();
  // All is done.
  EXPECT_EQ(Run(), whole);
  EXPECT_EQ(said_, "");
  // Torn in the midst of the last chunk's line: that one is run again.
  for (const size_t torn : {size_t{1}, size_t{50}}) {
    ASSERT_TRUE(
        ReplaceFile(flags_.state, state.substr(0, state.size() - torn)).ok());
    EXPECT_EQ(Run(), whole);
    EXPECT_EQ(State(), state);
  }
}

// Of all seeds, also of those whose results come from the state.
TEST_F(CampaignTest, CountsHowOftenPathsAreTakenAndByHowManySeeds) {
  flags_.paths_out = ::testing::TempDir() + "/paths";
  const auto table = [&] { return *ReadWholeFile(flags_.paths_out); };
  ASSERT_EQ(Run().first, 0);
  const std::string whole = table();
  std::filesystem::remove(flags_.paths_out);
  const std::string state = State();
  ASSERT_TRUE(
      ReplaceFile(flags_.state, state.substr(0, state.size() - 1)).ok());
  ASSERT_EQ(Run().first, 0);
  EXPECT_EQ(table(), whole);
  // By seeds, then by how often.
  std::vector<std::string> lines = absl::StrSplit(whole, '\n');
  std::pair<uint64_t, uint64_t> before;
  ASSERT_GT(lines.size(), 100u);
  EXPECT_EQ(lines.back(), "");
  for (size_t i = 1; i + 1 < lines.size(); ++i) {
    const std::vector<std::string> words =
        absl::StrSplit(lines[i], ' ', absl::SkipEmpty());
    ASSERT_EQ(words.size(), 3u) << lines[i];
    const std::pair<uint64_t, uint64_t> now(std::stoull(words[2]),
                                            std::stoull(words[1]));
    EXPECT_GE(now, before) << lines[i];
    EXPECT_GE(now.second, now.first) << lines[i];
    before = now;
  }
  EXPECT_GT(before.first, 0u);
  EXPECT_LE(before.first, flags_.seeds);
}

TEST(SummaryTest, ShowsPathsOfAListRarestFirst) {
  SimulationResult result;
  result.stats = {{"often", 5}, {"seldom", 2}, {"never", 0}};
  Summary one;
  one.Add(result);
  result.stats["seldom"] = 0;
  Summary both;
  both.Add(result);
  ASSERT_TRUE(both.AddText(one.ToText()).ok());
  const auto rows = [&](const std::string& list) {
    std::vector<std::string> words = absl::StrSplit(
        both.PathTable(list), absl::ByAnyChar(" \n"), absl::SkipEmpty());
    return absl::StrJoin(words, " ");
  };
  EXPECT_EQ(rows("often\nseldom # a comment\nunheard_of\n"),
            "path count seeds unheard_of 0 0 seldom 2 1 often 10 2");
  EXPECT_EQ(rows(""), "path count seeds never 0 0 seldom 2 1 often 10 2");
}

TEST_F(CampaignTest, RefusesAStateOfOtherOptions) {
  ASSERT_EQ(Run().first, 0);
  flags_.seeds = 21;
  EXPECT_EQ(Run().first, kExitUsage);
  EXPECT_THAT(said_, HasSubstr("expected \"option seeds 21\", found \"option "
                               "seeds 20\": it is of other code, or other "
                               "options"));
  flags_.seeds = 20;
  ASSERT_TRUE(ReplaceFile(flags_.state, absl::StrCat(State(), "what\n")).ok());
  EXPECT_EQ(Run().first, kExitUsage);
  EXPECT_THAT(said_, HasSubstr("found \"what\""));
}

TEST_F(CampaignTest, TellsEachFailureOnceAndRunsAll) {
  const auto plant = [](Simulation* simulation) {
    const uint64_t seed = simulation->world()->chance.seed();
    if (seed % 4 != 0) return;
    simulation->world()->scheduler.At(
        TrueTime(100ms), kWorldActor, EventKind::kHarness, [=] {
          simulation->mutable_history()->ReadFrom(
              Offset(seed % 8), Offset(seed % 8 + 1), "planted");
        });
  };
  const auto [code, line] = Run(plant);
  EXPECT_EQ(code, 1);
  EXPECT_THAT(said_, HasSubstr("20 of 20 seeds"));
  EXPECT_THAT(said_, HasSubstr("1 different failures"));
  EXPECT_THAT(said_, HasSubstr("\n5 failed: correctness: "));
  EXPECT_THAT(said_, HasSubstr("//sim:simulate -- --seed=4 --duration=300ms"));
  // In full only once: of that seed whose run ended first.
  const std::vector<std::string> told = absl::StrSplit(said_, " broke: ");
  EXPECT_EQ(told.size(), 2u);
  // What was found before is told again.
  EXPECT_EQ(Run(plant), std::pair(code, line));
  EXPECT_THAT(said_, HasSubstr("5 failed: correctness: "));
}

}  // namespace
}  // namespace holdfast
