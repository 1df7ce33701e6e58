#ifndef HOLDFAST_ENGINE_PEER_ACCEPTOR_H_
#define HOLDFAST_ENGINE_PEER_ACCEPTOR_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/base/inline_function.h"
#include "engine/env/loop.h"
#include "engine/env/network.h"
#include "engine/peer/hello.h"
#include "engine/peer/message_stream.h"

namespace holdfast {

// A stream whose other end is proved and has said a good hello. Nothing is
// delivered before its Start.
struct InboundStream {
  PeerIdentity peer;
  Hello hello;
  std::unique_ptr<MessageStream> stream;
};
using InboundFn = InlineFunction<void(InboundStream)>;

struct AcceptorOptions {
  // This side's, to be matched with certificates and hellos.
  std::string cluster_name;
  // From a connection's first byte to the end of its hello.
  Duration deadline = 10s;
  // Connections that may be on that way at once; further ones are closed.
  size_t pending_max = 128;
  MessageStreamOptions raft_stream{.silence_max = 5s};
  MessageStreamOptions client_stream{.silence_max = 15s};
};

// What became of connections that came in.
struct AcceptorCounts {
  uint64_t accepted = 0;  // handed on
  uint64_t refused_full = 0;
  uint64_t refused_first_byte = 0;
  uint64_t refused_handshake = 0;
  uint64_t refused_hello = 0;
  uint64_t timed_out = 0;
  uint64_t lost = 0;  // the peer went away meanwhile
};

// A server's port: takes each connection from its first byte through the
// handshake and the hello, within a deadline, and hands it on. What is not
// Holdfast's is closed, counted and logged.
class Acceptor {
 public:
  struct Callbacks {
    // This server's answer to a hello that passed CheckHello.
    InlineFunction<HelloVerdict(const PeerIdentity&, const Hello&)> judge;
    InboundFn on_raft;
    InboundFn on_client;
    // Optional: one line for each connection that isn't handed on.
    InlineFunction<void(absl::string_view line)> log_line;
  };

  // `security` and `network` outlive it.
  Acceptor(Loop* loop, Network* network, Security* security,
           AcceptorOptions options, Callbacks callbacks);
  // Closes the port and all that is on its way. Also within
  // on_raft and on_client.
  ~Acceptor();

  Acceptor(const Acceptor&) = delete;
  Acceptor& operator=(const Acceptor&) = delete;

  // Once. Errors as Network::Listen.
  absl::Status Listen(const Address& address);

  // As bound. Needs to listen.
  Address address() const { return listener_->address(); }

  // Closes the port, and the connections that haven't said who they are.
  void Close();
  const AcceptorCounts& counts() const { return counts_; }
  size_t pending() const { return pending_.size(); }

 private:
  struct Pending;

  void OnAccept(std::unique_ptr<Connection> connection);
  void OnFirstByte(uint64_t id, absl::StatusOr<Buffer> byte);
  void OnSecured(uint64_t id, absl::StatusOr<SecuredConnection> secured);
  void OnHello(uint64_t id, const MessageView& message);
  void Refuse(uint64_t id, const Refusal& refusal);
  // Forgets it, with the count and the line that say why.
  void Drop(uint64_t id, uint64_t AcceptorCounts::*count,
            absl::string_view why);
  void Log(absl::string_view from, absl::string_view why);
  void HandOn(uint64_t id, Hello reply, Hello theirs);

  Loop* const loop_;
  Network* const network_;
  Security* const security_;
  const AcceptorOptions options_;
  Callbacks callbacks_;
  AcceptorCounts counts_;
  uint64_t next_id_ = 1;
  // Lines are bounded: a flood of bad connections mustn't flood the log.
  Instant log_window_start_;
  int log_window_lines_ = 0;
  uint64_t log_lines_dropped_ = 0;
  std::map<uint64_t, std::unique_ptr<Pending>> pending_;
  std::unique_ptr<Listener> listener_;
};

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_PEER_ACCEPTOR_H_
