#include "engine/peer/acceptor.h"

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/peer/dialer.h"
#include "engine/peer/plaintext.h"
#include "engine/peer/testing/manual_loop.h"
#include "engine/peer/testing/memory_network.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace holdfast {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kAddress[] = "server:1";

// Plaintext, but each side believes what the test says of the other.
class Believing final : public Security {
 public:
  explicit Believing(Loop* loop) : plaintext_(loop) {}

  std::unique_ptr<PendingOp> Connect(std::unique_ptr<Connection> raw,
                                     Buffer preface,
                                     const std::string& expected_server,
                                     SecureDone done) override {
    return plaintext_.Connect(std::move(raw), std::move(preface),
                              expected_server,
                              Believe(acceptor, std::move(done)));
  }
  std::unique_ptr<PendingOp> Accept(std::unique_ptr<Connection> raw,
                                    SecureDone done) override {
    if (!accept_error.ok()) {
      done = [this, done = std::move(done)](
                 const absl::StatusOr<SecuredConnection>&) mutable {
        done(accept_error);
      };
    }
    return plaintext_.Accept(std::move(raw), Believe(dialler, std::move(done)));
  }

  PeerIdentity dialler;
  PeerIdentity acceptor;
  absl::Status accept_error;

 private:
  static SecureDone Believe(PeerIdentity who, SecureDone done) {
    return [who = std::move(who), done = std::move(done)](
               absl::StatusOr<SecuredConnection> secured) mutable {
      if (secured.ok()) secured->peer = who;
      done(std::move(secured));
    };
  }
  Plaintext plaintext_;
};

PeerIdentity ServerCertificate(absl::string_view id,
                               absl::string_view cluster = "c") {
  PeerIdentity identity;
  identity.kind = PeerIdentity::Kind::kServer;
  identity.cluster = std::string(cluster);
  identity.name = std::string(id);
  return identity;
}

PeerIdentity ClientCertificate(absl::string_view name) {
  PeerIdentity identity;
  identity.kind = PeerIdentity::Kind::kClient;
  identity.cluster = "c";
  identity.name = std::string(name);
  identity.role = ClientRole::kWrite;
  return identity;
}

class AcceptorTest : public ::testing::Test {
 protected:
  AcceptorTest() { Listen({}); }

  void Listen(AcceptorOptions options) {
    acceptor_ = nullptr;
    options.cluster_name = "c";
    Acceptor::Callbacks callbacks;
    callbacks.judge = [this](const PeerIdentity&,
                             const Hello&) -> HelloVerdict {
      if (refusal_.has_value()) return *refusal_;
      return own_;
    };
    callbacks.on_raft = [this](InboundStream s) {
      raft_.push_back(std::move(s));
    };
    callbacks.on_client = [this](InboundStream s) {
      clients_.push_back(std::move(s));
    };
    callbacks.log_line = [this](absl::string_view line) {
      log_.emplace_back(line);
    };
    acceptor_ =
        std::make_unique<Acceptor>(&loop_, &network_, &security_,
                                   std::move(options), std::move(callbacks));
    own_.cluster_name = "c";
    own_.server_id = ServerId(1);
    own_.incarnation = Incarnation(77);
    ASSERT_TRUE(acceptor_->Listen(kAddress).ok());
  }

  DialOptions From(StreamKind kind) {
    DialOptions options;
    options.address = kAddress;
    options.hello.kind = kind;
    options.hello.cluster_name = "c";
    if (kind == StreamKind::kRaft) {
      options.hello.server_id = ServerId(2);
    } else {
      options.hello.client_name = "app";
    }
    return options;
  }

  // What came of the dial after `time`.
  absl::StatusOr<OutboundStream> Dial(DialOptions options,
                                      Duration time = 0ns) {
    std::optional<absl::StatusOr<OutboundStream>> result;
    std::unique_ptr<PendingOp> dial =
        DialServer(&loop_, &network_, &security_, std::move(options),
                   [&](absl::StatusOr<OutboundStream> dialed) {
                     result = std::move(dialed);
                   });
    EXPECT_FALSE(result.has_value());
    loop_.RunFor(time);
    if (!result.has_value()) return absl::UnknownError("not done");
    return *std::move(result);
  }

  // Sends these bytes to the port, and returns the connection.
  std::unique_ptr<Connection> SendRaw(absl::string_view bytes) {
    std::unique_ptr<Connection> connection;
    std::unique_ptr<PendingOp> dial = network_.Dial(
        kAddress, [&](absl::StatusOr<std::unique_ptr<Connection>> dialed) {
          connection = *std::move(dialed);
        });
    loop_.RunDue();
    if (!bytes.empty()) {
      connection->Write({Buffer::Copy(bytes)}, [](const absl::Status&) {});
      loop_.RunDue();
    }
    return connection;
  }

  ManualLoop loop_;
  MemoryNetwork network_{&loop_};
  Believing security_{&loop_};
  Hello own_;
  std::optional<Refusal> refusal_;
  std::vector<InboundStream> raft_;
  std::vector<InboundStream> clients_;
  std::vector<std::string> log_;
  std::unique_ptr<Acceptor> acceptor_;
};

