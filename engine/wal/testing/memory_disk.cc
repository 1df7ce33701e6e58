#include "engine/wal/testing/memory_disk.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"

namespace holdfast {
namespace {

// Of what only reads, and of what changes something.
absl::Status ReadError(absl::string_view what) {
  return absl::DataLossError(absl::StrCat(what, ": injected device error"));
}
absl::Status DeviceError(absl::string_view what) {
  return absl::InternalError(absl::StrCat(what, ": injected device error"));
}

}  // namespace

class MemoryFile : public File {
 public:
  MemoryFile(MemoryDisk* disk, std::string name,
             std::shared_ptr<MemoryDisk::Inode> inode)
      : disk_(disk), name_(std::move(name)), inode_(std::move(inode)) {}

  void Read(uint64_t at, size_t n, ResultFn<Buffer> done) override {
    disk_->Complete(
        Call::kRead, name_, alive_,
        [this, at, n, done = std::move(done)](bool failed) mutable {
          if (at < inode_->refused_to && inode_->refused_from < at + n) {
            failed = true;
          }
          if (failed) return done(ReadError(name_));
          absl::string_view all = inode_->current;
          absl::string_view bytes =
              at >= all.size() ? absl::string_view() : all.substr(at, n);
          // On the stack: `done` may destroy this file, and this task with it.
          ResultFn<Buffer> call = std::move(done);
          call(Buffer::Copy(bytes));
        });
  }

  void Write(uint64_t at, Buffers data, DoneFn done) override {
    MemoryDisk::FileOp op;
    op.at = at;
    for (const Buffer& b : data) op.bytes.append(b.data(), b.size());
    for (const auto& [from, to] : writing_) {
      CHECK(at >= to || at + op.bytes.size() <= from);
    }
    auto range = writing_.emplace(at, at + op.bytes.size());
    Submit(std::move(op));
    disk_->Complete(Call::kWrite, name_, alive_,
                    [this, range, done = std::move(done)](bool failed) mutable {
                      writing_.erase(range);
                      if (failed) write_failed_ = true;
                      DoneFn call = std::move(done);
                      call(failed ? DeviceError(name_) : absl::OkStatus());
                    });
  }

  void Sync(DoneFn done) override {
    uint64_t before = disk_->next_op_;
    disk_->Complete(
        Call::kSync, name_, alive_,
        [this, before, done = std::move(done)](bool failed) mutable {
          std::vector<MemoryDisk::FileOp> left;
          for (MemoryDisk::FileOp& op : inode_->unsynced) {
            if (op.number < before && (failed || write_failed_)) op.lost = true;
            if (op.number >= before || op.lost) {
              left.push_back(std::move(op));
            } else {
              MemoryDisk::Apply(op, &inode_->durable);
            }
          }
          inode_->unsynced = std::move(left);
          DoneFn call = std::move(done);
          call(failed || write_failed_ ? DeviceError(name_) : absl::OkStatus());
        });
  }

  void Truncate(uint64_t size, DoneFn done) override {
    MemoryDisk::FileOp op;
    op.truncate = true;
    op.at = size;
    const uint64_t number = disk_->next_op_;
    Submit(std::move(op));
    disk_->Complete(
        Call::kTruncate, name_, alive_,
        [this, number, done = std::move(done)](bool failed) mutable {
          if (failed && !disk_->changed_) TakeBack(number);
          DoneFn call = std::move(done);
          call(failed ? DeviceError(name_) : absl::OkStatus());
        });
  }

  uint64_t size() const override { return inode_->current.size(); }

 private:
  using Call = MemoryDisk::Call;

  void TakeBack(uint64_t number) {
    std::erase_if(inode_->unsynced, [number](const MemoryDisk::FileOp& op) {
      return op.number == number;
    });
    inode_->current = inode_->durable;
    for (const MemoryDisk::FileOp& op : inode_->unsynced) {
      MemoryDisk::Apply(op, &inode_->current);
    }
  }
  void Submit(MemoryDisk::FileOp op) {
    op.number = disk_->next_op_++;
    MemoryDisk::Apply(op, &inode_->current);
    inode_->unsynced.push_back(std::move(op));
  }

