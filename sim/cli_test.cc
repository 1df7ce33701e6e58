#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sim/cli/flags.h"
#include "sim/cli/summary.h"

namespace holdfast {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

absl::StatusOr<SimulateFlags> Parse(std::vector<std::string> args) {
  args.insert(args.begin(), "simulate");
  std::vector<char*> raw;
  for (std::string& a : args) raw.push_back(a.data());
  return ParseSimulateFlags(static_cast<int>(raw.size()), raw.data());
}

TEST(SimulateFlagsTest, AreTakenAsGiven) {
  const absl::StatusOr<SimulateFlags> flags =
      Parse({"--seed=7", "--seeds=100", "--nodes=5", "--duration=1500ms",
             "--json", "--jobs=3"});
  ASSERT_TRUE(flags.ok()) << flags.status();
  EXPECT_EQ(flags->seed, 7u);
  EXPECT_EQ(flags->seeds, 100u);
  EXPECT_EQ(flags->nodes, 5u);
  EXPECT_EQ(flags->duration, Duration(1500ms));
  EXPECT_TRUE(flags->json);
  EXPECT_EQ(flags->jobs, 3u);
  EXPECT_EQ(CommandFor(*flags, 9),
            "bazel run -c opt //sim:simulate -- --seed=9 --duration=1500ms "
            "--nodes=5");
  EXPECT_EQ(Parse({})->duration, Duration(60s));
}

TEST(SimulateFlagsTest, BadOnesAreNamed) {
  for (const std::string arg :
       {"--nodes=0", "--nodes=10", "--nodes=x", "--seed=-1",
        "--seed=", "--seeds=0", "--duration=5", "--duration=-5s", "--jobs=0",
        "--foo", "--foo=1", "seed", "--seed", "--tape=/nonexistent/tape"}) {
    const absl::StatusOr<SimulateFlags> flags = Parse({arg});
    EXPECT_TRUE(absl::IsInvalidArgument(flags.status())) << arg;
  }
  EXPECT_THAT(std::string(Parse({"--foo"}).status().message()),
              HasSubstr("unknown flag --foo"));
}

TEST(WatchFlagsTest, AreTakenAsGiven) {
  const absl::StatusOr<SimulateFlags> flags =
      Parse({"--trace=a.txt", "--html=a.html", "--from=3.25s", "--to=3300ms",
             "--goto=17", "--dump"});
  ASSERT_TRUE(flags.ok()) << flags.status();
  EXPECT_EQ(flags->watch.trace, "a.txt");
  EXPECT_EQ(flags->watch.html, "a.html");
  EXPECT_EQ(flags->watch.window.from, TrueTime(3250ms));
  EXPECT_EQ(flags->watch.window.to, TrueTime(3300ms));
  EXPECT_EQ(flags->watch.go_to, 17u);
  EXPECT_TRUE(flags->watch.dump);
  // As a trace prints it.
  EXPECT_EQ(Parse({"--html=a", "--from=1.000000007s"})->watch.window.from,
            TrueTime(1000000007ns));
  EXPECT_FALSE(Parse({})->watch.any());
}

TEST(WatchFlagsTest, SayWhereARunBroke) {
  EXPECT_EQ(SeeIt("simulate --seed=5", 5, 70),
            "see it: simulate --seed=5 --html=holdfast-5.html\n"
            "stop there: simulate --seed=5 --goto=70 --dump\n");
}

class TapeFlagTest : public ::testing::Test {
 protected:
  std::string Save(const std::string& text) {
    const std::string path = ::testing::TempDir() + "/cli_test.tape";
    std::ofstream(path) << text;
    return "--tape=" + path;
  }
};

TEST_F(TapeFlagTest, ATapeBringsItsOptions) {
  SimulateFlags flags;
  flags.nodes = 3;
  flags.duration = 2s;
  Tape tape;
  WriteOptions(flags, 12, &tape);
  tape.entries = {{"net/reset", {1, 1}, 3, 4}};
  const absl::StatusOr<SimulateFlags> read = Parse({Save(tape.ToText())});
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->seed, 12u);
  EXPECT_EQ(read->nodes, 3u);
  EXPECT_EQ(read->duration, Duration(2s));
  EXPECT_EQ(read->tape->entries, tape.entries);
  EXPECT_FALSE(Parse({Save(tape.ToText()), "--seeds=2"}).ok());
}

