#include "sim/cli/commands.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "sim/cli/campaign.h"
#include "sim/cli/diff.h"
#include "sim/cli/exhaustive.h"
#include "sim/cli/flags.h"
#include "sim/cli/hashes.h"
#include "sim/cli/run.h"
#include "sim/cli/seeds.h"
#include "sim/cli/shrink.h"

namespace holdfast {
namespace {

int RunCommand(const SimulateFlags& flags,
               const std::function<void(Simulation*)>& prepare) {
  switch (flags.command) {
    case SimulateCommand::kRun:
      return flags.hashes ? HashesCommand(flags, prepare)
                          : RunSeedsCommand(flags, prepare);
    case SimulateCommand::kShrink:
      return ShrinkCommand(flags, prepare);
    case SimulateCommand::kCampaign:
      return CampaignCommand(flags, prepare);
    case SimulateCommand::kExhaustive:
      return ExhaustiveCommand(flags, prepare);
    case SimulateCommand::kDiff:
      return DiffCommand(flags);
  }
  return kExitUsage;
}

}  // namespace

int SimulateMain(int argc, char** argv,
                 const std::function<void(Simulation*)>& prepare) {
  // Paths are those of the user, who called `bazel run`.
  const char* directory = std::getenv("BUILD_WORKING_DIRECTORY");
  if (directory != nullptr && chdir(directory) != 0) {
    return Refuse(absl::StrCat("can't go to ", directory));
  }
  absl::StatusOr<SimulateFlags> flags = ParseSimulateFlags(argc, argv);
  if (!flags.ok()) {
    return Refuse(absl::StrCat(flags.status().message(),
                               " (simulate --help tells more)"));
  }
  if (flags->help) {
    std::fputs(kSimulateUsage, stdout);
    return 0;
  }
  return RunCommand(*flags, prepare);
}

}  // namespace holdfast
