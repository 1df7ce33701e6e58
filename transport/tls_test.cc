#include "transport/tls.h"

#include <stdlib.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "engine/peer/testing/manual_loop.h"
#include "engine/peer/testing/memory_network.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "transport/certs.h"
#include "transport/epoll_loop.h"
#include "transport/tls_authority.h"

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

  std::unique_ptr<TlsSecurity> Server(Loop* loop, uint64_t id,
                                      Duration validity = kValid,
                                      const TlsLimits& limits = {}) {
    absl::Status made =
        IssueServer(directory_, ServerId(id), {"127.0.0.1"}, validity);
    EXPECT_TRUE(made.ok()) << made;
    return Use(loop, LoadServer(directory_, ServerId(id)), limits);
  }
  std::unique_ptr<TlsSecurity> Client(Loop* loop, ClientRole role) {
    absl::Status made = IssueClient(directory_, "app", role, kValid);
    EXPECT_TRUE(made.ok()) << made;
    return Use(loop, LoadClient(directory_, "app"));
  }

 private:
  static std::unique_ptr<TlsSecurity> Use(
      Loop* loop, const absl::StatusOr<TlsCredentials>& credentials,
      const TlsLimits& limits = {}) {
    EXPECT_TRUE(credentials.ok()) << credentials.status();
    if (!credentials.ok()) return nullptr;
    auto security = TlsSecurity::Create(loop, *credentials, limits);
    EXPECT_TRUE(security.ok()) << security.status();
    return security.ok() ? *std::move(security) : nullptr;
  }

  std::string directory_;
};

// A stream from which nothing comes, and how much of it was asked for.
struct Asked final : Connection {
  size_t most = 0;
  void Read(size_t max, ResultFn<Buffer> /*done*/) override {
    most = std::max(most, max);
  }
  void Write(Buffers /*data*/, DoneFn /*done*/) override {}
  void Shutdown(DoneFn /*done*/) override {}
  void Abort() override {}
  std::string Describe() const override { return "nobody"; }
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

