// What a Wal does about damage that shows while it is open.

#include <algorithm>
#include <iterator>
#include <memory>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "engine/base/check.h"
#include "engine/wal/wal.h"

namespace holdfast {
namespace {

// For so long what is left of a segment is kept in memory, and nobody asked
// again for what nobody had.
constexpr Duration kPartialLife = 10s;

}  // namespace

void Wal::MendNext() {
  if (mending_.has_value() || damaged_.empty() || failed_) return;
  mending_ = damaged_.begin()->first;
  LogSegment* segment = Find(*mending_);
  if (segment == nullptr) return EndMending(absl::OkStatus());
  if (segment == &segments_.back()) {
    // What comes next begins another one.
    if (busy_) return mending_.reset();
    // As in MarksFirst. Then Pump comes here again.
    if (!all_marked()) {
      mending_.reset();
      return WriteMark();
    }
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
  const LogPoint& previous = segment->header().previous;
  damaged_[*mending_].salvage = std::make_unique<SegmentSalvage>(
      segment->header(), base_.index > previous.index ? base_ : previous,
      file->bytes, SegmentEnd{segment->last(), PointBehind(*segment).term});
  FillHole();
}

void Wal::FillHole() {
  Mending& mending = damaged_[*mending_];
  if (in_part_) mending.salvage->GiveUpAll(/*lost=*/true);
  if (std::optional<LogHole> hole = mending.salvage->NextHole()) {
    // It has no reason to drop anything: what isn't committed is in memory.
    return mend_(*hole, Term(),
                 scope_.Wrap([this](absl::StatusOr<Mended> mended) {
                   OnMended(std::move(mended));
                 }));
  }
  const LogSegment* segment = Find(*mending_);
  if (segment == nullptr) return EndMending(absl::OkStatus());
  const LogPoint end = PointBehind(*segment);
  if (end.index != segment->last() || !mending.salvage->EndsAt(end)) {
    return EndMending(absl::UnavailableError(
        "entries here are damaged, and what there is of their segment doesn't "
        "lead to the log behind it"));
  }
  if (in_part_ || !mending.salvage->gaps().empty()) return EndInPart(*segment);
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
  Mending& mending = damaged_[*mending_];
  SegmentSalvage* salvage = mending.salvage.get();
  if (!mended.ok()) {
    mending.why = mended.status();
    // Nor are the others asked for what else is missing.
    salvage->GiveUpAll(/*lost=*/false);
    return FillHole();
  }
  if (mended->lost_to > Index()) {
    salvage->GiveUp(mended->lost_to, /*lost=*/true);
    return FillHole();
  }
  const size_t taken = salvage->Fill(mended->entries);
  if (taken == 0) {
    return EndMending(absl::UnavailableError(
        "entries here are damaged, and another server has other ones"));
  }
  stats_.entries_mended += taken;
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
    // It begins behind the checkpoint; what was cut meanwhile may have been all
    // of it, and goes with its successor.
    if (mended.first() <= last) {
      if (mended.last() > last) mended.CutTo(last);
      // Reads under way hold the old file.
      loop_->Post([old = segment->file()] {});
      *segment = std::move(mended);
      NoteSealed();
      NoteFound(*mending_, segment->first(), last);
    }
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
            Read(std::move(job));
          } else {
            job.done(status);
          }
        }
        MendNext();
      }));
}

LogPoint Wal::PointBehind(const LogSegment& segment) const {
  return &segment == &segments_.back() ? last_
                                       : (&segment + 1)->header().previous;
}

void Wal::EndInPart(const LogSegment& segment) {
  Mending& found = damaged_[*mending_];
  ++stats_.segments_in_part;
  partial_ =
      std::make_shared<Partial>(Partial{.file = segment.file(),
                                        .salvage = std::move(found.salvage),
                                        .why = std::move(found.why)});
  forget_partial_ = loop_->After(kPartialLife, [this] { partial_ = nullptr; });
  auto mending = std::make_shared<Mending>(
      std::move(damaged_.extract(*mending_).mapped()));
  mending_.reset();
  NoteLost(segment, partial_->salvage->gaps());
  // Its file's own completion may have led here.
  loop_->Post(scope_.Wrap([this, mending, partial = partial_] {
    for (ReadJob& job : mending->readers) {
      job.Done(ReadInPart(*partial, job));
    }
    MendNext();
  }));
}

void Wal::NoteLost(const LogSegment& segment, const std::vector<Gap>& gaps) {
  std::vector<LostRecords> now;
  std::vector<LostRecords>& known = lost_[segment.id()];
  for (const Gap& gap : gaps) {
    if (!gap.lost) continue;
    now.push_back({gap.first_offset, gap.end_offset, gap.last});
    if (absl::c_linear_search(known, now.back())) continue;
    stats_.entries_lost += gap.last - gap.first + 1;
    const bool none = gap.first_offset == gap.end_offset;
    if (events_.on_lost && !none) events_.on_lost(now.back());
  }
  known = std::move(now);
}

void Wal::NoteFound(uint64_t segment, Index first, Index last) {
  const auto it = lost_.find(segment);
  if (it == lost_.end()) return;
  std::erase_if(it->second, [first, last](const LostRecords& lost) {
    return first <= lost.last_index && lost.last_index <= last;
  });
}

std::vector<LostRecords> Wal::lost() const {
  std::vector<LostRecords> lost;
  for (const LogSegment& segment : segments_) {
    const auto it = lost_.find(segment.id());
    if (it == lost_.end()) continue;
    // Entries without records are nobody's loss.
    absl::c_copy_if(it->second, std::back_inserter(lost),
                    [](const LostRecords& r) { return r.first < r.end; });
  }
  return lost;
}

absl::StatusOr<std::vector<Entry>> Wal::ReadInPart(const Partial& partial,
                                                   const ReadJob& job) const {
  if (job.cuts != cuts_) {
    return absl::AbortedError("the log was cut meanwhile; read again");
  }
  Index end = job.last + 1;
  for (const Gap& gap : partial.salvage->gaps()) {
    if (gap.last < job.first) continue;
    end = std::min(end, gap.first);
    if (gap.first > job.first) break;
    const LostRecords missing{gap.first_offset, gap.end_offset, gap.last};
    return gap.lost ? LostRecordsError(missing)
                    : MissingRecordsError(missing, partial.why);
  }
  const std::vector<Entry>& all = partial.salvage->entries();
  auto next = absl::c_lower_bound(
      all, job.first,
      [](const Entry& e, Index index) { return e.header.index < index; });
  if (next == all.end() || next->header.index != job.first) {
    return absl::OutOfRangeError(
        absl::StrCat("a checkpoint stands for entry ", job.first.value()));
  }
  std::vector<Entry> entries;
  for (size_t bytes = 0; next != all.end() && next->header.index < end &&
                         (entries.empty() || bytes < job.max_bytes);
       ++next) {
    bytes += EntryBytes(*next);
    entries.push_back(*next);
  }
  return entries;
}

}  // namespace holdfast
