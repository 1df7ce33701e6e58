#ifndef HOLDFAST_SIM_TESTING_SCENARIO_H_
#define HOLDFAST_SIM_TESTING_SCENARIO_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/batch.h"
#include "gtest/gtest.h"
#include "sim/simulation.h"

namespace holdfast {

// A whole simulated cluster, to which nothing happens but what the scene does.
class Scenario : public testing::Test {
 protected:
  void Make(uint64_t seed, uint32_t nodes, uint32_t clients = 1,
            uint32_t spares = 0) {
    SimulationOptions options;
    options.seed = seed;
    options.nodes = nodes;
    options.clients = clients;
    options.spares = spares;
    options.kept_for_laggards = kept_for_laggards_;
    options.segment_bytes = segment_bytes_;
    options.reserve_bytes = reserve_bytes_;
    options.retention_bytes = retention_bytes_;
    options.retention_age = retention_age_;
    options.kv = kv_;
    options.leases = leases_;
    options.scrub = scrub_;
    options.may_lose = may_lose_;
    options.beyond_model = beyond_model_;
    options.tls = tls_;
    options.log_bytes_max = log_bytes_max_;
    options.rates = FaultRates{};
    sim_ = nullptr;
    sim_ = std::make_unique<Simulation>(options);
    sim_->StartServers();
    sim_->StartClients();
  }
  bool Progress(uint64_t appends) {
    const uint64_t goal = sim_->history().acknowledged() + appends;
    return sim_->RunUntil(
        [&] { return sim_->history().acknowledged() >= goal; }, 60s);
  }
  // Both ways, from all other servers; clients still reach it.
  void Isolate(MachineId m, bool cut = true) {
    for (MachineId other = 1; other <= sim_->server_count(); ++other) {
      if (other == m) continue;
      sim_->network()->SetCut(m, other, cut);
      sim_->network()->SetCut(other, m, cut);
    }
  }
  bool WaitForOtherLeader(MachineId than) {
    return sim_->RunUntil(
        [&] {
          SimServer* leader = sim_->Leader();
          return leader != nullptr && leader->machine() != than;
        },
        20s);
  }
  void ExpectGoodEnd() {
    for (MachineId m = 1; m <= sim_->server_count(); ++m) {
      SimServer* server = sim_->server(m);
      if (!server->running()) {
        server->Start();
      } else {
        // It may not have come to the operation before which it was to die.
        server->process()->DieBeforeIo(0, SimProcess::Io::kAny, nullptr);
      }
    }
    for (size_t i = 0; i < clients(); ++i) {
      if (!sim_->client(i)->running()) sim_->client(i)->Start();
    }
    sim_->Settle();
    EXPECT_TRUE(sim_->verdict().ok()) << sim_->verdict().what() << "\n"
                                      << sim_->Report(10);
  }
  // A kind of fault that a FaultSchedule brings, and what counts it.
  struct ScheduledFault {
    uint64_t FaultRates::*rate;
    uint64_t ppm;
    std::function<uint64_t(const SimulationResult&)> count;
  };
  // Of a cluster that is crashed now and then, and its log trimmed.
  static SimulationOptions CrashesAndTrims() {
    SimulationOptions options;
    options.nodes = 5;
    options.clients = 2;
    options.trims = true;
    options.rates = FaultRates{};
    options.rates->crash_ppm = 10'000;
    return options;
  }
  // A whole run with it, which has to end well and to have had it often;
  // `options` have rates.
  static SimulationResult RunWith(SimulationOptions options,
                                  const ScheduledFault& fault) {
    (*options.rates).*fault.rate = fault.ppm;
    Simulation sim(options);
    SimulationResult result = sim.Run();
    EXPECT_TRUE(result.verdict.ok()) << result.verdict.what();
    EXPECT_GT(fault.count(result), 10u);
    return result;
  }
  using Request = std::function<void(DistributedLog*, DoneFn)>;

