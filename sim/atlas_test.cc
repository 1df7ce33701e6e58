// Which damage the atlas allows, rule by rule, on disks that the engine wrote.

#include "sim/atlas.h"

#include <cstdint>
#include <string>
#include <vector>

#include "engine/wal/hard_state_file.h"
#include "gtest/gtest.h"
#include "sim/testing/damage_scenario.h"

namespace holdfast {
namespace {

class AtlasTest : public DamageScenario {
 protected:
  void SetUp() override {
    MakeFull(1, 3);
    a_ = sim_->server(1);
    b_ = sim_->server(2);
    c_ = sim_->server(3);
    std::vector<Segment> segments;
    // A client appends: the newest one may have just begun.
    ASSERT_TRUE(sim_->RunUntil(
        [&] {
          segments = Segments(a_);
          return segments.back().scan.marked_to > 0;
        },
        5s));
    ASSERT_GT(segments.size(), 3u);
    sealed_ = segments[1];
    newest_ = segments.back();
    old_ = sealed_.header.first_index();
  }
  // All have the same, and all of it is at rest.
  void Rest() {
    for (size_t i = 0; i < clients(); ++i) sim_->client(i)->Crash();
    ASSERT_TRUE(sim_->RunFor(3s));
    newest_ = Segments(a_).back();
  }
  bool MayLeave(const std::vector<SimServer*>& gone) {
    return sim_->atlas()->MayLeave(gone);
  }
  bool MayReplace(SimServer* server) {
    return sim_->atlas()->MayReplace(server);
  }

