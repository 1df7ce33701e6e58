#include "sim/sim_disk.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"
#include "engine/base/crc32c.h"

namespace holdfast {
namespace {

constexpr ChanceSite kWriteLatency("disk/write_latency");
constexpr ChanceSite kSyncLatency("disk/sync_latency");
constexpr ChanceSite kReadLatency("disk/read_latency");
constexpr ChanceSite kNameLatency("disk/name_latency");
constexpr ChanceSite kSlow("disk/slow");
constexpr ChanceSite kDropInFlight("disk/drop_in_flight");
constexpr ChanceSite kLoseWrite("disk/lose_write");
constexpr ChanceSite kTear("disk/tear");
constexpr ChanceSite kLoseName("disk/lose_name");

// Of each unsynced write, name, and operation under way.
constexpr uint64_t kHalf_ppm = 500000;
constexpr uint64_t kTearOften_ppm = 300000;
constexpr uint64_t kFreeBytes = uint64_t{1} << 40;

absl::Status NotThere(const std::string& name) {
  return absl::NotFoundError(absl::StrCat("open ", name, ": no such file"));
}

}  // namespace

// --- DiskImage ---

DiskImage::DiskImage(World* world, MachineId machine, SimDiskOptions options)
    : world_(world), machine_(machine), options_(options) {}

DiskImage::~DiskImage() = default;

void DiskImage::Apply(std::string* bytes, const Change& change) {
  if (change.truncate) {
    bytes->resize(change.at);
    return;
  }
  if (bytes->size() < change.at + change.data.size()) {
    bytes->resize(change.at + change.data.size());
  }
  if (!change.data.empty()) {
    std::memcpy(bytes->data() + change.at, change.data.data(),
                change.data.size());
  }
}

void DiskImage::Write(FileImage* file, uint64_t at, const Buffer& data) {
  Change change{.truncate = false, .at = at, .data = data};
  Apply(&file->now, change);
  file->unsynced.push_back(std::move(change));
  ++counts_.writes;
}

void DiskImage::Sync(FileImage* file) {
  for (const Change& change : file->unsynced) Apply(&file->durable, change);
  file->unsynced.clear();
  ++counts_.syncs;
}

void DiskImage::ApplyName(
    std::map<std::string, std::shared_ptr<FileImage>>* names,
    const NameChange& change) {
  if (change.file == nullptr) {
    names->erase(change.name);
  } else {
    (*names)[change.name] = change.file;
  }
  if (!change.renamed_from.empty()) names->erase(change.renamed_from);
}

void DiskImage::ChangeName(NameChange change) {
  ApplyName(&names_, change);
  unsynced_names_.push_back(std::move(change));
}

void DiskImage::SyncNames() {
  durable_names_ = names_;
  unsynced_names_.clear();
}

Duration DiskImage::Latency(const ChanceSite& site, SimProcess* process,
                            Duration min, Duration max) {
  ChanceActor actor = process->chance_actor();
  uint64_t ordinal = draws_++;
  uint64_t span = static_cast<uint64_t>((max - min).count()) + 1;
  Duration latency = min + Duration(static_cast<int64_t>(world_->chance.Below(
                               site, actor, ordinal, span)));
  std::optional<uint64_t> slow =
      world_->chance.Fault(kSlow, actor, ordinal, options_.slow_ppm);
  if (slow.has_value()) {
    ++counts_.slow;
    latency += Duration(static_cast<int64_t>(
        Below(*slow, static_cast<uint64_t>(options_.slow_max.count()))));
  }
  return latency;
}

void DiskImage::ProcessDied(const SimProcess& process) {
  locked_ = false;
  std::deque<InFlight> left = std::move(in_flight_);
  in_flight_.clear();
  for (InFlight& op : left) {
    uint64_t ordinal = draws_++;
    bool dropped =
        world_->chance
            .Fault(kDropInFlight, process.chance_actor(), ordinal, kHalf_ppm)
            .has_value();
    if (!dropped) op.effect();
  }
  busy_until_ = world_->now();
}

void DiskImage::PowerLost(uint32_t boot) {
  ChanceActor actor{machine_, boot};
  Chance& chance = world_->chance;
  // A file that only the volatile directory has is lost with its name.
  std::map<std::string, std::shared_ptr<FileImage>> names = durable_names_;
  for (const NameChange& change : unsynced_names_) {
    uint64_t ordinal = draws_++;
    if (chance.Fault(kLoseName, actor, ordinal, kHalf_ppm).has_value()) {
      ++counts_.lost_names;
      continue;
    }
    ApplyName(&names, change);
  }
  for (auto& [name, file] : names) {
    for (const Change& change : file->unsynced) {
      uint64_t ordinal = draws_++;
      if (chance.Fault(kLoseWrite, actor, ordinal, kHalf_ppm).has_value()) {
        ++counts_.lost_writes;
        continue;
      }
      std::optional<uint64_t> tear =
          chance.Fault(kTear, actor, ordinal, kTearOften_ppm);
      if (change.truncate || !tear.has_value()) {
        Apply(&file->durable, change);
        continue;
      }
      // Some of its sectors only.
      ++counts_.torn_writes;
      for (uint64_t from = 0; from < change.data.size();) {
        uint64_t at = change.at + from;
        uint64_t n = std::min<uint64_t>(kSector - at % kSector,
                                        change.data.size() - from);
        if ((HashCombine(*tear, from) & 1) != 0) {
          Apply(&file->durable, Change{.truncate = false,
                                       .at = at,
                                       .data = change.data.Slice(from, n)});
        }
        from += n;
      }
    }
    file->unsynced.clear();
    file->now = file->durable;
  }
  names_ = names;
  durable_names_ = std::move(names);
  unsynced_names_.clear();
}

// --- SimFile ---

class SimFile final : public File {
 public:
  SimFile(SimDisk* disk, std::shared_ptr<DiskImage::FileImage> image)
      : disk_(disk),
        disk_alive_(disk->alive_),
        image_(std::move(image)),
        size_(image_->now.size()) {}

