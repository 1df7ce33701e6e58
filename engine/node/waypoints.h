#ifndef HOLDFAST_ENGINE_NODE_WAYPOINTS_H_
#define HOLDFAST_ENGINE_NODE_WAYPOINTS_H_

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/base/buffer.h"
#include "engine/base/callback_scope.h"
#include "engine/base/types.h"
#include "engine/env/completion.h"
#include "engine/env/disk.h"
#include "engine/wal/checkpoint_file.h"
#include "engine/wal/replaced_file.h"

namespace holdfast {

// What committed prefixes of a server's log amount to that it still has: for
// each, about one every segment, a checkpoint without machine and map in a file
// of its own. With it the log can be made to begin behind that prefix without
// anybody's reading it. Nothing is lost with one but that.
class Waypoints {
 public:
  Waypoints(Disk* disk, Incarnation owner) : disk_(disk), owner_(owner) {}

  // Finds those that are there. Once, and before all else.
  void Open(DoneFn done);

  // The greatest index up to `up_to` that has one; 0: none.
  Index Floor(Index up_to) const;
  const std::set<Index>& indexes() const { return indexes_; }

  // Durable when done; stamps the owner. The prefix is committed and durable
  // already. One at a time.
  void Write(Checkpoint checkpoint, DoneFn done);

  // Of an index that has one. An error: it can't be read, or isn't what it
  // should be. A second one at a time drops the first one's completion.
  void Read(Index index, ResultFn<Checkpoint> done);

  // One that couldn't be read, or makes no sense: it is none any more.
  void Discard(Index index);

  // Nobody needs those up to `last` any more. What can't be removed is left to
  // the next start.
  void RemoveTo(Index last);

  struct Stats {
    uint64_t written = 0;
    uint64_t damaged = 0;
    uint64_t removed = 0;

    template <typename Fn>  // fn(name, value)
    void ForEach(Fn fn) const {
      fn("waypoint_written", written);
      fn("waypoint_damaged", damaged);
      fn("waypoint_removed", removed);
    }
  };
  const Stats& stats() const { return stats_; }

 private:
  void OnRead(Index index, const absl::StatusOr<Buffer>& bytes,
              ResultFn<Checkpoint> done);
  void Remove(const std::string& name);

  Disk* const disk_;
  const Incarnation owner_;
  std::set<Index> indexes_;
  std::unique_ptr<ReplacedFile> writing_;
  std::unique_ptr<ReplacedFile> reading_;
  Stats stats_;
  CallbackScope scope_;
};

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_NODE_WAYPOINTS_H_
