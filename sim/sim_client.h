#ifndef HOLDFAST_SIM_SIM_CLIENT_H_
#define HOLDFAST_SIM_SIM_CLIENT_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "engine/client/client.h"
#include "engine/env/completion.h"
#include "sim/admin_traffic.h"
#include "sim/calls.h"
#include "sim/history.h"
#include "sim/make_security.h"
#include "sim/sim_network.h"
#include "sim/sim_process.h"
#include "sim/world.h"

namespace holdfast {

struct SimClientOptions {
  std::vector<Address> servers;
  // Between two operations, up to this long (drawn).
  Duration pause_max = 20ms;
  size_t appends_outstanding_max = 8;
  uint32_t records_per_batch_max = 3;
  size_t record_bytes_max = 200;
  bool reads = true;
  bool tails = true;
  bool conditions = true;  // of appends
  // A third of the tails, and a quarter of the reads, of what a server has that
  // it names. Else of whoever leads, but for some reads.
  bool names_servers = false;
  // Of a tail: bytes on their way.
  uint32_t tail_credit_bytes = 1 << 20;
  // So many of a million times that a tail brings something its reader falls
  // asleep.
  uint64_t slow_reader_ppm = 31'250;
  // Of appends that wait for their outcome; further ones are refused.
  size_t queue_bytes_max = 64 << 20;
  uint32_t operations_max = 0;  // 0: no bound
  // Whether it is asked for operators' requests, too; and how many of them a
  // server may have under way on one connection.
  bool admin = false;
  size_t admin_requests_max = 16;
  ClockLimits clock_limits;
  // Whether the one of `servers` at this place takes part: else it needn't have
  // all of the log. Null: each does.
  std::function<bool(size_t)> takes_part = nullptr;
};

// A simulated client process: the product's own client, which appends, reads
// and tails with retries, and tells the History what it did and saw.
class SimClient {
 public:
  SimClient(World* world, NetworkFabric* fabric, MachineId machine,
            History* history, SimClientOptions options);
  ~SimClient();

  void Start();
  // As when a program ends without a Close: what is in flight is unknown, too,
  // but the client's objects go while their process lives, and leave no timer
  // behind.
  void End();
  // As a program that ends in an orderly way: it closes its client, which gives
  // all that is under way an outcome, once. Then that goes, within its own
  // callback, or a while later, and the process ends, and `ended` is called;
  // unless something else ends it before.
  void Close(bool goes_at_once, std::function<void()> ended);
  // Whether it does that now.
  bool closing() const { return running() && life_->closing; }
  // As kill -9: what was in flight is unknown for ever. No connection of its
  // objects may be left when they are gone.
  void Crash();
  MachineId machine() const { return machine_; }
  bool running() const { return life_ != nullptr; }
  // Need running(): its process is stopped until then, if that is to come.
  TrueTime paused_until() const {
    return world_->scheduler.PausedUntil(life_->process.actor());
  }
  bool paused() const { return paused_until() > world_->now(); }
  // Whether it waits for the outcome of an append.
  bool in_request() const { return outstanding_ > 0; }
  const SimClientOptions& options() const { return options_; }
  // Need running().
  SimProcess* process() { return &life_->process; }
  const Client& client() const { return *life_->client; }
  // Of the lives to come; plaintext otherwise.
  void set_security(MakeSecurity make) { make_security_ = std::move(make); }

