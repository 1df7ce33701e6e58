// Thousands of short random runs; what they check is in TestCluster.

#include <cstdint>
#include <cstdlib>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "engine/base/random.h"
#include "engine/raft/testing/chaos.h"
#include "engine/raft/testing/cluster.h"
#include "gtest/gtest.h"

namespace holdfast {
namespace {

// HOLDFAST_RAFT_SEEDS=N runs more of them, HOLDFAST_RAFT_FIRST_SEED=S others.
uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

TEST(RaftRandomTest, SafeUnderChaosAndLiveAfterIt) {
  const uint64_t first = FromEnvironment("HOLDFAST_RAFT_FIRST_SEED", 1);
  const uint64_t seeds = FromEnvironment("HOLDFAST_RAFT_SEEDS", 2000);
  std::map<std::string, uint64_t> stats;
  uint64_t committed = 0;
  uint64_t reads = 0;
  for (uint64_t seed = first; seed < first + seeds; ++seed) {
    SCOPED_TRACE(seed);
    if (std::getenv("HOLDFAST_RAFT_VERBOSE") != nullptr) {
      std::fprintf(stderr, "seed %llu\n",
                   static_cast<unsigned long long>(seed));
    }
    const DrawKey key{.seed = seed, .site = Site("raft_random_test")};
    uint64_t ordinal = 0;
    auto choose = [&](uint64_t bound) {
      return DrawBelow(key, ++ordinal, bound);
    };
    const RaftOptions options = ChooseOptions(choose);
    const uint64_t n = 1 + choose(7);
    std::vector<uint64_t> voters;
    std::vector<uint64_t> learners;
    for (uint64_t id = 1; id <= n; ++id) {
      (id == 1 || choose(6) > 0 ? voters : learners).push_back(id);
    }
    TestCluster cluster(n, MakeConfiguration(voters, learners), options);
    Chaos chaos(&cluster, choose);
    for (int i = 0; i < 1500; ++i) chaos.Act();
    chaos.Heal();
    for (const auto& [name, count] : cluster.Stats()) stats[name] += count;
    committed += cluster.committed().size();
    reads += cluster.reads_ready().size();
  }
  // It would prove little if nothing got done, or nothing went wrong.
  EXPECT_GT(committed, seeds * 20);
  EXPECT_GT(reads, seeds * 2);
  for (const auto& [name, count] : stats) {
    if (std::getenv("HOLDFAST_RAFT_VERBOSE") != nullptr) {
      std::fprintf(stderr, "%-34s %llu\n", name.c_str(),
                   static_cast<unsigned long long>(count));
    }
    // Correct servers send nothing malformed.
    if (name == "message_malformed") {
      EXPECT_EQ(count, 0u);
    } else if (seeds >= 1000) {
      EXPECT_GT(count, 0u) << name;
    }
  }
}

}  // namespace
}  // namespace holdfast
