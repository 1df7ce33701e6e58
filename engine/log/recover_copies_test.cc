// New clusters of what several servers have left: what the one lacks is taken
// from the others, if it is the log's.

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/base/batch.h"
#include "engine/base/configuration.h"
#include "engine/base/lost_records.h"
#include "engine/log/log_state.h"
#include "engine/log/recover.h"
#include "engine/log/sessions.h"
#include "engine/log/testing/rebuild.h"
#include "engine/node/identity.h"
#include "engine/wal/entry.h"
#include "engine/wal/testing/wal_run.h"
#include "gtest/gtest.h"

namespace holdfast {
namespace {

class RecoverCopiesTest : public RebuildTest {
 protected:
  using Servers = std::vector<OldServer*>;

  void WriteTo(OldServer* server, size_t entries) {
    server->Write(
        cluster_,
        {log_.begin(), log_.begin() + static_cast<ptrdiff_t>(entries)},
        Index(20));
  }
  // The same log on all of them.
  void MakeServers() {
    MakeLog();
    for (OldServer* server : Servers{&main_, &a_, &b_}) {
      WriteTo(server, log_.size());
    }
  }
  void Clear(OldServer* server) {
    for (const std::string& name : server->disk()->Names()) {
      server->disk()->Delete(name);
    }
  }
  // Instead of what is there, the log up to that entry, and behind it what
  // another leader had put there.
  void WriteAnother(OldServer* server, uint64_t same) {
    Clear(server);
    std::vector<Entry> other(log_.begin(),
                             log_.begin() + static_cast<ptrdiff_t>(same));
    for (int i = 0; i < 3; ++i) {
      const EntryHeader& last = other.back().header;
      other.push_back(SealEntry(PointAfter(last), Term(3), EntryKind::kNoOp, 0,
                                last.log_time, Buffer()));
    }
    server->Write(cluster_, other, Index(same));
  }
  // A segment's header and the entry before it: nothing tells where the one
  // begins, or the other ends.
  void SpoilABeginning(OldServer* server) {
    const uint64_t first = server->EntriesBeside(20).first;
    const std::string name = server->FrameOf(Index(first)).first;
    server->Spoil({first - 1});
    server->disk()->Flip(name, 40, 1);
  }
  // Of main_, and what the others have. All that is old stays as it is.
  absl::StatusOr<Recover::Result> RunRecover(const Servers& others) {
    std::vector<std::map<std::string, std::string>> before;
    Servers all = others;
    all.push_back(&main_);
    for (OldServer* server : all) before.push_back(server->Files());
    std::vector<RecoverCopy> copies;
    for (OldServer* server : others) {
      copies.push_back({.name = NameOf(server), .disk = server->disk()});
    }
    Recover recover(&loop_, main_.disk(), new_disk_.get(), RebuildOptions(),
                    copies);
    absl::StatusOr<Recover::Result> result = RunToEnd(&loop_, &recover);
    for (size_t i = 0; i < all.size(); ++i) {
      EXPECT_EQ(all[i]->Files(), before[i]);
    }
    return result;
  }
  std::string NameOf(OldServer* server) const {
    return server == &main_ ? "main" : server == &a_ ? "a" : "b";
  }
  // What is said of that copy; needs it to be one.
  RecoverCopyUse UseOf(OldServer* server, const Recover::Result& result) {
    for (const RecoverCopyUse& use : result.copies) {
      if (use.name == NameOf(server)) return use;
    }
    ADD_FAILURE() << "nothing is said of " << NameOf(server);
    return {};
  }
  // With both copies nothing is lost, and so many entries are of each.
  void ExpectAllFrom(uint64_t of_a, uint64_t of_b) {
    const absl::StatusOr<Recover::Result> result = RunRecover({&a_, &b_});
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_TRUE(result->lost.empty());
    EXPECT_EQ(UseOf(&a_, *result).entries, of_a);
    EXPECT_EQ(UseOf(&b_, *result).entries, of_b);
    ExpectAllBut({}, log_.size());
  }
  LostRecords Lost(uint64_t first, uint64_t last) const {
    const EntryHeader& end = log_[last - 1].header;
    return {log_[first - 1].header.base_offset, end.base_offset + end.count,
            end.index};
  }
  // The new log is the old one as far as that went in main_, but for these
  // entries; and without any, sessions go on.
  void ExpectAllBut(const std::vector<uint64_t>& lost, size_t entries) {
    const Directory found = ReadDirectory(&loop_, new_disk_.get());
    ASSERT_TRUE(found.status.ok()) << found.status;
    const size_t base = found.checkpoint->point.index.value();
    ASSERT_EQ(found.entries.size(), entries - base + 2);
    const auto at = [this](size_t i) {
      return log_.begin() + static_cast<ptrdiff_t>(i);
    };
    const std::vector<Entry> now(found.entries.begin(),
                                 found.entries.end() - 2);
    const std::vector<Entry> before(at(base), at(entries));
    if (lost.empty()) {
      EXPECT_TRUE(SameEntries(now, before));
    }
    absl::StatusOr<LogState> state = LogState::Of(*found.checkpoint);
    ASSERT_TRUE(state.ok()) << state.status();
    for (size_t i = 0; i < now.size(); ++i) {
      const EntryHeader& h = now[i].header;
      state->Apply(now[i]);
      const bool is_lost = absl::c_linear_search(lost, h.index.value());
      EXPECT_EQ(h.kind, is_lost ? EntryKind::kLost : before[i].header.kind);
      EXPECT_EQ(h.base_offset, before[i].header.base_offset);
      EXPECT_EQ(h.count, before[i].header.count);
      if (is_lost || h.kind != EntryKind::kBatch) continue;
      EXPECT_EQ(now[i].payload.view().substr(kBatchHeaderBytes),
                before[i].payload.view().substr(kBatchHeaderBytes));
    }
    using enum Sessions::Verdict;
    EXPECT_EQ(state->sessions().Check(kSession, Sequence(1)).verdict,
              lost.empty() ? kDuplicate : kUnknownSession);
  }

