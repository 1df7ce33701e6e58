#ifndef HOLDFAST_ENGINE_BASE_LOST_RECORDS_H_
#define HOLDFAST_ENGINE_BASE_LOST_RECORDS_H_

#include <optional>

#include "absl/status/status.h"
#include "engine/base/types.h"

namespace holdfast {

// Records that were committed and can't be read: their places are damaged. The
// log goes on behind them.
struct LostRecords {
  Offset first;
  Offset end;        // behind the last one
  Index last_index;  // of the last entry that held them; 0 at a client

  bool operator==(const LostRecords&) const = default;
};

// DATA_LOSS, for whoever wants to read one of them: no server has them.
absl::Status LostRecordsError(const LostRecords& lost);
// Of such an error; nothing: it is another one.
std::optional<LostRecords> LostRecordsOf(const absl::Status& status);

// The same for records that another server may have, which can't help now.
absl::Status MissingRecordsError(const LostRecords& missing, absl::Status why);
// Of either error.
std::optional<LostRecords> MissingRecordsOf(const absl::Status& status);

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_BASE_LOST_RECORDS_H_
