// The core's step: what a leader and a follower do for each append, without
// disk, network and payloads.

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "benchmark/benchmark.h"
#include "engine/base/check.h"
#include "engine/raft/core.h"

namespace holdfast {
namespace {

constexpr uint32_t kEntryBytes = 1024 + 64;

RaftRecovered ThreeServers() {
  auto configuration = std::make_shared<Configuration>();
  for (uint64_t id = 1; id <= 3; ++id) {
    configuration->voters.push_back(Member{ServerId(id), {}, "m:1"});
  }
  EntryMeta first;
  first.index = Index(1);
  first.term = Term(1);
  first.kind = EntryKind::kConfiguration;
  first.size = 64;
  first.configuration = configuration;
  RaftRecovered recovered;
  recovered.trail.Append(first);
  recovered.hard_state.term = Term(1);
  recovered.commit_hint = Index(1);
  return recovered;
}

// A leader and a follower whose writes are done at once; a third server never
// answers.
class Pair {
 public:
  Pair() {
    for (uint64_t id : {1, 2}) {
      RaftOptions options;
      options.id = ServerId(id);
      options.hot_bytes = 1 << 20;
      cores_[id] = std::make_unique<RaftCore>(options, ThreeServers(), now_);
    }
    now_ += 1s;
    Step(1, Tick{});
    while (cores_[1]->role() != Role::kLeader) Deliver();
    Deliver();
  }

  void Propose(size_t n) {
    std::vector<EntryMeta> metas(n);
    for (EntryMeta& meta : metas) meta.size = kEntryBytes;
    Step(1, holdfast::Propose{std::move(metas)});
  }

  // All messages there are, and what comes of them.
  void Deliver() {
    while (!messages_.empty()) {
      std::vector<Message> now = std::move(messages_);
      messages_.clear();
      for (Message& m : now) {
        if (m.to != ServerId(3)) Step(m.to.value(), Receive{std::move(m)});
      }
    }
  }

  Index commit() const { return cores_[1]->commit(); }
  Index last() const { return cores_[1]->last_index(); }

 private:
  void Step(uint64_t id, InputEvent event) {
    cores_[id]->Step({now_, std::move(event)}, &output_);
    uint64_t persisted =
        output_.persist.has_value() ? output_.persist->sequence : 0;
    for (Message& m : output_.messages) messages_.push_back(std::move(m));
    if (persisted > 0) Step(id, Persisted{persisted});
  }

  Instant now_ = Instant(1s);
  std::unique_ptr<RaftCore> cores_[3];
  RaftOutput output_;
  std::vector<Message> messages_;
};

// Proposed, replicated, written, acknowledged and committed: the whole of
// both cores' work for each entry.
void BM_ReplicateAndCommit(benchmark::State& state) {
  Pair pair;
  const size_t batch = static_cast<size_t>(state.range(0));
  for (auto _ : state) {
    pair.Propose(batch);
    pair.Deliver();
  }
  CHECK(pair.commit() == pair.last());
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(batch));
}
BENCHMARK(BM_ReplicateAndCommit)->Arg(1)->Arg(16)->Arg(256);

}  // namespace
}  // namespace holdfast

BENCHMARK_MAIN();
