#ifndef HOLDFAST_ENGINE_PEER_DIALER_H_
#define HOLDFAST_ENGINE_PEER_DIALER_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "engine/env/completion.h"
#include "engine/env/loop.h"
#include "engine/env/network.h"
#include "engine/peer/hello.h"
#include "engine/peer/message_stream.h"

namespace holdfast {

// A stream that was dialled, proved and greeted. Nothing is delivered before
// its Start.
struct OutboundStream {
  PeerIdentity peer;
  Hello hello;  // the acceptor's
  std::unique_ptr<MessageStream> stream;
};

struct DialOptions {
  Address address;
  // What this side says; its kind is the connection's first byte.
  Hello hello;
  // The server that must be there; 0: any server of the cluster.
  ServerId expected_server;
  // For all of it: name, connection, handshake, hello.
  Duration deadline = 1s;
  MessageStreamOptions stream;
};

// Dials a server's port: connection, first byte, handshake, hello. Errors say
// which step failed: UNAVAILABLE, DEADLINE_EXCEEDED, UNAUTHENTICATED, or the
// server's refusal (FAILED_PRECONDITION). Destroying the PendingOp ends it.
// `done` may destroy the PendingOp.
std::unique_ptr<PendingOp> DialServer(Loop* loop, Network* network,
                                      Security* security, DialOptions options,
                                      ResultFn<OutboundStream> done);

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_PEER_DIALER_H_
