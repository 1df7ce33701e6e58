#include "engine/wal/wal.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/wal/testing/wal_run.h"
#include "gtest/gtest.h"

namespace holdfast {
namespace {

constexpr Term kTerm(1);

bool Nothing(size_t, size_t) { return false; }

TEST(WalTest, NewDirectoryIsEmpty) {
  WalRun run;
  ASSERT_TRUE(run.Open().ok());
  EXPECT_EQ(run.wal().first_index(), Index(1));
  EXPECT_EQ(run.wal().last_index(), Index(0));
  EXPECT_EQ(run.wal().hard_state(), HardState());
  ASSERT_TRUE(run.Reopen().ok());
  EXPECT_TRUE(run.recovered().empty());
}

TEST(WalTest, KeepsEntriesAndHardState) {
  WalRun run;
  run.OpenNew(kTerm);
  run.Append(kTerm, {0, 100, 5000});
  run.SetHardStateAndAppend({Term(3), ServerId(2)}, {0});
  run.RunUntilIdle();
  EXPECT_TRUE(run.all_persisted());
  WalRun after(run, Nothing);
  ASSERT_TRUE(after.Open().ok());
  EXPECT_TRUE(SameEntries(after.recovered(), run.log()));
  EXPECT_EQ(after.wal().hard_state(), (HardState{Term(3), ServerId(2)}));
  EXPECT_EQ(after.wal().last_term(), Term(3));
}

// Also while writes never end, and never with what isn't durable yet.
TEST(WalTest, WritesTheHardStateAnewUnderLoad) {
  WalRun run;
  run.OpenNew(kTerm);
  for (const bool newer : {false, true}) {
    for (const char* name : {"hardstate-0", "hardstate-1"}) {
      run.disk().Flip(name, 30, 1);
    }
    run.Append(kTerm, {5000});
    run.RunTasks(1);
    ASSERT_FALSE(run.wal().idle());
    run.Append(kTerm, {5000});
    if (newer) run.SetHardState({Term(3), ServerId(2)});
    const HardState before = run.wal().hard_state();
    run.wal().RefreshHardState();
    while (!run.wal().idle()) {
      run.RunTasks(1);
      WalRun after(run, Nothing);
      if (!run.all_persisted()) continue;
      ASSERT_TRUE(after.Open().ok());
      EXPECT_EQ(after.wal().hard_state(),
                newer ? (HardState{Term(3), ServerId(2)}) : before);
    }
    EXPECT_TRUE(run.all_persisted());
  }
}

TEST(WalTest, ReportsNothingInsideWriteAndNothingBeforeItsSync) {
  WalRun run;
  run.OpenNew(kTerm);
  uint64_t before = run.persisted();
  run.Append(kTerm, {10});
  EXPECT_EQ(run.persisted(), before);
  run.RunTasks(2);  // the next spare segment, the write
  EXPECT_EQ(run.persisted(), before);
  run.RunTasks(1);  // the sync
  EXPECT_TRUE(run.all_persisted());
}

TEST(WalTest, WhatQueuesUpGoesOutTogether) {
  WalRun run;
  run.OpenNew(kTerm);
  uint64_t groups = run.wal().stats().groups;
  for (int i = 0; i < 20; ++i) run.Append(kTerm, {10});
  run.RunUntilIdle();
  EXPECT_TRUE(run.all_persisted());
  EXPECT_EQ(run.wal().stats().groups, groups + 2);
}

TEST(WalTest, GroupsAreBounded) {
  WalRun run;
  run.OpenNew(kTerm);
  for (int i = 0; i < 9; ++i) run.Append(kTerm, {3000});
  run.RunUntilIdle();
  EXPECT_TRUE(run.all_persisted());
  EXPECT_GE(run.wal().stats().groups, 5u);
}

TEST(WalTest, RollsSegments) {
  WalRun run;
  run.OpenNew(kTerm);
  for (int i = 0; i < 60; ++i) run.Append(kTerm, {size_t(i) * 50});
  run.RunUntilIdle();
  EXPECT_TRUE(run.all_persisted());
  EXPECT_GE(run.wal().stats().segments_begun, 6u);
  WalRun after(run, Nothing);
  ASSERT_TRUE(after.Open().ok());
  EXPECT_TRUE(SameEntries(after.recovered(), run.log()));
}

TEST(WalTest, OversizeEntryGetsItsOwnSegment) {
  WalRun run;
  run.OpenNew(kTerm);
  run.Append(kTerm, {100});
  run.Append(kTerm, {100000});
  run.Append(kTerm, {100, 12000, 12160, 12161});
  run.RunUntilIdle();
  EXPECT_TRUE(run.all_persisted());
  EXPECT_EQ(run.wal().stats().oversize_segments, 2u);
  for (uint64_t i = 1; i <= 6; ++i) {
    auto entries = run.Read(Index(i), 1);
    ASSERT_TRUE(entries.ok()) << entries.status();
    EXPECT_EQ(entries->at(0).header, run.log()[i - 1].header);
  }
  WalRun after(run, Nothing);
  ASSERT_TRUE(after.Open().ok());
  EXPECT_TRUE(SameEntries(after.recovered(), run.log()));
}

TEST(WalTest, CutsASuffix) {
  for (uint64_t keep : {0u, 1u, 10u, 19u}) {
    WalRun run;
    run.OpenNew(kTerm);
    run.Append(kTerm, std::vector<size_t>(20, 1500));
    run.RunUntilIdle();
    run.SetHardState({Term(2), ServerId()});
    run.CutAndAppend(Index(keep), Term(2), {100, 0, 7000});
    run.RunUntilIdle();
    EXPECT_TRUE(run.all_persisted());
    EXPECT_EQ(run.wal().last_index(), Index(keep + 3));
    EXPECT_EQ(run.Read(Index(keep + 4), 1).status().code(),
              absl::StatusCode::kOutOfRange);
    auto entries = run.Read(Index(keep + 1), 100000);
    ASSERT_TRUE(entries.ok());
    EXPECT_EQ(entries->at(0).header, run.log()[keep].header);
    for (const auto& survives : {Nothing, Everything}) {
      WalRun after(run, survives);
      ASSERT_TRUE(after.Open().ok());
      EXPECT_TRUE(SameEntries(after.recovered(), run.log()));
    }
  }
}

TEST(WalTest, CutsInOneQueue) {
  WalRun run;
  run.OpenNew(kTerm);
  run.Append(kTerm, {10, 20, 30, 40});
  run.SetHardState({Term(2), ServerId()});
  run.CutAndAppend(Index(2), Term(2), {50, 60});
  run.SetHardState({Term(3), ServerId()});
  run.CutAndAppend(Index(3), Term(3), {70});
  run.CutAndAppend(Index(1), Term(3), {80, 90});
  run.RunUntilIdle();
  EXPECT_TRUE(run.all_persisted());
  WalRun after(run, Nothing);
  ASSERT_TRUE(after.Open().ok());
  EXPECT_TRUE(SameEntries(after.recovered(), run.log()));
}

TEST(WalTest, ReadsFromAnywhere) {
  WalRun run;
  run.OpenNew(kTerm);
  for (int i = 0; i < 80; ++i) run.Append(kTerm, {size_t(i % 7) * 400});
  run.RunUntilIdle();
  for (int life = 0; life < 2; ++life) {
    for (uint64_t first = 1; first <= 80; ++first) {
      for (size_t max : {size_t{0}, size_t{1000}, SIZE_MAX}) {
        auto entries = run.Read(Index(first), max);
        ASSERT_TRUE(entries.ok()) << entries.status();
        ASSERT_FALSE(entries->empty());
        size_t bytes = 0;
        for (size_t i = 0; i < entries->size(); ++i) {
          const Entry& expected = run.log()[first - 1 + i];
          EXPECT_EQ(entries->at(i).header, expected.header);
          EXPECT_EQ(entries->at(i).payload.view(), expected.payload.view());
          EXPECT_TRUE(i == 0 || bytes < max);
          bytes += expected.payload.size();
        }
      }
    }
    EXPECT_EQ(run.Read(Index(0), 1).status().code(),
              absl::StatusCode::kOutOfRange);
    EXPECT_EQ(run.Read(Index(81), 1).status().code(),
              absl::StatusCode::kOutOfRange);
    ASSERT_TRUE(run.Reopen().ok());
  }
}

TEST(WalTest, ReadSeesNothingThatIsNotDurable) {
  WalRun run;
  run.OpenNew(kTerm);
  run.Append(kTerm, {100});
  run.RunUntilIdle();
  run.Append(kTerm, {100});  // its write is under way
  auto entries = run.Read(Index(1), 100000);
  ASSERT_TRUE(entries.ok());
  EXPECT_EQ(entries->size(), 1u);

  run.RunUntilIdle();
  run.Append(kTerm, {100});
  EXPECT_EQ(run.Read(Index(3), 1).status().code(),
            absl::StatusCode::kOutOfRange);
  run.RunUntilIdle();
  EXPECT_TRUE(run.Read(Index(3), 1).ok());
}

TEST(WalTest, ReadAcrossACutIsAborted) {
  WalRun run;
  run.OpenNew(kTerm);
  run.Append(kTerm, {100, 100, 100});
  run.RunUntilIdle();
  absl::Status status;
  run.wal().Read(Index(2), 1000, [&](absl::StatusOr<std::vector<Entry>> got) {
    status = got.status();
  });
  run.SetHardState({Term(2), ServerId()});
  run.CutAndAppend(Index(1), Term(2), {200});
  run.RunUntilIdle();
  // Either it was done before the cut, or it noticed.
  EXPECT_TRUE(status.ok() || absl::IsAborted(status)) << status;
  auto entries = run.Read(Index(1), 1000);
  ASSERT_TRUE(entries.ok());
  EXPECT_EQ(entries->size(), 1u);  // a segment's end
}

TEST(WalTest, WhatIsToBeCutIsntReadAnyMore) {
  WalRun run;
  run.OpenNew(kTerm);
  run.Append(kTerm, {100, 100, 100});
  run.RunUntilIdle();
  // The cut waits for the hard state.
  run.SetHardState({Term(2), ServerId()});
  run.CutAndAppend(Index(1), Term(2), {200});
  absl::StatusOr<std::vector<Entry>> read = absl::UnknownError("no answer");
  run.wal().Read(Index(1), 1000, [&](absl::StatusOr<std::vector<Entry>> got) {
    read = std::move(got);
  });
  for (int i = 0; i < 100 && absl::IsUnknown(read.status()); ++i) {
    run.RunTasks(1);
  }
  EXPECT_FALSE(run.all_persisted());
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->size(), 1u);
  run.RunUntilIdle();
  EXPECT_EQ(run.Read(Index(2), 1000)->front().header.term, Term(2));
}

TEST(WalTest, ReadOfATruncatedFileFails) {
  WalRun run;
  run.OpenNew(kTerm);
  run.Append(kTerm, {3000, 3000});
  run.RunUntilIdle();
  std::string name = SegmentName(1);
  std::optional<std::unique_ptr<File>> file;
  run.disk().Open(name, OpenMode::kExisting,
                  [&](absl::StatusOr<std::unique_ptr<File>> opened) {
                    file = *std::move(opened);
                  });
  run.RunUntilIdle();
  (*file)->Truncate(kSegmentHeaderBytes, [](absl::Status) {});
  EXPECT_EQ(run.Read(Index(2), 1).status().code(), absl::StatusCode::kDataLoss);
  (*file)->Truncate(kSegmentHeaderBytes + 3500, [](absl::Status) {});
  EXPECT_EQ(run.Read(Index(2), 1).status().code(), absl::StatusCode::kDataLoss);
}

TEST(WalTest, FindsOffsets) {
  WalRun run;
  run.OpenNew(kTerm);
  for (int i = 0; i < 200; ++i) run.Append(kTerm, {size_t(i % 3) * 700});
  run.RunUntilIdle();
  uint64_t records = run.last().next_offset.value();
  for (uint64_t offset = 0; offset < records; ++offset) {
    Index floor = run.wal().FloorIndexOfOffset(Offset(offset));
    const EntryHeader& header = run.log()[floor.value() - 1].header;
    EXPECT_LE(header.base_offset, Offset(offset));
    EXPECT_LE(offset - header.base_offset.value(), 60u);
  }
}

TEST(WalTest, MarksARestingTail) {
  WalRun run;
  run.OpenNew(kTerm);
  run.Append(kTerm, {100, 100});
  run.RunUntilIdle();
  EXPECT_EQ(run.wal().stats().marks, 1u);
  run.RunUntilIdle();
  EXPECT_EQ(run.wal().stats().marks, 1u);  // once
  // All of it is known to have been synced: nothing is written again.
  WalRun after(run, Nothing);
  ASSERT_TRUE(after.Open().ok());
  EXPECT_EQ(after.wal().stats().tails_rewritten, 0u);
  EXPECT_EQ(after.wal().commit_hint(), Index(0));
}

TEST(WalTest, MarkSurvivesARestart) {
  WalRun run;
  run.OpenNew(kTerm);
  run.Append(kTerm, {100, 100});
  run.RunUntilIdle();
  ASSERT_TRUE(run.Reopen().ok());
  WalRun after(run, Everything);  // with the truncation of the restart
  ASSERT_TRUE(after.Open().ok());
  EXPECT_EQ(after.wal().stats().tails_rewritten, 0u);
  // And so damage is still told from a torn tail.
  std::string bytes = after.disk().Contents(SegmentName(1));
  bytes[kSegmentHeaderBytes + 70] ^= 1;
  after.disk().SetContents(SegmentName(1), bytes);
  EXPECT_EQ(after.Reopen().code(), absl::StatusCode::kDataLoss);
}

TEST(WalTest, RewrittenTailIsMarked) {
  WalRun run;
  run.OpenNew(kTerm);
  run.Append(kTerm, {100, 100});
  while (!run.all_persisted()) run.RunTasks(1);  // and no mark
  WalRun second(run, Nothing);
  ASSERT_TRUE(second.Open().ok());
  EXPECT_EQ(second.wal().stats().tails_rewritten, 1u);
  WalRun third(second, Nothing);
  ASSERT_TRUE(third.Open().ok());
  EXPECT_EQ(third.wal().stats().tails_rewritten, 0u);
  EXPECT_TRUE(SameEntries(third.recovered(), run.log()));
}

TEST(WalTest, CommitHintComesBackFromMarks) {
  WalRun run;
  run.OpenNew(kTerm);
  run.Append(kTerm, {100, 100});
  while (!run.all_persisted()) run.RunTasks(1);
  // Says that all so far is committed, before the mark is written.
  run.SetHardState({Term(2), ServerId()});
  run.RunUntilIdle();
  WalRun after(run, Nothing);
  ASSERT_TRUE(after.Open().ok());
  EXPECT_EQ(after.wal().commit_hint(), Index(2));
}

TEST(WalTest, WriteErrorIsFinal) {
  WalRun run;
  run.OpenNew(kTerm);
  run.Append(kTerm, {100});
  run.RunUntilIdle();
  uint64_t persisted = run.persisted();
  run.disk().FailAt(run.disk().completions() + 1);  // the write
  run.Append(kTerm, {100});
  run.RunUntilIdle();
  EXPECT_FALSE(run.failure().ok());
  EXPECT_EQ(run.persisted(), persisted);
  run.Append(kTerm, {100});
  run.SetHardState({Term(9), ServerId()});
  run.RunUntilIdle();
  EXPECT_EQ(run.persisted(), persisted);
}

// After a failed sync the pages may be clean, readable, and not on the disk.
TEST(WalTest, TrustsNothingAfterAFailedSync) {
  WalRun run;
  run.OpenNew(kTerm);
  run.Append(kTerm, {100});
  run.RunUntilIdle();
  run.disk().FailAt(run.disk().completions() + 2);
  run.Append(kTerm, {100, 200});
  run.RunUntilIdle();
  ASSERT_FALSE(run.failure().ok());
  std::vector<Entry> asked = run.log();
  // Another process finds them in the page cache, and so it may use them ...
  ASSERT_TRUE(run.Reopen().ok());
  EXPECT_TRUE(SameEntries(run.recovered(), asked));
  run.Append(kTerm, {300});
  run.RunUntilIdle();
  ASSERT_TRUE(run.all_persisted());
  // ... and must have made them durable elsewhere.
  WalRun after(run, Nothing);
  ASSERT_TRUE(after.Open().ok());
  EXPECT_TRUE(SameEntries(after.recovered(), run.log()));
}

TEST(WalTest, DestructionDropsEverything) {
  for (size_t tasks = 0; tasks < 40; ++tasks) {
    auto run = std::make_unique<WalRun>();
    run->OpenNew(kTerm);
    for (int i = 0; i < 10; ++i) run->Append(kTerm, {3000});
    for (int i = 0; i < 3; ++i) {
      run->wal().Read(Index(1), 1000,
                      [](absl::StatusOr<std::vector<Entry>>) {});
    }
    run->RunTasks(tasks);
    run->wal().Read(Index(1), 1000, [](absl::StatusOr<std::vector<Entry>>) {});
    ASSERT_TRUE(run->Reopen().ok());
    run->RunUntilIdle();
  }
}

// --- Checkpoints ---

size_t SegmentFiles(WalRun* run) {
  size_t files = 0;
  for (const std::string& name : run->disk().Names()) {
    if (ParseSegmentName(name).has_value()) ++files;
  }
  return files;
}

void OpenLong(WalRun* run) {
  run->OpenNew(kTerm);
  for (int i = 0; i < 30; ++i) run->Append(kTerm, {size_t(i % 4) * 1000});
  run->RunUntilIdle();
  ASSERT_TRUE(run->all_persisted());
}

// Appends, and expects both what was there and what came.
void GoOn(WalRun* run) {
  run->SetHardStateAndAppend({Term(9), ServerId(1)}, {100, 5000, 0});
  run->RunUntilIdle();
  ASSERT_TRUE(run->all_persisted());
  EXPECT_EQ(run->wal().last_index(), run->last().index);
  auto entries = run->Read(run->base().index + 1, 1);
  ASSERT_TRUE(entries.ok()) << entries.status();
  EXPECT_EQ(entries->at(0).header, run->log()[0].header);
  WalRun after(*run, Nothing);
  ASSERT_TRUE(after.Open().ok());
  EXPECT_EQ(after.WhyNotOf(run->Outcomes()), "");
}

TEST(WalTest, DropsWholeSegmentsBehindACheckpoint) {
  WalRun run;
  OpenLong(&run);
  size_t files = SegmentFiles(&run);
  Index dropped_to(1);
  for (uint64_t first = 1; first <= 31; ++first) {
    if (first > 1) run.SetCheckpoint(run.PointAt(Index(first - 1)));
    run.wal().DropTo(run.checkpoint());
    EXPECT_LE(run.wal().first_index(), Index(first));
    EXPECT_GE(run.wal().first_index(), dropped_to);
    dropped_to = run.wal().first_index();
    EXPECT_EQ(run.Read(dropped_to - 1, 1).status().code(),
              absl::StatusCode::kOutOfRange);
    EXPECT_TRUE(run.Read(dropped_to, 1).ok());
    WalRun after(run, Nothing);
    ASSERT_TRUE(after.Open().ok());
    EXPECT_EQ(after.WhyNotOf(run.Outcomes()), "");
  }
  run.RunUntilIdle();
  uint64_t dropped = run.wal().stats().segments_dropped;
  EXPECT_GE(dropped, 3u);
  EXPECT_EQ(SegmentFiles(&run), files - dropped);
  EXPECT_EQ(SegmentFiles(&run), 2u);  // the last one and the spare
  EXPECT_LE(run.wal().first_index(), Index(30));
  EXPECT_EQ(run.wal().last_index(), Index(30));
  run.wal().DropTo(LogPoint());  // an older one changes nothing
  EXPECT_EQ(run.wal().first_index(), dropped_to);
}

TEST(WalTest, ReadOfADroppedSegmentFinishes) {
  WalRun run;
  OpenLong(&run);
  absl::StatusOr<std::vector<Entry>> got = absl::UnknownError("not read");
  run.wal().Read(Index(2), 1, [&](absl::StatusOr<std::vector<Entry>> entries) {
    got = entries;
  });
  run.wal().DropTo(run.PointAt(Index(19)));
  ASSERT_GT(run.wal().first_index(), Index(2));
  run.RunUntilIdle();
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ(got->at(0).header, run.log()[1].header);
}

TEST(WalTest, OpensBehindAnyOfItsEntries) {
  // With a tail that was synced and marked, and one that was neither.
  for (bool at_rest : {true, false}) {
    for (uint64_t index = 1; index <= 34; ++index) {
      SCOPED_TRACE(index);
      WalRun run;
      OpenLong(&run);
      run.Append(kTerm, {500, 0, 500, 500});
      if (at_rest) run.RunUntilIdle();
      run.SetCheckpoint(run.PointAt(Index(index)));
      WalRun after(run, Everything);
      absl::Status opened = after.Open();
      ASSERT_TRUE(opened.ok()) << opened;
      EXPECT_EQ(after.recovered().size(), 34 - index);
      EXPECT_EQ(after.WhyNotOf({{run.log(), run.wal().hard_state(), {}}}), "");
      EXPECT_EQ(after.wal().last_index(), Index(34));
      EXPECT_EQ(after.wal().last_term(), kTerm);
      EXPECT_LE(after.wal().first_index(), Index(index + 1));
      EXPECT_GE(after.wal().commit_hint(), Index(index));
      // What stands in front of it in its segment can be read, too.
      for (Index i = after.wal().first_index(); i <= Index(34); ++i) {
        auto entries = after.Read(i, 1);
        ASSERT_TRUE(entries.ok()) << entries.status();
        EXPECT_EQ(entries->at(0).header, run.log()[i.value() - 1].header);
      }
      ASSERT_NO_FATAL_FAILURE(GoOn(&after));
    }
  }
}

TEST(WalTest, ALogWithoutTheCheckpointsEntryIsDropped) {
  for (uint64_t index = 1; index <= 40; ++index) {
    SCOPED_TRACE(index);
    WalRun run;
    OpenLong(&run);
    LogPoint base = run.PointAt(Index(std::min<uint64_t>(index, 30)));
    base.index = Index(index);
    base.chain ^= 1;
    WalRun after(run, Everything);
    after.SetCheckpoint(base);
    absl::Status opened = after.Open();
    ASSERT_TRUE(opened.ok()) << opened;
    EXPECT_TRUE(after.recovered().empty());
    EXPECT_EQ(after.wal().first_index(), Index(index + 1));
    EXPECT_EQ(after.wal().last_index(), Index(index));
    EXPECT_EQ(after.wal().last_term(), kTerm);
    EXPECT_EQ(after.wal().commit_hint(), Index(index));
    EXPECT_GT(after.wal().stats().leftovers_removed, 3u);
    // Once more, before anything is written behind it.
    ASSERT_TRUE(after.Reopen().ok());
    EXPECT_TRUE(after.recovered().empty());
    ASSERT_NO_FATAL_FAILURE(GoOn(&after));
    EXPECT_EQ(SegmentFiles(&after), 2u);  // nothing else is left
  }
}

TEST(WalTest, ALogThatBeginsTooLateIsRefused) {
  WalRun run;
  OpenLong(&run);
  LogPoint early = run.PointAt(Index(3));
  run.SetCheckpoint(run.PointAt(Index(25)));
  run.wal().DropTo(run.checkpoint());
  run.RunUntilIdle();
  ASSERT_GT(run.wal().first_index(), Index(4));
  for (const LogPoint& point : {LogPoint(), early}) {
    WalRun after(run, Everything);
    after.SetCheckpoint(point);
    EXPECT_EQ(after.Open().code(), absl::StatusCode::kDataLoss);
  }
}

// No segment has that id, but a file may have that name.
TEST(WalTest, AnEmptyFileWithTheNameOfSegmentZero) {
  WalRun run;
  ASSERT_TRUE(run.Open().ok());
  run.disk().SetContents(SegmentName(0), std::string(8192, '\0'));
  ASSERT_TRUE(run.Reopen().ok());
  EXPECT_TRUE(run.recovered().empty());
  ASSERT_NO_FATAL_FAILURE(GoOn(&run));
}

TEST(WalTest, ACheckpointNeedsItsHardState) {
  WalRun run;
  run.OpenNew(kTerm);
  LogPoint base{.index = Index(5), .term = Term(2), .chain = 1};
  WalRun after(run, Everything);
  after.SetCheckpoint(base);  // of a term that was never promised
  EXPECT_EQ(after.Open().code(), absl::StatusCode::kDataLoss);
  WalRun empty;
  empty.SetCheckpoint(base);
  EXPECT_EQ(empty.Open().code(), absl::StatusCode::kDataLoss);
}

TEST(WalTest, ResetReplacesTheLog) {
  for (uint64_t index : {1u, 12u, 30u, 100u}) {
    SCOPED_TRACE(index);
    WalRun run;
    OpenLong(&run);
    run.Append(kTerm, {100});  // before it, and reported before it
    LogPoint base = run.PointAt(Index(std::min<uint64_t>(index, 31)));
    base.index = Index(index);
    base.chain ^= 1;
    run.ResetTo(base);
    run.Append(kTerm, {100, 200});
    run.Append(kTerm, {3000});
    run.RunUntilIdle();
    EXPECT_TRUE(run.all_persisted());
    EXPECT_EQ(run.Outcomes().size(), 1u);
    EXPECT_EQ(run.wal().stats().resets, 1u);
    EXPECT_EQ(run.wal().first_index(), Index(index + 1));
    EXPECT_EQ(run.wal().last_index(), Index(index + 3));
    EXPECT_EQ(run.Read(Index(index), 1).status().code(),
              absl::StatusCode::kOutOfRange);
    EXPECT_EQ(SegmentFiles(&run), 2u);
    EXPECT_EQ(run.wal().FloorIndexOfOffset(base.next_offset), Index(index + 1));
    WalRun after(run, Nothing);
    ASSERT_TRUE(after.Open().ok());
    EXPECT_EQ(after.WhyNotOf(run.Outcomes()), "");
    ASSERT_NO_FATAL_FAILURE(GoOn(&after));
  }
}

TEST(WalTest, ResetsAndCutsInOneQueue) {
  WalRun run;
  OpenLong(&run);
  LogPoint base = run.last();
  base.index += 5;
  base.chain = 3;
  run.ResetTo(base);
  run.Append(kTerm, {10, 20});
  base.index += 7;
  run.ResetTo(base);
  run.Append(kTerm, {30000});  // no room behind the reset
  run.Append(kTerm, {30});
  run.SetHardState({Term(2), ServerId()});
  run.CutAndAppend(base.index, Term(2), {40, 50});
  run.RunUntilIdle();
  EXPECT_TRUE(run.all_persisted());
  EXPECT_EQ(run.Outcomes().size(), 1u);
  WalRun after(run, Nothing);
  ASSERT_TRUE(after.Open().ok());
  EXPECT_EQ(after.WhyNotOf(run.Outcomes()), "");
  EXPECT_EQ(after.recovered().size(), 2u);
}

TEST(WalTest, ResetOfANewLogAndBeforeItsFirstEntry) {
  WalRun run;
  run.OpenNew(kTerm);
  LogPoint base{.index = Index(5), .term = kTerm, .chain = 1};
  run.ResetTo(base);
  run.RunUntilIdle();
  EXPECT_EQ(run.Outcomes().size(), 1u);
  EXPECT_EQ(run.wal().first_index(), Index(6));
  for (int life = 0; life < 3; ++life) {
    ASSERT_TRUE(run.Reopen().ok());
    EXPECT_EQ(run.wal().last_index(), Index(5));
    EXPECT_EQ(SegmentFiles(&run), 2u);
  }
  ASSERT_NO_FATAL_FAILURE(GoOn(&run));
}

TEST(WalTest, ReadAcrossAResetIsAborted) {
  WalRun run;
  OpenLong(&run);
  absl::Status status;
  run.wal().Read(Index(2), 1000, [&](absl::StatusOr<std::vector<Entry>> got) {
    status = got.status();
  });
  run.ResetTo(run.last());
  run.RunUntilIdle();
  EXPECT_TRUE(absl::IsAborted(status)) << status;
}

TEST(WalTest, AFailedResetIsNotReported) {
  for (uint64_t failing = 1; failing <= 5; ++failing) {
    WalRun run;
    OpenLong(&run);
    run.disk().FailAt(run.disk().completions() + failing);
    run.ResetTo(run.PointAt(Index(9)));
    run.RunUntilIdle();
    // The third one is the next spare's, for which nothing waits yet.
    EXPECT_EQ(run.Outcomes().size(), run.failure().ok() ? 1u : 2u) << failing;
    ASSERT_TRUE(run.Reopen().ok());
  }
}

}  // namespace
}  // namespace holdfast
