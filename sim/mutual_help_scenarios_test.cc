// Scenes of starts that need each other: each waits for entries that another
// one has, which waits itself.

#include <string>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "sim/testing/damage_scenario.h"

namespace holdfast {
namespace {

using MutualHelpScenario = DamageScenario;

// What is damaged of one log would say that the other server has joined since;
// and that one needs the first one's help, too.
TEST_F(MutualHelpScenario, TheOtherOneJoinedBehindTheHole) {
  Make(1, 1, 1, /*spares=*/1);
  ASSERT_TRUE(Fill());
  ASSERT_TRUE(Change(Join(2)).ok());
  ASSERT_TRUE(Fill());
  ASSERT_TRUE(sim_->RunFor(2s));
  SimServer* const servers[] = {sim_->server(1), sim_->server(2)};
  for (SimServer* server : servers) {
    server->Crash(true);
    // So that it reads all of its log.
    for (const auto& name : Checkpoints(server, CheckpointKind::kResume)) {
      Spoil(server, Rot(server, name, 20));
    }
  }
  const Segment first = Segments(servers[0]).front();
  Spoil(servers[0],
        Rot(servers[0], first.LastEntryBefore(first.scan.end).header.index));
  Spoil(servers[1], Rot(servers[1], Index(3)));
  for (SimServer* server : servers) server->Start();
  for (SimServer* server : servers) {
    ASSERT_TRUE(sim_->RunUntil([&] { return server->node().formed(); }, 10s));
  }
  ASSERT_TRUE(Progress(10)) << sim_->verdict().what();
  ExpectGoodEnd();
}

// The one has its log's beginning by a resume point, and doesn't know the term
// of what it lacks before the segment that is lost: so it needs somebody who
// knows it to be committed. The other has it, but was never told so, and can't
// be before it has an entry that stands behind in the first one's log.
TEST_F(MutualHelpScenario, TwoStartsHelpEachOther) {
  set_segment_bytes(16 << 10);  // of two entries or three
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    SCOPED_TRACE(seed);
    MakeFull(seed, 3);
    SimServer* const leader = sim_->Leader();
    SimServer* const other = sim_->server(leader->machine() % 3 + 1);
    for (size_t i = 0; i < clients(); ++i) sim_->client(i)->Crash();
    ASSERT_TRUE(sim_->RunFor(2s));
    Isolate(6 - leader->machine() - other->machine());
    const auto last = [](SimServer* server) {
      return server->node().core()->trail().last_index();
    };
    const Index committed = leader->node().commit();
    for (int i = 1; i <= 24; ++i) {
      ASSERT_NO_FATAL_FAILURE(
          AppendUnawaited(leader, absl::StrCat("committed by one ", i, " ")));
    }
    for (int i = 0; last(other) < last(leader) || last(other) == committed;
         ++i) {
      ASSERT_TRUE(i < 100'000 && sim_->RunFor(10us));
    }
    sim_->network()->SetCut(leader->machine(), other->machine(), true);
    ASSERT_TRUE(sim_->RunFor(100ms));
    const Index resume_point = leader->node().commit();
    for (MachineId m = 1; m <= 3; ++m) sim_->server(m)->Crash(true);
    const std::vector<Segment> segments = Segments(leader);
    const auto lost = absl::c_find_if(segments, [&](const Segment& s) {
      return s.header.previous.index > committed + 3;
    });
    ASSERT_GE(segments.end() - lost, 3);
    ASSERT_GE(resume_point, lost->header.first_index());
    Spoil(leader, Rot(leader, lost->header.previous.index));
    Spoil(leader, Zeroes(lost->name, 0, lost->scan.end));
    Spoil(other, Rot(other, lost[2].header.previous.index));
    for (MachineId m = 1; m <= 3; ++m) {
      Isolate(m, false);
      sim_->server(m)->Start();
    }
    ASSERT_TRUE(sim_->RunUntil(
        [&] { return leader->node().formed() && other->node().formed(); }, 20s))
        << leader->failure() << other->failure() << sim_->Report(30);
    ExpectGoodEnd();
  }
}

// Who misses what its checkpoint stood for, and its log's end, doesn't know of
// which term that was. A start that waits has other entries there, whole, which
// were never committed: it mustn't give them.
TEST_F(MutualHelpScenario, WithoutATermOnlyWhatIsCommittedIsGiven) {
  set_segment_bytes(16 << 10);
  MakeFull(1, 3);
  for (size_t i = 0; i < clients(); ++i) sim_->client(i)->Crash();
  ASSERT_TRUE(sim_->RunFor(2s));
  SimServer* const deposed = sim_->Leader();
  const Index common = deposed->node().commit();
  Isolate(deposed->machine());
  for (int i = 1; i <= 30; ++i) {
    ASSERT_NO_FATAL_FAILURE(
        AppendUnawaited(deposed, absl::StrCat("never committed ", i, " ")));
    ASSERT_TRUE(sim_->RunFor(5ms));
  }
  deposed->Crash(true);
  ASSERT_TRUE(WaitForOtherLeader(deposed->machine()));
  SimServer* const leader = sim_->Leader();
  for (int i = 1; i <= 8; ++i) {
    std::string record = absl::StrCat("committed ", i, " ");
    record.resize(4 << 10, 'x');
    sim_->mutable_history()->AppendInvoked(record);
    ASSERT_TRUE(AppendRecord(SessionId(0), Sequence(0), record).has_value());
  }
  ASSERT_TRUE(
      TrimUntilItHasACheckpoint(leader, sim_->history().established() - 1));
  for (MachineId m = 1; m <= 3; ++m) {
    if (sim_->server(m)->running()) sim_->server(m)->Crash(true);
    Isolate(m, false);
  }
  SpoilAnyway(leader,
              Rot(leader, Checkpoints(leader, CheckpointKind::kBase)[0], 60));
  for (const auto& name : Checkpoints(leader, CheckpointKind::kResume)) {
    SpoilAnyway(leader, Truncate(name, 0));
  }
  for (const Segment& segment : Segments(leader)) {
    if (segment.header.previous.index >= common) {
      SpoilAnyway(leader, Truncate(segment.name, 0));
    }
  }
  const std::vector<Segment> segments = Segments(deposed);
  SpoilAnyway(deposed, Rot(deposed, segments.back().header.previous.index));
  deposed->Start();
  leader->Start();
  EXPECT_FALSE(sim_->RunUntil(
      [&] { return leader->node().formed() || deposed->node().formed(); }, 10s))
      << sim_->Report(40);
  EXPECT_TRUE(leader->failure().ok()) << leader->failure();
  ExpectGoodEnd();
}

// Two starts lack their logs' last entries, which nobody else ever had; and the
// third server, which is whole, can't be elected alone. But what is left of the
// later entry proves that the earlier one was never committed; and then there
// are two who can elect one.
TEST_F(MutualHelpScenario, ADamagedEntryProvesThatAnEarlierOneMayGo) {
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    SCOPED_TRACE(seed);
    MakeFull(seed, 3);
    for (size_t i = 0; i < clients(); ++i) sim_->client(i)->Crash();
    ASSERT_TRUE(sim_->RunFor(2s));
    SimServer* const earlier = sim_->Leader();
    const Index last = earlier->node().core()->last_index() + 1;
    Isolate(earlier->machine());
    ASSERT_NO_FATAL_FAILURE(AppendUnawaited(earlier, "never committed "));
    ASSERT_TRUE(sim_->RunFor(100ms));  // with a mark behind it
    const Term term = earlier->node().core()->term();
    earlier->Crash(true);
    SimServer* const later = WhoLeadsAlone();
    ASSERT_NE(later, nullptr);
    ASSERT_TRUE(sim_->RunFor(100ms));
    const SimServer* const whole =
        sim_->server(6 - earlier->machine() - later->machine());
    ASSERT_EQ(later->node().core()->last_index(), last);
    ASSERT_GT(later->node().core()->last_term(), term);
    ASSERT_EQ(whole->node().core()->last_index(), last - 1);
    later->Crash(true);
    Spoil(earlier, Rot(earlier, last));
    // The atlas wants a quorum of servers that are whole.
    EXPECT_FALSE(May(later, Rot(later, last)));
    SpoilAnyway(later, Rot(later, last));
    for (SimServer* server : {earlier, later}) {
      Isolate(server->machine(), false);
      server->Start();
    }
    ASSERT_TRUE(sim_->RunUntil(
        [&] { return earlier->node().formed() && later->node().formed(); },
        20s))
        << earlier->failure() << later->failure() << sim_->Report(30);
    EXPECT_EQ(Stat("wal_damaged_entry_dropped"), 2u);
    ExpectGoodEnd();
  }
}

// Of what a start lacks, one server has the beginning only, and another the
// end, which runs, and whose copy of the beginning is damaged. Nobody reads
// that, but it was asked for.
TEST_F(MutualHelpScenario, ARunningServerMendsWhatItIsAskedFor) {
  int shown = 0;
  for (uint64_t seed = 1; seed <= 12; ++seed) {
    SCOPED_TRACE(seed);
    MakeFull(seed, 4);
    for (size_t i = 0; i < clients(); ++i) sim_->client(i)->Crash();
    ASSERT_TRUE(sim_->RunFor(2s));
    SimServer* const runs = sim_->Leader();
    const auto after = [runs](MachineId n) {
      return (runs->machine() + n - 1) % 4 + 1;
    };
    SimServer* const behind = sim_->server(after(1));
    SimServer* const waits = sim_->server(after(2));
    SimServer* const away = sim_->server(after(3));
    Isolate(behind->machine());
    const Index first = behind->node().core()->trail().last_index();
    // What follows is of another term.
    ASSERT_TRUE(Ask(runs, [&](DistributedLog* log, DoneFn done) {
                  log->Transfer(waits->id(), std::move(done));
                }).ok());
    ASSERT_TRUE(Fill());
    ASSERT_TRUE(Fill());
    ASSERT_TRUE(sim_->RunFor(2s));
    away->Crash(true);
    waits->Crash(true);
    ASSERT_TRUE(sim_->RunFor(3s));
    ASSERT_FALSE(runs->node().is_leader());
    for (const auto& name : Checkpoints(waits, CheckpointKind::kResume)) {
      SpoilAnyway(waits, Rot(waits, name, 20));
    }
    for (const Segment& segment : Segments(waits)) {
      uint64_t from = 0;
      bool both = false;  // that one, and one that `behind` lacks
      for (const FoundFrame& frame : segment.scan.frames) {
        if (frame.header.kind != FrameKind::kEntry) continue;
        if (frame.header.index == first) from = frame.position;
        both = both || (from > 0 && frame.header.index == first + 1);
      }
      if (!both) continue;
      // With the marks, which tell their terms.
      SpoilAnyway(waits, Zeroes(segment.name, from, segment.scan.end - from));
      ++shown;
    }
    SpoilAnyway(runs, Rot(runs, first));
    Isolate(behind->machine(), false);
    waits->Start();
    ASSERT_TRUE(sim_->RunUntil([&] { return waits->node().formed(); }, 20s))
        << sim_->Report(30);
    ExpectGoodEnd();
  }
  EXPECT_GT(shown, 1);
}

}  // namespace
}  // namespace holdfast
