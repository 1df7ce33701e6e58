#include "engine/client/backup.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace holdfast {

Backup::Backup(Loop* loop, Client* client, std::vector<Address> servers,
               Disk* disk, std::string name, Duration timeout)
    : loop_(loop),
      client_(client),
      servers_(std::move(servers)),
      disk_(disk),
      name_(std::move(name)),
      partial_(absl::StrCat(name_, ".partial")) {
  options_.timeout = timeout;
}

void Backup::Run(ResultFn<Result> done) {
  done_ = std::move(done);
  CheckAbsent(name_, "it is never overwritten: choose another name", [this] {
    CheckAbsent(partial_,
                "another backup is under way, or left it behind when it was "
                "interrupted: then remove it",
                [this] { AskNext(absl::OkStatus()); });
  });
}

void Backup::CheckAbsent(const std::string& name, const char* what, Task then) {
  disk_->Open(
      name, OpenMode::kExisting,
      scope_.Wrap([this, name, what, then = std::move(then)](
                      absl::StatusOr<std::unique_ptr<File>> file) mutable {
        if (absl::IsNotFound(file.status())) return then();
        if (!file.ok()) return Done(file.status());
        Done(absl::AlreadyExistsError(
            absl::StrCat("the file ", name, " is there; ", what)));
      }));
}

// --- Reading ---

void Backup::AskNext(absl::Status why) {
  if (asked_ == servers_.size()) return Done(std::move(why));
  client_->Status(servers_[asked_++], options_.timeout,
                  scope_.Wrap([this](absl::StatusOr<ServerStatus> status) {
                    if (status.ok() && status->cluster_id == ClusterId()) {
                      status = absl::UnavailableError(status->text);
                    }
                    if (!status.ok()) return AskNext(status.status());
                    result_.header.cluster = status->cluster_id;
                    result_.header.cluster_name = status->cluster_name;
                    result_.header.first_offset = status->first_offset;
                    next_ = status->first_offset;
                    Read();
                  }));
}

void Backup::Read() {
  if (begun_ && next_ >= result_.header.end_offset) return Finish();
  client_->Read(next_, options_,
                scope_.Wrap([this](absl::StatusOr<ClientReadResult> result) {
                  // The server that was asked had not heard of a trim yet.
                  if (absl::IsOutOfRange(result.status()) && !begun_) {
                    return AskNext(result.status());
                  }
                  if (absl::IsOutOfRange(result.status())) {
                    return Done(absl::AbortedError(absl::StrCat(
                        "the log was trimmed beyond offset ", next_.value(),
                        " while it was being read, so the backup would "
                        "have a gap; start it again: ",
                        result.status().message())));
                  }
                  if (!result.ok()) return Done(result.status());
                  if (begun_) return Take(*result);
                  Begin(*std::move(result));
                }));
}

void Backup::Begin(ClientReadResult first) {
  begun_ = true;
  result_.header.end_offset = first.committed_end;
  result_.header.time = loop_->WallNow();
  disk_->Open(
      partial_, OpenMode::kCreateNew,
      scope_.Wrap([this, first = std::move(first)](
                      absl::StatusOr<std::unique_ptr<File>> file) mutable {
        if (!file.ok()) return Done(file.status());
        file_ = *std::move(file);
        Write({encoder_.Begin(result_.header)},
              [this, first = std::move(first)] { Take(first); });
      }));
}

void Backup::Take(const ClientReadResult& result) {
  Buffers data;
  for (const LogBatch& b : result.batches) {
    if (b.base_offset >= result_.header.end_offset) break;
    Buffers added = encoder_.Add({b.base_offset, b.log_time, b.batch});
    data.insert(data.end(), added.begin(), added.end());
    next_ = b.end();
  }
  if (data.empty() && next_ < result_.header.end_offset) {
    return Done(absl::DataLossError(absl::StrCat(
        "the log ends at offset ", next_.value(),
        ", after it was said to end at ", result_.header.end_offset.value())));
  }
  if (data.empty()) return Finish();
  Write(std::move(data), [this] { Read(); });
}

// --- Writing ---

void Backup::Write(Buffers data, Task then) {
  const uint64_t at = result_.bytes;
  result_.bytes += TotalSize(data);
  file_->Write(at, std::move(data), Then(std::move(then)));
}

void Backup::Finish() {
  Write({encoder_.End()}, [this] { file_->Sync(Then([this] { Publish(); })); });
}

void Backup::Publish() {
  disk_->Rename(partial_, name_, scope_.Wrap(Then([this] {
    disk_->SyncDir(scope_.Wrap(Then([this] {
      result_.counts = encoder_.counts();
      Done(absl::OkStatus());
    })));
  })));
}

DoneFn Backup::Then(Task then) {
  return [this, then = std::move(then)](absl::Status status) mutable {
    if (!status.ok()) return Done(std::move(status));
    then();
  };
}

void Backup::Done(absl::Status status) {
  auto done = [this, status] {
    if (!status.ok()) return done_(status);
    done_(result_);
  };
  if (status.ok() || file_ == nullptr) {
    // Later: this may run inside a callback of the file's, and `done_` may
    // destroy this object.
    return loop_->Post(scope_.Wrap(done));
  }
  disk_->Remove(partial_, scope_.Wrap([done](absl::Status) { done(); }));
}

}  // namespace holdfast
