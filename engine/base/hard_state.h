#ifndef HOLDFAST_ENGINE_BASE_HARD_STATE_H_
#define HOLDFAST_ENGINE_BASE_HARD_STATE_H_

#include "engine/base/types.h"

namespace holdfast {

// What a server must never forget besides its log (Raft, figure 2: persistent
// state): the latest term it has seen, and whom it voted for in it.
struct HardState {
  Term term;
  ServerId vote;  // 0: nobody

  bool operator==(const HardState&) const = default;
};

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_BASE_HARD_STATE_H_
