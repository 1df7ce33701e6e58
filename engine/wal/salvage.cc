#include "engine/wal/salvage.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"
#include "engine/base/crc32c.h"
#include "engine/wal/frame.h"

namespace holdfast {
namespace {

bool IsWhole(const Entry& entry) {
  return Crc32c(entry.payload.view()) == entry.header.payload_crc;
}

// The frame's entry, if it is whole by its own checksums.
std::optional<Entry> EntryOf(const Buffer& bytes, const FoundFrame& frame) {
  const LogFrameHeader& h = frame.header;
  const uint64_t body = frame.position + kLogFrameHeaderBytes;
  if (body + h.body_size > bytes.size()) return std::nullopt;
  absl::StatusOr<Entry> entry = DecodeEntry(bytes.Slice(body, h.body_size));
  if (!entry.ok() || entry->header.index != h.index ||
      entry->header.term != h.term || !IsWhole(*entry)) {
    return std::nullopt;
  }
  return *std::move(entry);
}

// The terms of all entries from the segment's first one on, by a mark behind
// them whose body is whole; `seed`: of the frame right before it. Else nothing.
std::vector<TermRun> RunsOf(absl::string_view bytes, const FoundFrame& frame,
                            uint64_t id, std::optional<uint32_t> seed) {
  const LogFrameHeader& h = frame.header;
  if (h.kind != FrameKind::kMark || !seed.has_value() ||
      !ReadFrame(bytes, frame.position, id, *seed)) {
    return {};
  }
  absl::StatusOr<std::vector<TermRun>> runs = DecodeTermRuns(
      bytes.substr(frame.position + kLogFrameHeaderBytes, h.body_size));
  return runs.ok() ? *std::move(runs) : std::vector<TermRun>();
}

// What a frame says of the entry before it.
SegmentEnd Before(const LogFrameHeader& header) {
  if (header.kind == FrameKind::kMark) return {header.index, header.term};
  return {header.index - 1, header.prev_term};
}

}  // namespace

std::optional<SegmentEnd> FindMarkedEnd(absl::string_view bytes, uint64_t id,
                                        uint64_t marked_to) {
  uint64_t at = kSegmentHeaderBytes;
  while (std::optional<FoundFrame> frame = NextFrameHeader(bytes, at, id)) {
    if (frame->position >= marked_to) return Before(frame->header);
    at = frame->end();
  }
  return std::nullopt;
}

std::optional<SegmentEnd> FindBeginning(absl::string_view bytes, uint64_t id) {
  uint64_t at = kSegmentHeaderBytes;
  std::optional<uint32_t> seed;  // of a frame right here
  while (std::optional<FoundFrame> frame = NextFrameHeader(bytes, at, id)) {
    if (frame->position == kSegmentHeaderBytes) return Before(frame->header);
    if (frame->position != at) seed.reset();
    const std::vector<TermRun> runs = RunsOf(bytes, *frame, id, seed);
    if (!runs.empty() && runs.front().first > Index(0) &&
        runs.back().term == frame->header.term) {
      return SegmentEnd{runs.front().first - 1, Term()};
    }
    at = frame->end();
    seed = frame->header.body_crc;
  }
  return std::nullopt;
}

absl::StatusOr<std::vector<Entry>> FindWhole(const Buffer& bytes, uint64_t id,
                                             Index first, Index last,
                                             size_t max_bytes) {
  std::vector<Entry> entries;
  size_t taken = 0;
  uint64_t at = kSegmentHeaderBytes;
  while (std::optional<FoundFrame> frame =
             NextFrameHeader(bytes.view(), at, id)) {
    const LogFrameHeader& h = frame->header;
    at = frame->end();
    if (h.kind != FrameKind::kEntry || h.index < first) continue;
    std::optional<Entry> entry = EntryOf(bytes, *frame);
    if (!entry.has_value() || h.index != first + entries.size() ||
        h.index > last || taken >= max_bytes) {
      break;
    }
    taken += EntryBytes(*entry);
    entries.push_back(*std::move(entry));
  }
  if (entries.empty()) {
    return absl::DataLossError(
        absl::StrCat("entry ", first.value(), " is damaged here"));
  }
  return entries;
}

SegmentSalvage::SegmentSalvage(const SegmentHeader& header,
                               const LogPoint& begin, const Buffer& bytes,
                               const SegmentEnd& end)
    : header_(header), begin_(begin), end_(end), last_(begin) {
  Find(bytes);
}

void SegmentSalvage::Find(const Buffer& bytes) {
  uint64_t at = kSegmentHeaderBytes;
  std::optional<uint32_t> seed;  // of a frame right here
  while (std::optional<FoundFrame> frame =
             NextFrameHeader(bytes.view(), at, header_.id)) {
    const LogFrameHeader& h = frame->header;
    if (frame->position != at) seed.reset();
    commit_ = std::max(commit_, h.commit);
    if (h.kind == FrameKind::kEntry) {
      std::optional<Entry> entry = EntryOf(bytes, *frame);
      if (entry.has_value() && h.index > begin_.index) {
        found_.emplace(h.index, Found{*std::move(entry), h.prev_term});
      }
    } else if (std::vector<TermRun> runs =
                   RunsOf(bytes.view(), *frame, header_.id, seed);
               !runs.empty()) {
      runs_ = std::move(runs);
    }
    at = frame->end();
    seed = h.body_crc;
  }
}

std::optional<LogHole> SegmentSalvage::NextHole() {
  for (;;) {
    auto next = found_.begin();
    if (next != found_.end() && next->first == last_.index + 1) {
      const Entry entry = std::move(next->second.entry);
      found_.erase(next);
      // Else it isn't this log's, whatever it is.
      if (Continues(last_, entry.header)) Take(entry);
      continue;
    }
    if (last_.index >= end_.index) return std::nullopt;
    if (next == found_.end() || next->first > end_.index) {
      return HoleTo(end_.index, end_.term);
    }
    const Term before = next->second.before;
    if (before >= last_.term && (before <= end_.term || end_.term == Term())) {
      return HoleTo(next->first - 1, before);
    }
    found_.erase(next);
  }
}

LogHole SegmentSalvage::HoleTo(Index last, Term last_term) const {
  const Index first = last_.index + 1;
  if (last_term == last_.term) return LogHole{first, last, last_term, true};
  auto behind = std::upper_bound(
      runs_.begin(), runs_.end(), first,
      [](Index i, const TermRun& run) { return i < run.first; });
  // A mark tells of the entries before it only.
  if (behind == runs_.begin() || behind == runs_.end()) {
    return LogHole{first, last, last_term, false};
  }
  return LogHole{first, std::min(last, behind->first - 1),
                 std::prev(behind)->term, true};
}

void SegmentSalvage::Take(const Entry& entry) {
  last_ = PointAfter(entry.header);
  entries_.push_back(entry);
}

absl::Status SegmentSalvage::Fill(const std::vector<Entry>& entries) {
  LogPoint point = last_;
  for (const Entry& entry : entries) {
    if (!Continues(point, entry.header) || !IsWhole(entry)) {
      return absl::DataLossError(absl::StrCat(
          "entry ", entry.header.index.value(),
          " of another server doesn't continue the log before it here"));
    }
    point = PointAfter(entry.header);
  }
  for (const Entry& entry : entries) Take(entry);
  found_.erase(found_.begin(), found_.upper_bound(last_.index));
  return absl::OkStatus();
}

void SegmentSalvage::Doubt() {
  entries_.resize(entries_.size() - std::min(doubted_, entries_.size()));
  last_ = entries_.empty() ? begin_ : PointAfter(entries_.back().header);
  doubted_ *= 2;
  runs_.clear();  // they tell of those entries
}

void SegmentSalvage::Distrust() {
  found_.clear();
  runs_.clear();
}

void SegmentSalvage::Drop() {
  found_.clear();
  end_ = SegmentEnd{last_.index, last_.term};
}

SegmentHeader SegmentSalvage::header() const {
  SegmentHeader header = header_;
  header.previous = begin_;
  return header;
}

LogSegment SegmentSalvage::Locate(std::shared_ptr<File> file) const {
  LogSegment segment(header(), std::move(file));
  Encode(&segment);
  return segment;
}

Buffers SegmentSalvage::Encode(LogSegment* segment) const {
  const SegmentHeader header = this->header();
  const Index commit = std::min(commit_, last_.index);
  Buffers out{EncodeSegmentHeader(header)};
  FrameWriter writer(header);
  for (const Entry& entry : entries_) {
    if (segment != nullptr) {
      segment->Note(entry.header, writer.position(), writer.seed());
    }
    writer.AppendEntry(entry, 0, commit, &out);
  }
  writer.AppendRestingMarks(writer.position(), commit, &out);
  if (segment != nullptr) segment->set_end(writer.position());
  return out;
}

}  // namespace holdfast
