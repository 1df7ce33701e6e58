#ifndef HOLDFAST_ENGINE_WAL_WAL_H_
#define HOLDFAST_ENGINE_WAL_WAL_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/base/callback_scope.h"
#include "engine/base/hard_state.h"
#include "engine/base/lost_records.h"
#include "engine/base/types.h"
#include "engine/env/completion.h"
#include "engine/env/disk.h"
#include "engine/env/loop.h"
#include "engine/wal/entry.h"
#include "engine/wal/hard_state_file.h"
#include "engine/wal/patched_read.h"
#include "engine/wal/recovery.h"
#include "engine/wal/replaced_file.h"
#include "engine/wal/salvage.h"
#include "engine/wal/segment.h"

namespace holdfast {

struct WalOptions {
  // Of a segment file, preallocated. An entry that doesn't fit gets a segment
  // of its own size.
  uint64_t segment_bytes = 64 << 20;
  // Bytes that one group commit takes at most (one entry always goes).
  uint64_t group_bytes_max = 4 << 20;
  // After a sync with no write behind it, a mark is written.
  Duration mark_delay = 5ms;
  // ... and also when this much was written since the last one.
  uint64_t mark_every_bytes = 256 << 10;
  // Of a segment that is needed though the disk is full, at least.
  uint64_t small_segment_bytes = 1 << 20;
};

// What the core wants durable: hard state first, then the cut, then entries.
struct WalWrite {
  uint64_t sequence = 0;  // rises with each write
  std::optional<HardState> hard_state;
  // The log ends here first: drops all entries behind it. Needs entries.
  std::optional<LogPoint> cut_to;
  std::vector<Entry> entries;
};

// A server's durable log: segment files of frames (segment.h, frame.h), and
// the hard state. Raft's log and the record log are this one log.
//
// Crash outcomes. A write is durable once its sequence was reported, and then
// survives whatever order the disk wrote things in:
// - A group is one write and one sync. Cut in the middle, its intact first
//   frames may be found after a restart, and count as any entry that was
//   never acknowledged; the rest is a torn tail.
// - A suffix is cut by beginning a new segment whose header says from which
//   index on it replaces what older segments hold. Header and first frames go
//   out in one write and one sync: before it, the old suffix stands; after
//   it, the new one; in between, the new one as soon as an entry of it is
//   intact.
// - Frames carry up to where their segment had been synced when they were
//   written, and a resting tail gets marks that say so. Damage beyond that
//   is a torn tail and is cut; damage below it is rot, and mended with the
//   others' help (set_mend), or Open refuses.
// - What stands intact beyond that was perhaps never synced, or is in the
//   page cache only, after a failed fsync even as a lie: Open writes it to a
//   new segment, syncs it, and only then puts the header in front.
// - An error of a write or sync is final: nothing more is reported durable.
//
// The log may begin behind a checkpoint, which the caller keeps. What the
// newest durable one stands for is not needed here; what is left of it, in any
// state, harms nobody. A checkpoint that replaces a log, because it came from
// the leader, is durable before Reset is called: a crash before Reset has
// taken effect leaves the old log and the new checkpoint, and Open sees that
// the one isn't the other's.
//
// docs/DISK_FORMAT.md has the table of all points at which power can fail.
class Wal {
 public:
  struct Events {
    // All writes up to `sequence` are durable.
    InlineFunction<void(uint64_t sequence)> on_persisted;
    // Once; nothing follows.
    DoneFn on_failed;
    // There is no room for the next segment. `needed`: something waits for it,
    // and nothing is written before TryAgain finds room. Without this, it is an
    // error as any other once something waits.
    InlineFunction<void(bool needed)> on_no_space = nullptr;
    // Whether a segment may be made ahead of its need. If not, that is as if
    // there were no room for it. Null: always.
    std::function<bool()> may_make_segments = nullptr;
    // Somebody came across them, for the first time since this was opened.
    InlineFunction<void(const LostRecords&)> on_lost = nullptr;
  };
  // Each live entry in order, at Open; `commit`: an index that was known to
  // be committed when the entry was written.
  using ReplayFn = InlineFunction<void(const Entry& entry, Index commit)>;

