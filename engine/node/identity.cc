#include "engine/node/identity.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/bytes.h"
#include "engine/base/check.h"
#include "engine/base/crc32c.h"

namespace holdfast {
namespace {

constexpr char kName[] = "identity";
constexpr char kTemporaryName[] = "identity.new";
constexpr uint64_t kMagic = 0x31746e6564496648u;  // "HfIdent1"
constexpr uint32_t kVersion = 1;
constexpr size_t kFixedBytes = 8 + 4 + 4 * 8 + 4;  // up to the name
constexpr size_t kBytesMax = 4096;

absl::Status Damaged(absl::string_view what) {
  return absl::DataLossError(absl::StrCat(
      "file identity: ", what,
      "; this directory can't tell whose it is. Restore the file, or clear "
      "the directory and let the server join anew"));
}

}  // namespace

Buffer EncodeIdentity(const Identity& identity) {
  Buffer bytes =
      Buffer::Uninitialized(kFixedBytes + identity.cluster_name.size() + 4);
  ByteWriter w(bytes.data_mutable(), bytes.size());
  w.Int<uint64_t>(kMagic);
  w.Int<uint32_t>(kVersion);
  w.Int<uint64_t>(identity.id.value());
  w.Int<uint64_t>(identity.incarnation.value());
  w.Int<uint64_t>(identity.boot_count);
  w.Int<uint64_t>(identity.cluster_id.value());
  w.Int<uint32_t>(static_cast<uint32_t>(identity.cluster_name.size()));
  w.Bytes(identity.cluster_name);
  w.Int<uint32_t>(Crc32c(bytes.view().substr(0, bytes.size() - 4)));
  return bytes;
}

absl::StatusOr<Identity> DecodeIdentity(absl::string_view bytes) {
  if (bytes.size() < kFixedBytes + 4) {
    return Damaged(absl::StrCat("expected at least ", kFixedBytes + 4,
                                " bytes, found ", bytes.size()));
  }
  uint32_t stored = LoadInt<uint32_t>(bytes.data() + bytes.size() - 4);
  if (Crc32c(bytes.substr(0, bytes.size() - 4)) != stored) {
    return Damaged("its checksum doesn't match its bytes");
  }
  ByteReader r(bytes);
  if (r.Int<uint64_t>() != kMagic) return Damaged("not an identity file");
  if (uint32_t version = r.Int<uint32_t>(); version != kVersion) {
    return absl::FailedPreconditionError(absl::StrCat(
        "file identity: expected format version ", kVersion, ", found ",
        version, "; it was written by another release of Holdfast"));
  }
  Identity identity;
  identity.id = ServerId(r.Int<uint64_t>());
  identity.incarnation = Incarnation(r.Int<uint64_t>());
  identity.boot_count = r.Int<uint64_t>();
  identity.cluster_id = ClusterId(r.Int<uint64_t>());
  identity.cluster_name = std::string(r.Bytes(r.Int<uint32_t>()));
  if (!r.ok() || r.rest().size() != 4) return Damaged("its length is wrong");
  return identity;
}

IdentityFile::IdentityFile(Disk* disk) : disk_(disk) {}
IdentityFile::~IdentityFile() = default;

void IdentityFile::Read(ResultFn<Identity> done) {
  disk_->Open(
      kName, OpenMode::kExisting,
      scope_.Wrap([this, done = std::move(done)](
                      absl::StatusOr<std::unique_ptr<File>> file) mutable {
        if (!file.ok()) return done(file.status());
        file_ = *std::move(file);
        file_->Read(0, kBytesMax,
                    [this, done = std::move(done)](
                        absl::StatusOr<Buffer> bytes) mutable {
                      // `done` may destroy this object, and the file with
                      // it this very callback.
                      ResultFn<Identity> finish = std::move(done);
                      std::unique_ptr<File> kept = std::move(file_);
                      if (!bytes.ok()) return finish(bytes.status());
                      finish(DecodeIdentity(bytes->view()));
                    });
      }));
}

void IdentityFile::Write(const Identity& identity, DoneFn done) {
  CHECK(!write_done_);
  write_done_ = std::move(done);
  auto on_opened = [this, bytes = EncodeIdentity(identity)](
                       absl::StatusOr<std::unique_ptr<File>> file) mutable {
    OnTemporaryOpened(std::move(file), std::move(bytes));
  };
  disk_->Remove(kTemporaryName,
                scope_.Wrap([this, on_opened = std::move(on_opened)](
                                absl::Status removed) mutable {
                  if (!removed.ok() && !absl::IsNotFound(removed)) {
                    return FinishWrite(removed);
                  }
                  disk_->Open(kTemporaryName, OpenMode::kCreateNew,
                              scope_.Wrap(std::move(on_opened)));
                }));
}

void IdentityFile::OnTemporaryOpened(absl::StatusOr<std::unique_ptr<File>> file,
                                     Buffer bytes) {
  if (!file.ok()) return FinishWrite(file.status());
  file_ = *std::move(file);
  file_->Write(0, {std::move(bytes)}, [](absl::Status) {
    // A failed write fails the Sync.
  });
  file_->Sync([this](absl::Status synced) {
    if (!synced.ok()) return FinishWrite(synced);
    disk_->Rename(
        kTemporaryName, kName, scope_.Wrap([this](absl::Status renamed) {
          if (!renamed.ok()) return FinishWrite(renamed);
          disk_->SyncDir(
              scope_.Wrap([this](absl::Status s) { FinishWrite(s); }));
        }));
  });
}

void IdentityFile::FinishWrite(absl::Status status) {
  // The file is kept open until the next operation: this may run inside one
  // of its own completions.
  DoneFn done = std::exchange(write_done_, nullptr);
  done(std::move(status));
}

}  // namespace holdfast
