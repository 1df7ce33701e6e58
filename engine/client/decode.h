#ifndef HOLDFAST_ENGINE_CLIENT_DECODE_H_
#define HOLDFAST_ENGINE_CLIENT_DECODE_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/base/buffer.h"
#include "engine/base/lost_records.h"
#include "engine/base/types.h"
#include "engine/client/types.h"
#include "engine/peer/client.pb.h"
#include "engine/peer/message.h"

namespace holdfast {

// What a client makes of servers' answers. Internal to the client.

// The batches of a ReadAnswer or TailData: intact, the first one holding
// `from`, each following the one before. DATA_LOSS or INVALID_ARGUMENT else.
absl::StatusOr<std::vector<LogBatch>> DecodeLogBatches(const Buffer& payload,
                                                       uint32_t count,
                                                       Offset from);

// INVALID_ARGUMENT when the message isn't of this type, or can't be read.
template <typename Answer>
absl::Status ParseAnswer(const MessageView& message, WireType type,
                         Answer* answer) {
  if (message.type == type &&
      answer->ParseFromArray(message.header.data(),
                             static_cast<int>(message.header.size()))) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError("an answer can't be read");
}

// Why a request came to nothing. UNAVAILABLE for what may be tried again.
absl::Status CodeToStatus(wire::Code code, absl::string_view text);
// Whether it is for somebody else to answer that: for whoever leads.
inline bool LeadsNoMore(wire::Code code) {
  return code == wire::CODE_NOT_LEADER || code == wire::CODE_STOPPING;
}
// As CodeToStatus, of an answer that may be CODE_RECORDS_LOST.
template <typename Answer>
absl::Status WhyNot(const Answer& answer) {
  if (answer.code() != wire::CODE_RECORDS_LOST) {
    return CodeToStatus(answer.code(), answer.text());
  }
  return LostRecordsError(
      {.first = Offset(answer.lost_from()), .end = Offset(answer.lost_end())});
}

ServerStatus DecodeStatus(const wire::StatusAnswer& answer);

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_CLIENT_DECODE_H_
