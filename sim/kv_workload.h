#ifndef HOLDFAST_SIM_KV_WORKLOAD_H_
#define HOLDFAST_SIM_KV_WORKLOAD_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "engine/log/kv.h"
#include "sim/calls.h"
#include "sim/history.h"
#include "sim/sim_process.h"
#include "sim/violation.h"
#include "sim/world.h"

namespace holdfast {

// What a key-value machine has to be: made of the log by another, simpler
// program, from what the servers' machines are told.
//
// As each write has a place in the log, a history of operations is linearizable
// if each gave what the log up to its place gives, and if no place is before
// that of an operation that had ended when it began (History sees to that).
class KvModel {
 public:
  explicit KvModel(Verdict* verdict) : verdict_(verdict) {}

  // A server's machine applied the batch, and returned that.
  void Applied(const CommittedBatch& batch, const std::string& result,
               const std::string& who);
  // The key's value, as the log before `end` has it.
  std::optional<KvValue> Get(const std::string& key, Offset end) const;
  // Somebody found this in a machine that had applied the log before `end`.
  void Saw(const std::string& key, const std::optional<KvValue>& found,
           Offset end, const std::string& who);
  // A write that got that offset was answered with what it came to.
  void Wrote(Offset at, const std::optional<std::string>& result,
             const std::string& who);
  // All keys that were ever written.
  const std::map<std::string, std::map<uint64_t, std::optional<std::string>>>&
  keys() const {
    return keys_;
  }

 private:
  char Apply(const RecordView& record, Offset at);

  Verdict* const verdict_;
  // By key: what the write at an offset made of it.
  std::map<std::string, std::map<uint64_t, std::optional<std::string>>> keys_;
  std::map<uint64_t, char> results_;  // by offset
  Offset end_;
};

struct KvCounts {
  uint64_t gets = 0;
  uint64_t writes = 0;
  uint64_t conflicts = 0;
};

// What the actors of a simulation share.
struct KvWorld {
  World* world;
  History* history;
  KvModel* model;
  KvCounts* counts;
  bool quiet = false;
};

// A program that embeds a server: within its process, it reads and writes a
// KvMachine made of the log, next to all that clients append.
class KvActor {
 public:
  KvActor(KvWorld* kv, SimProcess* process, std::string who);

  StateMachine* machine() { return &checked_; }
  const KvMachine& kv() const { return machine_; }
  // All that it asked for was answered.
  bool idle() const { return outstanding_ == 0; }
  void Start(DistributedLog* log);

 private:
  // The machine, seen by the model.
  class Checked : public StateMachine {
   public:
    explicit Checked(KvActor* actor) : actor_(actor) {}
    std::string Apply(const CommittedBatch& batch) override;
    std::unique_ptr<SnapshotReader> Snapshot() override;
    std::unique_ptr<SnapshotWriter> Restore() override;

   private:
    KvActor* const actor_;
  };

  uint64_t Draw(const ChanceSite& site, uint64_t bound);
  void ActLater();
  void Act();
  void Get(const std::string& key);
  void Write(KvWrite write);

  KvWorld* const kv_;
  SimProcess* const process_;
  const std::string who_;
  KvMachine machine_;
  Checked checked_;
  DistributedLog* log_ = nullptr;
  std::unique_ptr<KvStore> store_;
  uint64_t draws_ = 0;
  uint64_t written_ = 0;
  uint64_t outstanding_ = 0;
  Calls calls_;
  Timer next_;
};

}  // namespace holdfast

#endif  // HOLDFAST_SIM_KV_WORKLOAD_H_
