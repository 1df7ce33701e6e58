#include "engine/wal/segment.h"

#include <string>
#include <vector>

#include "engine/base/bytes.h"
#include "engine/wal/testing/wal_run.h"
#include "gtest/gtest.h"

namespace holdfast {
namespace {

SegmentHeader SomeHeader() {
  SegmentHeader header;
  header.owner = Incarnation(5);
  header.id = 6;
  header.previous.index = Index(7);
  header.previous.term = Term(8);
  header.previous.next_offset = Offset(9);
  header.previous.log_time = WallTime(Duration(10));
  header.previous.chain = 11;
  return header;
}

TEST(SegmentTest, Names) {
  EXPECT_EQ(SegmentName(0x1f), "000000000000001f.segment");
  EXPECT_EQ(ParseSegmentName("000000000000001f.segment"), 0x1fu);
  EXPECT_EQ(ParseSegmentName(SegmentName(UINT64_MAX)), UINT64_MAX);
  for (const char* other :
       {"", "identity", "000000000000001F.segment", "1f.segment",
        "000000000000001f.segments", "000000000000001f-segment"}) {
    EXPECT_FALSE(ParseSegmentName(other).has_value()) << other;
  }
}

TEST(SegmentTest, HeaderBytesAreAsDocumented) {
  Buffer block = EncodeSegmentHeader(SomeHeader());
  ASSERT_EQ(block.size(), kSegmentHeaderBytes);
  EXPECT_EQ(block.view().substr(0, 8), absl::string_view("HfSegmt1", 8));
  EXPECT_EQ(LoadInt<uint32_t>(block.data() + 8), 2u);
  const uint64_t fields[] = {5, 6, 8, 8, 9, 10, 11};
  for (size_t i = 0; i < 7; ++i) {
    EXPECT_EQ(LoadInt<uint64_t>(block.data() + 16 + 8 * i), fields[i]) << i;
  }
  auto decoded = DecodeSegmentHeader(block.view());
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(*decoded, SomeHeader());
}

// Frames are the same whether or not the payload's checksum is noted with it.
TEST(SegmentTest, FramesOfNotedPayloads) {
  for (size_t size : {1, 511, 512, 513, 5000, 20000}) {
    Entry noted = NextEntry(SomeHeader().previous, Term(8), size);
    noted.payload.set_crc(noted.header.payload_crc);
    Entry plain = noted;
    plain.payload = Buffer::Copy(noted.payload.view());
    std::string found[2];
    for (const Entry* entry : {&noted, &plain}) {
      FrameWriter writer(SomeHeader());
      Buffers out;
      writer.AppendEntry(*entry, 0, Index(0), &out);
      found[entry == &plain] = std::string(Flatten(out).view());
    }
    EXPECT_EQ(found[0], found[1]) << size;
    const std::string bytes = std::string(kSegmentHeaderBytes, '\0') + found[0];
    EXPECT_TRUE(ReadFrame(bytes, kSegmentHeaderBytes, SomeHeader().id,
                          FirstSeed(SomeHeader()))
                    .has_value());
  }
}

TEST(SegmentTest, DamagedHeaders) {
  std::string block(EncodeSegmentHeader(SomeHeader()).view());
  for (size_t at = 0; at < block.size(); ++at) {
    std::string damaged = block;
    damaged[at] ^= 32;
    EXPECT_TRUE(absl::IsDataLoss(DecodeSegmentHeader(damaged).status()));
  }
  EXPECT_TRUE(
      absl::IsDataLoss(DecodeSegmentHeader(block.substr(0, 4095)).status()));
  EXPECT_TRUE(absl::IsNotFound(DecodeSegmentHeader("").status()));
  EXPECT_TRUE(
      absl::IsNotFound(DecodeSegmentHeader(std::string(4096, '\0')).status()));
}

// A segment of entries, with where each begins.
struct Written {
  SegmentHeader header;
  std::string bytes;
  std::vector<Entry> entries;
  std::vector<uint64_t> positions;
};

Written Write(std::vector<size_t> sizes) {
  Written w;
  w.header = SomeHeader();
  LogPoint point = w.header.previous;
  FrameWriter writer(w.header);
  Buffers out = {EncodeSegmentHeader(w.header)};
  uint64_t synced = 0;
  for (size_t size : sizes) {
    Entry entry = NextEntry(point, Term(20 + w.entries.size() / 2), size);
    point = PointAfter(entry.header);
    w.positions.push_back(writer.position());
    writer.AppendEntry(entry, synced, Index(3), &out);
    if (w.entries.size() % 3 == 2) {
      synced = writer.position();
      writer.AppendMark(synced, Index(4), &out);
    }
    w.entries.push_back(std::move(entry));
  }
  Buffer flat = Flatten(out);
  w.bytes = std::string(flat.view());
  EXPECT_EQ(w.bytes.size(), writer.position());
  return w;
}

TEST(SegmentTest, ScanFindsWhatWasWritten) {
  Written w = Write({0, 1, 63, 64, 65, 5000, 20000, 16384, 0});
  for (size_t behind : {0, 64, 5000}) {
    SegmentScan scan =
        ScanSegment(w.bytes + std::string(behind, '\0'), w.header);
    EXPECT_EQ(scan.end, w.bytes.size());
    EXPECT_EQ(scan.frames_behind_damage, 0u);
    EXPECT_EQ(scan.commit, Index(4));
    size_t next = 0;
    for (const FoundFrame& frame : scan.frames) {
      if (frame.header.kind != FrameKind::kEntry) continue;
      EXPECT_EQ(frame.position, w.positions[next]);
      Buffer body = Buffer::Copy(absl::string_view(w.bytes).substr(
          frame.position + kLogFrameHeaderBytes, frame.header.body_size));
      auto entry = DecodeEntry(body);
      ASSERT_TRUE(entry.ok());
      EXPECT_TRUE(SameEntries({*entry}, {w.entries[next]}));
      EXPECT_EQ(frame.header.prev_term, next == 0
                                            ? w.header.previous.term
                                            : w.entries[next - 1].header.term);
      ++next;
    }
    EXPECT_EQ(next, w.entries.size());
    EXPECT_EQ(scan.frames.size(), next + 3);
  }
}

TEST(SegmentTest, ScanEndsAtAnyDamageAndStillKnowsHowFarItWasSynced) {
  Written w = Write({10, 200, 30, 40, 50});
  SegmentScan intact = ScanSegment(w.bytes, w.header);
  for (size_t at = kSegmentHeaderBytes; at < w.bytes.size(); ++at) {
    std::string damaged = w.bytes;
    damaged[at] ^= 1;
    SegmentScan scan = ScanSegment(damaged, w.header);
    if (scan.end == intact.end) continue;  // padding
    ASSERT_LE(scan.end, at);
    ASSERT_GT(scan.end + FrameBytes(kEntryHeaderBytes + 200), at);
    // The marks are copied into each later frame.
    ASSERT_EQ(scan.marked_to, intact.marked_to) << at;
  }
}

// Whoever took it for one that belongs there would skip with its body all that
// shows what was synced.
TEST(SegmentTest, ALargeFramesHeaderElsewhereHidesNothing) {
  const Written w = Write({6000, 10, 200, 30, 40});
  const SegmentScan intact = ScanSegment(w.bytes, w.header);
  const std::vector<FoundFrame>& frames = intact.frames;
  ASSERT_GT(intact.marked_to, frames[1].position);
  for (size_t i = 1; i + 1 < frames.size(); ++i) {
    std::string damaged = w.bytes;
    damaged.replace(frames[i].position, kLogFrameHeaderBytes, w.bytes,
                    frames[0].position, kLogFrameHeaderBytes);
    EXPECT_EQ(ScanSegment(damaged, w.header).marked_to, intact.marked_to) << i;
  }
}

TEST(SegmentTest, ScanDoesNotTakeAnotherSegmentsFrames) {
  Written w = Write({10, 20});
  SegmentHeader other = w.header;
  ++other.previous.chain;  // seeds the checksums
  EXPECT_TRUE(ScanSegment(w.bytes, other).frames.empty());
  other = w.header;
  ++other.id;
  EXPECT_EQ(ScanSegment(w.bytes, other).frames_behind_damage, 0u);
}

TEST(SegmentTest, RestingMarksStandInTwoBlocks) {
  for (size_t size = 0; size < 4200; size += 61) {
    FrameWriter writer(SomeHeader());
    Buffers out = {EncodeSegmentHeader(SomeHeader())};
    writer.AppendEntry(NextEntry(SomeHeader().previous, Term(9), size), 0,
                       Index(), &out);
    uint64_t end = writer.position();
    writer.AppendRestingMarks(end, Index(), &out);
    ASSERT_LT(writer.position(), end + 2 * kBlockBytes);
    std::string bytes(Flatten(out).view());
    SegmentScan scan = ScanSegment(bytes, SomeHeader());
    ASSERT_EQ(scan.frames.size(), 3u);
    EXPECT_EQ(scan.frames[1].position, end);
    EXPECT_EQ(scan.frames[2].position % kBlockBytes, 0u);
    auto runs = DecodeTermRuns(absl::string_view(bytes).substr(
        end + kLogFrameHeaderBytes, scan.frames[1].header.body_size));
    ASSERT_TRUE(runs.ok());
    EXPECT_EQ(runs->size(), 1u);
    // With the block of the entry's end gone, the other mark is found.
    uint64_t block = (end - 1) / kBlockBytes * kBlockBytes;
    bytes.replace(block, kBlockBytes, kBlockBytes, '\0');
    EXPECT_EQ(FindMarkedTo(bytes, kSegmentHeaderBytes, SomeHeader().id), end);
  }
}

TEST(SegmentTest, SampleFloors) {
  LogSegment segment(SomeHeader(), nullptr);
  EXPECT_EQ(segment.last(), Index(7));
  LogPoint point = SomeHeader().previous;
  uint64_t position = kSegmentHeaderBytes;
  std::vector<EntryHeader> headers;
  for (int i = 0; i < 50; ++i) {
    Entry entry = NextEntry(point, Term(9), i % 5 == 0 ? 0 : 5000);
    point = PointAfter(entry.header);
    segment.Note(entry.header, position, static_cast<uint32_t>(i));
    headers.push_back(entry.header);
    position += FrameBytes(EntryBytes(entry));
  }
  for (int cut = 0; cut < 2; ++cut) {
    for (const EntryHeader& h : headers) {
      if (h.index > segment.last()) break;
      const LogSegment::Sample& by_index = segment.Floor(h.index);
      EXPECT_LE(by_index.index, h.index);
      EXPECT_LE(h.index - by_index.index, 5u);
      const LogSegment::Sample& by_offset = segment.Floor(h.base_offset);
      EXPECT_LE(by_offset.offset, h.base_offset);
    }
    segment.CutTo(Index(20));
  }
  EXPECT_EQ(segment.last(), Index(20));
  segment.CutTo(Index(8));
  EXPECT_EQ(segment.Floor(Index(8)).index, Index(8));
}

}  // namespace
}  // namespace holdfast