  OldServer main_{&loop_, ServerId(1), Incarnation(71)};
  OldServer a_{&loop_, ServerId(2), Incarnation(72)};
  OldServer b_{&loop_, ServerId(3), Incarnation(73)};
};

// Whatever the one lacks, and whatever other one the other.
TEST_F(RecoverCopiesTest, NothingIsLostThatACopyHas) {
  MakeLog();
  for (uint64_t i = 1; i < log_.size(); ++i) {
    for (const uint64_t other : {i + 1, i == 1 ? log_.size() : i - 1}) {
      SCOPED_TRACE(absl::StrCat(i, ", and there ", other));
      NewDisk();
      for (OldServer* server : {&main_, &a_}) {
        Clear(server);
        WriteTo(server, log_.size());
      }
      main_.Spoil({i});
      a_.Spoil({other});
      absl::StatusOr<Recover::Result> result = RunRecover({&a_});
      ASSERT_TRUE(result.ok()) << result.status();
      EXPECT_EQ(result->lost, std::vector<LostRecords>());
      // A checkpoint stands for the first one.
      EXPECT_EQ(UseOf(&a_, *result).entries, i == 1 ? 0u : 1u);
      EXPECT_EQ(UseOf(&a_, *result).id, ServerId(2));
      ASSERT_NO_FATAL_FAILURE(ExpectAllBut({}, log_.size()));
    }
  }
}

TEST_F(RecoverCopiesTest, OnlyWhatAllLackIsLost) {
  MakeServers();
  main_.Spoil({5, 6, 20});
  a_.Spoil({6, 7});
  absl::StatusOr<Recover::Result> result = RunRecover({&a_});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->lost, std::vector<LostRecords>{Lost(6, 6)});
  EXPECT_EQ(UseOf(&a_, *result).entries, 2u);
  ExpectAllBut({6}, log_.size());
}

TEST_F(RecoverCopiesTest, WhatACopyHasBetweenWhatIsLostIsTaken) {
  MakeServers();
  main_.Spoil({5, 6, 7, 8, 9});
  a_.Spoil({5, 6, 9});
  b_.Spoil({5, 7, 8, 9});
  absl::StatusOr<Recover::Result> result = RunRecover({&a_, &b_});
  ASSERT_TRUE(result.ok()) << result.status();
  const std::vector<LostRecords> lost{Lost(5, 5), Lost(9, 9)};
  EXPECT_EQ(result->lost, lost);
  EXPECT_EQ(UseOf(&a_, *result).entries, 2u);
  EXPECT_EQ(UseOf(&b_, *result).entries, 1u);
  ExpectAllBut({5, 9}, log_.size());
}

TEST_F(RecoverCopiesTest, PartsMayComeFromSeveralCopies) {
  MakeServers();
  main_.Spoil({5, 6, 7, 8, 9});
  a_.Spoil({8, 9});
  b_.Spoil({5, 6, 7});
  ExpectAllFrom(3, 2);
}

// That the first one's are the log's is known by the second one's only.
TEST_F(RecoverCopiesTest, ACopyMayEndWithinWhatIsDamaged) {
  MakeServers();
  Clear(&a_);
  WriteTo(&a_, 7);
  main_.Spoil({5, 6, 7, 8, 9});
  b_.Spoil({5, 6, 7});
  ExpectAllFrom(3, 2);
}

TEST_F(RecoverCopiesTest, AWholeSegmentComesFromACopy) {
  MakeServers();
  const auto [first, last] = main_.EntriesBeside(20);
  main_.disk()->Delete(main_.FrameOf(Index(20)).first);
  absl::StatusOr<Recover::Result> result = RunRecover({&a_});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_TRUE(result->lost.empty());
  EXPECT_EQ(UseOf(&a_, *result).entries, last - first + 1);
  ExpectAllBut({}, log_.size());
}

// The end of the one copy was never committed; but another one shows that what
// stands before it is the log's.
TEST_F(RecoverCopiesTest, ACopyMayDifferWithinWhatIsDamaged) {
  MakeServers();
  WriteAnother(&a_, 7);
  main_.Spoil({5, 6, 7, 8, 9, 10});
  b_.Spoil({5, 6, 7});
  ExpectAllFrom(3, 3);
}

// Which another leader had put there, and which was never committed.
TEST_F(RecoverCopiesTest, ADifferentEntryIsNotTaken) {
  MakeServers();
  WriteAnother(&a_, 20);
  main_.Spoil({18, 21});
  absl::StatusOr<Recover::Result> result = RunRecover({&a_});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->lost, std::vector<LostRecords>{Lost(21, 21)});
  EXPECT_EQ(UseOf(&a_, *result).entries, 1u);
  ExpectAllBut({21}, log_.size());
}

