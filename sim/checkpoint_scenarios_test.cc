// Scenes in which the log loses its beginning: trims, checkpoints, servers that
// come too late for the entries, and crashes at each step of it.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "sim/testing/scenario.h"

namespace holdfast {
namespace {

class CheckpointScenario : public Scenario {
 protected:
  bool Dropped(SimServer* server) {
    return server->running() && server->node().base().index > Index(0);
  }
  bool WaitUntilDropped(SimServer* server) {
    return sim_->RunUntil([&] { return Dropped(server); }, 20s);
  }
  absl::Status ReadAt(SimServer* server, Offset from) {
    auto status = std::make_shared<std::optional<absl::Status>>();
    server->log().Read(
        from, 1000, ReadMode::kLocal,
        [status](absl::StatusOr<ReadResult> r) { *status = r.status(); });
    sim_->RunUntil([&] { return status->has_value(); }, 5s);
    return status->value_or(absl::UnavailableError("no answer"));
  }
  // All of them, in one way or another.
  static void RotWaypoints(DiskImage* disk) {
    for (const auto& [name, file] : disk->names().now()) {
      if (!absl::EndsWith(name, ".waypoint")) continue;
      if (file->now().size() % 2 == 0) {
        file->Write(0, 40, {Buffer::Copy("rot")});
      } else {
        file->Truncate(0, 50);
      }
      file->SyncBefore(1);
    }
  }
  // Three servers, one of which, connected again, lacks what the leader has
  // dropped.
  void MakeWithOneBehind(uint64_t seed, SimServer** behind) {
    set_kept_for_laggards(0);
    Make(seed, 3);
    ASSERT_TRUE(Progress(20));
    *behind = sim_->server(Follower());
    Isolate((*behind)->machine());
    ASSERT_TRUE(Fill());
    ASSERT_TRUE(TrimMost().ok());
    ASSERT_TRUE(WaitUntilDropped(sim_->Leader()));
    sim_->network()->HealAll();
  }
  MachineId Follower() { return sim_->Leader()->machine() % 3 + 1; }
};

TEST_F(CheckpointScenario, TrimmedRecordsGoEverywhere) {
  Make(1, 3);
  ASSERT_TRUE(Fill());
  ASSERT_TRUE(TrimMost().ok());
  const Offset first = sim_->history().trimmed();
  for (MachineId m = 1; m <= 3; ++m) {
    ASSERT_TRUE(WaitUntilDropped(sim_->server(m))) << m;
    ASSERT_TRUE(sim_->RunUntil(
        [&] { return sim_->server(m)->log().trimmed_to() == first; }, 5s));
    EXPECT_GT(sim_->server(m)->node().wal()->first_index(), Index(1));
    EXPECT_TRUE(absl::IsOutOfRange(ReadAt(sim_->server(m), first - 1)));
    EXPECT_TRUE(ReadAt(sim_->server(m), first).ok());
  }
  ExpectGoodEnd();
}

// A few are read all the same: these segments get full faster than waypoints
// are written.
TEST_F(CheckpointScenario, WaypointsSpareTheReadingOfWhatIsTrimmed) {
  uint64_t jumped = 0;
  uint64_t read = 0;
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    Make(seed, 3);
    ASSERT_TRUE(Fill());
    ASSERT_TRUE(TrimMost().ok());
    for (MachineId m = 1; m <= 3; ++m) {
      ASSERT_TRUE(WaitUntilDropped(sim_->server(m))) << seed << ", " << m;
    }
    jumped += Stat("log_prefix_jumped");
    read += Stat("log_prefix_read");
    EXPECT_GT(Stat("waypoint_removed"), 0u) << seed;
    ExpectGoodEnd();
  }
  EXPECT_GT(jumped, 3 * read);
}

// Without them what goes is read, in turns with what clients append, and it
// goes all the same.
TEST_F(CheckpointScenario, WhereWaypointsRotWhatIsTrimmedIsReadAtAPace) {
  uint64_t paced = 0;
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    Make(seed, 3);
    ASSERT_TRUE(Fill());
    for (MachineId m = 1; m <= 3; ++m) {
      sim_->server(m)->Crash(false);
      RotWaypoints(sim_->server(m)->disk());
      sim_->server(m)->Start();
    }
    ASSERT_TRUE(TrimMost().ok());
    ASSERT_TRUE(Fill());
    for (MachineId m = 1; m <= 3; ++m) {
      ASSERT_TRUE(WaitUntilDropped(sim_->server(m))) << seed << ", " << m;
    }
    EXPECT_GE(Stat("waypoint_damaged"), 3u) << seed;
    EXPECT_GE(Stat("log_prefix_read"), 1u) << seed;
    paced += Stat("trim_read_paced");
    ExpectGoodEnd();
  }
  EXPECT_GT(paced, 0u);
}

