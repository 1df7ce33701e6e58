#include "engine/node/identity.h"

#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "engine/base/bytes.h"
#include "engine/base/crc32c.h"

namespace holdfast {
namespace {

constexpr uint64_t kMagic = 0x31746e6564496648u;  // "HfIdent1"
constexpr uint32_t kVersion = 2;
constexpr size_t kFixedBytes = 8 + 4 + 4 * 8 + 4;  // up to the name
constexpr size_t kLivesBytes = 4 + 8 + 4;          // besides the lives
constexpr uint32_t kRetired = 1;
constexpr size_t kBytesMax = 4096;

absl::Status Damaged(absl::string_view what) {
  return absl::DataLossError(absl::StrCat("an identity file: ", what));
}

absl::StatusOr<Identity> Decoded(const absl::StatusOr<Buffer>& bytes) {
  if (!bytes.ok()) return bytes.status();
  return DecodeIdentity(bytes->view());
}

absl::Status NobodysDirectory(absl::string_view what) {
  return absl::DataLossError(absl::StrCat(
      "files identity and identity.copy: ", what,
      "; this directory can't tell whose it is. Restore one of them, or clear "
      "the directory and let the server join anew"));
}

// Whether the other file may stand in for it.
bool IsGone(const absl::Status& status) {
  return absl::IsNotFound(status) || absl::IsDataLoss(status);
}

}  // namespace

Buffer EncodeIdentity(const Identity& identity) {
  Buffer bytes =
      Buffer::Uninitialized(kFixedBytes + identity.cluster_name.size() +
                            kLivesBytes + 8 * identity.lives.size() + 4);
  ByteWriter w(bytes.data_mutable(), bytes.size());
  w.Int<uint64_t>(kMagic);
  w.Int<uint32_t>(kVersion);
  w.Int<uint64_t>(identity.id.value());
  w.Int<uint64_t>(identity.incarnation.value());
  w.Int<uint64_t>(identity.boot_count);
  w.Int<uint64_t>(identity.cluster_id.value());
  w.Int<uint32_t>(static_cast<uint32_t>(identity.cluster_name.size()));
  w.Bytes(identity.cluster_name);
  w.Int<uint32_t>(identity.retired ? kRetired : 0);
  w.Int<int64_t>(identity.promise.count());
  w.Int<uint32_t>(static_cast<uint32_t>(identity.lives.size()));
  for (uint64_t life : identity.lives) w.Int<uint64_t>(life);
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
  const uint32_t version = r.Int<uint32_t>();
  if (version < 1 || version > kVersion) {
    return absl::FailedPreconditionError(absl::StrCat(
        "file identity: expected format version 1 to ", kVersion, ", found ",
        version, "; it was written by another release of Holdfast"));
  }
  Identity identity;
  identity.id = ServerId(r.Int<uint64_t>());
  identity.incarnation = Incarnation(r.Int<uint64_t>());
  identity.boot_count = r.Int<uint64_t>();
  identity.cluster_id = ClusterId(r.Int<uint64_t>());
  identity.cluster_name = std::string(r.Bytes(r.Int<uint32_t>()));
  if (version > 1) {
    identity.retired = r.Int<uint32_t>() == kRetired;
    identity.promise = Duration(r.Int<int64_t>());
    const uint32_t lives = r.Int<uint32_t>();
    if (lives > Identity::kLivesKept) return Damaged("it has too many lives");
    for (uint32_t i = 0; i < lives; ++i) {
      identity.lives.push_back(r.Int<uint64_t>());
    }
  }
  if (!r.ok() || r.rest().size() != 4) return Damaged("its length is wrong");
  return identity;
}

IdentityFile::IdentityFile(Disk* disk)
    : file_(disk, kName, kBytesMax), copy_(disk, kCopyName, kBytesMax) {}

void IdentityFile::Read(ResultFn<Identity> done) {
  damage_ = absl::OkStatus();
  copy_.Read([this, done = std::move(done)](
                 const absl::StatusOr<Buffer>& copy) mutable {
    file_.Read([this, copy = Decoded(copy), done = std::move(done)](
                   const absl::StatusOr<Buffer>& file) mutable {
      done(Choose(std::move(copy), Decoded(file)));
    });
  });
}

absl::StatusOr<Identity> IdentityFile::Choose(absl::StatusOr<Identity> copy,
                                              absl::StatusOr<Identity> file) {
  for (const absl::StatusOr<Identity>* each : {&copy, &file}) {
    if (!each->ok() && !IsGone(each->status())) return each->status();
  }
  if (copy.ok() && file.ok()) {
    if (copy->incarnation != file->incarnation) {
      return NobodysDirectory("they are of two directories");
    }
    // The copy is written first; but a release that knows of none writes the
    // file alone. It is the later one if it knows of the file's start.
    const bool later =
        file->lives.empty()
            ? copy->boot_count >= file->boot_count
            : absl::c_linear_search(copy->lives, file->lives.front());
    return later ? copy : file;
  }
  if (!copy.ok() && !file.ok()) {
    if (absl::IsNotFound(file.status()) && absl::IsNotFound(copy.status())) {
      return file.status();
    }
    // One that the disk couldn't read now it may read the next time.
    return NobodysDirectory(
        absl::StrCat(file.status().message(), "; ", copy.status().message()));
  }
  const absl::Status& lost = copy.ok() ? file.status() : copy.status();
  if (absl::IsDataLoss(lost)) damage_ = lost;
  return copy.ok() ? copy : file;
}

void IdentityFile::Write(const Identity& identity, DoneFn done) {
  const Buffer bytes = EncodeIdentity(identity);
  copy_.Write({bytes}, [this, bytes,
                        done = std::move(done)](absl::Status written) mutable {
    if (!written.ok()) return done(std::move(written));
    file_.Write({bytes}, std::move(done));
  });
}

}  // namespace holdfast
