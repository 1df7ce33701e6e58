// Scenes in which something is held back, so that queues before it fill up to
// their bounds, which all simulations check (bounds_checker.h).

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/base/batch.h"
#include "engine/client/client.h"
#include "engine/env/env.h"
#include "engine/service/service.h"
#include "gtest/gtest.h"
#include "sim/first_commit.h"
#include "sim/make_security.h"
#include "sim/sim_network.h"
#include "sim/sim_process.h"
#include "sim/testing/scenario.h"

namespace holdfast {
namespace {

class BoundsScenario : public Scenario {
 protected:
  // `change`: of what each server runs with.
  void Begin(uint64_t seed,
             const std::function<void(ServiceOptions*)>& change = nullptr) {
    SimulationOptions options;
    options.seed = seed;
    options.nodes = 3;
    options.clients = 1;
    options.kv = false;
    // They would wonder at what this scene appends.
    options.reads = options.tails = false;
    options.rates = FaultRates{};
    options.pending_bytes_max = kRoom;
    sim_ = nullptr;
    sim_ = std::make_unique<Simulation>(options);
    for (MachineId m = 1; m <= options.nodes && change; ++m) {
      change(sim_->server(m)->next_options());
    }
    sim_->StartServers();
    sim_->StartClients();
    ASSERT_TRUE(Progress(5));
  }
  // Without a session: no answer to it matters.
  void AppendBytes(SimServer* server, size_t bytes) {
    BatchBuilder batch;
    ASSERT_TRUE(batch.Add(std::string(bytes, 'x')).ok());
    Log(server)->Append(batch.Finish(SessionId(), Sequence()), {},
                        [this](const AppendOutcome& outcome) {
                          using Kind = AppendOutcome::Kind;
                          committed_ += outcome.kind == Kind::kCommitted;
                          overloaded_ += outcome.kind == Kind::kOverloaded;
                        });
  }

  // What a checker says of the server, had it these bounds; "": nothing.
  static std::string Judge(const SimServer& server,
                           const ServiceOptions& bounds) {
    Verdict verdict;
    BoundsChecker(&verdict).CheckService(server, bounds);
    return verdict.what();
  }

  static constexpr size_t kRoom = 16 << 10;
  uint64_t committed_ = 0;
  uint64_t overloaded_ = 0;
};

// A program with the product's client, which waits long for its server.
class Program {
 public:
  Program(Simulation* sim, MachineId machine)
      : sim_(sim),
        process_(sim->world(), machine, 1, ClockModel{}),
        security_(MakePlaintext(process_.loop())),
        network_(&process_, sim->network()) {
    ClientOptions options;
    for (MachineId m = 1; m <= sim->server_count(); ++m) {
      options.servers.push_back(NetworkFabric::AddressOf(m));
    }
    options.name = absl::StrCat("c", machine);
    options.cluster_name = "sim";
    options.silence_max = 60s;
    client_ = std::make_unique<Client>(Env{.loop = process_.loop(),
                                           .network = &network_,
                                           .security = security_.get(),
                                           .seed = machine},
                                       options);
  }
  ~Program() {
    process_.Kill();
    sim_->network()->ProcessDied(process_, /*power_lost=*/false);
  }

  MachineId machine() const { return process_.machine(); }
  Client* client() { return client_.get(); }
  Simulation* sim() { return sim_; }

 private:
  Simulation* const sim_;
  SimProcess process_;
  const std::unique_ptr<Security> security_;
  SimNetwork network_;
  std::unique_ptr<Client> client_;
};

// Tails the log from its beginning, and asks for more than there is.
class TailingProgram : public Program {
 public:
  TailingProgram(Simulation* sim, MachineId machine) : Program(sim, machine) {
    ClientTailCallbacks callbacks;
    callbacks.on_batches = [this](const std::vector<LogBatch>& batches) {
      OnBatches(batches);
    };
    callbacks.on_end = [](const absl::Status& why) {
      ADD_FAILURE() << "a tail ended: " << why;
    };
    tail_ = client()->Tail(Offset(0), {.server = "", .credit_bytes = 16 << 20},
                           std::move(callbacks));
  }

