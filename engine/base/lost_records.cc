#include "engine/base/lost_records.h"

#include <string>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "engine/base/bytes.h"

namespace holdfast {
namespace {

// Of the error's payload: first, end, last_index.
constexpr char kPayloadUrl[] = "holdfast/lost_records";
constexpr size_t kPayloadBytes = 24;

}  // namespace

absl::Status LostRecordsError(const LostRecords& lost) {
  return MissingRecordsError(
      lost, absl::DataLossError(absl::StrCat(
                "the records from offset ", lost.first.value(), " up to ",
                lost.end.value(),
                " (exclusive) are lost: damaged on every server that had them. "
                "The log goes on at offset ",
                lost.end.value())));
}

std::optional<LostRecords> LostRecordsOf(const absl::Status& status) {
  if (!absl::IsDataLoss(status)) return std::nullopt;
  return MissingRecordsOf(status);
}

absl::Status MissingRecordsError(const LostRecords& missing, absl::Status why) {
  char payload[kPayloadBytes];
  StoreInt(payload, missing.first.value());
  StoreInt(payload + 8, missing.end.value());
  StoreInt(payload + 16, missing.last_index.value());
  why.SetPayload(kPayloadUrl,
                 absl::Cord(absl::string_view(payload, kPayloadBytes)));
  return why;
}

std::optional<LostRecords> MissingRecordsOf(const absl::Status& status) {
  const absl::optional<absl::Cord> payload = status.GetPayload(kPayloadUrl);
  if (!payload.has_value() || payload->size() != kPayloadBytes) {
    return std::nullopt;
  }
  const std::string bytes(*payload);
  return LostRecords{.first = Offset(LoadInt<uint64_t>(bytes.data())),
                     .end = Offset(LoadInt<uint64_t>(bytes.data() + 8)),
                     .last_index = Index(LoadInt<uint64_t>(bytes.data() + 16))};
}

}  // namespace holdfast
