// New clusters of what is left: of a server's directory, and of an image.

#include "engine/log/testing/rebuild.h"

#include <cstddef>
#include <cstdint>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/base/batch.h"
#include "engine/base/image.h"
#include "engine/log/log_state.h"
#include "engine/log/recover.h"
#include "engine/log/restore.h"
#include "engine/log/sessions.h"
#include "engine/node/identity.h"
#include "engine/node/startup.h"
#include "engine/wal/hard_state_file.h"
#include "engine/wal/testing/images.h"
#include "engine/wal/testing/memory_disk.h"
#include "engine/wal/testing/memory_loop.h"
#include "engine/wal/testing/wal_run.h"
#include "gtest/gtest.h"

namespace holdfast {
namespace {

constexpr char kImage[] = "log.image";
// Of so many unsynced sectors in a row all subsets are looked at.
constexpr size_t kImagesWindow = 4;
constexpr Incarnation kOldIncarnation(77);

class Rebuild : public RebuildTest {
 protected:
  void WriteOld(const std::vector<Entry>& entries, Index commit,
                std::optional<Checkpoint> checkpoint = std::nullopt) {
    old_.Write(cluster_, entries, commit, std::move(checkpoint));
  }
  // The new log has what the old one had, but for the entries from `first` to
  // `last`, and its state can be made of it.
  void ExpectAllBut(Index first, Index last) {
    const Directory found = ReadDirectory(&loop_, new_disk_.get());
    ASSERT_TRUE(found.status.ok()) << found.status;
    absl::StatusOr<LogState> state = LogState::Of(*found.checkpoint);
    ASSERT_TRUE(state.ok()) << state.status();
    uint32_t missing = 0;
    for (Index i = first; i <= last; ++i) {
      missing += log_[i.value() - 1].header.count;
    }
    for (const Entry& entry : found.entries) {
      state->Apply(entry);
      const EntryHeader& h = entry.header;
      if (h.index > last_.index || h.kind == EntryKind::kRecovered) break;
      const Entry& old = log_[h.index.value() - 1];
      if (h.index >= first && h.index <= last) {
        EXPECT_EQ(h.kind, EntryKind::kLost);
        EXPECT_EQ(h.count, std::exchange(missing, 0));
        EXPECT_EQ(state->sessions().size(), 0u);
        continue;
      }
      EXPECT_EQ(h.kind, old.header.kind);
      EXPECT_EQ(h.term, old.header.term);
      EXPECT_EQ(h.log_time, old.header.log_time);
      EXPECT_EQ(h.base_offset, old.header.base_offset);
      EXPECT_EQ(h.count, old.header.count);
      if (h.kind != EntryKind::kBatch) {
        EXPECT_EQ(entry.payload.view(), old.payload.view());
        continue;
      }
      const auto batch = BatchView::Parse(entry.payload);
      ASSERT_TRUE(batch.ok()) << batch.status();
      // Of a session that may have come to more than this log tells.
      const bool forgotten = h.index > last && first >= Index(3);
      const SessionId session = BatchView::Parse(old.payload)->session();
      EXPECT_EQ(batch->session(), forgotten ? SessionId() : session);
      EXPECT_EQ(entry.payload.view().substr(kBatchHeaderBytes),
                old.payload.view().substr(kBatchHeaderBytes));
    }
  }
  absl::StatusOr<Recover::Result> RunRecover() {
    Recover recover(&loop_, old_.disk(), new_disk_.get(), RebuildOptions());
    return RunToEnd(&loop_, &recover);
  }

  // --- An image ---

  std::string EncodeImage(Offset first) {
    ImageHeader header;
    header.cluster = cluster_;
    header.cluster_name = "prod";
    header.first_offset = first;
    header.end_offset = last_.next_offset;
    ImageEncoder encoder;
    std::string bytes(encoder.Begin(header).view());
    for (const Entry& entry : log_) {
      const EntryHeader& h = entry.header;
      if (h.kind != EntryKind::kBatch || h.base_offset + h.count <= first) {
        continue;
      }
      absl::StrAppend(&bytes,
                      Flatten(encoder.Add({h.base_offset, h.log_time,
                                           *BatchView::Parse(entry.payload)}))
                          .view());
    }
    absl::StrAppend(&bytes, encoder.End().view());
    return bytes;
  }
  absl::StatusOr<Restore::Result> RunRestore(const std::string& image) {
    old_.disk()->SetContents(kImage, image);
    Restore restore(&loop_, old_.disk(), kImage, new_disk_.get(),
                    RebuildOptions());
    return RunToEnd(&loop_, &restore);
  }

