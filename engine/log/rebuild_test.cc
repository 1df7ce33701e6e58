// New clusters of what is left: of a server's directory, and of an image.

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/base/batch.h"
#include "engine/base/configuration.h"
#include "engine/base/image.h"
#include "engine/base/random.h"
#include "engine/log/log_state.h"
#include "engine/log/recover.h"
#include "engine/log/restore.h"
#include "engine/log/sessions.h"
#include "engine/node/identity.h"
#include "engine/node/startup.h"
#include "engine/wal/hard_state_file.h"
#include "engine/wal/testing/memory_disk.h"
#include "engine/wal/testing/memory_loop.h"
#include "engine/wal/testing/wal_run.h"
#include "gtest/gtest.h"

namespace holdfast {
namespace {

constexpr char kImage[] = "log.image";
constexpr Incarnation kOldIncarnation(77);
const SessionId kSession(3);

NewClusterOptions Options() {
  return NewClusterOptions{.id = ServerId(5),
                           .advertise = "new:1",
                           .cluster_name = {},
                           .seed = 9,
                           .wal = SmallWalOptions()};
}

// Runs one operation of a class with Run and Result to its end.
template <typename Work>
absl::StatusOr<typename Work::Result> RunToEnd(MemoryLoop* loop, Work* work) {
  std::optional<absl::StatusOr<typename Work::Result>> result;
  work->Run([&](absl::StatusOr<typename Work::Result> r) { result = r; });
  loop->RunUntilIdle();
  if (!result.has_value()) return absl::CancelledError("the power failed");
  return *result;
}

// All that a directory holds, as a server finds it.
struct Directory {
  absl::Status status;
  Identity identity;
  std::optional<Checkpoint> checkpoint;
  std::vector<Entry> entries;
  HardState hard_state;
  Index commit;
};

Directory ReadDirectory(MemoryLoop* loop, MemoryDisk* disk) {
  Directory found;
  IdentityFile identity_file(disk);
  identity_file.Read([&](absl::StatusOr<Identity> identity) {
    found.status.Update(identity.status());
    if (identity.ok()) found.identity = *identity;
  });
  loop->RunUntilIdle();
  if (!found.status.ok()) return found;
  const Incarnation owner = found.identity.incarnation;
  CheckpointFile checkpoint_file(disk, owner, CheckpointKind::kBase);
  checkpoint_file.Open([&](absl::StatusOr<CheckpointFile::Found> f) {
    found.status.Update(f.status());
    if (f.ok()) found.checkpoint = std::move(f->newest);
  });
  loop->RunUntilIdle();
  Wal wal(loop, disk, owner, SmallWalOptions(), {});
  wal.OpenReadOnly(
      found.checkpoint.has_value() ? found.checkpoint->point : LogPoint{},
      [&](const Entry& entry, Index) { found.entries.push_back(entry); },
      [&](absl::Status opened) { found.status.Update(opened); });
  loop->RunUntilIdle();
  found.hard_state = wal.hard_state();
  found.commit = wal.commit_hint();
  return found;
}

class Rebuild : public testing::Test {
 protected:
  void SetUp() override { NewDisk(); }
  void NewDisk() { new_disk_ = std::make_unique<MemoryDisk>(&loop_); }

  // --- An old server's log ---

