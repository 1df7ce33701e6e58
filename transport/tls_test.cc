#include "transport/tls.h"

#include <stdlib.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include "engine/peer/testing/manual_loop.h"
#include "engine/peer/testing/memory_network.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "transport/certs.h"
#include "transport/epoll_loop.h"

namespace holdfast {
namespace {

using testing::AnyOf;
using testing::HasSubstr;

constexpr Duration kValid = 24h;

// One CA's certificates.
class Authority {
 public:
  explicit Authority(const std::string& cluster) {
    std::string pattern = testing::TempDir() + "/holdfast-tls.XXXXXX";
    directory_ = mkdtemp(pattern.data());
    absl::Status made = InitCa(directory_, cluster);
    EXPECT_TRUE(made.ok()) << made;
  }
  ~Authority() { std::filesystem::remove_all(directory_); }

  std::unique_ptr<TlsSecurity> Server(Loop* loop, uint64_t id) {
    absl::Status made =
        IssueServer(directory_, ServerId(id), {"127.0.0.1"}, kValid);
    EXPECT_TRUE(made.ok()) << made;
    return Use(loop, LoadServer(directory_, ServerId(id)));
  }
  std::unique_ptr<TlsSecurity> Client(Loop* loop, ClientRole role) {
    absl::Status made = IssueClient(directory_, "app", role, kValid);
    EXPECT_TRUE(made.ok()) << made;
    return Use(loop, LoadClient(directory_, "app"));
  }

 private:
  static std::unique_ptr<TlsSecurity> Use(
      Loop* loop, const absl::StatusOr<TlsCredentials>& credentials) {
    EXPECT_TRUE(credentials.ok()) << credentials.status();
    if (!credentials.ok()) return nullptr;
    auto security = TlsSecurity::Create(loop, *credentials);
    EXPECT_TRUE(security.ok()) << security.status();
    return security.ok() ? *std::move(security) : nullptr;
  }

  std::string directory_;
};

class TlsTest : public testing::Test {
 protected:
  TlsTest() {
    // The certificates are as of now; so is the loop.
    loop_.Stall(EpollLoop().WallNow().time_since_epoch() -
                loop_.WallNow().time_since_epoch());
    loop_.Stall(1s);
  }

  struct Side {
    absl::Status status = absl::UnknownError("it never ended");
    std::unique_ptr<Connection> connection;
    PeerIdentity peer;
    std::unique_ptr<PendingOp> op;

    SecureDone Done() {
      return [this](absl::StatusOr<SecuredConnection> secured) {
        status = secured.status();
        if (!secured.ok()) return;
        connection = std::move(secured->connection);
        peer = std::move(secured->peer);
      };
    }
  };

  // A handshake of the two over an in-memory stream.
  void Handshake(TlsSecurity* client, TlsSecurity* server,
                 const std::string& expected_server = "2") {
    auto [near, far] = network_.Pair();
    client_.op = client->Connect(std::move(near), Buffer(), expected_server,
                                 client_.Done());
    server_.op = server->Accept(std::move(far), server_.Done());
    loop_.RunDue();
  }
  void HandshakeOfGoodOnes() {
    one_ = authority_.Server(&loop_, 1);
    two_ = authority_.Server(&loop_, 2);
    Handshake(one_.get(), two_.get());
    ASSERT_TRUE(client_.status.ok()) << client_.status;
    ASSERT_TRUE(server_.status.ok()) << server_.status;
  }

  absl::StatusOr<std::string> Read(Connection* c, size_t max = 100000) {
    absl::StatusOr<std::string> result = absl::UnknownError("it never ended");
    c->Read(max, [&result](absl::StatusOr<Buffer> bytes) {
      if (bytes.ok()) {
        result = std::string(bytes->view());
      } else {
        result = bytes.status();
      }
    });
    loop_.RunDue();
    return result;
  }
  absl::Status Write(Connection* c, absl::string_view text) {
    absl::Status result = absl::UnknownError("it never ended");
    c->Write({Buffer::Copy(text)},
             [&result](absl::Status s) { result = std::move(s); });
    loop_.RunDue();
    return result;
  }

