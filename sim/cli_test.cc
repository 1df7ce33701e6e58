#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <fstream>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sim/cli/code_id.h"
#include "sim/cli/flags.h"
#include "sim/cli/hashes.h"
#include "sim/cli/jobs.h"
#include "sim/cli/run.h"
#include "sim/cli/summary.h"
#include "sim/cli/watch.h"

namespace holdfast {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

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

std::string Problem(const std::vector<std::string>& args) {
  const absl::StatusOr<SimulateFlags> flags = Parse(args);
  EXPECT_TRUE(absl::IsInvalidArgument(flags.status()));
  return std::string(flags.status().message());
}

TEST(SimulateFlagsTest, BadOnesAreNamed) {
  for (const std::string arg :
       {"--nodes=0", "--nodes=10", "--nodes=x", "--seed=-1",
        "--seed=", "--seeds=0", "--duration=5", "--duration=-5s", "--jobs=0",
        "--foo", "--foo=1", "seed", "--seed", "--kv=maybe", "--json=1",
        "--spares=3", "--tape=/nonexistent/tape"}) {
    EXPECT_THAT(Problem({arg}), Not(HasSubstr("\n"))) << arg;
  }
  EXPECT_EQ(Problem({"--foo"}), "unknown flag --foo");
  EXPECT_EQ(Problem({"--nodes=0"}), "bad value in --nodes=0: expected 1 to 9");
  EXPECT_EQ(Problem({"--seed"}), "bad value in --seed: expected a number");
  EXPECT_EQ(Problem({"--nodes=3", "--nodes=5"}),
            "--nodes is given twice: leave one away");
  EXPECT_EQ(Problem({"--json=1"}), "bad value in --json=1: expected none");
}

TEST(SimulateFlagsTest, WhatContradictsItselfIsRefused) {
  EXPECT_EQ(Problem({"--damage=off", "--beyond-model"}),
            "--beyond-model is of damage, and --damage=off leaves that out: "
            "leave one of them away");
  EXPECT_THAT(Problem({"--settle=off", "--minority-down"}),
              HasSubstr("they don't"));
  EXPECT_THAT(Problem({"--spares=2", "--changes=off"}), HasSubstr("nobody is"));
  EXPECT_THAT(Problem({"--reads=off", "--names-servers", "--tails=off"}),
              HasSubstr("there are none"));
  for (const std::vector<std::string>& good :
       std::vector<std::vector<std::string>>{
           {"--damage=off", "--beyond-model=off"},
           {"--settle=off"},
           {"--spares=0", "--changes=off"},
           {"--reads=off", "--names-servers"}}) {
    EXPECT_TRUE(Parse(good).ok()) << good.front();
  }
}

TEST(SimulateFlagsTest, ASwitchsNameAloneTurnsItOn) {
  EXPECT_FALSE(Parse({})->tls);
  EXPECT_TRUE(Parse({"--tls"})->tls);
  EXPECT_TRUE(Parse({"--tls=on"})->tls);
  EXPECT_FALSE(Parse({"--tls=off"})->tls);
  EXPECT_TRUE(OptionsFor(*Parse({"--tls"}), 1).tls);
  EXPECT_THAT(CommandFor(*Parse({"campaign", "--tls"}), 1),
              HasSubstr(" --tls=on"));
}

TEST(SimulateFlagsTest, ALongTimeIsReadAsItIsShown) {
  const SimulateFlags flags = *Parse({"--duration=1500s"});
  const std::vector<std::string> shown = ArgumentsFor(flags, 1);
  EXPECT_THAT(shown, testing::Contains("--duration=1500000ms"));
  EXPECT_EQ(Parse({"--duration=1500000ms"})->duration, flags.duration);
}

TEST(SimulateFlagsTest, DamageIsOnUnlessTurnedOff) {
  EXPECT_TRUE(OptionsFor(*Parse({}), 1).damage);
  EXPECT_FALSE(OptionsFor(*Parse({"--damage=off"}), 1).damage);
  EXPECT_THAT(CommandFor(*Parse({"--damage=off"}), 1),
              HasSubstr(" --damage=off"));
  EXPECT_THAT(CommandFor(*Parse({}), 1), Not(HasSubstr("damage")));
}

TEST(SimulateFlagsTest, DamageKeepsToTheModelUnlessToldOtherwise) {
  EXPECT_FALSE(OptionsFor(*Parse({}), 1).beyond_model);
  EXPECT_TRUE(OptionsFor(*Parse({"--beyond-model"}), 1).beyond_model);
  EXPECT_FALSE(OptionsFor(*Parse({"--beyond-model=off"}), 1).beyond_model);
  EXPECT_THAT(CommandFor(*Parse({"campaign", "--beyond-model"}), 1),
              HasSubstr(" --beyond-model=on"));
  EXPECT_THAT(CommandFor(*Parse({}), 1), Not(HasSubstr("beyond")));
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

// --- Tapes ---

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
  flags.spares = 0;
  flags.kv = false;
  flags.tails = false;
  flags.conditions = false;
  flags.transfers = false;
  flags.admin = true;
  flags.names_servers = true;
  flags.minority_down = false;
  flags.tls = true;
  flags.damage = true;
  flags.beyond_model = true;
  flags.operations = 7;
  Tape tape;
  WriteOptions(flags, 12, &tape);
  tape.entries = {{"net/reset", 1, 3, 4}};
  const absl::StatusOr<SimulateFlags> read = Parse({Save(tape.ToText())});
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->seed, 12u);
  EXPECT_EQ(read->nodes, 3u);
  EXPECT_EQ(read->duration, Duration(2s));
  EXPECT_EQ(read->spares, 0u);
  EXPECT_EQ(read->kv, false);
  EXPECT_EQ(read->tails, false);
  EXPECT_EQ(read->conditions, false);
  EXPECT_EQ(read->transfers, false);
  EXPECT_EQ(read->admin, true);
  EXPECT_EQ(read->names_servers, true);
  EXPECT_EQ(read->minority_down, false);
  EXPECT_TRUE(read->tls);
  EXPECT_TRUE(read->damage);
  EXPECT_TRUE(read->beyond_model);
  EXPECT_FALSE(read->reads.has_value());
  EXPECT_EQ(read->operations, 7u);
  EXPECT_FALSE(read->trims.has_value());
  EXPECT_EQ(read->tape->entries, tape.entries);
  Tape again;
  WriteOptions(*read, 12, &again);
  EXPECT_EQ(again.options, tape.options);
}

