#ifndef HOLDFAST_SIM_FAULT_SCHEDULE_H_
#define HOLDFAST_SIM_FAULT_SCHEDULE_H_

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "sim/damage.h"
#include "sim/fault_rates.h"
#include "sim/old_copies.h"
#include "sim/operator.h"
#include "sim/server.h"
#include "sim/sim_client.h"
#include "sim/sim_network.h"
#include "sim/world.h"

namespace holdfast {

// What was done, for the run's summary. Where nothing may come of it, networks
// and disks count what came.
struct FaultCounts {
  uint64_t crashes = 0;
  uint64_t power_losses = 0;
  uint64_t crashes_in_io = 0;         // before an operation
  uint64_t cluster_power_losses = 0;  // of all that ran, at once
  uint64_t surges = 0;                // that spoiled several disks
  uint64_t ambushes = 0;              // elections that cost somebody the power
  uint64_t client_crashes = 0;
  uint64_t crashes_in_request = 0;  // of these, with appends under way
  uint64_t partitions = 0;          // of all kinds
  uint64_t pauses = 0;              // of servers
  uint64_t client_pauses = 0;
  uint64_t upgrades = 0;
  uint64_t late_news = 0;
  uint64_t full_disks = 0;
  uint64_t closed = 0;  // servers that were asked to end, and did
  uint64_t clients_closed = 0;
  uint64_t started_again = 0;  // servers that an error of the disk had stopped
  uint64_t other_options = 0;
  uint64_t crash_loops = 0;
  uint64_t bursts = 0;
  uint64_t slow_readers = 0;  // of tails; clients count them

  template <typename Fn>  // fn(name, value)
  void ForEach(Fn fn) const {
    fn("happened_crash", crashes);
    fn("happened_power_loss", power_losses);
    fn("happened_crash_in_io", crashes_in_io);
    fn("happened_cluster_power_loss", cluster_power_losses);
    fn("happened_surge", surges);
    fn("happened_ambush", ambushes);
    fn("happened_client_crash", client_crashes);
    fn("happened_crash_in_request", crashes_in_request);
    fn("happened_partition", partitions);
    fn("happened_pause", pauses);
    fn("happened_client_pause", client_pauses);
    fn("happened_upgrade", upgrades);
    fn("happened_late_news", late_news);
    fn("happened_full_disk", full_disks);
    fn("happened_other_options", other_options);
    fn("happened_crash_loop", crash_loops);
    fn("happened_burst", bursts);
    fn("happened_slow_reader", slow_readers);
    fn("server_started_again", started_again);
    fn("server_closed", closed);
    fn("client_closed", clients_closed);
  }
};

// Does to a cluster what its rates say, window by window, until it is stopped;
// and, from its making on, what a tape says before an I/O or an arrival. Make
// it before the servers start.
class FaultSchedule {
 public:
  static constexpr Duration kWindow = Chance::kWindow;

  FaultSchedule(World* world, NetworkFabric* fabric,
                std::vector<SimServer*> servers,
                std::vector<SimClient*> clients,
                std::function<SimServer*()> leader, FaultRates rates,
                OldCopies* old_copies, StorageDecay* decay, const Operator* op);

  void Start();
  // A server has won an election.
  void OnElection();
  // It has stopped by itself: its process ends now, and somebody starts it
  // again, also when there are no more faults.
  void OnStopped(SimServer* server);
  // No more faults; what is broken is mended, what is down is started.
  void Stop();
  const FaultCounts& counts() const { return counts_; }

 private:
  void OnWindow();
  void StrikeClient(uint32_t i);
  void BeforeIo(SimServer* server);
  void BeforeArrival(MachineId from, MachineId to);
  bool Happens(const ChanceSite& site, uint32_t id, uint64_t rate_ppm,
               uint64_t* value);
  // A while after its end, as `value` says; at once if there are no more
  // faults.
  void StartLater(SimServer* server, uint64_t value);
  void CrashLater(SimServer* server, uint64_t value, bool power_lost);
  void CrashInIo(SimServer* server, uint64_t value);
  // The n-th from now.
  void CrashBeforeIo(SimServer* server, uint64_t n, SimProcess::Io kind,
                     uint64_t value, bool power_lost);
  void Crash(SimServer* server, uint64_t value, bool power_lost);
  void LoseAllPower(uint64_t value);
  void Close(SimServer* server, uint64_t value);
  void Pause(const SimProcess& process, uint64_t value);
  void Upgrade(SimServer* server, uint64_t value);
  void OtherOptions(SimServer* server, uint64_t value);
  // So many times more, unless something else has it down.
  void CrashInLoop(SimServer* server, uint64_t value, uint64_t times);
  void HangDisk(SimServer* server, uint64_t value);
  void FillDisk(SimServer* server, uint64_t value);
  void OldDisk(SimServer* server);
  void ForgeDisk(SimServer* server, uint64_t value);
  void DamageDisk(SimServer* server);
  // All disks, a few times each; those of `value`'s bits lose power, too.
  void Surge(uint64_t value);
  void CrashClient(SimClient* client, uint64_t value);
  void CloseClient(SimClient* client, uint64_t value);
  void StartLater(SimClient* client, uint64_t value);
  void StopReading(const SimClient* client, uint64_t value);
  // From the servers; a client, too.
  void Isolate(MachineId machine, uint64_t value);
  void Split(uint64_t value);
  void CutOneWay(uint64_t value);
  void SlowLink(uint64_t value);
  void LateNews(uint64_t value);
  void Bridge(uint64_t value);
  void Flap(uint64_t value);
  void Clog(uint64_t value);
  void CutClient(SimClient* client, uint64_t value);
  // From one server to another one, as `value` says, asked with `salt` and the
  // next; nothing if both are the same. One time in four a client has one end.
  // (A written value has a byte for each end, and one from 192 on is a
  // client's.)
  std::optional<std::pair<MachineId, MachineId>> LinkOf(uint64_t value,
                                                        uint64_t salt) const;
  // Those between two groups, as `value` says, but for the bridge's (0: none).
  std::vector<std::pair<MachineId, MachineId>> LinksBetweenGroups(
      uint64_t value, MachineId bridge) const;
  void CutFor(std::vector<std::pair<MachineId, MachineId>> links,
              Duration length, LinkFault by);
  void After(Duration delay, Task task);

  World* const world_;
  NetworkFabric* const fabric_;
  const std::vector<SimServer*> servers_;
  const std::vector<SimClient*> clients_;
  const std::function<SimServer*()> leader_;
  const FaultRates rates_;
  OldCopies* const old_copies_;
  StorageDecay* const decay_;
  const Operator* const operator_;
  bool running_ = true;
  uint64_t window_ = 0;
  std::optional<uint64_t> ambush_;  // the fault's value
  FaultCounts counts_;
};

}  // namespace holdfast

#endif  // HOLDFAST_SIM_FAULT_SCHEDULE_H_
