#ifndef HOLDFAST_SIM_SIM_DISK_H_
#define HOLDFAST_SIM_SIM_DISK_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "engine/env/disk.h"
#include "sim/file_image.h"
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
  // What takes so long or longer is held up: the disk hangs.
  Duration hangs_for = Duration::max();
  // A tail of slow operations: so often, and up to this long.
  uint64_t slow_ppm = 0;
  Duration slow_max = 100ms;
  // So often the device reports an error. A read gives nothing; of a write any
  // beginning may have happened; what a sync was to make durable is, is torn,
  // or isn't, and no later sync makes up for that (FileImage, NameTable),
  // though those of a file report success.
  uint64_t read_error_ppm = 0;
  uint64_t write_error_ppm = 0;
  uint64_t sync_error_ppm = 0;
  // Not empty: only of files with this in their names.
  std::string sync_errors_of;
  // So many of a million unsynced writes are torn when power or a sync fails,
  // and of the others so many are lost; of unsynced names.
  uint64_t tear_ppm = 400'000;
  uint64_t lose_write_ppm = 500'000;
  uint64_t lose_name_ppm = 500'000;
  // Of the operations that are under way when their process dies so many don't
  // happen, and of the other writes so many in part.
  uint64_t drop_in_flight_ppm = 250'000;
  uint64_t cut_in_flight_ppm = 333'333;
};

// What the status of an operation says that failed by such an error, or for
// want of space.
inline constexpr absl::string_view kDeviceError = "the device reports an error";
inline constexpr absl::string_view kDiskFull = "the disk is full";

// What happened to a disk, for the run's summary.
struct SimDiskCounts {
  uint64_t writes = 0;
  uint64_t syncs = 0;
  uint64_t dropped_in_flight = 0;  // never happened: the process died
  uint64_t cut_in_flight = 0;      // happened in part, likewise
  // Unsynced, dropped by a power loss or by a sync that failed.
  uint64_t lost_writes = 0;
  uint64_t torn_writes = 0;
  uint64_t torn_pages = 0;    // of these, between pages and nowhere else
  uint64_t length_first = 0;  // of these, with the file's new length
  uint64_t lost_names = 0;    // directory changes dropped likewise
  uint64_t slow = 0;          // operations
  uint64_t held_up = 0;       // operations, while it hung
  uint64_t read_errors = 0;
  uint64_t write_errors = 0;
  uint64_t sync_errors = 0;
  uint64_t found_full = 0;  // operations for which there was no space

  SimDiskCounts& operator+=(const SimDiskCounts& other);
  // Operations that failed, or are about to.
  uint64_t failed() const {
    return read_errors + write_errors + sync_errors + found_full;
  }

  // What faults did.
  template <typename Fn>  // fn(name, value)
  void ForEach(Fn fn) const {
    fn("happened_slow_disk", slow);
    fn("happened_hung_disk", held_up);
    fn("happened_drop_in_flight", dropped_in_flight);
    fn("happened_cut_in_flight", cut_in_flight);
    fn("happened_lost_write", lost_writes);
    fn("happened_torn_write", torn_writes);
    fn("happened_torn_page", torn_pages);
    fn("happened_length_first", length_first);
    fn("happened_lost_name", lost_names);
    fn("disk_read_error", read_errors);
    fn("disk_write_error", write_errors);
    fn("disk_sync_error", sync_errors);
    fn("disk_full", found_full);
  }
};

// A fault of storage at rest.
enum class DamageKind : uint8_t {
  kRot,
  kZeroes,
  kMisdirect,
  kFrameOverEnd,  // a misdirection of its own
  kTruncate,
  kRefused,
  kStale,
  kVanish,
};
struct Damage {
  DamageKind kind = DamageKind::kRot;
  std::string file;
  uint64_t from = 0;
  // That stand there; of kTruncate none: it ends there; of kVanish none: it
  // isn't there; of kRefused zeroes, which nobody gets to read.
  Buffer bytes;
  std::string what;  // for people

  // Behind what it damages.
  uint64_t end() const {
    const bool all =
        kind == DamageKind::kTruncate || kind == DamageKind::kVanish;
    return all ? UINT64_MAX : from + bytes.size();
  }
};

class DiskOperation;

// A machine's disk: survives the lives of its processes. It holds the images
// of its files (sim/file_image.h) and the operations under way. Each of those
// takes effect at a drawn moment, whatever its order of submission (but for a
// Sync, which waits for the writes before it), and completes in the same
// event.
class DiskImage {
 public:
  DiskImage(World* world, MachineId machine, SimDiskOptions options);
  ~DiskImage();
  DiskImage(const DiskImage&) = delete;
  DiskImage& operator=(const DiskImage&) = delete;

