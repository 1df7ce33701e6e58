#include "sim/cli/flags.h"

#include <chrono>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "sim/cli/code_id.h"
#include "sim/cli/files.h"

namespace holdfast {

const char kSimulateUsage[] =
    "usage: simulate [FLAG...]             runs seeds\n"
    "       simulate shrink [FLAG...]      makes a failing run smaller\n"
    "       simulate campaign [FLAG...]    runs seeds, whatever fails\n"
    "       simulate exhaustive [FLAG...]  a small run, with a fault at each "
    "place\n"
    "       simulate diff [FLAG...]        runs seeds in two programs, and "
    "compares\n"
    "\n"
    "Each seed is a whole simulated cluster with clients and faults, checked\n"
    "after every event.\n"
    "\n"
    "What is run, and with what:\n"
    "  --seed=S              the (first) seed\n"
    "  --seeds=N             so many from there on\n"
    "  --tape=FILE           the run of that tape, with its options and "
    "faults,\n"
    "                        and no others\n"
    "  --duration=60s        of simulated time with faults (ms, s)\n"
    "  --nodes=1..9          servers; otherwise drawn by the seed\n"
    "  --clients=1..9        likewise\n"
    "  --spares=0..2         servers that wait to be joined, likewise\n"
    "  --changes=on|off      whether servers join and leave, likewise\n"
    "  --trims=on|off        whether records are trimmed, likewise\n"
    "  --transfers=on|off    whether leadership is handed over, likewise\n"
    "  --admin=on|off        whether that is asked for by clients, likewise\n"
    "  --kv=on|off           whether servers have a state machine, likewise\n"
    "  --leases=on|off       whether leaders read by leases, likewise\n"
    "  --scrub=on|off        whether servers look for damage, likewise\n"
    "  --tails=on|off --reads=on|off   whether clients do, likewise\n"
    "  --conditions=on|off   whether they append on condition, likewise\n"
    "  --names-servers=on|off   whether they ask servers that they name, "
    "likewise\n"
    "  --minority-down=on|off   whether a minority stays down at first when\n"
    "                        faults stop, likewise\n"
    "  --operations=N        of each client at most; 0: no bound\n"
    "  --drift=on|off        of clocks\n"
    "  --damage=on|off       of what is at rest on disks\n"
    "  --beyond-model        also such as no server can tell from a torn end\n"
    "  --settle=on|off       whether faults stop at the end, and all must "
    "come\n"
    "                        to rest\n"
    "  --tls                 streams are the product's TLS\n"
    "How:\n"
    "  --jobs=J              processes that share the seeds\n"
    "  --json                the last line, the summary, as JSON\n"
    "  --verbose             tells what happens of note\n"
    "  --rare-paths=FILE     fails if a path named in FILE was never taken; "
    "or in\n"
    "                        several: FILE,FILE\n"
    "  --paths-out=FILE      how often these, or all paths, were taken, and by "
    "how\n"
    "                        many seeds; the rarest first\n"
    "  --tape-dir=DIR        where the tape of a failing run goes\n"
    "  --check-determinism   runs each seed twice and compares trace hashes\n"
    "Of a single run:\n"
    "  --trace=FILE          its events as text, one a line\n"
    "  --html=FILE           a page that shows it, for any browser\n"
    "  --from, --to          only that part of it (3s, 3.25s, 3250ms)\n"
    "  --goto=EVENT          it ends after the event of that number\n"
    "  --before=K            with --goto: the lines of K events before it, "
    "too\n"
    "  --dump                prints what all nodes and clients are like then\n"
    "  --hashes              prints its trace hash after each event, and no "
    "summary\n"
    "campaign:\n"
    "  --state=FILE          keeps what is done, and goes on from there\n"
    "diff (with the flags of what is run, --jobs, --json, --tape-dir):\n"
    "  --with=PROGRAM        another build of simulate; otherwise this one "
    "again\n"
    "exhaustive (with --seed, --seeds, --jobs, --json, --tape-dir):\n"
    "                        three servers, two appends; a crash or power "
    "loss\n"
    "                        at each I/O, a cut link at each message\n"
    "shrink:\n"
    "  --out=FILE            where the smallest tape goes\n"
    "  --effort=300s         of real time at most\n"
    "Exit codes: 0 ok, 1 a safety property broken, 2 not live, 3 crash, 4 two "
    "runs\n"
    "of one seed differ (diff), 64 usage.\n";

namespace {

// --- Values ---

bool ParseDuration(absl::string_view text, Duration* out) {
  const bool millis = absl::ConsumeSuffix(&text, "ms");
  if (!millis && !absl::ConsumeSuffix(&text, "s")) return false;
  int64_t n;
  if (!absl::SimpleAtoi(text, &n)) return false;
  // Of either kind up to the same time, since all are shown in milliseconds.
  constexpr int64_t kSecondsMax = 1000000;
  if (n <= 0 || n > (millis ? 1000 * kSecondsMax : kSecondsMax)) return false;
  *out = millis ? Duration(std::chrono::milliseconds(n))
                : Duration(std::chrono::seconds(n));
  return true;
}

template <typename T>
bool ParseBetween(absl::string_view text, T low, T high, T* out) {
  return absl::SimpleAtoi(text, out) && *out >= low && *out <= high;
}

bool ParseSwitch(absl::string_view text, bool* on) {
  *on = text == "on";
  return *on || text == "off";
}
bool ParseSwitch(absl::string_view text, std::optional<bool>* on) {
  return ParseSwitch(text, &on->emplace());
}

std::string ShowSwitch(std::optional<bool> on) {
  return !on.has_value() ? "" : *on ? "on" : "off";
}
// Of one that is on by default.
std::string ShowOff(bool on) { return on ? "" : "off"; }
// Of one that is off by default.
std::string ShowOn(bool on) { return on ? "on" : ""; }
std::string ShowNumber(uint32_t n) { return n == 0 ? "" : absl::StrCat(n); }

// --- The table ---

constexpr unsigned kRun = 1u << static_cast<int>(SimulateCommand::kRun);
constexpr unsigned kShrink = 1u << static_cast<int>(SimulateCommand::kShrink);
constexpr unsigned kCampaign = 1u
                               << static_cast<int>(SimulateCommand::kCampaign);
constexpr unsigned kDiff = 1u << static_cast<int>(SimulateCommand::kDiff);
constexpr unsigned kSeeded = kRun | kShrink | kCampaign | kDiff;
constexpr unsigned kExhaustive =
    1u << static_cast<int>(SimulateCommand::kExhaustive);

struct Flag {
  absl::string_view name;
  unsigned commands;
  const char* expected;  // null: it has no value
  bool (*parse)(absl::string_view value, SimulateFlags* flags);
  // A run's option: its value on a tape, empty if it is the usual one. Null: it
  // is none.
  std::string (*show)(const SimulateFlags& flags);
};

constexpr char kSwitch[] = "on or off";
using F = SimulateFlags;
using Text = absl::string_view;

const Flag kRunFlags[] = {
    {"seed", kSeeded | kExhaustive, "a number",
     [](Text v, F* f) { return absl::SimpleAtoi(v, &f->seed); },
     [](const F& f) { return absl::StrCat(f.seed); }},
    {"duration", kSeeded, "a time such as 60s or 1500ms",
     [](Text v, F* f) { return ParseDuration(v, &f->duration); },
     [](const F& f) { return absl::StrCat(ToMillis(f.duration), "ms"); }},
    {"nodes", kSeeded, "1 to 9",
     [](Text v, F* f) { return ParseBetween<uint32_t>(v, 1, 9, &f->nodes); },
     [](const F& f) { return ShowNumber(f.nodes); }},
    {"clients", kSeeded, "1 to 9",
     [](Text v, F* f) { return ParseBetween<uint32_t>(v, 1, 9, &f->clients); },
     [](const F& f) { return ShowNumber(f.clients); }},
    {"spares", kSeeded, "0 to 2",
     [](Text v, F* f) {
       return ParseBetween<uint32_t>(v, 0, 2, &f->spares.emplace());
     },
     [](const F& f) {
       return f.spares.has_value() ? absl::StrCat(*f.spares) : "";
     }},
    {"changes", kSeeded, kSwitch,
     [](Text v, F* f) { return ParseSwitch(v, &f->changes); },
     [](const F& f) { return ShowSwitch(f.changes); }},
    {"trims", kSeeded, kSwitch,
     [](Text v, F* f) { return ParseSwitch(v, &f->trims); },
     [](const F& f) { return ShowSwitch(f.trims); }},
    {"transfers", kSeeded, kSwitch,
     [](Text v, F* f) { return ParseSwitch(v, &f->transfers); },
     [](const F& f) { return ShowSwitch(f.transfers); }},
    {"admin", kSeeded, kSwitch,
     [](Text v, F* f) { return ParseSwitch(v, &f->admin); },
     [](const F& f) { return ShowSwitch(f.admin); }},
    {"kv", kSeeded, kSwitch,
     [](Text v, F* f) { return ParseSwitch(v, &f->kv); },
     [](const F& f) { return ShowSwitch(f.kv); }},
    {"leases", kSeeded, kSwitch,
     [](Text v, F* f) { return ParseSwitch(v, &f->leases); },
     [](const F& f) { return ShowSwitch(f.leases); }},
    {"scrub", kSeeded, kSwitch,
     [](Text v, F* f) { return ParseSwitch(v, &f->scrub); },
     [](const F& f) { return ShowSwitch(f.scrub); }},
    {"tails", kSeeded, kSwitch,
     [](Text v, F* f) { return ParseSwitch(v, &f->tails); },
     [](const F& f) { return ShowSwitch(f.tails); }},
    {"reads", kSeeded, kSwitch,
     [](Text v, F* f) { return ParseSwitch(v, &f->reads); },
     [](const F& f) { return ShowSwitch(f.reads); }},
    {"conditions", kSeeded, kSwitch,
     [](Text v, F* f) { return ParseSwitch(v, &f->conditions); },
     [](const F& f) { return ShowSwitch(f.conditions); }},
    {"names-servers", kSeeded, kSwitch,
     [](Text v, F* f) { return ParseSwitch(v, &f->names_servers); },
     [](const F& f) { return ShowSwitch(f.names_servers); }},
    {"minority-down", kSeeded, kSwitch,
     [](Text v, F* f) { return ParseSwitch(v, &f->minority_down); },
     [](const F& f) { return ShowSwitch(f.minority_down); }},
    {"operations", kSeeded, "0 to 1000000000",
     [](Text v, F* f) {
       return ParseBetween<uint32_t>(v, 0, 1000000000, &f->operations);
     },
     [](const F& f) { return ShowNumber(f.operations); }},
    {"drift", kSeeded, kSwitch,
     [](Text v, F* f) { return ParseSwitch(v, &f->drift); },
     [](const F& f) { return ShowOff(f.drift); }},
    {"settle", kSeeded, kSwitch,
     [](Text v, F* f) { return ParseSwitch(v, &f->settle); },
     [](const F& f) { return ShowOff(f.settle); }},
    {"tls", kSeeded, kSwitch,
     [](Text v, F* f) { return ParseSwitch(v, &f->tls); },
     [](const F& f) { return ShowOn(f.tls); }},
    {"damage", kSeeded, kSwitch,
     [](Text v, F* f) { return ParseSwitch(v, &f->damage); },
     [](const F& f) { return ShowOff(f.damage); }},
    {"beyond-model", kSeeded, kSwitch,
     [](Text v, F* f) { return ParseSwitch(v, &f->beyond_model); },
     [](const F& f) { return ShowOn(f.beyond_model); }},
};

const Flag kOtherFlags[] = {
    {"seeds", kRun | kCampaign | kExhaustive | kDiff, "1 to 1000000000000",
     [](Text v, F* f) {
       return ParseBetween<uint64_t>(v, 1, 1000000000000, &f->seeds);
     },
     nullptr},
    {"jobs", kSeeded | kExhaustive, "1 to 256",
     [](Text v, F* f) { return ParseBetween<uint64_t>(v, 1, 256, &f->jobs); },
     nullptr},
    {"rare-paths", kRun | kCampaign, "files, with commas between them",
     [](Text v, F* f) {
       f->rare_paths = std::string(v);
       return !v.empty();
     },
     nullptr},
    {"paths-out", kRun | kCampaign, "a file",
     [](Text v, F* f) {
       f->paths_out = std::string(v);
       return !v.empty();
     },
     nullptr},
    {"tape-dir", kRun | kCampaign | kExhaustive | kDiff, "a directory",
     [](Text v, F* f) {
       f->tape_dir = std::string(v);
       return !v.empty();
     },
     nullptr},
    {"state", kCampaign, "a file",
     [](Text v, F* f) {
       f->state = std::string(v);
       return !v.empty();
     },
     nullptr},
    {"with", kDiff, "a program",
     [](Text v, F* f) {
       f->with = std::string(v);
       return !v.empty();
     },
     nullptr},
    {"out", kShrink, "a file",
     [](Text v, F* f) {
       f->out = std::string(v);
       return !v.empty();
     },
     nullptr},
    {"effort", kShrink, "a time such as 60s",
     [](Text v, F* f) { return ParseDuration(v, &f->effort); }, nullptr},
    {"json", kRun | kCampaign | kExhaustive | kDiff, nullptr,
     [](Text, F* f) { return f->json = true; }, nullptr},
    {"check-determinism", kRun, nullptr,
     [](Text, F* f) { return f->check_determinism = true; }, nullptr},
    {"dump", kRun, nullptr, [](Text, F* f) { return f->watch.dump = true; },
     nullptr},
    {"hashes", kRun, nullptr, [](Text, F* f) { return f->hashes = true; },
     nullptr},
    {"verbose", kRun | kShrink, nullptr,
     [](Text, F* f) { return f->verbose = true; }, nullptr},
};

const Flag* Find(absl::string_view name) {
  for (const Flag& flag : kRunFlags) {
    if (flag.name == name) return &flag;
  }
  for (const Flag& flag : kOtherFlags) {
    if (flag.name == name) return &flag;
  }
  return nullptr;
}

struct CommandName {
  absl::string_view name;
  SimulateCommand command;
};
constexpr CommandName kCommands[] = {
    {"shrink", SimulateCommand::kShrink},
    {"campaign", SimulateCommand::kCampaign},
    {"exhaustive", SimulateCommand::kExhaustive},
    {"diff", SimulateCommand::kDiff},
};

absl::Status ParseCommand(absl::string_view name, SimulateFlags* flags) {
  for (const CommandName& c : kCommands) {
    if (c.name != name) continue;
    flags->command = c.command;
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("unknown command ", name,
                   ": expected shrink, campaign, exhaustive or diff, or flags "
                   "only"));
}

// "--name=value", or "--name".
absl::Status ParseFlag(absl::string_view arg, SimulateFlags* flags) {
  absl::string_view name = arg;
  if (!absl::ConsumePrefix(&name, "--")) {
    return absl::InvalidArgumentError(
        absl::StrCat("expected --FLAG=VALUE, found ", arg));
  }
  const size_t equals = name.find('=');
  const bool has_value = equals != absl::string_view::npos;
  const absl::string_view value = has_value ? name.substr(equals + 1) : "";
  name = name.substr(0, equals);
  const Flag* flag = Find(name);
  bool good = true;
  if (flag == nullptr && flags->command == SimulateCommand::kRun && has_value &&
      ParseWatchFlag(absl::StrCat("--", name), value, &flags->watch, &good)) {
    if (good) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat("bad value in ", arg));
  }
  if (flag == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat("unknown flag ", arg));
  }
  if ((flag->commands >> static_cast<int>(flags->command) & 1) == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("--", name, " is of another command"));
  }
  // A switch's name alone turns it on.
  const bool is_switch = flag->expected == kSwitch;
  if ((has_value != (flag->expected != nullptr) && !is_switch) ||
      !flag->parse(is_switch && !has_value ? "on" : value, flags)) {
    return absl::InvalidArgumentError(
        absl::StrCat("bad value in ", arg, ": expected ",
                     flag->expected == nullptr ? "none" : flag->expected));
  }
  return absl::OkStatus();
}

