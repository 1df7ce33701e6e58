#include "sim/cli/shrink.h"

#include <algorithm>
#include <fstream>
#include <functional>
#include <iterator>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "engine/base/check.h"
#include "gtest/gtest.h"
#include "sim/cli/files.h"
#include "sim/cli/flags.h"
#include "sim/cli/shrinker.h"

namespace holdfast {
namespace {

TapeEntry Fault(const std::string& site, uint32_t id, uint64_t window,
                uint64_t value = 0) {
  return {site, id, TapeEntry::Place(window, 0), value};
}

bool Has(const ShrinkCase& c, const std::string& site, uint32_t id) {
  return std::any_of(
      c.entries().begin(), c.entries().end(),
      [&](const TapeEntry& e) { return e.site == site && e.actor == id; });
}

ShrinkCase LargeCase() {
  ShrinkCase c;
  c.flags.nodes = 5;
  c.flags.spares = 2;
  c.flags.clients = 3;
  c.flags.tape.emplace();
  for (uint64_t window = 1; window <= 200; ++window) {
    for (uint32_t m = 1; m <= 7; ++m) {
      c.flags.tape->entries.push_back(
          Fault(window % 2 == 0 ? "fault/crash" : "fault/pause", m, window,
                0xf000000f0000000));
    }
  }
  c.failed_at_ms = 50000;
  c.operations = 10000;
  return c;
}

// Runs nothing: whether a case fails is what a function says.
ShrinkCase Shrink(ShrinkCase c,
                  const std::function<bool(const ShrinkCase&)>& fails,
                  uint64_t* asked = nullptr) {
  return Shrinker(
             std::move(c),
             [&](size_t count, const Shrinker::Candidate& candidate)
                 -> std::optional<ShrinkCase> {
               for (size_t i = 0; i < count; ++i) {
                 ShrinkCase next = candidate(i);
                 if (asked != nullptr) ++*asked;
                 if (next.fresh) continue;
                 next.failed_at_ms = std::min<int64_t>(
                     next.failed_at_ms, ToMillis(next.flags.duration));
                 if (fails(next)) return next;
               }
               return std::nullopt;
             },
             [](const ShrinkCase&) {})
      .Run();
}

TEST(ShrinkerTest, LeavesOnlyWhatIsNeeded) {
  uint64_t asked = 0;
  const ShrinkCase small = Shrink(
      LargeCase(),
      [](const ShrinkCase& c) {
        return Has(c, "fault/crash", 1) && Has(c, "fault/pause", 2) &&
               c.flags.nodes >= 2;
      },
      &asked);
  EXPECT_EQ(small.entries().size(), 2u);
  EXPECT_EQ(small.flags.nodes, 2u);
  EXPECT_EQ(small.flags.spares, 0u);
  EXPECT_EQ(small.flags.clients, 1u);
  EXPECT_EQ(small.flags.operations, 1u);
  EXPECT_EQ(small.flags.kv, false);
  EXPECT_EQ(small.flags.reads, false);
  EXPECT_EQ(small.flags.conditions, false);
  EXPECT_EQ(small.flags.names_servers, false);
  EXPECT_EQ(small.flags.minority_down, false);
  EXPECT_EQ(small.flags.transfers, false);
  EXPECT_EQ(small.flags.admin, false);
  for (const TapeEntry& e : small.entries()) {
    EXPECT_EQ(e.value, 0u);
    EXPECT_EQ(e.window(), 0u);
  }
  EXPECT_LT(asked, 5000u);
}

TEST(ShrinkerTest, LeavesAllThatIsNeeded) {
  ShrinkCase c = LargeCase();
  c.flags.tape->entries.resize(20);
  const std::vector<TapeEntry> all = c.entries();
  const ShrinkCase small =
      Shrink(c, [&](const ShrinkCase& next) { return next.entries() == all; });
  EXPECT_EQ(small.entries(), all);
}

// A fault can be left out only under one seed of many.
TEST(ShrinkerTest, TriesOtherSeeds) {
  ShrinkCase c = LargeCase();
  c.flags.tape->entries = {Fault("fault/crash", 1, 3),
                           Fault("fault/pause", 2, 4)};
  const ShrinkCase small = Shrink(c, [](const ShrinkCase& next) {
    return Has(next, "fault/crash", 1) &&
           (Has(next, "fault/pause", 2) || next.flags.seed % 7 == 0);
  });
  EXPECT_EQ(small.entries().size(), 1u);
  EXPECT_EQ(small.flags.seed % 7, 0u);
}

// --- Candidates ---

TEST(SimplerCasesTest, FaultsFollowTheMachinesThatAreLeft) {
  ShrinkCase c;
  c.flags.nodes = 3;
  c.flags.spares = 0;
  c.flags.clients = 2;
  c.flags.tape.emplace().entries = {
      Fault("fault/crash", 2, 1),
      Fault("fault/crash", 3, 1),
      Fault("net/tail", 2003, 1),
      Fault("net/tail", 3001, 1),
      Fault("net/tail", 102003, 1),
      Fault("net/reset", 2, 1),
      Fault("net/reset", 3, 1),
      Fault("net/reset", 102, 1),
      Fault("fault/client_crash", 1, 1),
      Fault("fault/cut_client", 0, 1),
      Fault("fault/cut_client", 1, 2),
      Fault("fault/split", 0, 1, 0xb0000000b000e),
      Fault("fault/bridge", 0, 1, 0xb0000000b000a),
      Fault("fault/ambush", 0, 1, 0xb0000000b000c),
      Fault("fault/flap", 0, 1, 0xb0000000b000a),
      Fault("disk/slow", 1, 1)};
  const std::vector<ShrinkCase> candidates = WithFewerActors(c);
  ASSERT_EQ(candidates.size(), 5u);
  // Without server 2: 3 is 2 now.
  const ShrinkCase& two = candidates[1];
  EXPECT_EQ(two.flags.nodes, 2u);
  const std::vector<TapeEntry> expected = {
      Fault("fault/crash", 2, 1),
      Fault("net/tail", 2001, 1),
      Fault("net/tail", 102002, 1),
      Fault("net/reset", 2, 1),
      Fault("net/reset", 102, 1),
      Fault("fault/client_crash", 1, 1),
      Fault("fault/cut_client", 0, 1),
      Fault("fault/cut_client", 1, 2),
      Fault("fault/split", 0, 1, 0xb0000000b0006),
      Fault("fault/bridge", 0, 1, 0xb0000000b0006),
      Fault("fault/ambush", 0, 1, 0xb0000000b0004),
      Fault("fault/flap", 0, 1, 0xb0000000b000a),
      Fault("disk/slow", 1, 1)};
  EXPECT_EQ(two.entries(), expected);
  // Without server 1, clients are cut off as before.
  EXPECT_TRUE(Has(candidates[2], "fault/cut_client", 0));
  EXPECT_TRUE(Has(candidates[2], "fault/cut_client", 1));
  // Without the first client: the second is the first.
  const ShrinkCase& one = candidates[4];
  EXPECT_EQ(one.flags.clients, 1u);
  EXPECT_TRUE(Has(one, "net/tail", 101003));
  EXPECT_TRUE(Has(one, "net/reset", 101));
  EXPECT_TRUE(Has(one, "fault/client_crash", 0));
  const auto cut = std::count_if(
      one.entries().begin(), one.entries().end(),
      [](const TapeEntry& e) { return e.site == "fault/cut_client"; });
  EXPECT_EQ(cut, 1);
  EXPECT_TRUE(Has(one, "fault/cut_client", 0));
}

TEST(SimplerCasesTest, TheEndIsJustBehindTheFailure) {
  ShrinkCase c = LargeCase();
  c.failed_at_ms = 1234;
  const std::vector<ShrinkCase> candidates = WithEarlierEnd(c);
  ASSERT_EQ(candidates.size(), 1u);
  EXPECT_EQ(candidates[0].flags.duration, Duration(1235ms));
  EXPECT_FALSE(candidates[0].flags.settle);
  EXPECT_TRUE(WithEarlierEnd(candidates[0]).empty());
  // It failed while it was to settle: faults may end sooner.
  c.failed_at_ms = ToMillis(c.flags.duration) + 30000;
  for (const ShrinkCase& earlier : WithEarlierEnd(c)) {
    EXPECT_LT(earlier.flags.duration, c.flags.duration);
    EXPECT_TRUE(earlier.flags.settle);
  }
}

// --- The command, over real runs with a planted bug ---

class ShrinkCommandTest : public ::testing::Test {
 protected:
  ShrinkCommandTest() {
    flags_.command = SimulateCommand::kShrink;
    flags_.seed = 7;
    flags_.nodes = 3;
    flags_.clients = 2;
    flags_.duration = 5s;
    flags_.effort = 600s;
    flags_.out = ::testing::TempDir() + "/small.tape";
  }
  // A server loses power some time after one was paused: that breaks.
  static void Plant(Simulation* simulation, std::function<void()> broken) {
    simulation->world()->trace.set_on_note(
        [broken = std::move(broken),
         paused = false](const std::string& note) mutable {
          if (absl::EndsWith(note, " is paused")) paused = true;
          if (paused && absl::EndsWith(note, " loses power")) broken();
        });
  }
  void ExpectSmall() {
    const absl::StatusOr<std::string> text = ReadWholeFile(flags_.out);
    ASSERT_TRUE(text.ok());
    const absl::StatusOr<Tape> tape = Tape::FromText(*text);
    ASSERT_TRUE(tape.ok()) << tape.status();
    EXPECT_LE(tape->entries.size(), 3u) << *text;
    const absl::StatusOr<SimulateFlags> flags = FlagsOfTape(*tape);
    ASSERT_TRUE(flags.ok());
    EXPECT_EQ(flags->clients, 1u);
    EXPECT_EQ(flags->kv, false);
    EXPECT_LE(flags->duration, Duration(3s));
  }

