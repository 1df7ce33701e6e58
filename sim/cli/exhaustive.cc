#include "sim/cli/exhaustive.h"

#include <chrono>
#include <cstdio>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "sim/cli/exhaustive_cases.h"
#include "sim/cli/jobs.h"
#include "sim/cli/run.h"

namespace holdfast {
namespace {

class Exhaustive {
 public:
  Exhaustive(const SimulateFlags& flags,
             const std::function<void(Simulation*)>& prepare)
      : flags_(flags), prepare_(prepare), pool_(flags.jobs) {}

  // All cases of that seed.
  void Run(uint64_t seed) {
    SimulateFlags run = SmallScope(flags_, seed);
    Places places;
    const auto done = [&](const RunOutcome& outcome) {
      Done({0, seed}, outcome, "", "");
    };
    const RunOutcome calm = RunHere(run, seed, done, [&](Simulation* s) {
      if (prepare_) prepare_(s);
      s->world()->trace.set_observer(&places);
    });
    done(calm);
    if (!calm.ok()) return;
    for (size_t kind = 1; kind < kinds_.size(); ++kind) {
      for (const TapeEntry& place : places.Of(kinds_[kind].strikes)) {
        if (pool_.full()) Take();
        run.tape->entries = FaultsAt(kinds_[kind], place);
        StartRun(run, seed, cases_.size(), &pool_, prepare_);
        cases_.push_back({kind, seed});
      }
    }
    while (!pool_.empty()) Take();
  }

  RunEnd end() const { return end_; }

  void Print(int64_t wall_ms) {
    for (const auto& [signature, failure] : failures_) {
      PrintFailures(failure.count, signature, failure.command);
    }
    for (const CaseKind& kind : kinds_) {
      const Count& count = counts_[kind.name];
      std::printf("%-40s %6llu runs, %llu failed\n", kind.name.c_str(),
                  static_cast<unsigned long long>(count.runs),
                  static_cast<unsigned long long>(count.failed));
      summary_.AddCount(absl::StrCat("runs_", kind.name), count.runs);
    }
    std::printf(
        "%s\n",
        summary_.Line(flags_.json, flags_.seed, RunEndName(end_), wall_ms)
            .c_str());
  }

 private:
  struct Case {
    size_t kind;
    uint64_t seed;
  };
  struct Count {
    uint64_t runs = 0;
    uint64_t failed = 0;
  };
  struct Failures {
    uint64_t count = 0;
    std::string command;  // that shows the first of them
  };

  void Take() {
    const JobPool::Result result = *pool_.Wait();
    Done(cases_[result.number], OutcomeOf(result),
         absl::StrCat(".", result.number), result.errors);
  }

  void Done(const Case& of, const RunOutcome& outcome,
            const std::string& number, const std::string& errors) {
    const std::string& kind = kinds_[of.kind].name;
    summary_.AddSummary(outcome.summary);
    ++counts_[kind].runs;
    if (outcome.ok()) return;
    ++counts_[kind].failed;
    Failures& same = failures_[outcome.Signature()];
    if (same.count++ == 0) {
      std::fprintf(stderr, "%s%s:\n", errors.c_str(), kind.c_str());
      same.command = ReportFailure(SmallScope(flags_, of.seed), of.seed,
                                   outcome, flags_.tape_dir, number);
    }
    if (IsGraver(outcome.end, end_)) end_ = outcome.end;
  }

  const SimulateFlags& flags_;
  const std::function<void(Simulation*)>& prepare_;
  const std::vector<CaseKind> kinds_ = AllCaseKinds();
  JobPool pool_;
  std::vector<Case> cases_;  // by the number of their job
  Summary summary_;
  std::map<std::string, Count> counts_;       // by kind
  std::map<std::string, Failures> failures_;  // by signature
  RunEnd end_ = RunEnd::kOk;
};

}  // namespace

int ExhaustiveCommand(const SimulateFlags& flags,
                      const std::function<void(Simulation*)>& prepare) {
  const JobPool::Clock::time_point start = JobPool::Clock::now();
  Exhaustive all(flags, prepare);
  for (uint64_t i = 0; i < flags.seeds; ++i) all.Run(flags.seed + i);
  const auto wall_ms = std::chrono::duration_cast<std::chrono::milliseconds>(
                           JobPool::Clock::now() - start)
                           .count();
  all.Print(wall_ms);
  return static_cast<int>(all.end());
}

}  // namespace holdfast
