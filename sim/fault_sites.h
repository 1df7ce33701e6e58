#ifndef HOLDFAST_SIM_FAULT_SITES_H_
#define HOLDFAST_SIM_FAULT_SITES_H_

#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"
#include "engine/base/random.h"
#include "sim/chance.h"

namespace holdfast {

// All that can go wrong in a simulated world; a tape may name nothing else.
//
// A fault's value says how it goes wrong. One that was drawn is any 64 bits,
// and says it by what they hash to. One below 2^32, which a draw hits once in
// four thousand million, was written, by a shrinker or a person, and means what
// it reads: its upper 16 bits how bad it is (how long, how late), in parts of
// the worst, its lower 16 bits which of several (after how many events, which
// link).
namespace faults {

constexpr bool IsWritten(uint64_t value) { return value >> 32 == 0; }
constexpr uint64_t HowBad(uint64_t value) { return value >> 16; }
// A length of time, of which 0 is the mildest.
constexpr Duration LengthBelow(uint64_t value, Duration max) {
  if (IsWritten(value))
    return max / 65536 * static_cast<int64_t>(HowBad(value));
  return Duration(
      static_cast<int64_t>(Below(value, static_cast<uint64_t>(max.count()))));
}
// As bad as that, if it was written; else as another one drawn.
constexpr uint64_t Another(uint64_t value, uint64_t salt) {
  return IsWritten(value) ? value : Mix64(value + salt);
}
constexpr uint64_t Written(uint64_t how_bad, uint64_t which) {
  return how_bad << 16 | (which & 0xffff);
}

// In a window: for each server, client or link, or for all together.
inline constexpr ChanceSite kCrash("fault/crash");
inline constexpr ChanceSite kPowerLoss("fault/power_loss");
inline constexpr ChanceSite kCrashInIo("fault/crash_in_io");
inline constexpr ChanceSite kClusterPowerLoss("fault/cluster_power_loss");
inline constexpr ChanceSite kClientCrash("fault/client_crash");
inline constexpr ChanceSite kIsolate("fault/isolate");
inline constexpr ChanceSite kSplit("fault/split");
inline constexpr ChanceSite kOneWay("fault/one_way");
inline constexpr ChanceSite kSlowLink("fault/slow_link");
inline constexpr ChanceSite kAmbush("fault/ambush");
inline constexpr ChanceSite kPause("fault/pause");
inline constexpr ChanceSite kUpgrade("fault/upgrade");
inline constexpr ChanceSite kHangDisk("fault/hang_disk");
inline constexpr ChanceSite kOldDisk("fault/old_disk");
inline constexpr ChanceSite kLateNews("fault/late_news");
inline constexpr ChanceSite kBridge("fault/bridge");
inline constexpr ChanceSite kFlap("fault/flap");
inline constexpr ChanceSite kClog("fault/clog");
inline constexpr ChanceSite kCutClient("fault/cut_client");
inline constexpr ChanceSite kFullDisk("fault/full_disk");
inline constexpr ChanceSite kClose("fault/close");
inline constexpr ChanceSite kOtherOptions("fault/other_options");
inline constexpr ChanceSite kCrashLoop("fault/crash_loop");
inline constexpr ChanceSite kBurst("fault/burst");
inline constexpr ChanceSite kWipedDisk("fault/wiped_disk");
inline constexpr ChanceSite kStopReading("fault/stop_reading");
inline constexpr ChanceSite kPauseClient("fault/pause_client");
inline constexpr ChanceSite kCloseClient("fault/close_client");

// Of what is at rest on a server's disk, likewise in a window (sim/damage.h).
inline constexpr ChanceSite kRot("fault/rot");
inline constexpr ChanceSite kZeroes("fault/zeroes");
inline constexpr ChanceSite kMisdirect("fault/misdirect");
inline constexpr ChanceSite kTruncate("fault/truncate");
inline constexpr ChanceSite kRefuseBlocks("fault/refuse_blocks");
inline constexpr ChanceSite kStale("fault/stale");
inline constexpr ChanceSite kVanish("fault/vanish");
// All disks are spoiled at one moment, and some of the servers lose power.
inline constexpr ChanceSite kSurge("fault/surge");
// Its last entry becomes another one (sim/old_copies.h).
inline constexpr ChanceSite kForge("fault/forge");

// Of a disk's operation, or what it leaves of one when a process or the power
// fails.
inline constexpr ChanceSite kSlowDisk("disk/slow");
inline constexpr ChanceSite kDropInFlight("disk/drop_in_flight");
inline constexpr ChanceSite kCutInFlight("disk/cut_in_flight");
inline constexpr ChanceSite kLoseWrite("disk/lose_write");
inline constexpr ChanceSite kTear("disk/tear");
inline constexpr ChanceSite kLoseName("disk/lose_name");
// The device reports an error.
inline constexpr ChanceSite kReadError("disk/read_error");
inline constexpr ChanceSite kWriteError("disk/write_error");
inline constexpr ChanceSite kSyncError("disk/sync_error");

// Of a write to a stream, a read from it, its end, or a dial.
inline constexpr ChanceSite kTail("net/tail");
inline constexpr ChanceSite kReset("net/reset");
inline constexpr ChanceSite kSilence("net/silence");
inline constexpr ChanceSite kShortRead("net/short_read");
inline constexpr ChanceSite kShortWrite("net/short_write");
inline constexpr ChanceSite kRefuse("net/refuse");
inline constexpr ChanceSite kFlip("net/flip");
inline constexpr ChanceSite kLinger("net/linger");

// Of the clock of a process that starts: it is fast or slow; its timers end
// late, and together.
inline constexpr ChanceSite kDrift("clock/drift");
inline constexpr ChanceSite kLateTimer("clock/late_timer");

// Of what a client's tail brings: its reader sleeps.
inline constexpr ChanceSite kSlowReader("client/slow_reader");

// Before each operation that a server asks its disk or the network for, and
// before bytes from one server reach another one, or from a client a server, or
// back. These are never drawn: a tape strikes at the n-th of them in a window
// (sim/cli/exhaustive.h).
inline constexpr ChanceSite kCrashBeforeIo("io/crash");
inline constexpr ChanceSite kPowerLossBeforeIo("io/power_loss");
inline constexpr ChanceSite kIsolateBeforeIo("io/isolate");
inline constexpr ChanceSite kCutBeforeArrival("net/cut");

inline constexpr const ChanceSite* kAll[] = {
    &kCrash,
    &kPowerLoss,
    &kCrashInIo,
    &kClusterPowerLoss,
    &kClientCrash,
    &kIsolate,
    &kSplit,
    &kOneWay,
    &kSlowLink,
    &kAmbush,
    &kPause,
    &kUpgrade,
    &kHangDisk,
    &kOldDisk,
    &kLateNews,
    &kSlowDisk,
    &kDropInFlight,
    &kCutInFlight,
    &kLoseWrite,
    &kTear,
    &kLoseName,
    &kTail,
    &kReset,
    &kSilence,
    &kShortRead,
    &kRefuse,
    &kCrashBeforeIo,
    &kPowerLossBeforeIo,
    &kIsolateBeforeIo,
    &kCutBeforeArrival,
    &kBridge,
    &kFlap,
    &kClog,
    &kCutClient,
    &kFlip,
    &kLinger,
    &kReadError,
    &kWriteError,
    &kSyncError,
    &kFullDisk,
    &kClose,
    &kRot,
    &kZeroes,
    &kMisdirect,
    &kTruncate,
    &kRefuseBlocks,
    &kForge,
    &kOtherOptions,
    &kCrashLoop,
    &kBurst,
    &kWipedDisk,
    &kSlowReader,
    &kStopReading,
    &kStale,
    &kVanish,
    &kDrift,
    &kLateTimer,
    &kPauseClient,
    &kShortWrite,
    &kCloseClient,
    &kSurge,
};

template <size_t kSize>
constexpr bool IsIn(const ChanceSite* const (&sites)[kSize],
                    absl::string_view name) {
  for (const ChanceSite* site : sites) {
    if (name == site->name) return true;
  }
  return false;
}

constexpr bool IsKnown(absl::string_view name) { return IsIn(kAll, name); }

// Of storage at rest.
inline constexpr const ChanceSite* kDamage[] = {
    &kRot,   &kZeroes, &kMisdirect, &kTruncate, &kRefuseBlocks,
    &kForge, &kStale,  &kVanish,    &kSurge,
};

constexpr bool IsDamage(absl::string_view name) { return IsIn(kDamage, name); }

// Such a server has to be replaced by somebody: only where servers change.
inline constexpr const ChanceSite* kNeedReplacing[] = {&kOldDisk, &kForge,
                                                       &kWipedDisk};
constexpr bool NeedsReplacing(absl::string_view name) {
  return IsIn(kNeedReplacing, name);
}

// Whom faults strike: what the actor of their draws is (sim/tape.h).
enum class Struck {
  kSeveral,  // 0: all together, or some that the value names
  kServer,   // its machine
  kProcess,  // its machine, a server's or a client's
  kClient,   // its index, from 0
  kLink,     // from * 1000 + to, of machines
};

inline constexpr const ChanceSite* kOfAll[] = {
    &kClusterPowerLoss, &kSplit,  &kOneWay, &kSlowLink, &kAmbush,
    &kLateNews,         &kBridge, &kFlap,   &kClog,     &kSurge,
};
inline constexpr const ChanceSite* kOfProcesses[] = {
    &kReset,      &kSilence, &kShortRead, &kRefuse,     &kFlip,
    &kSlowReader, &kDrift,   &kLateTimer, &kShortWrite,
};
inline constexpr const ChanceSite* kOfClients[] = {
    &kClientCrash, &kCutClient,   &kBurst,
    &kStopReading, &kPauseClient, &kCloseClient,
};
inline constexpr const ChanceSite* kOfLinks[] = {&kTail, &kLinger,
                                                 &kCutBeforeArrival};

constexpr Struck WhoIsStruck(absl::string_view name) {
  if (IsIn(kOfAll, name)) return Struck::kSeveral;
  if (IsIn(kOfProcesses, name)) return Struck::kProcess;
  if (IsIn(kOfClients, name)) return Struck::kClient;
  if (IsIn(kOfLinks, name)) return Struck::kLink;
  return Struck::kServer;
}

// Its value's lowest 16 bits have one for each server, by its machine: whether
// it is struck, or in which of two groups it is.
inline constexpr const ChanceSite* kWithServerBits[] = {&kSplit, &kBridge,
                                                        &kAmbush, &kSurge};
constexpr bool HasServerBits(absl::string_view name) {
  return IsIn(kWithServerBits, name);
}

}  // namespace faults
}  // namespace holdfast

#endif  // HOLDFAST_SIM_FAULT_SITES_H_