TEST_F(CheckpointScenario, RefusesWhatMakesNoSense) {
  Make(1, 3);
  ASSERT_TRUE(Progress(50));
  auto trim = [](Offset first) {
    return [first](DistributedLog* log, DoneFn done) {
      log->Trim(first, std::move(done));
    };
  };
  SimServer* leader = sim_->Leader();
  EXPECT_TRUE(absl::IsOutOfRange(Ask(leader, trim(Offset(1000000)))));
  EXPECT_TRUE(
      absl::IsUnavailable(Ask(sim_->server(Follower()), trim(Offset(1)))));
  EXPECT_EQ(leader->log().trimmed_to(), Offset(0));
  ASSERT_TRUE(Trim(Offset(20)).ok());
  // What is so already, is so.
  EXPECT_TRUE(Ask(leader, trim(Offset(10))).ok());
  EXPECT_EQ(leader->log().trimmed_to(), Offset(20));
  ExpectGoodEnd();
}

TEST_F(CheckpointScenario, ServerFarBehindGetsACheckpoint) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    SimServer* server = nullptr;
    ASSERT_NO_FATAL_FAILURE(MakeWithOneBehind(seed, &server));
    ExpectGoodEnd();
    EXPECT_GT(Stat("checkpoint_installed"), 0u) << seed;
    EXPECT_GT(server->node().base().index, Index(0));
  }
}

// The log goes on to lose its beginning while the checkpoint is on its way, and
// keeps nothing for those that lag; but for this one, as long as it gets on.
TEST_F(CheckpointScenario, OneCheckpointIsEnoughHoweverMuchIsTrimmed) {
  uint64_t held = 0;
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    SimServer* server = nullptr;
    ASSERT_NO_FATAL_FAILURE(MakeWithOneBehind(seed, &server));
    const MachineId leader = sim_->Leader()->machine();
    sim_->network()->SetSlow(leader, server->machine(), 50ms);
    sim_->network()->SetSlow(server->machine(), leader, 50ms);
    const Index goal = sim_->Leader()->node().commit();
    for (int i = 0; i < 60 && server->node().commit() < goal; ++i) {
      ASSERT_TRUE(Fill());
      ASSERT_TRUE(TrimMost().ok());
    }
    EXPECT_GE(server->node().commit(), goal) << seed;
    // One that was on its way when the leader dropped more may be too old.
    EXPECT_LE(Stat("checkpoint_installed"), 2u) << seed;
    held += Stat("checkpoint_log_held");
    ExpectGoodEnd();
  }
  EXPECT_GT(held, 0u);
}

// The checkpoint counts, and the leader hears of it, before the log is reset
// to it. If it can't be read afterwards, what was promised is fetched again
// before the server takes part.
TEST_F(CheckpointScenario, CheckpointThatRotsBeforeTheResetIsFetchedAgain) {
  uint64_t fetched = 0;
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    SimServer* server = nullptr;
    ASSERT_NO_FATAL_FAILURE(MakeWithOneBehind(seed, &server));
    ASSERT_TRUE(sim_->RunFor(Duration::zero()));
    while (server->node().base().index == Index(0)) {
      ASSERT_TRUE(sim_->RunFor(1us));
    }
    // Its answer is on its way, or will be.
    ASSERT_TRUE(sim_->RunFor(20us * (seed % 10)));
    server->Crash(/*power_lost=*/seed % 2 == 0);
    for (const auto& [name, file] : server->disk()->names().now()) {
      if (!absl::EndsWith(name, ".checkpoint")) continue;
      file->Write(0, 40, {Buffer::Copy("rot")});
      file->SyncBefore(1);
    }
    ASSERT_TRUE(sim_->RunFor(100ms));
    server->Start();
    ASSERT_TRUE(sim_->RunUntil([&] { return server->node().formed(); }, 10s))
        << server->failure();
    // Some were reset before they died.
    fetched += Stat("repair_by_checkpoint") + Stat("wal_entry_mended");
    ExpectGoodEnd();
  }
  EXPECT_GT(fetched, 20u);
}

TEST_F(CheckpointScenario, LeaderKeepsWhatAFollowerLacks) {
  set_kept_for_laggards(1000);
  Make(1, 3);
  ASSERT_TRUE(Fill());
  const MachineId behind = Follower();
  Isolate(behind);
  ASSERT_TRUE(Fill());
  ASSERT_TRUE(TrimMost().ok());
  EXPECT_TRUE(sim_->RunFor(5s));
  EXPECT_LE(sim_->Leader()->node().base().index,
            sim_->server(behind)->node().tail().last().index);
  sim_->network()->HealAll();
  ExpectGoodEnd();
  EXPECT_EQ(Stat("checkpoint_needed"), 0u);
}

TEST_F(CheckpointScenario, LateJoinerGetsACheckpoint) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    Make(seed, 3, 1, 1);
    ASSERT_TRUE(Fill());
    ASSERT_TRUE(TrimMost().ok());
    ASSERT_TRUE(WaitUntilDropped(sim_->Leader()));
    ASSERT_TRUE(Change(Join(4)).ok());
    EXPECT_GT(sim_->server(4)->node().base().index, Index(0));
    ExpectGoodEnd();
    // And comes back from it.
    sim_->server(4)->Crash(true);
    ExpectGoodEnd();
  }
}

