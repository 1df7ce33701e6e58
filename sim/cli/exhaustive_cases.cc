#include "sim/cli/exhaustive_cases.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "sim/fault_sites.h"
#include "sim/types.h"

namespace holdfast {
namespace {

// Until all servers have heard that it is committed, and their disks rest.
constexpr Duration kRest = 100ms;

// How bad, in parts of the longest (sim/fault_schedule.cc).
constexpr uint64_t kAtOnce = 0;
constexpr uint64_t kDownFor1s = 65536 / 8;
constexpr uint64_t kCutFor1s = 65536 / 6;

// More than a disk has under way and unsynced at once. Those that aren't there
// do nothing.
constexpr uint64_t kOnDisk = 64;

TapeEntry Of(const ChanceSite& site, uint64_t value) {
  return {.site = site.name, .value = value};
}

// What a disk leaves of what isn't synced, or is under way.
struct Left {
  absl::string_view name;
  bool power_lost;
  std::vector<const ChanceSite*> faults;
};

std::vector<Left> AllLeft() {
  using namespace faults;
  return {
      {"crash", false, {}},
      {"crash_in_flight_dropped", false, {&kDropInFlight}},
      {"crash_in_flight_cut", false, {&kCutInFlight}},
      {"power_loss_all_kept", true, {}},
      {"power_loss_all_lost", true, {&kDropInFlight, &kLoseWrite, &kLoseName}},
      {"power_loss_writes_lost", true, {&kLoseWrite}},
      {"power_loss_names_lost", true, {&kLoseName}},
      {"power_loss_torn", true, {&kTear}},
  };
}

std::vector<TapeEntry> Crash(const Left& left, uint64_t how_long) {
  std::vector<TapeEntry> all = {
      Of(left.power_lost ? faults::kPowerLossBeforeIo : faults::kCrashBeforeIo,
         faults::Written(how_long, 0))};
  for (const ChanceSite* site : left.faults) {
    for (uint64_t i = 0; i < kOnDisk; ++i) {
      TapeEntry fault = Of(*site, i);  // each one torn elsewhere
      fault.place = i;
      all.push_back(std::move(fault));
    }
  }
  return all;
}

}  // namespace

SimulateFlags SmallScope(const SimulateFlags& flags, uint64_t seed) {
  SimulateFlags small = flags;
  small.seed = seed;
  small.duration = 3s;
  small.nodes = 3;
  small.clients = 1;
  small.operations = 2;
  small.spares = 0;
  small.changes = small.trims = small.transfers = small.admin = false;
  small.kv = small.leases = false;
  small.tails = small.reads = small.drift = false;
  small.tape.emplace();
  return small;
}

void Places::OnReturn(MachineId /*machine*/, uint64_t /*id*/, CallEnd /*end*/,
                      const std::string& /*detail*/, uint64_t /*shown*/) {
  if (++returned_ == 2) answered_ = now_;
}

void Places::OnPlace(const char* site, uint32_t actor, uint64_t place) {
  if (returned_ >= 2 && now_ > answered_ + kRest) return;
  const TapeEntry entry = {.site = site, .actor = actor, .place = place};
  if (entry.site == faults::kCrashBeforeIo.name) io_.push_back(entry);
  if (entry.site != faults::kCutBeforeArrival.name) return;
  // The actor is a link, from * 1000 + to.
  const bool of_client = std::max(actor / 1000, actor % 1000) >= kFirstClient;
  (of_client ? client_arrivals_ : arrivals_).push_back(entry);
}

const std::vector<TapeEntry>& Places::Of(Strikes strikes) const {
  if (strikes == Strikes::kIo) return io_;
  return strikes == Strikes::kArrival ? arrivals_ : client_arrivals_;
}

std::vector<CaseKind> AllCaseKinds() {
  std::vector<CaseKind> kinds = {{.name = "no_fault"}};
  for (const Left& left : AllLeft()) {
    kinds.push_back({.name = absl::StrCat(left.name, "_back_at_once"),
                     .faults = Crash(left, kAtOnce)});
    kinds.push_back({.name = absl::StrCat(left.name, "_back_in_1s"),
                     .faults = Crash(left, kDownFor1s)});
  }
  const char* const cuts[] = {"cut_one_way", "cut_both_ways", "isolated_sender",
                              "isolated_receiver"};
  for (uint64_t i = 0; i < std::size(cuts); ++i) {
    CaseKind kind = {.name = cuts[i],
                     .strikes = Strikes::kArrival,
                     .faults = {Of(faults::kCutBeforeArrival,
                                   faults::Written(kCutFor1s, i << 8))}};
    kinds.push_back(kind);
    absl::StrAppend(&kind.name, "_with_client");
    kind.strikes = Strikes::kClientArrival;
    kinds.push_back(std::move(kind));
  }
  for (uint64_t i = 0; i < 3; ++i) {
    const TapeEntry isolated =
        Of(faults::kIsolateBeforeIo, faults::Written(kCutFor1s, i << 8));
    for (const Left& left : AllLeft()) {
      if (!left.faults.empty() && left.name != "power_loss_all_lost") continue;
      CaseKind kind = {
          .name = absl::StrCat(left.name, "_and_", i + 1, "_isolated"),
          .faults = Crash(left, kAtOnce)};
      kind.faults.push_back(isolated);
      kinds.push_back(std::move(kind));
    }
  }
  return kinds;
}

std::vector<TapeEntry> FaultsAt(const CaseKind& kind, const TapeEntry& place) {
  std::vector<TapeEntry> faults = kind.faults;
  for (TapeEntry& fault : faults) {
    fault.actor = place.actor;
    // Those of the disk are numbered from the window's beginning, too: no other
    // crash is there.
    const bool on_disk = fault.site.substr(0, 5) == "disk/";
    fault.place =
        TapeEntry::Place(place.window(), on_disk ? fault.place : place.draw());
  }
  return faults;
}

}  // namespace holdfast
