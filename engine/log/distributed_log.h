#ifndef HOLDFAST_ENGINE_LOG_DISTRIBUTED_LOG_H_
#define HOLDFAST_ENGINE_LOG_DISTRIBUTED_LOG_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/base/buffer.h"
#include "engine/base/callback_scope.h"
#include "engine/base/inline_function.h"
#include "engine/base/types.h"
#include "engine/env/completion.h"
#include "engine/env/env.h"
#include "engine/env/loop.h"
#include "engine/log/applier.h"
#include "engine/log/log_state.h"
#include "engine/log/outcome.h"
#include "engine/log/sessions.h"
#include "engine/log/state_machine.h"
#include "engine/node/node.h"
#include "engine/wal/entry.h"

namespace holdfast {

struct LogOptions {
  NodeOptions node;
  // Bytes of batches that may wait for their commit, or for this server's disk;
  // beyond them Append answers kOverloaded.
  size_t pending_bytes_max = 64 << 20;
  size_t pending_appends_max = 1 << 16;
  // As long as this server leads, it trims the log's oldest segments: while all
  // of them take more than so many bytes, and when their records are older than
  // that. Nothing: they stay.
  std::optional<uint64_t> retention_bytes;
  std::optional<Duration> retention_age;
  Duration retention_check_interval = 1s;
  // As long as this server leads, records are refused while its log has more
  // bytes than that; trims make room. Nothing: there is no such limit.
  std::optional<uint64_t> log_bytes_max;
  // Of producers' sessions, as long as this server leads.
  SessionLimits sessions;
  // Made of the log's batches on this server; null: none. All servers of a
  // cluster have the same kind. Outlives the log, to which it belongs until
  // then.
  StateMachine* machine = nullptr;
  // How much of its snapshots, and of the log for it, is worked on at once.
  size_t machine_slice_bytes = 256 << 10;
};

struct AppendOptions {
  // Append only if the batch's first record gets just this offset.
  std::optional<Offset> expected_offset;
};
using AppendFn = InlineFunction<void(AppendOutcome)>;

// A stretch of the committed log.
struct ReadResult {
  // Whole batches, in order, the first one holding the offset asked for; the
  // reader skips to it. Empty when the log ends there.
  std::vector<Entry> batches;
  // The end of the committed log, as this server knew it.
  Offset committed_end;
};
using ReadFn = ResultFn<ReadResult>;

enum class ReadMode : uint8_t {
  // Sees every append acknowledged before the read began, wherever it was
  // acknowledged. UNAVAILABLE when no leader can be asked that a quorum
  // confirms.
  kLinearizable = 1,
  // This server's committed prefix, which may be behind.
  kLocal = 2,
};

// A log replicated on the cluster's servers, as seen by one of them: the face
// for embedders.
//
//   auto log = std::make_unique<DistributedLog>(env, options, nullptr);
//   log->Open([&](absl::Status opened) { ... });
//   log->Append(batch, {}, [](AppendOutcome outcome) { ... });
//
// All calls and callbacks are on env.loop; no callback runs inside the call
// that takes it, and none may destroy the log but those of Open and Close.
// Destroying a DistributedLog is as a crash of the process:
// nothing that was acknowledged is lost, no callback comes any more.
class DistributedLog : private NodeEvents {
 public:
  // `clients` gets the connections of clients (null: they're refused).
  DistributedLog(const Env& env, LogOptions options, InboundFn clients);
  ~DistributedLog() override;

  DistributedLog(const DistributedLog&) = delete;
  DistributedLog& operator=(const DistributedLog&) = delete;

  // Takes the directory, recovers the log, listens, and meets the other
  // servers; a new directory waits until all servers of `bootstrap` have met
  // (see forming.h). Done when the server serves; a leader may come later.
  // CANCELLED when it was closed meanwhile, unless Close is done first.
  // Other errors say what to do: another process has the directory, it belongs
  // to another server or cluster, it is damaged, the port is in use, ...
  void Open(DoneFn done);

  // Replicates one batch (engine/base/batch.h), which becomes one entry.
  void Append(Buffer batch, const AppendOptions& options, AppendFn done);

  // Registers a producer's session; its id makes repeated appends safe.
  // UNAVAILABLE when this isn't the leader, or stops being it.
  // RESOURCE_EXHAUSTED when there is no room for records now.
  void RegisterSession(ResultFn<SessionId> done);

  // Drops the records before `first`, for ever and on all servers: readers
  // don't get them any more, and files go when nothing in them is needed.
  // Nothing if they are dropped already. OUT_OF_RANGE beyond the committed end;
  // UNAVAILABLE as for changes of membership, below.
  void Trim(Offset first, DoneFn done);

  // Whole batches from the one that holds `from`, at least one unless the log
  // ends at `from`, about max_bytes of them. OUT_OF_RANGE beyond the end, and
  // before first_offset().
  void Read(Offset from, size_t max_bytes, ReadMode mode, ReadFn done);

