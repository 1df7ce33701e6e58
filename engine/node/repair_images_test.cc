// Every image that a power failure can leave while a log that lacks what a
// damaged checkpoint stood for is repaired by another server's checkpoint: its
// term is promised, it is written, and the log is opened anew behind it. The
// next start finds all of that, or is where this one was.

#include <cstddef>
#include <cstdint>
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "engine/base/hard_state.h"
#include "engine/base/types.h"
#include "engine/wal/checkpoint_file.h"
#include "engine/wal/hard_state_file.h"
#include "engine/wal/testing/images.h"
#include "engine/wal/testing/memory_disk.h"
#include "engine/wal/testing/wal_run.h"
#include "engine/wal/wal.h"
#include "gtest/gtest.h"

namespace holdfast {
namespace {

constexpr Term kTerm(2);
constexpr Incarnation kOwner(WalRun::kOwner);
constexpr size_t kEntryBytes = 3000;
constexpr Index kDamaged(8);  // of the checkpoint

// A server's log, and what it does about it before it serves.
class Life {
 public:
  Life(const WalRun& before, const MemoryDisk::Survives& survives)
      : run_(before, survives),
        checkpoints_(&run_.disk(), kOwner, CheckpointKind::kBase),
        promise_(&run_.disk(), kOwner) {}

  WalRun& run() { return run_; }
  Index checkpoint() const { return run_.checkpoint().index; }

  absl::Status Open() {
    absl::Status status = absl::UnavailableError("the power failed");
    run_.SetCheckpoint({});
    checkpoints_.Open([&](absl::StatusOr<CheckpointFile::Found> found) {
      status = found.status();
      if (found.ok() && found->newest.has_value()) {
        run_.SetCheckpoint(found->newest->point);
      }
    });
    run_.RunUntilIdle();
    return status.ok() ? run_.Open() : status;
  }

  // When it couldn't be opened: as Node::OnRepairCheckpoint. Whether it got to
  // its end.
  bool RepairBy(const Checkpoint& others) {
    bool written = false;
    promise_.Open(true, [&](absl::StatusOr<HardStateFile::Found> found) {
      if (!found.ok() || !found->state.has_value()) return;
      const auto write = [&](const absl::Status& promised) {
        if (!promised.ok()) return;
        checkpoints_.Write(others,
                           [&](absl::Status status) { written = status.ok(); });
      };
      const Term term = others.point.term;
      if (found->state->term >= term) return write(absl::OkStatus());
      promise_.Write({term, ServerId()}, write);
    });
    run_.RunUntilIdle();
    if (!written) return false;
    run_.SetCheckpoint(others.point);
    return run_.Open().ok();
  }

 private:
  WalRun run_;
  CheckpointFile checkpoints_;
  HardStateFile promise_;
};

class RepairImagesTest : public testing::Test {
 protected:
  // A log that begins behind a checkpoint which was damaged since.
  void SetUp() override {
    WalRun run;
    run.OpenNew(kTerm);
    for (int i = 0; i < 14; ++i) {
      run.Append(kTerm, {kEntryBytes});
      run.RunUntilIdle();
    }
    CheckpointFile checkpoints(&run.disk(), kOwner, CheckpointKind::kBase);
    checkpoints.Open([](absl::StatusOr<CheckpointFile::Found>) {});
    run.RunUntilIdle();
    bool written = false;
    checkpoints.Write(CheckpointOf(run.PointAt(kDamaged)),
                      [&](absl::Status status) { written = status.ok(); });
    run.RunUntilIdle();
    ASSERT_TRUE(written);
    run.wal().DropTo(run.PointAt(kDamaged));
    run.RunUntilIdle();
    ASSERT_LT(Index(1), run.wal().first_index());
    log_ = run.log();
    last_ = run.last();
    before_ = std::make_unique<WalRun>(run, Everything);
    before_->disk().Flip(CheckpointName(CheckpointKind::kBase, kDamaged), 50,
                         1);
  }

  // Another start finds that checkpoint, or asks for it once more; `repaired`:
  // it finds it.
  void ExpectRepaired(const WalRun& left, const MemoryDisk::Survives& survives,
                      const Checkpoint& others, bool repaired) {
    Life after(left, survives);
    const absl::Status opened = after.Open();
    if (after.checkpoint() == others.point.index) {
      ASSERT_TRUE(opened.ok()) << opened;
    } else {
      ASSERT_FALSE(repaired);
      ASSERT_TRUE(absl::IsDataLoss(opened)) << opened;
      ASSERT_TRUE(after.RepairBy(others));
    }
    std::vector<Entry> behind;
    for (const Entry& entry : log_) {
      const bool same = others.point.term == kTerm;
      if (same && entry.header.index > others.point.index) {
        behind.push_back(entry);
      }
    }
    ASSERT_TRUE(SameEntries(after.run().recovered(), behind));
    ASSERT_GE(after.run().wal().hard_state().term, others.point.term);
    // It goes on from there.
    after.run().Append(others.point.term, {100});
    after.run().RunUntilIdle();
    ASSERT_TRUE(after.run().all_persisted());
  }

  void RepairAndFailAnywhere(const Checkpoint& others) {
    Images images;
    uint64_t points = 0;
    for (uint64_t stop = 0;; ++stop) {
      SCOPED_TRACE(absl::StrCat("stopped after ", stop));
      Life life(*before_, Everything);
      life.run().disk().StopAfter(stop);
      // It isn't opened without help.
      ASSERT_FALSE(life.Open().ok());
      const bool repaired = life.RepairBy(others);
      ++points;
      images.ForEach(life.run().disk(),
                     [&](const MemoryDisk::Survives& survives) {
                       SCOPED_TRACE(absl::StrCat("image ", images.count()));
                       ExpectRepaired(life.run(), survives, others, repaired);
                     });
      if (HasFatalFailure()) return;
      if (repaired && life.run().disk().completions() < stop) break;
    }
    std::cout << "repair by a checkpoint of entry "
              << others.point.index.value() << ": " << points << " points, "
              << images.count() << " images (all of them at all but "
              << images.bounded() << " points)\n";
  }

  std::vector<Entry> log_;  // all that it ever had
  LogPoint last_;
  std::unique_ptr<WalRun> before_;
};

// The log has its entry, and goes on behind it.
TEST_F(RepairImagesTest, OneOfThisLog) {
  const LogPoint point = PointAfter(log_[kDamaged.value()].header);
  ASSERT_EQ(point.index, kDamaged + 1);
  RepairAndFailAnywhere(CheckpointOf(point));
}

// It takes the whole log's place, in a later term.
TEST_F(RepairImagesTest, OneFromBehindTheLogsEnd) {
  LogPoint later = last_;
  later.index += 7;
  later.term = Term(5);
  later.next_offset += 3;
  later.chain += 77;
  RepairAndFailAnywhere(CheckpointOf(later));
}

}  // namespace
}  // namespace holdfast
