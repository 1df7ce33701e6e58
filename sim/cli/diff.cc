#include "sim/cli/diff.h"

#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "sim/cli/campaign_state.h"
#include "sim/cli/hashes.h"
#include "sim/cli/jobs.h"
#include "sim/cli/run.h"

namespace holdfast {
namespace {

using Clock = JobPool::Clock;
using In = RunDifference::In;
// 0 or 1: of the two processes that run a seed.
using Which = size_t;

// Events that are shown before the one that differs.
constexpr uint64_t kBefore = 5;

// What no run may depend on is unlike in the two processes: the bytes that
// malloc gives (glibc fills them with these) and, by the environment's size,
// where the stack ends. The kernel places both at random besides.
JobPool::Variables VariablesOf(Which which) {
  if (which == 0) return {{"MALLOC_PERTURB_", "17"}};
  return {{"MALLOC_PERTURB_", "202"},
          {"HOLDFAST_FILLER", std::string(65536, 'x')}};
}

std::string Heading(const RunDifference& difference) {
  switch (difference.in) {
    case In::kOptions:
      return "what is run differs (is it simulate of other code?)";
    case In::kEvent:
      if (difference.event == 0) return "the runs differ before their events";
      return absl::StrCat("event ", difference.event,
                          " is the first that differs");
    case In::kLost:
      return absl::StrCat("one process ends without a verdict, in event ",
                          difference.event, " or later");
    case In::kEnd:
      return "all events are the same, but not what came of them";
  }
  return "";
}

// The two that are compared.
class Programs {
 public:
  explicit Programs(const SimulateFlags& flags)
      : flags_(flags),
        names_{"this program",
               flags.with.empty() ? "this program again" : flags.with} {}

  const std::string& name(Which which) const { return names_[which]; }

  // Runs that seed in one of them.
  void Start(Which which, uint64_t seed, const std::vector<std::string>& how,
             uint64_t number, JobPool* pool) const {
    const bool other = which == 1 && !flags_.with.empty();
    std::vector<std::string> command = {other ? flags_.with : "/proc/self/exe"};
    for (const auto& arguments : {ArgumentsFor(flags_, seed), how}) {
      command.insert(command.end(), arguments.begin(), arguments.end());
    }
    command.push_back(absl::StrCat("--tape-dir=", flags_.tape_dir));
    pool->StartProgram(number, command, VariablesOf(which));
  }

  // The commands that do so, a line each.
  std::string Commands(uint64_t seed, absl::string_view how) const {
    std::string commands = absl::StrCat(CommandFor(flags_, seed), how, "\n");
    if (flags_.with.empty()) return commands;
    return absl::StrCat(commands, flags_.with, " ",
                        absl::StrJoin(ArgumentsFor(flags_, seed), " "), how,
                        "\n");
  }

 private:
  const SimulateFlags& flags_;
  const std::array<std::string, 2> names_;
};

// One seed, run by both.
using Runs = std::array<HashedRun, 2>;
struct Different {
  uint64_t seed = 0;
  Runs runs;
  RunDifference difference;
};

// An event's line in a text trace, and those of a few before it.
struct EventLines {
  std::string before;
  std::string line;  // empty: the run has no such event
};

// Runs the seed once more.
EventLines LinesOf(uint64_t event, Which which, uint64_t seed,
                   const Programs& programs) {
  JobPool pool(1);
  programs.Start(
      which, seed,
      {absl::StrCat("--goto=", event), absl::StrCat("--before=", kBefore)}, 0,
      &pool);
  const std::string text = pool.Wait()->output;
  EventLines lines;
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    if (absl::StartsWith(line, absl::StrCat("#", event, " "))) {
      lines.line = std::string(line);
      return lines;
    }
    absl::StrAppend(&lines.before, line, "\n");
  }
  return {};
}

void Tell(const Different& d, const Programs& programs) {
  const uint64_t event = d.difference.in == In::kEvent ? d.difference.event : 0;
  std::string before;
  std::array<std::string, 2> told = d.difference.lines;
  for (const Which which : {0, 1}) {
    const HashedRun& run = d.runs[which];
    if (!run.outcome.ok()) std::fputs(run.errors.c_str(), stderr);
    if (event == 0) continue;
    EventLines lines = LinesOf(event, which, d.seed, programs);
    if (lines.line.empty()) continue;
    // A run that ends in it tells its line and its end.
    const bool ended = absl::StartsWith(told[which], "ended ");
    told[which] =
        ended ? absl::StrCat(lines.line, "\n", told[which]) : lines.line;
    before = std::move(lines.before);
  }
  std::string text =
      absl::StrCat("seed ", d.seed, ": ", Heading(d.difference), "\n", before,
                   programs.name(0), ":\n", told[0], "\n", programs.name(1),
                   ":\n", told[1], "\n");
  if (told[0] == told[1]) {
    absl::StrAppend(&text,
                    "(alike: they differ in what no trace shows, such as a "
                    "draw, bytes, or the number of events scheduled)\n");
  }
  std::string how;
  if (event > 0) {
    how = absl::StrCat(" --goto=", event, " --before=", kBefore);
  }
  std::fprintf(stderr, "%sshow it:\n%s", text.c_str(),
               programs.Commands(d.seed, how).c_str());
}

class Diff {
 public:
  explicit Diff(const SimulateFlags& flags)
      : flags_(flags), programs_(flags), pool_(flags.jobs) {}

