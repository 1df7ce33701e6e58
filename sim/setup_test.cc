#include "sim/setup.h"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "sim/chance.h"
#include "sim/simulation.h"
#include "sim/trace.h"

namespace holdfast {
namespace {

// A feature of a run, or a kind of fault, that half of the seeds have.
struct Coin {
  std::string name;
  bool (*is_on)(const SimulationOptions& drawn);
};

const Coin kCoins[] = {
    {"changes", [](const SimulationOptions& o) { return *o.changes; }},
    {"trims", [](const SimulationOptions& o) { return *o.trims; }},
    {"transfers", [](const SimulationOptions& o) { return *o.transfers; }},
    {"kv", [](const SimulationOptions& o) { return *o.kv; }},
    {"leases", [](const SimulationOptions& o) { return *o.leases; }},
    {"scrub", [](const SimulationOptions& o) { return *o.scrub; }},
    {"tails", [](const SimulationOptions& o) { return *o.tails; }},
    {"reads", [](const SimulationOptions& o) { return *o.reads; }},
    {"conditions", [](const SimulationOptions& o) { return *o.conditions; }},
    {"names_servers",
     [](const SimulationOptions& o) { return *o.names_servers; }},
    {"minority_down",
     [](const SimulationOptions& o) { return *o.minority_down; }},
    {"client_crash",
     [](const SimulationOptions& o) { return o.rates->client_crash_ppm > 0; }},
    {"cut_client",
     [](const SimulationOptions& o) { return o.rates->cut_client_ppm > 0; }},
    {"burst",
     [](const SimulationOptions& o) { return o.rates->burst_ppm > 0; }},
    {"slow_reader",
     [](const SimulationOptions& o) { return o.rates->slow_reader_ppm > 0; }},
    {"stop_reading",
     [](const SimulationOptions& o) { return o.rates->stop_reading_ppm > 0; }},
    {"pause_client",
     [](const SimulationOptions& o) { return o.rates->pause_client_ppm > 0; }},
    {"close_client",
     [](const SimulationOptions& o) { return o.rates->close_client_ppm > 0; }},
};

SimulationOptions DrawnBy(uint64_t seed, SimulationOptions options) {
  Trace trace;
  Chance chance(seed, &trace);
  return DrawSetup(std::move(options), &chance);
}

// Each is on with that probability, whichever others are.
void ExpectOnByItself(const std::vector<Coin>& coins, double probability) {
  constexpr uint64_t kSeeds = 4000;
  std::vector<std::vector<uint64_t>> together(
      coins.size(), std::vector<uint64_t>(coins.size()));
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    const SimulationOptions drawn = DrawnBy(seed, {});
    for (size_t i = 0; i < coins.size(); ++i) {
      for (size_t j = 0; j <= i; ++j) {
        together[i][j] += coins[i].is_on(drawn) && coins[j].is_on(drawn);
      }
    }
  }
  // Five standard deviations.
  const auto off_max = [](double p) {
    return 5 * std::sqrt(p * (1 - p) * double{kSeeds});
  };
  for (size_t i = 0; i < coins.size(); ++i) {
    for (size_t j = 0; j <= i; ++j) {
      const double p = i == j ? probability : probability * probability;
      EXPECT_NEAR(static_cast<double>(together[i][j]), p * kSeeds, off_max(p))
          << coins[i].name << " and " << coins[j].name;
    }
  }
}

// So any two are together, and apart, in a quarter of the runs.
TEST(SetupTest, EachFeatureIsACoinOfItsOwn) {
  ExpectOnByItself({std::begin(kCoins), std::end(kCoins)}, 0.5);
}

TEST(SetupTest, ThereIsLittleRoomInAQuarterOfTheRuns) {
  ExpectOnByItself({{"pending_bytes_max",
                     [](const SimulationOptions& o) {
                       return o.pending_bytes_max.has_value();
                     }},
                    {"pending_appends_max",
                     [](const SimulationOptions& o) {
                       return o.pending_appends_max.has_value();
                     }},
                    {"queue_bytes_max",
                     [](const SimulationOptions& o) {
                       return o.queue_bytes_max.has_value();
                     }},
                    {"clients_per_server_max",
                     [](const SimulationOptions& o) {
                       return o.clients_per_server_max.has_value();
                     }}},
                   0.25);
}

TEST(SetupTest, EachClientHasRoomAtEachServer) {
  for (uint64_t seed = 1; seed <= 100; ++seed) {
    const SimulationOptions drawn = DrawnBy(seed, {});
    if (!drawn.clients_per_server_max.has_value()) continue;
    EXPECT_GE(*drawn.clients_per_server_max, drawn.clients);
  }
}

// Nothing happens then but what is asked for.
TEST(SetupTest, GivenRatesTurnOffWhatIsNotAskedFor) {
  SimulationOptions options;
  options.rates = FaultRates{};
  const SimulationOptions drawn = DrawnBy(1, options);
  EXPECT_FALSE(*drawn.changes);
  EXPECT_FALSE(*drawn.trims);
  EXPECT_FALSE(*drawn.transfers);
  EXPECT_FALSE(*drawn.kv);
  EXPECT_EQ(drawn.rates->stop_reading_ppm, 0u);
  options.trims = true;
  EXPECT_TRUE(*DrawnBy(1, options).transfers);
}

}  // namespace
}  // namespace holdfast
