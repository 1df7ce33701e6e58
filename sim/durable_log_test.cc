#include "sim/durable_log.h"

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/wal/segment.h"
#include "gtest/gtest.h"
#include "sim/file_image.h"

namespace holdfast {
namespace {

// A directory with segments, whose changes are numbered as a disk does.
class DurableLogTest : public ::testing::Test {
 protected:
  struct Segment {
    std::shared_ptr<FileImage> file = std::make_shared<FileImage>(64 << 10);
    SegmentHeader header;
    FrameWriter writer;
    LogPoint last;
  };

  // Begun behind `previous`; neither name nor header are synced.
  Segment Begin(uint64_t id, const LogPoint& previous) {
    Segment segment;
    segment.header = {.owner = Incarnation(7), .id = id, .previous = previous};
    segment.writer = FrameWriter(segment.header);
    segment.last = previous;
    disk_.Add(++number_, SegmentName(id), segment.file);
    segment.file->Write(++number_, 0, {EncodeSegmentHeader(segment.header)});
    return segment;
  }
  void Append(Segment* segment, Term term, const std::string& payload) {
    Entry entry = SealEntry(segment->last, term, EntryKind::kNoOp, 0,
                            WallTime(), Buffer::Copy(payload));
    const uint64_t at = segment->writer.position();
    Buffers out;
    segment->writer.AppendEntry(entry, at, Index(0), &out);
    segment->file->Write(++number_, at, std::move(out));
    segment->last = PointAfter(entry.header);
  }
  void Mark(Segment* segment) {
    const uint64_t at = segment->writer.position();
    Buffers out;
    segment->writer.AppendMark(at, Index(0), &out);
    segment->file->Write(++number_, at, std::move(out));
  }
  // As the device has it.
  void Rot(const Segment& segment, uint64_t at) {
    Buffer byte = segment.file->durable().Read(at, 1);
    *byte.data_mutable() ^= 1;
    segment.file->Overwrite(at, byte);
    log_.UpdateWhole(disk_);
  }
  void Sync(const Segment& segment) {
    segment.file->SyncBefore(number_ + 1);
    disk_.SyncBefore(number_ + 1);
  }
  bool Has(uint64_t index, uint64_t term) {
    log_.Update(disk_);
    // As a start would see it, which has read nothing before.
    DurableLog fresh;
    fresh.Update(disk_);
    EXPECT_EQ(fresh.Has(Index(index), Term(term)),
              log_.Has(Index(index), Term(term)));
    return log_.Has(Index(index), Term(term));
  }