  // All before it was brought, in order.
  Offset next() const { return next_; }

 private:
  void OnBatches(const std::vector<LogBatch>& batches) {
    const std::string name = NameOf(machine());
    History* const history = sim()->mutable_history();
    for (const LogBatch& batch : batches) {
      history->TailBrought(batch.from, next_, name);
      next_ = batch.end();
    }
    history->Saw(batches, name);
  }

  Offset next_;
  std::unique_ptr<ClientTail> tail_;
};

// Its followers commit without its disk, so that nothing waits for a commit.
TEST_F(BoundsScenario, LeaderWithASlowDiskTakesNoMoreThanItHasRoomFor) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    Begin(seed);
    SimServer* leader = sim_->Leader();
    SimDiskOptions slow;
    slow.sync_min = slow.sync_max = 500ms;
    leader->disk()->set_options(slow);
    uint64_t most = 0;
    for (int i = 0; i < 1000 && sim_->verdict().ok(); ++i) {
      if (!leader->node().is_leader()) break;
      AppendBytes(leader, 2000);
      sim_->RunFor(2ms);
      most = std::max(most, leader->node().wal()->bytes_queued());
    }
    EXPECT_TRUE(sim_->verdict().ok()) << sim_->verdict().what();
    EXPECT_GT(committed_, 5u);
    EXPECT_GT(overloaded_, 20u);
    EXPECT_GT(most, kRoom / 2);
    EXPECT_LT(most, 2 * kRoom);
  }
}

// Heartbeats overtake what waits for it, and say that it lacks that. It is sent
// again, but not again and again, while it is merely on its way.
TEST_F(BoundsScenario, SlowLinkIsNotFilledWithCopies) {
  size_t most = 0;
  uint64_t resent = 0;
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    Begin(seed);
    SimServer* leader = sim_->Leader();
    const MachineId slow = leader->machine() % 3 + 1;
    SimNetworkOptions network;
    network.window_bytes = 4 << 10;
    sim_->network()->set_options(network);
    sim_->network()->SetClogged(leader->machine(), slow, 16 << 10);
    for (int i = 0; i < 1500 && sim_->verdict().ok(); ++i) {
      AppendBytes(leader, 2000);
      sim_->RunFor(10ms);
      ASSERT_TRUE(leader->running() && leader->node().is_leader());
      leader->node().peers().ForEachQueue(
          [&](ServerId, size_t queued) { most = std::max(most, queued); });
    }
    EXPECT_TRUE(sim_->verdict().ok()) << sim_->verdict().what();
    resent += Stat("resent");
  }
  EXPECT_GT(most, size_t{30000});
  EXPECT_GT(resent, 5u);
}

// What it is sent fills its connection, and then as much of the server's memory
// as one client may have. Others notice nothing.
TEST_F(BoundsScenario, ClientThatStopsReadingHoldsUpOnlyItself) {
  constexpr size_t kAnswers = 64 << 10;
  constexpr uint32_t kRead = 16 << 10;
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    SimulationOptions options;
    options.seed = seed;
    options.nodes = 3;
    options.clients = 2;
    options.rates = FaultRates{};
    sim_ = nullptr;
    sim_ = std::make_unique<Simulation>(options);
    for (MachineId m = 1; m <= 3; ++m) {
      ServiceOptions* service = sim_->server(m)->next_options();
      service->answer_bytes_per_client_max = kAnswers;
      service->read_bytes_max = kRead;
    }
    sim_->StartServers();
    sim_->StartClients();
    ASSERT_TRUE(Progress(5));
    TailingProgram other(sim_.get(), kFirstClient + 10);
    TailingProgram stopped(sim_.get(), kFirstClient + 11);
    const auto have_all = [&](const TailingProgram& program) {
      const Offset end = sim_->history().established();
      return sim_->RunUntil([&] { return program.next() >= end; }, 5s);
    };
    ASSERT_TRUE(have_all(other) && have_all(stopped));

    sim_->network()->SetReads(stopped.machine(), false);
    ASSERT_TRUE(sim_->RunFor(1ms));
    const Offset next = stopped.next();
    // More than fits in its connection and there.
    ASSERT_TRUE(Fill());
    ASSERT_TRUE(sim_->RunFor(3s));
    EXPECT_EQ(stopped.next(), next);
    EXPECT_TRUE(have_all(other));
    EXPECT_TRUE(Progress(20));
    size_t most = 0;
    sim_->Leader()->service().ForEachClient([&](const ClientLoad& client) {
      most = std::max(most, client.answer_bytes);
    });
    EXPECT_GT(most, kAnswers);
    EXPECT_LT(most, kAnswers + 2 * kRead);

    sim_->network()->SetReads(stopped.machine(), true);
    EXPECT_TRUE(have_all(stopped));
    EXPECT_GT(sim_->Result().network.unread, 0u);
    ExpectGoodEnd();
  }
}

