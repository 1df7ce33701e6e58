#include "engine/log/recovered.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/base/bytes.h"

namespace holdfast {

Buffer EncodeRecovered(const Recovered& recovered) {
  Buffer payload = Buffer::Uninitialized(kRecoveredBytes);
  ByteWriter w(payload.data_mutable(), payload.size());
  w.Int<uint32_t>(static_cast<uint32_t>(recovered.origin));
  w.Int<uint32_t>(0);
  w.Int<uint64_t>(recovered.cluster.value());
  w.Int<uint64_t>(recovered.last_index.value());
  w.Int<uint64_t>(recovered.last_term.value());
  w.Int<uint64_t>(recovered.next_offset.value());
  w.Int<uint64_t>(recovered.commit.value());
  return payload;
}

absl::StatusOr<Recovered> DecodeRecovered(absl::string_view payload) {
  if (payload.size() != kRecoveredBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("where a log came from: expected ", kRecoveredBytes,
                     " bytes, found ", payload.size()));
  }
  ByteReader r(payload);
  const uint32_t origin = r.Int<uint32_t>();
  const uint32_t zero = r.Int<uint32_t>();
  if (origin != static_cast<uint32_t>(Recovered::Origin::kImage) &&
      origin != static_cast<uint32_t>(Recovered::Origin::kServer)) {
    return absl::InvalidArgumentError(
        absl::StrCat("where a log came from: expected 1 or 2, found ", origin));
  }
  if (zero != 0) {
    return absl::InvalidArgumentError(
        "where a log came from: its reserved bytes aren't zero");
  }
  Recovered recovered;
  recovered.origin = static_cast<Recovered::Origin>(origin);
  recovered.cluster = ClusterId(r.Int<uint64_t>());
  recovered.last_index = Index(r.Int<uint64_t>());
  recovered.last_term = Term(r.Int<uint64_t>());
  recovered.next_offset = Offset(r.Int<uint64_t>());
  recovered.commit = Index(r.Int<uint64_t>());
  return recovered;
}

std::string Describe(const Recovered& recovered) {
  const std::string cluster = absl::StrCat(
      "cluster ", absl::Hex(recovered.cluster.value(), absl::kZeroPad16));
  if (recovered.origin == Recovered::Origin::kImage) {
    return absl::StrCat("an image of ", cluster);
  }
  return absl::StrCat(
      "a server of ", cluster, ": last entry ", recovered.last_index.value(),
      " of term ", recovered.last_term.value(), ", next offset ",
      recovered.next_offset.value(), ", known to be committed up to entry ",
      recovered.commit.value(), ", ", recovered.last_index - recovered.commit,
      " entries beyond it");
}

}  // namespace holdfast
