#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sim/report/dump.h"
#include "sim/report/page.h"
#include "sim/report/recorder.h"
#include "sim/report/testing/violating_run.h"
#include "sim/report/text_trace.h"
#include "sim/simulation.h"

namespace holdfast {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

SimulationOptions ShortRun(uint64_t seed) {
  SimulationOptions options;
  options.seed = seed;
  options.duration = 4s;
  return options;
}

std::vector<std::string> Lines(const std::string& text) {
  std::vector<std::string> lines = absl::StrSplit(text, '\n');
  if (!lines.empty() && lines.back().empty()) lines.pop_back();
  return lines;
}

TimeWindow Window(Duration from, Duration to) {
  return {TrueTime(from), TrueTime(to)};
}

TEST(RecorderTest, WatchingChangesNothing) {
  for (uint64_t seed = 1; seed <= 12; ++seed) {
    Simulation alone(ShortRun(seed));
    const SimulationResult expected = alone.Run();
    Simulation watched(ShortRun(seed));
    Recorder recorder(&watched, {});
    const SimulationResult result = watched.Run();
    EXPECT_EQ(result.trace_hash, expected.trace_hash) << "seed " << seed;
    EXPECT_EQ(result.events, expected.events);
    EXPECT_EQ(recorder.Finish().events.size(), expected.events);
  }
}

class WatchedRunTest : public ::testing::Test {
 protected:
  WatchedRunTest() { simulation_.Run(); }
  Simulation simulation_{ShortRun(4)};
  Recorder recorder_{&simulation_, {}};
};

TEST_F(WatchedRunTest, EventsAreNumberedAndHaveTheirCauses) {
  const Recording& r = recorder_.Finish();
  ASSERT_EQ(r.events.size(), simulation_.world()->trace.events());
  uint64_t number = 0;
  for (const Recording::Event& e : r.events) {
    EXPECT_EQ(e.number, ++number);
    EXPECT_LT(e.cause, e.number);
  }
}

TEST_F(WatchedRunTest, MessagesAreFollowedToTheOtherEnd) {
  const Recording& r = recorder_.Finish();
  std::map<std::string, int> arrived;
  int answered = 0;
  for (const Recording::Message& m : r.messages) {
    if (m.arrived.has_value()) {
      ++arrived[m.name];
      EXPECT_GT(m.arrived->time, m.sent.time);
    }
    if (m.read.has_value()) {
      EXPECT_GT(m.read->event, m.arrived->event);
    }
    if (!m.answer.has_value()) continue;
    ++answered;
    const Recording::Message& answer = r.messages[*m.answer];
    EXPECT_EQ(answer.from, m.to);
    EXPECT_EQ(answer.to, m.from);
    EXPECT_GE(answer.sent.event, m.read->event);
    if (std::string(m.name) == "AppendRequest") {
      EXPECT_EQ(std::string(answer.name), "AppendAnswer");
    }
  }
  EXPECT_GT(answered, 100);
  for (const char* name :
       {"Hello", "VoteRequest", "VoteAnswer", "AppendRequest", "AppendAnswer",
        "Heartbeat", "HeartbeatAnswer", "ClientRegisterSession", "ClientAppend",
        "ClientAppendAnswer", "ClientRead", "ClientReadAnswer"}) {
    EXPECT_GT(arrived[name], 0) << name;
  }
  EXPECT_EQ(arrived["Unknown"], 0);
}

// Keys and nonces are others, and so is the ciphertext.
TEST(TlsRunTest, IsTheSameWatchedOrNotAndShowsRecordsForMessages) {
  SimulationOptions options = ShortRun(4);
  options.tls = true;
  const uint64_t alone = Simulation(options).Run().trace_hash;
  Simulation watched(options);
  Recorder recorder(&watched, {});
  EXPECT_EQ(watched.Run().trace_hash, alone);
  std::map<std::string, int> arrived;
  for (const Recording::Message& m : recorder.Finish().messages) {
    EXPECT_EQ(std::string(m.name), "TlsRecord");
    const std::string what = m.text.substr(0, m.text.find(','));
    if (m.arrived.has_value()) ++arrived[what];
  }
  EXPECT_GT(arrived["hello"], 0);
  EXPECT_GT(arrived["change of cipher"], 0);
  EXPECT_GT(arrived["ciphertext"], 1000);
  EXPECT_EQ(arrived["unknown"], 0);
  EXPECT_THAT(TextTrace(recorder.Finish(), {}),
              HasSubstr("TlsRecord (ciphertext, "));
  EXPECT_THAT(Page(recorder.Finish(), {}, {}), HasSubstr("TlsRecord"));
}

TEST_F(WatchedRunTest, OperationsEndAfterTheyBegan) {
  const Recording& r = recorder_.Finish();
  size_t ended = 0;
  for (const Recording::DiskOperation& o : r.disk) {
    if (!o.ended.has_value()) continue;
    ++ended;
    // Its process may have died in the event in which it began.
    EXPECT_GE(o.ended->event, o.begun.event + (o.died ? 0 : 1));
    if (!o.died) {
      EXPECT_EQ(o.ended->time, o.due);
    }
  }
  // Few are left under way.
  EXPECT_GT(ended + 50, r.disk.size());
  EXPECT_GT(ended, 100u);
  EXPECT_GT(r.calls.size(), 20u);
}

TEST_F(WatchedRunTest, TheTextHasALineForEachEvent) {
  const Recording& r = recorder_.Finish();
  const std::vector<std::string> lines = Lines(TextTrace(r, {}));
  ASSERT_EQ(lines.size(), r.events.size() + 1);  // and what was at the start
  EXPECT_THAT(lines[0], HasSubstr("server 1 starts"));
  EXPECT_EQ(lines[17], EventLine(r, 17).substr(0, lines[17].size()));
  const std::string text = absl::StrJoin(lines, "\n");
  for (const char* part :
       {"AppendRequest (term=", "sends VoteRequest",
        "takes ClientAppend (request=", "begins sync, ", "done: write of ",
        "note: server ", "calls append ", " is leader of term "}) {
    EXPECT_THAT(text, HasSubstr(part));
  }
}

TEST_F(WatchedRunTest, TheTextIsNarrowedByTime) {
  const Recording& r = recorder_.Finish();
  const std::vector<std::string> lines =
      Lines(TextTrace(r, Window(1s, 1250ms)));
  ASSERT_GT(lines.size(), 10u);
  for (const std::string& line : lines) {
    EXPECT_THAT(line, HasSubstr(" 1."));
  }
  EXPECT_LT(lines.size(), r.events.size() / 4);
  EXPECT_EQ(TextTrace(r, Window(900s, 901s)), "");
}

TEST_F(WatchedRunTest, ThePageNeedsNothingElse) {
  const std::string page =
      Page(recorder_.Finish(), {}, {.seed = 4, .command = "simulate x"});
  EXPECT_THAT(page, HasSubstr("<title>Holdfast, seed 4</title>"));
  EXPECT_THAT(page, HasSubstr("\"command\":\"simulate x\""));
  for (const char* outside : {"http:", "https:", "src=", "@import", "{{"}) {
    EXPECT_THAT(page, Not(HasSubstr(outside))) << outside;
  }
  const std::string part = Page(recorder_.Finish(), Window(1s, 2s), {});
  EXPECT_LT(part.size(), page.size());
}

TEST(GoToTest, TheRunEndsAfterThatEvent) {
  Simulation simulation(ShortRun(4));
  Recorder recorder(&simulation, {.stop_after = 3000});
  const SimulationResult result = simulation.Run();
  EXPECT_EQ(result.verdict.kind(), Verdict::Kind::kStopped);
  EXPECT_FALSE(result.verdict.broken());
  EXPECT_EQ(result.events, 3000u);
  const std::string dump = Dump(&simulation, recorder.Finish());
  for (const char* part :
       {"after event 3000, at ", "#3000 ", "server 1: life ", " of term ",
        "  log ", "durable to ", "configuration of entry 1: voters 1 ",
        "progress of ", "connected to server ", ".segment", "hardstate-0",
        "client 1: "}) {
    EXPECT_THAT(dump, HasSubstr(part));
  }
}

TEST(DumpTest, TellsWhatIsUnderWay) {
  SimulationOptions options;
  options.nodes = 3;
  options.clients = 1;
  options.rates = FaultRates{};
  Simulation simulation(options);
  Recorder recorder(&simulation, {});
  simulation.StartServers();
  simulation.StartClients();
  simulation.RunFor(1s);
  for (MachineId m : {1, 2, 3}) simulation.server(m)->HangDisk(5s);
  simulation.RunFor(500ms);
  simulation.network()->SetCut(2, 3, true);
  simulation.server(1)->Crash(true);
  simulation.RunFor(100ms);
  const std::string dump = Dump(&simulation, recorder.Finish());
  EXPECT_THAT(dump, HasSubstr("server 1: down\n"));
  EXPECT_THAT(dump, HasSubstr("cut: from server 2 to server 3\n"));
  EXPECT_THAT(dump, HasSubstr("  disk: sync, "));
  EXPECT_THAT(dump, HasSubstr(", begun in event "));
  EXPECT_THAT(dump, HasSubstr("  waits for: append "));
}

TEST(ViolationTest, IsRecordedWithItsPair) {
  ViolatingRun run;
  const Recording& r = run.recording();
  ASSERT_TRUE(r.violation.has_value());
  const Recording::Violation& v = *r.violation;
  EXPECT_EQ(v.kind, Verdict::Kind::kCorrectness);
  EXPECT_THAT(v.what, HasSubstr("linearizability: client 1 read"));
  EXPECT_EQ(v.at.event, r.events.back().number);
  EXPECT_THAT(v.machines, Contains(kFirstClient));
  ASSERT_EQ(v.calls.size(), 2u);
  const Recording::Call& late = r.calls[v.calls[0]];
  const Recording::Call& early = r.calls[v.calls[1]];
  EXPECT_EQ(std::string(late.what), "read");
  EXPECT_EQ(late.machine, kFirstClient);
  EXPECT_LE(early.ended->event, late.begun.event);
  EXPECT_EQ(early.shown, late.shown + 1);
  EXPECT_THAT(TextTrace(r, {}),
              HasSubstr(absl::StrCat("\nviolation: ", v.what, "\n")));
  EXPECT_THAT(Page(r, {}, {}), HasSubstr("\"violation\":{\"what\":\"lineari"));
}

TEST(ViolationTest, MarksTellWhatWentBefore) {
  ViolatingRun run;
  std::vector<IncidentKind> kinds;
  for (const Recording::Mark& mark : run.recording().marks) {
    if (mark.incident.machine == 3 ||
        mark.incident.kind == IncidentKind::kCut ||
        mark.incident.kind == IncidentKind::kHeal) {
      kinds.push_back(mark.incident.kind);
    }
  }
  // Whatever its power loss did to its disk.
  std::erase_if(
      kinds, [](IncidentKind kind) { return kind >= IncidentKind::kDropped; });
  EXPECT_THAT(kinds, ElementsAre(IncidentKind::kStart, IncidentKind::kPowerLoss,
                                 IncidentKind::kStart, IncidentKind::kCut,
                                 IncidentKind::kHeal));
}

TEST(MachinesInTest, FindsWhomATextNames) {
  EXPECT_THAT(MachinesIn("term 3 has two leaders, server 2 and server 10"),
              ElementsAre(2, 10));
  EXPECT_THAT(MachinesIn("client 2's append, server 1: server 1"),
              ElementsAre(1, kFirstClient + 1));
  EXPECT_THAT(MachinesIn("no server of that name"), ElementsAre());
}

}  // namespace
}  // namespace holdfast
