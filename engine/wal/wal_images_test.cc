// Every image that a power failure can leave of a disk, at every point of a few
// short scenes: of what isn't synced, each sector of a write and each change of
// a name may have reached the disk or not. Each image must recover to what was
// reported durable, and then a prefix of what was asked for.

#include <cstdint>
#include <functional>
#include <iostream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/wal/replaced_file.h"
#include "engine/wal/testing/images.h"
#include "engine/wal/testing/memory_disk.h"
#include "engine/wal/testing/memory_loop.h"
#include "engine/wal/testing/wal_run.h"
#include "engine/wal/wal.h"
#include "gtest/gtest.h"

namespace holdfast {
namespace {

using Survives = MemoryDisk::Survives;

struct Scene {
  std::string name;
  // Comes to rest; nothing is unsynced then.
  std::function<void(WalRun*)> before;
  std::function<void(WalRun*)> action;
};

// Term 1, with entries of these sizes, at rest.
std::function<void(WalRun*)> With(std::vector<size_t> sizes) {
  return [sizes = std::move(sizes)](WalRun* run) {
    run->SetHardStateAndAppend({Term(1), ServerId(1)}, sizes);
  };
}

// As ResetTo needs it: a later log of a leader's.
LogPoint Later(const WalRun& run) {
  LogPoint base = run.last();
  base.index += 7;
  base.next_offset += 3;
  base.chain += 77;
  return base;
}

std::vector<Scene> Scenes() {
  // Of which a segment takes four or so.
  constexpr size_t kLarge = 3000;
  const std::vector<size_t> two_segments(6, kLarge);
  return {
      {"first entry", [](WalRun*) {}, With({100})},
      {"one entry", With({100}),
       [](WalRun* run) { run->Append(Term(1), {700}); }},
      {"a group", With({100}),
       [](WalRun* run) {
         run->Append(Term(1), {300, 10, 900, 0, 500});
       }},
      {"two groups, one behind the other", With({100}),
       [](WalRun* run) {
         run->Append(Term(1), {600});
         run->RunTasks(1);
         run->Append(Term(1), {600, 30});
       }},
      {"a large entry", With({100}),
       [](WalRun* run) { run->Append(Term(1), {4000}); }},
      {"the next segment", With({kLarge, kLarge, kLarge, kLarge}),
       [](WalRun* run) {
         run->Append(Term(1), {kLarge, 200});
       }},
      {"an entry larger than a segment", With({100}),
       [](WalRun* run) { run->Append(Term(1), {20000}); }},
      {"the hard state", With({100}),
       [](WalRun* run) {
         run->SetHardState({Term(2), ServerId(2)});
         run->SetHardState({Term(3), ServerId(0)});
       }},
      {"the hard state and an entry", With({100}),
       [](WalRun* run) {
         run->SetHardStateAndAppend({Term(2), ServerId(2)}, {40, 600});
       }},
      {"a cut of the last entry", With({100, 500}),
       [](WalRun* run) {
         run->SetHardState({Term(2), ServerId(0)});
         run->CutAndAppend(Index(1), Term(2), {300});
       }},
      {"a cut over a segment's beginning", With(two_segments),
       [](WalRun* run) {
         run->SetHardState({Term(2), ServerId(0)});
         run->CutAndAppend(Index(3), Term(2), {300, 900});
       }},
      {"a cut of a cut", With({100, 500, 500}),
       [](WalRun* run) {
         run->SetHardState({Term(2), ServerId(0)});
         run->CutAndAppend(Index(2), Term(2), {300, 300});
         run->RunTasks(3);
         run->SetHardState({Term(3), ServerId(0)});
         run->CutAndAppend(Index(1), Term(3), {200});
       }},
      {"a drop of the beginning", With(two_segments),
       [](WalRun* run) {
         const LogPoint at = run->PointAt(Index(5));
         run->SetCheckpoint(at);
         run->wal().DropTo(at);
         run->Append(Term(1), {100});
       }},
      {"a checkpoint in the log's place", With({100, 200, 300}),
       [](WalRun* run) {
         run->ResetTo(Later(*run));
         run->Append(Term(1), {150, 600});
       }},
      {"a checkpoint in the place of a long log", With(two_segments),
       [](WalRun* run) { run->ResetTo(Later(*run)); }},
  };
}

// Up to so many I/O completions of the scene's action; `over`: it has no more.
void Play(const Scene& scene, uint64_t stop, WalRun* run, bool* over) {
  ASSERT_TRUE(run->Open().ok());
  scene.before(run);
  run->RunUntilIdle();
  const uint64_t end = run->disk().completions() + stop;
  run->disk().StopAfter(end);
  scene.action(run);
  run->RunUntilIdle();
  *over = run->disk().completions() < end;
}

void ExpectOneOf(WalRun* after, const std::vector<WalRun::State>& outcomes) {
  const absl::Status opened = after->Open();
  ASSERT_TRUE(opened.ok()) << opened;
  ASSERT_EQ(after->WhyNotOf(outcomes), "");
}

// Also at each point of the recovery.
void RecoverAndFailAgain(const WalRun& before, const Survives& survives,
                         Images* images) {
  const std::vector<WalRun::State> outcomes = before.Outcomes();
  for (uint64_t stop = 0;; ++stop) {
    SCOPED_TRACE(absl::StrCat("recovery stopped after ", stop));
    WalRun interrupted(before, survives);
    interrupted.disk().StopAfter(stop);
    const bool complete = interrupted.Open().ok();
    images->ForEach(interrupted.disk(), [&](const Survives& then) {
      WalRun again(interrupted, then);
      ExpectOneOf(&again, outcomes);
    });
    if (testing::Test::HasFatalFailure()) return;
    if (complete && interrupted.disk().completions() < stop) return;
  }
}

class WalImagesTest : public testing::TestWithParam<size_t> {};

TEST_P(WalImagesTest, AllRecover) {
  const Scene scene = Scenes()[GetParam()];
  SCOPED_TRACE(scene.name);
  Images images;
  Images of_recoveries;
  uint64_t points = 0;
  for (uint64_t stop = 0;; ++stop) {
    SCOPED_TRACE(absl::StrCat("stopped after ", stop));
    WalRun run;
    bool over = false;
    ASSERT_NO_FATAL_FAILURE(Play(scene, stop, &run, &over));
    ++points;
    const std::vector<WalRun::State> outcomes = run.Outcomes();
    images.ForEach(run.disk(), [&](const Survives& survives) {
      SCOPED_TRACE(absl::StrCat("image ", images.count()));
      WalRun after(run, survives);
      ASSERT_NO_FATAL_FAILURE(ExpectOneOf(&after, outcomes));
      // A few of them, spread over all.
      const uint64_t every = images.bounded() > 0 ? 331 : 13;
      if (images.count() % every != 0) return;
      RecoverAndFailAgain(run, survives, &of_recoveries);
    });
    if (HasFatalFailure() || over) break;
  }
  std::cout << scene.name << ": " << points << " points, " << images.count()
            << " images (all of them at all but " << images.bounded()
            << " points), " << of_recoveries.count()
            << " of interrupted recoveries (but " << of_recoveries.bounded()
            << ")\n";
}

// The process dies alone, and what it wrote can be read; what the next one
// finds may be told to others, and stays, when the power fails after its
// recovery.
TEST_P(WalImagesTest, WhatARestartFoundStays) {
  const Scene scene = Scenes()[GetParam()];
  SCOPED_TRACE(scene.name);
  Images images;
  for (uint64_t stop = 0;; ++stop) {
    SCOPED_TRACE(absl::StrCat("stopped after ", stop));
    WalRun run;
    bool over = false;
    ASSERT_NO_FATAL_FAILURE(Play(scene, stop, &run, &over));
    WalRun next(run);
    ASSERT_NO_FATAL_FAILURE(ExpectOneOf(&next, run.Outcomes()));
    const std::vector<WalRun::State> found = next.Outcomes();
    images.ForEach(next.disk(), [&](const Survives& survives) {
      WalRun after(next, survives);
      ExpectOneOf(&after, found);
    });
    if (HasFatalFailure() || over) break;
  }
  std::cout << scene.name << ": " << images.count()
            << " images after restarts\n";
}

INSTANTIATE_TEST_SUITE_P(Scenes, WalImagesTest,
                         testing::Range(size_t{0}, Scenes().size()));

// Of a small file that is replaced as a whole (checkpoints, `identity`,
// `peers`) either the old bytes are there or the new ones.
TEST(ReplacedFileImages, OldOrNew) {
  const std::string before(1500, 'a');
  const std::string after(2100, 'b');
  Images images;
  for (uint64_t stop = 0;; ++stop) {
    MemoryLoop loop;
    MemoryDisk disk(&loop);
    disk.SetContents("file", before);
    disk.StopAfter(stop);
    ReplacedFile file(&disk, "file", 4096);
    bool durable = false;
    file.Write({Buffer::Copy(after)},
               [&durable](absl::Status written) { durable = written.ok(); });
    loop.RunUntilIdle();
    images.ForEach(disk, [&](const Survives& survives) {
      MemoryLoop then;
      const std::unique_ptr<MemoryDisk> left = disk.AfterCrash(&then, survives);
      const std::string found = left->Contents("file");
      ASSERT_TRUE(found == after || (!durable && found == before))
          << "stopped after " << stop;
    });
    if (HasFatalFailure() || disk.completions() < stop) break;
  }
  EXPECT_EQ(images.bounded(), 0u);
  std::cout << "a replaced file: " << images.count() << " images\n";
}

}  // namespace
}  // namespace holdfast