  NameTable disk_;
  uint64_t number_ = 0;
  DurableLog log_;
};

TEST_F(DurableLogTest, HasWhatIsSyncedInAFileWhoseNameIs) {
  Segment segment = Begin(1, LogPoint());
  Append(&segment, Term(1), "one");
  EXPECT_FALSE(Has(1, 1));
  segment.file->SyncBefore(number_ + 1);
  EXPECT_FALSE(Has(1, 1));  // its name may be lost
  disk_.SyncBefore(number_ + 1);
  EXPECT_TRUE(Has(1, 1));
  EXPECT_FALSE(Has(1, 2));
  Append(&segment, Term(2), "two");
  EXPECT_FALSE(Has(2, 2));
  Sync(segment);
  EXPECT_TRUE(Has(2, 2));
  EXPECT_TRUE(Has(1, 1));
  EXPECT_FALSE(Has(3, 2));
}

TEST_F(DurableLogTest, HasNothingBehindADamagedFrame) {
  Segment segment = Begin(1, LogPoint());
  Append(&segment, Term(1), "one");
  Append(&segment, Term(1), std::string(3000, 'x'));
  const uint64_t torn = segment.writer.position() - 600;
  Append(&segment, Term(1), "three");
  segment.file->Write(++number_, torn, {Buffer::Zeroes(512)});
  Sync(segment);
  EXPECT_TRUE(Has(1, 1));
  EXPECT_FALSE(Has(2, 1));
  EXPECT_FALSE(Has(3, 1));
}

TEST_F(DurableLogTest, ALaterSegmentReplacesWhatItBeginsBehind) {
  Segment old = Begin(1, LogPoint());
  Append(&old, Term(1), "one");
  const LogPoint one = old.last;
  Append(&old, Term(1), "two");
  Append(&old, Term(1), "three");
  Sync(old);
  Segment next = Begin(2, one);
  Sync(next);
  EXPECT_TRUE(Has(2, 1));  // with its header alone it doesn't count
  Append(&next, Term(2), "another two");
  EXPECT_TRUE(Has(2, 1));
  Sync(next);
  EXPECT_TRUE(Has(1, 1));
  EXPECT_FALSE(Has(2, 1));
  EXPECT_TRUE(Has(2, 2));
  EXPECT_FALSE(Has(3, 1));
}

// Seed 300010111: a recovery had written a tail anew in another file, and cut
// it off the first one; then the other file's removal survived a power loss,
// and that of the first one didn't.
TEST_F(DurableLogTest, WhatItsServerCutOffAFileIsGone) {
  Segment old = Begin(1, LogPoint());
  Append(&old, Term(1), "one");
  const LogPoint one = old.last;
  const uint64_t end = old.writer.position();
  Append(&old, Term(1), "two");
  Sync(old);
  EXPECT_TRUE(Has(2, 1));
  Segment again = Begin(2, one);
  Append(&again, Term(1), "two");
  Sync(again);
  Segment next = Begin(3, again.last);
  Append(&next, Term(1), "three");
  Sync(next);
  old.file->Truncate(++number_, end);
  Sync(old);
  EXPECT_TRUE(Has(2, 1));
  log_.UpdateWhole(disk_);
  EXPECT_TRUE(log_.GoesOn(Index(0), Index(3)));
  disk_.Remove(++number_, SegmentName(2));
  Sync(next);
  EXPECT_FALSE(Has(2, 1));
  EXPECT_TRUE(Has(3, 1));
  log_.UpdateWhole(disk_);
  EXPECT_FALSE(log_.GoesOn(Index(0), Index(3)));
  EXPECT_FALSE(log_.damaged());
}

// The same of entries that were replaced.
TEST_F(DurableLogTest, WhatWasReplacedIsNotTheLogs) {
  Segment old = Begin(1, LogPoint());
  Append(&old, Term(1), "one");
  const LogPoint one = old.last;
  Append(&old, Term(1), "two");
  Sync(old);
  Segment cut = Begin(2, one);
  Append(&cut, Term(2), "another two");
  Sync(cut);
  Segment next = Begin(3, cut.last);
  Append(&next, Term(2), "three");
  Sync(next);
  log_.UpdateWhole(disk_);
  EXPECT_TRUE(log_.GoesOn(Index(0), Index(3)));
  disk_.Remove(++number_, SegmentName(2));
  Sync(next);
  log_.UpdateWhole(disk_);
  EXPECT_FALSE(log_.GoesOn(Index(0), Index(2)));
  EXPECT_FALSE(log_.GoesOn(Index(0), Index(3)));
  EXPECT_TRUE(log_.GoesOn(Index(0), Index(1)));
  EXPECT_TRUE(log_.GoesOn(Index(2), Index(3)));
}

TEST_F(DurableLogTest, WhatIsDamagedWasDurableAllTheSame) {
  Segment segment = Begin(1, LogPoint());
  std::vector<uint64_t> at;
  for (const char* payload : {"one", "two", "three"}) {
    at.push_back(segment.writer.position());
    Append(&segment, Term(1), payload);
  }
  Sync(segment);
  log_.UpdateWhole(disk_);
  EXPECT_TRUE(log_.Shows(1, at[2]));  // says the third one
  EXPECT_FALSE(log_.Shows(1, at[2] + 1));
  const uint64_t mark = segment.writer.position();
  Mark(&segment);
  Sync(segment);
  log_.UpdateWhole(disk_);
  EXPECT_FALSE(log_.damaged());
  EXPECT_TRUE(log_.Shows(1, mark));
  EXPECT_FALSE(log_.Shows(1, mark + 1));
  auto intact = [this](uint64_t index) {
    return log_.HasIntact(Index(index), Term(1));
  };

  Rot(segment, at[1] + kLogFrameHeaderBytes);
  EXPECT_TRUE(intact(1));
  EXPECT_FALSE(intact(2));
  EXPECT_TRUE(intact(3));
  EXPECT_TRUE(log_.damaged());
  std::vector<Index> damaged;
  log_.ForEachDamaged([&](Index i, Term) { damaged.push_back(i); });
  EXPECT_EQ(damaged, std::vector<Index>{Index(2)});
  // A frame's checksum continues the one in the header before it.
  Rot(segment, at[1]);
  EXPECT_FALSE(intact(3));
  EXPECT_TRUE(log_.Has(Index(2), Term(1)));
  EXPECT_TRUE(log_.Has(Index(3), Term(1)));
  // What follows is taken in as ever.
  Append(&segment, Term(1), "four");
  Sync(segment);
  log_.Update(disk_);
  EXPECT_TRUE(log_.Has(Index(4), Term(1)));
  EXPECT_TRUE(intact(4));
}

TEST_F(DurableLogTest, AFileThatReplacesADamagedOneIsReadAnew) {
  LogPoint last;
  std::vector<Segment> segments;
  for (uint64_t id = 1; id <= 6; ++id) {
    segments.push_back(Begin(id, last));
    Append(&segments.back(), Term(1), "first");
    Append(&segments.back(), Term(1), "second");
    Sync(segments.back());
    last = segments.back().last;
  }
  log_.UpdateWhole(disk_);
  const std::shared_ptr<FileImage> intact = segments[0].file->CopyDurable();
  Rot(segments[0], 5);
  EXPECT_FALSE(log_.HasIntact(Index(1), Term(1)));
  EXPECT_TRUE(log_.HasIntact(Index(2), Term(1)));
  EXPECT_TRUE(log_.Shows(1, UINT64_MAX));  // by those that came later
  EXPECT_TRUE(log_.Has(Index(1), Term(1)));

  disk_.Add(++number_, "segment.new", intact);
  disk_.Rename(++number_, "segment.new", SegmentName(1));
  log_.UpdateWhole(disk_);
  EXPECT_FALSE(log_.HasIntact(Index(1), Term(1)));  // it may be lost
  disk_.SyncBefore(number_ + 1);
  log_.UpdateWhole(disk_);
  EXPECT_TRUE(log_.HasIntact(Index(1), Term(1)));
  EXPECT_FALSE(log_.damaged());
}

// The header alone says from where on it replaces what an earlier file has.
TEST_F(DurableLogTest, WithoutAHeaderACutIsNotToBeSeen) {
  Segment old = Begin(1, LogPoint());
  Append(&old, Term(1), "one");
  const LogPoint one = old.last;
  Append(&old, Term(1), "two");
  Sync(old);
  Segment next = Begin(2, one);
  Append(&next, Term(2), "another two");
  const uint64_t end = next.writer.position();
  Mark(&next);
  Sync(next);
  log_.UpdateWhole(disk_);
  EXPECT_TRUE(log_.Shows(2, end));
  Rot(next, 5);
  EXPECT_FALSE(log_.Shows(2, end));
  disk_.Remove(++number_, SegmentName(1));
  disk_.SyncBefore(number_ + 1);
  log_.UpdateWhole(disk_);
  EXPECT_TRUE(log_.Shows(2, end));
}

TEST_F(DurableLogTest, FollowsALogOfManySegments) {
  LogPoint last;
  for (uint64_t id = 1; id <= 20; ++id) {
    Segment segment = Begin(id, last);
    Append(&segment, Term(1), "first");
    Sync(segment);
    Append(&segment, Term(1), "second");
    EXPECT_FALSE(Has(2 * id, 1));
    Sync(segment);
    EXPECT_TRUE(Has(2 * id, 1));
    EXPECT_TRUE(Has(2 * id - 1, 1));
    last = segment.last;
  }
  EXPECT_TRUE(Has(1, 1));
}

// By marks behind the last entry, of which any one is enough, while there are
// two.
TEST_F(DurableLogTest, ShowsWhereTheNewestSegmentEnds) {
  Segment segment = Begin(1, LogPoint());
  Append(&segment, Term(1), "one");
  const uint64_t end = segment.writer.position();
  std::vector<uint64_t> marks;
  for (int i = 0; i < 2; ++i) {
    Sync(segment);
    log_.UpdateWhole(disk_);
    EXPECT_FALSE(log_.ShowsEndTwice(Index(0)));
    EXPECT_TRUE(log_.ShowsEndTwice(Index(1)));
    EXPECT_EQ(log_.ShowsEnd(1, end), i > 0);
    marks.push_back(segment.writer.position());
    Mark(&segment);
  }
  Sync(segment);
  log_.UpdateWhole(disk_);
  EXPECT_TRUE(log_.ShowsEndTwice(Index(0)));
  EXPECT_FALSE(log_.ShowsEnd(1, end - 1));
  EXPECT_FALSE(log_.ShowsEnd(2, end));
  for (const uint64_t mark : marks) {
    Rot(segment, mark + 8);
    EXPECT_FALSE(log_.ShowsEndTwice(Index(0)));
    EXPECT_TRUE(log_.ShowsEnd(1, end));
    Rot(segment, mark + 8);
    EXPECT_TRUE(log_.ShowsEndTwice(Index(0)));
  }
  for (const uint64_t mark : marks) Rot(segment, mark + 8);
  EXPECT_FALSE(log_.ShowsEnd(1, end));
  // A later one tells where it ends.
  Segment next = Begin(2, segment.last);
  Append(&next, Term(1), "two");
  Sync(next);
  log_.UpdateWhole(disk_);
  EXPECT_FALSE(log_.ShowsEnd(1, end));
  EXPECT_TRUE(log_.Shows(1, end));
}

}  // namespace
}  // namespace holdfast
