#ifndef HOLDFAST_SIM_HISTORY_H_
#define HOLDFAST_SIM_HISTORY_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "engine/base/lookup_map.h"
#include "engine/base/lost_records.h"
#include "engine/base/types.h"
#include "engine/client/types.h"
#include "sim/violation.h"

namespace holdfast {

// What clients did and saw, checked as it happens, in O(1) an operation (but
// for the order of each producer's records: O(log n)).
//
// Every record is unlike every other. The log is a register of records by
// offset: a function, injective, that is never unlearned; so all that is left
// of linearizability is order in time. `established` is the largest length of
// the log that a completed operation has shown. It is noted when an operation
// is invoked; a record that is in the log at `at` then needs noted <= at,
// whether or not its append is known to have succeeded, and a linearizable read
// that saw the log end at n needs noted <= n. Completions raise it, and so does
// whatever shows a record that is there for good. Once the log has been read
// to its end, that is exact (history_exact_test.cc compares it with a search of
// all orders).
class History {
 public:
  explicit History(Verdict* verdict) : verdict_(verdict) {}

  // An operation begins; give what this returns back when it completes.
  Offset Invoke() const { return established_; }

  // The records will be appended in one batch; they may be in the log from now
  // on. What one producer appends is in the log in the order of these calls;
  // 0: in any order. `expected`: they are to be there or nowhere.
  void AppendInvoked(const std::vector<std::string>& records,
                     uint64_t producer = 0,
                     std::optional<Offset> expected = std::nullopt);
  void AppendInvoked(const std::string& record) {
    AppendInvoked(std::vector<std::string>{record});
  }
  void AppendCommitted(const std::string& record, Offset at, Offset noted,
                       const std::string& who);
  // It must never be seen.
  void AppendRejected(const std::string& record, const std::string& who);
  void AppendUnknown() { ++unknown_; }
  // The outcome of an append that was to happen only if the log ended at
  // `expected`; besides what AppendCommitted and AppendRejected are told.
  void Conditional(Offset expected, const ClientOutcome& outcome, Offset noted,
                   const std::string& who);

  // Somebody read this record there, in whatever way.
  void Saw(absl::string_view record, Offset at, const std::string& who);
  // Or all of these. How many records that was.
  size_t Saw(const std::vector<LogBatch>& batches, const std::string& who);
  // A linearizable read was answered with what is there at `from`; `trimmed`,
  // when it began.
  void ReadFrom(Offset from, Offset trimmed, const std::string& who);
  // A tail that was to go on at `expected` went on at `from`.
  void TailBrought(Offset from, Offset expected, const std::string& who);
  // Tails may end since another cluster is there.
  void ClusterReplaced() { cluster_replaced_ = true; }
  // Nor do they go on where the records are lost that another cluster stands
  // without.
  void RecordsLost(const LostRecords& lost) { lost_ = lost; }
  // It can't go on, for that reason: it was trimmed there.
  void TailEnded(Offset next, const absl::Status& why, const std::string& who);
  // A tail whose reader wants no more brought so many bytes all the same.
  void TailPaused(uint64_t bytes, uint64_t bytes_max, const std::string& who);
  // A client breaks a promise to those who call it.
  void ClientBroke(const std::string& who, absl::string_view what) {
    verdict_->Violate(absl::StrCat(who, " ", what));
  }
  // A linearizable read found the log to end at `end`.
  void LinearizableEnd(Offset end, Offset noted, const std::string& who);

  // Records before `first` may be dropped from now on; and they are.
  void TrimInvoked(Offset first);
  void AnythingMayBeTrimmed() { anything_ = true; }
  void TrimDone(Offset first);
  bool MayBeTrimmed(Offset at) const { return anything_ || at < trim_invoked_; }
  Offset trimmed() const { return trimmed_; }

  uint64_t acknowledged() const { return acknowledged_; }
  uint64_t unknown() const { return unknown_; }
  uint64_t reads() const { return reads_; }
  Offset established() const { return established_; }
  // Of the records that were to be appended.
  uint64_t record_bytes() const { return record_bytes_; }
  // All records that were acknowledged, by offset.
  const std::map<uint64_t, std::string>& committed() const {
    return committed_;
  }

 private:
  struct Record {
    bool rejected = false;
    bool placed = false;
    Offset at;
    // Of its append:
    Offset noted;
    uint64_t number = 0;  // of all appends, from 1; 0: there was none
    uint64_t producer = 0;
    std::optional<Offset> expected;  // of its batch
    uint32_t place = 0;              // in its batch of so many
    uint32_t count = 0;
  };
  // An operation that has shown the log to reach up to some offset.
  struct Raise {
    Offset to;
    std::string who;
    const char* how = "";
  };

  void Place(const std::string& record, Offset at, const std::string& who);
  void CheckBatch(const Record& r, const std::string& record);
  // The log never ended within a batch.
  void CheckEnds(const Record& r, const std::string& record);
  void CheckOrder(const Record& r, const std::string& record);
  void Establish(Offset to, const std::string& who, const char* how);
  // "client 102's append, which reached up to 17".
  std::string WhoHadShown(Offset noted) const;

  Verdict* const verdict_;
  bool cluster_replaced_ = false;
  std::optional<LostRecords> lost_;
  Offset established_;
  std::vector<Raise> raises_;
  uint64_t appends_ = 0;
  uint64_t record_bytes_ = 0;
  // By producer, the numbers of its appends by where their records are.
  std::map<uint64_t, std::map<Offset, uint64_t>> producers_;
  Offset trim_invoked_;
  bool anything_ = false;
  Offset trimmed_;
  LookupMap<std::string, Record> records_;
  LookupMap<uint64_t, std::string> places_;
  std::vector<bool> ends_;  // offsets at which the log was seen to end
  std::map<uint64_t, std::string> committed_;
  uint64_t acknowledged_ = 0;
  uint64_t unknown_ = 0;
  uint64_t reads_ = 0;
};

}  // namespace holdfast

#endif  // HOLDFAST_SIM_HISTORY_H_
