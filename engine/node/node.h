#ifndef HOLDFAST_ENGINE_NODE_NODE_H_
#define HOLDFAST_ENGINE_NODE_NODE_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "engine/base/buffer.h"
#include "engine/base/callback_scope.h"
#include "engine/base/configuration.h"
#include "engine/base/entry_kind.h"
#include "engine/base/types.h"
#include "engine/env/completion.h"
#include "engine/env/env.h"
#include "engine/env/loop.h"
#include "engine/node/checkpoint_transfer.h"
#include "engine/node/cold_read_pace.h"
#include "engine/node/disk_space.h"
#include "engine/node/forming.h"
#include "engine/node/identity.h"
#include "engine/node/log_comparison.h"
#include "engine/node/log_repair.h"
#include "engine/node/membership.h"
#include "engine/node/peer_boots.h"
#include "engine/node/peers.h"
#include "engine/node/raft_codec.h"
#include "engine/node/remote_reads.h"
#include "engine/node/scrubber.h"
#include "engine/node/startup.h"
#include "engine/node/tail.h"
#include "engine/node/waypoints.h"
#include "engine/raft/core.h"
#include "engine/wal/checkpoint_file.h"
#include "engine/wal/wal.h"

namespace holdfast {

struct NodeOptions {
  ServerId id;
  // The operators' name of the cluster; in certificates and hellos.
  std::string cluster_name;
  // Where this server listens, and how the others reach it.
  Address listen;
  // The servers of a new cluster, this one among them, with incarnations 0;
  // needed only until it is formed, harmless afterwards.
  std::vector<Member> bootstrap;
  // With an empty directory and without `bootstrap`: waits until a cluster's
  // leader is told to join this server.
  bool join = false;
  // How the others reach it, until a configuration says so; empty: `listen`.
  Address advertise;
  // Segments that a leader keeps for followers that lack some of them. For one
  // that gets on with a checkpoint it keeps all that follows that.
  size_t kept_for_laggards = 16;
  // Up to which feature level this server goes along (entry_kind.h): what its
  // release supports, or less, as long as going back to an older release is to
  // be possible.
  uint32_t feature_level_max = kFeatureLevelMax;
  // Of a checkpoint on its way to another server; one at a time.
  size_t checkpoint_chunk_bytes = 64 << 10;
  // To each server that is behind: of a checkpoint, and, while entries are
  // appended, of entries from the log's files; and of those for trimming.
  uint64_t catch_up_bytes_per_second = 32 << 20;
  // Of the log's files, to look for damage (Scrubber); 0: nobody looks. A pass
  // begins so long after the one before at the earliest.
  uint64_t scrub_bytes_per_second = 4 << 20;
  Duration scrub_interval = 1h;
  // Of the disk, kept for what must go on when it is full (DiskSpace): twice
  // what a leader may have taken by then (LogOptions::pending_bytes_max), and
  // more than a segment, to repair one. 0: nothing.
  uint64_t reserve_bytes = 128 << 20;
  RaftOptions raft;  // what concerns this server is filled in
  WalOptions wal;
  PeersOptions peers;
};

// What happens to a Node, in the order in which it happens. Called on the
// Loop; may call the Node, but not destroy it.
class NodeEvents {
 public:
  virtual ~NodeEvents() = default;
  // Whether the checkpoint's state can be restored.
  virtual absl::Status CheckCheckpoint(const Checkpoint& checkpoint) = 0;
  // The log begins behind this checkpoint, which passed: it was found at start,
  // or came from the leader. `replaced`: the log is empty behind it now,
  // whatever was in it; otherwise it holds the checkpoint's entry.
  virtual void OnCheckpoint(const Checkpoint& checkpoint, bool replaced) = 0;
  // At start: entries up to here are in the log, are committed, and won't be
  // told; this, which passed CheckCheckpoint, is what they amount to.
  virtual void OnResume(const Checkpoint& resume) = 0;
  // An entry joined the end of this server's log: found at start, proposed
  // here, or received. It may not be durable yet, and may yet be cut.
  virtual void OnEntry(const Entry& entry) = 0;
  // The entries from `from` on left the log. None of them was committed.
  virtual void OnCut(Index from) = 0;
  // Entries up to `commit` are committed.
  virtual void OnCommit(Index commit) = 0;
  // This server's disk is short of space. Its leader says that the records
  // before `first` were trimmed, perhaps by an entry for which there is no room
  // here.
  virtual void OnTrimmed(Offset first) = 0;
  // Up to where committed trims dropped the records.
  virtual Offset trimmed_to() const = 0;
  // Role, term or known leader changed.
  virtual void OnRole() = 0;
  // Why no further client may connect now; empty: one may.
  virtual std::string WhyNoClient() = 0;
  // A client connected and said a good hello.
  virtual void OnClient(InboundStream client) = 0;
  // The server can't go on: a disk error, say. Nothing follows.
  virtual void OnStopped(absl::Status why) = 0;
};

// One server: runs the core's Outputs against the disk and the peers. All
// order that matters between them is in the core (see RaftCore); this class
// only carries.
class Node : private Membership::Host {
 public:
  Node(const Env& env, NodeOptions options, NodeEvents* events);
  // As a crash: drops all that is under way.
  ~Node() override;

  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  // Takes the directory, recovers the log (OnEntry for each entry), listens
  // and dials. Done when it serves; it may not be formed yet. If entries are
  // damaged, it is done when the other servers have given them (LogRepair).
  // Once.
  void Open(DoneFn done);