  SimServer* a_ = nullptr;
  SimServer* b_ = nullptr;
  SimServer* c_ = nullptr;
  Segment sealed_;  // of the first server
  Segment newest_;
  Index old_;  // an entry that all have
};

// --- 1. What is damaged shows that it is ---

TEST_F(AtlasTest, OfTheNewestSegmentOnlyWhatLiesBelowAMark) {
  const uint64_t last = newest_.scan.frames.back().position;
  const FoundFrame& entry = newest_.LastEntryBefore(newest_.scan.marked_to);
  EXPECT_TRUE(May(a_, Rot(a_, entry.header.index)));
  EXPECT_FALSE(May(a_, Zeroes(newest_.name, entry.position, 1 << 20)));
  EXPECT_FALSE(May(a_, Truncate(newest_.name, entry.position)));
  EXPECT_FALSE(May(a_, Truncate(newest_.name, last)));
}

TEST_F(AtlasTest, OfTheLastMarksAllButOne) {
  Rest();
  const std::vector<FoundFrame>& frames = newest_.scan.frames;
  ASSERT_GE(frames.size(), 3u);
  const FoundFrame& first = frames[frames.size() - 2];
  const FoundFrame& second = frames.back();
  ASSERT_EQ(first.header.kind, FrameKind::kMark);
  ASSERT_EQ(second.header.kind, FrameKind::kMark);
  for (const FoundFrame& mark : {first, second}) {
    EXPECT_TRUE(May(a_, Rot(a_, newest_.name, mark.position + 8)));
    EXPECT_TRUE(May(a_, Rot(a_, newest_.name, mark.position + 65)));
    EXPECT_TRUE(May(a_, Zeroes(newest_.name, mark.position, 64)));
    EXPECT_FALSE(May(a_, Refused(newest_.name, mark.position, 64)));
    EXPECT_FALSE(May(a_, Truncate(newest_.name, mark.position)));
  }
  EXPECT_FALSE(May(
      a_, Zeroes(newest_.name, first.position, second.end() - first.position)));
  // Nor what stands before them with one of them.
  EXPECT_FALSE(May(a_, Zeroes(newest_.name, first.position - 64, 128)));
  for (const bool other : {false, true}) {
    const FoundFrame& gone = other ? second : first;
    const FoundFrame& left = other ? first : second;
    Spoil(a_, Rot(a_, newest_.name, gone.position + 8));
    EXPECT_FALSE(May(a_, Rot(a_, newest_.name, left.position + 8)));
    const Index last = newest_.LastEntryBefore(first.position).header.index;
    EXPECT_TRUE(May(a_, Rot(a_, last)));
    Restore(a_);
  }
}

TEST_F(AtlasTest, BeyondTheModelOfTheNewestSegmentAllOfIt) {
  for (const bool beyond : {false, true}) {
    set_beyond_model(beyond);
    SetUp();
    Rest();
    for (SimServer* s : {a_, b_, c_}) s->Crash(true);
    const uint64_t last = newest_.scan.frames.back().position;
    const uint64_t marks = newest_.LastEntryBefore(last).end();
    const std::vector<Damage> kinds = {
        Zeroes(newest_.name, marks, newest_.scan.end - marks),
        Zeroes(newest_.name, 0, newest_.scan.end), Truncate(newest_.name, last),
        Truncate(newest_.name, 0), Vanish(newest_.name)};
    for (const Damage& damage : kinds) EXPECT_EQ(May(a_, damage), beyond);
    if (!beyond) continue;
    // What nobody else has stays all the same.
    Spoil(b_, Vanish(Segments(b_).back().name));
    Spoil(c_, Vanish(Segments(c_).back().name));
    EXPECT_FALSE(May(a_, Vanish(newest_.name)));
  }
}

TEST_F(AtlasTest, OfASegmentWithASuccessorAllOfIt) {
  EXPECT_TRUE(May(a_, Zeroes(sealed_.name, 0, sealed_.bytes)));
  EXPECT_TRUE(May(a_, Truncate(sealed_.name, 0)));
  EXPECT_TRUE(May(a_, Truncate(sealed_.name, sealed_.scan.end - 1)));
  EXPECT_TRUE(May(a_, Rot(a_, sealed_.name, sealed_.scan.end - 70)));
}

TEST_F(AtlasTest, ASuccessorsFramesSayThatItBegan) {
  const std::vector<Segment> all = Segments(a_);
  const Segment& before = all[all.size() - 2];
  const Damage first = Rot(a_, newest_.scan.frames[0].header.index);
  Spoil(a_, Rot(a_, newest_.name, 20));
  Spoil(a_, first);
  Spoil(a_, Truncate(before.name, kSegmentHeaderBytes));
}

TEST_F(AtlasTest, AHeaderIsKeptWhileItReplacesEntriesOfAnEarlierFile) {
  int cuts = 0;
  for (uint64_t seed = 1; seed <= 8; ++seed) {
    Make(seed, 3);
    ASSERT_TRUE(Progress(30));
    // Another leader replaces what this one has alone.
    SimServer* const leader = sim_->Leader();
    Isolate(leader->machine());
    std::optional<AppendOutcome> outcome;
    Append(leader, SessionId(0), Sequence(0), &outcome);
    ASSERT_TRUE(WaitForOtherLeader(leader->machine()));
    ASSERT_TRUE(Progress(1));
    sim_->network()->HealAll();
    ASSERT_TRUE(Fill());
    ASSERT_TRUE(sim_->RunFor(1s));
    const std::vector<Segment> all = Segments(leader);
    for (size_t i = 1; i + 1 < all.size(); ++i) {
      const bool cut = all[i].header.first_index() <= all[i - 1].scan.seen;
      cuts += cut ? 1 : 0;
      EXPECT_EQ(May(leader, Rot(leader, all[i].name, 20)), !cut);
      EXPECT_EQ(May(leader, Truncate(all[i].name, 0)), !cut);
    }
  }
  EXPECT_GT(cuts, 3);
}

TEST_F(AtlasTest, NothingThatIsntAtRest) {
  // Allocated ahead, and not begun.
  for (const auto& [name, file] : a_->disk()->names().durable()) {
    if (!ParseSegmentName(name).has_value() || name <= newest_.name) continue;
    EXPECT_FALSE(May(a_, Rot(a_, name, 5000)));
  }
  FileImage file(4096);
  EXPECT_TRUE(file.AtRest(0, 4096));
  file.Write(1, 1000, {Buffer::Zeroes(100)});
  EXPECT_TRUE(file.AtRest(0, 1000));
  EXPECT_FALSE(file.AtRest(0, 1001));
  EXPECT_FALSE(file.AtRest(1099, 4096));
  EXPECT_TRUE(file.AtRest(1100, 4096));
  file.Truncate(2, 3000);
  EXPECT_FALSE(file.AtRest(3500, 3600));
  EXPECT_FALSE(file.AtRest(1100, 3001));
  file.SyncBefore(3);
  EXPECT_TRUE(file.AtRest(0, 3000));
}

// --- 2. Each entry is intact elsewhere ---

TEST_F(AtlasTest, TheLastIntactCopyOfAnEntryStays) {
  Spoil(a_, Rot(a_, old_));
  Spoil(b_, Rot(b_, old_));
  EXPECT_FALSE(May(c_, Rot(c_, old_)));
  // Nor the frame before it, with the header that its checksum continues.
  const auto [name, frame] = FrameOf(c_, old_ + 1);
  EXPECT_TRUE(May(c_, Rot(c_, old_ + 1)));
  EXPECT_TRUE(May(c_, Rot(c_, name, frame.position + 8)));
  EXPECT_FALSE(May(c_, Rot(c_, FrameOf(c_, old_).first,
                           FrameOf(c_, old_).second.position + 8)));
  // A server that is down has it all the same.
  c_->Crash(true);
  EXPECT_FALSE(May(c_, Rot(c_, old_)));
  Restore(a_);
  EXPECT_TRUE(May(c_, Rot(c_, old_)));
}

TEST_F(AtlasTest, WhoLacksAnEntryDoesntStandInForWhoHasIt) {
  SimServer* const leader = sim_->Leader();
  SimServer* const away = leader == a_ ? b_ : a_;
  Isolate(away->machine());
  ASSERT_TRUE(Progress(20));
  const Index last = leader->node().commit();
  ASSERT_GT(last, away->node().commit());
  // A mark covers it there.
  ASSERT_TRUE(
      sim_->RunUntil([&] { return May(leader, Rot(leader, last)); }, 1s));
  SimServer* const other = leader != c_ ? c_ : (away == a_ ? b_ : a_);
  ASSERT_TRUE(other->HadDurably(last, leader->node().core()->term()));
  Spoil(leader, Rot(leader, last));
  EXPECT_FALSE(May(other, Rot(other, last)));
}

TEST_F(AtlasTest, AnEntryThatNobodyElseEverHadMayGo) {
  SimServer* const leader = sim_->Leader();
  Isolate(leader->machine());
  std::optional<AppendOutcome> outcome;
  Append(leader, SessionId(0), Sequence(0), &outcome);
  ASSERT_TRUE(sim_->RunFor(50ms));
  const RaftCore& core = *leader->node().core();
  const Index last = core.last_index();
  ASSERT_TRUE(sim_->RunFor(20ms));  // until it is durable
  for (SimServer* s : {a_, b_, c_}) {
    EXPECT_EQ(s->HadDurably(last, core.last_term()), s == leader);
  }
  // Once a mark covers it.
  EXPECT_TRUE(
      sim_->RunUntil([&] { return May(leader, Rot(leader, last)); }, 1s));
}

TEST_F(AtlasTest, OfASingleVoterNoEntryMayGo) {
  MakeFull(1, 1);
  SimServer* const alone = sim_->server(1);
  const Segment segment = Segments(alone)[1];
  EXPECT_FALSE(May(alone, Rot(alone, segment.header.first_index())));
  EXPECT_FALSE(May(alone, Truncate(segment.name, 0)));
  // No entry goes with a mark's body.
  for (const FoundFrame& f : segment.scan.frames) {
    if (f.header.kind != FrameKind::kMark) continue;
    EXPECT_TRUE(May(alone, Rot(alone, segment.name, f.position + 65)));
  }
}

// --- 3. Hard state ---

TEST_F(AtlasTest, OneCopyOfTheHardState) {
  const std::string copy[] = {HardStateCopyName(0), HardStateCopyName(1)};
  EXPECT_TRUE(May(a_, Rot(a_, copy[0], 25)));
  EXPECT_FALSE(May(a_, Rot(a_, copy[1], 25)));  // it overwrites the other first
  a_->Crash(true);
  EXPECT_TRUE(May(a_, Truncate(copy[1], 3)));
  Spoil(a_, Zeroes(copy[1], 0, kHardStateBytes));
  EXPECT_FALSE(May(a_, Rot(a_, copy[0], 25)));
  a_->Start();
  ASSERT_TRUE(sim_->RunFor(1s));
  EXPECT_TRUE(May(a_, Rot(a_, copy[0], 25)));
}

// --- 4. and 5. The other files ---

TEST_F(AtlasTest, ACheckpointWhileAnotherMemberHasOneAtOrBehindIt) {
  ASSERT_TRUE(TrimMostEverywhere());
  ASSERT_TRUE(Fill());
  ASSERT_TRUE(TrimMostEverywhere());
  std::vector<SimServer*> servers = {a_, b_, c_};
  const auto newest = [](SimServer* s) {
    return Checkpoints(s, CheckpointKind::kBase).back();
  };
  std::sort(servers.begin(), servers.end(),
            [&](SimServer* x, SimServer* y) { return newest(x) < newest(y); });
  // Nobody needs those before.
  for (SimServer* s : servers) {
    const auto names = Checkpoints(s, CheckpointKind::kBase);
    ASSERT_EQ(names.size(), 2u);
    EXPECT_TRUE(May(s, Truncate(names[0], 10)));
  }
  Spoil(servers[0], Rot(servers[0], newest(servers[0]), 50));
  Spoil(servers[1], Truncate(newest(servers[1]), 100));
  EXPECT_FALSE(May(servers[2], Rot(servers[2], newest(servers[2]), 50)));
  EXPECT_FALSE(MayReplace(servers[2]));
  EXPECT_TRUE(MayReplace(servers[0]));
  Restore(servers[1]);
  EXPECT_TRUE(MayReplace(servers[2]));
}

TEST_F(AtlasTest, ResumePointsAndWaypointsAtAnyTime) {
  for (CheckpointKind kind :
       {CheckpointKind::kResume, CheckpointKind::kWaypoint}) {
    for (SimServer* s : {a_, b_, c_}) {
      const std::vector<std::string> names = Checkpoints(s, kind);
      ASSERT_FALSE(names.empty());
      for (const std::string& name : names) Spoil(s, Truncate(name, 20));
    }
  }
}

// Nor may one pass for another: a file's bytes don't say of which kind it is.
TEST_F(AtlasTest, NoFileMayTakeTheBytesOfAnotherOfItsName) {
  const std::string waypoint = Checkpoints(a_, CheckpointKind::kWaypoint)[0];
  const Buffer bytes = Bytes(a_, waypoint);
  EXPECT_FALSE(May(a_, {.file = waypoint, .from = 0, .bytes = bytes}));
}

TEST_F(AtlasTest, OneCopyOfTheIdentityAndPeersNever) {
  const std::string names[] = {IdentityFile::kName, IdentityFile::kCopyName};
  for (int i : {0, 1}) {
    EXPECT_TRUE(May(a_, Rot(a_, names[i], 10)));
    a_->Crash(true);
    EXPECT_FALSE(May(a_, Rot(a_, "peers", 10)));
    Spoil(a_, Truncate(names[i], 20));
    EXPECT_FALSE(May(a_, Rot(a_, names[1 - i], 10)));
    a_->Start();
    ASSERT_TRUE(sim_->RunFor(1s));
    EXPECT_TRUE(a_->failure().ok());
    EXPECT_FALSE(May(a_, Rot(a_, "peers", 10)));
  }
}

// --- 6. What only one disk has ---

TEST_F(AtlasTest, TheServerWithTheLastIntactCopyStays) {
  EXPECT_TRUE(MayReplace(c_));
  EXPECT_TRUE(MayLeave({b_, c_}));
  Spoil(a_, Rot(a_, old_));
  EXPECT_TRUE(MayReplace(c_));
  EXPECT_TRUE(MayLeave({c_}));
  // What nobody else has would be committed by the last voter.
  EXPECT_FALSE(MayLeave({b_, c_}));
  Spoil(b_, Rot(b_, old_));
  EXPECT_FALSE(MayReplace(c_));
  EXPECT_FALSE(MayLeave({c_}));
  EXPECT_TRUE(MayReplace(a_));
  Restore(b_);
  EXPECT_TRUE(MayReplace(c_));
}

TEST_F(AtlasTest, NoOldCopyWhileAMemberHasLessThanItSays) {
  OldCopies& copies = *sim_->old_copies();
  SimServer* const victim = sim_->Leader() == a_ ? b_ : a_;
  EXPECT_FALSE(copies.Strike(victim));  // takes one
  Restart(victim);
  ASSERT_TRUE(Progress(20));
  ASSERT_TRUE(sim_->RunFor(1s));
  SimServer* const other =
      sim_->server(6 - sim_->Leader()->machine() - victim->machine());
  Spoil(other, Rot(other, old_));
  EXPECT_FALSE(sim_->RunUntil([&] { return copies.Strike(victim); }, 2s));
  Restore(other);
  EXPECT_TRUE(sim_->RunUntil([&] { return copies.Strike(victim); }, 5s));
}

}  // namespace
}  // namespace holdfast
