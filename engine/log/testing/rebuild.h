#ifndef HOLDFAST_ENGINE_LOG_TESTING_REBUILD_H_
#define HOLDFAST_ENGINE_LOG_TESTING_REBUILD_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "engine/base/batch.h"
#include "engine/base/configuration.h"
#include "engine/base/hard_state.h"
#include "engine/base/types.h"
#include "engine/log/log_state.h"
#include "engine/log/new_cluster.h"
#include "engine/log/recovered.h"
#include "engine/log/sessions.h"
#include "engine/node/identity.h"
#include "engine/wal/checkpoint_file.h"
#include "engine/wal/entry.h"
#include "engine/wal/frame.h"
#include "engine/wal/segment.h"
#include "engine/wal/testing/memory_disk.h"
#include "engine/wal/testing/memory_loop.h"
#include "engine/wal/testing/wal_run.h"
#include "engine/wal/wal.h"
#include "gtest/gtest.h"

// For tests of new clusters of what is left of an old one (recover.h,
// restore.h).
namespace holdfast {

inline NewClusterOptions RebuildOptions() {
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

inline Directory ReadDirectory(MemoryLoop* loop, MemoryDisk* disk) {
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

// The directory of a server of an old cluster.
class OldServer {
 public:
  OldServer(MemoryLoop* loop, ServerId id, Incarnation incarnation)
      : loop_(loop), id_(id), incarnation_(incarnation) {}

  MemoryDisk* disk() { return &disk_; }
  void Write(ClusterId cluster, const std::vector<Entry>& entries, Index commit,
             std::optional<Checkpoint> checkpoint = std::nullopt) {
    Identity identity;
    identity.id = id_;
    identity.incarnation = incarnation_;
    identity.boot_count = 4;
    identity.cluster_id = cluster;
    identity.cluster_name = "prod";
    IdentityFile identity_file(&disk_);
    identity_file.Write(identity, [](absl::Status s) { EXPECT_TRUE(s.ok()); });
    loop_->RunUntilIdle();
    CheckpointFile checkpoint_file(&disk_, incarnation_, CheckpointKind::kBase);
    Wal wal(loop_, &disk_, incarnation_, SmallWalOptions(),
            {.on_persisted = [](uint64_t) {}, .on_failed = nullptr});
    wal.Open([](const Entry&, Index) {}, [](absl::Status) {});
    loop_->RunUntilIdle();
    WalWrite write;
    write.sequence = 1;
    write.hard_state = HardState{Term(4), ServerId(3)};
    wal.Write(std::move(write), Index());
    if (checkpoint.has_value()) {
      checkpoint_file.Open([](absl::StatusOr<CheckpointFile::Found>) {});
      loop_->RunUntilIdle();
      checkpoint_file.Write(*checkpoint, [](absl::Status) {});
      wal.Reset(checkpoint->point, [](absl::Status) {});
    }
    loop_->RunUntilIdle();
    for (const Entry& entry : entries) {
      WalWrite one;
      one.sequence = 2;
      one.entries = {entry};
      wal.Write(std::move(one), std::min(commit, entry.header.index));
    }
    loop_->RunUntilIdle();
  }
  std::map<std::string, std::string> Files() {
    std::map<std::string, std::string> files;
    for (const std::string& name : disk_.Names()) {
      files[name] = disk_.Contents(name);
    }
    return files;
  }
  // The segment that has the entry, and its frame's position.
  std::pair<std::string, uint64_t> FrameOf(Index index) {
    for (const std::string& name : disk_.Names()) {
      const std::string bytes = disk_.Contents(name);
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
      disk_.Flip(name, position + kLogFrameHeaderBytes + 33, 1);
    }
  }

 private:
  MemoryLoop* const loop_;
  const ServerId id_;
  const Incarnation incarnation_;
  MemoryDisk disk_{loop_};
};

// An old cluster's log, and a new cluster's directory.
class RebuildTest : public testing::Test {
 protected:
  void SetUp() override { NewDisk(); }
  void NewDisk() { new_disk_ = std::make_unique<MemoryDisk>(&loop_); }

  // --- The old log ---

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
  Checkpoint CheckpointAt(size_t entries) {
    LogState state;
    for (size_t i = 0; i < entries; ++i) state.Apply(log_[i]);
    Checkpoint checkpoint = state.MakeCheckpoint();
    checkpoint.cluster = cluster_;
    return checkpoint;
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

  static inline const SessionId kSession{3};

  MemoryLoop loop_;
  std::unique_ptr<MemoryDisk> new_disk_;
  std::vector<Entry> log_;
  LogPoint last_;
  ClusterId cluster_;
};

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_LOG_TESTING_REBUILD_H_