// What stands for the beginning of a copy's log is of no use; the rest is.
TEST_F(RecoverCopiesTest, ACopyMayBeginBehindACheckpoint) {
  MakeServers();
  Clear(&a_);
  a_.Write(cluster_, {log_.begin() + 10, log_.end()}, Index(15),
           CheckpointAt(10));
  main_.Spoil({5, 10, 15});
  absl::StatusOr<Recover::Result> result = RunRecover({&a_});
  ASSERT_TRUE(result.ok()) << result.status();
  const std::vector<LostRecords> lost{Lost(5, 5), Lost(10, 10)};
  EXPECT_EQ(result->lost, lost);
  EXPECT_EQ(UseOf(&a_, *result).entries, 1u);
  ExpectAllBut({5, 10}, log_.size());
}

TEST_F(RecoverCopiesTest, ACopyThatGoesOnBehindTheEndIsNamed) {
  MakeServers();
  Clear(&main_);
  WriteTo(&main_, 25);
  Clear(&b_);
  WriteTo(&b_, 24);
  main_.Spoil({5});
  absl::StatusOr<Recover::Result> result = RunRecover({&b_, &a_});
  ASSERT_TRUE(result.ok()) << result.status();
  const RecoverCopyUse a = UseOf(&a_, *result);
  EXPECT_EQ(a.last_index, last_.index);
  EXPECT_EQ(a.last_term, Term(2));
  EXPECT_TRUE(a.IsAhead(result->from.last_index, result->from.last_term));
  EXPECT_FALSE(UseOf(&b_, *result)
                   .IsAhead(result->from.last_index, result->from.last_term));
  EXPECT_EQ(result->from.last_index, Index(25));
  EXPECT_TRUE(result->lost.empty());
  ExpectAllBut({}, 25);
}

