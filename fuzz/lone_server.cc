#include "fuzz/lone_server.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/batch.h"
#include "engine/base/configuration.h"
#include "engine/base/lost_records.h"
#include "engine/env/env.h"
#include "engine/wal/testing/wal_run.h"
#include "fuzz/story.h"

namespace holdfast {
namespace {

constexpr int kReadTimes = 10;

void TakeBatch(const Entry& entry, FoundRecords* found) {
  const absl::StatusOr<BatchView> batch = BatchView::Parse(entry.payload);
  const Offset base = entry.header.base_offset;
  if (!batch.ok() || base > found->end()) {
    Broke(absl::StrCat("at offset ", found->end().value(),
                       " comes no batch, or one of offset ", base.value()));
  }
  RecordCursor cursor = batch->RecordsFrom(found->end() - base);
  RecordView record;
  while (cursor.Next(&record)) {
    found->records.emplace_back(std::string(record.value()));
  }
}

}  // namespace

DiskFiles FilesOf(const MemoryDisk& disk) {
  DiskFiles files;
  for (const std::string& name : disk.Names()) {
    files[name] = disk.Contents(name);
  }
  return files;
}

std::unique_ptr<MemoryDisk> DiskOf(const DiskFiles& files, LoneWorld* world) {
  auto disk = std::make_unique<MemoryDisk>(&world->loop);
  for (const auto& [name, bytes] : files) disk->SetContents(name, bytes);
  return disk;
}

LoneServer::LoneServer(LoneWorld* world, MemoryDisk* disk, bool scrubs)
    : world_(world) {
  LogOptions options;
  options.node.id = kId;
  options.node.cluster_name = kCluster;
  options.node.listen = kAddress;
  options.node.bootstrap = {Member{kId, {}, kAddress}};
  options.node.reserve_bytes = 8 << 10;
  options.node.wal = SmallWalOptions();
  if (!scrubs) options.node.scrub_bytes_per_second = 0;
  log_ = std::make_unique<DistributedLog>(Env{.loop = &world->loop,
                                              .disk = disk,
                                              .network = &world->network,
                                              .security = &world->security,
                                              .seed = ++world->starts},
                                          std::move(options), nullptr);
  log_->OnFatal([this](absl::Status why) { fatal_ = std::move(why); });
}

absl::Status LoneServer::Start() {
  std::optional<absl::Status> opened;
  log_->Open([&](absl::Status status) { opened = std::move(status); });
  // "Rot is answered with DATA_LOSS [...] when nobody can help: a single
  // server" (docs/DISK_FORMAT.md).
  if (!Await(world_, opened)) {
    Broke("the start waits, though there are no other servers");
  }
  if (!opened->ok()) return *opened;
  for (int i = 0; i < 1000 && fatal_.ok() && !log_->node().is_leader(); ++i) {
    world_->loop.RunFor(10ms);
  }
  if (fatal_.ok() && !log_->node().is_leader()) {
    Broke("the server has started, and doesn't lead its cluster of one");
  }
  world_->loop.RunFor(1s);
  return fatal_;
}

Offset LoneServer::Append(std::vector<Buffer> batches) {
  std::vector<std::optional<AppendOutcome>> outcomes(batches.size());
  for (size_t i = 0; i < batches.size(); ++i) {
    log_->Append(std::move(batches[i]), {}, [&outcomes, i](AppendOutcome o) {
      outcomes[i] = std::move(o);
    });
  }
  for (const std::optional<AppendOutcome>& outcome : outcomes) {
    if (!Await(world_, outcome)) Broke("an append isn't answered");
    if (outcome->kind != AppendOutcome::Kind::kCommitted) {
      Broke(absl::StrCat("an append isn't committed: ", outcome->message));
    }
  }
  return outcomes.front()->offset;
}

FoundRecords LoneServer::ReadAll(std::vector<Entry>* batches) {
  FoundRecords found;
  found.first = log_->first_offset();
  while (found.end() < log_->committed_end()) {
    const absl::StatusOr<ReadResult> read = ReadFrom(found.end());
    if (!read.ok()) {
      NoteLost(read.status(), &found);
      continue;
    }
    if (read->batches.empty()) {
      Broke(absl::StrCat("offset ", found.end().value(),
                         " is before the log's end, but reads as nothing"));
    }
    for (const Entry& entry : read->batches) TakeBatch(entry, &found);
    if (batches == nullptr) continue;
    batches->insert(batches->end(), read->batches.begin(), read->batches.end());
  }
  return found;
}

absl::StatusOr<ReadResult> LoneServer::ReadFrom(Offset from) {
  for (int times = 1;; ++times) {
    std::optional<absl::StatusOr<ReadResult>> read;
    log_->Read(from, 64 << 10, ReadMode::kLocal,
               [&](absl::StatusOr<ReadResult> r) { read = std::move(r); });
    if (!Await(world_, read)) Broke("a read isn't answered");
    // Its segment may just be being mended.
    if (read->ok() || times == kReadTimes ||
        MissingRecordsOf(read->status()).has_value()) {
      return *std::move(read);
    }
    world_->loop.RunFor(1s);
  }
}

void LoneServer::NoteLost(const absl::Status& status, FoundRecords* found) {
  const std::optional<LostRecords> lost = MissingRecordsOf(status);
  const Offset at = found->end();
  if (!lost.has_value() || lost->first > at || lost->end <= at) {
    Broke(absl::StrCat("reading at offset ", at.value(), " fails: ",
                       status.ToString(), "; the server: ", fatal_.ToString()));
  }
  const Offset end = std::min(lost->end, log_->committed_end());
  while (found->end() < end) found->records.emplace_back();
}

}  // namespace holdfast