// --- Tapes ---

// A tape stands for one run, and says which.
absl::Status TakeOptions(Tape tape, SimulateFlags* flags) {
  std::set<absl::string_view> seen;
  for (const auto& [name, value] : tape.options) {
    if (!seen.insert(name).second) {
      return absl::InvalidArgumentError(absl::StrCat(
          "the option ", name, " is there twice: take one of its lines away"));
    }
    const Flag* flag = Find(name);
    if (flag == nullptr || flag->show == nullptr ||
        !flag->parse(value, flags)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "this code doesn't know the tape's option ", name, " ", value));
    }
  }
  flags->tape = std::move(tape);
  return absl::OkStatus();
}

// Other code, another run.
absl::Status CheckCode(const Tape& tape) {
  if (tape.code.empty() || tape.code == kCodeId) return absl::OkStatus();
  const std::string revision =
      tape.revision.empty()
          ? ""
          : absl::StrCat(", run where git's HEAD was ", tape.revision);
  return absl::InvalidArgumentError(absl::StrCat(
      "expected a run of code ", kCodeId,
      ", which this program is built of, found one of code ", tape.code,
      revision,
      ": build that, or take the tape's line \"code\" away to run what it "
      "comes to here"));
}

absl::Status TakeTape(const std::string& path, SimulateFlags* flags) {
  const absl::StatusOr<std::string> text = ReadWholeFile(path);
  if (!text.ok()) return absl::InvalidArgumentError(text.status().message());
  absl::StatusOr<Tape> tape = Tape::FromText(*text);
  absl::Status status = tape.status();
  if (status.ok()) status = CheckCode(*tape);
  if (status.ok()) status = TakeOptions(*std::move(tape), flags);
  if (status.ok()) return status;
  return absl::InvalidArgumentError(absl::StrCat(path, ": ", status.message()));
}

