#include "engine/base/check.h"

#include <cstdio>
#include <cstdlib>

namespace holdfast::internal {

void CheckFailed(const char* file, int line, const char* what) {
  std::fprintf(stderr, "%s:%d: CHECK failed: %s\n", file, line, what);
  std::fflush(stderr);
  std::abort();
}

void CheckFailed(const char* file, int line, const char* what,
                 const std::string& left, const std::string& right) {
  std::fprintf(stderr, "%s:%d: CHECK failed: %s (%s vs. %s)\n", file, line,
               what, left.c_str(), right.c_str());
  std::fflush(stderr);
  std::abort();
}

std::string CheckOperand(long long value) { return std::to_string(value); }
std::string CheckOperand(unsigned long long value) {
  return std::to_string(value);
}
std::string CheckOperand(const std::string& value) {
  return "\"" + value + "\"";
}

}  // namespace holdfast::internal
