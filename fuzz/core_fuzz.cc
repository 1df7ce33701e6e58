// A cluster of cores to which whatever may happen happens in the order that
// the input's bytes choose, with all its invariants and Raft's safety
// properties checked after each step (engine/raft/testing/cluster.h).

#include <cstddef>
#include <cstdint>
#include <vector>

#include "engine/raft/testing/chaos.h"
#include "engine/raft/testing/cluster.h"

namespace {

// Steps of one run, whatever the input's length: a run takes milliseconds.
constexpr int kStepsMax = 2000;

// Choices as two bytes each; all zero once they are used up.
class Choices {
 public:
  Choices(const uint8_t* data, size_t size) : data_(data), left_(size) {}

  uint64_t Below(uint64_t bound) {
    uint64_t value = 0;
    for (int i = 0; i < 2 && left_ > 0; ++i, --left_) {
      value = value << 8 | *data_++;
    }
    return value % bound;
  }
  bool empty() const { return left_ == 0; }

 private:
  const uint8_t* data_;
  size_t left_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Choices choices(data, size);
  auto choose = [&choices](uint64_t bound) { return choices.Below(bound); };
  const holdfast::RaftOptions options = holdfast::ChooseOptions(choose);
  const uint64_t servers = 1 + choose(5);
  std::vector<uint64_t> voters;
  for (uint64_t id = 1; id <= servers; ++id) voters.push_back(id);
  holdfast::TestCluster cluster(servers, holdfast::MakeConfiguration(voters),
                                options);
  holdfast::Chaos chaos(&cluster, choose);
  for (int i = 0; i < kStepsMax && !choices.empty(); ++i) chaos.Act();
  return 0;
}
