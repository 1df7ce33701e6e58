#ifndef HOLDFAST_SIM_CATCH_UP_H_
#define HOLDFAST_SIM_CATCH_UP_H_

#include <algorithm>
#include <cstdint>
#include <map>
#include <utility>

#include "engine/base/time.h"
#include "engine/base/types.h"
#include "engine/raft/core.h"
#include "sim/bounds_checker.h"
#include "sim/server.h"
#include "sim/types.h"
#include "sim/violation.h"

namespace holdfast {

// What it takes to get so much of a log to a follower's disk, window after
// window, where nothing goes wrong.
Duration SendingTime(uint64_t log_bytes, const RaftOptions& raft);

// That servers which lag when faults have stopped catch up within what the
// bytes that they lack take, and a constant; docs/SIMULATION.md, "What is
// checked", has the bound.
class CatchUp {
 public:
  struct Worst {
    uint64_t laggards = 0;
    uint64_t bytes = 0;  // that one of them lacked
    Duration took = Duration::zero();
    int64_t percent = 0;  // of its bound
  };

  CatchUp(const BoundsChecker* bounds, Verdict* verdict)
      : bounds_(bounds), verdict_(verdict) {}

  // Notes what members lack of what is committed, the first time that they are
  // seen under this leader; and who has caught up meanwhile. `server_of` gives
  // a member's machine.
  template <typename Fn>
  void Look(TrueTime now, const SimServer& leader, Fn server_of) {
    Under(leader);
    for (const Member& member : leader.node().configuration()->Everyone()) {
      if (member.id != leader.id()) {
        LookAt(now, leader, member, *server_of(member.id));
      }
    }
  }

  const Worst& worst() const { return worst_; }

 private:
  struct Laggard {
    TrueTime since{};
    Index to;
    bool by_checkpoint = false;
    uint64_t bytes = 0;
    Duration bound = Duration::zero();
    bool caught_up = false;
  };

  void Under(const SimServer& leader);
  void LookAt(TrueTime now, const SimServer& leader, const Member& member,
              const SimServer& server);
  Laggard Note(TrueTime now, const SimServer& leader, const Member& member,
               const SimServer& server) const;

  const BoundsChecker* const bounds_;
  Verdict* const verdict_;
  Term term_;
  // A server with a new disk is another one.
  std::map<std::pair<ServerId, Incarnation>, Laggard> laggards_;
  Worst worst_;
};

}  // namespace holdfast

#endif  // HOLDFAST_SIM_CATCH_UP_H_