// Whether nobody asks for what is turned off. Of what was given: seeds draw
// such options, too, and so tapes have them.
absl::Status CheckOptions(const SimulateFlags& flags) {
  const char* wrong = nullptr;
  if (flags.beyond_model && !flags.damage) {
    wrong = "--beyond-model is of damage, and --damage=off leaves that out";
  } else if (flags.minority_down.value_or(false) && !flags.settle) {
    wrong =
        "--minority-down=on is for when faults stop, and with --settle=off "
        "they don't";
  } else if (flags.spares.value_or(0) > 0 && !flags.changes.value_or(true)) {
    wrong = "--spares wait to be joined, and with --changes=off nobody is";
  } else if (flags.names_servers.value_or(false) &&
             !flags.reads.value_or(true) && !flags.tails.value_or(true)) {
    wrong =
        "--names-servers=on is of reads and tails, and there are none with "
        "--reads=off and --tails=off";
  }
  if (wrong == nullptr) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(wrong, ": leave one of them away"));
}

absl::Status CheckTogether(const std::vector<std::string>& args, bool has_tape,
                           const SimulateFlags& flags) {
  if (has_tape && flags.command != SimulateCommand::kRun &&
      flags.command != SimulateCommand::kShrink) {
    return absl::InvalidArgumentError("--tape is of another command");
  }
  std::set<absl::string_view> seen;
  for (const std::string& arg : args) {
    const absl::string_view name = absl::StripPrefix(
        absl::string_view(arg).substr(0, arg.find('=')), "--");
    if (!seen.insert(name).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("--", name, " is given twice: leave one away"));
    }
    const Flag* flag = Find(name);
    if (has_tape && flag != nullptr &&
        (flag->show != nullptr || name == "seeds")) {
      return absl::InvalidArgumentError(
          absl::StrCat("--tape is one run, with its own ", name, ": leave --",
                       name, " away"));
    }
  }
  if (flags.seed > UINT64_MAX - flags.seeds) {
    return absl::InvalidArgumentError("--seed is too large for --seeds");
  }
  if (flags.watch.any() && flags.seeds != 1) {
    return absl::InvalidArgumentError(
        "--trace, --html, --goto and --dump show one run: leave --seeds away");
  }
  if (flags.hashes && (flags.watch.any() || flags.seeds != 1 || flags.json ||
                       flags.check_determinism || !flags.rare_paths.empty() ||
                       !flags.paths_out.empty())) {
    return absl::InvalidArgumentError(
        "--hashes tells of one run, and nothing else: leave --seeds, --json, "
        "--trace, --html, --goto, --dump, --check-determinism, --rare-paths "
        "and --paths-out away");
  }
  if (flags.watch.go_to != 0 && flags.check_determinism) {
    return absl::InvalidArgumentError(
        "--check-determinism compares whole runs: leave --goto away");
  }
  const absl::Status options = CheckOptions(flags);
  return options.ok() ? CheckWatchFlags(flags.watch) : options;
}

}  // namespace