  // Needs running(). Sends an operator's request: `send` makes it of the
  // product's client. `done` is told its outcome, once: OK;
  // FAILED_PRECONDITION, if it was refused; else it may or may not have been
  // done: DEADLINE_EXCEEDED, CANCELLED when this is closed, UNAVAILABLE when
  // its process ended before.
  using SendFn = std::function<void(Client*, DoneFn)>;
  void Ask(const std::string& what, const SendFn& send, DoneFn done);
  // Of all its lives; nothing without options().admin.
  const AdminTraffic& admin_traffic() const { return admin_traffic_; }
  // So many appends at once, however many are under way. If it runs.
  void Burst(uint64_t appends);
  // From now on only what Settle asks for.
  void Quiesce() { quiet_ = true; }
  // Appends once more; settled() when that, and all before, is done, and its
  // tail of whoever leads has brought as much as the whole world knows of.
  void Settle();
  bool settled() const {
    return settled_ && outstanding_ == 0 && (TailIsNamed() || TailDone());
  }
  // Its tail has brought that, also of a server that had to catch up first.
  bool TailDone() const;
  std::string Describe() const;
  // Begun, but for those of Settle.
  uint64_t operations() const { return acted_; }
  // How often a tail's reader fell asleep.
  uint64_t slow_readers() const { return slow_readers_; }
  // Adds how the clock of each life went, and what came of operators' requests,
  // lives that ended included.
  void AddStats(std::map<std::string, uint64_t>* totals) const;

 private:
  struct Life {
    Life(World* world, MachineId machine, uint32_t boot, ClockModel clock)
        : process(world, machine, boot, clock) {}
    SimProcess process;
    std::unique_ptr<Security> security;
    std::unique_ptr<SimNetwork> network;
    std::unique_ptr<Client> client;
    std::unique_ptr<ClientTail> tail;
    std::optional<size_t> tail_at;  // the one of `servers` that it is of
    Offset tail_next;               // that it is to bring
    bool tail_ended = false;
    bool tail_paused = false;
    uint64_t tail_paused_bytes = 0;  // brought since
    Timer tail_resume;
    Timer next;
    // Whose outcome is to come: calls' numbers.
    std::set<uint64_t> under_way;
    std::map<uint64_t, DoneFn> asked;  // by operators, of these
    bool closing = false;
    bool closed = false;
  };

  void Tell(IncidentKind kind) const;
  // What was made on top of its process.
  void DropObjects();
  // The process is gone.
  void EndLife(IncidentKind how);
  void OnClosed(bool goes_at_once, std::function<void()> ended);
  void EndOnceClosed(const std::function<void()>& ended);
  // That one has its outcome.
  void Answered(uint64_t call);

  void ActLater();
  void Act();
  void Append(bool last);
  void Read();
  void StartTail();
  void OnTail(const std::vector<LogBatch>& batches);
  void PauseTail(Duration length);
  void ResumeTail();
  bool TailIsNamed() const {
    return life_ != nullptr && life_->tail_at.has_value();
  }
  void OnAppended(uint64_t call, const std::vector<std::string>& records,
                  Offset noted, const ClientOutcome& outcome);
  void OnTailEnd(Offset from, const absl::Status& why);
  void OnAsked(uint64_t call, absl::Status outcome);

  World* const world_;
  NetworkFabric* const fabric_;
  const MachineId machine_;
  History* const history_;
  const SimClientOptions options_;
  const std::string name_;
  MakeSecurity make_security_ = MakePlaintext;
  uint32_t boots_ = 0;
  uint64_t draws_ = 0;
  uint64_t appended_ = 0;
  Calls calls_;
  uint64_t tail_call_ = 0;  // 0: none
  uint32_t acted_ = 0;
  uint64_t slow_readers_ = 0;
  uint64_t drifts_ = 0;       // lives with such a clock
  uint64_t late_timers_ = 0;  // of the lives that ended
  AdminTraffic admin_traffic_;
  // What came of operators' requests.
  struct {
    uint64_t done = 0;
    uint64_t refused = 0;
    uint64_t cancelled = 0;
    uint64_t unknown = 0;
  } asked_;
  size_t outstanding_ = 0;
  bool quiet_ = false;
  bool settled_ = false;
  bool last_waits_ = false;  // there was no room for Settle's append
  std::unique_ptr<Life> life_;
};

}  // namespace holdfast

#endif  // HOLDFAST_SIM_SIM_CLIENT_H_
