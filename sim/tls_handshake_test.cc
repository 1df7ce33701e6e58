// The product's TLS between two simulated processes, cut at every byte.

#include <array>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/peer/acceptor.h"
#include "engine/peer/dialer.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sim/sim_network.h"
#include "sim/testing/cut_network.h"
#include "sim/tls_mode.h"

namespace holdfast {
namespace {

constexpr MachineId kDials = 1;
constexpr MachineId kAccepts = 2;

// A simulated process with TLS over a network that can be cut.
struct Party {
  Party(World* world, NetworkFabric* fabric, MachineId machine,
        const TlsMode& tls, CutPlan* plan)
      : process(world, machine, 1, ClockModel{}),
        network(&process, fabric),
        cut(process.loop(), &network, plan),
        security(tls.ForServer(machine)(process.loop())) {}

  SimProcess process;
  SimNetwork network;
  CutNetwork cut;
  std::unique_ptr<Security> security;
};

class TlsTest : public ::testing::Test {
 protected:
  explicit TlsTest(const SimNetworkOptions& options = {.tail_ppm = 0})
      : fabric_(&world_, options) {
    fabric_.CarriesCiphertext();
  }

  void Run(Duration length) {
    const TrueTime limit = world_.now() + length;
    while (world_.scheduler.StepUntil(limit)) {
    }
  }

  World world_{1};
  NetworkFabric fabric_;
  TlsMode tls_;
  CutPlan plan_;
  Party dialler_{&world_, &fabric_, kDials, tls_, &plan_};
  Party acceptor_{&world_, &fabric_, kAccepts, tls_, &plan_};
};

// --- From the dial to the hello ---

class TlsHandshakeTest : public TlsTest {
 protected:
  TlsHandshakeTest() { OpenPort(); }

  void OpenPort() {
    Acceptor::Callbacks callbacks;
    callbacks.judge = [](const PeerIdentity&, const Hello&) -> HelloVerdict {
      return OwnHello(kAccepts);
    };
    callbacks.on_raft = [this](InboundStream inbound) {
      handed_on_ = true;
      inbound_ = std::move(inbound.stream);
      MessageStream::Callbacks of_stream;
      of_stream.on_closed = [this](const absl::Status&) { inbound_ = nullptr; };
      inbound_->Start(std::move(of_stream));
    };
    callbacks.log_line = [this](absl::string_view line) {
      refused_ = std::string(line);
    };
    port_ = std::make_unique<Acceptor>(
        acceptor_.process.loop(), &acceptor_.cut, acceptor_.security.get(),
        AcceptorOptions{.cluster_name = "sim", .deadline = kAcceptDeadline},
        std::move(callbacks));
    EXPECT_TRUE(port_->Listen(NetworkFabric::AddressOf(kAccepts)).ok());
  }
  // Both get certificates of another CA, with other keys.
  void Renew() {
    const TlsMode another;
    port_ = nullptr;
    dialler_.security = another.ForServer(kDials)(dialler_.process.loop());
    acceptor_.security = another.ForServer(kAccepts)(acceptor_.process.loop());
    OpenPort();
  }

  static constexpr Duration kDialDeadline = 1s;
  static constexpr Duration kAcceptDeadline = 10s;
  // An accepted stream from which nothing comes is given up after about that.
  static constexpr Duration kGivenUp = 30s;

  static Hello OwnHello(MachineId machine) {
    Hello hello;
    hello.cluster_name = "sim";
    hello.server_id = ServerId(machine);
    hello.incarnation = Incarnation(machine);
    return hello;
  }

  void Dial(const Cut& cut) {
    plan_.Begin(cut);
    outcome_.reset();
    handed_on_ = false;
    refused_.clear();
    DialOptions options{.address = NetworkFabric::AddressOf(kAccepts),
                        .hello = OwnHello(kDials),
                        .expected_server = ServerId(kAccepts),
                        .deadline = kDialDeadline,
                        .stream = {}};
    dial_ = DialServer(dialler_.process.loop(), &dialler_.cut,
                       dialler_.security.get(), std::move(options),
                       [this](absl::StatusOr<OutboundStream> dialled) {
                         dial_ = nullptr;
                         outcome_ = dialled.status();
                         if (dialled.ok())
                           outbound_ = std::move(dialled->stream);
                       });
    Run(kDialDeadline + 100ms);
  }
  bool Established() const {
    return outcome_.has_value() && outcome_->ok() && handed_on_;
  }
  // How both ends saw it.
  std::string Story() const {
    return absl::StrCat(
        outcome_.has_value() ? outcome_->ToString() : "it never ended", " | ",
        handed_on_ ? "handed on" : refused_);
  }
  void Drop() {
    dial_ = nullptr;
    outbound_ = nullptr;
  }
  // Nobody holds an end of a connection any more.
  bool AllClosed() const {
    return port_->pending() == 0 && plan_.connections == 0;
  }
  // Bytes of each side, from the dial to both hellos.
  std::array<size_t, 2> Lengths() {
    Dial({});
    EXPECT_TRUE(Established()) << Story();
    const std::array<size_t, 2> lengths = plan_.read;
    Drop();
    Run(1s);
    EXPECT_TRUE(AllClosed());
    return lengths;
  }

