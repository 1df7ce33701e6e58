#include "sim/damage.h"

#include <algorithm>
#include <array>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/base/random.h"
#include "engine/node/identity.h"
#include "engine/wal/checkpoint_file.h"
#include "engine/wal/hard_state_file.h"
#include "engine/wal/segment.h"
#include "sim/fault_sites.h"

namespace holdfast {
namespace {

constexpr uint64_t kSector = FileImage::kSector;
constexpr uint64_t kPage = FileImage::kPage;
constexpr uint64_t kWorst = 65536;

// What there is to choose, from a fault's value.
class Choice {
 public:
  Choice(uint64_t value, uint32_t attempt)
      : value_(value),
        attempt_(attempt),
        written_(faults::IsWritten(value)),
        bits_(HashCombine(value, attempt)) {}

  bool written() const { return written_; }
  uint64_t Bits(uint64_t salt) const { return HashCombine(bits_, salt); }
  size_t File(size_t count) const {
    if (written_) return ((value_ & 0xff) + attempt_) % count;
    return Below(Bits(1), count);
  }
  uint64_t Place(uint64_t places) const {
    if (written_) return (value_ >> 8 & 0xff) * places / 256;
    return Below(Bits(2), places);
  }
  // Below kWorst.
  uint64_t how_bad() const {
    return written_ ? faults::HowBad(value_) : Below(Bits(3), kWorst);
  }

