#ifndef HOLDFAST_SIM_TYPES_H_
#define HOLDFAST_SIM_TYPES_H_

#include <chrono>
#include <cstdint>
#include <string>

#include "engine/base/time.h"

namespace holdfast {

// The simulator's own time, which no process can read: nanoseconds since the
// world began. Each process's clock drifts against it (sim/sim_loop.h).
struct TrueTag {
  using rep = int64_t;
  using period = std::nano;
  using duration = Duration;
  using time_point = std::chrono::time_point<TrueTag, Duration>;
};
using TrueTime = std::chrono::time_point<TrueTag, Duration>;

// Who an event belongs to: one process in one of its lives. Numbered from 1
// in order of birth and never used again; 0 is the world itself.
using ActorId = uint32_t;
inline constexpr ActorId kWorldActor = 0;

// A machine: what has a disk and an address, and outlives its processes.
// Servers' are numbered from 1, and server N runs on machine N; clients' from
// kFirstClient.
using MachineId = uint32_t;
inline constexpr MachineId kFirstClient = 101;
// "server 3", "client 1".
std::string NameOf(MachineId machine);

// What an event is, for the trace.
enum class EventKind : uint8_t {
  kTimer = 1,    // a process's Loop::At
  kPost,         // a process's Loop::Post
  kDisk,         // a disk operation takes effect and completes
  kDial,         // a connection request arrives, is answered, or fails
  kAccept,       // a listener gets a connection
  kDeliver,      // bytes arrive
  kReadDone,     // a Connection's Read completes
  kWriteDone,    // a Connection's Write or Shutdown completes
  kCredit,       // room in a stream comes back to its sender
  kStreamError,  // an end of a stream learns that it is broken
  kFault,        // the fault schedule acts
  kWorkload,     // a simulated client acts
  kHarness,      // the simulation's own steps
};
const char* EventKindName(EventKind kind);

}  // namespace holdfast

#endif  // HOLDFAST_SIM_TYPES_H_