  // --- What came of it ---

  // The power fails before each completion of what `build` does; whatever
  // reached the disk, a server either refuses the directory, or takes it for a
  // new one, or finds all of it.
  template <typename Build>
  void FailAnywhere(Build build) {
    build();
    const uint64_t total = new_disk_->completions();
    const Directory whole = ReadDirectory(&loop_, new_disk_.get());
    ASSERT_TRUE(whole.status.ok()) << whole.status;
    int refused = 0;
    int complete = 0;
    Images images(kImagesWindow);
    for (uint64_t n = 0; n <= total; ++n) {
      NewDisk();
      new_disk_->StopAfter(n);
      build();
      images.ForEach(*new_disk_, [&](const MemoryDisk::Survives& survives) {
        if (HasFailure()) return;  // one says enough
        const std::unique_ptr<MemoryDisk> left =
            new_disk_->AfterCrash(&loop_, survives);
        const std::string what =
            absl::StrCat(n, " of ", total, ", image ", images.count());
        Judge(left.get(), whole, what, &refused, &complete);
      });
    }
    EXPECT_GT(refused, 0);
    EXPECT_GT(complete, 0);
    std::cout << total + 1 << " points, " << images.count()
              << " images (all of them at all but " << images.bounded()
              << " points)\n";
  }
  void Judge(MemoryDisk* left, const Directory& whole, const std::string& what,
             int* refused, int* complete) {
    const bool nothing = left->Names().empty();
    Startup startup(Env{.loop = &loop_, .disk = left, .seed = 1}, ServerId(5),
                    "prod");
    std::optional<absl::StatusOr<Identity>> started;
    startup.Run([&](absl::StatusOr<Identity> i) { started = std::move(i); });
    loop_.RunUntilIdle();
    ASSERT_TRUE(started.has_value()) << what;
    if (!started->ok()) {
      ++*refused;
      EXPECT_TRUE(absl::StrContains(started->status().message(),
                                    "unfinished restore or recover"))
          << what << ": " << started->status();
      return;
    }
    if ((*started)->cluster_id == ClusterId()) {
      EXPECT_TRUE(nothing) << what;
      return;
    }
    ++*complete;
    const Directory found = ReadDirectory(&loop_, left);
    EXPECT_TRUE(found.status.ok()) << what << ": " << found.status;
    EXPECT_TRUE(SameEntries(found.entries, whole.entries)) << what;
    EXPECT_EQ(found.checkpoint->point, whole.checkpoint->point) << what;
    EXPECT_EQ(found.hard_state, whole.hard_state) << what;
    EXPECT_EQ(found.commit, whole.commit) << what;
  }