  // As a failure of the disk: it stops, and says why (OnStopped).
  void Fail(absl::Status why) { Stop(std::move(why)); }

  // Leaves the network; reads that wait fail as UNAVAILABLE, then it is done.
  // What the disk has still to write was promised to nobody, and ends with the
  // Node.
  void Close(DoneFn done);

  // --- The leader's ---
  // Appends an entry behind the log's end and replicates it. Needs
  // is_leader(). Returns its header; whether it gets committed shows in
  // OnCommit (its index reached in its term) or OnCut. Proposals of one task
  // travel together.
  const EntryHeader& Propose(EntryKind kind, uint32_t record_count,
                             Buffer payload);
  // An index such that a read of all entries up to it is linearizable; this
  // server has committed it when `done` runs. UNAVAILABLE if leadership
  // couldn't be confirmed.
  void ReadIndex(ResultFn<Index> done) override;
  // The same on any server: a follower asks the leader it knows.
  void ReadIndexAnywhere(ResultFn<Index> done);

  // Changes of the cluster's servers, and transfer: see DistributedLog.
  Membership& membership() { return membership_; }
  const Membership& membership() const { return membership_; }
  const RemoteReads* remote_reads() const { return remote_reads_.get(); }
  const CheckpointSender& checkpoint_sender() const {
    return checkpoint_sender_;
  }
  const ColdReadPace& cold_read_pace() const { return cold_read_pace_; }
  // Null before this server's directory is open.
  const CheckpointFile* checkpoint_file() const {
    return checkpoint_file_.get();
  }
  const Waypoints* waypoints() const { return waypoints_.get(); }
  LogRepair::Stats repair_stats() const {
    return repair_ == nullptr ? repair_stats_ : repair_->stats();
  }
  // Whether it waits for another server to take over: nothing new should be
  // proposed.
  bool handing_over() const;
  // Null before it is formed, and if nobody looks for damage.
  const Scrubber* scrubber() const { return scrubber_.get(); }
  const DiskSpace& disk_space() const { return space_; }
  // The leader's. Whether its disk, and those of a quorum, have room for more
  // records: nobody should propose any else.
  bool HasRoomForRecords() const;
  const LogComparison& log_comparison() const { return comparison_; }
  // Appends of a leader that this server ignored, for want of room.
  uint64_t records_refused() const { return records_refused_; }
  // Answers of a data directory that its server's id no longer stands for.
  uint64_t answers_of_other_disks() const { return answers_of_other_disks_; }

