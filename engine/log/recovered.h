#ifndef HOLDFAST_ENGINE_LOG_RECOVERED_H_
#define HOLDFAST_ENGINE_LOG_RECOVERED_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/base/buffer.h"
#include "engine/base/types.h"

namespace holdfast {

// What a new cluster's log says of where the records before this entry came
// from: the payload of an EntryKind::kRecovered. Little-endian:
//
//    0  origin       u32
//    4  zero         u32
//    8  cluster      u64   whose records they are
//   16  last_index   u64   the last entry that was there; 0 from an image
//   24  last_term    u64   likewise
//   32  next_offset  u64   behind the last record
//   40  commit       u64   up to where entries were known to be committed
//   there;
//                          0 from an image, of which all records were
struct Recovered {
  enum class Origin : uint32_t {
    kImage = 1,   // a backup
    kServer = 2,  // the data directory of a server that was left
  };
  Origin origin = Origin::kImage;
  ClusterId cluster;
  Index last_index;
  Term last_term;
  Offset next_offset;
  Index commit;

  bool operator==(const Recovered&) const = default;
};

inline constexpr size_t kRecoveredBytes = 48;

Buffer EncodeRecovered(const Recovered& recovered);
// INVALID_ARGUMENT when the bytes aren't one.
absl::StatusOr<Recovered> DecodeRecovered(absl::string_view payload);
// For people, such as "an image of cluster 00000000000000ab".
std::string Describe(const Recovered& recovered);

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_LOG_RECOVERED_H_
