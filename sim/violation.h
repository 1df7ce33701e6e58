#ifndef HOLDFAST_SIM_VIOLATION_H_
#define HOLDFAST_SIM_VIOLATION_H_

#include <optional>
#include <string>
#include <utility>

namespace holdfast {

// The first property that a run broke, and how.
class Verdict {
 public:
  // kStopped: nothing broke so far, when somebody ended the run early.
  enum class Kind { kOk, kCorrectness, kLiveness, kStopped };

  void Violate(std::string what) { Set(Kind::kCorrectness, std::move(what)); }
  void Stop() { Set(Kind::kStopped, "stopped early"); }
  void NotLive(std::string what) { Set(Kind::kLiveness, std::move(what)); }

  Kind kind() const { return kind_; }
  bool ok() const { return kind_ == Kind::kOk; }
  bool broken() const { return !ok() && kind_ != Kind::kStopped; }
  const std::string& what() const { return what_; }

 private:
  void Set(Kind kind, std::string what) {
    if (kind_ != Kind::kOk) return;
    kind_ = kind;
    what_ = std::move(what);
  }
  Kind kind_ = Kind::kOk;
  std::string what_;
};

}  // namespace holdfast

#endif  // HOLDFAST_SIM_VIOLATION_H_
