// Every image that a power failure can leave of a disk while damage is being
// mended, at a start or in a log that is open, also behind a checkpoint and a
// resume point; and while a log gets what it lacks of what its server has
// promised. From each the next start has all of the log again, with others'
// help; and without asking anybody once it was said to be mended.

#include <cstdint>
#include <functional>
#include <iostream>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/wal/testing/damaged_log.h"
#include "engine/wal/testing/images.h"
#include "engine/wal/testing/memory_disk.h"
#include "engine/wal/testing/wal_run.h"
#include "engine/wal/wal.h"
#include "gtest/gtest.h"

namespace holdfast {
namespace {

using Survives = MemoryDisk::Survives;

class WalMendImagesTest : public DamagedLog {
 protected:
  struct Damage {
    std::string name;
    std::function<void(MemoryDisk*)> strike;
  };

  // A body, a header, a stretch of it, in each segment; files that are cut
  // short or gone; and two neighbours at once.
  std::vector<Damage> Damages() const {
    std::vector<Damage> all;
    for (const NamedFile& file : segments_) {
      const std::string& name = file.name;
      const auto add = [&all, &name](absl::string_view what, auto strike) {
        all.push_back({absl::StrCat(name, ": ", what), std::move(strike)});
      };
      add("a bit of an entry", [name](MemoryDisk* disk) {
        disk->Flip(name, kSegmentHeaderBytes + 100, 8);
      });
      add("no header", [file](MemoryDisk* disk) {
        std::string bytes = file.bytes;
        bytes.replace(0, kSegmentHeaderBytes, kSegmentHeaderBytes, '\0');
        disk->SetContents(file.name, bytes);
      });
      add("zeroed blocks", [file](MemoryDisk* disk) {
        std::string bytes = file.bytes;
        bytes.replace(kSegmentHeaderBytes, kBlockBytes, kBlockBytes, '\0');
        disk->SetContents(file.name, bytes);
      });
      if (name == segments_.back().name) continue;
      add("cut short", [file](MemoryDisk* disk) {
        disk->SetContents(file.name, file.bytes.substr(0, 2489));
      });
      add("gone", [name](MemoryDisk* disk) { disk->Delete(name); });
      add("a bit, and one of the next", [name, this](MemoryDisk* disk) {
        disk->Flip(name, kSegmentHeaderBytes + 100, 8);
        bool next = false;
        for (const NamedFile& other : segments_) {
          if (next) disk->Flip(other.name, kSegmentHeaderBytes + 100, 8);
          next = other.name == name;
        }
      });
    }
    return all;
  }

  // Another start finds all; `mended`: and needs nobody for it.
  void ExpectAll(const WalRun& before, const Survives& survives, bool mended) {
    WalRun again(before, survives);
    Help(&again);
    const absl::Status opened = again.Open();
    ASSERT_TRUE(opened.ok()) << opened;
    ASSERT_TRUE(SameEntries(again.recovered(), run_.log()));
    ASSERT_EQ(again.wal().hard_state(), run_.wal().hard_state());
    ASSERT_TRUE(!mended || again.wal().stats().segments_damaged == 0);
    for (const std::string& name : again.disk().Names()) {
      ASSERT_FALSE(absl::EndsWith(name, ".new")) << name;
    }
  }

