// Scenes in which a cluster has lost its majority for good, and what one server
// has left becomes a new one.

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "engine/base/lost_records.h"
#include "engine/log/recover.h"
#include "gtest/gtest.h"
#include "sim/sim_process.h"
#include "sim/testing/damage_scenario.h"

namespace holdfast {
namespace {

// Of the process that recovers: unlike those of servers.
constexpr uint32_t kBoot = 1000;

class RecoverScenario : public DamageScenario {
 protected:
  // Three servers, one of which will be left: it has all that the leader has.
  void MakeCluster(uint64_t seed) {
    Make(seed, 3, 2);
    set_clients(2);
    ASSERT_TRUE(Progress(50));
    leader_ = sim_->Leader()->machine();
    left_ = sim_->server(leader_ % 3 + 1);
    other_ = sim_->server((leader_ + 1) % 3 + 1);
  }
  void AppendByHand() {
    std::optional<SessionId> session;
    Log(sim_->Leader())->RegisterSession([&](absl::StatusOr<SessionId> r) {
      if (r.ok()) session = *r;
    });
    ASSERT_TRUE(sim_->RunUntil([&] { return session.has_value(); }, 5s));
    session_ = *session;
    sim_->mutable_history()->AppendInvoked("by hand");
    offset_ = OfAppend(sim_->Leader());
    ASSERT_TRUE(offset_.has_value());
  }
  // Where the one batch of the session is, says this server when it is asked to
  // append it.
  std::optional<Offset> OfAppend(SimServer* server) {
    std::optional<AppendOutcome> outcome;
    Append(server, session_, Sequence(1), &outcome);
    sim_->RunUntil([&] { return outcome.has_value(); }, 5s);
    if (!outcome.has_value() ||
        outcome->kind != AppendOutcome::Kind::kCommitted) {
      return std::nullopt;
    }
    return outcome->offset;
  }
  // All die, when the one that is left has all that the leader has.
  void LoseTheOthers(bool power_lost) {
    SimServer* leader = sim_->server(leader_);
    ASSERT_TRUE(sim_->RunUntil(
        [&] {
          return left_->node().core()->durable() ==
                 leader->node().core()->last_index();
        },
        20s));
    leader->Crash(true);
    other_->Crash(true);
    left_->Crash(power_lost);
  }
  // Makes a new disk of its old one, and of what the others' have.
  absl::StatusOr<Recover::Result> RunRecover(
      const std::vector<SimServer*>& others = {}) {
    const MachineId machine = left_->machine();
    auto image =
        std::make_unique<DiskImage>(sim_->world(), machine, SimDiskOptions{});
    absl::StatusOr<Recover::Result> result =
        absl::UnavailableError("not done in time");
    {
      SimProcess process(sim_->world(), machine, kBoot, ClockModel{});
      SimDisk old_disk(&process, left_->disk());
      SimDisk new_disk(&process, image.get());
      std::vector<std::unique_ptr<SimDisk>> disks;
      std::vector<RecoverCopy> copies;
      for (SimServer* other : others) {
        disks.push_back(std::make_unique<SimDisk>(&process, other->disk()));
        copies.push_back({.name = absl::StrCat("machine ", other->machine()),
                          .disk = disks.back().get()});
      }
      NewClusterOptions options;
      options.id = left_->id();
      options.advertise = NetworkFabric::AddressOf(machine);
      options.seed = sim_->world()->chance.seed();
      options.wal.segment_bytes = 64 << 10;
      Recover recover(process.loop(), &old_disk, &new_disk, options, copies);
      bool done = false;
      recover.Run([&](absl::StatusOr<Recover::Result> r) {
        result = std::move(r);
        done = true;
      });
      sim_->RunUntil([&] { return done; }, 20s);
      process.Kill();
      for (SimServer* other : others) other->disk()->ProcessDied(process);
      left_->disk()->ProcessDied(process);
      image->ProcessDied(process);
    }
    // What is done is durable.
    image->PowerLost(kBoot);
    left_->ReplaceDisk(std::move(image));
    sim_->mutable_checker()->ClusterReplaced();
    sim_->mutable_history()->ClusterReplaced();
    return result;
  }
  void JoinWithNewDisk(SimServer* server) {
    server->WipeDisk();
    server->set_join();
    server->Start();
    ASSERT_TRUE(Change(Join(server->machine())).ok());
  }
  // A cluster with a session, and the leader's is the directory that is left.
  void FillAndStopClients(uint64_t seed) {
    MakeFull(seed, 3);
    AppendByHand();
    ASSERT_TRUE(Progress(20));
    left_ = sim_->Leader();
    leader_ = left_->machine() % 3 + 1;
    other_ = sim_->server(leader_ % 3 + 1);
    for (size_t i = 0; i < clients(); ++i) sim_->client(i)->Crash();
  }
  // The new cluster, and clients, which may meet what is lost.
  void GoOnWithout(const LostRecords& gone) {
    sim_->mutable_checker()->LogReplaced(gone.last_index);
    sim_->mutable_history()->RecordsLost(gone);
    left_->Start();
    for (size_t i = 0; i < clients(); ++i) sim_->client(i)->Start();
    ASSERT_TRUE(LeadsAlone()) << sim_->verdict().what() << left_->failure();
  }
  bool LeadsAlone() {
    return sim_->RunUntil([&] { return sim_->Leader() == left_; }, 5s);
  }
  // Of the last entry at `index` or before it that has records.
  EntryHeader BatchAt(Index index) {
    const auto [name, frame] = FrameOf(left_, index);
    const Entry entry =
        *DecodeEntry(Bytes(left_, name)
                         .Slice(frame.position + kLogFrameHeaderBytes,
                                frame.header.body_size));
    return entry.header.count > 0 ? entry.header : BatchAt(index - 1);
  }
  // The new cluster grows, and all of its servers have all that was before
  // `end`, but for one batch.
  void ExpectAllBut(const LostRecords& gone, const AllRead& before,
                    Offset end) {
    for (SimServer* server : {sim_->server(leader_), other_}) {
      JoinWithNewDisk(server);
      ASSERT_TRUE(Progress(20)) << sim_->verdict().what();
    }
    for (MachineId m = 1; m <= 3; ++m) {
      const AllRead now = ReadAll(sim_->server(m), end);
      EXPECT_EQ(now.lost, std::vector<LostRecords>{gone});
      EXPECT_EQ(now.batches.size() + 1, before.batches.size());
      for (const auto& [offset, batch] : now.batches) {
        ASSERT_TRUE(before.batches.contains(offset));
        // But for the session in it.
        EXPECT_EQ(batch.substr(kBatchHeaderBytes),
                  before.batches.at(offset).substr(kBatchHeaderBytes));
      }
    }
    ASSERT_TRUE(Trim(gone.end).ok());
    ExpectGoodEnd();
  }

