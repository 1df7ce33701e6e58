#include "transport/cli/args.h"

#include <algorithm>
#include <fstream>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace holdfast {
namespace {

constexpr int kFlagfileDepthMax = 4;
// So that a time added to it still fits into 64 bits of nanoseconds.
constexpr Duration kLongest = 24h * 36500;

const FlagSpec* Find(const std::vector<FlagSpec>& specs,
                     absl::string_view name) {
  for (const FlagSpec& spec : specs) {
    if (name == spec.name) return &spec;
  }
  return nullptr;
}

absl::Status Unknown(const std::vector<FlagSpec>& specs,
                     absl::string_view name) {
  const FlagSpec* nearest = nullptr;
  size_t best = 4;
  for (const FlagSpec& spec : specs) {
    size_t distance = EditDistance(name, spec.name);
    if (distance < best) {
      best = distance;
      nearest = &spec;
    }
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "unknown flag --", name,
      nearest == nullptr
          ? std::string("; --help lists what there is")
          : absl::StrCat("; did you mean --", nearest->name, "?")));
}

}  // namespace

size_t EditDistance(absl::string_view a, absl::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      size_t change = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, change});
    }
  }
  return row[b.size()];
}

absl::StatusOr<Duration> ParseDuration(absl::string_view text) {
  static constexpr std::pair<const char*, Duration> kUnits[] = {
      {"ms", 1ms}, {"s", 1s}, {"m", 1min}, {"h", 1h}};
  for (const auto& [suffix, unit] : kUnits) {
    absl::string_view number = text;
    int64_t n;
    if (absl::ConsumeSuffix(&number, suffix) && absl::SimpleAtoi(number, &n) &&
        n >= 0 && n <= kLongest / unit) {
      return n * unit;
    }
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "expected a length of time such as 500ms, 5s or 2m, found \"", text,
      "\""));
}

absl::StatusOr<Args> Args::Parse(const std::vector<FlagSpec>& specs,
                                 const std::vector<std::string>& args) {
  Args parsed;
  for (const std::string& arg : args) {
    if (absl::Status added = parsed.Add(specs, arg, 0); !added.ok()) {
      return added;
    }
  }
  return parsed;
}

absl::Status Args::Add(const std::vector<FlagSpec>& specs,
                       absl::string_view arg, int depth) {
  absl::string_view rest = arg;
  if (!absl::ConsumePrefix(&rest, "--") || rest.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("expected a flag (--name=value), found \"", arg, "\""));
  }
  size_t equals = rest.find('=');
  bool has_value = equals != absl::string_view::npos;
  std::string name(rest.substr(0, equals));
  std::string value(has_value ? rest.substr(equals + 1) : "");
  const FlagSpec* spec = Find(specs, name);
  if (spec == nullptr) return Unknown(specs, name);
  if (spec->value != nullptr && (!has_value || value.empty())) {
    return absl::InvalidArgumentError(
        absl::StrCat("expected --", name, "=", spec->value));
  }
  if (spec->value == nullptr && has_value) {
    return absl::InvalidArgumentError(
        absl::StrCat("--", name, " takes no value, found \"", value, "\""));
  }
  if (name == "flagfile") return AddFile(specs, value, depth + 1);
  if (!values_.emplace(name, value).second) {
    return absl::InvalidArgumentError(
        absl::StrCat("--", name, " is given twice"));
  }
  return absl::OkStatus();
}

absl::Status Args::AddFile(const std::vector<FlagSpec>& specs,
                           const std::string& path, int depth) {
  if (depth > kFlagfileDepthMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("flag files nest too deeply at ", path));
  }
  std::ifstream file(path);
  if (!file) {
    return absl::InvalidArgumentError(
        absl::StrCat("can't read the flag file ", path));
  }
  std::string line;
  while (std::getline(file, line)) {
    absl::string_view text = absl::StripAsciiWhitespace(line);
    if (text.empty() || text[0] == '#') continue;
    if (absl::Status added = Add(specs, text, depth); !added.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": ", added.message()));
    }
  }
  return absl::OkStatus();
}

std::string Args::Text(const std::string& name,
                       const std::string& fallback) const {
  auto it = values_.find(name);
  return it == values_.end() ? fallback : it->second;
}

absl::StatusOr<uint64_t> Args::Number(const std::string& name,
                                      uint64_t fallback, uint64_t min,
                                      uint64_t max) const {
  auto it = values_.find(name);
  if (it == values_.end()) return fallback;
  uint64_t n;
  if (!absl::SimpleAtoi(it->second, &n) || n < min || n > max) {
    return absl::InvalidArgumentError(
        absl::StrCat("--", name, ": expected a number from ", min, " to ", max,
                     ", found \"", it->second, "\""));
  }
  return n;
}

absl::StatusOr<std::vector<uint64_t>> Args::Numbers(const std::string& name,
                                                    uint64_t min, uint64_t max,
                                                    size_t count_max) const {
  std::vector<uint64_t> numbers;
  for (absl::string_view part : absl::StrSplit(Text(name), ',')) {
    uint64_t n;
    if (!absl::SimpleAtoi(part, &n) || n < min || n > max ||
        numbers.size() == count_max) {
      return absl::InvalidArgumentError(absl::StrCat(
          "--", name, ": expected at most ", count_max, " numbers from ", min,
          " to ", max, ", with commas between them, found \"", part, "\""));
    }
    numbers.push_back(n);
  }
  std::sort(numbers.begin(), numbers.end());
  numbers.erase(std::unique(numbers.begin(), numbers.end()), numbers.end());
  return numbers;
}

absl::StatusOr<Duration> Args::Time(const std::string& name,
                                    Duration fallback) const {
  auto it = values_.find(name);
  if (it == values_.end()) return fallback;
  absl::StatusOr<Duration> parsed = ParseDuration(it->second);
  if (parsed.ok()) return parsed;
  return absl::InvalidArgumentError(
      absl::StrCat("--", name, ": ", parsed.status().message()));
}

absl::Status Args::Require(const std::vector<std::string>& names) const {
  for (const std::string& name : names) {
    if (!Has(name)) {
      return absl::InvalidArgumentError(
          absl::StrCat("expected --", name, "; --help explains it"));
    }
  }
  return absl::OkStatus();
}

}  // namespace holdfast
