#ifndef HOLDFAST_ENGINE_BASE_CRC32C_H_
#define HOLDFAST_ENGINE_BASE_CRC32C_H_

#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"

namespace holdfast {

// CRC-32C (Castagnoli), as in RFC 3720, appendix B.4: reflected polynomial
// 0x82f63b78, all ones at start and end. Crc32c("123456789") is 0xe3069283.
// Uses the processor's instruction where there is one.
uint32_t Crc32c(absl::string_view bytes);

// The checksum of the concatenation of what `crc` covered and `bytes`.
// ExtendCrc32c(0, b) is Crc32c(b).
uint32_t ExtendCrc32c(uint32_t crc, absl::string_view bytes);

// The same, from those bytes' checksum and their number, in a time that grows
// with the number's logarithm. ConcatCrc32c(crc, Crc32c(b), b.size()) is
// ExtendCrc32c(crc, b).
uint32_t ConcatCrc32c(uint32_t crc, uint32_t crc_of_bytes, size_t size);

namespace internal {
// The portable forms, for tests and for other processors.
uint32_t ExtendCrc32cPortable(uint32_t crc, absl::string_view bytes);
uint32_t ConcatCrc32cPortable(uint32_t crc, uint32_t crc_of_bytes, size_t size);
}  // namespace internal

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_BASE_CRC32C_H_