  MachineId leader_ = 0;
  SimServer* left_ = nullptr;
  SimServer* other_ = nullptr;
  SessionId session_;
  std::optional<Offset> offset_;
};

TEST_F(RecoverScenario, OneOfThreeGoesOnAndGrows) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    MakeCluster(seed);
    AppendByHand();
    ASSERT_TRUE(Progress(20));
    LoseTheOthers(seed % 2 == 0);
    absl::StatusOr<Recover::Result> result = RunRecover();
    ASSERT_TRUE(result.ok()) << result.status();
    left_->Start();
    ASSERT_TRUE(LeadsAlone());
    // The session goes on: it is not appended again.
    EXPECT_EQ(OfAppend(left_), offset_);
    ASSERT_TRUE(Progress(20));
    for (SimServer* server : {sim_->server(leader_), other_}) {
      JoinWithNewDisk(server);
      ASSERT_TRUE(Progress(20));
    }
    EXPECT_EQ(sim_->Leader()->node().configuration()->voters.size(), 3u);
    EXPECT_EQ(sim_->Leader()->node().identity().cluster_id, result->cluster);
    // A new majority has all of it.
    left_->Crash(true);
    ASSERT_TRUE(Progress(20));
    EXPECT_EQ(OfAppend(sim_->Leader()), offset_);
    ExpectGoodEnd();
  }
}

TEST_F(RecoverScenario, ServersOfTheOldClusterFindNobody) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    MakeCluster(seed);
    LoseTheOthers(true);
    ASSERT_TRUE(RunRecover().ok());
    left_->Start();
    ASSERT_TRUE(LeadsAlone());
    // Clients might find them.
    for (MachineId client : {101, 102}) {
      sim_->network()->SetCut(client, leader_, true);
      sim_->network()->SetCut(client, other_->machine(), true);
    }
    other_->Start();
    ASSERT_TRUE(Progress(20));
    const Index last = other_->node().tail().last().index;
    const Term term = left_->node().core()->term();
    const absl::Status joined = Ask(left_, Join(other_->machine()));
    EXPECT_TRUE(absl::IsFailedPrecondition(joined)) << joined;
    ASSERT_TRUE(sim_->RunFor(5s));
    EXPECT_EQ(other_->node().tail().last().index, last);
    EXPECT_EQ(left_->node().core()->term(), term);
    EXPECT_TRUE(left_->node().is_leader());
    other_->Crash(true);
    sim_->network()->HealAll();
    for (SimServer* server : {sim_->server(leader_), other_}) {
      JoinWithNewDisk(server);
    }
    ExpectGoodEnd();
  }
}

