#ifndef HOLDFAST_ENGINE_WAL_TESTING_MEMORY_DISK_H_
#define HOLDFAST_ENGINE_WAL_TESTING_MEMORY_DISK_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/base/inline_function.h"
#include "engine/env/disk.h"
#include "engine/env/loop.h"

namespace holdfast {

// A Disk for tests, in memory, that knows what would be left if the power
// failed now. Each file, and the directory, has what is durable and the
// operations since the last sync; reads see both.
//
// Operations complete one at a time, in the order of the calls, each in a task
// of its own of the Loop. Their bytes may reach the platter from the call on;
// a sync makes durable what it covers when it completes.
class MemoryDisk : public Disk {
 public:
  explicit MemoryDisk(Loop* loop) : loop_(loop) {}

  // --- Faults ---

  // Whether the `sector`-th sector that the `op`-th unsynced operation touches
  // survives; operations that aren't writes have one sector, number 0.
  using Survives = std::function<bool(size_t op, size_t sector)>;
  static constexpr size_t kSectorBytes = 512;

  // Counted over the whole disk, in the order of the calls.
  size_t unsynced_ops() const;
  // What Survives is asked for and may make a difference: a sector that holds
  // the same bytes durably, and that nothing else changes, doesn't.
  struct Part {
    size_t op = 0;
    size_t sector = 0;
  };
  std::vector<Part> UnsyncedParts() const;
  // What the disk holds after a power failure at this moment.
  std::unique_ptr<MemoryDisk> AfterCrash(Loop* loop,
                                         const Survives& survives) const;
  // What another process finds when this one died and the power stayed on:
  // everything, what wasn't synced still unsynced.
  std::unique_ptr<MemoryDisk> AfterProcessDeath(Loop* loop) const;

  // I/O completions so far.
  uint64_t completions() const { return completions_; }
  // No operation completes once this many have.
  void StopAfter(uint64_t completions) { stop_after_ = completions; }
  // The completion with this number (from 1) is an error; if it is a sync's,
  // what it covered stays readable, but no later sync makes it durable.
  // `changed`: names were changed all the same, or the file truncated, which
  // nobody knows then.
  void FailAt(uint64_t completion, bool changed = true) {
    fail_at_ = completion;
    changed_ = changed;
  }
  enum class Call : uint8_t {
    kRead,
    kWrite,
    kSync,
    kTruncate,
    kOpen,
    kCreate,
    kAllocate,
    kList,
    kRename,
    kRemove,
    kSyncDir,
    kLock,
    kFreeSpace,
  };
  // What failed so, and of which file, if it is of one; nothing: nothing yet.
  struct Failed {
    Call call = Call::kRead;
    std::string name;
  };
  const std::optional<Failed>& failed() const { return failed_; }
  // Allocate fails with RESOURCE_EXHAUSTED, for more than `room` bytes.
  void set_full(bool full, uint64_t room = 0) {
    full_ = full;
    room_ = room;
  }

  // --- Inspection and damage ---

  std::vector<std::string> Names() const;
  // As read now. Needs the file to be there.
  std::string Contents(const std::string& name) const;
  // Makes or replaces a file, durably, whatever is open.
  void SetContents(const std::string& name, std::string bytes);
  // Of a file that may be open.
  void Flip(const std::string& name, size_t at, char bits);
  void Delete(const std::string& name);
  // Reads of anything between these positions are errors from now on.
  void Refuse(const std::string& name, size_t from, size_t to);

  // --- Disk ---

  void Open(const std::string& name, OpenMode mode,
            ResultFn<std::unique_ptr<File>> done) override;
  void Allocate(const std::string& name, uint64_t size,
                ResultFn<std::unique_ptr<File>> done) override;
  void List(ResultFn<std::vector<FileInfo>> done) override;
  void Rename(const std::string& from, const std::string& to,
              DoneFn done) override;
  void Remove(const std::string& name, DoneFn done) override;
  void SyncDir(DoneFn done) override;
  void Lock(DoneFn done) override;
  void FreeSpace(ResultFn<uint64_t> done) override;

 private:
  friend class MemoryFile;

  struct FileOp {
    uint64_t number = 0;  // in the order of all calls
    bool truncate = false;
    bool lost = false;  // a sync that covered it failed
    uint64_t at = 0;    // or the new size
    std::string bytes;
  };
  struct Inode {
    uint64_t id = 0;
    std::string durable;
    std::string current;
    std::vector<FileOp> unsynced;
    size_t refused_from = 0;
    size_t refused_to = 0;
  };
  using NameMap = std::map<std::string, std::shared_ptr<Inode>>;
  struct NameOp {
    uint64_t number = 0;
    std::string from;             // removed, if not empty
    std::string to;               // made, if not empty
    std::shared_ptr<Inode> file;  // what `to` names
  };

  static void Apply(const FileOp& op, std::string* bytes);
  static void Apply(const NameOp& op, NameMap* names);
  std::shared_ptr<Inode> NewFile();
  // By id: all that have a name now or may have one after a crash.
  std::map<uint64_t, std::shared_ptr<Inode>> Files() const;
  // By number, of all unsynced operations in the order of the calls.
  std::map<uint64_t, size_t> Ordinals() const;
  // The sectors of a write: from where to where in the file.
  static std::vector<std::pair<uint64_t, uint64_t>> Sectors(const FileOp& op);
  // Whether all that is unsynced there is as it is durably.
  static bool IsSame(const Inode& file, uint64_t from, uint64_t to);
  void ChangeNames(NameOp op);
  // As if that change hadn't been, which isn't synced: the name is this file's
  // again, or nobody's (null).
  void TakeBack(uint64_t number, const std::string& name,
                const std::shared_ptr<Inode>& file);
  // Runs `run(failed)` as the next completion, unless `alive` is gone.
  void Complete(Call call, const std::string& name, std::weak_ptr<void> alive,
                InlineFunction<void(bool)> run);

  Loop* const loop_;
  NameMap durable_names_;
  NameMap names_;
  std::vector<NameOp> unsynced_names_;
  uint64_t next_file_ = 1;
  uint64_t next_op_ = 0;
  uint64_t completions_ = 0;
  uint64_t stop_after_ = UINT64_MAX;
  uint64_t fail_at_ = 0;
  bool changed_ = true;  // ... though it failed
  std::optional<Failed> failed_;
  bool full_ = false;
  uint64_t room_ = 0;  // ... for files of no more bytes
  std::shared_ptr<int> alive_ = std::make_shared<int>();
};

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_WAL_TESTING_MEMORY_DISK_H_
