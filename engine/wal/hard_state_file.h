#ifndef HOLDFAST_ENGINE_WAL_HARD_STATE_FILE_H_
#define HOLDFAST_ENGINE_WAL_HARD_STATE_FILE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/base/buffer.h"
#include "engine/base/callback_scope.h"
#include "engine/base/hard_state.h"
#include "engine/base/types.h"
#include "engine/env/completion.h"
#include "engine/env/disk.h"

namespace holdfast {

// Term and vote in two files, the same in both. Each promise writes and syncs
// one copy, then the other, and counts only after the second: so whatever one
// fault does to one copy, the other holds the last promise or the one before,
// and what the one before lacks was never promised.
//
//    0  magic     u64
//    8  version   u32   1
//   12  crc       u32   CRC32C of the other bytes
//   16  owner     u64   the data directory's incarnation
//   24  sequence  u64   rises with each write
//   32  term      u64
//   40  vote      u64
inline constexpr size_t kHardStateBytes = 48;

std::string HardStateCopyName(size_t which);  // 0 or 1

// One of the two.
struct HardStateCopy {
  Incarnation owner;
  uint64_t sequence = 0;
  HardState state;
};
// DATA_LOSS: not an intact copy. FAILED_PRECONDITION: of another version.
absl::StatusOr<HardStateCopy> DecodeHardStateCopy(absl::string_view bytes);

class HardStateFile {
 public:
  HardStateFile(Disk* disk, Incarnation owner);

  struct Found {
    // Nothing in a new directory.
    std::optional<HardState> state;
    bool repaired = false;  // one copy was damaged, missing, or behind
  };
  // Reads both copies, writes them alike again, and syncs them, the worse one
  // first. `expected`: the directory has a log, so that there must be a
  // promise; DATA_LOSS when no intact copy of it is found. (Without a log
  // nothing was promised, and torn copies are those of a first start.)
  void Open(bool expected, ResultFn<Found> done);
  // Only reads them. Write may not follow.
  void Read(bool expected, ResultFn<Found> done);

  // Durable in both copies when done. One at a time.
  void Write(const HardState& state, DoneFn done);

 private:
  static constexpr size_t kCopies = 2;
  struct Copy {
    std::unique_ptr<File> file;
    bool intact = false;
    uint64_t sequence = 0;
    HardState state;
  };

  void OpenCopy(size_t which);
  void ReadCopy(size_t which, int times);
  void CreateMissing(size_t which);
  void Judge();
  void WriteCopies(size_t first);
  void WriteCopy(size_t which, size_t left);
  void Finish(absl::Status status);

  Disk* const disk_;
  const Incarnation owner_;
  std::array<Copy, kCopies> copies_;
  bool expected_ = false;
  bool read_only_ = false;
  bool created_ = false;
  size_t best_ = 0;
  uint64_t sequence_ = 0;
  HardState state_;
  Found found_;
  std::string damage_;  // of both copies
  ResultFn<Found> open_done_;
  DoneFn write_done_;
  CallbackScope scope_;
};

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_WAL_HARD_STATE_FILE_H_
