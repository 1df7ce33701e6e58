#ifndef HOLDFAST_ENGINE_LOG_SESSIONS_H_
#define HOLDFAST_ENGINE_LOG_SESSIONS_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/base/buffer.h"
#include "engine/base/time.h"
#include "engine/base/types.h"
#include "engine/wal/entry.h"

namespace holdfast {

// What producers' sessions have appended: a pure function of the log's
// prefix, kept for the log's very end (committed or not), and rewound when a
// suffix is cut. With it the leader decides, when a batch arrives, whether it
// is new, a repetition, or out of order (Ongaro's thesis, section 6.3).
//
// A session's id is the index of the entry that registered it. Its batches
// are numbered 1, 2, 3, ...; it remembers the places of the last
// kResultsKept of them. It ends when a later registration finds it idle for too
// long, or finds too many: by the limits in that entry, and by log time, so
// that all servers agree.
struct SessionLimits {
  Duration idle_max = 24h;
  uint32_t count_max = 1024;  // at least 1

  bool operator==(const SessionLimits&) const = default;
};
// The payload of a registration.
Buffer EncodeSessionLimits(const SessionLimits& limits);
// INVALID_ARGUMENT when the bytes aren't one.
absl::StatusOr<SessionLimits> DecodeSessionLimits(absl::string_view payload);

class Sessions {
 public:
  static constexpr size_t kResultsKept = 1024;

  // Where a batch went.
  struct Result {
    Index index;
    Offset base_offset;
  };

  enum class Verdict {
    kNew,             // the next one of its session: append it
    kDuplicate,       // appended before: `result` says where
    kForgotten,       // appended before, longer ago than results are kept
    kGap,             // `expected` is the sequence that must come first
    kUnknownSession,  // never registered in this log, or ended
  };
  struct Answer {
    Verdict verdict = Verdict::kUnknownSession;
    Result result;
    Sequence expected;
  };

  Answer Check(SessionId session, Sequence sequence) const;

  // The log's next entry, of any kind. FAILED_PRECONDITION, and nothing
  // changes: a batch that isn't its session's next one; INVALID_ARGUMENT: its
  // payload isn't one of its kind.
  absl::Status Apply(const Entry& entry);
  // The log's next entry is a registration, at that log time.
  void Register(Index index, WallTime at, const SessionLimits& limits);
  // The log's next entry is a batch of `session`, which must be its next one
  // (Check says kNew); returns false, and changes nothing, if it isn't.
  bool Record(SessionId session, Sequence sequence, const Result& result,
              WallTime at);
  // The log's next entry says that entries before it are lost: all end.
  void EndAll(Index index);
  // The log lost its entries from `from` on.
  void Cut(Index from);
  // Entries up to `commit` will never be cut.
  void Commit(Index commit);

  size_t size() const { return sessions_.size(); }
  // Sessions that have ended, by entries that this object was told of.
  uint64_t ended() const { return ended_; }

  // All of it but how to take entries back: for checkpoints, of a committed
  // prefix. One value has one encoding.
  Buffer Encode() const;
  // INVALID_ARGUMENT when the bytes aren't one.
  static absl::StatusOr<Sessions> Decode(absl::string_view bytes);

 private:
  struct Session {
    Sequence last;
    WallTime active;             // log time of its last entry
    std::deque<Result> results;  // of the sequences up to `last`
  };
  // How to take back what the entry at `index` did.
  struct Undo {
    Index index;
    SessionId session;
    bool registered = false;
    bool ended_all = false;
    std::optional<Result> displaced;  // the result that fell off the front
    WallTime active;                  // before
    std::vector<std::pair<SessionId, Session>> ended;
  };

  absl::btree_map<SessionId, Session> sessions_;
  std::deque<Undo> undos_;
  uint64_t ended_ = 0;
};

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_LOG_SESSIONS_H_
