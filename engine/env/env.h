#ifndef HOLDFAST_ENGINE_ENV_ENV_H_
#define HOLDFAST_ENGINE_ENV_ENV_H_

#include <cstdint>

#include "absl/strings/string_view.h"
#include "engine/base/inline_function.h"

namespace holdfast {

class Loop;
class Disk;
class Network;
class Security;

// One line for the operator, without time or newline: "event=role_changed
// role=leader term=3". Called on the Loop; must not block it.
using LogLineFn = InlineFunction<void(absl::string_view line)>;

// All that an engine sees of the world. Everything in it outlives the engine.
struct Env {
  Loop* loop = nullptr;
  Disk* disk = nullptr;
  Network* network = nullptr;
  Security* security = nullptr;
  // The seed of this process's keyed draws: unpredictable in production,
  // given in simulation.
  uint64_t seed = 0;
  // Null: no log lines.
  LogLineFn* log_line = nullptr;
};

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_ENV_ENV_H_
