#ifndef HOLDFAST_SIM_SIMULATION_H_
#define HOLDFAST_SIM_SIMULATION_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "sim/atlas.h"
#include "sim/bounds_checker.h"
#include "sim/catch_up.h"
#include "sim/damage.h"
#include "sim/fault_schedule.h"
#include "sim/first_commit.h"
#include "sim/history.h"
#include "sim/kv_workload.h"
#include "sim/margin.h"
#include "sim/old_copies.h"
#include "sim/operator.h"
#include "sim/server.h"
#include "sim/server_checker.h"
#include "sim/sim_client.h"
#include "sim/sim_network.h"
#include "sim/violation.h"
#include "sim/world.h"

namespace holdfast {

class TlsMode;

struct SimulationOptions {
  uint64_t seed = 1;
  // 0: drawn by the seed, 1 to 7 servers.
  uint32_t nodes = 0;
  uint32_t clients = 0;  // 0: drawn, 1 to 3
  // More machines, with servers that wait to be joined; and whether, in a Run,
  // an Operator changes the cluster's servers. Nothing: none, and not, if
  // `rates` are given, else drawn by the seed.
  std::optional<uint32_t> spares;
  std::optional<bool> changes;
  std::optional<bool> trims;  // somebody trims records, likewise
  // Somebody transfers leadership. Nothing: where servers change or records are
  // trimmed, if `rates` are given, else drawn by the seed.
  std::optional<bool> transfers;
  // They ask for it by clients, over the network, as the product's command line
  // does, instead of calling the leader's objects. Nothing: not, if `rates` are
  // given, else drawn by the seed.
  std::optional<bool> admin;
  std::optional<size_t> kept_for_laggards;  // nothing: drawn by the seed
  std::optional<uint64_t> segment_bytes;    // likewise
  std::optional<uint64_t> reserve_bytes;    // likewise
  // Nothing: the usual ones if `rates` are given, else drawn by the seed.
  std::optional<SessionLimits> sessions;
  std::optional<Duration> election_timeout_max;
  std::optional<size_t> pending_bytes_max;
  std::optional<size_t> pending_appends_max;
  std::optional<size_t> clients_per_server_max;
  std::optional<size_t> queue_bytes_max;     // of each client
  std::optional<size_t> admin_requests_max;  // likewise, at a server
  std::optional<uint64_t> retention_bytes;
  std::optional<Duration> retention_age;
  std::optional<uint64_t> log_bytes_max;  // as LogOptions
  // Servers make a key-value machine of the log, and use it. Nothing: not, if
  // `rates` are given, else drawn by the seed.
  std::optional<bool> kv;
  // Leaders read by leases; by seed, some servers have them off. Nothing: not,
  // if `rates` are given, else drawn by the seed.
  std::optional<bool> leases;
  // Servers look for damage in the background. Nothing: not, with given
  // `rates`; otherwise drawn.
  std::optional<bool> scrub;
  // When faults have stopped, a minority stays down at first, the leader before
  // others. Nothing: not, with given `rates`; otherwise drawn.
  std::optional<bool> minority_down;
  // Of simulated time, with faults.
  Duration duration = 60s;
  // Without faults: a leader, an append of each client, equal logs within
  // this. It covers the back-off and time-outs of all layers.
  Duration settle_max = 30s;
  // Of that the leader, in election timeouts (the longest that are drawn). It
  // covers starting servers and dialling them, and votes that are split.
  uint32_t leader_max_timeouts = 12;
  // Of what is left of both then, the clients, in round trips (the longest
  // there are). It covers what they wait for meanwhile: time-outs, back-off,
  // dialling.
  uint32_t clients_max_round_trips = 100;
  // Of those, a leader's first append until it is committed. It covers what a
  // quorum may have to wait for: a stream that is made anew, a server that is
  // being started.
  uint32_t commit_max_round_trips = 100;
  // Nothing: drawn by the seed.
  std::optional<FaultRates> rates;
  // What clients do besides appending: tails, reads, and appends on condition
  // that the log ends where they know. Nothing: all, with given `rates`;
  // otherwise drawn.
  std::optional<bool> tails;
  std::optional<bool> reads;
  std::optional<bool> conditions;
  // Some of the tails and reads of what a server has that they name. Nothing:
  // none, with given `rates`; otherwise drawn.
  std::optional<bool> names_servers;
  uint32_t operations_max = 0;  // of each client; 0: no bound
  bool drift = true;            // of clocks, and late timers, as the rates say
  bool tls = false;             // streams are the product's TLS
  // If `rates` are drawn: whether those of damage at rest are.
  bool damage = true;
  // That may strike the newest segment, whether or not it shows (sim/atlas.h).
  bool beyond_model = false;
  // Entries may be damaged on all servers, beyond what the atlas allows.
  bool may_lose = false;
  // Without, a Run ends with its faults: for one that is to break before.
  bool settle = true;
  // Of what a run holds (simulation_memory.cc); nothing: by servers and
  // duration.
  std::optional<uint64_t> memory_bytes_max;
};

// How long it took, once faults had stopped, until: others than those that
// stayed down had a leader; all being up, a leader had committed an
// entry of its own term; then each client had an append acknowledged, and in
// its tail all that the world knows of (and, meanwhile, a leader had committed
// the first append that it had taken since it led); then the feature level was
// what all members support; then all members had the same log; and then, what
// had decayed of it was whole again.
struct Recovery {
  uint64_t stayed_down = 0;  // servers
  Margin minority_down;
  Margin leader;
  Margin clients;
  Margin commit;
  Margin feature_level;
  Margin level;
  Margin scrub;
  Duration total() const {
    return leader.took + clients.took + feature_level.took + level.took;
  }
  // Each step, in their order, and what it is about, for people.
  template <typename Fn>  // fn(name, what, margin)
  void ForEach(Fn fn) const {
    fn("minority_down", "a leader while a minority stayed down", minority_down);
    fn("leader", "a leader", leader);
    fn("clients", "then clients", clients);
    fn("commit", "meanwhile the leader's first commit", commit);
    fn("feature_level", "then the feature level", feature_level);
    fn("level", "then logs", level);
    fn("scrub", "then scrubbing", scrub);
  }
};

struct SimulationResult {
  Verdict verdict;
  uint64_t trace_hash = 0;
  uint64_t events = 0;
  int64_t simulated_ms = 0;
  uint64_t elections = 0;
  FaultCounts faults;
  DamageCounts damages;
  SimNetworkCounts network;
  SimDiskCounts disks;  // of all together
  uint64_t acknowledged = 0;
  uint64_t unknown = 0;
  uint64_t reads = 0;
  uint64_t injected = 0;    // faults
  uint64_t operations = 0;  // begun by clients and embedders
  Recovery recovery;
  CatchUp::Worst catch_up;
  // The most that the run held, and how much of what it may.
  uint64_t memory_bytes = 0;
  uint64_t memory_percent = 0;
  uint32_t nodes = 0;
  // What the engine's layers counted, by name.
  std::map<std::string, uint64_t> stats;
};

// A whole simulated world: servers, clients, faults and checkers. A run is a
// function of its options.
//
//   Simulation simulation(options);
//   SimulationResult result = simulation.Run();
//
// Scenarios (scenarios_test.cc) drive one by hand instead: Start, RunFor,
// RunUntil, and the servers and the network directly.
class Simulation {
 public:
  explicit Simulation(const SimulationOptions& options);
  ~Simulation();

