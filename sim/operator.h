#ifndef HOLDFAST_SIM_OPERATOR_H_
#define HOLDFAST_SIM_OPERATOR_H_

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "sim/atlas.h"
#include "sim/chance.h"
#include "sim/history.h"
#include "sim/server.h"
#include "sim/sim_client.h"
#include "sim/violation.h"
#include "sim/world.h"

namespace holdfast {

// What was asked of leaders, and done.
struct OperatorCounts {
  uint64_t joins = 0;
  uint64_t leaves = 0;
  uint64_t transfers = 0;
  uint64_t trims = 0;
  uint64_t refused = 0;   // or not known to be done
  uint64_t replaced = 0;  // disks
};

// The people who run the cluster: now and then they have a server join or
// leave, leadership transferred, or old records dropped. A server that has left
// gets a new disk after a while, and may join anew under its id.
//
// They call the leader's objects themselves, once; or they ask by clients, as
// the product's command line does: whoever leads, again and again until there
// is an answer or their patience ends. Then what they asked for may be done
// much later than it was asked for, by another leader, or twice; and now and
// then they ask for several things at once.
class Operator {
 public:
  struct Does {
    bool members = false;
    bool trims = false;
    bool transfers = false;
  };
  // `wiped`: a server's disk is about to be replaced.
  Operator(World* world, Verdict* verdict, History* history, Does does,
           std::vector<SimServer*> servers, std::function<SimServer*()> leader,
           std::function<void(SimServer*)> wiped);

  // Whether a server may leave now; optional.
  void set_may_leave(std::function<bool()> may) { may_leave_ = std::move(may); }
  // Nobody is asked to leave, and no disk replaced, whose server has what no
  // other one has.
  void set_atlas(const Atlas* atlas) { atlas_ = atlas; }
  // It asks by these, nothing for longer than until then.
  void AskBy(std::vector<SimClient*> clients, TrueTime until);
  // Whether it asked for this server to leave of late: that may still be under
  // way.
  bool IsLeaving(const SimServer& server) const;
  // Whether it asked for a server to leave within that time: that may still be
  // under way.
  bool AskedToLeaveWithin(Duration time) const {
    return any_leave_.Since(world_->now() - time);
  }
  // Somebody else has put another disk in the place of that server's.
  void DiskReplaced(const SimServer& server) {
    replaced_[server.machine()] = world_->now();
  }

  void Start();
  // Asks for nothing more; what was asked for goes on.
  void Stop() { running_ = false; }
  const OperatorCounts& counts() const { return counts_; }
  // What it was told since the last call has to be so in this configuration,
  // the last one that anybody knows to be committed.
  void CheckAnswers(const Configuration& committed);

 private:
  // What is asked: the leader, or the cluster by a client.
  struct Whom {
    SimServer* leader = nullptr;
    SimClient* client = nullptr;
  };
  // When something was asked for.
  struct Asked {
    size_t waiting = 0;            // clients' requests without an outcome
    std::optional<TrueTime> last;  // asked for, or its outcome came

    bool Since(TrueTime time) const {
      return waiting > 0 || (last.has_value() && *last > time);
    }
    void Note(TrueTime time) {
      if (!last.has_value() || *last < time) last = time;
    }
  };

  uint64_t Draw(const ChanceSite& site, uint64_t bound);
  void After(Duration delay, Task task);
  void ActLater();
  void Act();
  void ActOnce(const Whom& whom);
  void Join(const Whom& whom);
  void Leave(const Whom& whom);
  void Transfer(const Whom& whom);
  void Trim(const Whom& whom);
  // `request(to, rest...)` makes the request of a DistributedLog or a Client.
  // It is noted when that was.
  template <typename Request>
  void Ask(const Whom& whom, const std::string& what, Request request,
           const std::vector<Asked*>& asked, DoneFn done);
  // Those that it asked to leave, without an answer so far.
  std::vector<SimServer*> WaitedForToLeave() const;
  // Unless it was asked to join since.
  void Replace(SimServer* server, TrueTime since);
  // That server has joined, or left.
  void Believe(const SimServer& server, bool member, TrueTime asked);
  void Note(const Whom& whom, const std::string& what,
            const absl::Status& status);

  World* const world_;
  Verdict* const verdict_;
  History* const history_;
  const Does does_;
  const std::vector<SimServer*> servers_;
  const std::function<SimServer*()> leader_;
  const std::function<void(SimServer*)> wiped_;
  std::function<bool()> may_leave_;
  const Atlas* atlas_ = nullptr;
  std::vector<SimClient*> clients_;
  TrueTime until_;
  bool running_ = false;
  uint64_t draws_ = 0;
  std::map<MachineId, Asked> joins_;
  std::map<MachineId, Asked> leaves_;
  Asked any_leave_;
  std::map<MachineId, TrueTime> replaced_;  // disks
  struct Answer {
    const SimServer* server;
    bool member;
  };
  std::vector<Answer> answers_;
  OperatorCounts counts_;
};

}  // namespace holdfast

#endif  // HOLDFAST_SIM_OPERATOR_H_
