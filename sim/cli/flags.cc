#include "sim/cli/flags.h"

#include <chrono>
#include <fstream>
#include <iterator>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace holdfast {

const char kSimulateUsage[] =
    "usage: simulate [--seed=S] [--seeds=N] [--nodes=1..9] [--clients=1..9]\n"
    "                [--duration=60s] [--jobs=J] [--json] [--verbose]\n"
    "                [--rare-paths=FILE] [--tape-dir=DIR] [--tape=FILE]\n"
    "                [--check-determinism]\n"
    "                [--trace=FILE] [--html=FILE] [--from=TIME] [--to=TIME]\n"
    "                [--goto=EVENT] [--dump]\n"
    "\n"
    "Runs N seeds from S on, each a whole simulated cluster with clients and\n"
    "faults, and checks it after every event.\n"
    "  --nodes, --clients    servers and clients; otherwise drawn by the seed\n"
    "  --duration            of simulated time with faults (ms, s)\n"
    "  --jobs                processes that share the seeds\n"
    "  --json                the last line, the summary, as JSON\n"
    "  --verbose             tells what happens of note; counts rare paths\n"
    "  --rare-paths          fails if a path named in FILE was never taken\n"
    "  --tape-dir            where the tape of a failing run goes\n"
    "  --tape                the run of that tape, with its faults and no "
    "others\n"
    "  --check-determinism   runs each seed twice and compares trace hashes\n"
    "Of a single run:\n"
    "  --trace               its events as text, one a line\n"
    "  --html                a page that shows it, for any browser\n"
    "  --from, --to          only that part of it (3s, 3.25s, 3250ms)\n"
    "  --goto                it ends after the event of that number\n"
    "  --dump                prints what all nodes and clients are like then\n"
    "Exit codes: 0 ok, 1 a safety property broken, 2 not live, 3 crash, 64 "
    "usage.\n";

namespace {

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

template <typename T>
bool ParseBetween(absl::string_view text, T low, T high, T* out) {
  return absl::SimpleAtoi(text, out) && *out >= low && *out <= high;
}

// Flags with a value; false: there is none of that name.
bool ParseValue(absl::string_view name, absl::string_view value,
                SimulateFlags* flags, bool* good) {
  if (name == "--seed") {
    *good = absl::SimpleAtoi(value, &flags->seed);
  } else if (name == "--seeds") {
    *good = ParseBetween<uint64_t>(value, 1, 1000000000000, &flags->seeds);
  } else if (name == "--nodes") {
    *good = ParseBetween<uint32_t>(value, 1, 9, &flags->nodes);
  } else if (name == "--clients") {
    *good = ParseBetween<uint32_t>(value, 1, 9, &flags->clients);
  } else if (name == "--jobs") {
    *good = ParseBetween<uint64_t>(value, 1, 256, &flags->jobs);
  } else if (name == "--duration") {
    *good = ParseDuration(value, &flags->duration);
  } else if (name == "--rare-paths") {
    flags->rare_paths = std::string(value);
  } else if (name == "--tape-dir") {
    flags->tape_dir = std::string(value);
  } else {
    return ParseWatchFlag(name, value, &flags->watch, good);
  }
  return true;
}

absl::StatusOr<Tape> ReadTape(const std::string& path) {
  std::ifstream file(path);
  if (!file) {
    return absl::InvalidArgumentError(absl::StrCat("can't read ", path));
  }
  const std::string text{std::istreambuf_iterator<char>(file),
                         std::istreambuf_iterator<char>()};
  absl::StatusOr<Tape> tape = Tape::FromText(text);
  if (tape.ok()) return tape;
  return absl::InvalidArgumentError(
      absl::StrCat(path, ": ", tape.status().message()));
}

// A tape stands for one run, and says which.
absl::Status TakeTape(const std::string& path, SimulateFlags* flags) {
  absl::StatusOr<Tape> tape = ReadTape(path);
  if (!tape.ok()) return tape.status();
  for (const auto& [name, value] : tape->options) {
    bool good = true;
    if (!ParseValue(absl::StrCat("--", name), value, flags, &good) || !good) {
      return absl::InvalidArgumentError(absl::StrCat(
          path, ": this revision doesn't know its option ", name, " ", value));
    }
  }
  flags->tape = *std::move(tape);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<SimulateFlags> ParseSimulateFlags(int argc, char** argv) {
  SimulateFlags flags;
  std::string tape;
  for (int i = 1; i < argc; ++i) {
    const std::string arg = argv[i];
    const size_t equals = arg.find('=');
    bool good = true;
    if (arg == "--json") {
      flags.json = true;
    } else if (arg == "--verbose") {
      flags.verbose = true;
    } else if (arg == "--check-determinism") {
      flags.check_determinism = true;
    } else if (arg == "--dump") {
      flags.watch.dump = true;
    } else if (arg == "--help") {
      flags.help = true;
    } else if (equals != std::string::npos &&
               arg.substr(0, equals) == "--tape") {
      tape = arg.substr(equals + 1);
    } else if (equals == std::string::npos ||
               !ParseValue(arg.substr(0, equals), arg.substr(equals + 1),
                           &flags, &good)) {
      return absl::InvalidArgumentError(absl::StrCat("unknown flag ", arg));
    }
    if (!good) {
      return absl::InvalidArgumentError(absl::StrCat("bad value in ", arg));
    }
  }
  if (!tape.empty()) {
    const absl::Status taken = TakeTape(tape, &flags);
    if (!taken.ok()) return taken;
    if (flags.seeds != 1) {
      return absl::InvalidArgumentError(
          "--tape is one run: leave --seeds away");
    }
  }
  const absl::Status watch = CheckWatchFlags(flags.watch);
  if (!watch.ok()) return watch;
  if (flags.watch.any() && flags.seeds != 1) {
    return absl::InvalidArgumentError(
        "--trace, --html, --goto and --dump show one run: leave --seeds away");
  }
  if (flags.watch.go_to != 0 && flags.check_determinism) {
    return absl::InvalidArgumentError(
        "--check-determinism compares whole runs: leave --goto away");
  }
  if (flags.seed > UINT64_MAX - flags.seeds) {
    return absl::InvalidArgumentError("--seed is too large for --seeds");
  }
  return flags;
}

SimulationOptions OptionsFor(const SimulateFlags& flags, uint64_t seed) {
  SimulationOptions options;
  options.seed = seed;
  options.nodes = flags.nodes;
  options.clients = flags.clients;
  options.duration = flags.duration;
  return options;
}

std::string CommandFor(const SimulateFlags& flags, uint64_t seed) {
  std::string command =
      absl::StrCat("bazel run -c opt //sim:simulate -- --seed=", seed,
                   " --duration=", ToMillis(flags.duration), "ms");
  if (flags.nodes != 0) absl::StrAppend(&command, " --nodes=", flags.nodes);
  if (flags.clients != 0) {
    absl::StrAppend(&command, " --clients=", flags.clients);
  }
  return command;
}

void WriteOptions(const SimulateFlags& flags, uint64_t seed, Tape* tape) {
  tape->options = {{"seed", absl::StrCat(seed)},
                   {"duration", absl::StrCat(ToMillis(flags.duration), "ms")}};
  if (flags.nodes != 0) {
    tape->options.emplace_back("nodes", absl::StrCat(flags.nodes));
  }
  if (flags.clients != 0) {
    tape->options.emplace_back("clients", absl::StrCat(flags.clients));
  }
}

}  // namespace holdfast
