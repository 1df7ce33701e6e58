#include "engine/log/log_state.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/bytes.h"
#include "engine/base/check.h"

namespace holdfast {

Buffer EncodeTrim(Offset first) {
  Buffer payload = Buffer::Uninitialized(sizeof(uint64_t));
  StoreInt<uint64_t>(payload.data_mutable(), first.value());
  return payload;
}

absl::StatusOr<Offset> DecodeTrim(absl::string_view payload) {
  if (payload.size() != sizeof(uint64_t)) {
    return absl::InvalidArgumentError(
        absl::StrCat("a trim: expected 8 bytes, found ", payload.size()));
  }
  return Offset(LoadInt<uint64_t>(payload.data()));
}

absl::StatusOr<LogState> LogState::Of(const Checkpoint& checkpoint) {
  absl::StatusOr<Sessions> sessions = Sessions::Decode(checkpoint.state.view());
  if (!sessions.ok()) {
    return absl::DataLossError(absl::StrCat("the checkpoint at entry ",
                                            checkpoint.point.index.value(),
                                            ": ", sessions.status().message()));
  }
  LogState state;
  state.point_ = checkpoint.point;
  state.configuration_index_ = checkpoint.configuration_index;
  // Not a slice: it would pin the whole checkpoint.
  state.configuration_ = Buffer::Copy(checkpoint.configuration.view());
  state.trimmed_to_ = checkpoint.first_offset;
  state.sessions_ = *std::move(sessions);
  return state;
}

void LogState::Apply(const Entry& entry) {
  const EntryHeader& h = entry.header;
  CHECK(Continues(point_, h));
  point_ = PointAfter(h);
  if (h.kind == EntryKind::kConfiguration) {
    configuration_index_ = h.index;
    configuration_ = Buffer::Copy(entry.payload.view());
  } else if (h.kind == EntryKind::kTrim) {
    absl::StatusOr<Offset> first = DecodeTrim(entry.payload.view());
    CHECK(first.ok());
    trimmed_to_ = std::max(trimmed_to_, *first);
  }
  CHECK(sessions_.Apply(entry).ok());
  sessions_.Commit(h.index);
}

Checkpoint LogState::MakeCheckpoint() const {
  Checkpoint checkpoint;
  checkpoint.point = point_;
  checkpoint.configuration_index = configuration_index_;
  checkpoint.configuration = configuration_;
  checkpoint.first_offset = trimmed_to_;
  checkpoint.state = sessions_.Encode();
  return checkpoint;
}

}  // namespace holdfast
