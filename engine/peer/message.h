#ifndef HOLDFAST_ENGINE_PEER_MESSAGE_H_
#define HOLDFAST_ENGINE_PEER_MESSAGE_H_

#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/base/buffer.h"

namespace holdfast {

// How messages lie in a stream. A message is a type, the id of the log it is
// about, a Protobuf header for control fields, and a raw payload. It travels
// as one frame, or, if large, as several (its chunks), so that small messages
// pass between the chunks of a large one. A frame, little-endian:
//
//    0  length          u32  bytes behind these 24
//    4  crc             u32  CRC32C of the frame's bytes from 8 on, as sent
//    8  type            u8   WireType
//    9  flags           u8   1: a chunk; 2: not its message's first;
//                            4: not its message's last
//   10  header_length   u16  of the Protobuf header; 0 in a later chunk
//   12  payload_length  u32  of the whole message, in each of its chunks
//   16  group           u64  the log's id; 0 so far
//   24  the Protobuf header, then the payload (or the chunk's part of it)
//
// All chunks of one message follow in order, with nothing between them but
// whole messages of one frame.
inline constexpr size_t kFrameHeaderBytes = 24;
// The largest part of a payload in one frame.
inline constexpr size_t kChunkBytes = 128 << 10;
// The largest Protobuf header.
inline constexpr size_t kMessageHeaderBytesMax = 0xffff;
// The largest message, Protobuf header and payload.
inline constexpr size_t kMessageBytesMax = 20 << 20;

// What a message is. The numbers are on the wire; 0 is none.
enum class WireType : uint8_t {
  // engine/peer/peer.proto
  kHello = 1,
  kRefusal = 2,
  // Answered by, and nothing but signs of life (message_stream.h); empty.
  kPing = 3,
  kPong = 4,
  // engine/node/raft.proto, with its entries as the payload
  kRaft = 16,
  kCheckpointChunk = 17,
  kCheckpointAnswer = 18,
  kReadIndexQuestion = 19,
  kReadIndexAnswer = 20,
  kRepairQuestion = 21,
  kRepairAnswer = 22,
  // engine/peer/client.proto: requests,
  kRegisterSession = 32,
  kAppend = 33,
  kRead = 34,
  kTail = 35,
  kTailCredit = 36,
  kStopTail = 37,
  kStatus = 38,
  kJoin = 39,
  kLeave = 40,
  kTransfer = 41,
  kTrim = 42,
  // and what comes back.
  kRegisterSessionAnswer = 64,
  kAppendAnswer = 65,
  kReadAnswer = 66,
  kTailData = 67,
  kTailEnd = 68,
  kStatusAnswer = 69,
  kRequestRefused = 70,
  kAdminAnswer = 71,
};

// A received message.
struct MessageView {
  WireType type = WireType::kHello;
  uint64_t group = 0;
  // The Protobuf header's bytes: only until the callback returns, or the next
  // call of MessageDecoder.
  absl::string_view header;
  // Shares the received bytes when they came in one piece.
  Buffer payload;
};

// A frame's header. Its `crc` is FrameHeaderCrc of the encoded header, extended
// by the frame's body.
struct FrameHeader {
  uint32_t length = 0;
  uint32_t crc = 0;
  WireType type = WireType::kHello;
  uint8_t flags = 0;
  uint16_t header_length = 0;
  uint32_t payload_length = 0;
  uint64_t group = 0;
};
inline constexpr uint8_t kFrameChunk = 1;
inline constexpr uint8_t kFrameNotFirst = 2;
inline constexpr uint8_t kFrameNotLast = 4;

void EncodeFrameHeader(const FrameHeader& header, char* to);
// The checksum of an encoded header's own bytes, to go on with the body's.
uint32_t FrameHeaderCrc(const char* encoded);

// Turns received bytes into messages. Pure: no I/O, no callbacks. Bounds
// every length before it allocates, and keeps at most one partly received
// message of one frame and one in chunks.
//
//   decoder.Push(bytes);
//   while (true) {
//     absl::StatusOr<bool> got = decoder.Next(&message);
//     if (!got.ok()) ...     // the stream is broken; every call says so
//     if (!*got) break;      // Push more
//     Use(message);
//   }
class MessageDecoder {
 public:
  explicit MessageDecoder(size_t message_bytes_max = kMessageBytesMax)
      : message_bytes_max_(message_bytes_max) {}

  // For the messages that start from here on.
  void set_message_bytes_max(size_t n) { message_bytes_max_ = n; }

  // More bytes. The ones before must be used up: Next returned false.
  void Push(Buffer bytes);

  // True: `message` is the next one, its header valid until the next call.
  // False: all bytes are used up. INVALID_ARGUMENT: not this protocol, or too
  // large; DATA_LOSS: a checksum doesn't match.
  absl::StatusOr<bool> Next(MessageView* message);

  // Bytes pushed and not used up.
  size_t bytes_left() const { return input_.size() - at_; }
  // Whether the stream may end here: nothing is partly received.
  bool at_boundary() const;

 private:
  absl::Status TakeFrameHeader();
  absl::Status CheckFrameHeader() const;
  absl::Status CheckLaterChunk() const;
  absl::Status DeliverInPlace(MessageView* message);
  void BeginBody();
  void FillBody();
  void Deliver(const FrameHeader& first, Buffer assembled,
               MessageView* message);
  absl::Status CheckCrc() const;

  size_t message_bytes_max_;
  absl::Status broken_;

  Buffer input_;
  size_t at_ = 0;  // of input_

  // The frame being received.
  char header_bytes_[kFrameHeaderBytes];
  size_t header_have_ = 0;
  bool in_body_ = false;
  FrameHeader frame_;
  uint32_t crc_ = 0;
  size_t body_left_ = 0;

  // A message of one frame that came in pieces.
  Buffer single_;
  size_t single_have_ = 0;
  // The message that comes in chunks: header, then payload.
  bool chunked_ = false;
  FrameHeader chunked_first_;
  Buffer chunks_;
  size_t chunks_have_ = 0;

  // What the last message's header points into.
  Buffer current_;
};

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_PEER_MESSAGE_H_
