#include "fuzz/lone_copy.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "engine/base/buffer.h"
#include "engine/base/check.h"
#include "engine/base/hard_state.h"
#include "engine/base/types.h"
#include "engine/node/identity.h"
#include "engine/wal/checkpoint_file.h"
#include "engine/wal/entry.h"
#include "engine/wal/frame.h"
#include "engine/wal/hard_state_file.h"
#include "engine/wal/segment.h"
#include "engine/wal/testing/memory_disk.h"
#include "engine/wal/testing/wal_run.h"
#include "engine/wal/wal.h"
#include "fuzz/lone_directory.h"

namespace holdfast {
namespace {

constexpr ServerId kCopyId(2);
constexpr Incarnation kCopyIncarnation(22);
// Between two times at which the log rests, and gets its marks: so a segment
// takes more of them than of TheLoneDirectory()'s.
constexpr size_t kEntriesPerGroup = 8;

// All that the log ever had, as far as some life has left it.
std::map<Index, Entry> EntriesOf(const LoneDirectory& built) {
  std::map<Index, Entry> entries;
  for (const DiskFiles& files : built.stages) {
    for (const auto& [name, bytes] : files) {
      if (!ParseSegmentName(name).has_value()) continue;
      const absl::StatusOr<SegmentHeader> header = DecodeSegmentHeader(
          absl::string_view(bytes).substr(0, kSegmentHeaderBytes));
      if (!header.ok()) continue;  // the spare
      for (const FoundFrame& f : ScanSegment(bytes, *header).frames) {
        if (f.header.kind != FrameKind::kEntry) continue;
        absl::StatusOr<Entry> entry =
            DecodeEntry(Buffer::Copy(absl::string_view(bytes).substr(
                f.position + kLogFrameHeaderBytes, f.header.body_size)));
        CHECK(entry.ok());
        entries.insert_or_assign(f.header.index, *std::move(entry));
      }
    }
  }
  return entries;
}

// The first life's, which the last one has no more.
Checkpoint CheckpointOf(const LoneDirectory& built) {
  std::optional<Checkpoint> newest;
  for (const auto& [name, bytes] : built.stages.front()) {
    if (!ParseCheckpointName(CheckpointKind::kBase, name).has_value()) continue;
    absl::StatusOr<Checkpoint> found = DecodeCheckpoint(Buffer::Copy(bytes));
    CHECK(found.ok());
    newest = *std::move(found);
  }
  CHECK(newest.has_value());
  return *std::move(newest);
}

class CopyMaker {
 public:
  LoneCopy Make() {
    const LoneDirectory& built = TheLoneDirectory();
    const std::map<Index, Entry> entries = EntriesOf(built);
    WriteIdentity(built.cluster);
    wal_.Open([](const Entry&, Index) {}, CheckDone());
    world_.loop.RunFor(1s);
    WalWrite first;
    first.sequence = ++sequence_;
    first.hard_state =
        HardState{entries.rbegin()->second.header.term, LoneServer::kId};
    wal_.Write(std::move(first), Index());
    BeginBehind(CheckpointOf(built));
    const size_t all = entries.rbegin()->first - wal_.last_index();
    for (size_t i = 1; i <= all; ++i) {
      Append(entries.at(wal_.last_index() + 1));
      if (i % kEntriesPerGroup == 0 || i == all / 2) world_.loop.RunFor(1s);
      if (i == all / 2) made_.stages.push_back(FilesOf(disk_));
    }
    world_.loop.RunFor(1s);
    CHECK(wal_.idle());
    made_.stages.push_back(FilesOf(disk_));
    NameFiles();
    return std::move(made_);
  }

 private:
  static DoneFn CheckDone() {
    return [](absl::Status status) { CHECK_EQ(status.ToString(), "OK"); };
  }

  void WriteIdentity(ClusterId cluster) {
    Identity identity;
    identity.id = kCopyId;
    identity.incarnation = kCopyIncarnation;
    identity.boot_count = 3;
    identity.cluster_id = cluster;
    identity.cluster_name = LoneServer::kCluster;
    identity_file_.Write(identity, CheckDone());
    world_.loop.RunFor(1s);
  }

  // As when the leader has sent it.
  void BeginBehind(const Checkpoint& checkpoint) {
    checkpoint_file_.Open(
        [](absl::StatusOr<CheckpointFile::Found> found) { CHECK(found.ok()); });
    world_.loop.RunFor(1s);
    checkpoint_file_.Write(checkpoint, CheckDone());
    world_.loop.RunFor(1s);
    wal_.Reset(checkpoint.point, CheckDone());
    world_.loop.RunFor(1s);
  }

  void Append(const Entry& entry) {
    WalWrite write;
    write.sequence = ++sequence_;
    write.entries = {entry};
    wal_.Write(std::move(write), entry.header.index - 1);
    while (wal_.last_index() < entry.header.index) world_.loop.RunTasks(1);
  }

  void NameFiles() {
    const DiskFiles& files = made_.files();
    std::vector<std::string>& names = made_.names;
    names = {IdentityFile::kName, IdentityFile::kCopyName, HardStateCopyName(0),
             HardStateCopyName(1)};
    for (const std::string& name : names) CHECK(files.contains(name));
    for (absl::string_view suffix : {".checkpoint", ".segment"}) {
      for (auto it = files.rbegin(); it != files.rend(); ++it) {
        if (absl::EndsWith(it->first, suffix)) names.push_back(it->first);
      }
    }
    CHECK_EQ(names.size(), files.size());
    CHECK(HeldBy(files.at(names[5])).empty());
    CHECK(!HeldBy(files.at(made_.segment())).empty());
    CHECK_LE(9u, names.size());
  }

  LoneWorld world_;
  MemoryDisk disk_{&world_.loop};
  IdentityFile identity_file_{&disk_};
  CheckpointFile checkpoint_file_{&disk_, kCopyIncarnation,
                                  CheckpointKind::kBase};
  Wal wal_{
      &world_.loop, &disk_, kCopyIncarnation, SmallWalOptions(),
      Wal::Events{.on_persisted = [](uint64_t) {}, .on_failed = CheckDone()}};
  uint64_t sequence_ = 0;
  LoneCopy made_;
};

}  // namespace

const LoneCopy& TheLoneCopy() {
  static const LoneCopy* const kCopy = new LoneCopy(CopyMaker().Make());
  return *kCopy;
}

}  // namespace holdfast
