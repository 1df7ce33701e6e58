// What a server does when an operation of its disk fails, whichever it is: in
// two lives of one that is a cluster alone, with segments begun and dropped,
// waypoints, resume points and checkpoints, and a start behind a torn end, each
// completion is an error in its turn. It ends with the reason, or goes on, as
// docs/DISK_FORMAT.md says; and the next start has all that was acknowledged,
// whether the process alone has died or the power has failed with it.

#include <cstddef>
#include <cstdint>
#include <iostream>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/base/batch.h"
#include "engine/base/check.h"
#include "engine/base/configuration.h"
#include "engine/base/time.h"
#include "engine/base/types.h"
#include "engine/env/env.h"
#include "engine/log/distributed_log.h"
#include "engine/node/disk_space.h"
#include "engine/peer/plaintext.h"
#include "engine/peer/testing/manual_loop.h"
#include "engine/peer/testing/memory_network.h"
#include "engine/wal/replaced_file.h"
#include "engine/wal/testing/memory_disk.h"
#include "engine/wal/testing/wal_run.h"
#include "gtest/gtest.h"

namespace holdfast {
namespace {

using Call = MemoryDisk::Call;

// Of which a segment takes two or three, each with its marks.
constexpr size_t kRecordBytes = 2700;
// Tasks of a server that has nothing to do, for many minutes.
constexpr int kTasksMax = 100'000;

// What its clients know of the log.
struct Known {
  uint64_t tried = 0;  // appends, each of another record
  std::map<Offset, std::string> acknowledged;
  Offset trimmed_to;        // of which that was acknowledged
  Offset asked_to_trim_to;  // perhaps in vain
};

// One process, in a world of its own, on what an earlier one has left.
class Life {
 public:
  // `before`: null: an empty disk. It is as the process left it, or without all
  // that wasn't synced.
  Life(const MemoryDisk* before, bool power_failed, uint64_t seed) {
    if (before == nullptr) {
      disk_ = std::make_unique<MemoryDisk>(&loop_);
    } else if (power_failed) {
      disk_ = before->AfterCrash(&loop_, [](size_t, size_t) { return false; });
    } else {
      disk_ = before->AfterProcessDeath(&loop_);
    }
    LogOptions options;
    options.node.id = ServerId(1);
    options.node.cluster_name = "alone";
    options.node.listen = "server:1";
    options.node.bootstrap = {Member{ServerId(1), {}, "server:1"}};
    options.node.reserve_bytes = 8 << 10;
    options.node.scrub_bytes_per_second = 0;
    options.node.wal = SmallWalOptions();
    log_ = std::make_unique<DistributedLog>(Env{.loop = &loop_,
                                                .disk = disk_.get(),
                                                .network = &network_,
                                                .security = &security_,
                                                .seed = seed},
                                            std::move(options), nullptr);
    log_->OnFatal([this](absl::Status why) { ended_ = std::move(why); });
  }

  MemoryDisk& disk() { return *disk_; }
  const DistributedLog& log() const { return *log_; }
  // OK: it hasn't ended by itself.
  const absl::Status& ended() const { return ended_; }
  // Whether what failed did so before it served.
  bool failed_at_start() const { return failed_at_start_; }

  // The rest is false once it has ended.

  bool Start() {
    std::optional<absl::Status> opened;
    log_->Open([&](absl::Status status) {
      opened = std::move(status);
      failed_at_start_ = disk_->failed().has_value();
    });
    if (!Await(opened)) return false;
    ended_.Update(*opened);
    for (int i = 0; i < 1000 && ended_.ok() && !log_->node().is_leader(); ++i) {
      loop_.RunFor(10ms);
    }
    EXPECT_TRUE(!ended_.ok() || log_->node().is_leader());
    return ended_.ok();
  }

  // Returns when it is acknowledged, before the log has come to rest.
  bool Append(Known* known) {
    const std::string record = absl::StrCat("record ", known->tried++, " ",
                                            std::string(kRecordBytes, 'x'));
    for (int times = 0; times < 200; ++times) {
      BatchBuilder batch;
      CHECK(batch.Add(record).ok());
      std::optional<AppendOutcome> outcome;
      log_->Append(batch.Finish(), {},
                   [&](AppendOutcome o) { outcome = std::move(o); });
      if (!Await(outcome)) return false;
      if (outcome->kind == AppendOutcome::Kind::kCommitted) {
        EXPECT_TRUE(known->acknowledged.emplace(outcome->offset, record).second)
            << "record " << outcome->offset.value() << " has been lost";
        return true;
      }
      // Without a reserve there is no room for records, until it can be made.
      loop_.RunFor(100ms);
      if (!ended_.ok()) return false;
      EXPECT_EQ(outcome->reason, AppendOutcome::Reason::kNoSpace)
          << outcome->message;
    }
    ADD_FAILURE() << "it has no room for records any more";
    return false;
  }

