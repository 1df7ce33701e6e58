#ifndef HOLDFAST_ENGINE_RAFT_TESTING_CLUSTER_H_
#define HOLDFAST_ENGINE_RAFT_TESTING_CLUSTER_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/base/configuration.h"
#include "engine/base/time.h"
#include "engine/base/types.h"
#include "engine/raft/core.h"

namespace holdfast {

// A configuration of voters (and learners, and old voters) by their ids.
Configuration MakeConfiguration(const std::vector<uint64_t>& voters,
                                const std::vector<uint64_t>& learners = {},
                                const std::vector<uint64_t>& old_voters = {});

// A cluster of bare cores in memory, for tests of the algorithm: each with a
// disk whose writes complete when told to, and one network whose messages are
// delivered, repeated or dropped when told to. After each step it CHECKs the
// five safety properties of the Raft paper (figure 3), that nothing was
// promised before it was durable, that reads are linearizable, and each core's
// invariants.
class TestCluster {
 public:
  // How one server stands, memory and disk.
  struct Server {
    RaftOptions options;
    std::unique_ptr<RaftCore> core;  // null while crashed
    // On disk.
    HardState hard_state;
    std::vector<EntryMeta> log;  // entry i has index i + 1
    Index base;  // the core starts behind it, as behind a checkpoint
    Index commit_hint;
    // Writes under way, and the commit hint each carries.
    std::deque<std::pair<RaftPersist, Index>> writes;
    // Entries in memory, by index, and cold reads under way.
    std::map<uint64_t, EntryMeta> memory;
    std::deque<RaftColdRead> cold_reads;
    // Reads under way: id, and the highest commit anywhere when it arrived.
    std::map<uint64_t, Index> reads;
    uint64_t boots = 0;
  };

  // The servers 1..n start with `configuration` as entry 1 of term 1, known to
  // be committed, as after bootstrap. Servers 1..n that aren't in it start
  // with an empty log. `options` but for id and boot count holds for all.
  TestCluster(uint64_t n, const Configuration& configuration,
              const RaftOptions& options);

  // --- Whatever may happen ---
  void Step(ServerId id, InputEvent event);
  // Time goes on for all; nobody ticks by itself.
  void Advance(Duration by) { now_ += by; }
  void TickDue();
  // Delivers network()[i], leaving it there if `keep`. Messages to crashed
  // servers vanish.
  void Deliver(size_t i, bool keep = false);
  void Drop(size_t i) { Forget(i); }
  // The first write under way completes. Needs one.
  void CompleteWrite(ServerId id);
  // All of the first n writes complete as one.
  void CompleteWrites(ServerId id, size_t n);
  // The first cold read completes (or fails).
  void CompleteColdRead(ServerId id, bool ok = true);
  // Drops the log up to there, or as far as it is durably committed.
  void Compact(ServerId id, Index up_to);
  // The checkpoint behind which the log of `from` begins reaches `to`, is
  // durable there, and the core hears of it. Needs Compact.
  void InstallCheckpoint(ServerId from, ServerId to);
  // Of the writes under way, the first `whole` survive, and of the next one
  // its hard state (parts >= 1), its cut (2) and parts - 2 of its entries.
  void Crash(ServerId id, size_t whole = 0, size_t parts = 0);
  void Restart(ServerId id);
  // Delivers all there is and completes all writes and reads, in order, until
  // nothing is left to do.
  void Settle();
  // Lets time go on for `by`, in small steps, settling and ticking.
  void Run(Duration by);

  // Convenience: proposes entries of `size` bytes at a server.
  void Propose(ServerId id, size_t count, uint32_t size = 100);
  void ProposeConfiguration(ServerId id, const Configuration& configuration);
  void Read(ServerId id, uint64_t read_id);

  // --- What there is ---
  Instant now() const { return now_; }
  const std::vector<Message>& network() const { return network_; }
  Server& server(ServerId id);
  const RaftCore& core(ServerId id) { return *server(id).core; }
  bool up(ServerId id) { return server(id).core != nullptr; }
  std::vector<ServerId> ids() const;
  // The leader of the highest term; 0 if none.
  ServerId leader();
  const RaftOutput& output() const { return output_; }  // of the last step
  // All reads answered: (id, index), and those that failed.
  const std::vector<ReadReady>& reads_ready() const { return reads_ready_; }
  const std::vector<uint64_t>& reads_failed() const { return reads_failed_; }
  // Terms of all entries known to be committed, from index 1.
  const std::vector<EntryMeta>& committed() const { return committed_; }
  // Rare paths, over all cores that ever were here: name -> count.
  std::map<std::string, uint64_t> Stats();

  // A line a server: role, term, log, progress.
  std::string Describe();
  std::string Describe(ServerId id);

  // Called after each step with the server stepped and the output.
  std::function<void(ServerId, const InputEvent&, const RaftOutput&)> on_step;
  // Messages for which this is true vanish when sent.
  std::function<bool(const Message&)> cut_link;

 private:
  struct Fact {
    Term previous_term;
    uint32_t size;
    EntryKind kind;
    bool operator==(const Fact&) const = default;
  };

  void Forget(size_t i);
  static Trail TrailBehind(const Server& server);
  void Carry(Server* server, Index old_commit);
  void ApplyWrite(Server* server, const RaftPersist& persist, size_t parts);
  void CheckPersist(const Server& server, const RaftPersist& persist,
                    Index old_commit);
  void CheckMessage(const Server& server, const Message& message);
  void CheckRole(const Server& server);
  void CheckCommit(const Server& server, Index old_commit);
  void CheckReads(Server* server);
  void CheckQuorumHas(const Server& server, Index index);

  RaftOptions options_;
  Instant now_ = Instant(1s);
  std::map<uint64_t, Server> servers_;
  std::vector<Message> network_;
  RaftOutput output_;
  const std::vector<EntryMeta>* installing_ = nullptr;  // during its step
  std::vector<ReadReady> reads_ready_;
  std::vector<uint64_t> reads_failed_;
  std::map<std::string, uint64_t> stats_;

  // What is true for ever once it has been seen.
  std::map<uint64_t, ServerId> leaders_;                 // by term
  std::map<std::pair<uint64_t, uint64_t>, Fact> facts_;  // by index, term
  std::vector<EntryMeta> committed_;
};

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_RAFT_TESTING_CLUSTER_H_
