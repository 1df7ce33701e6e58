#include "sim/cli/run.h"

#include <signal.h>
#include <unistd.h>

#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "sim/cli/code_id.h"
#include "sim/cli/files.h"
#include "sim/cli/watch.h"
#include "sim/simulation.h"

namespace holdfast {
namespace {

RunEnd EndOf(const Verdict& verdict) {
  switch (verdict.kind()) {
    case Verdict::Kind::kOk:
    case Verdict::Kind::kStopped:
      return RunEnd::kOk;
    case Verdict::Kind::kCorrectness:
      return RunEnd::kCorrectness;
    case Verdict::Kind::kLiveness:
      return RunEnd::kLiveness;
  }
  return RunEnd::kOk;
}

// The run that goes on in this process, for a CHECK that fails within it.
struct Running {
  const SimulateFlags* flags = nullptr;
  uint64_t seed = 0;
  Simulation* simulation = nullptr;
  Watch* watch = nullptr;
  const std::function<void(const RunOutcome&)>* on_crash = nullptr;
};
Running running;

void Describe(const Running& run, RunOutcome* outcome) {
  outcome->report = run.simulation->Report(20);
  outcome->failed_at_ms = ToMillis(run.simulation->world()->now() - TrueTime());
  outcome->tape = run.simulation->tape();
  outcome->tape.code = kCodeId;
  outcome->tape.revision = Revision();
  WriteOptions(WithDrawn(*run.flags, run.simulation->options()), run.seed,
               &outcome->tape);
}

// Not async-signal-safe, and needn't be: CHECK aborts from ordinary code, and
// after a SIGSEGV there is nothing to lose.
void OnCrash(int number) {
  signal(SIGABRT, SIG_DFL);
  signal(SIGSEGV, SIG_DFL);
  if (running.simulation == nullptr) {
    raise(number);
    return;
  }
  RunOutcome outcome;
  outcome.end = RunEnd::kCrash;
  outcome.what = "the engine crashed";
  Describe(running, &outcome);
  // Not all that Result() tells: who knows what the servers look like.
  SimulationResult result;
  result.events = running.simulation->world()->trace.events();
  result.trace_hash = running.simulation->world()->trace.hash();
  result.simulated_ms = outcome.failed_at_ms;
  result.operations = running.simulation->Operations();
  outcome.summary.Add(result);
  (*running.on_crash)(outcome);
  running.watch->Finish().IgnoreError();
  std::fflush(stdout);
  _exit(static_cast<int>(RunEnd::kCrash));
}

// Texts of any bytes: a name, their number, and the bytes.
void AppendBlob(absl::string_view name, absl::string_view bytes,
                std::string* text) {
  absl::StrAppend(text, name, " ", bytes.size(), "\n", bytes, "\n");
}

bool TakeBlob(absl::string_view name, absl::string_view* text,
              std::string* bytes) {
  const size_t line = text->find('\n');
  if (line == absl::string_view::npos || text->substr(0, name.size()) != name ||
      line <= name.size()) {
    return false;
  }
  size_t size = 0;
  if (!absl::SimpleAtoi(text->substr(name.size(), line - name.size()), &size) ||
      text->size() < line + 1 + size + 1) {
    return false;
  }
  *bytes = std::string(text->substr(line + 1, size));
  *text = text->substr(line + 1 + size + 1);
  return true;
}

template <typename T>
bool TakeNumber(absl::string_view name, absl::string_view* text, T* number) {
  std::string bytes;
  return TakeBlob(name, text, &bytes) && absl::SimpleAtoi(bytes, number);
}

}  // namespace

int Refuse(absl::string_view why) {
  std::fprintf(stderr, "simulate: %s\n", std::string(why).c_str());
  return kExitUsage;
}

const char* RunEndName(RunEnd end) {
  switch (end) {
    case RunEnd::kOk:
      return "ok";
    case RunEnd::kCorrectness:
      return "correctness";
    case RunEnd::kLiveness:
      return "liveness";
    case RunEnd::kCrash:
      return "crash";
  }
  return "?";
}

std::string RunOutcome::Signature() const {
  // Behind its first colon a cluster that doesn't settle tells each server's
  // state.
  absl::string_view text = what;
  if (end == RunEnd::kLiveness) text = text.substr(0, text.find(':'));
  std::string signature = absl::StrCat(RunEndName(end), ": ");
  bool quoted = false;
  for (const char c : text) {
    if (c == '"') quoted = !quoted;
    if (quoted) continue;
    if (c == '"') {
      signature += "\"...\"";
    } else if (std::isdigit(static_cast<unsigned char>(c)) == 0) {
      signature += c;
    } else if (signature.back() != '#') {
      signature += '#';
    }
  }
  return signature;
}

std::string RunOutcome::ToText() const {
  std::string text;
  AppendBlob("end", absl::StrCat(static_cast<int>(end)), &text);
  AppendBlob("what", what, &text);
  AppendBlob("report", report, &text);
  AppendBlob("tape", tape.ToText(), &text);
  AppendBlob("failed_at_ms", absl::StrCat(failed_at_ms), &text);
  AppendBlob("summary", summary.ToText(), &text);
  return text;
}

absl::StatusOr<RunOutcome> RunOutcome::FromText(absl::string_view text) {
  RunOutcome outcome;
  int end = 0;
  std::string tape_text, summary_text;
  if (!TakeNumber("end", &text, &end) || end < 0 || end > 3 ||
      !TakeBlob("what", &text, &outcome.what) ||
      !TakeBlob("report", &text, &outcome.report) ||
      !TakeBlob("tape", &text, &tape_text) ||
      !TakeNumber("failed_at_ms", &text, &outcome.failed_at_ms) ||
      !TakeBlob("summary", &text, &summary_text) || !text.empty()) {
    return absl::InvalidArgumentError("a run's outcome is cut off");
  }
  outcome.end = static_cast<RunEnd>(end);
  absl::StatusOr<Tape> tape = Tape::FromText(tape_text);
  if (!tape.ok()) return tape.status();
  outcome.tape = *std::move(tape);
  absl::Status added = outcome.summary.AddText(summary_text);
  if (!added.ok()) return added;
  return outcome;
}

namespace {

RunOutcome RunOnce(const SimulateFlags& flags, uint64_t seed,
                   const std::function<void(const RunOutcome&)>& on_crash,
                   const std::function<void(Simulation*)>& prepare) {
  Simulation simulation(OptionsFor(flags, seed));
  if (flags.tape.has_value()) simulation.world()->chance.Replay(*flags.tape);
  if (flags.verbose) {
    simulation.world()->trace.set_on_note([](const std::string& line) {
      std::fprintf(stderr, "%s\n", line.c_str());
    });
  }
  if (prepare) prepare(&simulation);
  Watch watch(flags.watch, CommandFor(flags, seed), &simulation);
  running = {&flags, seed, &simulation, &watch, &on_crash};
  signal(SIGABRT, OnCrash);
  signal(SIGSEGV, OnCrash);
  const SimulationResult result = simulation.Run();
  RunOutcome outcome;
  outcome.end = EndOf(result.verdict);
  outcome.what = result.verdict.what();
  outcome.summary.Add(result);
  if (!outcome.ok() || flags.check_determinism) Describe(running, &outcome);
  const absl::Status shown = watch.Finish();
  if (!shown.ok()) std::exit(Refuse(shown.message()));
  simulation.EndClients();
  running = {};
  return outcome;
}

}  // namespace

RunOutcome RunHere(const SimulateFlags& flags, uint64_t seed,
                   const std::function<void(const RunOutcome&)>& on_crash,
                   const std::function<void(Simulation*)>& prepare) {
  RunOutcome outcome = RunOnce(flags, seed, on_crash, prepare);
  if (!flags.check_determinism || !outcome.ok()) return outcome;
  SimulateFlags quiet = flags;
  quiet.verbose = false;
  quiet.watch = WatchFlags();
  const RunOutcome second = RunOnce(quiet, seed, on_crash, prepare);
  if (second.summary.hash() == outcome.summary.hash()) return outcome;
  outcome.end = RunEnd::kCorrectness;
  outcome.what = absl::StrFormat(
      "not deterministic: trace hash %016x after %d events, then %016x after "
      "%d",
      outcome.summary.hash(), outcome.summary.count("events"),
      second.summary.hash(), second.summary.count("events"));
  return outcome;
}

void StartRun(const SimulateFlags& flags, uint64_t seed, uint64_t number,
              JobPool* pool, const std::function<void(Simulation*)>& prepare) {
  pool->Start(number, [&](const JobPool::PassOn& pass_on) {
    const auto on_crash = [&pass_on](const RunOutcome& outcome) {
      pass_on(outcome.ToText());
    };
    return RunHere(flags, seed, on_crash, prepare).ToText();
  });
}

RunOutcome OutcomeOf(const JobPool::Result& result) {
  absl::StatusOr<RunOutcome> told = RunOutcome::FromText(result.output);
  RunOutcome outcome;
  if (told.ok()) {
    outcome = *std::move(told);
  } else {
    outcome.end = RunEnd::kCrash;
    outcome.what = absl::StrCat("the process ", DescribeStatus(result.status),
                                ": ", told.status().message());
  }
  // Which CHECK it was, it said on stderr.
  const size_t check = result.errors.find("CHECK failed");
  if (outcome.end == RunEnd::kCrash && check != std::string::npos) {
    size_t begin = result.errors.rfind('\n', check);
    begin = begin == std::string::npos ? 0 : begin + 1;
    outcome.what =
        result.errors.substr(begin, result.errors.find('\n', check) - begin);
  }
  return outcome;
}

bool IsGraver(RunEnd end, RunEnd than) {
  return end != RunEnd::kOk && (than == RunEnd::kOk || end < than);
}

void PrintFailures(uint64_t count, const std::string& signature,
                   const std::string& command) {
  std::fprintf(stderr, "%llu failed: %s\n  %s\n",
               static_cast<unsigned long long>(count), signature.c_str(),
               command.c_str());
}

absl::StatusOr<std::string> ReadRarePaths(const SimulateFlags& flags) {
  std::string lists;
  for (absl::string_view path :
       absl::StrSplit(flags.rare_paths, ',', absl::SkipEmpty())) {
    const absl::StatusOr<std::string> list = ReadWholeFile(std::string(path));
    if (!list.ok()) return list.status();
    absl::StrAppend(&lists, *list, "\n");
  }
  return lists;
}

absl::Status WritePaths(const SimulateFlags& flags, const Summary& summary,
                        absl::string_view rare_paths) {
  if (flags.paths_out.empty()) return absl::OkStatus();
  return ReplaceFile(flags.paths_out, summary.PathTable(rare_paths));
}

std::string ReportFailure(const SimulateFlags& flags, uint64_t seed,
                          const RunOutcome& outcome, const std::string& dir,
                          absl::string_view which) {
  const std::string path =
      absl::StrCat(dir, "/holdfast-", seed, which, ".tape");
  const absl::Status saved = ReplaceFile(path, outcome.tape.ToText());
  const std::string& revision = outcome.tape.revision;
  const std::string command =
      flags.tape.has_value() ? CommandForTape(path) : CommandFor(flags, seed);
  uint64_t event = outcome.summary.count("events");
  // The run can be stopped before an event that crashed, not after it.
  if (outcome.end == RunEnd::kCrash && event > 0) --event;
  std::fprintf(
      stderr,
      "%s\nseed %llu broke: %s\ncode: %s%s\ntape: %s (%zu faults)\nshow "
      "it again: %s --verbose\n%s",
      outcome.report.c_str(), static_cast<unsigned long long>(seed),
      outcome.what.c_str(),
      outcome.tape.code.empty() ? "unknown" : outcome.tape.code.c_str(),
      revision.empty()
          ? ""
          : absl::StrCat(" (git's HEAD here is ", revision, ")").c_str(),
      saved.ok() ? path.c_str() : std::string(saved.message()).c_str(),
      outcome.tape.entries.size(), command.c_str(),
      SeeIt(command, seed, event).c_str());
  return command;
}

}  // namespace holdfast
