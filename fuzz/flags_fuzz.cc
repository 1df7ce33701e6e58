// Arbitrary command lines: a server's flags and their values, simulate's flags,
// addresses, and tapes. What isn't understood is refused with a reason; what
// is, is the same when it is written down again.
//
// The input: which of these, then lines, an argument each, or the tape. The
// seeds are command lines from the documents, and a tape that simulate wrote.

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "engine/base/check.h"
#include "engine/env/address.h"
#include "sim/cli/flags.h"
#include "sim/tape.h"
#include "transport/cli/args.h"
#include "transport/cli/command.h"

namespace holdfast {
namespace {

void TryCommand(const Command& command, const std::vector<std::string>& lines) {
  absl::StatusOr<Args> args = Args::Parse(command.flags, lines);
  if (!args.ok()) return CHECK(!args.status().message().empty());
  for (const FlagSpec& flag : command.flags) {
    CHECK_EQ(args->Has(flag.name), args->Require({flag.name}).ok());
    if (!args->Has(flag.name) || flag.value == nullptr) continue;
    CHECK(!args->Text(flag.name).empty());
    if (absl::StatusOr<uint64_t> n = args->Number(flag.name, 0, 1, 1000);
        n.ok()) {
      CHECK(*n >= 1 && *n <= 1000);
    }
    if (auto all = args->Numbers(flag.name, 1, UINT64_MAX, 8); all.ok()) {
      CHECK(!all->empty() && all->size() <= 8);
    }
    if (auto time = args->Time(flag.name, Duration()); time.ok()) {
      CHECK_LE(Duration::zero(), *time);
    }
    (void)ParseAddress(args->Text(flag.name));
  }
}

absl::StatusOr<SimulateFlags> ParseSimulate(std::vector<std::string> lines) {
  std::vector<char*> argv = {lines[0].data()};
  for (size_t i = 1; i < lines.size(); ++i) argv.push_back(lines[i].data());
  return ParseSimulateFlags(static_cast<int>(argv.size()), argv.data());
}

// The first line stands for the program's name.
void TrySimulate(const std::vector<std::string>& lines) {
  absl::StatusOr<SimulateFlags> flags = ParseSimulate(lines);
  if (!flags.ok()) return CHECK(!flags.status().message().empty());
  std::vector<std::string> again = ArgumentsFor(*flags, flags->seed);
  again.insert(again.begin(), "simulate");
  absl::StatusOr<SimulateFlags> parsed = ParseSimulate(again);
  CHECK(parsed.ok());
  CHECK(ArgumentsFor(*parsed, parsed->seed) ==
        ArgumentsFor(*flags, flags->seed));
}

void TryTape(const std::string& text) {
  absl::StatusOr<Tape> tape = Tape::FromText(text);
  if (!tape.ok()) return CHECK(!tape.status().message().empty());
  absl::StatusOr<Tape> again = Tape::FromText(tape->ToText());
  CHECK(again.ok());
  CHECK_EQ(again->ToText(), tape->ToText());
  CHECK(again->entries == tape->entries);
  CHECK(again->options == tape->options);
  (void)FlagsOfTape(*std::move(tape));
}

void TryAddress(absl::string_view text) {
  absl::StatusOr<HostPort> address = ParseAddress(text);
  if (!address.ok()) return CHECK(!address.status().message().empty());
  CHECK(!address->host.empty());
  CHECK(absl::StrContains(text, address->host));
}

}  // namespace
}  // namespace holdfast

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace holdfast;
  if (size == 0) return 0;
  std::string text(reinterpret_cast<const char*>(data) + 1, size - 1);
  // These would read whatever file the input names.
  for (const char* reads : {"flagfile", "tape="}) {
    if (absl::StrContains(text, reads)) return 0;
  }
  std::vector<std::string> lines = absl::StrSplit(text, '\n');
  switch (data[0] % 5) {
    case 0:
      TryCommand(NodeCommand(), lines);
      break;
    case 1:
      TryCommand(AppendCommand(), lines);
      break;
    case 2:
      TrySimulate(lines);
      break;
    case 3:
      TryTape(text);
      break;
    default:
      TryAddress(text);
  }
  return 0;
}
