#include "engine/base/crc32c.h"

#include <cstdint>
#include <string>

#include "engine/base/random.h"
#include "gtest/gtest.h"

namespace holdfast {
namespace {

using internal::ConcatCrc32cPortable;
using internal::ExtendCrc32cPortable;

std::string RandomBytes(size_t n, uint64_t seed) {
  std::string bytes(n, '\0');
  const DrawKey key{.seed = seed, .site = Site("crc32c_test"), .actor = 0};
  for (size_t i = 0; i < n; ++i) bytes[i] = static_cast<char>(Draw(key, i));
  return bytes;
}

// RFC 3720, appendix B.4.
TEST(Crc32c, GivesTheValuesOfTheStandard) {
  EXPECT_EQ(Crc32c(""), 0u);
  EXPECT_EQ(Crc32c("123456789"), 0xe3069283u);
  EXPECT_EQ(Crc32c(std::string(32, '\0')), 0x8a9136aau);
  EXPECT_EQ(Crc32c(std::string(32, '\xff')), 0x62a8ab43u);
  std::string rising;
  std::string falling;
  for (int i = 0; i < 32; ++i) {
    rising.push_back(static_cast<char>(i));
    falling.push_back(static_cast<char>(31 - i));
  }
  EXPECT_EQ(Crc32c(rising), 0x46dd794eu);
  EXPECT_EQ(Crc32c(falling), 0x113fdb5cu);
}

TEST(Crc32c, BothImplementationsAgreeAtAllLengthsAndAlignments) {
  const std::string bytes = RandomBytes(4096, 1);
  for (size_t n = 0; n < 1700; n = n < 40 ? n + 1 : n + 37) {
    for (size_t at = 0; at < 9; ++at) {
      const absl::string_view part = absl::string_view(bytes).substr(at, n);
      EXPECT_EQ(Crc32c(part), ExtendCrc32cPortable(0, part)) << n << " " << at;
    }
  }
}

TEST(Crc32c, ExtendsByConcatenation) {
  const std::string bytes = RandomBytes(3000, 2);
  const uint32_t whole = Crc32c(bytes);
  for (size_t n = 0; n <= bytes.size(); n += 61) {
    const absl::string_view front = absl::string_view(bytes).substr(0, n);
    const absl::string_view back = absl::string_view(bytes).substr(n);
    EXPECT_EQ(ExtendCrc32c(Crc32c(front), back), whole);
    EXPECT_EQ(ExtendCrc32cPortable(ExtendCrc32cPortable(0, front), back),
              whole);
  }
}

TEST(Crc32c, ConcatenatesChecksums) {
  const std::string bytes = RandomBytes(9000, 3);
  for (size_t n = 0; n <= bytes.size(); n = n < 300 ? n + 1 : n + 61) {
    for (uint32_t front : {0u, 1u, 0x80000000u, Crc32c("front"), ~0u}) {
      const absl::string_view back = absl::string_view(bytes).substr(0, n);
      const uint32_t whole = ExtendCrc32c(front, back);
      EXPECT_EQ(ConcatCrc32c(front, Crc32c(back), n), whole) << n;
      EXPECT_EQ(ConcatCrc32cPortable(front, Crc32c(back), n), whole) << n;
    }
  }
  // More bytes than there is memory for: twice as many in two steps.
  for (size_t n = 1; n < size_t{1} << 62; n *= 3) {
    const uint32_t zeroes = ConcatCrc32c(0, 0xabcdef01, n);
    EXPECT_EQ(ConcatCrc32c(0x12345678, ConcatCrc32c(zeroes, 0x99, n), 2 * n),
              ConcatCrc32c(ConcatCrc32c(0x12345678, zeroes, n), 0x99, n));
    EXPECT_EQ(ConcatCrc32cPortable(0x12345678, 0x99, n),
              ConcatCrc32c(0x12345678, 0x99, n));
  }
}

}  // namespace
}  // namespace holdfast
