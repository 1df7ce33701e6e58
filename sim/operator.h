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
  // Whether it asked for this server to leave of late: that may still be under
  // way.
  bool IsLeaving(const SimServer& server) const;
  // Whether it asked for a server to leave within that time: that may still be
  // under way.
  bool AskedToLeaveWithin(Duration time) const {
    return last_leave_.has_value() && world_->now() - *last_leave_ < time;
  }

  void Start();
  // Asks for nothing more; what was asked for goes on.
  void Stop() { running_ = false; }
  const OperatorCounts& counts() const { return counts_; }
  // What it was told since the last call has to be so in this configuration,
  // the last one that anybody knows to be committed.
  void CheckAnswers(const Configuration& committed);

 private:
  uint64_t Draw(const ChanceSite& site, uint64_t bound);
  void After(Duration delay, Task task);
  void ActLater();
  void Act();
  void Join(SimServer* leader);
  void Leave(SimServer* leader);
  void Transfer(SimServer* leader);
  void Trim(SimServer* leader);
  void Replace(SimServer* server, TrueTime left);
  // That server has joined, or left.
  void Believe(const SimServer& server, bool member, TrueTime asked);
  void Note(const std::string& what, const absl::Status& status);

  World* const world_;
  Verdict* const verdict_;
  History* const history_;
  const Does does_;
  const std::vector<SimServer*> servers_;
  const std::function<SimServer*()> leader_;
  const std::function<void(SimServer*)> wiped_;
  std::function<bool()> may_leave_;
  const Atlas* atlas_ = nullptr;
  bool running_ = false;
  uint64_t draws_ = 0;
  std::map<MachineId, TrueTime> last_join_;  // asked for
  std::map<MachineId, TrueTime> leaves_;     // likewise
  std::optional<TrueTime> last_leave_;       // likewise
  struct Answer {
    const SimServer* server;
    bool member;
  };
  std::vector<Answer> answers_;
  OperatorCounts counts_;
};

}  // namespace holdfast

#endif  // HOLDFAST_SIM_OPERATOR_H_
