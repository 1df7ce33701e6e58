#ifndef HOLDFAST_ENGINE_RAFT_CORE_H_
#define HOLDFAST_ENGINE_RAFT_CORE_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "engine/base/configuration.h"
#include "engine/base/hard_state.h"
#include "engine/base/random.h"
#include "engine/base/time.h"
#include "engine/base/types.h"
#include "engine/raft/input.h"
#include "engine/raft/message.h"
#include "engine/raft/progress.h"
#include "engine/raft/quorum.h"
#include "engine/raft/stats.h"
#include "engine/raft/trail.h"

namespace holdfast {

enum class Role : uint8_t {
  kFollower = 1,
  kPreCandidate = 2,
  kCandidate = 3,
  kLeader = 4,
};

const char* ToString(Role role);

// All servers of a cluster should have the same intervals and timeouts.
struct RaftOptions {
  ServerId id;  // not 0
  // Of this server's data directory, as in configurations.
  Incarnation incarnation;
  // Chance: the same triple (seed, id, boot_count) draws the same timeouts.
  uint64_t seed = 0;
  uint64_t boot_count = 0;

  Duration heartbeat_interval = 50ms;
  Duration election_timeout_min = 250ms;
  Duration election_timeout_max = 500ms;
  // A leader whose oldest write is this old steps down, and doesn't stand
  // again before it is done.
  Duration disk_stall_timeout = 1000ms;
  // How long after the last message to it a follower may be left without
  // hearing of a new commit index.
  Duration commit_notice_delay = 5ms;
  // A lost connection to the leader starts a pre-vote within this.
  Duration peer_lost_delay_max = 30ms;

  // A leader reads by leases (lease.cc), which count on clocks: each gains or
  // loses at most so much against the true time, 0 to 500,000 parts in a
  // million. With leases on, RaftInput::now is a fresh reading at each step.
  bool leases = false;
  // (chronyd moves clocks by up to 83,333 parts, ntpd by 500.)
  int64_t clock_drift_ppm_max = 100'000;
  // How long a promise may last that an earlier process of this server made.
  Duration earlier_promise = Duration::zero();

  uint32_t no_op_size = 64;                // bytes of a no-op entry
  uint64_t max_append_bytes = 512 << 10;   // of one message's entries
  uint64_t max_probe_bytes = 64 << 10;     // the same, while probing
  uint64_t max_bytes_in_flight = 4 << 20;  // per peer; one message may exceed
  size_t max_messages_in_flight = 16;      // per peer
  uint64_t hot_bytes = 64 << 20;           // of entries kept in memory
};

// The Raft algorithm of one server: terms, votes, the log's shape, progress,
// configurations; no payloads, no I/O, no clock, no callbacks. It is driven by
// the node (engine/node), and directly by tests and fuzzers:
//
//   RaftCore core(options, recovered_log, now);
//   RaftOutput out;
//   core.Step({now, Receive{message}}, &out);
//   ... hand out.persist to the log on disk and out.messages to the network,
//       apply up to out.commit, set a timer to out.wake ...
//   core.Step({now, Persisted{sequence}}, &out);   // once that is durable
//
// The driver has no order to remember: whatever is in out.messages may go out
// at once. Messages that presuppose something durable are withheld here until
// its Persisted comes in, and dropped when the term rises.
//
// It implements Raft (Ongaro and Ousterhout 2014, figure 2) with pre-vote and
// check-quorum (Ongaro's thesis, sections 9.6 and 6.2), pipelining and a
// leader that writes its disk in parallel (10.2), ReadIndex (6.4), and quorums
// over joint configurations and learners (4.2.1, 4.3), and leadership transfer
// (3.10). A log that contradicts what is committed is a CHECK failure: the
// process stops.
class RaftCore {
 public:
  using Options = RaftOptions;

  RaftCore(const Options& options, RaftRecovered recovered, Instant now);
  RaftCore(const RaftCore&) = delete;
  RaftCore& operator=(const RaftCore&) = delete;

  // `output` is cleared first; reuse it, for it keeps its memory.
  void Step(const RaftInput& input, RaftOutput* output);

  // The append message for a finished cold read: `entries` are consecutive
  // from read.first, at least one. Nothing when the read is stale: then drop
  // it. Otherwise send the message and Step a ColdSent.
  std::optional<Message> ColdAppend(const RaftColdRead& read,
                                    std::vector<EntryMeta> entries) const;

  // When to step the next Tick; also RaftOutput::wake.
  Instant wake() const;

  const Options& options() const { return options_; }
  ServerId id() const { return options_.id; }
  Role role() const { return role_; }
  Term term() const { return hard_state_.term; }
  ServerId vote() const { return hard_state_.vote; }
  const HardState& hard_state() const { return hard_state_; }
  // 0: not known.
  ServerId leader() const { return leader_; }

