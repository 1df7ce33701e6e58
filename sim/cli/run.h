#ifndef HOLDFAST_SIM_CLI_RUN_H_
#define HOLDFAST_SIM_CLI_RUN_H_

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "sim/cli/flags.h"
#include "sim/cli/jobs.h"
#include "sim/cli/summary.h"
#include "sim/tape.h"

namespace holdfast {

// How a run ended. The numbers are the program's exit codes.
enum class RunEnd { kOk = 0, kCorrectness = 1, kLiveness = 2, kCrash = 3 };
inline constexpr int kExitDifferent = 4;  // of `simulate diff`
inline constexpr int kExitUsage = 64;
// Says on stderr why nothing is done; kExitUsage.
int Refuse(absl::string_view why);
const char* RunEndName(RunEnd end);

// What came of a run. As text it goes from the process that ran it to the one
// that asked for it.
struct RunOutcome {
  RunEnd end = RunEnd::kOk;
  std::string what;    // broke
  std::string report;  // what happened before, for people; of a failed run
  Tape tape;           // of a failed run, with all its options
  int64_t failed_at_ms = 0;
  Summary summary;

  bool ok() const { return end == RunEnd::kOk; }
  // What failed runs have in common that are cases of one bug: how they ended,
  // and what broke, without numbers and names.
  std::string Signature() const;

  std::string ToText() const;
  static absl::StatusOr<RunOutcome> FromText(absl::string_view text);
};

// Runs that seed, or the flags' tape, in this process, and shows what the flags
// want to be shown of it; twice, if they say that it is to be compared. If the
// engine crashes, `on_crash` is given what there is to tell (but for the
// message of the CHECK, which is on stderr), and then the process ends.
// `prepare` is given the simulation before it starts.
RunOutcome RunHere(const SimulateFlags& flags, uint64_t seed,
                   const std::function<void(const RunOutcome&)>& on_crash,
                   const std::function<void(Simulation*)>& prepare = nullptr);

// The same in a process of its own; and what it came to.
void StartRun(const SimulateFlags& flags, uint64_t seed, uint64_t number,
              JobPool* pool,
              const std::function<void(Simulation*)>& prepare = nullptr);
RunOutcome OutcomeOf(const JobPool::Result& result);

// Correctness before liveness before crashes, before none.
bool IsGraver(RunEnd end, RunEnd than);

// Says on stderr how many runs failed like that, and what shows one of them.
void PrintFailures(uint64_t count, const std::string& signature,
                   const std::string& command);

// All lists that --rare-paths names; empty: none.
absl::StatusOr<std::string> ReadRarePaths(const SimulateFlags& flags);
// What --paths-out asks for, of the paths in that list, or of all.
absl::Status WritePaths(const SimulateFlags& flags, const Summary& summary,
                        absl::string_view rare_paths);

// Saves a failed run's tape below `dir`, under a name with `which`, and tells
// on stderr what broke and how to see it again. Returns the command that does.
std::string ReportFailure(const SimulateFlags& flags, uint64_t seed,
                          const RunOutcome& outcome, const std::string& dir,
                          absl::string_view which = "");

}  // namespace holdfast

#endif  // HOLDFAST_SIM_CLI_RUN_H_
