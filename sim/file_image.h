#ifndef HOLDFAST_SIM_FILE_IMAGE_H_
#define HOLDFAST_SIM_FILE_IMAGE_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/base/buffer.h"

namespace holdfast {

// Bytes in pages of 4 KiB; a page that was never written reads as zeroes and
// takes no memory, so preallocated segments cost nothing.
class SparseBytes {
 public:
  uint64_t size() const { return size_; }
  // Up to n bytes from `at`; fewer where they end.
  Buffer Read(uint64_t at, size_t n) const;
  // Extends if need be.
  void Write(uint64_t at, const char* data, size_t n);
  // Cuts, or extends by zeroes.
  void Resize(uint64_t size);
  SparseBytes Copy() const;
  // Whether anything was written to the page of that position.
  bool HasWritten(uint64_t at) const;
  uint64_t memory_bytes() const { return pages_written_ * kPage; }

 private:
  static constexpr size_t kPage = 4096;
  uint64_t size_ = 0;
  size_t pages_written_ = 0;
  std::vector<std::unique_ptr<char[]>> pages_;
};

// A file on a simulated disk, in two images: the volatile one, which any
// process reads, and the durable one, which a power loss leaves. Between the
// two stand the changes since the last sync, numbered as they were submitted.
class FileImage {
 public:
  // What a device, and what a file system writes as a whole.
  static constexpr uint64_t kSector = 512;
  static constexpr uint64_t kPage = 4096;

  // What a power loss does to one unsynced change.
  struct Fate {
    bool lost = false;
    // Of a torn write, whether what it has of the file's i-th sector is kept;
    // and whether the file reaches to the write's end all the same.
    std::function<bool(uint64_t)> keeps_sector;
    bool keeps_length = false;
    bool between_pages = false;  // it is torn there, and nowhere else
  };
  using FateFn = std::function<Fate(bool truncation)>;
  // What came of torn writes.
  struct Torn {
    uint64_t between_pages = 0;  // of which some are kept, and some aren't
    uint64_t length_first = 0;   // the file reaches farther than their bytes
  };

  // A new file of `size` zeroes, durable as such.
  explicit FileImage(uint64_t size);

  const SparseBytes& now() const { return now_; }
  const SparseBytes& durable() const { return durable_; }
  // How many changes it has taken.
  uint64_t durable_changes() const { return durable_changes_; }
  size_t unsynced() const { return unsynced_.size(); }

  void Write(uint64_t number, uint64_t at, Buffers data);
  void Truncate(uint64_t number, uint64_t size);
  // Makes durable what has a smaller number.
  void SyncBefore(uint64_t number);
  // A sync that fails: of what has a smaller number only what `fate` spares
  // becomes durable, and no later sync makes up for it, since the kernel takes
  // all of it for written ("Can Applications Recover from fsync Failures?",
  // ATC 2020). Processes still read it; or, with `reverts`, what is durable
  // instead.
  Torn FailSyncBefore(uint64_t number, const FateFn& fate, bool reverts);
  // Leaves the durable image and what `fate` spares of each unsynced change,
  // in their order.
  Torn LosePower(const FateFn& fate);
  // What is durable of it.
  std::shared_ptr<FileImage> CopyDurable() const;

  // Whether [from, to), cut to the file's size, is durable, and as processes
  // read it.
  bool AtRest(uint64_t from, uint64_t to) const;
  // Other bytes stand in both images from then on; needs AtRest.
  void Overwrite(uint64_t from, const Buffer& bytes);
  // Likewise nothing behind `size`.
  void CutShort(uint64_t size);
  // The device refuses to read what is between these positions, until something
  // is written there.
  void Refuse(uint64_t from, uint64_t to) { refused_.push_back({from, to}); }
  bool Refuses(uint64_t from, uint64_t to) const;
  // A page as it was before it was last written to durably; not one to which
  // nothing had been written.
  struct Earlier {
    uint64_t from = 0;
    uint64_t sync = 0;  // which of all syncs replaced it
    Buffer bytes;
  };
  // Of the pages last written to a few, the last one last.
  const std::vector<Earlier>& earlier() const { return earlier_; }
  // As Overwrite, by what stood there before: the device took a write for done
  // that it never did.
  void MakeStale(uint64_t from, const Buffer& bytes);
  // Whether any of it is stale still.
  bool stale() const;
  // How often it was damaged.
  uint64_t damages() const { return damages_; }
  // What the images and the changes between them take.
  uint64_t memory_bytes() const;

