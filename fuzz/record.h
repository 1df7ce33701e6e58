#ifndef HOLDFAST_FUZZ_RECORD_H_
#define HOLDFAST_FUZZ_RECORD_H_

#include <cstdint>

#include "engine/base/bytes.h"

namespace holdfast {

// Eight bytes of an input that is a list of things to do to files: what, to
// which one, and where; from which other place, and with what.
struct FuzzRecord {
  explicit FuzzRecord(ByteReader* r)
      : kind(r->Int<uint8_t>()),
        file(r->Int<uint8_t>()),
        at(r->Int<uint16_t>()),
        source(r->Int<uint8_t>()),
        source_at(r->Int<uint16_t>()),
        value(r->Int<uint8_t>()) {}

  uint8_t kind;
  uint8_t file;
  uint16_t at;
  uint8_t source;
  uint16_t source_at;
  uint8_t value;
};

}  // namespace holdfast

#endif  // HOLDFAST_FUZZ_RECORD_H_
