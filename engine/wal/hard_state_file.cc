#include "engine/wal/hard_state_file.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/bytes.h"
#include "engine/base/check.h"
#include "engine/base/crc32c.h"

namespace holdfast {
namespace {

constexpr uint64_t kMagic = 0x3165746174536648;  // "HfState1"
constexpr uint32_t kVersion = 1;
constexpr size_t kCrcAt = 12;
// A read that fails may succeed the next time.
constexpr int kReadTimes = 3;

uint32_t Checksum(absl::string_view bytes) {
  return ExtendCrc32c(Crc32c(bytes.substr(0, kCrcAt)),
                      bytes.substr(kCrcAt + 4));
}

}  // namespace

std::string HardStateCopyName(size_t which) {
  return absl::StrCat("hardstate-", which);
}

absl::StatusOr<HardStateCopy> DecodeHardStateCopy(absl::string_view bytes) {
  ByteReader r(bytes);
  const uint64_t magic = r.Int<uint64_t>();
  const uint32_t version = r.Int<uint32_t>();
  const uint32_t crc = r.Int<uint32_t>();
  HardStateCopy copy;
  copy.owner = Incarnation(r.Int<uint64_t>());
  copy.sequence = r.Int<uint64_t>();
  copy.state.term = Term(r.Int<uint64_t>());
  copy.state.vote = ServerId(r.Int<uint64_t>());
  if (!r.ok() || magic != kMagic || crc != Checksum(bytes)) {
    return absl::DataLossError("not an intact hard state");
  }
  if (version != kVersion) {
    return absl::FailedPreconditionError(
        absl::StrCat("expected format version ", kVersion, ", found ", version,
                     "; it was written by another release"));
  }
  return copy;
}

HardStateFile::HardStateFile(Disk* disk, Incarnation owner)
    : disk_(disk), owner_(owner) {}

void HardStateFile::Open(bool expected, ResultFn<Found> done) {
  expected_ = expected;
  open_done_ = std::move(done);
  OpenCopy(0);
}

void HardStateFile::Read(bool expected, ResultFn<Found> done) {
  read_only_ = true;
  Open(expected, std::move(done));
}

void HardStateFile::OpenCopy(size_t which) {
  if (which == kCopies) return Judge();
  disk_->Open(
      HardStateCopyName(which), OpenMode::kExisting,
      scope_.Wrap([this, which](absl::StatusOr<std::unique_ptr<File>> file) {
        if (absl::IsNotFound(file.status())) return OpenCopy(which + 1);
        if (!file.ok()) return Finish(file.status());
        copies_[which].file = *std::move(file);
        ReadCopy(which, kReadTimes);
      }));
}

void HardStateFile::ReadCopy(size_t which, int times) {
  copies_[which].file->Read(
      0, kHardStateBytes, [this, which, times](absl::StatusOr<Buffer> bytes) {
        if (!bytes.ok() && times > 1) return ReadCopy(which, times - 1);
        // A block that stays unreadable is damage like any other.
        absl::StatusOr<HardStateCopy> found =
            bytes.ok() ? DecodeHardStateCopy(bytes->view())
                       : absl::StatusOr<HardStateCopy>(bytes.status());
        if (absl::IsFailedPrecondition(found.status())) {
          return Finish(absl::FailedPreconditionError(
              absl::StrCat("file ", HardStateCopyName(which), ": ",
                           found.status().message())));
        }
        if (!found.ok() && !absl::IsDataLoss(found.status())) {
          return Finish(found.status());
        }
        if (found.ok() && found->owner != owner_) {
          return Finish(absl::FailedPreconditionError(
              absl::StrCat("file ", HardStateCopyName(which),
                           " belongs to another data directory; take it "
                           "out, and put this directory's own back")));
        }
        Copy& copy = copies_[which];
        copy.intact = found.ok();
        if (found.ok()) {
          copy.sequence = found->sequence;
          copy.state = found->state;
        } else {
          absl::StrAppend(&damage_, damage_.empty() ? "" : "; ",
                          HardStateCopyName(which), ": ",
                          found.status().message());
        }
        OpenCopy(which + 1);
      });
}

void HardStateFile::Judge() {
  bool any = copies_[0].intact || copies_[1].intact;
  if (any) {
    best_ = copies_[0].intact && (!copies_[1].intact ||
                                  copies_[0].sequence >= copies_[1].sequence)
                ? 0
                : 1;
    sequence_ = copies_[best_].sequence;
    state_ = copies_[best_].state;
    found_.state = state_;
    found_.repaired = !copies_[0].intact || !copies_[1].intact ||
                      copies_[0].sequence != copies_[1].sequence;
  } else if (expected_) {
    return Finish(absl::DataLossError(absl::StrCat(
        "expected the hard state in hardstate-0 or hardstate-1, found no "
        "intact copy (",
        damage_.empty() ? "both are missing" : damage_,
        "): this server can't know what it promised, and must not vote; clear "
        "its directory and let it join anew")));
  }
  if (read_only_) return Finish(absl::OkStatus());
  CreateMissing(0);
}

void HardStateFile::CreateMissing(size_t which) {
  if (which == kCopies) {
    if (!created_) return WriteCopies(1 - best_);
    return disk_->SyncDir(scope_.Wrap([this](absl::Status synced) {
      if (!synced.ok()) return Finish(std::move(synced));
      WriteCopies(1 - best_);
    }));
  }
  if (copies_[which].file != nullptr) return CreateMissing(which + 1);
  disk_->Open(
      HardStateCopyName(which), OpenMode::kCreateNew,
      scope_.Wrap([this, which](absl::StatusOr<std::unique_ptr<File>> file) {
        if (!file.ok()) return Finish(file.status());
        copies_[which].file = *std::move(file);
        created_ = true;
        CreateMissing(which + 1);
      }));
}

void HardStateFile::Write(const HardState& state, DoneFn done) {
  CHECK(!write_done_ && !read_only_);
  state_ = state;
  write_done_ = std::move(done);
  WriteCopies(0);
}

void HardStateFile::WriteCopies(size_t first) {
  ++sequence_;
  WriteCopy(first, kCopies);
}

void HardStateFile::WriteCopy(size_t which, size_t left) {
  if (left == 0) return Finish(absl::OkStatus());
  Buffer bytes = Buffer::Uninitialized(kHardStateBytes);
  ByteWriter w(bytes.data_mutable(), bytes.size());
  w.Int<uint64_t>(kMagic);
  w.Int<uint32_t>(kVersion);
  w.Int<uint32_t>(0);
  w.Int<uint64_t>(owner_.value());
  w.Int<uint64_t>(sequence_);
  w.Int<uint64_t>(state_.term.value());
  w.Int<uint64_t>(state_.vote.value());
  StoreInt<uint32_t>(bytes.data_mutable() + kCrcAt, Checksum(bytes.view()));
  File* file = copies_[which].file.get();
  file->Write(0, {std::move(bytes)}, [](absl::Status) {
    // A failed write fails the Sync.
  });
  file->Sync([this, which, left](absl::Status synced) {
    if (!synced.ok()) return Finish(std::move(synced));
    WriteCopy(1 - which, left - 1);
  });
}

void HardStateFile::Finish(absl::Status status) {
  if (open_done_) {
    ResultFn<Found> done = std::move(open_done_);
    if (!status.ok()) return done(std::move(status));
    return done(found_);
  }
  DoneFn done = std::move(write_done_);
  done(std::move(status));
}

}  // namespace holdfast