  OldServer old_{&loop_, ServerId(2), kOldIncarnation};
};

TEST_F(Rebuild, RecoversAWholeLog) {
  MakeLog();
  WriteOld(log_, Index(20));
  const auto before = old_.Files();
  absl::StatusOr<Recover::Result> result = RunRecover();
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(old_.Files(), before);
  EXPECT_EQ(result->from.origin, Recovered::Origin::kServer);
  EXPECT_EQ(result->from.cluster, cluster_);
  EXPECT_EQ(result->from.last_index, last_.index);
  EXPECT_EQ(result->from.last_term, Term(2));
  EXPECT_EQ(result->from.next_offset, Offset(90));
  EXPECT_EQ(result->from.commit, Index(20));
  EXPECT_EQ(result->old.id, ServerId(2));

  const Directory found = ReadDirectory(&loop_, new_disk_.get());
  ASSERT_TRUE(found.status.ok()) << found.status;
  ExpectNewIdentity(found, result->cluster);
  EXPECT_NE(result->cluster, cluster_);
  EXPECT_NE(found.identity.incarnation, kOldIncarnation);
  // Whoever joins needs the checkpoint, which says whose log it is.
  EXPECT_EQ(found.checkpoint->point, PointAfter(log_[0].header));
  ExpectEnd(found, result->from, Term(5));
  EXPECT_TRUE(SameEntries({found.entries.begin(), found.entries.end() - 2},
                          {log_.begin() + 1, log_.end()}));
}

TEST_F(Rebuild, RecoversALogBehindACheckpoint) {
  MakeLog();
  Checkpoint checkpoint = CheckpointAt(10);
  checkpoint.machine_index = Index(12);
  checkpoint.machine = Buffer::Copy("a machine's state");
  WriteOld({log_.begin() + 10, log_.end()}, Index(15), checkpoint);
  absl::StatusOr<Recover::Result> result = RunRecover();
  ASSERT_TRUE(result.ok()) << result.status();
  const Directory found = ReadDirectory(&loop_, new_disk_.get());
  ASSERT_TRUE(found.status.ok()) << found.status;
  ExpectNewIdentity(found, result->cluster);
  EXPECT_EQ(found.checkpoint->point, checkpoint.point);
  EXPECT_EQ(found.checkpoint->state.view(), checkpoint.state.view());
  EXPECT_EQ(found.checkpoint->machine_index, Index(12));
  EXPECT_EQ(found.checkpoint->machine.view(), checkpoint.machine.view());
  EXPECT_TRUE(SameEntries({found.entries.begin(), found.entries.end() - 2},
                          {log_.begin() + 10, log_.end()}));
  ExpectEnd(found, result->from, Term(5));
}

TEST_F(Rebuild, RecoversACheckpointAlone) {
  MakeLog();
  WriteOld({}, Index(), CheckpointAt(10));
  absl::StatusOr<Recover::Result> result = RunRecover();
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->from.last_index, Index(10));
  EXPECT_EQ(result->from.commit, Index(10));
  ExpectEnd(ReadDirectory(&loop_, new_disk_.get()), result->from, Term(5));
}

// Whatever one entry is damaged, and nobody has it: all others are there.
TEST_F(Rebuild, RecoversAllButWhatIsDamaged) {
  MakeLog();
  for (uint64_t i = 1; i <= log_.size(); ++i) {
    SCOPED_TRACE(i);
    for (const std::string& name : old_.disk()->Names()) {
      old_.disk()->Delete(name);
    }
    NewDisk();
    WriteOld(log_, Index(20));
    old_.Spoil({i});
    const auto before = old_.Files();
    absl::StatusOr<Recover::Result> result = RunRecover();
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(old_.Files(), before);
    EXPECT_EQ(result->from.cluster, cluster_);
    EXPECT_EQ(result->reached, last_.index);
    // Behind the last one nobody knows its records.
    const bool at_end = Index(i) == last_.index;
    EXPECT_EQ(result->from.last_index, at_end ? Index(i - 1) : last_.index);
    const EntryHeader& h = log_[i - 1].header;
    std::vector<LostRecords> lost;
    if (!at_end && i > 1) {
      lost.push_back({h.base_offset, h.base_offset + h.count, h.index});
    }
    EXPECT_EQ(result->lost, lost);
    ASSERT_NO_FATAL_FAILURE(ExpectAllBut(Index(i), Index(i)));
  }
}

TEST_F(Rebuild, RecoversWhatIsBetweenDamages) {
  MakeLog();
  WriteOld(log_, Index(20));
  // And a segment's header.
  const auto [name, position] = old_.FrameOf(Index(20));
  old_.Spoil({1, 2, 8, 9, 10, 25});
  old_.disk()->Flip(name, 40, 1);
  absl::StatusOr<Recover::Result> result = RunRecover();
  ASSERT_TRUE(result.ok()) << result.status();
  std::vector<LostRecords> lost{{Offset(0), Offset(0), Index(2)},
                                {Offset(12), Offset(21), Index(10)},
                                {Offset(63), Offset(66), Index(25)}};
  EXPECT_EQ(result->lost, lost);
  EXPECT_EQ(result->from.next_offset, Offset(90));
  const Directory found = ReadDirectory(&loop_, new_disk_.get());
  ASSERT_TRUE(found.status.ok()) << found.status;
  EXPECT_EQ(found.checkpoint->point.index, Index(1));
  absl::StatusOr<LogState> state = LogState::Of(*found.checkpoint);
  ASSERT_TRUE(state.ok()) << state.status();
  for (const Entry& entry : found.entries) state->Apply(entry);
  ExpectEnd(found, result->from, Term(5));
}

TEST_F(Rebuild, RecoversWithoutASegment) {
  MakeLog();
  WriteOld(log_, Index(20));
  const auto [first, last] = old_.EntriesBeside(20);
  old_.disk()->Delete(old_.FrameOf(Index(first)).first);
  absl::StatusOr<Recover::Result> result = RunRecover();
  ASSERT_TRUE(result.ok()) << result.status();
  ASSERT_EQ(result->lost.size(), 1u);
  EXPECT_EQ(result->lost[0].last_index, Index(last));
  ExpectAllBut(Index(first), Index(last));
}

// Sessions that were registered behind all that is lost go on.
TEST_F(Rebuild, ASessionBehindWhatIsLostGoesOn) {
  MakeLog();
  Add(EntryKind::kSession, EncodeSessionLimits(SessionLimits()));
  const SessionId session(last_.index.value());
  BatchBuilder batch;
  ASSERT_TRUE(batch.Add("a").ok());
  Add(EntryKind::kBatch, batch.Finish(session, Sequence(1)), 1);
  WriteOld(log_, Index(20));
  old_.Spoil({30});
  ASSERT_TRUE(RunRecover().ok());
  const Directory found = ReadDirectory(&loop_, new_disk_.get());
  ASSERT_TRUE(found.status.ok()) << found.status;
  absl::StatusOr<LogState> state = LogState::Of(*found.checkpoint);
  for (const Entry& entry : found.entries) state->Apply(entry);
  using enum Sessions::Verdict;
  EXPECT_EQ(state->sessions().Check(session, Sequence(1)).verdict, kDuplicate);
  EXPECT_EQ(state->sessions().Check(kSession, Sequence(1)).verdict,
            kUnknownSession);
}

// A new server votes anew: what the old one had voted doesn't matter.
TEST_F(Rebuild, RecoversWithoutAHardState) {
  MakeLog();
  WriteOld(log_, Index(20));
  old_.disk()->Delete("hardstate-0");
  old_.disk()->SetContents("hardstate-1", std::string(kHardStateBytes, 'x'));
  absl::StatusOr<Recover::Result> result = RunRecover();
  ASSERT_TRUE(result.ok()) << result.status();
  ExpectEnd(ReadDirectory(&loop_, new_disk_.get()), result->from, Term(3));
}

TEST_F(Rebuild, RefusesWhatCannotBeRecovered) {
  EXPECT_TRUE(absl::IsFailedPrecondition(RunRecover().status()));
  // Waits to be joined.
  WriteOld({}, Index());
  EXPECT_TRUE(absl::IsFailedPrecondition(RunRecover().status()));
  EXPECT_TRUE(new_disk_->Names().empty());
  MakeLog();
  WriteOld(log_, Index(20));
  // Where a segment begins neither its header tells nor what is before it.
  const uint64_t first = old_.EntriesBeside(20).first;
  const std::string name = old_.FrameOf(Index(first)).first;
  old_.Spoil({first - 1});
  old_.disk()->Flip(name, 40, 1);
  EXPECT_TRUE(absl::IsDataLoss(RunRecover().status()));
  EXPECT_TRUE(new_disk_->Names().empty());
}

TEST_F(Rebuild, OnlyIntoAnEmptyDirectory) {
  MakeLog();
  WriteOld(log_, Index(20));
  new_disk_->SetContents("LOCK", "");
  ASSERT_TRUE(RunRecover().ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(RunRecover().status()));
  EXPECT_TRUE(
      absl::IsFailedPrecondition(RunRestore(EncodeImage(Offset())).status()));
  NewDisk();
  new_disk_->SetContents("a", "b");
  EXPECT_TRUE(absl::IsFailedPrecondition(RunRecover().status()));
  EXPECT_EQ(new_disk_->Names().size(), 1u);
}

TEST_F(Rebuild, RestoresEachBatchWithoutItsSession) {
  MakeLog();
  absl::StatusOr<Restore::Result> result = RunRestore(EncodeImage(Offset()));
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->counts.records, 90u);
  const Directory found = ReadDirectory(&loop_, new_disk_.get());
  ASSERT_TRUE(found.status.ok()) << found.status;
  ExpectNewIdentity(found, result->cluster);
  EXPECT_EQ(found.checkpoint->point.index, Index(1));
  EXPECT_EQ(found.checkpoint->point.next_offset, Offset());
  ASSERT_EQ(found.entries.size(), 32u);
  LogState state = *LogState::Of(*found.checkpoint);
  for (size_t i = 0; i < found.entries.size(); ++i) {
    state.Apply(found.entries[i]);
    if (i >= 30) continue;
    const Entry& old = log_[i + 3];
    const Entry& now = found.entries[i];
    EXPECT_EQ(now.header.base_offset, old.header.base_offset);
    EXPECT_EQ(now.header.log_time, old.header.log_time);
    EXPECT_EQ(now.payload.view(),
              RestampBatch(old.payload, SessionId(), Sequence()).view());
  }
  EXPECT_EQ(state.sessions().size(), 0u);
  ExpectEnd(found,
            Recovered{.origin = Recovered::Origin::kImage,
                      .cluster = cluster_,
                      .next_offset = Offset(90)},
            Term(2));
}

