#include "engine/node/peer_boots.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/bytes.h"
#include "engine/base/crc32c.h"

namespace holdfast {
namespace {

constexpr char kName[] = "peers";
constexpr uint64_t kMagic = 0x3173726565506648u;  // "HfPeers1"
constexpr uint32_t kVersion = 1;
constexpr size_t kFixedBytes = 8 + 4 + 4 + 4;  // with the checksum
constexpr size_t kBootBytes = 4 * 8;

absl::Status Damaged(absl::string_view what) {
  return absl::DataLossError(absl::StrCat("file peers: ", what));
}

}  // namespace

Buffer PeerBoots::Encode(const Boots& boots) {
  Buffer bytes = Buffer::Uninitialized(kFixedBytes + kBootBytes * boots.size());
  ByteWriter w(bytes.data_mutable(), bytes.size());
  w.Int<uint64_t>(kMagic);
  w.Int<uint32_t>(kVersion);
  w.Int<uint32_t>(static_cast<uint32_t>(boots.size()));
  for (const auto& [id, boot] : boots) {
    w.Int<uint64_t>(id.value());
    w.Int<uint64_t>(boot.incarnation.value());
    w.Int<uint64_t>(boot.count);
    w.Int<uint64_t>(boot.life);
  }
  w.Int<uint32_t>(Crc32c(bytes.view().substr(0, bytes.size() - 4)));
  return bytes;
}

absl::StatusOr<PeerBoots::Boots> PeerBoots::Decode(absl::string_view bytes) {
  if (bytes.size() < kFixedBytes) {
    return Damaged(absl::StrCat("expected at least ", kFixedBytes,
                                " bytes, found ", bytes.size()));
  }
  const uint32_t stored =
      LoadInt<uint32_t>(bytes.data() + bytes.size() - sizeof(uint32_t));
  if (Crc32c(bytes.substr(0, bytes.size() - 4)) != stored) {
    return Damaged("its checksum doesn't match its bytes");
  }
  ByteReader r(bytes);
  if (r.Int<uint64_t>() != kMagic) return Damaged("not a file of peers");
  if (const uint32_t version = r.Int<uint32_t>(); version != kVersion) {
    return absl::FailedPreconditionError(absl::StrCat(
        "file peers: expected format version ", kVersion, ", found ", version,
        "; it was written by another release of Holdfast"));
  }
  const uint32_t count = r.Int<uint32_t>();
  if (bytes.size() != kFixedBytes + kBootBytes * uint64_t{count}) {
    return Damaged("its length is wrong");
  }
  Boots boots;
  for (uint32_t i = 0; i < count; ++i) {
    const ServerId id(r.Int<uint64_t>());
    PeerBoot& boot = boots[id];
    boot.incarnation = Incarnation(r.Int<uint64_t>());
    boot.count = r.Int<uint64_t>();
    boot.life = r.Int<uint64_t>();
  }
  return boots;
}

PeerBoots::PeerBoots(Disk* disk, DoneFn failed)
    : file_(disk, kName, kFixedBytes + kBootBytes * kBootsMax),
      failed_(std::move(failed)) {}

void PeerBoots::Open(DoneFn done) {
  file_.Read(
      [this, done = std::move(done)](absl::StatusOr<Buffer> bytes) mutable {
        if (absl::IsNotFound(bytes.status())) return done(absl::OkStatus());
        if (absl::IsDataLoss(bytes.status())) {
          return done(absl::UnavailableError(absl::StrCat(
              bytes.status().message(),
              "; if it stays unreadable, remove it: this server then no longer "
              "notices when another one comes back with an older copy")));
        }
        if (!bytes.ok()) return done(bytes.status());
        absl::StatusOr<Boots> boots = Decode(bytes->view());
        if (!boots.ok()) return done(boots.status());
        boots_ = durable_ = *std::move(boots);
        done(absl::OkStatus());
      });
}

std::optional<Refusal> PeerBoots::Judge(const Hello& hello) const {
  auto it = boots_.find(hello.server_id);
  if (it == boots_.end() || it->second.incarnation != hello.incarnation) {
    return std::nullopt;
  }
  const PeerBoot& known = it->second;
  bool older = hello.boot_count < known.count;
  // Which life does its directory name for the start that is remembered?
  const uint64_t since = hello.boot_count - known.count;
  if (!older && known.life != 0 && since < hello.lives.size()) {
    older = hello.lives[since] != known.life;
  }
  if (!older) return std::nullopt;
  return Refusal{
      RefusalReason::kOldCopy,
      absl::StrCat("server ", hello.server_id.value(),
                   " comes back with an older copy of its data directory (",
                   hello.boot_count, " starts, here ", known.count,
                   " are known): it may lack what it promised later, and has "
                   "to join anew, with an empty one")};
}

void PeerBoots::Note(const Hello& hello, const Configuration& members) {
  PeerBoot boot{.incarnation = hello.incarnation,
                .count = hello.boot_count,
                .life = hello.lives.empty() ? 0 : hello.lives.front()};
  PeerBoot& known = boots_[hello.server_id];
  if (known == boot) return;
  known = boot;
  if (boots_.size() > kBootsMax) {
    std::erase_if(boots_, [&](const auto& entry) {
      return members.Find(entry.first) == nullptr;
    });
  }
  Save();
}

void PeerBoots::Save() {
  if (saving_) return;
  saving_ = true;
  writing_ = boots_;
  file_.Write({Encode(writing_)}, [this](absl::Status written) {
    saving_ = false;
    if (!written.ok()) return failed_(std::move(written));
    durable_ = std::move(writing_);
    if (durable_ != boots_) Save();
  });
}

}  // namespace holdfast
