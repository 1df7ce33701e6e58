#ifndef HOLDFAST_ENGINE_RAFT_TRAIL_H_
#define HOLDFAST_ENGINE_RAFT_TRAIL_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "engine/base/configuration.h"
#include "engine/base/types.h"
#include "engine/raft/message.h"

namespace holdfast {

// The core's picture of the log: the term of every entry (as runs), the
// configurations in it, and index, term, size and kind of the entries of a
// "hot window" at its end, the entries whose payloads the driver holds in
// memory. Used by the core, and by the driver while it recovers a log:
//
//   Trail trail;                       // or with a checkpoint's last entry
//   for each entry found on disk {
//     trail.Append(meta);
//     trail.Evict(options.hot_bytes, meta.index);
//     ... forget payloads below trail.hot_first() ...
//   }
class Trail {
 public:
  struct Run {
    Index first;
    Term term;
    bool operator==(const Run&) const = default;
  };
  struct ConfigurationAt {
    Index index;
    std::shared_ptr<const Configuration> configuration;
  };

  // Empty log, nothing before it.
  Trail();
  // Empty log behind a checkpoint that stands for all up to base_index, whose
  // last entry had base_term, and the latest configuration up to there.
  Trail(Index base_index, Term base_term, ConfigurationAt configuration);
  // A log of which nothing is hot: the runs are those of all its entries, from
  // base_index + 1 to last_index, and the configuration the latest among them.
  Trail(Index base_index, Term base_term, std::vector<Run> runs,
        Index last_index, ConfigurationAt configuration);

  // The entry before the first kept one; 0 and 0 when the log is whole.
  Index base_index() const { return base_index_; }
  Term base_term() const { return base_term_; }
  // Of the last entry; base_index() and base_term() when there is none.
  Index last_index() const { return last_index_; }
  Term last_term() const {
    return runs_.empty() ? base_term_ : runs_.back().term;
  }
  // Ascending; the first run starts at base_index() + 1.
  const std::vector<Run>& runs() const { return runs_; }

  // Needs base_index() <= index <= last_index().
  Term TermAt(Index index) const;
  // Whether the log has this very entry (or has it behind its base).
  bool Has(Index index, Term term) const;
  // The greatest index at or below min(index, last_index()) whose term is at
  // most `term`; at least base_index(). The step of fast backtracking.
  Index LastAtOrBelow(Index index, Term term) const;

  // The next entry: meta.index == last_index() + 1, meta.term >= last_term().
  void Append(const EntryMeta& meta);
  // Drops the entries from `from` on; base_index() < from.
  void Cut(Index from);
  // Drops the entries up to `up_to`, at most last_index(): base_index() then,
  // if it wasn't more.
  void DropTo(Index up_to);

  // The hot window is [hot_first(), last_index()]; empty when hot_first() is
  // last_index() + 1.
  Index hot_first() const { return hot_first_; }
  // Estimated memory behind the hot entries.
  uint64_t hot_bytes() const { return hot_bytes_; }
  // Needs hot_first() <= index <= last_index(). Valid until the next change.
  const EntryMeta* Hot(Index index) const;
  // Makes entries at or below `up_to` cold while more than max_bytes are hot.
  void Evict(uint64_t max_bytes, Index up_to);

  // Ascending; holds at least the latest at or below any commit index seen by
  // ForgetConfigurationsBefore, and all later ones.
  const std::vector<ConfigurationAt>& configurations() const {
    return configurations_;
  }
  // The latest one at or below index; an empty one at index 0 if none.
  const ConfigurationAt& ConfigurationAtOrBelow(Index index) const;
  // Drops configurations that a later one at or below `committed` replaced.
  void ForgetConfigurationsBefore(Index committed);

  // What an entry is taken to cost in memory beyond its size.
  static constexpr uint64_t kHotOverheadBytes = 128;

 private:
  Index base_index_;
  Term base_term_;
  Index last_index_;
  std::vector<Run> runs_;
  std::vector<ConfigurationAt> configurations_;

  // A vector with a dead front: contiguous, no allocation per entry.
  std::vector<EntryMeta> hot_;
  size_t hot_dead_ = 0;
  Index hot_first_ = Index(1);
  uint64_t hot_bytes_ = 0;
};

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_RAFT_TRAIL_H_