  SimulateFlags flags_;
};

TEST_F(ShrinkCommandTest, ShrinksCrashes) {
  EXPECT_EQ(ShrinkCommand(flags_,
                          [](Simulation* simulation) {
                            Plant(simulation, [] { CHECK_EQ(2 * 2, 5); });
                          }),
            0);
  ExpectSmall();
}

TEST_F(ShrinkCommandTest, TheResultDoesntDependOnJobs) {
  std::vector<std::string> tapes;
  for (const uint64_t jobs : {1, 3}) {
    flags_.jobs = jobs;
    EXPECT_EQ(ShrinkCommand(flags_,
                            [](Simulation* simulation) {
                              Plant(simulation, [simulation] {
                                simulation->mutable_history()->ReadFrom(
                                    Offset(0), Offset(1), "planted");
                              });
                            }),
              0);
    ExpectSmall();
    tapes.push_back(*ReadWholeFile(flags_.out));
  }
  EXPECT_EQ(tapes[0], tapes[1]);
}

TEST_F(ShrinkCommandTest, EndsWithItsEffort) {
  flags_.effort = 1ms;
  EXPECT_EQ(ShrinkCommand(flags_), 64);
}

TEST_F(ShrinkCommandTest, RefusesARunThatDoesntFail) {
  flags_.duration = 1s;
  EXPECT_EQ(ShrinkCommand(flags_), 64);
}

}  // namespace
}  // namespace holdfast
