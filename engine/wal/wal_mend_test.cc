// Damage of a disk that other servers help to repair: whatever was synced and
// is damaged, Open asks for it, and has all of the log again; and what it wrote
// for that survives a power failure at any point.

#include <algorithm>
#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/wal/testing/damaged_log.h"
#include "engine/wal/testing/wal_run.h"
#include "engine/wal/wal.h"
#include "gtest/gtest.h"

namespace holdfast {
namespace {

using WalMendTest = DamagedLog;

TEST_F(WalMendTest, AnyByte) {
  ASSERT_NO_FATAL_FAILURE(ForEachFlip(
      FewSteps, [this](const std::string& name, const std::string& bytes) {
        ExpectMended(name, bytes);
      }));
  EXPECT_GT(mended_, 1000);
}

TEST_F(WalMendTest, AnyBlock) {
  for (size_t block : {512, 4096}) {
    for (const NamedFile& file : segments_) {
      const size_t used = file.bytes.find_last_not_of('\0') + 1;
      for (size_t at = 0; at < used; at += block) {
        for (char fill : {'\0', '\xff', 'x'}) {
          SCOPED_TRACE(absl::StrCat(file.name, " at ", at, " of ", block));
          std::string bytes = file.bytes;
          size_t n = std::min(block, bytes.size() - at);
          bytes.replace(at, n, n, fill);
          ASSERT_NO_FATAL_FAILURE(ExpectMended(file.name, bytes));
        }
      }
    }
  }
  EXPECT_GT(mended_, 100);
}

// With nobody to ask, what is whole is found all the same.
TEST_F(WalMendTest, InPart) {
  const auto expect_part = [this](const std::string& name,
                                  const std::string& bytes) {
    ExpectPart(name, bytes);
  };
  ASSERT_NO_FATAL_FAILURE(ForEachFlip(FewSteps, expect_part));
  // Of each flipped bit at most the entry is lost, and the one behind it.
  EXPECT_GT(parts_, 1000);
  EXPECT_EQ(refused_, 0);
  EXPECT_LT(lost_, static_cast<uint64_t>(2 * parts_));
  // The same behind a checkpoint.
  for (uint64_t index : {3, 7}) {
    SCOPED_TRACE(absl::StrCat("behind ", index));
    run_.SetCheckpoint(run_.PointAt(Index(index)));
    ASSERT_NO_FATAL_FAILURE(ForEachFlip(
        [](size_t at) { return at % 4096 < 200 ? 1 : 13; }, expect_part));
  }
  run_.SetCheckpoint({});
  EXPECT_EQ(refused_, 0);
  for (size_t block : {512, 4096}) {
    for (const NamedFile& file : segments_) {
      const size_t used = file.bytes.find_last_not_of('\0') + 1;
      for (size_t at = 0; at < used; at += block) {
        for (const NamedFile& source : segments_) {
          SCOPED_TRACE(absl::StrCat(file.name, " at ", at, " of ", block));
          std::string bytes = file.bytes;
          const size_t n = std::min(block, bytes.size() - at);
          bytes.replace(at, n, source.bytes, 4096, n);
          ASSERT_NO_FATAL_FAILURE(ExpectPart(file.name, bytes));
        }
      }
    }
  }
  for (const NamedFile& file : segments_) {
    for (size_t end = 0; end < file.bytes.size(); end += 300) {
      SCOPED_TRACE(absl::StrCat(file.name, " ends at ", end));
      ASSERT_NO_FATAL_FAILURE(ExpectPart(file.name, file.bytes.substr(0, end)));
    }
    WalRun after(run_, Everything);
    after.disk().Delete(file.name);
    ASSERT_NO_FATAL_FAILURE(ExpectPart(&after, run_.log()));
  }
  EXPECT_GT(parts_, 10 * refused_);
}

// What the device refuses to read is as good as damaged; but what no mark of
// the newest segment covers isn't taken for a torn tail.
TEST_F(WalMendTest, BlocksThatCannotBeRead) {
  for (size_t block : {512, 4096, 9000}) {
    for (const NamedFile& file : segments_) {
      const auto header = DecodeSegmentHeader(
          absl::string_view(file.bytes).substr(0, kSegmentHeaderBytes));
      ASSERT_TRUE(header.ok());
      for (size_t at = 0; at < file.bytes.size(); at += block) {
        SCOPED_TRACE(absl::StrCat(file.name, " at ", at, " of ", block));
        WalRun after(run_, Everything);
        after.disk().Refuse(file.name, at, at + block);
        const bool newest = file.name == segments_.back().name;
        std::string read = file.bytes;
        const size_t from = at / 4096 * 4096;
        const size_t end =
            std::min((at + block + 4095) / 4096 * 4096, read.size());
        read.replace(from, end - from, end - from, '\0');
        const uint64_t marked_to =
            FindMarkedTo(read, kSegmentHeaderBytes, header->id);
        Help(&after);
        const absl::Status opened = after.Open();
        // Nor is it if a frame behind it tells what there was.
        if (newest && end > marked_to &&
            !FindMarkedEnd(read, header->id, end).has_value()) {
          ASSERT_EQ(opened.code(), absl::StatusCode::kDataLoss);
          ASSERT_EQ(after.disk().Contents(file.name), file.bytes);
          continue;
        }
        ASSERT_TRUE(opened.ok()) << opened;
        ASSERT_TRUE(SameEntries(after.recovered(), run_.log()));
        mended_ += static_cast<int>(after.wal().stats().segments_mended);
        WalRun again(after, Everything);
        ASSERT_TRUE(again.Open().ok());
        ASSERT_TRUE(SameEntries(again.recovered(), run_.log()));
      }
    }
  }
  EXPECT_GT(mended_, 100);
}

TEST_F(WalMendTest, MisdirectedBlocks) {
  for (const NamedFile& file : segments_) {
    const size_t used = file.bytes.find_last_not_of('\0') + 1;
    for (const NamedFile& source : segments_) {
      for (size_t to = 0; to + 512 <= used; to += 512) {
        for (size_t from = 0; from + 512 <= used; from += 1536) {
          SCOPED_TRACE(absl::StrCat(file.name, " from ", from, " of ",
                                    source.name, " to ", to));
          std::string bytes = file.bytes;
          bytes.replace(to, 512, source.bytes, from, 512);
          ASSERT_NO_FATAL_FAILURE(ExpectMended(file.name, bytes));
        }
      }
    }
  }
}

// All but the newest may end anywhere.
TEST_F(WalMendTest, Truncated) {
  for (const NamedFile& file : segments_) {
    if (file.name == segments_.back().name) continue;
    for (size_t end = 0; end < file.bytes.size(); end += 300) {
      SCOPED_TRACE(absl::StrCat(file.name, " ends at ", end));
      ASSERT_NO_FATAL_FAILURE(
          ExpectMended(file.name, file.bytes.substr(0, end)));
    }
  }
  EXPECT_GT(mended_, 10);
}

// In several places of several files at once.
TEST_F(WalMendTest, ManyPlaces) {
  for (size_t stride : {500, 1300, 5000}) {
    WalRun after(run_, Everything);
    for (const NamedFile& file : segments_) {
      std::string bytes = file.bytes;
      const size_t used = file.bytes.find_last_not_of('\0') + 1;
      // The newest one's last marks stay.
      const size_t end =
          file.name == segments_.back().name ? used - 4096 - 128 : used;
      for (size_t at = kSegmentHeaderBytes; at < end; at += stride) {
        bytes[at] ^= 0x10;
      }
      after.disk().SetContents(file.name, bytes);
    }
    Help(&after, 2);
    ASSERT_TRUE(after.Open().ok());
    EXPECT_TRUE(SameEntries(after.recovered(), run_.log()));
    EXPECT_GE(after.wal().stats().segments_mended, 2u);
  }
}

// Of a file nothing is left that tells what it was, and of the next one no
// header.
TEST_F(WalMendTest, TwoNeighbours) {
  for (size_t i = 0; i + 1 < segments_.size(); ++i) {
    for (size_t end : {size_t{0}, size_t{2489}, kSegmentHeaderBytes}) {
      SCOPED_TRACE(absl::StrCat(segments_[i].name, " ends at ", end));
      WalRun after(run_, Everything);
      after.disk().SetContents(segments_[i].name,
                               segments_[i].bytes.substr(0, end));
      std::string next = segments_[i + 1].bytes;
      next.replace(0, kSegmentHeaderBytes, kSegmentHeaderBytes, '\0');
      after.disk().SetContents(segments_[i + 1].name, next);
      Help(&after);
      ASSERT_TRUE(after.Open().ok());
      EXPECT_TRUE(SameEntries(after.recovered(), run_.log()));
    }
  }
}

// Where a segment begins a mark tells, too, but not one that is damaged itself.
TEST_F(WalMendTest, AHeaderAndMarks) {
  int struck = 0;
  Index last;
  for (const NamedFile& file : segments_) {
    const auto header = DecodeSegmentHeader(
        absl::string_view(file.bytes).substr(0, kSegmentHeaderBytes));
    ASSERT_TRUE(header.ok());
    const Index before = last;
    last = ScanSegment(file.bytes, *header).seen;
    // Of one that replaces entries only its header tells which.
    if (header->previous.index < before) continue;
    std::string bytes = file.bytes;
    bytes[0] ^= 1;
    bytes[kSegmentHeaderBytes] ^= 1;  // and of the first frame
    for (const FoundFrame& f : ScanSegment(file.bytes, *header).frames) {
      if (f.header.kind != FrameKind::kMark) continue;
      // In the first index of its first run.
      bytes[f.position + kLogFrameHeaderBytes + 9] ^= 0x10;
      ++struck;
      SCOPED_TRACE(absl::StrCat(file.name, ", mark at ", f.position));
      ASSERT_NO_FATAL_FAILURE(ExpectMended(file.name, bytes));
    }
  }
  EXPECT_GT(struck, 1);
}

// What stands at the end of a segment is damaged, and so is the beginning of
// the next one, which would tell its term. A later entry tells as much: who has
// that one has all before it, committed or not.
TEST_F(WalMendTest, AnEndAndTheNextBeginning) {
  WalRun run;
  run.set_commit_max(Index(2));
  ASSERT_TRUE(run.Open().ok());
  run.SetHardStateAndAppend({Term(1), ServerId(1)}, {0, 5000, 5000, 300});
  run.SetHardStateAndAppend({Term(2), ServerId(1)}, {5000, 300, 300});
  run.RunUntilIdle();
  const std::vector<Entry> log = run.log();
  WalRun after(run, Everything);
  auto frames = [&](uint64_t id) {
    const std::string bytes = after.disk().Contents(SegmentName(id));
    return ScanSegment(bytes, *DecodeSegmentHeader(
                                  bytes.substr(0, kSegmentHeaderBytes)))
        .frames;
  };
  std::vector<FoundFrame> first = frames(1);
  std::erase_if(first, [](const FoundFrame& f) {
    return f.header.kind != FrameKind::kEntry;
  });
  ASSERT_EQ(frames(2).front().header.index, first.back().header.index + 1);
  const Index last = first.back().header.index;
  after.disk().Flip(SegmentName(1), first.back().position, 1);
  after.disk().Flip(SegmentName(2), 40, 1);
  after.disk().Flip(SegmentName(2), kSegmentHeaderBytes, 1);
  std::optional<LogHole> end;
  after.SetMend([&](const LogHole& hole, Term, ResultFn<Mended> done) {
    if (hole.last == last) end = hole;
    const bool by_later = hole.later > Index();
    const Index known = by_later ? hole.later : hole.last;
    const Term term = by_later ? hole.later_term : hole.last_term;
    if (log[known.value() - 1].header.term != term) {
      return done(absl::DataLossError("nobody knows which one is meant"));
    }
    done(Mended{.entries = {log[hole.first.value() - 1]}});
  });
  const absl::Status opened = after.Open();
  ASSERT_TRUE(opened.ok()) << opened;
  EXPECT_TRUE(SameEntries(after.recovered(), log));
  ASSERT_TRUE(end.has_value());
  EXPECT_EQ(end->last_term, Term());
  EXPECT_GT(end->later, last);
}

// Its frames don't say that anything was synced, as there was no time for it:
// the next segment's header does.
TEST_F(WalMendTest, AHeaderOfASegmentThatWasSoonCut) {
  WalRun run;
  ASSERT_TRUE(run.Open().ok());
  run.SetHardStateAndAppend({Term(1), ServerId(1)}, {0, 100, 2000});
  run.RunUntilIdle();
  run.SetHardState({Term(2), ServerId(1)});
  run.CutAndAppend(Index(1), Term(2), {5000, 500});
  run.SetHardState({Term(3), ServerId(1)});
  run.CutAndAppend(Index(2), Term(3), {300, 20});
  run.RunUntilIdle();
  for (bool next_too : {false, true}) {
    SCOPED_TRACE(next_too);
    WalRun after(run, Everything);
    after.disk().Flip(SegmentName(2), 40, 1);
    if (next_too) after.disk().Flip(SegmentName(3), 40, 1);
    ASSERT_NO_FATAL_FAILURE(ExpectPart(&after, run.log()));
    HelpFrom(run, &after);
    const absl::Status opened = after.Open();
    ASSERT_TRUE(opened.ok()) << opened;
    EXPECT_TRUE(SameEntries(after.recovered(), run.log()));
  }
}

// Of a segment that replaced an entry nothing is left, and of the next one no
// header: what was replaced isn't gone on with.
TEST_F(WalMendTest, NothingLeftOfASegmentThatReplaced) {
  WalRun run;
  ASSERT_TRUE(run.Open().ok());
  run.SetHardStateAndAppend({Term(1), ServerId(1)}, {0, 100, 200});
  run.RunUntilIdle();
  run.SetHardState({Term(2), ServerId(1)});
  run.CutAndAppend(Index(2), Term(2), {300, 20});
  run.RunUntilIdle();
  run.SetHardState({Term(3), ServerId(1)});
  run.CutAndAppend(Index(3), Term(3), {40});
  run.RunUntilIdle();
  WalRun after(run, Everything);
  after.disk().SetContents(SegmentName(2), "");
  after.disk().Flip(SegmentName(3), 40, 1);
  HelpFrom(run, &after);
  const absl::Status opened = after.Open();
  EXPECT_TRUE(absl::IsDataLoss(opened)) << opened;
  ExpectPart(&after, run.log());
  EXPECT_EQ(refused_, 1);
}

// Of the newest segment, which replaced others' entries, only its last mark is
// left: what it replaced doesn't come back. If its own entry was never
// committed either, what was committed tells which ones stood before that.
TEST_F(WalMendTest, OnlyAMarkLeftOfASegmentThatReplaced) {
  for (uint64_t kept : {0, 1, 2}) {
    SCOPED_TRACE(kept);
    WalRun run;
    run.set_commit_max(Index(0));
    ASSERT_TRUE(run.Open().ok());
    run.SetHardStateAndAppend({Term(1), ServerId(1)}, {0, 100, 200});
    run.RunUntilIdle();
    run.SetHardStateAndAppend({Term(3), ServerId(1)}, {0, 10});
    run.RunUntilIdle();
    run.SetHardState({Term(4), ServerId(1)});
    run.CutAndAppend(Index(kept), Term(4), {3000});
    run.RunUntilIdle();
    WalRun after(run, Everything);
    std::string bytes = after.disk().Contents(SegmentName(2));
    const size_t lost = kSegmentHeaderBytes + kBlockBytes;
    bytes.replace(0, lost, lost, '\0');
    after.disk().SetContents(SegmentName(2), bytes);
    const WalRun damaged(after, Everything);
    HelpFrom(run, &after);
    const absl::Status opened = after.Open();
    ASSERT_TRUE(opened.ok()) << opened;
    EXPECT_TRUE(SameEntries(after.recovered(), run.log()));
    // A log of a later term has the entry before, and not this one.
    WalRun kept_only(damaged, Everything);
    kept_only.SetMend([&run](const LogHole& hole, Term, ResultFn<Mended> done) {
      if (hole.last_term == Term(4)) {
        return done(Mended{.never_committed = true});
      }
      EXPECT_EQ(hole.log_behind, Term(4));
      done(Mended{.entries = {run.log()[hole.first.value() - 1]}});
    });
    const absl::Status cut = kept_only.Open();
    ASSERT_TRUE(cut.ok()) << cut;
    EXPECT_EQ(kept_only.wal().last_index(), Index(kept));
  }
}

// The same, and the others lack the entry before, too: what they have committed
// up to there tells whether the segment had any of it.
TEST_F(WalMendTest, OnlyAMarkLeftBehindWhatWasNeverCommitted) {
  WalRun run;
  run.set_commit_max(Index(0));
  ASSERT_TRUE(run.Open().ok());
  run.SetHardStateAndAppend({Term(1), ServerId(1)}, {0, 100, 200});
  run.RunUntilIdle();
  run.SetHardState({Term(4), ServerId(1)});
  run.CutAndAppend(Index(2), Term(4), {3000});
  run.RunUntilIdle();
  WalRun damaged(run, Everything);
  std::string bytes = damaged.disk().Contents(SegmentName(2));
  const size_t lost = kSegmentHeaderBytes + kBlockBytes;
  bytes.replace(0, lost, lost, '\0');
  damaged.disk().SetContents(SegmentName(2), bytes);
  using Answer = std::function<absl::StatusOr<Mended>(Index)>;
  const auto open = [&damaged](const LogPoint& checkpoint,
                               const Answer& committed) {
    WalRun lacking(damaged, Everything);
    lacking.SetCheckpoint(checkpoint);
    lacking.SetMend(
        [&committed](const LogHole& hole, Term, ResultFn<Mended> done) {
          if (hole.last_term > Term()) {
            return done(Mended{.entries = {}, .never_committed = true});
          }
          done(committed(hole.first));
        });
    absl::Status opened = lacking.Open();
    if (opened.ok()) {
      EXPECT_EQ(lacking.wal().last_index(), Index(2));
    }
    return opened;
  };
  const auto second_of = [&run](Term term) {
    return [&run, term](Index index) -> absl::StatusOr<Mended> {
      Entry entry = run.log()[index.value() - 1];
      if (index == Index(2)) entry.header.term = term;
      return Mended{.entries = {std::move(entry)}};
    };
  };
  // All are the log's.
  EXPECT_TRUE(open({}, second_of(Term(1))).ok());
  // The second one is another, of a term that the segment hasn't seen; or that
  // this server hasn't.
  EXPECT_TRUE(open({}, second_of(Term(5))).ok());
  EXPECT_TRUE(open({}, [](Index) {
                return Mended{.entries = {}, .never_committed = true};
              }).ok());
  // But it may have been in the segment.
  EXPECT_TRUE(absl::IsDataLoss(open({}, second_of(Term(4)))));
  const absl::Status unknown =
      open({}, [](Index) { return absl::UnavailableError("nobody is there"); });
  EXPECT_TRUE(absl::IsDataLoss(unknown)) << unknown;
  EXPECT_TRUE(absl::StrContains(unknown.message(), "nobody is there"));
  // Nor is what stands here the checkpoint's log.
  LogPoint other = run.PointAt(Index(1));
  other.chain ^= 1;
  EXPECT_TRUE(absl::IsDataLoss(open(other, second_of(Term(1)))));
}

// What stands at the log's end under no mark yet may be what was replaced, in
// a segment that is gone, by what the server has promised: nobody sees it
// then.
TEST_F(WalMendTest, WhatIsPromisedReplacesAnUnmarkedEnd) {
  WalRun run;
  run.set_commit_max(Index(0));
  ASSERT_TRUE(run.Open().ok());
  run.SetHardStateAndAppend({Term(1), ServerId(1)}, {0, 100});
  run.RunUntilIdle();
  ASSERT_TRUE(run.Reopen().ok());
  run.SetHardState({Term(2), ServerId(1)});
  run.Append(Term(1), {200, 300});
  while (!run.all_persisted()) run.RunTasks(1);
  WalRun after(run, Everything);
  run.CutAndAppend(Index(2), Term(2), {400, 500, 600});
  run.RunUntilIdle();
  HelpFrom(run, &after);
  after.SetPromised(Index(5));
  const absl::Status opened = after.Open();
  ASSERT_TRUE(opened.ok()) << opened;
  EXPECT_TRUE(SameEntries(after.recovered(), run.log()));
}

// That the entries that it replaced were never committed says nothing of those
// that stand behind it.
TEST_F(WalMendTest, ASegmentThatReplacedIsGone) {
  WalRun run;
  run.set_commit_max(Index(0));
  ASSERT_TRUE(run.Open().ok());
  run.SetHardStateAndAppend({Term(1), ServerId(1)}, {0, 100, 200});
  run.Append(Term(1), {300, 400});
  run.SetHardStateAndAppend({Term(2), ServerId(1)}, {0});
  run.RunUntilIdle();
  run.SetHardState({Term(3), ServerId(1)});
  run.CutAndAppend(Index(4), Term(3), {6000, 4000, 200});
  run.RunUntilIdle();
  run.Append(Term(3), {7000, 50});
  run.RunUntilIdle();
  const std::vector<Entry> log = run.log();
  WalRun after(run, Everything);
  after.disk().Delete(SegmentName(2));
  ASSERT_NO_FATAL_FAILURE(ExpectPart(&after, log));
  EXPECT_EQ(refused_, 1);
  after.SetMend([&](const LogHole& hole, Term, ResultFn<Mended> done) {
    if (hole.last_term != Term(3)) {
      return done(Mended{.entries = {}, .never_committed = true});
    }
    done(Mended{.entries = {log[hole.first.value() - 1]}});
  });
  const absl::Status opened = after.Open();
  ASSERT_TRUE(opened.ok()) << opened;
  EXPECT_TRUE(SameEntries(after.recovered(), log));
}

// An error ends the start, wherever it strikes, or does nothing: the next start
// finds all of the log.
TEST_F(WalMendTest, AnOperationFailsAtAnyMoment) {
  bool over = false;
  for (uint64_t failing = 1; !over; ++failing) {
    SCOPED_TRACE(failing);
    WalRun after(run_, Everything);
    std::string bytes = segments_[1].bytes;
    bytes[kSegmentHeaderBytes + 100] ^= 1;
    after.disk().SetContents(segments_[1].name, bytes);
    after.disk().SetContents("hardstate-1", "");
    after.disk().FailAt(failing);
    Help(&after);
    if (after.Open().ok()) {
      ASSERT_TRUE(SameEntries(after.recovered(), run_.log()));
      over = after.disk().completions() < failing;
    }
    WalRun again(after, Everything);
    Help(&again);
    ASSERT_TRUE(again.Open().ok());
    ASSERT_TRUE(SameEntries(again.recovered(), run_.log()));
  }
}

// Nor is a read that fails once taken for damage, least of all of the newest
// segment, which no mark covers yet.
TEST_F(WalMendTest, AReadFailsOfASegmentThatWasJustBegun) {
  WalRun run;
  ASSERT_NO_FATAL_FAILURE(WriteAndBeginASegment(&run));
  bool over = false;
  for (uint64_t failing = 1; !over; ++failing) {
    SCOPED_TRACE(failing);
    WalRun after(run, Everything);
    after.disk().FailAt(failing);
    HelpFrom(run, &after);
    if (after.Open().ok()) {
      ASSERT_TRUE(SameEntries(after.recovered(), run.log()));
      over = after.disk().completions() < failing;
    }
    WalRun again(after, Everything);
    ASSERT_TRUE(again.Open().ok());
    ASSERT_TRUE(SameEntries(again.recovered(), run.log()));
  }
}

// Nor is one that fails for good: nobody knows what stands there.
TEST_F(WalMendTest, TheDeviceRefusesASegmentThatWasJustBegun) {
  WalRun run;
  ASSERT_NO_FATAL_FAILURE(WriteAndBeginASegment(&run));
  const std::string name = SegmentName(2);
  const std::string bytes = run.disk().Contents(name);
  for (size_t to : {1000, 4096, 4200, 8192}) {
    for (size_t from : {0, 4096}) {
      if (from >= to) continue;
      SCOPED_TRACE(absl::StrCat(from, " to ", to));
      WalRun after(run, Everything);
      after.disk().Refuse(name, from, to);
      HelpFrom(run, &after);
      EXPECT_TRUE(absl::IsDataLoss(after.Open()));
      ASSERT_EQ(after.disk().Contents(name), bytes);
      after.disk().Refuse(name, 0, 0);
      ASSERT_TRUE(after.Reopen().ok());
      ASSERT_TRUE(SameEntries(after.recovered(), run.log()));
    }
  }
}

// What was never committed may be gone everywhere: the log ends before it then.
TEST_F(WalMendTest, WhatWasNeverCommittedIsDropped) {
  int dropped = 0;
  for (const NamedFile& file : segments_) {
    const size_t used = file.bytes.find_last_not_of('\0') + 1;
    for (size_t at = kSegmentHeaderBytes; at < used; at += 100) {
      SCOPED_TRACE(absl::StrCat(file.name, " at ", at));
      WalRun after(run_, Everything);
      std::string bytes = file.bytes;
      bytes[at] ^= 0x40;
      after.disk().SetContents(file.name, bytes);
      Index first;
      after.SetMend([&](const LogHole& hole, Term, ResultFn<Mended> done) {
        first = hole.first;
        done(Mended{.entries = {}, .never_committed = true});
      });
      const absl::Status opened = after.Open();
      // Never what frames call committed, whatever others say.
      if (absl::IsDataLoss(opened)) continue;
      ASSERT_TRUE(opened.ok()) << opened;
      if (first == Index()) continue;
      ++dropped;
      std::vector<Entry> before = run_.log();
      before.resize(first.value() - 1);
      ASSERT_TRUE(SameEntries(after.recovered(), before));
      EXPECT_GT(after.wal().stats().entries_dropped, 0u);
      after.Append(Term(4), {100, 2000});
      after.RunUntilIdle();
      WalRun again(after, Everything);
      ASSERT_TRUE(again.Open().ok());
      ASSERT_EQ(again.WhyNotOf(after.Outcomes()), "");
    }
  }
  EXPECT_GT(dropped, 3);
}

// Others' bytes aren't taken on trust.
TEST_F(WalMendTest, ForeignEntriesAreNotTaken) {
  const NamedFile& file = segments_[1];
  std::string bytes = file.bytes;
  bytes[kSegmentHeaderBytes + 100] ^= 1;
  for (int how = 0; how < 3; ++how) {
    WalRun after(run_, Everything);
    after.disk().SetContents(file.name, bytes);
    int asked = 0;
    after.SetMend([&](const LogHole& hole, Term, ResultFn<Mended> done) {
      Mended mended;
      for (const Entry& e : run_.log()) {
        if (e.header.index >= hole.first && e.header.index <= hole.last) {
          mended.entries.push_back(e);
        }
      }
      Entry& e = mended.entries.front();
      if (++asked <= 2 && how == 0) e.header.chain ^= 1;
      if (asked <= 2 && how == 1) {
        e.payload = Buffer::Copy(std::string(e.payload.size(), 'x'));
      }
      if (asked <= 2 && how == 2) mended.entries.erase(mended.entries.begin());
      done(std::move(mended));
    });
    ASSERT_TRUE(after.Open().ok());
    EXPECT_EQ(asked, how == 2 && run_.log().empty() ? 0 : 3);
    EXPECT_TRUE(SameEntries(after.recovered(), run_.log()));
  }
}

// Nobody answers, or the process dies at any moment, or the power fails: the
// next start finds what this one found, or what it has mended.
TEST_F(WalMendTest, PowerFailsAtAnyMoment) {
  const auto survives = [](uint64_t choice) {
    return [choice](size_t write, size_t sector) {
      return ((write * 7 + sector * 13 + choice * 31) >> (choice % 3)) % 2 == 0;
    };
  };
  for (const NamedFile& file : segments_) {
    const size_t used = file.bytes.find_last_not_of('\0') + 1;
    for (size_t at = kSegmentHeaderBytes + 40; at < used; at += 1500) {
      for (bool drop : {false, true}) {
        for (size_t tasks = 0; tasks < 60; ++tasks) {
          SCOPED_TRACE(absl::StrCat(file.name, " at ", at, ", ", tasks,
                                    " tasks", drop ? ", dropped" : ""));
          WalRun after(run_, Everything);
          std::string bytes = file.bytes;
          bytes[at] ^= 8;
          after.disk().SetContents(file.name, bytes);
          Index first;
          if (drop) {
            after.SetMend(
                [&](const LogHole& hole, Term, ResultFn<Mended> done) {
                  first = hole.first;
                  done(Mended{.entries = {}, .never_committed = true});
                });
          } else {
            Help(&after);
          }
          after.OpenFor(tasks);
          for (uint64_t choice = 0; choice < 4; ++choice) {
            WalRun again(after, survives(choice));
            Help(&again);
            ASSERT_TRUE(again.Open().ok());
            const std::vector<Entry>& found = again.recovered();
            std::vector<Entry> expected = run_.log();
            if (first != Index() && found.size() < expected.size()) {
              expected.resize(first.value() - 1);
            }
            ASSERT_TRUE(SameEntries(found, expected));
            for (const std::string& name : again.disk().Names()) {
              ASSERT_FALSE(absl::EndsWith(name, ".new")) << name;
            }
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace holdfast
