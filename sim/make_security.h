#ifndef HOLDFAST_SIM_MAKE_SECURITY_H_
#define HOLDFAST_SIM_MAKE_SECURITY_H_

#include <functional>
#include <memory>

#include "engine/env/loop.h"
#include "engine/env/network.h"
#include "engine/peer/plaintext.h"

namespace holdfast {

// Makes what secures the streams of one life of a process, over its Loop,
// which outlives it.
using MakeSecurity = std::function<std::unique_ptr<Security>(Loop*)>;

inline std::unique_ptr<Security> MakePlaintext(Loop* loop) {
  return std::make_unique<Plaintext>(loop);
}

}  // namespace holdfast

#endif  // HOLDFAST_SIM_MAKE_SECURITY_H_
