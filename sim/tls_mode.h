#ifndef HOLDFAST_SIM_TLS_MODE_H_
#define HOLDFAST_SIM_TLS_MODE_H_

#include "engine/env/network.h"
#include "sim/make_security.h"
#include "sim/types.h"
#include "transport/tls_authority.h"

namespace holdfast {

// The certificates of a simulated cluster: with them, its processes have the
// product's TLS over their simulated streams. But for how records look in a
// trace (sim/report), all that the simulator knows of TLS is here.
//
// Keys, serial numbers and nonces are BoringSSL's own and differ from run to
// run. Lengths don't, so nothing else of a run differs (docs/SIMULATION.md,
// "TLS").
class TlsMode {
 public:
  // A new CA, good for longer than any run, as are its certificates.
  TlsMode();

  const TlsAuthority& authority() const { return authority_; }

  // Each life gets a new key, and a certificate that says who it is.
  MakeSecurity ForServer(MachineId machine) const;
  MakeSecurity ForClient(MachineId machine,
                         ClientRole role = ClientRole::kWrite) const;

  // For scenarios: certificates of any CA, in any name, for any time.
  static MakeSecurity With(const TlsAuthority& authority,
                           const PeerIdentity& name, TlsValidity validity);
  static PeerIdentity ServerName(MachineId machine);
  static PeerIdentity ClientName(MachineId machine, ClientRole role);
  // From before a run's beginning until long after its end.
  static TlsValidity Always();

 private:
  const TlsAuthority authority_;
};

}  // namespace holdfast

#endif  // HOLDFAST_SIM_TLS_MODE_H_
