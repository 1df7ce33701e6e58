// How a Node comes to serve: its directory, its log, its cluster.

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/base/check.h"
#include "engine/base/random.h"
#include "engine/node/node.h"

namespace holdfast {

void Node::Open(DoneFn done) {
  CHECK(!open_done_ && startup_ == nullptr);
  open_done_ = std::move(done);
  startup_ = std::make_unique<Startup>(env_, options_.id, options_.cluster_name,
                                       options_.raft.leases
                                           ? options_.raft.election_timeout_min
                                           : Duration::zero(),
                                       &space_);
  startup_->Run([this](absl::StatusOr<Identity> identity) {
    OnIdentity(std::move(identity));
  });
}

void Node::OnIdentity(absl::StatusOr<Identity> identity) {
  if (!identity.ok()) return FinishOpen(identity.status());
  identity_ = *std::move(identity);
  peer_boots_ =
      std::make_unique<PeerBoots>(env_.disk, [this](absl::Status why) {
        if (!absl::IsResourceExhausted(why)) return Stop(std::move(why));
        space_.Await([this] { peer_boots_->Save(); });
      });
  peer_boots_->Open(
      [this](absl::Status opened) { OnPeerBootsOpen(std::move(opened)); });
}

void Node::OnPeerBootsOpen(absl::Status opened) {
  if (absl::IsDataLoss(opened)) {
    LogLine(
        absl::StrCat("event=peers_forgotten why=\"", opened.message(), "\""));
  } else if (!opened.ok()) {
    return FinishOpen(std::move(opened));
  }
  OpenLog();
}

void Node::OpenLog() {
  Wal::Events events;
  events.on_persisted = [this](uint64_t sequence) {
    if (core_ == nullptr) return OnFormed();
    NoteCluster();
    Step(Persisted{sequence});
    BeginBehindLate();
  };
  events.on_failed = [this](absl::Status why) { Stop(std::move(why)); };
  events.may_make_segments = [this] { return !space_.given_up(); };
  events.on_no_space = [this](bool needed) {
    if (!needed) return space_.NoteShort();
    space_.Await([this] {
      if (wal_ != nullptr) wal_->TryAgain();
    });
  };
  events.on_lost = [this](const LostRecords& lost) {
    LogLine(absl::StrCat("event=records_lost first_offset=", lost.first.value(),
                         " end_offset=", lost.end.value()));
  };
  wal_ = std::make_unique<Wal>(env_.loop, env_.disk, identity_.incarnation,
                               options_.wal, std::move(events));
  wal_->set_mend([this](const LogHole& hole, Term term, ResultFn<Mended> done) {
    AskOthers(hole, term, std::move(done));
  });
  checkpoint_file_ = std::make_unique<CheckpointFile>(
      env_.disk, identity_.incarnation, CheckpointKind::kBase);
  resume_file_ = std::make_unique<CheckpointFile>(
      env_.disk, identity_.incarnation, CheckpointKind::kResume);
  waypoints_ = std::make_unique<Waypoints>(env_.disk, identity_.incarnation);
  checkpoint_file_->Open([this](absl::StatusOr<CheckpointFile::Found> found) {
    OnCheckpointFound(std::move(found));
  });
}

void Node::OnReplayed(const Entry& entry, Index commit) {
  absl::StatusOr<EntryMeta> meta = MetaOf(entry);
  if (replay_error_.ok()) {
    replay_error_ = meta.ok() ? CheckLevel(*meta) : meta.status();
  }
  if (!replay_error_.ok()) return;
  if (entry.header.index == Index(1)) {
    first_chain_ = ClusterId(entry.header.chain);
    // The first entry is the same wherever it is: committed from the start.
    commit = std::max(commit, Index(1));
  }
  tail_.Append(entry);
  events_->OnEntry(entry);
  if (commit > tail_.committed().index) {
    tail_.Commit(commit);
    // Else how to take back each entry of the log would pile up.
    events_->OnCommit(commit);
  }
  recovered_.trail.Append(*meta);
  recovered_.trail.Evict(options_.raft.hot_bytes, entry.header.index);
  tail_.EvictBelow(recovered_.trail.hot_first());
}

void Node::OnWalOpen(absl::Status opened) {
  // The leader was told of it, perhaps before the log was reset to it.
  if (opened.ok() && wal_->last_index() < checkpoint_damaged_to_) {
    opened = absl::DataLossError(absl::StrCat(
        "the log ends at entry ", wal_->last_index().value(),
        ", though this server has promised that it has entries up to ",
        checkpoint_damaged_to_.value(),
        "; clear its directory and let it join anew"));
  }
  if (absl::IsDataLoss(opened) && !stopped_ && base_.point.index > Index(0) &&
      resume_.point.index > base_.point.index) {
    // It mostly spares reading; what it says is there can be looked for.
    LogLine(absl::StrCat(
        "event=resume_point_ignored index=", resume_.point.index.value(),
        " why=\"", opened.message(), "\""));
    resume_ignored_ = resume_.point;
    return env_.loop->Post(scope_.Wrap([this] {
      wal_ = nullptr;
      EndRepair();
      Reopen();
    }));
  }
  if (absl::IsDataLoss(opened) && !checkpoint_damage_.ok()) {
    // The log is what the newer checkpoint left of it. Another server's is as
    // good. It may be long in coming.
    LogLine(
        absl::StrCat("event=log_not_opened why=\"", opened.message(), "\""));
    auto fail = [this, opened](const absl::Status&) {
      FinishOpen(absl::DataLossError(
          absl::StrCat(checkpoint_damage_.message(),
                       "; and without it: ", opened.message())));
    };
    if (repair_ == nullptr && !BeginRepair().ok()) return fail(opened);
    return repair_->FetchCheckpoint(checkpoint_damaged_to_, fail);
  }
  // Those that it talked to meanwhile are judged by what the log says now.
  if (std::exchange(talked_early_, false)) peers_.DropStreams();
  EndRepair();
  if (!opened.ok()) return FinishOpen(std::move(opened));
  space_.Begin();
  if (!replay_error_.ok()) return FinishOpen(replay_error_);
  if (wal_->last_index() == Index(0)) {
    if (identity_.cluster_id.value() != 0) {
      return FinishOpen(absl::DataLossError(
          "this directory belongs to a formed cluster, but its log is gone; "
          "clear it and let the server join anew"));
    }
    return Serve();
  }
  if (identity_.cluster_id.value() != 0 &&
      identity_.cluster_id != first_chain_) {
    return FinishOpen(absl::DataLossError(
        "the log isn't the one of this directory's cluster; restore it, or "
        "clear the directory and let the server join anew"));
  }
  recovered_.hard_state = wal_->hard_state();
  recovered_.commit_hint = tail_.committed().index;
  if (identity_.cluster_id.value() != 0) {
    cluster_noted_ = true;
    return Serve();
  }
  // It died between its first entry and the note of it.
  identity_.cluster_id = first_chain_;
  WriteIdentity([this](absl::Status written) {
    if (!written.ok()) return FinishOpen(std::move(written));
    cluster_noted_ = true;
    Serve();
  });
}

DrawKey Node::LinkKey() const {
  return DrawKey{.seed = env_.seed,
                 .site = 0,
                 .actor = Actor(options_.id.value(), identity_.boot_count)};
}

absl::Status Node::Listen() {
  if (listening_) return absl::OkStatus();
  absl::Status listening = peers_.Listen(options_.listen);
  listening_ = listening.ok();
  return listening;
}

void Node::Serve() {
  if (stopped_) return FinishOpen(absl::CancelledError("closed meanwhile"));
  if (absl::Status listening = Listen(); !listening.ok()) {
    return FinishOpen(std::move(listening));
  }
  if (identity_.cluster_id.value() != 0) {
    StartCore();
    return FinishOpen(absl::OkStatus());
  }
  auto self =
      std::find_if(options_.bootstrap.begin(), options_.bootstrap.end(),
                   [this](const Member& m) { return m.id == options_.id; });
  const bool named = self != options_.bootstrap.end();
  // Nobody stands in term 1, in which a cluster forms: this server has given
  // its word in a formed one, though it has nothing of the log yet.
  const bool adopted = wal_->hard_state().term > Term(1);
  if ((adopted && named) || (options_.join && options_.bootstrap.empty())) {
    return FinishOpen(absl::OkStatus());
  }
  if (!named) {
    return FinishOpen(absl::FailedPreconditionError(
        options_.bootstrap.empty()
            ? std::string("the data directory is new: expected --bootstrap "
                          "with the servers of the new cluster, or --join to "
                          "become a server of an existing one")
            : absl::StrCat("expected server ", options_.id.value(),
                           " among the servers of --bootstrap")));
  }
  forming_ = std::make_unique<Forming>(options_.bootstrap, options_.id,
                                       identity_.incarnation);
  peers_.SetMembers(options_.bootstrap, Index(), LinkKey());
  FinishOpen(absl::OkStatus());
  TryToForm();
}

void Node::FinishOpen(absl::Status status) {
  // Nobody may make it a server of a cluster any more.
  if (!status.ok()) stopped_ = true;
  DoneFn done = std::move(open_done_);
  // Later: this may run within a completion of the startup's own, and `done`
  // may destroy this object.
  env_.loop->Post(scope_.Wrap(
      [done = std::move(done), status]() mutable { done(status); }));
}

// --- Forming the cluster ---

Hello Node::OwnHello() const {
  Hello hello;
  hello.kind = StreamKind::kRaft;
  hello.cluster_name = options_.cluster_name;
  hello.cluster_id = identity_.cluster_id;
  hello.server_id = options_.id;
  hello.incarnation = identity_.incarnation;
  hello.boot_count = identity_.boot_count;
  hello.lives = identity_.lives;
  hello.address = Advertised();
  hello.feature_level_max = options_.feature_level_max;
  if (formed()) {
    hello.configuration_index = core_->committed_configuration_index();
    const Member* self = configuration()->Find(options_.id);
    if (self != nullptr) hello.address = self->address;
  }
  return hello;
}

HelloVerdict Node::JudgeHello(const Hello& hello) {
  Hello own = OwnHello();
  own.kind = hello.kind;
  if (hello.cluster_id.value() != 0 && own.cluster_id.value() != 0 &&
      hello.cluster_id != own.cluster_id) {
    return Refusal{RefusalReason::kCluster,
                   absl::StrCat("expected a member of this cluster, found one "
                                "of another cluster of the same name")};
  }
  if (hello.kind == StreamKind::kClient) {
    std::string why_not = events_->WhyNoClient();
    if (why_not.empty()) return own;
    return Refusal{RefusalReason::kBusy, std::move(why_not)};
  }
  const Configuration* known = known_configuration();
  if (!formed() && known != nullptr && known != heard_of_.get()) {
    const Trail& trail = recovered_.trail;
    own.configuration_index =
        trail.ConfigurationAtOrBelow(trail.last_index()).index;
  }
  if (known == nullptr) {
    if (MayBelong(hello.server_id, hello.cluster_id)) return own;
    // This server's log, which would say who the others are, is damaged.
    if (repair_ != nullptr && hello.cluster_id == own.cluster_id) return own;
    return Refusal{
        RefusalReason::kNotMember,
        options_.bootstrap.empty()
            ? std::string("this server waits to be joined by a formed cluster")
            : absl::StrCat("server ", hello.server_id.value(),
                           " isn't named by this server's --bootstrap")};
  }
  if (std::optional<Refusal> older = peer_boots_->Judge(hello)) return *older;
  const Member* member = known->Find(hello.server_id);
  if (member != nullptr && member->incarnation == hello.incarnation) {
    peer_boots_->Note(hello, *known);
    return own;
  }
  // What is damaged of this server's log may say otherwise. When it is whole,
  // they are all judged anew. It may have died before it noted its cluster.
  if (!formed() && repair_ != nullptr && hello.cluster_id == group()) {
    return own;
  }
  // It knows of a later configuration, which says more than this one.
  if (hello.cluster_id == own.cluster_id &&
      hello.configuration_index > own.configuration_index) {
    return own;
  }
  if (member == nullptr) {
    return Refusal{RefusalReason::kNotMember,
                   absl::StrCat("server ", hello.server_id.value(),
                                " is not a member of this cluster")};
  }
  return Refusal{
      RefusalReason::kIncarnation,
      absl::StrCat("server ", hello.server_id.value(),
                   " is a member with another data directory: it must not "
                   "vote as the old one, and has to join anew")};
}

bool Node::MayBelong(ServerId server, ClusterId cluster_id) const {
  if (options_.bootstrap.empty()) return cluster_id.value() != 0;
  return std::any_of(options_.bootstrap.begin(), options_.bootstrap.end(),
                     [server](const Member& m) { return m.id == server; });
}

void Node::OnHello(const Hello& hello) {
  if (repair_ != nullptr && open_done_) heard_from_.insert(hello.server_id);
  if (forming_ == nullptr) return;
  forming_->Heard(hello.server_id, hello.incarnation, hello.cluster_id);
  TryToForm();
}

void Node::TryToForm() {
  if (forming_ == nullptr || first_entry_.has_value() || stopped_) return;
  first_entry_ = forming_->FirstEntry();
  if (!first_entry_.has_value()) return;
  WalWrite write;
  write.sequence = 1;
  write.hard_state = HardState{Term(1), ServerId()};
  write.entries.push_back(*first_entry_);
  wal_->Write(std::move(write), Index(1));
}

void Node::OnFormed() {
  identity_.cluster_id = ClusterId(first_entry_->header.chain);
  WriteIdentity([this](absl::Status written) {
    if (!written.ok()) return Stop(std::move(written));
    if (stopped_) return;
    cluster_noted_ = true;
    LogLine(absl::StrCat("event=formed cluster_id=",
                         absl::Hex(identity_.cluster_id.value())));
    forming_ = nullptr;
    OnReplayed(*first_entry_, Index(1));
    recovered_.hard_state = HardState{Term(1), ServerId()};
    recovered_.commit_hint = Index(1);
    StartCore();
  });
}

void Node::Adopt(ServerId from, ClusterId cluster_id) {
  // The sender knows this very incarnation for a server of its cluster, or it
  // would have refused the hello.
  if (cluster_id.value() == 0 || first_entry_.has_value() || wal_ == nullptr ||
      !MayBelong(from, cluster_id)) {
    return;
  }
  LogLine(absl::StrCat("event=adopted cluster_id=",
                       absl::Hex(cluster_id.value()), " by=", from.value()));
  forming_ = nullptr;
  identity_.cluster_id = cluster_id;
  recovered_.hard_state = wal_->hard_state();
  StartCore();
}

absl::Status Node::CheckLevel(const Configuration& configuration) const {
  if (configuration.feature_level <= options_.feature_level_max) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(absl::StrCat(
      "the cluster is at feature level ", configuration.feature_level,
      ", this server supports levels up to ", options_.feature_level_max,
      ": run a newer release"));
}

absl::Status Node::CheckLevel(const EntryMeta& entry) const {
  if (entry.configuration != nullptr) return CheckLevel(*entry.configuration);
  const std::optional<uint32_t> level = FeatureLevelOf(entry.kind);
  if (level.has_value() && *level <= options_.feature_level_max) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(
      absl::StrCat("entry ", entry.index.value(), " is of kind ",
                   static_cast<int>(entry.kind),
                   ", which this server doesn't support: run a newer release"));
}

absl::Status Node::CheckFirstEntry(const Entry& entry) const {
  if (ClusterId(entry.header.chain) == identity_.cluster_id) {
    return absl::OkStatus();
  }
  return absl::DataLossError(
      "the first entry from the leader isn't that of its cluster");
}

void Node::NoteCluster() {
  if (cluster_noted_ || core_->durable() == Index(0)) return;
  // It retires.
  if (stopped_ || writing_identity_) return;
  cluster_noted_ = true;
  WriteIdentity([this](absl::Status written) {
    if (!written.ok()) Stop(std::move(written));
  });
}

void Node::WriteIdentity(DoneFn done) {
  CHECK(!writing_identity_);
  writing_identity_ = true;
  space_.UntilThereIsRoom(
      [this](DoneFn written) {
        identity_file_.Write(identity_, std::move(written));
      },
      [this, done = std::move(done)](absl::Status written) mutable {
        writing_identity_ = false;
        done(std::move(written));
      });
}

absl::Status Node::forming_status() const {
  if (formed()) return absl::OkStatus();
  if (repair_ != nullptr) {
    return absl::UnavailableError(absl::StrCat(
        "entries ", repair_->hole().first.value(), " to ",
        repair_->hole().last.value(),
        " of this server's log are damaged: it asks the other servers for "
        "them, and doesn't take part before it has them"));
  }
  if (forming_ == nullptr) {
    return absl::UnavailableError(
        wal_ != nullptr && options_.bootstrap.empty()
            ? "this server waits to be joined: tell the cluster's leader"
            : "this server is starting, or waits for its cluster to reach it");
  }
  std::vector<ServerId> missing = forming_->Missing();
  if (missing.empty()) return forming_->Obstacle();
  return absl::UnavailableError(absl::StrCat(
      "the cluster is not formed yet: waiting to hear from server ",
      absl::StrJoin(missing, ", ", [](std::string* out, ServerId id) {
        absl::StrAppend(out, id.value());
      })));
}

void Node::StartCore() {
  RaftOptions raft = options_.raft;
  raft.id = options_.id;
  raft.incarnation = identity_.incarnation;
  raft.seed = env_.seed;
  raft.boot_count = identity_.boot_count;
  raft.earlier_promise = startup_->earlier_promise();
  raft.no_op_size = kEntryHeaderBytes;
  Index commit = tail_.committed().index;
  core_ =
      std::make_unique<RaftCore>(raft, std::move(recovered_), env_.loop->Now());
  remote_reads_ = std::make_unique<RemoteReads>(
      env_.loop, identity_.lives.front(), options_.raft.election_timeout_max,
      [this](const ReadIndexQuestion& question) {
        ReadIndexQuestion out = question;
        out.from = options_.id;
        SendTo(out.to, WireType::kReadIndexQuestion,
               EncodeReadIndexQuestion(out), {});
      });
  if (options_.scrub_bytes_per_second > 0) {
    scrubber_ = std::make_unique<Scrubber>(
        env_.loop, env_.disk, wal_.get(), options_.scrub_bytes_per_second,
        options_.scrub_interval,
        Scrubber::Events{
            .on_pass = [this] { return ScrubOthers(); },
            .on_damaged =
                [this](const Scrubber::File& file, const absl::Status& why) {
                  RemoveDamaged(file, why);
                }});
    scrubber_->Start();
  }
  events_->OnCommit(commit);
  Step(Tick{});
}

}  // namespace holdfast
