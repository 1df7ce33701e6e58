#ifndef HOLDFAST_TRANSPORT_CLI_COMMAND_H_
#define HOLDFAST_TRANSPORT_CLI_COMMAND_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "transport/cli/args.h"

namespace holdfast {

struct Command {
  std::string name;
  std::string summary;
  std::vector<FlagSpec> flags;
  // The exit code.
  int (*run)(const Args& args);
};

Command CertsInitCommand();
Command CertsIssueCommand();
Command NodeCommand();
Command AppendCommand();
Command ReadCommand();
Command TailCommand();
Command StatusCommand();
Command BenchCommand();
Command JoinCommand();
Command LeaveCommand();
Command TransferCommand();
Command TrimCommand();
Command InspectCommand();
Command BackupCommand();
Command RestoreCommand();
Command RecoverCommand();

// Prints one line to stderr, "holdfast: ...", and returns `code`.
int Fail(int code, absl::string_view problem);
// The code for a status: usage, unknown or failed.
int FailWith(const absl::Status& status);

}  // namespace holdfast

#endif  // HOLDFAST_TRANSPORT_CLI_COMMAND_H_
