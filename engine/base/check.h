#ifndef HOLDFAST_ENGINE_BASE_CHECK_H_
#define HOLDFAST_ENGINE_BASE_CHECK_H_

// Assertions that stay on in every build. A broken invariant in a replicated
// log must stop the process before it can acknowledge or overwrite anything:
// a server that stops is what Raft is made to survive.
//
//   CHECK(index > 0);
//   CHECK_EQ(entry.term, trail.TermAt(entry.index));
//
// A failing check prints file, line and the expression (with both operands
// for the comparing forms) to stderr and aborts.

#include <string>
#include <type_traits>

namespace holdfast::internal {

[[noreturn]] void CheckFailed(const char* file, int line, const char* what);
[[noreturn]] void CheckFailed(const char* file, int line, const char* what,
                              const std::string& left,
                              const std::string& right);

std::string CheckOperand(long long value);
std::string CheckOperand(unsigned long long value);
std::string CheckOperand(const std::string& value);

template <typename T>
std::string DescribeOperand(const T& value) {
  if constexpr (requires { value.value(); } && !std::is_arithmetic_v<T>) {
    return DescribeOperand(value.value());
  } else if constexpr (std::is_enum_v<T>) {
    return CheckOperand(static_cast<long long>(value));
  } else if constexpr (std::is_same_v<T, bool>) {
    return value ? "true" : "false";
  } else if constexpr (std::is_integral_v<T> && std::is_signed_v<T>) {
    return CheckOperand(static_cast<long long>(value));
  } else if constexpr (std::is_integral_v<T>) {
    return CheckOperand(static_cast<unsigned long long>(value));
  } else if constexpr (std::is_convertible_v<T, std::string>) {
    return CheckOperand(std::string(value));
  } else {
    return "?";
  }
}

}  // namespace holdfast::internal

#define CHECK(condition)                             \
  (__builtin_expect(static_cast<bool>(condition), 1) \
       ? static_cast<void>(0)                        \
       : ::holdfast::internal::CheckFailed(__FILE__, __LINE__, #condition))

#define HOLDFAST_CHECK_OP(left, op, right)                     \
  do {                                                         \
    const auto& check_left = (left);                           \
    const auto& check_right = (right);                         \
    if (__builtin_expect(!(check_left op check_right), 0)) {   \
      ::holdfast::internal::CheckFailed(                       \
          __FILE__, __LINE__, #left " " #op " " #right,        \
          ::holdfast::internal::DescribeOperand(check_left),   \
          ::holdfast::internal::DescribeOperand(check_right)); \
    }                                                          \
  } while (false)

#define CHECK_EQ(left, right) HOLDFAST_CHECK_OP(left, ==, right)
#define CHECK_NE(left, right) HOLDFAST_CHECK_OP(left, !=, right)
#define CHECK_LT(left, right) HOLDFAST_CHECK_OP(left, <, right)
#define CHECK_LE(left, right) HOLDFAST_CHECK_OP(left, <=, right)
#define CHECK_GT(left, right) HOLDFAST_CHECK_OP(left, >, right)
#define CHECK_GE(left, right) HOLDFAST_CHECK_OP(left, >=, right)

#endif  // HOLDFAST_ENGINE_BASE_CHECK_H_
