// holdfast: the server, and the command line to work with it.

#include <signal.h>

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "transport/cli/command.h"
#include "transport/version.h"

namespace holdfast {
namespace {

std::vector<Command> Commands() {
  return {CertsInitCommand(), CertsIssueCommand(), NodeCommand(),
          AppendCommand(),    ReadCommand(),       TailCommand(),
          StatusCommand(),    JoinCommand(),       LeaveCommand(),
          TransferCommand(),  TrimCommand(),       BenchCommand(),
          BackupCommand(),    RestoreCommand(),    RecoverCommand(),
          InspectCommand()};
}

void PrintHelp(const std::vector<Command>& commands) {
  std::printf("holdfast %s: a replicated, durable, append-only log\n\n",
              kVersion);
  for (const Command& c : commands) {
    std::printf("  holdfast %-13s %s\n", c.name.c_str(), c.summary.c_str());
  }
  std::printf(
      "\nholdfast COMMAND --help lists a command's flags. First try:\n"
      "  holdfast node --dev\n"
      "Exit codes: 0 done, 1 rejected or failed, 2 usage, 3 outcome unknown or "
      "cluster unavailable.\n");
}

void PrintHelp(const Command& command) {
  std::printf("holdfast %s: %s\n", command.name.c_str(),
              command.summary.c_str());
  for (const FlagSpec& flag : command.flags) {
    std::string left = absl::StrCat("--", flag.name);
    if (flag.value != nullptr) absl::StrAppend(&left, "=", flag.value);
    std::printf("  %-34s %s\n", left.c_str(), flag.help);
  }
}

int Main(std::vector<std::string> words) {
  std::vector<Command> commands = Commands();
  if (words.empty() || words[0] == "help" || words[0] == "--help") {
    PrintHelp(commands);
    return words.empty() ? kExitUsage : kExitDone;
  }
  if (words[0] == "version" || words[0] == "--version") {
    std::printf("holdfast %s\n", kVersion);
    return kExitDone;
  }
  std::string name = words[0];
  size_t used = 1;
  if (name == "certs" && words.size() > 1) {
    name = absl::StrCat("certs ", words[1]);
    used = 2;
  }
  auto command =
      std::find_if(commands.begin(), commands.end(),
                   [&name](const Command& c) { return c.name == name; });
  if (command == commands.end()) {
    return Fail(kExitUsage, absl::StrCat("unknown command \"", name,
                                         "\"; holdfast help lists them"));
  }
  std::vector<std::string> rest(words.begin() + static_cast<long>(used),
                                words.end());
  if (std::find(rest.begin(), rest.end(), "--help") != rest.end()) {
    PrintHelp(*command);
    return kExitDone;
  }
  absl::StatusOr<Args> args = Args::Parse(command->flags, rest);
  if (!args.ok()) {
    return Fail(kExitUsage, absl::StrCat(name, ": ", args.status().message()));
  }
  return command->run(*args);
}

}  // namespace

}  // namespace holdfast

int main(int argc, char** argv) {
  signal(SIGPIPE, SIG_IGN);
  // A file that may grow no further is as a full disk, which says so.
  signal(SIGXFSZ, SIG_IGN);
  return holdfast::Main(std::vector<std::string>(argv + 1, argv + argc));
}