  std::unique_ptr<MessageStream> inbound_;
  std::unique_ptr<MessageStream> outbound_;
  bool handed_on_ = false;
  std::string refused_;
  std::optional<absl::Status> outcome_;
  std::unique_ptr<PendingOp> dial_;
  std::unique_ptr<Acceptor> port_;
};

TEST_F(TlsHandshakeTest, LengthsAreTheSameWithAllKeysAndCertificates) {
  const std::array<size_t, 2> lengths = Lengths();
  for (int i = 0; i < 300; ++i) {
    Renew();
    ASSERT_EQ(Lengths(), lengths);
  }
}

struct CutCase {
  Cut::Kind kind;
  int side;
};

std::string NameOfCase(const ::testing::TestParamInfo<CutCase>& info) {
  const char* kind = info.param.kind == Cut::Kind::kReset ? "Reset"
                     : info.param.kind == Cut::Kind::kEnd ? "End"
                                                          : "Silence";
  return absl::StrCat(kind, info.param.side == 0 ? "OfTheDiallersBytes"
                                                 : "OfTheAcceptorsBytes");
}

class CutHandshakeTest : public TlsHandshakeTest,
                         public ::testing::WithParamInterface<CutCase> {
 protected:
  void ExpectNothingEstablished(size_t after) {
    ASSERT_TRUE(outcome_.has_value()) << "the dial hangs";
    ASSERT_FALSE(outcome_->ok());
    // Its last byte is the hello's: before it came nothing is accepted.
    if (GetParam().side == 0) {
      ASSERT_FALSE(handed_on_) << after;
    }
    if (!AllClosed()) Run(handed_on_ ? kGivenUp : kAcceptDeadline);
    ASSERT_TRUE(AllClosed()) << Story();
  }
};

TEST_P(CutHandshakeTest, IsNeitherEstablishedNorLeftOver) {
  const size_t length = Lengths()[GetParam().side];
  // The dialler's certificate, its proof and both hellos are that long at
  // least; certificates of a few names aren't much longer.
  ASSERT_GT(length, 600u);
  ASSERT_LT(length, 1200u);
  for (size_t after = 0; after < length; ++after) {
    SCOPED_TRACE(after);
    Dial({.kind = GetParam().kind, .side = GetParam().side, .after = after});
    ASSERT_NO_FATAL_FAILURE(ExpectNothingEstablished(after));
    Dial({});
    ASSERT_TRUE(Established()) << Story();
    Drop();
    Run(100ms);
    ASSERT_TRUE(AllClosed());
  }
}

INSTANTIATE_TEST_SUITE_P(AtEveryByte, CutHandshakeTest,
                         ::testing::Values(CutCase{Cut::Kind::kReset, 0},
                                           CutCase{Cut::Kind::kReset, 1},
                                           CutCase{Cut::Kind::kEnd, 0},
                                           CutCase{Cut::Kind::kEnd, 1},
                                           CutCase{Cut::Kind::kSilence, 0},
                                           CutCase{Cut::Kind::kSilence, 1}),
                         NameOfCase);

// One bit of each byte. The lower byte of a version in a record's header in the
// clear means nothing to anybody (RFC 8446, section 5.1), and isn't a part of
// what is proved: that of the first record each way.
TEST_F(TlsHandshakeTest, AFlippedBitFailsItUnlessItMeansNothing) {
  const std::array<size_t, 2> lengths = Lengths();
  size_t cases = 0;
  std::vector<std::string> harmless;
  for (const int side : {0, 1}) {
    for (size_t byte = 0; byte < lengths[side]; ++byte) {
      ++cases;
      Dial({.kind = Cut::Kind::kFlip,
            .side = side,
            .after = byte,
            .bit = static_cast<int>(byte % 8)});
      if (Established()) harmless.push_back(absl::StrCat(side, ":", byte));
      Drop();
      if (!AllClosed()) Run(kGivenUp);
      ASSERT_TRUE(AllClosed()) << Story();
    }
  }
  EXPECT_GT(cases, 1200u);
  // Behind the connection's first byte, and the record's type.
  EXPECT_THAT(harmless, ::testing::ElementsAre("0:3", "1:2"));
}

// --- Records ---

// Two ends of one TLS connection, and what came of its bytes.
class TlsRecordTest : public TlsTest {
 protected:
  using TlsTest::TlsTest;

  static constexpr size_t kWriteBytes = 100;
  static constexpr int kWrites = 3;