// An entry behind each server's newest resume point rots on all of them, while
// they are down: they wait for it, for ever. A new cluster of what one of them
// has says which records are lost, and serves all others, on each server.
TEST_F(RecoverScenario, WhatNobodyHasIsLostAndAllElseIsServed) {
  set_may_lose(true);
  set_segment_bytes(128 << 10);
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    SCOPED_TRACE(seed);
    ASSERT_NO_FATAL_FAILURE(FillAndStopClients(seed));
    // What a mark covers of each server's last segment, but for one more.
    Index marked;
    Index first;
    for (int i = 1; first + 2 >= marked; ++i) {
      ASSERT_LT(i, 400);
      const std::string record = absl::StrCat("by hand ", i);
      sim_->mutable_history()->AppendInvoked(record);
      ASSERT_TRUE(AppendRecord(SessionId(0), Sequence(0), record).has_value());
      if (i % 8 != 0) continue;
      // Time for the marks.
      ASSERT_TRUE(sim_->RunFor(100ms));
      first = Index();
      marked = Index(UINT64_MAX);
      for (MachineId m = 1; m <= 3; ++m) {
        const Segment newest = Segments(sim_->server(m)).back();
        const FoundFrame* frame = newest.FindEntryBefore(newest.scan.marked_to);
        first = std::max(first, newest.header.first_index());
        marked = std::min(marked,
                          frame == nullptr ? Index() : frame->header.index - 1);
      }
    }
    const Offset end = left_->log().committed_end();
    const AllRead before = ReadAll(left_, end);
    for (MachineId m = 1; m <= 3; ++m) sim_->server(m)->Crash(true);
    const EntryHeader header = BatchAt(marked);
    const LostRecords gone{header.base_offset,
                           header.base_offset + header.count, header.index};
    for (MachineId m = 1; m <= 3; ++m) {
      SpoilAnyway(sim_->server(m), Rot(sim_->server(m), header.index));
      sim_->server(m)->Start();
    }
    ASSERT_TRUE(sim_->RunFor(5s));
    for (MachineId m = 1; m <= 3; ++m) {
      EXPECT_FALSE(sim_->server(m)->node().formed());
      sim_->server(m)->Crash(seed % 2 == 0);
    }
    const absl::StatusOr<Recover::Result> result = RunRecover();
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->lost, std::vector<LostRecords>{gone});
    ASSERT_NO_FATAL_FAILURE(GoOnWithout(gone));
    // Nobody knows what the lost one was: the session has ended.
    EXPECT_EQ(OfAppend(left_), std::nullopt);
    ASSERT_TRUE(Progress(20));
    ASSERT_NO_FATAL_FAILURE(ExpectAllBut(gone, before, end));
  }
}

// Each server lacks entries, all of them the same one, and each of them others,
// too: of what all three have left, only that one is missing.
TEST_F(RecoverScenario, WhatOneLacksIsTakenFromTheOthers) {
  set_may_lose(true);
  set_segment_bytes(128 << 10);
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    SCOPED_TRACE(seed);
    ASSERT_NO_FATAL_FAILURE(FillAndStopClients(seed));
    ASSERT_TRUE(sim_->RunFor(2s));
    const Offset end = left_->log().committed_end();
    const AllRead before = ReadAll(left_, end);
    for (MachineId m = 1; m <= 3; ++m) sim_->server(m)->Crash(true);
    const EntryHeader header = BatchAt(Index(60));
    const LostRecords gone{header.base_offset,
                           header.base_offset + header.count, header.index};
    for (MachineId m = 1; m <= 3; ++m) {
      SimServer* server = sim_->server(m);
      const std::vector<Damage> places{Rot(server, gone.last_index),
                                       Rot(server, gone.last_index - m),
                                       Rot(server, gone.last_index + 3 * m)};
      for (const Damage& place : places) SpoilAnyway(server, place);
    }
    const absl::StatusOr<Recover::Result> result =
        RunRecover({sim_->server(leader_), other_});
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->lost, std::vector<LostRecords>{gone});
    ASSERT_EQ(result->copies.size(), 2u);
    EXPECT_EQ(result->copies[0].entries + result->copies[1].entries, 2u);
    ASSERT_NO_FATAL_FAILURE(GoOnWithout(gone));
    // That session began behind what is lost.
    EXPECT_EQ(OfAppend(left_), offset_);
    ASSERT_TRUE(Progress(20));
    ASSERT_NO_FATAL_FAILURE(ExpectAllBut(gone, before, end));
  }
}

// No checkpoint of the old cluster had its machine's state: the new one's first
// checkpoint has none either, and machines make theirs of the log.
TEST_F(RecoverScenario, MachinesAreMadeOfTheWholeLog) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    set_kv(true);
    MakeCluster(seed);
    LoseTheOthers(true);
    ASSERT_TRUE(RunRecover().ok());
    left_->Start();
    ASSERT_TRUE(LeadsAlone());
    for (SimServer* server : {sim_->server(leader_), other_}) {
      JoinWithNewDisk(server);
    }
    ASSERT_TRUE(Progress(20));
    ExpectGoodEnd();
  }
}

}  // namespace
}  // namespace holdfast
