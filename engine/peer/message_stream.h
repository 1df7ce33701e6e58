#ifndef HOLDFAST_ENGINE_PEER_MESSAGE_STREAM_H_
#define HOLDFAST_ENGINE_PEER_MESSAGE_STREAM_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "engine/base/buffer.h"
#include "engine/base/inline_function.h"
#include "engine/env/loop.h"
#include "engine/env/network.h"
#include "engine/peer/message.h"

namespace google::protobuf {
class MessageLite;
}  // namespace google::protobuf

namespace holdfast {

struct MessageStreamOptions {
  // Send refuses what would make bytes_queued() exceed this (but a message
  // alone in the queue is always taken).
  size_t queue_bytes_max = 64 << 20;
  // What a received message may have, header and payload.
  size_t message_bytes_max = kMessageBytesMax;
  // How much one read may bring.
  size_t read_bytes = 256 << 10;
  // Zero: none. Otherwise a peer from which no byte comes is pinged after a
  // third of this, and given up after all of it, plus the time that a slow link
  // (256 KiB/s) takes for what was written and isn't known to have come: the
  // ping is behind that. It is pinged each 256 KiB, too.
  Duration silence_max = Duration::zero();
};

enum class MessagePriority : uint8_t {
  // Small and urgent: passes between the chunks of bulk messages and overtakes
  // them. With more than kChunkBytes of payload it is bulk.
  kControl,
  // In the order of the calls.
  kBulk,
};

// A message to be sent; refers to the caller's bytes for the call only (large
// payload Buffers are shared).
struct OutMessage {
  WireType type = WireType::kHello;
  absl::string_view header;  // the Protobuf header's bytes
  absl::Span<const Buffer> payload = {};
  MessagePriority priority = MessagePriority::kControl;
  uint64_t group = 0;
};

// Messages over a Connection, both ways. Used by whoever speaks a protocol on
// a secured stream: peer links, the service, the client. On the Loop only.
//
// Sending: what is sent while nothing is being written goes out within the
// call; what is sent meanwhile gathers and goes out as one write. Small
// payloads are copied into one buffer, large ones (16 KiB and more) shared.
// Receiving: one read brings many messages; nothing is read while receiving
// is paused, which pushes back on the peer.
//
// Alive: pings are answered here and not delivered.
//
// Callbacks may call any method, and may destroy the stream.
class MessageStream {
 public:
  struct Callbacks {
    InlineFunction<void(const MessageView&)> on_message;
    // Once, and the last one: the connection ended (UNAVAILABLE for a proper
    // end by the peer), or the peer broke the protocol (INVALID_ARGUMENT,
    // DATA_LOSS). Destroy the stream.
    InlineFunction<void(absl::Status)> on_closed;
    // Optional: bytes came, though perhaps no whole message: a sign of life.
    InlineFunction<void()> on_bytes;
    // Optional: a write completed, bytes_queued() fell.
    InlineFunction<void()> on_written;
  };

  MessageStream(Loop* loop, std::unique_ptr<Connection> connection,
                const MessageStreamOptions& options);
  // Aborts the connection; what is queued may be lost.
  ~MessageStream();

  MessageStream(const MessageStream&) = delete;
  MessageStream& operator=(const MessageStream&) = delete;

  // Starts to receive, or hands the stream over to other callbacks: messages
  // not delivered yet go to them. No callback runs inside this call.
  void Start(Callbacks callbacks);
  // Stops receiving, and drops the callbacks, until the next Start. An end of
  // the stream meanwhile is reported to the next callbacks.
  void Detach();

  // Queues the message. False, with nothing done, when the queue is full (see
  // MessageStreamOptions) or the stream is closed.
  bool Send(const OutMessage& message);
  // The same with the Protobuf header still to be encoded.
  bool Send(WireType type, const google::protobuf::MessageLite& header,
            absl::Span<const Buffer> payload = {},
            MessagePriority priority = MessagePriority::kControl);

  // Between these, sends only gather; Uncork writes them. They nest. Received
  // messages are delivered corked.
  void Cork() { ++corks_; }
  void Uncork();

  // No Send may follow; once all is written the peer is told a proper end.
  // Receiving goes on: on_closed comes when the peer has ended too.
  void FinishSending();

  // Not one message more after this returns, until Resume; within on_message
  // too.
  void PauseReading();
  void ResumeReading();

  // Bytes taken by Send whose write hasn't completed.
  size_t bytes_queued() const { return bytes_queued_; }
  bool closed() const { return closed_; }
  // The last byte from the peer.
  Instant last_received() const { return last_received_; }
  // The peer's address, for messages to people.
  std::string Describe() const { return connection_->Describe(); }
  void set_options(const MessageStreamOptions& options);

 private:
  // Encoded frames in order; may be cut into writes where a frame ends.
  struct Segment {
    Buffer bytes;
    bool frame_ends = false;
  };
  struct Queue {
    std::deque<Segment> segments;
    // Being filled behind them.
    Buffer open;
    size_t open_used = 0;
    size_t bytes = 0;  // in segments and open
  };
  // Serialises the Protobuf header into place.
  using HeaderWriter = absl::FunctionRef<void(char* to)>;
  class CallbackGuard;

  bool Enqueue(const OutMessage& message, size_t header_length,
               HeaderWriter write_header);
  void EnqueueChunks(Queue* queue, FrameHeader frame, HeaderWriter write_header,
                     absl::Span<const Buffer> body);
  void AppendFrame(Queue* queue, FrameHeader frame, HeaderWriter write_header,
                   absl::Span<const Buffer> body);
  char* Room(Queue* queue, size_t n, bool frame_starts);
  void SealOpen(Queue* queue, bool frame_ends);
  void TakeSegments(Queue* queue, size_t bytes_max, Buffers* to);
  void Pump();
  void OnWritten(absl::Status status);
  void MaybeShutDown();

  void Read();
  void OnRead(absl::StatusOr<Buffer> bytes);
  void DeliverSoon();
  void Deliver();
  void GoOnReceiving();
  bool TakePing(const MessageView& message);
  void SendPing();
  void PingBetween();
  void CheckSilenceLater();
  void CheckSilence();
  int64_t SilencesAllowed() const;
  void Close(absl::Status why);
  void ReportClosed();

  Loop* const loop_;
  MessageStreamOptions options_;
  std::shared_ptr<Callbacks> callbacks_;  // null: not started
  // False once destroyed: for whoever runs callbacks further up the stack.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  bool delivering_ = false;

  Queue control_;
  Queue bulk_;
  size_t bytes_queued_ = 0;
  size_t bytes_writing_ = 0;
  bool writing_ = false;
  int corks_ = 0;
  bool finishing_ = false;
  bool shut_down_ = false;

  MessageDecoder decoder_;
  bool reading_ = false;
  bool paused_ = false;
  bool closed_ = false;
  bool closed_reported_ = false;
  absl::Status close_reason_;
  Instant last_received_;
  bool heard_ = false;  // anything, since the last check of the silence
  Instant silence_checked_;
  int64_t pings_unanswered_ = 0;
  uint64_t bytes_written_ = 0;
  uint64_t written_then_ = 0;       // ... when silence was looked for last
  uint64_t bytes_arrived_ = 0;      // of these, as pongs tell
  std::deque<uint64_t> pinged_at_;  // bytes_written_, of pings not answered
  Timer deliver_;
  Timer silence_check_;
  std::unique_ptr<Connection> connection_;  // destroyed first
};

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_PEER_MESSAGE_STREAM_H_