TEST_F(TapeFlagTest, BadTapesAreRefused) {
  EXPECT_THAT(std::string(Parse({Save("nonsense")}).status().message()),
              HasSubstr("line 1"));
  EXPECT_THAT(
      std::string(Parse({Save("holdfast-tape 1\n")}).status().message()),
      HasSubstr("cut off"));
  EXPECT_THAT(
      std::string(Parse({Save("holdfast-tape 1\noption moon full\nend 0\n")})
                      .status()
                      .message()),
      HasSubstr("doesn't know its option moon full"));
}

TEST_F(TapeFlagTest, AReplayIsTheSameRun) {
  SimulateFlags flags;
  flags.duration = 3s;
  Tape tape;
  uint64_t hash = 0;
  {
    Simulation recorded(OptionsFor(flags, 4));
    hash = recorded.Run().trace_hash;
    tape = recorded.tape();
  }
  EXPECT_FALSE(tape.entries.empty());
  Simulation replayed(OptionsFor(flags, 4));
  replayed.world()->chance.Replay(tape);
  EXPECT_EQ(replayed.Run().trace_hash, hash);
  EXPECT_EQ(replayed.tape().entries, tape.entries);
}

TEST_F(TapeFlagTest, AnEmptyTapeIsARunWithoutFaults) {
  SimulateFlags flags;
  flags.duration = 3s;
  Simulation replayed(OptionsFor(flags, 4));
  replayed.world()->chance.Replay(Tape{});
  const SimulationResult result = replayed.Run();
  EXPECT_TRUE(result.verdict.ok());
  EXPECT_EQ(result.faults.crashes + result.faults.power_losses, 0u);
  EXPECT_EQ(result.network.resets, 0u);
}

SimulationResult Result(uint64_t hash, uint64_t events) {
  SimulationResult r;
  r.trace_hash = hash;
  r.events = events;
  r.settle_ms = static_cast<int64_t>(events);
  r.stats["seldom"] = 1;
  r.stats["never"] = 0;
  return r;
}

TEST(SummaryTest, AddsUpAndTravelsAsText) {
  Summary one;
  one.Add(Result(0xa0, 5));
  Summary other;
  other.Add(Result(0x0b, 7));
  ASSERT_TRUE(one.AddText(other.ToText()).ok());
  EXPECT_EQ(one.paths().at("seldom"), 2u);
  const std::string json = one.Line(true, 3, "ok", 12);
  EXPECT_THAT(json, HasSubstr("{\"seed\":3,\"verdict\":\"ok\","
                              "\"wall_ms\":12,"
                              "\"trace_hash\":\"00000000000000ab\","
                              "\"settle_ms_max\":7,"));
  for (const char* key :
       {"events", "simulated_ms", "elections", "crashes", "partitions",
        "resets", "torn_writes", "acknowledged_appends"}) {
    EXPECT_THAT(json, HasSubstr(std::string("\"") + key + "\":"));
  }
  EXPECT_THAT(json, HasSubstr("\"events\":12,"));
  EXPECT_THAT(one.Line(false, 3, "ok", 12), HasSubstr("2 run(s): ok; 12 ev"));
  EXPECT_FALSE(one.AddText("count events many\n").ok());
}

TEST(SummaryTest, FindsPathsThatWereNeverTaken) {
  Summary summary;
  summary.Add(Result(1, 1));
  EXPECT_THAT(summary.NeverTaken("# comment\nseldom  # often enough\n\n"),
              IsEmpty());
  EXPECT_THAT(summary.NeverTaken("never\nseldom\nunheard_of\n"),
              ElementsAre("never", "unheard_of"));
}

}  // namespace
}  // namespace holdfast
