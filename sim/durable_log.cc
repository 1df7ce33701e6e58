#include "sim/durable_log.h"

#include <optional>

#include "engine/wal/frame.h"
#include "engine/wal/hard_state_file.h"

namespace holdfast {

void DurableLog::Update(const NameTable& disk) {
  // Nobody asks for those before the last ones, of a segment each at least.
  constexpr size_t kSegmentsMax = 256;
  const uint64_t first = FirstGrowing();
  if (disk.durable_changes() != name_changes_) {
    name_changes_ = disk.durable_changes();
    UpdateNames(disk.durable(), first);
    while (segments_.size() > kSegmentsMax) segments_.erase(segments_.begin());
  }
  for (auto it = segments_.lower_bound(first); it != segments_.end(); ++it) {
    Segment& segment = it->second;
    if (segment.changes == segment.file->durable_changes()) continue;
    segment.changes = segment.file->durable_changes();
    Read(it->first, &segment);
  }
}

void DurableLog::UpdateNames(const NameTable::Files& files, uint64_t first) {
  std::erase_if(segments_, [&](const auto& segment) {
    if (segment.first < first) return false;
    auto it = files.find(SegmentName(segment.first));
    return it == files.end() || it->second != segment.second.file;
  });
  for (auto it = files.lower_bound(SegmentName(first)); it != files.end();
       ++it) {
    std::optional<uint64_t> id = ParseSegmentName(it->first);
    if (id.has_value()) segments_[*id].file = it->second;
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

void DurableLog::Read(uint64_t id, Segment* segment) {
  const SparseBytes& bytes = segment->file->durable();
  if (segment->position == 0) {
    absl::StatusOr<SegmentHeader> header =
        DecodeSegmentHeader(bytes.Read(0, kSegmentHeaderBytes).view());
    if (!header.ok()) return;
    segment->position = kSegmentHeaderBytes;
    segment->seed = FirstSeed(*header);
    segment->before_first = header->previous.index;
  }
  for (;;) {
    std::optional<LogFrameHeader> header = DecodeLogFrameHeader(
        bytes.Read(segment->position, kLogFrameHeaderBytes).view(), id);
    if (!header.has_value()) return;
    const size_t size = FrameBytes(header->body_size);
    const Buffer frame = bytes.Read(segment->position, size);
    if (!ReadFrame(frame.view(), 0, id, segment->seed).has_value()) return;
    segment->position += size;
    segment->seed = header->body_crc;
    if (header->kind == FrameKind::kEntry) {
      segment->terms.push_back(header->term);
    }
  }
}

bool HasVotedDurably(const NameTable& disk, Term term, ServerId vote) {
  bool found = false;
  for (size_t which = 0; which < 2; ++which) {
    auto it = disk.durable().find(HardStateCopyName(which));
    if (it == disk.durable().end()) continue;
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

bool DurableLog::Has(Index index, Term term) const {
  for (auto it = segments_.rbegin(); it != segments_.rend(); ++it) {
    const Segment& segment = it->second;
    if (!segment.begun() || index <= segment.before_first) continue;
    const uint64_t at = index - segment.before_first - 1;
    return at < segment.terms.size() && segment.terms[at] == term;
  }
  return false;
}

}  // namespace holdfast