  // --- Anybody's ---
  struct Droppable {
    // The end of a segment; 0: nothing may be dropped.
    Index to;
    // More than one segment ends between here and there.
    bool several = false;
    // The last entry of a prefix that has a waypoint, at least a segment more
    // than is dropped already; 0: there is none.
    Index waypoint;
    // More may be dropped when a follower has got on, or hasn't for long.
    bool waits = false;
  };
  // Up to where the log may be dropped now, if nobody needs entries up to
  // `up_to` here. A leader keeps what its followers lack, unless one lacks too
  // much; and what follows a checkpoint that one gets, unless it needs room.
  Droppable DroppableTo(Index up_to, bool needs_room);
  // What the prefix up to there amounts to, without a state machine. An error:
  // it can't be read, or isn't one of this log.
  void ReadWaypoint(Index index, ResultFn<Checkpoint> done);
  // One that gave an error, or makes no sense: there is none there any more.
  void DiscardWaypoint(Index index, const absl::Status& why);
  // The checkpoint becomes durable, then the log up to its entry is dropped,
  // which DroppableTo allowed. UNAVAILABLE while another one is being written,
  // a leader's perhaps; RESOURCE_EXHAUSTED beyond kCheckpointBytesMax.
  void DropTo(Checkpoint checkpoint, DoneFn done);
  // A start reads the log from its last resume point on only. Whether one at
  // commit() would spare it at least a segment, and may be made now.
  bool ResumeDue() const;
  // One at commit(), without state and machine; needs ResumeDue().
  Checkpoint MakeResume() const;
  // Makes it durable, and a waypoint of it. One at a time. FAILED_PRECONDITION
  // beyond kCheckpointBytesMax; or as the disk says.
  void WriteResume(Checkpoint resume, DoneFn done);
  // The log begins behind this point.
  const LogPoint& base() const { return base_.point; }
  // UNAVAILABLE as long as a leader's entries contradict this server's log:
  // nobody should be given what is in it.
  absl::Status CheckSameLog() const;
  // At least one whole entry from `first` on, which is committed, and about
  // max_bytes of them; none beyond commit() as it is now: what isn't committed
  // yet may be cut before it is read. From memory if they are there.
  void ReadEntries(Index first, size_t max_bytes,
                   ResultFn<std::vector<Entry>> done);
  // As ReadEntries, as late as the pace of what isn't urgent says
  // (ColdReadPace). One at a time: an earlier one that waits is forgotten.
  void ReadEntriesAtPace(Index first, size_t max_bytes,
                         ResultFn<std::vector<Entry>> done);
  // An entry at or shortly before the one that holds `offset`.
  Index FloorIndexOfOffset(Offset offset) const;

  bool formed() const { return core_ != nullptr; }
  bool is_leader() const;
  // Whether it leads, and reads without asking for now (RaftOptions::leases).
  bool holds_lease() const;
  // 0: not known.
  ServerId leader() const;
  // Null when not formed.
  const RaftCore* core() const { return core_.get(); }
  const Wal* wal() const { return wal_.get(); }
  const Tail& tail() const { return tail_; }
  const Peers& peers() const { return peers_; }
  // Null before this server's directory is open.
  const PeerBoots* peer_boots() const { return peer_boots_.get(); }
  const Identity& identity() const { return identity_; }
  const NodeOptions& options() const { return options_; }
  Index commit() const { return tail_.committed().index; }
  // Where clients find `id`; empty if it isn't a member.
  Address AddressOf(ServerId id) const;
  // Null when not formed.
  const Configuration* configuration() const;
  // What stands in the way of forming, for status; OK when formed.
  absl::Status forming_status() const;
  // Where it listens, once open: with the actual port.
  Address listen_address() const { return peers_.listen_address(); }

