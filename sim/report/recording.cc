#include "sim/report/recording.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"

namespace holdfast {

const char* ToString(ServerLooks looks) {
  switch (looks) {
    case ServerLooks::kDown:
      return "down";
    case ServerLooks::kForming:
      return "not formed";
    case ServerLooks::kFollower:
      return "follower";
    case ServerLooks::kLearner:
      return "learner";
    case ServerLooks::kPreCandidate:
      return "pre-candidate";
    case ServerLooks::kCandidate:
      return "candidate";
    case ServerLooks::kLeader:
      return "leader";
  }
  return "?";
}

bool Recording::State::SameAs(const State& other) const {
  return machine == other.machine && looks == other.looks &&
         term == other.term && vote == other.vote && leader == other.leader &&
         commit == other.commit && last == other.last &&
         durable == other.durable;
}

std::vector<MachineId> MachinesIn(absl::string_view text) {
  std::vector<MachineId> machines;
  const auto find = [&](absl::string_view word, MachineId first) {
    for (size_t at = text.find(word); at != absl::string_view::npos;
         at = text.find(word, at + word.size())) {
      size_t end = at + word.size();
      while (end < text.size() && absl::ascii_isdigit(text[end])) ++end;
      MachineId number = 0;
      if (!absl::SimpleAtoi(
              text.substr(at + word.size(), end - at - word.size()), &number) ||
          number == 0) {
        continue;
      }
      const MachineId machine = first + number - 1;
      if (std::find(machines.begin(), machines.end(), machine) ==
          machines.end()) {
        machines.push_back(machine);
      }
    }
  };
  find("server ", 1);
  find("client ", kFirstClient);
  return machines;
}

}  // namespace holdfast