  // Each with its marks before the next.
  bool AppendInTurn(int count, Known* known) {
    for (int i = 0; i < count; ++i) {
      if (!Append(known)) return false;
      loop_.RunFor(100ms);
    }
    return ended_.ok();
  }

  bool Trim(Offset first, Known* known) {
    known->asked_to_trim_to = first;
    std::optional<absl::Status> trimmed;
    log_->Trim(first, [&](absl::Status s) { trimmed = std::move(s); });
    if (!Await(trimmed)) return false;
    if (trimmed->ok()) known->trimmed_to = first;
    loop_.RunFor(2s);
    EXPECT_TRUE(trimmed->ok() || !ended_.ok()) << *trimmed;
    return ended_.ok();
  }

  // What is under way because of what failed.
  void Finish() {
    if (disk_->failed().has_value()) loop_.RunFor(1s);
  }

  std::map<Offset, std::string> ReadAll() {
    std::map<Offset, std::string> found;
    Offset next = log_->first_offset();
    while (next < log_->committed_end()) {
      std::optional<absl::StatusOr<ReadResult>> read;
      log_->Read(next, 64 << 10, ReadMode::kLocal,
                 [&](absl::StatusOr<ReadResult> r) { read = std::move(r); });
      if (!Await(read)) return found;
      EXPECT_TRUE(read->ok()) << read->status();
      if (!read->ok() || (*read)->batches.empty()) return found;
      for (const Entry& entry : (*read)->batches) {
        const absl::StatusOr<BatchView> batch = BatchView::Parse(entry.payload);
        CHECK(batch.ok());
        RecordCursor cursor = batch->Records();
        RecordView record;
        CHECK(cursor.Next(&record));
        found[entry.header.base_offset] = std::string(record.value());
        next = entry.header.base_offset + entry.header.count;
      }
    }
    return found;
  }

 private:
  // Not a moment longer than until it is there.
  template <typename T>
  bool Await(const std::optional<T>& result) {
    for (int i = 0; i < kTasksMax && !result.has_value(); ++i) {
      loop_.RunTasks(1);
    }
    EXPECT_TRUE(result.has_value()) << "it hangs";
    return result.has_value();
  }

  ManualLoop loop_;
  MemoryNetwork network_{&loop_};
  Plaintext security_{&loop_};
  std::unique_ptr<MemoryDisk> disk_;
  absl::Status ended_;
  bool failed_at_start_ = false;
  std::unique_ptr<DistributedLog> log_;
};

// On an empty disk. When it dies its last entry, behind others of the same
// segment, has no mark yet.
bool FirstLife(Life* life, Known* known) {
  return life->Start() && life->AppendInTurn(13, known) &&
         life->Trim(Offset(8), known) && life->Append(known);
}

bool SecondLife(Life* life, Known* known) {
  return life->Start() && life->AppendInTurn(9, known) &&
         life->Trim(Offset(16), known);
}

enum class Outcome { kEnds, kGoesOn, kEither };

// By "What the device reports" in docs/DISK_FORMAT.md.
Outcome Expected(const MemoryDisk::Failed& failed, bool at_start) {
  switch (failed.call) {
    case Call::kWrite:
    case Call::kSync:
    case Call::kSyncDir:
    case Call::kCreate:
    case Call::kRename:
    case Call::kLock:
      return Outcome::kEnds;
    case Call::kTruncate:
    case Call::kFreeSpace:
      return Outcome::kGoesOn;
    case Call::kAllocate:
      // A segment may be waited for, or made ahead.
      return failed.name == DiskSpace::kReserveName ? Outcome::kEnds
                                                    : Outcome::kEither;
    case Call::kRemove: {
      const bool unfinished =
          absl::EndsWith(failed.name, ReplacedFile::kNewSuffix);
      if (at_start && !unfinished &&
          absl::StrContains(failed.name, ".waypoint")) {
        return Outcome::kGoesOn;
      }
      if (at_start && absl::StrContains(failed.name, ".segment")) {
        return Outcome::kEnds;
      }
      return unfinished ? Outcome::kEnds : Outcome::kGoesOn;
    }
    // What is there twice, or can be done without, and what may be read the
    // next time.
    case Call::kRead:
    case Call::kOpen:
    case Call::kList:
      return Outcome::kEither;
  }
  CHECK(false);
}

bool ChangesNamesOrLength(Call call) {
  return call == Call::kCreate || call == Call::kAllocate ||
         call == Call::kRename || call == Call::kRemove ||
         call == Call::kTruncate;
}

class DiskErrorsTest : public testing::Test {
 protected:
  using Lives = bool (*)(Life*, Known*);