  // With a checkpoint in the second segment, and perhaps a resume point in the
  // third one, before which a start reads nothing.
  void BeginBehind(bool resumes, WalRun* run) {
    const std::vector<SegmentStart> starts = run_.wal().SegmentStarts();
    run->SetCheckpoint(run_.PointAt(starts[1].first + 1));
    if (resumes) run->SetResume(run_.ResumeAt(starts[2].first + 1));
  }
  // Has each entry read behind the checkpoint, of those too that a start didn't
  // look at. Whether that was done, and they are the log's.
  bool OpenAndReadAll(WalRun* run) const {
    if (!run->Open().ok()) return false;
    const Index first = run->checkpoint().index + 1;
    uint64_t read = 0;
    for (Index i = first; i <= run_.last().index; ++i) {
      const Entry& wanted = run_.log()[i.value() - 1];
      run->wal().Read(
          i, 1, [&read, &wanted](absl::StatusOr<std::vector<Entry>> entries) {
            if (entries.ok() && SameEntries({entries->front()}, {wanted})) {
              ++read;
            }
          });
    }
    run->RunUntilIdle();
    return read == run_.last().index - first + 1;
  }
  // Another start finds all behind the checkpoint, and behind the resume point
  // without being asked; `mended`: and needs nobody for it.
  void ExpectAllBehind(const WalRun& before, const Survives& survives,
                       bool resumes, bool mended) {
    WalRun again(before, survives);
    BeginBehind(resumes, &again);
    Help(&again);
    ASSERT_TRUE(OpenAndReadAll(&again));
    ASSERT_EQ(again.wal().last_index(), run_.last().index);
    ASSERT_EQ(again.wal().hard_state(), run_.wal().hard_state());
    ASSERT_TRUE(!mended || again.wal().stats().segments_damaged == 0);
    for (const std::string& name : again.disk().Names()) {
      ASSERT_FALSE(absl::EndsWith(name, ".new")) << name;
    }
  }

