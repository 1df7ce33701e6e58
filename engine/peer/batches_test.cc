#include "engine/peer/batches.h"

#include <string>

#include "engine/base/bytes.h"
#include "gtest/gtest.h"

namespace holdfast {
namespace {

SentBatch BatchAt(uint64_t offset, absl::string_view bytes) {
  return SentBatch{.log_time = WallTime(Duration(static_cast<int64_t>(-5))),
                   .base_offset = Offset(offset),
                   .bytes = Buffer::Copy(bytes)};
}

TEST(SentBatches, SurviveTheirEncoding) {
  Buffers payload;
  AppendSentBatch(BatchAt(3, "abc"), &payload);
  AppendSentBatch(BatchAt(9, ""), &payload);
  EXPECT_EQ(TotalSize(payload), 2 * kSentBatchHeaderBytes + 3);
  const Buffer bytes = Flatten(payload);
  auto batches = DecodeSentBatches(bytes, 2);
  ASSERT_TRUE(batches.ok()) << batches.status();
  ASSERT_EQ(batches->size(), 2u);
  EXPECT_EQ((*batches)[0].base_offset, Offset(3));
  EXPECT_EQ((*batches)[0].log_time, WallTime(Duration(-5)));
  EXPECT_EQ((*batches)[0].bytes.view(), "abc");
  EXPECT_EQ((*batches)[0].bytes.data(), bytes.data() + kSentBatchHeaderBytes);
  EXPECT_EQ((*batches)[1].bytes.view(), "");
  EXPECT_TRUE(DecodeSentBatches(Buffer(), 0)->empty());
}

TEST(SentBatches, RefusesWhatDoesntFit) {
  Buffers payload;
  AppendSentBatch(BatchAt(3, "abc"), &payload);
  AppendSentBatch(BatchAt(9, "d"), &payload);
  const Buffer bytes = Flatten(payload);
  EXPECT_FALSE(DecodeSentBatches(bytes, 1).ok());
  EXPECT_FALSE(DecodeSentBatches(bytes, 3).ok());
  EXPECT_FALSE(DecodeSentBatches(bytes, UINT32_MAX).ok());
  for (size_t n = 0; n < bytes.size(); ++n) {
    EXPECT_FALSE(DecodeSentBatches(bytes.Slice(0, n), 2).ok()) << n;
  }
  std::string damaged(bytes.view());
  StoreInt<uint32_t>(damaged.data() + 16, UINT32_MAX);
  EXPECT_FALSE(DecodeSentBatches(Buffer::Copy(damaged), 2).ok());
}

TEST(SentBatches, AreInTheOrderOfTheirOffsets) {
  Buffers payload;
  AppendSentBatch(BatchAt(3, "abc"), &payload);
  AppendSentBatch(BatchAt(3, "d"), &payload);
  EXPECT_FALSE(DecodeSentBatches(Flatten(payload), 2).ok());
}

}  // namespace
}  // namespace holdfast
