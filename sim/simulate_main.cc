// simulate: runs the real engine in a simulated world, by seed.

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "absl/status/statusor.h"
#include "sim/cli/campaign.h"
#include "sim/cli/exhaustive.h"
#include "sim/cli/flags.h"
#include "sim/cli/run.h"
#include "sim/cli/seeds.h"
#include "sim/cli/shrink.h"

namespace {

using namespace holdfast;

int RunCommand(const SimulateFlags& flags) {
  switch (flags.command) {
    case SimulateCommand::kRun:
      return RunSeedsCommand(flags);
    case SimulateCommand::kShrink:
      return ShrinkCommand(flags);
    case SimulateCommand::kCampaign:
      return CampaignCommand(flags);
    case SimulateCommand::kExhaustive:
      return ExhaustiveCommand(flags);
  }
  return kExitUsage;
}

}  // namespace

int main(int argc, char** argv) {
  // Paths are those of the user, who called `bazel run`.
  const char* directory = std::getenv("BUILD_WORKING_DIRECTORY");
  if (directory != nullptr && chdir(directory) != 0) {
    std::fprintf(stderr, "simulate: can't go to %s\n", directory);
    return kExitUsage;
  }
  absl::StatusOr<SimulateFlags> flags = ParseSimulateFlags(argc, argv);
  if (!flags.ok()) {
    std::fprintf(stderr, "simulate: %s (simulate --help tells more)\n",
                 std::string(flags.status().message()).c_str());
    return kExitUsage;
  }
  if (flags->help) {
    std::fputs(kSimulateUsage, stdout);
    return 0;
  }
  return RunCommand(*flags);
}
