#include "sim/setup.h"

#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "sim/chance.h"
#include "sim/simulation.h"
#include "sim/trace.h"

namespace holdfast {
namespace {

// A feature of a run that half of the seeds have.
struct Feature {
  std::string name;
  bool (*is_on)(const SimulationOptions& drawn);
  int coins = 1;  // that must all be heads
};

const Feature kFeatures[] = {
    {"changes", [](const SimulationOptions& o) { return *o.changes; }},
    {"trims", [](const SimulationOptions& o) { return *o.trims; }},
    {"transfers", [](const SimulationOptions& o) { return *o.transfers; }},
    {"admin", [](const SimulationOptions& o) { return *o.admin; }},
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
    // Little room.
    {"pending_bytes_max",
     [](const SimulationOptions& o) { return o.pending_bytes_max.has_value(); },
     2},
    {"pending_appends_max",
     [](const SimulationOptions& o) {
       return o.pending_appends_max.has_value();
     },
     2},
    {"queue_bytes_max",
     [](const SimulationOptions& o) { return o.queue_bytes_max.has_value(); },
     2},
    {"admin_requests_max",
     [](const SimulationOptions& o) {
       return o.admin_requests_max.has_value();
     },
     2},
    {"clients_per_server_max",
     [](const SimulationOptions& o) {
       return o.clients_per_server_max.has_value();
     },
     2},
};

// All fields of FaultRates in their order, so that none can be forgotten here.
using RateFields = std::array<uint64_t, sizeof(FaultRates) / sizeof(uint64_t)>;

RateFields FieldsOf(const FaultRates& rates) {
  return std::bit_cast<RateFields>(rates);
}

bool IsSame(size_t field, uint64_t FaultRates::*rate) {
  FaultRates other;
  other.*rate += 1;
  return FieldsOf(FaultRates())[field] != FieldsOf(other)[field];
}

// What is on where several coins, each tossed on its own, all are heads.
struct Tossed {
  std::string name;
  std::set<std::string> coins;
};

// A kind of fault has a coin of its own; some need others besides.
Tossed RateTossed(size_t field) {
  const std::string name = absl::StrCat("FaultRates' field ", field + 1);
  Tossed tossed{name, {name}};
  for (const auto rate : {&FaultRates::rot_ppm, &FaultRates::zeroes_ppm,
                          &FaultRates::misdirect_ppm, &FaultRates::truncate_ppm,
                          &FaultRates::refuse_blocks_ppm,
                          &FaultRates::forge_ppm, &FaultRates::stale_ppm,
                          &FaultRates::vanish_ppm, &FaultRates::surge_ppm}) {
    if (IsSame(field, rate)) tossed.coins.insert("damage at rest");
  }
  for (const auto rate : {&FaultRates::old_disk_ppm, &FaultRates::forge_ppm,
                          &FaultRates::wiped_disk_ppm}) {
    if (IsSame(field, rate)) tossed.coins.insert("changes");
  }
  return tossed;
}

SimulationOptions DrawnBy(uint64_t seed, SimulationOptions options) {
  Trace trace;
  Chance chance(seed, &trace);
  return DrawSetup(std::move(options), &chance);
}

std::vector<Tossed> AllThatIsTossed() {
  std::vector<Tossed> all;
  for (const Feature& feature : kFeatures) {
    Tossed tossed{feature.name, {}};
    for (int i = 0; i < feature.coins; ++i) {
      tossed.coins.insert(i == 0 ? feature.name
                                 : absl::StrCat(feature.name, i));
    }
    all.push_back(std::move(tossed));
  }
  for (size_t field = 0; field < std::tuple_size_v<RateFields>; ++field) {
    all.push_back(RateTossed(field));
  }
  return all;
}

// In the same order.
std::vector<bool> WhatIsOn(const SimulationOptions& drawn) {
  std::vector<bool> on;
  for (const Feature& feature : kFeatures) on.push_back(feature.is_on(drawn));
  for (const uint64_t rate : FieldsOf(*drawn.rates)) on.push_back(rate != 0);
  return on;
}

// So any two that share no coin are together, and apart, as often as if nobody
// had looked at the other one.
TEST(SetupTest, EachFeatureAndKindOfFaultIsACoinOfItsOwn) {
  constexpr uint64_t kSeeds = 4000;
  const std::vector<Tossed> all = AllThatIsTossed();
  std::vector<std::vector<uint64_t>> together(
      all.size(), std::vector<uint64_t>(all.size()));
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    const std::vector<bool> on = WhatIsOn(DrawnBy(seed, {}));
    for (size_t i = 0; i < all.size(); ++i) {
      for (size_t j = 0; j <= i; ++j) together[i][j] += on[i] && on[j];
    }
  }
  for (size_t i = 0; i < all.size(); ++i) {
    for (size_t j = 0; j <= i; ++j) {
      std::set<std::string> coins = all[i].coins;
      coins.insert(all[j].coins.begin(), all[j].coins.end());
      const double p = std::pow(0.5, static_cast<double>(coins.size()));
      // Five standard deviations.
      const double off_max = 5 * std::sqrt(p * (1 - p) * double{kSeeds});
      EXPECT_NEAR(static_cast<double>(together[i][j]), p * kSeeds, off_max)
          << all[i].name << " and " << all[j].name;
    }
  }
}

TEST(SetupTest, EachClientHasRoomAtEachServer) {
  for (uint64_t seed = 1; seed <= 100; ++seed) {
    const SimulationOptions drawn = DrawnBy(seed, {});
    if (!drawn.clients_per_server_max.has_value()) continue;
    EXPECT_GE(*drawn.clients_per_server_max, drawn.clients);
  }
}

// Where servers don't change, nobody could replace such a server.
TEST(SetupTest, NoDiskIsReplacedWhereServersDoNotChange) {
  for (uint64_t seed = 1; seed <= 400; ++seed) {
    const SimulationOptions drawn = DrawnBy(seed, {});
    if (*drawn.changes) continue;
    EXPECT_EQ(drawn.rates->old_disk_ppm, 0u) << seed;
    EXPECT_EQ(drawn.rates->forge_ppm, 0u) << seed;
    EXPECT_EQ(drawn.rates->wiped_disk_ppm, 0u) << seed;
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
  EXPECT_FALSE(*drawn.admin);
  EXPECT_FALSE(*drawn.kv);
  EXPECT_EQ(drawn.rates->stop_reading_ppm, 0u);
  options.trims = true;
  EXPECT_TRUE(*DrawnBy(1, options).transfers);
}

}  // namespace
}  // namespace holdfast
