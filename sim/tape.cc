#include "sim/tape.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace holdfast {
namespace {

constexpr char kFirstLine[] = "holdfast-tape 1";

bool ParseActor(absl::string_view text, ChanceActor* actor) {
  const std::vector<absl::string_view> parts = absl::StrSplit(text, '.');
  return parts.size() == 2 && absl::SimpleAtoi(parts[0], &actor->id) &&
         absl::SimpleAtoi(parts[1], &actor->boot);
}

bool ParseFault(const std::vector<absl::string_view>& words, TapeEntry* entry) {
  if (words.size() != 5) return false;
  entry->site = std::string(words[1]);
  return ParseActor(words[2], &entry->actor) &&
         absl::SimpleAtoi(words[3], &entry->ordinal) &&
         absl::SimpleHexAtoi(words[4], &entry->value);
}

}  // namespace

std::string Tape::ToText() const {
  std::string text = absl::StrCat(kFirstLine, "\n");
  for (const auto& [name, value] : options) {
    absl::StrAppend(&text, "option ", name, " ", value, "\n");
  }
  for (const TapeEntry& e : entries) {
    absl::StrAppend(&text, "fault ", e.site, " ", e.actor.id, ".", e.actor.boot,
                    " ", e.ordinal, " 0x", absl::Hex(e.value, absl::kZeroPad16),
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
      if (line != kFirstLine) return bad(absl::StrCat("\"", kFirstLine, "\""));
      continue;
    }
    if (line.empty()) continue;
    if (ended) return bad("nothing behind the last line");
    const std::vector<absl::string_view> words = absl::StrSplit(line, ' ');
    if (words[0] == "option" && words.size() == 3) {
      tape.options.emplace_back(words[1], words[2]);
    } else if (words[0] == "fault") {
      TapeEntry entry;
      if (!ParseFault(words, &entry)) {
        return bad("\"fault SITE ACTOR.BOOT ORDINAL 0xVALUE\"");
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
      return bad("\"option\", \"fault\" or \"end\"");
    }
  }
  if (!ended) {
    return absl::InvalidArgumentError(
        "the tape is cut off: its last line should be \"end N\"; save it anew");
  }
  return tape;
}

}  // namespace holdfast
