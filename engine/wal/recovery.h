#ifndef HOLDFAST_ENGINE_WAL_RECOVERY_H_
#define HOLDFAST_ENGINE_WAL_RECOVERY_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/base/buffer.h"
#include "engine/base/callback_scope.h"
#include "engine/base/hard_state.h"
#include "engine/base/types.h"
#include "engine/env/completion.h"
#include "engine/env/disk.h"
#include "engine/env/loop.h"
#include "engine/wal/entry.h"
#include "engine/wal/hard_state_file.h"
#include "engine/wal/log_map.h"
#include "engine/wal/patched_read.h"
#include "engine/wal/replaced_file.h"
#include "engine/wal/salvage.h"
#include "engine/wal/segment.h"
#include "engine/wal/wal_stats.h"

namespace holdfast {

// Up to where a start needn't read the log, by a file that says so; index 0:
// nothing.
struct WalResume {
  LogPoint point;
  // In which the entries stand: the log's, then, up to its end. None: all is
  // read, but the log must go that far.
  std::vector<SegmentStart> segments;
};

struct RecoveredWal {
  std::vector<LogSegment> segments;  // with live entries, in order
  HardState hard_state;
  LogPoint last;  // after the last entry
  Index commit;   // the greatest index found to be committed
  // The log had come so far, if that is behind `last`: what is missing at its
  // end is damaged. Of a recovery in part only.
  Index reached;
  // To be removed once the next segment is durable: an empty one that stands
  // for all that the checkpoint replaced.
  std::vector<std::string> replaced;
  uint64_t next_id = 1;
  WalStats stats;
};

// DATA_LOSS, in the words of whoever finds bytes that were synced damaged.
absl::Status WalRot(uint64_t segment, uint64_t position,
                    absl::string_view what);
// Likewise when the device refuses to read the block before `end`, and nothing
// tells what it held.
absl::Status WalUnreadable(uint64_t segment, uint64_t end);
bool IsAllZero(absl::string_view bytes);

// What Wal::Open does; the rules stand at Wal. Steps: list the files and read
// all segments' headers; decide which entries of which segment are live; scan
// the segments with live entries behind the checkpoint in order, from the
// first; recover the hard state; remove what began and never counted; write
// what was perhaps never synced to a new segment; remove what was replaced.
// Up to the hard state nothing is changed.
//
// Segments that hold nothing behind the checkpoint are removed without being
// scanned, whichever of them are there. That needs one newer segment that
// stays and says that they end at the checkpoint or before: without it, those
// that a power failure leaves of them could look like a log with a gap. So
// when nothing behind the checkpoint is kept, an empty segment is written
// before any other is removed.
//
// Where a segment lacks entries that were durable, `mend` is asked for them.
// Then the segment's file is replaced by one that has them, and recovery goes
// on with that. Without `mend`, such damage ends the recovery.
//
// A recovery that only reads takes what it would write anew as it stands, and
// leaves what it would remove. One in part does the same, with nobody to ask:
// damage of entries doesn't end it. What is whole of them is replayed, and what
// isn't shows when they are read.
class WalRecovery {
 public:
  using ReplayFn = InlineFunction<void(const Entry& entry, Index commit)>;
  enum class Mode { kRepair, kReadOnly, kInPart };

  WalRecovery(Disk* disk, Incarnation owner, const LogPoint& base,
              const WalResume& resume, HardStateFile* hard_state_file,
              Mode mode, ReplayFn replay, MendFn mend,
              ResultFn<RecoveredWal> done);

  // The log is known to have gone up to there: what it lacks at its end is
  // asked for. Before Run.
  void set_promised(Index promised) { promised_ = promised; }
  void Run();

  // While `mend` is being asked: entries of the segment that is being mended,
  // as far as it is known to be whole.
  absl::Span<const Entry> mended() const;
  // Likewise, for others that ask in their turn: as Wal::ReadWhileMending.
  void ReadHole(const LogHole& hole, bool has_last, size_t max_bytes,
                ResultFn<WholeEntries> done);