  void Read(uint64_t at, size_t n, ResultFn<Buffer> done) override {
    if (!Begin()) return;
    Duration latency = Latency(kReadLatency);
    auto result = std::make_shared<Buffer>();
    disk_->Submit(
        latency, false,
        [image = image_, result, at, n] {
          if (at >= image->now.size()) return;
          *result = Buffer::Copy(absl::string_view(image->now).substr(at, n));
        },
        Guard([result, done = std::move(done)]() mutable {
          done(std::move(*result));
        }));
  }

  void Write(uint64_t at, Buffers data, DoneFn done) override {
    if (!Begin()) return;
    Buffer bytes = Flatten(data);
    uint64_t end = at + bytes.size();
    for (const auto& [other_begin, other_end] : *writing_) {
      CHECK(end <= other_begin || other_end <= at);
    }
    writing_->emplace_back(at, end);
    disk_->process_->world()->trace.Bytes(Crc32c(bytes.view()), bytes.size());
    Duration latency = Latency(kWriteLatency);
    DiskImage* image = disk_->image_;
    disk_->Submit(
        latency, true,
        [image, file = image_, at, bytes, writing = writing_] {
          image->Write(file.get(), at, bytes);
          auto it = std::find_if(writing->begin(), writing->end(),
                                 [at](const auto& r) { return r.first == at; });
          writing->erase(it);
        },
        Guard([this, end, done = std::move(done)]() mutable {
          size_ = std::max(size_, end);
          done(absl::OkStatus());
        }));
  }

  void Sync(DoneFn done) override {
    if (!Begin()) return;
    Duration latency = Latency(kSyncLatency);
    DiskImage* image = disk_->image_;
    disk_->Submit(
        latency, true, [image, file = image_] { image->Sync(file.get()); },
        Guard([done = std::move(done)]() mutable { done(absl::OkStatus()); }));
  }