 private:
  // Membership::Host:
  const RaftCore* raft() const override;
  Hello OwnHello() const override;
  const Address& Advertised() const override {
    return options_.advertise.empty() ? options_.listen : options_.advertise;
  }
  bool MayPropose() const override;
  uint32_t SupportedLevel(const Member& member) const override;
  Index ProposeConfiguration(const Configuration& next) override;
  void HandOver(ServerId to) override;

  // Opening, in order (node_open.cc).
  void OnCheckpointFound(absl::StatusOr<CheckpointFile::Found> found);
  void OnResumeFound(absl::StatusOr<CheckpointFile::Found> found);
  absl::Status TakeResume(const Checkpoint& resume);
  void OnIdentity(absl::StatusOr<Identity> identity);
  void OnPeerBootsOpen(absl::Status opened);
  void OpenLog();
  void OnReplayed(const Entry& entry, Index commit);
  void OnWalOpen(absl::Status opened);
  absl::Status Listen();
  void Serve();
  void TryToForm();
  void OnFormed();
  // Becomes a server of the formed cluster that sends to it, with an empty log.
  void Adopt(ServerId from, ClusterId cluster_id);
  // FAILED_PRECONDITION: it is beyond the levels that this server supports.
  absl::Status CheckLevel(const Configuration& configuration) const;
  absl::Status CheckLevel(const EntryMeta& entry) const;
  // The first entry tells whether that was right; then it is noted.
  absl::Status CheckFirstEntry(const Entry& entry) const;
  void NoteCluster();
  // As long as there is no room for them, these wait.
  void WriteIdentity(DoneFn done);
  void WriteCheckpoint(const Checkpoint& checkpoint, DoneFn done);
  // At the end of a scrubber's pass: what this server needs besides its log is
  // in memory, too, and is written anew if it can't be read any more. Gives the
  // files that it can do without: one that is damaged is removed.
  std::vector<Scrubber::File> ScrubOthers();
  void ScrubCheckpoint();
  void ScrubIdentity();
  void RemoveDamaged(const Scrubber::File& file, const absl::Status& why);
  void NoteMended(absl::string_view what, const absl::StatusOr<bool>& mended);
  // Of a file that can be done without. If it failed for anything but want of
  // room, nobody knows what the disk has of it, nor what it will have of
  // others: the server ends.
  bool StopsFor(const absl::Status& written);
  void StartCore();
  void FinishOpen(absl::Status status);
  // Repairing the log, and helping others to (node_repair.cc).
  // Also while the log is repaired; null: not known.
  const Configuration* known_configuration() const;
  // The cluster's id, as far as it is known.
  ClusterId group() const;
  std::vector<Member> MembersThatMayHelp() const;
  std::vector<ServerId> OthersThatMayHelp() const;
  // DATA_LOSS: there are none.
  absl::Status BeginRepair();
  void TakeTerm(LogHole* hole) const;
  void AskOthers(LogHole hole, Term term, ResultFn<Mended> done);
  void HearOfMembersBefore();
  void EndRepair();
  void OnRepairCheckpoint(const CheckpointId& id, const std::string& bytes,
                          ServerId from);
  // The log has what the checkpoint stands for, and begins behind it from now
  // on.
  void BeginBehindOther(const Checkpoint& checkpoint);
  void PromiseTermOf(const Checkpoint& checkpoint, HardState state);
  void Reopen();
  void OnRepairMessage(ServerId from, const MessageView& message);
  void OnRepairQuestion(const RepairQuestion& question);
  // Of the hole's entries what is in memory, from the first one on.
  std::vector<Entry> FromTail(const LogHole& hole) const;
  absl::StatusOr<Mended> AsFarAsLost(const LogHole& hole,
                                     absl::StatusOr<Mended> mended) const;
  // Answers with what of the hole is read.
  ResultFn<WholeEntries> RepairReader(RepairAnswer answer, const LogHole& hole);
  // The first entry of the latest term that the log, which is being mended, has
  // had up to `last`.
  void NoteLatestTerm(Index last, RepairAnswer* answer) const;
  void AnswerWithCheckpoint(const RepairQuestion& question,
                            RepairAnswer answer);
  void AnswerRepair(RepairAnswer answer, std::vector<Entry> entries);

