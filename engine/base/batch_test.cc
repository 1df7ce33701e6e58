#include "engine/base/batch.h"

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/base/bytes.h"
#include "engine/base/crc32c.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace holdfast {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::vector<std::string> Values(RecordCursor cursor) {
  std::vector<std::string> values;
  RecordView record;
  while (cursor.Next(&record)) values.emplace_back(record.value());
  return values;
}

// With its checksum made right again, so that the other checks are reached.
absl::Status ParseRestamped(std::string bytes) {
  if (bytes.size() >= kBatchHeaderBytes) {
    StoreInt<uint32_t>(bytes.data() + 4,
                       Crc32c(absl::string_view(bytes).substr(8)));
  }
  return BatchView::Parse(Buffer::Copy(bytes)).status();
}

std::string SomeBatch() {
  BatchBuilder builder;
  EXPECT_TRUE(builder.Add("key", {{"name", "text"}}, "value").ok());
  EXPECT_TRUE(builder.Add("second").ok());
  return std::string(builder.Finish(SessionId(3), Sequence(4)).view());
}

TEST(Batch, KeepsRecordsWithKeysAndHeaders) {
  BatchBuilder builder;
  EXPECT_TRUE(builder.empty());
  ASSERT_TRUE(builder.Add("plain").ok());
  ASSERT_TRUE(builder.Add("key", {}, "keyed").ok());
  ASSERT_TRUE(builder.Add("", {{"n", "1"}, {"n", ""}}, "").ok());
  EXPECT_EQ(builder.record_count(), 3u);
  const size_t size = builder.size();
  Buffer bytes = builder.Finish(SessionId(7), Sequence(9));
  EXPECT_EQ(bytes.size(), size);
  EXPECT_TRUE(builder.empty());

  absl::StatusOr<BatchView> batch = BatchView::Parse(bytes);
  ASSERT_TRUE(batch.ok()) << batch.status();
  EXPECT_EQ(batch->session(), SessionId(7));
  EXPECT_EQ(batch->sequence(), Sequence(9));
  EXPECT_EQ(batch->record_count(), 3u);
  EXPECT_EQ(batch->bytes().data(), bytes.data());  // shared
  RecordCursor cursor = batch->Records();
  RecordView record;
  ASSERT_TRUE(cursor.Next(&record));
  EXPECT_EQ(record.key(), std::nullopt);
  EXPECT_EQ(record.value(), "plain");
  EXPECT_THAT(record.headers(), IsEmpty());
  ASSERT_TRUE(cursor.Next(&record));
  EXPECT_EQ(record.key(), "key");
  ASSERT_TRUE(cursor.Next(&record));
  EXPECT_EQ(record.key(), "");  // empty, but there
  EXPECT_EQ(record.value(), "");
  EXPECT_THAT(record.headers(),
              ElementsAre(RecordHeader{"n", "1"}, RecordHeader{"n", ""}));
  EXPECT_FALSE(cursor.Next(&record));
}

// Whoever gets a batch needn't go over it again for what it becomes part of.
TEST(Batch, NotesItsChecksum) {
  for (size_t size : {0, 1, 700, 20000}) {
    BatchBuilder builder;
    ASSERT_TRUE(builder.Add(std::string(size, 'x')).ok());
    const Buffer bytes = builder.Finish(SessionId(1), Sequence(2));
    const auto expect_right = [](const Buffer& b) {
      EXPECT_EQ(b.Crc(), Crc32c(b.view()));
      EXPECT_EQ(b.ExtendCrc(7), ExtendCrc32c(7, b.view()));
    };
    expect_right(bytes);
    expect_right(RestampBatch(bytes, SessionId(3), Sequence(4)));
    const auto parsed = BatchView::Parse(Buffer::Copy(bytes.view()));
    ASSERT_TRUE(parsed.ok());
    expect_right(parsed->bytes());
  }
}

// The format, byte by byte: it is on disks and on the wire.
TEST(Batch, HasItsFormat) {
  BatchBuilder builder;
  ASSERT_TRUE(builder.Add("k", {{"n", "v"}}, "x").ok());
  const Buffer bytes = builder.Finish(SessionId(0x0102), Sequence(0x0304));
  std::string expected;
  expected += std::string("\x35\0\0\0", 4);        // length 32 + 12 + 9
  expected += std::string(bytes.data() + 4, 4);    // crc
  expected += std::string("\1\0\0\0", 4);          // version, codec, zero
  expected += std::string("\1\0\0\0", 4);          // one record
  expected += std::string("\2\1\0\0\0\0\0\0", 8);  // session
  expected += std::string("\4\3\0\0\0\0\0\0", 8);  // sequence
  expected += std::string("\12\0\0\0", 4);         // 10 bytes follow
  expected += std::string("\1\0\0\0\1\0\0\0", 8);  // key, headers, zero
  expected += std::string("k\1\0\1\0\0\0nvx", 10);
  expected[0] = static_cast<char>(expected.size());
  EXPECT_EQ(bytes.view(), expected);
  EXPECT_EQ(LoadInt<uint32_t>(bytes.data() + 4),
            Crc32c(absl::string_view(expected).substr(8)));
}