// What a producer appended before is in no entry any more: the checkpoint
// knows.
TEST_F(CheckpointScenario, SessionsOutliveTheirEntries) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    Make(seed, 3);
    ASSERT_TRUE(Progress(20));
    std::optional<SessionId> session;
    Log(sim_->Leader())->RegisterSession([&](absl::StatusOr<SessionId> r) {
      session = r.value();
    });
    ASSERT_TRUE(sim_->RunUntil([&] { return session.has_value(); }, 5s));
    const std::string record = "of a session";
    sim_->mutable_history()->AppendInvoked(record);
    const std::optional<Offset> first =
        AppendRecord(*session, Sequence(1), record);
    ASSERT_TRUE(first.has_value());
    ASSERT_TRUE(Fill());
    ASSERT_TRUE(TrimMost().ok());
    for (MachineId m = 1; m <= 3; ++m) {
      ASSERT_TRUE(WaitUntilDropped(sim_->server(m)));
      ASSERT_GT(sim_->server(m)->node().base().next_offset, *first);
    }
    for (MachineId m = 1; m <= 3; ++m) sim_->server(m)->Crash(true);
    for (MachineId m = 1; m <= 3; ++m) sim_->server(m)->Start();
    ASSERT_TRUE(sim_->RunUntil([&] { return sim_->Leader() != nullptr; }, 20s));
    EXPECT_EQ(AppendRecord(*session, Sequence(1), record), first);
    ExpectGoodEnd();
  }
}

TEST_F(CheckpointScenario, CrashBeforeEachIoOfDropping) {
  for (const bool power_lost : {false, true}) {
    for (uint64_t n = 1; n <= 60; ++n) {
      Make(n, 3);
      ASSERT_TRUE(Fill());
      SimServer* server =
          n % 2 == 0 ? sim_->Leader() : sim_->server(Follower());
      sim_->Leader()->log().Trim(
          [&] {
            const Offset first = sim_->history().established();
            sim_->mutable_history()->TrimInvoked(first);
            return first;
          }(),
          [](absl::Status) {});
      server->process()->DieBeforeIo(
          n, SimProcess::Io::kDisk,
          [server, power_lost] { server->Crash(power_lost); });
      sim_->RunFor(2s);
      ExpectGoodEnd();
      if (HasFailure()) {
        FAIL() << "n = " << n << ", power_lost = " << power_lost;
      }
    }
  }
}

TEST_F(CheckpointScenario, CrashBeforeEachIoOfInstalling) {
  uint64_t installed = 0;
  for (const bool power_lost : {false, true}) {
    for (uint64_t n = 1; n <= 30; ++n) {
      SimServer* behind = nullptr;
      ASSERT_NO_FATAL_FAILURE(MakeWithOneBehind(n, &behind));
      ASSERT_TRUE(sim_->RunUntil(
          [&] { return Stat("checkpoint_sending_begun") > 0; }, 20s));
      behind->process()->DieBeforeIo(
          n, SimProcess::Io::kDisk,
          [behind, power_lost] { behind->Crash(power_lost); });
      sim_->RunFor(3s);
      ExpectGoodEnd();
      if (HasFailure()) {
        FAIL() << "n = " << n << ", power_lost = " << power_lost;
      }
      installed += Stat("checkpoint_installed");
    }
  }
  EXPECT_GT(installed, 0u);
}

TEST_F(CheckpointScenario, RetentionBySizeKeepsTheLogSmall) {
  set_retention(1 << 20, std::nullopt);
  Make(1, 3);
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(Fill());  // twice as much
  ASSERT_TRUE(sim_->RunFor(5s));
  for (MachineId m = 1; m <= 3; ++m) {
    EXPECT_TRUE(Dropped(sim_->server(m)));
    // Followers' segments end elsewhere.
    const Wal& wal = *sim_->server(m)->node().wal();
    EXPECT_EQ(wal.OffsetToKeep(3 << 19, {}), Offset(0));
    EXPECT_GT(wal.bytes(), uint64_t{1} << 19);
  }
  ExpectGoodEnd();
}

TEST_F(CheckpointScenario, RetentionByAgeDropsWhatIsOld) {
  set_retention(std::nullopt, 20s);
  Make(1, 3);
  ASSERT_TRUE(Fill());
  ASSERT_TRUE(sim_->RunFor(10s));
  EXPECT_EQ(sim_->Leader()->log().trimmed_to(), Offset(0));
  ASSERT_TRUE(Fill());
  const Offset young = sim_->history().established();
  ASSERT_TRUE(sim_->RunFor(15s));
  const Offset trimmed = sim_->Leader()->log().trimmed_to();
  EXPECT_GT(trimmed, Offset(0));
  EXPECT_LE(trimmed, young);
  ExpectGoodEnd();
}

}  // namespace
}  // namespace holdfast
