#include "engine/peer/message.h"

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/base/bytes.h"
#include "engine/base/crc32c.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace holdfast {
namespace {

using ::testing::HasSubstr;

std::string Frame(FrameHeader header, absl::string_view body) {
  header.length = static_cast<uint32_t>(body.size());
  std::string frame(kFrameHeaderBytes, '\0');
  EncodeFrameHeader(header, frame.data());
  header.crc = ExtendCrc32c(FrameHeaderCrc(frame.data()), body);
  EncodeFrameHeader(header, frame.data());
  return absl::StrCat(frame, body);
}

FrameHeader HeaderOf(size_t header, size_t payload, uint8_t flags = 0) {
  FrameHeader frame;
  frame.type = WireType::kRaft;
  frame.flags = flags;
  frame.header_length = static_cast<uint16_t>(header);
  frame.payload_length = static_cast<uint32_t>(payload);
  frame.group = 7;
  return frame;
}

std::string Single(absl::string_view header, absl::string_view payload) {
  return Frame(HeaderOf(header.size(), payload.size()),
               absl::StrCat(header, payload));
}

// The payload in chunks of `chunk` bytes.
std::vector<std::string> Chunks(absl::string_view header,
                                absl::string_view payload, size_t chunk) {
  std::vector<std::string> frames;
  for (size_t at = 0; at < payload.size(); at += chunk) {
    const bool first = at == 0;
    const bool last = at + chunk >= payload.size();
    FrameHeader frame = HeaderOf(
        first ? header.size() : 0, payload.size(),
        static_cast<uint8_t>(kFrameChunk | (first ? 0 : kFrameNotFirst) |
                             (last ? 0 : kFrameNotLast)));
    frames.push_back(
        Frame(frame, absl::StrCat(first ? header : absl::string_view(),
                                  payload.substr(at, chunk))));
  }
  return frames;
}

struct Got {
  std::string header;
  std::string payload;
  bool operator==(const Got&) const = default;
};

// Feeds the stream in pieces; the error, if any, ends it.
absl::Status Feed(MessageDecoder* decoder, absl::string_view stream,
                  size_t piece, std::vector<Got>* got) {
  while (!stream.empty()) {
    const size_t n = std::min(piece, stream.size());
    decoder->Push(Buffer::Copy(stream.substr(0, n)));
    stream.remove_prefix(n);
    while (true) {
      MessageView message;
      absl::StatusOr<bool> next = decoder->Next(&message);
      if (!next.ok()) return next.status();
      if (!*next) break;
      EXPECT_EQ(message.type, WireType::kRaft);
      EXPECT_EQ(message.group, 7u);
      got->push_back(Got{.header = std::string(message.header),
                         .payload = std::string(message.payload.view())});
    }
  }
  return absl::OkStatus();
}

absl::Status FeedAll(absl::string_view stream) {
  MessageDecoder decoder;
  std::vector<Got> got;
  return Feed(&decoder, stream, stream.size(), &got);
}

TEST(MessageDecoder, YieldsTheSameMessagesHoweverTheBytesArrive) {
  const std::string large(300'000, 'x');
  std::string stream =
      Single("head", "payload") + Single("", "") + Single("only a header", "");
  std::vector<std::string> chunks = Chunks("big", large, kChunkBytes);
  ASSERT_EQ(chunks.size(), 3u);
  // Small ones pass between the chunks.
  stream += chunks[0] + Single("between", "1") + chunks[1] +
            Single("between", "2") + chunks[2] + Single("after", "3");
  const std::vector<Got> expected = {{"head", "payload"},   {"", ""},
                                     {"only a header", ""}, {"between", "1"},
                                     {"between", "2"},      {"big", large},
                                     {"after", "3"}};
  for (size_t piece : {size_t{1}, size_t{7}, size_t{24}, size_t{25},
                       size_t{1000}, size_t{65536}, stream.size()}) {
    MessageDecoder decoder;
    std::vector<Got> got;
    ASSERT_TRUE(Feed(&decoder, stream, piece, &got).ok());
    EXPECT_EQ(got, expected) << "pieces of " << piece;
    EXPECT_TRUE(decoder.at_boundary());
  }
}

TEST(MessageDecoder, SharesReceivedBytes) {
  Buffer received = Buffer::Copy(Single("head", "payload"));
  const char* bytes = received.data();
  MessageDecoder decoder;
  decoder.Push(std::move(received));
  MessageView message;
  ASSERT_TRUE(*decoder.Next(&message));
  EXPECT_EQ(message.payload.data(), bytes + kFrameHeaderBytes + 4);
}

TEST(MessageDecoder, KnowsWhetherTheStreamMayEnd) {
  const std::string frame = Single("head", "payload");
  for (size_t n = 1; n < frame.size(); ++n) {
    MessageDecoder decoder;
    std::vector<Got> got;
    ASSERT_TRUE(Feed(&decoder, frame.substr(0, n), n, &got).ok());
    EXPECT_FALSE(decoder.at_boundary()) << n;
  }
  MessageDecoder decoder;
  std::vector<Got> got;
  const std::string chunk =
      Chunks("", std::string(kChunkBytes + 1, 'x'), kChunkBytes)[0];
  ASSERT_TRUE(Feed(&decoder, chunk, chunk.size(), &got).ok());
  EXPECT_FALSE(decoder.at_boundary());
}

TEST(MessageDecoder, FindsEachDamagedByte) {
  const std::string frame = Single("head", "payload");
  for (size_t at = 0; at < frame.size(); ++at) {
    std::string damaged = frame;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x10);
    MessageDecoder decoder;
    std::vector<Got> got;
    const absl::Status fed = Feed(&decoder, damaged, damaged.size(), &got);
    // A longer length waits for more; nothing wrong is delivered.
    EXPECT_TRUE(!fed.ok() || !decoder.at_boundary()) << at;
    EXPECT_TRUE(got.empty()) << at;
  }
}

TEST(MessageDecoder, StaysBroken) {
  MessageDecoder decoder;
  decoder.Push(Buffer::Copy(std::string(24, '\xff') + Single("a", "b")));
  MessageView message;
  const absl::Status first = decoder.Next(&message).status();
  EXPECT_EQ(first.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(decoder.Next(&message).status(), first);
}

TEST(MessageDecoder, RefusesLengthsBeforeItAllocates) {
  // A frame that claims 4 GiB.
  FrameHeader huge = HeaderOf(0, UINT32_MAX);
  huge.length = UINT32_MAX;
  std::string bytes(kFrameHeaderBytes, '\0');
  EncodeFrameHeader(huge, bytes.data());
  EXPECT_THAT(std::string(FeedAll(bytes).message()),
              HasSubstr("4294967295 bytes is announced, the limit is"));
  // A message in chunks that claims more than the limit.
  FrameHeader chunked =
      HeaderOf(0, kMessageBytesMax + 1, kFrameChunk | kFrameNotLast);
  EXPECT_THAT(std::string(FeedAll(Frame(chunked, "x")).message()),
              HasSubstr("the limit is"));
  // A smaller limit of the receiver's own.
  MessageDecoder small(16);
  std::vector<Got> got;
  const std::string fits = Single("12345678", "12345678");
  EXPECT_TRUE(Feed(&small, fits, fits.size(), &got).ok());
  const std::string beyond = Single("12345678", "123456789");
  EXPECT_FALSE(Feed(&small, beyond, beyond.size(), &got).ok());
}

TEST(MessageDecoder, RefusesChunksOutOfPlace) {
  const std::string large(3 * kChunkBytes, 'x');
  const std::vector<std::string> chunks = Chunks("h", large, kChunkBytes);
  EXPECT_TRUE(FeedAll(chunks[0] + chunks[1] + chunks[2]).ok());
  EXPECT_FALSE(FeedAll(chunks[1]).ok());
  EXPECT_FALSE(FeedAll(chunks[0] + chunks[0]).ok());
  EXPECT_FALSE(FeedAll(chunks[0] + chunks[2]).ok());
  EXPECT_FALSE(FeedAll(chunks[0] + chunks[1] + chunks[1]).ok());
  // The first may not be all, nor a later one have another message's size.
  EXPECT_FALSE(
      FeedAll(Frame(HeaderOf(0, 4, kFrameChunk | kFrameNotLast), "1234")).ok());
  EXPECT_FALSE(FeedAll(Frame(HeaderOf(0, 4, kFrameChunk), "1234")).ok());
  const std::vector<std::string> others = Chunks("h", large + "y", kChunkBytes);
  EXPECT_FALSE(FeedAll(chunks[0] + others[1]).ok());
}

TEST(MessageDecoder, RefusesFramesThatContradictThemselves) {
  EXPECT_FALSE(FeedAll(Frame(HeaderOf(5, 0), "1234")).ok());
  EXPECT_FALSE(FeedAll(Frame(HeaderOf(1, 4), "1234")).ok());
  EXPECT_FALSE(FeedAll(Frame(HeaderOf(0, 4, 8), "1234")).ok());
  const std::string long_payload(kChunkBytes + 1, 'x');
  EXPECT_FALSE(FeedAll(Single("", long_payload)).ok());
}

}  // namespace
}  // namespace holdfast