  const Trail& trail() const { return trail_; }
  Index last_index() const { return trail_.last_index(); }
  Term last_term() const { return trail_.last_term(); }
  // Payloads of entries from here on have to be in the driver's memory.
  Index hot_first() const { return trail_.hot_first(); }
  Index commit() const { return commit_; }
  // The last index that is durable on this server's disk.
  Index durable() const { return durable_; }
  bool hard_state_durable() const {
    return hard_state_sequence_ <= persisted_sequence_;
  }
  // What to write down as RaftRecovered::commit_hint.
  Index durable_commit() const { return std::min(commit_, durable_); }
  // A leader's first entry in its term: it may serve reads once committed.
  Index term_start() const { return term_start_; }

  // The latest in the log, which counts from the moment it is appended.
  const Configuration& configuration() const { return *configuration_; }
  std::shared_ptr<const Configuration> shared_configuration() const {
    return configuration_;
  }
  Index configuration_index() const { return configuration_index_; }
  // The latest committed one, and its index (0: none yet).
  const Configuration& committed_configuration() const;
  Index committed_configuration_index() const;
  bool is_voter() const { return VotesIn(*configuration_); }
  // Of a leader: whether it would take a kConfiguration now.
  bool may_propose_configuration() const;
  // Of a leader that is handing over: to whom. 0 otherwise.
  ServerId transfer_to() const { return transfer_to_; }
  // Whether nobody else can lead at that moment, by a fresh reading of the
  // clock: reads need no round.
  bool HoldsLease(Instant fresh) const;
  // Until when it votes for nobody but who led when it promised so.
  Instant promised_until() const { return promised_until_; }
  // Whether this server may stand for election: a voter, or one that a
  // configuration removes which isn't committed yet. It may be the only one
  // that can be elected (thesis, section 4.2.2).
  bool may_stand() const;

  // Of a candidate and a leader: the answers that it got in this election; of
  // a pre-candidate: those to its pre-vote. Empty otherwise.
  const std::vector<std::pair<ServerId, Vote>>& votes() const { return votes_; }

  // Of a leader: one per member, itself included, by id. Empty otherwise.
  const std::vector<Progress>& progress() const { return progress_; }
  size_t withheld_count() const { return withheld_.size(); }
  // Of the latest RaftPersist given out, and of the latest done.
  uint64_t sequence() const { return sequence_; }
  uint64_t persisted_sequence() const { return persisted_sequence_; }
  size_t reads_waiting() const { return reads_.size(); }
  // Inputs taken so far; between two of them nothing here changes.
  uint64_t steps() const { return steps_; }
  const CoreStats& stats() const { return stats_; }

 private:
  friend class InvariantChecker;

  // A log may hold configurations of a time when another data directory stood
  // for this server's id.
  bool VotesIn(const Configuration& configuration) const;

  static constexpr size_t kWithheldMax = 1000;

  struct PendingPersist {
    uint64_t sequence;
    Instant since;
    Index last;  // of the current log, durable once this write is
  };
  struct Withheld {
    uint64_t sequence;
    Message message;
  };
  struct PendingRead {
    uint64_t id;
    uint64_t round;
    Index index;
  };

  // --- core.cc: the step, persisting, withholding ---
  void Dispatch(const RaftInput& input);
  void OnTick();
  void OnReceive(const Message& message);
  void OnPersisted(uint64_t sequence);
  RaftPersist& OpenPersist();
  void SaveHardState(HardState hard_state);
  void AppendToLog(const EntryMeta& meta);
  void CutLog(Index from);
  void Send(Message message) { SendAfter(0, std::move(message)); }
  // Sends once the given sequence, and the current hard state, are durable.
  void SendAfter(uint64_t sequence, Message message);
  // The sequence after which the log is durable up to index; 0: it is.
  uint64_t SequenceFor(Index index) const;
  void ReleaseWithheld();
  bool DiskStalled() const;
  void RaiseCommit(Index index);
  void OnCompacted(Index up_to);

