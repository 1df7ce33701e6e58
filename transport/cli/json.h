#ifndef HOLDFAST_TRANSPORT_CLI_JSON_H_
#define HOLDFAST_TRANSPORT_CLI_JSON_H_

#include <string>

#include "absl/strings/string_view.h"

namespace holdfast {

// A JSON string, quoted and escaped. Bytes that aren't UTF-8 must not get
// here; payloads go as base64.
std::string JsonString(absl::string_view text);

}  // namespace holdfast

#endif  // HOLDFAST_TRANSPORT_CLI_JSON_H_
