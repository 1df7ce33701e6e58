// How a Node's log loses its beginning, and how one that is far behind gets a
// checkpoint instead.

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"
#include "engine/base/crc32c.h"
#include "engine/node/node.h"

namespace holdfast {
namespace {

absl::StatusOr<Trail::ConfigurationAt> ConfigurationOf(
    const Checkpoint& checkpoint) {
  absl::StatusOr<Configuration> decoded =
      DecodeConfiguration(checkpoint.configuration.view());
  if (!decoded.ok()) return decoded.status();
  if (checkpoint.configuration_index > checkpoint.point.index) {
    return absl::InvalidArgumentError("its configuration is of a later entry");
  }
  return Trail::ConfigurationAt{
      checkpoint.configuration_index,
      std::make_shared<const Configuration>(*std::move(decoded))};
}

// Of the log behind `base` up to `last`.
absl::StatusOr<Trail> TrailOf(const LogMap& map, Index last,
                              const LogPoint& base,
                              Trail::ConfigurationAt configuration) {
  std::vector<Trail::Run> runs;
  for (const TermRun& run : map.terms) {
    const bool rising = runs.empty() || (run.first > runs.back().first &&
                                         run.term > runs.back().term);
    if (!rising || run.first > last) {
      return absl::DataLossError("its terms don't rise");
    }
    runs.push_back({run.first, run.term});
  }
  if (runs.empty() || runs.front().first == Index(0) ||
      runs.front().first > base.index + 1) {
    return absl::DataLossError("it doesn't go back to where the log begins");
  }
  const Index begins_behind = runs.front().first - 1;
  Trail trail(begins_behind, begins_behind == base.index ? base.term : Term(0),
              std::move(runs), last, std::move(configuration));
  trail.DropTo(base.index);
  if (trail.base_term() != base.term) {
    return absl::DataLossError("it is of another log than the checkpoint");
  }
  return trail;
}

}  // namespace

void Node::OnCheckpointFound(absl::StatusOr<CheckpointFile::Found> found) {
  if (!found.ok()) return FinishOpen(found.status());
  checkpoint_damage_ = found->damage;
  checkpoint_damaged_to_ = found->damaged_to;
  if (found->newest.has_value()) {
    SetBase(*std::move(found->newest));
    absl::StatusOr<Trail::ConfigurationAt> configuration =
        ConfigurationOf(base_);
    absl::Status good = configuration.ok() ? events_->CheckCheckpoint(base_)
                                           : configuration.status();
    if (good.ok()) {
      if (absl::Status level = CheckLevel(*configuration->configuration);
          !level.ok()) {
        return FinishOpen(std::move(level));
      }
    }
    if (!good.ok()) {
      return FinishOpen(absl::DataLossError(
          absl::StrCat("the checkpoint at entry ", base_.point.index.value(),
                       ": ", good.message())));
    }
    first_chain_ = base_.cluster;
    tail_.Reset(base_.point);
    recovered_.trail =
        Trail(base_.point.index, base_.point.term, *std::move(configuration));
    events_->OnCheckpoint(base_, true);
  }
  resume_file_->Open([this](absl::StatusOr<CheckpointFile::Found> resume) {
    OnResumeFound(std::move(resume));
  });
}

void Node::OnResumeFound(absl::StatusOr<CheckpointFile::Found> found) {
  if (!found.ok()) return FinishOpen(found.status());
  if (found->newest.has_value()) {
    if (absl::StatusOr<Trail::ConfigurationAt> known =
            ConfigurationOf(*found->newest);
        known.ok()) {
      heard_of_ = known->configuration;
    }
    absl::Status taken = resume_ignored_.index > Index(0)
                             ? absl::DataLossError("the log isn't as it says")
                             : TakeResume(*found->newest);
    if (!taken.ok()) {
      // It only saves reading. What this server doesn't support, the log tells;
      // and a state machine that is new here is made of all of it.
      LogLine(absl::StrCat("event=resume_point_ignored index=",
                           found->newest->point.index.value(), " why=\"",
                           taken.message(), "\""));
    }
  }
  waypoints_->Open([this](absl::Status listed) {
    if (!listed.ok()) return FinishOpen(std::move(listed));
    waypoints_->RemoveTo(base_.point.index);
    // The leader was told of the damaged one, perhaps before the log was reset
    // to it.
    wal_->set_promised(checkpoint_damaged_to_);
    wal_->Open(
        base_.point,
        resume_ignored_.index > Index(0) ? WalResume{resume_ignored_, {}}
                                         : resume_,
        [this](const Entry& entry, Index commit) { OnReplayed(entry, commit); },
        [this](absl::Status opened) { OnWalOpen(std::move(opened)); });
  });
}

absl::Status Node::TakeResume(const Checkpoint& resume) {
  const LogPoint& base = base_.point;
  // The log has been replaced by a checkpoint since.
  if (resume.point.index <= base.index) return absl::OkStatus();
  absl::StatusOr<Trail::ConfigurationAt> configuration =
      ConfigurationOf(resume);
  if (!configuration.ok()) return configuration.status();
  if (absl::Status level = CheckLevel(*configuration->configuration);
      !level.ok()) {
    return level;
  }
  if (absl::Status good = events_->CheckCheckpoint(resume); !good.ok()) {
    return good;
  }
  absl::StatusOr<LogMap> map = DecodeLogMap(resume.map.view());
  if (!map.ok()) return map.status();
  if (map->segments.empty()) {
    return absl::DataLossError("it names no segment");
  }
  absl::StatusOr<Trail> trail =
      TrailOf(*map, resume.point.index, base, *std::move(configuration));
  if (!trail.ok()) return trail.status();
  if (base.index > Index(0) && resume.cluster != base_.cluster) {
    return absl::DataLossError("it is of another cluster than the checkpoint");
  }
  first_chain_ = resume.cluster;
  tail_.Reset(resume.point);
  recovered_.trail = *std::move(trail);
  resume_ = WalResume{resume.point, std::move(map->segments)};
  events_->OnResume(resume);
  return absl::OkStatus();
}

// --- Resume points ---

bool Node::ResumeDue() const {
  if (core_ == nullptr || stopped_ || writing_resume_ || !cluster_noted_ ||
      space_.is_short()) {
    return false;
  }
  const Index sealed = wal_->SealedTo();
  return sealed > std::max(resume_.point.index, base_.point.index) &&
         sealed > no_resume_to_ && sealed <= core_->commit() &&
         core_->commit() == core_->durable_commit();
}

Checkpoint Node::MakeResume() const {
  Checkpoint resume;
  resume.point = tail_.committed();
  resume.cluster = identity_.cluster_id;
  resume.configuration_index = core_->committed_configuration_index();
  resume.configuration = EncodeConfiguration(core_->committed_configuration());
  LogMap map;
  for (const Trail::Run& run : core_->trail().runs()) {
    if (run.first > resume.point.index) break;
    map.terms.push_back(TermRun{run.first, run.term});
  }
  map.segments = wal_->SegmentStarts();
  resume.map = EncodeLogMap(map);
  return resume;
}

void Node::WriteResume(Checkpoint resume, DoneFn done) {
  CHECK(!writing_resume_);
  if (CheckpointBytes(resume) > kCheckpointBytesMax) {
    return env_.loop->Post(scope_.Wrap([done = std::move(done)]() mutable {
      done(absl::FailedPreconditionError("it is too large"));
    }));
  }
  writing_resume_ = true;
  auto finish = [this, point = resume.point,
                 done = std::move(done)](absl::Status written) mutable {
    writing_resume_ = false;
    if (StopsFor(written)) return done(absl::CancelledError("stopped"));
    if (written.ok()) resume_.point = point;
    if (absl::IsResourceExhausted(written)) no_resume_to_ = wal_->SealedTo();
    done(std::move(written));
  };
  Checkpoint waypoint = resume;
  waypoint.machine_index = Index(0);
  waypoint.machine = Buffer();
  waypoint.map = Buffer();
  waypoints_->Write(
      std::move(waypoint),
      scope_.Wrap([this, resume = std::move(resume),
                   finish = std::move(finish)](absl::Status written) mutable {
        // Without it a trim reads what it drops; the resume point is no worse.
        if (StopsFor(written)) return finish(std::move(written));
        if (!written.ok()) {
          LogLine(absl::StrCat("event=no_waypoint why=\"", written.message(),
                               "\""));
        }
        resume_file_->Write(std::move(resume), scope_.Wrap(std::move(finish)));
      }));
}

// --- Dropping ---

Node::Droppable Node::DroppableTo(Index up_to, bool needs_room) {
  if (core_ == nullptr || stopped_ || writing_checkpoint_ ||
      late_base_.has_value()) {
    return Droppable();
  }
  up_to = std::min(up_to, core_->durable_commit());
  const Index wanted = up_to;
  needs_room = needs_room || space_.is_short();
  if (core_->role() == Role::kLeader) {
    const Index pinned = wal_->FirstOfLastSegments(options_.kept_for_laggards);
    for (const Progress& peer : core_->progress()) {
      if (peer.match() + 1 >= pinned) up_to = std::min(up_to, peer.match());
      // Where it is kept for otherwise, or has all.
      const Index enough = std::min(pinned - 1, core_->commit());
      const std::optional<Index> held = checkpoint_sender_.HeldFor(
          peer.id(), peer.match(), enough, core_->commit());
      if (!held.has_value() || needs_room || *held >= up_to) continue;
      checkpoint_sender_.NoteHeld();
      up_to = *held;
    }
  }
  Droppable droppable;
  droppable.waits = up_to < wanted;
  droppable.to = wal_->DroppableTo(up_to);
  droppable.several = droppable.to > base_.point.index &&
                      wal_->DroppableTo(droppable.to - 1) > base_.point.index;
  const Index waypoint = waypoints_->Floor(up_to);
  if (wal_->DroppableTo(waypoint) > base_.point.index) {
    droppable.waypoint = waypoint;
  }
  return droppable;
}

void Node::ReadWaypoint(Index index, ResultFn<Checkpoint> done) {
  waypoints_->Read(
      index, scope_.Wrap([this, done = std::move(done)](
                             absl::StatusOr<Checkpoint> waypoint) mutable {
        if (waypoint.ok()) {
          absl::Status fits = CheckWaypoint(*waypoint);
          if (!fits.ok()) waypoint = std::move(fits);
        }
        done(std::move(waypoint));
      }));
}

void Node::DiscardWaypoint(Index index, const absl::Status& why) {
  waypoints_->Discard(index);
  LogLine(absl::StrCat("event=waypoint_ignored index=", index.value(),
                       " why=\"", why.message(), "\""));
}

absl::Status Node::CheckWaypoint(const Checkpoint& waypoint) const {
  const Index index = waypoint.point.index;
  if (waypoint.cluster != identity_.cluster_id) {
    return absl::DataLossError("it is of another cluster");
  }
  // A checkpoint may have replaced that part of the log meanwhile.
  if (index > base_.point.index &&
      core_->trail().TermAt(index) != waypoint.point.term) {
    return absl::DataLossError("its entry isn't this log's");
  }
  return ConfigurationOf(waypoint).status();
}

void Node::DropTo(Checkpoint checkpoint, DoneFn done) {
  CHECK_LE(checkpoint.point.index, core_->durable_commit());
  checkpoint.cluster = identity_.cluster_id;
  absl::Status possible;
  if (stopped_) {
    possible = absl::CancelledError("stopped meanwhile");
  } else if (writing_checkpoint_ || late_base_.has_value()) {
    possible = absl::UnavailableError("another checkpoint is being written");
  } else if (CheckpointBytes(checkpoint) > kCheckpointBytesMax) {
    possible = absl::ResourceExhaustedError("the checkpoint is too large");
  }
  if (!possible.ok()) {
    return env_.loop->Post(
        scope_.Wrap([done = std::move(done), possible]() mutable {
          done(std::move(possible));
        }));
  }
  writing_checkpoint_ = true;
  WriteCheckpoint(checkpoint, [this, checkpoint, done = std::move(done)](
                                  absl::Status written) mutable {
    writing_checkpoint_ = false;
    if (!written.ok()) Stop(written);
    if (stopped_) return done(absl::CancelledError("stopped meanwhile"));
    BeginBehind(checkpoint);
    done(absl::OkStatus());
  });
}

void Node::WriteCheckpoint(const Checkpoint& checkpoint, DoneFn done) {
  space_.UntilThereIsRoom(
      [this, checkpoint](DoneFn written) {
        checkpoint_file_->Write(checkpoint, scope_.Wrap(std::move(written)));
      },
      std::move(done));
}

void Node::BeginBehind(const Checkpoint& checkpoint) {
  SetBase(checkpoint);
  Step(Compacted{checkpoint.point.index});
  wal_->DropTo(checkpoint.point);
  waypoints_->RemoveTo(checkpoint.point.index);
}

// --- Scrubbing ---

std::vector<Scrubber::File> Node::ScrubOthers() {
  std::vector<Scrubber::File> files;
  if (stopped_) return files;
  wal_->RefreshHardState();
  ScrubIdentity();
  ScrubCheckpoint();
  for (Index index : waypoints_->indexes()) {
    files.push_back({CheckpointKind::kWaypoint, index});
  }
  for (Index index : resume_file_->Dispensable()) {
    files.push_back({CheckpointKind::kResume, index});
  }
  for (Index index : checkpoint_file_->Dispensable()) {
    files.push_back({CheckpointKind::kBase, index});
  }
  return files;
}

void Node::RemoveDamaged(const Scrubber::File& file, const absl::Status& why) {
  if (file.kind == CheckpointKind::kWaypoint) {
    return DiscardWaypoint(file.index, why);
  }
  LogLine(absl::StrCat(
      "event=file_damaged file=", CheckpointName(file.kind, file.index),
      " why=\"", why.message(), "\""));
  const bool resume = file.kind == CheckpointKind::kResume;
  (resume ? resume_file_ : checkpoint_file_)->Discard(file.index);
}

void Node::ScrubIdentity() {
  if (writing_identity_ || !cluster_noted_) return;
  writing_identity_ = true;
  identity_file_.Read([this](absl::StatusOr<Identity> found) {
    writing_identity_ = false;
    const bool intact =
        found.ok() && *found == identity_ && identity_file_.damage().ok();
    if (stopped_ || intact) return;
    WriteIdentity([this](absl::Status written) {
      NoteMended("identity", written.ok() ? absl::StatusOr<bool>(true)
                                          : absl::StatusOr<bool>(written));
    });
  });
}

void Node::ScrubCheckpoint() {
  if (writing_checkpoint_ || late_base_.has_value() ||
      base_.point.index == Index(0) || space_.is_short()) {
    return;
  }
  writing_checkpoint_ = true;
  checkpoint_file_->Scrub(base_,
                          scope_.Wrap([this](absl::StatusOr<bool> mended) {
                            writing_checkpoint_ = false;
                            NoteMended("checkpoint", mended);
                          }));
}

void Node::NoteMended(absl::string_view what,
                      const absl::StatusOr<bool>& mended) {
  if (stopped_ || StopsFor(mended.status())) return;
  if (!mended.ok()) {
    // The next pass tries it again.
    LogLine(absl::StrCat("event=not_mended what=", what, " why=\"",
                         mended.status().message(), "\""));
  } else if (*mended) {
    LogLine(absl::StrCat("event=mended what=", what));
  }
}

bool Node::StopsFor(const absl::Status& written) {
  const bool stops = !written.ok() && !absl::IsResourceExhausted(written);
  if (stops) Stop(written);
  return stops;
}

// --- Sending ---

void Node::SendCheckpoints() {
  std::vector<ServerId> receivers;
  for (const Progress& peer : core_->progress()) {
    if (peer.state() == ProgressState::kCheckpoint) {
      receivers.push_back(peer.id());
    }
  }
  if (!receivers.empty()) EncodeBase();
  checkpoint_sender_.SetReceivers(receivers, base_id_, base_encoded_,
                                  core_->term());
}

void Node::SetBase(Checkpoint base) {
  base_ = std::move(base);
  base_encoded_ = Buffer();
}

void Node::EncodeBase() {
  if (!base_encoded_.empty()) return;
  // The same bytes from whoever has it.
  Checkpoint anybodys = base_;
  anybodys.owner = Incarnation();
  base_encoded_ = EncodeCheckpoint(anybodys);
  base_id_ = CheckpointId{.index = base_.point.index,
                          .chain = base_.point.chain,
                          .bytes = base_encoded_.size(),
                          .crc = Crc32c(base_encoded_.view())};
}

// --- Receiving ---

absl::StatusOr<Checkpoint> Node::CheckReceived(
    const CheckpointId& id, const std::string& encoded) const {
  absl::StatusOr<Checkpoint> checkpoint =
      DecodeCheckpoint(Buffer::Copy(encoded));
  absl::Status good = checkpoint.status();
  if (good.ok()) good = ConfigurationOf(*checkpoint).status();
  if (good.ok()) good = events_->CheckCheckpoint(*checkpoint);
  if (good.ok() && Crc32c(encoded) != id.crc) {
    good = absl::DataLossError("it doesn't match its checksum");
  }
  if (good.ok() &&
      (checkpoint->cluster != group() || checkpoint->point.index != id.index ||
       checkpoint->point.chain != id.chain)) {
    good = absl::InvalidArgumentError("it isn't the one that was announced");
  }
  if (!good.ok()) return good;
  return checkpoint;
}

void Node::OnChunk(const CheckpointChunk& chunk, absl::string_view bytes) {
  // Of a leader that is none any more: it hears so from the core.
  if (chunk.term != core_->term() || chunk.from != core_->leader() ||
      writing_checkpoint_ || late_base_.has_value()) {
    return;
  }
  CheckpointAnswer answer = checkpoint_receiver_.OnChunk(chunk, bytes);
  answer.from = options_.id;
  SendTo(answer.to, WireType::kCheckpointAnswer, EncodeCheckpointAnswer(answer),
         {});
  // The term must be durable before a checkpoint of it: the chunk comes again.
  if (!checkpoint_receiver_.complete() || !core_->hard_state_durable()) return;

  const std::string encoded = checkpoint_receiver_.bytes();
  checkpoint_receiver_.Clear();
  absl::StatusOr<Checkpoint> checkpoint = CheckReceived(chunk.id, encoded);
  if (checkpoint.ok() && checkpoint->point.term > core_->term()) {
    checkpoint = absl::InvalidArgumentError("it is of a later term");
  }
  if (!checkpoint.ok()) {
    return LogLine(
        absl::StrCat("event=bad_checkpoint peer=", chunk.from.value(),
                     " why=\"", checkpoint.status().message(), "\""));
  }
  if (absl::Status level =
          CheckLevel(*ConfigurationOf(*checkpoint)->configuration);
      !level.ok()) {
    return Stop(std::move(level));
  }
  if (comparison_.Contradicts(checkpoint->point, chunk.term, core_->trail())) {
    return;
  }
  if (checkpoint->point.index <= core_->commit()) {
    // Comes late; the leader hears of it.
    return Step(InstallCheckpoint{checkpoint->point.index,
                                  checkpoint->point.term,
                                  *ConfigurationOf(*checkpoint)});
  }
  writing_checkpoint_ = true;
  WriteCheckpoint(*checkpoint,
                  [this, checkpoint = *checkpoint](absl::Status written) {
                    writing_checkpoint_ = false;
                    if (!written.ok()) return Stop(written);
                    if (!stopped_) OnReceivedCheckpoint(checkpoint);
                  });
}

void Node::OnReceivedCheckpoint(const Checkpoint& checkpoint) {
  receiving_ = &checkpoint;
  Step(InstallCheckpoint{checkpoint.point.index, checkpoint.point.term,
                         *ConfigurationOf(checkpoint)});
  receiving_ = nullptr;
  if (stopped_ || base_.point == checkpoint.point) return;
  // The log had come so far by itself meanwhile. At the next start it begins
  // behind this checkpoint; so it does here, once it is durable up to there.
  late_base_ = checkpoint;
  BeginBehindLate();
}

void Node::Install() {
  CHECK(receiving_ != nullptr && output_.installed);
  SetBase(*receiving_);
  encoded_.clear();
  tail_.Reset(base_.point);
  comparison_.ForgetContradiction();
  wal_->Reset(base_.point, [](absl::Status) {});
  waypoints_->RemoveTo(base_.point.index);
  NoteCluster();
  LogLine(absl::StrCat("event=checkpoint_installed index=",
                       base_.point.index.value()));
  events_->OnCheckpoint(base_, true);
}

void Node::BeginBehindLate() {
  if (!late_base_.has_value() || stopped_ ||
      late_base_->point.index > core_->durable_commit()) {
    return;
  }
  const Checkpoint checkpoint = *std::move(late_base_);
  late_base_.reset();
  events_->OnCheckpoint(checkpoint, false);
  BeginBehind(checkpoint);
}

}  // namespace holdfast