 private:
  const uint64_t value_;
  const uint32_t attempt_;
  const bool written_;
  const uint64_t bits_;
};

using Name = std::string;

// Hard state and identity, checkpoints, what a start or a trim is faster by,
// segments.
constexpr size_t kClasses = 4;
constexpr size_t kSegments = 3;
std::optional<size_t> ClassOf(const Name& name) {
  if (name == HardStateCopyName(0) || name == HardStateCopyName(1) ||
      IdentityFile::IsName(name)) {
    return 0;
  }
  if (ParseCheckpointName(CheckpointKind::kBase, name).has_value()) return 1;
  if (ParseCheckpointName(CheckpointKind::kResume, name).has_value() ||
      ParseCheckpointName(CheckpointKind::kWaypoint, name).has_value()) {
    return 2;
  }
  if (ParseSegmentName(name).has_value()) return kSegments;
  return std::nullopt;
}

std::optional<Name> DrawFile(DamageKind kind, const Choice& choice,
                             const NameTable& disk) {
  const bool stale = kind == DamageKind::kStale;
  std::array<std::vector<Name>, kClasses> classes;
  std::vector<Name> all;
  for (const auto& [name, file] : disk.durable()) {
    const std::optional<size_t> which = ClassOf(name);
    if (!which.has_value() || disk.Find(name) != file) continue;
    if (stale && file->earlier().empty()) continue;
    classes[*which].push_back(name);
    all.push_back(name);
  }
  if (all.empty()) return std::nullopt;
  // Segments mostly, but the others often enough: they are few, and small.
  const uint64_t which =
      stale ? Below(choice.Bits(4), 2) * kSegments : Below(choice.Bits(4), 8);
  const std::vector<Name>& of_class =
      classes[std::min<uint64_t>(which, kSegments)];
  const std::vector<Name>& from =
      choice.written() || of_class.empty() ? all : of_class;
  return from[choice.File(from.size())];
}

// Up to the last byte that isn't zero: a segment is allocated ahead.
uint64_t UsedBytes(const Buffer& bytes) {
  uint64_t used = bytes.size();
  while (used > 0 && bytes.view()[used - 1] == '\0') --used;
  return used;
}

// A part of the bytes, aligned, with the `place`-th unit of it in front.
Buffer PartAt(const Buffer& all, uint64_t from, uint64_t size) {
  const uint64_t end = std::min<uint64_t>(all.size(), from + size);
  return Buffer::Copy(all.view().substr(from, end - from));
}

// One bit or some of a sector, or of several in a row.
void DrawRot(const Choice& choice, const Buffer& all, uint64_t used,
             Damage* damage) {
  const uint64_t bad = choice.how_bad();
  const uint64_t sectors = bad < kWorst / 4 * 3 ? 1 : 2 + bad % 7;
  const uint64_t bits = 1 + bad * 8 / kWorst;
  damage->from = choice.Place((used + kSector - 1) / kSector) * kSector;
  damage->bytes = PartAt(all, damage->from, sectors * kSector);
  for (uint64_t i = 0; i < damage->bytes.size(); i += kSector) {
    const uint64_t size = std::min(kSector, damage->bytes.size() - i);
    for (uint64_t bit = 0; bit < bits; ++bit) {
      const uint64_t at = Below(choice.Bits(16 + i + bit), size * 8);
      damage->bytes.data_mutable()[i + at / 8] ^=
          static_cast<char>(1 << at % 8);
    }
  }
  damage->what = absl::StrCat("bits are flipped in ", sectors,
                              " sector(s) from position ", damage->from);
}

// A sector, a page, or some pages.
void DrawZeroes(const Choice& choice, const Buffer& all, uint64_t used,
                Damage* damage) {
  const uint64_t bad = choice.how_bad();
  uint64_t unit = kPage;
  uint64_t units = 1;
  if (bad < kWorst / 8 * 3) {
    unit = kSector;
  } else if (bad >= kWorst / 4 * 3) {
    units = 2 + (bad - kWorst / 4 * 3) * 8 / (kWorst / 4);
  }
  damage->from = choice.Place((used + unit - 1) / unit) * unit;
  damage->bytes =
      Buffer::Zeroes(PartAt(all, damage->from, units * unit).size());
  damage->what = absl::StrCat(damage->bytes.size(), " bytes from position ",
                              damage->from, " on read as zeroes");
}

// A sector or a page of another place of that disk: of the same file, or of
// another one; if one is missing, what was to be written there.
void DrawMisdirect(const Choice& choice, const Buffer& all, uint64_t used,
                   const NameTable& disk, const std::optional<Damage>& missing,
                   Damage* damage) {
  uint64_t unit = choice.how_bad() < kWorst / 2 ? kSector : kPage;
  if (missing.has_value()) {
    unit = missing->bytes.size() <= kSector ? kSector : kPage;
  }
  damage->from = choice.Place((used + unit - 1) / unit) * unit;
  Name source = damage->file;
  if (missing.has_value()) {
    source = missing->file;
  } else if (Below(choice.Bits(5), 2) == 0) {
    const uint64_t which = Below(choice.Bits(6), disk.durable().size());
    source =
        std::next(disk.durable().begin(), static_cast<int64_t>(which))->first;
  }
  const SparseBytes& bytes = disk.durable().at(source)->durable();
  const Buffer there = bytes.Read(0, bytes.size());
  const uint64_t from =
      missing.has_value()
          ? missing->from
          : Below(choice.Bits(7), UsedBytes(there) / unit + 1) * unit;
  // The file keeps its length.
  damage->bytes = PartAt(all, damage->from, unit);
  const absl::string_view other = there.view().substr(
      std::min<uint64_t>(from, there.size()), damage->bytes.size());
  std::copy(other.begin(), other.end(), damage->bytes.data_mutable());
  damage->what = absl::StrCat(other.size(), " bytes at position ", damage->from,
                              " are those of ", source, " at position ", from);
}

// A sector or a page as it was before it was overwritten.
void DrawStale(const Choice& choice, const Buffer& all, const FileImage& file,
               Damage* damage) {
  const std::vector<FileImage::Earlier>& known = file.earlier();
  const FileImage::Earlier& page = known[choice.Place(known.size())];
  if (page.from >= all.size()) return;  // it is cut short since
  const uint64_t size =
      std::min<uint64_t>(page.bytes.size(), all.size() - page.from);
  const absl::string_view before = page.bytes.view().substr(0, size);
  const absl::string_view now = all.view().substr(page.from, size);
  std::vector<uint64_t> sectors;  // that differ, by where they begin
  for (uint64_t at = 0; at < size; at += kSector) {
    if (before.substr(at, kSector) != now.substr(at, kSector)) {
      sectors.push_back(at);
    }
  }
  damage->from = page.from;
  if (sectors.empty()) return;
  const bool whole = choice.how_bad() >= kWorst / 2;
  const uint64_t from = whole ? 0 : sectors[choice.how_bad() % sectors.size()];
  damage->from += from;
  damage->bytes = Buffer::Copy(before.substr(from, whole ? size : kSector));
  damage->what =
      absl::StrCat(damage->bytes.size(), " bytes from position ", damage->from,
                   " on are those that were overwritten there");
}

// kFrameOverEnd. Nothing: no frame is as large.
std::optional<Damage> DrawFrameOverEnd(const Choice& choice,
                                       const NameTable& disk) {
  for (auto it = disk.durable().rbegin(); it != disk.durable().rend(); ++it) {
    const auto& [name, file] = *it;
    const std::optional<uint64_t> id = ParseSegmentName(name);
    if (!id.has_value() || disk.Find(name) != file) continue;
    const Buffer all = file->durable().Read(0, file->durable().size());
    std::vector<FoundFrame> frames;
    FindFrameIf(all.view(), *id, [&frames](const FoundFrame& frame) {
      frames.push_back(frame);
      return false;
    });
    if (frames.empty()) continue;  // nothing was written to it yet
    const FoundFrame last = frames.back();
    // The last sector that it says was synced.
    const uint64_t synced = last.header.synced_to / kSector * kSector;
    if (synced <= kSegmentHeaderBytes) return std::nullopt;
    const uint64_t to = synced - kSector;
    const auto sector = [](const FoundFrame& frame) {
      return frame.position / kSector * kSector;
    };
    std::erase_if(frames, [&](const FoundFrame& frame) {
      return sector(frame) == to ||
             to + frame.end() - sector(frame) <= last.position;
    });
    if (frames.empty()) return std::nullopt;
    const uint64_t from = sector(frames[Below(choice.Bits(7), frames.size())]);
    Buffer bytes = PartAt(all, from, kSector);
    if (bytes.view() == all.view().substr(to, kSector)) return std::nullopt;
    return Damage{.kind = DamageKind::kFrameOverEnd,
                  .file = name,
                  .from = to,
                  .bytes = std::move(bytes),
                  .what = absl::StrCat(kSector, " bytes at position ", to,
                                       " are those of ", name, " at position ",
                                       from, ", where a large frame begins")};
  }
  return std::nullopt;
}

}  // namespace

std::optional<Damage> DrawDamage(DamageKind kind, uint64_t value,
                                 uint32_t attempt, const NameTable& disk) {
  const Choice choice(value, attempt);
  if (kind == DamageKind::kMisdirect && !choice.written() &&
      Below(choice.Bits(8), 4) == 0) {
    std::optional<Damage> over_end = DrawFrameOverEnd(choice, disk);
    if (over_end.has_value()) return over_end;
  }
  std::optional<Name> name = DrawFile(kind, choice, disk);
  if (!name.has_value()) return std::nullopt;
  Damage damage{.kind = kind, .file = *std::move(name)};
  const FileImage& file = *disk.durable().at(damage.file);
  const Buffer all = file.durable().Read(0, file.durable().size());
  const uint64_t used = UsedBytes(all);
  if (used == 0) return std::nullopt;
  switch (kind) {
    case DamageKind::kRot:
      DrawRot(choice, all, used, &damage);
      break;
    case DamageKind::kZeroes:
      DrawZeroes(choice, all, used, &damage);
      break;
    case DamageKind::kMisdirect:
    case DamageKind::kFrameOverEnd:
      DrawMisdirect(choice, all, used, disk, DrawMissing(value, attempt, disk),
                    &damage);
      break;
    case DamageKind::kRefused: {
      // Processes read pages, and get none of one that has a bad sector.
      DrawZeroes(choice, all, used, &damage);
      const uint64_t end = (damage.end() + kPage - 1) / kPage * kPage;
      damage.from = damage.from / kPage * kPage;
      damage.bytes =
          Buffer::Zeroes(PartAt(all, damage.from, end - damage.from).size());
      damage.what =
          absl::StrCat("the device refuses to read ", damage.bytes.size(),
                       " bytes from position ", damage.from, " on");
      break;
    }
    case DamageKind::kStale:
      DrawStale(choice, all, file, &damage);
      break;
    case DamageKind::kVanish:
      damage.what = "is gone with its name";
      return damage;
    case DamageKind::kTruncate:
      damage.from = used - 1 - (used - 1) * choice.how_bad() / kWorst;
      damage.what = absl::StrCat("ends at position ", damage.from);
      return damage;
  }
  if (damage.bytes.view() ==
      all.view().substr(damage.from, damage.bytes.size())) {
    return std::nullopt;
  }
  return damage;
}

std::optional<Damage> DrawMissing(uint64_t value, uint32_t attempt,
                                  const NameTable& disk) {
  // The worse half of the sectors, and of the pages.
  const uint64_t bad = Choice(value, attempt).how_bad();
  if (bad % (kWorst / 2) < kWorst / 4) return std::nullopt;
  return DrawDamage(DamageKind::kStale, faults::Another(value, 1), attempt,
                    disk);
}

bool StorageDecay::Strike(SimServer* server, DamageKind kind, uint64_t value) {
  constexpr uint32_t kAttempts = 8;
  const NameTable& disk = server->disk()->names();
  for (uint32_t attempt = 0; attempt < kAttempts; ++attempt) {
    const std::optional<Damage> damage = DrawDamage(kind, value, attempt, disk);
    if (!damage.has_value() || !atlas_->MayDamage(server, *damage)) continue;
    std::optional<Damage> missing;
    if (damage->kind == DamageKind::kMisdirect) {
      missing = DrawMissing(value, attempt, disk);
    }
    Spoil(server, *damage);
    Count(damage->kind);
    if (missing.has_value() && atlas_->MayDamage(server, *missing)) {
      Spoil(server, *missing);
      ++counts_.misdirected_stale;
    }
    return true;
  }
  ++counts_.vetoed;
  return false;
}

void StorageDecay::Spoil(SimServer* server, const Damage& damage) {
  world_->Note(absl::StrCat("the disk of server ", server->machine(), ": ",
                            damage.file, ": ", damage.what));
  server->Spoil(damage);
}

void StorageDecay::Count(DamageKind kind) {
  switch (kind) {
    case DamageKind::kRot:
      ++counts_.rot;
      break;
    case DamageKind::kZeroes:
      ++counts_.zeroes;
      break;
    case DamageKind::kMisdirect:
      ++counts_.misdirected;
      break;
    case DamageKind::kFrameOverEnd:
      ++counts_.frames_over_end;
      break;
    case DamageKind::kTruncate:
      ++counts_.truncated;
      break;
    case DamageKind::kRefused:
      ++counts_.refused;
      break;
    case DamageKind::kStale:
      ++counts_.stale;
      break;
    case DamageKind::kVanish:
      ++counts_.vanished;
      break;
  }
}

}  // namespace holdfast