  void Truncate(uint64_t size, DoneFn done) override {
    if (!Begin()) return;
    Duration latency = Latency(kWriteLatency);
    disk_->Submit(
        latency, true,
        [file = image_, size] {
          DiskImage::Change change{.truncate = true, .at = size, .data = {}};
          DiskImage::Apply(&file->now, change);
          file->unsynced.push_back(std::move(change));
        },
        Guard([this, size, done = std::move(done)]() mutable {
          size_ = size;
          done(absl::OkStatus());
        }));
  }

  uint64_t size() const override { return size_; }

 private:
  bool Begin() { return !disk_alive_.expired() && disk_->process_->BeginIo(); }

  Duration Latency(const ChanceSite& site) {
    const SimDiskOptions& o = disk_->image_->options_;
    if (&site == &kReadLatency) {
      return disk_->image_->Latency(site, disk_->process_, o.read_min,
                                    o.read_max);
    }
    if (&site == &kSyncLatency) {
      return disk_->image_->Latency(site, disk_->process_, o.sync_min,
                                    o.sync_max);
    }
    return disk_->image_->Latency(site, disk_->process_, o.write_min,
                                  o.write_max);
  }

  template <typename F>
  Task Guard(F f) {
    return [alive = std::weak_ptr<int>(alive_), f = std::move(f)]() mutable {
      if (!alive.expired()) f();
    };
  }

