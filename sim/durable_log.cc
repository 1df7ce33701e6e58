#include "sim/durable_log.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "engine/base/check.h"
#include "engine/wal/checkpoint_file.h"
#include "engine/wal/frame.h"
#include "engine/wal/hard_state_file.h"

namespace holdfast {

namespace {

// Up to where a checkpoint stands for the log.
Index Covered(const NameTable::Files& files) {
  Index covered;
  for (const auto& [name, file] : files) {
    covered = std::max(
        covered,
        ParseCheckpointName(CheckpointKind::kBase, name).value_or(Index()));
  }
  return covered;
}

}  // namespace

void DurableLog::Update(const NameTable& disk) {
  // Nobody asks for those before the last ones, of a segment each at least:
  // what isn't committed yet, after bursts.
  constexpr size_t kSegmentsMax = 4096;
  const uint64_t first = FirstGrowing();
  if (disk.durable_changes() != name_changes_) {
    name_changes_ = disk.durable_changes();
    UpdateNames(disk, first);
    while (!whole_changes_.has_value() && segments_.size() > kSegmentsMax) {
      segments_.erase(segments_.begin());
    }
  }
  for (auto it = segments_.lower_bound(first); it != segments_.end(); ++it) {
    Segment& segment = it->second;
    if (segment.changes != segment.file->durable_changes()) {
      ReadOn(it->first, &segment);
    }
  }
}

void DurableLog::UpdateWhole(const NameTable& disk) {
  if (whole_changes_ != disk.durable_changes()) {
    whole_changes_ = name_changes_ = disk.durable_changes();
    UpdateNames(disk, 0);
  }
  for (auto& [id, segment] : segments_) {
    if (segment.changes != segment.file->durable_changes()) {
      ReadOn(id, &segment);
    }
    if (segment.damages == segment.file->damages()) continue;
    segment.damages = segment.file->damages();
    Inspect(id, &segment);
  }
  ForgetVanished(disk);
}

void DurableLog::UpdateNames(const NameTable& disk, uint64_t first) {
  const NameTable::Files& files = disk.durable();
  const Index covered = disk.vanished().empty() ? Index() : Covered(files);
  const auto has = [](const NameTable::Files& in, uint64_t id,
                      const Segment& segment) {
    const auto file = in.find(SegmentName(id));
    return file != in.end() && file->second == segment.file;
  };
  for (auto it = segments_.lower_bound(first); it != segments_.end();) {
    const auto& [id, segment] = *it;
    const bool stays = has(files, id, segment) ||
                       (has(disk.vanished(), id, segment) && segment.begun() &&
                        segment.last() > covered);
    it = stays ? std::next(it) : segments_.erase(it);
  }
  for (auto it = files.lower_bound(SegmentName(first)); it != files.end();
       ++it) {
    std::optional<uint64_t> id = ParseSegmentName(it->first);
    if (id.has_value()) segments_[*id].file = it->second;
  }
}

void DurableLog::ForgetVanished(const NameTable& disk) {
  for (const auto& [name, file] : disk.vanished()) {
    const std::optional<uint64_t> id = ParseSegmentName(name);
    if (!id.has_value()) continue;
    const auto it = segments_.find(*id);
    if (it == segments_.end() || it->second.file != file) continue;
    const Index before = it->second.before_first;
    const bool earlier =
        std::any_of(segments_.begin(), it, [before](const auto& s) {
          return s.second.begun() && s.second.last() > before;
        });
    const bool later =
        std::any_of(std::next(it), segments_.end(), [before](const auto& s) {
          return s.second.begun() && s.second.before_first <= before;
        });
    if (earlier || later) segments_.erase(it);
  }
}

uint64_t DurableLog::FirstGrowing() const {
  // More of them never grow at once.
  int growing = 3;
  for (auto it = segments_.rbegin(); it != segments_.rend(); ++it) {
    if (it->second.begun() && --growing == 0) return it->first;
  }
  return 0;
}

void DurableLog::ReadOn(uint64_t id, Segment* segment) {
  segment->changes = segment->file->durable_changes();
  // Cut by its server, which has what is cut elsewhere; not damaged.
  const uint64_t size = segment->file->durable().size();
  while (segment->damages == segment->file->damages() &&
         !segment->frames.empty() && segment->position > size) {
    const Frame& frame = segment->frames.back();
    segment->position = frame.position;
    segment->seed = frame.seed;
    if (frame.is_entry) segment->terms.pop_back();
    segment->frames.pop_back();
    segment->lost.resize(std::min(segment->lost.size(), segment->terms.size()));
  }
  Read(id, segment);
}

void DurableLog::Read(uint64_t id, Segment* segment) {
  const SparseBytes& bytes = segment->file->durable();
  if (segment->position == 0) {
    absl::StatusOr<SegmentHeader> header =
        DecodeSegmentHeader(bytes.Read(0, kSegmentHeaderBytes).view());
    if (!header.ok()) return;
    segment->position = kSegmentHeaderBytes;
    segment->seed = FirstSeed(*header);
    segment->before_first = header->previous.index;
    segment->before_term = header->previous.term;
  }
  for (;;) {
    std::optional<LogFrameHeader> header = DecodeLogFrameHeader(
        bytes.Read(segment->position, kLogFrameHeaderBytes).view(), id,
        segment->position);
    if (!header.has_value()) return;
    const size_t size = FrameBytes(header->body_size);
    const Buffer frame = bytes.Read(segment->position, size);
    if (!ReadFrame(frame.view(), segment->position, id, segment->seed,
                   segment->position)
             .has_value()) {
      return;
    }
    const bool is_entry = header->kind == FrameKind::kEntry;
    segment->frames.push_back(
        {.position = static_cast<uint32_t>(segment->position),
         .seed = segment->seed,
         .synced_to = header->synced_to,
         .is_entry = is_entry});
    segment->position += size;
    segment->seed = header->body_crc;
    if (is_entry) segment->terms.push_back(header->term);
  }
}

void DurableLog::Inspect(uint64_t id, Segment* segment) {
  const SparseBytes& bytes = segment->file->durable();
  std::vector<Frame>& frames = segment->frames;
  if (frames.empty()) return;
  const absl::StatusOr<SegmentHeader> header =
      DecodeSegmentHeader(bytes.Read(0, kSegmentHeaderBytes).view());
  segment->has_header = header.ok() && header->id == id &&
                        header->previous.index == segment->before_first &&
                        FirstSeed(*header) == frames[0].seed;
  std::vector<bool> lost;
  bool continues = segment->has_header;
  for (size_t i = 0; i < frames.size(); ++i) {
    Frame& frame = frames[i];
    const bool last = i + 1 == frames.size();
    const uint64_t end = last ? segment->position : frames[i + 1].position;
    const uint32_t crc = last ? segment->seed : frames[i + 1].seed;
    const Buffer found = bytes.Read(frame.position, end - frame.position);
    const std::optional<LogFrameHeader> h =
        DecodeLogFrameHeader(found.view(), id, frame.position);
    frame.has_header = h.has_value() && h->body_crc == crc &&
                       h->synced_to == frame.synced_to &&
                       FrameBytes(h->body_size) == end - frame.position;
    frame.has_body =
        frame.has_header &&
        ReadFrame(found.view(), frame.position, id, frame.seed, frame.position)
            .has_value();
    if (frame.is_entry) lost.push_back(!continues || !frame.has_body);
    continues = frame.has_header;
  }
  if (std::find(lost.begin(), lost.end(), true) == lost.end()) lost.clear();
  segment->lost = std::move(lost);
}

bool HasVotedDurably(const NameTable& disk, Term term, ServerId vote) {
  bool found = false;
  for (size_t which = 0; which < 2; ++which) {
    auto it = disk.durable().find(HardStateCopyName(which));
    // One that reads as it was before is damaged like any other.
    if (it == disk.durable().end() || it->second->stale()) continue;
    const absl::StatusOr<HardStateCopy> copy = DecodeHardStateCopy(
        it->second->durable().Read(0, kHardStateBytes).view());
    if (!copy.ok()) continue;
    const HardState& state = copy->state;
    if (state.term < term) return false;
    if (state.term == term && state.vote != vote) return false;
    found = true;
  }
  return found;
}

const DurableLog::Segment* DurableLog::Find(Index index) const {
  for (auto it = segments_.rbegin(); it != segments_.rend(); ++it) {
    const Segment& segment = it->second;
    if (!segment.begun() || index <= segment.before_first) continue;
    return index <= segment.last() ? &segment : nullptr;
  }
  return nullptr;
}

bool DurableLog::Has(Index index, Term term) const {
  const Segment* segment = Find(index);
  return segment != nullptr && segment->TermAt(index) == term;
}

bool DurableLog::HasIntact(Index index, Term term) const {
  const Segment* segment = Find(index);
  if (segment == nullptr) return false;
  const uint64_t at = index - segment->before_first - 1;
  return segment->terms[at] == term && !segment->Lost(at);
}

bool DurableLog::damaged() const {
  return std::any_of(segments_.begin(), segments_.end(),
                     [](const auto& s) { return s.second.damaged(); });
}

void DurableLog::ForEachDamaged(
    const std::function<void(Index, Term)>& fn) const {
  for (const auto& [id, segment] : segments_) {
    for (uint64_t at = 0; at < segment.lost.size(); ++at) {
      const Index index = segment.before_first + at + 1;
      if (segment.Lost(at) && Find(index) == &segment) {
        fn(index, segment.terms[at]);
      }
    }
  }
}

Index DurableLog::before_first() const {
  std::optional<Index> first;
  for (const auto& [id, segment] : segments_) {
    if (!segment.begun()) continue;
    first =
        std::min(first.value_or(segment.before_first), segment.before_first);
  }
  return first.value_or(Index());
}

const DurableLog::Segment* DurableLog::Newest() const {
  for (auto it = segments_.rbegin(); it != segments_.rend(); ++it) {
    if (it->second.begun()) return &it->second;
  }
  return nullptr;
}

Index DurableLog::last() const {
  const Segment* newest = Newest();
  return newest == nullptr ? Index() : newest->last();
}

bool DurableLog::IsNewest(uint64_t id) const {
  const auto it = segments_.find(id);
  return it != segments_.end() && &it->second == Newest();
}

bool DurableLog::GoesOn(Index after, Index to) const {
  const Segment* before = nullptr;  // that has the entry before i
  for (Index i = after + 1; i <= to + 1; ++i) {
    const Segment* segment = Find(i);
    if (segment == nullptr) return i > to;
    if (before != nullptr && i == segment->before_first + 1 &&
        before->TermAt(segment->before_first) != segment->before_term) {
      return false;
    }
    before = segment;
  }
  return true;
}

DurableLog DurableLog::With(uint64_t id,
                            std::shared_ptr<const FileImage> file) const {
  DurableLog with = *this;
  auto it = with.segments_.find(id);
  CHECK(it != with.segments_.end());
  it->second.file = std::move(file);
  Inspect(id, &it->second);
  return with;
}

bool DurableLog::Shows(uint64_t id, uint64_t position) const {
  const auto it = segments_.find(id);
  if (it == segments_.end() || !it->second.begun()) return false;
  const Segment& segment = it->second;
  if (!segment.has_header &&
      std::any_of(segments_.begin(), it, [&](const auto& earlier) {
        return earlier.second.begun() &&
               earlier.second.last() > segment.before_first;
      })) {
    return false;
  }
  const auto says_synced = [](const Segment& s, uint64_t to) {
    return std::any_of(s.frames.begin(), s.frames.end(), [to](const Frame& f) {
      return f.has_header && f.position >= to && f.synced_to >= to;
    });
  };
  if (says_synced(segment, std::max(position, kSegmentHeaderBytes))) {
    return true;
  }
  return std::any_of(std::next(it), segments_.end(), [&](const auto& later) {
    const Segment& s = later.second;
    if (!s.begun()) return false;
    return (s.has_header && s.frames[0].has_body) ||
           says_synced(s, kSegmentHeaderBytes);
  });
}

size_t DurableLog::Segment::FirstMark() const {
  size_t first = frames.size();
  while (first > 0 && !frames[first - 1].is_entry) --first;
  return first;
}

bool DurableLog::ShowsEnd(uint64_t id, uint64_t position) const {
  if (!IsNewest(id)) return false;
  const Segment& segment = segments_.at(id);
  const std::vector<Frame>& frames = segment.frames;
  const size_t first = segment.FirstMark();
  if (first == 0 || first == frames.size()) return false;
  const uint64_t end = frames[first].position;
  return position >= end &&
         std::any_of(frames.begin() + static_cast<ptrdiff_t>(first),
                     frames.end(), [end](const Frame& mark) {
                       return mark.has_header && mark.synced_to >= end;
                     });
}

bool DurableLog::ShowsEndTwice(Index base) const {
  const Segment* newest = Newest();
  if (newest == nullptr || newest->terms.empty() || newest->last() <= base) {
    return true;
  }
  const auto marks =
      newest->frames.begin() + static_cast<ptrdiff_t>(newest->FirstMark());
  return std::count_if(marks, newest->frames.end(),
                       [](const Frame& mark) { return mark.has_body; }) >= 2;
}

}  // namespace holdfast