  // Dials, and writes some records one after the other, and a proper end.
  void Send(const Cut& cut) {
    plan_.Begin(cut);
    got_.clear();
    end_.reset();
    absl::StatusOr<std::unique_ptr<Listener>> listener = acceptor_.cut.Listen(
        NetworkFabric::AddressOf(kAccepts),
        [this](std::unique_ptr<Connection> raw) {
          accepting_ = acceptor_.security->Accept(
              std::move(raw), [this](absl::StatusOr<SecuredConnection> s) {
                if (!s.ok()) return;
                accepted_ = std::move(s->connection);
                ReadOn();
              });
        });
    ASSERT_TRUE(listener.ok());
    std::unique_ptr<PendingOp> dial = dialler_.cut.Dial(
        NetworkFabric::AddressOf(kAccepts),
        [this](absl::StatusOr<std::unique_ptr<Connection>> raw) {
          ASSERT_TRUE(raw.ok());
          connecting_ = dialler_.security->Connect(
              *std::move(raw), Buffer(), absl::StrCat(kAccepts),
              [this](absl::StatusOr<SecuredConnection> s) {
                if (!s.ok()) return;
                dialled_ = std::move(s->connection);
                handshake_bytes_ = plan_.read[0];
                WriteOn(0);
              });
        });
    Run(5s);
    dialled_ = nullptr;
    Run(1s);
    connecting_ = nullptr;
    accepting_ = nullptr;
    accepted_ = nullptr;
    Run(1s);
  }
  static std::string Written(int n) {
    std::string all;
    for (int i = 0; i < n; ++i)
      all.append(kWriteBytes, static_cast<char>('a' + i));
    return all;
  }

  std::string got_;
  std::optional<absl::Status> end_;  // OK: a proper one
  size_t handshake_bytes_ = 0;       // the dialler's that were read before

 private:
  void WriteOn(int written) {
    if (written == kWrites) {
      return dialled_->Shutdown([](const absl::Status&) {});
    }
    dialled_->Write({Buffer::Copy(std::string(
                        kWriteBytes, static_cast<char>('a' + written)))},
                    [this, written](const absl::Status& status) {
                      if (status.ok()) WriteOn(written + 1);
                    });
  }
  void ReadOn() {
    accepted_->Read(64 << 10, [this](absl::StatusOr<Buffer> bytes) {
      if (!bytes.ok() || bytes->empty()) {
        end_ = bytes.status();
        return;
      }
      got_ += std::string(bytes->view());
      ReadOn();
    });
  }

  std::unique_ptr<PendingOp> accepting_;
  std::unique_ptr<PendingOp> connecting_;
  std::unique_ptr<Connection> accepted_;
  std::unique_ptr<Connection> dialled_;
};

TEST_F(TlsRecordTest, CutAtEveryByteComeWholeOrNotAtAll) {
  Send({});
  ASSERT_EQ(got_, Written(kWrites));
  ASSERT_TRUE(end_.has_value() && end_->ok());
  const size_t all = plan_.read[0];
  const size_t begin = handshake_bytes_;
  ASSERT_GT(all, begin + kWrites * kWriteBytes);
  size_t cases = 0;
  for (const Cut::Kind kind : {Cut::Kind::kReset, Cut::Kind::kEnd,
                               Cut::Kind::kSilence, Cut::Kind::kFlip}) {
    for (size_t after = begin; after < all; ++after) {
      SCOPED_TRACE(absl::StrCat(after, ", kind ", static_cast<int>(kind)));
      ++cases;
      Send({.kind = kind, .side = 0, .after = after, .bit = 3});
      ASSERT_EQ(got_.size() % kWriteBytes, 0u);
      ASSERT_EQ(got_, Written(static_cast<int>(got_.size() / kWriteBytes)));
      // Nobody takes that for the end of what was said.
      ASSERT_FALSE(end_.has_value() && end_->ok());
      ASSERT_EQ(plan_.connections, 0);
    }
  }
  EXPECT_GT(cases, 1200u);
}

TEST_F(TlsRecordTest, ReadByteByByteComeWhole) {
  plan_.read_max = 1;
  Send({});
  EXPECT_EQ(got_, Written(kWrites));
  EXPECT_TRUE(end_.has_value() && end_->ok());
}

class TlsByteByByteTest : public TlsRecordTest {
 protected:
  TlsByteByByteTest()
      : TlsRecordTest({.delay_min = 1us,
                       .delay_max = 2us,
                       .tail_ppm = 0,
                       .window_bytes = 1}) {}
};

TEST_F(TlsByteByByteTest, WrittenSoTheyComeWhole) {
  Send({});
  EXPECT_EQ(got_, Written(kWrites));
  EXPECT_TRUE(end_.has_value() && end_->ok());
}

}  // namespace
}  // namespace holdfast
