#ifndef HOLDFAST_TRANSPORT_RANDOM_SEED_H_
#define HOLDFAST_TRANSPORT_RANDOM_SEED_H_

#include <cstdint>

namespace holdfast {

// 64 bits from the system, for the seed of an Env.
uint64_t RandomSeed();

}  // namespace holdfast

#endif  // HOLDFAST_TRANSPORT_RANDOM_SEED_H_
