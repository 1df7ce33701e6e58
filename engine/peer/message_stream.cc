#include "engine/peer/message_stream.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/bytes.h"
#include "engine/base/check.h"
#include "engine/base/crc32c.h"
#include "google/protobuf/message_lite.h"

namespace holdfast {
namespace {

// From here on a payload is shared, below it is copied behind its header: one
// long piece costs the layers below less than many short ones.
constexpr size_t kShareBytes = 16 << 10;
// What gathers goes into buffers of this size.
constexpr size_t kGatherBytes = 16 << 10;
// Of bulk in one write. Control messages wait for no more than that.
constexpr size_t kBulkWriteBytes = 2 * kChunkBytes;
// A received buffer that is mostly empty is copied, so that a small message
// kept for long doesn't pin a large buffer.
constexpr size_t kPinnedSlackBytes = 4096;
// A link no slower than this isn't taken for a dead one.
constexpr int64_t kSlowLinkBytesPerSecond = 256 << 10;

}  // namespace

// Lives on the stack while callbacks run: keeps them alive, and knows whether
// one of them destroyed the stream.
class MessageStream::CallbackGuard {
 public:
  explicit CallbackGuard(const MessageStream* stream)
      : alive_(stream->alive_), run_(stream->callbacks_) {}

  bool destroyed() const { return !*alive_; }
  // Null when the stream has none.
  Callbacks* callbacks() const { return run_.get(); }

