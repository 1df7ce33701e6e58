#ifndef HOLDFAST_SIM_FIRST_COMMIT_H_
#define HOLDFAST_SIM_FIRST_COMMIT_H_

#include "engine/base/time.h"
#include "engine/base/types.h"
#include "sim/bounds_checker.h"
#include "sim/margin.h"
#include "sim/server.h"
#include "sim/types.h"
#include "sim/violation.h"

namespace holdfast {

// That the first append which a leader takes, once it leads without faults, is
// committed under it in time; docs/SIMULATION.md, "Liveness", has the bound.
// How long a client may have to look for that leader isn't in it.
class FirstCommit {
 public:
  // `round_trips`: what it may take, without elections and the log's bytes.
  FirstCommit(const BoundsChecker* bounds, Verdict* verdict,
              Duration round_trips)
      : bounds_(bounds), verdict_(verdict), round_trips_(round_trips) {}

  // To be called again and again, with a leader that has committed an entry of
  // its own term. With the next leader it begins anew.
  void Look(TrueTime now, const SimServer& leader);

  // The one that came nearest to its bound.
  const Margin& worst() const { return worst_; }

 private:
  const BoundsChecker* const bounds_;
  Verdict* const verdict_;
  const Duration round_trips_;
  Term term_;
  Index before_;  // the log's end when that leader was first seen
  Index entry_;   // the append's; 0: it hasn't taken one
  TrueTime since_{};
  Duration bound_ = Duration::zero();
  bool done_ = false;
  Margin worst_;
};

}  // namespace holdfast

#endif  // HOLDFAST_SIM_FIRST_COMMIT_H_
