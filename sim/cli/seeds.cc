#include "sim/cli/seeds.h"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "sim/cli/jobs.h"
#include "sim/cli/run.h"
#include "sim/cli/summary.h"

namespace holdfast {
namespace {

// What some seeds came to: all up to the first that failed, or a few more.
struct Seeds {
  Summary summary;
  uint64_t seed = 0;  // that failed
  std::optional<RunOutcome> failure;

  void Add(uint64_t number, RunOutcome outcome) {
    summary.AddSummary(outcome.summary);
    if (outcome.ok() || (failure.has_value() && seed < number)) return;
    seed = number;
    failure = std::move(outcome);
  }
};

// In this process, so that a debugger sees it.
Seeds RunOneByOne(const SimulateFlags& flags,
                  const std::function<void(Simulation*)>& prepare) {
  Seeds seeds;
  for (uint64_t i = 0; i < flags.seeds && !seeds.failure.has_value(); ++i) {
    const uint64_t seed = flags.seed + i;
    const auto on_crash = [&](const RunOutcome& crash) {
      ReportFailure(flags, seed, crash, flags.tape_dir);
    };
    seeds.Add(seed, RunHere(flags, seed, on_crash, prepare));
  }
  return seeds;
}

Seeds RunInJobs(const SimulateFlags& flags,
                const std::function<void(Simulation*)>& prepare) {
  Seeds seeds;
  JobPool pool(flags.jobs);
  uint64_t started = 0;
  while (true) {
    const bool more = started < flags.seeds && !seeds.failure.has_value();
    if (more && !pool.full()) {
      const uint64_t seed = flags.seed + started++;
      StartRun(flags, seed, seed, &pool, prepare);
      continue;
    }
    if (pool.empty()) return seeds;
    const JobPool::Result result = *pool.Wait();
    std::fputs(result.errors.c_str(), stderr);
    seeds.Add(result.number, OutcomeOf(result));
  }
}

}  // namespace

int RunSeedsCommand(const SimulateFlags& flags,
                    const std::function<void(Simulation*)>& prepare) {
  const absl::StatusOr<std::string> rare_paths = ReadRarePaths(flags);
  if (!rare_paths.ok()) return Refuse(rare_paths.status().message());
  using Clock = std::chrono::steady_clock;
  const Clock::time_point start = Clock::now();
  const Seeds seeds = flags.jobs > 1 && flags.seeds > 1
                          ? RunInJobs(flags, prepare)
                          : RunOneByOne(flags, prepare);
  uint64_t seed = flags.seed;
  RunEnd end = RunEnd::kOk;
  if (seeds.failure.has_value()) {
    seed = seeds.seed;
    end = seeds.failure->end;
    ReportFailure(flags, seed, *seeds.failure, flags.tape_dir);
  }
  int code = static_cast<int>(end);
  std::string verdict = RunEndName(end);
  const std::vector<std::string> never = seeds.summary.NeverTaken(*rare_paths);
  if (end == RunEnd::kOk && !never.empty()) {
    for (const std::string& name : never) {
      std::fprintf(stderr, "rare path never taken: %s\n", name.c_str());
    }
    code = static_cast<int>(RunEnd::kCorrectness);
    verdict = "rare path missed";
  }
  const absl::Status written = WritePaths(flags, seeds.summary, *rare_paths);
  if (!written.ok()) return Refuse(written.message());
  // The summary is of whole runs.
  if (flags.watch.go_to != 0 && end == RunEnd::kOk) return code;
  const auto wall_ms = std::chrono::duration_cast<std::chrono::milliseconds>(
                           Clock::now() - start)
                           .count();
  std::printf("%s\n",
              seeds.summary.Line(flags.json, seed, verdict, wall_ms).c_str());
  return code;
}

}  // namespace holdfast
