#include "engine/peer/message_stream.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/peer/testing/manual_loop.h"
#include "engine/peer/testing/memory_network.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace holdfast {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// One end with a record of what came.
struct End {
  std::unique_ptr<MessageStream> stream;
  std::vector<std::string> got;  // header + "|" + payload
  std::optional<absl::Status> closed;
  int bytes_events = 0;

  MessageStream::Callbacks Callbacks() {
    MessageStream::Callbacks callbacks;
    callbacks.on_message = [this](const MessageView& m) {
      got.push_back(std::string(m.header) + "|" +
                    std::string(m.payload.view()));
    };
    callbacks.on_closed = [this](absl::Status why) { closed = why; };
    callbacks.on_bytes = [this] { ++bytes_events; };
    return callbacks;
  }
  bool Send(absl::string_view header, absl::string_view payload = "",
            MessagePriority priority = MessagePriority::kControl) {
    const Buffer bytes = Buffer::Copy(payload);
    OutMessage message;
    message.type = WireType::kRaft;
    message.header = header;
    message.payload = absl::MakeConstSpan(&bytes, 1);
    message.priority = priority;
    return stream->Send(message);
  }
};

class MessageStreamTest : public ::testing::Test {
 protected:
  void Open(const MessageStreamOptions& options = {}) {
    auto [left, right] = network_.Pair();
    a_.stream =
        std::make_unique<MessageStream>(&loop_, std::move(left), options);
    b_.stream =
        std::make_unique<MessageStream>(&loop_, std::move(right), options);
    a_.stream->Start(a_.Callbacks());
    b_.stream->Start(b_.Callbacks());
  }
  // After 3 s, by a_ alone.
  void OpenWithSilenceJudgedByOne() {
    Open();
    MessageStreamOptions options;
    options.silence_max = 3s;
    a_.stream->set_options(options);
    a_.stream->Start(a_.Callbacks());
  }

  ManualLoop loop_;
  MemoryNetwork network_{&loop_};
  End a_;
  End b_;
};

TEST_F(MessageStreamTest, DeliversInOrderBothWays) {
  Open();
  EXPECT_TRUE(a_.Send("1", "one"));
  EXPECT_TRUE(a_.Send("2", "two"));
  EXPECT_TRUE(b_.Send("3"));
  EXPECT_THAT(b_.got, IsEmpty());  // nothing within the call
  loop_.RunDue();
  EXPECT_THAT(b_.got, ElementsAre("1|one", "2|two"));
  EXPECT_THAT(a_.got, ElementsAre("3|"));
  EXPECT_EQ(a_.stream->bytes_queued(), 0u);
  EXPECT_GT(b_.bytes_events, 0);
}

TEST_F(MessageStreamTest, WritesAtOnceWhenIdleAndGathersWhileBusy) {
  Open();
  a_.Send("first");
  EXPECT_EQ(network_.writes(), 1u);
  for (int i = 0; i < 1000; ++i) a_.Send("more");
  EXPECT_EQ(network_.writes(), 1u);
  loop_.RunDue();
  EXPECT_EQ(network_.writes(), 2u);
  EXPECT_EQ(b_.got.size(), 1001u);
}

TEST_F(MessageStreamTest, CorkedMessagesGoOutTogether) {
  Open();
  a_.stream->Cork();
  a_.Send("1");
  a_.Send("2");
  EXPECT_EQ(network_.writes(), 0u);
  a_.stream->Uncork();
  EXPECT_EQ(network_.writes(), 1u);
  loop_.RunDue();
  EXPECT_THAT(b_.got, ElementsAre("1|", "2|"));
}

TEST_F(MessageStreamTest, ControlPassesBetweenTheChunksOfBulk) {
  network_.set_capacity(64 << 10);
  network_.set_read_max(64 << 10);
  Open();
  const std::string large(4 << 20, 'x');
  EXPECT_TRUE(a_.Send("large", large, MessagePriority::kBulk));
  EXPECT_TRUE(a_.Send("behind", "it", MessagePriority::kBulk));
  EXPECT_TRUE(a_.Send("heartbeat"));
  loop_.RunDue();
  EXPECT_THAT(b_.got, ElementsAre("heartbeat|", "large|" + large, "behind|it"));
}

