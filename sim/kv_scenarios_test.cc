// A state machine over the log, and linearizable reads at any server.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/base/batch.h"
#include "engine/log/kv.h"
#include "gtest/gtest.h"
#include "sim/testing/scenario.h"

namespace holdfast {
namespace {

class KvScenario : public Scenario {
 protected:
  KvScenario() { set_kv(true); }

  // At the leader, until an answer is definite.
  std::optional<KvWritten> Write(const std::string& key,
                                 const std::string& value,
                                 std::optional<KvVersion> expected = {}) {
    for (int i = 0; i < 100; ++i) {
      if (!sim_->RunUntil([&] { return sim_->Leader() != nullptr; }, 20s))
        break;
      SimServer* leader = sim_->Leader();
      KvStore store(&leader->log(), &leader->kv());
      auto written = std::make_shared<std::optional<KvWritten>>();
      // Each attempt is another record.
      const std::string record = value + std::string(++attempts_, '.');
      sim_->mutable_history()->AppendInvoked(record);
      EXPECT_TRUE(
          store
              .Write({key, record, expected},
                     [written](KvWritten w) { *written = std::move(w); })
              .ok());
      sim_->RunUntil([&] { return written->has_value(); }, 20s);
      if (written->has_value() &&
          (*written)->append.kind == AppendOutcome::Kind::kCommitted) {
        return *written;
      }
    }
    return std::nullopt;
  }
  // Once, at this server.
  absl::StatusOr<std::optional<KvValue>> Get(SimServer* server,
                                             const std::string& key,
                                             Duration limit = 20s) {
    KvStore store(&server->log(), &server->kv());
    auto found = std::make_shared<
        std::optional<absl::StatusOr<std::optional<KvValue>>>>();
    store.Get(key, [found](absl::StatusOr<std::optional<KvValue>> f) {
      *found = std::move(f);
    });
    sim_->RunUntil([&] { return found->has_value(); }, limit);
    return found->value_or(absl::DeadlineExceededError("no answer"));
  }
  // Until there is an answer.
  std::optional<KvValue> Read(MachineId machine, const std::string& key) {
    for (int i = 0; i < 100; ++i) {
      absl::StatusOr<std::optional<KvValue>> found =
          Get(sim_->server(machine), key);
      if (found.ok()) return *found;
      sim_->RunFor(100ms);
    }
    ADD_FAILURE() << "server " << machine << " doesn't answer";
    return std::nullopt;
  }
  bool Fill() { return Progress(300); }
  absl::Status TrimAll() {
    const Offset first = sim_->history().established();
    sim_->mutable_history()->TrimInvoked(first);
    return Change([first](DistributedLog* log, DoneFn done) {
      log->Trim(first, std::move(done));
    });
  }
  bool WaitUntilDropped(MachineId m) {
    return sim_->RunUntil(
        [&] { return sim_->server(m)->node().base().index > Index(0); }, 30s);
  }
  MachineId Follower() { return sim_->Leader()->machine() % 3 + 1; }

 private:
  size_t attempts_ = 0;
};

TEST_F(KvScenario, EveryServerReadsWhatWasJustWritten) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    Make(seed, 3);
    for (int i = 0; i < 10; ++i) {
      std::optional<KvWritten> written = Write("mine", "value");
      ASSERT_TRUE(written.has_value() && written->applied);
      for (MachineId m = 1; m <= 3; ++m) {
        std::optional<KvValue> found = Read(m, "mine");
        ASSERT_TRUE(found.has_value());
        EXPECT_EQ(found->version, written->version);
      }
    }
    ExpectGoodEnd();
    EXPECT_GT(Stat("remote_read_answered"), 0u);
  }
}

TEST_F(KvScenario, OneOfTwoComparisonsWins) {
  Make(1, 3);
  std::optional<KvWritten> first = Write("mine", "value", 0);
  ASSERT_TRUE(first.has_value() && first->applied);
  std::optional<KvWritten> won = Write("mine", "won", first->version);
  std::optional<KvWritten> lost = Write("mine", "lost", first->version);
  ASSERT_TRUE(won.has_value() && lost.has_value());
  EXPECT_TRUE(won->applied);
  EXPECT_FALSE(lost->applied);
  EXPECT_EQ(Read(2, "mine")->version, won->version);
  ExpectGoodEnd();
}

TEST_F(KvScenario, StateOutlivesTheLogItWasMadeOf) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    Make(seed, 3);
    std::optional<KvWritten> written = Write("mine", "value");
    ASSERT_TRUE(written.has_value());
    ASSERT_TRUE(Fill());
    ASSERT_TRUE(TrimAll().ok());
    for (MachineId m = 1; m <= 3; ++m) ASSERT_TRUE(WaitUntilDropped(m));
    for (MachineId m = 1; m <= 3; ++m) sim_->server(m)->Crash(true);
    for (MachineId m = 1; m <= 3; ++m) sim_->server(m)->Start();
    for (MachineId m = 1; m <= 3; ++m) {
      std::optional<KvValue> found = Read(m, "mine");
      ASSERT_TRUE(found.has_value());
      EXPECT_EQ(found->version, written->version);
    }
    ExpectGoodEnd();
    EXPECT_GE(Stat("machine_restored"), 3u);
  }
}

