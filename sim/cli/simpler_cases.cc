// What is simpler than a failing run: the candidates of the Shrinker.

#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "sim/cli/shrinker.h"
#include "sim/fault_sites.h"

namespace holdfast {
namespace {

template <typename Change>
ShrinkCase Changed(const ShrinkCase& c, Change change) {
  ShrinkCase changed = c;
  change(&changed.flags);
  return changed;
}

uint32_t Servers(const SimulateFlags& flags) {
  return flags.nodes + flags.spares.value_or(0);
}

// A machine's number once `gone` is gone; 0: it is that one.
MachineId Renumbered(MachineId machine, MachineId gone) {
  const bool same_kind = (machine < kFirstClient) == (gone < kFirstClient);
  if (machine == gone) return 0;
  return same_kind && machine > gone ? machine - 1 : machine;
}

// A bit for each server: those above it move down.
uint64_t WithoutServerBit(uint64_t value, MachineId gone) {
  constexpr uint64_t kServers = 0xffff;
  const uint64_t below = (uint64_t{1} << gone) - 1;
  return (value & ~kServers) | (value & below) |
         ((value & kServers) >> 1 & ~below);
}

// The faults that still make sense, and whom they strike then. What else their
// values choose among the servers or clients may be another one.
std::vector<TapeEntry> WithoutMachine(const std::vector<TapeEntry>& entries,
                                      MachineId gone) {
  std::vector<TapeEntry> left;
  for (TapeEntry e : entries) {
    uint32_t& id = e.actor;
    switch (faults::WhoIsStruck(e.site)) {
      case faults::Struck::kSeveral:
        if (gone < kFirstClient && faults::HasServerBits(e.site)) {
          e.value = WithoutServerBit(e.value, gone);
        }
        break;
      case faults::Struck::kServer:
      case faults::Struck::kProcess:
        id = Renumbered(id, gone);
        if (id == 0) continue;
        break;
      case faults::Struck::kClient: {
        const MachineId now = Renumbered(kFirstClient + id, gone);
        if (now == 0) continue;
        id = now - kFirstClient;
        break;
      }
      case faults::Struck::kLink: {
        const MachineId from = Renumbered(id / 1000, gone);
        const MachineId to = Renumbered(id % 1000, gone);
        if (from == 0 || to == 0) continue;
        id = from * 1000 + to;
        break;
      }
    }
    left.push_back(std::move(e));
  }
  return left;
}

}  // namespace

std::vector<ShrinkCase> WithEarlierEnd(const ShrinkCase& c) {
  std::vector<ShrinkCase> candidates;
  const Duration failed_at = std::chrono::milliseconds(c.failed_at_ms + 1);
  if (failed_at < c.flags.duration) {
    candidates.push_back(Changed(c, [&](SimulateFlags* f) {
      f->duration = failed_at;
      f->settle = false;
    }));
  } else if (failed_at > c.flags.duration + 1ms) {
    // It failed once faults had stopped: they may stop before.
    for (const int64_t part : {2, 4, 8}) {
      const Duration less = c.flags.duration / part;
      const Duration whole =
          std::chrono::milliseconds(ToMillis(c.flags.duration - less));
      if (whole < 1ms || whole == c.flags.duration) continue;
      candidates.push_back(
          Changed(c, [&](SimulateFlags* f) { f->duration = whole; }));
    }
  }
  return candidates;
}

std::vector<ShrinkCase> WithoutAKindOfFault(const ShrinkCase& c) {
  std::map<std::string, size_t> kinds;
  for (const TapeEntry& e : c.entries()) ++kinds[e.site];
  std::vector<std::pair<size_t, std::string>> by_count;
  for (const auto& [site, count] : kinds) by_count.emplace_back(count, site);
  std::sort(by_count.rbegin(), by_count.rend());
  std::vector<ShrinkCase> candidates;
  for (const auto& [count, site] : by_count) {
    candidates.push_back(Changed(c, [&, name = site](SimulateFlags* f) {
      std::erase_if(f->tape->entries,
                    [&](const TapeEntry& e) { return e.site == name; });
    }));
  }
  return candidates;
}

std::vector<ShrinkCase> WithFeaturesOff(const ShrinkCase& c) {
  std::vector<ShrinkCase> candidates;
  const SimulateFlags& now = c.flags;
  const auto off = [&](bool is_on, auto change) {
    if (is_on) candidates.push_back(Changed(c, change));
  };
  off(now.kv.value_or(true), [](SimulateFlags* f) { f->kv = false; });
  off(now.leases.value_or(true), [](SimulateFlags* f) { f->leases = false; });
  off(now.scrub.value_or(true), [](SimulateFlags* f) { f->scrub = false; });
  off(now.changes.value_or(true), [](SimulateFlags* f) {
    f->changes = false;
    std::erase_if(f->tape->entries, [](const TapeEntry& e) {
      return faults::NeedsReplacing(e.site);
    });
  });
  off(now.trims.value_or(true), [](SimulateFlags* f) { f->trims = false; });
  off(now.transfers.value_or(true),
      [](SimulateFlags* f) { f->transfers = false; });
  off(now.admin.value_or(true), [](SimulateFlags* f) { f->admin = false; });
  off(now.reads.value_or(true), [](SimulateFlags* f) { f->reads = false; });
  off(now.tails.value_or(true), [](SimulateFlags* f) { f->tails = false; });
  off(now.conditions.value_or(true),
      [](SimulateFlags* f) { f->conditions = false; });
  off(now.names_servers.value_or(true),
      [](SimulateFlags* f) { f->names_servers = false; });
  off(now.minority_down.value_or(true),
      [](SimulateFlags* f) { f->minority_down = false; });
  off(now.drift, [](SimulateFlags* f) { f->drift = false; });
  off(now.tls, [](SimulateFlags* f) { f->tls = false; });
  off(now.beyond_model, [](SimulateFlags* f) { f->beyond_model = false; });
  off(now.damage, [](SimulateFlags* f) {
    f->damage = false;
    std::erase_if(f->tape->entries,
                  [](const TapeEntry& e) { return faults::IsDamage(e.site); });
  });
  return candidates;
}

std::vector<ShrinkCase> WithFewerActors(const ShrinkCase& c) {
  std::vector<ShrinkCase> candidates;
  const auto without = [&](MachineId gone, auto change) {
    candidates.push_back(Changed(c, change));
    Tape& tape = *candidates.back().flags.tape;
    tape.entries = WithoutMachine(tape.entries, gone);
  };
  for (MachineId m = Servers(c.flags); m > c.flags.nodes; --m) {
    without(m, [](SimulateFlags* f) { --*f->spares; });
  }
  for (MachineId m = c.flags.nodes; m > 0 && c.flags.nodes > 1; --m) {
    without(m, [](SimulateFlags* f) { --f->nodes; });
  }
  for (uint32_t i = c.flags.clients; i > 0 && c.flags.clients > 1; --i) {
    without(kFirstClient + i - 1, [](SimulateFlags* f) { --f->clients; });
  }
  return candidates;
}

std::vector<ShrinkCase> WithFewerOperations(const ShrinkCase& c) {
  std::vector<ShrinkCase> candidates;
  const uint32_t now = c.flags.operations;
  std::vector<uint32_t> bounds = {1, 4, 16, 64, 256, 1024, now / 2, now - 1};
  for (const uint32_t bound : bounds) {
    if (bound == 0 || (now > 0 && bound >= now)) continue;
    if (now == 0 && bound >= c.operations) continue;
    candidates.push_back(
        Changed(c, [&](SimulateFlags* f) { f->operations = bound; }));
  }
  return candidates;
}

std::vector<ShrinkCase> WithMilderFaults(const ShrinkCase& c) {
  std::vector<ShrinkCase> candidates;
  for (size_t i = 0; i < c.entries().size(); ++i) {
    const uint64_t value = c.entries()[i].value;
    const bool written = faults::IsWritten(value);
    const uint64_t bad = written ? faults::HowBad(value) : uint64_t{1} << 16;
    for (const uint64_t milder :
         {uint64_t{0}, faults::Written(0, value), faults::Written(bad / 16, 0),
          faults::Written(bad / 16, value), faults::Written(bad / 2, 0),
          faults::Written(bad / 2, value)}) {
      if (milder >= value) continue;
      candidates.push_back(Changed(
          c, [&](SimulateFlags* f) { f->tape->entries[i].value = milder; }));
    }
  }
  return candidates;
}

std::vector<ShrinkCase> WithShorterGaps(const ShrinkCase& c) {
  std::vector<ShrinkCase> candidates;
  std::vector<uint64_t> windows;
  for (const TapeEntry& e : c.entries()) windows.push_back(e.window());
  std::sort(windows.begin(), windows.end());
  uint64_t before = 0;
  for (const uint64_t window : windows) {
    const uint64_t gap = window - std::exchange(before, window);
    // All from that window on comes earlier, by the whole gap or parts of it.
    for (uint64_t earlier = gap; earlier > 0; earlier /= 2) {
      candidates.push_back(Changed(c, [&](SimulateFlags* f) {
        for (TapeEntry& e : f->tape->entries) {
          if (e.window() < window) continue;
          e.place = TapeEntry::Place(e.window() - earlier, e.draw());
        }
      }));
    }
  }
  return candidates;
}

}  // namespace holdfast
