#ifndef HOLDFAST_ENGINE_ENV_ADDRESS_H_
#define HOLDFAST_ENGINE_ENV_ADDRESS_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace holdfast {

// An Address (engine/env/network.h), taken apart.
struct HostPort {
  std::string host;  // without brackets
  uint16_t port = 0;
};
// "HOST:PORT", "[IPV6]:PORT". INVALID_ARGUMENT with what was expected.
absl::StatusOr<HostPort> ParseAddress(absl::string_view address);

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_ENV_ADDRESS_H_
