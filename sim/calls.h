#ifndef HOLDFAST_SIM_CALLS_H_
#define HOLDFAST_SIM_CALLS_H_

#include <cstdint>
#include <string>

#include "engine/base/types.h"
#include "sim/observer.h"
#include "sim/world.h"

namespace holdfast {

// Tells whoever watches a run which operations one machine's programs call, and
// how they end. `detail` returns a text, and is called only if somebody
// watches: most runs are watched by nobody.
class Calls {
 public:
  Calls(const World* world, MachineId machine)
      : world_(world), machine_(machine) {}

  // The number of the call.
  template <typename Detail>
  uint64_t Begin(const char* what, Detail detail) {
    ++begun_;
    if (Observer* observer = world_->observer()) {
      observer->OnCall({machine_, begun_, what, detail()});
    }
    return begun_;
  }
  // `shown`: how long the log was then, as it showed; 0: it showed nothing.
  template <typename Detail>
  void End(uint64_t call, CallEnd end, Detail detail,
           Offset shown = Offset()) const {
    if (Observer* observer = world_->observer()) {
      observer->OnReturn(machine_, call, end, detail(), shown.value());
    }
  }

 private:
  const World* const world_;
  const MachineId machine_;
  uint64_t begun_ = 0;
};

}  // namespace holdfast

#endif  // HOLDFAST_SIM_CALLS_H_
