#include "engine/base/crc32c.h"

#include <array>
#include <cstddef>

#include "engine/base/bytes.h"

#if defined(__x86_64__)
#include <nmmintrin.h>
#include <wmmintrin.h>
#endif

namespace holdfast {
namespace {

constexpr uint32_t kPolynomial = 0x82f63b78u;

constexpr std::array<std::array<uint32_t, 256>, 8> MakeTables() {
  std::array<std::array<uint32_t, 256>, 8> tables{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) {
      crc = (crc >> 1) ^ ((crc & 1) != 0 ? kPolynomial : 0);
    }
    tables[0][i] = crc;
  }
  for (uint32_t i = 0; i < 256; ++i) {
    for (size_t k = 1; k < 8; ++k) {
      uint32_t before = tables[k - 1][i];
      tables[k][i] = (before >> 8) ^ tables[0][before & 0xff];
    }
  }
  return tables;
}
constexpr auto kTables = MakeTables();

// The product of two polynomials modulo the CRC's. Bit 31 - i of each is the
// coefficient of x^i, as in a CRC.
constexpr uint32_t Multiply(uint32_t a, uint32_t b) {
  uint32_t product = 0;
  for (uint32_t bit = 1u << 31; bit != 0; bit >>= 1) {
    if ((a & bit) != 0) product ^= b;
    b = (b >> 1) ^ ((b & 1) != 0 ? kPolynomial : 0);  // times x
  }
  return product;
}

// [k]: x to the power of 8 * 2^k, by which 2^k bytes more multiply a CRC.
constexpr std::array<uint32_t, 64> MakePowers() {
  std::array<uint32_t, 64> powers{};
  uint32_t power = 1u << 23;  // x^8
  for (uint32_t& each : powers) {
    each = power;
    power = Multiply(power, power);
  }
  return powers;
}
constexpr auto kPowers = MakePowers();

#if defined(__x86_64__)

// Three independent streams of kStride bytes hide the instruction's latency
// of three cycles; each is then shifted over the bytes behind it by a table.
constexpr size_t kStride = 256;

// The matrix that a CRC register goes through over `zeroes` zero bytes, as
// four tables of one byte each.
constexpr std::array<std::array<uint32_t, 256>, 4> MakeShift(size_t zeroes) {
  std::array<uint32_t, 32> column{};
  for (int bit = 0; bit < 32; ++bit) {
    uint32_t crc = 1u << bit;
    for (size_t i = 0; i < zeroes; ++i) {
      crc = (crc >> 8) ^ kTables[0][crc & 0xff];
    }
    column[static_cast<size_t>(bit)] = crc;
  }
  std::array<std::array<uint32_t, 256>, 4> shift{};
  for (size_t byte = 0; byte < 4; ++byte) {
    for (uint32_t value = 0; value < 256; ++value) {
      uint32_t crc = 0;
      for (size_t bit = 0; bit < 8; ++bit) {
        if ((value >> bit & 1) != 0) crc ^= column[byte * 8 + bit];
      }
      shift[byte][value] = crc;
    }
  }
  return shift;
}
constexpr auto kShift = MakeShift(kStride);

uint32_t ShiftByStride(uint32_t crc) {
  return kShift[0][crc & 0xff] ^ kShift[1][crc >> 8 & 0xff] ^
         kShift[2][crc >> 16 & 0xff] ^ kShift[3][crc >> 24];
}

__attribute__((target("sse4.2"))) uint32_t ExtendBySse42(
    uint32_t crc, absl::string_view bytes) {
  const char* at = bytes.data();
  size_t left = bytes.size();
  uint64_t a = ~crc;
  while (left >= 3 * kStride) {
    uint64_t b = 0;
    uint64_t c = 0;
    for (size_t i = 0; i < kStride; i += 8) {
      a = _mm_crc32_u64(a, LoadInt<uint64_t>(at + i));
      b = _mm_crc32_u64(b, LoadInt<uint64_t>(at + kStride + i));
      c = _mm_crc32_u64(c, LoadInt<uint64_t>(at + 2 * kStride + i));
    }
    a = ShiftByStride(static_cast<uint32_t>(a)) ^ b;
    a = ShiftByStride(static_cast<uint32_t>(a)) ^ c;
    at += 3 * kStride;
    left -= 3 * kStride;
  }
  for (; left >= 8; at += 8, left -= 8) {
    a = _mm_crc32_u64(a, LoadInt<uint64_t>(at));
  }
  uint32_t rest = static_cast<uint32_t>(a);
  for (; left > 0; ++at, --left) {
    rest = _mm_crc32_u8(rest, static_cast<uint8_t>(*at));
  }
  return ~rest;
}

// kPowers, each divided by x^33: what Multiply's two instructions here multiply
// by besides.
constexpr std::array<uint32_t, 64> MakeFactors() {
  std::array<uint32_t, 64> factors = kPowers;
  for (uint32_t& factor : factors) {
    for (int i = 0; i < 33; ++i) {
      const bool carry = (factor >> 31) != 0;
      factor = (carry ? factor ^ kPolynomial : factor) << 1 | (carry ? 1 : 0);
    }
  }
  return factors;
}
constexpr auto kFactors = MakeFactors();

__attribute__((target("sse4.2,pclmul"))) uint32_t ConcatByPclmul(
    uint32_t crc, uint32_t crc_of_bytes, size_t size) {
  for (size_t k = 0; size != 0; ++k, size >>= 1) {
    if ((size & 1) == 0) continue;
    const __m128i product = _mm_clmulepi64_si128(
        _mm_cvtsi32_si128(static_cast<int>(crc)),
        _mm_cvtsi32_si128(static_cast<int>(kFactors[k])), 0);
    crc = static_cast<uint32_t>(
        _mm_crc32_u64(0, static_cast<uint64_t>(_mm_cvtsi128_si64(product))));
  }
  return crc ^ crc_of_bytes;
}

#endif  // __x86_64__

}  // namespace

namespace internal {

uint32_t ExtendCrc32cPortable(uint32_t crc, absl::string_view bytes) {
  const char* at = bytes.data();
  size_t left = bytes.size();
  crc = ~crc;
  for (; left >= 8; at += 8, left -= 8) {
    uint64_t word = LoadInt<uint64_t>(at) ^ crc;
    crc = 0;
    for (size_t k = 0; k < 8; ++k) {
      crc ^= kTables[7 - k][word >> (8 * k) & 0xff];
    }
  }
  for (; left > 0; ++at, --left) {
    crc = (crc >> 8) ^ kTables[0][(crc ^ static_cast<uint8_t>(*at)) & 0xff];
  }
  return ~crc;
}

uint32_t ConcatCrc32cPortable(uint32_t crc, uint32_t crc_of_bytes,
                              size_t size) {
  for (size_t k = 0; size != 0; ++k, size >>= 1) {
    if ((size & 1) != 0) crc = Multiply(crc, kPowers[k]);
  }
  return crc ^ crc_of_bytes;
}

}  // namespace internal

uint32_t ExtendCrc32c(uint32_t crc, absl::string_view bytes) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("sse4.2")) return ExtendBySse42(crc, bytes);
#endif
  return internal::ExtendCrc32cPortable(crc, bytes);
}

uint32_t ConcatCrc32c(uint32_t crc, uint32_t crc_of_bytes, size_t size) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul")) {
    return ConcatByPclmul(crc, crc_of_bytes, size);
  }
#endif
  return internal::ConcatCrc32cPortable(crc, crc_of_bytes, size);
}

uint32_t Crc32c(absl::string_view bytes) { return ExtendCrc32c(0, bytes); }

}  // namespace holdfast
