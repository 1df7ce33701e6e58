// FindMutableStatics: a walk over a file's braces and statements.

#include <algorithm>
#include <cstddef>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "tests/tidy/source.h"

namespace holdfast::tidy {
namespace {

enum class Scope { kNamespace, kType, kFunction };

struct Statement {
  std::string text;
  int line = 0;  // where it starts
  int parens = 0;
};

// A brace that is open: what it opened, and the statement that goes on behind
// it, if it is part of one (an initialiser, an argument).
struct Open {
  Scope scope;
  bool continues;
  Statement outer;
};

// `s` without what stands in angle brackets, so that the parentheses in
// std::function<void()> are not taken for a function's.
std::string WithoutTemplateArguments(absl::string_view s) {
  if (HasName(s, "operator")) return std::string(s);  // operator<
  std::string result;
  int depth = 0;
  for (char c : s) {
    if (c == '<') ++depth;
    if (depth == 0) result.push_back(c);
    if (c == '>' && depth > 0) --depth;
  }
  return result;
}

bool HasAnyName(absl::string_view s,
                std::initializer_list<absl::string_view> names) {
  for (absl::string_view name : names) {
    if (HasName(s, name)) return true;
  }
  return false;
}

// Up to the initialiser.
std::string Head(absl::string_view statement) {
  std::string head = WithoutTemplateArguments(statement);
  if (!HasName(head, "operator")) {
    head.resize(std::min(head.find_first_of("={"), head.size()));
  }
  return std::string(absl::StripAsciiWhitespace(head));
}

bool IsConstant(absl::string_view head) {
  return HasName(head, "constexpr") ||
         (HasName(head, "const") && (!absl::StrContains(head, "*") ||
                                     absl::StrContains(head, "* const")));
}

// A declaration of a variable, rather than of anything else that may stand in
// a namespace or a class: those start with a keyword or have parentheses.
bool DeclaresVariable(absl::string_view head) {
  return absl::StrContains(head, " ") && !absl::StrContains(head, "(") &&
         !HasAnyName(head, {"using", "typedef", "class", "struct", "union",
                            "enum", "friend", "namespace", "concept",
                            "static_assert", "operator", "template"});
}

bool IsMutableStatic(Scope scope, absl::string_view statement) {
  const std::string head = Head(statement);
  switch (scope) {
    case Scope::kNamespace:
      return DeclaresVariable(head) && !IsConstant(head);
    case Scope::kType:
      return DeclaresVariable(head) && HasName(head, "static") &&
             !IsConstant(head);
    case Scope::kFunction:
      return HasName(head, "static") && !HasName(head, "constexpr");
  }
  return false;
}

class Walk {
 public:
  void Line(absl::string_view code, int line) {
    for (char c : code) Char(c, line);
    Char(' ', line);
  }

  std::vector<Variable> Found() { return std::move(found_); }

 private:
  Scope CurrentScope() const {
    return open_.empty() ? Scope::kNamespace : open_.back().scope;
  }

  void Char(char c, int line) {
    if (c == '{') {
      OpenBrace();
    } else if (c == '}') {
      CloseBrace();
    } else if (c == ';' && statement_.parens == 0) {
      Check();
      statement_ = {};
    } else if (c == ':' &&
               (statement_.text == "public" || statement_.text == "protected" ||
                statement_.text == "private")) {
      statement_ = {};
    } else {
      if (c == '(') ++statement_.parens;
      if (c == ')') --statement_.parens;
      if (statement_.text.empty()) {
        if (absl::ascii_isspace(c)) return;
        statement_.line = line;
      }
      statement_.text.push_back(c);
    }
  }

  void OpenBrace() {
    const std::string stripped = WithoutTemplateArguments(statement_.text);
    const absl::string_view head = absl::StripAsciiWhitespace(stripped);
    Open open{.scope = CurrentScope(), .continues = false, .outer = {}};
    if (statement_.parens > 0) {
      open.scope = Scope::kFunction;
      open.continues = true;
    } else if (open.scope == Scope::kFunction) {
      // `static int x{1};` and `static X x = {...};` end where they start.
      Check();
    } else if (HasName(head, "namespace") || head == "extern \" \"") {
      open.scope = Scope::kNamespace;
    } else if (head.find('=') < head.find('(') && !HasName(head, "operator")) {
      open.scope = Scope::kFunction;  // perhaps a lambda
      open.continues = true;
    } else if (absl::StrContains(head, "(")) {
      open.scope = Scope::kFunction;
    } else if (HasAnyName(head, {"class", "struct", "union", "enum"})) {
      open.scope = Scope::kType;
    } else {
      open.scope = Scope::kFunction;  // `int x{1}`, or behind `: a_{1}`
      open.continues = !head.empty();
    }
    if (open.continues) open.outer = std::move(statement_);
    open_.push_back(std::move(open));
    statement_ = {};
  }

  void CloseBrace() {
    statement_ = {};
    if (open_.empty()) return;
    if (open_.back().continues) {
      statement_ = std::move(open_.back().outer);
      absl::StrAppend(&statement_.text, "{}");
    }
    open_.pop_back();
  }

  void Check() {
    if (IsMutableStatic(CurrentScope(), statement_.text)) {
      found_.push_back(
          {.line = statement_.line, .declaration = Head(statement_.text)});
    }
  }

  std::vector<Open> open_;
  Statement statement_;
  std::vector<Variable> found_;
};

}  // namespace

std::vector<Variable> FindMutableStatics(const Source& source) {
  Walk walk;
  bool continued = false;  // a preprocessor line that ended in a backslash
  for (size_t i = 0; i < source.code.size(); ++i) {
    absl::string_view line = source.code[i];
    const bool preprocessor =
        continued ||
        absl::StartsWith(absl::StripLeadingAsciiWhitespace(line), "#");
    continued = preprocessor && absl::EndsWith(line, "\\");
    if (!preprocessor) walk.Line(line, static_cast<int>(i) + 1);
  }
  return walk.Found();
}

}  // namespace holdfast::tidy
