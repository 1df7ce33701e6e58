#include "engine/peer/peer_link.h"

#include <memory>
#include <string>
#include <vector>

#include "engine/peer/acceptor.h"
#include "engine/peer/plaintext.h"
#include "engine/peer/testing/manual_loop.h"
#include "engine/peer/testing/memory_network.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace holdfast {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class PeerLinkTest : public ::testing::Test {
 protected:
  void Listen(const Address& address = "server:1", uint64_t id = 1) {
    Acceptor::Callbacks callbacks;
    callbacks.judge = [id](const PeerIdentity&, const Hello&) -> HelloVerdict {
      Hello hello;
      hello.server_id = ServerId(id);
      return hello;
    };
    callbacks.on_raft = [this](InboundStream in) {
      inbound_ = std::move(in.stream);
      MessageStream::Callbacks inner;
      inner.on_message = [this](const MessageView& m) {
        got_.emplace_back(m.header);
      };
      inner.on_closed = [this](const absl::Status&) { inbound_ = nullptr; };
      inbound_->Start(std::move(inner));
    };
    acceptor_ = std::make_unique<Acceptor>(
        &loop_, &network_, &security_, AcceptorOptions(), std::move(callbacks));
    ASSERT_TRUE(acceptor_->Listen(address).ok());
  }

  void Link() {
    PeerLink::Callbacks callbacks;
    callbacks.hello = [] {
      Hello hello;
      hello.server_id = ServerId(2);
      return hello;
    };
    callbacks.judge = [this](const Hello&) { return judgement_; };
    callbacks.on_up = [this](const Hello&) { events_.push_back("up"); };
    callbacks.on_down = [this](const absl::Status&) {
      events_.push_back("down");
    };
    link_ = std::make_unique<PeerLink>(
        &loop_, &network_, &security_, ServerId(1), "server:1",
        DrawKey{.seed = 5, .site = 0, .actor = 2}, PeerLinkOptions(),
        std::move(callbacks));
  }

  bool Send(absl::string_view header) {
    OutMessage message;
    message.type = WireType::kRaft;
    message.header = header;
    return link_->Send(message);
  }

  ManualLoop loop_;
  MemoryNetwork network_{&loop_};
  Plaintext security_{&loop_};
  absl::Status judgement_;
  std::vector<std::string> events_;
  std::vector<std::string> got_;
  std::unique_ptr<MessageStream> inbound_;
  std::unique_ptr<Acceptor> acceptor_;
  std::unique_ptr<PeerLink> link_;
};

TEST_F(PeerLinkTest, ConnectsAndSends) {
  Listen();
  Link();
  EXPECT_FALSE(link_->up());
  EXPECT_FALSE(Send("too early"));
  loop_.RunDue();
  EXPECT_TRUE(link_->up());
  EXPECT_TRUE(link_->last_error().ok());
  EXPECT_EQ(link_->peer_hello()->server_id, ServerId(1));
  EXPECT_TRUE(Send("1"));
  EXPECT_TRUE(Send("2"));
  loop_.RunDue();
  EXPECT_THAT(got_, ElementsAre("1", "2"));
  EXPECT_THAT(events_, ElementsAre("up"));
}

TEST_F(PeerLinkTest, KeepsDiallingWithGrowingPauses) {
  Link();
  loop_.RunFor(60s);
  // 50 ms doubling to 1 s: about 60 / 0.75 dials.
  EXPECT_GT(network_.dials(), 60u);
  EXPECT_LT(network_.dials(), 130u);
  EXPECT_THAT(std::string(link_->last_error().message()),
              HasSubstr("server:1: connect: connection refused"));
  Listen();
  loop_.RunFor(1s);
  EXPECT_TRUE(link_->up());
}

TEST_F(PeerLinkTest, ComesBackAfterALoss) {
  Listen();
  Link();
  loop_.RunDue();
  loop_.RunFor(5s);
  network_.ResetAll();
  loop_.RunDue();
  EXPECT_FALSE(link_->up());
  EXPECT_THAT(std::string(link_->last_error().message()),
              HasSubstr("lost: connection reset"));
  EXPECT_FALSE(Send("dropped"));
  loop_.RunFor(50ms);
  EXPECT_TRUE(link_->up());
  EXPECT_THAT(events_, ElementsAre("up", "down", "up"));
}

TEST_F(PeerLinkTest, APeerThatClosesAtOnceIsNotDialledInALoop) {
  Listen();
  Link();
  for (int i = 0; i < 6000; ++i) {
    loop_.RunFor(10ms);
    inbound_ = nullptr;
  }
  EXPECT_LT(network_.dials(), 130u);
}

TEST_F(PeerLinkTest, NoticesAPeerThatFellSilent) {
  Listen();
  Link();
  loop_.RunFor(20s);
  EXPECT_THAT(events_, ElementsAre("up"));
  network_.set_black_hole(true);
  loop_.RunFor(10s);
  EXPECT_THAT(events_, ElementsAre("up", "down"));
  network_.set_black_hole(false);
  loop_.RunFor(2s);
  EXPECT_TRUE(link_->up());
}

TEST_F(PeerLinkTest, AJudgementAgainstThePeerKeepsItDown) {
  judgement_ = absl::FailedPreconditionError("another cluster");
  Listen();
  Link();
  loop_.RunFor(1s);
  EXPECT_FALSE(link_->up());
  EXPECT_THAT(std::string(link_->last_error().message()),
              HasSubstr("another cluster"));
  judgement_ = absl::OkStatus();
  loop_.RunFor(1s);
  EXPECT_TRUE(link_->up());
}

TEST_F(PeerLinkTest, FollowsANewAddress) {
  Listen("server:2");
  Link();
  loop_.RunFor(5s);
  EXPECT_FALSE(link_->up());
  link_->SetAddress("server:2");
  loop_.RunDue();
  EXPECT_TRUE(link_->up());
  EXPECT_EQ(link_->address(), "server:2");
}

TEST_F(PeerLinkTest, AnotherServerThereIsAnError) {
  Listen("server:1", 9);
  Link();
  loop_.RunFor(1s);
  EXPECT_FALSE(link_->up());
  EXPECT_THAT(std::string(link_->last_error().message()),
              HasSubstr("server 9 is there, expected server 1"));
}

TEST_F(PeerLinkTest, MayBeDestroyedWithinItsCallbacks) {
  Listen();
  for (bool up : {true, false}) {
    PeerLink::Callbacks callbacks;
    callbacks.hello = [] {
      Hello hello;
      hello.server_id = ServerId(2);
      return hello;
    };
    callbacks.on_up = [this, up](const Hello&) {
      if (up) link_ = nullptr;
    };
    callbacks.on_down = [this](const absl::Status&) { link_ = nullptr; };
    link_ = std::make_unique<PeerLink>(&loop_, &network_, &security_,
                                       ServerId(1), "server:1", DrawKey{},
                                       PeerLinkOptions(), std::move(callbacks));
    loop_.RunDue();
    network_.ResetAll();
    loop_.RunDue();
    EXPECT_EQ(link_, nullptr);
  }
}

}  // namespace
}  // namespace holdfast