  // The two handshake over two streams with a relay between, so that the raw
  // streams can be seen and ended: left_ is the client's, right_ the server's.
  // What is written later isn't relayed.
  void HandshakeOverARelay(const TlsLimits& limits = {}) {
    one_ = authority_.Server(&loop_, 1, kValid, limits);
    two_ = authority_.Server(&loop_, 2);
    auto [near, left] = network_.Pair();
    auto [right, far] = network_.Pair();
    left_ = std::move(left);
    right_ = std::move(right);
    client_.op = one_->Connect(std::move(near), Buffer(), "2", client_.Done());
    server_.op = two_->Accept(std::move(far), server_.Done());
    loop_.RunDue();
    // The client's hello, the server's half, the client's.
    ASSERT_NO_FATAL_FAILURE(Relay(left_.get(), right_.get()));
    ASSERT_NO_FATAL_FAILURE(Relay(right_.get(), left_.get()));
    ASSERT_NO_FATAL_FAILURE(Relay(left_.get(), right_.get()));
    ASSERT_TRUE(client_.status.ok()) << client_.status;
    ASSERT_TRUE(server_.status.ok()) << server_.status;
  }
  void Relay(Connection* from, Connection* to) {
    const absl::StatusOr<std::string> bytes = Read(from);
    ASSERT_TRUE(bytes.ok()) << bytes.status();
    ASSERT_TRUE(Write(to, *bytes).ok());
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

  // As long as its header says, and of the right type.
  static std::string GarbageRecord() {
    return std::string("\x17\x03\x03\x00\x20", 5) + std::string(32, 'g');
  }

  ManualLoop loop_;
  MemoryNetwork network_{&loop_};
  Authority authority_{"test"};
  std::unique_ptr<TlsSecurity> one_;
  std::unique_ptr<TlsSecurity> two_;
  std::unique_ptr<Connection> raw_;
  std::unique_ptr<Connection> left_;
  std::unique_ptr<Connection> right_;
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

// The refused side finds out why by an alert, in what it reads next.
TEST_F(TlsTest, WhoIsRefusedIsToldWhy) {
  one_ = authority_.Server(&loop_, 1, 1h);
  two_ = authority_.Server(&loop_, 2);
  loop_.Stall(2h);
  Handshake(one_.get(), two_.get());
  EXPECT_THAT(std::string(server_.status.message()),
              HasSubstr("certificate has expired"));
  // In TLS 1.3 who dials is done before its certificate is looked at.
  ASSERT_TRUE(client_.status.ok()) << client_.status;
  EXPECT_THAT(std::string(Read(client_.connection.get()).status().message()),
              HasSubstr("the peer refuses this side's certificate: it has "
                        "expired, or isn't good yet, by the peer's clock"));
  Handshake(two_.get(), one_.get(), "1");
  EXPECT_THAT(std::string(server_.status.message()),
              HasSubstr("the peer refuses this side's certificate: it has "
                        "expired, or isn't good yet, by the peer's clock"));
}

TEST_F(TlsTest, WhoHasAnotherNameIsToldSo) {
  one_ = authority_.Server(&loop_, 1);
  two_ = authority_.Server(&loop_, 2);
  Handshake(one_.get(), two_.get(), "3");
  ASSERT_TRUE(server_.status.ok()) << server_.status;
  EXPECT_THAT(std::string(Read(server_.connection.get()).status().message()),
              HasSubstr("the peer refuses this side's certificate: it isn't in "
                        "the name that was expected"));
}

TEST_F(TlsTest, AForeignCaIsToldSo) {
  Authority foreign("test");
  two_ = authority_.Server(&loop_, 2);
  one_ = foreign.Server(&loop_, 1);
  Handshake(one_.get(), two_.get());
  EXPECT_THAT(std::string(server_.status.message()),
              HasSubstr("the peer refuses this side's certificate"));
}

// What a stranger can make this side keep is bounded.
TEST_F(TlsTest, AHandshakeTakesLittleOfAStranger) {
  two_ = authority_.Server(&loop_, 2);
  auto raw = std::make_unique<Asked>();
  const Asked* asked = raw.get();
  server_.op = two_->Accept(std::move(raw), server_.Done());
  loop_.RunDue();
  EXPECT_GT(asked->most, 0u);
  EXPECT_LE(asked->most, size_t{16} << 10);
}

TEST_F(TlsTest, AHandshakeMessageThatIsTooLongFailsAtOnce) {
  // A record with the beginning of a message of 100,000 bytes.
  std::string bytes("\x16\x03\x01\x40\x00\x01\x01\x86\xa0", 9);
  bytes.resize(5 + 0x4000, 'x');
  ASSERT_NO_FATAL_FAILURE(Feed(bytes, false));
  EXPECT_TRUE(absl::IsUnauthenticated(server_.status)) << server_.status;
  EXPECT_THAT(std::string(server_.status.message()),
              HasSubstr("EXCESSIVE_MESSAGE_SIZE"));
}

// Garbage takes a record's place; what was written meanwhile doesn't go out.
TEST_F(TlsTest, NothingCanBeWrittenOnceReadingFailed) {
  ASSERT_NO_FATAL_FAILURE(HandshakeOverARelay());
  ASSERT_TRUE(Write(right_.get(), GarbageRecord()).ok());
  const auto read = Read(server_.connection.get());
  EXPECT_TRUE(absl::IsUnavailable(read.status())) << read.status();
  EXPECT_THAT(std::string(read.status().message()), HasSubstr("TLS read: "));
  EXPECT_FALSE(Write(server_.connection.get(), "too late").ok());
  // It stays so.
  EXPECT_FALSE(Read(server_.connection.get()).ok());
  // One record went out, with the alert.
  const std::string out = *Read(right_.get());
  EXPECT_EQ(out.size(), 5u + 2 + 1 + 16);
}

// Though nothing more comes.
TEST_F(TlsTest, GarbageBehindGoodBytesIsFoundAtOnce) {
  ASSERT_NO_FATAL_FAILURE(HandshakeOverARelay());
  ASSERT_TRUE(Write(client_.connection.get(), "hello").ok());
  ASSERT_TRUE(Write(right_.get(), *Read(left_.get()) + GarbageRecord()).ok());
  EXPECT_EQ(*Read(server_.connection.get()), "hello");
  const auto read = Read(server_.connection.get());
  EXPECT_THAT(std::string(read.status().message()), HasSubstr("TLS read: "));
}

// Also if the stream below doesn't end, or ends in an error.
TEST_F(TlsTest, ACloseBehindLastBytesIsFoundAtOnce) {
  ASSERT_NO_FATAL_FAILURE(HandshakeOverARelay());
  ASSERT_TRUE(Write(client_.connection.get(), "last words").ok());
  client_.connection->Shutdown([](absl::Status s) { EXPECT_TRUE(s.ok()); });
  loop_.RunDue();
  std::string bytes = *Read(left_.get(), 5 + 10 + 17);
  bytes += *Read(left_.get());
  ASSERT_TRUE(Write(right_.get(), bytes).ok());
  EXPECT_EQ(*Read(server_.connection.get()), "last words");
  for (int i = 0; i < 2; ++i) {
    const auto end = Read(server_.connection.get());
    ASSERT_TRUE(end.ok()) << end.status();
    EXPECT_EQ(*end, "");
  }
}

TEST_F(TlsTest, GarbageAfterAnEndOfItsOwnIsAnErrorAndNoWrite) {
  ASSERT_NO_FATAL_FAILURE(HandshakeOverARelay());
  server_.connection->Shutdown([](absl::Status s) { EXPECT_TRUE(s.ok()); });
  loop_.RunDue();
  ASSERT_TRUE(Write(right_.get(), GarbageRecord()).ok());
  EXPECT_FALSE(Read(server_.connection.get()).ok());
}

TEST_F(TlsTest, MayBeDestroyedInItsCompletions) {
  ASSERT_NO_FATAL_FAILURE(HandshakeOfGoodOnes());
  ASSERT_TRUE(Write(client_.connection.get(), "hello").ok());
  bool read = false;
  server_.connection->Read(100, [&](const absl::StatusOr<Buffer>& bytes) {
    EXPECT_TRUE(bytes.ok());
    server_.connection = nullptr;
    read = true;
  });
  bool written = false;
  client_.connection->Write({Buffer::Copy("more")}, [&](const absl::Status&) {
    client_.connection = nullptr;
    written = true;
  });
  loop_.RunDue();
  EXPECT_TRUE(read);
  EXPECT_TRUE(written);
}

TEST_F(TlsTest, MayBeDestroyedWithAllUnderWay) {
  network_.set_capacity(100);
  ASSERT_NO_FATAL_FAILURE(HandshakeOfGoodOnes());
  client_.connection->Write({Buffer::Copy(std::string(100000, 'x'))},
                            [](const absl::Status&) { ADD_FAILURE(); });
  client_.connection->Read(
      100, [](const absl::StatusOr<Buffer>&) { ADD_FAILURE(); });
  client_.connection = nullptr;
  loop_.RunDue();
  Handshake(one_.get(), two_.get());
  client_.op = nullptr;
  server_.op = nullptr;
  loop_.RunDue();
}

TEST_F(TlsTest, AnEndAmidTheHandshakeThatIsProperIsNamed) {
  // An alert that says so, in the clear.
  ASSERT_NO_FATAL_FAILURE(
      Feed(std::string("\x15\x03\x01\x00\x02\x01\x00", 7), false));
  EXPECT_THAT(std::string(server_.status.message()),
              HasSubstr("ended the TLS handshake"));
}

TEST(TlsAuthorityTest, NamesAsLongAsTheyMayBeHaveCertificates) {
  const WallTime now(24h * 20000);
  const TlsValidity validity{.from = now - 1h, .until = now + 1h};
  const std::string longest(64, 'n');
  auto authority = TlsAuthority::Create(longest, validity);
  ASSERT_TRUE(authority.ok()) << authority.status();
  PeerIdentity name{.kind = PeerIdentity::Kind::kClient,
                    .cluster = longest,
                    .name = longest,
                    .role = ClientRole::kRead};
  EXPECT_TRUE(authority->Issue(name, {}, validity).ok());
  name.name += "n";
  EXPECT_TRUE(
      absl::IsInvalidArgument(authority->Issue(name, {}, validity).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(
      TlsAuthority::Create(longest + "n", validity).status()));
}

TEST(TlsAuthorityTest, AHostBringsNoFurtherNamesAlong) {
  const WallTime now(24h * 20000);
  const TlsValidity validity{.from = now - 1h, .until = now + 1h};
  auto authority = TlsAuthority::Create("c", validity);
  ASSERT_TRUE(authority.ok());
  const PeerIdentity name{
      .kind = PeerIdentity::Kind::kServer, .cluster = "c", .name = "1"};
  EXPECT_TRUE(
      authority->Issue(name, {"db1.example.org", "10.0.0.1", "::1"}, validity)
          .ok());
  for (const char* host :
       {"a,URI:holdfast://c/server/2", ":,URI:d", "", "a b", "a\nDNS:b"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(
        authority->Issue(name, {host}, validity).status()))
        << host;
  }
}

// Lengths that varied with the serial number would vary a handshake's.
TEST(TlsAuthorityTest, CertificatesOfOneNameAreAllEquallyLong) {
  const WallTime now(24h * 20000);
  const TlsValidity validity{.from = now - 1h, .until = now + 1h};
  auto authority = TlsAuthority::Create("c", validity);
  ASSERT_TRUE(authority.ok()) << authority.status();
  const PeerIdentity name{
      .kind = PeerIdentity::Kind::kServer, .cluster = "c", .name = "1"};
  std::set<size_t> lengths;
  for (int i = 0; i < 2000; ++i) {
    lengths.insert(authority->Issue(name, {}, validity)->certificate.size());
  }
  EXPECT_EQ(lengths.size(), 1u);
}

TEST_F(TlsTest, ACertificateIsGoodFromItsFirstSecondOnAndBeforeItsLast) {
  const WallTime now(std::chrono::duration_cast<std::chrono::seconds>(
      loop_.WallNow().time_since_epoch()));
  loop_.Stall(now + 10s - loop_.WallNow());
  const auto authority =
      TlsAuthority::Create("c", {.from = now - 1h, .until = now + 1h});
  ASSERT_TRUE(authority.ok()) << authority.status();
  const auto server = [&](uint64_t id, TlsValidity validity) {
    const PeerIdentity name{.kind = PeerIdentity::Kind::kServer,
                            .cluster = "c",
                            .name = std::to_string(id)};
    const auto issued = authority->Issue(name, {}, validity);
    EXPECT_TRUE(issued.ok()) << issued.status();
    return *TlsSecurity::Create(&loop_, *issued);
  };
  two_ = server(2, {.from = now, .until = now + 1h});
  const struct {
    TlsValidity validity;
    bool good;
  } cases[] = {{{.from = now + 10s, .until = now + 1h}, true},
               {{.from = now + 11s, .until = now + 1h}, false},
               {{.from = now, .until = now + 11s}, true},
               {{.from = now, .until = now + 10s}, false}};
  for (const auto& c : cases) {
    one_ = server(1, c.validity);
    server_.status = absl::UnknownError("it never ended");
    Handshake(one_.get(), two_.get());
    EXPECT_EQ(server_.status.ok(), c.good) << server_.status;
  }
}

// It couldn't sign.
TEST(TlsAuthorityTest, ACaWithAnotherKindOfKeyIsRefused) {
  // openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes
  //   -subj /CN=c -days 36500
  constexpr char kCertificate[] = R"(-----BEGIN CERTIFICATE-----
MIIBcDCCARWgAwIBAgIUTveLVBegOA2/WIPqyAu6kvAdDaUwCgYIKoZIzj0EAwIw
DDEKMAgGA1UEAwwBYzAgFw0yNjExMjgyMzM3MDFaGA8yMTI2MTEwNDIzMzcwMVow
DDEKMAgGA1UEAwwBYzBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABG8YIq+ECSJj
S0LfQOj08an7Ovc8bGi9rhpPN2Hqe3jAcYeHeeI6lwFWy5U/tCHwd4nwDZWRiZ6c
UFIqbAbE5FKjUzBRMB0GA1UdDgQWBBRPjruqZUsMNXvRBDomVgobX9Oj/jAfBgNV
HSMEGDAWgBRPjruqZUsMNXvRBDomVgobX9Oj/jAPBgNVHRMBAf8EBTADAQH/MAoG
CCqGSM49BAMCA0kAMEYCIQDIHpTT1fSMB1KWwU2U3IHx+N5RgOkBBmLv4FbgtXUL
iwIhAIBwJY9OP+i+u6JG3lcNn+sKNU4hU+ptvg4ZnIazgsoO
-----END CERTIFICATE-----
)";
  constexpr char kKey[] = R"(-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgUmpV/dyx6xbNUykX
w9GsRF6Ni/mv2BNhsKQzWd36hj+hRANCAARvGCKvhAkiY0tC30Do9PGp+zr3PGxo
va4aTzdh6nt4wHGHh3niOpcBVsuVP7Qh8HeJ8A2VkYmenFBSKmwGxORS
-----END PRIVATE KEY-----
)";
  const auto authority = TlsAuthority::Load(kCertificate, kKey);
  EXPECT_TRUE(absl::IsInvalidArgument(authority.status()))
      << authority.status();
  EXPECT_THAT(std::string(authority.status().message()), HasSubstr("Ed25519"));
}

TEST_F(TlsTest, AClientsCertificateIsNoServers) {
  one_ = authority_.Server(&loop_, 1);
  two_ = authority_.Client(&loop_, ClientRole::kAdmin);
  Handshake(one_.get(), two_.get(), "");
  EXPECT_TRUE(absl::IsUnauthenticated(client_.status)) << client_.status;
  EXPECT_THAT(std::string(client_.status.message()), HasSubstr("client/app"));
}

TEST_F(TlsTest, AStreamCutWithoutACloseIsAnErrorAndNoEnd) {
  ASSERT_NO_FATAL_FAILURE(HandshakeOverARelay());
  ASSERT_TRUE(Write(client_.connection.get(), "hello").ok());
  right_->Shutdown([](absl::Status) {});
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

TEST_F(TlsTest, KeysAreReplacedAndNothingIsLost) {
  one_ = authority_.Server(&loop_, 1, kValid, {.key_bytes_max = 100});
  two_ = authority_.Server(&loop_, 2, kValid, {.key_bytes_max = 1});
  Handshake(one_.get(), two_.get());
  ASSERT_TRUE(client_.status.ok()) << client_.status;
  for (int i = 0; i < 1000; ++i) {
    ASSERT_TRUE(Write(client_.connection.get(), "question").ok());
    ASSERT_EQ(*Read(server_.connection.get()), "question");
    ASSERT_TRUE(Write(server_.connection.get(), "answer").ok());
    ASSERT_EQ(*Read(client_.connection.get()), "answer");
  }
}

// Behind three records of 8 bytes, which take 40 each of their key.
TEST_F(TlsTest, AKeyIsReplacedOnceItHasEncryptedSoMuch) {
  ASSERT_NO_FATAL_FAILURE(HandshakeOverARelay({.key_bytes_max = 120}));
  const std::string record(5 + 8 + 17, ' ');
  const std::string key_update(5 + 5 + 17, ' ');
  for (int i = 0; i < 9; ++i) {
    ASSERT_TRUE(Write(client_.connection.get(), "8 bytes.").ok());
    const std::string out = *Read(left_.get());
    EXPECT_EQ(out.size(),
              record.size() + (i % 3 == 0 && i > 0 ? key_update.size() : 0));
    ASSERT_TRUE(Write(right_.get(), out).ok());
    EXPECT_EQ(*Read(server_.connection.get()), "8 bytes.");
  }
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