TEST_F(TapeFlagTest, OtherOptionsBesideATapeAreRefused) {
  Tape tape;
  WriteOptions(SimulateFlags(), 12, &tape);
  const std::string arg = Save(tape.ToText());
  for (const std::string other :
       {"--seed=3", "--seeds=2", "--nodes=3", "--duration=2s", "--kv=off"}) {
    EXPECT_THAT(Problem({arg, other}), HasSubstr("--tape is one run"));
    EXPECT_THAT(Problem({other, arg}), HasSubstr("--tape is one run"));
  }
  EXPECT_TRUE(Parse({arg, "--verbose", "--json"}).ok());
}

TEST_F(TapeFlagTest, BadTapesAreRefused) {
  EXPECT_THAT(Problem({Save("nonsense")}), HasSubstr("line 1"));
  EXPECT_THAT(Problem({Save("holdfast-tape 1\nend 0\n")}),
              HasSubstr("another format"));
  EXPECT_THAT(Problem({Save("holdfast-tape 2\n")}), HasSubstr("cut off"));
  EXPECT_THAT(Problem({Save("holdfast-tape 2\noption moon full\nend 0\n")}),
              HasSubstr("doesn't know the tape's option moon full"));
  EXPECT_THAT(Problem({Save("holdfast-tape 2\noption seeds 3\nend 0\n")}),
              HasSubstr("doesn't know the tape's option seeds 3"));
  EXPECT_THAT(
      Problem({Save("holdfast-tape 2\noption kv on\noption kv on\nend 0\n")}),
      HasSubstr("the option kv is there twice"));
  EXPECT_THAT(Problem({Save("holdfast-tape 2\nfault a/b 1 2.0 0x1\nend 1\n")}),
              HasSubstr("expected the name of a fault"));
}