  // Each completion of a life on that disk is an error in its turn.
  void FailEach(const MemoryDisk* before, const Known& known_before,
                Lives live) {
    bool over = false;
    for (uint64_t failing = 1; !over; ++failing) {
      for (const bool changed : {true, false}) {
        SCOPED_TRACE(absl::StrCat("completion ", failing,
                                  changed ? "" : ", without any effect"));
        Life life(before, /*power_failed=*/false, kSeedOfFaults);
        Known known = known_before;
        life.disk().FailAt(failing, changed);
        const bool done = live(&life, &known);
        life.Finish();
        const std::optional<MemoryDisk::Failed>& failed = life.disk().failed();
        over = life.disk().completions() < failing;
        if (!failed.has_value()) break;  // or nobody waited for it any more
        SCOPED_TRACE(absl::StrCat("call ", static_cast<int>(failed->call), " ",
                                  failed->name));
        Judge(life, done);
        ExpectKnown(life.disk(), /*power_failed=*/false, known);
        ExpectKnown(life.disk(), /*power_failed=*/true, known);
        if (HasFailure()) return;
        if (!ChangesNamesOrLength(failed->call)) break;
      }
    }
  }

  void Judge(Life& life, bool done) {
    const MemoryDisk::Failed failed = *life.disk().failed();
    const bool ended = !life.ended().ok();
    ++(ended ? ended_ : went_on_)[failed.call];
    EXPECT_TRUE(ended || done) << "it neither goes on nor says why not";
    const Outcome expected = Expected(failed, life.failed_at_start());
    if (expected == Outcome::kGoesOn) {
      EXPECT_FALSE(ended) << life.ended();
    } else if (expected == Outcome::kEnds) {
      EXPECT_TRUE(ended);
      EXPECT_TRUE(
          absl::StrContains(life.ended().message(), "injected device error"))
          << life.ended();
    }
  }

  // The next start serves, has all that was acknowledged, and has removed what
  // couldn't be.
  static void ExpectKnown(const MemoryDisk& left, bool power_failed,
                          Known known) {
    SCOPED_TRACE(power_failed ? "the power fails" : "the process dies");
    Life next(&left, power_failed, kSeedOfNextStarts);
    ASSERT_TRUE(next.Start()) << next.ended();
    EXPECT_TRUE(next.AppendInTurn(1, &known)) << next.ended();
    const std::map<Offset, std::string> found = next.ReadAll();
    EXPECT_LE(next.log().first_offset(), known.asked_to_trim_to);
    EXPECT_GE(next.log().first_offset(), known.trimmed_to);
    for (const auto& [offset, record] : known.acknowledged) {
      if (offset < next.log().first_offset()) continue;
      const auto it = found.find(offset);
      EXPECT_TRUE(it != found.end() && it->second == record)
          << "record " << offset.value();
    }
    const MemoryDisk::Failed& failed = *left.failed();
    const bool stayed = failed.call == Call::kRemove &&
                        absl::c_linear_search(left.Names(), failed.name);
    if (stayed && (absl::EndsWith(failed.name, ".segment") ||
                   absl::EndsWith(failed.name, ".waypoint"))) {
      EXPECT_FALSE(absl::c_linear_search(next.disk().Names(), failed.name));
    }
  }

  static constexpr uint64_t kSeedOfFaults = 7;
  static constexpr uint64_t kSeedOfNextStarts = 8;

  // Completions that failed.
  std::map<Call, int> ended_;
  std::map<Call, int> went_on_;
};

TEST_F(DiskErrorsTest, EachEndsTheProcessOrDoesNothing) {
  // Without any, all goes on, and each has dropped some of the log.
  Life first(nullptr, /*power_failed=*/false, kSeedOfFaults - 1);
  Known known;
  ASSERT_TRUE(FirstLife(&first, &known)) << first.ended();
  ASSERT_GT(first.log().stats().prefix_dropped, 0u);
  Life second(&first.disk(), /*power_failed=*/false, kSeedOfFaults);
  Known known_then = known;
  ASSERT_TRUE(SecondLife(&second, &known_then)) << second.ended();
  ASSERT_GT(second.log().stats().prefix_dropped, 0u);

  FailEach(nullptr, Known(), FirstLife);
  if (HasFailure()) return;
  FailEach(&first.disk(), known, SecondLife);

  for (const Call call :
       {Call::kAllocate, Call::kList, Call::kRename, Call::kRemove}) {
    EXPECT_GT(ended_[call] + went_on_[call], 0) << static_cast<int>(call);
  }
  std::cout << "calls that failed, as they are listed in MemoryDisk:\n";
  for (int call = 0; call <= static_cast<int>(Call::kFreeSpace); ++call) {
    std::cout << call << ": " << ended_[Call(call)] << " ended the process, "
              << went_on_[Call(call)] << " didn't\n";
  }
}

}  // namespace
}  // namespace holdfast
