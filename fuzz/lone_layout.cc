#include "fuzz/lone_layout.h"

#include <algorithm>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/base/buffer.h"
#include "engine/base/check.h"
#include "engine/wal/checkpoint_file.h"
#include "engine/wal/entry.h"
#include "engine/wal/frame.h"
#include "engine/wal/segment.h"
#include "fuzz/lone_directory.h"

namespace holdfast {
namespace {

// These bytes of the file are what they were.
bool IsSame(const DiskFiles& files, const std::string& name, uint64_t from,
            uint64_t to) {
  const auto it = files.find(name);
  if (it == files.end() || it->second.size() < to) return false;
  const absl::string_view was = TheLoneDirectory().files().at(name);
  return absl::string_view(it->second).substr(from, to - from) ==
         was.substr(from, to - from);
}

bool IsCheckpointOrResume(const std::string& name) {
  return ParseCheckpointName(CheckpointKind::kBase, name).has_value() ||
         ParseCheckpointName(CheckpointKind::kResume, name).has_value();
}

}  // namespace

LoneLayout::LoneLayout() {
  const LoneDirectory& built = TheLoneDirectory();
  // Names rise with the segments' ids.
  for (const auto& [name, bytes] : built.files()) {
    if (!ParseSegmentName(name).has_value() || name == built.spare()) continue;
    const absl::StatusOr<SegmentHeader> header = DecodeSegmentHeader(
        absl::string_view(bytes).substr(0, kSegmentHeaderBytes));
    CHECK(header.ok());
    Segment segment{
        .name = name, .begins_at = header->previous.next_offset, .frames = {}};
    const Buffer all = Buffer::Copy(bytes);
    for (const FoundFrame& found : ScanSegment(bytes, *header).frames) {
      Frame frame{.position = found.position,
                  .end = found.end(),
                  .synced_to = found.header.synced_to,
                  .is_entry = found.header.kind == FrameKind::kEntry,
                  .first = {},
                  .next = {}};
      if (frame.is_entry) {
        const absl::StatusOr<Entry> entry = DecodeEntry(all.Slice(
            found.position + kLogFrameHeaderBytes, found.header.body_size));
        CHECK(entry.ok());
        frame.first = entry->header.base_offset;
        frame.next = entry->header.base_offset + entry->header.count;
      }
      segment.frames.push_back(frame);
    }
    segments_.push_back(std::move(segment));
  }
}

Offset LoneLayout::ShownEnd(const DiskFiles& files) const {
  Offset shown;
  for (const auto& [name, bytes] : TheLoneDirectory().files()) {
    const auto it = files.find(name);
    if (!IsCheckpointOrResume(name) || it == files.end() ||
        it->second != bytes) {
      continue;
    }
    const absl::StatusOr<Checkpoint> point =
        DecodeCheckpoint(Buffer::Copy(bytes));
    CHECK(point.ok());
    shown = std::max(shown, point->point.next_offset);
  }
  for (const Segment& segment : segments_) {
    if (IsSame(files, segment.name, 0, kSegmentHeaderBytes)) {
      shown = std::max(shown, segment.begins_at);
    }
    uint64_t synced_to = 0;
    for (const Frame& f : segment.frames) {
      if (IsSame(files, segment.name, f.position,
                 f.position + kLogFrameHeaderBytes)) {
        synced_to = std::max(synced_to, f.synced_to);
      }
    }
    for (const Frame& f : segment.frames) {
      if (f.is_entry && f.end <= synced_to) shown = std::max(shown, f.next);
    }
  }
  return shown;
}

bool LoneLayout::MayBeLost(const DiskFiles& files, Offset record) const {
  bool found = false;  // it is the last record that was seen
  bool before_damaged = false;
  for (const Segment& segment : segments_) {
    const bool header_damaged =
        !IsSame(files, segment.name, 0, kSegmentHeaderBytes);
    if (found) return header_damaged;
    for (const Frame& f : segment.frames) {
      const bool damaged = !IsSame(files, segment.name, f.position, f.end);
      if (!f.is_entry) {
        before_damaged |= damaged;
        continue;
      }
      if (found) return false;
      if (f.first <= record && record < f.next) {
        if (damaged || before_damaged || header_damaged) return true;
        found = true;
      }
      before_damaged = damaged;
    }
  }
  return false;
}

}  // namespace holdfast