 private:
  struct Candidate {
    uint64_t id = 0;
    uint64_t bytes = 0;
    std::shared_ptr<File> file;
    absl::StatusOr<SegmentHeader> header = absl::UnknownError("not read");
    // What a beginning that was cut short leaves, or a spare one: holds
    // nothing that counts.
    bool is_void = false;
    bool refused = false;  // the device refused to read the header
    // The header is damaged: of `header` the id and the index before its first
    // entry are known, perhaps that one's term, by its frames, a resume point,
    // or what stands around it.
    bool guessed = false;
    std::optional<SegmentEnd> before_first_frame;  // that is left of such a one
    // The last of its entries that no later segment replaces.
    Index live_last;
    bool newest = false;
    // Once it was scanned: all before this position was there.
    uint64_t marked_to = 0;
    uint64_t marks_end = 0;  // of SegmentScan
  };

  // Whether it goes on with a segment that lacks entries.
  bool TakesDamage() const { return mend_ || mode_ == Mode::kInPart; }
  // Whether the checkpoint stands for the entry.
  bool Covered(Index index) const {
    return base_.index > Index(0) && index <= base_.index;
  }
  // Whether nothing of it counts: its entries are replaced, or the checkpoint
  // stands for them. It isn't void.
  bool IsReplaced(const Candidate& c) const {
    return c.header->first_index() > c.live_last || Covered(c.live_last);
  }
  // Whether the resume point stands for all of it.
  bool IsKnown(const Candidate& c) const {
    return Known(c.live_last) && !c.guessed;
  }
  // Whether it stands for all of the newest segment, and so of those before it.
  bool IsAllCovered(const Candidate& c, const SegmentScan& scan) const {
    return c.newest && Covered(std::max(c.header->previous.index, scan.seen));
  }
  // Whether the resume point stands for it.
  bool Known(Index index) const { return index <= resume_.point.index; }
  // Up to where the log, as far as it is whole, is known to be committed: by
  // what was passed, or by frames of the segment that is mended.
  Index known_commit() const;
  // The segment in which it stands, if recovery has passed that.
  const LogSegment* FindPassed(Index index) const;
  // What is whole of that from `first` on, about max_bytes.
  void ReadPassed(const LogSegment& segment, Index first, size_t max_bytes,
                  bool behind_gap, ResultFn<WholeEntries> done);
  // Entries from `first` on, about max_bytes, wherever they stand, also where
  // recovery hasn't come yet: of a segment with an entry of last's index and
  // term, or of those before it. These are the same as in any log that has that
  // one (Raft, section 5.3). None: that isn't known of any, or they are damaged
  // there. Nothing is said of damage, which may be mended soon.
  void ReadUpTo(Index first, const SegmentEnd& last, size_t max_bytes,
                bool behind_gap, ResultFn<WholeEntries> done);
  void OnListed(absl::StatusOr<std::vector<FileInfo>> files);
  void ReadHeader(size_t i);
  // FAILED_PRECONDITION: it isn't this directory's, or of another format. One
  // that is damaged is left as such.
  absl::Status TakeHeader(absl::string_view block, Candidate* candidate) const;
  // All of the file; what the device refuses to read of it is damaged, if it
  // can be mended.
  void ReadFile(const Candidate& candidate, ResultFn<PatchedBytes> done);
  // The same of the i-th, and begins to read the next one that ScanNext will
  // want: the disk is busy while this one is looked at.
  void ReadInTurn(size_t i, ResultFn<PatchedBytes> done);
  // A file without an intact header: what a segment's beginning leaves
  // behind, unless its frames say that it was synced.
  void JudgeHeaderless();
  void SetAside(Candidate* c, absl::string_view what);
  void OnHeaderlessRead(Candidate* c, bool newest, const PatchedBytes& file);
  bool WasContinued(const Candidate& c, absl::string_view bytes) const;
  // Likewise for a segment with a header only.
  void JudgeNewest();
  // Decides which entries of which segment are live.
  void Arrange();
  void NoteLive();
  // The first one to look at. If the newest one was begun behind the
  // checkpoint's end and an entry of an older term than the checkpoint's last,
  // the log isn't the checkpoint's (terms never decrease along a log; Raft,
  // section 5.3): then that is noted, and it is the first one, whatever is
  // damaged of those before it.
  size_t SkipOlderLog();
  // The segments before the resume point are all there.
  absl::Status CheckSealed();
  // Where those begin whose headers are damaged, or whose files are gone, as
  // the resume point has it.
  void GuessKnown();
  // The segment with the resume point was written anew since, if it isn't
  // there: to one before the next one that goes on behind its beginning, of
  // which nothing is left then.
  void GuessHolder(const SegmentStart& holder);
  std::vector<Candidate>::iterator FindCandidate(uint64_t id);
  void ScanNext(size_t i);
  void OnScanned(size_t i, const PatchedBytes& file);
  absl::Status TakeUnread(const Candidate& candidate);
  // Whether the segment continues those before it, or stands where the first
  // one may.
  bool Joins(const Candidate& candidate) const;
  absl::Status Join(const Candidate& candidate);
  absl::Status TakeSegment(const Candidate& candidate, const SegmentScan& scan,
                           const Buffer& bytes);
  // Behind what it is mended: the checkpoint stands for the entries before.
  LogPoint BeginOf(const SegmentHeader& header) const {
    return Covered(header.previous.index) ? base_ : header.previous;
  }
  // DATA_LOSS: the device refuses to read what may have been durable, and
  // nothing tells what it was.
  absl::Status NoteMarked(Candidate* candidate, const SegmentScan& scan,
                          const PatchedBytes& file) const;
  // What the segment had, if it lacks some of that.
  std::optional<SegmentEnd> Damaged(size_t i, const SegmentScan& scan,
                                    absl::string_view bytes) const;
  // The segment that goes on behind that entry; null: there is none.
  const Candidate* FindBehind(size_t i, Index last) const;
  // What the segment had; nothing: nobody knows.
  std::optional<SegmentEnd> EndOf(size_t i, absl::string_view bytes,
                                  uint64_t marked_to) const;
  void Guess(Candidate* candidate, Index before_first,
             Term before_term = Term());
  // Behind all that stands in the last one of the first n segments of which
  // anything is left, or before its own first frame.
  void GuessBehindPrevious(Candidate* candidate, size_t n);
  // Whether something may be missing before this segment, which is looked for
  // then: a void file may stand there, or none.
  bool GuessBefore(size_t i);
  // Finds out behind what it begins, then mends it.
  void MendGuessed(size_t i, const Buffer& bytes);
  void OnPreviousRead(size_t i, size_t previous, const Buffer& bytes,
                      const Buffer& previous_bytes);
  // Fills its holes, and goes on with it.
  void Mend(size_t i, const LogPoint& begin, const SegmentEnd& end,
            const Buffer& bytes);
  // Leaves its holes as they are.
  void TakeInPart(size_t i, const SegmentEnd& end, const Buffer& bytes);
  // DATA_LOSS: what stands before a hole may have been replaced by entries that
  // are lost with it.
  absl::Status CheckPart(size_t i, const SegmentSalvage& salvage,
                         const SegmentEnd& end, const Buffer& bytes) const;
  void ReadTerm(size_t i);
  void OnTerm(size_t i, absl::StatusOr<HardStateFile::Found> found);
  void FillHole(size_t i);
  void FindLater(size_t i, LogHole* hole) const;
  void OnMended(size_t i, const LogHole& hole, absl::StatusOr<Mended> mended);
  // The log ends before the hole; unless the segment's beginning is in doubt.
  void DropFrom(size_t i, const LogHole& hole);
  // For the entry before the segment, by which the log would end then: whether
  // a log has it in which all must be that was committed and acknowledged here.
  void AskForBegin(size_t i, const LogHole& hole);
  // A log lacks that one, too: so the segment may have replaced it. Whatever it
  // had up to there counts only if it was committed: so one entry after the
  // other that is committed elsewhere, from `index` on, must be the one that
  // stands here, up to the first one of a later term than the segment's.
  void AskForCommitted(size_t i, const LogHole& hole, Index index);
  // DATA_LOSS: the segment may have replaced entry `replaced`. `why`: who could
  // tell doesn't; or OK.
  void RefuseBegin(size_t i, const LogHole& hole, Index replaced,
                   const absl::Status& why);
  // Whether nothing but an index tells behind what it begins.
  static bool BeginsByGuess(const Candidate& c) {
    return c.guessed && c.header->previous.term == Term();
  }
  // Whether a segment whose header is lost may have replaced what it is taken
  // to have begun behind.
  bool BeginsInDoubt(const Candidate& candidate, const SegmentSalvage& salvage,
                     const SegmentEnd& end) const;
  // The log ends within the segment that is being mended. As any cut, this one
  // is a new segment, here without an entry.
  void CutBehind(size_t i);
  void ReplaceSegment(size_t i);
  // The log goes on up to promised_, in a further segment.
  void MendEnd();
  void OnReplaced(size_t i, absl::StatusOr<std::unique_ptr<File>> file);
  // That it is the log of the resume point, once that is reached.
  absl::Status CheckResume(const Candidate& candidate) const;
  absl::Status TakeEntries(const Candidate& candidate, const SegmentScan& scan,
                           const Buffer& bytes);
  absl::Status CheckEnd(const Candidate& candidate, const SegmentScan& scan,
                        absl::string_view bytes);
  void Replay(const Entry& entry);
  void NoteCommit(Index commit);
  void CheckReached();
  // The log is empty behind the checkpoint.
  void KeepNothing();
  void RecoverHardState();
  void OnHardState(absl::StatusOr<HardStateFile::Found> found);
  void RemoveVoid();
  void RewriteTail();
  // One behind before_tail_, with the entries of tail_.
  void BeginSegment(uint64_t bytes, Task then);
  void WriteTail(std::shared_ptr<File> file);
  void SealTail(uint64_t end, Buffer header, Buffers marks);
  void WriteAndSync(File* file, uint64_t at, Buffers data, Task then);
  void Tidy();
  void TrimSegments();
  void RemoveLeftovers();
  void Finish(absl::Status status);

