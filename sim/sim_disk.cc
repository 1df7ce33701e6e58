#include "sim/sim_disk.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/base/check.h"
#include "engine/base/crc32c.h"
#include "sim/disk_operation.h"
#include "sim/fault_sites.h"

namespace holdfast {
namespace {

constexpr ChanceSite kWriteLatency("disk/write_latency");
constexpr ChanceSite kSyncLatency("disk/sync_latency");
constexpr ChanceSite kReadLatency("disk/read_latency");
constexpr ChanceSite kNameLatency("disk/name_latency");

}  // namespace

SimDiskCounts& SimDiskCounts::operator+=(const SimDiskCounts& other) {
  writes += other.writes;
  syncs += other.syncs;
  dropped_in_flight += other.dropped_in_flight;
  cut_in_flight += other.cut_in_flight;
  lost_writes += other.lost_writes;
  torn_writes += other.torn_writes;
  torn_pages += other.torn_pages;
  length_first += other.length_first;
  lost_names += other.lost_names;
  slow += other.slow;
  held_up += other.held_up;
  read_errors += other.read_errors;
  write_errors += other.write_errors;
  sync_errors += other.sync_errors;
  found_full += other.found_full;
  return *this;
}

namespace {

absl::Status NotThere(absl::string_view what, const std::string& name) {
  return absl::NotFoundError(
      absl::StrCat(what, " ", name, ": there is no such file"));
}

std::string DeviceError(absl::string_view what, absl::string_view name) {
  return absl::StrCat(what, " ", name, ": ", kDeviceError);
}

// The first n bytes of all.
Buffers Prefix(const Buffers& all, uint64_t n) {
  Buffers prefix;
  for (const Buffer& b : all) {
    const uint64_t part = std::min<uint64_t>(n, b.size());
    if (part > 0) prefix.push_back(b.Slice(0, part));
    n -= part;
  }
  return prefix;
}

}  // namespace

// --- SimFile ---

class SimFile final : public File {
 public:
  SimFile(SimProcess* process, DiskImage* image, std::string name,
          std::shared_ptr<FileImage> file)
      : process_(process),
        image_(image),
        name_(std::move(name)),
        file_(std::move(file)),
        handle_(process->open_files()),
        size_(file_->now().size()) {}
  ~SimFile() override { image_->DropCompletions(this); }

  void Read(uint64_t at, size_t n, ResultFn<Buffer> done) override;
  void Write(uint64_t at, Buffers data, DoneFn done) override;
  void Sync(DoneFn done) override;
  void Truncate(uint64_t size, DoneFn done) override;
  uint64_t size() const override { return size_; }

 private:
  class WriteOperation;

  SimProcess* const process_;
  DiskImage* const image_;
  const std::string name_;
  const std::shared_ptr<FileImage> file_;
  const OpenHandle handle_;
  uint64_t size_;
  absl::Status write_error_;  // all syncs fail from then on
};

class SimFile::WriteOperation final : public DiskOperation {
 public:
  // `error`: it fails, how is for the error's value to say.
  WriteOperation(SimFile* owner_file, uint64_t at, Buffers data,
                 std::optional<uint64_t> error, DoneFn done)
      : DiskOperation(owner_file),
        owner_file_(owner_file),
        image_(owner_file->image_),
        file_(owner_file->file_),
        name_(owner_file->name_),
        data_(std::move(data)),
        error_(error),
        done_(std::move(done)) {
    writes = file_.get();
    from = at;
    to = at + TotalSize(data_);
  }

  void TakeEffect() override {
    const uint64_t bytes = to - from;
    uint64_t wrote = bytes;
    const uint64_t size = file_->now().size();
    if (error_.has_value()) {
      status_ = absl::InternalError(DeviceError("write to", name_));
      wrote = Below(*error_, bytes);
    } else if (to > size) {
      const uint64_t new_bytes = std::min(bytes, to - size);
      wrote -= new_bytes - image_->RoomFor(new_bytes);
      if (wrote < bytes) status_ = image_->Full("write to", name_);
    }
    ++image_->counts_.writes;
    if (wrote == bytes) return file_->Write(id, from, std::move(data_));
    if (wrote > 0) file_->Write(id, from, Prefix(data_, wrote));
  }
  bool may_happen_in_part() const override { return to > from + 1; }
  void TakeEffectInPart(uint64_t how_far) override {
    file_->Write(id, from, Prefix(data_, 1 + Below(how_far, to - from - 1)));
  }
  void Complete() override {
    if (status_.ok()) {
      owner_file_->size_ = std::max(owner_file_->size_, to);
    } else {
      owner_file_->write_error_.Update(status_);
    }
    DoneFn done = std::move(done_);
    done(status_);
  }
  void DropCompletion() override { DoneFn dropped = std::move(done_); }

