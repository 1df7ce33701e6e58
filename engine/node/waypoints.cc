#include "engine/node/waypoints.h"

#include <iterator>
#include <optional>
#include <utility>

#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

namespace holdfast {
namespace {

constexpr CheckpointKind kKind = CheckpointKind::kWaypoint;

}  // namespace

void Waypoints::Open(DoneFn done) {
  disk_->List(
      scope_.Wrap([this, done = std::move(done)](
                      absl::StatusOr<std::vector<FileInfo>> files) mutable {
        if (!files.ok()) return done(files.status());
        for (const FileInfo& info : *files) {
          absl::string_view name = info.name;
          const bool unfinished =
              absl::ConsumeSuffix(&name, ReplacedFile::kNewSuffix);
          std::optional<Index> index = ParseCheckpointName(kKind, name);
          if (!index.has_value()) continue;
          if (unfinished) {
            Remove(info.name);
          } else {
            indexes_.insert(*index);
          }
        }
        done(absl::OkStatus());
      }));
}

Index Waypoints::Floor(Index up_to) const {
  auto behind = indexes_.upper_bound(up_to);
  return behind == indexes_.begin() ? Index(0) : *std::prev(behind);
}

void Waypoints::Write(Checkpoint checkpoint, DoneFn done) {
  const Index index = checkpoint.point.index;
  checkpoint.owner = owner_;
  writing_ = std::make_unique<ReplacedFile>(disk_, CheckpointName(kKind, index),
                                            kCheckpointBytesMax);
  writing_->Write(
      {EncodeCheckpoint(checkpoint)},
      [this, index, done = std::move(done)](absl::Status written) mutable {
        if (written.ok()) {
          ++stats_.written;
          indexes_.insert(index);
        } else {
          Remove(CheckpointName(kKind, index) + ReplacedFile::kNewSuffix);
        }
        done(std::move(written));
      });
}

void Waypoints::Read(Index index, ResultFn<Checkpoint> done) {
  reading_ = std::make_unique<ReplacedFile>(disk_, CheckpointName(kKind, index),
                                            kCheckpointBytesMax + 1);
  reading_->Read([this, index, done = std::move(done)](
                     const absl::StatusOr<Buffer>& bytes) mutable {
    OnRead(index, bytes, std::move(done));
  });
}

void Waypoints::OnRead(Index index, const absl::StatusOr<Buffer>& bytes,
                       ResultFn<Checkpoint> done) {
  absl::StatusOr<Checkpoint> checkpoint =
      bytes.ok() ? DecodeCheckpoint(*bytes)
                 : absl::StatusOr<Checkpoint>(bytes.status());
  if (checkpoint.ok() &&
      (checkpoint->point.index != index || checkpoint->owner != owner_)) {
    checkpoint = absl::DataLossError("it is another one under this name");
  }
  done(std::move(checkpoint));
}

void Waypoints::Discard(Index index) {
  if (indexes_.erase(index) == 0) return;
  ++stats_.damaged;
  Remove(CheckpointName(kKind, index));
}

void Waypoints::RemoveTo(Index last) {
  while (!indexes_.empty() && *indexes_.begin() <= last) {
    ++stats_.removed;
    Remove(CheckpointName(kKind, *indexes_.begin()));
    indexes_.erase(indexes_.begin());
  }
}

void Waypoints::Remove(const std::string& name) {
  disk_->Remove(name, [](absl::Status) {
    // If it stays, the next start finds it.
  });
}

}  // namespace holdfast