absl::StatusOr<SimulateFlags> ParseSimulateFlags(int argc, char** argv) {
  SimulateFlags flags;
  std::vector<std::string> args(argv + 1, argv + argc);
  std::optional<std::string> tape;
  for (size_t i = 0; i < args.size(); ++i) {
    absl::string_view arg = args[i];
    absl::Status status;
    if (i == 0 && !absl::StartsWith(arg, "-")) {
      status = ParseCommand(arg, &flags);
    } else if (arg == "--help") {
      flags.help = true;
    } else if (absl::ConsumePrefix(&arg, "--tape=")) {
      tape = std::string(arg);
    } else {
      status = ParseFlag(arg, &flags);
    }
    if (!status.ok()) return status;
  }
  absl::Status status = CheckTogether(args, tape.has_value(), flags);
  if (status.ok() && tape.has_value()) status = TakeTape(*tape, &flags);
  if (!status.ok()) return status;
  return flags;
}

SimulationOptions OptionsFor(const SimulateFlags& flags, uint64_t seed) {
  SimulationOptions options;
  options.seed = seed;
  options.nodes = flags.nodes;
  options.clients = flags.clients;
  options.spares = flags.spares;
  options.changes = flags.changes;
  options.trims = flags.trims;
  options.transfers = flags.transfers;
  options.admin = flags.admin;
  options.kv = flags.kv;
  options.leases = flags.leases;
  options.scrub = flags.scrub;
  options.duration = flags.duration;
  options.tails = flags.tails;
  options.reads = flags.reads;
  options.conditions = flags.conditions;
  options.names_servers = flags.names_servers;
  options.minority_down = flags.minority_down;
  options.operations_max = flags.operations;
  options.drift = flags.drift;
  options.settle = flags.settle;
  options.tls = flags.tls;
  options.damage = flags.damage;
  options.beyond_model = flags.beyond_model;
  return options;
}