  void Add(EntryKind kind, Buffer payload, uint32_t records = 0) {
    log_.push_back(SealEntry(last_, Term(2), kind, records,
                             last_.log_time + 1ms, std::move(payload)));
    last_ = PointAfter(log_.back().header);
  }
  void AddBatch(uint64_t sequence, size_t bytes = 300) {
    BatchBuilder batch;
    for (int i = 0; i < 3; ++i) {
      ASSERT_TRUE(batch.Add(std::string(bytes, 'a')).ok());
    }
    Add(EntryKind::kBatch,
        batch.Finish(sequence == 0 ? SessionId() : kSession,
                     Sequence(sequence)),
        3);
  }
  // Three servers, a session, and batches; over several segments.
  void MakeLog() {
    Configuration configuration;
    for (uint64_t id = 1; id <= 3; ++id) {
      configuration.voters.push_back(
          Member{ServerId(id), Incarnation(70 + id), absl::StrCat("old:", id)});
    }
    Add(EntryKind::kConfiguration, EncodeConfiguration(configuration));
    cluster_ = ClusterId(log_.back().header.chain);
    Add(EntryKind::kNoOp, Buffer());
    Add(EntryKind::kSession, EncodeSessionLimits(SessionLimits()));
    for (uint64_t i = 1; i <= 30; ++i) AddBatch(i % 2 == 0 ? 0 : (i + 1) / 2);
  }
  void WriteOld(const std::vector<Entry>& entries, Index commit,
                std::optional<Checkpoint> checkpoint = std::nullopt) {
    Identity identity;
    identity.id = ServerId(2);
    identity.incarnation = kOldIncarnation;
    identity.boot_count = 4;
    identity.cluster_id = cluster_;
    identity.cluster_name = "prod";
    IdentityFile identity_file(&old_disk_);
    identity_file.Write(identity, [](absl::Status s) { EXPECT_TRUE(s.ok()); });
    loop_.RunUntilIdle();
    CheckpointFile checkpoint_file(&old_disk_, kOldIncarnation,
                                   CheckpointKind::kBase);
    Wal wal(&loop_, &old_disk_, kOldIncarnation, SmallWalOptions(),
            {.on_persisted = [](uint64_t) {}, .on_failed = nullptr});
    wal.Open([](const Entry&, Index) {}, [](absl::Status) {});
    loop_.RunUntilIdle();
    WalWrite write;
    write.sequence = 1;
    write.hard_state = HardState{Term(4), ServerId(3)};
    wal.Write(std::move(write), Index());
    if (checkpoint.has_value()) {
      checkpoint_file.Open([](absl::StatusOr<CheckpointFile::Found>) {});
      loop_.RunUntilIdle();
      checkpoint_file.Write(*checkpoint, [](absl::Status) {});
      wal.Reset(checkpoint->point, [](absl::Status) {});
    }
    loop_.RunUntilIdle();
    for (const Entry& entry : entries) {
      WalWrite one;
      one.sequence = 2;
      one.entries = {entry};
      wal.Write(std::move(one), std::min(commit, entry.header.index));
    }
    loop_.RunUntilIdle();
  }
  Checkpoint CheckpointAt(size_t entries) {
    LogState state;
    for (size_t i = 0; i < entries; ++i) state.Apply(log_[i]);
    Checkpoint checkpoint = state.MakeCheckpoint();
    checkpoint.cluster = cluster_;
    return checkpoint;
  }
  std::map<std::string, std::string> OldFiles() {
    std::map<std::string, std::string> files;
    for (const std::string& name : old_disk_.Names()) {
      files[name] = old_disk_.Contents(name);
    }
    return files;
  }
  // The segment that has the entry, and its frame's position.
  std::pair<std::string, uint64_t> FrameOf(Index index) {
    for (const std::string& name : old_disk_.Names()) {
      const std::string bytes = old_disk_.Contents(name);
      if (!ParseSegmentName(name).has_value()) continue;
      const auto header = DecodeSegmentHeader(
          absl::string_view(bytes).substr(0, kSegmentHeaderBytes));
      if (!header.ok()) continue;
      for (const FoundFrame& f : ScanSegment(bytes, *header).frames) {
        if (f.header.kind == FrameKind::kEntry && f.header.index == index) {
          return {name, f.position};
        }
      }
    }
    ADD_FAILURE() << "no frame of entry " << index.value();
    return {};
  }
  // The first and the last entry of the segment that has it.
  std::pair<uint64_t, uint64_t> EntriesBeside(uint64_t index) {
    const std::string name = FrameOf(Index(index)).first;
    uint64_t first = index;
    while (FrameOf(Index(first - 1)).first == name) --first;
    uint64_t last = index;
    while (FrameOf(Index(last + 1)).first == name) ++last;
    return {first, last};
  }
  // A byte of each of these entries, in its header.
  void Spoil(const std::vector<uint64_t>& indexes) {
    std::vector<std::pair<std::string, uint64_t>> frames;
    for (uint64_t index : indexes) frames.push_back(FrameOf(Index(index)));
    for (const auto& [name, position] : frames) {
      old_disk_.Flip(name, position + kLogFrameHeaderBytes + 33, 1);
    }
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
    Recover recover(&loop_, &old_disk_, new_disk_.get(), Options());
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
    old_disk_.SetContents(kImage, image);
    Restore restore(&loop_, &old_disk_, kImage, new_disk_.get(), Options());
    return RunToEnd(&loop_, &restore);
  }