  // All of it: faults for options.duration, then the settling, then the
  // comparison of all logs; then some clients close.
  SimulationResult Run();

  // Ends the clients' processes, which must leave nothing behind; the last
  // thing to do with it.
  void EndClients() {
    for (auto& client : clients_) client->End();
  }

  // --- By hand ---
  void StartServers();
  void StartClients();
  // False: a property was broken, see verdict().
  bool RunFor(Duration length);
  // Runs until `done` says so; false if it doesn't within `limit`, or a
  // property was broken.
  bool RunUntil(const std::function<bool()>& done, Duration limit);
  // Faults stop, and all servers have a leader, an append of each client, and
  // equal logs; broken promises show in the verdict.
  void Settle();
  SimulationResult Result();
  uint64_t Operations() const;

  // As given, and what was left to the seed as it was drawn.
  const SimulationOptions& options() const { return options_; }
  World* world() { return &world_; }
  NetworkFabric* network() { return &fabric_; }
  // Null without options().tls.
  const TlsMode* tls() const { return tls_.get(); }
  SimServer* server(MachineId machine) { return servers_[machine - 1].get(); }
  SimClient* client(size_t i) { return clients_[i].get(); }
  size_t server_count() const { return servers_.size(); }
  size_t client_count() const { return clients_.size(); }
  // The running leader of the highest term; null if there is none.
  SimServer* Leader();
  const Verdict& verdict() const { return verdict_; }
  const History& history() const { return history_; }
  History* mutable_history() { return &history_; }
  OldCopies* old_copies() { return old_copies_.get(); }
  const Atlas* atlas() const { return atlas_.get(); }
  StorageDecay* decay() { return decay_.get(); }
  const ServerChecker& checker() const { return checker_; }
  ServerChecker* mutable_checker() { return &checker_; }
  const Tape& tape() const { return world_.chance.tape(); }
  // The last events and notes.
  std::string Report(size_t events) const;

