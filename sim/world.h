#ifndef HOLDFAST_SIM_WORLD_H_
#define HOLDFAST_SIM_WORLD_H_

#include <cstdint>

#include "sim/chance.h"
#include "sim/scheduler.h"
#include "sim/trace.h"

namespace holdfast {

// What every part of a simulated world shares. Lives as long as all of it.
struct World {
  explicit World(uint64_t seed) : scheduler(&trace), chance(seed, &trace) {}

  TrueTime now() const { return scheduler.now(); }
  // Null: nobody watches.
  Observer* observer() const { return trace.observer(); }
  void Note(const std::string& text) { trace.Note(now(), text); }

  Trace trace;
  Scheduler scheduler;
  Chance chance;
};

}  // namespace holdfast

#endif  // HOLDFAST_SIM_WORLD_H_
