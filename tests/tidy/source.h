#ifndef HOLDFAST_TESTS_TIDY_SOURCE_H_
#define HOLDFAST_TESTS_TIDY_SOURCE_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace holdfast::tidy {

// A C++ (or .proto) file as the rules look at it: three views of the same
// lines, columns kept, so that a rule about code doesn't trip over a comment
// that explains the rule.
//
//   raw      int x;  // the time is "%p"      printf("%p", x);
//   text     int x;                           printf("%p", x);
//   code     int x;                           printf("  ", x);
struct Source {
  std::vector<std::string> raw;
  std::vector<std::string> text;  // without comments
  std::vector<std::string> code;  // and without the insides of literals
};

Source ParseSource(absl::string_view contents);

// True if `line` holds `name` as a whole identifier, qualified or not: "b::c"
// is found in "a::b::c" and in "b::c::d", but "c" is not found in "cc".
bool HasName(absl::string_view line, absl::string_view name);

// True if `line` calls the C function `name`: `name(`, `::name(` or
// `std::name(`, but not a method `x.name(` nor a declaration `int name(`.
bool HasCall(absl::string_view line, absl::string_view name);

struct Variable {
  int line = 0;  // from 1
  std::string declaration;
};

// Variables that outlive a call and may change: globals, static members and
// anything but `static constexpr` in functions. Follows braces, not the whole
// grammar: it is right for code that is formatted like ours.
std::vector<Variable> FindMutableStatics(const Source& source);

}  // namespace holdfast::tidy

#endif  // HOLDFAST_TESTS_TIDY_SOURCE_H_
