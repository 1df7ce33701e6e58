// How a Wal looks for damage that nobody reads.

#include <algorithm>
#include <utility>

#include "engine/base/check.h"
#include "engine/wal/wal.h"

namespace holdfast {
namespace {

// At the end of a log at rest: if one of them decays, the other one tells still
// that what decays before it isn't a torn tail.
constexpr int kLastMarks = 2;

}  // namespace

void Wal::Scrub(size_t max_bytes, ResultFn<Scrubbed> done) {
  CHECK(!scrub_done_);
  scrub_done_ = std::move(done);
  auto segment = std::partition_point(
      segments_.begin(), segments_.end(),
      [this](const LogSegment& s) { return s.id() < scrub_.segment; });
  // What is known to be damaged waits for help already.
  while (segment != segments_.end() &&
         (std::min(segment->last(), durable_last_) < segment->first() ||
          damaged_.contains(segment->id()))) {
    ++segment;
  }
  if (segment == segments_.end()) {
    LeaveScrubbed(0);
    return loop_->Post(
        scope_.Wrap([this] { EndScrub(Scrubbed{.reached_end = true}); }));
  }
  if (segment->file() != scrub_.file) {
    LeaveScrubbed(segment->id());
    scrub_.file = segment->file();
    scrub_.to = std::min(segment->last(), durable_last_);
    scrub_.end = segment->end();
    // What is written from now on stands behind that. A checkpoint may stand
    // for all of it.
    const bool last = std::next(segment) == segments_.end();
    const bool with_marks = last && Rests() && segment->last() > base_.index;
    if (with_marks) scrub_.marks = kLastMarks;
    // What the kernel has in memory says nothing of the disk.
    if (!last || with_marks) scrub_.file->DropCache();
  }
  // What was allocated behind the last frame needn't be read.
  const uint64_t length =
      std::max<uint64_t>(max_bytes, 2 * kSegmentHeaderBytes);
  ScrubMore(std::min(length, scrub_.end - scrub_.position));
}

void Wal::ScrubMore(uint64_t length) {
  scrub_.file->Read(
      scrub_.position, length,
      scope_.Wrap([this, length](absl::StatusOr<Buffer> bytes) {
        const uint64_t read = bytes.ok() ? bytes->size() : length;
        stats_.bytes_scrubbed += read;
        switch (bytes.ok() ? LookAt(*bytes, read == length) : Look::kDamaged) {
          case Look::kWhole:
            break;
          case Look::kNeedsMore: {
            const size_t size =
                DecodeLogFrameHeader(bytes->view(), scrub_.segment,
                                     scrub_.position)
                    ->body_size;
            return ScrubMore(FrameBytes(size));
          }
          case Look::kDamaged:
            NoteDamage();
            [[fallthrough]];
          case Look::kDone:
            LeaveScrubbed(scrub_.segment + 1);
        }
        EndScrub(Scrubbed{.bytes = read});
      }));
}

Wal::Look Wal::LookAt(const Buffer& bytes, bool more_follows) {
  const uint64_t start = scrub_.position;
  if (start == 0) {
    if (bytes.size() < kSegmentHeaderBytes) return Look::kDamaged;
    const absl::StatusOr<SegmentHeader> header =
        DecodeSegmentHeader(bytes.view().substr(0, kSegmentHeaderBytes));
    const LogSegment* segment = Find(scrub_.segment);
    if (segment == nullptr) return Look::kDone;
    if (!header.ok() || *header != segment->header()) return Look::kDamaged;
    scrub_.position = kSegmentHeaderBytes;
    scrub_.seed = FirstSeed(*header);
  }
  while (std::optional<FoundFrame> frame =
             ReadFrame(bytes.view(), scrub_.position, scrub_.segment,
                       scrub_.seed, start)) {
    scrub_.position = frame->end();
    scrub_.seed = frame->header.body_crc;
    if (frame->header.index < scrub_.to) continue;
    if (frame->header.kind == FrameKind::kMark) {
      --scrub_.marks;
    } else {
      scrub_.behind = true;
      NoteFound(scrub_.segment, Index(), scrub_.to);
    }
    if (scrub_.marks <= 0) return Look::kDone;
  }
  // Fewer marks than there are to be.
  if (scrub_.behind && scrub_.position >= scrub_.end) return Look::kDamaged;
  if (scrub_.position > start) return Look::kWhole;
  // A frame larger than what was read?
  const std::optional<LogFrameHeader> next =
      DecodeLogFrameHeader(bytes.view(), scrub_.segment, start);
  return next.has_value() && more_follows &&
                 FrameBytes(next->body_size) > bytes.size()
             ? Look::kNeedsMore
             : Look::kDamaged;
}

bool Wal::Rests() const {
  // What is on the disk behind a cut tells of it until that is done; and what a
  // checkpoint takes the place of, once there is room, needn't be told.
  const bool goes =
      !queue_.empty() && queue_.front().kind == Item::Kind::kReset;
  return !busy_ && all_marked() && replaced_.empty() && !goes;
}

void Wal::NoteDamage() {
  const LogSegment* segment = Find(scrub_.segment);
  // A suffix that was cut meanwhile need not be whole; and what nobody has
  // needn't be asked for with each pass.
  if (segment == nullptr || segment->file() != scrub_.file ||
      segment->last() < scrub_.to || !mend_ ||
      (partial_ != nullptr && partial_->file == scrub_.file &&
       partial_->why.ok())) {
    return;
  }
  // The next segment's header tells as well how far this one goes.
  if (scrub_.behind && segment != &segments_.back()) return;
  const bool unmarked = scrub_.behind && scrub_.position >= scrub_.end;
  ++(unmarked ? stats_.scrub_unmarked : stats_.scrub_found);
  damaged_[scrub_.segment];
  MendNext();
}

void Wal::LeaveScrubbed(uint64_t next) {
  // Its own completion may have led here.
  loop_->Post([file = std::move(scrub_.file)] {});
  scrub_ = ScrubPlace{.segment = next};
}

void Wal::RefreshHardState() {
  if (failed_ || rest_done_ || hard_state_.term == Term(0)) return;
  refresh_hard_state_ = true;
  Pump();
}

void Wal::EndScrub(Scrubbed scrubbed) {
  ResultFn<Scrubbed> done = std::move(scrub_done_);
  done(scrubbed);
}

}  // namespace holdfast