  // `owner` marks all files: another directory's pass for nothing here.
  Wal(Loop* loop, Disk* disk, Incarnation owner, WalOptions options,
      Events events);
  ~Wal();
  Wal(const Wal&) = delete;
  Wal& operator=(const Wal&) = delete;

  // Recovers. Once, and before all else. DATA_LOSS when bytes that were
  // synced are damaged or missing, with the file, the position and what to do.
  void Open(ReplayFn replay, DoneFn done) {
    Open(LogPoint{}, WalResume{}, std::move(replay), std::move(done));
  }
  // `base`: after the last entry that the newest durable checkpoint stands for.
  // Entries up to there are not replayed, and segments that hold no others are
  // removed. A log without the entry at base.index, or with another one there,
  // is dropped as a whole. DATA_LOSS also when the log begins later than right
  // behind `base`.
  // `resume`: up to there entries aren't replayed, and segments that hold no
  // others not even read; if it isn't behind `base`, it says nothing. DATA_LOSS
  // also when the log ends before it, has another entry there, or lacks one of
  // its segments, and nobody can be asked.
  void Open(const LogPoint& base, const WalResume& resume, ReplayFn replay,
            DoneFn done) {
    Recover(base, resume, WalRecovery::Mode::kRepair, std::move(replay),
            std::move(done));
  }
  // Before Open: whom it asks for entries that were synced and are damaged, by
  // whose help it replaces the files in which they stood. `done` of Open may
  // take as long as they do, and that of a Read, which fails as they do.
  // Without it, damage is DATA_LOSS.
  void set_mend(MendFn mend) { mend_ = std::move(mend); }
  // Before Open: this server has promised to have the entries up to there. With
  // somebody to ask, Open asks for what the log lacks.
  void set_promised(Index promised) { promised_ = promised; }
  // While Open waits for them: the entries before these that are whole in the
  // file that it mends, and weren't replayed yet.
  absl::Span<const Entry> FoundWhileMending() const;
  // Likewise, for a server that asks for such a hole: what this one has of it
  // from the hole's first entry on, as ReadWhole. `has_last`: it is known to
  // have the last one. Else it has to show in its files; or, if its term isn't
  // known, that what it has passed is committed up to there. OUT_OF_RANGE: it
  // doesn't. UNAVAILABLE: another such read is under way.
  void ReadWhileMending(const LogHole& hole, bool has_last, size_t max_bytes,
                        ResultFn<WholeEntries> done);
  // As Open, for a log that is only to be read: nothing on the disk changes,
  // and nothing may be written afterwards. A damaged hard state is none.
  void OpenReadOnly(const LogPoint& base, ReplayFn replay, DoneFn done) {
    Recover(base, WalResume{}, WalRecovery::Mode::kReadOnly, std::move(replay),
            std::move(done));
  }
  // As OpenReadOnly, of a log that nobody can help to mend: what is whole of it
  // is replayed and can be read, and the rest reads as LostRecordsError.
  // DATA_LOSS when it can't be known which entries are missing.
  void OpenInPart(const LogPoint& base, ReplayFn replay, DoneFn done) {
    Recover(base, WalResume{}, WalRecovery::Mode::kInPart, std::move(replay),
            std::move(done));
  }

  HardState hard_state() const { return hard_state_; }
  // The first kept entry, which may stand before the checkpoint's end; the next
  // one to come while there is none.
  Index first_index() const;
  Index last_index() const { return last_.index; }
  Term last_term() const { return last_.term; }
  // The greatest index found to be committed, at Open.
  Index commit_hint() const { return commit_; }
  // Of a log opened in part: it had come so far, though the entries behind
  // last_index() are damaged.
  Index reached() const { return std::max(reached_, last_.index); }