  // Done when this server's state machine has applied every append that was
  // acknowledged, anywhere, before the call: what `done` reads of the machine
  // is linearizable. UNAVAILABLE as a linearizable Read; needs a machine.
  void ReadBarrier(DoneFn done);

  // As a local Read that, at the end of the log, waits for more. Destroying
  // the PendingOp ends it.
  std::unique_ptr<PendingOp> Tail(Offset from, size_t max_bytes, ReadFn done);

  // --- Membership: only the leader changes it. `done` gets OK once the change
  // is committed. UNAVAILABLE: not done here, or not known to be done (this
  // server doesn't lead, leadership was lost, a server couldn't be reached,
  // another change is under way); each call may be repeated, at any leader,
  // until it answers otherwise. Any other error: refused, nothing changed, and
  // repeating it won't help.

  // Adds the server at `address`, which was started as `id` with an empty data
  // directory, to wait for this. It receives the log first, and votes when it
  // has caught up; a learner never votes. For a member: moves it to another
  // address, or makes a learner a voter; nothing if all is so already.
  void Join(ServerId id, Address address, bool learner, DoneFn done);
  // Removes these servers in one step. NOT_FOUND when one isn't a member, be it
  // that an earlier call has removed it. The leader, if it is one of them,
  // hands over first, and answers UNAVAILABLE then: the next one removes it.
  void Leave(std::vector<ServerId> ids, DoneFn done);
  // Hands leadership over to that voter (0: to the one that has most of the
  // log), once it has caught up. Appends are refused meanwhile, for an election
  // timeout at most.
  void Transfer(ServerId to, DoneFn done);

  // Done when this server knows the leader of its term; DEADLINE_EXCEEDED
  // after `timeout`.
  void WaitForLeader(Duration timeout, ResultFn<ServerId> done);

  // Stops serving: appends in flight are answered kUnknown, those that weren't
  // proposed kNotLeader; reads fail as UNAVAILABLE; tails end without a word.
  void Close(DoneFn done);

  // Called whenever role, term or the known leader changed.
  void OnRoleChanged(Task changed) { role_changed_ = std::move(changed); }
  // Called once when the server can't go on (its disk failed, say).
  void OnFatal(DoneFn fatal) { fatal_ = std::move(fatal); }
  // Says why no further client may connect now, if that is so.
  void LimitClients(InlineFunction<std::string()> why_not) {
    why_no_client_ = std::move(why_not);
  }

  // How often what happens rarely has happened.
  struct Stats {
    uint64_t duplicates_answered = 0;
    uint64_t duplicates_forgotten = 0;
    uint64_t sequence_gaps = 0;
    uint64_t overloaded = 0;
    uint64_t no_space = 0;
    uint64_t sessions_ended = 0;
    uint64_t unknown_sessions = 0;  // batches of sessions that aren't known
    uint64_t trims = 0;             // committed
    uint64_t trims_by_retention = 0;
    uint64_t trims_heard = 0;     // for want of room for them
    uint64_t prefix_dropped = 0;  // behind a checkpoint
    uint64_t prefix_jumped = 0;   // to a waypoint, to be dropped
    uint64_t prefix_read = 0;     // for want of one
    uint64_t drops_waited = 0;    // for a resume point
    uint64_t restored = 0;        // from a leader's checkpoint
    uint64_t resume_points = 0;   // written
    uint64_t resumed = 0;         // a start read the log from one on only

    template <typename Fn>  // fn(name, value)
    void ForEach(Fn fn) const {
      fn("log_duplicate_answered", duplicates_answered);
      fn("log_duplicate_forgotten", duplicates_forgotten);
      fn("log_sequence_gap", sequence_gaps);
      fn("log_overloaded", overloaded);
      fn("log_no_space", no_space);
      fn("log_session_ended", sessions_ended);
      fn("log_unknown_session", unknown_sessions);
      fn("log_trim", trims);
      fn("log_trim_by_retention", trims_by_retention);
      fn("log_trim_heard", trims_heard);
      fn("log_prefix_dropped", prefix_dropped);
      fn("log_prefix_jumped", prefix_jumped);
      fn("log_prefix_read", prefix_read);
      fn("log_drop_waited", drops_waited);
      fn("log_restored", restored);
      fn("log_resume_point", resume_points);
      fn("log_resumed", resumed);
    }
  };
  const Stats& stats() const { return stats_; }

  const Node& node() const { return node_; }
  const LogOptions& options() const { return options_; }
  // The end of the committed log.
  Offset committed_end() const;
  // The first record that this server still gives; as far as it knows, all
  // before it were trimmed.
  Offset first_offset() const;
  // What committed trims say.
  Offset trimmed_to() const override { return trimmed_to_; }
  // Of the batches that wait for their commit.
  size_t pending_bytes() const { return pending_bytes_; }
  // OK, or why this server, as long as it leads, can't take `bytes` more of
  // records for want of room: RESOURCE_EXHAUSTED.
  absl::Status CheckSpace(size_t bytes) const;
  // Of the state machine; null: there is none.
  const Applier* applier() const { return applier_.get(); }

