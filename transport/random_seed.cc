#include "transport/random_seed.h"

#include <sys/random.h>

#include "engine/base/check.h"

namespace holdfast {

uint64_t RandomSeed() {
  uint64_t seed;
  CHECK_EQ(getrandom(&seed, sizeof(seed), 0), ssize_t{sizeof(seed)});
  return seed;
}

}  // namespace holdfast
