#ifndef HOLDFAST_ENGINE_NODE_TAIL_H_
#define HOLDFAST_ENGINE_NODE_TAIL_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>

#include "engine/base/buffer.h"
#include "engine/base/entry_kind.h"
#include "engine/base/time.h"
#include "engine/base/types.h"
#include "engine/wal/entry.h"

namespace holdfast {

// The end of one server's log in memory: the payloads of its hot entries, and
// the LogPoint after each entry that isn't known to be committed, so that a
// cut of the suffix rewinds to exactly what was before it.
class Tail {
 public:
  // The point after the last entry; all zero for an empty log.
  const LogPoint& last() const { return points_.back(); }
  // The point after the last committed entry.
  const LogPoint& committed() const { return points_.front(); }

  // Makes the next entry: the same header on whichever server leads. Its
  // index is last().index + 1, its log time max(previous, now).
  Entry Seal(Term term, EntryKind kind, uint32_t record_count, WallTime now,
             Buffer payload) const;

  // Needs Continues(last(), entry.header).
  void Append(const Entry& entry);
  // Empty behind a checkpoint.
  void Reset(const LogPoint& base);
  // Drops the entries from `from` on; committed().index < from.
  void Cut(Index from);
  // The chained hash of the log up to and with that entry; nothing for one that
  // isn't in the log, or has more than kChainsKept committed ones behind it.
  std::optional<uint64_t> ChainAt(Index index) const;
  // Needs committed().index <= index <= last().index.
  const LogPoint& PointAt(Index index) const;
  // All up to `commit` are committed; never falls.
  void Commit(Index commit);
  // Payloads below `first` needn't be kept.
  void EvictBelow(Index first);

  // Null when the entry isn't in memory. Valid until the next change.
  const Entry* Find(Index index) const;
  // The entry in memory that holds the record at `offset`, or a later one if
  // none does; null when what is in memory begins behind it or ends before.
  const Entry* FindOffset(Offset offset) const;
  // The first entry in memory; last().index + 1 when there is none.
  Index hot_first() const { return last().index + 1 - hot_.size(); }

  static constexpr size_t kChainsKept = 4096;

 private:
  // Of the last committed entries before points_.front().
  std::deque<uint64_t> chains_;
  // One for each index from committed to last.
  std::deque<LogPoint> points_{LogPoint{}};
  std::deque<Entry> hot_;
};

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_NODE_TAIL_H_
