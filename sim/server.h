#ifndef HOLDFAST_SIM_SERVER_H_
#define HOLDFAST_SIM_SERVER_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "engine/base/configuration.h"
#include "engine/service/service.h"
#include "sim/durable_log.h"
#include "sim/kv_workload.h"
#include "sim/make_security.h"
#include "sim/sim_disk.h"
#include "sim/sim_network.h"
#include "sim/sim_process.h"
#include "sim/world.h"

namespace holdfast {

// A machine with a disk, and on it, as long as it runs, a server: the very
// objects that production runs, over a simulated loop, disk and network.
class SimServer {
 public:
  // `options`: of the service; id, addresses and cluster are filled in.
  // `members`: the cluster's first servers; machine N runs server N.
  SimServer(World* world, NetworkFabric* fabric, MachineId machine,
            std::vector<Member> members, ServiceOptions options,
            SimDiskOptions disk_options);
  ~SimServer();

  void Start();
  // The process ends within whatever it is doing; its machine's kernel keeps
  // what was written, or with `power_lost` only what was synced, and perhaps
  // some of the rest. Call it outside of the process's own code.
  void Crash(bool power_lost);
  // It is asked to end, as by SIGTERM: it closes, its process ends, and then
  // `ended` is called; neither if it crashes before.
  void Close(std::function<void()> ended);

  bool running() const { return life_ != nullptr; }
  MachineId machine() const { return machine_; }
  ServerId id() const { return ServerId(machine_); }
  // Need running().
  SimProcess* process() { return &life_->process; }
  const SimProcess* process() const { return &life_->process; }
  DistributedLog& log() { return life_->service->log(); }
  const DistributedLog& log() const { return life_->service->log(); }
  const Node& node() const { return log().node(); }
  const Service& service() const { return *life_->service; }
  DiskImage* disk() { return image_.get(); }
  const DiskImage* disk() const { return image_.get(); }
  // The machine gets a new, empty disk. Needs !running().
  void WipeDisk();
  // It ends, if it runs, and starts on a new, empty disk, to be joined.
  void BeginAnew();
  // Or another one, with what is on it. Needs !running().
  void ReplaceDisk(std::unique_ptr<DiskImage> image);
  // Its own disk comes back as it was once, or with `forged` entries; null: it
  // is empty. Needs !running().
  void PutBackDisk(std::unique_ptr<DiskImage> image, bool forged);
  bool put_back() const { return put_back_; }
  bool forged() const { return forged_; }
  // A checkpoint of the others stands for what was forged.
  void Healed() { put_back_ = forged_ = false; }
  // Whether the entry is durable on this machine now, or was on a disk that it
  // lost since. False once a checkpoint has replaced it.
  bool HadDurably(Index index, Term term);
  // All of its log that is durable on its present disk, damaged or not.
  const DurableLog& WholeLog();
  // Whether its process will fail at its next sync of the directory.
  // Of what is at rest on its disk; see sim/atlas.h.
  void Spoil(const Damage& damage);
  // Syncs that begin from now on take so long, and with `all` reads and writes,
  // too; until it is mended.
  void HangDisk(Duration length, bool all = false);
  void MendDisk();
  // No more than so many bytes fit any more; until there is room again.
  void FillDisk(uint64_t room);
  void EmptyDisk();
  // As fast and good as any disk is by default, from now on.
  void CalmDisk();
  // What it is to do from its next start on, with an empty disk: wait to be
  // joined, or form a cluster with these servers.
  void set_join();
  // Where it listens in the lives to come.
  void set_address(Address address) {
    options_.log.node.listen = std::move(address);
  }
  // With whom it is to form a cluster then; none: it is to be joined.
  const std::vector<Member>& first_members() const {
    return options_.log.node.bootstrap;
  }
  void set_bootstrap(std::vector<Member> members);
  // Of the release that it runs from its next start on.
  uint32_t feature_level_max() const {
    return options_.log.node.feature_level_max;
  }
  void set_feature_level_max(uint32_t level) {
    options_.log.node.feature_level_max = level;
  }
  // All that it is to run with from its next start on, but for who it is.
  ServiceOptions* next_options() { return &options_; }
  // Whether it used leases at first.
  bool had_leases() const { return had_leases_; }
  // Likewise, whether it uses leases.
  void set_leases(bool leases) { options_.log.node.raft.leases = leases; }
  // From its next start on, it has a key-value machine, and a user of it.
  void set_kv(KvWorld* kv) { kv_ = kv; }
  // Needs running(), and set_kv before.
  const KvMachine& kv() const { return life_->kv->kv(); }
  bool kv_idle() const { return life_->kv->idle(); }
  // Starts so far.
  uint32_t boots() const { return boots_; }
  // Why the server stopped by itself or couldn't start; OK otherwise.
  const absl::Status& failure() const { return failure_; }
  // Whether it says an error of its disk, or a full disk, and there was one
  // since it started.
  bool StoppedByItsDisk() const;
  // Of the clocks of the lives to come.
  void set_clock_limits(const ClockLimits& limits) { clock_limits_ = limits; }
  void set_log_line(std::function<void(MachineId, absl::string_view)> fn) {
    on_log_line_ = std::move(fn);
  }
  // Of the lives to come; plaintext otherwise.
  void set_security(MakeSecurity make) { make_security_ = std::move(make); }
  // Called before each I/O of the lives to come.
  void set_before_io(std::function<void()> fn) { before_io_ = std::move(fn); }
  // Adds what the engine counted, by name, and how the clock of each life went,
  // lives that ended included.
  void AddStats(std::map<std::string, uint64_t>* totals) const;

 private:
  struct Life {
    Life(World* world, MachineId machine, uint32_t boot, ClockModel clock)
        : process(world, machine, boot, clock) {}
    SimProcess process;
    std::unique_ptr<Security> security;
    std::unique_ptr<SimDisk> disk;
    std::unique_ptr<SimNetwork> network;
    LogLineFn log_line;
    std::unique_ptr<KvActor> kv;
    std::unique_ptr<Service> service;
    bool serves = false;  // its log is open
    bool closing = false;
  };

  // Nothing that it opened may be left when its objects are gone.
  void EndLife(bool power_lost);
  // Tells whoever watches.
  void Tell(IncidentKind kind, Duration length = Duration::zero(),
            uint64_t count = 0) const;
  void CollectStats(std::map<std::string, uint64_t>* totals) const;

  World* const world_;
  NetworkFabric* const fabric_;
  const MachineId machine_;
  ServiceOptions options_;
  const bool had_leases_;
  const SimDiskOptions disk_options_;
  std::unique_ptr<DiskImage> image_;
  DurableLog durable_log_;
  std::vector<DurableLog> lost_logs_;  // of its former disks
  bool put_back_ = false;
  bool forged_ = false;
  KvWorld* kv_ = nullptr;
  ClockLimits clock_limits_;
  uint32_t boots_ = 0;
  absl::Status failure_;
  uint64_t failed_before_ = 0;  // operations of its disk, when it started
  std::function<void(MachineId, absl::string_view)> on_log_line_;
  MakeSecurity make_security_ = MakePlaintext;
  std::function<void()> before_io_;
  std::map<std::string, uint64_t> past_stats_;
  std::unique_ptr<Life> life_;
};

}  // namespace holdfast

#endif  // HOLDFAST_SIM_SERVER_H_
