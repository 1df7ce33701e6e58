// How a Wal is read.

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"
#include "engine/wal/wal.h"

namespace holdfast {
namespace {

// A read asks for at least this much.
constexpr uint64_t kReadBytesMin = 64 << 10;
// ... and for this much on the way to where an entry stands.
constexpr uint64_t kSkipBytes = 1 << 20;
// Two servers may lack the same, and ask each other.
constexpr Duration kForOthersEvery = 1s;

}  // namespace

void Wal::Read(ReadJob job) {
  ++stats_.reads;
  const Index first = job.first;
  auto after = std::upper_bound(
      segments_.begin(), segments_.end(), first,
      [](Index index, const LogSegment& s) { return index < s.first(); });
  if (after == segments_.begin() || first > std::prev(after)->last() ||
      first > std::min(durable_last_, readable_to_)) {
    absl::Status out_of_range = absl::OutOfRangeError(absl::StrCat(
        "entry ", first.value(), " is not in the log, which durably holds ",
        first_index().value(), " to ", durable_last_.value()));
    loop_->Post(scope_.Wrap(
        [job = std::move(job), status = std::move(out_of_range)]() mutable {
          job.Done(std::move(status));
        }));
    return;
  }
  const LogSegment& segment = *std::prev(after);
  job.file = segment.file();
  job.segment = segment.id();
  job.from = segment.Floor(first);
  job.end = segment.end();
  job.last = std::min({segment.last(), durable_last_, readable_to_});
  job.cuts = cuts_;
  const uint64_t length = std::max<uint64_t>(
      kReadBytesMin, job.max_bytes + LogSegment::kBytesPerSample);
  const uint64_t id = next_read_++;
  reads_[id] = std::move(job);
  ReadMore(id, length);
}

void Wal::ReadJob::Done(absl::StatusOr<std::vector<Entry>> entries) {
  if (!whole()) return done(std::move(entries));
  if (!entries.ok()) return whole_done(entries.status());
  whole_done(WholeEntries{.entries = *std::move(entries)});
}

void Wal::ReadMore(uint64_t id, uint64_t length) {
  ReadJob& job = reads_.at(id);
  length = std::min(length, job.end - job.from.position);
  job.file->Read(job.from.position, length,
                 scope_.Wrap([this, id, length](absl::StatusOr<Buffer> bytes) {
                   OnRead(id, length, std::move(bytes));
                 }));
}

void Wal::OnRead(uint64_t id, uint64_t asked, absl::StatusOr<Buffer> bytes) {
  ReadJob& job = reads_.at(id);
  const uint64_t from = job.from.position;
  absl::StatusOr<std::vector<Entry>> entries;
  if (job.cuts != cuts_) {
    entries = absl::AbortedError("the log was cut meanwhile; read again");
  } else if (bytes.ok()) {
    entries = TakeEntries(*bytes, &job);
  } else {
    entries = bytes.status();
  }
  const bool none = entries.ok() && entries->empty();
  if (none && bytes->size() == asked && from + asked < job.end) {
    // It stands further on, or in a frame larger than what was read.
    return ReadMore(id, job.from.position > from ? kSkipBytes : asked * 4);
  }
  // Or the device refuses to read it.
  bool damaged = none || absl::IsDataLoss(entries.status());
  if (damaged && job.whole()) {
    MendForOthers(job);
    ReadJob found = std::move(job);
    reads_.erase(id);
    return FindWholeOnes(std::move(found));
  }
  if (damaged && partial_ != nullptr && partial_->file == job.file) {
    entries = ReadInPart(*partial_, job);
    // What others may have yet is asked for again.
    damaged = absl::IsUnavailable(entries.status());
  }
  if (damaged && (mend_ || in_part_)) {
    // The job may be the last to hold its file, whose completion this is.
    loop_->Post([file = std::exchange(job.file, nullptr)] {});
    const uint64_t segment = job.segment;
    damaged_[segment].readers.push_back(std::move(job));
    reads_.erase(id);
    return MendNext();
  }
  if (damaged && none) {
    entries = absl::DataLossError(
        absl::StrCat("file ", SegmentName(job.segment), ": entry ",
                     job.first.value(), ", behind position ", job.from.position,
                     ", is damaged; another server may have it"));
  }
  if (entries.ok() && !lost_.empty() && !entries->empty()) {
    NoteFound(job.segment, entries->front().header.index,
              entries->back().header.index);
  }
  ReadJob answered = std::move(job);
  // The job may be the last to hold its file, whose completion this is.
  loop_->Post([file = std::move(answered.file)] {});
  reads_.erase(id);
  answered.Done(std::move(entries));
}

void Wal::MendForOthers(const ReadJob& job) {
  const LogSegment* segment = Find(job.segment);
  if (segment == nullptr || segment->file() != job.file || !mend_ || failed_ ||
      (partial_ != nullptr && partial_->file == job.file) ||
      loop_->Now() < mend_for_others_at_) {
    return;
  }
  mend_for_others_at_ = loop_->Now() + kForOthersEvery;
  damaged_[job.segment];
  MendNext();
}

void Wal::FindWholeOnes(ReadJob job) {
  std::shared_ptr<File> file = job.file;
  auto on_read = [this, job = std::make_unique<ReadJob>(std::move(job))](
                     absl::StatusOr<PatchedBytes> found) mutable {
    // This is its own completion.
    loop_->Post([file = std::move(job->file)] {});
    if (!found.ok()) return job->whole_done(found.status());
    job->whole_done(FindWhole(found->bytes, job->segment, job->first, job->last,
                              job->max_bytes, job->behind_gap));
  };
  ReadAround(file, file->size(), scope_.Wrap(std::move(on_read)));
}

absl::StatusOr<std::vector<Entry>> Wal::TakeEntries(const Buffer& bytes,
                                                    ReadJob* job) {
  LogSegment* segment = Find(job->segment);
  const uint64_t start = job->from.position;
  std::vector<Entry> entries;
  size_t taken = 0;
  while (std::optional<FoundFrame> frame =
             ReadFrame(bytes.view(), job->from.position, job->segment,
                       job->from.seed, start)) {
    job->from.position = frame->end();
    job->from.seed = frame->header.body_crc;
    if (frame->header.kind != FrameKind::kEntry) continue;
    if (frame->header.index > job->last) break;
    absl::StatusOr<Entry> entry =
        DecodeEntry(bytes.Slice(frame->position - start + kLogFrameHeaderBytes,
                                frame->header.body_size));
    if (!entry.ok()) return absl::DataLossError(entry.status().message());
    // Another file may stand in its place, with other positions.
    if (segment != nullptr && segment->file() == job->file) {
      segment->AddSample({entry->header.index, entry->header.base_offset,
                          frame->position, frame->seed});
    }
    if (frame->header.index < job->first) continue;
    taken += frame->header.body_size;
    entries.push_back(*std::move(entry));
    if (taken >= job->max_bytes) break;
  }
  return entries;
}

LogSegment* Wal::Find(uint64_t id) {
  auto it =
      std::partition_point(segments_.begin(), segments_.end(),
                           [id](const LogSegment& s) { return s.id() < id; });
  return it == segments_.end() || it->id() != id ? nullptr : &*it;
}

Index Wal::FloorIndexOfOffset(Offset offset) const {
  auto after = std::partition_point(
      segments_.begin(), segments_.end(),
      [offset](const LogSegment& s) { return s.first_offset() <= offset; });
  CHECK(after != segments_.begin());
  // Of what is before it in its segment, nothing need be left.
  return std::max(std::prev(after)->Floor(offset).index, base_.index + 1);
}

}  // namespace holdfast