// The followers are out of reach, so that nothing is committed.
TEST_F(BoundsScenario, LeaderTakesNoMoreAppendsThanMayWait) {
  constexpr size_t kAppends = 40;
  Begin(1, [](ServiceOptions* options) {
    options->log.pending_appends_max = kAppends;
    options->log.pending_bytes_max = 1 << 20;
  });
  SimServer* leader = sim_->Leader();
  Isolate(leader->machine());
  for (size_t i = 0; i < 2 * kAppends; ++i) AppendBytes(leader, 10);
  ASSERT_TRUE(sim_->RunFor(5ms)) << sim_->verdict().what();
  ASSERT_TRUE(leader->node().is_leader());
  EXPECT_GE(overloaded_, kAppends);
  ServiceOptions bounds = leader->service().options();
  EXPECT_EQ(Judge(*leader, bounds), "");
  bounds.log.pending_appends_max = kAppends / 2;
  const std::string what = Judge(*leader, bounds);
  EXPECT_TRUE(absl::StrContains(what, " appends that wait")) << what;
}

TEST_F(BoundsScenario, ServerHasNoMoreClientsThanItMay) {
  constexpr size_t kClients = 2;
  Begin(1, [](ServiceOptions* options) { options->clients_max = kClients; });
  SimClientOptions options;
  for (MachineId m = 1; m <= 3; ++m) {
    options.servers.push_back(NetworkFabric::AddressOf(m));
  }
  options.reads = options.tails = false;
  std::vector<std::unique_ptr<SimClient>> clients;
  for (MachineId i = 1; i <= 2 * kClients; ++i) {
    clients.push_back(std::make_unique<SimClient>(
        sim_->world(), sim_->network(), kFirstClient + i,
        sim_->mutable_history(), options));
    clients.back()->Start();
  }
  ASSERT_TRUE(sim_->RunFor(2s)) << sim_->verdict().what();
  const SimServer& leader = *sim_->Leader();
  EXPECT_EQ(leader.service().client_count(), kClients);
  ServiceOptions bounds = leader.service().options();
  EXPECT_EQ(Judge(leader, bounds), "");
  bounds.clients_max = kClients - 1;
  const std::string what = Judge(leader, bounds);
  EXPECT_TRUE(absl::StrContains(what, " has 2 clients; at most 1")) << what;
}

TEST_F(BoundsScenario, ClientThatWasRefusedGetsInOnceThereIsRoom) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    Begin(seed, [](ServiceOptions* options) { options->clients_max = 1; });
    const SimServer& leader = *sim_->Leader();
    SimClientOptions options;
    for (MachineId m = 1; m <= 3; ++m) {
      options.servers.push_back(NetworkFabric::AddressOf(m));
    }
    options.reads = options.tails = options.conditions = false;
    SimClient refused(sim_->world(), sim_->network(), kFirstClient + 1,
                      sim_->mutable_history(), options);
    refused.Start();
    ASSERT_TRUE(sim_->RunFor(2s)) << sim_->verdict().what();
    EXPECT_TRUE(refused.in_request());
    EXPECT_EQ(leader.service().client_count(), 1u);
    EXPECT_GT(leader.node().peers().counts().refused_hello, 0u);
    sim_->client(0)->Crash();
    const uint64_t before = sim_->history().acknowledged();
    EXPECT_TRUE(sim_->RunUntil(
        [&] { return sim_->history().acknowledged() >= before + 10; }, 5s))
        << sim_->verdict().what();
  }
}

