#include "sim/cli/shrinker.h"

#include <algorithm>
#include <utility>

#include "engine/base/random.h"

namespace holdfast {
namespace {

// Of runs that are small by then.
constexpr size_t kOtherSeedsMin = 10;
constexpr size_t kOtherCases = 500;
// Simulated time that a search for a shorter run may take, and its runs.
constexpr Duration kAfreshTime = 20min;
constexpr int64_t kAfreshRunsMax = 200;

ShrinkCase WithoutRange(const ShrinkCase& c, size_t from, size_t to) {
  ShrinkCase fewer = c;
  std::vector<TapeEntry>& entries = fewer.flags.tape->entries;
  entries.erase(
      entries.begin() + static_cast<ptrdiff_t>(from),
      entries.begin() + static_cast<ptrdiff_t>(std::min(to, entries.size())));
  return fewer;
}

}  // namespace

bool Shrinker::Take(size_t count, const Candidate& candidate) {
  if (count == 0) return false;
  std::optional<ShrinkCase> smaller = first_(count, candidate);
  if (!smaller.has_value()) return false;
  best_ = *std::move(smaller);
  on_smaller_(best_);
  return true;
}

bool Shrinker::TakeAll(std::vector<ShrinkCase> (*make)(const ShrinkCase&)) {
  bool any = false;
  while (true) {
    const std::vector<ShrinkCase> simpler = make(best_);
    if (!Take(simpler.size(), [&](size_t i) { return simpler[i]; })) return any;
    any = true;
  }
}

bool Shrinker::AfreshInHalfTheTime() {
  const Duration half = std::chrono::milliseconds(
      std::min(best_.failed_at_ms, ToMillis(best_.flags.duration)) / 2);
  if (half < 250ms) return false;
  const int64_t runs = std::min(kAfreshRunsMax, kAfreshTime / half);
  const ShrinkCase before = best_;
  return Take(static_cast<size_t>(runs), [&](size_t i) {
    ShrinkCase c = before;
    c.fresh = true;
    c.flags.tape.emplace();
    c.flags.seed = Mix64(before.flags.seed + i) >> 32;
    c.flags.duration = half;
    if (i % 2 == 1) c.flags.nodes = std::min(c.flags.nodes, 3u);
    return c;
  });
}

bool Shrinker::LeaveOutChunks(size_t size) {
  bool any = false;
  size_t from = 0;
  while (from < best_.entries().size()) {
    const ShrinkCase before = best_;
    const size_t left = before.entries().size() - from;
    if (!Take((left + size - 1) / size, [&](size_t i) {
          const size_t at = from + i * size;
          return WithoutRange(before, at, at + size);
        })) {
      break;
    }
    any = true;
    // On from the first fault that is gone: those before it are needed.
    const auto differs =
        std::mismatch(before.entries().begin(), before.entries().end(),
                      best_.entries().begin(), best_.entries().end());
    from = static_cast<size_t>(differs.first - before.entries().begin());
  }
  return any;
}

bool Shrinker::LeaveOutFaults() {
  bool any = false;
  for (size_t size = (best_.entries().size() + 1) / 2; size > 0; size /= 2) {
    if (LeaveOutChunks(size)) any = true;
  }
  // What was needed for another one may not be needed any more.
  while (LeaveOutChunks(1)) any = true;
  return any;
}

bool Shrinker::UnderOtherSeeds() {
  std::vector<ShrinkCase> simpler;
  for (size_t at = 0; at < best_.entries().size(); ++at) {
    simpler.push_back(WithoutRange(best_, at, at + 1));
  }
  for (auto make : {WithFewerActors, WithFeaturesOff, WithFewerOperations,
                    WithShorterGaps}) {
    for (ShrinkCase& c : make(best_)) simpler.push_back(std::move(c));
  }
  if (simpler.empty()) return false;
  const size_t seeds = std::max(kOtherSeedsMin, kOtherCases / simpler.size());
  const uint64_t first = best_.flags.seed + reseeds_ + 1;
  reseeds_ += seeds;
  return Take(seeds * simpler.size(), [&](size_t i) {
    ShrinkCase c = simpler[i % simpler.size()];
    c.flags.seed = Mix64(first + i / simpler.size()) >> 32;
    return c;
  });
}

ShrinkCase Shrinker::Run() {
  TakeAll(WithEarlierEnd);
  while (AfreshInHalfTheTime()) {
  }
  TakeAll(WithoutAKindOfFault);
  bool any = true;
  while (any) {
    any = LeaveOutFaults();
    any |= TakeAll(WithFeaturesOff);
    any |= TakeAll(WithFewerActors);
    any |= TakeAll(WithEarlierEnd);
    if (any) continue;
    any |= TakeAll(WithFewerOperations);
    any |= TakeAll(WithShorterGaps);
    any |= TakeAll(WithMilderFaults);
    if (!any) any = UnderOtherSeeds();
  }
  return best_;
}

}  // namespace holdfast
