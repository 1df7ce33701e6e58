#ifndef HOLDFAST_ENGINE_ENV_NETWORK_H_
#define HOLDFAST_ENGINE_ENV_NETWORK_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "engine/base/buffer.h"
#include "engine/base/inline_function.h"
#include "engine/env/completion.h"

namespace holdfast {

// Where a server listens: "HOST:PORT", host a name or an IP address (IPv6 in
// brackets). Kept as text: names are resolved at each dial.
using Address = std::string;

// What a client's certificate allows. Each includes the ones before it.
enum class ClientRole : uint8_t {
  kNone = 0,
  kRead = 1,
  kWrite = 2,
  kAdmin = 3
};

// Who is at the other end, as proved by its certificate.
struct PeerIdentity {
  enum class Kind : uint8_t { kUnproved, kServer, kClient };
  // kUnproved: plaintext; what the peer says of itself in its hello is taken
  // as it is.
  Kind kind = Kind::kUnproved;
  std::string cluster;  // the certificates' cluster name
  std::string name;     // a server's id in decimal, or a client's name
  ClientRole role = ClientRole::kNone;  // a client's
};

// A stream of bytes both ways. One Read and one Write may be outstanding
// (CHECK). Completions run on the Loop, never inside the call that started
// the operation; destroying the Connection drops them and aborts the stream.
// After an error the Connection is of no more use than to be destroyed.
class Connection {
 public:
  virtual ~Connection() = default;

  // 1 to `max` bytes as they come; an empty Buffer is the peer's proper end
  // (its Shutdown). A stream that ends without one is UNAVAILABLE. Bytes that
  // nobody reads push back on the sender.
  virtual void Read(size_t max, ResultFn<Buffer> done) = 0;

  // Takes all of `data`, in order. Completion means that the layer below took
  // it, not that the peer has it; there is no hidden queue of more than the
  // kernel's socket buffer or one TLS record's worth.
  virtual void Write(Buffers data, DoneFn done) = 0;

  // Says a proper end to the peer, behind what was written; reads go on. No
  // Write may be outstanding or follow.
  virtual void Shutdown(DoneFn done) = 0;

  // Ends the stream at once, both ways; outstanding operations complete with
  // an error (CANCELLED).
  virtual void Abort() = 0;

  // For messages to people: the peer's address, as far as it is known.
  virtual std::string Describe() const = 0;
};

// A listening port, closed by destruction; accepted Connections live on.
class Listener {
 public:
  virtual ~Listener() = default;
  // As bound: with the actual port, where 0 was asked for.
  virtual Address address() const = 0;
};

using AcceptFn = InlineFunction<void(std::unique_ptr<Connection>)>;
using ConnectDone = ResultFn<std::unique_ptr<Connection>>;

class Network {
 public:
  virtual ~Network() = default;

  // Calls `accept` on the Loop for each connection, as long as the Listener
  // lives. Fails at once: INVALID_ARGUMENT for an address that can't be
  // parsed, ALREADY_EXISTS for a port in use.
  virtual absl::StatusOr<std::unique_ptr<Listener>> Listen(
      const Address& address, AcceptFn accept) = 0;

  // Names are resolved off the Loop, anew at each dial.
  virtual std::unique_ptr<PendingOp> Dial(const Address& address,
                                          ConnectDone done) = 0;
};

// A secured stream and who is at its other end.
struct SecuredConnection {
  std::unique_ptr<Connection> connection;
  PeerIdentity peer;
};
using SecureDone = ResultFn<SecuredConnection>;

// Turns a raw stream into one whose other end is proved: TLS in production
// (transport/tls.h), nothing at all for plaintext (engine/peer/plaintext.h).
// No deadline of its own: whoever starts a handshake sets one, and ends it by
// destroying the PendingOp. Errors: UNAUTHENTICATED with the reason.
class Security {
 public:
  virtual ~Security() = default;

  // The dialling side. `preface` goes out in front of the first handshake
  // bytes, with them. `expected_server`: the id that the other end must
  // prove, in decimal; empty: any server of the cluster.
  virtual std::unique_ptr<PendingOp> Connect(std::unique_ptr<Connection> raw,
                                             Buffer preface,
                                             const std::string& expected_server,
                                             SecureDone done) = 0;

  // The accepting side, behind the preface.
  virtual std::unique_ptr<PendingOp> Accept(std::unique_ptr<Connection> raw,
                                            SecureDone done) = 0;
};

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_ENV_NETWORK_H_
