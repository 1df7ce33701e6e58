#include "sim/server.h"

#include <algorithm>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/base/random.h"

namespace holdfast {

SimServer::SimServer(World* world, NetworkFabric* fabric, MachineId machine,
                     std::vector<Member> members, ServiceOptions options,
                     SimDiskOptions disk_options)
    : world_(world),
      fabric_(fabric),
      machine_(machine),
      options_(std::move(options)),
      had_leases_(options_.log.node.raft.leases),
      disk_options_(disk_options),
      image_(std::make_unique<DiskImage>(world, machine, disk_options)) {
  NodeOptions& node = options_.log.node;
  node.id = ServerId(machine);
  node.cluster_name = "sim";
  node.listen = NetworkFabric::AddressOf(machine);
  node.bootstrap = std::move(members);
  fabric_->SetMachineUp(machine, false);
}

SimServer::~SimServer() {
  if (running()) Crash(true);
}

void SimServer::Start() {
  CHECK(!running());
  ++boots_;
  Tell(IncidentKind::kStart);
  failure_ = absl::OkStatus();
  failed_before_ = image_->counts().failed();
  fabric_->SetMachineUp(machine_, true);
  life_ = std::make_unique<Life>(
      world_, machine_, boots_,
      DrawClock(&world_->chance, machine_, clock_limits_));
  Life& life = *life_;
  life.process.set_before_io(before_io_);
  life.security = make_security_(life.process.loop());
  life.disk = std::make_unique<SimDisk>(&life.process, image_.get());
  life.network = std::make_unique<SimNetwork>(&life.process, fabric_);
  life.log_line = [this](absl::string_view line) {
    if (on_log_line_) on_log_line_(machine_, line);
  };
  uint64_t seed =
      HashCombine(HashCombine(world_->chance.seed(), machine_), boots_);
  ServiceOptions options = options_;
  if (kv_ != nullptr) {
    life.kv = std::make_unique<KvActor>(kv_, &life.process,
                                        absl::StrCat("server ", machine_));
    options.log.machine = life.kv->machine();
  }
  life.service = std::make_unique<Service>(Env{.loop = life.process.loop(),
                                               .disk = life.disk.get(),
                                               .network = life.network.get(),
                                               .security = life.security.get(),
                                               .seed = seed,
                                               .log_line = &life.log_line},
                                           options);
  life.service->OnFatal(
      [this](absl::Status why) { failure_ = std::move(why); });
  life.service->Open([this, &life](absl::Status opened) {
    life.serves = opened.ok();
    const bool closed = life.closing && absl::IsCancelled(opened);
    if (!opened.ok() && !closed) failure_ = std::move(opened);
  });
  if (kv_ != nullptr) life.kv->Start(&life.service->log());
}

bool SimServer::StoppedByItsDisk() const {
  if (image_->counts().failed() == failed_before_) return false;
  if (absl::StrContains(failure_.message(), kDeviceError) ||
      absl::StrContains(failure_.message(), "the device refuses to read")) {
    return true;
  }
  // What serves goes on without room, unless its hard state has lost its end.
  return absl::StrContains(failure_.message(), kDiskFull) &&
         (!life_->serves || absl::StrContains(failure_.message(), "hardstate"));
}

void SimServer::Crash(bool power_lost) {
  CHECK(running());
  Tell(power_lost ? IncidentKind::kPowerLoss : IncidentKind::kCrash);
  CollectStats(&past_stats_);
  EndLife(power_lost);
}

void SimServer::EndLife(bool power_lost) {
  life_->process.Kill();
  fabric_->ProcessDied(life_->process, power_lost);
  image_->ProcessDied(life_->process);
  if (power_lost) {
    fabric_->SetMachineUp(machine_, false);
    image_->PowerLost(boots_);
  }
  life_->service = nullptr;
  life_->kv = nullptr;
  CHECK_EQ(*life_->process.open_files(), size_t{0});
  CHECK_EQ(*life_->process.open_sockets(), size_t{0});
  life_ = nullptr;
}

void SimServer::Close(std::function<void()> ended) {
  CHECK(running());
  const auto end = [this, boot = boots_, ended = std::move(ended)] {
    if (!running() || boots_ != boot) return;
    Tell(IncidentKind::kEnd);
    CollectStats(&past_stats_);
    // It has left the network. Its files, and what they have still to write, go
    // with it.
    const size_t sockets_after_close = *life_->process.open_sockets();
    CHECK_EQ(sockets_after_close, size_t{0});
    life_->service = nullptr;
    life_->kv = nullptr;
    // Whatever it had under way is left to the kernel, but for timers.
    const ActorId actor = life_->process.actor();
    CHECK_EQ(world_->scheduler.CountPending(actor, EventKind::kTimer),
             size_t{0});
    EndLife(/*power_lost=*/false);
    ended();
  };
  life_->closing = true;
  life_->service->Close([this, end](absl::Status) {
    // Not within its own code.
    world_->scheduler.At(world_->now(), kWorldActor, EventKind::kFault, end);
  });
}

void SimServer::WipeDisk() {
  ReplaceDisk(std::make_unique<DiskImage>(world_, machine_, disk_options_));
}

void SimServer::BeginAnew() {
  if (running()) Crash(true);
  WipeDisk();
  set_join();
  Start();
}

void SimServer::ReplaceDisk(std::unique_ptr<DiskImage> image) {
  CHECK(!running());
  Tell(IncidentKind::kNewDisk);
  durable_log_.Update(image_->names());
  lost_logs_.push_back(std::exchange(durable_log_, {}));
  image_ = std::move(image);
  put_back_ = forged_ = false;
}

void SimServer::PutBackDisk(std::unique_ptr<DiskImage> image, bool forged) {
  if (image == nullptr) {
    image = std::make_unique<DiskImage>(world_, machine_, disk_options_);
  }
  ReplaceDisk(std::move(image));
  MendDisk();
  put_back_ = true;
  forged_ = forged;
}

bool SimServer::HadDurably(Index index, Term term) {
  durable_log_.Update(image_->names());
  auto has = [index, term](const DurableLog& log) {
    return log.Has(index, term);
  };
  return has(durable_log_) || absl::c_any_of(lost_logs_, has);
}

const DurableLog& SimServer::WholeLog() {
  durable_log_.UpdateWhole(image_->names());
  return durable_log_;
}

void SimServer::Spoil(const Damage& damage) {
  // What was durable before stays known.
  durable_log_.UpdateWhole(image_->names());
  image_->Spoil(damage);
  Tell(IncidentKind::kDamage, Duration::zero(), damage.bytes.size());
}

void SimServer::HangDisk(Duration length, bool all) {
  SimDiskOptions options = disk_options_;
  // For less than that nothing is held up that wouldn't be otherwise.
  options.hangs_for = std::max(length, disk_options_.sync_max + 1ns);
  options.sync_min = options.sync_max = length;
  if (all) {
    options.write_min = options.write_max = length;
    options.read_min = options.read_max = length;
  }
  image_->set_options(options);
  Tell(IncidentKind::kHang, length);
}

void SimServer::MendDisk() {
  image_->set_options(disk_options_);
  Tell(IncidentKind::kMend);
}

void SimServer::FillDisk(uint64_t room) {
  image_->set_capacity(image_->used_bytes() + room);
  Tell(IncidentKind::kFull, Duration::zero(), room);
}

void SimServer::EmptyDisk() {
  image_->set_capacity(DiskImage::kAmple);
  Tell(IncidentKind::kRoom);
}

void SimServer::CalmDisk() {
  image_->set_options(SimDiskOptions{});
  image_->set_capacity(DiskImage::kAmple);
  Tell(IncidentKind::kMend);
}

void SimServer::Tell(IncidentKind kind, Duration length, uint64_t count) const {
  if (world_->observer() == nullptr) return;
  world_->observer()->OnIncident(
      {.kind = kind, .machine = machine_, .length = length, .count = count});
}

void SimServer::set_join() {
  options_.log.node.bootstrap.clear();
  options_.log.node.join = true;
}

void SimServer::set_bootstrap(std::vector<Member> members) {
  options_.log.node.bootstrap = std::move(members);
  options_.log.node.join = false;
}

void SimServer::CollectStats(std::map<std::string, uint64_t>* totals) const {
  auto add = [totals](const char* name, uint64_t value) {
    (*totals)[name] += value;
  };
  const SimLoop& loop = *process()->loop();
  add("happened_drift", loop.drifts() ? 1 : 0);
  add("happened_late_timer", loop.late_timers());
  const DistributedLog& log = life_->service->log();
  if (log.node().core() != nullptr) log.node().core()->stats().ForEach(add);
  if (log.node().wal() != nullptr) log.node().wal()->stats().ForEach(add);
  log.stats().ForEach(add);
  if (log.applier() != nullptr) log.applier()->stats().ForEach(add);
  log.node().disk_space().stats().ForEach(add);
  log.node().log_comparison().stats().ForEach(add);
  add("disk_records_refused", log.node().records_refused());
  add("answer_of_other_disk", log.node().answers_of_other_disks());
  log.node().membership().stats().ForEach(add);
  if (log.node().remote_reads() != nullptr) {
    log.node().remote_reads()->stats().ForEach(add);
  }
  log.node().checkpoint_sender().stats().ForEach(add);
  log.node().repair_stats().ForEach(add);
  log.node().cold_read_pace().stats().ForEach(add);
  if (log.node().checkpoint_file() != nullptr) {
    log.node().checkpoint_file()->stats().ForEach(add);
  }
  if (log.node().waypoints() != nullptr) {
    log.node().waypoints()->stats().ForEach(add);
  }
  if (log.node().scrubber() != nullptr) {
    log.node().scrubber()->stats().ForEach(add);
  }
}

void SimServer::AddStats(std::map<std::string, uint64_t>* totals) const {
  for (const auto& [name, value] : past_stats_) (*totals)[name] += value;
  if (running()) CollectStats(totals);
}

}  // namespace holdfast