TEST_F(MessageStreamTest, KeepsThePayloadOfSeveralBuffers) {
  Open();
  const std::vector<Buffer> payload = {Buffer::Copy("small "),
                                       Buffer::Copy(std::string(40'000, 'a')),
                                       Buffer(),
                                       Buffer::Copy(" mid "),
                                       Buffer::Copy(std::string(200'000, 'b')),
                                       Buffer::Copy(" end")};
  OutMessage message;
  message.type = WireType::kRaft;
  message.header = "h";
  message.payload = payload;
  message.priority = MessagePriority::kBulk;
  ASSERT_TRUE(a_.stream->Send(message));
  loop_.RunDue();
  EXPECT_THAT(b_.got, ElementsAre("h|" + std::string(Flatten(payload).view())));
}

TEST_F(MessageStreamTest, RefusesBeyondItsQueueButTakesOneAlways) {
  network_.set_capacity(1);
  MessageStreamOptions options;
  options.queue_bytes_max = 1000;
  Open(options);
  const std::string large(5000, 'x');
  EXPECT_TRUE(a_.Send("", large));
  EXPECT_FALSE(a_.Send("", "y"));
  EXPECT_EQ(a_.stream->bytes_queued(), large.size() + kFrameHeaderBytes);
  network_.set_capacity(SIZE_MAX);
  loop_.RunDue();
  EXPECT_TRUE(a_.Send("", "y"));
}

TEST_F(MessageStreamTest, PausedReadingPushesBackAndLosesNothing) {
  network_.set_capacity(100);
  Open();
  b_.stream->PauseReading();
  for (int i = 0; i < 100; ++i) a_.Send(std::to_string(i));
  loop_.RunDue();
  EXPECT_THAT(b_.got, IsEmpty());
  EXPECT_GT(a_.stream->bytes_queued(), 0u);
  b_.stream->ResumeReading();
  loop_.RunDue();
  EXPECT_EQ(b_.got.size(), 100u);
  EXPECT_EQ(b_.got.back(), "99|");
}

TEST_F(MessageStreamTest, PauseWithinACallbackStopsAtOnce) {
  Open();
  MessageStream::Callbacks callbacks = b_.Callbacks();
  callbacks.on_message = [this](const MessageView& m) {
    b_.got.push_back(std::string(m.header));
    b_.stream->PauseReading();
  };
  b_.stream->Start(std::move(callbacks));
  for (const char* header : {"1", "2", "3"}) a_.Send(header);
  loop_.RunDue();
  EXPECT_THAT(b_.got, ElementsAre("1"));
  b_.stream->ResumeReading();
  loop_.RunDue();
  EXPECT_THAT(b_.got, ElementsAre("1", "2"));
}

TEST_F(MessageStreamTest, HandsOverWithinACallbackWithoutLoss) {
  Open();
  std::unique_ptr<MessageStream> taken;
  std::vector<std::string> later;
  MessageStream::Callbacks first;
  first.on_message = [&](const MessageView&) {
    b_.stream->Detach();
    taken = std::move(b_.stream);
    MessageStream::Callbacks second;
    second.on_message = [&](const MessageView& m) {
      later.push_back(std::string(m.header));
    };
    second.on_closed = [](const absl::Status&) {};
    taken->Start(std::move(second));
    EXPECT_THAT(later, IsEmpty());
  };
  b_.stream->Start(std::move(first));
  for (const char* header : {"hello", "1", "2"}) a_.Send(header);
  loop_.RunDue();
  EXPECT_THAT(later, ElementsAre("1", "2"));
}

TEST_F(MessageStreamTest, DetachedKeepsWhatComesForTheNext) {
  Open();
  b_.stream->Detach();
  a_.Send("1");
  a_.stream->FinishSending();
  loop_.RunDue();
  EXPECT_THAT(b_.got, IsEmpty());
  b_.stream->Start(b_.Callbacks());
  loop_.RunDue();
  EXPECT_THAT(b_.got, ElementsAre("1|"));
  ASSERT_TRUE(b_.closed.has_value());
}

TEST_F(MessageStreamTest, MayBeDestroyedWithinEachCallback) {
  for (int which = 0; which < 4; ++which) {
    Open();
    MessageStream::Callbacks callbacks;
    // Reads its captures after the destruction.
    auto destroy = [this, which, check = std::string("still here")](int at) {
      if (at == which) b_.stream.reset();
      EXPECT_EQ(check, "still here");
    };
    callbacks.on_message = [=](const MessageView&) { destroy(0); };
    callbacks.on_closed = [=](const absl::Status&) { destroy(1); };
    callbacks.on_bytes = [=] { destroy(2); };
    callbacks.on_written = [=] { destroy(3); };
    b_.stream->Start(std::move(callbacks));
    b_.Send("x");
    a_.Send("x");
    a_.Send("y");
    loop_.RunDue();
    a_.stream.reset();
    loop_.RunDue();
    EXPECT_EQ(b_.stream, nullptr) << which;
    loop_.RunFor(1s);
  }
}

TEST_F(MessageStreamTest, ReportsTheEndOnce) {
  Open();
  a_.Send("last");
  a_.stream->FinishSending();
  EXPECT_FALSE(a_.Send("too late"));
  loop_.RunDue();
  EXPECT_THAT(b_.got, ElementsAre("last|"));
  ASSERT_TRUE(b_.closed.has_value());
  EXPECT_TRUE(absl::IsUnavailable(*b_.closed));
  EXPECT_FALSE(b_.Send("x"));
  EXPECT_TRUE(b_.stream->closed());
  b_.stream.reset();
  loop_.RunDue();
  EXPECT_TRUE(a_.closed.has_value());
}

TEST_F(MessageStreamTest, AnEndInTheMiddleOfAMessageIsSaid) {
  auto [left, right] = network_.Pair();
  b_.stream = std::make_unique<MessageStream>(&loop_, std::move(right),
                                              MessageStreamOptions());
  b_.stream->Start(b_.Callbacks());
  left->Write({Buffer::Copy("half a frame")}, [](const absl::Status&) {});
  loop_.RunDue();
  left->Shutdown([](const absl::Status&) {});
  loop_.RunDue();
  ASSERT_TRUE(b_.closed.has_value());
  EXPECT_THAT(std::string(b_.closed->message()),
              HasSubstr("in the middle of a message"));
}

TEST_F(MessageStreamTest, GarbageClosesIt) {
  auto [left, right] = network_.Pair();
  b_.stream = std::make_unique<MessageStream>(&loop_, std::move(right),
                                              MessageStreamOptions());
  b_.stream->Start(b_.Callbacks());
  left->Write({Buffer::Copy("GET / HTTP/1.1\r\nHost: holdfast\r\n\r\n")},
              [](const absl::Status&) {});
  loop_.RunDue();
  ASSERT_TRUE(b_.closed.has_value());
  EXPECT_TRUE(absl::IsInvalidArgument(*b_.closed));
}

TEST_F(MessageStreamTest, PingsKeepALivingPeerAndSilenceEndsADeadOne) {
  MessageStreamOptions options;
  options.silence_max = 3s;
  Open(options);
  loop_.RunFor(60s);
  EXPECT_FALSE(a_.closed.has_value());
  EXPECT_THAT(a_.got, IsEmpty());  // pings aren't delivered
  network_.set_black_hole(true);
  loop_.RunFor(4s + 1ms);
  ASSERT_TRUE(a_.closed.has_value());
  EXPECT_THAT(std::string(a_.closed->message()), HasSubstr("nothing came"));
}

// However much was sent just before: most of that has come there.
TEST_F(MessageStreamTest, ADeadPeerIsSeenSoonThoughMuchWasSent) {
  MessageStreamOptions options;
  options.silence_max = 3s;
  Open(options);
  for (int i = 0; i < 200; ++i) {
    ASSERT_TRUE(
        a_.Send("", std::string(256 << 10, 'x'), MessagePriority::kBulk));
    loop_.RunFor(1ms);
  }
  EXPECT_EQ(b_.got.size(), 200u);
  network_.set_black_hole(true);
  loop_.RunFor(10s);
  EXPECT_TRUE(a_.closed.has_value());
}

TEST_F(MessageStreamTest, ASlowLinkIsntTakenForADeadOne) {
  OpenWithSilenceJudgedByOne();
  network_.set_capacity(8 << 20);
  network_.set_black_hole(true);  // as if it were all still on its way
  ASSERT_TRUE(a_.Send("", std::string(8 << 20, 'x'), MessagePriority::kBulk));
  loop_.RunFor(10s);
  EXPECT_FALSE(a_.closed.has_value());
  network_.set_black_hole(false);
  loop_.RunFor(10s);
  EXPECT_FALSE(a_.closed.has_value());
}

TEST_F(MessageStreamTest, AStoppedProcessDoesntBlameItsPeer) {
  MessageStreamOptions options;
  options.silence_max = 3s;
  Open(options);
  loop_.RunFor(2500ms);  // a ping may be on its way
  loop_.Stall(100s);
  loop_.RunFor(60s);
  EXPECT_FALSE(a_.closed.has_value());
  EXPECT_FALSE(b_.closed.has_value());
}

// Nothing is read meanwhile; but what is written isn't taken, either.
TEST_F(MessageStreamTest, ADeadPeerIsSeenByAStreamThatReadsNothing) {
  OpenWithSilenceJudgedByOne();
  a_.stream->PauseReading();
  loop_.RunFor(60s);
  EXPECT_FALSE(a_.closed.has_value()) << "with nothing to say";
  network_.set_capacity(1 << 20);
  network_.set_black_hole(true);
  loop_.RunFor(60s);
  EXPECT_FALSE(a_.closed.has_value()) << "it can't know";
  for (int i = 0; i < 100; ++i) {
    a_.Send("", std::string(256 << 10, 'x'), MessagePriority::kBulk);
  }
  loop_.RunFor(120s);
  ASSERT_TRUE(a_.closed.has_value());
  EXPECT_THAT(std::string(a_.closed->message()), HasSubstr("takes nothing"));
}

TEST_F(MessageStreamTest, APeerThatTakesWhatIsWrittenIsThere) {
  OpenWithSilenceJudgedByOne();
  a_.stream->PauseReading();
  for (int i = 0; i < 60; ++i) {
    ASSERT_TRUE(
        a_.Send("", std::string(256 << 10, 'x'), MessagePriority::kBulk));
    loop_.RunFor(1s);
  }
  EXPECT_FALSE(a_.closed.has_value());
}

TEST_F(MessageStreamTest, SmallMessagesDontPinLargeReads) {
  // A connection that reads into large buffers.
  auto [left, right] = network_.Pair();
  Buffer kept;
  b_.stream = std::make_unique<MessageStream>(&loop_, std::move(right),
                                              MessageStreamOptions());
  MessageStream::Callbacks callbacks = b_.Callbacks();
  callbacks.on_message = [&](const MessageView& m) { kept = m.payload; };
  b_.stream->Start(std::move(callbacks));
  a_.stream = std::make_unique<MessageStream>(&loop_, std::move(left),
                                              MessageStreamOptions());
  a_.stream->Start(a_.Callbacks());
  a_.Send("", "tiny");
  loop_.RunDue();
  EXPECT_EQ(kept.view(), "tiny");
  EXPECT_LT(kept.bytes_pinned(), 8192u);
}

}  // namespace
}  // namespace holdfast
