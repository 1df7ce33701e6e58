// Whole simulated clusters under TLS: certificates that expire or say
// something else than expected, and connections that break in mid-record.

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sim/testing/scenario.h"
#include "sim/tls_mode.h"
#include "transport/tls_authority.h"

namespace holdfast {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// A cluster of three, of which the third server gets certificates that aren't
// as they should be.
class TlsScenario : public Scenario {
 protected:
  void MakeCluster() {
    set_tls(true);
    Make(1, 3);
    sim_->world()->trace.set_on_note(
        [this](const std::string& note) { notes_.push_back(note); });
    ASSERT_TRUE(Progress(3));
  }
  SimServer* Third() { return sim_->server(kThird); }
  // It begins a new life, with that.
  void Restart(const MakeSecurity& security) {
    Third()->set_security(security);
    Third()->Crash(/*power_lost=*/false);
    Third()->Start();
  }
  MakeSecurity Good() const { return sim_->tls()->ForServer(kThird); }
  MakeSecurity Named(const PeerIdentity& name) const {
    return TlsMode::With(sim_->tls()->authority(), name, TlsMode::Always());
  }
  MakeSecurity ValidFor(TlsValidity validity) const {
    return TlsMode::With(sim_->tls()->authority(), TlsMode::ServerName(kThird),
                         validity);
  }
  // What its clock shows so long from now on.
  WallTime In(Duration length) {
    return Third()->process()->loop()->WallNow() + length;
  }

  bool Connected(MachineId from, MachineId to) {
    return sim_->server(from)->node().peers().connected(ServerId(to));
  }
  // The third server with both others, both ways.
  bool AllConnected() {
    return Connected(1, 3) && Connected(2, 3) && Connected(3, 1) &&
           Connected(3, 2);
  }
  bool NoneConnected() {
    return !Connected(1, 3) && !Connected(2, 3) && !Connected(3, 1) &&
           !Connected(3, 2);
  }
  // Why `from` has no connection to `to`.
  std::string Why(MachineId from, MachineId to) {
    return sim_->server(from)
        ->node()
        .peers()
        .last_error(ServerId(to))
        .ToString();
  }
  // What the server's port said of connections that it refused.
  std::string Refused(MachineId at) const {
    std::vector<std::string> lines;
    for (const std::string& note : notes_) {
      if (absl::StrContains(note, absl::StrCat("server ", at,
                                               ": event="
                                               "connection_refused"))) {
        lines.push_back(note);
      }
    }
    return absl::StrJoin(lines, "\n");
  }

  // With what it has, the third server gets no connection, and the others go
  // on without it.
  void ExpectItIsLeftOut() {
    ASSERT_TRUE(sim_->RunFor(10s)) << sim_->verdict().what();
    EXPECT_TRUE(NoneConnected());
    EXPECT_TRUE(Progress(5));
  }
  void ExpectItHealsWith(const MakeSecurity& security) {
    Restart(security);
    EXPECT_TRUE(sim_->RunUntil([&] { return AllConnected(); }, 20s));
    ExpectGoodEnd();
  }

