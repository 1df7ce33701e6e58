#include "engine/peer/message.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/bytes.h"
#include "engine/base/check.h"
#include "engine/base/crc32c.h"

namespace holdfast {
namespace {

constexpr size_t kCrcFrom = 8;
constexpr uint8_t kFirstChunkFlags = kFrameChunk | kFrameNotLast;

template <typename... Parts>
absl::Status Malformed(const Parts&... parts) {
  return absl::InvalidArgumentError(
      absl::StrCat("message stream: ", parts..., "; the stream is closed"));
}

FrameHeader DecodeFrameHeader(const char* from) {
  ByteReader reader(absl::string_view(from, kFrameHeaderBytes));
  FrameHeader header;
  header.length = reader.Int<uint32_t>();
  header.crc = reader.Int<uint32_t>();
  header.type = static_cast<WireType>(reader.Int<uint8_t>());
  header.flags = reader.Int<uint8_t>();
  header.header_length = reader.Int<uint16_t>();
  header.payload_length = reader.Int<uint32_t>();
  header.group = reader.Int<uint64_t>();
  return header;
}

}  // namespace

void EncodeFrameHeader(const FrameHeader& header, char* to) {
  ByteWriter writer(to, kFrameHeaderBytes);
  writer.Int<uint32_t>(header.length);
  writer.Int<uint32_t>(header.crc);
  writer.Int<uint8_t>(static_cast<uint8_t>(header.type));
  writer.Int<uint8_t>(header.flags);
  writer.Int<uint16_t>(header.header_length);
  writer.Int<uint32_t>(header.payload_length);
  writer.Int<uint64_t>(header.group);
}

uint32_t FrameHeaderCrc(const char* encoded) {
  return Crc32c(
      absl::string_view(encoded + kCrcFrom, kFrameHeaderBytes - kCrcFrom));
}

void MessageDecoder::Push(Buffer bytes) {
  CHECK_EQ(at_, input_.size());
  input_ = std::move(bytes);
  at_ = 0;
}

bool MessageDecoder::at_boundary() const {
  return bytes_left() == 0 && header_have_ == 0 && !in_body_ && !chunked_;
}

absl::StatusOr<bool> MessageDecoder::Next(MessageView* message) {
  if (!broken_.ok()) return broken_;
  current_ = Buffer();
  while (true) {
    if (!in_body_) {
      if (header_have_ < kFrameHeaderBytes && at_ == input_.size()) {
        // Lets go of the bytes while it waits for more.
        input_ = Buffer();
        at_ = 0;
        return false;
      }
      if (broken_ = TakeFrameHeader(); !broken_.ok()) return broken_;
      if (header_have_ < kFrameHeaderBytes) continue;
      in_body_ = true;
      header_have_ = 0;
      crc_ = FrameHeaderCrc(header_bytes_);
      body_left_ = frame_.length;
      if (frame_.flags == 0 && bytes_left() >= body_left_) {
        if (broken_ = DeliverInPlace(message); !broken_.ok()) return broken_;
        return true;
      }
      BeginBody();
    }
    if (body_left_ > 0 && at_ == input_.size()) {
      input_ = Buffer();
      at_ = 0;
      return false;
    }
    FillBody();
    if (body_left_ > 0) continue;
    if (broken_ = CheckCrc(); !broken_.ok()) return broken_;
    in_body_ = false;
    if (frame_.flags == 0) {
      Deliver(frame_, std::move(single_), message);
      return true;
    }
    if ((frame_.flags & kFrameNotLast) == 0) {
      chunked_ = false;
      Deliver(chunked_first_, std::move(chunks_), message);
      return true;
    }
  }
}

// Takes what there is of it; checks it once it is whole.
absl::Status MessageDecoder::TakeFrameHeader() {
  const size_t n = std::min(kFrameHeaderBytes - header_have_, bytes_left());
  if (n > 0) std::memcpy(header_bytes_ + header_have_, input_.data() + at_, n);
  header_have_ += n;
  at_ += n;
  if (header_have_ < kFrameHeaderBytes) return absl::OkStatus();
  frame_ = DecodeFrameHeader(header_bytes_);
  return CheckFrameHeader();
}

absl::Status MessageDecoder::CheckFrameHeader() const {
  const FrameHeader& f = frame_;
  if (f.flags == 0 || f.flags == kFirstChunkFlags) {
    const size_t message_bytes = size_t{f.header_length} + f.payload_length;
    if (message_bytes > message_bytes_max_) {
      return Malformed("a message of ", message_bytes,
                       " bytes is announced, the limit is ",
                       message_bytes_max_);
    }
    if (f.length < f.header_length) {
      return Malformed("a frame of ", f.length,
                       " bytes can't hold a header of ", f.header_length);
    }
  }
  const size_t part = f.length - f.header_length;
  switch (f.flags) {
    case 0:
      if (part != f.payload_length || part > kChunkBytes) {
        return Malformed("a frame of ", f.length,
                         " bytes can't be a message with a header of ",
                         f.header_length, " and a payload of ",
                         f.payload_length);
      }
      return absl::OkStatus();
    case kFirstChunkFlags:
      if (chunked_) {
        return Malformed("a message in chunks starts within another one");
      }
      if (part == 0 || part > kChunkBytes || part >= f.payload_length) {
        return Malformed("a first chunk has ", part, " bytes of a payload of ",
                         f.payload_length);
      }
      return absl::OkStatus();
    case kFrameChunk | kFrameNotFirst | kFrameNotLast:
    case kFrameChunk | kFrameNotFirst:
      return CheckLaterChunk();
    default:
      return Malformed("flags ", f.flags,
                       " are unknown: this isn't Holdfast's protocol");
  }
}

absl::Status MessageDecoder::CheckLaterChunk() const {
  const FrameHeader& f = frame_;
  if (!chunked_) return Malformed("a later chunk comes without a first one");
  const FrameHeader& first = chunked_first_;
  if (f.type != first.type || f.group != first.group ||
      f.payload_length != first.payload_length || f.header_length != 0) {
    return Malformed("a chunk doesn't belong to the message it follows");
  }
  const size_t missing = chunks_.size() - chunks_have_;
  const bool last = (f.flags & kFrameNotLast) == 0;
  if (f.length == 0 || f.length > kChunkBytes || f.length > missing ||
      (f.length == missing) != last) {
    return Malformed("a chunk has ", f.length, " bytes where ", missing,
                     " are missing");
  }
  return absl::OkStatus();
}

// The whole body is there in one piece: nothing is copied.
absl::Status MessageDecoder::DeliverInPlace(MessageView* message) {
  const absl::string_view body = input_.view().substr(at_, frame_.length);
  crc_ = ExtendCrc32c(crc_, body);
  if (absl::Status crc = CheckCrc(); !crc.ok()) return crc;
  message->type = frame_.type;
  message->group = frame_.group;
  message->header = body.substr(0, frame_.header_length);
  message->payload =
      frame_.payload_length == 0
          ? Buffer()
          : input_.Slice(at_ + frame_.header_length, frame_.payload_length);
  at_ += frame_.length;
  in_body_ = false;
  return absl::OkStatus();
}

// CheckFrameHeader has bounded what is allocated here.
void MessageDecoder::BeginBody() {
  if (frame_.flags == 0) {
    single_ = Buffer::Uninitialized(frame_.length);
    single_have_ = 0;
  } else if (frame_.flags == kFirstChunkFlags) {
    chunked_ = true;
    chunked_first_ = frame_;
    chunks_ = Buffer::Uninitialized(size_t{frame_.header_length} +
                                    frame_.payload_length);
    chunks_have_ = 0;
  }
}

void MessageDecoder::FillBody() {
  const size_t n = std::min(body_left_, bytes_left());
  if (n == 0) return;
  Buffer* to = frame_.flags == 0 ? &single_ : &chunks_;
  size_t* have = frame_.flags == 0 ? &single_have_ : &chunks_have_;
  const absl::string_view bytes = input_.view().substr(at_, n);
  std::memcpy(to->data_mutable() + *have, bytes.data(), n);
  crc_ = ExtendCrc32c(crc_, bytes);
  *have += n;
  at_ += n;
  body_left_ -= n;
}

void MessageDecoder::Deliver(const FrameHeader& first, Buffer assembled,
                             MessageView* message) {
  current_ = std::move(assembled);
  message->type = first.type;
  message->group = first.group;
  message->header = current_.view().substr(0, first.header_length);
  message->payload =
      first.payload_length == 0
          ? Buffer()
          : current_.Slice(first.header_length, first.payload_length);
}

absl::Status MessageDecoder::CheckCrc() const {
  if (crc_ == frame_.crc) return absl::OkStatus();
  return absl::DataLossError(
      absl::StrCat("message stream: a frame's checksum is ",
                   absl::Hex(frame_.crc, absl::kZeroPad8), ", its bytes give ",
                   absl::Hex(crc_, absl::kZeroPad8), "; the stream is closed"));
}

}  // namespace holdfast