  // --- What came of it ---

  // The last two entries: where it came from, and the one server.
  static void ExpectEnd(const Directory& found, const Recovered& from,
                        Term term) {
    ASSERT_GE(found.entries.size(), 2u);
    const Entry& origin = found.entries[found.entries.size() - 2];
    const Entry& last = found.entries.back();
    EXPECT_EQ(origin.header.kind, EntryKind::kRecovered);
    EXPECT_EQ(origin.header.term, term);
    EXPECT_EQ(*DecodeRecovered(origin.payload.view()), from);
    EXPECT_EQ(last.header.kind, EntryKind::kConfiguration);
    EXPECT_EQ(last.header.term, term);
    EXPECT_EQ(found.hard_state.term, term);
    EXPECT_EQ(found.hard_state.vote, ServerId(5));
    EXPECT_EQ(found.commit, last.header.index);
    Configuration expected;
    expected.voters = {
        Member{ServerId(5), found.identity.incarnation, "new:1"}};
    EXPECT_EQ(*DecodeConfiguration(last.payload.view()), expected);
  }
  static void ExpectNewIdentity(const Directory& found, ClusterId cluster) {
    EXPECT_EQ(found.identity.id, ServerId(5));
    EXPECT_EQ(found.identity.cluster_name, "prod");
    EXPECT_EQ(found.identity.cluster_id, cluster);
    EXPECT_EQ(found.checkpoint->cluster, cluster);
  }

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
    for (uint64_t n = 0; n <= total; ++n) {
      for (uint64_t pattern = 0; pattern < 6; ++pattern) {
        NewDisk();
        new_disk_->StopAfter(n);
        build();
        std::unique_ptr<MemoryDisk> left =
            new_disk_->AfterCrash(&loop_, [&](size_t op, size_t sector) {
              if (pattern < 2) return pattern == 1;
              return HashCombine(HashCombine(pattern, op), sector) % 2 == 0;
            });
        const std::string what = absl::StrCat(n, " of ", total, ", ", pattern);
        Judge(left.get(), whole, what, &refused, &complete);
      }
    }
    EXPECT_GT(refused, 0);
    EXPECT_GT(complete, 0);
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

  MemoryLoop loop_;
  MemoryDisk old_disk_{&loop_};
  std::unique_ptr<MemoryDisk> new_disk_;
  std::vector<Entry> log_;
  LogPoint last_;
  ClusterId cluster_;
};

TEST_F(Rebuild, RecoversAWholeLog) {
  MakeLog();
  WriteOld(log_, Index(20));
  const auto before = OldFiles();
  absl::StatusOr<Recover::Result> result = RunRecover();
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(OldFiles(), before);
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
    for (const std::string& name : old_disk_.Names()) old_disk_.Delete(name);
    NewDisk();
    WriteOld(log_, Index(20));
    Spoil({i});
    const auto before = OldFiles();
    absl::StatusOr<Recover::Result> result = RunRecover();
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(OldFiles(), before);
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
  const auto [name, position] = FrameOf(Index(20));
  Spoil({1, 2, 8, 9, 10, 25});
  old_disk_.Flip(name, 40, 1);
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
  const auto [first, last] = EntriesBeside(20);
  old_disk_.Delete(FrameOf(Index(first)).first);
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
  Spoil({30});
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
  old_disk_.Delete("hardstate-0");
  old_disk_.SetContents("hardstate-1", std::string(kHardStateBytes, 'x'));
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
  const uint64_t first = EntriesBeside(20).first;
  const std::string name = FrameOf(Index(first)).first;
  Spoil({first - 1});
  old_disk_.Flip(name, 40, 1);
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