  // Queues; goes out at once if nothing is in flight, else together with all
  // that queues up meanwhile. `commit`: as known now, of entries whose write
  // was reported: what is queued still may be about to be cut.
  void Write(WalWrite write, Index commit);
  bool idle() const { return queue_.empty() && !busy_; }
  // Whether there was no room for the next segment. Then TryAgain tries to make
  // it again, a small one if something waits for it.
  bool short_of_space() const { return short_of_space_; }
  void TryAgain();
  // Bytes of frames that segments have room for which are there.
  uint64_t room() const;
  // Of the log in its segments.
  uint64_t bytes() const;
  // Of entries that wait to be written, their payloads.
  uint64_t bytes_queued() const { return bytes_queued_; }
  // Writes the hard state anew, for both its copies may have decayed since the
  // last promise: before what waits to be written.
  void RefreshHardState();
  // Writes the marks of a log at rest at once. Needs idle(); done when they
  // are durable, never after on_failed.
  void Rest(DoneFn done);

  // A durable checkpoint stands for all entries up to `base`: removes the
  // segments that hold no others, but never the last one. Reads under way still
  // finish. What can't be removed is left to the next start.
  void DropTo(const LogPoint& base);

  // The greatest index up to `up_to` at which DropTo could make the log
  // begin anew: the end of a segment that isn't the last one; 0: none.
  Index DroppableTo(Index up_to) const;
  std::vector<SegmentStart> SegmentStarts() const;
  // The last entry of the segments that are written no more; 0: there are none.
  Index SealedTo() const;
  // The first entry of the last n segments.
  Index FirstOfLastSegments(size_t n) const;
  // The first offset that stays if the oldest segments go, one by one, as long
  // as the log has more than `bytes_max`, or they hold only what is from before
  // `before`, by log time. 0: none would go.
  Offset OffsetToKeep(std::optional<uint64_t> bytes_max,
                      std::optional<WallTime> before) const;

  // Replaces the whole log by a checkpoint up to `base` (not 0), which is
  // durable already. Ordered like a Write: comes after all earlier ones, and
  // the next one continues at base.index + 1. Reads under way are ABORTED.
  // `done` is called when no earlier entry can come back; never after
  // on_failed.
  void Reset(const LogPoint& base, DoneFn done);

  // At least one entry from `first` on, about max_bytes of them. OUT_OF_RANGE:
  // not in the log, or not durable yet; ABORTED: the log was cut meanwhile.
  // Damaged bytes are never given: it waits until the others have helped. If
  // they can't, what is whole is given, and the rest fails as they do: with
  // LostRecordsError if none of them has it.
  void Read(Index first, size_t max_bytes, ResultFn<std::vector<Entry>> done) {
    Read(ReadJob{
        .first = first, .max_bytes = max_bytes, .done = std::move(done)});
  }
  // The same for another server that lacks them: without waiting for anybody,
  // and whether or not these are the log's entries is for that one to see.
  // `behind_gap`: as of FindWhole.
  void ReadWhole(Index first, size_t max_bytes, bool behind_gap,
                 ResultFn<WholeEntries> done) {
    Read(ReadJob{.first = first,
                 .max_bytes = max_bytes,
                 .behind_gap = behind_gap,
                 .whole_done = std::move(done)});
  }

  // Of what is in the log, as far as somebody has come across it: records that
  // neither this server nor, when they were asked, any other could read.
  std::vector<LostRecords> lost() const;

  struct Scrubbed {
    uint64_t bytes = 0;  // that were read
    // Nothing is left to be looked at: the next call begins with the log's
    // first segment.
    bool reached_end = false;
  };
  // Reads on where the last call ended, about max_bytes, and looks whether
  // what is durable is as it was written: headers of segments, entries, and of
  // a log at rest the last marks, of which there are to be two. Where it isn't,
  // its segment is mended as what a Read finds. One at a time.
  void Scrub(size_t max_bytes, ResultFn<Scrubbed> done);

  // An entry at or shortly before the one that holds `offset`, which must be
  // in the log.
  Index FloorIndexOfOffset(Offset offset) const;

  const WalStats& stats() const { return stats_; }

 private:
  struct Item {
    enum class Kind : uint8_t { kHardState, kCut, kEntry, kSequence, kReset };
    Kind kind = Kind::kSequence;
    HardState hard_state;
    LogPoint cut_to;  // or what a reset begins behind
    Entry entry;
    uint64_t sequence = 0;
    DoneFn done;  // of a reset
  };
  struct ReadJob {
    std::shared_ptr<File> file;
    uint64_t segment = 0;
    LogSegment::Sample from;  // where to look for it
    uint64_t end = 0;         // of the segment's frames
    Index first;
    Index last;  // of the segment
    size_t max_bytes = 0;
    bool behind_gap = false;  // as of ReadWhole
    uint64_t cuts = 0;
    ResultFn<std::vector<Entry>> done;
    ResultFn<WholeEntries> whole_done = nullptr;  // of ReadWhole, instead

