#ifndef HOLDFAST_TRANSPORT_CERTS_H_
#define HOLDFAST_TRANSPORT_CERTS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/base/time.h"
#include "engine/base/types.h"
#include "engine/env/network.h"
#include "transport/tls.h"

namespace holdfast {

// A cluster's certificates, in one directory:
//   ca.crt ca.key                    the CA; its key stays with the operator
//   server-ID.crt server-ID.key      one server's
//   client-NAME.crt client-NAME.key  one client's
// PEM; keys are readable by their owner only (0600), Ed25519.

// Makes the directory and the CA. FAILED_PRECONDITION when there is one.
absl::Status InitCa(const std::string& directory, const std::string& cluster);

// Certificates by the directory's CA; the cluster's name is the CA's.
// `hosts`: host names and IP addresses, for the certificate's other names.
absl::Status IssueServer(const std::string& directory, ServerId id,
                         const std::vector<std::string>& hosts,
                         Duration validity);
absl::Status IssueClient(const std::string& directory, const std::string& name,
                         ClientRole role, Duration validity);

// What a party needs of it; errors name the file and what to run.
absl::StatusOr<TlsCredentials> LoadServer(const std::string& directory,
                                          ServerId id);
absl::StatusOr<TlsCredentials> LoadClient(const std::string& directory,
                                          const std::string& name);

}  // namespace holdfast

#endif  // HOLDFAST_TRANSPORT_CERTS_H_
