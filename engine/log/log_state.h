#ifndef HOLDFAST_ENGINE_LOG_LOG_STATE_H_
#define HOLDFAST_ENGINE_LOG_LOG_STATE_H_

#include "absl/status/statusor.h"
#include "engine/base/buffer.h"
#include "engine/base/types.h"
#include "engine/log/sessions.h"
#include "engine/wal/checkpoint_file.h"
#include "engine/wal/entry.h"

namespace holdfast {

// What a committed prefix of the log amounts to, but for its records: what a
// checkpoint holds. Rolled forward entry by entry.
class LogState {
 public:
  // Of the empty log.
  LogState() = default;
  // DATA_LOSS when the checkpoint's state isn't one.
  static absl::StatusOr<LogState> Of(const Checkpoint& checkpoint);

  const LogPoint& point() const { return point_; }
  const Sessions& sessions() const { return sessions_; }
  // The first offset that trims have left.
  Offset trimmed_to() const { return trimmed_to_; }

  // The next entry, which must continue the prefix.
  void Apply(const Entry& entry);
  Checkpoint MakeCheckpoint() const;

 private:
  LogPoint point_;
  Index configuration_index_;
  Buffer configuration_;  // encoded
  Offset trimmed_to_;
  Sessions sessions_;
};

// The payload of a trim: the first offset to keep.
Buffer EncodeTrim(Offset first);
// INVALID_ARGUMENT when the bytes aren't one.
absl::StatusOr<Offset> DecodeTrim(absl::string_view payload);

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_LOG_LOG_STATE_H_