  SimDisk* const disk_;
  const std::weak_ptr<int> disk_alive_;
  const std::shared_ptr<DiskImage::FileImage> image_;
  uint64_t size_;
  std::shared_ptr<std::vector<std::pair<uint64_t, uint64_t>>> writing_ =
      std::make_shared<std::vector<std::pair<uint64_t, uint64_t>>>();
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

// --- SimDisk ---

SimDisk::SimDisk(SimProcess* process, DiskImage* image)
    : process_(process), image_(image) {}

SimDisk::~SimDisk() = default;

void SimDisk::Submit(Duration latency, bool in_order,
                     InlineFunction<void(), 96> effect, Task after) {
  World* world = process_->world();
  TrueTime when = world->now() + latency;
  if (in_order) {
    // One after the other, as a single device does it.
    when = std::max(image_->busy_until_, world->now()) + latency;
    image_->busy_until_ = when;
  }
  uint64_t id = image_->next_op_++;
  image_->in_flight_.push_back(DiskImage::InFlight{id, std::move(effect)});
  world->scheduler.At(
      when, process_->actor(), EventKind::kDisk,
      [this, id, after = std::move(after)]() mutable {
        auto it = std::find_if(
            image_->in_flight_.begin(), image_->in_flight_.end(),
            [id](const DiskImage::InFlight& op) { return op.id == id; });
        CHECK(it != image_->in_flight_.end());
        InlineFunction<void(), 96> happens = std::move(it->effect);
        image_->in_flight_.erase(it);
        happens();
        after();
      });
}

void SimDisk::Open(const std::string& name, OpenMode mode,
                   ResultFn<std::unique_ptr<File>> done) {
  if (!process_->BeginIo()) return;
  Duration latency = image_->Latency(kNameLatency, process_, 10us, 60us);
  auto opened = std::make_shared<std::shared_ptr<DiskImage::FileImage>>();
  auto status = std::make_shared<absl::Status>();
  Submit(
      latency, false,
      [image = image_, name, mode, opened, status] {
        auto it = image->names_.find(name);
        if (mode == OpenMode::kExisting) {
          if (it == image->names_.end()) {
            *status = NotThere(name);
          } else {
            *opened = it->second;
          }
        } else if (it != image->names_.end()) {
          *status = absl::AlreadyExistsError(
              absl::StrCat("open ", name, ": it is there already"));
        } else {
          *opened = std::make_shared<DiskImage::FileImage>();
          image->ChangeName({name, *opened, ""});
        }
      },
      [this, opened, status, done = std::move(done)]() mutable {
        if (!status->ok()) return done(*status);
        done(std::make_unique<SimFile>(this, *opened));
      });
}

void SimDisk::Allocate(const std::string& name, uint64_t size,
                       ResultFn<std::unique_ptr<File>> done) {
  if (!process_->BeginIo()) return;
  Duration latency = image_->Latency(kNameLatency, process_, 500us, 3ms);
  auto opened = std::make_shared<std::shared_ptr<DiskImage::FileImage>>();
  Submit(
      latency, false,
      [image = image_, name, size, opened] {
        if (image->names_.contains(name)) return;
        *opened = std::make_shared<DiskImage::FileImage>();
        (*opened)->now.assign(size, '\0');
        (*opened)->durable.assign(size, '\0');
        image->ChangeName({name, *opened, ""});
      },
      [this, name, opened, done = std::move(done)]() mutable {
        if (*opened == nullptr) {
          return done(absl::AlreadyExistsError(
              absl::StrCat("allocate ", name, ": it is there already")));
        }
        done(std::make_unique<SimFile>(this, *opened));
      });
}

void SimDisk::List(ResultFn<std::vector<FileInfo>> done) {
  if (!process_->BeginIo()) return;
  Duration latency = image_->Latency(kNameLatency, process_, 10us, 60us);
  Submit(
      latency, false, [] {},
      [this, done = std::move(done)]() mutable {
        std::vector<FileInfo> files;
        for (const auto& [name, file] : image_->names_) {
          files.push_back(FileInfo{name, file->now.size()});
        }
        done(std::move(files));
      });
}

void SimDisk::Rename(const std::string& from, const std::string& to,
                     DoneFn done) {
  if (!process_->BeginIo()) return;
  Duration latency = image_->Latency(kNameLatency, process_, 10us, 60us);
  auto status = std::make_shared<absl::Status>();
  Submit(
      latency, false,
      [image = image_, from, to, status] {
        auto it = image->names_.find(from);
        if (it == image->names_.end()) {
          *status = NotThere(from);
          return;
        }
        image->ChangeName({to, it->second, from});
      },
      [status, done = std::move(done)]() mutable { done(*status); });
}

void SimDisk::Remove(const std::string& name, DoneFn done) {
  if (!process_->BeginIo()) return;
  Duration latency = image_->Latency(kNameLatency, process_, 10us, 60us);
  auto status = std::make_shared<absl::Status>();
  Submit(
      latency, false,
      [image = image_, name, status] {
        if (!image->names_.contains(name)) {
          *status = NotThere(name);
          return;
        }
        image->ChangeName({name, nullptr, ""});
      },
      [status, done = std::move(done)]() mutable { done(*status); });
}

void SimDisk::SyncDir(DoneFn done) {
  if (!process_->BeginIo()) return;
  const SimDiskOptions& o = image_->options_;
  Duration latency =
      image_->Latency(kSyncLatency, process_, o.sync_min, o.sync_max);
  Submit(
      latency, false, [image = image_] { image->SyncNames(); },
      [done = std::move(done)]() mutable { done(absl::OkStatus()); });
}

void SimDisk::Lock(DoneFn done) {
  if (!process_->BeginIo()) return;
  auto status = std::make_shared<absl::Status>();
  Submit(
      10us, false,
      [image = image_, status] {
        if (image->locked_) {
          *status = absl::FailedPreconditionError(
              "the data directory is in use by another process");
        }
        image->locked_ = true;
      },
      [status, done = std::move(done)]() mutable { done(*status); });
}

void SimDisk::FreeSpace(ResultFn<uint64_t> done) {
  if (!process_->BeginIo()) return;
  Submit(
      10us, false, [] {},
      [done = std::move(done)]() mutable { done(kFreeBytes); });
}

}  // namespace holdfast