// Whoever is refused, by a server or by its own client, has its turn.
TEST_F(BoundsScenario, RunsWithLittleRoomGoOn) {
  uint64_t overloaded = 0;
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    SimulationOptions options;
    options.seed = seed;
    options.nodes = 3;
    options.clients = 3;
    options.pending_appends_max = 16;
    options.queue_bytes_max = 16 << 10;
    options.clients_per_server_max = 3;
    options.rates = FaultRates{};
    options.rates->burst_ppm = 200'000;
    options.rates->client_crash_ppm = 100'000;
    options.rates->cut_client_ppm = 100'000;
    options.duration = 20s;
    Simulation sim(options);
    const SimulationResult result = sim.Run();
    EXPECT_TRUE(result.verdict.ok()) << result.verdict.what();
    EXPECT_GT(result.acknowledged, 50u);
    overloaded += result.stats.at("log_overloaded");
  }
  EXPECT_GT(overloaded, 0u);
}

// Nor do they keep others out.
TEST_F(BoundsScenario, ServerHasNoMoreConnectionsOfStrangersThanItMay) {
  constexpr size_t kStrangers = 8;
  Begin(1, [](ServiceOptions* options) {
    options->log.node.peers.acceptor.pending_max = kStrangers;
  });
  const SimServer& leader = *sim_->Leader();
  SimProcess process(sim_->world(), kFirstClient + 10, 1, ClockModel{});
  SimNetwork network(&process, sim_->network());
  std::vector<std::unique_ptr<PendingOp>> dials;
  std::vector<std::unique_ptr<Connection>> silent;
  for (size_t i = 0; i < 5 * kStrangers; ++i) {
    dials.push_back(network.Dial(
        NetworkFabric::AddressOf(leader.machine()),
        [&silent](absl::StatusOr<std::unique_ptr<Connection>> connection) {
          if (connection.ok()) silent.push_back(*std::move(connection));
        }));
  }
  ASSERT_TRUE(sim_->RunFor(1s)) << sim_->verdict().what();
  EXPECT_EQ(silent.size(), 5 * kStrangers);
  ServiceOptions bounds = leader.service().options();
  EXPECT_EQ(Judge(leader, bounds), "");
  bounds.log.node.peers.acceptor.pending_max = kStrangers - 1;
  const std::string what = Judge(leader, bounds);
  EXPECT_TRUE(absl::StrContains(what, " has 8 connections that haven't said"))
      << what;
  sim_->client(0)->Crash();
  sim_->client(0)->Start();
  EXPECT_TRUE(Progress(5)) << sim_->verdict().what();
  silent.clear();
  dials.clear();
  process.Kill();
  sim_->network()->ProcessDied(process, /*power_lost=*/false);
}

