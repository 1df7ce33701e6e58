#ifndef HOLDFAST_ENGINE_LOG_OUTCOME_H_
#define HOLDFAST_ENGINE_LOG_OUTCOME_H_

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "engine/base/time.h"
#include "engine/base/types.h"

namespace holdfast {

// How long a leader without room for more records asks a client to wait: until
// then it may have looked for some.
inline constexpr Duration kRetryAfterNoSpace = 250ms;

// What became of an append. Exactly one of:
//   kCommitted   its records are in the log for ever, from `offset` on
//   kRejected    it is not in the log and never will be through this call
//   kUnknown     it may be in the log, now or later; repeating it with the
//                same session and sequence tells
//   kNotLeader   this server did not append it; the leader may
//   kOverloaded  this server did not append it: too much is waiting already;
//                worth repeating after `retry_after`; or kNoSpace
struct AppendOutcome {
  enum class Kind : uint8_t {
    kCommitted = 1,
    kRejected = 2,
    kUnknown = 3,
    kNotLeader = 4,
    kOverloaded = 5,
  };
  enum class Reason : uint8_t {
    kNone = 0,
    kMalformed = 1,    // not a batch, or too large: repeating won't help
    kSequenceGap = 2,  // an earlier sequence of the session must come first
    kWrongOffset = 3,  // the log's end isn't where the append expected it
    // kOverloaded: a disk is full, or the log as long as it may become; so
    // until somebody makes room or trims it.
    kNoSpace = 6,
    // kUnknown, final: the session isn't one that the log knows; this call has
    // appended nothing, but an earlier one may have.
    kUnknownSession = 7,
  };

  Kind kind = Kind::kUnknown;
  Reason reason = Reason::kNone;
  Offset offset;  // kCommitted; kWrongOffset: the log's end
  Duration retry_after = Duration::zero();  // kOverloaded
  // kUnknown: repeating it won't tell more either.
  bool final = false;
  std::string message;  // for people; empty when committed
  // kCommitted: what the log's StateMachine returned for the batch. Nothing: it
  // has none, or the batch had been applied before, by an earlier call.
  std::optional<std::string> result;

  static AppendOutcome Committed(Offset offset) {
    AppendOutcome o;
    o.kind = Kind::kCommitted;
    o.offset = offset;
    return o;
  }
  static AppendOutcome Rejected(Reason reason, std::string message) {
    AppendOutcome o;
    o.kind = Kind::kRejected;
    o.reason = reason;
    o.message = std::move(message);
    return o;
  }
  static AppendOutcome Unknown(std::string message) {
    AppendOutcome o;
    o.message = std::move(message);
    return o;
  }
  static AppendOutcome Forgotten(std::string message) {
    AppendOutcome o = Unknown(std::move(message));
    o.final = true;
    return o;
  }
  static AppendOutcome UnknownSession(std::string message) {
    AppendOutcome o = Forgotten(std::move(message));
    o.reason = Reason::kUnknownSession;
    return o;
  }
  static AppendOutcome NotLeader(std::string message) {
    AppendOutcome o;
    o.kind = Kind::kNotLeader;
    o.message = std::move(message);
    return o;
  }
  static AppendOutcome Overloaded(Duration retry_after, std::string message) {
    AppendOutcome o;
    o.kind = Kind::kOverloaded;
    o.retry_after = retry_after;
    o.message = std::move(message);
    return o;
  }
};

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_LOG_OUTCOME_H_
