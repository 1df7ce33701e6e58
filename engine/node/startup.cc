#include "engine/node/startup.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/base/random.h"

namespace holdfast {

Startup::Startup(const Env& env, ServerId id, std::string cluster_name,
                 Duration promise, DiskSpace* space)
    : env_(env),
      id_(id),
      cluster_name_(std::move(cluster_name)),
      promise_(promise),
      space_(space),
      file_(env.disk) {}

void Startup::Run(ResultFn<Identity> done) {
  done_ = std::move(done);
  env_.disk->Lock(scope_.Wrap([this](absl::Status locked) {
    if (!locked.ok()) return Finish(std::move(locked));
    file_.Read(
        [this](absl::StatusOr<Identity> found) { OnRead(std::move(found)); });
  }));
}

void Startup::OnRead(absl::StatusOr<Identity> found) {
  if (absl::IsNotFound(found.status())) return MakeNew();
  if (!found.ok()) return Finish(found.status());
  identity_ = *std::move(found);
  if (!file_.damage().ok() && env_.log_line != nullptr && *env_.log_line) {
    (*env_.log_line)(absl::StrCat("event=identity_repaired why=\"",
                                  file_.damage().message(), "\""));
  }
  if (identity_.id != id_) {
    return Finish(absl::FailedPreconditionError(
        absl::StrCat("the data directory belongs to server ",
                     identity_.id.value(), ", not to server ", id_.value(),
                     "; give this server its own directory or its own id")));
  }
  if (identity_.cluster_name != cluster_name_) {
    return Finish(absl::FailedPreconditionError(absl::StrCat(
        "the data directory belongs to cluster \"", identity_.cluster_name,
        "\", not to \"", cluster_name_,
        "\"; give the directory or the certificates of the same cluster")));
  }
  if (identity_.retired) {
    return Finish(absl::FailedPreconditionError(
        "the data directory is retired: it was found to be an older copy of "
        "this server's, or to have lost what was durable, so it may lack what "
        "the server promised or acknowledged; let the server leave, clear the "
        "directory, and let it join anew"));
  }
  Save();
}

void Startup::MakeNew() {
  env_.disk->List(
      scope_.Wrap([this](absl::StatusOr<std::vector<FileInfo>> files) {
        if (!files.ok()) return Finish(files.status());
        for (const FileInfo& file : *files) {
          if (!absl::EndsWith(file.name, ".segment") &&
              !absl::EndsWith(file.name, ".checkpoint") &&
              !absl::StartsWith(file.name, "hardstate")) {
            continue;
          }
          return Finish(absl::FailedPreconditionError(absl::StrCat(
              "the data directory has a log (", file.name,
              ") but no file identity: an unfinished restore or recover leaves "
              "that; remove the directory and start again. Else restore the "
              "file, or clear the directory and let the server join anew")));
        }
        identity_.id = id_;
        identity_.cluster_name = cluster_name_;
        uint64_t drawn = Draw(DrawKey{.seed = env_.seed,
                                      .site = Site("incarnation"),
                                      .actor = Actor(id_.value(), 0)},
                              0);
        identity_.incarnation = Incarnation(drawn == 0 ? 1 : drawn);
        Save();
      }));
}

void Startup::Save() {
  ++identity_.boot_count;
  earlier_promise_ = identity_.promise;
  // This process keeps an earlier one's promise, and so must the next one.
  identity_.promise = std::max(promise_, earlier_promise_);
  std::vector<uint64_t>& lives = identity_.lives;
  lives.insert(lives.begin(), Draw(DrawKey{.seed = env_.seed,
                                           .site = Site("life"),
                                           .actor = Actor(id_.value(), 0)},
                                   0));
  if (lives.size() > Identity::kLivesKept) lives.pop_back();
  Task write = [this] {
    file_.Write(identity_, [this](absl::Status s) { Finish(std::move(s)); });
  };
  if (space_ == nullptr) return write();
  space_->Prepare(std::move(write));
}

void Startup::Finish(absl::Status status) {
  ResultFn<Identity> done = std::move(done_);
  if (!status.ok()) return done(std::move(status));
  done(identity_);
}

}  // namespace holdfast
