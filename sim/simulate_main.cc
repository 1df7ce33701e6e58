// simulate: runs the real engine in a simulated world, by seed.

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "sim/cli/flags.h"
#include "sim/cli/summary.h"
#include "sim/cli/watch.h"
#include "sim/simulation.h"

namespace {

using namespace holdfast;

constexpr int kExitOk = 0;
constexpr int kExitCorrectness = 1;
constexpr int kExitLiveness = 2;
constexpr int kExitCrash = 3;
constexpr int kExitUsage = 64;

[[noreturn]] void Usage(absl::string_view problem) {
  std::fprintf(stderr, "simulate: %s\n%s", std::string(problem).c_str(),
               kSimulateUsage);
  std::exit(kExitUsage);
}

std::string ReadFile(const std::string& path) {
  std::ifstream file(path);
  return std::string(std::istreambuf_iterator<char>(file),
                     std::istreambuf_iterator<char>());
}

// Of the source tree that `bazel run` was called in.
std::string Revision() {
  const char* workspace = std::getenv("BUILD_WORKSPACE_DIRECTORY");
  const std::string git =
      absl::StrCat(workspace == nullptr ? "." : workspace, "/.git/");
  std::string head = ReadFile(git + "HEAD");
  absl::string_view line = absl::StripSuffix(head, "\n");
  if (!absl::ConsumePrefix(&line, "ref: ")) {
    return line.empty() ? "unknown (not run in a git work tree)"
                        : std::string(line);
  }
  const std::string hash = ReadFile(git + std::string(line));
  if (!hash.empty()) return std::string(absl::StripSuffix(hash, "\n"));
  // "HASH refs/heads/NAME" among the packed ones.
  const std::string packed = ReadFile(git + "packed-refs");
  const size_t at = packed.find(absl::StrCat(" ", line, "\n"));
  return at == std::string::npos || at < 40 ? std::string(line)
                                            : packed.substr(at - 40, 40);
}

// For a CHECK that fails within a run: says which seed it was.
struct Running {
  const SimulateFlags* flags = nullptr;
  uint64_t seed = 0;
  Simulation* simulation = nullptr;
  Watch* watch = nullptr;
};
Running running;  // of this program only

void ReportRun(const SimulateFlags& flags, uint64_t seed,
               const Simulation& simulation, const std::string& what,
               uint64_t event) {
  const std::string path =
      absl::StrCat(flags.tape_dir, "/holdfast-", seed, ".tape");
  Tape tape = simulation.tape();
  WriteOptions(flags, seed, &tape);
  std::ofstream(path) << tape.ToText();
  std::fprintf(
      stderr,
      "%s\nseed %llu broke: %s\nrevision: %s\ntape: %s (%zu faults)\nshow "
      "it again: %s --verbose\n%s",
      simulation.Report(20).c_str(), static_cast<unsigned long long>(seed),
      what.c_str(), Revision().c_str(), path.c_str(), tape.entries.size(),
      CommandFor(flags, seed).c_str(),
      SeeIt(CommandFor(flags, seed), seed, event).c_str());
}

// Not async-signal-safe, and needn't be: CHECK aborts from ordinary code, and
// after a SIGSEGV there is nothing to lose.
void OnCrash(int) {
  signal(SIGABRT, SIG_DFL);
  signal(SIGSEGV, SIG_DFL);
  if (running.simulation != nullptr) {
    // The run can be stopped before that event, not after it.
    ReportRun(*running.flags, running.seed, *running.simulation,
              "the engine crashed",
              running.simulation->world()->trace.events() - 1);
    running.watch->Finish().IgnoreError();
  }
  _exit(kExitCrash);
}

SimulationResult RunSeed(const SimulateFlags& flags, uint64_t seed,
                         bool quiet) {
  Simulation simulation(OptionsFor(flags, seed));
  if (flags.tape.has_value()) {
    simulation.world()->chance.Replay(*flags.tape);
  }
  if (flags.verbose && !quiet) {
    simulation.world()->trace.set_on_note([](const std::string& line) {
      std::fprintf(stderr, "%s\n", line.c_str());
    });
  }
  Watch watch(quiet ? WatchFlags{} : flags.watch, CommandFor(flags, seed),
              &simulation);
  running = {&flags, seed, &simulation, &watch};
  SimulationResult result = simulation.Run();
  running = {};
  if (result.verdict.broken() && !quiet) {
    ReportRun(flags, seed, simulation, result.verdict.what(), result.events);
  }
  const absl::Status shown = watch.Finish();
  if (!shown.ok()) Usage(shown.message());
  return result;
}

struct Outcome {
  Summary summary;
  int code = kExitOk;
  uint64_t seed = 0;  // that failed
};

bool SameTwice(const SimulateFlags& flags, uint64_t seed,
               const SimulationResult& first) {
  const SimulationResult second = RunSeed(flags, seed, /*quiet=*/true);
  if (first.trace_hash == second.trace_hash) return true;
  std::fprintf(stderr,
               "seed %llu isn't deterministic: trace hash %016llx after %llu "
               "events, then %016llx after %llu\nrevision: %s\nshow it again: "
               "%s --check-determinism\n",
               static_cast<unsigned long long>(seed),
               static_cast<unsigned long long>(first.trace_hash),
               static_cast<unsigned long long>(first.events),
               static_cast<unsigned long long>(second.trace_hash),
               static_cast<unsigned long long>(second.events),
               Revision().c_str(), CommandFor(flags, seed).c_str());
  return false;
}

// Every `step`-th seed from `first` on, up to a failure.
Outcome RunSeeds(const SimulateFlags& flags, uint64_t first, uint64_t step) {
  Outcome outcome;
  const uint64_t end = flags.seed + flags.seeds;
  for (uint64_t seed = first; seed < end; seed += step) {
    const SimulationResult result = RunSeed(flags, seed, /*quiet=*/false);
    outcome.summary.Add(result);
    outcome.seed = seed;
    if (result.verdict.kind() == Verdict::Kind::kLiveness) {
      outcome.code = kExitLiveness;
    } else if (result.verdict.broken() ||
               (flags.check_determinism && !SameTwice(flags, seed, result))) {
      outcome.code = kExitCorrectness;
    }
    if (outcome.code != kExitOk || end - seed <= step) break;
  }
  if (outcome.code == kExitOk) outcome.seed = flags.seed;
  return outcome;
}

// One of the processes that share the seeds, as its parent sees it.
struct Job {
  pid_t pid = 0;
  int pipe = -1;
  std::string text;  // its summary
};

Job StartJob(const SimulateFlags& flags, uint64_t number) {
  int fds[2];
  if (pipe(fds) != 0) Usage("can't make a pipe for a job");
  const pid_t pid = fork();
  if (pid < 0) Usage("can't start a job");
  if (pid > 0) {
    close(fds[1]);
    return Job{pid, fds[0], ""};
  }
  close(fds[0]);
  const Outcome outcome = RunSeeds(flags, flags.seed + number, flags.jobs);
  const std::string text =
      absl::StrCat(outcome.summary.ToText(), "seed first ", outcome.seed, "\n");
  size_t written = 0;
  while (written < text.size()) {
    const ssize_t n =
        write(fds[1], text.data() + written, text.size() - written);
    if (n <= 0) _exit(kExitCrash);
    written += static_cast<size_t>(n);
  }
  _exit(outcome.code);
}

// The seeds are dealt out to processes; the lowest failing seed's verdict
// counts.
Outcome RunJobs(const SimulateFlags& flags) {
  std::vector<Job> jobs;
  const uint64_t count = std::min(flags.jobs, flags.seeds);
  for (uint64_t i = 0; i < count; ++i) jobs.push_back(StartJob(flags, i));
  Outcome outcome;
  outcome.seed = flags.seed;
  for (Job& job : jobs) {
    char buffer[4096];
    ssize_t n;
    while ((n = read(job.pipe, buffer, sizeof(buffer))) > 0) {
      job.text.append(buffer, static_cast<size_t>(n));
    }
    close(job.pipe);
    int status = 0;
    waitpid(job.pid, &status, 0);
    const int code = WIFEXITED(status) ? WEXITSTATUS(status) : kExitCrash;
    const size_t at = job.text.rfind("seed first ");
    uint64_t seed = UINT64_MAX;  // unknown, of a crash
    if (at != std::string::npos) {
      seed = std::strtoull(job.text.c_str() + at + 11, nullptr, 10);
    }
    if (code != kExitOk && (outcome.code == kExitOk || seed < outcome.seed)) {
      outcome.code = code;
      outcome.seed = seed == UINT64_MAX ? flags.seed : seed;
    }
    const absl::Status added =
        outcome.summary.AddText(absl::string_view(job.text).substr(0, at));
    if (!added.ok() && outcome.code == kExitOk) outcome.code = kExitCrash;
  }
  return outcome;
}

const char* VerdictName(int code) {
  switch (code) {
    case kExitOk:
      return "ok";
    case kExitCorrectness:
      return "correctness";
    case kExitLiveness:
      return "liveness";
    default:
      return "crash";
  }
}

bool RarePathsTaken(const SimulateFlags& flags, const Summary& summary) {
  const std::string list = ReadFile(flags.rare_paths);
  if (list.empty()) Usage(absl::StrCat("can't read ", flags.rare_paths));
  const std::vector<std::string> never = summary.NeverTaken(list);
  for (const std::string& name : never) {
    std::fprintf(stderr, "rare path never taken: %s\n", name.c_str());
  }
  return never.empty();
}

}  // namespace