 private:
  // Waits for the commit of an entry that is in this leader's log.
  struct PendingAppend {
    // What it will have been: committed, or refused for what that entry made
    // of the log.
    AppendOutcome outcome;
    size_t bytes = 0;                  // counted in pending_bytes_
    AppendFn done;                     // a batch,
    ResultFn<SessionId> session_done;  // or a registration,
    DoneFn trim_done;                  // or a trim
  };
  struct LeaderWaiter {
    ResultFn<ServerId> done;
    Timer deadline;
  };
  // A Tail that hasn't completed: waiting at the end, or being read for.
  struct TailWait {
    Offset from;
    size_t bytes_max = 0;
    bool reading = false;
    ReadFn done;
  };
  using TailWaits = std::map<uint64_t, TailWait>;
  class TailOp;

  // NodeEvents:
  absl::Status CheckCheckpoint(const Checkpoint& checkpoint) override;
  void OnCheckpoint(const Checkpoint& checkpoint, bool replaced) override;
  void OnResume(const Checkpoint& resume) override;
  void OnEntry(const Entry& entry) override;
  void OnCut(Index from) override;
  void OnTrimmed(Offset first) override;
  void OnCommit(Index commit) override;
  void OnRole() override;
  std::string WhyNoClient() override;
  void OnClient(InboundStream client) override;
  void OnStopped(absl::Status why) override;

  void Answer(AppendFn done, AppendOutcome outcome);
  void AppendNew(uint32_t record_count, Buffer batch,
                 const AppendOptions& options, AppendFn done);
  void AwaitCommit(Index index, PendingAppend pending);
  void CheckRetention();
  void TrimOnceSure(Offset first, DoneFn done);
  // Drops what trims have left nobody needs.
  void DropTrimmed();
  void JumpTo(Index waypoint);
  // In slices, at the pace of what isn't urgent.
  void RollTo(Index last);
  void OnDropped(const absl::Status& dropped);
  void TakeCheckpoint();
  void DropTo(Checkpoint checkpoint);
  // Spares the next start what is committed, if it is time.
  void TakeResume();
  void OnResumeWritten(const absl::Status& written);
  // Adds the state machine's snapshot, if there is one. `done` isn't called
  // when a checkpoint from the leader comes in between.
  void AddSnapshot(Checkpoint checkpoint, ResultFn<Checkpoint> done);
  void LogLine(absl::string_view what, const absl::Status& why);
  // The entries up to here are committed, and applied if there is a machine.
  void CompletePending(Index up_to, const std::optional<std::string>& result);
  void OnApplied(Index index, std::string result);
  Index applied() const;
  // What its segments take, with what is to be written.
  uint64_t LogBytes() const;
  void FailBarriers();
  void AnswerOnceSure(AppendOutcome outcome, AppendFn done);
  void FailPendingFrom(Index from, absl::string_view why);
  std::string NotLeaderMessage() const;
  void ReadCommitted(Offset from, size_t max_bytes, ReadFn done);
  void ScanFrom(Index index, Offset from, size_t max_bytes, ReadFn done);
  void ReadForTail(uint64_t id);
  void WakeTails();
  void TellLeaderWaiters();

  Env env_;
  LogOptions options_;
  InboundFn clients_;
  InlineFunction<std::string()> why_no_client_;
  DoneFn fatal_;
  Task role_changed_;
  Sessions sessions_;
  // Trims in the log that aren't committed yet, and what all committed ones
  // say.
  std::map<Index, Offset> trims_;
  Offset trimmed_to_;
  // What the leader said when there was no room for the trim; may be less.
  Offset heard_trimmed_to_;
  // Of the prefix that the log has lost; on its way to the next one, entry by
  // entry, or nothing yet while a waypoint is read; and that one, whose
  // checkpoint is being made and written.
  LogState base_;
  Timer retention_;
  std::unique_ptr<LogState> rolling_;
  std::unique_ptr<LogState> dropping_;
  Timer drop_again_;
  Timer drop_later_;
  std::unique_ptr<Checkpoint> resuming_;  // a resume point in the making
  bool no_resume_ = false;                // until the next start
  // In the order of index; a duplicate of a waiting append waits at its
  // index too.
  std::multimap<Index, PendingAppend> pending_;
  size_t pending_bytes_ = 0;
  uint64_t next_waiter_ = 1;
  std::map<uint64_t, LeaderWaiter> leader_waiters_;
  std::multimap<Index, DoneFn> barriers_;  // until it is applied
  // Shared with the TailOps, which may outlive this object.
  std::shared_ptr<TailWaits> tails_ = std::make_shared<TailWaits>();
  bool closing_ = false;
  Stats stats_;
  std::unique_ptr<Applier> applier_;
  CallbackScope scope_;
  Node node_;
};

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_LOG_DISTRIBUTED_LOG_H_
