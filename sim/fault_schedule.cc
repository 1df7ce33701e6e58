#include "sim/fault_schedule.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/random.h"
#include "sim/fault_sites.h"
#include "sim/setup.h"

namespace holdfast {
namespace {

using faults::Another;

constexpr ChanceSite kStartedAgain("fault/started_again");

// Of the release that comes after this one.
constexpr uint32_t kNextLevel = kFeatureLevelMax + 1;

// What is at rest on a disk decays so, each kind by itself.
struct Decay {
  const ChanceSite& site;
  uint64_t FaultRates::*rate;
  DamageKind kind;
};
constexpr Decay kDecays[] = {
    {faults::kRot, &FaultRates::rot_ppm, DamageKind::kRot},
    {faults::kZeroes, &FaultRates::zeroes_ppm, DamageKind::kZeroes},
    {faults::kMisdirect, &FaultRates::misdirect_ppm, DamageKind::kMisdirect},
    {faults::kTruncate, &FaultRates::truncate_ppm, DamageKind::kTruncate},
    {faults::kRefuseBlocks, &FaultRates::refuse_blocks_ppm,
     DamageKind::kRefused},
    {faults::kStale, &FaultRates::stale_ppm, DamageKind::kStale},
    {faults::kVanish, &FaultRates::vanish_ppm, DamageKind::kVanish},
};

// A length of time from a fault's value: mostly short, now and then long.
Duration LengthOf(uint64_t value, Duration max) {
  if (faults::IsWritten(value)) return faults::LengthBelow(value, max);
  uint64_t bits = Mix64(value + 1);
  uint64_t scale = Below(Mix64(value + 2), 4) == 0 ? 1 : 8;
  return Duration(static_cast<int64_t>(
      Below(bits, static_cast<uint64_t>(max.count()) / scale)));
}

// One of so many. `salt`: what the value is asked for, once for each.
uint64_t Which(uint64_t value, uint64_t salt, uint64_t count) {
  if (faults::IsWritten(value)) {
    return (salt % 2 == 0 ? value >> 8 & 0xff : value & 0xff) % count;
  }
  return Below(Mix64(value + salt), count);
}

// Which end of a link is a client's, one time in four; 2: neither.
uint64_t EndOfClient(uint64_t value, uint64_t salt) {
  if (!faults::IsWritten(value)) {
    return std::min<uint64_t>(Which(value, salt + 30, 8), 2);
  }
  for (const uint64_t end : {0, 1}) {
    if (Which(value, salt + end, 256) >= 192) return end;
  }
  return 2;
}

}  // namespace

FaultSchedule::FaultSchedule(World* world, NetworkFabric* fabric,
                             std::vector<SimServer*> servers,
                             std::vector<SimClient*> clients,
                             std::function<SimServer*()> leader,
                             FaultRates rates, OldCopies* old_copies,
                             StorageDecay* decay, const Operator* op)
    : world_(world),
      fabric_(fabric),
      servers_(std::move(servers)),
      clients_(std::move(clients)),
      leader_(std::move(leader)),
      rates_(rates),
      old_copies_(old_copies),
      decay_(decay),
      operator_(op) {
  // What strikes there is never drawn.
  if (!world_->chance.replaying()) return;
  for (SimServer* server : servers_) {
    server->set_before_io([this, server] { BeforeIo(server); });
  }
  fabric_->set_before_arrival(
      [this](MachineId from, MachineId to) { BeforeArrival(from, to); });
}

void FaultSchedule::After(Duration delay, Task task) {
  world_->scheduler.At(world_->now() + delay, kWorldActor, EventKind::kFault,
                       std::move(task));
}

void FaultSchedule::Start() {
  After(kWindow, [this] { OnWindow(); });
}

void FaultSchedule::Stop() {
  running_ = false;
  fabric_->HealAll();
  for (SimServer* server : servers_) {
    if (server->running()) {
      server->process()->DieBeforeIo(0, SimProcess::Io::kAny,
                                     nullptr);  // no more
    } else {
      server->Start();
    }
  }
  for (SimClient* client : clients_) {
    if (client->closing()) client->End();
    if (!client->running()) client->Start();
  }
}

bool FaultSchedule::Happens(const ChanceSite& site, uint32_t id,
                            uint64_t rate_ppm, uint64_t* value) {
  std::optional<uint64_t> fault =
      world_->chance.Fault(site, ChanceActor{id, 0}, window_, rate_ppm);
  if (fault.has_value()) *value = *fault;
  return fault.has_value();
}

void FaultSchedule::OnWindow() {
  if (!running_) return;
  ++window_;
  uint64_t value = 0;
  for (SimServer* server : servers_) {
    MachineId m = server->machine();
    if (Happens(faults::kCrash, m, rates_.crash_ppm, &value)) {
      CrashLater(server, value, false);
    }
    if (Happens(faults::kPowerLoss, m, rates_.power_loss_ppm, &value)) {
      CrashLater(server, value, true);
    }
    if (Happens(faults::kCrashInIo, m, rates_.crash_in_io_ppm, &value)) {
      CrashInIo(server, value);
    }
    if (Happens(faults::kPause, m, rates_.pause_ppm, &value) &&
        server->running()) {
      ++counts_.pauses;
      Pause(*server->process(), value);
    }
    if (Happens(faults::kUpgrade, m, rates_.upgrade_ppm, &value)) {
      Upgrade(server, value);
    }
    if (Happens(faults::kHangDisk, m, rates_.hang_disk_ppm, &value)) {
      HangDisk(server, value);
    }
    if (Happens(faults::kClose, m, rates_.close_ppm, &value)) {
      Close(server, value);
    }
    if (Happens(faults::kOtherOptions, m, rates_.other_options_ppm, &value)) {
      OtherOptions(server, value);
    }
    if (Happens(faults::kCrashLoop, m, rates_.crash_loop_ppm, &value) &&
        server->running()) {
      ++counts_.crash_loops;
      CrashInLoop(server, value, 2 + Which(value, 22, 8));
    }
    if (Happens(faults::kFullDisk, m, rates_.full_disk_ppm, &value)) {
      FillDisk(server, value);
    }
    if (Happens(faults::kOldDisk, m, rates_.old_disk_ppm, &value)) {
      OldDisk(server);
    }
    if (Happens(faults::kWipedDisk, m, rates_.wiped_disk_ppm, &value) &&
        !operator_->AskedToLeaveWithin(8s)) {
      old_copies_->Wipe(server);
    }
    DamageDisk(server);
    if (Happens(faults::kForge, m, rates_.forge_ppm, &value)) {
      ForgeDisk(server, value);
    }
    if (Happens(faults::kIsolate, m, rates_.isolate_ppm, &value))
      Isolate(m, value);
  }
  if (Happens(faults::kClusterPowerLoss, 0, rates_.cluster_power_loss_ppm,
              &value)) {
    LoseAllPower(value);
  }
  if (Happens(faults::kSurge, 0, rates_.surge_ppm, &value)) Surge(value);
  for (uint32_t i = 0; i < clients_.size(); ++i) StrikeClient(i);
  if (Happens(faults::kSplit, 0, rates_.split_ppm, &value)) Split(value);
  if (Happens(faults::kOneWay, 0, rates_.one_way_ppm, &value)) CutOneWay(value);
  if (Happens(faults::kSlowLink, 0, rates_.slow_link_ppm, &value))
    SlowLink(value);
  if (Happens(faults::kLateNews, 0, rates_.late_news_ppm, &value))
    LateNews(value);
  if (Happens(faults::kBridge, 0, rates_.bridge_ppm, &value)) Bridge(value);
  if (Happens(faults::kFlap, 0, rates_.flap_ppm, &value)) Flap(value);
  if (Happens(faults::kClog, 0, rates_.clog_ppm, &value)) Clog(value);
  if (Happens(faults::kAmbush, 0, rates_.ambush_ppm, &value)) ambush_ = value;
  After(kWindow, [this] { OnWindow(); });
}

void FaultSchedule::StrikeClient(uint32_t i) {
  SimClient* const client = clients_[i];
  uint64_t value = 0;
  if (Happens(faults::kClientCrash, i, rates_.client_crash_ppm, &value)) {
    CrashClient(client, value);
  }
  if (Happens(faults::kCutClient, i, rates_.cut_client_ppm, &value)) {
    CutClient(client, value);
  }
  if (Happens(faults::kBurst, i, rates_.burst_ppm, &value) &&
      client->running() && !client->paused()) {
    ++counts_.bursts;
    client->Burst(20 + Which(value, 23, 180));
  }
  if (Happens(faults::kStopReading, i, rates_.stop_reading_ppm, &value)) {
    StopReading(client, value);
  }
  if (Happens(faults::kPauseClient, i, rates_.pause_client_ppm, &value) &&
      client->running()) {
    ++counts_.client_pauses;
    Pause(*client->process(), value);
  }
  if (Happens(faults::kCloseClient, i, rates_.close_client_ppm, &value)) {
    CloseClient(client, value);
  }
}

void FaultSchedule::OnElection() {
  if (!running_ || !ambush_.has_value()) return;
  // What voters promised moments ago is all in their disks' caches.
  const uint64_t value = *ambush_;
  ambush_.reset();
  const uint64_t before = counts_.power_losses;
  for (SimServer* server : servers_) {
    const MachineId m = server->machine();
    if ((value >> m & 1) != 0) Crash(server, Another(value, m), true);
  }
  if (counts_.power_losses > before) ++counts_.ambushes;
}

void FaultSchedule::BeforeIo(SimServer* server) {
  if (!running_) return;
  const MachineId m = server->machine();
  uint64_t value = 0;
  if (Happens(faults::kIsolateBeforeIo, m, 0, &value)) {
    Isolate(servers_[Which(value, 12, servers_.size())]->machine(), value);
  }
  if (Happens(faults::kCrashBeforeIo, m, 0, &value)) {
    CrashBeforeIo(server, 1, SimProcess::Io::kAny, value, false);
  }
  if (Happens(faults::kPowerLossBeforeIo, m, 0, &value)) {
    CrashBeforeIo(server, 1, SimProcess::Io::kAny, value, true);
  }
}

void FaultSchedule::BeforeArrival(MachineId from, MachineId to) {
  uint64_t value = 0;
  if (!running_ ||
      !Happens(faults::kCutBeforeArrival, from * 1000 + to, 0, &value)) {
    return;
  }
  const uint64_t what = Which(value, 14, 4);
  if (what >= 2) return Isolate(what == 2 ? from : to, value);
  world_->Note(absl::StrCat("nothing gets from ", NameOf(from), " to ",
                            NameOf(to), what == 1 ? ", nor back" : ""));
  std::vector<std::pair<MachineId, MachineId>> links = {{from, to}};
  if (what == 1) links.emplace_back(to, from);
  CutFor(std::move(links), LengthOf(value, 6s), LinkFault::kOther);
}

// --- Processes ---

void FaultSchedule::CrashLater(SimServer* server, uint64_t value,
                               bool power_lost) {
  if (!server->running()) return;
  // Right after one of its next events, whichever that is.
  uint64_t events = 1 + Which(value, 3, 200);
  world_->scheduler.AfterEventsOf(
      server->process()->actor(), events,
      [this, server, value, power_lost] { Crash(server, value, power_lost); });
}

void FaultSchedule::CrashInIo(SimServer* server, uint64_t value) {
  if (!server->running()) return;
  // In the midst of a task, before one of its next operations; mostly those of
  // the disk, which are fewer, and between which there are unsynced writes.
  using Io = SimProcess::Io;
  const Io kind = (value & 6) != 0 ? Io::kDisk : Io::kAny;
  uint64_t operations = 1 + Which(value, 4, kind == Io::kDisk ? 20 : 100);
  bool power_lost = (value & 1) != 0;
  CrashBeforeIo(server, operations, kind, value, power_lost);
}

void FaultSchedule::CrashBeforeIo(SimServer* server, uint64_t n,
                                  SimProcess::Io kind, uint64_t value,
                                  bool power_lost) {
  server->process()->DieBeforeIo(n, kind, [this, server, value, power_lost] {
    ++counts_.crashes_in_io;
    Crash(server, value, power_lost);
  });
}

void FaultSchedule::Crash(SimServer* server, uint64_t value, bool power_lost) {
  if (!server->running() || !running_) {
    // A process that has died by itself is started again by Stop.
    if (server->running() && !server->process()->alive()) {
      server->Crash(power_lost);
      server->Start();
    }
    return;
  }
  server->Crash(power_lost);
  ++(power_lost ? counts_.power_losses : counts_.crashes);
  world_->Note(absl::StrCat("server ", server->machine(),
                            power_lost ? " loses power" : " crashes"));
  StartLater(server, value);
}

void FaultSchedule::LoseAllPower(uint64_t value) {
  const uint64_t before = counts_.power_losses;
  for (SimServer* server : servers_) Crash(server, value, true);
  if (counts_.power_losses > before) ++counts_.cluster_power_losses;
}

void FaultSchedule::StartLater(SimServer* server, uint64_t value) {
  if (!running_) return server->Start();
  After(1ms + LengthOf(value, 8s), [this, server] {
    if (server->running() || !running_) return;
    world_->Note(absl::StrCat("server ", server->machine(), " starts"));
    server->Start();
  });
}

void FaultSchedule::OnStopped(SimServer* server) {
  const uint32_t boot = server->boots();
  const ChanceActor actor{server->machine(), boot};
  const uint64_t value = world_->chance.Bits(kStartedAgain, actor, 0);
  After(Duration::zero(), [this, server, boot, value] {
    if (!server->running() || server->boots() != boot) return;
    ++counts_.started_again;
    server->Crash(/*power_lost=*/false);
    StartLater(server, value);
  });
}

void FaultSchedule::Close(SimServer* server, uint64_t value) {
  if (!server->running() || !server->process()->alive()) return;
  world_->Note(absl::StrCat("server ", server->machine(), " is asked to end"));
  server->Close([this, server, value] {
    ++counts_.closed;
    StartLater(server, value);
  });
}

void FaultSchedule::Pause(const SimProcess& process, uint64_t value) {
  world_->Note(absl::StrCat(NameOf(process.machine()), " is paused"));
  world_->scheduler.Pause(process.actor(), world_->now() + LengthOf(value, 4s));
}

void FaultSchedule::Upgrade(SimServer* server, uint64_t value) {
  if (!server->running() || server->feature_level_max() == kNextLevel) return;
  ++counts_.upgrades;
  world_->Note(absl::StrCat("server ", server->machine(), " is upgraded"));
  server->set_feature_level_max(kNextLevel);
  Crash(server, value, false);
}

void FaultSchedule::OtherOptions(SimServer* server, uint64_t value) {
  if (!server->running()) return;
  ++counts_.other_options;
  VaryService(value, server->had_leases(), server->next_options());
  const NodeOptions& node = server->next_options()->log.node;
  world_->Note(absl::StrCat("server ", server->machine(), " gets segments of ",
                            node.wal.segment_bytes, " bytes, messages of ",
                            node.raft.max_append_bytes, ", ",
                            node.raft.max_messages_in_flight, " in flight, ",
                            node.raft.hot_bytes, " bytes of memory, leases ",
                            node.raft.leases ? "on" : "off"));
  Crash(server, value, false);
}

void FaultSchedule::CrashInLoop(SimServer* server, uint64_t value,
                                uint64_t times) {
  if (!running_ || !server->running()) return;
  const uint64_t another = Another(value, times);
  const bool power_lost = (another & 1) != 0;
  ++(power_lost ? counts_.power_losses : counts_.crashes);
  server->Crash(power_lost);
  world_->Note(absl::StrCat("server ", server->machine(), " crashes, and ",
                            times, " times more soon"));
  const Duration down = 1ms + LengthOf(another, 200ms);
  After(down, [this, server] {
    if (running_ && !server->running()) server->Start();
  });
  if (times == 0) return;
  After(down + LengthOf(Another(another, 1), 2s),
        [=, this] { CrashInLoop(server, value, times - 1); });
}

void FaultSchedule::HangDisk(SimServer* server, uint64_t value) {
  world_->Note(
      absl::StrCat("the disk of server ", server->machine(), " hangs"));
  const Duration length = LengthOf(value, 4s);
  server->HangDisk(length, /*all=*/Which(value, 24, 2) == 1);
  After(length, [this, server] {
    if (running_) server->MendDisk();
  });
}

void FaultSchedule::FillDisk(SimServer* server, uint64_t value) {
  ++counts_.full_disks;
  world_->Note(
      absl::StrCat("the disk of server ", server->machine(), " is full"));
  // A record or two, or some segments.
  server->FillDisk(uint64_t{256} << Which(value, 20, 10));
  After(LengthOf(value, 6s), [this, server] {
    if (running_) server->EmptyDisk();
  });
}

void FaultSchedule::OldDisk(SimServer* server) {
  // A change in which somebody leaves may need that server.
  if (operator_->AskedToLeaveWithin(8s)) return;
  old_copies_->Strike(server);
}

void FaultSchedule::ForgeDisk(SimServer* server, uint64_t value) {
  if (operator_->AskedToLeaveWithin(8s) || !old_copies_->Forge(server)) return;
  // If all start anew, none has a longer log than it has.
  if (Which(value, 22, 2) == 0) return;
  for (SimServer* other : servers_) {
    if (other != server) Crash(other, Another(value, other->machine()), true);
  }
}

void FaultSchedule::DamageDisk(SimServer* server) {
  uint64_t value = 0;
  for (const Decay& decay : kDecays) {
    const uint64_t rate = rates_.*decay.rate;
    if (!Happens(decay.site, server->machine(), rate, &value)) continue;
    // At any moment of the window.
    After(LengthOf(value, kWindow), [this, server, kind = decay.kind, value] {
      if (running_) decay_->Strike(server, kind, value);
    });
  }
}

void FaultSchedule::Surge(uint64_t value) {
  world_->Note("a surge spoils all disks");
  // As where all have a bad block in the same place of the log, so that what
  // one start lacks is damaged on other disks, too; or anywhere on each.
  const bool alike = Which(value, 26, 2) == 0;
  uint64_t spoiled = 0;
  for (SimServer* server : servers_) {
    const MachineId m = server->machine();
    const uint64_t own = Another(value, m);
    if ((value >> m & 1) != 0) Crash(server, own, true);
    const uint64_t where = alike ? value : own;
    bool any = false;
    for (uint64_t i = 0; i <= Which(where, 27, 4); ++i) {
      const uint64_t what = Another(where, i);
      const Decay& decay = kDecays[Which(what, 28, std::size(kDecays))];
      any = decay_->Strike(server, decay.kind, what) || any;
    }
    if (any) ++spoiled;
  }
  if (spoiled > 1) ++counts_.surges;
}

void FaultSchedule::CrashClient(SimClient* client, uint64_t value) {
  if (!client->running()) return;
  ++counts_.client_crashes;
  if (client->in_request()) ++counts_.crashes_in_request;
  client->Crash();
  StartLater(client, value);
}

void FaultSchedule::CloseClient(SimClient* client, uint64_t value) {
  if (!client->running() || client->closing()) return;
  world_->Note(absl::StrCat(NameOf(client->machine()), " is asked to end"));
  client->Close(/*goes_at_once=*/Which(value, 25, 2) == 0,
                [this, client, value] {
                  ++counts_.clients_closed;
                  StartLater(client, value);
                });
}

void FaultSchedule::StartLater(SimClient* client, uint64_t value) {
  After(1ms + LengthOf(value, 4s), [this, client] {
    if (!client->running() && running_) client->Start();
  });
}

void FaultSchedule::StopReading(const SimClient* client, uint64_t value) {
  if (!client->running()) return;
  const MachineId machine = client->machine();
  world_->Note(absl::StrCat(NameOf(machine), " stops reading"));
  fabric_->SetReads(machine, false);
  After(LengthOf(value, 6s),
        [this, machine] { fabric_->SetReads(machine, true); });
}

// --- Links ---

std::optional<std::pair<MachineId, MachineId>> FaultSchedule::LinkOf(
    uint64_t value, uint64_t salt) const {
  const size_t n = servers_.size();
  MachineId ends[] = {servers_[Which(value, salt, n)]->machine(),
                      servers_[Which(value, salt + 1, n)]->machine()};
  const uint64_t end = EndOfClient(value, salt);
  if (end < 2 && !clients_.empty()) {
    const uint64_t i = Which(value, salt + end, 64) % clients_.size();
    ends[end] = clients_[i]->machine();
  }
  if (ends[0] == ends[1]) return std::nullopt;
  return std::pair(ends[0], ends[1]);
}

std::vector<std::pair<MachineId, MachineId>> FaultSchedule::LinksBetweenGroups(
    uint64_t value, MachineId bridge) const {
  std::vector<std::pair<MachineId, MachineId>> links;
  for (const SimServer* a : servers_) {
    for (const SimServer* b : servers_) {
      const bool apart =
          ((value >> a->machine() ^ value >> b->machine()) & 1) != 0;
      if (apart && a->machine() != bridge && b->machine() != bridge) {
        links.emplace_back(a->machine(), b->machine());
      }
    }
  }
  return links;
}

void FaultSchedule::CutFor(std::vector<std::pair<MachineId, MachineId>> links,
                           Duration length, LinkFault by) {
  ++counts_.partitions;
  for (const auto& [from, to] : links) fabric_->SetCut(from, to, true, by);
  // A later cut of the same link may end with this one: partitions overlap.
  After(length, [this, links = std::move(links)] {
    for (const auto& [from, to] : links) fabric_->SetCut(from, to, false);
  });
}

void FaultSchedule::Isolate(MachineId machine, uint64_t value) {
  // Half the time both ways; else it hears the others, or they hear it.
  const uint64_t way = Which(value, 9, 4);
  const bool in = way != 2;
  const bool out = way != 3;
  std::vector<std::pair<MachineId, MachineId>> links;
  for (SimServer* other : servers_) {
    if (other->machine() == machine) continue;
    if (out) links.emplace_back(machine, other->machine());
    if (in) links.emplace_back(other->machine(), machine);
  }
  const std::string name = NameOf(machine);
  world_->Note(in && out ? absl::StrCat(name, " is isolated")
               : out     ? absl::StrCat("nothing gets out of ", name)
                         : absl::StrCat("nothing gets to ", name));
  CutFor(std::move(links), LengthOf(value, 6s), LinkFault::kIsolation);
}

void FaultSchedule::Split(uint64_t value) {
  std::vector<std::pair<MachineId, MachineId>> links =
      LinksBetweenGroups(value, 0);
  if (links.empty()) return;
  world_->Note("the servers are split in two groups");
  CutFor(std::move(links), LengthOf(value, 6s), LinkFault::kSplit);
}

void FaultSchedule::Bridge(uint64_t value) {
  if (servers_.size() < 3) return;
  const MachineId bridge =
      servers_[Which(value, 11, servers_.size())]->machine();
  std::vector<std::pair<MachineId, MachineId>> links =
      LinksBetweenGroups(value, bridge);
  if (links.empty()) return;
  world_->Note(absl::StrCat("the servers are split in two groups; server ",
                            bridge, " sees both"));
  CutFor(std::move(links), LengthOf(value, 6s), LinkFault::kBridge);
}

void FaultSchedule::Flap(uint64_t value) {
  const auto link = LinkOf(value, 12);
  if (!link.has_value()) return;
  const MachineId from = link->first;
  const MachineId to = link->second;
  const uint64_t times = 2 + Which(value, 14, 8);
  const Duration period = 20ms + LengthOf(value, 1s);
  world_->Note(absl::StrCat("the link from ", NameOf(from), " to ", NameOf(to),
                            " comes and goes"));
  for (uint64_t i = 0; i < times; ++i) {
    After(static_cast<int64_t>(i) * period, [this, from, to, period] {
      if (!running_) return;
      CutFor({{from, to}, {to, from}}, period / 2, LinkFault::kFlap);
    });
  }
}

void FaultSchedule::CutOneWay(uint64_t value) {
  const auto link = LinkOf(value, 5);
  if (!link.has_value()) return;
  const MachineId from = link->first;
  const MachineId to = link->second;
  world_->Note(
      absl::StrCat("nothing gets from ", NameOf(from), " to ", NameOf(to)));
  CutFor({{from, to}}, LengthOf(value, 6s), LinkFault::kOneWay);
}

void FaultSchedule::SlowLink(uint64_t value) {
  const auto link = LinkOf(value, 7);
  if (!link.has_value()) return;
  const MachineId from = link->first;
  const MachineId to = link->second;
  const Duration delay = 1ms + LengthOf(Another(value, 0), 400ms);
  // That link, or all to servers, too, that leave the machine.
  std::vector<MachineId> slow = {to};
  if (Which(value, 10, 2) == 0) {
    for (SimServer* other : servers_) {
      const MachineId m = other->machine();
      if (m != from && m != to) slow.push_back(m);
    }
  }
  for (MachineId m : slow) {
    fabric_->SetSlow(from, m, delay, LinkFault::kSlowLink);
  }
  After(LengthOf(value, 6s), [this, from, slow = std::move(slow)] {
    for (MachineId m : slow) fabric_->SetSlow(from, m, Duration::zero());
  });
}

void FaultSchedule::Clog(uint64_t value) {
  const auto link = LinkOf(value, 15);
  if (!link.has_value()) return;
  const MachineId from = link->first;
  const MachineId to = link->second;
  // 8 KiB to 1 MiB a second.
  fabric_->SetClogged(from, to, uint64_t{8 << 10} << Which(value, 17, 8));
  After(LengthOf(value, 6s),
        [this, from, to] { fabric_->SetClogged(from, to, 0); });
}

void FaultSchedule::CutClient(SimClient* client, uint64_t value) {
  std::vector<std::pair<MachineId, MachineId>> links;
  auto cut = [&](MachineId server) {
    links.emplace_back(client->machine(), server);
    links.emplace_back(server, client->machine());
  };
  if (Which(value, 18, 2) == 0) {
    for (SimServer* server : servers_) cut(server->machine());
  } else {
    cut(servers_[Which(value, 19, servers_.size())]->machine());
  }
  CutFor(std::move(links), LengthOf(value, 6s), LinkFault::kCutClient);
}

// What others sent to it while they still followed arrives when another one
// leads, and before word of that does. Its clients stay with it meanwhile.
void FaultSchedule::LateNews(uint64_t value) {
  SimServer* const leader = leader_();
  if (leader == nullptr) return;
  const MachineId to = leader->machine();
  const Duration delay = 20ms + LengthOf(value, 400ms);
  auto slow = [this, to](Duration by) {
    for (SimServer* other : servers_) {
      if (other->machine() != to) fabric_->SetSlow(other->machine(), to, by);
    }
  };
  world_->Note(absl::StrCat("server ", to, " hears late, and is to hand over"));
  slow(delay);
  // Once its questions take that long.
  After(delay, [this, leader] {
    if (!running_ || !leader->running() || !leader->node().is_leader()) return;
    ++counts_.late_news;
    leader->log().Transfer(ServerId(), [](const absl::Status&) {});
  });
  After(2 * delay + 1s, [slow] { slow(Duration::zero()); });
}

}  // namespace holdfast