TEST_F(TapeFlagTest, ATapeOfOtherCodeIsRefused) {
  Tape tape;
  WriteOptions(SimulateFlags(), 12, &tape);
  tape.revision = "2a86e4d";
  EXPECT_TRUE(Parse({Save(tape.ToText())}).ok());
  tape.code = kCodeId;
  EXPECT_TRUE(Parse({Save(tape.ToText())}).ok());
  tape.code = "0123";
  EXPECT_THAT(
      Problem({Save(tape.ToText())}),
      HasSubstr(absl::StrCat(
          "expected a run of code ", kCodeId,
          ", which this program is built of, found one of code 0123, run where "
          "git's HEAD was 2a86e4d: build that, or ")));
}

// Whatever happens in a run: from its tape alone, by way of a file, and with
// all that the seed had drawn given.
TEST_F(TapeFlagTest, AReplayIsTheSameRun) {
  uint64_t faults = 0;
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    SimulateFlags flags;
    flags.duration = 4s;
    Simulation recorded(OptionsFor(flags, seed));
    const SimulationResult result = recorded.Run();
    Tape tape = recorded.tape();
    WriteOptions(WithDrawn(flags, recorded.options()), seed, &tape);
    faults += tape.entries.size();
    const absl::StatusOr<SimulateFlags> read = Parse({Save(tape.ToText())});
    ASSERT_TRUE(read.ok()) << read.status();
    Simulation replayed(OptionsFor(*read, read->seed));
    replayed.world()->chance.Replay(*read->tape);
    ASSERT_EQ(replayed.Run().trace_hash, result.trace_hash) << seed;
    ASSERT_EQ(replayed.tape().entries, tape.entries) << seed;
  }
  EXPECT_GT(faults, 1000u);
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

TEST_F(TapeFlagTest, FaultsCanBeLeftOut) {
  SimulateFlags flags;
  flags.duration = 5s;
  Simulation recorded(OptionsFor(flags, 3));
  recorded.Run();
  Tape half = recorded.tape();
  half.entries.resize(half.entries.size() / 2);
  Simulation replayed(OptionsFor(flags, 3));
  replayed.world()->chance.Replay(half);
  const SimulationResult result = replayed.Run();
  EXPECT_TRUE(result.verdict.ok()) << result.verdict.what();
  EXPECT_LE(replayed.tape().entries.size(), half.entries.size());
}

// --- Runs ---

TEST(RunOutcomeTest, ComesBackFromItsText) {
  RunOutcome outcome;
  outcome.end = RunEnd::kLiveness;
  outcome.what = "not settled:\nat all";
  outcome.report = "what 5\nhappened\n";
  outcome.tape.entries = {{"net/reset", 1, 3, 4}};
  outcome.failed_at_ms = 12;
  SimulationResult result;
  result.events = 17;
  outcome.summary.Add(result);
  const std::string text = outcome.ToText();
  const absl::StatusOr<RunOutcome> read = RunOutcome::FromText(text);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->end, outcome.end);
  EXPECT_EQ(read->what, outcome.what);
  EXPECT_EQ(read->report, outcome.report);
  EXPECT_EQ(read->tape.entries, outcome.tape.entries);
  EXPECT_EQ(read->failed_at_ms, 12);
  EXPECT_EQ(read->summary.count("events"), 17u);
  for (size_t n = 0; n < text.size(); ++n) {
    EXPECT_FALSE(RunOutcome::FromText(text.substr(0, n)).ok());
  }
}

TEST(RunOutcomeTest, SignaturesLeaveNumbersAndNamesOut) {
  RunOutcome outcome;
  outcome.end = RunEnd::kCorrectness;
  outcome.what = "server 12 has \"m101-3\" at 0x45";
  EXPECT_EQ(outcome.Signature(), "correctness: server # has \"...\" at #x#");
  outcome.end = RunEnd::kLiveness;
  outcome.what =
      "not settled within 30000 ms: client 3 waits; server 1 is down";
  EXPECT_EQ(outcome.Signature(), "liveness: not settled within # ms");
}

JobPool::Result RunJob(
    const std::function<std::string(const JobPool::PassOn&)>& work) {
  JobPool pool(1);
  pool.Start(7, work);
  return *pool.Wait();
}

TEST(JobPoolTest, BringsWhatWasReturnedAndWritten) {
  const std::string large(1 << 20, 'x');
  const JobPool::Result result = RunJob([&](const JobPool::PassOn& pass_on) {
    pass_on("first ");
    std::fprintf(stderr, "said");
    return large;
  });
  EXPECT_EQ(result.number, 7u);
  EXPECT_EQ(result.status, 0);
  EXPECT_EQ(result.output, "first " + large);
  EXPECT_EQ(result.errors, "said");
}