  // All seeds, up to the first whose runs differ. INVALID_ARGUMENT if a program
  // can't be run, or isn't one that tells its run.
  absl::Status Run() {
    uint64_t started = 0;  // processes, two a seed
    while (true) {
      const bool more = started < 2 * flags_.seeds && !different_.has_value();
      if (more && !pool_.full()) {
        programs_.Start(started % 2, flags_.seed + started / 2, {"--hashes"},
                        started, &pool_);
        ++started;
        continue;
      }
      if (pool_.empty()) return absl::OkStatus();
      absl::Status status = Take(*pool_.Wait());
      if (!status.ok()) return status;
    }
  }

  // Says what it came to; the exit code.
  int Finish(int64_t wall_ms) {
    for (const auto& [signature, f] : same_.failures) {
      PrintFailures(f.count, signature, CommandFor(flags_, f.seed));
    }
    const Failure* gravest = same_.Gravest();
    const RunEnd end = gravest == nullptr ? RunEnd::kOk : gravest->end;
    int code = static_cast<int>(end);
    std::string verdict = RunEndName(end);
    uint64_t seed = gravest == nullptr ? flags_.seed : gravest->seed;
    if (different_.has_value()) {
      Tell(*different_, programs_);
      code = kExitDifferent;
      verdict = "different";
      seed = different_->seed;
    }
    std::printf(
        "%llu of %llu seeds run alike, %llu of these end other than ok\n",
        static_cast<unsigned long long>(alike_),
        static_cast<unsigned long long>(flags_.seeds),
        static_cast<unsigned long long>(not_ok_));
    same_.summary.AddCount("not_ok", not_ok_);
    std::printf(
        "%s\n",
        same_.summary.Line(flags_.json, seed, verdict, wall_ms).c_str());
    return code;
  }

 private:
  absl::Status Take(JobPool::Result job) {
    const uint64_t number = job.number;
    const Which which = number % 2;
    absl::StatusOr<HashedRun> run = HashedRunOf(std::move(job));
    if (!run.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat(programs_.name(which), " doesn't tell its run: ",
                       run.status().message(), " (is it simulate?)"));
    }
    // Its partner's number differs in the last bit.
    const auto partner = waiting_.find(number ^ 1);
    if (partner == waiting_.end()) {
      waiting_[number] = *std::move(run);
      return absl::OkStatus();
    }
    Runs runs;
    runs[which] = *std::move(run);
    runs[1 - which] = std::move(partner->second);
    waiting_.erase(partner);
    Compare(flags_.seed + number / 2, std::move(runs));
    return absl::OkStatus();
  }

  void Compare(uint64_t seed, Runs runs) {
    if (std::optional<RunDifference> difference =
            FirstDifference(runs[0], runs[1])) {
      if (different_.has_value() && different_->seed < seed) return;
      different_ = {seed, std::move(runs), *std::move(difference)};
      return;
    }
    const RunOutcome& outcome = runs[0].outcome;
    ++alike_;
    if (!outcome.ok()) {
      ++not_ok_;
      if (!same_.failures.contains(outcome.Signature())) {
        std::fputs(runs[0].errors.c_str(), stderr);
        ReportFailure(flags_, seed, outcome, flags_.tape_dir);
      }
    }
    same_.Add(seed, outcome);
  }

  const SimulateFlags& flags_;
  const Programs programs_;
  JobPool pool_;
  // By job: those whose partner hasn't ended.
  std::map<uint64_t, HashedRun> waiting_;
  CampaignResult same_;                 // of the seeds whose runs are the same
  uint64_t alike_ = 0;                  // how many these are
  uint64_t not_ok_ = 0;                 // and how many of them failed
  std::optional<Different> different_;  // the lowest seed whose runs aren't
};

}  // namespace

int DiffCommand(const SimulateFlags& flags) {
  if (!flags.with.empty() && access(flags.with.c_str(), X_OK) != 0) {
    return Refuse(absl::StrCat("--with: can't run ", flags.with, ": ",
                               std::strerror(errno)));
  }
  const Clock::time_point start = Clock::now();
  Diff diff(flags);
  const absl::Status status = diff.Run();
  if (!status.ok()) return Refuse(status.message());
  const auto wall_ms = std::chrono::duration_cast<std::chrono::milliseconds>(
                           Clock::now() - start)
                           .count();
  return diff.Finish(wall_ms);
}

}  // namespace holdfast