  static constexpr MachineId kThird = 3;
  std::vector<std::string> notes_;
};

constexpr char kExpired[] =
    "the peer's certificate isn't good here: certificate has expired";
constexpr char kNotYet[] =
    "the peer's certificate isn't good here: certificate is not yet valid";
constexpr char kRefusedForItsTime[] =
    "the peer refuses this side's certificate: it has expired, or isn't good "
    "yet, by the peer's clock";

TEST_F(TlsScenario, CertificatesThatExpireEndNoConnectionAndAllowNoNewOne) {
  MakeCluster();
  Restart(ValidFor({.from = In(-1h), .until = In(10s)}));
  ASSERT_TRUE(sim_->RunUntil([&] { return AllConnected(); }, 5s));
  ASSERT_TRUE(sim_->RunFor(20s));
  // What was proved when they began still counts.
  EXPECT_TRUE(AllConnected());
  EXPECT_TRUE(Progress(5));
  EXPECT_EQ(Refused(1) + Refused(2) + Refused(3), "");
  // All of its connections are given up.
  Isolate(kThird);
  ASSERT_TRUE(sim_->RunFor(20s));
  EXPECT_TRUE(NoneConnected());
  sim_->network()->HealAll();
  ASSERT_NO_FATAL_FAILURE(ExpectItIsLeftOut());
  for (const MachineId other : {1, 2}) {
    EXPECT_THAT(Why(other, kThird), HasSubstr(kExpired));
    EXPECT_THAT(Refused(other), HasSubstr(kExpired));
  }
  EXPECT_THAT(Refused(kThird), HasSubstr(kRefusedForItsTime));
  ExpectItHealsWith(Good());
}

TEST_F(TlsScenario, CertificatesThatArentGoodYetAreGoodLater) {
  MakeCluster();
  Restart(ValidFor({.from = In(20s), .until = In(1h)}));
  ASSERT_NO_FATAL_FAILURE(ExpectItIsLeftOut());
  for (const MachineId other : {1, 2}) {
    EXPECT_THAT(Why(other, kThird), HasSubstr(kNotYet));
    EXPECT_THAT(Refused(other), HasSubstr(kNotYet));
  }
  EXPECT_THAT(Refused(kThird), HasSubstr(kRefusedForItsTime));
  // Nobody has to do anything.
  EXPECT_TRUE(sim_->RunUntil([&] { return AllConnected(); }, 20s));
  ExpectGoodEnd();
}

TEST_F(TlsScenario, AnotherServersCertificateIsRefused) {
  MakeCluster();
  Restart(Named(TlsMode::ServerName(2)));
  ASSERT_NO_FATAL_FAILURE(ExpectItIsLeftOut());
  EXPECT_THAT(Why(1, kThird),
              HasSubstr("expected the certificate of server 3, found "
                        "holdfast://sim/server/2"));
  EXPECT_THAT(Refused(1), HasSubstr("the certificate is server '2''s, the "
                                    "hello says server 3"));
  EXPECT_THAT(Refused(kThird), HasSubstr("it isn't in the name that was "
                                         "expected"));
  ExpectItHealsWith(Good());
}

TEST_F(TlsScenario, AClientsCertificateSpeaksNoRaft) {
  MakeCluster();
  Restart(Named(TlsMode::ClientName(kFirstClient, ClientRole::kAdmin)));
  ASSERT_NO_FATAL_FAILURE(ExpectItIsLeftOut());
  EXPECT_THAT(Why(1, kThird),
              HasSubstr("expected the certificate of server 3, found "
                        "holdfast://sim/client/c101?role=admin"));
  EXPECT_THAT(Refused(1), HasSubstr("the certificate is client 'c101''s: only "
                                    "servers speak Raft"));
  ExpectItHealsWith(Good());
}

TEST_F(TlsScenario, AnotherClustersCertificateIsRefused) {
  MakeCluster();
  PeerIdentity name = TlsMode::ServerName(kThird);
  name.cluster = "other";
  Restart(Named(name));
  ASSERT_NO_FATAL_FAILURE(ExpectItIsLeftOut());
  EXPECT_THAT(Why(1, kThird), HasSubstr("expected a certificate of cluster "
                                        "\"sim\", found one of \"other\""));
  EXPECT_THAT(Why(kThird, 1), HasSubstr("expected a certificate of cluster "
                                        "\"other\", found one of \"sim\""));
  ExpectItHealsWith(Good());
}

TEST_F(TlsScenario, AnotherCasCertificateIsRefused) {
  MakeCluster();
  Restart(TlsMode().ForServer(kThird));
  ASSERT_NO_FATAL_FAILURE(ExpectItIsLeftOut());
  for (const auto& [from, to] : {std::pair{1, 3}, std::pair{3, 1}}) {
    EXPECT_THAT(Why(from, to),
                HasSubstr("the peer's certificate isn't good here: certificate "
                          "signature failure"));
  }
  ExpectItHealsWith(Good());
}

TEST_F(TlsScenario, AClientNeedsACertificateOfItsOwn) {
  MakeCluster();
  SimClient* client = sim_->client(0);
  const uint64_t before = sim_->history().acknowledged();
  const auto restart = [&](const MakeSecurity& security) {
    client->set_security(security);
    client->Crash();
    client->Start();
  };
  restart(TlsMode().ForClient(kFirstClient));
  ASSERT_TRUE(sim_->RunFor(5s));
  EXPECT_THAT(client->Describe(), HasSubstr("certificate isn't good here"));
  restart(Named(TlsMode::ServerName(2)));
  ASSERT_TRUE(sim_->RunFor(5s));
  EXPECT_THAT(Refused(1) + Refused(2) + Refused(3),
              HasSubstr("the certificate is server '2''s, the hello is a "
                        "client's: clients need a certificate of their own"));
  EXPECT_EQ(sim_->history().acknowledged(), before);
  restart(sim_->tls()->ForClient(kFirstClient));
  EXPECT_TRUE(Progress(5));
  ExpectGoodEnd();
}

// --- Streams that break, or carry little ---

class TlsStreamScenario : public TlsScenario {
 protected:
  // Under that for ten seconds; then all that was acknowledged is there.
  void RunOver(const SimNetworkOptions& network, bool tls = true) {
    set_tls(tls);
    set_clients(3);
    Make(2, 3, 3);
    ASSERT_TRUE(Progress(3));
    sim_->world()->trace.set_on_note(
        [this](const std::string& note) { notes_.push_back(note); });
    sim_->network()->set_options(network);
    ASSERT_TRUE(sim_->RunFor(10s)) << sim_->verdict().what();
    ASSERT_TRUE(Progress(20));
    ExpectGoodEnd();
  }
  std::string Notes() const { return absl::StrJoin(notes_, "\n"); }
};

TEST_F(TlsStreamScenario, ResetsInTheMidstOfRecordsLoseNothing) {
  ASSERT_NO_FATAL_FAILURE(
      RunOver({.reset_ppm = 20000, .short_read_ppm = 500000}));
  EXPECT_GT(sim_->network()->counts().resets, 50u);
  EXPECT_GT(sim_->network()->counts().short_reads, 1000u);
}

// What isn't as it was written is TLS's to find: to no message it gives a wrong
// checksum, or length.
TEST_F(TlsStreamScenario, FlippedBitsBreakConnectionsAndNothingElse) {
  constexpr char kFoundByTls[] = "TLS read: BAD_DECRYPT";
  constexpr char kFoundByMessages[] = "message stream: ";
  ASSERT_NO_FATAL_FAILURE(RunOver({.flip_ppm = 20000}));
  EXPECT_GT(sim_->network()->counts().flips, 50u);
  EXPECT_THAT(Notes(), HasSubstr(kFoundByTls));
  EXPECT_THAT(Notes(), Not(HasSubstr(kFoundByMessages)));
  notes_.clear();
  ASSERT_NO_FATAL_FAILURE(RunOver({.flip_ppm = 20000}, /*tls=*/false));
  EXPECT_THAT(Notes(), HasSubstr(kFoundByMessages));
}

TEST_F(TlsStreamScenario, OneByteAtATimeIsEnough) {
  ASSERT_NO_FATAL_FAILURE(RunOver(
      {.delay_min = 1us, .delay_max = 2us, .tail_ppm = 0, .window_bytes = 1}));
}

// --- Runs by seed ---

TEST(TlsRunsTest, AreGoodAndTheSameWithOtherKeys) {
  for (uint64_t seed = 1; seed <= 8; ++seed) {
    SimulationOptions options;
    options.seed = seed;
    options.duration = 20s;
    const uint64_t plain = Simulation(options).Run().trace_hash;
    options.tls = true;
    const SimulationResult one = Simulation(options).Run();
    const SimulationResult two = Simulation(options).Run();
    EXPECT_TRUE(one.verdict.ok()) << seed << ": " << one.verdict.what();
    EXPECT_EQ(one.trace_hash, two.trace_hash) << seed;
    EXPECT_EQ(one.events, two.events) << seed;
    EXPECT_NE(one.trace_hash, plain) << seed;
  }
}

}  // namespace
}  // namespace holdfast
