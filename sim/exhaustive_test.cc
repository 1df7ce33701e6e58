#include "sim/cli/exhaustive.h"

#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sim/cli/exhaustive_cases.h"
#include "sim/cli/files.h"
#include "sim/cli/run.h"

namespace holdfast {
namespace {

using ::testing::HasSubstr;

class ExhaustiveTest : public ::testing::Test {
 protected:
  ExhaustiveTest() {
    flags_.command = SimulateCommand::kExhaustive;
    flags_.json = true;
    flags_.tape_dir = ::testing::TempDir();
  }
  int Run(const std::function<void(Simulation*)>& prepare = nullptr) {
    ::testing::internal::CaptureStdout();
    ::testing::internal::CaptureStderr();
    const int code = ExhaustiveCommand(flags_, prepare);
    told_ = ::testing::internal::GetCapturedStderr();
    said_ = ::testing::internal::GetCapturedStdout();
    return code;
  }
  // In the summary: the sum of those whose names begin so.
  uint64_t Sum(absl::string_view name) const {
    uint64_t sum = 0;
    for (absl::string_view part :
         absl::StrSplit(said_.substr(said_.find('{')), absl::ByAnyChar(",}"))) {
      const std::vector<absl::string_view> words = absl::StrSplit(part, ':');
      uint64_t value = 0;
      if (words.size() != 2 ||
          !absl::StartsWith(words[0], absl::StrCat("\"", name))) {
        continue;
      }
      EXPECT_TRUE(absl::SimpleAtoi(words[1], &value)) << part;
      sum += value;
    }
    return sum;
  }

  SimulateFlags flags_;
  std::string said_;
  std::string told_;
};

// The claim itself, and that there is no case whose fault didn't strike.
TEST_F(ExhaustiveTest, NoFaultAtAnyPlaceBreaksAnything) {
  EXPECT_EQ(Run(), 0) << told_;
  EXPECT_EQ(Sum("runs_no_fault"), 1u);
  EXPECT_EQ(Sum("runs_"), Sum("seeds"));
  EXPECT_GT(Sum("runs_"), 10000u);
  EXPECT_EQ(Sum("runs_crash"), Sum("crashes\""));
  EXPECT_EQ(Sum("runs_power_loss"), Sum("power_losses\""));
  uint64_t pairs = 0;
  for (const CaseKind& kind : AllCaseKinds()) {
    if (absl::EndsWith(kind.name, "_isolated")) {
      pairs += Sum(absl::StrCat("runs_", kind.name, "\""));
    }
  }
  EXPECT_EQ(Sum("runs_cut") + Sum("runs_isolated") + pairs,
            Sum("partitions\""));
  // Each message between a client and a server, too: a few for each append.
  const uint64_t with_client = Sum("runs_cut_one_way_with_client\"");
  EXPECT_GT(with_client, 4u);
  for (const char* kind :
       {"cut_both_ways", "isolated_sender", "isolated_receiver"}) {
    EXPECT_EQ(Sum(absl::StrCat("runs_", kind, "_with_client\"")), with_client);
  }
  EXPECT_GT(Sum("lost_writes\""), 0u);
  EXPECT_GT(Sum("torn_writes\""), 0u);
}

// All else is cut short: only early places matter here.
class Stopper final : public Observer {
 public:
  bool AfterEvent() override { return ++events_ < 200; }

 private:
  uint64_t events_ = 0;
};

TEST_F(ExhaustiveTest, AFailingCaseLeavesATapeThatShowsItAgain) {
  Stopper stopper;  // each run has a copy: it is a process of its own
  const auto plant = [&stopper](Simulation* simulation) {
    simulation->world()->trace.set_observer(&stopper);
    simulation->world()->trace.set_on_note([=](const std::string& note) {
      if (!absl::EndsWith(note, "server 2 loses power")) return;
      simulation->mutable_history()->ReadFrom(Offset(0), Offset(1), "planted");
    });
  };
  EXPECT_EQ(Run(plant), 1);
  EXPECT_THAT(told_, HasSubstr("power_loss_all_kept_back_at_once:"));
  EXPECT_THAT(told_, HasSubstr(" failed: correctness: "));
  // In full only once.
  const std::vector<std::string> parts = absl::StrSplit(told_, "\ntape: ");
  ASSERT_EQ(parts.size(), 2u);
  const std::string path = parts[1].substr(0, parts[1].find(' '));
  EXPECT_THAT(told_, HasSubstr(CommandForTape(path)));

  const absl::StatusOr<std::string> text = ReadWholeFile(path);
  ASSERT_TRUE(text.ok()) << text.status();
  absl::StatusOr<Tape> tape = Tape::FromText(*text);
  ASSERT_TRUE(tape.ok()) << tape.status();
  ASSERT_EQ(tape->entries.size(), 1u) << *text;
  EXPECT_EQ(tape->entries[0].site, "io/power_loss");
  const absl::StatusOr<SimulateFlags> run = FlagsOfTape(*std::move(tape));
  ASSERT_TRUE(run.ok()) << run.status();
  const RunOutcome again = RunHere(
      *run, run->seed, [](const RunOutcome&) {}, plant);
  EXPECT_EQ(again.end, RunEnd::kCorrectness);
  EXPECT_THAT(told_, HasSubstr(again.what));
}

}  // namespace
}  // namespace holdfast
