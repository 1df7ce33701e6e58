#ifndef HOLDFAST_TRANSPORT_TLS_H_
#define HOLDFAST_TRANSPORT_TLS_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/env/loop.h"
#include "engine/env/network.h"

// BoringSSL's, so that its headers stay out of here.
struct ssl_ctx_st;

namespace holdfast {

// One party's certificate: PEM texts.
struct TlsCredentials {
  std::string ca_certificate;  // the only CA that is trusted
  std::string certificate;
  std::string private_key;
};

struct TlsLimits {
  // A key that has encrypted so many bytes is replaced by its successor. Far
  // below what AES-GCM allows (2^38.5: RFC 8446, section 5.5).
  uint64_t key_bytes_max = uint64_t{1} << 36;
};

// Security by mutual TLS 1.3: both ends prove a certificate of the cluster's
// own CA, whose URI name says who they are:
//   holdfast://CLUSTER/server/ID
//   holdfast://CLUSTER/client/NAME?role=admin|write|read
// Certificates' validity is checked at the Loop's WallNow, in the handshake; a
// connection outlives its certificates. No tickets, no resumption. Who refuses
// the other end's certificate says why in an alert; in TLS 1.3 the dialling
// side finds that in what it reads first. TLS is a Connection over any
// Connection: there is no OS call and no thread in here.
class TlsSecurity final : public Security {
 public:
  // INVALID_ARGUMENT with the reason when the credentials can't be used.
  static absl::StatusOr<std::unique_ptr<TlsSecurity>> Create(
      Loop* loop, const TlsCredentials& credentials,
      const TlsLimits& limits = {});
  ~TlsSecurity() override;

  // Own certificate's name.
  const PeerIdentity& self() const { return self_; }

  std::unique_ptr<PendingOp> Connect(std::unique_ptr<Connection> raw,
                                     Buffer preface,
                                     const std::string& expected_server,
                                     SecureDone done) override;
  std::unique_ptr<PendingOp> Accept(std::unique_ptr<Connection> raw,
                                    SecureDone done) override;

 private:
  TlsSecurity(Loop* loop, ssl_ctx_st* context, PeerIdentity self,
              const TlsLimits& limits);

  Loop* const loop_;
  ssl_ctx_st* const context_;  // owned
  const PeerIdentity self_;
  const TlsLimits limits_;
};

// Parses a certificate's URI name, strictly.
absl::StatusOr<PeerIdentity> ParseIdentityUri(absl::string_view uri);
std::string FormatIdentityUri(const PeerIdentity& identity);

}  // namespace holdfast

#endif  // HOLDFAST_TRANSPORT_TLS_H_
