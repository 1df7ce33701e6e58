// simulate, whose runs go astray: for the test of `simulate diff`. In the n-th
// event of the world it does what HOLDFAST_ASTRAY=WAY:N says:
//
//   draw         draws once more than it should
//   event        schedules an event, which then happens
//   environment  draws once more if the environment is large, as code does that
//                depends on an address of the stack
//   violation    breaks a property
//   check        fails a CHECK
//   exit         ends the process with 7, without a word
//   late         ends it with 7 when all is told
//
// Without the variable it is simulate.

#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <string>

#include "absl/strings/numbers.h"
#include "engine/base/check.h"
#include "sim/cli/commands.h"

namespace {

using namespace holdfast;

constexpr ChanceSite kSite("testing/astray");

size_t EnvironmentSize() {
  size_t size = 0;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    size += std::strlen(*variable);
  }
  return size;
}

void GoAstray(const std::string& way, Simulation* simulation) {
  World* const world = simulation->world();
  if (way == "draw" || (way == "environment" && EnvironmentSize() > 65536)) {
    world->chance.Bits(kSite, ChanceActor{}, 1);
  } else if (way == "event") {
    world->scheduler.At(world->now(), kWorldActor, EventKind::kHarness, [] {});
  } else if (way == "violation") {
    simulation->mutable_history()->ReadFrom(Offset(3), Offset(4), "planted");
  } else if (way == "exit") {
    _exit(7);
  } else if (way == "late") {
    std::atexit([] { _exit(7); });
  }
  CHECK(way != "check");
}

void Prepare(Simulation* simulation) {
  const char* wish = std::getenv("HOLDFAST_ASTRAY");
  if (wish == nullptr) return;
  const std::string text = wish;
  const size_t colon = text.find(':');
  uint64_t n = 0;
  CHECK(colon != std::string::npos &&
        absl::SimpleAtoi(text.substr(colon + 1), &n));
  simulation->world()->scheduler.AfterEventsOf(
      kWorldActor, n,
      [simulation, way = text.substr(0, colon)] { GoAstray(way, simulation); });
}

}  // namespace

int main(int argc, char** argv) { return SimulateMain(argc, argv, Prepare); }
