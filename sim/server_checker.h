#ifndef HOLDFAST_SIM_SERVER_CHECKER_H_
#define HOLDFAST_SIM_SERVER_CHECKER_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <tuple>
#include <utility>
#include <vector>

#include "engine/base/configuration.h"
#include "engine/base/hard_state.h"
#include "engine/base/types.h"
#include "engine/raft/trail.h"
#include "sim/server.h"
#include "sim/violation.h"

namespace holdfast {

// Whether no two quorums, one of each, are without a server in common.
bool QuorumsOverlap(const Configuration& a, const Configuration& b);

// Raft's safety properties (Raft, figure 3), over all servers and their lives,
// checked after each event of a server, at a cost that goes with what changed:
// - election safety: one leader a term; and one vote of each server a term,
//   by the votes that candidates count, each of which is durable by then; no
//   term and no vote is ever taken back;
// - log matching: entries with the same index and term have the same chained
//   hash, so equal logs before them;
// - leader completeness: a new leader's log has every committed entry;
// - state-machine safety, and a committed prefix that never changes: whatever
//   any server takes for committed at an index has one chained hash for ever;
// - the committed prefix alone says what was trimmed, and who the members are;
// - a leader that holds a lease, by its own clock at that moment, is the only
//   leader, but for some of earlier terms;
// - each promise that such a leader counts on is kept by its voter, in true
//   time for as long as the leader counts on it. It shows a lease that isn't
//   sure long before somebody else leads meanwhile, if anybody ever does;
// - a leader whose disk hangs, or that no quorum answers, leads on for no
//   longer than RaftOptions say, by its own clock;
// - what is committed can't be lost: no server without it could get the votes
//   of a quorum, by the rule of section 5.4.1 and the logs as they are on the
//   disks. It shows an entry that was taken for committed too early long
//   before it is lost, if it ever is;
// - no leader goes on to a configuration of which a quorum may have no server
// in
//   common with a quorum of the committed one;
// - what a leader takes for committed is durable on a quorum, by the bytes on
//   the disks: a sync that is missing shows though no power fails;
// - no server takes records for lost, since the atlas leaves a copy of each.
class ServerChecker {
 public:
  // `may_lose`: there may be no copy.
  explicit ServerChecker(Verdict* verdict, bool may_lose = false)
      : verdict_(verdict), may_lose_(may_lose) {}

  void Check(SimServer& server);
  // That machine's log and promises are gone.
  void DiskReplaced(MachineId machine) { seen_.erase(machine); }
  // Another cluster, the next one that is seen, took over what this one had
  // committed: all of it, or it is a violation.
  void ClusterReplaced() {
    cluster_id_ = ClusterId();
    committed_configuration_ = nullptr;
    seen_.clear();
  }
  // And others stand in its log for the entries from there on.
  void LogReplaced(Index from);

  // Those that may decide: the last one known to be committed, and each later
  // one in a log that was seen.
  std::vector<std::shared_ptr<const Configuration>> ConfigurationsInForce()
      const;
  // Whether it is of any of them.
  bool MayDecide(ServerId id) const;
  // Of the machine's present disk; none: it wasn't seen to take part.
  Incarnation IncarnationOf(MachineId machine) const;

  Index committed() const { return Index(committed_.size()); }
  // The last one that is known to be; null: none is.
  const Configuration* committed_configuration() const {
    return committed_configuration_.get();
  }
  uint64_t elections() const { return leaders_.size(); }

 private:
  // What was seen of a server in one of its lives.
  struct Seen {
    uint32_t boot = 0;
    Index commit;
    std::optional<std::pair<Index, Offset>> trimmed;  // as of that commit
    LogPoint last;
    Term led;
    // How many answers to its candidacy in that term were looked at.
    Term stood;
    size_t votes = 0;
    // Its term and vote; and as it last had them on disk, in this life or an
    // earlier one.
    HardState promise;
    HardState durable_promise;
    // The core as it was checked last.
    const RaftCore* core = nullptr;
    uint64_t steps = 0;
    // What its disk has done, and since when it is asked for more in vain.
    uint64_t persisted = 0;
    bool persisting = false;
    Instant persisting_since;
    // As a leader: since when no quorum has answered it.
    Instant heard;
    // Its log's terms, and what of it is on disk.
    Index base;
    std::vector<Trail::Run> runs;
    Index durable;
    Term durable_term;
    std::shared_ptr<const Configuration> configuration;
    Index configuration_index;
    Incarnation incarnation;
    SimServer* server = nullptr;

    bool running() const {
      return server->running() && server->boots() == boot;
    }
    // Whether its log has this very entry.
    bool Has(Index index, Term term) const;
  };

  // Null: it was never seen.
  const Seen* Find(ServerId id) const;
  void CheckVoteKept(const SimServer& server, Seen* seen);
  void CheckMayStand(const SimServer& server, const Seen& seen);
  void CheckVotes(const SimServer& server, Seen* seen);
  void CheckVote(ServerId voter, Incarnation incarnation,
                 const SimServer& candidate);
  void CheckLeader(const SimServer& server, Seen* seen);
  void CheckLeases(const SimServer& server) const;
  void CheckPromises(const SimServer& server) const;
  void CheckPromise(const SimServer& leader, const SimServer& voter) const;
  // What holds for ever, or doesn't, as long as its core does nothing.
  void CheckStep(SimServer& server, Seen* seen);
  static void NoteProgress(const RaftCore& core, Instant now, Seen* seen);
  void CheckFitToLead(const SimServer& server, Instant now, const Seen& seen);
  void CheckEntries(const SimServer& server, Seen* seen);
  void CheckCommit(const SimServer& server, const Configuration* before,
                   Seen* seen);
  void CheckKept(Index index, Term term);
  // With `before`, the leader's configuration before its last event: it may
  // have proposed the next one since it counted.
  void CheckDurable(const SimServer& leader, const Configuration* before);
  void CheckTrimmed(const SimServer& server, Seen* seen);
  void CheckNothingLost(const SimServer& server) const;

  Verdict* const verdict_;
  const bool may_lose_;
  // Servers of any other cluster are none of its business.
  ClusterId cluster_id_;
  std::map<MachineId, Seen> seen_;
  // The last one known to be committed; null: none yet.
  std::shared_ptr<const Configuration> committed_configuration_;
  Index committed_configuration_index_;
  // Each that was the last committed one somewhere, by its entry.
  std::map<Index, Configuration> configurations_;
  std::map<Term, ServerId> leaders_;
  // Whom a voter voted for in a term, by its id and incarnation.
  std::map<std::tuple<Term, ServerId, Incarnation>, ServerId> votes_;
  // By index - 1: the chained hash of what is committed; 0: not seen.
  std::vector<uint64_t> committed_;
  // What was trimmed, by the index up to which a log was committed.
  std::map<Index, Offset> trimmed_;
  // Each new end of the committed log, and a term by which it was committed.
  std::vector<std::pair<Index, Term>> commits_;
  // By index - 1: the terms that were seen there, and their chained hashes.
  std::vector<std::map<Term, uint64_t>> entries_;
};

}  // namespace holdfast

#endif  // HOLDFAST_SIM_SERVER_CHECKER_H_