 private:
  void UseTls();
  bool Step(TrueTime limit);
  void DiskReplaced(SimServer* server);
  void MakeOperator(std::vector<SimServer*> servers,
                    std::vector<SimClient*> clients);
  void CheckLastActor();
  // simulation_memory.cc
  uint64_t MemoryInUse() const;
  uint64_t MemoryMax() const;
  void CheckMemory();
  void CheckStopped(SimServer* server);
  void CheckNoneDiffers(const SimServer& server);
  bool LogsEqual();
  // The servers of the leader's configuration; needs a leader.
  std::vector<SimServer*> Members();
  bool Led();
  // To what all members support; needs a leader.
  bool FeatureLevelHasRisen();
  // Who lags, and who no longer does; and whether the leader commits.
  void LookAtProgress();
  bool ClientsSettled() const;
  bool TailsDone() const;
  // While a minority is down.
  bool LedByTheOthers();
  void AwaitScrubbing();
  // Of its log, with the last marks, and of checkpoints' files; empty: nothing.
  static std::string WhatIsDamaged(SimServer* server);
  // Into `margin`; NotLive if it isn't so within `limit`.
  bool Reach(const std::function<bool()>& what, Duration limit, Margin* margin);
  void SayWhatIsNotSettled(Duration limit);
  // simulation_compare.cc
  void CompareLogs();
  // Half of them end in an orderly way.
  void CloseClients();
  void AwaitRead(SimServer* server);
  void CompareLog(SimServer* server);
  void CompareMachine(SimServer* server);

  World world_;
  const SimulationOptions options_;
  Verdict verdict_;
  NetworkFabric fabric_;
  std::unique_ptr<TlsMode> tls_;
  ServerChecker checker_;
  BoundsChecker bounds_;
  History history_;
  KvModel kv_model_;
  KvCounts kv_counts_;
  KvWorld kv_;
  std::vector<std::unique_ptr<SimServer>> servers_;
  std::vector<std::unique_ptr<SimClient>> clients_;
  std::unique_ptr<Atlas> atlas_;
  std::unique_ptr<StorageDecay> decay_;
  std::unique_ptr<OldCopies> old_copies_;
  std::unique_ptr<FaultSchedule> schedule_;
  std::unique_ptr<Operator> operator_;
  Recovery recovery_;
  CatchUp catch_up_;
  FirstCommit first_commit_;
  uint64_t memory_most_ = 0;
};

}  // namespace holdfast

#endif  // HOLDFAST_SIM_SIMULATION_H_
