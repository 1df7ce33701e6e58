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

// Whether all of the frame is, by the seed that the one right before it gave.
bool IsWholeFrame(absl::string_view bytes, const FoundFrame& frame, uint64_t id,
                  std::optional<uint32_t> seed) {
  return seed.has_value() &&
         ReadFrame(bytes, frame.position, id, *seed).has_value();
}

// The terms of all entries from the segment's first one on, by a mark behind
// them whose body is whole; `seed`: of the frame right before it. Else nothing.
std::vector<TermRun> RunsOf(absl::string_view bytes, const FoundFrame& frame,
                            uint64_t id, std::optional<uint32_t> seed) {
  const LogFrameHeader& h = frame.header;
  if (h.kind != FrameKind::kMark || !IsWholeFrame(bytes, frame, id, seed)) {
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
  const auto frame =
      FindFrameIf(bytes, id, [marked_to](const FoundFrame& each) {
        return each.position >= marked_to;
      });
  if (!frame.has_value()) return std::nullopt;
  return Before(frame->header);
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

std::optional<Term> FindTerm(absl::string_view bytes, uint64_t id,
                             Index index) {
  const auto frame = FindFrameIf(bytes, id, [index](const FoundFrame& each) {
    return each.header.index == index || Before(each.header).index == index;
  });
  if (!frame.has_value()) return std::nullopt;
  const LogFrameHeader& h = frame->header;
  return h.index == index ? h.term : Before(h).term;
}

std::optional<Index> FindLastOfTerm(absl::string_view bytes, uint64_t id,
                                    const SegmentEnd& end) {
  std::optional<Index> last;
  const auto note = [&](Index index, Term term) {
    if (term != end.term || index > end.index) return;
    last = std::max(last.value_or(index), index);
  };
  uint64_t at = kSegmentHeaderBytes;
  while (std::optional<FoundFrame> frame = NextFrameHeader(bytes, at, id)) {
    const SegmentEnd before = Before(frame->header);
    note(before.index, before.term);
    note(frame->header.index, frame->header.term);
    at = frame->end();
  }
  return last;
}

WholeEntries FindWhole(const Buffer& bytes, uint64_t id, Index first,
                       Index last, size_t max_bytes, bool behind_gap) {
  WholeEntries whole{.entries = {}, .damaged_to = last};
  std::vector<Entry>& entries = whole.entries;
  size_t taken = 0;
  bool first_by_itself = false;
  uint64_t at = kSegmentHeaderBytes;
  std::optional<uint32_t> seed;  // of a frame right here
  const absl::StatusOr<SegmentHeader> header =
      DecodeSegmentHeader(bytes.view().substr(0, kSegmentHeaderBytes));
  if (header.ok() && header->id == id) seed = FirstSeed(*header);
  while (std::optional<FoundFrame> frame =
             NextFrameHeader(bytes.view(), at, id)) {
    const LogFrameHeader& h = frame->header;
    if (frame->position != at) seed.reset();
    const std::optional<uint32_t> own_seed = seed;
    at = frame->end();
    seed = h.body_crc;
    if (h.kind != FrameKind::kEntry || h.index < first) continue;
    if (h.index > last || taken >= max_bytes) break;
    std::optional<Entry> entry = EntryOf(bytes, *frame);
    const bool by_itself =
        !own_seed.has_value() && !(entries.empty() && behind_gap);
    if (!by_itself && !IsWholeFrame(bytes.view(), *frame, id, own_seed)) {
      entry.reset();
    }
    bool follows = h.index == first + entries.size();
    if (follows && entry.has_value() && !entries.empty()) {
      follows = Continues(PointAfter(entries.back().header), entry->header);
      if (!follows && first_by_itself && entries.size() == 1 && !by_itself) {
        // This one speaks for itself, and against that one.
        entries.clear();
        whole.damaged_to = first;
        return whole;
      }
    }
    if (!entry.has_value() || !follows) {
      if (!entries.empty()) break;
      if (!entry.has_value()) continue;
      whole.damaged_to = h.index - 1;
      return whole;
    }
    taken += EntryBytes(*entry);
    if (entries.empty()) first_by_itself = by_itself;
    entries.push_back(*std::move(entry));
  }
  if (!entries.empty()) whole.damaged_to = Index();
  return whole;
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
        const bool whole = IsWholeFrame(bytes.view(), *frame, header_.id, seed);
        found_.emplace(h.index, Found{*std::move(entry), h.prev_term, whole});
        found_to_ = std::max(found_to_, h.index);
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
      const Found found = std::move(next->second);
      found_.erase(next);
      // Else it isn't this log's, whatever it is.
      const bool takes = found.whole_frame || !at_gap_;
      if (takes && Follows(found.entry.header)) {
        Take(found.entry);
      } else if (found.whole_frame) {
        contradicted_ = true;
      }
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
  if (last_term == last_.term) {
    return LogHole{.first = first,
                   .last = last,
                   .last_term = last_term,
                   .one_term = true,
                   .behind_gap = at_gap_};
  }
  auto behind = std::upper_bound(
      runs_.begin(), runs_.end(), first,
      [](Index i, const TermRun& run) { return i < run.first; });
  // A mark tells of the entries before it only.
  if (behind == runs_.begin() || behind == runs_.end()) {
    return LogHole{.first = first,
                   .last = last,
                   .last_term = last_term,
                   .behind_gap = at_gap_};
  }
  return LogHole{.first = first,
                 .last = std::min(last, behind->first - 1),
                 .last_term = std::prev(behind)->term,
                 .one_term = true,
                 .behind_gap = at_gap_};
}

bool SegmentSalvage::Follows(const EntryHeader& header) const {
  if (!at_gap_) return Continues(last_, header);
  return header.index == last_.index + 1 && header.term >= last_.term &&
         header.base_offset >= last_.next_offset &&
         header.log_time >= last_.log_time;
}

void SegmentSalvage::Take(const Entry& entry) {
  if (std::exchange(at_gap_, false)) {
    gaps_.back().end_offset = entry.header.base_offset;
  }
  last_ = PointAfter(entry.header);
  entries_.push_back(entry);
}

size_t SegmentSalvage::Fill(const std::vector<Entry>& entries) {
  size_t taken = 0;
  for (const Entry& entry : entries) {
    if (!Follows(entry.header) || !IsWhole(entry)) break;
    Take(entry);
    ++taken;
  }
  found_.erase(found_.begin(), found_.upper_bound(last_.index));
  return taken;
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

void SegmentSalvage::GiveUp(Index last, bool lost) {
  if (at_gap_) {
    // Where the one ends and the other begins isn't known.
    gaps_.back().last = last;
    gaps_.back().lost = gaps_.back().lost && lost;
  } else {
    gaps_.push_back(Gap{.first = last_.index + 1,
                        .last = last,
                        .first_offset = last_.next_offset,
                        .end_offset = last_.next_offset,
                        .lost = lost});
  }
  at_gap_ = true;
  last_.index = last;
  found_.erase(found_.begin(), found_.upper_bound(last));
}

void SegmentSalvage::GiveUpAll(bool lost) {
  while (const std::optional<LogHole> hole = NextHole()) {
    GiveUp(hole->last, lost);
  }
}

bool SegmentSalvage::EndsAt(const LogPoint& end) {
  // Entries behind it, which were replaced, may be there as well.
  for (Gap& gap : gaps_) {
    if (gap.last != end.index) continue;
    gap.end_offset = end.next_offset;
    return gap.end_offset >= gap.first_offset;
  }
  const auto it = std::lower_bound(
      entries_.begin(), entries_.end(), end.index,
      [](const Entry& e, Index index) { return e.header.index < index; });
  return it != entries_.end() && PointAfter(it->header) == end;
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
