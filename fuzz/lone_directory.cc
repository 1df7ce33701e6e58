#include "fuzz/lone_directory.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/base/batch.h"
#include "engine/base/buffer.h"
#include "engine/base/check.h"
#include "engine/base/image.h"
#include "engine/node/disk_space.h"
#include "engine/node/identity.h"
#include "engine/node/peer_boots.h"
#include "engine/wal/checkpoint_file.h"
#include "engine/wal/entry.h"
#include "engine/wal/frame.h"
#include "engine/wal/hard_state_file.h"

namespace holdfast {
namespace {

// A server's life: what it appends, and up to where it trims the log then.
struct Life {
  int groups;
  Offset trim_to;  // 0: not at all
};
// A segment takes two or three groups. Each trim drops some segments, and
// leaves a checkpoint; the last life begins segments behind both.
constexpr Life kLives[] = {{12, Offset(71)}, {12, Offset(151)}, {5, Offset(0)}};
constexpr int kBatchesPerGroup = 5;
constexpr int kRecordsPerBatch = 2;

class Maker {
 public:
  LoneDirectory Make() {
    for (const Life& life : kLives) {
      {
        LoneServer server(&world_, disk_.get(), /*scrubs=*/false);
        CHECK_EQ(server.Start().ToString(), "OK");
        Live(life, &server);
        TakeImage(&server);
      }
      TakeFiles();
      disk_ = disk_->AfterProcessDeath(&world_.loop);
    }
    NameFiles();
    return std::move(made_);
  }

 private:
  void Live(const Life& life, LoneServer* server) {
    if (!session_.has_value()) {
      server->log().RegisterSession([this](absl::StatusOr<SessionId> session) {
        session_ = std::move(session);
      });
      CHECK(Await(&world_, session_));
      CHECK(session_->ok());
    }
    // After each group the log rests, so it gets its marks.
    for (int i = 0; i < life.groups; ++i) {
      AppendGroup(server);
      world_.loop.RunFor(100ms);
    }
    if (life.trim_to > Offset(0)) {
      std::optional<absl::Status> trimmed;
      server->log().Trim(life.trim_to, [&](absl::Status status) {
        trimmed = std::move(status);
      });
      CHECK(Await(&world_, trimmed));
      CHECK_EQ(trimmed->ToString(), "OK");
    }
    world_.loop.RunFor(2s);
  }

  void AppendGroup(LoneServer* server) {
    const Offset first = made_.end();
    std::vector<Buffer> batches;
    for (int b = 0; b < kBatchesPerGroup; ++b) {
      BatchBuilder batch;
      for (int r = 0; r < kRecordsPerBatch; ++r) {
        const size_t n = made_.records.size();
        made_.records.push_back(absl::StrCat(
            "record ", n, " ",
            std::string(150 + n * 37 % 200, static_cast<char>('a' + n % 26))));
        CHECK(batch.Add(made_.records.back()).ok());
      }
      batches.push_back(batch.Finish(**session_, Sequence(++sequence_)));
    }
    CHECK_EQ(server->Append(std::move(batches)), first);
  }

  void TakeImage(LoneServer* server) {
    std::vector<Entry> batches;
    const FoundRecords found = server->ReadAll(&batches);
    CHECK_EQ(found.end(), made_.end());
    made_.first = found.first;
    made_.cluster = server->log().node().identity().cluster_id;
    ImageHeader header;
    header.cluster = made_.cluster;
    header.cluster_name = LoneServer::kCluster;
    header.first_offset = found.first;
    header.end_offset = found.end();
    ImageEncoder encoder;
    std::string bytes(encoder.Begin(header).view());
    for (const Entry& entry : batches) {
      const absl::StatusOr<BatchView> batch = BatchView::Parse(entry.payload);
      CHECK(batch.ok());
      const Buffers piece = encoder.Add(
          {entry.header.base_offset, entry.header.log_time, *batch});
      absl::StrAppend(&bytes, Flatten(piece).view());
    }
    absl::StrAppend(&bytes, encoder.End().view());
    made_.images.push_back({std::move(bytes), found.first, found.end()});
    made_.image_stages.push_back(
        {{LoneDirectory::kImage, made_.images.back().bytes},
         {LoneDirectory::kOlderImage, made_.images.front().bytes}});
  }

  // With a file that says when another server, which has left since, had
  // started.
  void TakeFiles() {
    DiskFiles files = FilesOf(*disk_);
    PeerBoot boot;
    boot.incarnation = Incarnation(5);
    boot.count = world_.starts;
    boot.life = world_.starts;
    files["peers"] =
        std::string(PeerBoots::Encode({{ServerId(2), boot}}).view());
    made_.stages.push_back(std::move(files));
  }

  void NameFiles() {
    const DiskFiles& files = made_.files();
    std::vector<std::string>& names = made_.names;
    names = {IdentityFile::kName,  IdentityFile::kCopyName,
             HardStateCopyName(0), HardStateCopyName(1),
             std::string("peers"), DiskSpace::kReserveName};
    for (const std::string& name : names) CHECK(files.contains(name));
    std::array<size_t, 4> counts = {};
    size_t kind = 0;
    for (absl::string_view suffix :
         {".checkpoint", ".resume", ".segment", ".waypoint"}) {
      for (auto it = files.rbegin(); it != files.rend(); ++it) {
        if (!absl::EndsWith(it->first, suffix)) continue;
        names.push_back(it->first);
        ++counts[kind];
      }
      ++kind;
    }
    CHECK_EQ(counts[0], 2u);
    CHECK_EQ(counts[1], 2u);
    CHECK_LE(5u, counts[2]);
    CHECK_LE(2u, counts[3]);
    CHECK(HeldBy(files.at(made_.spare())).empty());
    CHECK(!HeldBy(files.at(made_.segment())).empty());
    const absl::StatusOr<Checkpoint> resume =
        DecodeCheckpoint(Buffer::Copy(files.at(made_.resume())));
    CHECK(resume.ok());
    CHECK_LT(made_.first, resume->point.next_offset);
    CHECK_LT(resume->point.next_offset, made_.end());
  }

  LoneWorld world_;
  std::unique_ptr<MemoryDisk> disk_ =
      std::make_unique<MemoryDisk>(&world_.loop);
  std::optional<absl::StatusOr<SessionId>> session_;
  uint64_t sequence_ = 0;
  LoneDirectory made_;
};

}  // namespace

const LoneDirectory& TheLoneDirectory() {
  static const LoneDirectory* const kDirectory =
      new LoneDirectory(Maker().Make());
  return *kDirectory;
}

absl::string_view HeldBy(absl::string_view segment) {
  const size_t last = segment.find_last_not_of('\0');
  if (last == absl::string_view::npos) return {};
  // Frames end at multiples of that, with zeroes.
  const size_t end = (last / kFrameAlignment + 1) * kFrameAlignment;
  return segment.substr(0, end);
}

}  // namespace holdfast