 private:
  SimFile* const owner_file_;  // used only while the completion is wanted
  DiskImage* const image_;
  const std::shared_ptr<FileImage> file_;
  const std::string name_;
  Buffers data_;
  const std::optional<uint64_t> error_;
  DoneFn done_;
  absl::Status status_;
};

void SimFile::Read(uint64_t at, size_t n, ResultFn<Buffer> done) {
  if (!process_->BeginIo(SimProcess::Io::kDisk)) return;
  const SimDiskOptions& o = image_->options_;
  const Duration latency =
      image_->Latency(kReadLatency, process_, o.read_min, o.read_max);
  const bool fails = image_
                         ->Fails(faults::kReadError, process_, o.read_error_ppm,
                                 &image_->counts_.read_errors)
                         .has_value();
  auto read = [file = file_, name = name_, at, n,
               fails](uint64_t) -> absl::StatusOr<Buffer> {
    if (fails || file->Refuses(at, at + n)) {
      return absl::DataLossError(DeviceError("read from", name));
    }
    return file->now().Read(at, n);
  };
  auto op = MakeOperation(this, std::move(read), std::move(done));
  op->from = at;
  op->to = at + n;
  image_->Submit(process_, latency, {}, std::move(op), "read", name_);
}

void SimFile::Write(uint64_t at, Buffers data, DoneFn done) {
  if (!process_->BeginIo(SimProcess::Io::kDisk)) return;
  uint32_t crc = 0;
  for (const Buffer& b : data) crc = ExtendCrc32c(crc, b.view());
  const SimDiskOptions& o = image_->options_;
  const Duration latency =
      image_->Latency(kWriteLatency, process_, o.write_min, o.write_max);
  const std::optional<uint64_t> error =
      image_->Fails(faults::kWriteError, process_, o.write_error_ppm,
                    &image_->counts_.write_errors);
  auto op = std::make_unique<WriteOperation>(this, at, std::move(data), error,
                                             std::move(done));
  image_->CheckNoOverlap(file_.get(), op->from, op->to);
  process_->world()->trace.Bytes(crc, op->to - op->from);
  image_->Submit(process_, latency, {}, std::move(op), "write", name_);
}

void SimFile::Sync(DoneFn done) {
  if (!process_->BeginIo(SimProcess::Io::kDisk)) return;
  const SimDiskOptions& o = image_->options_;
  const Duration latency =
      image_->Latency(kSyncLatency, process_, o.sync_min, o.sync_max);
  const bool spared = !absl::StrContains(name_, o.sync_errors_of);
  const std::optional<uint64_t> error =
      image_->Fails(faults::kSyncError, process_, spared ? 0 : o.sync_error_ppm,
                    &image_->counts_.sync_errors);
  auto sync = [image = image_, file = file_, name = name_, error,
               actor = process_->chance_actor()](uint64_t id) {
    if (error.has_value()) {
      image->Count(file->FailSyncBefore(id, image->Fates(actor),
                                        /*reverts=*/(*error & 1) != 0));
      return absl::InternalError(DeviceError("sync of", name));
    }
    file->SyncBefore(id);
    ++image->counts_.syncs;
    return absl::OkStatus();
  };
  // After a sync that failed, the next one succeeds without what the first one
  // lost: kernels report that once.
  auto after = [this, done = std::move(done)](absl::Status status) mutable {
    done(write_error_.ok() ? std::move(status) : write_error_);
  };
  image_->Submit(process_, latency, image_->WritesDoneAt(this),
                 MakeOperation(this, std::move(sync), std::move(after)), "sync",
                 name_);
}

void SimFile::Truncate(uint64_t size, DoneFn done) {
  if (!process_->BeginIo(SimProcess::Io::kDisk)) return;
  const SimDiskOptions& o = image_->options_;
  const Duration latency =
      image_->Latency(kWriteLatency, process_, o.write_min, o.write_max);
  image_->CheckNoOverlap(file_.get(), size, UINT64_MAX);
  auto cut = [file = file_, size](uint64_t id) {
    file->Truncate(id, size);
    return absl::OkStatus();
  };
  auto after = [this, size, done = std::move(done)](absl::Status s) mutable {
    size_ = size;
    done(std::move(s));
  };
  auto op = MakeOperation(this, std::move(cut), std::move(after));
  op->writes = file_.get();
  op->from = size;
  op->to = UINT64_MAX;
  image_->Submit(process_, latency, {}, std::move(op), "truncate", name_);
}

// --- DiskImage ---

DiskImage::DiskImage(World* world, MachineId machine, SimDiskOptions options)
    : world_(world), machine_(machine), options_(options) {}

DiskImage::~DiskImage() = default;

std::unique_ptr<DiskImage> DiskImage::CopyDurable() const {
  auto copy = std::make_unique<DiskImage>(world_, machine_, options_);
  copy->names_ = names_.CopyDurable();
  copy->damaged_ = damaged_;
  return copy;
}

bool DiskImage::AtRest(const std::string& name, uint64_t from,
                       uint64_t to) const {
  const auto it = names_.durable().find(name);
  return it != names_.durable().end() && it->second == names_.Find(name) &&
         it->second->AtRest(from, to);
}

void DiskImage::Spoil(const Damage& damage) {
  CHECK(AtRest(damage.file, damage.from, damage.end()));
  FileImage& file = *names_.Find(damage.file);
  if (damage.kind == DamageKind::kTruncate) {
    file.CutShort(damage.from);
  } else if (damage.kind == DamageKind::kStale) {
    file.MakeStale(damage.from, damage.bytes);
  } else if (damage.kind == DamageKind::kVanish) {
    names_.Vanish(damage.file);
  } else {
    file.Overwrite(damage.from, damage.bytes);
  }
  if (damage.kind == DamageKind::kRefused) {
    file.Refuse(damage.from, damage.end());
  }
  damaged_ = true;
}

void DiskImage::Submit(SimProcess* process, Duration latency,
                       TrueTime not_before, std::unique_ptr<DiskOperation> op,
                       const char* what, const std::string& file) {
  const uint64_t id = next_op_++;
  op->id = id;
  op->when = std::max(world_->now(), not_before) + latency;
  world_->scheduler.At(op->when, process->actor(), EventKind::kDisk,
                       [this, id] { Run(id); });
  if (Observer* observer = world_->observer()) {
    const uint64_t bytes = op->to == UINT64_MAX ? 0 : op->to - op->from;
    observer->OnDiskBegin(machine_, {.id = id,
                                     .what = what,
                                     .file = file,
                                     .from = op->from,
                                     .bytes = bytes,
                                     .due = op->when});
  }
  in_flight_.push_back(std::move(op));
}

void DiskImage::Tell(IncidentKind kind, uint64_t count) const {
  if (count == 0 || world_->observer() == nullptr) return;
  world_->observer()->OnIncident(
      {.kind = kind, .machine = machine_, .count = count});
}

void DiskImage::Run(uint64_t id) {
  const auto it = std::find_if(in_flight_.begin(), in_flight_.end(),
                               [id](const auto& op) { return op->id == id; });
  CHECK(it != in_flight_.end());
  std::unique_ptr<DiskOperation> op = std::move(*it);
  in_flight_.erase(it);
  if (world_->observer() != nullptr) {
    world_->observer()->OnDiskEnd(machine_, id);
  }
  op->TakeEffect();
  if (op->owner != nullptr) op->Complete();
}

void DiskImage::DropCompletions(const void* owner) {
  for (size_t i = 0; i < in_flight_.size(); ++i) {
    if (in_flight_[i]->owner != owner) continue;
    in_flight_[i]->owner = nullptr;
    in_flight_[i]->DropCompletion();
  }
}

TrueTime DiskImage::WritesDoneAt(const void* owner) const {
  TrueTime latest{};
  for (const auto& op : in_flight_) {
    if (op->owner == owner && op->writes != nullptr) {
      latest = std::max(latest, op->when);
    }
  }
  return latest;
}

TrueTime DiskImage::BusyUntil() const {
  TrueTime latest{};
  for (const auto& op : in_flight_) latest = std::max(latest, op->when);
  return latest;
}

void DiskImage::CheckNoOverlap(const FileImage* file, uint64_t from,
                               uint64_t to) const {
  for (const auto& op : in_flight_) {
    CHECK(op->writes != file || to <= op->from || op->to <= from);
  }
}

Duration DiskImage::Latency(const ChanceSite& site, SimProcess* process,
                            Duration min, Duration max) {
  const ChanceActor actor = process->chance_actor();
  const uint64_t ordinal = draws_++;
  const uint64_t span = static_cast<uint64_t>((max - min).count()) + 1;
  const uint64_t drawn = world_->chance.Below(site, actor, ordinal, span);
  Duration latency = min + Duration(static_cast<int64_t>(drawn));
  if (min >= options_.hangs_for) ++counts_.held_up;
  const std::optional<uint64_t> slow = world_->chance.Fault(
      faults::kSlowDisk, actor, ordinal, options_.slow_ppm);
  if (slow.has_value()) {
    ++counts_.slow;
    latency += faults::LengthBelow(*slow, options_.slow_max);
  }
  return latency;
}

std::optional<uint64_t> DiskImage::Fails(const ChanceSite& site,
                                         SimProcess* process, uint64_t rate_ppm,
                                         uint64_t* count) {
  std::optional<uint64_t> error =
      world_->chance.Fault(site, process->chance_actor(), draws_++, rate_ppm);
  if (!error.has_value()) return error;
  ++*count;
  Tell(IncidentKind::kDeviceError, 1);
  return error;
}

uint64_t DiskImage::used_bytes() const {
  uint64_t used = 0;
  for (const auto& [name, file] : names_.now()) used += file->now().size();
  return used;
}

uint64_t DiskImage::RoomFor(uint64_t bytes) const {
  // Adding up many files for each write would show in the speed of it all.
  if (capacity_bytes_ == kAmple) return bytes;
  return std::min(bytes,
                  capacity_bytes_ - std::min(capacity_bytes_, used_bytes()));
}

absl::Status DiskImage::Full(absl::string_view what, const std::string& name) {
  ++counts_.found_full;
  return absl::ResourceExhaustedError(
      absl::StrCat(what, " ", name, ": ", kDiskFull));
}

void DiskImage::ProcessDied(const SimProcess& process) {
  lock_holder_ = nullptr;
  const ChanceActor actor = process.chance_actor();
  std::vector<std::unique_ptr<DiskOperation>> left = std::move(in_flight_);
  in_flight_.clear();
  const SimDiskCounts before = counts_;
  for (const auto& op : left) {
    const uint64_t ordinal = draws_++;
    if (world_->chance.Fault(faults::kDropInFlight, actor, ordinal,
                             options_.drop_in_flight_ppm)) {
      ++counts_.dropped_in_flight;
      continue;
    }
    std::optional<uint64_t> cut;
    if (op->may_happen_in_part()) {
      cut = world_->chance.Fault(faults::kCutInFlight, actor, ordinal,
                                 options_.cut_in_flight_ppm);
    }
    if (cut.has_value()) {
      ++counts_.cut_in_flight;
      op->TakeEffectInPart(*cut);
    } else {
      op->TakeEffect();
    }
  }
  names_.ProcessDied();
  Tell(IncidentKind::kDropped,
       counts_.dropped_in_flight - before.dropped_in_flight);
  Tell(IncidentKind::kCutShort, counts_.cut_in_flight - before.cut_in_flight);
}

void DiskImage::PowerLost(uint32_t boot) {
  const SimDiskCounts before = counts_;
  const ChanceActor actor{machine_, boot};
  names_.LosePower(LosesNames(actor));
  const FileImage::FateFn fates = Fates(actor);
  for (const auto& [name, file] : names_.now()) Count(file->LosePower(fates));
  Tell(IncidentKind::kLostNames, counts_.lost_names - before.lost_names);
  Tell(IncidentKind::kLostWrites, counts_.lost_writes - before.lost_writes);
  Tell(IncidentKind::kTornWrites, counts_.torn_writes - before.torn_writes);
}

FileImage::FateFn DiskImage::Fates(ChanceActor actor) {
  return [this, actor](bool truncation) {
    Chance& chance = world_->chance;
    FileImage::Fate fate;
    const uint64_t ordinal = draws_++;
    std::optional<uint64_t> tear;
    if (!truncation)
      tear = chance.Fault(faults::kTear, actor, ordinal, options_.tear_ppm);
    if (tear.has_value()) {
      ++counts_.torn_writes;
      // Between sectors, or between pages.
      fate.between_pages = (HashCombine(*tear, UINT64_MAX - 1) & 1) == 0;
      const uint64_t whole =
          fate.between_pages ? FileImage::kPage / FileImage::kSector : 1;
      fate.keeps_sector = [bits = *tear, whole](uint64_t sector) {
        return (HashCombine(bits, sector / whole) & 1) != 0;
      };
      fate.keeps_length = (HashCombine(*tear, UINT64_MAX) & 1) != 0;
    } else if (chance.Fault(faults::kLoseWrite, actor, ordinal,
                            options_.lose_write_ppm)) {
      ++counts_.lost_writes;
      fate.lost = true;
    }
    return fate;
  };
}

void DiskImage::Count(const FileImage::Torn& torn) {
  counts_.torn_pages += torn.between_pages;
  counts_.length_first += torn.length_first;
}

std::function<bool()> DiskImage::LosesNames(ChanceActor actor) {
  return [this, actor] {
    const bool lost =
        world_->chance
            .Fault(faults::kLoseName, actor, draws_++, options_.lose_name_ppm)
            .has_value();
    if (lost) ++counts_.lost_names;
    return lost;
  };
}

// --- SimDisk ---

SimDisk::~SimDisk() {
  image_->DropCompletions(this);
  if (image_->lock_holder_ == this) image_->lock_holder_ = nullptr;
}

template <typename Effect, typename Done>
void SimDisk::Start(const char* what, const std::string& file, Duration latency,
                    Effect effect, Done done) {
  image_->Submit(process_, latency, {},
                 MakeOperation(this, std::move(effect), std::move(done)), what,
                 file);
}

Duration SimDisk::NameLatency() {
  return image_->Latency(kNameLatency, process_, 10us, 60us);
}

void SimDisk::Open(const std::string& name, OpenMode mode,
                   ResultFn<std::unique_ptr<File>> done) {
  if (!process_->BeginIo(SimProcess::Io::kDisk)) return;
  using Result = absl::StatusOr<std::shared_ptr<FileImage>>;
  Start(
      "open", name, NameLatency(),
      [image = image_, name, mode](uint64_t id) -> Result {
        std::shared_ptr<FileImage> file = image->names_.Find(name);
        if (mode == OpenMode::kExisting) {
          if (file == nullptr) return NotThere("open", name);
          return file;
        }
        if (file != nullptr) {
          return absl::AlreadyExistsError(
              absl::StrCat("create ", name, ": it is there already"));
        }
        file = std::make_shared<FileImage>(0);
        image->names_.Add(id, name, file);
        return file;
      },
      [process = process_, image = image_, name,
       done = std::move(done)](Result file) mutable {
        if (!file.ok()) return done(file.status());
        done(std::make_unique<SimFile>(process, image, name, *std::move(file)));
      });
}

void SimDisk::Allocate(const std::string& name, uint64_t size,
                       ResultFn<std::unique_ptr<File>> done) {
  if (!process_->BeginIo(SimProcess::Io::kDisk)) return;
  using Result = absl::StatusOr<std::shared_ptr<FileImage>>;
  auto whole = [image = image_, name, size](uint64_t id) -> Result {
    if (image->names_.Find(name) != nullptr) {
      return absl::AlreadyExistsError(
          absl::StrCat("allocate ", name, ": it is there already"));
    }
    if (image->RoomFor(size) < size) return image->Full("allocate", name);
    auto file = std::make_shared<FileImage>(size);
    image->names_.Add(id, name, file);
    return file;
  };
  // Its name comes first, then one piece of zeroes after the other, and a sync
  // at the end: until then no length of it is durable.
  auto part = [image = image_, name, size](uint64_t id, uint64_t how_far) {
    if (image->names_.Find(name) != nullptr) return;
    auto file = std::make_shared<FileImage>(0);
    const uint64_t written = Below(how_far, size + 1);
    file->Truncate(id, std::min(written, image->RoomFor(size)));
    image->names_.Add(id, name, std::move(file));
  };
  auto after = [process = process_, image = image_, name,
                done = std::move(done)](Result file) mutable {
    if (!file.ok()) return done(file.status());
    done(std::make_unique<SimFile>(process, image, name, *std::move(file)));
  };
  image_->Submit(process_, image_->Latency(kNameLatency, process_, 500us, 3ms),
                 {},
                 MakePartialOperation(this, std::move(whole), std::move(part),
                                      std::move(after)),
                 "allocate", name);
}

void SimDisk::List(ResultFn<std::vector<FileInfo>> done) {
  if (!process_->BeginIo(SimProcess::Io::kDisk)) return;
  Start(
      "list", "", NameLatency(),
      [image = image_](uint64_t) {
        std::vector<FileInfo> files;
        for (const auto& [name, file] : image->names_.now()) {
          files.push_back({name, file->now().size()});
        }
        return files;
      },
      std::move(done));
}

void SimDisk::Rename(const std::string& from, const std::string& to,
                     DoneFn done) {
  if (!process_->BeginIo(SimProcess::Io::kDisk)) return;
  Start(
      "rename", absl::StrCat(from, " to ", to), NameLatency(),
      [image = image_, from, to](uint64_t id) {
        if (image->names_.Find(from) == nullptr) {
          return NotThere("rename", from);
        }
        image->names_.Rename(id, from, to);
        return absl::OkStatus();
      },
      std::move(done));
}

void SimDisk::Remove(const std::string& name, DoneFn done) {
  if (!process_->BeginIo(SimProcess::Io::kDisk)) return;
  Start(
      "remove", name, NameLatency(),
      [image = image_, name](uint64_t id) {
        if (image->names_.Find(name) == nullptr) {
          return NotThere("remove", name);
        }
        image->names_.Remove(id, name);
        return absl::OkStatus();
      },
      std::move(done));
}

void SimDisk::SyncDir(DoneFn done) {
  if (!process_->BeginIo(SimProcess::Io::kDisk)) return;
  const SimDiskOptions& o = image_->options_;
  const Duration latency =
      image_->Latency(kSyncLatency, process_, o.sync_min, o.sync_max);
  const bool fails =
      image_
          ->Fails(faults::kSyncError, process_,
                  o.sync_errors_of.empty() ? o.sync_error_ppm : 0,
                  &image_->counts_.sync_errors)
          .has_value();
  // A Disk remembers: all its later syncs fail, too. Those of the next process
  // don't.
  Start(
      "sync", "", latency,
      [image = image_, fails, failed = directory_failed_,
       actor = process_->chance_actor()](uint64_t id) {
        if (fails && !*failed) {
          *failed = true;
          image->names_.FailSyncBefore(id, image->LosesNames(actor));
        }
        if (*failed) {
          return absl::InternalError(DeviceError("sync of", "the directory"));
        }
        image->names_.SyncBefore(id);
        return absl::OkStatus();
      },
      std::move(done));
}

void SimDisk::Lock(DoneFn done) {
  if (!process_->BeginIo(SimProcess::Io::kDisk)) return;
  Start(
      "lock", "", 10us,
      [image = image_, self = static_cast<const void*>(this)](uint64_t) {
        if (image->lock_holder_ != nullptr && image->lock_holder_ != self) {
          return absl::FailedPreconditionError(
              "the data directory is in use by another process");
        }
        image->lock_holder_ = self;
        return absl::OkStatus();
      },
      std::move(done));
}

void SimDisk::FreeSpace(ResultFn<uint64_t> done) {
  if (!process_->BeginIo(SimProcess::Io::kDisk)) return;
  Start(
      "free space", "", 10us,
      [image = image_](uint64_t) {
        const uint64_t capacity = image->capacity_bytes_;
        return capacity - std::min(capacity, image->used_bytes());
      },
      std::move(done));
}

}  // namespace holdfast
