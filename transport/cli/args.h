#ifndef HOLDFAST_TRANSPORT_CLI_ARGS_H_
#define HOLDFAST_TRANSPORT_CLI_ARGS_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/base/time.h"

namespace holdfast {

// The command line's exit codes.
inline constexpr int kExitDone = 0;
inline constexpr int kExitFailed = 1;
inline constexpr int kExitUsage = 2;
inline constexpr int kExitUnknown = 3;

// One flag that a command knows.
struct FlagSpec {
  const char* name;
  // What its value is, for help ("HOST:PORT"); null: a switch without one.
  const char* value;
  const char* help;
};

// A command's flags, parsed. Each command has its own, so that an option of
// another one is an error and not silently accepted; --flagfile=FILE takes
// more of them from a file, one a line.
class Args {
 public:
  // INVALID_ARGUMENT for an unknown flag (naming the nearest one), a missing
  // or superfluous value, a flag given twice, or an argument that is no flag.
  static absl::StatusOr<Args> Parse(const std::vector<FlagSpec>& specs,
                                    const std::vector<std::string>& args);

  bool Has(const std::string& name) const { return values_.contains(name); }
  std::string Text(const std::string& name,
                   const std::string& fallback = "") const;
  // INVALID_ARGUMENT when it isn't a number in [min, max].
  absl::StatusOr<uint64_t> Number(const std::string& name, uint64_t fallback,
                                  uint64_t min, uint64_t max) const;
  // "N,N,...", in order and each once, at least one and at most `count_max`,
  // each in [min, max]; INVALID_ARGUMENT else, or when it isn't given.
  absl::StatusOr<std::vector<uint64_t>> Numbers(const std::string& name,
                                                uint64_t min, uint64_t max,
                                                size_t count_max) const;
  // "500ms", "5s", "2m", "1h".
  absl::StatusOr<Duration> Time(const std::string& name,
                                Duration fallback) const;
  // Not OK when one of these is missing.
  absl::Status Require(const std::vector<std::string>& names) const;

 private:
  absl::Status Add(const std::vector<FlagSpec>& specs, absl::string_view arg,
                   int depth);
  absl::Status AddFile(const std::vector<FlagSpec>& specs,
                       const std::string& path, int depth);

  std::map<std::string, std::string> values_;
};

absl::StatusOr<Duration> ParseDuration(absl::string_view text);

// How many edits make one word of the other (Levenshtein).
size_t EditDistance(absl::string_view a, absl::string_view b);

}  // namespace holdfast

#endif  // HOLDFAST_TRANSPORT_CLI_ARGS_H_
