// Every image that a power failure can leave while all that makes a log shorter
// goes on at once: the log begins a segment, a waypoint and a resume point are
// written, and a checkpoint, behind which segments and waypoints are dropped.

#include <cstddef>
#include <cstdint>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/node/waypoints.h"
#include "engine/wal/checkpoint_file.h"
#include "engine/wal/log_map.h"
#include "engine/wal/testing/images.h"
#include "engine/wal/testing/wal_run.h"
#include "engine/wal/wal.h"
#include "gtest/gtest.h"

namespace holdfast {
namespace {

constexpr Term kTerm(1);
constexpr Incarnation kOwner(WalRun::kOwner);
constexpr size_t kEntryBytes = 700;
// That has a waypoint and a resume point before all that.
constexpr Index kEarly(3);

Checkpoint ResumeOf(const LogPoint& point, std::vector<SegmentStart> segments) {
  Checkpoint resume = CheckpointOf(point);
  resume.map = EncodeLogMap({{TermRun{Index(1), kTerm}}, std::move(segments)});
  return resume;
}

// A server's log and the files beside it that a start needs or drops.
class Life {
 public:
  Life() : Life(std::make_unique<WalRun>()) {}
  Life(const Life& before, const MemoryDisk::Survives& survives)
      : Life(std::make_unique<WalRun>(*before.run_, survives)) {}

  WalRun& run() { return *run_; }
  const WalRun& run() const { return *run_; }
  Waypoints& waypoints() { return waypoints_; }
  Index checkpoint() const { return run_->checkpoint().index; }
  Index resume() const { return resume_; }
  // What anybody was told of.
  Index checkpoint_told() const { return checkpoint_told_; }
  Index resume_told() const { return resume_told_; }
  Index waypoint_told() const { return waypoint_told_; }

  // As a server does it.
  absl::Status Open() {
    absl::Status status;
    run_->SetCheckpoint({});
    run_->SetResume({});
    checkpoints_.Open([&](absl::StatusOr<CheckpointFile::Found> found) {
      status.Update(found.status());
      if (!found.ok()) return;
      status.Update(found->damage);
      if (found->newest.has_value()) run_->SetCheckpoint(found->newest->point);
    });
    run_->RunUntilIdle();
    resumes_.Open([&](absl::StatusOr<CheckpointFile::Found> found) {
      status.Update(found.status());
      if (!found.ok()) return;
      status.Update(found->damage);
      if (found->newest.has_value()) TakeResume(*found->newest, &status);
    });
    run_->RunUntilIdle();
    waypoints_.Open([&](absl::Status opened) { status.Update(opened); });
    run_->RunUntilIdle();
    if (!status.ok()) return status;
    return run_->Open();
  }

  void WriteWaypointAndResume(const LogPoint& point) {
    Checkpoint resume = ResumeOf(point, run_->wal().SegmentStarts());
    waypoints_.Write(CheckpointOf(point),
                     [this, resume = std::move(resume)](absl::Status written) {
                       if (!written.ok()) return;
                       waypoint_told_ = resume.point.index;
                       WriteResume(resume);
                     });
  }
  void WriteCheckpointAndDrop(const LogPoint& point) {
    checkpoints_.Write(CheckpointOf(point), [this, point](absl::Status s) {
      if (!s.ok()) return;
      checkpoint_told_ = point.index;
      run_->wal().DropTo(point);
      waypoints_.RemoveTo(point.index);
    });
  }

 private:
  explicit Life(std::unique_ptr<WalRun> run)
      : run_(std::move(run)),
        checkpoints_(&run_->disk(), kOwner, CheckpointKind::kBase),
        resumes_(&run_->disk(), kOwner, CheckpointKind::kResume),
        waypoints_(&run_->disk(), kOwner) {}

  void TakeResume(const Checkpoint& resume, absl::Status* status) {
    resume_ = resume.point.index;
    absl::StatusOr<LogMap> map = DecodeLogMap(resume.map.view());
    status->Update(map.status());
    if (!map.ok() || resume_ <= checkpoint()) return;
    run_->SetResume(WalResume{resume.point, std::move(map->segments)});
  }
  void WriteResume(const Checkpoint& resume) {
    resumes_.Write(resume, [this, index = resume.point.index](absl::Status s) {
      if (s.ok()) resume_told_ = index;
    });
  }

