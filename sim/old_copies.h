#ifndef HOLDFAST_SIM_OLD_COPIES_H_
#define HOLDFAST_SIM_OLD_COPIES_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "engine/base/types.h"
#include "sim/atlas.h"
#include "sim/server.h"
#include "sim/sim_disk.h"
#include "sim/violation.h"
#include "sim/world.h"

namespace holdfast {

// Disks that come back as they were once: a copy of a server's disk is taken,
// and put back later, in the place of what the server wrote since. The server
// has forgotten what it promised meanwhile, and must not take part.
//
// It counts as lost, so a disk is put back only when the cluster can do without
// that server: the other voters are enough for a majority, and have on disk all
// that it has. And when each other member remembers its last start, by which
// the copy is noticed (engine/node/peer_boots.h), and the server can't be
// elected without one of them: by the copy's configuration it isn't the only
// voter, and those that vote with it are still members.
//
// What is damaged on a disk (sim/damage.h) isn't had there; nor is a copy of it
// taken. A server with an older copy counts for nothing in the atlas, so its
// disk is replaced whenever it has left.
//
// Then somebody has the server leave, and gives it an empty disk.
//
// Or a server starts on an empty disk at once, under its id and as if it were
// to form the cluster: likewise only when the cluster can do without it. It
// must not get to be a part of the cluster before it has left.
//
// And disks whose last entry has become another one, of the same index and
// term, without anybody's noticing it by checksums. Its server counts as lost
// likewise, so it happens to one only without which the cluster has all that is
// committed. It never leads; it stops when it is told that a quorum has another
// log, and only then is it asked to leave; unless it is so far behind that it
// gets a checkpoint that stands for the entry, and is as good as any other.
class OldCopies {
 public:
  // `wiped`: a server's disk is about to be replaced.
  OldCopies(World* world, Verdict* verdict, std::vector<SimServer*> servers,
            std::function<SimServer*()> leader,
            std::function<void(SimServer*)> wiped, const Atlas* atlas);

  // Takes a copy of the server's disk, or puts back the one that was taken, if
  // it may be; returns whether it was put back.
  bool Strike(SimServer* server);
  // Makes the last entry on the server's disk another one, if that may be;
  // returns whether it was done. The server crashes and starts.
  bool Forge(SimServer* server);
  // Gives it an empty disk, if that may be; returns whether it was done. It
  // loses power and starts.
  bool Wipe(SimServer* server);
  // Servers with such a disk are to leave, and nobody else for now: the
  // cluster would lose one too many.
  bool under_way() const;
  // After each event of a server whose disk was put back.
  void Check(SimServer* server);

  uint64_t put_back() const { return put_back_; }
  uint64_t forged() const { return forged_; }
  uint64_t wiped() const { return wiped_count_; }
  // Servers whose disk was put back, and replaced since.
  uint64_t replaced() const { return replaced_; }
  // What the copies take.
  uint64_t memory_bytes() const;

 private:
  struct Copy {
    std::unique_ptr<DiskImage> image;
    Incarnation incarnation;
    uint32_t boot = 0;
    std::shared_ptr<const Configuration> configuration;
  };

  void Take(SimServer* server, Copy* copy);
  // The server starts with that one in its disk's place (null: an empty one),
  // and is to leave.
  void PutBack(SimServer* server, std::unique_ptr<DiskImage> image,
               bool forged);
  bool MayVoteAlone(const SimServer& server, const Copy& copy,
                    const Configuration& now) const;

  bool MayBePutBack(SimServer* server, const Copy& copy) const;
  bool MayBeForged(SimServer* server) const;
  // All other members, which are a majority of the voters, have what it has,
  // and `knows` holds of each of them.
  bool CanDoWithout(SimServer* victim,
                    absl::FunctionRef<bool(const SimServer&)> knows) const;
  bool HasAllOf(SimServer* other, const RaftCore& core) const;
  bool Remembers(const SimServer& other, const SimServer& server) const;
  SimServer* Machine(ServerId id) const;
  void LetGoLater(SimServer* server);
  void LetGo(SimServer* server);
  void Replace(SimServer* server);

  World* const world_;
  Verdict* const verdict_;
  const std::vector<SimServer*> servers_;
  const std::function<SimServer*()> leader_;
  const std::function<void(SimServer*)> wiped_;
  const Atlas* const atlas_;
  std::map<MachineId, Copy> copies_;
  // Of a server that was put back: the members that will know it for one.
  std::map<MachineId, std::set<Incarnation>> known_by_;
  std::set<MachineId> empty_;  // those that were wiped last
  Index forged_index_;         // of the last one
  uint64_t put_back_ = 0;
  uint64_t forged_ = 0;
  uint64_t wiped_count_ = 0;
  uint64_t replaced_ = 0;
};

}  // namespace holdfast

#endif  // HOLDFAST_SIM_OLD_COPIES_H_
