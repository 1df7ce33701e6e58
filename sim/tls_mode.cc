#include "sim/tls_mode.h"

#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "engine/base/check.h"
#include "sim/sim_loop.h"
#include "transport/tls.h"

namespace holdfast {
namespace {

constexpr char kCluster[] = "sim";
constexpr Duration kLongerThanARun = 24h * 365;
// So that keys are replaced all the time.
constexpr uint64_t kKeyBytesMax = 64 << 10;

TlsAuthority MakeAuthority() {
  absl::StatusOr<TlsAuthority> authority =
      TlsAuthority::Create(kCluster, TlsMode::Always());
  CHECK(authority.ok());
  return *std::move(authority);
}

}  // namespace

TlsMode::TlsMode() : authority_(MakeAuthority()) {}

MakeSecurity TlsMode::ForServer(MachineId machine) const {
  return With(authority_, ServerName(machine), Always());
}

MakeSecurity TlsMode::ForClient(MachineId machine, ClientRole role) const {
  return With(authority_, ClientName(machine, role), Always());
}

MakeSecurity TlsMode::With(const TlsAuthority& authority,
                           const PeerIdentity& name, TlsValidity validity) {
  return [authority, name, validity](Loop* loop) -> std::unique_ptr<Security> {
    const absl::StatusOr<TlsCredentials> issued =
        authority.Issue(name, {}, validity);
    CHECK(issued.ok());
    absl::StatusOr<std::unique_ptr<TlsSecurity>> security =
        TlsSecurity::Create(loop, *issued, {.key_bytes_max = kKeyBytesMax});
    CHECK(security.ok());
    return *std::move(security);
  };
}

PeerIdentity TlsMode::ServerName(MachineId machine) {
  return {.kind = PeerIdentity::Kind::kServer,
          .cluster = kCluster,
          .name = absl::StrCat(machine)};
}

PeerIdentity TlsMode::ClientName(MachineId machine, ClientRole role) {
  return {.kind = PeerIdentity::Kind::kClient,
          .cluster = kCluster,
          .name = absl::StrCat("c", machine),
          .role = role};
}

TlsValidity TlsMode::Always() {
  const WallTime begin = ClockModel().wall_at_zero;
  return {.from = begin - kLongerThanARun, .until = begin + kLongerThanARun};
}

}  // namespace holdfast