// The leader can't be sure that it leads, so that they all wait. They are
// requests, too, and the program has no others.
TEST_F(BoundsScenario, ClientHasNoMoreChangesUnderWayThanItMay) {
  Begin(1);
  SimServer* const leader = sim_->Leader();
  ServiceOptions bounds = leader->service().options();
  const size_t changes_max = bounds.admin_requests_per_client_max;
  Program program(sim_.get(), kFirstClient + 10);
  const auto known = std::make_shared<bool>(false);
  program.client()->Read(Offset(0), {},
                         [known](const absl::StatusOr<ClientReadResult>& read) {
                           *known = read.ok();  // whom to ask
                         });
  ASSERT_TRUE(sim_->RunFor(1s)) << sim_->verdict().what();
  ASSERT_TRUE(*known);
  Isolate(leader->machine());
  sim_->mutable_history()->TrimInvoked(Offset(1));
  for (size_t i = 0; i < 3 * changes_max; ++i) {
    program.client()->Trim(Offset(1), 5s, [](const absl::Status&) {});
  }
  ASSERT_TRUE(sim_->RunFor(50ms)) << sim_->verdict().what();
  ASSERT_TRUE(leader->node().is_leader());
  bounds.requests_per_client_max = changes_max + 1;
  EXPECT_EQ(Judge(*leader, bounds), "");
  bounds.requests_per_client_max = changes_max - 1;
  const std::string what = Judge(*leader, bounds);
  EXPECT_TRUE(absl::StrContains(
      what, absl::StrCat(" has ", changes_max, " requests of a client")))
      << what;
}

// Which other requests it has besides doesn't matter then.
TEST_F(BoundsScenario, ConnectionsShowHowManyChangesAreUnderWay) {
  Begin(1);
  SimServer* const leader = sim_->Leader();
  const size_t changes_max =
      leader->service().options().admin_requests_per_client_max;
  SimClientOptions options;
  for (MachineId m = 1; m <= 3; ++m) {
    options.servers.push_back(NetworkFabric::AddressOf(m));
  }
  options.reads = options.tails = options.conditions = false;
  options.admin = true;
  SimClient client(sim_->world(), sim_->network(), kFirstClient + 1,
                   sim_->mutable_history(), options);
  client.Start();
  ASSERT_TRUE(sim_->RunFor(1s)) << sim_->verdict().what();
  Isolate(leader->machine());
  sim_->mutable_history()->TrimInvoked(Offset(1));
  size_t gone = 0;
  for (size_t i = 0; i < 3 * changes_max; ++i) {
    client.Ask(
        "trim",
        [](Client* by, DoneFn done) {
          by->Trim(Offset(1), 5s, std::move(done));
        },
        [&gone](const absl::Status& outcome) {
          gone += absl::IsUnavailable(outcome);
        });
  }
  ASSERT_TRUE(sim_->RunFor(50ms)) << sim_->verdict().what();
  ASSERT_TRUE(leader->node().is_leader());
  EXPECT_EQ(client.admin_traffic().under_way_max, changes_max);
  EXPECT_GT(client.admin_traffic().overloaded, 0u);
  Verdict verdict;
  BoundsChecker bounds(&verdict);
  bounds.Check(client);
  EXPECT_TRUE(verdict.ok()) << verdict.what();
  bounds.CheckAdmin(client, changes_max - 1);
  EXPECT_TRUE(absl::StrContains(
      verdict.what(),
      absl::StrCat(" has ", changes_max, " operators' requests under way")))
      << verdict.what();
  // Whoever asked is told.
  client.Crash();
  EXPECT_EQ(gone, 3 * changes_max);
}

TEST_F(BoundsScenario, ClientHoldsNoMoreThanItMay) {
  Begin(1);
  SimClientOptions options;
  options.servers = {NetworkFabric::AddressOf(1)};
  options.queue_bytes_max = 4000;
  SimClient client(sim_->world(), sim_->network(), kFirstClient + 1,
                   sim_->mutable_history(), options);
  client.Start();
  client.Burst(100);
  EXPECT_GT(client.client().append_bytes_pending(), 2000u);
  EXPECT_LT(client.client().appends_pending(), 100u);
  Verdict verdict;
  BoundsChecker bounds(&verdict);
  bounds.Check(client);
  EXPECT_TRUE(verdict.ok()) << verdict.what();
  bounds.CheckAppends(client, 2000);
  EXPECT_TRUE(absl::StrContains(verdict.what(), " bytes of appends that wait"))
      << verdict.what();
}