TEST_F(KvScenario, ServerFarBehindGetsTheState) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    set_kept_for_laggards(0);
    Make(seed, 3);
    ASSERT_TRUE(Progress(20));
    const MachineId behind = Follower();
    Isolate(behind);
    std::optional<KvWritten> written = Write("mine", "value");
    ASSERT_TRUE(written.has_value());
    ASSERT_TRUE(Fill());
    ASSERT_TRUE(TrimAll().ok());
    ASSERT_TRUE(WaitUntilDropped(sim_->Leader()->machine()));
    sim_->network()->HealAll();
    std::optional<KvValue> found = Read(behind, "mine");
    ASSERT_TRUE(found.has_value());
    EXPECT_EQ(found->version, written->version);
    ExpectGoodEnd();
    EXPECT_GT(Stat("checkpoint_installed"), 0u);
  }
}

// A server that was the leader has entries at its end that never were
// committed, too many to be in memory after a start. While its log is read from
// the disk they are cut, and others in their places are committed.
class CutScenario : public KvScenario {
 protected:
  // Returns the server that was the leader: it isn't running, and its disk is
  // slow.
  SimServer* LeaveUncommitted(uint64_t seed, Duration read, Duration sync) {
    Make(seed, 3);
    EXPECT_TRUE(Progress(5));
    SimServer* old_leader = sim_->Leader();
    Isolate(old_leader->machine());
    KvStore store(&old_leader->log(), &old_leader->kv());
    for (int i = 0; i < 40; ++i) {
      const std::string value(16 << 10, static_cast<char>('a' + i));
      EXPECT_TRUE(store.Write({"mine", value, {}}, [](KvWritten) {}).ok());
    }
    EXPECT_TRUE(WaitForOtherLeader(old_leader->machine()));
    EXPECT_TRUE(Progress(30));
    old_leader->Crash(/*power_lost=*/false);
    SimDiskOptions slow;
    slow.read_min = slow.read_max = read;
    slow.sync_min = slow.sync_max = sync;
    old_leader->disk()->set_options(slow);
    return old_leader;
  }
};

TEST_F(CutScenario, WhatIsCutWhileItIsReadBackIsntApplied) {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    SimServer* old_leader = LeaveUncommitted(seed, 1ms, 100ms);
    sim_->network()->HealAll();
    old_leader->Start();
    ASSERT_TRUE(Progress(30));
    ExpectGoodEnd();
    if (HasFailure()) return;
  }
}

TEST_F(CutScenario, WhatIsCutWhileItIsReadIsntServed) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    SimServer* old_leader = LeaveUncommitted(seed, 50us, 600us);
    old_leader->Start();
    ASSERT_TRUE(
        sim_->RunUntil([&] { return old_leader->node().formed(); }, 10s));
    ASSERT_TRUE(sim_->RunFor(100ms));  // its machine reads all back
    SimDiskOptions slow;
    slow.read_min = slow.read_max = 3s;
    slow.sync_min = slow.sync_max = 5s;
    old_leader->disk()->set_options(slow);
    const Offset end = old_leader->log().committed_end();
    bool done = false;
    old_leader->log().Read(
        end - 1, 256 << 10, ReadMode::kLocal,
        [&](absl::StatusOr<ReadResult> result) {
          done = true;
          ASSERT_TRUE(result.ok()) << result.status();
          for (const Entry& entry : result->batches) {
            const Offset at = entry.header.base_offset;
            absl::StatusOr<BatchView> batch = BatchView::Parse(entry.payload);
            ASSERT_TRUE(batch.ok());
            RecordCursor cursor = batch->Records();
            RecordView record;
            for (uint64_t i = 0; cursor.Next(&record); ++i) {
              sim_->mutable_history()->Saw(record.value(), at + i, "reader");
            }
          }
        });
    sim_->network()->HealAll();
    EXPECT_TRUE(sim_->RunUntil([&] { return done; }, 20s));
    ExpectGoodEnd();
    if (HasFailure()) return;
  }
}

TEST_F(KvScenario, ServersCutOffAnswerNoRead) {
  Make(1, 3);
  ASSERT_TRUE(Write("mine", "old").has_value());
  SimServer* old_leader = sim_->Leader();
  Isolate(old_leader->machine());
  ASSERT_TRUE(WaitForOtherLeader(old_leader->machine()));
  ASSERT_TRUE(Write("mine", "new").has_value());
  EXPECT_FALSE(Get(old_leader, "mine", 5s).ok());
  sim_->network()->HealAll();
  // And a follower that knows a leader that has none to confirm it.
  const MachineId follower = Follower();
  const MachineId other = 6 - follower - sim_->Leader()->machine();
  ASSERT_TRUE(Read(follower, "mine").has_value());
  sim_->network()->SetCut(other, sim_->Leader()->machine(), true);
  sim_->network()->SetCut(follower, sim_->Leader()->machine(), true);
  EXPECT_FALSE(Get(sim_->server(follower), "mine", 200ms).ok());
  sim_->network()->HealAll();
  ExpectGoodEnd();
}

}  // namespace
}  // namespace holdfast
