#include "sim/cli/shrink.h"

#include <chrono>
#include <cstdio>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "sim/cli/code_id.h"
#include "sim/cli/files.h"
#include "sim/cli/jobs.h"
#include "sim/cli/run.h"
#include "sim/cli/shrinker.h"

namespace holdfast {
namespace {

absl::StatusOr<ShrinkCase> CaseOf(const RunOutcome& outcome) {
  absl::StatusOr<SimulateFlags> flags = FlagsOfTape(outcome.tape);
  if (!flags.ok()) return flags.status();
  return ShrinkCase{.flags = *std::move(flags),
                    .failed_at_ms = outcome.failed_at_ms,
                    .operations = outcome.summary.count("operations"),
                    .events = outcome.summary.count("events")};
}

// Runs candidates in jobs of their own, so that crashes can be shrunk, too.
class Runner {
 public:
  Runner(size_t jobs, JobPool::Clock::time_point deadline,
         std::function<void(Simulation*)> prepare)
      : pool_(jobs), deadline_(deadline), prepare_(std::move(prepare)) {}

  // What is to be the same in all that follows.
  void set_signature(std::string signature) {
    signature_ = std::move(signature);
  }
  uint64_t runs() const { return runs_; }
  bool at_its_end() const { return at_its_end_; }

  // Nothing: not before the deadline.
  std::optional<RunOutcome> RunOne(const SimulateFlags& flags) {
    ++runs_;
    StartRun(flags, flags.seed, 0, &pool_, prepare_);
    std::optional<JobPool::Result> result = pool_.Wait(deadline_);
    if (!result.has_value()) return std::nullopt;
    return OutcomeOf(*result);
  }

  // See Shrinker. Several run at once; the result doesn't depend on which of
  // them are done first.
  std::optional<ShrinkCase> FirstThatFails(
      size_t count, const Shrinker::Candidate& candidate) {
    std::optional<ShrinkCase> first;
    size_t end = count;  // none from there on counts any more
    size_t started = 0;
    std::vector<bool> done(count);
    size_t open = 0;  // the first one that isn't done
    while (open < end) {
      if (started < end && !pool_.full()) {
        const ShrinkCase next = candidate(started);
        SimulateFlags flags = next.flags;
        if (next.fresh) flags.tape.reset();
        StartRun(flags, flags.seed, started++, &pool_, prepare_);
        ++runs_;
        continue;
      }
      std::optional<JobPool::Result> result = pool_.Wait(deadline_);
      if (!result.has_value()) {
        at_its_end_ = true;
        break;
      }
      const size_t i = result->number;
      done[i] = true;
      while (open < end && done[open]) ++open;
      if (i >= end) continue;
      if (std::optional<ShrinkCase> same = IfSame(OutcomeOf(*result))) {
        first = std::move(same);
        end = i;
      }
    }
    pool_.EndAll();
    return first;
  }

 private:
  std::optional<ShrinkCase> IfSame(const RunOutcome& outcome) const {
    if (outcome.ok() || outcome.Signature() != signature_) return std::nullopt;
    absl::StatusOr<ShrinkCase> same = CaseOf(outcome);
    if (!same.ok()) return std::nullopt;
    return *std::move(same);
  }

  JobPool pool_;
  const JobPool::Clock::time_point deadline_;
  const std::function<void(Simulation*)> prepare_;
  std::string signature_;
  uint64_t runs_ = 0;
  bool at_its_end_ = false;
};

std::string FeaturesOf(const SimulateFlags& f) {
  std::string on;
  const auto add = [&](bool is_on, absl::string_view name) {
    if (is_on) absl::StrAppend(&on, on.empty() ? "" : ", ", name);
  };
  add(f.changes.value_or(true), "changes");
  add(f.trims.value_or(true), "trims");
  add(f.transfers.value_or(true), "transfers");
  add(f.admin.value_or(true), "asked by clients");
  add(f.kv.value_or(true), "kv");
  add(f.leases.value_or(true), "leases");
  add(f.reads.value_or(true), "reads");
  add(f.tails.value_or(true), "tails");
  add(f.conditions.value_or(true), "conditions");
  add(f.names_servers.value_or(true), "named servers");
  add(f.drift, "drift");
  add(f.settle, "settling");
  add(f.tls, "TLS");
  return on.empty() ? "none" : on;
}

void PrintSizes(const ShrinkCase& before, const ShrinkCase& after) {
  const auto row = [](const char* what, uint64_t was, uint64_t is) {
    std::printf("  %-22s %10llu %10llu\n", what,
                static_cast<unsigned long long>(was),
                static_cast<unsigned long long>(is));
  };
  std::printf("  %-22s %10s %10s\n", "", "before", "after");
  row("faults", before.entries().size(), after.entries().size());
  row("servers", before.flags.nodes, after.flags.nodes);
  row("spare servers", *before.flags.spares, *after.flags.spares);
  row("clients", before.flags.clients, after.flags.clients);
  row("simulated ms", static_cast<uint64_t>(before.failed_at_ms),
      static_cast<uint64_t>(after.failed_at_ms));
  row("operations", before.operations, after.operations);
  row("events", before.events, after.events);
  std::printf("  features before: %s\n  features after:  %s\n",
              FeaturesOf(before.flags).c_str(),
              FeaturesOf(after.flags).c_str());
}

}  // namespace

int ShrinkCommand(const SimulateFlags& flags,
                  const std::function<void(Simulation*)>& prepare) {
  const JobPool::Clock::time_point start = JobPool::Clock::now();
  Runner runner(flags.jobs, start + flags.effort, prepare);
  const std::optional<RunOutcome> failing = runner.RunOne(flags);
  if (!failing.has_value())
    return Refuse("the run itself takes longer than --effort");
  if (failing->ok()) return Refuse("that run doesn't fail: nothing to shrink");
  const absl::StatusOr<ShrinkCase> before = CaseOf(*failing);
  if (!before.ok()) return Refuse(before.status().message());
  const std::string signature = failing->Signature();
  runner.set_signature(signature);
  std::fprintf(stderr, "broke: %s\n", failing->what.c_str());
  Shrinker shrinker(
      *before,
      [&](size_t count, const Shrinker::Candidate& candidate) {
        return runner.FirstThatFails(count, candidate);
      },
      [&](const ShrinkCase& smaller) {
        if (!flags.verbose) return;
        std::fprintf(stderr, "run %llu: %zu faults, %u servers, %lld ms\n",
                     static_cast<unsigned long long>(runner.runs()),
                     smaller.entries().size(), smaller.flags.nodes,
                     static_cast<long long>(smaller.failed_at_ms));
      });
  const ShrinkCase after = shrinker.Run();
  Tape tape = *after.flags.tape;
  tape.code = kCodeId;
  tape.revision = Revision();
  WriteOptions(after.flags, after.flags.seed, &tape);
  const std::string path =
      flags.out.empty()
          ? absl::StrCat("holdfast-", before->flags.seed, ".small.tape")
          : flags.out;
  const absl::Status saved = ReplaceFile(path, tape.ToText());
  if (!saved.ok()) return Refuse(saved.message());
  const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(
      JobPool::Clock::now() - start);
  std::printf("shrunk in %llu runs, %.1f s%s\n  %s\n",
              static_cast<unsigned long long>(runner.runs()),
              static_cast<double>(took.count()) / 1000,
              runner.at_its_end() ? " (--effort is used up)" : "",
              signature.c_str());
  PrintSizes(*before, after);
  std::printf("tape: %s\nshow it again: %s --verbose\n", path.c_str(),
              CommandForTape(path).c_str());
  return 0;
}

}  // namespace holdfast
