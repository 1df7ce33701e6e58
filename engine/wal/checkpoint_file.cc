#include "engine/wal/checkpoint_file.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "engine/base/bytes.h"
#include "engine/base/check.h"
#include "engine/base/crc32c.h"
#include "engine/wal/segment.h"

namespace holdfast {
namespace {

constexpr uint64_t kMagic = 0x3174706b68436648;  // "HfChkpt1"
constexpr uint32_t kVersion = 3;
constexpr size_t kCrcAt = 12;
constexpr size_t kNameDigits = 16;
// A read that fails may succeed the next time; and what is taken for damaged
// has to come from another server.
constexpr int kReadTimes = 3;

const char* NameSuffix(CheckpointKind kind) {
  switch (kind) {
    case CheckpointKind::kBase:
      return ".checkpoint";
    case CheckpointKind::kResume:
      return ".resume";
    case CheckpointKind::kWaypoint:
      return ".waypoint";
  }
  CHECK(false);
}

// Waypoints are written elsewhere.
const char* TemporaryName(CheckpointKind kind) {
  return kind == CheckpointKind::kBase ? "checkpoint.new" : "resume.new";
}

uint32_t Checksum(absl::string_view bytes) {
  return ExtendCrc32c(Crc32c(bytes.substr(0, kCrcAt)),
                      bytes.substr(kCrcAt + 4));
}

}  // namespace

size_t CheckpointBytes(const Checkpoint& checkpoint) {
  return kCheckpointHeaderBytes + checkpoint.configuration.size() +
         checkpoint.state.size() + checkpoint.machine.size() +
         checkpoint.map.size();
}

Buffer EncodeCheckpoint(const Checkpoint& checkpoint) {
  CHECK_LE(CheckpointBytes(checkpoint), kCheckpointBytesMax);
  Buffer bytes = Buffer::Uninitialized(CheckpointBytes(checkpoint));
  ByteWriter w(bytes.data_mutable(), bytes.size());
  w.Int<uint64_t>(kMagic);
  w.Int<uint32_t>(kVersion);
  w.Int<uint32_t>(0);
  w.Int<uint64_t>(checkpoint.owner.value());
  w.Int<uint64_t>(checkpoint.cluster.value());
  const LogPoint& point = checkpoint.point;
  w.Int<uint64_t>(point.index.value());
  w.Int<uint64_t>(point.term.value());
  w.Int<uint64_t>(point.next_offset.value());
  w.Int<int64_t>(point.log_time.time_since_epoch().count());
  w.Int<uint64_t>(point.chain);
  w.Int<uint64_t>(checkpoint.configuration_index.value());
  w.Int<uint64_t>(checkpoint.first_offset.value());
  w.Int<uint32_t>(static_cast<uint32_t>(checkpoint.configuration.size()));
  w.Int<uint32_t>(static_cast<uint32_t>(checkpoint.state.size()));
  w.Int<uint64_t>(checkpoint.machine_index.value());
  w.Int<uint64_t>(checkpoint.machine.size());
  w.Int<uint32_t>(static_cast<uint32_t>(checkpoint.map.size()));
  w.Int<uint32_t>(0);
  w.Bytes(checkpoint.configuration.view());
  w.Bytes(checkpoint.state.view());
  w.Bytes(checkpoint.machine.view());
  w.Bytes(checkpoint.map.view());
  StoreInt<uint32_t>(bytes.data_mutable() + kCrcAt, Checksum(bytes.view()));
  return bytes;
}

absl::StatusOr<Checkpoint> DecodeCheckpoint(const Buffer& bytes) {
  if (bytes.size() < kCheckpointHeaderBytes ||
      bytes.size() > kCheckpointBytesMax) {
    return absl::DataLossError(
        absl::StrCat("checkpoint: expected ", kCheckpointHeaderBytes, " to ",
                     kCheckpointBytesMax, " bytes, found ", bytes.size()));
  }
  ByteReader r(bytes.view());
  uint64_t magic = r.Int<uint64_t>();
  uint32_t version = r.Int<uint32_t>();
  uint32_t crc = r.Int<uint32_t>();
  if (magic != kMagic || crc != Checksum(bytes.view())) {
    return absl::DataLossError(
        "checkpoint: its checksum doesn't match its bytes");
  }
  if (version != kVersion) {
    return absl::FailedPreconditionError(absl::StrCat(
        "checkpoint: expected format version ", kVersion, ", found ", version,
        "; it was written by another release"));
  }
  Checkpoint c;
  c.owner = Incarnation(r.Int<uint64_t>());
  c.cluster = ClusterId(r.Int<uint64_t>());
  c.point.index = Index(r.Int<uint64_t>());
  c.point.term = Term(r.Int<uint64_t>());
  c.point.next_offset = Offset(r.Int<uint64_t>());
  c.point.log_time = WallTime(Duration(r.Int<int64_t>()));
  c.point.chain = r.Int<uint64_t>();
  c.configuration_index = Index(r.Int<uint64_t>());
  c.first_offset = Offset(r.Int<uint64_t>());
  size_t configuration_size = r.Int<uint32_t>();
  size_t state_size = r.Int<uint32_t>();
  c.machine_index = Index(r.Int<uint64_t>());
  const uint64_t machine_size = r.Int<uint64_t>();
  const size_t map_size = r.Int<uint32_t>();
  r.Int<uint32_t>();
  if (machine_size > kCheckpointBytesMax ||
      r.rest().size() !=
          configuration_size + state_size + machine_size + map_size) {
    return absl::DataLossError(
        absl::StrCat("checkpoint: expected ", configuration_size, " + ",
                     state_size, " + ", machine_size, " + ", map_size,
                     " bytes behind its header, found ", r.rest().size()));
  }
  const bool has_machine = c.machine_index != Index(0);
  if (has_machine ? c.machine_index < c.point.index : machine_size > 0) {
    return absl::DataLossError(absl::StrCat(
        "checkpoint: a state machine's snapshot of entry ",
        c.machine_index.value(), " can't stand for the log up to entry ",
        c.point.index.value()));
  }
  if (c.point.index == Index(0) || c.configuration_index > c.point.index ||
      c.first_offset > c.point.next_offset) {
    return absl::DataLossError(absl::StrCat(
        "checkpoint: configuration of entry ", c.configuration_index.value(),
        " and first offset ", c.first_offset.value(),
        " can't be of the log up to entry ", c.point.index.value(),
        ", which ends before offset ", c.point.next_offset.value()));
  }
  size_t at = kCheckpointHeaderBytes;
  auto take = [&](size_t size) {
    return bytes.Slice(std::exchange(at, at + size), size);
  };
  c.configuration = take(configuration_size);
  c.state = take(state_size);
  c.machine = take(machine_size);
  c.map = take(map_size);
  return c;
}

std::string CheckpointName(CheckpointKind kind, Index index) {
  return absl::StrFormat("%016x%s", index.value(), NameSuffix(kind));
}

std::optional<Index> ParseCheckpointName(CheckpointKind kind,
                                         absl::string_view name) {
  if (name.size() < kNameDigits ||
      name.substr(kNameDigits) != NameSuffix(kind)) {
    return std::nullopt;
  }
  // The digits as a segment's name has them.
  std::optional<uint64_t> index =
      ParseSegmentName(absl::StrCat(name.substr(0, kNameDigits), ".segment"));
  if (!index.has_value()) return std::nullopt;
  return Index(*index);
}

CheckpointFile::CheckpointFile(Disk* disk, Incarnation owner,
                               CheckpointKind kind)
    : disk_(disk), owner_(owner), kind_(kind) {}

// --- Open ---

void CheckpointFile::Open(ResultFn<Found> done) {
  CHECK(!open_done_ && !write_done_);
  open_done_ = std::move(done);
  // A process that died may have renamed a file and not made it durable.
  disk_->SyncDir(scope_.Wrap([this](absl::Status synced) {
    if (!synced.ok()) return FinishOpen(std::move(synced));
    disk_->List(
        scope_.Wrap([this](absl::StatusOr<std::vector<FileInfo>> files) {
          OnListed(std::move(files));
        }));
  }));
}

void CheckpointFile::OnListed(absl::StatusOr<std::vector<FileInfo>> files) {
  if (!files.ok()) return FinishOpen(files.status());
  for (const FileInfo& info : *files) {
    std::optional<Index> index = ParseCheckpointName(kind_, info.name);
    if (index.has_value()) files_.insert(*index);
  }
  untried_.assign(files_.begin(), files_.end());
  TryNext();
}

void CheckpointFile::TryNext() {
  if (untried_.empty()) return FinishOpen(absl::OkStatus());
  Index index = untried_.back();
  untried_.pop_back();
  disk_->Open(
      CheckpointName(kind_, index), OpenMode::kExisting,
      scope_.Wrap([this, index](absl::StatusOr<std::unique_ptr<File>> file) {
        if (!file.ok()) return FinishOpen(file.status());
        file_ = *std::move(file);
        Read(index, kReadTimes);
      }));
}

void CheckpointFile::Read(Index index, int times) {
  // A byte more than one may have tells one that is too long.
  file_->Read(0, std::min<uint64_t>(file_->size(), kCheckpointBytesMax + 1),
              [this, index, times](absl::StatusOr<Buffer> bytes) {
                if (!bytes.ok() && times > 1) return Read(index, times - 1);
                OnRead(index, std::move(bytes));
              });
}

void CheckpointFile::OnRead(Index index, absl::StatusOr<Buffer> bytes) {
  // A block that stays unreadable is damage like any other.
  absl::StatusOr<Checkpoint> checkpoint =
      bytes.ok() ? DecodeCheckpoint(*bytes)
                 : absl::StatusOr<Checkpoint>(bytes.status());
  if (absl::IsFailedPrecondition(checkpoint.status())) {
    return FinishOpen(absl::FailedPreconditionError(
        absl::StrCat("file ", CheckpointName(kind_, index), ": ",
                     checkpoint.status().message())));
  }
  if (!checkpoint.ok() && !absl::IsDataLoss(checkpoint.status())) {
    return FinishOpen(checkpoint.status());
  }
  if (checkpoint.ok() && checkpoint->owner != owner_) {
    return FinishOpen(absl::FailedPreconditionError(
        absl::StrCat("file ", CheckpointName(kind_, index),
                     " belongs to another data directory; take it out")));
  }
  if (checkpoint.ok() && checkpoint->point.index == index) {
    newest_ = index;
    found_.newest = *std::move(checkpoint);
    return FinishOpen(absl::OkStatus());
  }
  ++stats_.damaged;
  const std::string name = CheckpointName(kind_, index);
  found_.damage.Update(absl::DataLossError(absl::StrCat(
      "file ", name, ": ",
      checkpoint.ok() ? "it is another one" : checkpoint.status().message())));
  found_.damaged_to = std::max(found_.damaged_to, index);
  found_.damaged.push_back(name);
  TryNext();
}

void CheckpointFile::FinishOpen(absl::Status status) {
  // The file stays open until the next operation: this may run inside one of
  // its completions.
  ResultFn<Found> done = std::exchange(open_done_, nullptr);
  if (!status.ok()) return done(std::move(status));
  done(std::exchange(found_, Found()));
}

// --- Write ---

void CheckpointFile::Write(Checkpoint checkpoint, DoneFn done) {
  CHECK(!open_done_ && !write_done_);
  CHECK(kind_ != CheckpointKind::kBase || newest_ < checkpoint.point.index);
  write_done_ = std::move(done);
  writing_ = checkpoint.point.index;
  checkpoint.owner = owner_;
  writer_ =
      std::make_unique<ReplacedFile>(disk_, CheckpointName(kind_, writing_),
                                     kCheckpointBytesMax, TemporaryName(kind_));
  writer_->Write({EncodeCheckpoint(checkpoint)}, [this](absl::Status written) {
    if (!written.ok()) return FinishWrite(std::move(written));
    ++stats_.written;
    files_.insert(writing_);
    before_ = std::exchange(newest_, writing_);
    if (before_ >= writing_) before_.reset();
    RemoveOthers();
  });
}

void CheckpointFile::RemoveOthers() {
  auto it = std::find_if(files_.begin(), files_.end(), [this](Index index) {
    // A newer one is damaged, and tells still that there was one.
    const bool newer = kind_ == CheckpointKind::kBase && index > newest_;
    return index != newest_ && index != before_ && !newer;
  });
  if (it == files_.end()) return FinishWrite(absl::OkStatus());
  std::string name = CheckpointName(kind_, *it);
  files_.erase(it);
  disk_->Remove(name, scope_.Wrap([this](absl::Status removed) {
    // If it stays, a later Open finds it, and the Write after that removes it.
    if (removed.ok()) ++stats_.removed;
    RemoveOthers();
  }));
}

void CheckpointFile::Scrub(const Checkpoint& newest, ResultFn<bool> done) {
  CHECK(!open_done_ && !write_done_);
  CHECK(newest_ == newest.point.index);
  scrubbed_ = std::make_unique<ReplacedFile>(
      disk_, CheckpointName(kind_, *newest_), kCheckpointBytesMax + 1,
      TemporaryName(kind_));
  scrubbed_->Read([this, newest, done = std::move(done)](
                      absl::StatusOr<Buffer> bytes) mutable {
    OnScrubbed(std::move(bytes), std::move(newest), std::move(done));
  });
}

void CheckpointFile::OnScrubbed(absl::StatusOr<Buffer> bytes, Checkpoint newest,
                                ResultFn<bool> done) {
  newest.owner = owner_;
  Buffer encoded = EncodeCheckpoint(newest);
  if (bytes.ok() && bytes->view() == encoded.view()) return done(false);
  ++stats_.damaged;
  scrubbed_->Write({std::move(encoded)}, [this, done = std::move(done)](
                                             absl::Status written) mutable {
    if (!written.ok()) return done(std::move(written));
    ++stats_.mended;
    done(true);
  });
}

std::vector<Index> CheckpointFile::Dispensable() const {
  const auto end = kind_ != CheckpointKind::kBase
                       ? files_.end()
                       : files_.lower_bound(newest_.value_or(Index()));
  return std::vector<Index>(files_.begin(), end);
}

void CheckpointFile::Discard(Index index) {
  const bool needed = kind_ == CheckpointKind::kBase && !(index < newest_);
  if (write_done_ || needed || files_.erase(index) == 0) return;
  ++stats_.damaged;
  ++stats_.removed;
  if (before_ == index) before_.reset();
  if (newest_ == index) {
    newest_.reset();
    if (!files_.empty()) newest_ = *files_.rbegin();
  }
  disk_->Remove(CheckpointName(kind_, index), [](absl::Status) {});
}

void CheckpointFile::FinishWrite(absl::Status status) {
  DoneFn done = std::exchange(write_done_, nullptr);
  done(std::move(status));
}

}  // namespace holdfast
