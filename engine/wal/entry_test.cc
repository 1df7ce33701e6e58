#include "engine/wal/entry.h"

#include <string>
#include <vector>

#include "engine/base/crc32c.h"
#include "engine/wal/testing/wal_run.h"
#include "gtest/gtest.h"

namespace holdfast {
namespace {

EntryHeader SomeHeader() {
  EntryHeader h;
  h.index = Index(0x0102030405060708);
  h.term = Term(0x1112131415161718);
  h.kind = EntryKind::kBatch;
  h.base_offset = Offset(0x2122232425262728);
  h.count = 0x31323334;
  h.log_time = WallTime(Duration(0x4142434445464748));
  h.chain = 0x5152535455565758;
  h.payload_size = 0x616263;
  h.payload_crc = 0x71727374;
  return h;
}

std::string Encode(const EntryHeader& header) {
  std::string bytes(kEntryHeaderBytes, 'x');
  EncodeEntryHeader(header, bytes.data());
  return bytes;
}

TEST(EntryTest, BytesAreAsDocumented) {
  std::string expected(
      "\x08\x07\x06\x05\x04\x03\x02\x01\x18\x17\x16\x15\x14\x13\x12\x11"
      "\x28\x27\x26\x25\x24\x23\x22\x21\x48\x47\x46\x45\x44\x43\x42\x41"
      "\x58\x57\x56\x55\x54\x53\x52\x51\x34\x33\x32\x31\x63\x62\x61\x00"
      "\x74\x73\x72\x71\x02",
      53);
  expected.resize(kEntryHeaderBytes, '\0');
  EXPECT_EQ(Encode(SomeHeader()), expected);
  auto decoded = DecodeEntryHeader(expected);
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(*decoded, SomeHeader());
}

TEST(EntryTest, KeepsWhatANewerReleaseHasWritten) {
  std::string bytes = Encode(SomeHeader());
  bytes[52] = '\xff';
  auto decoded = DecodeEntryHeader(bytes);
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(Encode(*decoded), bytes);
}

TEST(EntryTest, RefusesWhatIsNoHeader) {
  std::string bytes = Encode(SomeHeader());
  EXPECT_FALSE(DecodeEntryHeader(bytes.substr(0, 63)).ok());
  std::string no_kind = bytes;
  no_kind[52] = 0;
  EXPECT_FALSE(DecodeEntryHeader(no_kind).ok());
  for (size_t at = 53; at < 64; ++at) {
    std::string reserved = bytes;
    reserved[at] = 1;
    EXPECT_FALSE(DecodeEntryHeader(reserved).ok()) << at;
  }
  EntryHeader large = SomeHeader();
  large.payload_size = kEntryPayloadBytesMax;
  EXPECT_TRUE(DecodeEntryHeader(Encode(large)).ok());
  ++large.payload_size;
  EXPECT_FALSE(DecodeEntryHeader(Encode(large)).ok());
}

TEST(EntryTest, DecodesAnEntryWithoutACopy) {
  Entry entry = NextEntry(LogPoint(), Term(1), 100);
  std::string bytes = Encode(entry.header);
  bytes.append(entry.payload.data(), entry.payload.size());
  Buffer buffer = Buffer::Copy(bytes + "more");
  auto decoded = DecodeEntry(buffer);
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(decoded->header, entry.header);
  EXPECT_EQ(decoded->payload.view(), entry.payload.view());
  EXPECT_EQ(decoded->payload.data(), buffer.data() + kEntryHeaderBytes);
  EXPECT_FALSE(DecodeEntry(buffer.Slice(0, bytes.size() - 1)).ok());
  EXPECT_FALSE(DecodeEntry(buffer.Slice(0, 10)).ok());
}

TEST(EntryTest, EachFieldMovesTheChain) {
  EntryHeader base = SomeHeader();
  std::vector<EntryHeader> others(8, base);
  ++others[0].index;
  ++others[1].term;
  others[2].kind = EntryKind::kNoOp;
  ++others[3].base_offset;
  ++others[4].count;
  others[5].log_time += 1ns;
  ++others[6].payload_size;
  ++others[7].payload_crc;
  for (const EntryHeader& other : others) {
    EXPECT_NE(ChainHash(1, other), ChainHash(1, base));
  }
  EXPECT_NE(ChainHash(2, base), ChainHash(1, base));
  EntryHeader rechained = base;
  ++rechained.chain;  // an outcome, not an input
  EXPECT_EQ(ChainHash(1, rechained), ChainHash(1, base));
}

TEST(EntryTest, Continues) {
  Entry first = NextEntry(LogPoint(), Term(2), 10);
  LogPoint point = PointAfter(first.header);
  EXPECT_EQ(point.next_offset, Offset(1));
  Entry second = NextEntry(point, Term(2), 10);
  EXPECT_TRUE(Continues(point, second.header));
  EXPECT_FALSE(Continues(LogPoint(), second.header));
  auto rechained = [&point](EntryHeader h) {
    h.chain = ChainHash(point.chain, h);
    return h;
  };
  EntryHeader h = second.header;
  h.term = Term(1);
  EXPECT_FALSE(Continues(point, rechained(h)));
  h = second.header;
  ++h.base_offset;
  EXPECT_FALSE(Continues(point, rechained(h)));
  h = second.header;
  h.log_time = point.log_time - 1ns;
  EXPECT_FALSE(Continues(point, rechained(h)));
  h.log_time = point.log_time;
  EXPECT_TRUE(Continues(point, rechained(h)));
  ++h.chain;
  EXPECT_FALSE(Continues(point, h));
}

}  // namespace
}  // namespace holdfast