TEST(JobPoolTest, RunsPrograms) {
  setenv("CLI_TEST_OLD", "old", 1);
  JobPool pool(2);
  pool.StartProgram(3,
                    {"/bin/sh", "-c",
                     "echo $0 $CLI_TEST_OLD $CLI_TEST_NEW; echo said >&2; "
                     "exit 5",
                     "first"},
                    {{"CLI_TEST_NEW", "new"}});
  const JobPool::Result result = *pool.Wait();
  EXPECT_EQ(result.number, 3u);
  EXPECT_EQ(result.output, "first old new\n");
  EXPECT_EQ(result.errors, "said\n");
  EXPECT_EQ(DescribeStatus(result.status), "ended with exit code 5");
  pool.StartProgram(4, {"/no/such/program"}, {});
  EXPECT_EQ(pool.Wait()->errors,
            "can't run /no/such/program: No such file or directory\n");
}

TEST(JobPoolTest, RunsSomeAtATime) {
  JobPool pool(3);
  std::set<std::string> done;
  for (uint64_t i = 0; i < 20; ++i) {
    if (pool.full()) done.insert(pool.Wait()->output);
    ASSERT_FALSE(pool.full());
    pool.Start(i, [i](const JobPool::PassOn&) { return absl::StrCat(i); });
  }
  while (!pool.empty()) done.insert(pool.Wait()->output);
  EXPECT_EQ(done.size(), 20u);
  EXPECT_FALSE(pool.Wait().has_value());
}

TEST(JobPoolTest, GivesUpAtADeadline) {
  JobPool pool(1);
  pool.Start(1, [](const JobPool::PassOn&) -> std::string {
    while (true) pause();
  });
  EXPECT_FALSE(pool.Wait(JobPool::Clock::now()).has_value());
  pool.EndAll();
  EXPECT_TRUE(pool.empty());
}

TEST(OutcomeOfTest, ACrashIsToldByItsCheck) {
  SimulateFlags flags;
  flags.duration = 1s;
  const JobPool::Result result = RunJob([&](const JobPool::PassOn& pass_on) {
    return RunHere(
               flags, 5,
               [&](const RunOutcome& crash) { pass_on(crash.ToText()); },
               [](Simulation* simulation) {
                 simulation->world()->scheduler.At(TrueTime(500ms), kWorldActor,
                                                   EventKind::kHarness,
                                                   [] { CHECK_EQ(1 + 1, 3); });
               })
        .ToText();
  });
  const RunOutcome outcome = OutcomeOf(result);
  EXPECT_EQ(outcome.end, RunEnd::kCrash);
  EXPECT_THAT(outcome.what, HasSubstr("CHECK failed: 1 + 1 == 3 (2 vs. 3)"));
  EXPECT_THAT(outcome.Signature(), HasSubstr("CHECK failed: # + # == #"));
  EXPECT_EQ(outcome.failed_at_ms, 500);
  EXPECT_FALSE(outcome.tape.options.empty());
}

TEST(OutcomeOfTest, AProcessThatIsKilledSaysNothing) {
  const JobPool::Result result =
      RunJob([](const JobPool::PassOn&) -> std::string {
        kill(getpid(), SIGKILL);
        return "";
      });
  EXPECT_EQ(OutcomeOf(result).end, RunEnd::kCrash);
  EXPECT_THAT(OutcomeOf(result).what, HasSubstr("ended by signal 9"));
}

// --- Hashes ---

// Of a process that told these lines and, perhaps, how the run ended.
HashedRun Hashed(const std::string& lines, std::optional<RunEnd> end,
                 const std::string& what = "") {
  JobPool::Result job;
  job.output = absl::StrCat("holdfast-hashes 1\noption seed 3\n", lines);
  if (end.has_value()) {
    RunOutcome outcome;
    outcome.end = *end;
    outcome.what = what;
    absl::StrAppend(&job.output, "outcome\n", outcome.ToText());
    job.status = W_EXITCODE(static_cast<int>(*end), 0);
  }
  const absl::StatusOr<HashedRun> run = HashedRunOf(job);
  EXPECT_TRUE(run.ok()) << run.status();
  return *run;
}