  std::unique_ptr<WalRun> run_;
  CheckpointFile checkpoints_;
  CheckpointFile resumes_;
  Waypoints waypoints_;
  Index resume_;  // as found
  Index checkpoint_told_;
  Index resume_told_;
  Index waypoint_told_;
};

// Appends entries, each at rest before the next, until the next one begins the
// third segment.
size_t EntriesOfTwoSegments() {
  WalRun run;
  run.OpenNew(kTerm);
  size_t entries = 0;
  while (run.wal().stats().segments_begun < 3) {
    run.Append(kTerm, {kEntryBytes});
    run.RunUntilIdle();
    ++entries;
  }
  return entries - 1;
}

void WriteTwoSegments(size_t entries, Life* life) {
  ASSERT_TRUE(life->Open().ok());
  WalRun& run = life->run();
  run.SetHardState({kTerm, ServerId(1)});
  run.RunUntilIdle();
  for (size_t i = 0; i < entries; ++i) {
    run.Append(kTerm, {kEntryBytes});
    run.RunUntilIdle();
    if (run.last().index == kEarly) life->WriteWaypointAndResume(run.last());
  }
  run.RunUntilIdle();
  ASSERT_TRUE(run.all_persisted());
  ASSERT_EQ(run.wal().SegmentStarts().size(), 2u);
  ASSERT_EQ(life->resume_told(), kEarly);
}

// An entry in the second segment, so that the first one is dropped.
LogPoint DroppedTo(const WalRun& run, const Wal& wal) {
  return run.PointAt(wal.SegmentStarts().back().first + 1);
}

// All that can be read behind the checkpoint, also before the resume point.
void ReadAll(Life* life, std::vector<Entry>* all) {
  Index next = life->checkpoint() + 1;
  while (next <= life->run().wal().last_index()) {
    absl::StatusOr<std::vector<Entry>> read = life->run().Read(next, 1 << 20);
    ASSERT_TRUE(read.ok()) << next.value() << ": " << read.status();
    all->insert(all->end(), read->begin(), read->end());
    next = all->back().header.index + 1;
  }
}

void ExpectRecovered(const Life& before, const LogPoint& dropped_to,
                     Index resumed, const std::vector<WalRun::State>& outcomes,
                     Life* after) {
  const absl::Status opened = after->Open();
  ASSERT_TRUE(opened.ok()) << opened;
  ASSERT_TRUE(
      after->checkpoint() == dropped_to.index ||
      (after->checkpoint() == Index() && before.checkpoint_told() == Index()));
  ASSERT_TRUE(after->resume() == resumed ||
              (after->resume() == kEarly && before.resume_told() == kEarly));
  // A waypoint is there at least as long as the log goes back so far.
  const Index floor = after->waypoints().Floor(resumed);
  ASSERT_TRUE(floor == resumed ||
              (before.waypoint_told() < resumed &&
               (floor == kEarly || after->checkpoint() >= kEarly)));
  std::vector<Entry> all;
  ASSERT_NO_FATAL_FAILURE(ReadAll(after, &all));
  bool legal = false;
  for (const WalRun::State& state : outcomes) {
    legal |= SameEntries(all, after->run().Behind(state)) &&
             after->run().wal().hard_state() == state.hard_state;
  }
  ASSERT_TRUE(legal) << all.size() << " entries behind "
                     << after->checkpoint().value();
  // It goes on from there.
  after->run().Append(kTerm, {100});
  after->run().RunUntilIdle();
  ASSERT_TRUE(after->run().all_persisted());
}

TEST(DropImagesTest, AllRecover) {
  const size_t entries = EntriesOfTwoSegments();
  Images images;
  uint64_t points = 0;
  bool over = false;
  for (uint64_t stop = 0; !over; ++stop) {
    SCOPED_TRACE(absl::StrCat("stopped after ", stop));
    Life life;
    ASSERT_NO_FATAL_FAILURE(WriteTwoSegments(entries, &life));
    WalRun& run = life.run();
    const LogPoint dropped_to = DroppedTo(run, run.wal());
    const Index resumed = run.last().index;
    const uint64_t end = run.disk().completions() + stop;
    run.disk().StopAfter(end);
    life.WriteWaypointAndResume(run.last());
    life.WriteCheckpointAndDrop(dropped_to);
    run.Append(kTerm, {kEntryBytes});
    run.RunUntilIdle();
    over = run.disk().completions() < end;
    if (over) {
      EXPECT_EQ(run.wal().SegmentStarts().size(), 2u);
      EXPECT_EQ(life.resume_told(), resumed);
      EXPECT_EQ(life.checkpoint_told(), dropped_to.index);
    }
    ++points;
    const std::vector<WalRun::State> outcomes = run.Outcomes();
    images.ForEach(run.disk(), [&](const MemoryDisk::Survives& survives) {
      SCOPED_TRACE(absl::StrCat("image ", images.count()));
      Life after(life, survives);
      ASSERT_NO_FATAL_FAILURE(
          ExpectRecovered(life, dropped_to, resumed, outcomes, &after));
    });
    if (testing::Test::HasFatalFailure()) return;
  }
  std::cout << "a roll, a waypoint, a resume point and a drop: " << points
            << " points, " << images.count() << " images (all of them at all "
            << "but " << images.bounded() << " points)\n";
}

}  // namespace
}  // namespace holdfast
