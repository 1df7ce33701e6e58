#include "sim/chance.h"

#include <optional>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sim/fault_sites.h"

namespace holdfast {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr ChanceSite kDelay("test/delay");
constexpr ChanceSite kBreak = faults::kCrash;

TEST(ChanceTest, ADrawDependsOnItsKeyAlone) {
  Trace trace;
  Chance one(1, &trace);
  Chance other(1, &trace);
  Chance second_seed(2, &trace);
  one.Bits(kBreak, {9, 9}, 9);
  const uint64_t bits = one.Bits(kDelay, {1, 2}, 3);
  EXPECT_EQ(other.Bits(kDelay, {1, 2}, 3), bits);
  EXPECT_NE(other.Bits(kDelay, {2, 2}, 3), bits);
  EXPECT_NE(other.Bits(kDelay, {1, 3}, 3), bits);
  EXPECT_NE(other.Bits(kDelay, {1, 2}, 4), bits);
  EXPECT_NE(other.Bits(kBreak, {1, 2}, 3), bits);
  EXPECT_NE(second_seed.Bits(kDelay, {1, 2}, 3), bits);
}

TEST(ChanceTest, EveryDrawIsInTheTrace) {
  Trace trace;
  Chance chance(1, &trace);
  const uint64_t before = trace.hash();
  chance.Bits(kDelay, {1, 1}, 0);
  const uint64_t after_one = trace.hash();
  EXPECT_NE(after_one, before);
  chance.Fault(kBreak, {1, 1}, 0, 1);
  EXPECT_NE(trace.hash(), after_one);
}

TEST(ChanceTest, FaultsHappenAtTheirRateAndAreRecorded) {
  Trace trace;
  Chance chance(3, &trace);
  int happened = 0;
  for (uint64_t i = 0; i < 100000; ++i) {
    if (chance.Fault(kBreak, {1, 1}, i, 20000).has_value()) ++happened;
  }
  EXPECT_NEAR(happened, 2000, 200);
  EXPECT_EQ(chance.tape().entries.size(), static_cast<size_t>(happened));
  EXPECT_FALSE(chance.Fault(kBreak, {1, 1}, 0, 0).has_value());
}

TEST(ChanceTest, ReplayTakesFaultsFromTheTapeAlone) {
  Trace trace;
  Chance recorded(5, &trace);
  std::vector<std::optional<uint64_t>> outcomes;
  for (uint64_t i = 0; i < 1000; ++i) {
    outcomes.push_back(recorded.Fault(kBreak, {1, 1}, i, 10000));
  }
  Chance replayed(5, &trace);
  replayed.Replay(recorded.tape());
  for (uint64_t i = 0; i < 1000; ++i) {
    EXPECT_EQ(replayed.Fault(kBreak, {1, 1}, i, 10000), outcomes[i]);
  }
  EXPECT_EQ(replayed.tape().entries, recorded.tape().entries);

  Tape shorter = recorded.tape();
  const TapeEntry removed = shorter.entries.back();
  shorter.entries.pop_back();
  Chance shrunk(5, &trace);
  shrunk.Replay(shorter);
  for (uint64_t i = 0; i < 1000; ++i) {
    EXPECT_EQ(shrunk.Fault(kBreak, {1, 1}, i, 1000000),
              i == removed.draw() ? std::nullopt : outcomes[i]);
  }
}

TEST(ChanceTest, TapesNumberDrawsByWindowsAnew) {
  Trace trace;
  Chance chance(5, &trace);
  const auto draw = [&](TrueTime time, ChanceActor actor) {
    trace.Event(time, 1, kWorldActor, EventKind::kHarness, 0);
    // The ordinal, and which life it is, don't matter.
    chance.Fault(kBreak, actor, trace.events(), 1000000);
    return chance.tape().entries.back();
  };
  EXPECT_EQ(draw(TrueTime(0ms), {1, 1}).place, 0u);
  EXPECT_EQ(draw(TrueTime(249ms), {1, 2}).place, TapeEntry::Place(0, 1));
  EXPECT_EQ(draw(TrueTime(249ms), {2, 1}).place, TapeEntry::Place(0, 0));
  EXPECT_EQ(draw(TrueTime(250ms), {1, 2}).place, TapeEntry::Place(1, 0));
  EXPECT_EQ(draw(TrueTime(10s), {1, 9}).place, TapeEntry::Place(40, 0));
}

TEST(TapeTest, ComesBackFromItsText) {
  Tape tape;
  tape.options = {{"seed", "42"}, {"nodes", "5"}};
  tape.code = "c0de";
  tape.revision = "abc123";
  tape.entries = {{"net/tail", 1002, TapeEntry::Place(17, 3), 0x1234},
                  {"disk/tear", 3, TapeEntry::Place(5, 0), UINT64_MAX}};
  EXPECT_THAT(tape.ToText(),
              HasSubstr("fault net/tail 1002 17.3 0x0000000000001234\n"));
  const absl::StatusOr<Tape> read = Tape::FromText(tape.ToText());
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->code, tape.code);
  EXPECT_EQ(read->revision, tape.revision);
  EXPECT_EQ(read->options, tape.options);
  EXPECT_EQ(read->entries, tape.entries);
}

TEST(TapeTest, SaysWhatIsWrongWithAText) {
  Tape tape;
  tape.entries = {{"net/tail", 1, 17, 1}};
  const std::string text = tape.ToText();
  const auto problem = [](const std::string& bad) {
    return std::string(Tape::FromText(bad).status().message());
  };
  EXPECT_THAT(problem(""), HasSubstr("line 1 of the tape"));
  EXPECT_THAT(problem("something else\n"), HasSubstr("holdfast-tape 2"));
  EXPECT_THAT(problem("holdfast-tape 1\nend 0\n"),
              HasSubstr("another format: record the run anew"));
  EXPECT_THAT(problem(text.substr(0, text.rfind("end"))), HasSubstr("cut off"));
  EXPECT_THAT(problem("holdfast-tape 2\nfault net/tail 1 2 3\nend 1\n"),
              HasSubstr("WINDOW.DRAW"));
  EXPECT_THAT(problem("holdfast-tape 2\nfault net/tale 1 2.0 3\nend 1\n"),
              HasSubstr("line 2 of the tape: expected the name of a fault"));
  EXPECT_THAT(problem("holdfast-tape 2\nend 3\n"), HasSubstr("\"end 0\""));
  EXPECT_THAT(problem("holdfast-tape 2\ncode 1\ncode 2\nend 0\n"),
              HasSubstr("found \"code 2\""));
  EXPECT_THAT(problem("holdfast-tape 2\nwhat\nend 0\n"),
              HasSubstr("line 2 of the tape"));
}

}  // namespace
}  // namespace holdfast
