#ifndef HOLDFAST_ENGINE_LOG_RECOVER_COPIES_H_
#define HOLDFAST_ENGINE_LOG_RECOVER_COPIES_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "engine/base/inline_function.h"
#include "engine/base/types.h"
#include "engine/env/completion.h"
#include "engine/env/disk.h"
#include "engine/env/loop.h"
#include "engine/log/old_log.h"
#include "engine/wal/entry.h"
#include "engine/wal/wal.h"

namespace holdfast {

// Another server's directory, which may have what the one lacks of which a new
// cluster is made (recover.h).
struct RecoverCopy {
  std::string name;  // for people
  Disk* disk = nullptr;
};

// What came of it.
struct RecoverCopyUse {
  std::string name;
  // DATA_LOSS: it is too damaged to be of use, and why.
  absl::Status status;
  ServerId id;
  // Where its log ends.
  Index last_index;
  Term last_term;
  // That the new log has from it.
  uint64_t entries = 0;
  // Why some of its entries couldn't be read, though they may be there.
  absl::Status trouble;

  // Whether it has what a log that ends with that entry lacks, and could have
  // been elected before it (Raft, section 5.4.1).
  bool IsAhead(Index index, Term term) const {
    return last_term > term || (last_term == term && last_index > index);
  }
};

// Other servers' copies of a log that is damaged. An entry of theirs is the
// log's if the copy has the same entry, by its chained hash, at that index or
// behind it; or if the log's next entry continues the copy's by that hash. So
// one that another leader had put there, and that was never committed, isn't
// taken for it; nor is one of which nothing tells. Another copy that is known
// to be the log's tells as much as the log itself. Internal to engine/log.
class RecoverCopies {
 public:
  // `log` is open before Open; it and the disks outlive this object.
  RecoverCopies(Loop* loop, const WalOptions& options, OldLog* log,
                std::vector<RecoverCopy> copies);

  // FAILED_PRECONDITION, naming it: a copy is of another cluster, of the same
  // server as the log or another copy, or what OldLog::Open says. One that is
  // too damaged is left out.
  void Open(DoneFn done);
  // The log lacks its entries from `first` to `last`: those that a copy has,
  // from the first one on that any of them has. None: none of them has any.
  // `before`: the log's point before `first`, if it is known. One at a time.
  void Read(Index first, Index last, const std::optional<LogPoint>& before,
            ResultFn<std::vector<Entry>> done);

  // After Open: of each copy, the longest first.
  std::vector<RecoverCopyUse> uses() const;

 private:
  struct Copy {
    std::unique_ptr<OldLog> log;
    RecoverCopyUse use;
    // Up to there it is known to be the same log.
    Index same_to;
  };

  void OpenNext(size_t i);
  void OnOpen(size_t i, absl::Status opened);
  absl::Status Check(size_t i) const;
  // Whether what the i-th one has is the log's. `by` counts those that it is
  // compared with: the log itself, then the copies before it.
  void Judge(size_t i, size_t by);
  // What differs from another log further on may be the same before: up to
  // where that one's entries begin, of those that are wanted.
  void JudgeBefore(size_t i, size_t by, OldLog* other, Index to);
  void Note(size_t i, Index same_to);
  // The first index at `from` or behind it up to which the copy and the other
  // log, of which the entries up to `to` count, are known to be the same; 0:
  // they aren't, or nothing tells.
  void Compare(OldLog* copy, OldLog* other, Index from, Index to,
               InlineFunction<void(Index)> done);
  // Reads what the copies from the i-th one on have.
  void Gather(size_t i);
  void Take(size_t i, std::vector<Entry> entries);

  OldLog* const log_;
  std::vector<Copy> copies_;
  DoneFn opened_;
  // Of the Read under way.
  Index first_;
  Index last_;
  std::optional<LogPoint> before_;
  std::vector<Entry> found_;
  size_t found_in_ = 0;
  ResultFn<std::vector<Entry>> done_;
};

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_LOG_RECOVER_COPIES_H_
