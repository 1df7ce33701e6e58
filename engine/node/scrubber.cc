#include "engine/node/scrubber.h"

#include <algorithm>
#include <utility>

#include "engine/node/cold_read_pace.h"

namespace holdfast {
namespace {

// Read at once; a hundredth of a second's work for a slow disk.
constexpr size_t kBytesAtOnce = 256 << 10;
// A read that fails, or brings other bytes, may come right the next time.
constexpr int kReadTimes = 3;

absl::Status CheckFile(const absl::StatusOr<Buffer>& bytes, Index index) {
  if (!bytes.ok()) return bytes.status();
  const absl::StatusOr<Checkpoint> found = DecodeCheckpoint(*bytes);
  if (found.ok() && found->point.index != index) {
    return absl::DataLossError("it is another one under this name");
  }
  return found.status();
}

}  // namespace

Scrubber::Scrubber(Loop* loop, Disk* disk, Wal* wal, uint64_t bytes_per_second,
                   Duration interval, Events events)
    : loop_(loop),
      disk_(disk),
      wal_(wal),
      bytes_per_second_(bytes_per_second),
      interval_(interval),
      events_(std::move(events)),
      began_(loop->Now()) {}

void Scrubber::Continue() {
  if (stopped_) return;
  wal_->Scrub(kBytesAtOnce,
              scope_.Wrap([this](absl::StatusOr<Wal::Scrubbed> scrubbed) {
                OnScrubbed(*scrubbed);
              }));
}

void Scrubber::OnScrubbed(const Wal::Scrubbed& scrubbed) {
  if (!scrubbed.reached_end) {
    timer_ = loop_->After(TimeFor(scrubbed.bytes, bytes_per_second_),
                          [this] { Continue(); });
    return;
  }
  ++passes_;
  files_ = events_.on_pass();
  ReadFile(kReadTimes);
}

void Scrubber::ReadFile(int times) {
  if (stopped_) return;
  if (files_.empty()) {
    const Instant now = loop_->Now();
    const Duration wait = std::max(began_ + interval_ - now, Duration(1ms));
    began_ = now + wait;
    timer_ = loop_->After(wait, [this] { Continue(); });
    return;
  }
  const File& file = files_.back();
  reading_ = std::make_unique<ReplacedFile>(
      disk_, CheckpointName(file.kind, file.index), kCheckpointBytesMax + 1);
  reading_->Read([this, times](const absl::StatusOr<Buffer>& bytes) {
    OnFileRead(times, bytes);
  });
}

void Scrubber::OnFileRead(int times, const absl::StatusOr<Buffer>& bytes) {
  const absl::Status whole = CheckFile(bytes, files_.back().index);
  // Any other error says nothing of what it has: it may have gone meanwhile.
  const bool damaged = absl::IsDataLoss(whole);
  if (damaged && times > 1) return ReadFile(times - 1);
  const File file = files_.back();
  files_.pop_back();
  if (damaged && !stopped_) {
    ++stats_.files_damaged;
    events_.on_damaged(file, whole);
  }
  const uint64_t read = bytes.ok() ? bytes->size() : 0;
  timer_ = loop_->After(TimeFor(read, bytes_per_second_),
                        [this] { ReadFile(kReadTimes); });
}

}  // namespace holdfast
