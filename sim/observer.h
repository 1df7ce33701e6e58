#ifndef HOLDFAST_SIM_OBSERVER_H_
#define HOLDFAST_SIM_OBSERVER_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "sim/types.h"

namespace holdfast {

// One direction of a stream between two processes.
struct StreamDirection {
  uint64_t stream = 0;
  int side = 0;  // that sends: 0, the one that dialled
  MachineId from = 0;
  MachineId to = 0;
};

// What goes wrong, and what is mended.
enum class IncidentKind : uint8_t {
  kStart = 1,  // a process
  kEnd,        // as it was asked to
  kCrash,
  kPowerLoss,
  kPause,       // of a process, for `length`
  kNewDisk,     // another one takes its place
  kCut,         // from machine to other, nothing gets through
  kHeal,        // the same link
  kSlow,        // likewise: everything takes `length` longer
  kClog,        // likewise: no more than `count` bytes a second
  kFast,        // and neither any more
  kReset,       // of a stream from machine to other, while it wrote
  kSilence,     // of a stream: nothing gets through, and nobody is told
  kFlip,        // of a stream: a bit arrives as the other one
  kLinger,      // of a stream that is given up: what is on its way takes longer
  kRefused,     // a dial from machine to other
  kHang,        // syncs take `length`
  kMend,        // and not any more
  kDropped,     // `count` disk operations never happened: the process died
  kCutShort,    // happened in part, likewise
  kLostWrites,  // unsynced ones, by a power loss
  kTornWrites,  // likewise
  kLostNames,   // likewise
  kDeviceError,  // an operation of the disk is to fail
  kFull,         // the disk has room for `count` bytes more
  kRoom,         // and for more again
  kDamage,       // `count` bytes at rest on the disk; 0: a file or its end
};

struct Incident {
  IncidentKind kind = IncidentKind::kStart;
  MachineId machine = 0;
  MachineId other = 0;
  Duration length = Duration::zero();
  uint64_t count = 0;
};

// An operation of a machine's disk.
struct DiskAction {
  uint64_t id = 0;    // of those of its machine that are under way
  const char* what;   // "write", "sync", "rename", ...
  std::string file;   // empty: the directory
  uint64_t from = 0;  // of a write or a read
  uint64_t bytes = 0;
  TrueTime due{};  // when it will take effect
};

// A client's operation, or one of the program in a server's process.
struct ClientCall {
  MachineId machine = 0;
  uint64_t id = 0;   // of those of its machine that are under way
  const char* what;  // "append", "read", "tail", "ask", "get", "put"
  std::string detail;
};

// How it ended.
enum class CallEnd : uint8_t { kDone = 1, kRejected, kUnknown, kFailed };

// Somebody who watches a run. Called as things happen, within the event in
// which they do; it must draw nothing, schedule nothing and write nothing of
// the simulated world, so that a run is the same with it and without. All
// observers of a run hang on its Trace.
class Observer {
 public:
  struct Event {
    uint64_t number = 0;  // from 1, in the order of dispatch
    TrueTime time{};
    ActorId actor = kWorldActor;
    EventKind kind = EventKind::kHarness;
    uint64_t cause = 0;  // the event that scheduled it; 0: none
  };

  virtual ~Observer() = default;

  virtual void OnEvent(const Event& /*event*/) {}
  // The event has ended, and was checked. False: the run is to end here.
  virtual bool AfterEvent() { return true; }
  virtual void OnNote(TrueTime /*time*/, const std::string& /*text*/) {}
  virtual void OnProcess(ActorId /*actor*/, MachineId /*machine*/,
                         uint32_t /*boot*/) {}
  virtual void OnPause(ActorId /*actor*/, TrueTime /*until*/) {}
  virtual void OnIncident(const Incident& /*incident*/) {}
  // Of a replay: a place where a fault of that site would strike, if the tape
  // had one.
  virtual void OnPlace(const char* /*site*/, uint32_t /*actor*/,
                       uint64_t /*place*/) {}

  // Bytes of a stream: its process wrote them, they came to the other machine,
  // the process there took them.
  virtual void OnWrite(const StreamDirection& /*where*/,
                       absl::string_view /*bytes*/) {}
  virtual void OnArrive(const StreamDirection& /*where*/, size_t /*bytes*/) {}
  virtual void OnRead(const StreamDirection& /*where*/, size_t /*bytes*/) {}

  virtual void OnDiskBegin(MachineId /*machine*/,
                           const DiskAction& /*action*/) {}
  virtual void OnDiskEnd(MachineId /*machine*/, uint64_t /*id*/) {}

  virtual void OnCall(const ClientCall& /*call*/) {}
  // `shown`: how long the log was then, as it showed; 0: it showed nothing.
  virtual void OnReturn(MachineId /*machine*/, uint64_t /*id*/, CallEnd /*end*/,
                        const std::string& /*detail*/, uint64_t /*shown*/) {}
};

}  // namespace holdfast

#endif  // HOLDFAST_SIM_OBSERVER_H_
