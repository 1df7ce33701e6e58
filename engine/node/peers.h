#ifndef HOLDFAST_ENGINE_NODE_PEERS_H_
#define HOLDFAST_ENGINE_NODE_PEERS_H_

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "engine/base/callback_scope.h"
#include "engine/base/configuration.h"
#include "engine/base/types.h"
#include "engine/env/env.h"
#include "engine/env/network.h"
#include "engine/peer/acceptor.h"
#include "engine/peer/hello.h"
#include "engine/peer/message_stream.h"
#include "engine/peer/peer_link.h"

namespace holdfast {

struct PeersOptions {
  PeersOptions();

  AcceptorOptions acceptor;  // its cluster_name is filled in
  PeerLinkOptions link;
};

// A server's connections with the others: its port, a link to each of them on
// which it sends, and the streams on which they send.
class Peers {
 public:
  struct Callbacks {
    InlineFunction<Hello()> own_hello;
    // This server's answer to a hello that came in; of one that came in answer
    // to its own, whether to talk to that server.
    InlineFunction<HelloVerdict(const Hello&)> judge;
    // A server's hello, on either kind of stream, before it is judged.
    InlineFunction<void(const Hello&)> on_hello;
    // `incarnation`: by the hello of the stream that brings it, which may have
    // begun under an earlier configuration.
    InlineFunction<void(ServerId from, Incarnation incarnation,
                        const MessageView&)>
        on_message;
    // The last stream on which that server sent is gone.
    InlineFunction<void(ServerId from)> on_lost;
    // A new stream to that server: what was sent before may not have arrived.
    InlineFunction<void(ServerId to)> on_up;
    // That server refused this one's hello.
    InlineFunction<void(RefusalReason, const absl::Status&)> on_refused;
    InboundFn on_client;
    InlineFunction<void(absl::string_view line)> log_line;
  };

  Peers(const Env& env, ServerId self, std::string cluster_name,
        PeersOptions options, Callbacks callbacks);
  ~Peers();

  // Once. Errors as Network::Listen.
  absl::Status Listen(const Address& address);
  Address listen_address() const { return acceptor_.address(); }
  // Keeps links to these servers (self is left out), which are those of the
  // configuration at that index, and to those that have a stream to this one:
  // they may know of a later configuration. Nor is a member's address taken
  // from an older configuration than its own hello came with. Ends the streams
  // of a member's other incarnation; if it knows of a later configuration, it
  // is let in anew.
  void SetMembers(const std::vector<Member>& members, Index index, DrawKey key);
  // Ends all streams, as if they had been lost, but tells nobody. Not from
  // within a stream's own callback. SetMembers dials again.
  void DropStreams();
  // Closes the port and all streams.
  void Close();

  // False when it certainly wasn't sent.
  bool Send(ServerId to, const OutMessage& message);

  bool connected(ServerId id) const { return HelloOf(id) != nullptr; }
  // What it said on the stream to it; null: there is none.
  const Hello* HelloOf(ServerId id) const;
  // Why there is no stream to it; OK if there is.
  absl::Status last_error(ServerId id) const;
  const AcceptorCounts& counts() const { return acceptor_.counts(); }
  // Of each stream to a server that this one dialled: fn(id, bytes queued).
  template <typename Fn>
  void ForEachQueue(Fn fn) const {
    for (const auto& [id, link] : links_) fn(id, link->bytes_queued());
  }

 private:
  struct Inbound {
    ServerId from;
    Incarnation incarnation;
    std::unique_ptr<MessageStream> stream;
  };
  // Streams that one server may have open to this one.
  static constexpr size_t kInboundPerServerMax = 3;

  std::unique_ptr<PeerLink> MakeLink(ServerId id, Address address);
  void OnRaftStream(InboundStream inbound);
  void OnInboundClosed(uint64_t key);
  // What a server said of itself.
  struct Place {
    Index configuration;  // that it knew to be committed
    Incarnation incarnation;
    Address address;
  };
  // Where it is, by what it has said since, or by the configuration at `index`.
  const Address& AddressOf(const Member& member, Index index) const;
  bool HasStreamFrom(ServerId id) const;
  // To answer on.
  void LinkBack(const Hello& hello);

  const Env env_;
  const ServerId self_;
  const PeersOptions options_;
  Callbacks callbacks_;
  DrawKey key_;
  std::set<ServerId> members_;
  std::map<ServerId, std::unique_ptr<PeerLink>> links_;
  std::map<ServerId, Place> places_;  // of those that this one linked back to
  // By arrival. A server may have several: an old one that nobody has noticed
  // to be dead, and a new one.
  std::map<uint64_t, Inbound> inbound_;
  uint64_t next_inbound_ = 1;
  Acceptor acceptor_;
};

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_NODE_PEERS_H_
