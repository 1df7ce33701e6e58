#ifndef HOLDFAST_SIM_MARGIN_H_
#define HOLDFAST_SIM_MARGIN_H_

#include <cstdint>

#include "engine/base/time.h"

namespace holdfast {

// How long something took, and at most might have; zero: it wasn't looked at.
struct Margin {
  Duration took = Duration::zero();
  Duration most = Duration::zero();
  uint64_t percent() const {
    return most == Duration::zero() ? 0
                                    : static_cast<uint64_t>(100 * took / most);
  }
};

}  // namespace holdfast

#endif  // HOLDFAST_SIM_MARGIN_H_
