#include "sim/simulation.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/base/check.h"
#include "engine/node/cold_read_pace.h"
#include "engine/wal/segment.h"
#include "sim/setup.h"
#include "sim/tls_mode.h"

namespace holdfast {
namespace {

constexpr ChanceSite kSync("setup/sync");
constexpr ChanceSite kCloses("setup/closes");

// An intact one, durably.
bool HasCheckpoint(const SimServer& server, Index index) {
  const NameTable::Files& files = server.disk()->names().durable();
  const auto file = files.find(CheckpointName(CheckpointKind::kBase, index));
  return file != files.end() && IsCheckpoint(*file->second, index);
}

// The longest that there is without faults.
Duration RoundTripMax() {
  const SimNetworkOptions calm;
  return 2 * (calm.delay_max + calm.tail_max);
}

}  // namespace

Simulation::Simulation(const SimulationOptions& options)
    : world_(options.seed),
      options_(DrawSetup(options, &world_.chance)),
      fabric_(&world_,
              SimNetworkOptions{
                  .tail_ppm = options_.rates->tail_ppm,
                  .reset_ppm = options_.rates->reset_ppm,
                  .silence_ppm = options_.rates->silence_ppm,
                  .refuse_ppm = options_.rates->refuse_ppm,
                  .flip_ppm = options_.rates->flip_ppm,
                  .linger_ppm = options_.rates->linger_ppm,
                  .short_read_ppm = options_.rates->short_read_ppm,
                  .short_write_ppm = options_.rates->short_write_ppm}),
      checker_(&verdict_, options_.may_lose),
      bounds_(&verdict_),
      history_(&verdict_),
      kv_model_(&verdict_),
      kv_{.world = &world_,
          .history = &history_,
          .model = &kv_model_,
          .counts = &kv_counts_},
      catch_up_(&bounds_, &verdict_),
      first_commit_(&bounds_, &verdict_,
                    options_.commit_max_round_trips * RoundTripMax()) {
  Chance* chance = &world_.chance;
  std::vector<Member> members;
  for (MachineId m = 1; m <= options_.nodes; ++m) {
    members.push_back(
        Member{ServerId(m), Incarnation(), NetworkFabric::AddressOf(m)});
  }
  ServiceOptions service = DrawService(options_, chance);
  if (options_.retention_bytes.has_value() ||
      options_.retention_age.has_value()) {
    history_.AnythingMayBeTrimmed();
  }
  for (MachineId m = 1; m <= options_.nodes + *options_.spares; ++m) {
    service.log.node.raft.leases = DrawLeases(options_, m, chance);
    servers_.push_back(std::make_unique<SimServer>(
        &world_, &fabric_, m, members, service,
        SimDiskOptions{
            .sync_max = Duration(600us) * (1 << Drawn(chance, kSync, m, 6)),
            .slow_ppm = options_.rates->slow_disk_ppm,
            .read_error_ppm = options_.rates->read_error_ppm,
            .write_error_ppm = options_.rates->write_error_ppm,
            .sync_error_ppm = options_.rates->sync_error_ppm,
            .tear_ppm = options_.rates->tear_ppm,
            .lose_write_ppm = options_.rates->lose_write_ppm,
            .lose_name_ppm = options_.rates->lose_name_ppm,
            .drop_in_flight_ppm = options_.rates->drop_in_flight_ppm,
            .cut_in_flight_ppm = options_.rates->cut_in_flight_ppm}));
    if (m > options_.nodes) servers_.back()->set_join();
    if (*options_.kv) servers_.back()->set_kv(&kv_);
    servers_.back()->set_clock_limits(options_.rates->clock_limits());
    servers_.back()->set_log_line(
        [this](MachineId machine, absl::string_view line) {
          world_.Note(absl::StrCat("server ", machine, ": ", line));
        });
  }
  std::vector<SimServer*> servers;
  for (auto& server : servers_) servers.push_back(server.get());
  atlas_ = std::make_unique<Atlas>(&checker_, servers);
  atlas_->set_beyond_model(options_.beyond_model);
  decay_ = std::make_unique<StorageDecay>(&world_, atlas_.get());
  old_copies_ = std::make_unique<OldCopies>(
      &world_, &verdict_, std::move(servers), [this] { return Leader(); },
      [this](SimServer* server) { DiskReplaced(server); }, atlas_.get());
  const auto takes_part = [this](size_t server) {
    const SimServer* leader = Leader();
    return leader != nullptr && leader->node().configuration()->Find(
                                    servers_[server]->id()) != nullptr;
  };
  for (uint32_t i = 0; i < options_.clients; ++i) {
    SimClientOptions client = DrawClient(options_, i, chance);
    for (auto& server : servers_) {
      client.servers.push_back(NetworkFabric::AddressOf(server->machine()));
    }
    client.takes_part = takes_part;
    clients_.push_back(std::make_unique<SimClient>(
        &world_, &fabric_, kFirstClient + i, &history_, client));
  }
  if (options_.tls) UseTls();
}

void Simulation::UseTls() {
  tls_ = std::make_unique<TlsMode>();
  fabric_.CarriesCiphertext();
  for (auto& server : servers_) {
    server->set_security(tls_->ForServer(server->machine()));
  }
  for (auto& client : clients_) {
    client->set_security(tls_->ForClient(
        client->machine(),
        *options_.admin ? ClientRole::kAdmin : ClientRole::kWrite));
  }
}

Simulation::~Simulation() {
  schedule_ = nullptr;
  // Whoever asked by a client is told that it is gone.
  clients_.clear();
  operator_ = nullptr;
  servers_.clear();
}

void Simulation::StartServers() {
  for (auto& server : servers_) server->Start();
}

void Simulation::StartClients() {
  for (auto& client : clients_) client->Start();
}

void Simulation::CheckLastActor() {
  ActorId actor = world_.scheduler.last_actor();
  for (auto& server : servers_) {
    if (!server->running()) continue;
    if (server->process()->actor() != actor) continue;
    checker_.Check(*server);
    bounds_.Check(*server);
    if (operator_ != nullptr && checker_.committed_configuration() != nullptr) {
      operator_->CheckAnswers(*checker_.committed_configuration());
    }
    if (server->put_back()) old_copies_->Check(server.get());
    if (old_copies_->forged() == 0) CheckNoneDiffers(*server);
    if (!server->failure().ok()) CheckStopped(server.get());
  }
  for (auto& client : clients_) {
    if (!client->running()) continue;
    if (client->process()->actor() == actor) bounds_.Check(*client);
  }
}

void Simulation::DiskReplaced(SimServer* server) {
  checker_.DiskReplaced(server->machine());
  if (operator_ != nullptr) operator_->DiskReplaced(*server);
}

void Simulation::CheckNoneDiffers(const SimServer& server) {
  if (server.node().log_comparison().stats().any() == 0) return;
  verdict_.Violate(absl::StrCat("server ", server.machine(),
                                " takes another one's log for another one"));
}

void Simulation::CheckStopped(SimServer* server) {
  const absl::Status& why = server->failure();
  if (server->forged()) {
    if (absl::StrContains(why.message(),
                          "isn't the same in this server's log")) {
      return;
    }
  } else if (server->put_back() && absl::IsFailedPrecondition(why)) {
    return;
  }
  // One that was removed, of an older release, whom another one that hasn't
  // heard of it has brought up to date.
  if (absl::StrContains(why.message(), "run a newer release") &&
      !checker_.MayDecide(server->id())) {
    return;
  }
  if (server->StoppedByItsDisk()) {
    if (schedule_ != nullptr) schedule_->OnStopped(server);
    return;
  }
  // Nothing else is injected that a server must not survive.
  verdict_.Violate(
      absl::StrCat("server ", server->machine(), " stopped: ", why.ToString()));
}

bool Simulation::Step(TrueTime limit) {
  if (!world_.scheduler.StepUntil(limit)) return false;
  const uint64_t elections = checker_.elections();
  CheckLastActor();
  CheckMemory();
  if (checker_.elections() != elections && schedule_ != nullptr) {
    schedule_->OnElection();
  }
  Observer* const observer = world_.observer();
  if (observer != nullptr && !observer->AfterEvent()) verdict_.Stop();
  return true;
}

bool Simulation::RunFor(Duration length) {
  TrueTime limit = world_.now() + length;
  while (verdict_.ok() && Step(limit)) {
  }
  return verdict_.ok();
}

bool Simulation::RunUntil(const std::function<bool()>& done, Duration limit) {
  TrueTime end = world_.now() + limit;
  uint64_t steps = 0;
  while (verdict_.ok()) {
    if (steps++ % 64 == 0 && done()) return true;
    if (!Step(end)) return verdict_.ok() && done();
  }
  return false;
}

SimServer* Simulation::Leader() {
  SimServer* leader = nullptr;
  for (auto& server : servers_) {
    if (!server->running() || !server->node().is_leader()) continue;
    if (leader == nullptr ||
        server->node().core()->term() > leader->node().core()->term()) {
      leader = server.get();
    }
  }
  return leader;
}

std::vector<SimServer*> Simulation::Members() {
  std::vector<SimServer*> members;
  if (Leader() == nullptr) return members;
  for (const Member& m : Leader()->node().configuration()->Everyone()) {
    members.push_back(server(static_cast<MachineId>(m.id.value())));
  }
  return members;
}

bool Simulation::LogsEqual() {
  SimServer* leader = Leader();
  if (leader == nullptr) return false;
  const Configuration& configuration = *leader->node().configuration();
  // What was begun is carried to its end.
  if (configuration.joint() || !configuration.joining.empty()) return false;
  for (SimServer* member : Members()) {
    if (!member->running() || !member->node().formed()) return false;
    const Tail& tail = member->node().tail();
    if (tail.last() != leader->node().tail().last()) return false;
    if (tail.committed().index != tail.last().index) return false;
  }
  return true;
}

void Simulation::Settle() {
  world_.Note("faults stop");
  kv_.quiet = true;
  if (operator_ != nullptr) operator_->Stop();
  fabric_.set_options(SimNetworkOptions{});
  for (auto& server : servers_) server->CalmDisk();
  world_.chance.OtherRates();
  fabric_.HealAll();
  if (schedule_ != nullptr) schedule_->Stop();
  for (auto& client : clients_) client->Quiesce();
  // A pause that is on is the last fault; or a sync that hangs.
  TrueTime last_fault = world_.now();
  for (auto& server : servers_) {
    if (!server->running()) continue;
    const ActorId actor = server->process()->actor();
    last_fault = std::max({last_fault, world_.scheduler.PausedUntil(actor),
                           server->disk()->BusyUntil()});
  }
  for (auto& client : clients_) {
    if (!client->running()) continue;
    last_fault = std::max(last_fault, client->paused_until());
  }
  if (!RunFor(last_fault - world_.now())) return;
  if (*options_.minority_down && !LedByTheOthers()) return;
  for (auto& client : clients_) client->Settle();
  const Duration election_timeout = options_.election_timeout_max.value_or(
      RaftOptions().election_timeout_max);
  const Duration place_max = PlaceMax(options_);
  const Duration all = options_.settle_max + place_max;
  const Duration leader_max = std::min(
      options_.settle_max, options_.leader_max_timeouts * election_timeout);
  const Duration clients_max =
      place_max + options_.clients_max_round_trips * RoundTripMax();
  // There may be another election: a leader may just have lost its quorum.
  const auto clients_limit = [&] {
    return std::min(all, leader_max + clients_max) - recovery_.leader.took;
  };
  const auto clients_settled = [this] {
    LookAtProgress();
    return ClientsSettled();
  };
  const auto risen = [this] {
    LookAtProgress();
    return FeatureLevelHasRisen();
  };
  // What operators' clients gave up with the faults may be on its way yet.
  constexpr Duration kOnItsWayMax = 1s;
  const TrueTime nothing_comes =
      world_.now() + (*options_.admin ? kOnItsWayMax : Duration::zero());
  const auto level = [this, nothing_comes] {
    LookAtProgress();
    return ClientsSettled() && LogsEqual() && TailsDone() &&
           world_.now() >= nothing_comes;
  };
  if (Reach([this] { return Led(); }, leader_max, &recovery_.leader) &&
      Reach(clients_settled, clients_limit(), &recovery_.clients) &&
      Reach(risen, all - recovery_.total(), &recovery_.feature_level) &&
      Reach(level, all - recovery_.total(), &recovery_.level)) {
    if (*options_.scrub) AwaitScrubbing();
    CompareLogs();
  }
}

bool Simulation::LedByTheOthers() {
  SimServer* const before = Leader();
  std::vector<SimServer*> order;
  if (before != nullptr) order.push_back(before);
  for (auto& server : servers_) {
    if (server.get() != before) order.push_back(server.get());
  }
  std::vector<SimServer*> down;
  for (SimServer* server : order) {
    if (!server->running() || server->put_back()) continue;
    down.push_back(server);
    if (!atlas_->MayBeDown(down)) down.pop_back();
    // There would be nothing to wait for.
    if (server == before && down.empty()) return true;
  }
  if (down.empty()) return true;
  recovery_.stayed_down = down.size();
  Term term;
  if (before != nullptr) term = before->node().core()->term();
  for (SimServer* server : down) {
    world_.Note(absl::StrCat("server ", server->machine(), " stays down"));
    server->Crash(/*power_lost=*/true);
  }
  const auto led = [&] {
    return Led() && Leader()->node().core()->term() > term;
  };
  if (!Reach(led, options_.settle_max, &recovery_.minority_down)) return false;
  for (SimServer* server : down) {
    if (!server->running()) server->Start();
  }
  return true;
}

// A pass of each server's finds what has decayed, and has it repaired; the one
// under way may have passed it already.
void Simulation::AwaitScrubbing() {
  Duration pass{};
  for (SimServer* member : Members()) {
    uint64_t bytes = 0;
    for (const auto& [name, file] : member->disk()->names().durable()) {
      if (ParseSegmentName(name).has_value() ||
          CheckpointIndexOf(name).has_value()) {
        bytes += file->durable().size();
      }
    }
    const NodeOptions& node = member->node().options();
    pass = std::max(pass, node.scrub_interval +
                              TimeFor(bytes, node.scrub_bytes_per_second));
  }
  const Duration limit = 2 * pass + 10s;
  const TrueTime start = world_.now();
  SimServer* damaged = nullptr;
  const auto whole = [this, &damaged] {
    const std::vector<SimServer*> members = Members();
    const auto it =
        std::find_if(members.begin(), members.end(),
                     [](SimServer* s) { return !WhatIsDamaged(s).empty(); });
    damaged = it == members.end() ? nullptr : *it;
    return damaged == nullptr && !members.empty();
  };
  const bool mended = RunUntil(whole, limit);
  recovery_.scrub = {.took = world_.now() - start, .most = limit};
  if (mended || !verdict_.ok()) return;
  if (damaged == nullptr) return SayWhatIsNotSettled(limit);
  verdict_.NotLive(absl::StrCat("server ", damaged->machine(),
                                " has looked for damage for ", ToMillis(limit),
                                " ms, but ", WhatIsDamaged(damaged),
                                " is damaged on its disk"));
}

// What a checkpoint stands for doesn't matter.
std::string Simulation::WhatIsDamaged(SimServer* server) {
  if (!server->disk()->damaged()) return "";
  const Index base = server->node().base().index;
  if (base > Index(0) && !HasCheckpoint(*server, base)) {
    return absl::StrCat("the checkpoint at entry ", base.value());
  }
  std::string damaged;
  const DurableLog& log = server->WholeLog();
  log.ForEachDamaged([&](Index index, Term) {
    if (index > base && damaged.empty()) {
      damaged = absl::StrCat("entry ", index.value());
    }
  });
  if (!damaged.empty()) return damaged;
  if (!log.ShowsEndTwice(base)) return "one of the log's last two marks";
  const NameTable& disk = server->disk()->names();
  for (const auto& [name, file] : disk.durable()) {
    const std::optional<Index> index = CheckpointIndexOf(name);
    // Not one that is about to go, nor one that tells how far the log had come.
    if (!index.has_value() || disk.Find(name) != file || file->damages() == 0 ||
        ParseCheckpointName(CheckpointKind::kBase, name) > base) {
      continue;
    }
    if (!IsCheckpoint(*file, *index)) return absl::StrCat("the file ", name);
  }
  return "";
}

void Simulation::LookAtProgress() {
  const SimServer* leader = Leader();
  if (leader == nullptr || !Led()) return;
  first_commit_.Look(world_.now(), *leader);
  catch_up_.Look(world_.now(), *leader, [this](ServerId id) {
    return server(static_cast<MachineId>(id.value()));
  });
}

bool Simulation::Led() {
  const SimServer* leader = Leader();
  if (leader == nullptr) return false;
  const RaftCore& core = *leader->node().core();
  return core.commit() >= core.term_start();
}

bool Simulation::FeatureLevelHasRisen() {
  const SimServer* leader = Leader();
  if (leader == nullptr) return false;
  const uint32_t level =
      leader->node().core()->committed_configuration().feature_level;
  const std::vector<SimServer*> members = Members();
  // By what it runs, not by what it is to be started with.
  return std::any_of(members.begin(), members.end(), [=](SimServer* member) {
    return member->running() &&
           member->node().options().feature_level_max <= level;
  });
}

bool Simulation::ClientsSettled() const {
  return std::all_of(clients_.begin(), clients_.end(),
                     [](const auto& client) { return client->settled(); });
}

bool Simulation::TailsDone() const {
  return std::all_of(clients_.begin(), clients_.end(),
                     [](const auto& client) { return client->TailDone(); });
}

bool Simulation::Reach(const std::function<bool()>& what, Duration limit,
                       Margin* margin) {
  const TrueTime start = world_.now();
  const bool reached = RunUntil(what, limit);
  *margin = {.took = world_.now() - start, .most = limit};
  if (!reached && verdict_.ok()) SayWhatIsNotSettled(limit);
  return reached;
}

void Simulation::SayWhatIsNotSettled(Duration limit) {
  std::string why =
      Led() ? absl::StrCat("not settled within ", ToMillis(recovery_.total()),
                           " ms after the last fault:")
            : absl::StrCat("no leader within ", ToMillis(limit),
                           " ms after the last fault:");
  if (Led() && !FeatureLevelHasRisen()) {
    absl::StrAppend(&why, " the feature level hasn't risen;");
  }
  for (auto& client : clients_) {
    if (!client->settled() || !client->TailDone()) {
      absl::StrAppend(&why, " ", client->Describe());
    }
  }
  for (auto& server : servers_) {
    absl::StrAppend(&why, "; server ", server->machine());
    if (!server->running()) {
      absl::StrAppend(&why, " is down");
    } else if (!server->node().formed()) {
      absl::StrAppend(
          &why, " isn't formed: ", server->node().forming_status().message());
    } else {
      const RaftCore& core = *server->node().core();
      absl::StrAppend(&why, " ", ToString(core.role()), " term ",
                      core.term().value(), " last ", core.last_index().value(),
                      " commit ", core.commit().value());
    }
  }
  verdict_.NotLive(std::move(why));
}

void Simulation::MakeOperator(std::vector<SimServer*> servers,
                              std::vector<SimClient*> clients) {
  operator_ = std::make_unique<Operator>(
      &world_, &verdict_, &history_,
      Operator::Does{.members = *options_.changes,
                     .trims = *options_.trims,
                     .transfers = *options_.transfers},
      std::move(servers), [this] { return Leader(); },
      [this](SimServer* server) { DiskReplaced(server); });
  operator_->set_may_leave([this] { return !old_copies_->under_way(); });
  operator_->set_atlas(atlas_.get());
  atlas_->set_leaving(
      [this](const SimServer& s) { return operator_->IsLeaving(s); });
  // When faults stop, nothing is to be asked for any more.
  if (*options_.admin) {
    operator_->AskBy(std::move(clients), world_.now() + options_.duration);
  }
}

SimulationResult Simulation::Run() {
  std::vector<SimServer*> servers;
  for (auto& s : servers_) servers.push_back(s.get());
  std::vector<SimClient*> clients;
  for (auto& c : clients_) clients.push_back(c.get());
  MakeOperator(servers, clients);
  schedule_ = std::make_unique<FaultSchedule>(
      &world_, &fabric_, std::move(servers), std::move(clients),
      [this] { return Leader(); }, *options_.rates, old_copies_.get(),
      decay_.get(), operator_.get());
  StartServers();
  StartClients();
  schedule_->Start();
  if (*options_.changes || *options_.trims || *options_.transfers) {
    operator_->Start();
  }
  if (RunFor(options_.duration) && options_.settle) Settle();
  if (options_.settle && verdict_.ok()) CloseClients();
  return Result();
}

void Simulation::CloseClients() {
  constexpr Duration kCloseMax = 1s;
  const auto closing = std::make_shared<size_t>(0);
  for (uint32_t i = 0; i < clients_.size(); ++i) {
    const uint64_t how = Drawn(&world_.chance, kCloses, i, 4);
    if (how >= 2) continue;  // EndClients
    ++*closing;
    clients_[i]->Settle();  // so that something is under way
    clients_[i]->Close(/*goes_at_once=*/how == 0, [closing] { --*closing; });
  }
  const auto closed = [&] { return *closing == 0; };
  if (RunUntil(closed, kCloseMax) || !verdict_.ok()) return;
  verdict_.NotLive(absl::StrCat(*closing, " clients haven't closed within ",
                                ToMillis(kCloseMax), " ms"));
}

uint64_t Simulation::Operations() const {
  uint64_t operations = kv_counts_.gets + kv_counts_.writes;
  for (const auto& client : clients_) operations += client->operations();
  return operations;
}

SimulationResult Simulation::Result() {
  SimulationResult r;
  r.verdict = verdict_;
  r.trace_hash = world_.trace.hash();
  r.events = world_.trace.events();
  r.simulated_ms = ToMillis(world_.now().time_since_epoch());
  r.elections = checker_.elections();
  if (schedule_ != nullptr) r.faults = schedule_->counts();
  for (auto& client : clients_) r.faults.slow_readers += client->slow_readers();
  r.damages = decay_->counts();
  const auto note = [&r](const char* name, uint64_t n) { r.stats[name] = n; };
  r.damages.ForEach(note);
  r.stats["disk_put_back"] = old_copies_->put_back();
  r.stats["disk_put_back_replaced"] = old_copies_->replaced();
  r.stats["disk_forged"] = old_copies_->forged();
  r.stats["disk_wiped"] = old_copies_->wiped();
  r.stats["server_other_options"] = r.faults.other_options;
  r.stats["server_crash_loop"] = r.faults.crash_loops;
  r.stats["client_burst"] = r.faults.bursts;
  if (operator_ != nullptr) {
    const OperatorCounts& counts = operator_->counts();
    r.stats["operator_joins"] = counts.joins;
    r.stats["operator_leaves"] = counts.leaves;
    r.stats["operator_transfers"] = counts.transfers;
    r.stats["operator_trims"] = counts.trims;
    r.stats["operator_refused"] = counts.refused;
    r.stats["operator_replaced"] = counts.replaced;
  }
  r.stats["kv_get"] = kv_counts_.gets;
  r.stats["kv_write"] = kv_counts_.writes;
  r.stats["kv_conflict"] = kv_counts_.conflicts;
  r.network = fabric_.counts();
  for (auto& client : clients_) client->AddStats(&r.stats);
  for (auto& server : servers_) {
    r.disks += server->disk()->counts();
    server->AddStats(&r.stats);
  }
  r.stats["server_stayed_down"] = recovery_.stayed_down;
  r.faults.ForEach(note);
  r.network.ForEach(note);
  r.disks.ForEach(note);
  r.acknowledged = history_.acknowledged();
  r.unknown = history_.unknown();
  r.reads = history_.reads();
  r.injected = world_.chance.tape().entries.size();
  for (const TapeEntry& entry : world_.chance.tape().entries) {
    ++r.stats[entry.site];
  }
  r.operations = Operations();
  r.recovery = recovery_;
  r.recovery.commit = first_commit_.worst();
  r.catch_up = catch_up_.worst();
  r.memory_bytes = std::max(memory_most_, MemoryInUse());
  r.memory_percent = 100 * r.memory_bytes / MemoryMax();
  r.nodes = options_.nodes;
  return r;
}

std::string Simulation::Report(size_t events) const {
  return world_.trace.Tail(events, [this](ActorId actor) -> std::string {
    if (actor == kWorldActor) return "world";
    for (const auto& s : servers_) {
      if (s->running() && s->process()->actor() == actor) {
        return absl::StrCat("server ", s->machine());
      }
    }
    return absl::StrCat("actor ", actor);
  });
}

}  // namespace holdfast
