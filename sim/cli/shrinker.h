#ifndef HOLDFAST_SIM_CLI_SHRINKER_H_
#define HOLDFAST_SIM_CLI_SHRINKER_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "sim/cli/flags.h"

namespace holdfast {

// A run that fails: its options and its faults, and how large it was.
struct ShrinkCase {
  SimulateFlags flags;  // with a tape
  bool fresh = false;   // a candidate whose faults are drawn: its tape is empty
  int64_t failed_at_ms = 0;
  uint64_t operations = 0;  // of clients and embedders
  uint64_t events = 0;

  const std::vector<TapeEntry>& entries() const { return flags.tape->entries; }
};

// Makes a failing run smaller, as long as it fails in the same way.
//
// First it looks, under a bounded number of other seeds, for runs of half the
// time that fail in that way, too, as long as there are some: these are smaller
// than what a long run can be cut down to, and each step costs less.
//
// Its heart is delta debugging (Zeller and Hildebrandt, "Simplifying and
// Isolating Failure-Inducing Input", IEEE TSE 2002) over the tape's faults:
// leave out halves, then quarters, down to single ones. Before and after that
// it tries whatever else makes a run simpler to read: all faults of a kind at
// once, features off, fewer servers, clients and operations, a shorter time,
// milder faults. A run in which a fault is left out is another run from there
// on, and may miss the bug by mere chance; so when nothing can be left out any
// more, it tries again under a few other seeds.
//
// It knows nothing of runs but what it is told: the same answers, the same
// result.
class Shrinker {
 public:
  // The first of so many candidates, in their order, that fails in the same
  // way, as it was when it ran: with the faults that struck. Nothing: none
  // does. They are made when they are needed: all of them would be large.
  using Candidate = std::function<ShrinkCase(size_t)>;
  using FirstThatFails = std::function<std::optional<ShrinkCase>(
      size_t count, const Candidate& candidate)>;
  // Told of each step that worked.
  using OnSmaller = std::function<void(const ShrinkCase&)>;

  Shrinker(ShrinkCase failing, FirstThatFails first, OnSmaller on_smaller)
      : best_(std::move(failing)),
        first_(std::move(first)),
        on_smaller_(std::move(on_smaller)) {}

  ShrinkCase Run();

 private:
  // Takes the first candidate that fails, if there is one.
  bool Take(size_t count, const Candidate& candidate);
  // As long as one of those that `make` makes of the best one fails.
  bool TakeAll(std::vector<ShrinkCase> (*make)(const ShrinkCase&));
  bool AfreshInHalfTheTime();
  bool LeaveOutFaults();
  bool LeaveOutChunks(size_t size);
  bool UnderOtherSeeds();

  ShrinkCase best_;
  const FirstThatFails first_;
  const OnSmaller on_smaller_;
  uint64_t reseeds_ = 0;
};

// What is simpler than a case in one respect each, the boldest first. For
// Shrinker and its test.
std::vector<ShrinkCase> WithEarlierEnd(const ShrinkCase& c);
std::vector<ShrinkCase> WithoutAKindOfFault(const ShrinkCase& c);
std::vector<ShrinkCase> WithFeaturesOff(const ShrinkCase& c);
std::vector<ShrinkCase> WithFewerActors(const ShrinkCase& c);
std::vector<ShrinkCase> WithFewerOperations(const ShrinkCase& c);
std::vector<ShrinkCase> WithMilderFaults(const ShrinkCase& c);
std::vector<ShrinkCase> WithShorterGaps(const ShrinkCase& c);

}  // namespace holdfast

#endif  // HOLDFAST_SIM_CLI_SHRINKER_H_