  // Appends so much that several segments of the largest kind get full.
  bool Fill() {
    constexpr size_t kRecords = 120;
    constexpr size_t kRecordBytes = 4 << 10;
    for (size_t i = 0; i < kRecords; ++i) {
      std::string record = absl::StrCat("filling-", ++filled_, "-");
      record.resize(kRecordBytes, 'x');
      sim_->mutable_history()->AppendInvoked(record);
      if (!AppendRecord(SessionId(0), Sequence(0), record).has_value()) {
        return false;
      }
    }
    return true;
  }
  // At whoever leads; where it went.
  std::optional<Offset> AppendRecord(SessionId session, Sequence sequence,
                                     const std::string& record) {
    auto outcome = std::make_shared<std::optional<AppendOutcome>>();
    BatchBuilder batch;
    EXPECT_TRUE(batch.Add(record).ok());
    sim_->RunUntil([&] { return sim_->Leader() != nullptr; }, 20s);
    sim_->Leader()->log().Append(
        batch.Finish(session, sequence), {},
        [outcome](AppendOutcome o) { *outcome = std::move(o); });
    sim_->RunUntil([&] { return outcome->has_value(); }, 20s);
    if (!outcome->has_value() ||
        (*outcome)->kind != AppendOutcome::Kind::kCommitted) {
      return std::nullopt;
    }
    sim_->mutable_history()->AppendCommitted(record, (*outcome)->offset,
                                             Offset(0), "by hand");
    return (*outcome)->offset;
  }
  // Of all that was acknowledged so far, but for the last few records.
  absl::Status TrimMost() {
    const uint64_t end = sim_->history().established().value();
    return Trim(Offset(end - end / 8));
  }
  absl::Status Trim(Offset first) {
    sim_->mutable_history()->TrimInvoked(first);
    absl::Status status = Change([first](DistributedLog* log, DoneFn done) {
      log->Trim(first, std::move(done));
    });
    if (status.ok()) sim_->mutable_history()->TrimDone(first);
    return status;
  }

  // For Ask and Change.
  static Request Join(MachineId m, bool learner = false) {
    return [=](DistributedLog* log, DoneFn done) {
      log->Join(ServerId(m), NetworkFabric::AddressOf(m), learner,
                std::move(done));
    };
  }

  // Once, at this server.
  absl::Status Ask(SimServer* server, const Request& request) {
    auto answer = std::make_shared<std::optional<absl::Status>>();
    request(&server->log(), [answer](absl::Status s) { *answer = s; });
    sim_->RunUntil([&] { return answer->has_value() || !server->running(); },
                   20s);
    return answer->value_or(absl::UnavailableError("no answer"));
  }
  // As a client does: again, at whoever leads, until it is done or refused.
  absl::Status Change(const Request& request) {
    absl::Status status = absl::UnavailableError("no leader");
    for (int i = 0; i < 100 && absl::IsUnavailable(status); ++i) {
      sim_->RunUntil([&] { return sim_->Leader() != nullptr; }, 10s);
      if (sim_->Leader() != nullptr) status = Ask(sim_->Leader(), request);
      if (!sim_->RunFor(100ms)) break;
    }
    return status;
  }
  void set_retention(std::optional<uint64_t> bytes,
                     std::optional<Duration> age) {
    retention_bytes_ = bytes;
    retention_age_ = age;
  }
  void set_kv(bool kv) { kv_ = kv; }
  void set_leases(bool leases) { leases_ = leases; }
  void set_scrub(bool scrub) { scrub_ = scrub; }
  void set_may_lose(bool may_lose) { may_lose_ = may_lose; }
  void set_beyond_model(bool beyond) { beyond_model_ = beyond; }
  void set_tls(bool tls) { tls_ = tls; }
  void set_log_bytes_max(uint64_t bytes) { log_bytes_max_ = bytes; }
  size_t clients() const { return clients_; }
  void set_clients(size_t clients) { clients_ = clients; }
  // Of the clusters to come.
  void set_kept_for_laggards(size_t segments) { kept_for_laggards_ = segments; }
  void set_segment_bytes(uint64_t bytes) { segment_bytes_ = bytes; }
  void set_reserve_bytes(uint64_t bytes) { reserve_bytes_ = bytes; }
  uint64_t Stat(const std::string& name) { return sim_->Result().stats[name]; }
  static DistributedLog* Log(SimServer* server) { return &server->log(); }
  static void Append(SimServer* server, SessionId session, Sequence sequence,
                     std::optional<AppendOutcome>* outcome,
                     const AppendOptions& options = {}) {
    BatchBuilder batch;
    ASSERT_TRUE(batch.Add("by hand").ok());
    Log(server)->Append(
        batch.Finish(session, sequence), options,
        [outcome](AppendOutcome o) { *outcome = std::move(o); });
  }

  std::unique_ptr<Simulation> sim_;

 private:
  uint64_t filled_ = 0;
  size_t clients_ = 1;
  bool kv_ = false;
  bool leases_ = false;
  bool scrub_ = false;
  bool may_lose_ = false;
  bool beyond_model_ = false;
  bool tls_ = false;
  std::optional<size_t> kept_for_laggards_;
  std::optional<uint64_t> segment_bytes_;
  std::optional<uint64_t> reserve_bytes_;
  std::optional<uint64_t> retention_bytes_;
  std::optional<Duration> retention_age_;
  std::optional<uint64_t> log_bytes_max_;
};

}  // namespace holdfast

#endif  // HOLDFAST_SIM_TESTING_SCENARIO_H_