  // Whole segments are written anew: of many sectors.
  Images images_{6};
  Images of_second_starts_{6};
};

TEST_F(WalMendImagesTest, AtAStart) {
  uint64_t points = 0;
  for (const Damage& damage : Damages()) {
    SCOPED_TRACE(damage.name);
    uint64_t mended = 0;
    for (uint64_t stop = 0;; ++stop) {
      SCOPED_TRACE(absl::StrCat("stopped after ", stop));
      WalRun run(run_, Everything);
      damage.strike(&run.disk());
      Help(&run, 1 + stop % 2 * 1000);
      const uint64_t end = run.disk().completions() + stop;
      run.disk().StopAfter(end);
      const bool opened = run.Open().ok();
      mended = run.wal().stats().segments_mended;
      ++points;
      images_.ForEach(run.disk(), [&](const Survives& survives) {
        SCOPED_TRACE(absl::StrCat("image ", images_.count()));
        ASSERT_NO_FATAL_FAILURE(ExpectAll(run, survives, opened));
        // Of a few the second start is cut short, too.
        if (opened || images_.count() % 9973 != 0) return;
        for (uint64_t then = 0; then < 60; then += 3) {
          WalRun second(run, survives);
          Help(&second);
          second.disk().StopAfter(then);
          const bool second_opened = second.Open().ok();
          of_second_starts_.ForEach(second.disk(), [&](const Survives& last) {
            ExpectAll(second, last, second_opened);
          });
          if (second_opened || HasFatalFailure()) return;
        }
      });
      if (HasFatalFailure()) return;
      if (opened && run.disk().completions() < end) break;
    }
    EXPECT_GT(mended, 0u);
  }
  std::cout << "mending at a start: " << points << " points, "
            << images_.count() << " images (all of them at all but "
            << images_.bounded() << " points), " << of_second_starts_.count()
            << " of second starts (but " << of_second_starts_.bounded()
            << ")\n";
}

// Some of what is damaged nobody needs any more, and some of it only a read
// finds.
TEST_F(WalMendImagesTest, BehindACheckpointAndAResumePoint) {
  for (const bool resumes : {false, true}) {
    uint64_t points = 0;
    uint64_t mended = 0;
    Images images(6);
    for (const Damage& damage : Damages()) {
      SCOPED_TRACE(absl::StrCat(damage.name, ", resumes: ", resumes));
      for (uint64_t stop = 0;; ++stop) {
        SCOPED_TRACE(absl::StrCat("stopped after ", stop));
        WalRun run(run_, Everything);
        BeginBehind(resumes, &run);
        damage.strike(&run.disk());
        Help(&run, 1 + stop % 2 * 1000);
        run.disk().StopAfter(stop);
        const bool done = OpenAndReadAll(&run);
        ++points;
        images.ForEach(run.disk(), [&](const Survives& survives) {
          SCOPED_TRACE(absl::StrCat("image ", images.count()));
          ExpectAllBehind(run, survives, resumes, done);
        });
        if (HasFatalFailure()) return;
        if (!done || run.disk().completions() >= stop) continue;
        mended += run.wal().stats().segments_mended;
        break;
      }
    }
    EXPECT_GT(mended, 5u);
    std::cout << "mending behind a checkpoint"
              << (resumes ? " and a resume point" : "") << ": " << points
              << " points, " << images.count()
              << " images (all of them at all but " << images.bounded()
              << " points)\n";
  }
}

// The server has promised to have more than its log has: that the others give,
// in a segment of its own behind what was sure to be durable; what stands here
// behind that, or instead, was replaced there.
TEST_F(WalMendImagesTest, UpToWhatWasPromised) {
  for (const bool replaced : {false, true}) {
    WalRun whole;
    whole.set_commit_max(Index(0));
    ASSERT_TRUE(whole.Open().ok());
    whole.SetHardStateAndAppend({Term(1), ServerId(1)}, {0, 100});
    whole.RunUntilIdle();
    ASSERT_TRUE(whole.Reopen().ok());
    whole.SetHardState({Term(2), ServerId(1)});
    whole.Append(Term(1), {200, 300});
    while (!whole.all_persisted()) whole.RunTasks(1);
    if (!replaced) whole.RunUntilIdle();  // with marks
    const WalRun before(whole, Everything);
    const std::vector<size_t> more = {400, 6000, 600};
    if (replaced) {
      whole.CutAndAppend(Index(2), Term(2), more);
    } else {
      whole.Append(Term(2), more);
    }
    whole.RunUntilIdle();
    uint64_t asked = 0;
    const auto help = [&whole, &asked](WalRun* run) {
      asked = 0;
      run->SetPromised(whole.last().index);
      run->SetMend([&](const LogHole& hole, Term, ResultFn<Mended> done) {
        ++asked;
        done(Mended{.entries = {whole.log()[hole.first.value() - 1]}});
      });
    };
    Images images(6);
    uint64_t points = 0;
    for (uint64_t stop = 0;; ++stop) {
      SCOPED_TRACE(absl::StrCat("replaced: ", replaced, ", after ", stop));
      WalRun run(before, Everything);
      help(&run);
      run.disk().StopAfter(stop);
      const bool opened = run.Open().ok();
      ++points;
      images.ForEach(run.disk(), [&](const Survives& survives) {
        SCOPED_TRACE(absl::StrCat("image ", images.count()));
        WalRun again(run, survives);
        help(&again);
        const absl::Status then = again.Open();
        ASSERT_TRUE(then.ok()) << then;
        ASSERT_TRUE(SameEntries(again.recovered(), whole.log()));
        ASSERT_TRUE(!opened || asked == 0);
      });
      if (HasFatalFailure()) return;
      if (opened && run.disk().completions() < stop) break;
    }
    std::cout << "what was promised" << (replaced ? ", instead of an end" : "")
              << ": " << points << " points, " << images.count()
              << " images (all of them at all but " << images.bounded()
              << " points)\n";
  }
}

// What was never committed, and is nowhere else either: it is dropped, and then
// it stays so.
TEST_F(WalMendImagesTest, WhatIsDroppedStaysDropped) {
  WalRun whole;
  whole.set_commit_max(Index(2));
  ASSERT_TRUE(whole.Open().ok());
  whole.SetHardStateAndAppend({Term(1), ServerId(1)}, {0, 100, 3000, 400});
  whole.RunUntilIdle();
  whole.Append(Term(1), {5000, 5000, 200});
  whole.RunUntilIdle();
  whole.Append(Term(1), {300, 900});
  whole.RunUntilIdle();
  std::vector<LogHole> holes;
  const auto drop = [&holes](WalRun* run) {
    run->SetMend([&holes](const LogHole& hole, Term, ResultFn<Mended> done) {
      holes.push_back(hole);
      done(Mended{.entries = {}, .never_committed = true});
    });
  };
  int dropped = 0;
  for (const uint64_t id : {1, 2}) {
    const std::string bytes = whole.disk().Contents(SegmentName(id));
    const size_t used = bytes.find_last_not_of('\0') + 1;
    for (size_t at = kSegmentHeaderBytes + 200; at < used; at += 900) {
      for (uint64_t stop = 0;; ++stop) {
        SCOPED_TRACE(
            absl::StrCat(SegmentName(id), " at ", at, ", after ", stop));
        WalRun run(whole, Everything);
        run.disk().Flip(SegmentName(id), at, 4);
        drop(&run);
        run.disk().StopAfter(stop);
        holes.clear();
        const absl::Status opened = run.Open();
        if (absl::IsDataLoss(opened)) {
          // Else it mustn't refuse.
          ASSERT_FALSE(holes.empty());
          ASSERT_LE(holes[0].first, whole.wal().commit_hint());
          break;
        }
        std::vector<Entry> left = whole.log();
        if (!holes.empty()) left.resize(holes[0].first.value() - 1);
        images_.ForEach(run.disk(), [&](const Survives& survives) {
          holes.clear();
          WalRun again(run, survives);
          drop(&again);
          const absl::Status then = again.Open();
          ASSERT_TRUE(then.ok()) << then;
          if (!holes.empty()) left.resize(holes[0].first.value() - 1);
          ASSERT_TRUE(SameEntries(again.recovered(), left));
          ASSERT_TRUE(!opened.ok() || holes.empty());
        });
        if (HasFatalFailure()) return;
        if (!opened.ok() || run.disk().completions() >= stop) continue;
        dropped += left.size() < whole.log().size() ? 1 : 0;
        break;
      }
    }
  }
  EXPECT_GT(dropped, 5);
  std::cout << "dropping at a start: " << images_.count()
            << " images (all of them at all but " << images_.bounded()
            << " points)\n";
}

// Damage that a read finds, while more is appended.
TEST_F(WalMendImagesTest, WhileItIsOpen) {
  uint64_t points = 0;
  for (const NamedFile& file : segments_) {
    for (const size_t at : {100, 1700}) {
      for (uint64_t stop = 0;; ++stop) {
        SCOPED_TRACE(absl::StrCat(file.name, " at ", at, ", after ", stop));
        WalRun run(run_, Everything);
        Help(&run);
        ASSERT_TRUE(run.Open().ok());
        run.RunUntilIdle();
        run.disk().Flip(file.name, kSegmentHeaderBytes + at, 1);
        const uint64_t end = run.disk().completions() + stop;
        run.disk().StopAfter(end);
        for (Index i(1); i <= run_.last().index; ++i) {
          run.wal().Read(i, 3000, [](auto) {});
        }
        run.Append(Term(4), {300, 20});
        run.RunUntilIdle();
        ++points;
        const std::vector<WalRun::State> outcomes = run.Outcomes();
        images_.ForEach(run.disk(), [&](const Survives& survives) {
          SCOPED_TRACE(absl::StrCat("image ", images_.count()));
          WalRun again(run, survives);
          Help(&again);
          const absl::Status opened = again.Open();
          ASSERT_TRUE(opened.ok()) << opened;
          ASSERT_EQ(again.WhyNotOf(outcomes), "");
        });
        if (HasFatalFailure()) return;
        if (run.disk().completions() < end) break;
      }
    }
  }
  std::cout << "mending while it is open: " << points << " points, "
            << images_.count() << " images (all of them at all but "
            << images_.bounded() << " points)\n";
}

}  // namespace
}  // namespace holdfast