int main(int argc, char** argv) {
  absl::StatusOr<SimulateFlags> parsed = ParseSimulateFlags(argc, argv);
  if (!parsed.ok()) Usage(parsed.status().message());
  const SimulateFlags& flags = *parsed;
  if (flags.help) {
    std::fputs(kSimulateUsage, stdout);
    return kExitOk;
  }
  signal(SIGABRT, OnCrash);
  signal(SIGSEGV, OnCrash);
  using Clock = std::chrono::steady_clock;
  const Clock::time_point start = Clock::now();
  Outcome outcome = flags.jobs > 1 && flags.seeds > 1
                        ? RunJobs(flags)
                        : RunSeeds(flags, flags.seed, 1);
  std::string verdict = VerdictName(outcome.code);
  if (outcome.code == kExitOk && !flags.rare_paths.empty() &&
      !RarePathsTaken(flags, outcome.summary)) {
    outcome.code = kExitCorrectness;
    verdict = "rare path missed";
  }
  if (flags.verbose) {
    for (const auto& [name, value] : outcome.summary.paths()) {
      std::fprintf(stderr, "%12llu %s\n",
                   static_cast<unsigned long long>(value), name.c_str());
    }
  }
  // The summary is of whole runs.
  if (flags.watch.go_to != 0 && outcome.code == kExitOk) return kExitOk;
  const auto wall_ms = std::chrono::duration_cast<std::chrono::milliseconds>(
                           Clock::now() - start)
                           .count();
  std::printf(
      "%s\n",
      outcome.summary.Line(flags.json, outcome.seed, verdict, wall_ms).c_str());
  return outcome.code;
}
