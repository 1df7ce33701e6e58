// How a Wal is read, and what it does about damage that a read finds.

#include <algorithm>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "engine/base/check.h"
#include "engine/wal/wal.h"

namespace holdfast {
namespace {

// A read asks for at least this much.
constexpr uint64_t kReadBytesMin = 64 << 10;
// ... and for this much on the way to where an entry stands.
constexpr uint64_t kSkipBytes = 1 << 20;

}  // namespace

void Wal::Read(Index first, size_t max_bytes, bool whole,
               ResultFn<std::vector<Entry>> done) {
  ++stats_.reads;
  auto after = std::upper_bound(
      segments_.begin(), segments_.end(), first,
      [](Index index, const LogSegment& s) { return index < s.first(); });
  if (after == segments_.begin() || first > std::prev(after)->last() ||
      first > std::min(durable_last_, readable_to_)) {
    absl::Status out_of_range = absl::OutOfRangeError(absl::StrCat(
        "entry ", first.value(), " is not in the log, which durably holds ",
        first_index().value(), " to ", durable_last_.value()));
    loop_->Post(scope_.Wrap(
        [done = std::move(done), status = std::move(out_of_range)]() mutable {
          done(std::move(status));
        }));
    return;
  }
  const LogSegment& segment = *std::prev(after);
  uint64_t id = next_read_++;
  ReadJob& job = reads_[id];
  job.file = segment.file();
  job.segment = segment.id();
  job.from = segment.Floor(first);
  job.end = segment.end();
  job.first = first;
  job.last = std::min({segment.last(), durable_last_, readable_to_});
  job.max_bytes = max_bytes;
  job.whole = whole;
  job.cuts = cuts_;
  job.done = std::move(done);
  ReadMore(id, std::max<uint64_t>(kReadBytesMin,
                                  max_bytes + LogSegment::kBytesPerSample));
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
  const bool damaged = none || absl::IsDataLoss(entries.status());
  if (damaged && job.whole) {
    ReadJob found = std::move(job);
    reads_.erase(id);
    return FindWholeOnes(std::move(found));
  }
  if (damaged && mend_) {
    // The job may be the last to hold its file, whose completion this is.
    loop_->Post([file = std::exchange(job.file, nullptr)] {});
    const uint64_t segment = job.segment;
    damaged_[segment].readers.push_back(std::move(job));
    reads_.erase(id);
    return MendNext();
  }
  if (none) {
    entries = absl::DataLossError(
        absl::StrCat("file ", SegmentName(job.segment), ": entry ",
                     job.first.value(), ", behind position ", job.from.position,
                     ", is damaged; another server may have it"));
  }
  ResultFn<std::vector<Entry>> done = std::move(job.done);
  // The job may be the last to hold its file, whose completion this is.
  loop_->Post([file = std::move(job.file)] {});
  reads_.erase(id);
  done(std::move(entries));
}

void Wal::FindWholeOnes(ReadJob job) {
  std::shared_ptr<File> file = job.file;
  auto on_read = [this, job = std::make_unique<ReadJob>(std::move(job))](
                     absl::StatusOr<PatchedBytes> found) mutable {
    // This is its own completion.
    loop_->Post([file = std::move(job->file)] {});
    if (!found.ok()) return job->done(found.status());
    job->done(FindWhole(found->bytes, job->segment, job->first, job->last,
                        job->max_bytes));
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

// --- Mending ---

void Wal::MendNext() {
  if (mending_.has_value() || damaged_.empty() || failed_) return;
  mending_ = damaged_.begin()->first;
  LogSegment* segment = Find(*mending_);
  if (segment == nullptr) return EndMending(absl::OkStatus());
  if (segment == &segments_.back()) {
    // What comes next begins another one.
    if (busy_) return mending_.reset();
    mark_timer_.Cancel();
    begin_segment_ = true;
  }
  ++stats_.segments_damaged;
  std::shared_ptr<File> file = segment->file();
  ReadAround(
      file, file->size(),
      scope_.Wrap([this, file](absl::StatusOr<PatchedBytes> found) mutable {
        loop_->Post([file = std::move(file)] {});
        OnMendRead(std::move(found));
      }));
}

void Wal::OnMendRead(absl::StatusOr<PatchedBytes> file) {
  if (!file.ok()) {
    return EndMending(absl::UnavailableError(absl::StrCat(
        "entries here are damaged, and the rest of their segment can't be "
        "read: ",
        file.status().message())));
  }
  const LogSegment* segment = Find(*mending_);
  if (segment == nullptr || segment->last() < segment->first()) {
    return EndMending(absl::OkStatus());
  }
  if (segment->last() <= base_.index) {
    return EndMending(absl::UnavailableError(
        "entries here are damaged, and a checkpoint stands for them"));
  }
  const bool is_last = segment == &segments_.back();
  const Term last_term =
      is_last ? last_.term : (segment + 1)->header().previous.term;
  const LogPoint& previous = segment->header().previous;
  damaged_[*mending_].salvage = std::make_unique<SegmentSalvage>(
      segment->header(), base_.index > previous.index ? base_ : previous,
      file->bytes, SegmentEnd{segment->last(), last_term});
  FillHole();
}

void Wal::FillHole() {
  Mending& mending = damaged_[*mending_];
  if (std::optional<LogHole> hole = mending.salvage->NextHole()) {
    // It has no reason to drop anything: what isn't committed is in memory.
    return mend_(*hole, Term(),
                 scope_.Wrap([this](absl::StatusOr<Mended> mended) {
                   OnMended(std::move(mended));
                 }));
  }
  WriteMended();
}

void Wal::WriteMended() {
  // Once more, when something was given up for it.
  const bool may_wait = !std::exchange(mend_waits_, false);
  if (Find(*mending_) == nullptr) return EndMending(absl::OkStatus());
  Mending& mending = damaged_[*mending_];
  const std::string name = SegmentName(*mending_);
  mending.file = std::make_unique<ReplacedFile>(disk_, name, 0);
  mending.file->Write(
      mending.salvage->Encode(),
      scope_.Wrap([this, name, may_wait](absl::Status written) {
        if (absl::IsResourceExhausted(written) && may_wait &&
            events_.on_no_space) {
          mend_waits_ = true;
          return events_.on_no_space(true);
        }
        // Nothing has changed then; there may be room the next time.
        if (absl::IsResourceExhausted(written)) {
          return EndMending(absl::UnavailableError(
              absl::StrCat("entries here are damaged, and there is no room to "
                           "write them anew: ",
                           written.message())));
        }
        // The next start would find what this one did.
        if (!written.ok()) return Fail(std::move(written));
        disk_->Open(
            name, OpenMode::kExisting,
            scope_.Wrap([this](absl::StatusOr<std::unique_ptr<File>> file) {
              OnMendReplaced(std::move(file));
            }));
      }));
}

void Wal::OnMended(absl::StatusOr<Mended> mended) {
  if (absl::IsAborted(mended.status())) return EndMending(absl::OkStatus());
  if (!mended.ok()) return EndMending(mended.status());
  if (mended->entries.empty() ||
      !damaged_[*mending_].salvage->Fill(mended->entries).ok()) {
    return EndMending(absl::UnavailableError(
        "entries here are damaged, and another server has other ones"));
  }
  stats_.entries_mended += mended->entries.size();
  FillHole();
}

void Wal::OnMendReplaced(absl::StatusOr<std::unique_ptr<File>> file) {
  // It may have been dropped, or replaced, meanwhile.
  LogSegment* segment = Find(*mending_);
  if (segment != nullptr && !file.ok()) return Fail(file.status());
  const std::string name = SegmentName(*mending_);
  // One that was cut goes when its successor is durable.
  if (segment == nullptr && !absl::c_linear_search(replaced_, name)) {
    Remove(name);
  }
  ++stats_.segments_mended;
  if (segment != nullptr) {
    const Index last = segment->last();
    LogSegment mended = damaged_[*mending_].salvage->Locate(
        std::shared_ptr<File>(*std::move(file)));
    if (mended.last() > last) mended.CutTo(last);
    // Reads under way hold the old file.
    loop_->Post([old = segment->file()] {});
    *segment = std::move(mended);
    NoteSealed();
  }
  EndMending(absl::OkStatus());
}

void Wal::EndMending(absl::Status status) {
  Mending mending = std::move(damaged_.extract(*mending_).mapped());
  mending_.reset();
  // Its file's own completion may have led here.
  loop_->Post(scope_.Wrap(
      [this, mending = std::make_shared<Mending>(std::move(mending)),
       status = std::move(status)] {
        for (ReadJob& job : mending->readers) {
          if (status.ok()) {
            Read(job.first, job.max_bytes, job.whole, std::move(job.done));
          } else {
            job.done(status);
          }
        }
        MendNext();
      }));
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
  return std::prev(after)->Floor(offset).index;
}

}  // namespace holdfast
