// The same damage in a log that a checkpoint, or a resume point, stands for in
// part: only what they don't stand for is asked for.

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/wal/testing/damaged_log.h"
#include "engine/wal/testing/wal_run.h"
#include "engine/wal/wal.h"
#include "gtest/gtest.h"

namespace holdfast {
namespace {

class WalMendCheckpointTest : public DamagedLog {
 protected:
  // Nothing is left of the segment but its last frame, a mark.
  static void LeaveLastMark(uint64_t id, MemoryDisk* disk) {
    std::string bytes = disk->Contents(SegmentName(id));
    uint64_t last = 0;
    FindFrameIf(bytes, id, [&last](const FoundFrame& frame) {
      last = frame.position;
      return false;
    });
    bytes.replace(0, last, last, '\0');
    disk->SetContents(SegmentName(id), bytes);
  }
  // A log whose newest segment, the second one, has no mark yet: the next start
  // writes it anew.
  static void WriteTwoSegments(WalRun* run) {
    ASSERT_TRUE(run->Open().ok());
    run->SetHardStateAndAppend({Term(1), ServerId(1)}, {0, 100, 200});
    run->RunUntilIdle();
    ASSERT_TRUE(run->Reopen().ok());
    run->Append(Term(1), {300, 5000, 20});
    while (!run->all_persisted()) run->RunTasks(1);
  }
  // One by one, from files or memory.
  static void ExpectAllRead(const std::vector<Entry>& log, WalRun* run) {
    for (const Entry& e : log) {
      auto read = run->Read(e.header.index, 1);
      ASSERT_TRUE(read.ok()) << read.status();
      ASSERT_TRUE(SameEntries({read->front()}, {e}));
    }
  }
};

// Behind a checkpoint only what comes after it is asked for.
TEST_F(WalMendCheckpointTest, BehindACheckpoint) {
  for (Index index(1); index < run_.last().index; ++index) {
    for (const NamedFile& file : segments_) {
      const size_t used = file.bytes.find_last_not_of('\0') + 1;
      for (size_t at = 0; at < used; at += 211) {
        SCOPED_TRACE(absl::StrCat("behind ", index.value(), ": ", file.name,
                                  " at ", at));
        WalRun after(run_, Everything);
        after.SetCheckpoint(run_.PointAt(index));
        std::string bytes = file.bytes;
        bytes[at] ^= 2;
        after.disk().SetContents(file.name, bytes);
        Help(&after);
        asked_.clear();
        ASSERT_TRUE(after.Open().ok());
        for (const LogHole& hole : asked_) EXPECT_GT(hole.first, index);
        ASSERT_EQ(
            after.WhyNotOf({{run_.log(), run_.wal().hard_state(), LogPoint()}}),
            "");
        WalRun again(after, Everything);
        again.SetCheckpoint(run_.PointAt(index));
        ASSERT_TRUE(again.Open().ok());
        ASSERT_EQ(
            again.WhyNotOf({{run_.log(), run_.wal().hard_state(), LogPoint()}}),
            "");
      }
    }
  }
}

// The checkpoint is of a later term than all entries here: none of those behind
// it is of its log, so nobody is asked for them, whatever is damaged before the
// newest segment, whose header says how far the log went. Nor is anybody if
// nothing but that header is left of it, or the power fails at any moment.
TEST_F(WalMendCheckpointTest, AnOlderTermsLogBehindACheckpoint) {
  WalRun run(run_, Everything);
  ASSERT_TRUE(run.Open().ok());
  run.SetHardState({Term(5), ServerId()});
  run.RunUntilIdle();
  const NamedFile& newest = segments_.back();
  const auto header = DecodeSegmentHeader(
      absl::string_view(newest.bytes).substr(0, kSegmentHeaderBytes));
  ASSERT_TRUE(header.ok());
  size_t tasks = 0;
  for (Index index(1); index < header->previous.index; ++index) {
    LogPoint base = run_.PointAt(index);
    base.term = Term(5);
    base.chain ^= 1;
    for (const NamedFile& file : segments_) {
      for (const NamedFile& other : segments_) {
        if (file.name == newest.name || file.name == other.name) continue;
        SCOPED_TRACE(absl::StrCat("behind ", index.value(), ": ", file.name,
                                  " and ", other.name));
        WalRun after(run, Everything);
        after.SetCheckpoint(base);
        std::string bytes = file.bytes;
        bytes.replace(0, bytes.size(), bytes.size(), 'x');
        after.disk().SetContents(file.name, bytes);
        bytes = other.bytes;
        if (other.name == newest.name) {
          const size_t lost = bytes.size() - kSegmentHeaderBytes;
          bytes.replace(kSegmentHeaderBytes, lost, lost, '\0');
        } else {
          bytes[kSegmentHeaderBytes + 70] ^= 1;
        }
        after.disk().SetContents(other.name, bytes);
        // As a reset begins.
        const SegmentHeader empty{
            .owner = Incarnation(WalRun::kOwner), .id = 100, .previous = base};
        if (tasks % 2 == 0) {
          after.disk().SetContents(
              SegmentName(empty.id),
              std::string(EncodeSegmentHeader(empty).view()));
        }
        WalRun dying(after, Everything);
        Help(&after);
        const absl::Status opened = after.Open();
        ASSERT_TRUE(opened.ok()) << opened;
        EXPECT_TRUE(after.recovered().empty());
        EXPECT_EQ(after.wal().last_index(), index);
        dying.SetCheckpoint(base);
        dying.OpenFor(++tasks % 60);
        WalRun again(dying, [&](size_t op, size_t sector) {
          return (op + sector + tasks) % 3 != 0;
        });
        Help(&again);
        ASSERT_TRUE(again.Open().ok());
        EXPECT_TRUE(again.recovered().empty());
        EXPECT_TRUE(asked_.empty());
      }
    }
  }
  EXPECT_GT(tasks, 60u);
}

// But what was begun behind the checkpoint is its log, though segments are
// there still that it replaced, and though its header is lost with its first
// entries: those are asked for.
TEST_F(WalMendCheckpointTest, WhatReplacedAnOlderTermsLogStays) {
  for (Index index(1); index < run_.last().index; ++index) {
    for (size_t lost : {size_t{0}, size_t{kSegmentHeaderBytes},
                        size_t{kSegmentHeaderBytes + kBlockBytes}}) {
      SCOPED_TRACE(absl::StrCat("behind ", index.value(), ": ", lost));
      WalRun run(run_, Everything);
      ASSERT_TRUE(run.Open().ok());
      run.SetHardState({Term(5), ServerId(1)});
      run.CutAndAppend(index, Term(5), {0, 6000, 300, 20});
      run.RunUntilIdle();
      const std::vector<Entry> log = run.log();
      WalRun after(run, Everything);
      for (const NamedFile& file : segments_) {
        if (absl::c_linear_search(after.disk().Names(), file.name)) continue;
        after.disk().SetContents(file.name, file.bytes);
      }
      const std::string name = SegmentName(run.wal().SegmentStarts().back().id);
      std::string bytes = after.disk().Contents(name);
      bytes.replace(0, lost, lost, '\0');
      after.disk().SetContents(name, bytes);
      after.SetCheckpoint(run.PointAt(index + 1));
      HelpFrom(run, &after);
      const absl::Status opened = after.Open();
      ASSERT_TRUE(opened.ok()) << opened;
      EXPECT_EQ(after.WhyNotOf({{log, run.wal().hard_state(), LogPoint()}}),
                "");
      EXPECT_EQ(after.wal().last_index(), run.last().index);
    }
  }
}

// The checkpoint stands for all of the log, the newest segment has lost its
// header, and an earlier one can't be read: nothing of it is needed, nor is it
// after the power has failed at any moment of that start.
TEST_F(WalMendCheckpointTest, AllIsBehindTheCheckpoint) {
  const NamedFile& newest = segments_.back();
  for (size_t i = 0; i + 1 < segments_.size(); ++i) {
    for (size_t tasks = 1; tasks < 60; ++tasks) {
      SCOPED_TRACE(absl::StrCat(segments_[i].name, ", ", tasks, " tasks"));
      WalRun after(run_, Everything);
      after.SetCheckpoint(run_.last());
      std::string bytes = newest.bytes;
      bytes.replace(0, kSegmentHeaderBytes, kSegmentHeaderBytes, 'x');
      after.disk().SetContents(newest.name, bytes);
      after.disk().Refuse(segments_[i].name, kSegmentHeaderBytes,
                          segments_[i].bytes.size());
      Help(&after);
      after.OpenFor(tasks);
      WalRun again(after, [&](size_t op, size_t sector) {
        return (op + sector + tasks) % 3 != 0;
      });
      if (absl::c_linear_search(again.disk().Names(), segments_[i].name)) {
        again.disk().Refuse(segments_[i].name, kSegmentHeaderBytes,
                            segments_[i].bytes.size());
      }
      Help(&again);
      const absl::Status opened = again.Open();
      ASSERT_TRUE(opened.ok()) << opened;
      EXPECT_TRUE(again.recovered().empty());
      EXPECT_EQ(again.wal().last_index(), run_.last().index);
      EXPECT_TRUE(asked_.empty());
    }
  }
}

// A start from a resume point doesn't read what is before it; but it looks
// whether all segments are there.
TEST_F(WalMendCheckpointTest, HeadersBeforeAResumePoint) {
  for (Index at(1); at <= run_.last().index; ++at) {
    const WalResume resume = run_.ResumeAt(at);
    for (const NamedFile& file : segments_) {
      for (size_t damaged : {0, 50, 4090}) {
        for (bool truncated : {false, true}) {
          SCOPED_TRACE(absl::StrCat("resume at ", at.value(), ": ", file.name,
                                    " at ", damaged));
          // Of the newest one's end nothing else tells.
          if (truncated && file.name == segments_.back().name) continue;
          WalRun after(run_, Everything);
          after.SetResume(resume);
          std::string bytes = file.bytes;
          bytes[damaged] ^= 1;
          if (truncated) bytes.resize(damaged);
          after.disk().SetContents(file.name, bytes);
          if (absl::Status alone = after.Open(); !alone.ok()) {
            ASSERT_EQ(alone.code(), absl::StatusCode::kDataLoss) << alone;
            Help(&after);
            ASSERT_TRUE(after.Reopen().ok());
          }
          ASSERT_NO_FATAL_FAILURE(ExpectAllRead(run_.log(), &after));
          WalRun again(after, Everything);
          again.SetResume(resume);
          ASSERT_TRUE(again.Open().ok());
        }
      }
    }
  }
}

// The start after a resume point was made wrote the segment anew in which it
// stood: that one begins where that stood, though its header is lost.
TEST_F(WalMendCheckpointTest, WhatWasWrittenAnewSinceAResumePoint) {
  WalRun run;
  ASSERT_NO_FATAL_FAILURE(WriteTwoSegments(&run));
  const WalResume resume = run.ResumeAt(run.last().index);
  ASSERT_EQ(resume.segments.size(), 2u);
  WalRun anew(run, Everything);
  ASSERT_TRUE(anew.Open().ok());
  anew.Append(Term(1), {40, 50});
  anew.RunUntilIdle();
  ASSERT_TRUE(anew.all_persisted());
  WalRun after(anew, Everything);
  const uint64_t id = resume.segments.back().id;
  ASSERT_FALSE(absl::c_linear_search(after.disk().Names(), SegmentName(id)));
  const std::vector<SegmentStart> starts = anew.wal().SegmentStarts();
  LeaveLastMark(starts[1].id, &after.disk());
  after.SetResume(resume);
  HelpFrom(anew, &after);
  const absl::Status opened = after.Open();
  ASSERT_TRUE(opened.ok()) << opened;
  ASSERT_NO_FATAL_FAILURE(ExpectAllRead(anew.log(), &after));
}

// The same, with nothing left of the segment that was written anew, but for a
// later one that goes on behind it.
TEST_F(WalMendCheckpointTest, NothingLeftOfWhatWasWrittenAnew) {
  WalRun run;
  ASSERT_NO_FATAL_FAILURE(WriteTwoSegments(&run));
  const WalResume resume = run.ResumeAt(run.last().index);
  WalRun anew(run, Everything);
  ASSERT_TRUE(anew.Open().ok());
  anew.Append(Term(1), {40, 50});
  anew.Append(Term(1), std::vector<size_t>(9, 4000));
  anew.RunUntilIdle();
  const std::vector<SegmentStart> starts = anew.wal().SegmentStarts();
  ASSERT_GE(starts.size(), 3u);
  const std::string name = SegmentName(starts[1].id);
  const std::string bytes = anew.disk().Contents(name);
  for (size_t left : {0, 1530, 4095}) {
    for (bool zeroes : {false, true}) {
      for (bool deleted : {false, true}) {
        SCOPED_TRACE(absl::StrCat(left, zeroes ? " zeroes" : " bytes",
                                  deleted ? ", deleted" : ""));
        WalRun after(anew, Everything);
        after.disk().SetContents(
            name, zeroes ? std::string(left, '\0') : bytes.substr(0, left));
        if (deleted) after.disk().Delete(name);
        after.SetResume(resume);
        HelpFrom(anew, &after);
        const absl::Status opened = after.Open();
        ASSERT_TRUE(opened.ok()) << opened;
        ASSERT_NO_FATAL_FAILURE(ExpectAllRead(anew.log(), &after));
      }
    }
  }
}

// Of what stands before a resume point nothing is left, be it the files' names,
// and of the segment behind it but the last mark: that one begins behind the
// resume point then.
TEST_F(WalMendCheckpointTest, AllFilesBeforeAResumePoint) {
  const std::vector<SegmentStart> starts = run_.wal().SegmentStarts();
  int emptied = 0;
  for (size_t holder = 0; holder + 1 < starts.size(); ++holder) {
    const Index end = starts[holder + 1].first - 1;
    for (Index at = starts[holder].first; at <= end; ++at) {
      SCOPED_TRACE(at.value());
      for (const bool gone : {false, true}) {
        WalRun after(run_, Everything);
        after.SetResume(run_.ResumeAt(at));
        for (size_t i = 0; i <= holder; ++i, ++emptied) {
          after.disk().SetContents(SegmentName(starts[i].id), "");
          if (gone) after.disk().Delete(SegmentName(starts[i].id));
        }
        if (holder + 2 < starts.size()) {
          LeaveLastMark(starts[holder + 1].id, &after.disk());
        }
        HelpFrom(run_, &after);
        const absl::Status opened = after.Open();
        ASSERT_TRUE(opened.ok()) << opened;
        ASSERT_NO_FATAL_FAILURE(ExpectAllRead(run_.log(), &after));
      }
    }
  }
  EXPECT_GT(emptied, 10);
}

// The newest segment, which held the resume point, ends before it, or is gone,
// be it with its name, also where a checkpoint stands for the first entries of
// it: nobody knows what this server has acknowledged behind the resume point,
// so the start is refused, and nothing is changed, also one without the map.
TEST_F(WalMendCheckpointTest, ANewestSegmentThatEndsBeforeTheResumePoint) {
  const NamedFile& newest = segments_.back();
  const Index first = run_.wal().SegmentStarts().back().first;
  const size_t used = newest.bytes.find_last_not_of('\0') + 1;
  int refused = 0;
  for (Index at = first; at <= run_.last().index; ++at) {
    for (Index base; base < at; ++base) {
      for (size_t left = 0; left < used; left += left < 4096 ? 1024 : 301) {
        for (const bool gone : {false, true}) {
          if (gone && left > 0) continue;
          SCOPED_TRACE(absl::StrCat("resume at ", at.value(), ", base ",
                                    base.value(), ", left ", left,
                                    gone ? ", gone" : ""));
          WalRun after(run_, Everything);
          after.SetResume(run_.ResumeAt(at));
          if (base > Index(0)) after.SetCheckpoint(run_.PointAt(base));
          after.disk().SetContents(newest.name, newest.bytes.substr(0, left));
          if (gone) after.disk().Delete(newest.name);
          HelpFrom(run_, &after);
          const std::vector<std::string> names = after.disk().Names();
          const absl::Status opened = after.Open();
          if (opened.ok()) {
            // Enough is left.
            ASSERT_GE(after.wal().last_index(), at);
            continue;
          }
          ++refused;
          ASSERT_TRUE(absl::IsDataLoss(opened)) << opened;
          after.SetResume({.point = run_.PointAt(at), .segments = {}});
          const absl::Status again = after.Reopen();
          ASSERT_TRUE(absl::IsDataLoss(again)) << again;
          ASSERT_EQ(after.disk().Names(), names);
        }
      }
    }
  }
  EXPECT_GT(refused, 10);
}

// A resume point without segments says only how far the log went: where it
// doesn't, or has an entry of another term there, the start is refused, and
// nothing is changed.
TEST_F(WalMendCheckpointTest, ALogMustGoAsFarAsItsResumePoint) {
  const LogPoint last = run_.last();
  WalResume point{.point = last, .segments = {}};
  WalRun whole(run_, Everything);
  whole.SetResume(point);
  ASSERT_TRUE(whole.Open().ok());
  EXPECT_TRUE(SameEntries(whole.recovered(), run_.log()));
  WalRun shorter(run_, Everything);
  ++point.point.index;
  shorter.SetResume(point);
  EXPECT_TRUE(absl::IsDataLoss(shorter.Open()));
  WalRun other(run_, Everything);
  point.point = last;
  ++point.point.term;
  other.SetResume(point);
  EXPECT_TRUE(absl::IsDataLoss(other.Open()));
  EXPECT_EQ(other.disk().Names(), run_.disk().Names());
}

}  // namespace
}  // namespace holdfast