  // --- election.cc ---
  void BecomeFollower(Term term, ServerId leader);
  void HeardFromLeader(ServerId leader);
  void DrawElectionTimeout();
  void OnElectionTimeout();
  void StartPreVote();
  void StartElection(bool transfer);
  // How long it waits until it stands, or stands again. A candidate waits twice
  // as long, then four times, when its candidacy before came to nothing:
  // others' disks may be so slow that their votes come too late.
  Duration ElectionWait() const;
  void RequestVotes(MessageType type, Term term, bool transfer);
  void CountOwnVote();
  void RecordVote(ServerId from, Vote vote);
  void CountElection();
  void BecomeLeader();
  void LeaveLeadership();
  bool LeaderIsAlive() const;
  // Returns whether the message is to be handled further.
  bool MeetTerm(const Message& message);
  void AnswerStale(const Message& message);
  void OnVoteRequest(const Message& message);
  bool RefusesVote(const Message& message);
  void OnVoteAnswer(const Message& message);
  void OnPeerLost(ServerId peer);
  void OnTransfer(ServerId to);
  void TryToHandOver();
  void OnTimeoutNow(const Message& message);
  void CheckQuorum();

  // --- lease.cc ---
  void MakePromise(const Message& heartbeat, Message* answer);
  void NotePromise(const Message& answer, Progress* peer);
  bool HasPromised() const;

  // --- follower.cc ---
  void OnAppendRequest(const Message& message);
  void RefuseAppend(const Message& message);
  void OnHeartbeat(const Message& message);
  void OnInstallCheckpoint(const InstallCheckpoint& checkpoint);
  void AnswerMatch(Index match);

  // --- replication.cc ---
  void OnPropose(const Propose& propose);
  void Replicate();
  void ReplicateTo(Progress* peer);
  void SendAppend(Progress* peer, uint64_t max_bytes);
  Message AppendBehind(const Progress& peer, Index prev) const;
  void NoteSent(Progress* peer, Index last, uint64_t bytes);
  void Restart(Progress* peer, Index next);
  void OnSendLost(ServerId peer_id);
  void StartColdRead(Progress* peer);
  void OnColdSent(const ColdSent& sent);
  void OnColdFailed(const ColdFailed& failed);
  void OnAppendAnswer(const Message& message);
  void OnAppendRefused(Progress* peer, const Message& message);
  void OnHeartbeatAnswer(const Message& message);
  void RetryProbe(Progress* peer, Index next);
  void BackOff(Progress* peer);
  Duration FirstRetryDelay() const;
  Progress* FindAnswering(const Message& message);
  void SendHeartbeat(Progress* peer);
  void SendHeartbeats();
  Instant CommitNoticeAt(const Progress& peer) const;
  void SendCommitNotices();
  void OwnLogDurable();
  void CountCommit();

  // --- membership.cc ---
  void AdoptConfiguration();
  void RebuildProgress();
  Progress* FindProgress(ServerId id);
  const Progress* FindProgress(ServerId id) const;
  void StepDownIfRemoved();

  // --- reads.cc ---
  void OnReadRequest(uint64_t id);
  void StartReadRound();
  void CountReads();
  void EmitReads();
  void FailReads();

  const Options options_;
  CoreStats stats_;
  RaftOutput* output_ = nullptr;  // during a step
  uint64_t steps_ = 0;
  Instant now_;

  HardState hard_state_;
  Role role_ = Role::kFollower;
  ServerId leader_;
  Trail trail_;
  Index commit_;
  std::shared_ptr<const Configuration> configuration_;
  Index configuration_index_;

  // Persisting.
  uint64_t sequence_ = 0;
  uint64_t persisted_sequence_ = 0;
  uint64_t hard_state_sequence_ =
      0;  // of the last RaftPersist with a hard state
  Index durable_;
  std::deque<PendingPersist> pending_;
  std::deque<Withheld> withheld_;  // sequences don't fall

  // Elections.
  uint64_t draws_ = 0;
  Duration election_timeout_ = Duration::zero();
  Instant election_at_;
  uint64_t candidacies_ = 0;  // since it heard a leader, or was one
  Instant leader_heard_;      // of leader_, while there is one
  Instant promised_until_;    // to vote for nobody but who led then
  // Answers to this candidacy, in the order in which they came.
  std::vector<std::pair<ServerId, Vote>> votes_;

  // Leader.
  Index term_start_;
  std::vector<Progress> progress_;
  Instant heartbeat_at_;
  bool match_changed_ = false;
  bool replicate_ = false;  // something to send may have turned up
  uint64_t cold_tokens_ = 0;
  ServerId transfer_to_;
  Instant transfer_until_;
  bool transfer_sent_ = false;
  bool lease_void_ = false;  // for the rest of the term

  // Reads.
  uint64_t read_round_ = 0;        // the latest begun
  uint64_t read_round_done_ = 0;   // the latest that a quorum has answered
  std::deque<PendingRead> reads_;  // rounds don't fall
};

// CHECKs whatever must hold between two steps, whatever came in. For tests,
// fuzzers and the simulator, after each step; O(servers + withheld).
void CheckInvariants(const RaftCore& core);

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_RAFT_CORE_H_