    bool whole() const { return static_cast<bool>(whole_done); }
    void Done(absl::StatusOr<std::vector<Entry>> entries);
  };
  // A segment that is damaged, and those that wait for it.
  struct Mending {
    std::vector<ReadJob> readers;
    std::unique_ptr<SegmentSalvage> salvage;  // once its file was read
    absl::Status why;  // the others couldn't help with some of it
    std::unique_ptr<ReplacedFile> file;
  };
  // What is left of a segment that couldn't be mended.
  struct Partial {
    std::shared_ptr<File> file;
    std::unique_ptr<SegmentSalvage> salvage;
    absl::Status why;  // of gaps that aren't lost; OK: there are none
  };
  void Recover(const LogPoint& base, const WalResume& resume,
               WalRecovery::Mode mode, ReplayFn replay, DoneFn done);
  void Pump();
  void WriteHardState(const HardState& state);
  void WriteGroup();
  // Takes entries off the queue and makes frames of them; the last sequence
  // that they complete, or 0.
  uint64_t GatherFrames(Buffers* out);
  // Whether a spare file for `bytes` is ready; begins to make it if not.
  bool SpareReady(uint64_t bytes);
  // Whether marks say of all that was synced that it was; or the next segment's
  // header will.
  bool all_marked() const {
    return begin_segment_ || marked_at_ == writer_.position();
  }
  // While a segment for that entry is waited for, which may take hours: what
  // was synced last would go for a torn tail, should it rot meanwhile. Whether
  // the segment isn't there yet, and marks will be in a while; they end in
  // Pump.
  bool MarksFirst(const Entry& next);
  bool WaitsForSegment() const {
    return !busy_ && !queue_.empty() && (begin_segment_ || mark_waits_);
  }
  void AllocateSpare(uint64_t bytes);
  void AllocateAhead();
  void OnSpare(absl::StatusOr<std::unique_ptr<File>> file);
  void NoteSealed();
  void BeginSegment(Buffers* out);
  void OnGroupSynced(absl::Status status, uint64_t synced_to,
                     uint64_t sequence);
  void CutTo(const LogPoint& point);
  void WriteReset();
  void OnResetHeaderSynced(DoneFn done);
  void DropSegments();
  void RemoveReplaced();
  // One file after the other: each may take its time, and the disk is needed
  // for the next segment, too.
  void Remove(std::string name);
  void RemoveNext();
  void ArmMark(Duration delay);
  void DisarmMark();
  void WriteMark();
  void Read(ReadJob job);
  void ReadMore(uint64_t id, uint64_t length);
  void FindWholeOnes(ReadJob job);
  // Another server asks for what is damaged here, and may need it to be mended
  // here, where perhaps nobody reads it.
  void MendForOthers(const ReadJob& job);
  void OnRead(uint64_t id, uint64_t asked, absl::StatusOr<Buffer> bytes);
  // Those of the job that are whole in `bytes`; it goes on behind them then.
  absl::StatusOr<std::vector<Entry>> TakeEntries(const Buffer& bytes,
                                                 ReadJob* job);
  // Mends the segment of the first one that isn't being written any more; one
  // at a time.
  void MendNext();
  void OnMendRead(absl::StatusOr<PatchedBytes> file);
  void FillHole();
  void WriteMended();
  void OnMended(absl::StatusOr<Mended> mended);
  void OnMendReplaced(absl::StatusOr<std::unique_ptr<File>> file);
  // Reads again, or fails.
  void EndMending(absl::Status status);
  // Gives what is left.
  void EndInPart(const LogSegment& segment);
  void NoteLost(const LogSegment& segment, const std::vector<Gap>& gaps);
  // These entries of the segment are whole, after all.
  void NoteFound(uint64_t segment, Index first, Index last);
  absl::StatusOr<std::vector<Entry>> ReadInPart(const Partial& partial,
                                                const ReadJob& job) const;
  // After the last entry of the segment, as what follows it has it.
  LogPoint PointBehind(const LogSegment& segment) const;
  // Scrubbing (wal_scrub.cc).
  struct ScrubPlace {
    uint64_t segment = 0;  // or the next one
    std::shared_ptr<File> file;
    uint64_t end = 0;  // of what is to be looked at, and a bit more
    uint64_t position = 0;
    uint32_t seed = 0;
    Index to;
    bool behind = false;  // that entry
    // That are yet to follow it, where they alone tell how far the log goes.
    int marks = 0;
  };
  enum class Look : uint8_t { kWhole, kNeedsMore, kDone, kDamaged };
  // Whether the last segment's end stands on the disk, and nothing but marks
  // tells where it is. They were written, unless a start found it so.
  bool Rests() const;
  void ScrubMore(uint64_t length);
  // At what was read from scrub_.position on, which moves behind what is whole.
  Look LookAt(const Buffer& bytes, bool more_follows);
  void NoteDamage();
  void LeaveScrubbed(uint64_t next);
  void EndScrub(Scrubbed scrubbed);
  LogSegment* Find(uint64_t id);
  void Fail(absl::Status status);