 private:
  struct Change {
    uint64_t number = 0;
    bool truncation = false;
    uint64_t at = 0;  // or the new size
    Buffers data;
  };
  static void Apply(const Change& change, SparseBytes* to);
  static void ApplyTorn(const Change& change, const Fate& fate, SparseBytes* to,
                        Torn* torn);
  static void ApplyFated(const Change& change, const FateFn& fate,
                         SparseBytes* to, Torn* torn);
  // Those that have a smaller number, in their order.
  std::vector<Change> TakeBefore(uint64_t number);
  // What the change is about to replace on the device.
  void Remember(const Change& change);
  // Whether the device has just these bytes there.
  bool Stands(const Earlier& page) const;

  SparseBytes now_;
  SparseBytes durable_;
  uint64_t durable_changes_ = 0;
  std::vector<Change> unsynced_;
  bool sync_failed_ = false;  // since then the images differ for good
  uint64_t damages_ = 0;
  struct Range {
    uint64_t from = 0;
    uint64_t to = 0;
  };
  std::vector<Range> refused_;
  uint64_t syncs_ = 0;
  std::vector<Earlier> earlier_;
  std::vector<Earlier> stale_;  // what was made so, and may stand no more
};

// The names of a directory, likewise in two images: changes are durable once
// the directory was synced after them.
class NameTable {
 public:
  using Files = std::map<std::string, std::shared_ptr<FileImage>>;

  const Files& now() const { return now_; }
  const Files& durable() const { return durable_; }
  // How many changes they have taken.
  uint64_t durable_changes() const { return durable_changes_; }
  std::shared_ptr<FileImage> Find(const std::string& name) const;

  void Add(uint64_t number, const std::string& name,
           std::shared_ptr<FileImage> file);
  void Remove(uint64_t number, const std::string& name);
  // Atomic: after a power loss either both names have changed or none.
  void Rename(uint64_t number, const std::string& from, const std::string& to);
  void SyncBefore(uint64_t number);
  // A sync that fails: of what has a smaller number only what `lost` spares
  // becomes durable, and no later sync makes up for it. Its process still finds
  // it. A later one finds what is durable: the file system has given up its
  // journal, and reads what is on the disk.
  void FailSyncBefore(uint64_t number, const std::function<bool()>& lost);
  // Whose sync failed.
  void ProcessDied();
  // `lost` says of each unsynced change whether it is. Files that are left
  // without a name are gone.
  void LosePower(const std::function<bool()>& lost);
  // A file at rest is gone with its name, as if it had never been.
  void Vanish(const std::string& name);
  // Those that are, until something else of that name is durable, or its
  // removal.
  const Files& vanished() const { return vanished_; }
  // What is durable, files included.
  NameTable CopyDurable() const;
  // What its files take; one whose name isn't durable counts under each that it
  // has.
  uint64_t memory_bytes() const;

 private:
  struct Change {
    uint64_t number = 0;
    std::string name;
    std::shared_ptr<FileImage> file;  // null: removed
    std::string renamed_from;         // empty: not a rename
  };
  static void Apply(const Change& change, Files* to);
  void Make(Change change);
  void Lose(uint64_t number, const std::function<bool()>& lost);
  void MakeDurable(const Change& change);

  Files now_;
  Files durable_;
  Files vanished_;
  uint64_t durable_changes_ = 0;
  std::vector<Change> unsynced_;
  bool sync_failed_ = false;  // of a process that lives
};

}  // namespace holdfast

#endif  // HOLDFAST_SIM_FILE_IMAGE_H_