// Nobody knows what stood there, and what the copy has may be something else.
TEST_F(RecoverCopiesTest, ADamagedEndIsNotTakenFromACopy) {
  MakeServers();
  main_.Spoil({last_.index.value()});
  absl::StatusOr<Recover::Result> result = RunRecover({&a_});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->reached, last_.index);
  EXPECT_EQ(result->from.last_index, last_.index - 1);
  EXPECT_EQ(UseOf(&a_, *result).entries, 0u);
  EXPECT_TRUE(UseOf(&a_, *result)
                  .IsAhead(result->from.last_index, result->from.last_term));
  ExpectAllBut({}, log_.size() - 1);
}

TEST_F(RecoverCopiesTest, ACopyThatCannotBeOpenedIsLeftOut) {
  MakeServers();
  main_.Spoil({5});
  SpoilABeginning(&a_);
  absl::StatusOr<Recover::Result> result = RunRecover({&a_, &b_});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_TRUE(absl::IsDataLoss(UseOf(&a_, *result).status));
  EXPECT_EQ(UseOf(&a_, *result).id, ServerId(2));
  EXPECT_EQ(UseOf(&b_, *result).entries, 1u);
  EXPECT_TRUE(result->lost.empty());
  ExpectAllBut({}, log_.size());
  // Not even whose directory it is.
  NewDisk();
  a_.disk()->SetContents(IdentityFile::kName, "x");
  a_.disk()->SetContents(IdentityFile::kCopyName, "x");
  result = RunRecover({&a_});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_TRUE(absl::IsDataLoss(UseOf(&a_, *result).status));
  EXPECT_EQ(result->lost, std::vector<LostRecords>{Lost(5, 5)});
}

TEST_F(RecoverCopiesTest, RefusesWhatIsNoCopy) {
  MakeServers();
  const auto expect_refused = [this](const Servers& others,
                                     const std::string& why) {
    const absl::Status status = RunRecover(others).status();
    EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
    EXPECT_TRUE(absl::StrContains(status.message(), why)) << status;
    EXPECT_TRUE(new_disk_->Names().empty());
  };
  expect_refused({&main_}, "main: expected another server's directory");
  expect_refused({&a_, &b_, &a_}, "a: expected each server's directory once");
  Clear(&b_);
  expect_refused({&a_, &b_}, "b: expected a server's directory");
  // Waits to be joined.
  b_.Write(ClusterId(), {}, Index());
  expect_refused({&a_, &b_}, "b: expected a log");
  // Of another cluster, of the same name.
  log_.clear();
  last_ = LogPoint();
  Add(EntryKind::kConfiguration, EncodeConfiguration(Configuration()));
  AddBatch(0);
  const ClusterId other(log_[0].header.chain);
  ASSERT_NE(other, cluster_);
  Clear(&b_);
  b_.Write(other, log_, Index(2));
  expect_refused({&a_, &b_}, "b: expected a directory of cluster");
}

}  // namespace
}  // namespace holdfast