  HelloVerdict JudgeHello(const Hello& hello);
  void OnHello(const Hello& hello);
  void OnPeerUp(ServerId to);
  void OnRefused(RefusalReason reason, const absl::Status& why);
  // Stops, and durably: this server never serves again with this directory. Not
  // durably, if its identity is being looked at or written just now, or can't
  // be written for a while.
  void Retire(absl::Status why);
  // Of an unformed server: whether that one may be of the same cluster.
  bool MayBelong(ServerId server, ClusterId cluster_id) const;
  DrawKey LinkKey() const;

  void OnMessage(ServerId from, Incarnation incarnation,
                 const MessageView& message);
  // Whether what that one answers is for the server that the configuration
  // means by this id. Counts those that aren't.
  bool AnswersFor(ServerId id, Incarnation incarnation);
  // All reads that wait, in the core and on the way there.
  void FailReads();
  // What was proposed or asked during a task goes into the core after it, or
  // before the next input: proposals were sealed behind the log's end as it is
  // now.
  void FlushSoon();
  void Flush();
  void Step(InputEvent event, std::vector<Entry> entries = {});
  // Does what the core says in output_.
  void Carry(std::vector<Entry> entries);
  void Persist(RaftPersist& persist, std::vector<Entry>* entries);
  void Send(const Message& message, const Buffers& payload);
  void SendTo(ServerId to, WireType type, const std::string& header,
              const Buffers& payload);
  void SendAppend(const Message& message);
  void OnReadIndexQuestion(const ReadIndexQuestion& question);
  // Comparing logs (node_comparison.cc).
  // False: the message is as good as lost, for its sender has another log.
  bool Compare(const ReceivedMessage& received);
  bool Counts(const ReceivedMessage& received);
  void LookUp(ServerId peer, const LogClaim& claim);
  // That they are those that this server once wrote, as far as it knows.
  absl::Status CheckRead(const std::vector<Entry>& entries) const;
  void CheckOutvoted(Index at);
  void OnCondemned(const LogClaim& condemned);
  // Whether an append is taken in; if not, as if it had been lost.
  bool TakesIn(const ReceivedMessage& received);
  // Whether there is room for them; if they must be taken, that is also what is
  // kept for other things, but for a rest, and is noted as used.
  bool HasRoomFor(const std::vector<Entry>& entries, bool must_take);
  void NoteShortage(ServerId peer, bool short_of_space);
  void OnChunk(const CheckpointChunk& chunk, absl::string_view bytes);
  // That it is the one that was announced, and this server can go on behind it.
  absl::StatusOr<Checkpoint> CheckReceived(const CheckpointId& id,
                                           const std::string& encoded) const;
  void OnReceivedCheckpoint(const Checkpoint& checkpoint);
  void Install();
  // DATA_LOSS: it isn't one of this log.
  absl::Status CheckWaypoint(const Checkpoint& waypoint) const;
  void BeginBehind(const Checkpoint& checkpoint);
  void BeginBehindLate();
  void SendCheckpoints();
  void SetBase(Checkpoint base);
  void EncodeBase();
  void StartColdRead(const RaftColdRead& cold);
  void ReadCold(const RaftColdRead& cold);
  // At once or at its turn. There is one for each reader; an earlier one, which
  // nobody waits for any more, goes.
  void ReadAtPace(ServerId reader, Task read);
  void OnColdRead(const RaftColdRead& cold,
                  absl::StatusOr<std::vector<Entry>> entries);
  void HaltAtOnce();
  void Stop(absl::Status why);
  void FinishStop(absl::Status why);
  void LogLine(absl::string_view line) const;