TEST_F(Rebuild, RestoresALogThatBeginsWithinABatch) {
  MakeLog();
  ASSERT_TRUE(RunRestore(EncodeImage(Offset(31))).ok());
  const Directory found = ReadDirectory(&loop_, new_disk_.get());
  EXPECT_EQ(found.checkpoint->first_offset, Offset(30));
  EXPECT_EQ(found.checkpoint->point.next_offset, Offset(30));
  LogState state = *LogState::Of(*found.checkpoint);
  for (const Entry& entry : found.entries) state.Apply(entry);
  EXPECT_EQ(state.trimmed_to(), Offset(31));
  EXPECT_EQ(state.point().next_offset, Offset(90));
}

TEST_F(Rebuild, RestoresAnEmptyLog) {
  MakeLog();
  ASSERT_TRUE(RunRestore(EncodeImage(Offset(90))).ok());
  const Directory found = ReadDirectory(&loop_, new_disk_.get());
  EXPECT_EQ(found.checkpoint->point.next_offset, Offset(90));
  EXPECT_EQ(found.entries.size(), 2u);
}

// Larger than what is read at once.
TEST_F(Rebuild, RestoresLargeBatches) {
  MakeLog();
  AddBatch(0, 1 << 20);
  AddBatch(0, 400 << 10);
  ASSERT_TRUE(RunRestore(EncodeImage(Offset())).ok());
  EXPECT_EQ(ReadDirectory(&loop_, new_disk_.get()).entries.size(), 34u);
}

TEST_F(Rebuild, WritesNothingOfADamagedImage) {
  MakeLog();
  const std::string good = EncodeImage(Offset());
  std::string flipped = good;
  flipped[flipped.size() - kImageBlockBytes - 1] ^= 1;
  for (const std::string& bad :
       {std::string(), flipped, good.substr(0, good.size() - 1), good + "x"}) {
    absl::StatusOr<Restore::Result> result = RunRestore(bad);
    EXPECT_TRUE(absl::IsDataLoss(result.status())) << result.status();
    EXPECT_TRUE(absl::StrContains(result.status().message(), " byte "));
    EXPECT_TRUE(new_disk_->Names().empty());
  }
}

TEST_F(Rebuild, PowerFailsAnywhereInARecovery) {
  MakeLog();
  WriteOld(log_, Index(20));
  FailAnywhere([this] { (void)RunRecover(); });
}

TEST_F(Rebuild, PowerFailsAnywhereInARestore) {
  MakeLog();
  const std::string image = EncodeImage(Offset(31));
  FailAnywhere([&] { (void)RunRestore(image); });
}

}  // namespace
}  // namespace holdfast
