#ifndef HOLDFAST_SIM_SIM_DISK_H_
#define HOLDFAST_SIM_SIM_DISK_H_

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/env/disk.h"
#include "sim/sim_process.h"
#include "sim/world.h"

namespace holdfast {

struct SimDiskOptions {
  Duration write_min = 5us;
  Duration write_max = 40us;
  Duration sync_min = 80us;
  Duration sync_max = 600us;
  Duration read_min = 20us;
  Duration read_max = 150us;
  // A tail of slow operations: so often, and up to this long.
  uint64_t slow_ppm = 0;
  Duration slow_max = 100ms;
};

// What happened to a disk, for the run's summary.
struct SimDiskCounts {
  uint64_t writes = 0;
  uint64_t syncs = 0;
  uint64_t lost_writes = 0;  // unsynced, dropped by a power loss
  uint64_t torn_writes = 0;
  uint64_t lost_names = 0;  // directory changes dropped likewise
  uint64_t slow = 0;
};

// A machine's disk: survives the lives of its processes. Each file has a
// volatile image, what any process reads, and a durable one, what a power
// loss leaves; each unsynced write stands between the two.
class DiskImage {
 public:
  DiskImage(World* world, MachineId machine, SimDiskOptions options);
  ~DiskImage();
  DiskImage(const DiskImage&) = delete;
  DiskImage& operator=(const DiskImage&) = delete;

  // The process that used it is gone; what it had submitted may still happen,
  // each operation by chance. The kernel keeps all that was written.
  void ProcessDied(const SimProcess& process);
  // After ProcessDied: of the unsynced writes any subset is kept, in sectors
  // of 512 bytes; of unsynced directory changes likewise.
  void PowerLost(uint32_t boot);

  const SimDiskCounts& counts() const { return counts_; }
  void set_options(const SimDiskOptions& options) { options_ = options; }

 private:
  friend class SimDisk;
  friend class SimFile;

  static constexpr uint64_t kSector = 512;

  struct Change {  // of a file, since its last sync
    bool truncate = false;
    uint64_t at = 0;  // or the new size
    Buffer data;
  };
  struct FileImage {
    std::string now;
    std::string durable;
    std::vector<Change> unsynced;
  };
  struct NameChange {
    std::string name;
    std::shared_ptr<FileImage> file;  // null: removed
    std::string renamed_from;         // goes in the same step; empty: none
  };
  // An operation that was submitted and hasn't taken effect.
  struct InFlight {
    uint64_t id = 0;
    InlineFunction<void(), 96> effect;
  };

  static void Apply(std::string* bytes, const Change& change);
  void Write(FileImage* file, uint64_t at, const Buffer& data);
  void Sync(FileImage* file);
  static void ApplyName(
      std::map<std::string, std::shared_ptr<FileImage>>* names,
      const NameChange& change);
  void ChangeName(NameChange change);
  void SyncNames();
  Duration Latency(const ChanceSite& site, SimProcess* process, Duration min,
                   Duration max);

  World* const world_;
  const MachineId machine_;
  SimDiskOptions options_;
  std::map<std::string, std::shared_ptr<FileImage>> names_;
  std::map<std::string, std::shared_ptr<FileImage>> durable_names_;
  std::vector<NameChange> unsynced_names_;
  std::deque<InFlight> in_flight_;  // in the order of submission
  uint64_t next_op_ = 1;
  uint64_t draws_ = 0;
  TrueTime busy_until_{};  // of the writes and syncs
  bool locked_ = false;
  SimDiskCounts counts_;
};

// The Disk of one process.
class SimDisk final : public Disk {
 public:
  SimDisk(SimProcess* process, DiskImage* image);
  ~SimDisk() override;

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
  friend class SimFile;
  // Lets `effect` happen after `latency`, then runs `after` unless the disk is
  // gone. In-order operations wait for those before them.
  void Submit(Duration latency, bool in_order,
              InlineFunction<void(), 96> effect, Task after);

  SimProcess* const process_;
  DiskImage* const image_;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

}  // namespace holdfast

#endif  // HOLDFAST_SIM_SIM_DISK_H_