  Disk* const disk_;
  const Incarnation owner_;
  const LogPoint base_;
  WalResume resume_;
  LogPoint went_to_;  // the log, by a resume point, also one without segments
  HardStateFile* const hard_state_file_;
  const Mode mode_;
  ReplayFn replay_;
  MendFn mend_;
  ResultFn<RecoveredWal> done_;

  std::vector<Candidate> candidates_;  // by id
  std::vector<std::string> leftovers_;
  std::vector<std::string> half_mended_;  // files that were to replace segments
  // The log had come so far, says the header of this void segment.
  SegmentEnd reached_;
  uint64_t reached_by_ = 0;
  struct Reading {
    std::shared_ptr<File> file;
    std::optional<absl::StatusOr<PatchedBytes>> found = std::nullopt;
    ResultFn<PatchedBytes> done = nullptr;  // of who waits for it
  };
  // Of the file that was wanted next. Kept, so that another one that replaces
  // it is another File, and nobody takes what this one held.
  std::shared_ptr<Reading> ahead_;
  // A damaged header that matters only if the log doesn't join without it.
  absl::Status suspect_;
  // After the last entry scanned; before the first segment, nothing.
  LogPoint point_;
  bool joined_ = false;
  Index unread_to_;  // the last entry in segments that weren't read
  // Where the checkpoint ends, the log holds another entry than its last.
  bool conflict_ = false;
  Index promised_;
  Index replayed_to_;
  // The newest segment, if it begins right behind the checkpoint.
  uint64_t empty_id_ = 0;
  bool write_empty_ = false;
  // Intact entries that were perhaps never synced, and the point before.
  std::vector<Entry> tail_;
  LogPoint before_tail_;
  std::shared_ptr<File> tail_file_;  // that they are written to
  SegmentHeader tail_header_;
  Task sealed_;  // when that is durable
  // Of the segment that is being mended.
  std::unique_ptr<SegmentSalvage> salvage_;
  bool begins_by_guess_ = false;
  int fills_in_vain_ = 0;  // one after the other, with nothing left to doubt
  std::unique_ptr<HardStateFile> term_file_;
  Term term_;  // 0: not read
  std::unique_ptr<ReplacedFile> mended_file_;
  RecoveredWal result_;
  CallbackScope scope_;
};

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_WAL_RECOVERY_H_