  // The process that used it is gone; what it had submitted happens, happens
  // in part or doesn't, each operation by chance. The kernel keeps all that
  // was written, still unsynced.
  void ProcessDied(const SimProcess& process);
  // After ProcessDied, if there was one: of the unsynced writes any subset is
  // kept, in sectors of 512 bytes; of unsynced directory changes likewise.
  void PowerLost(uint32_t boot);

  // A disk with what is durable on this one now.
  std::unique_ptr<DiskImage> CopyDurable() const;

  // Whether those bytes of the file are durable, its name is, too, and no
  // process has changed them since.
  bool AtRest(const std::string& name, uint64_t from, uint64_t to) const;
  // Needs AtRest of what it damages. Processes read that at once, as if the
  // kernel had evicted what it had of the file.
  void Spoil(const Damage& damage);
  // Whether it ever was.
  bool damaged() const { return damaged_; }

  // When all that is under way will have happened.
  TrueTime BusyUntil() const;

  const SimDiskCounts& counts() const { return counts_; }
  void set_options(const SimDiskOptions& options) { options_ = options; }

  static constexpr uint64_t kAmple = uint64_t{1} << 40;
  // Of all files together; what needs more is RESOURCE_EXHAUSTED.
  void set_capacity(uint64_t bytes) { capacity_bytes_ = bytes; }
  bool short_of_room() const { return capacity_bytes_ != kAmple; }
  uint64_t used_bytes() const;

  // The images as they are.
  const NameTable& names() const { return names_; }

 private:
  friend class SimDisk;
  friend class SimFile;

  // Runs the operation after `latency`, and not before `not_before`. Its
  // completion is dropped with DropCompletions(op->owner). `what` and `file`
  // are for whoever watches.
  void Submit(SimProcess* process, Duration latency, TrueTime not_before,
              std::unique_ptr<DiskOperation> op, const char* what,
              const std::string& file);
  void Run(uint64_t id);
  void DropCompletions(const void* owner);
  // When the owner's writes to that file that are under way will have
  // happened.
  TrueTime WritesDoneAt(const void* owner) const;
  // CHECKs that no write to the file under way meets [from, to).
  void CheckNoOverlap(const FileImage* file, uint64_t from, uint64_t to) const;
  Duration Latency(const ChanceSite& site, SimProcess* process, Duration min,
                   Duration max);
  // Whether the device reports an error for the operation, and how it fails.
  std::optional<uint64_t> Fails(const ChanceSite& site, SimProcess* process,
                                uint64_t rate_ppm, uint64_t* count);
  // What becomes of each change that isn't on the device yet; whether it is
  // lost, of a name.
  FileImage::FateFn Fates(ChanceActor actor);
  void Count(const FileImage::Torn& torn);
  std::function<bool()> LosesNames(ChanceActor actor);
  // Tells whoever watches, if there are any.
  void Tell(IncidentKind kind, uint64_t count) const;
  // How many bytes fit that no file has yet, of so many.
  uint64_t RoomFor(uint64_t bytes) const;
  absl::Status Full(absl::string_view what, const std::string& name);

  World* const world_;
  const MachineId machine_;
  SimDiskOptions options_;
  uint64_t capacity_bytes_ = kAmple;
  NameTable names_;
  // In the order of submission; few.
  std::vector<std::unique_ptr<DiskOperation>> in_flight_;
  uint64_t next_op_ = 1;
  uint64_t draws_ = 0;
  const void* lock_holder_ = nullptr;
  bool damaged_ = false;
  SimDiskCounts counts_;
};

// The Disk of one process. The image must outlive it; its files may.
class SimDisk final : public Disk {
 public:
  SimDisk(SimProcess* process, DiskImage* image)
      : process_(process), image_(image) {}
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

  // Whether a SyncDir failed: all later ones do.

 private:
  template <typename Effect, typename Done>
  void Start(const char* what, const std::string& file, Duration latency,
             Effect effect, Done done);
  Duration NameLatency();

  SimProcess* const process_;
  DiskImage* const image_;
  // Shared with syncs that are under way when this is destroyed.
  const std::shared_ptr<bool> directory_failed_ = std::make_shared<bool>(false);
};

}  // namespace holdfast

#endif  // HOLDFAST_SIM_SIM_DISK_H_
