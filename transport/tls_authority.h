#ifndef HOLDFAST_TRANSPORT_TLS_AUTHORITY_H_
#define HOLDFAST_TRANSPORT_TLS_AUTHORITY_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/base/time.h"
#include "engine/env/network.h"
#include "transport/tls.h"

namespace holdfast {

// When a certificate is good, to the second: from `from` on, and before
// `until`. (RFC 5280 would include `until`; BoringSSL doesn't.)
struct TlsValidity {
  WallTime from;
  WallTime until;
};

// A CA, in memory: makes certificates that TlsSecurity trusts. Ed25519, with a
// random serial number. Lengths follow from names, hosts and times before
// 2050 alone, not from keys or numbers. There is no OS call in here;
// transport/certs.h keeps one in files.
class TlsAuthority {
 public:
  // A new one, with a new key. INVALID_ARGUMENT for a cluster's name that can't
  // be a part of a URI name.
  static absl::StatusOr<TlsAuthority> Create(const std::string& cluster,
                                             TlsValidity validity);
  // One that was made before. INVALID_ARGUMENT if the PEM texts aren't a
  // certificate that names a cluster, and its Ed25519 key.
  static absl::StatusOr<TlsAuthority> Load(std::string certificate,
                                           std::string private_key);

  const std::string& cluster() const { return cluster_; }
  // PEM texts.
  const std::string& certificate() const { return certificate_; }
  const std::string& private_key() const { return private_key_; }

  // A new key and its certificate. The name's cluster is taken as given.
  // `hosts`: host names and IP addresses, for the certificate's other names.
  // INVALID_ARGUMENT for what can't be in a certificate.
  absl::StatusOr<TlsCredentials> Issue(const PeerIdentity& name,
                                       const std::vector<std::string>& hosts,
                                       TlsValidity validity) const;

 private:
  TlsAuthority(std::string cluster, std::string certificate,
               std::string private_key);

  std::string cluster_;
  std::string certificate_;
  std::string private_key_;
};

}  // namespace holdfast

#endif  // HOLDFAST_TRANSPORT_TLS_AUTHORITY_H_
