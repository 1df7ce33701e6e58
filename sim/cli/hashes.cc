#include "sim/cli/hashes.h"

#include <sys/wait.h>

#include <algorithm>
#include <cstdio>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "sim/observer.h"

namespace holdfast {
namespace {

constexpr absl::string_view kFirstLine = "holdfast-hashes 1\n";
constexpr absl::string_view kOutcomeLine = "\noutcome\n";

// Outlives the simulation that it is made to watch.
class HashPrinter final : public Observer {
 public:
  void Begin(const SimulateFlags& flags, Simulation* simulation) {
    Tape tape;
    WriteOptions(WithDrawn(flags, simulation->options()), flags.seed, &tape);
    std::string head(kFirstLine);
    for (const auto& [name, value] : tape.options) {
      absl::StrAppend(&head, "option ", name, " ", value, "\n");
    }
    std::fputs(head.c_str(), stdout);
    trace_ = &simulation->world()->trace;
    AfterEvent();
    // Whatever becomes of the process: it is one that tells its run.
    std::fflush(stdout);
    simulation->world()->trace.set_observer(this);
  }

  bool AfterEvent() override {
    events_ = trace_->events();
    hash_ = trace_->hash();
    Print();
    return true;
  }

  // False: not all of it could be written.
  bool End(const RunOutcome& outcome) {
    // What was drawn behind the last event.
    if (outcome.end == RunEnd::kOk && outcome.summary.hash() != hash_) {
      ++events_;
      hash_ = outcome.summary.hash();
      Print();
    }
    std::fputs(absl::StrCat(kOutcomeLine.substr(1), outcome.ToText()).c_str(),
               stdout);
    return std::fflush(stdout) == 0 && std::ferror(stdout) == 0;
  }

 private:
  void Print() const {
    std::printf("%llu %016llx\n", static_cast<unsigned long long>(events_),
                static_cast<unsigned long long>(hash_));
  }

  const Trace* trace_ = nullptr;
  uint64_t events_ = 0;
  uint64_t hash_ = 0;
};

std::string FirstLineOf(absl::string_view text) {
  return std::string(text.substr(0, text.find('\n')));
}

// How it ended, and what it came to: a line each.
std::string EndOf(const RunOutcome& outcome) {
  const std::string what = absl::StrReplaceAll(outcome.what, {{"\n", " "}});
  return absl::StrCat("ended ", RunEndName(outcome.end),
                      what.empty() ? "" : ": ", what, "\n",
                      outcome.summary.ToText());
}

// The first line that isn't the same, of each; empty: there are no more.
std::optional<std::array<std::string, 2>> FirstLines(absl::string_view one,
                                                     absl::string_view other) {
  if (one == other) return std::nullopt;
  const auto at = static_cast<size_t>(
      std::mismatch(one.begin(), one.end(), other.begin(), other.end()).first -
      one.begin());
  const size_t newline = one.substr(0, at).rfind('\n');
  const size_t begin = newline == absl::string_view::npos ? 0 : newline + 1;
  return std::array{FirstLineOf(one.substr(begin)),
                    FirstLineOf(other.substr(begin))};
}

}  // namespace

int HashesCommand(const SimulateFlags& flags,
                  const std::function<void(Simulation*)>& prepare) {
  HashPrinter printer;
  const auto on_crash = [&printer](const RunOutcome& outcome) {
    printer.End(outcome);
  };
  const RunOutcome outcome =
      RunHere(flags, flags.seed, on_crash, [&](Simulation* simulation) {
        if (prepare) prepare(simulation);
        printer.Begin(flags, simulation);
      });
  if (!printer.End(outcome)) return Refuse("can't write the hashes");
  return static_cast<int>(outcome.end);
}

absl::StatusOr<HashedRun> HashedRunOf(JobPool::Result job) {
  if (!absl::StartsWith(job.output, kFirstLine)) {
    return absl::InvalidArgumentError(
        job.errors.empty() ? absl::StrCat("it ", DescribeStatus(job.status))
                           : FirstLineOf(job.errors));
  }
  HashedRun run;
  run.errors = job.errors;
  const size_t outcome = absl::string_view(job.output).find(kOutcomeLine);
  run.complete = outcome != absl::string_view::npos;
  if (!run.complete) {
    // The last line may be torn.
    run.lines = job.output.substr(0, job.output.rfind('\n') + 1);
    job.output.clear();
  } else {
    run.lines = job.output.substr(0, outcome + 1);
    job.output.erase(0, outcome + kOutcomeLine.size());
  }
  run.outcome = OutcomeOf(job);
  // A sanitizer finds leaks when all has been told.
  const bool as_told =
      WIFEXITED(job.status) &&
      WEXITSTATUS(job.status) == static_cast<int>(run.outcome.end);
  if (run.complete && !as_told) {
    run.outcome.end = RunEnd::kCrash;
    run.outcome.what =
        absl::StrCat("behind its end the process ", DescribeStatus(job.status));
  }
  return run;
}

std::optional<RunDifference> FirstDifference(const HashedRun& one,
                                             const HashedRun& other) {
  using In = RunDifference::In;
  const std::array ends = {EndOf(one.outcome), EndOf(other.outcome)};
  if (const auto lines = FirstLines(one.lines, other.lines)) {
    RunDifference difference = {.in = In::kEvent, .lines = *lines};
    for (size_t i = 0; i < 2; ++i) {
      std::string& line = difference.lines[i];
      if (line.empty()) {
        line = FirstLineOf(ends[i]);
        if (!(i == 0 ? one : other).complete) difference.in = In::kLost;
      } else if (!absl::SimpleAtoi(line.substr(0, line.find(' ')),
                                   &difference.event)) {
        difference.in = In::kOptions;
      }
    }
    return difference;
  }
  if (const auto lines = FirstLines(ends[0], ends[1])) {
    return RunDifference{.in = In::kEnd, .lines = *lines};
  }
  return std::nullopt;
}

}  // namespace holdfast