TEST(HashesTest, TheFirstDifferenceIsFound) {
  using In = RunDifference::In;
  const HashedRun run = Hashed("0 a\n1 b\n2 c\n", RunEnd::kOk);
  EXPECT_FALSE(FirstDifference(run, run).has_value());
  const auto find = [&](const HashedRun& other) {
    return *FirstDifference(run, other);
  };
  const RunDifference event = find(Hashed("0 a\n1 x\n2 y\n", RunEnd::kOk));
  EXPECT_EQ(event.in, In::kEvent);
  EXPECT_EQ(event.event, 1u);
  EXPECT_THAT(event.lines, ElementsAre("1 b", "1 x"));

  // One is longer, or shorter.
  const RunDifference longer =
      find(Hashed("0 a\n1 b\n2 c\n3 d\n", RunEnd::kOk));
  EXPECT_EQ(longer.in, In::kEvent);
  EXPECT_EQ(longer.event, 3u);
  EXPECT_THAT(longer.lines, ElementsAre("ended ok", "3 d"));
  const RunDifference shorter =
      find(Hashed("0 a\n1 b\n", RunEnd::kLiveness, "not\nsettled"));
  EXPECT_EQ(shorter.in, In::kEvent);
  EXPECT_EQ(shorter.event, 2u);
  EXPECT_THAT(shorter.lines, ElementsAre("2 c", "ended liveness: not settled"));

  // One was killed, in the midst of a line.
  const RunDifference lost = find(Hashed("0 a\n1", std::nullopt));
  EXPECT_EQ(lost.in, In::kLost);
  EXPECT_EQ(lost.event, 1u);

  // Other options; other ends.
  EXPECT_EQ(find(Hashed("option kv on\n0 a\n", RunEnd::kOk)).in, In::kOptions);
  const RunDifference end =
      find(Hashed("0 a\n1 b\n2 c\n", RunEnd::kCorrectness, "lost"));
  EXPECT_EQ(end.in, In::kEnd);
  EXPECT_THAT(end.lines, ElementsAre("ended ok", "ended correctness: lost"));
}

TEST(HashesTest, OtherProgramsAreRefused) {
  JobPool::Result job;
  job.output = "seed 3 is fine\n";
  EXPECT_EQ(HashedRunOf(job).status().message(), "it ended with exit code 0");
  job.errors = "simulate: unknown flag --hashes\nmore\n";
  EXPECT_EQ(HashedRunOf(job).status().message(),
            "simulate: unknown flag --hashes");
}

SimulationResult Result(uint64_t hash, uint64_t events) {
  SimulationResult r;
  r.trace_hash = hash;
  r.events = events;
  r.recovery.level = {.took = std::chrono::milliseconds(events), .most = 28ms};
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
                              "\"catch_up_bytes_max\":0,"
                              "\"catch_up_ms_max\":0,"
                              "\"catch_up_percent_max\":0,"
                              "\"clients_ms_max\":0,"
                              "\"clients_percent_max\":0,"
                              "\"commit_ms_max\":0,"
                              "\"commit_percent_max\":0,"
                              "\"feature_level_ms_max\":0,"
                              "\"feature_level_percent_max\":0,"
                              "\"leader_ms_max\":0,"
                              "\"leader_percent_max\":0,"
                              "\"level_ms_max\":7,"
                              "\"level_percent_max\":25,"
                              "\"memory_mib_max\":0,"
                              "\"memory_percent_max\":0,"
                              "\"minority_down_ms_max\":0,"
                              "\"minority_down_percent_max\":0,"
                              "\"scrub_ms_max\":0,"
                              "\"scrub_percent_max\":0,"
                              "\"settle_ms_max\":7,"));
  for (const char* key :
       {"events", "simulated_ms", "elections", "crashes", "partitions",
        "resets", "torn_writes", "acknowledged_appends"}) {
    EXPECT_THAT(json, HasSubstr(std::string("\"") + key + "\":"));
  }
  EXPECT_THAT(json, HasSubstr("\"events\":12,"));
  const std::string line = one.Line(false, 3, "ok", 12);
  EXPECT_THAT(line, HasSubstr("2 run(s): ok; 12 ev"));
  EXPECT_THAT(line, HasSubstr("settled within 7 ms"));
  EXPECT_THAT(line, HasSubstr(", then logs 7 ms (25 %), then scrubbing 0 ms"));
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
