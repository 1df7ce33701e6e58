// Damage that shows while the log is open: by a read, or by looking for it.

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "engine/base/lost_records.h"
#include "engine/wal/testing/damaged_log.h"
#include "engine/wal/testing/wal_run.h"
#include "engine/wal/wal.h"
#include "gtest/gtest.h"

namespace holdfast {
namespace {

class WalMendRunningTest : public DamagedLog {
 protected:
  // The last segment's end: its last entry, and the marks behind it that are
  // intact and follow each other.
  struct End {
    std::string name;
    FoundFrame entry;
    std::vector<FoundFrame> marks;
  };
  static End EndOf(WalRun* run) {
    End end;
    for (const std::string& name : run->disk().Names()) {
      if (!ParseSegmentName(name).has_value()) continue;
      const std::string bytes = run->disk().Contents(name);
      const absl::StatusOr<SegmentHeader> header = DecodeSegmentHeader(
          absl::string_view(bytes).substr(0, kSegmentHeaderBytes));
      if (!header.ok()) continue;  // spare
      end = End{.name = name};
      for (const FoundFrame& frame : ScanSegment(bytes, *header).frames) {
        if (frame.header.kind == FrameKind::kMark) {
          end.marks.push_back(frame);
        } else {
          end.entry = frame;
          end.marks.clear();
        }
      }
    }
    return end;
  }
  // Also those that stand behind damage.
  static size_t MarksIn(WalRun* run, const std::string& name) {
    const std::string bytes = run->disk().Contents(name);
    size_t marks = 0;
    FindFrameIf(bytes, *ParseSegmentName(name), [&marks](const FoundFrame& f) {
      if (f.header.kind == FrameKind::kMark) ++marks;
      return false;
    });
    return marks;
  }
  // Scrubs the whole log, so much at once.
  static void Pass(WalRun* run, size_t at_once) {
    for (bool end = false; !end;) {
      bool done = false;
      run->wal().Scrub(at_once, [&](absl::StatusOr<Wal::Scrubbed> s) {
        done = true;
        end = s->reached_end;
      });
      run->RunUntilIdle();
      if (!done) return;
    }
  }
  static void SetNobody(WalRun* run) {
    run->SetMend([](const LogHole&, Term, ResultFn<Mended> done) {
      ADD_FAILURE() << "others were asked";
      done(absl::UnavailableError("nobody answers"));
    });
  }
  // A segment, with marks at its end.
  static void WriteAndRest(WalRun* run) {
    SetNobody(run);
    ASSERT_TRUE(run->Open().ok());
    run->SetHardStateAndAppend({Term(1), ServerId(1)}, {0, 100, 500});
    run->RunUntilIdle();
    ASSERT_TRUE(run->all_persisted());
  }
  // Of what a power failure leaves, either mark and the last entry may decay:
  // all of it is there again.
  static void ExpectTold(const WalRun& run) {
    for (const size_t mark : {0, 1}) {
      WalRun again(run, Everything);
      const End end = EndOf(&again);
      ASSERT_EQ(end.marks.size(), 2u);
      again.disk().Flip(end.name, end.marks[mark].position + 8, 1);
      again.disk().Flip(end.name, end.entry.position + 70, 1);
      HelpFrom(run, &again);
      ASSERT_TRUE(again.Open().ok());
      ASSERT_TRUE(SameEntries(again.recovered(), run.log()));
    }
  }
};

// Damage that is found when it is read, in a log that is being written.
TEST_F(WalMendRunningTest, Reading) {
  for (const NamedFile& file : segments_) {
    const size_t used = file.bytes.find_last_not_of('\0') + 1;
    for (size_t at = kSegmentHeaderBytes; at < used; at += 97) {
      SCOPED_TRACE(absl::StrCat(file.name, " at ", at));
      WalRun after(run_, Everything);
      Help(&after, 1 + at % 3);
      ASSERT_TRUE(after.Open().ok());
      after.disk().Flip(file.name, at, 1);
      size_t done = 0;
      for (Index i(1); i <= run_.last().index; ++i) {
        after.wal().Read(i, 3000, [&, i](auto read) {
          ASSERT_TRUE(read.ok()) << read.status();
          for (const Entry& e : *read) {
            const Entry& expected = run_.log()[e.header.index.value() - 1];
            ASSERT_TRUE(SameEntries({e}, {expected}));
          }
          ASSERT_EQ(read->front().header.index, i);
          ++done;
        });
        if (i == Index(5)) after.Append(Term(4), {100, 3000});
      }
      after.Append(Term(4), {10});
      after.RunUntilIdle();
      ASSERT_EQ(done, run_.last().index.value());
      // A second time from the file as it is now.
      for (Index i(1); i <= after.last().index; ++i) {
        ASSERT_TRUE(after.Read(i, 1).ok()) << i.value();
      }
      ASSERT_TRUE(after.all_persisted());
      WalRun again(after, Everything);
      ASSERT_TRUE(again.Open().ok());
      ASSERT_EQ(again.WhyNotOf(after.Outcomes()), "");
    }
  }
  EXPECT_GT(asked_.size(), 100u);
}

// The segment that is written to: the next entries begin another one.
TEST_F(WalMendRunningTest, ReadingTheSegmentThatIsWritten) {
  WalRun run;
  ASSERT_TRUE(run.Open().ok());
  run.SetHardStateAndAppend({Term(1), ServerId(1)}, {0, 100, 500});
  run.RunUntilIdle();
  const std::vector<Entry> log = run.log();
  const std::string name = SegmentName(1);
  for (size_t at = kSegmentHeaderBytes; at < kSegmentHeaderBytes + 900;
       at += 50) {
    SCOPED_TRACE(at);
    WalRun after(run, Everything);
    after.SetMend([&](const LogHole& hole, Term, ResultFn<Mended> done) {
      auto at_index = [&](Index i) {
        return log.begin() + static_cast<ptrdiff_t>(i.value() - 1);
      };
      done(Mended{.entries = {at_index(hole.first), at_index(hole.last + 1)}});
    });
    ASSERT_TRUE(after.Open().ok());
    after.SetHardStateAndAppend({Term(2), ServerId(1)}, {0, 300, 20});
    after.RunUntilIdle();
    const uint64_t begun = after.wal().stats().segments_begun;
    after.disk().Flip(name, at, 1);
    for (Index i(1); i <= after.last().index; ++i) {
      ASSERT_TRUE(after.Read(i, 1).ok()) << i.value();
    }
    after.Append(Term(2), {40});
    after.RunUntilIdle();
    ASSERT_TRUE(after.all_persisted());
    ASSERT_GE(after.wal().stats().segments_begun, begun);
    WalRun again(after, Everything);
    ASSERT_TRUE(again.Open().ok());
    ASSERT_EQ(again.WhyNotOf(after.Outcomes()), "");
  }
}

// A new leader replaces all of it that stands behind the checkpoint, at each
// moment of its being written anew.
TEST_F(WalMendRunningTest, CutToTheCheckpointMeanwhile) {
  WalRun run;
  ASSERT_TRUE(run.Open().ok());
  run.SetHardStateAndAppend({Term(1), ServerId(1)}, {0, 100, 500, 50, 60});
  run.set_commit_max(Index(3));
  run.RunUntilIdle();
  const std::string name = SegmentName(1);
  uint64_t mended = 0;
  for (size_t tasks = 0; tasks < 40; ++tasks) {
    SCOPED_TRACE(tasks);
    WalRun after(run, Everything);
    HelpFrom(run, &after);
    after.SetCheckpoint(run.PointAt(Index(3)));
    ASSERT_TRUE(after.Open().ok());
    after.SetHardState({Term(2), ServerId(2)});
    after.RunUntilIdle();
    const size_t used = after.disk().Contents(name).find_last_not_of('\0');
    after.disk().Flip(name, kSegmentHeaderBytes + 900, 1);
    ASSERT_LT(kSegmentHeaderBytes + 900, used);
    after.wal().Read(Index(4), 1000, [](auto) {});
    after.wal().Read(Index(5), 1000, [](auto) {});
    after.RunTasks(tasks);
    after.CutAndAppend(Index(3), Term(2), {70, 80});
    after.RunUntilIdle();
    ASSERT_TRUE(after.all_persisted());
    mended += after.wal().stats().segments_mended;
    for (Index i(4); i <= Index(5); ++i) {
      const auto read = after.Read(i, 1);
      ASSERT_TRUE(read.ok()) << read.status();
      EXPECT_EQ(read->front().header.term, Term(2));
    }
    WalRun again(after, Everything);
    ASSERT_TRUE(again.Open().ok());
    ASSERT_EQ(again.WhyNotOf(after.Outcomes()), "");
  }
  EXPECT_GT(mended, 0u);
}

// The device refuses a block, and while the others around it are read, one of
// them once: only what the first one held is missing.
TEST_F(WalMendRunningTest, AnotherBlockIsRefusedOnce) {
  const NamedFile& file = segments_[0];
  const size_t from = 3 * kBlockBytes;
  ASSERT_GT(file.bytes.size(), from + kBlockBytes);
  std::optional<LogHole> missing;
  for (uint64_t reads = 0; reads < 20; ++reads) {
    SCOPED_TRACE(reads);
    WalRun after(run_, Everything);
    std::vector<LogHole> holes;
    after.SetMend([&](const LogHole& hole, Term, ResultFn<Mended> done) {
      holes.push_back(hole);
      done(absl::UnavailableError("nobody answers"));
    });
    ASSERT_TRUE(after.Open().ok());
    after.disk().Refuse(file.name, from, from + kBlockBytes);
    // The first time, none.
    if (reads > 0) after.disk().FailAt(after.disk().completions() + reads);
    EXPECT_FALSE(after.Read(run_.log()[4].header.index, 1).ok());
    ASSERT_EQ(holes.size(), 1u);
    if (!missing.has_value()) missing = holes[0];
    EXPECT_EQ(holes[0].first, missing->first);
    EXPECT_EQ(holes[0].last, missing->last);
  }
}

// Who can't be helped hears so, and asks again.
TEST_F(WalMendRunningTest, ReadingWithoutHelp) {
  WalRun after(run_, Everything);
  int asked = 0;
  after.SetMend([&](const LogHole&, Term, ResultFn<Mended> done) {
    ++asked;
    if (asked < 3) return done(absl::UnavailableError("nobody has them"));
    done(Mended{.entries = {run_.log()[0]}});
  });
  ASSERT_TRUE(after.Open().ok());
  after.disk().Flip(segments_[0].name, kSegmentHeaderBytes + 70, 1);
  for (int i = 1; i <= 2; ++i) {
    EXPECT_EQ(after.Read(Index(1), 1).status().code(),
              absl::StatusCode::kUnavailable);
    EXPECT_EQ(asked, i);
  }
  EXPECT_TRUE(after.Read(Index(1), 1).ok());
  EXPECT_EQ(asked, 3);
}

// What nobody has: its readers hear which records these are, just those, and
// all others are read. Once somebody has it, it is mended as ever.
TEST_F(WalMendRunningTest, WhatNobodyHasIsLostAndAllElseIsRead) {
  const auto entry = [this](Index i) -> const Entry& {
    return run_.log()[i.value() - 1];
  };
  size_t lost_entries = 0;
  for (const NamedFile& file : segments_) {
    const size_t used = file.bytes.find_last_not_of('\0') + 1;
    for (size_t at = kSegmentHeaderBytes; at < used; at += 397) {
      SCOPED_TRACE(absl::StrCat(file.name, " at ", at));
      WalRun after(run_, Everything);
      bool helps = false;
      after.SetMend([&](const LogHole& hole, Term, ResultFn<Mended> done) {
        if (!helps) return done(Mended{.entries = {}, .lost_to = hole.last});
        done(Mended{.entries = {entry(hole.first)}});
      });
      ASSERT_TRUE(after.Open().ok());
      // In one or two places, up to three blocks apart.
      const size_t other = std::min(used - 1, at + (at % 4) * 4096);
      after.disk().Flip(file.name, at, 1);
      if (other != at) after.disk().Flip(file.name, other, 1);
      std::vector<Index> lost;
      std::vector<LostRecords> said;
      for (Index i(1); i <= run_.last().index; ++i) {
        const auto read = after.Read(i, 3000);
        if (read.ok()) {
          for (size_t n = 0; n < read->size(); ++n) {
            ASSERT_TRUE(SameEntries({(*read)[n]}, {entry(i + n)}));
          }
          continue;
        }
        const std::optional<LostRecords> records = LostRecordsOf(read.status());
        ASSERT_TRUE(records.has_value()) << read.status();
        if (said.empty() || said.back() != *records) {
          said.push_back(*records);
          EXPECT_EQ(records->first, entry(i).header.base_offset);
          const EntryHeader& last = entry(records->last_index).header;
          EXPECT_EQ(records->end, last.base_offset + last.count);
        }
        EXPECT_LE(i, records->last_index);
        lost.push_back(i);
      }
      // A flipped bit takes one entry, and, in a frame's header, the one behind
      // it, for which nothing speaks any more.
      EXPECT_LE(lost.size(), other == at ? 2u : 4u);
      EXPECT_EQ(after.wal().lost(), said);
      EXPECT_EQ(after.wal().stats().entries_lost, lost.size());
      // Without it, the file is mended by what is left.
      EXPECT_LE(after.wal().stats().segments_mended, lost.empty() ? 1u : 0u);
      lost_entries += lost.size();
      // The log goes on.
      after.Append(Term(4), {10});
      after.RunUntilIdle();
      ASSERT_TRUE(after.all_persisted());
      helps = true;
      for (Index i(1); i <= run_.last().index; ++i) {
        ASSERT_TRUE(after.Read(i, 1).ok()) << i.value();
      }
      EXPECT_TRUE(after.wal().lost().empty());
    }
  }
  EXPECT_GT(lost_entries, 50u);
}

// What stands behind a damaged frame's header is given to whoever knows the
// entry before it, by whose hash it is known; to others only in a frame that is
// whole.
TEST_F(WalMendRunningTest, WhatIsGivenToOthersBehindDamage) {
  const SegmentHeader header =
      *DecodeSegmentHeader(segments_[0].bytes.substr(0, kSegmentHeaderBytes));
  std::vector<FoundFrame> frames;
  for (const FoundFrame& f : ScanSegment(segments_[0].bytes, header).frames) {
    if (f.header.kind == FrameKind::kEntry) frames.push_back(f);
  }
  ASSERT_GE(frames.size(), 4u);
  const auto read = [](WalRun* run, Index first, bool behind_gap) {
    WholeEntries found;
    run->wal().ReadWhole(first, 1, behind_gap,
                         [&found](absl::StatusOr<WholeEntries> whole) {
                           ASSERT_TRUE(whole.ok()) << whole.status();
                           found = *std::move(whole);
                         });
    run->RunUntilIdle();
    return found;
  };
  for (const bool of_header : {true, false}) {
    WalRun after(run_, Everything);
    ASSERT_TRUE(after.Open().ok());
    const size_t at = of_header ? 8 : kLogFrameHeaderBytes + 8;
    after.disk().Flip(segments_[0].name, frames[1].position + at, 1);
    const Index damaged = frames[1].header.index;
    EXPECT_TRUE(read(&after, damaged, false).entries.empty());
    EXPECT_EQ(read(&after, damaged, false).damaged_to, damaged);
    EXPECT_EQ(read(&after, damaged, true).damaged_to,
              of_header ? damaged + 1 : damaged);
    EXPECT_EQ(read(&after, damaged + 1, false).entries.size(), 1u);
    EXPECT_EQ(read(&after, damaged + 1, true).entries.size(),
              of_header ? 0u : 1u);
    EXPECT_EQ(read(&after, damaged + 2, true).entries.size(), 1u);
  }
}

// While it isn't certain, nothing is called lost; but what is whole is read.
TEST_F(WalMendRunningTest, WhatIsWholeIsReadThoughNobodyHelps) {
  WalRun after(run_, Everything);
  after.SetMend([](const LogHole&, Term, ResultFn<Mended> done) {
    done(absl::UnavailableError("server 2 doesn't answer"));
  });
  ASSERT_TRUE(after.Open().ok());
  // All entries of the first segment but its first one.
  const Index last = after.wal().SegmentStarts()[1].first - 1;
  ASSERT_GT(last, Index(2));
  after.disk().Flip(segments_[0].name, kSegmentHeaderBytes + 70, 1);
  const absl::Status why = after.Read(Index(1), 1).status();
  EXPECT_EQ(why.message(), "server 2 doesn't answer");
  const EntryHeader& first = run_.log()[0].header;
  EXPECT_EQ(MissingRecordsOf(why),
            (LostRecords{first.base_offset, first.base_offset + first.count,
                         first.index}));
  EXPECT_FALSE(LostRecordsOf(why).has_value());
  for (Index i(2); i <= last; ++i) {
    const auto read = after.Read(i, 1);
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_TRUE(SameEntries({read->front()}, {run_.log()[i.value() - 1]}));
  }
  EXPECT_TRUE(after.wal().lost().empty());
}

// What is damaged while the log is open is found by looking at all of it, at
// whatever pace, and mended.
TEST_F(WalMendRunningTest, Scrubbing) {
  const uint64_t last_marks = EndOf(&run_).marks.front().position;
  for (const NamedFile& file : segments_) {
    const size_t used = file.bytes.find_last_not_of('\0') + 1;
    for (size_t at = 0; at < used; at += at < 80 ? 13 : 701) {
      SCOPED_TRACE(absl::StrCat(file.name, " at ", at));
      WalRun after(run_, Everything);
      Help(&after);
      ASSERT_TRUE(after.Open().ok());
      Pass(&after, at % 2 == 0 ? 1 : 1 << 20);
      ASSERT_EQ(after.wal().stats().scrub_found, 0u);
      after.disk().Flip(file.name, at, 0x20);
      Pass(&after, at % 2 == 0 ? 1 : 1 << 20);
      // Of what isn't an entry, only headers matter, and the log's last marks.
      const uint64_t found = after.wal().stats().scrub_found;
      EXPECT_EQ(after.wal().stats().segments_mended, found);
      if (file.name == segments_.back().name && at >= last_marks) {
        EXPECT_EQ(found, 1u);
      }
      mended_ += static_cast<int>(found);
      Pass(&after, 4096);
      ASSERT_EQ(after.wal().stats().scrub_found, found);
      WalRun again(after, Everything);
      ASSERT_TRUE(again.Open().ok());
      ASSERT_TRUE(SameEntries(again.recovered(), run_.log()));
    }
  }
  EXPECT_GT(mended_, 30);
}

// One of them, the other one, or both at once, in a segment that is written to
// or that a start has found; nobody is asked. What decays then before them
// isn't taken for a torn tail.
TEST_F(WalMendRunningTest, ScrubbingMendsTheLastMarks) {
  for (const bool restarted : {false, true}) {
    for (const int which : {1, 2, 3}) {
      for (const size_t at : {size_t{8}, kLogFrameHeaderBytes + 1}) {
        SCOPED_TRACE(absl::StrCat(restarted, " ", which, " ", at));
        WalRun run;
        ASSERT_NO_FATAL_FAILURE(WriteAndRest(&run));
        if (restarted) {
          ASSERT_TRUE(run.Reopen().ok());
        }
        Pass(&run, 4096);
        const End end = EndOf(&run);
        ASSERT_EQ(end.marks.size(), 2u);
        for (int mark : {0, 1}) {
          if ((which & (1 << mark)) == 0) continue;
          run.disk().Flip(end.name, end.marks[mark].position + at, 1);
        }
        for (int pass = 0; pass < 2; ++pass) {
          Pass(&run, 4096);
          ASSERT_EQ(run.wal().stats().scrub_found, 1u);
          ASSERT_EQ(run.wal().stats().scrub_unmarked, 0u);
          ASSERT_EQ(run.wal().stats().segments_mended, 1u);
        }
        ASSERT_NO_FATAL_FAILURE(ExpectTold(run));
        run.Append(Term(1), {40});
        run.RunUntilIdle();
        ASSERT_TRUE(run.all_persisted());
        WalRun again(run, Everything);
        ASSERT_TRUE(again.Open().ok());
        ASSERT_EQ(again.WhyNotOf(run.Outcomes()), "");
      }
    }
  }
}

// A start couldn't tell whether that was all.
TEST_F(WalMendRunningTest, ScrubbingMendsALastMarkThatIsRefused) {
  WalRun run;
  ASSERT_NO_FATAL_FAILURE(WriteAndRest(&run));
  const End end = EndOf(&run);
  ASSERT_EQ(end.marks.size(), 2u);
  const uint64_t at = end.marks[1].position;
  run.disk().Refuse(end.name, at, at + kBlockBytes);
  Pass(&run, 4096);
  EXPECT_EQ(run.wal().stats().scrub_found, 1u);
  EXPECT_EQ(run.wal().stats().segments_mended, 1u);
  ExpectTold(run);
}

// It leaves the one of two that isn't damaged, which still tells the log's end.
TEST_F(WalMendRunningTest, ScrubbingMarksWhatAStartLeftWithoutMarks) {
  WalRun before;
  ASSERT_NO_FATAL_FAILURE(WriteAndRest(&before));
  const End end = EndOf(&before);
  ASSERT_EQ(end.marks.size(), 2u);
  for (const FoundFrame& mark : end.marks) {
    WalRun run(before, Everything);
    SetNobody(&run);
    run.disk().Flip(end.name, mark.position + 8, 1);
    ASSERT_TRUE(run.Open().ok());
    ASSERT_EQ(MarksIn(&run, end.name), MarksIn(&before, end.name) - 1);
    for (int pass = 0; pass < 2; ++pass) {
      Pass(&run, 4096);
      ASSERT_EQ(run.wal().stats().scrub_found, 0u);
      ASSERT_EQ(run.wal().stats().scrub_unmarked, 1u);
      ASSERT_EQ(run.wal().stats().segments_mended, 1u);
    }
    EXPECT_EQ(EndOf(&run).name, end.name);
    EXPECT_EQ(EndOf(&run).marks.size(), 2u);
  }
}

// Entries come behind marks that are being looked at. In the same segment they
// need them still; with the next one, nobody does.
TEST_F(WalMendRunningTest, AppendedWhileTheLastMarksAreScrubbed) {
  for (const bool same_segment : {true, false}) {
    SCOPED_TRACE(same_segment);
    WalRun run;
    ASSERT_NO_FATAL_FAILURE(WriteAndRest(&run));
    const End end = EndOf(&run);
    ASSERT_EQ(end.marks.size(), 2u);
    run.disk().Flip(end.name, end.marks[1].position + 8, 1);
    // All before the second one.
    ASSERT_EQ(end.marks[1].position, 2 * kSegmentHeaderBytes);
    run.wal().Scrub(1, [](absl::StatusOr<Wal::Scrubbed> scrubbed) {
      EXPECT_FALSE(scrubbed->reached_end);
    });
    run.RunUntilIdle();
    run.Append(Term(1), {same_segment ? size_t{300} : size_t{9000}});
    run.RunUntilIdle();
    ASSERT_EQ(EndOf(&run).name != end.name, !same_segment);
    Pass(&run, 1);
    const uint64_t found = same_segment ? 1 : 0;
    EXPECT_EQ(run.wal().stats().scrub_found, found);
    EXPECT_EQ(run.wal().stats().segments_mended, found);
    for (Index i(1); i <= run.last().index; ++i) {
      ASSERT_TRUE(run.Read(i, 1).ok()) << i.value();
    }
    WalRun again(run, Everything);
    ASSERT_TRUE(again.Open().ok());
    ASSERT_EQ(again.WhyNotOf(run.Outcomes()), "");
  }
}

}  // namespace
}  // namespace holdfast
