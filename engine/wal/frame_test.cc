#include "engine/wal/frame.h"

#include <string>
#include <vector>

#include "engine/base/bytes.h"
#include "engine/base/crc32c.h"
#include "gtest/gtest.h"

namespace holdfast {
namespace {

LogFrameHeader SomeHeader() {
  LogFrameHeader h;
  h.segment = 0x0102030405060708;
  h.index = Index(11);
  h.term = Term(12);
  h.prev_term = Term(13);
  h.commit = Index(14);
  h.synced_to = 0x21222324;
  h.body_size = 0x31323334;
  h.body_crc = 0x41424344;
  h.kind = FrameKind::kMark;
  return h;
}

constexpr uint64_t kPosition = 64 * 1234;

std::string Encode(const LogFrameHeader& header) {
  std::string bytes(kLogFrameHeaderBytes, 'x');
  EncodeLogFrameHeader(header, kPosition, bytes.data());
  return bytes;
}

TEST(FrameTest, BytesAreAsDocumented) {
  std::string bytes = Encode(SomeHeader());
  EXPECT_EQ(bytes.substr(0, 4), "HfFr");
  EXPECT_EQ(LoadInt<uint32_t>(&bytes[4]),
            ExtendCrc32c(kPosition, bytes.substr(8)));
  EXPECT_EQ(LoadInt<uint64_t>(&bytes[8]), 0x0102030405060708u);
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(LoadInt<uint64_t>(&bytes[16 + 8 * i]), 11 + i);
  }
  EXPECT_EQ(LoadInt<uint32_t>(&bytes[48]), 0x21222324u);
  EXPECT_EQ(LoadInt<uint32_t>(&bytes[52]), 0x31323334u);
  EXPECT_EQ(LoadInt<uint32_t>(&bytes[56]), 0x41424344u);
  EXPECT_EQ(LoadInt<uint32_t>(&bytes[60]), 2u);
  auto decoded =
      DecodeLogFrameHeader(bytes + "more", SomeHeader().segment, kPosition);
  ASSERT_TRUE(decoded.has_value());
  EXPECT_EQ(*decoded, SomeHeader());
}

TEST(FrameTest, DamageAndOtherPlacesAreNoFrame) {
  LogFrameHeader header = SomeHeader();
  std::string bytes = Encode(header);
  const uint64_t segment = header.segment;
  EXPECT_FALSE(DecodeLogFrameHeader(bytes, segment + 1, kPosition).has_value());
  for (uint64_t at = 0; at < 2 * kPosition; at += kFrameAlignment) {
    EXPECT_EQ(DecodeLogFrameHeader(bytes, segment, at).has_value(),
              at == kPosition);
  }
  EXPECT_FALSE(DecodeLogFrameHeader(bytes.substr(0, 63), segment, kPosition)
                   .has_value());
  for (size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
    std::string damaged = bytes;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << bit % 8));
    EXPECT_FALSE(DecodeLogFrameHeader(damaged, segment, kPosition).has_value());
  }
  header.kind = static_cast<FrameKind>(3);
  EXPECT_FALSE(
      DecodeLogFrameHeader(Encode(header), segment, kPosition).has_value());
}

TEST(FrameTest, FramesAreAligned) {
  EXPECT_EQ(FrameBytes(0), 64u);
  EXPECT_EQ(FrameBytes(1), 128u);
  EXPECT_EQ(FrameBytes(64), 128u);
  EXPECT_EQ(FrameBytes(65), 192u);
}

TEST(FrameTest, TermRuns) {
  std::vector<TermRun> runs = {{Index(1), Term(2)}, {Index(7), Term(9)}};
  for (const auto& some : {runs, std::vector<TermRun>()}) {
    std::string body = EncodeTermRuns(some);
    EXPECT_EQ(body.size(), 4 + 16 * some.size());
    EXPECT_EQ(*DecodeTermRuns(body), some);
    EXPECT_EQ(*DecodeTermRuns(body + std::string(100, '\0')), some);
    body.pop_back();
    EXPECT_FALSE(DecodeTermRuns(body).ok());
  }
  EXPECT_FALSE(DecodeTermRuns(std::string(100, '\xff')).ok());
  EXPECT_FALSE(DecodeTermRuns("").ok());
}

}  // namespace
}  // namespace holdfast
