#ifndef HOLDFAST_ENGINE_WAL_RECOVERY_H_
#define HOLDFAST_ENGINE_WAL_RECOVERY_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/base/buffer.h"
#include "engine/base/callback_scope.h"
#include "engine/base/hard_state.h"
#include "engine/base/types.h"
#include "engine/env/completion.h"
#include "engine/env/disk.h"
#include "engine/wal/entry.h"
#include "engine/wal/hard_state_file.h"
#include "engine/wal/segment.h"
#include "engine/wal/wal_stats.h"

namespace holdfast {

struct RecoveredWal {
  std::vector<LogSegment> segments;  // with live entries, in order
  HardState hard_state;
  LogPoint last;  // after the last entry
  Index commit;   // the greatest index found to be committed
  uint64_t next_id = 1;
  WalStats stats;
};

// What Wal::Open does; the rules stand at Wal. Steps: list the files and read
// all segments' headers; decide which entries of which segment are live; scan
// the live segments in order, from the first; write what was perhaps never
// synced to a new segment; recover the hard state; remove what is left over.
class WalRecovery {
 public:
  using ReplayFn = InlineFunction<void(const Entry& entry, Index commit)>;

  WalRecovery(Disk* disk, Incarnation owner, HardStateFile* hard_state_file,
              ReplayFn replay, ResultFn<RecoveredWal> done);

  void Run();

 private:
  struct Candidate {
    uint64_t id = 0;
    uint64_t bytes = 0;
    std::shared_ptr<File> file;
    absl::StatusOr<SegmentHeader> header = absl::UnknownError("not read");
    // The last of its entries that no later segment replaces.
    Index live_last;
    bool newest = false;
  };

  void OnListed(absl::StatusOr<std::vector<FileInfo>> files);
  void ReadHeader(size_t i);
  // A file without an intact header: what a segment's beginning leaves
  // behind, unless its frames say that it was synced.
  void JudgeHeaderless();
  void OnHeaderlessRead(const Buffer& bytes);
  void Arrange();
  void ScanNext(size_t i);
  absl::Status TakeSegment(const Candidate& candidate, const Buffer& bytes);
  absl::Status CheckEnd(const Candidate& candidate, const SegmentScan& scan,
                        absl::string_view bytes);
  void RewriteTail();
  void WriteTail(std::shared_ptr<File> file);
  void RecoverHardState();
  void TrimSegments();
  void RemoveLeftovers();
  void Finish(absl::Status status);

  Disk* const disk_;
  const Incarnation owner_;
  HardStateFile* const hard_state_file_;
  ReplayFn replay_;
  ResultFn<RecoveredWal> done_;

  std::vector<Candidate> candidates_;  // by id
  std::vector<std::string> leftovers_;
  bool began_ = false;  // some segment was begun: there is a log
  // Intact entries that were perhaps never synced, and the point before.
  std::vector<Entry> tail_;
  LogPoint before_tail_;
  RecoveredWal result_;
  CallbackScope scope_;
};

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_WAL_RECOVERY_H_
