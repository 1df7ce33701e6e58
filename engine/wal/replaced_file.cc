#include "engine/wal/replaced_file.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "engine/base/check.h"

namespace holdfast {

void ReplacedFile::Read(ResultFn<Buffer> done) {
  disk_->Open(
      name_, OpenMode::kExisting,
      scope_.Wrap([this, done = std::move(done)](
                      absl::StatusOr<std::unique_ptr<File>> file) mutable {
        if (!file.ok()) return done(file.status());
        file_ = *std::move(file);
        // What the kernel has in memory says nothing of the disk.
        file_->DropCache();
        const uint64_t size = std::min<uint64_t>(bytes_max_, file_->size());
        file_->Read(0, static_cast<size_t>(size),
                    [this, done = std::move(done)](
                        absl::StatusOr<Buffer> bytes) mutable {
                      // `done` may destroy this object, and the file with
                      // it this very callback.
                      ResultFn<Buffer> finish = std::move(done);
                      std::unique_ptr<File> kept = std::move(file_);
                      finish(std::move(bytes));
                    });
      }));
}

void ReplacedFile::Write(Buffers bytes, DoneFn done) {
  CHECK(!write_done_);
  write_done_ = std::move(done);
  auto on_opened = [this, bytes = std::move(bytes)](
                       absl::StatusOr<std::unique_ptr<File>> file) mutable {
    OnBesideOpened(std::move(file), std::move(bytes));
  };
  disk_->Remove(beside_, scope_.Wrap([this, on_opened = std::move(on_opened)](
                                         absl::Status removed) mutable {
    if (!removed.ok() && !absl::IsNotFound(removed)) {
      return FinishWrite(removed);
    }
    disk_->Open(beside_, OpenMode::kCreateNew,
                scope_.Wrap(std::move(on_opened)));
  }));
}

void ReplacedFile::OnBesideOpened(absl::StatusOr<std::unique_ptr<File>> file,
                                  Buffers bytes) {
  if (!file.ok()) return FinishWrite(file.status());
  file_ = *std::move(file);
  file_->Write(0, std::move(bytes), [](absl::Status) {
    // A failed write fails the Sync.
  });
  file_->Sync([this](absl::Status synced) { OnSynced(std::move(synced)); });
}

void ReplacedFile::OnSynced(absl::Status synced) {
  if (absl::IsResourceExhausted(synced)) {
    // What there is of it would only take up room.
    return disk_->Remove(beside_, scope_.Wrap([this, synced](absl::Status) {
      file_ = nullptr;  // or it would take it up all the same
      FinishWrite(synced);
    }));
  }
  if (!synced.ok()) return FinishWrite(std::move(synced));
  disk_->Rename(beside_, name_, scope_.Wrap([this](absl::Status renamed) {
    if (!renamed.ok()) return FinishWrite(std::move(renamed));
    disk_->SyncDir(scope_.Wrap([this](absl::Status s) { FinishWrite(s); }));
  }));
}

void ReplacedFile::FinishWrite(absl::Status status) {
  // The file is kept open until the next operation: this may run inside one
  // of its own completions.
  DoneFn done = std::exchange(write_done_, nullptr);
  done(std::move(status));
}

}  // namespace holdfast