  // Bytes that are no TLS, put on the wire to an accepting side.
  void Feed(const std::string& bytes, bool end) {
    two_ = authority_.Server(&loop_, 2);
    auto [near, far] = network_.Pair();
    raw_ = std::move(near);
    server_.op = two_->Accept(std::move(far), server_.Done());
    ASSERT_TRUE(Write(raw_.get(), bytes).ok());
    if (end) raw_->Shutdown([](absl::Status) {});
    loop_.RunDue();
  }

  ManualLoop loop_;
  MemoryNetwork network_{&loop_};
  Authority authority_{"test"};
  std::unique_ptr<TlsSecurity> one_;
  std::unique_ptr<TlsSecurity> two_;
  std::unique_ptr<Connection> raw_;
  Side client_;
  Side server_;
};

TEST_F(TlsTest, BothSidesProveWhoTheyAre) {
  ASSERT_NO_FATAL_FAILURE(HandshakeOfGoodOnes());
  EXPECT_EQ(FormatIdentityUri(client_.peer), "holdfast://test/server/2");
  EXPECT_EQ(FormatIdentityUri(server_.peer), "holdfast://test/server/1");
  ASSERT_TRUE(Write(client_.connection.get(), "hello").ok());
  EXPECT_EQ(*Read(server_.connection.get()), "hello");
  ASSERT_TRUE(Write(server_.connection.get(), "and back").ok());
  EXPECT_EQ(*Read(client_.connection.get(), 3), "and");
  EXPECT_EQ(*Read(client_.connection.get()), " back");
}

TEST_F(TlsTest, AClientsRoleIsKnown) {
  two_ = authority_.Server(&loop_, 2);
  one_ = authority_.Client(&loop_, ClientRole::kRead);
  Handshake(one_.get(), two_.get(), "");
  ASSERT_TRUE(server_.status.ok()) << server_.status;
  EXPECT_EQ(server_.peer.kind, PeerIdentity::Kind::kClient);
  EXPECT_EQ(server_.peer.role, ClientRole::kRead);
  EXPECT_EQ(server_.peer.name, "app");
}

TEST_F(TlsTest, ACloseIsAnEndAndTheOtherDirectionGoesOn) {
  ASSERT_NO_FATAL_FAILURE(HandshakeOfGoodOnes());
  ASSERT_TRUE(Write(client_.connection.get(), "last words").ok());
  client_.connection->Shutdown([](absl::Status s) { EXPECT_TRUE(s.ok()); });
  loop_.RunDue();
  EXPECT_EQ(*Read(server_.connection.get()), "last words");
  EXPECT_EQ(*Read(server_.connection.get()), "");
  ASSERT_TRUE(Write(server_.connection.get(), "an answer").ok());
  EXPECT_EQ(*Read(client_.connection.get()), "an answer");
}

TEST_F(TlsTest, WorksByteByByte) {
  network_.set_read_max(1);
  ASSERT_NO_FATAL_FAILURE(HandshakeOfGoodOnes());
  ASSERT_TRUE(Write(client_.connection.get(), "hello").ok());
  std::string got;
  while (got.size() < 5) {
    auto bytes = Read(server_.connection.get());
    ASSERT_TRUE(bytes.ok()) << bytes.status();
    ASSERT_FALSE(bytes->empty());
    got += *bytes;
  }
  EXPECT_EQ(got, "hello");
}

TEST_F(TlsTest, AForeignCaIsRefusedAndTheReasonSaysSo) {
  Authority foreign("test");
  two_ = authority_.Server(&loop_, 2);
  one_ = foreign.Server(&loop_, 1);
  Handshake(one_.get(), two_.get());
  EXPECT_TRUE(absl::IsUnauthenticated(client_.status)) << client_.status;
  EXPECT_THAT(std::string(client_.status.message()),
              HasSubstr("certificate isn't good here"));
  EXPECT_THAT(std::string(client_.status.message()),
              AnyOf(HasSubstr("issuer"), HasSubstr("signature")));
  EXPECT_FALSE(server_.status.ok());
  EXPECT_EQ(server_.connection, nullptr);
}

TEST_F(TlsTest, AnotherClustersCertificateOfTheSameNameIsRefused) {
  Authority foreign("other");
  two_ = authority_.Server(&loop_, 2);
  one_ = foreign.Client(&loop_, ClientRole::kAdmin);
  Handshake(one_.get(), two_.get(), "");
  EXPECT_FALSE(client_.status.ok());
  EXPECT_FALSE(server_.status.ok());
}

TEST_F(TlsTest, AnExpiredCertificateIsRefused) {
  one_ = authority_.Server(&loop_, 1);
  two_ = authority_.Server(&loop_, 2);
  loop_.Stall(kValid + 2h);
  Handshake(one_.get(), two_.get());
  EXPECT_TRUE(absl::IsUnauthenticated(client_.status)) << client_.status;
  EXPECT_THAT(std::string(client_.status.message()), HasSubstr("expired"));
  EXPECT_THAT(std::string(client_.status.message()),
              HasSubstr("certificate has expired"));
  EXPECT_FALSE(server_.status.ok());
}

TEST_F(TlsTest, AnotherServerThanTheExpectedOneIsRefused) {
  one_ = authority_.Server(&loop_, 1);
  two_ = authority_.Server(&loop_, 2);
  Handshake(one_.get(), two_.get(), "3");
  EXPECT_TRUE(absl::IsUnauthenticated(client_.status)) << client_.status;
  EXPECT_THAT(std::string(client_.status.message()),
              HasSubstr("expected the certificate of server 3, found "
                        "holdfast://test/server/2"));
}

TEST_F(TlsTest, AClientsCertificateIsNoServers) {
  one_ = authority_.Server(&loop_, 1);
  two_ = authority_.Client(&loop_, ClientRole::kAdmin);
  Handshake(one_.get(), two_.get(), "");
  EXPECT_TRUE(absl::IsUnauthenticated(client_.status)) << client_.status;
  EXPECT_THAT(std::string(client_.status.message()), HasSubstr("client/app"));
}

TEST_F(TlsTest, AStreamCutWithoutACloseIsAnErrorAndNoEnd) {
  one_ = authority_.Server(&loop_, 1);
  two_ = authority_.Server(&loop_, 2);
  // Between the two, so that the raw stream can be ended.
  auto [near, near_far] = network_.Pair();
  auto [far_near, far] = network_.Pair();
  client_.op = one_->Connect(std::move(near), Buffer(), "2", client_.Done());
  server_.op = two_->Accept(std::move(far), server_.Done());
  Connection* left = near_far.get();
  Connection* right = far_near.get();
  // Moves what one side sent to the other one; false: nothing was there.
  auto relay = [this](Connection* from, Connection* to, bool* reading) {
    if (*reading) return;
    *reading = true;
    from->Read(100000, [to, reading](absl::StatusOr<Buffer> bytes) {
      if (!bytes.ok() || bytes->empty()) return;
      *reading = false;
      to->Write({*std::move(bytes)}, [](absl::Status) {});
    });
    loop_.RunDue();
  };
  bool from_left = false;
  bool from_right = false;
  for (int i = 0; i < 20; ++i) {
    relay(left, right, &from_left);
    relay(right, left, &from_right);
  }
  ASSERT_TRUE(client_.status.ok()) << client_.status;
  ASSERT_TRUE(server_.status.ok()) << server_.status;
  ASSERT_TRUE(Write(client_.connection.get(), "hello").ok());
  right->Shutdown([](absl::Status) {});
  loop_.RunDue();
  // What came in whole may be read; then it is an error.
  auto read = Read(server_.connection.get());
  if (read.ok()) {
    EXPECT_EQ(*read, "hello");
    read = Read(server_.connection.get());
  }
  EXPECT_TRUE(absl::IsUnavailable(read.status())) << read.status();
  EXPECT_THAT(std::string(read.status().message()),
              HasSubstr("without a proper close"));
}

TEST_F(TlsTest, AResetIsAnError) {
  ASSERT_NO_FATAL_FAILURE(HandshakeOfGoodOnes());
  client_.connection = nullptr;
  auto read = Read(server_.connection.get());
  EXPECT_TRUE(absl::IsUnavailable(read.status())) << read.status();
}

TEST_F(TlsTest, GarbageFailsTheHandshakeAndBlamesNoCertificate) {
  ASSERT_NO_FATAL_FAILURE(Feed(std::string(5000, 'g'), false));
  EXPECT_TRUE(absl::IsUnauthenticated(server_.status)) << server_.status;
  EXPECT_THAT(std::string(server_.status.message()),
              HasSubstr("TLS handshake: "));
}

TEST_F(TlsTest, AnEndAmidTheHandshakeFailsIt) {
  ASSERT_NO_FATAL_FAILURE(Feed(std::string("\x16\x03\x01\x02", 4), true));
  EXPECT_TRUE(absl::IsUnauthenticated(server_.status)) << server_.status;
  EXPECT_THAT(std::string(server_.status.message()),
              HasSubstr("ended the TLS handshake"));
}

TEST_F(TlsTest, AHandshakeThatGetsNothingWaitsAndCanBeDropped) {
  ASSERT_NO_FATAL_FAILURE(Feed(std::string("\x16\x03\x01\x02", 4), false));
  EXPECT_EQ(server_.status.message(), "it never ended");
  server_.op = nullptr;
  loop_.RunDue();
  EXPECT_EQ(server_.status.message(), "it never ended");
}

TEST_F(TlsTest, ABigTransferIsByteExactOverASmallPipe) {
  network_.set_capacity(10000);
  network_.set_read_max(7777);
  ASSERT_NO_FATAL_FAILURE(HandshakeOfGoodOnes());
  std::string sent(5'000'000, '\0');
  for (size_t i = 0; i < sent.size(); ++i) {
    sent[i] = static_cast<char>(i * 31 + i / 251);
  }
  // In pieces of all sizes.
  Buffers parts;
  size_t at = 0;
  for (size_t size = 1; at < sent.size(); size = size * 3 % 50021 + 1) {
    size_t n = std::min(size, sent.size() - at);
    parts.push_back(Buffer::Copy(absl::string_view(sent).substr(at, n)));
    at += n;
  }
  bool written = false;
  client_.connection->Write(std::move(parts), [&](absl::Status s) {
    EXPECT_TRUE(s.ok()) << s;
    written = true;
  });
  loop_.RunDue();
  EXPECT_FALSE(written);  // nobody reads
  std::string got;
  while (got.size() < sent.size()) {
    auto bytes = Read(server_.connection.get());
    ASSERT_TRUE(bytes.ok()) << bytes.status();
    ASSERT_FALSE(bytes->empty());
    got += *bytes;
  }
  EXPECT_TRUE(got == sent);
  EXPECT_TRUE(written);
}

TEST(IdentityUriTest, ParsesStrictlyAndFormatsBack) {
  for (const char* good :
       {"holdfast://c/server/1", "holdfast://c/client/a.b-c_d?role=read",
        "holdfast://c/client/x?role=write",
        "holdfast://c/client/x?role=admin"}) {
    auto identity = ParseIdentityUri(good);
    ASSERT_TRUE(identity.ok()) << identity.status();
    EXPECT_EQ(FormatIdentityUri(*identity), good);
  }
  for (const char* bad :
       {"", "http://c/server/1", "holdfast://c/server/0",
        "holdfast://c/server/01", "holdfast://c/server/1/",
        "holdfast://c/server/x", "holdfast:///server/1",
        "holdfast://c/client/x", "holdfast://c/client/x?role=root",
        "holdfast://c/client/?role=read", "holdfast://c/peer/1",
        "holdfast://c/client/x?role=read&role=admin"}) {
    EXPECT_TRUE(absl::IsUnauthenticated(ParseIdentityUri(bad).status())) << bad;
  }
}

TEST(TlsSecurityTest, CredentialsThatCannotBeUsedAreRefused) {
  EpollLoop loop;
  auto security = TlsSecurity::Create(
      &loop, {.ca_certificate = "x", .certificate = "y", .private_key = "z"});
  EXPECT_TRUE(absl::IsInvalidArgument(security.status())) << security.status();
}

}  // namespace
}  // namespace holdfast