  Env env_;
  NodeOptions options_;
  NodeEvents* const events_;
  DoneFn open_done_;
  DiskSpace space_;
  std::set<ServerId> short_peers_;  // of space, by their latest answers
  uint64_t records_refused_ = 0;
  uint64_t answers_of_other_disks_ = 0;
  // When some were refused last, in which term, and the entry before the first
  // one of these.
  Instant refused_at_;
  Term refused_in_;
  Index refused_behind_;
  Identity identity_;
  Tail tail_;
  LogComparison comparison_{&tail_};
  RaftRecovered recovered_;
  absl::Status replay_error_;  // the first entry that can't be gone along with
  ClusterId first_chain_;      // the cluster's id, as the log says
  std::unique_ptr<Startup> startup_;
  std::unique_ptr<Forming> forming_;
  std::optional<Entry> first_entry_;  // being written
  IdentityFile identity_file_;
  bool cluster_noted_ = false;  // in the identity file
  bool writing_identity_ = false;
  std::unique_ptr<PeerBoots> peer_boots_;
  std::unique_ptr<CheckpointFile> checkpoint_file_;
  // Of the newest checkpoint, if it isn't the one that was taken, and up to
  // where it stood for the log; OK and 0: it is.
  absl::Status checkpoint_damage_;
  Index checkpoint_damaged_to_;
  std::unique_ptr<CheckpointFile> resume_file_;
  std::unique_ptr<Waypoints> waypoints_;
  WalResume resume_;  // the last one
  bool writing_resume_ = false;
  Index no_resume_to_;  // there was no room for one when the log was sealed to
  bool writing_checkpoint_ = false;
  const Checkpoint* receiving_ = nullptr;  // during its step
  std::optional<Checkpoint> late_base_;    // waits for the disk
  Checkpoint base_;
  CheckpointId base_id_;  // of the encoded one, once it was needed
  Buffer base_encoded_;
  std::unique_ptr<Wal> wal_;
  std::unique_ptr<Scrubber> scrubber_;
  std::unique_ptr<RaftCore> core_;
  RaftOutput output_;  // reused
  Peers peers_;
  bool listening_ = false;
  // While the log is opened and damaged; later, once something was found to be.
  std::unique_ptr<LogRepair> repair_;
  bool talked_early_ = false;  // to others, before the log said who they are
  LogRepair::Stats repair_stats_;
  uint64_t repair_number_ = 0;
  // The last one leads nowhere; but so far the log must go. Index 0: none.
  LogPoint resume_ignored_;
  // Whom it may ask, if the log doesn't say: by a resume point that wasn't
  // taken, by an entry before the damage, or because they have dialled.
  std::shared_ptr<const Configuration> heard_of_;
  std::set<ServerId> heard_from_;
  ClusterId
      repair_group_;  // by another server, if this one hasn't noted it yet
  std::unique_ptr<HardStateFile> repair_promise_;
  std::shared_ptr<const Configuration> linked_;  // that peers_ has links to
  CheckpointSender checkpoint_sender_;
  CheckpointReceiver checkpoint_receiver_;
  ColdReadPace cold_read_pace_;
  std::map<ServerId, Timer> paced_reads_;
  Membership membership_;

  std::vector<EntryMeta> proposals_;  // sealed and in tail_, not in the core
  std::vector<Entry> proposed_;
  bool configuration_proposed_ = false;  // one is among them
  std::vector<uint64_t> read_requests_;
  bool flush_posted_ = false;
  bool stepping_ = false;
  bool stopped_ = false;
  Timer retiring_;
  bool stop_told_ = false;
  Instant wake_at_ = kNever;
  Timer wake_;
  uint64_t next_read_ = 1;
  std::map<uint64_t, ResultFn<Index>> reads_;
  std::unique_ptr<RemoteReads> remote_reads_;  // as long as core_
  // The last append's entries as encoded: followers often get the same ones.
  Index encoded_first_;
  Index encoded_last_;
  Term encoded_term_;
  Buffers encoded_;
  CallbackScope scope_;
};

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_NODE_NODE_H_
