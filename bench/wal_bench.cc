// What the log costs the processor, apart from the disk: for one entry on its
// way to the disk, and for one byte that recovery reads.
//
//   bazel run //bench:wal_bench

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "benchmark/benchmark.h"
#include "engine/base/check.h"
#include "engine/env/disk.h"
#include "engine/wal/segment.h"
#include "engine/wal/testing/memory_disk.h"
#include "engine/wal/testing/memory_loop.h"
#include "engine/wal/testing/wal_run.h"
#include "engine/wal/wal.h"

namespace holdfast {
namespace {

// Swallows what is written, at once.
class SinkFile : public File {
 public:
  explicit SinkFile(Loop* loop) : loop_(loop) {}
  void Read(uint64_t, size_t, ResultFn<Buffer> done) override {
    loop_->Post([done = std::move(done)]() mutable { done(Buffer()); });
  }
  void Write(uint64_t, Buffers data, DoneFn done) override {
    benchmark::DoNotOptimize(data.data());
    Finish(std::move(done));
  }
  void Sync(DoneFn done) override { Finish(std::move(done)); }
  void Truncate(uint64_t, DoneFn done) override { Finish(std::move(done)); }
  uint64_t size() const override { return 0; }

 private:
  void Finish(DoneFn done) {
    loop_->Post([done = std::move(done)]() mutable { done(absl::OkStatus()); });
  }
  Loop* const loop_;
};

class SinkDisk : public Disk {
 public:
  explicit SinkDisk(Loop* loop) : loop_(loop) {}
  void Open(const std::string& name, OpenMode mode,
            ResultFn<std::unique_ptr<File>> done) override {
    if (mode == OpenMode::kCreateNew) return Give(std::move(done));
    loop_->Post([name, done = std::move(done)]() mutable {
      done(absl::NotFoundError(name));
    });
  }
  void Allocate(const std::string&, uint64_t,
                ResultFn<std::unique_ptr<File>> done) override {
    Give(std::move(done));
  }
  void List(ResultFn<std::vector<FileInfo>> done) override {
    loop_->Post(
        [done = std::move(done)]() mutable { done(std::vector<FileInfo>()); });
  }
  void Rename(const std::string&, const std::string&, DoneFn done) override {
    Finish(std::move(done));
  }
  void Remove(const std::string&, DoneFn done) override {
    Finish(std::move(done));
  }
  void SyncDir(DoneFn done) override { Finish(std::move(done)); }
  void Lock(DoneFn done) override { Finish(std::move(done)); }
  void FreeSpace(ResultFn<uint64_t> done) override {
    loop_->Post(
        [done = std::move(done)]() mutable { done(uint64_t{1} << 40); });
  }

 private:
  void Give(ResultFn<std::unique_ptr<File>> done) {
    loop_->Post([this, done = std::move(done)]() mutable {
      done(std::make_unique<SinkFile>(loop_));
    });
  }
  void Finish(DoneFn done) {
    loop_->Post([done = std::move(done)]() mutable { done(absl::OkStatus()); });
  }
  Loop* const loop_;
};

// Entries of one size, each continuing the one before.
std::vector<Entry> MakeEntries(LogPoint* point, size_t n, size_t size) {
  std::vector<Entry> entries;
  for (size_t i = 0; i < n; ++i) {
    entries.push_back(NextEntry(*point, Term(1), size));
    *point = PointAfter(entries.back().header);
  }
  return entries;
}

constexpr int kEntriesPerRound = 64;

// From Write to the report, with 64 entries queued up at a time.
void BM_Append(benchmark::State& state) {
  const size_t size = static_cast<size_t>(state.range(0));
  MemoryLoop loop;
  SinkDisk disk(&loop);
  uint64_t persisted = 0;
  Wal::Events events;
  events.on_persisted = [&persisted](uint64_t sequence) {
    persisted = sequence;
  };
  Wal wal(&loop, &disk, Incarnation(1), WalOptions(), std::move(events));
  wal.Open([](const Entry&, Index) {},
           [](absl::Status status) { CHECK(status.ok()); });
  loop.RunUntilIdle();
  LogPoint point;
  uint64_t sequence = 0;
  for (auto _ : state) {
    state.PauseTiming();
    std::vector<Entry> entries = MakeEntries(&point, kEntriesPerRound, size);
    state.ResumeTiming();
    for (Entry& entry : entries) {
      WalWrite write;
      write.sequence = ++sequence;
      write.entries.push_back(std::move(entry));
      wal.Write(std::move(write), Index());
    }
    while (persisted < sequence) CHECK(loop.RunOne());
  }
  state.SetItemsProcessed(state.iterations() * kEntriesPerRound);
  state.SetBytesProcessed(state.items_processed() * state.range(0));
}
BENCHMARK(BM_Append)->Arg(100)->Arg(1024)->Arg(64 << 10)->Arg(1 << 20);

// All frames of a segment, as recovery finds them.
void BM_ScanSegment(benchmark::State& state) {
  SegmentHeader header;
  header.owner = Incarnation(1);
  header.id = 1;
  FrameWriter writer(header);
  Buffers out = {EncodeSegmentHeader(header)};
  LogPoint point;
  while (writer.position() < (16 << 20)) {
    Entry entry =
        NextEntry(point, Term(1), static_cast<size_t>(state.range(0)));
    point = PointAfter(entry.header);
    writer.AppendEntry(entry, 0, Index(), &out);
  }
  Buffer bytes = Flatten(out);
  for (auto _ : state) {
    SegmentScan scan = ScanSegment(bytes.view(), header);
    CHECK_EQ(scan.end, uint64_t{bytes.size()});
  }
  state.SetBytesProcessed(state.iterations() *
                          static_cast<int64_t>(bytes.size()));
}
BENCHMARK(BM_ScanSegment)->Arg(100)->Arg(1024)->Arg(64 << 10);

std::unique_ptr<Wal> OpenWal(MemoryLoop* loop, MemoryDisk* disk) {
  WalOptions options;
  options.segment_bytes = 8 << 20;
  Wal::Events events;
  events.on_persisted = [](uint64_t) {};
  auto wal = std::make_unique<Wal>(loop, disk, Incarnation(1), options,
                                   std::move(events));
  wal->Open([](const Entry& entry,
               Index) { benchmark::DoNotOptimize(entry.payload.data()); },
            [](absl::Status status) { CHECK(status.ok()); });
  loop->RunUntilIdle();
  return wal;
}

// A whole Open of 32 MiB of log in memory, each entry checked and replayed.
void BM_Recover(benchmark::State& state) {
  const size_t size = static_cast<size_t>(state.range(0));
  MemoryLoop loop;
  MemoryDisk disk(&loop);
  std::unique_ptr<Wal> wal = OpenWal(&loop, &disk);
  LogPoint point;
  uint64_t bytes = 0;
  for (uint64_t sequence = 1; bytes < (32 << 20); ++sequence) {
    WalWrite write;
    write.sequence = sequence;
    write.hard_state = HardState{Term(1), ServerId(1)};
    write.entries = MakeEntries(&point, 32, size);
    wal->Write(std::move(write), Index());
    loop.RunUntilIdle();
    bytes += 32 * size;
  }
  for (auto _ : state) {
    wal = nullptr;
    wal = OpenWal(&loop, &disk);
    CHECK(wal->last_index() == point.index);
  }
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(bytes));
}
BENCHMARK(BM_Recover)->Arg(1024)->Arg(64 << 10)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace holdfast