TEST_F(AcceptorTest, HandsOnEachKindWithBothHellos) {
  absl::StatusOr<OutboundStream> raft = Dial(From(StreamKind::kRaft));
  ASSERT_TRUE(raft.ok()) << raft.status();
  EXPECT_EQ(raft->hello.server_id, ServerId(1));
  EXPECT_EQ(raft->hello.incarnation, Incarnation(77));
  ASSERT_EQ(raft_.size(), 1u);
  EXPECT_EQ(raft_[0].hello.server_id, ServerId(2));
  absl::StatusOr<OutboundStream> client = Dial(From(StreamKind::kClient));
  ASSERT_TRUE(client.ok()) << client.status();
  ASSERT_EQ(clients_.size(), 1u);
  EXPECT_EQ(clients_[0].hello.client_name, "app");
  EXPECT_EQ(acceptor_->counts().accepted, 2u);
  EXPECT_EQ(acceptor_->pending(), 0u);
  EXPECT_THAT(log_, IsEmpty());
}

TEST_F(AcceptorTest, StreamsWorkAfterTheHello) {
  absl::StatusOr<OutboundStream> raft = Dial(From(StreamKind::kRaft));
  ASSERT_TRUE(raft.ok());
  // Sent before the other side starts to receive, and larger than a hello.
  const std::string header(20'000, 'h');
  OutMessage message;
  message.type = WireType::kRaft;
  message.header = header;
  ASSERT_TRUE(raft->stream->Send(message));
  loop_.RunDue();
  std::vector<std::string> got;
  MessageStream::Callbacks callbacks;
  callbacks.on_message = [&](const MessageView& m) {
    got.emplace_back(m.header);
  };
  raft_[0].stream->Start(std::move(callbacks));
  loop_.RunDue();
  EXPECT_THAT(got, ElementsAre(header));
}

TEST_F(AcceptorTest, RefusesOtherFirstBytes) {
  for (absl::string_view first : {"\x16\x03\x01", "GET / HTTP/1.1", "\xff"}) {
    SendRaw(first);
  }
  EXPECT_EQ(acceptor_->counts().refused_first_byte, 3u);
  EXPECT_EQ(acceptor_->pending(), 0u);
  ASSERT_EQ(log_.size(), 3u);
  EXPECT_THAT(log_[0], HasSubstr("bare TLS hello"));
  EXPECT_THAT(log_[1], HasSubstr("first byte is 0x47"));
}

TEST_F(AcceptorTest, ClosesWhatNeverSaysWhoItIs) {
  std::unique_ptr<Connection> silent = SendRaw("");
  std::unique_ptr<Connection> slow = SendRaw("\x01");
  EXPECT_EQ(acceptor_->pending(), 2u);
  loop_.RunFor(10s);
  EXPECT_EQ(acceptor_->counts().timed_out, 2u);
  EXPECT_EQ(acceptor_->pending(), 0u);
}

TEST_F(AcceptorTest, BoundsThoseThatHaventSaidWhoTheyAre) {
  AcceptorOptions options;
  options.pending_max = 2;
  Listen(options);
  std::unique_ptr<Connection> one = SendRaw("");
  std::unique_ptr<Connection> two = SendRaw("\x02");
  EXPECT_EQ(acceptor_->pending(), 2u);
  // The oldest one gives way.
  EXPECT_TRUE(Dial(From(StreamKind::kRaft)).ok());
  EXPECT_EQ(acceptor_->counts().refused_full, 1u);
  EXPECT_EQ(acceptor_->pending(), 1u);
  two.reset();
  loop_.RunDue();
  EXPECT_EQ(acceptor_->counts().lost, 1u);
  EXPECT_EQ(acceptor_->pending(), 0u);
}

TEST_F(AcceptorTest, GarbageAfterTheFirstByteIsRefused) {
  std::unique_ptr<Connection> garbage =
      SendRaw("\x01 this is not a frame, whatever it says it is");
  EXPECT_EQ(acceptor_->pending(), 0u);
  EXPECT_EQ(acceptor_->counts().lost, 1u);
  EXPECT_THAT(log_, ElementsAre(HasSubstr("isn't Holdfast's protocol")));
}

TEST_F(AcceptorTest, AFailedHandshakeIsCounted) {
  security_.accept_error = absl::UnauthenticatedError("certificate expired");
  EXPECT_FALSE(Dial(From(StreamKind::kRaft)).ok());
  EXPECT_EQ(acceptor_->counts().refused_handshake, 1u);
  EXPECT_THAT(log_, ElementsAre(HasSubstr("certificate expired")));
}

TEST_F(AcceptorTest, TellsTheDiallerWhyItIsRefused) {
  refusal_ = Refusal{.reason = RefusalReason::kIncarnation,
                     .text = "server 2's disk is another one"};
  absl::StatusOr<OutboundStream> dialed = Dial(From(StreamKind::kRaft));
  EXPECT_EQ(dialed.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(dialed.status().message()),
              HasSubstr("refused (join anew): server 2's disk"));
  loop_.RunDue();
  EXPECT_EQ(acceptor_->counts().refused_hello, 1u);
  EXPECT_EQ(acceptor_->pending(), 0u);  // it has read why
}

TEST_F(AcceptorTest, ChecksTheHelloAgainstTheCertificate) {
  struct Case {
    PeerIdentity certificate;
    DialOptions dial;
    const char* refusal;
  };
  DialOptions unnamed = From(StreamKind::kClient);
  unnamed.hello.client_name = "";
  DialOptions foreign = From(StreamKind::kRaft);
  foreign.hello.cluster_name = "";
  DialOptions server_as_client = From(StreamKind::kClient);
  server_as_client.hello.server_id = ServerId(2);
  const Case cases[] = {
      {ServerCertificate("2"), From(StreamKind::kRaft), nullptr},
      {ServerCertificate("3"), From(StreamKind::kRaft), "(certificate)"},
      {ServerCertificate("2", "d"), foreign, "(foreign cluster)"},
      {ClientCertificate("app"), From(StreamKind::kRaft), "(role)"},
      {ClientCertificate("app"), From(StreamKind::kClient), nullptr},
      {ClientCertificate("app"), unnamed, nullptr},
      {ClientCertificate("other"), From(StreamKind::kClient), "(certificate)"},
      {ClientCertificate("app"), server_as_client, "(certificate)"},
      {ServerCertificate("2"), server_as_client, "(role)"},
      {ServerCertificate("2"), From(StreamKind::kClient), "of their own"},
      {PeerIdentity{}, From(StreamKind::kRaft), nullptr},
  };
  for (const Case& c : cases) {
    security_.dialler = c.certificate;
    absl::StatusOr<OutboundStream> dialed = Dial(c.dial);
    if (c.refusal == nullptr) {
      EXPECT_TRUE(dialed.ok()) << dialed.status();
    } else {
      EXPECT_THAT(std::string(dialed.status().message()), HasSubstr(c.refusal));
    }
  }
}

TEST_F(AcceptorTest, RefusesForeignVersionsClustersAndKinds) {
  DialOptions later = From(StreamKind::kRaft);
  later.hello.version_min = 2;
  later.hello.version_max = 9;
  EXPECT_THAT(std::string(Dial(later).status().message()),
              HasSubstr("(version): protocol versions 2 to 9"));
  DialOptions both = From(StreamKind::kRaft);
  both.hello.version_max = 9;
  EXPECT_TRUE(Dial(both).ok());
  DialOptions foreign = From(StreamKind::kRaft);
  foreign.hello.cluster_name = "d";
  EXPECT_THAT(std::string(Dial(foreign).status().message()),
              HasSubstr("(foreign cluster)"));
  DialOptions nobody = From(StreamKind::kRaft);
  nobody.hello.server_id = ServerId(0);
  EXPECT_THAT(std::string(Dial(nobody).status().message()),
              HasSubstr("(malformed)"));
}

TEST_F(AcceptorTest, BoundsItsLog) {
  for (int i = 0; i < 50; ++i) SendRaw("x");
  EXPECT_EQ(log_.size(), 10u);
  loop_.RunFor(1s);
  SendRaw("x");
  ASSERT_EQ(log_.size(), 11u);
  EXPECT_THAT(log_.back(), HasSubstr("lines_dropped_before=40"));
}

TEST_F(AcceptorTest, MayBeDestroyedWhenItHandsOn) {
  Acceptor::Callbacks callbacks;
  callbacks.judge = [this](const PeerIdentity&, const Hello&) -> HelloVerdict {
    return own_;
  };
  callbacks.on_raft = [this](InboundStream) { acceptor_ = nullptr; };
  acceptor_ = nullptr;
  acceptor_ = std::make_unique<Acceptor>(
      &loop_, &network_, &security_, AcceptorOptions(), std::move(callbacks));
  ASSERT_TRUE(acceptor_->Listen(kAddress).ok());
  (void)Dial(From(StreamKind::kRaft));
  EXPECT_EQ(acceptor_, nullptr);
}

TEST_F(AcceptorTest, DialErrorsNameTheAddressAndTheStep) {
  DialOptions nowhere = From(StreamKind::kRaft);
  nowhere.address = "nowhere:1";
  EXPECT_EQ(Dial(nowhere).status(),
            absl::UnavailableError("nowhere:1: connect: connection refused"));
  network_.set_black_hole(true);
  EXPECT_EQ(Dial(From(StreamKind::kRaft), 1s).status(),
            absl::DeadlineExceededError(
                "server:1: connect: no answer within 1000 ms"));
}

TEST_F(AcceptorTest, TheDiallerFindsTheServerItExpects) {
  DialOptions options = From(StreamKind::kRaft);
  options.expected_server = ServerId(3);
  EXPECT_THAT(std::string(Dial(options).status().message()),
              HasSubstr("server 1 is there, expected server 3"));
  options = From(StreamKind::kRaft);
  options.expected_server = ServerId(1);
  EXPECT_TRUE(Dial(options).ok());
}

}  // namespace
}  // namespace holdfast