absl::StatusOr<SimulateFlags> FlagsOfTape(Tape tape) {
  SimulateFlags flags;
  absl::Status status = TakeOptions(std::move(tape), &flags);
  if (!status.ok()) return status;
  return flags;
}

SimulateFlags WithDrawn(const SimulateFlags& flags,
                        const SimulationOptions& drawn) {
  SimulateFlags all = flags;
  all.nodes = drawn.nodes;
  all.clients = drawn.clients;
  all.spares = drawn.spares;
  all.changes = drawn.changes;
  all.trims = drawn.trims;
  all.transfers = drawn.transfers;
  all.admin = drawn.admin;
  all.tails = drawn.tails;
  all.reads = drawn.reads;
  all.conditions = drawn.conditions;
  all.names_servers = drawn.names_servers;
  all.minority_down = drawn.minority_down;
  all.kv = drawn.kv;
  all.leases = drawn.leases;
  all.scrub = drawn.scrub;
  return all;
}

std::vector<std::string> ArgumentsFor(const SimulateFlags& flags,
                                      uint64_t seed) {
  Tape tape;
  WriteOptions(flags, seed, &tape);
  std::vector<std::string> arguments;
  for (const auto& [name, value] : tape.options) {
    arguments.push_back(absl::StrCat("--", name, "=", value));
  }
  return arguments;
}

std::string CommandFor(const SimulateFlags& flags, uint64_t seed) {
  return absl::StrCat("bazel run -c opt //sim:simulate -- ",
                      absl::StrJoin(ArgumentsFor(flags, seed), " "));
}

std::string CommandForTape(const std::string& path) {
  return absl::StrCat("bazel run -c opt //sim:simulate -- --tape=", path);
}

void WriteOptions(const SimulateFlags& flags, uint64_t seed, Tape* tape) {
  SimulateFlags of_seed = flags;
  of_seed.seed = seed;
  tape->options.clear();
  for (const Flag& flag : kRunFlags) {
    std::string value = flag.show(of_seed);
    if (!value.empty()) {
      tape->options.emplace_back(flag.name, std::move(value));
    }
  }
}

}  // namespace holdfast