TEST(Batch, SkipsToARecord) {
  BatchBuilder builder;
  for (const char* value : {"a", "bb", "ccc"}) {
    ASSERT_TRUE(builder.Add(value).ok());
  }
  absl::StatusOr<BatchView> batch = BatchView::Parse(builder.Finish());
  EXPECT_THAT(Values(batch->RecordsFrom(0)), ElementsAre("a", "bb", "ccc"));
  EXPECT_THAT(Values(batch->RecordsFrom(2)), ElementsAre("ccc"));
  EXPECT_THAT(Values(batch->RecordsFrom(3)), IsEmpty());
  EXPECT_THAT(Values(batch->RecordsFrom(UINT64_MAX)), IsEmpty());
}

TEST(Batch, TakesTheLargestRecordAndNoLarger) {
  const std::string largest(kRecordBytesMax, 'x');
  BatchBuilder builder;
  ASSERT_TRUE(builder.Add(largest).ok());
  const absl::Status full =
      builder.Add(std::string(kBatchBytesMax, 'x').substr(0, 128 << 10));
  EXPECT_TRUE(absl::IsResourceExhausted(full)) << full;
  absl::StatusOr<BatchView> batch = BatchView::Parse(builder.Finish());
  ASSERT_TRUE(batch.ok()) << batch.status();
  EXPECT_THAT(Values(batch->Records()), ElementsAre(largest));
  const absl::Status beyond = builder.Add("k", {}, largest);
  EXPECT_TRUE(absl::IsInvalidArgument(beyond));
  EXPECT_THAT(std::string(beyond.message()),
              HasSubstr("the limit is 16777216"));
  EXPECT_TRUE(builder.empty());
  EXPECT_TRUE(absl::IsInvalidArgument(
      builder.Add(std::nullopt, {{std::string(70'000, 'n'), ""}}, "")));
}

TEST(Batch, FindsEachDamagedByte) {
  const std::string good = SomeBatch();
  ASSERT_TRUE(ParseRestamped(good).ok());
  for (size_t at = 0; at < good.size(); ++at) {
    std::string damaged = good;
    damaged[at] = static_cast<char>(damaged[at] ^ 1);
    EXPECT_FALSE(BatchView::Parse(Buffer::Copy(damaged)).ok()) << at;
  }
  std::string damaged = good;
  damaged.back() = '?';
  EXPECT_TRUE(
      absl::IsDataLoss(BatchView::Parse(Buffer::Copy(damaged)).status()));
}

TEST(Batch, RefusesWrongFramingEvenWithAGoodChecksum) {
  const std::string good = SomeBatch();
  for (size_t n = 0; n < good.size(); ++n) {
    EXPECT_FALSE(ParseRestamped(good.substr(0, n)).ok()) << n;
    std::string cut = good.substr(0, n);
    if (n >= kBatchHeaderBytes) {
      StoreInt<uint32_t>(cut.data(), static_cast<uint32_t>(n));
      EXPECT_FALSE(ParseRestamped(cut).ok()) << n;
    }
  }
  EXPECT_FALSE(ParseRestamped(good + "x").ok());
  const auto with = [&good](size_t at, auto value) {
    std::string bytes = good;
    StoreInt(bytes.data() + at, value);
    return ParseRestamped(bytes);
  };
  EXPECT_THAT(std::string(with(8, uint8_t{2}).message()), HasSubstr("version"));
  EXPECT_FALSE(with(9, uint8_t{1}).ok());    // codec
  EXPECT_FALSE(with(10, uint16_t{1}).ok());  // zero
  EXPECT_FALSE(with(12, uint32_t{0}).ok());  // no record
  EXPECT_FALSE(with(12, uint32_t{1}).ok());  // too few
  EXPECT_FALSE(with(12, uint32_t{3}).ok());  // too many
  EXPECT_FALSE(with(12, uint32_t{0xffffffff}).ok());
  EXPECT_FALSE(with(16, uint64_t{0}).ok());           // sequence alone
  EXPECT_FALSE(with(24, uint64_t{0}).ok());           // session alone
  EXPECT_FALSE(with(32, uint32_t{0xffffffff}).ok());  // record's length
  EXPECT_FALSE(with(36, uint32_t{1000}).ok());        // key's
  EXPECT_FALSE(with(40, uint16_t{2}).ok());           // headers
  EXPECT_FALSE(with(42, uint16_t{1}).ok());           // zero
}

TEST(Batch, CanBeRestamped) {
  const Buffer bytes = Buffer::Copy(SomeBatch());
  const Buffer other = RestampBatch(bytes, SessionId(8), Sequence(1));
  absl::StatusOr<BatchView> batch = BatchView::Parse(other);
  ASSERT_TRUE(batch.ok());
  EXPECT_EQ(batch->session(), SessionId(8));
  EXPECT_THAT(Values(batch->Records()), ElementsAre("value", "second"));
  EXPECT_EQ(BatchView::Parse(bytes)->session(), SessionId(3));  // unchanged
}

TEST(Batch, ABuilderCanBeMovedAndUsedAgain) {
  BatchBuilder builder(1000);
  ASSERT_TRUE(builder.Add("a").ok());
  BatchBuilder moved = std::move(builder);
  EXPECT_TRUE(builder.empty());  // NOLINT: that is what is tested
  ASSERT_TRUE(moved.Add("b").ok());
  EXPECT_EQ(BatchView::Parse(moved.Finish())->record_count(), 2u);
  ASSERT_TRUE(moved.Add("c").ok());
  EXPECT_THAT(Values(BatchView::Parse(moved.Finish())->Records()),
              ElementsAre("c"));
}

}  // namespace
}  // namespace holdfast
