#ifndef HOLDFAST_ENGINE_WAL_TESTING_WAL_RUN_H_
#define HOLDFAST_ENGINE_WAL_TESTING_WAL_RUN_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/wal/checkpoint_file.h"
#include "engine/wal/testing/memory_disk.h"
#include "engine/wal/testing/memory_loop.h"
#include "engine/wal/wal.h"

namespace holdfast {

// The entry behind `point`, with `size` bytes of payload that depend on the
// point, the term and `salt`. An empty one is a no-op, others hold one record.
Entry NextEntry(const LogPoint& point, Term term, size_t size,
                uint64_t salt = 0);
bool SameEntries(const std::vector<Entry>& a, const std::vector<Entry>& b);

// A power failure that everything survives that the disk had.
inline bool Everything(size_t, size_t) { return true; }

// 16 KiB segments, groups of 8 KiB, a mark each 4 KiB.
WalOptions SmallWalOptions();

// One life of a Wal on a MemoryDisk, and a model of what it was asked to hold.
class WalRun {
 public:
  static constexpr uint64_t kOwner = 77;

  // An empty disk.
  explicit WalRun(WalOptions options = SmallWalOptions());
  // What `before`'s power failure at this moment leaves of its disk.
  WalRun(const WalRun& before, const MemoryDisk::Survives& survives);
  // What another process finds after `before`'s death at this moment; the
  // power stays on.
  explicit WalRun(const WalRun& before);
  ~WalRun();

  MemoryLoop& loop() { return loop_; }
  MemoryDisk& disk() { return *disk_; }
  Wal& wal() { return *wal_; }

  // The newest durable checkpoint, which the model keeps for the Wal's caller:
  // what Open begins behind, also after a crash.
  void SetCheckpoint(const LogPoint& point) { checkpoint_ = point; }
  const LogPoint& checkpoint() const { return checkpoint_; }
  // A resume point, likewise: one that was made when this entry was the last.
  WalResume ResumeAt(Index at) const;
  void SetResume(WalResume resume) { resume_ = std::move(resume); }

  // Whom each Open asks for what is damaged (Wal::set_mend); null: nobody.
  void SetMend(
      std::function<void(const LogHole&, Term, ResultFn<Mended>)> mend) {
    mend_ = std::move(mend);
  }

  // What the server has promised to have (Wal::set_promised).
  void SetPromised(Index promised) { promised_ = promised; }

  // Who is told that there is no room (Wal::Events); null: it is an error.
  void SetNoSpace(std::function<void(bool needed)> fn) {
    no_space_ = std::move(fn);
  }

  // Writes say that no later entry than this one is committed; else, that all
  // before them are that are known to be durable.
  void set_commit_max(Index index) { commit_max_ = index; }

  // Makes a Wal and has it recover, until nothing is left to do.
  absl::Status Open();
  // Only to read what is whole, with nobody to ask.
  absl::Status OpenInPart();
  // Of what is read then: empty if all that there is of it is the log's, and
  // what is called lost stands where it says; else what is wrong. `lost`:
  // entries that aren't there.
  std::string WhyNotPartOf(const std::vector<Entry>& log, uint64_t* lost);
  // Of an empty disk, which must succeed; then makes the hard state durable
  // that an entry of that term needs.
  void OpenNew(Term term);
  // The same for so many tasks, after which nothing but a crash makes sense.
  void OpenFor(size_t tasks);
  // The process dies and another one starts; the power stays on.
  absl::Status Reopen();

  // What to write next. Each is one Write, issued at once.
  void Append(Term term, std::vector<size_t> sizes);
  void CutAndAppend(Index last_kept, Term term, std::vector<size_t> sizes);
  void SetHardState(HardState state);
  void SetHardStateAndAppend(HardState state, std::vector<size_t> sizes);
  // A checkpoint, durable from now on, takes the log's place.
  void ResetTo(const LogPoint& base);

  // Runs `tasks` tasks of the loop at most.
  void RunTasks(size_t tasks);
  void RunUntilIdle() { loop_.RunUntilIdle(); }

  // A read, to its end.
  absl::StatusOr<std::vector<Entry>> Read(Index first, size_t max_bytes);

  const std::vector<Entry>& recovered() const { return recovered_; }
  // What was asked for behind base(), and what the last report covers.
  LogPoint base() const { return states_.back().base; }
  const std::vector<Entry>& log() const { return states_.back().log; }
  LogPoint last() const;
  LogPoint PointAt(Index index) const;
  uint64_t persisted() const { return persisted_; }
  bool all_persisted() const { return persisted_ == next_sequence_ - 1; }
  const absl::Status& failure() const { return failure_; }

  struct State {
    std::vector<Entry> log;
    HardState hard_state;
    LogPoint base;  // that the log begins behind
  };
  // The states that this life may leave behind: all that was reported
  // durable, and then any prefix of what was asked for.
  std::vector<State> Outcomes() const;
  // Whether what was recovered is one of them. Empty if so, else what is
  // wrong.
  std::string WhyNotOf(const std::vector<State>& outcomes) const;
  // What a state's log holds behind the checkpoint.
  std::vector<Entry> Behind(const State& state) const;

 private:
  void BeginOpen();
  // The last entry that was reported durable, and is to stay.
  Index KnownDurable() const;
  void Issue(std::optional<HardState> state, std::optional<LogPoint> cut_to,
             Term term, const std::vector<size_t>& sizes);

  const WalOptions options_;
  LogPoint checkpoint_;
  WalResume resume_;
  Index promised_;
  MemoryLoop loop_;
  std::unique_ptr<MemoryDisk> disk_;
  std::unique_ptr<Wal> wal_;
  std::function<void(const LogHole&, Term, ResultFn<Mended>)> mend_;
  std::function<void(bool)> no_space_;
  std::optional<absl::Status> opened_;
  std::vector<Entry> recovered_;
  Index max_commit_;
  Index commit_max_ = Index(UINT64_MAX);

  // After each thing asked for, and those that sequences stand behind.
  std::vector<State> states_;
  std::vector<size_t> state_of_sequence_{0};
  uint64_t next_sequence_ = 1;
  uint64_t persisted_ = 0;
  size_t reset_state_ = 0;  // after the last reset that was reported
  absl::Status failure_;
};

// Of the log on `before`, some of whose files are others on `after`: up to
// which entry all is as it was that tells of it, the headers of its segments
// and all frames before it, but for what `base` stands for.
Index IntactTo(const MemoryDisk& before, const MemoryDisk& after, Index base);

// With a state, members and a cluster that never change.
Checkpoint CheckpointOf(const LogPoint& point);

// A log of several segments with a cut, a restart and a marked tail. `more`: of
// these sizes, before the restart.
void WriteLogWithACut(WalRun* run, std::vector<size_t> more = {});

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_WAL_TESTING_WAL_RUN_H_