  Loop* const loop_;
  Disk* const disk_;
  const Incarnation owner_;
  const WalOptions options_;
  Events events_;
  HardStateFile hard_state_file_;
  HardState hard_state_;
  bool refresh_hard_state_ = false;
  MendFn mend_;
  Index promised_;
  std::unique_ptr<WalRecovery> recovery_;
  bool helping_ = false;  // reads for another server

  // In the order of ids and of entries; the last one is written to.
  std::vector<LogSegment> segments_;
  FrameWriter writer_;
  bool begin_segment_ = true;  // the next entry begins a new one
  bool beginning_ = false;     // the last one's beginning isn't durable yet
  uint64_t capacity_ = 0;      // of the last segment
  uint64_t sealed_bytes_ = 0;  // of those before it
  uint64_t synced_to_ = 0;
  uint64_t marked_at_ = 0;  // behind the last mark
  LogPoint last_;
  Index durable_last_;
  LogPoint base_;
  Index commit_;
  Index reached_;
  // What is to be cut isn't read any more, though it may take a while until the
  // files have lost it.
  static constexpr Index kNoCut = Index(UINT64_MAX);
  Index readable_to_ = kNoCut;
  uint64_t cuts_queued_ = 0;
  uint64_t cuts_ = 0;  // queued ones too: reads begun before one are aborted

  std::deque<Item> queue_;
  uint64_t bytes_queued_ = 0;  // of payloads in it
  bool busy_ = false;          // a group, hard state or mark is being written
  bool failed_ = false;
  bool read_only_ = false;
  bool in_part_ = false;
  Timer mark_timer_;
  bool mark_waits_ = false;  // with what waits for the next segment
  DoneFn rest_done_;
  std::shared_ptr<File> spare_;
  uint64_t spare_bytes_ = 0;
  uint64_t spare_id_ = 0;
  bool allocating_ = false;
  bool short_of_space_ = false;  // the last one couldn't be made
  bool no_room_ = false;         // ... and is needed
  uint64_t next_id_ = 1;
  std::vector<std::string> replaced_;  // files to remove after the next sync
  std::deque<std::string> to_remove_;  // now
  bool removing_ = false;
  uint64_t next_read_ = 1;
  std::map<uint64_t, ReadJob> reads_;
  std::map<uint64_t, Mending> damaged_;  // by segment
  std::optional<uint64_t> mending_;
  bool mend_waits_ = false;  // for room
  std::shared_ptr<Partial> partial_;
  Timer forget_partial_;
  Instant mend_for_others_at_ =
      Instant::min();  // the next time, at the soonest
  std::map<uint64_t, std::vector<LostRecords>> lost_;  // by segment
  ScrubPlace scrub_;
  ResultFn<Scrubbed> scrub_done_;
  WalStats stats_;
  CallbackScope scope_;
};

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_WAL_WAL_H_