  MemoryDisk* const disk_;
  const std::string name_;
  const std::shared_ptr<MemoryDisk::Inode> inode_;
  std::multimap<uint64_t, uint64_t> writing_;
  bool write_failed_ = false;
  std::shared_ptr<int> alive_ = std::make_shared<int>();
};

// --- Faults ---

std::map<uint64_t, std::shared_ptr<MemoryDisk::Inode>> MemoryDisk::Files()
    const {
  std::map<uint64_t, std::shared_ptr<Inode>> files;
  for (const auto& [name, file] : names_) files[file->id] = file;
  for (const auto& [name, file] : durable_names_) files[file->id] = file;
  for (const NameOp& op : unsynced_names_) {
    if (op.file != nullptr) files[op.file->id] = op.file;
  }
  return files;
}

size_t MemoryDisk::unsynced_ops() const {
  size_t ops = unsynced_names_.size();
  for (const auto& [id, file] : Files()) ops += file->unsynced.size();
  return ops;
}

std::map<uint64_t, size_t> MemoryDisk::Ordinals() const {
  std::map<uint64_t, size_t> ordinals;
  for (const NameOp& op : unsynced_names_) ordinals[op.number] = 0;
  for (const auto& [id, file] : Files()) {
    for (const FileOp& op : file->unsynced) ordinals[op.number] = 0;
  }
  size_t next = 0;
  for (auto& [number, ordinal] : ordinals) ordinal = next++;
  return ordinals;
}

std::vector<std::pair<uint64_t, uint64_t>> MemoryDisk::Sectors(
    const FileOp& op) {
  std::vector<std::pair<uint64_t, uint64_t>> sectors;
  for (uint64_t from = op.at, end = op.at + op.bytes.size(); from < end;) {
    uint64_t to = std::min(end, (from / kSectorBytes + 1) * kSectorBytes);
    sectors.emplace_back(from, to);
    from = to;
  }
  return sectors;
}

bool MemoryDisk::IsSame(const Inode& file, uint64_t from, uint64_t to) {
  if (to > file.durable.size()) return false;
  for (const FileOp& op : file.unsynced) {
    if (op.truncate) {
      if (op.at < to) return false;
      continue;
    }
    const uint64_t begin = std::max(from, op.at);
    const uint64_t end = std::min<uint64_t>(to, op.at + op.bytes.size());
    if (begin < end && file.durable.compare(begin, end - begin, op.bytes,
                                            begin - op.at, end - begin) != 0) {
      return false;
    }
  }
  return true;
}

std::vector<MemoryDisk::Part> MemoryDisk::UnsyncedParts() const {
  const std::map<uint64_t, size_t> ordinals = Ordinals();
  std::vector<Part> parts;
  for (const NameOp& op : unsynced_names_) {
    parts.push_back({.op = ordinals.at(op.number)});
  }
  for (const auto& [id, file] : Files()) {
    for (const FileOp& op : file->unsynced) {
      const size_t ordinal = ordinals.at(op.number);
      if (op.truncate) parts.push_back({.op = ordinal});
      size_t sector = 0;
      for (const auto& [from, to] : Sectors(op)) {
        if (!IsSame(*file, from, to)) parts.push_back({ordinal, sector});
        ++sector;
      }
    }
  }
  return parts;
}

std::unique_ptr<MemoryDisk> MemoryDisk::AfterCrash(
    Loop* loop, const Survives& survives) const {
  std::map<uint64_t, std::shared_ptr<Inode>> files = Files();
  const std::map<uint64_t, size_t> ordinals = Ordinals();
  auto disk = std::make_unique<MemoryDisk>(loop);
  for (auto& [id, file] : files) {
    std::shared_ptr<Inode> old = std::move(file);
    file = disk->NewFile();
    file->durable = old->durable;
    for (const FileOp& op : old->unsynced) {
      size_t ordinal = ordinals.at(op.number);
      if (op.truncate) {
        if (survives(ordinal, 0)) Apply(op, &file->durable);
        continue;
      }
      size_t sector = 0;
      for (const auto& [from, to] : Sectors(op)) {
        if (!survives(ordinal, sector++)) continue;
        FileOp part;
        part.at = from;
        part.bytes = op.bytes.substr(from - op.at, to - from);
        Apply(part, &file->durable);
      }
    }
    file->current = file->durable;
  }
  NameMap names = durable_names_;
  for (const NameOp& op : unsynced_names_) {
    if (survives(ordinals.at(op.number), 0)) Apply(op, &names);
  }
  for (const auto& [name, file] : names) {
    disk->names_[name] = files.at(file->id);
  }
  disk->durable_names_ = disk->names_;
  return disk;
}

std::unique_ptr<MemoryDisk> MemoryDisk::AfterProcessDeath(Loop* loop) const {
  auto disk = std::make_unique<MemoryDisk>(loop);
  std::map<uint64_t, std::shared_ptr<Inode>> files = Files();
  for (auto& [id, file] : files) file = std::make_shared<Inode>(*file);
  auto copy = [&files](const NameMap& from) {
    NameMap to;
    for (const auto& [name, file] : from) to[name] = files.at(file->id);
    return to;
  };
  disk->names_ = copy(names_);
  disk->durable_names_ = copy(durable_names_);
  disk->unsynced_names_ = unsynced_names_;
  for (NameOp& op : disk->unsynced_names_) {
    if (op.file != nullptr) op.file = files.at(op.file->id);
  }
  disk->next_file_ = next_file_;
  disk->next_op_ = next_op_;
  return disk;
}

std::shared_ptr<MemoryDisk::Inode> MemoryDisk::NewFile() {
  auto file = std::make_shared<Inode>();
  file->id = next_file_++;
  return file;
}

void MemoryDisk::Apply(const FileOp& op, std::string* bytes) {
  if (op.truncate) {
    bytes->resize(op.at, '\0');
    return;
  }
  uint64_t end = op.at + op.bytes.size();
  if (bytes->size() < end) bytes->resize(end, '\0');
  bytes->replace(op.at, op.bytes.size(), op.bytes);
}

void MemoryDisk::Apply(const NameOp& op, NameMap* names) {
  if (!op.from.empty()) names->erase(op.from);
  if (!op.to.empty()) (*names)[op.to] = op.file;
}

void MemoryDisk::ChangeNames(NameOp op) {
  op.number = next_op_++;
  Apply(op, &names_);
  unsynced_names_.push_back(std::move(op));
}

void MemoryDisk::TakeBack(uint64_t number, const std::string& name,
                          const std::shared_ptr<Inode>& file) {
  std::erase_if(unsynced_names_,
                [number](const NameOp& op) { return op.number == number; });
  if (file != nullptr) {
    names_[name] = file;
  } else {
    names_.erase(name);
  }
}

void MemoryDisk::Complete(Call call, const std::string& name,
                          std::weak_ptr<void> alive,
                          InlineFunction<void(bool)> run) {
  loop_->Post([this, disk = std::weak_ptr<int>(alive_), call, name,
               alive = std::move(alive), run = std::move(run)]() mutable {
    if (disk.expired() || completions_ >= stop_after_) return;
    const bool failed = ++completions_ == fail_at_;
    if (alive.expired()) return;
    if (failed) failed_ = Failed{.call = call, .name = name};
    run(failed);
  });
}

// --- Inspection and damage ---

std::vector<std::string> MemoryDisk::Names() const {
  std::vector<std::string> names;
  for (const auto& [name, file] : names_) names.push_back(name);
  return names;
}

std::string MemoryDisk::Contents(const std::string& name) const {
  return names_.at(name)->current;
}

void MemoryDisk::SetContents(const std::string& name, std::string bytes) {
  auto file = NewFile();
  file->durable = bytes;
  file->current = std::move(bytes);
  durable_names_[name] = names_[name] = file;
}

void MemoryDisk::Flip(const std::string& name, size_t at, char bits) {
  auto file = names_.at(name);
  file->durable[at] = static_cast<char>(file->durable[at] ^ bits);
  file->current[at] = static_cast<char>(file->current[at] ^ bits);
}

void MemoryDisk::Refuse(const std::string& name, size_t from, size_t to) {
  names_.at(name)->refused_from = from;
  names_.at(name)->refused_to = to;
}

void MemoryDisk::Delete(const std::string& name) {
  names_.erase(name);
  durable_names_.erase(name);
}

// --- Disk ---

void MemoryDisk::Open(const std::string& name, OpenMode mode,
                      ResultFn<std::unique_ptr<File>> done) {
  const bool create = mode == OpenMode::kCreateNew;
  Complete(create ? Call::kCreate : Call::kOpen, name, alive_,
           [this, name, create, done = std::move(done)](bool failed) mutable {
             if (failed && !create) return done(ReadError(name));
             if (failed && !changed_) return done(DeviceError(name));
             const bool there = names_.contains(name);
             if (!create && !there) return done(absl::NotFoundError(name));
             if (create && there) return done(absl::AlreadyExistsError(name));
             if (create) {
               NameOp op;
               op.to = name;
               op.file = NewFile();
               ChangeNames(std::move(op));
             }
             if (failed) return done(DeviceError(name));
             done(std::make_unique<MemoryFile>(this, name, names_.at(name)));
           });
}

void MemoryDisk::Allocate(const std::string& name, uint64_t size,
                          ResultFn<std::unique_ptr<File>> done) {
  // The name may be there after a crash before the zeroes are.
  auto file = NewFile();
  bool exists = names_.contains(name);
  const bool full = full_ && size > room_;
  const uint64_t number = next_op_;
  if (!exists && !full) {
    NameOp op;
    op.to = name;
    op.file = file;
    ChangeNames(std::move(op));
    FileOp zeroes;
    zeroes.number = next_op_++;
    zeroes.truncate = true;
    zeroes.at = size;
    Apply(zeroes, &file->current);
    file->unsynced.push_back(std::move(zeroes));
  }
  Complete(Call::kAllocate, name, alive_,
           [this, name, file, exists, full, number,
            done = std::move(done)](bool failed) mutable {
             if (failed && !changed_ && !exists) {
               TakeBack(number, name, nullptr);
             }
             if (failed) return done(DeviceError(name));
             if (exists) return done(absl::AlreadyExistsError(name));
             if (full) return done(absl::ResourceExhaustedError(name));
             file->durable = file->current;
             file->unsynced.clear();
             done(std::make_unique<MemoryFile>(this, name, file));
           });
}

void MemoryDisk::List(ResultFn<std::vector<FileInfo>> done) {
  Complete(Call::kList, "", alive_,
           [this, done = std::move(done)](bool failed) mutable {
             if (failed) return done(ReadError("list"));
             std::vector<FileInfo> files;
             for (const auto& [name, file] : names_) {
               files.push_back(FileInfo{name, file->current.size()});
             }
             done(std::move(files));
           });
}

void MemoryDisk::Rename(const std::string& from, const std::string& to,
                        DoneFn done) {
  Complete(Call::kRename, from, alive_,
           [this, from, to, done = std::move(done)](bool failed) mutable {
             if (failed && !changed_) return done(DeviceError(from));
             auto it = names_.find(from);
             if (it == names_.end()) return done(absl::NotFoundError(from));
             NameOp op;
             op.from = from;
             op.to = to;
             op.file = it->second;
             ChangeNames(std::move(op));
             done(failed ? DeviceError(from) : absl::OkStatus());
           });
}

void MemoryDisk::Remove(const std::string& name, DoneFn done) {
  // From the call on: it may overtake what was begun before.
  const auto it = names_.find(name);
  const std::shared_ptr<Inode> file = it == names_.end() ? nullptr : it->second;
  const uint64_t number = next_op_;
  if (file != nullptr) {
    NameOp op;
    op.from = name;
    ChangeNames(std::move(op));
  }
  Complete(
      Call::kRemove, name, alive_,
      [this, name, file, number, done = std::move(done)](bool failed) mutable {
        if (failed && !changed_ && file != nullptr) {
          TakeBack(number, name, file);
        }
        if (failed) return done(DeviceError(name));
        done(file != nullptr ? absl::OkStatus() : absl::NotFoundError(name));
      });
}

void MemoryDisk::SyncDir(DoneFn done) {
  uint64_t before = next_op_;
  Complete(Call::kSyncDir, "", alive_,
           [this, before, done = std::move(done)](bool failed) mutable {
             if (failed) return done(DeviceError("directory"));
             std::vector<NameOp> left;
             for (NameOp& op : unsynced_names_) {
               if (op.number < before) {
                 Apply(op, &durable_names_);
               } else {
                 left.push_back(std::move(op));
               }
             }
             unsynced_names_ = std::move(left);
             done(absl::OkStatus());
           });
}

void MemoryDisk::Lock(DoneFn done) {
  Complete(Call::kLock, "", alive_,
           [done = std::move(done)](bool failed) mutable {
             done(failed ? DeviceError("lock") : absl::OkStatus());
           });
}

void MemoryDisk::FreeSpace(ResultFn<uint64_t> done) {
  Complete(Call::kFreeSpace, "", alive_,
           [this, done = std::move(done)](bool failed) mutable {
             if (failed) return done(ReadError("free space"));
             done(uint64_t{full_ ? 0u : 1u << 30});
           });
}

}  // namespace holdfast