 private:
  const std::shared_ptr<const bool> alive_;
  const std::shared_ptr<Callbacks> run_;
};

MessageStream::MessageStream(Loop* loop, std::unique_ptr<Connection> connection,
                             const MessageStreamOptions& options)
    : loop_(loop),
      options_(options),
      decoder_(options.message_bytes_max),
      last_received_(loop->Now()),
      connection_(std::move(connection)) {}

MessageStream::~MessageStream() { *alive_ = false; }

void MessageStream::set_options(const MessageStreamOptions& options) {
  options_ = options;
  decoder_.set_message_bytes_max(options.message_bytes_max);
}

// --- Sending

bool MessageStream::Send(const OutMessage& message) {
  return Enqueue(message, message.header.size(), [&message](char* to) {
    if (!message.header.empty()) {
      std::memcpy(to, message.header.data(), message.header.size());
    }
  });
}

bool MessageStream::Send(WireType type,
                         const google::protobuf::MessageLite& header,
                         absl::Span<const Buffer> payload,
                         MessagePriority priority) {
  OutMessage message;
  message.type = type;
  message.payload = payload;
  message.priority = priority;
  // ByteSizeLong also leaves the sizes that the serialisation needs.
  return Enqueue(message, header.ByteSizeLong(), [&header](char* to) {
    header.SerializeWithCachedSizesToArray(reinterpret_cast<uint8_t*>(to));
  });
}

bool MessageStream::Enqueue(const OutMessage& message, size_t header_length,
                            HeaderWriter write_header) {
  if (closed_ || finishing_) return false;
  size_t payload_length = 0;
  for (const Buffer& b : message.payload) payload_length += b.size();
  CHECK_LE(header_length, kMessageHeaderBytesMax);
  CHECK_LE(header_length + payload_length, kMessageBytesMax);
  const size_t about = kFrameHeaderBytes + header_length + payload_length;
  if (bytes_queued_ > 0 && bytes_queued_ + about > options_.queue_bytes_max) {
    return false;
  }
  FrameHeader frame;
  frame.type = message.type;
  frame.header_length = static_cast<uint16_t>(header_length);
  frame.payload_length = static_cast<uint32_t>(payload_length);
  frame.group = message.group;
  const size_t before = control_.bytes + bulk_.bytes;
  if (payload_length > kChunkBytes) {
    EnqueueChunks(&bulk_, frame, write_header, message.payload);
  } else {
    Queue* queue =
        message.priority == MessagePriority::kControl ? &control_ : &bulk_;
    frame.length = static_cast<uint32_t>(header_length + payload_length);
    AppendFrame(queue, frame, write_header, message.payload);
  }
  bytes_queued_ += control_.bytes + bulk_.bytes - before;
  Pump();
  return true;
}

void MessageStream::EnqueueChunks(Queue* queue, FrameHeader frame,
                                  HeaderWriter write_header,
                                  absl::Span<const Buffer> body) {
  size_t left = frame.payload_length;
  size_t piece = 0;     // of body
  size_t piece_at = 0;  // in it
  bool first = true;
  Buffers part;
  while (left > 0) {
    part.clear();
    const size_t part_bytes = std::min(left, kChunkBytes);
    for (size_t n = part_bytes; n > 0;) {
      const Buffer& from = body[piece];
      const size_t take = std::min(n, from.size() - piece_at);
      if (take > 0) part.push_back(from.Slice(piece_at, take));
      n -= take;
      piece_at += take;
      if (piece_at == from.size()) {
        ++piece;
        piece_at = 0;
      }
    }
    left -= part_bytes;
    frame.flags = kFrameChunk | (first ? 0 : kFrameNotFirst) |
                  (left > 0 ? kFrameNotLast : 0);
    if (!first) frame.header_length = 0;
    frame.length = static_cast<uint32_t>(frame.header_length + part_bytes);
    AppendFrame(queue, frame, write_header, part);
    first = false;
  }
}

void MessageStream::AppendFrame(Queue* queue, FrameHeader frame,
                                HeaderWriter write_header,
                                absl::Span<const Buffer> body) {
  const size_t front = kFrameHeaderBytes + frame.header_length;
  // One piece of memory for all that is copied, if nothing is shared.
  size_t copied = 0;
  bool shares = false;
  for (const Buffer& piece : body) {
    shares = shares || piece.size() >= kShareBytes;
    copied += piece.size();
  }
  char* to = Room(queue, shares ? front : front + copied, true);
  EncodeFrameHeader(frame, to);
  if (frame.header_length > 0) write_header(to + kFrameHeaderBytes);
  uint32_t crc = FrameHeaderCrc(to);
  crc = ExtendCrc32c(
      crc, absl::string_view(to + kFrameHeaderBytes, frame.header_length));
  for (const Buffer& piece : body) crc = piece.ExtendCrc(crc);
  frame.crc = crc;
  EncodeFrameHeader(frame, to);
  queue->open_used += front;
  queue->bytes += front;
  for (const Buffer& piece : body) {
    if (piece.empty()) continue;
    queue->bytes += piece.size();
    if (piece.size() >= kShareBytes) {
      SealOpen(queue, false);
      queue->segments.push_back(Segment{.bytes = piece, .frame_ends = false});
    } else {
      std::memcpy(Room(queue, piece.size(), false), piece.data(), piece.size());
      queue->open_used += piece.size();
    }
  }
  if (queue->open_used == 0) queue->segments.back().frame_ends = true;
}

// n bytes behind all that is queued; the caller adds what it uses of them to
// open_used.
char* MessageStream::Room(Queue* queue, size_t n, bool frame_starts) {
  if (queue->open.size() - queue->open_used < n) {
    SealOpen(queue, frame_starts);
    const bool gathers = writing_ || corks_ > 0;
    queue->open =
        Buffer::Uninitialized(gathers ? std::max(n, kGatherBytes) : n);
  }
  return queue->open.data_mutable() + queue->open_used;
}

void MessageStream::SealOpen(Queue* queue, bool frame_ends) {
  if (queue->open_used > 0) {
    queue->segments.push_back(
        Segment{.bytes = queue->open.Slice(0, queue->open_used),
                .frame_ends = frame_ends});
  }
  queue->open = Buffer();
  queue->open_used = 0;
}

void MessageStream::TakeSegments(Queue* queue, size_t bytes_max, Buffers* to) {
  SealOpen(queue, true);
  size_t taken = 0;
  while (!queue->segments.empty() && taken < bytes_max) {
    bool frame_ends = false;
    while (!frame_ends) {
      Segment& segment = queue->segments.front();
      frame_ends = segment.frame_ends;
      taken += segment.bytes.size();
      to->push_back(std::move(segment.bytes));
      queue->segments.pop_front();
    }
  }
  queue->bytes -= taken;
}

void MessageStream::Uncork() {
  CHECK_GT(corks_, 0);
  if (--corks_ == 0) Pump();
}

void MessageStream::Pump() {
  if (writing_ || corks_ > 0 || closed_ || shut_down_) return;
  Buffers data;
  if (control_.bytes > 0) TakeSegments(&control_, control_.bytes, &data);
  if (bulk_.bytes > 0) TakeSegments(&bulk_, kBulkWriteBytes, &data);
  if (data.empty()) {
    MaybeShutDown();
    return;
  }
  writing_ = true;
  bytes_writing_ = TotalSize(data);
  bytes_written_ += bytes_writing_;
  PingBetween();
  connection_->Write(std::move(data), [this](absl::Status status) {
    OnWritten(std::move(status));
  });
}

void MessageStream::OnWritten(absl::Status status) {
  if (closed_) return;
  writing_ = false;
  bytes_queued_ -= bytes_writing_;
  bytes_writing_ = 0;
  if (!status.ok()) {
    Close(std::move(status));
    ReportClosed();
    return;
  }
  CallbackGuard guard(this);
  if (guard.callbacks() != nullptr && guard.callbacks()->on_written) {
    // What it sends goes out together with what has gathered.
    Cork();
    guard.callbacks()->on_written();
    if (guard.destroyed()) return;
    Uncork();
  } else {
    Pump();
  }
}

void MessageStream::FinishSending() {
  finishing_ = true;
  Pump();
}

void MessageStream::MaybeShutDown() {
  if (!finishing_) return;
  shut_down_ = true;
  // If it fails, so does the read that is under way.
  connection_->Shutdown([](const absl::Status&) {});
}

// --- Receiving

void MessageStream::Start(Callbacks callbacks) {
  callbacks_ = std::make_shared<Callbacks>(std::move(callbacks));
  paused_ = false;
  CheckSilenceLater();
  GoOnReceiving();
}

void MessageStream::Detach() {
  callbacks_ = nullptr;
  deliver_.Cancel();
  silence_check_.Cancel();
}

void MessageStream::PauseReading() { paused_ = true; }

void MessageStream::ResumeReading() {
  if (!std::exchange(paused_, false)) return;
  GoOnReceiving();
}

void MessageStream::GoOnReceiving() {
  // Deliver goes on by itself.
  if (callbacks_ == nullptr || delivering_) return;
  if (closed_) {
    if (!closed_reported_) DeliverSoon();
  } else if (!paused_) {
    if (decoder_.bytes_left() > 0) {
      DeliverSoon();
    } else if (!reading_) {
      Read();
    }
  }
}

void MessageStream::Read() {
  reading_ = true;
  connection_->Read(options_.read_bytes, [this](absl::StatusOr<Buffer> bytes) {
    OnRead(std::move(bytes));
  });
}

void MessageStream::OnRead(absl::StatusOr<Buffer> bytes) {
  if (closed_) return;
  reading_ = false;
  if (!bytes.ok() || bytes->empty()) {
    if (!bytes.ok()) {
      Close(bytes.status());
    } else if (decoder_.at_boundary()) {
      Close(absl::UnavailableError("the peer closed the connection"));
    } else {
      Close(absl::UnavailableError(
          "the peer closed the connection in the middle of a message"));
    }
    ReportClosed();
    return;
  }
  last_received_ = loop_->Now();
  heard_ = true;
  if (bytes->bytes_pinned() > 2 * bytes->size() + kPinnedSlackBytes) {
    *bytes = Buffer::Copy(bytes->view());
  }
  decoder_.Push(*std::move(bytes));
  {
    CallbackGuard guard(this);
    if (guard.callbacks() != nullptr && guard.callbacks()->on_bytes) {
      guard.callbacks()->on_bytes();
      if (guard.destroyed()) return;
    }
  }
  Deliver();
}

void MessageStream::DeliverSoon() {
  deliver_ = loop_->After(0ns, [this] { Deliver(); });
}

void MessageStream::Deliver() {
  CallbackGuard guard(this);
  if (guard.callbacks() == nullptr) return;
  delivering_ = true;
  // Answers to one read's messages go out as one write.
  Cork();
  MessageView message;
  while (!closed_ && !paused_ && callbacks_.get() == guard.callbacks()) {
    absl::StatusOr<bool> got = decoder_.Next(&message);
    if (!got.ok()) {
      Close(got.status());
    } else if (!*got) {
      break;
    } else if (!TakePing(message)) {
      guard.callbacks()->on_message(message);
      if (guard.destroyed()) return;
    }
  }
  Uncork();
  delivering_ = false;
  if (closed_) {
    ReportClosed();
  } else {
    GoOnReceiving();
  }
}

bool MessageStream::TakePing(const MessageView& message) {
  if (message.type == WireType::kPing) {
    OutMessage pong;
    pong.type = WireType::kPong;
    Send(pong);
    return true;
  }
  if (message.type != WireType::kPong) return false;
  // They come in order; one that nobody asked for says nothing.
  if (!pinged_at_.empty()) {
    bytes_arrived_ = pinged_at_.front();
    pinged_at_.pop_front();
  }
  return true;
}

void MessageStream::SendPing() {
  const uint64_t at = bytes_written_;
  OutMessage ping;
  ping.type = WireType::kPing;
  if (Send(ping)) pinged_at_.push_back(at);
}

// A peer may have nothing to say here however much it is sent. Pings in between
// tell what of it has come there, so that SilencesAllowed doesn't count it.
void MessageStream::PingBetween() {
  const uint64_t pinged =
      pinged_at_.empty() ? bytes_arrived_ : pinged_at_.back();
  if (options_.silence_max > Duration::zero() && !finishing_ &&
      bytes_written_ - pinged >= kSlowLinkBytesPerSecond) {
    SendPing();
  }
}

void MessageStream::CheckSilenceLater() {
  if (options_.silence_max <= Duration::zero()) return;
  silence_checked_ = loop_->Now();
  written_then_ = bytes_written_;
  silence_check_ =
      loop_->After(options_.silence_max / 3, [this] { CheckSilence(); });
}

// Two, and as many more as a slow link may need for what was written before
// the ping.
int64_t MessageStream::SilencesAllowed() const {
  const Duration behind =
      Duration(1s) * static_cast<int64_t>(bytes_written_ - bytes_arrived_) /
      kSlowLinkBytesPerSecond;
  return 2 + behind / (options_.silence_max / 3);
}

void MessageStream::CheckSilence() {
  const Instant due = silence_checked_ + options_.silence_max / 3;
  // This process was stopped for a while, and what came meanwhile isn't read
  // yet.
  const bool late = loop_->Now() - due > options_.silence_max / 6;
  // While paused, nothing is read at all. But a peer that is there takes what
  // is written: a write, of a quarter of a MiB or little more, doesn't last for
  // all of silence_max.
  const bool stuck = writing_ && written_then_ == bytes_written_;
  const bool blind = late || (paused_ && !stuck);
  if (closed_ || callbacks_ == nullptr) return;
  if (std::exchange(heard_, false) || blind) {
    pings_unanswered_ = 0;
  } else if (pings_unanswered_ < SilencesAllowed()) {
    ++pings_unanswered_;
    SendPing();
  } else {
    Close(absl::UnavailableError(absl::StrCat(
        paused_ ? "the peer takes nothing, and nothing was read, for "
                : "nothing came from the peer for ",
        ToMillis(loop_->Now() - last_received_), " ms")));
    ReportClosed();
    return;
  }
  CheckSilenceLater();
}

void MessageStream::Close(absl::Status why) {
  closed_ = true;
  close_reason_ = std::move(why);
  control_ = Queue();
  bulk_ = Queue();
  connection_->Abort();
}

void MessageStream::ReportClosed() {
  if (closed_reported_ || callbacks_ == nullptr) return;
  closed_reported_ = true;
  CallbackGuard guard(this);
  if (guard.callbacks()->on_closed) {
    guard.callbacks()->on_closed(close_reason_);
  }
}

}  // namespace holdfast
