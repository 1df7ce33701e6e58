#include "tests/tidy/source.h"

#include <cctype>
#include <cstddef>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace holdfast::tidy {
namespace {

bool IsNameChar(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_';
}

// Whether the quote at `at` only groups the digits of a number (1'000).
bool IsDigitSeparator(absl::string_view s, size_t at) {
  size_t begin = at;
  while (begin > 0 && (IsNameChar(s[begin - 1]) || s[begin - 1] == '\'')) {
    --begin;
  }
  return begin < at && absl::ascii_isdigit(s[begin]);
}

// Where the literal or comment that starts at `at` ends (one past it), or `at`
// if none starts there.
size_t EndOfComment(absl::string_view s, size_t at) {
  absl::string_view rest = s.substr(at);
  size_t end = at;
  if (absl::StartsWith(rest, "//")) {
    end = s.find('\n', at);
  } else if (absl::StartsWith(rest, "/*")) {
    end = s.find("*/", at + 2);
    if (end != absl::string_view::npos) end += 2;
  }
  return end == absl::string_view::npos ? s.size() : end;
}

size_t EndOfLiteral(absl::string_view s, size_t at) {
  if (s[at] == '"' && at > 0 && s[at - 1] == 'R') {
    size_t open = s.find('(', at);
    if (open == absl::string_view::npos) return s.size();
    std::string close =
        absl::StrCat(")", s.substr(at + 1, open - at - 1), "\"");
    size_t end = s.find(close, open);
    return end == absl::string_view::npos ? s.size() : end + close.size();
  }
  if (s[at] != '"' && (s[at] != '\'' || IsDigitSeparator(s, at))) return at;
  for (size_t i = at + 1; i < s.size(); ++i) {
    if (s[i] == '\\') {
      ++i;
    } else if (s[i] == s[at]) {
      return i + 1;
    } else if (s[i] == '\n') {
      return i;
    }
  }
  return s.size();
}

void Blank(std::string& s, size_t begin, size_t end) {
  for (size_t i = begin; i < end; ++i) {
    if (s[i] != '\n') s[i] = ' ';
  }
}

std::vector<std::string> Lines(absl::string_view s) {
  return absl::StrSplit(absl::StripSuffix(s, "\n"), '\n');
}

}  // namespace

Source ParseSource(absl::string_view contents) {
  std::string text(contents);
  std::string code(contents);
  for (size_t at = 0; at < contents.size();) {
    if (size_t end = EndOfComment(contents, at); end > at) {
      Blank(text, at, end);
      Blank(code, at, end);
      at = end;
    } else if (end = EndOfLiteral(contents, at); end > at) {
      Blank(code, at + 1, end - 1);
      at = end;
    } else {
      ++at;
    }
  }
  return {.raw = Lines(contents), .text = Lines(text), .code = Lines(code)};
}

bool HasName(absl::string_view line, absl::string_view name) {
  for (size_t at = line.find(name); at != absl::string_view::npos;
       at = line.find(name, at + 1)) {
    size_t end = at + name.size();
    if ((at == 0 || !IsNameChar(line[at - 1])) &&
        (end == line.size() || !IsNameChar(line[end]))) {
      return true;
    }
  }
  return false;
}

bool HasCall(absl::string_view line, absl::string_view name) {
  const std::string call = absl::StrCat(name, "(");
  for (size_t at = line.find(call); at != absl::string_view::npos;
       at = line.find(call, at + 1)) {
    absl::string_view before = line.substr(0, at);
    if (!before.empty() && IsNameChar(before.back())) continue;
    if (absl::ConsumeSuffix(&before, "::")) {
      // Some::time() is ours; std::time() and ::time() are not.
      if (!before.empty() && IsNameChar(before.back()) &&
          !absl::EndsWith(before, "std")) {
        continue;
      }
      return true;
    }
    before = absl::StripTrailingAsciiWhitespace(before);
    if (before.empty() || absl::EndsWith(before, "return")) return true;
    // A method call, or the end of a return type.
    const char last = before.back();
    if (IsNameChar(last) || absl::StrContains(".>&*", last)) continue;
    return true;
  }
  return false;
}

}  // namespace holdfast::tidy