TEST_F(BoundsScenario, RunThatHoldsTooMuchIsStopped) {
  SimulationOptions options;
  options.nodes = 3;
  options.duration = 5s;
  options.rates = FaultRates{};
  const SimulationResult usual = Simulation(options).Run();
  EXPECT_TRUE(usual.verdict.ok()) << usual.verdict.what();
  // Each server's files are a few pages at least.
  EXPECT_GT(usual.memory_bytes, uint64_t{64} << 10);
  EXPECT_LT(usual.memory_percent, 10u);
  options.memory_bytes_max = usual.memory_bytes / 2;
  const SimulationResult stopped = Simulation(options).Run();
  EXPECT_EQ(stopped.verdict.kind(), Verdict::Kind::kCorrectness);
  EXPECT_TRUE(absl::StartsWith(stopped.verdict.what(), "memory: "))
      << stopped.verdict.what();
  EXPECT_GT(stopped.memory_bytes, *options.memory_bytes_max);
  EXPECT_GE(stopped.memory_percent, 100u);
  EXPECT_LT(stopped.events, usual.events);
}

// What a run's settling looks at, with a server that stays cut off, and comes
// back in time.
TEST_F(BoundsScenario, LaggardThatDoesNotCatchUpIsNotLive) {
  for (const bool comes_back : {false, true}) {
    Begin(1);
    SimServer* leader = sim_->Leader();
    Isolate(leader->machine() % 3 + 1);
    ASSERT_TRUE(Progress(50));
    Verdict verdict;
    BoundsChecker bounds(&verdict);
    CatchUp catch_up(&bounds, &verdict);
    const auto look = [&] {
      bounds.Check(*leader);
      catch_up.Look(sim_->world()->now(), *leader, [this](ServerId id) {
        return sim_->server(static_cast<MachineId>(id.value()));
      });
    };
    look();
    EXPECT_EQ(catch_up.worst().laggards, 1u);
    EXPECT_GT(catch_up.worst().bytes, 0u);
    if (comes_back) sim_->network()->HealAll();
    for (int i = 0; i < 100; ++i) {
      ASSERT_TRUE(sim_->RunFor(100ms));
      look();
    }
    EXPECT_EQ(verdict.kind(),
              comes_back ? Verdict::Kind::kOk : Verdict::Kind::kLiveness)
        << verdict.what();
    EXPECT_EQ(catch_up.worst().percent > 100, !comes_back);
    EXPECT_GT(catch_up.worst().took, Duration::zero());
  }
}

// The same of a leader whose followers answer, so that it leads on, but write
// nothing; or do after a while.
TEST_F(BoundsScenario, AppendThatIsNotCommittedIsNotLive) {
  for (const bool comes_back : {false, true}) {
    Begin(1);
    SimServer* leader = sim_->Leader();
    const Term term = leader->node().core()->term();
    Verdict verdict;
    BoundsChecker bounds(&verdict);
    FirstCommit commit(&bounds, &verdict, 2s);
    const auto look = [&] {
      bounds.Check(*leader);
      commit.Look(sim_->world()->now(), *leader);
    };
    look();
    for (MachineId m = 1; m <= 3; ++m) {
      if (m == leader->machine()) continue;
      sim_->server(m)->HangDisk(comes_back ? Duration(1500ms) : Duration(30s),
                                /*all=*/true);
    }
    sim_->client(0)->Burst(1);
    for (int i = 0; i < 60; ++i) {
      if (i == 10 && comes_back) {
        for (MachineId m = 1; m <= 3; ++m) sim_->server(m)->MendDisk();
      }
      ASSERT_TRUE(sim_->RunFor(100ms)) << sim_->verdict().what();
      look();
    }
    EXPECT_EQ(verdict.kind(),
              comes_back ? Verdict::Kind::kOk : Verdict::Kind::kLiveness)
        << verdict.what();
    EXPECT_EQ(leader->node().core()->term(), term);
    EXPECT_EQ(commit.worst().percent() > 100, !comes_back);
    EXPECT_GT(commit.worst().took, Duration(1s));
    EXPECT_GT(commit.worst().most, Duration(4s));
  }
}

}  // namespace
}  // namespace holdfast
