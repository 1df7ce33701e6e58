#ifndef HOLDFAST_ENGINE_WAL_CHECKPOINT_FILE_H_
#define HOLDFAST_ENGINE_WAL_CHECKPOINT_FILE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/base/buffer.h"
#include "engine/base/callback_scope.h"
#include "engine/base/types.h"
#include "engine/env/completion.h"
#include "engine/env/disk.h"
#include "engine/wal/entry.h"
#include "engine/wal/replaced_file.h"

namespace holdfast {

// What stands for a prefix of the log: all that is needed to go on behind it
// without its entries. Little-endian:
//
//    0  magic                u64
//    8  version              u32   3
//   12  crc                  u32   CRC32C of the other bytes
//   16  owner                u64   the data directory's incarnation
//   24  cluster              u64
//   32  point.index          u64   the last entry that it stands for
//   40  point.term           u64   and the log's point behind it
//   48  point.next_offset    u64
//   56  point.log_time       i64
//   64  point.chain          u64
//   72  configuration_index  u64   of the entry that made the configuration
//   80  first_offset         u64   what is before it was trimmed
//   88  configuration_size   u32
//   92  state_size           u32
//   96  machine_index        u64
//  104  machine_size         u64
//  112  map_size             u32
//  116  zero                 u32
//  120  configuration, then state, then machine, then map; nothing behind
struct Checkpoint {
  LogPoint point;
  Index configuration_index;
  Buffer configuration;  // encoded
  Offset first_offset;
  Buffer state;  // the log's own: producers' sessions
  // A state machine's snapshot, as of this entry, which is the point's or a
  // later one: entries between them count for the log, not for the machine. 0:
  // the servers have no state machine, or no record is before the point.
  Index machine_index;
  Buffer machine;
  // Of a resume point, whose log still has its entries: the LogMap up to there.
  // Else empty.
  Buffer map;
  ClusterId cluster;
  // Whose file it is; in a message, its sender.
  Incarnation owner;
};

inline constexpr size_t kCheckpointHeaderBytes = 120;
// Of a whole one, with its header: it is kept and sent in one piece.
inline constexpr size_t kCheckpointBytesMax = 64 << 20;

// Encoded; EncodeCheckpoint and CheckpointFile::Write need it to be at most
// kCheckpointBytesMax.
size_t CheckpointBytes(const Checkpoint& checkpoint);
Buffer EncodeCheckpoint(const Checkpoint& checkpoint);
// Its parts share `bytes`. DATA_LOSS: not an intact
// checkpoint. FAILED_PRECONDITION: of a newer format.
absl::StatusOr<Checkpoint> DecodeCheckpoint(const Buffer& bytes);

// What a file of checkpoints is for.
enum class CheckpointKind : uint8_t {
  // Stands for a prefix of the log that is gone, or is about to go.
  kBase = 1,
  // Stands for a prefix that is there, so that a start needn't read it.
  kResume = 2,
  // Stands for a prefix that is there, so that nobody need read it when it
  // goes.
  kWaypoint = 3,
};

std::string CheckpointName(CheckpointKind kind, Index index);
std::optional<Index> ParseCheckpointName(CheckpointKind kind,
                                         absl::string_view name);

struct CheckpointStats {
  uint64_t written = 0;
  uint64_t damaged = 0;
  uint64_t removed = 0;
  uint64_t mended = 0;

  template <typename Fn>  // fn(name, value)
  void ForEach(Fn fn) const {
    fn("checkpoint_written", written);
    fn("checkpoint_damaged", damaged);
    fn("checkpoint_removed", removed);
    fn("checkpoint_mended", mended);
  }
};

// A server's checkpoints of one kind: one file each, named by its index, which
// has its name only once it is whole and durable. The newest and the one before
// are kept, so that rot of the newest one needn't be the end, while the log
// goes back as far as the other.
class CheckpointFile {
 public:
  CheckpointFile(Disk* disk, Incarnation owner, CheckpointKind kind);

  struct Found {
    // The newest intact one.
    std::optional<Checkpoint> newest;
    // Newer ones that are damaged: left as they are until the next Write.
    std::vector<std::string> damaged;
    // Which is the newest of them, and what is wrong with it; OK: there are
    // none.
    absl::Status damage;
    Index damaged_to;  // the index in its name
  };
  // Once, and before Write. What was found is durable, name and all.
  // FAILED_PRECONDITION: one is of a newer format or another directory's.
  void Open(ResultFn<Found> done);

  // Durable in data and name when done; all older files but the intact one
  // before are removed then. Stamps the owner. Of kind kBase it needs an index
  // above that of the newest intact one, and a newer one, which is damaged,
  // stays; otherwise a newer one is of no use, and is removed, too. One
  // operation at a time.
  void Write(Checkpoint checkpoint, DoneFn done);

  // Looks at the file of the newest intact one, which is this; if it was
  // damaged since, writes it anew. Whether it did. Not while a Write is under
  // way.
  void Scrub(const Checkpoint& newest, ResultFn<bool> done);

  // The files that a start doesn't need as long as the newest one is intact: of
  // kind kBase those before it, else all.
  std::vector<Index> Dispensable() const;
  // One that is damaged is removed, if it is one of them still; while a Write
  // is under way nothing happens. What can't be removed is left to the next
  // start.
  void Discard(Index index);

  const CheckpointStats& stats() const { return stats_; }

 private:
  void OnScrubbed(absl::StatusOr<Buffer> bytes, Checkpoint newest,
                  ResultFn<bool> done);
  void OnListed(absl::StatusOr<std::vector<FileInfo>> files);
  // Reads the newest of those left to be tried.
  void TryNext();
  void Read(Index index, int times);
  void OnRead(Index index, absl::StatusOr<Buffer> bytes);
  void FinishOpen(absl::Status status);
  void RemoveOthers();
  void FinishWrite(absl::Status status);

  Disk* const disk_;
  const Incarnation owner_;
  const CheckpointKind kind_;
  std::set<Index> files_;        // that are there
  std::vector<Index> untried_;   // rising
  std::optional<Index> newest_;  // intact
  std::optional<Index> before_;  // to be kept, too
  Index writing_;
  Found found_;
  std::unique_ptr<File> file_;  // that is read
  std::unique_ptr<ReplacedFile> writer_;
  std::unique_ptr<ReplacedFile> scrubbed_;
  ResultFn<Found> open_done_;
  DoneFn write_done_;
  CheckpointStats stats_;
  CallbackScope scope_;
};

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_WAL_CHECKPOINT_FILE_H_
