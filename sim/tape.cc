#include "sim/tape.h"

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "sim/fault_sites.h"

namespace holdfast {
namespace {

constexpr absl::string_view kFormat = "holdfast-tape ";
constexpr absl::string_view kFirstLine = "holdfast-tape 2";

// "WINDOW.DRAW".
bool ParsePlace(absl::string_view text, uint64_t* place) {
  const std::vector<absl::string_view> parts = absl::StrSplit(text, '.');
  uint32_t window = 0;
  uint64_t draw = 0;
  if (parts.size() != 2 || !absl::SimpleAtoi(parts[0], &window) ||
      !absl::SimpleAtoi(parts[1], &draw) || draw >> TapeEntry::kDrawBits != 0) {
    return false;
  }
  *place = TapeEntry::Place(window, draw);
  return true;
}

bool ParseFault(const std::vector<absl::string_view>& words, TapeEntry* entry) {
  if (words.size() != 5) return false;
  entry->site = std::string(words[1]);
  return absl::SimpleAtoi(words[2], &entry->actor) &&
         ParsePlace(words[3], &entry->place) &&
         absl::SimpleHexAtoi(words[4], &entry->value);
}

}  // namespace

std::string Tape::ToText() const {
  std::string text = absl::StrCat(kFirstLine, "\n");
  if (!code.empty()) absl::StrAppend(&text, "code ", code, "\n");
  if (!revision.empty()) absl::StrAppend(&text, "revision ", revision, "\n");
  for (const auto& [name, value] : options) {
    absl::StrAppend(&text, "option ", name, " ", value, "\n");
  }
  for (const TapeEntry& e : entries) {
    absl::StrAppend(&text, "fault ", e.site, " ", e.actor, " ", e.window(), ".",
                    e.draw(), " 0x", absl::Hex(e.value, absl::kZeroPad16),
                    "\n");
  }
  absl::StrAppend(&text, "end ", entries.size(), "\n");
  return text;
}

absl::StatusOr<Tape> Tape::FromText(const std::string& text) {
  Tape tape;
  bool ended = false;
  int number = 0;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    ++number;
    const auto bad = [&](absl::string_view wanted) {
      return absl::InvalidArgumentError(
          absl::StrCat("line ", number, " of the tape: expected ", wanted,
                       ", found \"", line, "\""));
    };
    if (number == 1) {
      if (line == kFirstLine) continue;
      return bad(absl::StrCat("\"", kFirstLine, "\"",
                              absl::StartsWith(line, kFormat)
                                  ? " (another format: record the run anew)"
                                  : ""));
    }
    if (line.empty()) continue;
    if (ended) return bad("nothing behind the last line");
    const std::vector<absl::string_view> words = absl::StrSplit(line, ' ');
    if (words[0] == "code" && words.size() == 2 && tape.code.empty()) {
      tape.code = std::string(words[1]);
    } else if (words[0] == "revision" && words.size() == 2 &&
               tape.revision.empty()) {
      tape.revision = std::string(words[1]);
    } else if (words[0] == "option" && words.size() == 3) {
      tape.options.emplace_back(words[1], words[2]);
    } else if (words[0] == "fault") {
      TapeEntry entry;
      if (!ParseFault(words, &entry)) {
        return bad("\"fault SITE ACTOR WINDOW.DRAW 0xVALUE\"");
      }
      if (!faults::IsKnown(entry.site)) {
        return bad("the name of a fault (sim/fault_sites.h)");
      }
      tape.entries.push_back(std::move(entry));
    } else if (words[0] == "end") {
      uint64_t count = 0;
      if (words.size() != 2 || !absl::SimpleAtoi(words[1], &count) ||
          count != tape.entries.size()) {
        return bad(absl::StrCat("\"end ", tape.entries.size(), "\""));
      }
      ended = true;
    } else {
      return bad(
          "\"code\" or \"revision\", once, \"option\", \"fault\" or \"end\"");
    }
  }
  if (!ended) {
    return absl::InvalidArgumentError(
        "the tape is cut off: its last line should be \"end N\"; save it anew");
  }
  return tape;
}

}  // namespace holdfast
