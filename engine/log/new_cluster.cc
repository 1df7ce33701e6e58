#include "engine/log/new_cluster.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"
#include "engine/base/configuration.h"
#include "engine/base/random.h"

namespace holdfast {
namespace {

// Taken by the process that has the directory; it says nothing of its data.
constexpr char kLockName[] = "LOCK";

uint64_t DrawId(const NewClusterOptions& options, absl::string_view what) {
  const uint64_t drawn = Draw(DrawKey{.seed = options.seed,
                                      .site = Site(what),
                                      .actor = Actor(options.id.value(), 0)},
                              0);
  return drawn == 0 ? 1 : drawn;
}

}  // namespace

NewCluster::NewCluster(Loop* loop, Disk* disk, NewClusterOptions options)
    : loop_(loop),
      disk_(disk),
      options_(std::move(options)),
      incarnation_(DrawId(options_, "new_cluster/incarnation")),
      cluster_(DrawId(options_, "new_cluster/cluster")),
      identity_file_(disk) {}

void NewCluster::Prepare(DoneFn done) {
  done_ = std::move(done);
  disk_->Lock(scope_.Wrap([this](absl::Status locked) {
    if (!locked.ok()) return Done(std::move(locked));
    disk_->List(
        scope_.Wrap([this](absl::StatusOr<std::vector<FileInfo>> files) {
          if (!files.ok()) return Done(files.status());
          for (const FileInfo& file : *files) {
            if (file.name == kLockName) continue;
            return Done(absl::FailedPreconditionError(absl::StrCat(
                "expected an empty directory, found ", file.name,
                " in it; if that is an unfinished restore or recover, remove "
                "the directory and start again")));
          }
          Done(absl::OkStatus());
        }));
  }));
}

void NewCluster::Begin(Checkpoint checkpoint, Term term, DoneFn done) {
  done_ = std::move(done);
  term_ = term + 1;
  checkpoint_ = std::move(checkpoint);
  checkpoint_.cluster = cluster_;
  last_ = checkpoint_.point;
  Wal::Events events;
  events.on_persisted = [this](uint64_t) { persisted_(); };
  events.on_failed = [this](absl::Status why) {
    failure_ = why;
    Done(std::move(why));
  };
  wal_ = std::make_unique<Wal>(loop_, disk_, incarnation_, options_.wal,
                               std::move(events));
  checkpoint_file_ = std::make_unique<CheckpointFile>(disk_, incarnation_,
                                                      CheckpointKind::kBase);
  wal_->Open([](const Entry&, Index) {},
             [this](absl::Status opened) {
               if (!opened.ok()) return Done(std::move(opened));
               // It has stood in its term, and nobody else may.
               WalWrite write;
               write.hard_state = HardState{term_, options_.id};
               persisted_ = [this] { WriteCheckpoint(); };
               Write(std::move(write));
             });
}

void NewCluster::WriteCheckpoint() {
  checkpoint_file_->Open([this](absl::StatusOr<CheckpointFile::Found> found) {
    if (!found.ok()) return Done(found.status());
    checkpoint_file_->Write(checkpoint_, [this](absl::Status written) {
      if (!written.ok()) return Done(std::move(written));
      checkpoint_ = Checkpoint();
      wal_->Reset(last_, [this](absl::Status reset) { Done(reset); });
    });
  });
}

void NewCluster::Append(std::vector<Entry> entries, DoneFn done) {
  CHECK(!entries.empty());
  done_ = std::move(done);
  for (const Entry& entry : entries) {
    CHECK(Continues(last_, entry.header));
    last_ = PointAfter(entry.header);
  }
  WalWrite write;
  write.entries = std::move(entries);
  persisted_ = [this] { Done(absl::OkStatus()); };
  Write(std::move(write));
}

void NewCluster::Write(WalWrite write) {
  if (!failure_.ok()) return Done(failure_);
  write.sequence = ++sequence_;
  // Whatever it was before, here all of it is committed.
  wal_->Write(std::move(write), last_.index);
}

Buffer NewCluster::EncodedConfiguration(uint32_t feature_level) const {
  Configuration configuration;
  configuration.voters = {
      Member{options_.id, incarnation_, options_.advertise}};
  configuration.feature_level = feature_level;
  return EncodeConfiguration(configuration);
}

void NewCluster::Finish(const Recovered& recovered, uint32_t feature_level,
                        const std::string& old_name, DoneFn done) {
  CHECK(recovered.cluster != cluster_);
  const WallTime now = loop_->WallNow();
  std::vector<Entry> entries;
  entries.push_back(SealEntry(last_, term_, EntryKind::kRecovered, 0, now,
                              EncodeRecovered(recovered)));
  entries.push_back(SealEntry(PointAfter(entries[0].header), term_,
                              EntryKind::kConfiguration, 0, now,
                              EncodedConfiguration(feature_level)));
  const std::string name =
      options_.cluster_name.empty() ? old_name : options_.cluster_name;
  Append(std::move(entries), std::move(done));
  // It may lie around for long before a server starts on it.
  persisted_ = [this, name] {
    wal_->Rest([this, name](absl::Status) { WriteIdentity(name); });
  };
}

void NewCluster::WriteIdentity(std::string name) {
  Identity identity;
  identity.id = options_.id;
  identity.incarnation = incarnation_;
  identity.cluster_id = cluster_;
  identity.cluster_name = std::move(name);
  identity_file_.Write(identity,
                       [this](absl::Status s) { Done(std::move(s)); });
}

void NewCluster::Done(absl::Status status) {
  // Later: this may run inside a callback of the log's, and `done` may destroy
  // this object.
  if (!done_) return;
  loop_->Post(scope_.Wrap(
      [done = std::move(done_), status = std::move(status)]() mutable {
        done(std::move(status));
      }));
}

}  // namespace holdfast
