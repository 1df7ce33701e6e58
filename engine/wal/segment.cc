#include "engine/wal/segment.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "engine/base/bytes.h"
#include "engine/base/check.h"
#include "engine/base/crc32c.h"
#include "engine/base/random.h"

namespace holdfast {
namespace {

constexpr uint64_t kSegmentMagic = 0x31746d6765536648;  // "HfSegmt1"
constexpr uint32_t kSegmentVersion = 2;
constexpr absl::string_view kNameSuffix = ".segment";
constexpr size_t kNameDigits = 16;
// A larger payload is written from where it lies, a smaller one is copied.
constexpr size_t kShareBytesMin = 16 << 10;

}  // namespace

std::string SegmentName(uint64_t id) {
  return absl::StrFormat("%016x.segment", id);
}

std::optional<uint64_t> ParseSegmentName(absl::string_view name) {
  if (name.size() != kNameDigits + kNameSuffix.size() ||
      name.substr(kNameDigits) != kNameSuffix) {
    return std::nullopt;
  }
  uint64_t id = 0;
  for (char c : name.substr(0, kNameDigits)) {
    uint64_t digit;
    if (c >= '0' && c <= '9') {
      digit = static_cast<uint64_t>(c - '0');
    } else if (c >= 'a' && c <= 'f') {
      digit = static_cast<uint64_t>(c - 'a') + 10;
    } else {
      return std::nullopt;
    }
    id = id << 4 | digit;
  }
  return id;
}

Buffer EncodeSegmentHeader(const SegmentHeader& header) {
  Buffer block = Buffer::Zeroes(kSegmentHeaderBytes);
  ByteWriter w(block.data_mutable(), block.size());
  w.Int<uint64_t>(kSegmentMagic);
  w.Int<uint32_t>(kSegmentVersion);
  w.Int<uint32_t>(0);
  w.Int<uint64_t>(header.owner.value());
  w.Int<uint64_t>(header.id);
  w.Int<uint64_t>(header.first_index().value());
  w.Int<uint64_t>(header.previous.term.value());
  w.Int<uint64_t>(header.previous.next_offset.value());
  w.Int<int64_t>(header.previous.log_time.time_since_epoch().count());
  w.Int<uint64_t>(header.previous.chain);
  StoreInt<uint32_t>(block.data_mutable() + kSegmentHeaderBytes - 4,
                     Crc32c(block.view().substr(0, kSegmentHeaderBytes - 4)));
  return block;
}

absl::StatusOr<SegmentHeader> DecodeSegmentHeader(absl::string_view block) {
  if (std::all_of(block.begin(), block.end(), [](char c) { return c == 0; })) {
    return absl::NotFoundError("the segment was never begun");
  }
  if (block.size() < kSegmentHeaderBytes ||
      Crc32c(block.substr(0, kSegmentHeaderBytes - 4)) !=
          LoadInt<uint32_t>(block.data() + kSegmentHeaderBytes - 4)) {
    return absl::DataLossError("the segment's header is damaged");
  }
  ByteReader r(block);
  if (r.Int<uint64_t>() != kSegmentMagic) {
    return absl::DataLossError("the file is not a segment");
  }
  if (uint32_t version = r.Int<uint32_t>(); version != kSegmentVersion) {
    return absl::FailedPreconditionError(
        absl::StrCat("expected format version ", kSegmentVersion, ", found ",
                     version, "; it was written by another release"));
  }
  r.Int<uint32_t>();
  SegmentHeader h;
  h.owner = Incarnation(r.Int<uint64_t>());
  h.id = r.Int<uint64_t>();
  h.previous.index = Index(r.Int<uint64_t>()) - 1;
  h.previous.term = Term(r.Int<uint64_t>());
  h.previous.next_offset = Offset(r.Int<uint64_t>());
  h.previous.log_time = WallTime(Duration(r.Int<int64_t>()));
  h.previous.chain = r.Int<uint64_t>();
  return h;
}

uint32_t FirstSeed(const SegmentHeader& header) {
  return static_cast<uint32_t>(HashCombine(
      HashCombine(header.owner.value(), header.id), header.previous.chain));
}

FrameWriter::FrameWriter(const SegmentHeader& header)
    : segment_(header.id),
      seed_(FirstSeed(header)),
      last_index_(header.previous.index),
      last_term_(header.previous.term) {}

void FrameWriter::AppendEntry(const Entry& entry, uint64_t synced_to,
                              Index commit, Buffers* out) {
  CHECK(entry.header.index == last_index_ + 1);
  CHECK_EQ(entry.payload.size(), size_t{entry.header.payload_size});
  LogFrameHeader header;
  header.kind = FrameKind::kEntry;
  header.index = entry.header.index;
  header.term = entry.header.term;
  header.prev_term = last_term_;
  header.commit = commit;
  header.synced_to = static_cast<uint32_t>(synced_to);
  char head[kEntryHeaderBytes];
  EncodeEntryHeader(entry.header, head);
  last_index_ = header.index;
  if (runs_.empty() || runs_.back().term != header.term) {
    runs_.push_back(TermRun{header.index, header.term});
  }
  AppendFrame(header, absl::string_view(head, sizeof(head)), entry.payload,
              out);
  last_term_ = header.term;
}

void FrameWriter::AppendMark(uint64_t synced_to, Index commit, Buffers* out) {
  AppendMark(synced_to, commit, EncodeTermRuns(runs_), out);
}

void FrameWriter::AppendRestingMarks(uint64_t synced_to, Index commit,
                                     Buffers* out) {
  std::string body = EncodeTermRuns(runs_);
  uint64_t end = position_ + FrameBytes(body.size());
  uint64_t gap = (kBlockBytes - end % kBlockBytes) % kBlockBytes;
  std::string padded = body;
  padded.resize(FrameBytes(body.size()) - kLogFrameHeaderBytes + gap);
  AppendMark(synced_to, commit, std::move(padded), out);
  AppendMark(synced_to, commit, std::move(body), out);
}

void FrameWriter::AppendMark(uint64_t synced_to, Index commit, std::string body,
                             Buffers* out) {
  LogFrameHeader header;
  header.kind = FrameKind::kMark;
  header.index = last_index_;
  header.term = last_term_;
  header.prev_term = last_term_;
  header.commit = commit;
  header.synced_to = static_cast<uint32_t>(synced_to);
  AppendFrame(header, body, Buffer(), out);
}

void FrameWriter::AppendFrame(LogFrameHeader header, absl::string_view head,
                              const Buffer& tail, Buffers* out) {
  header.segment = segment_;
  header.body_size = static_cast<uint32_t>(head.size() + tail.size());
  header.body_crc = tail.ExtendCrc(ExtendCrc32c(seed_, head));
  size_t total = FrameBytes(header.body_size);
  size_t padding = total - kLogFrameHeaderBytes - header.body_size;
  bool share = tail.size() >= kShareBytesMin;
  size_t copied = kLogFrameHeaderBytes + head.size();
  if (!share) copied += tail.size() + padding;
  Buffer bytes = Buffer::Uninitialized(copied);
  char* to = bytes.data_mutable();
  EncodeLogFrameHeader(header, position_, to);
  ByteWriter w(to + kLogFrameHeaderBytes, copied - kLogFrameHeaderBytes);
  w.Bytes(head);
  if (!share) {
    w.Bytes(tail.view());
    std::memset(w.at(), 0, padding);
  }
  out->push_back(std::move(bytes));
  if (share) {
    out->push_back(tail);
    if (padding > 0) out->push_back(Buffer::Zeroes(padding));
  }
  position_ += total;
  seed_ = header.body_crc;
}

std::optional<FoundFrame> ReadFrame(absl::string_view bytes, uint64_t position,
                                    uint64_t segment, uint32_t seed,
                                    uint64_t bytes_at) {
  if (position - bytes_at > bytes.size()) return std::nullopt;
  absl::string_view rest = bytes.substr(position - bytes_at);
  std::optional<LogFrameHeader> header =
      DecodeLogFrameHeader(rest, segment, position);
  if (!header.has_value()) return std::nullopt;
  if (rest.size() - kLogFrameHeaderBytes < header->body_size)
    return std::nullopt;
  absl::string_view body = rest.substr(kLogFrameHeaderBytes, header->body_size);
  if (ExtendCrc32c(seed, body) != header->body_crc) return std::nullopt;
  return FoundFrame{position, seed, *header};
}

SegmentScan ScanSegment(absl::string_view bytes, const SegmentHeader& header) {
  SegmentScan scan;
  uint32_t seed = FirstSeed(header);
  while (std::optional<FoundFrame> frame =
             ReadFrame(bytes, scan.end, header.id, seed)) {
    scan.frames.push_back(*frame);
    scan.end = frame->end();
    seed = frame->header.body_crc;
    scan.marked_to =
        std::max<uint64_t>(scan.marked_to, frame->header.synced_to);
    scan.commit = std::max(scan.commit, frame->header.commit);
    scan.seen = std::max(scan.seen, frame->header.index);
  }
  // Behind the first frame that isn't intact: only headers count, for what
  // they say of the bytes before them.
  FoundHeaders behind;
  scan.marked_to = std::max(scan.marked_to,
                            FindMarkedTo(bytes, scan.end, header.id, &behind));
  scan.frames_behind_damage = behind.count;
  scan.seen = std::max(scan.seen, behind.seen);
  scan.marks_end = behind.marks_end;
  return scan;
}

std::optional<FoundFrame> NextFrameHeader(absl::string_view bytes, uint64_t at,
                                          uint64_t segment) {
  for (; at + kLogFrameHeaderBytes <= bytes.size(); at += kFrameAlignment) {
    std::optional<LogFrameHeader> header =
        DecodeLogFrameHeader(bytes.substr(at), segment, at);
    if (header.has_value() && header->synced_to <= at) {
      return FoundFrame{at, 0, *header};
    }
  }
  return std::nullopt;
}

uint64_t FindMarkedTo(absl::string_view bytes, uint64_t at, uint64_t segment,
                      FoundHeaders* found) {
  uint64_t marked_to = 0;
  while (std::optional<FoundFrame> frame =
             NextFrameHeader(bytes, at, segment)) {
    marked_to = std::max<uint64_t>(marked_to, frame->header.synced_to);
    at = frame->end();
    if (found == nullptr) continue;
    ++found->count;
    found->seen = std::max(found->seen, frame->header.index);
    if (frame->header.kind == FrameKind::kMark) found->marks_end = at;
  }
  return marked_to;
}

void LogSegment::Note(const EntryHeader& header, uint64_t position,
                      uint32_t seed) {
  CHECK(header.index == last_ + 1);
  last_ = header.index;
  AddSample(Sample{header.index, header.base_offset, position, seed});
}

void LogSegment::AddSample(const Sample& sample) {
  if (sample.position >= samples_.back().position + kBytesPerSample) {
    samples_.push_back(sample);
  }
}

void LogSegment::CutTo(Index last) {
  CHECK_LE(first(), last);
  last_ = last;
  while (samples_.back().index > last) samples_.pop_back();
}

const LogSegment::Sample& LogSegment::Floor(Index index) const {
  auto after =
      std::upper_bound(samples_.begin(), samples_.end(), index,
                       [](Index i, const Sample& s) { return i < s.index; });
  CHECK(after != samples_.begin());
  return *std::prev(after);
}

const LogSegment::Sample& LogSegment::Floor(Offset offset) const {
  // An entry without records shares the next one's offset; it stands before
  // that one, so the last sample at or below `offset` is never too late.
  auto after =
      std::upper_bound(samples_.begin(), samples_.end(), offset,
                       [](Offset o, const Sample& s) { return o < s.offset; });
  CHECK(after != samples_.begin());
  return *std::prev(after);
}

}  // namespace holdfast
