// simulate: runs the real engine in a simulated world, by seed.

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "sim/simulation.h"

namespace {

using namespace holdfast;

constexpr int kExitOk = 0;
constexpr int kExitCorrectness = 1;
constexpr int kExitLiveness = 2;
constexpr int kExitCrash = 3;
constexpr int kExitUsage = 64;

constexpr char kUsage[] =
    "usage: simulate [--seed=S] [--seeds=N] [--nodes=1..9] [--clients=1..9]\n"
    "                [--duration=60s] [--jobs=J] [--json] [--verbose]\n"
    "                [--rare-paths=FILE] [--tape-dir=DIR]\n"
    "\n"
    "Runs N seeds from S on, each a whole simulated cluster with clients and\n"
    "faults, and checks it after every event. Without --nodes, --clients: "
    "drawn\nby the seed. --rare-paths: fails if a path named in FILE was never "
    "taken.\n"
    "Exit codes: 0 ok, 1 a safety property broken, 2 not live, 3 crash, 64 "
    "usage.\n";

struct Flags {
  uint64_t seed = 1;
  uint64_t seeds = 1;
  uint32_t nodes = 0;
  uint32_t clients = 0;
  uint64_t jobs = 1;
  Duration duration = 60s;
  bool json = false;
  bool verbose = false;
  std::string rare_paths;
  std::string tape_dir = ".";
};

// Sums over seeds.
struct Totals {
  SimulationResult sum;
  uint64_t seeds = 0;
  int64_t wall_ms = 0;
};

[[noreturn]] void Usage(const std::string& problem) {
  std::fprintf(stderr, "simulate: %s\n%s", problem.c_str(), kUsage);
  std::exit(kExitUsage);
}

bool ParseDuration(absl::string_view text, Duration* out) {
  int64_t n;
  if (absl::ConsumeSuffix(&text, "ms")) {
    if (!absl::SimpleAtoi(text, &n)) return false;
    *out = std::chrono::milliseconds(n);
  } else if (absl::ConsumeSuffix(&text, "s")) {
    if (!absl::SimpleAtoi(text, &n)) return false;
    *out = std::chrono::seconds(n);
  } else {
    return false;
  }
  return n > 0 && n <= 1000000;
}

Flags ParseFlags(int argc, char** argv) {
  Flags flags;
  for (int i = 1; i < argc; ++i) {
    std::string arg = argv[i];
    absl::string_view value = arg;
    auto is = [&](absl::string_view name) {
      value = arg;
      return absl::ConsumePrefix(&value, name);
    };
    bool good = true;
    if (is("--seed=")) {
      good = absl::SimpleAtoi(value, &flags.seed);
    } else if (is("--seeds=")) {
      good = absl::SimpleAtoi(value, &flags.seeds) && flags.seeds > 0;
    } else if (is("--nodes=")) {
      good = absl::SimpleAtoi(value, &flags.nodes) && flags.nodes >= 1 &&
             flags.nodes <= 9;
    } else if (is("--clients=")) {
      good = absl::SimpleAtoi(value, &flags.clients) && flags.clients >= 1 &&
             flags.clients <= 9;
    } else if (is("--jobs=")) {
      good = absl::SimpleAtoi(value, &flags.jobs) && flags.jobs >= 1 &&
             flags.jobs <= 256;
    } else if (is("--duration=")) {
      good = ParseDuration(value, &flags.duration);
    } else if (is("--rare-paths=")) {
      flags.rare_paths = std::string(value);
    } else if (is("--tape-dir=")) {
      flags.tape_dir = std::string(value);
    } else if (arg == "--json") {
      flags.json = true;
    } else if (arg == "--verbose") {
      flags.verbose = true;
    } else if (arg == "--help") {
      std::fputs(kUsage, stdout);
      std::exit(kExitOk);
    } else {
      Usage(absl::StrCat("unknown flag ", arg));
    }
    if (!good) Usage(absl::StrCat("bad value in ", arg));
  }
  return flags;
}

std::string Command(const Flags& flags, uint64_t seed) {
  std::string command =
      absl::StrCat("bazel run -c opt //sim:simulate -- --seed=", seed,
                   " --duration=", ToMillis(flags.duration), "ms");
  if (flags.nodes != 0) absl::StrAppend(&command, " --nodes=", flags.nodes);
  if (flags.clients != 0) {
    absl::StrAppend(&command, " --clients=", flags.clients);
  }
  return command;
}

const char* Revision() {
  const char* revision = std::getenv("HOLDFAST_REVISION");
  return revision == nullptr ? "(set HOLDFAST_REVISION to have it here)"
                             : revision;
}

// For a CHECK that fails within a run: says which seed it was.
Simulation* running_simulation = nullptr;
std::string running_command;  // NOLINT: of this program only

void OnAbort(int) {
  std::fprintf(stderr, "simulate: the engine crashed\n");
  if (running_simulation != nullptr) {
    std::fprintf(stderr, "%s", running_simulation->Report(20).c_str());
  }
  std::fprintf(stderr, "revision: %s\nshow it again: %s --verbose\n",
               Revision(), running_command.c_str());
  _exit(kExitCrash);
}

const char* Name(Verdict::Kind kind) {
  switch (kind) {
    case Verdict::Kind::kOk:
      return "ok";
    case Verdict::Kind::kCorrectness:
      return "correctness";
    case Verdict::Kind::kLiveness:
      return "liveness";
  }
  return "?";
}

void Add(const SimulationResult& r, SimulationResult* sum) {
  sum->events += r.events;
  sum->simulated_ms += r.simulated_ms;
  sum->elections += r.elections;
  sum->faults.crashes += r.faults.crashes;
  sum->faults.power_losses += r.faults.power_losses;
  sum->faults.client_crashes += r.faults.client_crashes;
  sum->faults.partitions += r.faults.partitions;
  sum->faults.slow_links += r.faults.slow_links;
  sum->network.resets += r.network.resets;
  sum->network.held += r.network.held;
  sum->network.half_open += r.network.half_open;
  sum->lost_writes += r.lost_writes;
  sum->torn_writes += r.torn_writes;
  sum->acknowledged += r.acknowledged;
  sum->unknown += r.unknown;
  sum->reads += r.reads;
  sum->settle_ms = std::max(sum->settle_ms, r.settle_ms);
  for (const auto& [name, value] : r.stats) sum->stats[name] += value;
}

void PrintSummary(const Flags& flags, uint64_t seed, const Totals& t,
                  const char* verdict, uint64_t hash) {
  const SimulationResult& s = t.sum;
  if (flags.json) {
    std::printf(
        "{\"seed\":%llu,\"seeds\":%llu,\"verdict\":\"%s\",\"events\":%llu,"
        "\"simulated_ms\":%lld,\"wall_ms\":%lld,\"trace_hash\":\"%016llx\","
        "\"elections\":%llu,\"crashes\":%llu,\"power_losses\":%llu,"
        "\"client_crashes\":%llu,\"partitions\":%llu,\"slow_links\":%llu,"
        "\"resets\":%llu,\"half_open\":%llu,\"lost_writes\":%llu,"
        "\"torn_writes\":%llu,\"acknowledged_appends\":%llu,"
        "\"unknown_appends\":%llu,\"records_read\":%llu,"
        "\"settle_ms_max\":%lld}\n",
        static_cast<unsigned long long>(seed),
        static_cast<unsigned long long>(t.seeds), verdict,
        static_cast<unsigned long long>(s.events),
        static_cast<long long>(s.simulated_ms),
        static_cast<long long>(t.wall_ms),
        static_cast<unsigned long long>(hash),
        static_cast<unsigned long long>(s.elections),
        static_cast<unsigned long long>(s.faults.crashes),
        static_cast<unsigned long long>(s.faults.power_losses),
        static_cast<unsigned long long>(s.faults.client_crashes),
        static_cast<unsigned long long>(s.faults.partitions),
        static_cast<unsigned long long>(s.faults.slow_links),
        static_cast<unsigned long long>(s.network.resets),
        static_cast<unsigned long long>(s.network.half_open),
        static_cast<unsigned long long>(s.lost_writes),
        static_cast<unsigned long long>(s.torn_writes),
        static_cast<unsigned long long>(s.acknowledged),
        static_cast<unsigned long long>(s.unknown),
        static_cast<unsigned long long>(s.reads),
        static_cast<long long>(s.settle_ms));
    return;
  }
  std::fputs(
      absl::StrFormat(
          "seed %d, %d seed(s): %s; %d events, %d s simulated in %d ms (%d "
          "events/s), trace hash %016x; %d elections, %d crashes, %d power "
          "losses, %d partitions, %d resets, %d torn writes, %d acknowledged "
          "appends, %d unknown, %d records read, settled within %d ms\n",
          seed, t.seeds, verdict, s.events, s.simulated_ms / 1000, t.wall_ms,
          s.events * 1000 /
              static_cast<uint64_t>(std::max<int64_t>(t.wall_ms, 1)),
          hash, s.elections, s.faults.crashes, s.faults.power_losses,
          s.faults.partitions, s.network.resets, s.torn_writes, s.acknowledged,
          s.unknown, s.reads, s.settle_ms)
          .c_str(),
      stdout);
}

void ReportFailure(const Flags& flags, uint64_t seed, Simulation* simulation,
                   const SimulationResult& result) {
  std::string tape = absl::StrCat(flags.tape_dir, "/holdfast-", seed, ".tape");
  Tape recorded = simulation->tape();
  recorded.options = {{"seed", absl::StrCat(seed)},
                      {"nodes", absl::StrCat(result.nodes)},
                      {"duration_ms", absl::StrCat(ToMillis(flags.duration))}};
  std::ofstream(tape) << recorded.ToText();
  std::fprintf(stderr,
               "%s\nseed %llu broke: %s\nrevision: %s\ntape: %s (%zu "
               "faults)\nshow it again: %s --verbose\n",
               simulation->Report(20).c_str(),
               static_cast<unsigned long long>(seed),
               result.verdict.what().c_str(), Revision(), tape.c_str(),
               recorded.entries.size(), Command(flags, seed).c_str());
}

int RunSeeds(const Flags& flags, uint64_t first, uint64_t step, Totals* t,
             uint64_t* last_hash, uint64_t* failed_seed, const char** verdict) {
  using Clock = std::chrono::steady_clock;
  Clock::time_point start = Clock::now();
  *verdict = Name(Verdict::Kind::kOk);
  int code = kExitOk;
  for (uint64_t seed = first; seed < flags.seed + flags.seeds; seed += step) {
    SimulationOptions options;
    options.seed = seed;
    options.nodes = flags.nodes;
    options.clients = flags.clients;
    options.duration = flags.duration;
    Simulation simulation(options);
    if (flags.verbose) {
      simulation.world()->trace.set_on_note([](const std::string& line) {
        std::fprintf(stderr, "%s\n", line.c_str());
      });
    }
    running_simulation = &simulation;
    running_command = Command(flags, seed);
    SimulationResult result = simulation.Run();
    running_simulation = nullptr;
    Add(result, &t->sum);
    ++t->seeds;
    *last_hash =
        flags.seeds == 1 ? result.trace_hash : *last_hash + result.trace_hash;
    if (!result.verdict.ok()) {
      ReportFailure(flags, seed, &simulation, result);
      *failed_seed = seed;
      *verdict = Name(result.verdict.kind());
      code = result.verdict.kind() == Verdict::Kind::kLiveness
                 ? kExitLiveness
                 : kExitCorrectness;
      break;
    }
  }
  t->wall_ms = std::chrono::duration_cast<std::chrono::milliseconds>(
                   Clock::now() - start)
                   .count();
  return code;
}

// One name a line; '#' begins a comment.
int CheckRarePaths(const Flags& flags, const SimulationResult& sum) {
  std::ifstream file(flags.rare_paths);
  if (!file) Usage(absl::StrCat("can't read ", flags.rare_paths));
  int code = kExitOk;
  std::string line;
  while (std::getline(file, line)) {
    std::string name = line.substr(0, line.find('#'));
    name = std::string(absl::StripSuffix(name, " "));
    while (!name.empty() && name.back() == ' ') name.pop_back();
    if (name.empty()) continue;
    auto it = sum.stats.find(name);
    if (it != sum.stats.end() && it->second > 0) continue;
    std::fprintf(stderr, "rare path never taken: %s\n", name.c_str());
    code = kExitCorrectness;
  }
  return code;
}

// Seeds are dealt out to `jobs` processes; the worst exit code counts.
int RunJobs(const Flags& flags, char** argv) {
  std::vector<pid_t> children;
  for (uint64_t job = 0; job < flags.jobs; ++job) {
    uint64_t share =
        flags.seeds / flags.jobs + (job < flags.seeds % flags.jobs ? 1 : 0);
    if (share == 0) continue;
    uint64_t first = flags.seed + job * (flags.seeds / flags.jobs) +
                     std::min(job, flags.seeds % flags.jobs);
    std::vector<std::string> args = {
        argv[0], absl::StrCat("--seed=", first),
        absl::StrCat("--seeds=", share),
        absl::StrCat("--duration=", ToMillis(flags.duration), "ms"),
        absl::StrCat("--tape-dir=", flags.tape_dir)};
    if (flags.nodes) args.push_back(absl::StrCat("--nodes=", flags.nodes));
    if (flags.clients) {
      args.push_back(absl::StrCat("--clients=", flags.clients));
    }
    if (flags.json) args.push_back("--json");
    if (!flags.rare_paths.empty()) {
      args.push_back(absl::StrCat("--rare-paths=", flags.rare_paths));
    }
    pid_t pid = fork();
    if (pid == 0) {
      std::vector<char*> raw;
      for (std::string& a : args) raw.push_back(a.data());
      raw.push_back(nullptr);
      execv("/proc/self/exe", raw.data());
      _exit(kExitUsage);
    }
    children.push_back(pid);
  }
  int worst = kExitOk;
  for (pid_t pid : children) {
    int status = 0;
    waitpid(pid, &status, 0);
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : kExitCrash;
    if (code != kExitOk && worst == kExitOk) worst = code;
  }
  return worst;
}

}  // namespace

int main(int argc, char** argv) {
  Flags flags = ParseFlags(argc, argv);
  if (flags.jobs > 1) return RunJobs(flags, argv);
  signal(SIGABRT, OnAbort);
  signal(SIGSEGV, OnAbort);
  Totals totals;
  uint64_t hash = 0;
  uint64_t seed = flags.seed;
  const char* verdict = "";
  int code = RunSeeds(flags, flags.seed, 1, &totals, &hash, &seed, &verdict);
  if (code == kExitOk && !flags.rare_paths.empty()) {
    code = CheckRarePaths(flags, totals.sum);
    if (code != kExitOk) verdict = "rare path missed";
  }
  if (flags.verbose) {
    for (const auto& [name, value] : totals.sum.stats) {
      std::fprintf(stderr, "%12llu %s\n",
                   static_cast<unsigned long long>(value), name.c_str());
    }
  }
  PrintSummary(flags, seed, totals, verdict, hash);
  return code;
}
