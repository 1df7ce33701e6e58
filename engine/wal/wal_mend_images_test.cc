// Every image that a power failure can leave of a disk while damage is being
// mended, at a start or in a log that is open. From each the next start has all
// of the log again, with others' help; and without asking anybody once it was
// said to be mended.

#include <cstdint>
#include <functional>
#include <iostream>
#include <string>
#include <vector>

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
