#include "engine/env/address.h"

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace holdfast {

absl::StatusOr<HostPort> ParseAddress(absl::string_view address) {
  absl::Status bad = absl::InvalidArgumentError(absl::StrCat(
      "expected HOST:PORT or [IPV6]:PORT, found \"", address, "\""));
  size_t colon = address.rfind(':');
  if (colon == absl::string_view::npos || colon == 0) return bad;
  absl::string_view host = address.substr(0, colon);
  uint32_t port;
  if (!absl::SimpleAtoi(address.substr(colon + 1), &port) || port > 65535) {
    return bad;
  }
  if (!std::all_of(address.begin(), address.end(),
                   [](unsigned char c) { return absl::ascii_isgraph(c); })) {
    return bad;
  }
  if (host.front() == '[') {
    if (host.size() < 3 || host.back() != ']') return bad;
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != absl::string_view::npos) {
    return bad;
  }
  return HostPort{std::string(host), static_cast<uint16_t>(port)};
}

}  // namespace holdfast
