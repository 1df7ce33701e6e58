// Whatever a process had open is gone with it: each simulated process is
// checked for that when it ends, and here something is kept all the same.

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/env/loop.h"
#include "engine/env/network.h"
#include "gtest/gtest.h"
#include "sim/simulation.h"

namespace holdfast {
namespace {

struct Kept {
  std::vector<std::unique_ptr<Connection>> connections;
  std::vector<Timer> timers;
};

// Keeps what it is given, and sets timers; no handshake ends.
class KeepingSecurity final : public Security {
 public:
  KeepingSecurity(Loop* loop, Kept* kept) : loop_(loop), kept_(kept) {}

  std::unique_ptr<PendingOp> Connect(std::unique_ptr<Connection> raw,
                                     Buffer /*preface*/,
                                     const std::string& /*expected_server*/,
                                     SecureDone /*done*/) override {
    return Keep(std::move(raw));
  }
  std::unique_ptr<PendingOp> Accept(std::unique_ptr<Connection> raw,
                                    SecureDone /*done*/) override {
    return Keep(std::move(raw));
  }

 private:
  std::unique_ptr<PendingOp> Keep(std::unique_ptr<Connection> raw) {
    kept_->connections.push_back(std::move(raw));
    kept_->timers.push_back(loop_->After(24h, [] {}));
    return std::make_unique<PendingOp>();
  }

  Loop* const loop_;
  Kept* const kept_;
};

class LeakScenario : public ::testing::Test {
 protected:
  LeakScenario() : sim_(ThreeServers()) {}
  // What was kept has to go before its process.
  ~LeakScenario() override { Drop(); }

  static SimulationOptions ThreeServers() {
    SimulationOptions options;
    options.nodes = 3;
    options.clients = 1;
    options.rates = FaultRates{};
    return options;
  }
  MakeSecurity Keeping() {
    return [this](Loop* loop) {
      return std::make_unique<KeepingSecurity>(loop, &kept_);
    };
  }
  bool RunUntilSomethingIsKept() {
    return sim_.RunUntil([this] { return !kept_.connections.empty(); }, 10s);
  }
  void Drop() {
    kept_.connections.clear();
    kept_.timers.clear();
  }

  Simulation sim_;
  Kept kept_;
};

TEST_F(LeakScenario, ConnectionOfAClientThatCrashedIsFound) {
  sim_.client(0)->set_security(Keeping());
  sim_.StartServers();
  sim_.StartClients();
  ASSERT_TRUE(RunUntilSomethingIsKept());
  EXPECT_DEATH(sim_.client(0)->Crash(), "open_sockets");
  Drop();
  sim_.client(0)->Crash();
}

TEST_F(LeakScenario, TimerOfAClientAtTheEndIsFound) {
  sim_.StartServers();
  SimClientOptions options;
  options.servers = {NetworkFabric::AddressOf(1)};
  auto client = std::make_unique<SimClient>(sim_.world(), sim_.network(),
                                            kFirstClient + 1,
                                            sim_.mutable_history(), options);
  client->set_security(Keeping());
  client->Start();
  ASSERT_TRUE(RunUntilSomethingIsKept());
  EXPECT_DEATH(client = nullptr, "kTimer");
  Drop();
  client = nullptr;
}

TEST_F(LeakScenario, ConnectionOfAServerThatHasClosedIsFound) {
  sim_.server(1)->set_security(Keeping());
  sim_.StartServers();
  sim_.StartClients();
  ASSERT_TRUE(RunUntilSomethingIsKept());
  bool ended = false;
  sim_.server(1)->Close([&ended] { ended = true; });
  EXPECT_DEATH(sim_.RunFor(1s), "sockets_after_close");
  Drop();
  EXPECT_TRUE(sim_.RunFor(1s)) << sim_.verdict().what();
  EXPECT_TRUE(ended);
}

// It may have timers once it says that it has closed, but not when its objects
// are gone.
TEST_F(LeakScenario, TimerOfAServerThatHasClosedIsFound) {
  sim_.server(1)->set_security(Keeping());
  sim_.StartServers();
  sim_.StartClients();
  ASSERT_TRUE(RunUntilSomethingIsKept());
  kept_.connections.clear();
  bool ended = false;
  sim_.server(1)->Close([&ended] { ended = true; });
  EXPECT_DEATH(sim_.RunFor(1s), "kTimer");
  Drop();
  EXPECT_TRUE(sim_.RunFor(1s)) << sim_.verdict().what();
  EXPECT_TRUE(ended);
}

}  // namespace
}  // namespace holdfast
