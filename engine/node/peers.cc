#include "engine/node/peers.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"

namespace holdfast {
namespace {

AcceptorOptions WithName(AcceptorOptions options, const std::string& name) {
  options.cluster_name = name;
  return options;
}

// Before the cluster is formed nobody knows the members' incarnations.
bool IsOther(Incarnation incarnation, const Member& member) {
  return member.incarnation != Incarnation() &&
         member.incarnation != incarnation;
}

}  // namespace

PeersOptions::PeersOptions() {
  // A peer's host may vanish without a word: either end of a stream notices.
  link.stream.silence_max = 1500ms;
  acceptor.raft_stream.silence_max = 1500ms;
  acceptor.client_stream.silence_max = 30s;
}

Peers::Peers(const Env& env, ServerId self, std::string cluster_name,
             PeersOptions options, Callbacks callbacks)
    : env_(env),
      self_(self),
      options_(std::move(options)),
      callbacks_(std::move(callbacks)),
      acceptor_(
          env.loop, env.network, env.security,
          WithName(options_.acceptor, cluster_name),
          {.judge = [this](const PeerIdentity&,
                           const Hello& hello) -> HelloVerdict {
             if (hello.kind == StreamKind::kRaft) callbacks_.on_hello(hello);
             return callbacks_.judge(hello);
           },
           .on_raft =
               [this](InboundStream inbound) {
                 OnRaftStream(std::move(inbound));
               },
           .on_client =
               [this](InboundStream inbound) {
                 callbacks_.on_client(std::move(inbound));
               },
           .log_line =
               [this](absl::string_view line) { callbacks_.log_line(line); }}) {
}

Peers::~Peers() = default;

absl::Status Peers::Listen(const Address& address) {
  return acceptor_.Listen(address);
}

void Peers::SetMembers(const std::vector<Member>& members, Index index,
                       DrawKey key) {
  key_ = key;
  members_.clear();
  std::map<ServerId, std::unique_ptr<PeerLink>> links;
  for (const Member& member : members) {
    if (member.id == self_) continue;
    members_.insert(member.id);
    std::erase_if(inbound_, [&](const auto& entry) {
      const Inbound& inbound = entry.second;
      return inbound.from == member.id && IsOther(inbound.incarnation, member);
    });
    if (auto it = links_.find(member.id); it != links_.end()) {
      PeerLink& link = *it->second;
      link.SetAddress(AddressOf(member, index));
      if (link.up() && IsOther(link.peer_hello()->incarnation, member)) {
        link.Redial();
      }
      links[member.id] = std::move(it->second);
    } else {
      links[member.id] = MakeLink(member.id, AddressOf(member, index));
    }
  }
  for (auto& [id, link] : links_) {
    if (link != nullptr && HasStreamFrom(id)) links[id] = std::move(link);
  }
  links_ = std::move(links);
}

std::unique_ptr<PeerLink> Peers::MakeLink(ServerId id, Address address) {
  PeerLink::Callbacks callbacks;
  callbacks.hello = [this] { return callbacks_.own_hello(); };
  callbacks.judge = [this](const Hello& hello) -> absl::Status {
    callbacks_.on_hello(hello);
    HelloVerdict verdict = callbacks_.judge(hello);
    if (const auto* refusal = std::get_if<Refusal>(&verdict)) {
      return ToStatus(*refusal);
    }
    return absl::OkStatus();
  };
  callbacks.on_up = [this, id](const Hello&) {
    callbacks_.log_line(absl::StrCat("event=peer_up peer=", id.value()));
    callbacks_.on_up(id);
  };
  callbacks.on_down = [this, id](const absl::Status& why) {
    callbacks_.log_line(absl::StrCat("event=peer_down peer=", id.value(),
                                     " why=\"", why.message(), "\""));
  };
  callbacks.on_refused = [this](RefusalReason reason, const absl::Status& why) {
    callbacks_.on_refused(reason, why);
  };
  callbacks.on_message = [](const MessageView&) {
    // A server sends on the streams that it dialled.
  };
  return std::make_unique<PeerLink>(env_.loop, env_.network, env_.security, id,
                                    std::move(address), key_, options_.link,
                                    std::move(callbacks));
}

void Peers::Close() {
  acceptor_.Close();
  links_.clear();
  inbound_.clear();
}

bool Peers::Send(ServerId to, const OutMessage& message) {
  auto it = links_.find(to);
  return it != links_.end() && it->second->Send(message);
}

const Hello* Peers::HelloOf(ServerId id) const {
  auto it = links_.find(id);
  if (it == links_.end() || !it->second->up()) return nullptr;
  return &*it->second->peer_hello();
}

absl::Status Peers::last_error(ServerId id) const {
  auto it = links_.find(id);
  if (it == links_.end()) return absl::NotFoundError("no link to it");
  return it->second->last_error();
}

void Peers::OnRaftStream(InboundStream inbound) {
  ServerId from = inbound.hello.server_id;
  std::vector<uint64_t> same;
  for (const auto& [key, other] : inbound_) {
    if (other.from == from) same.push_back(key);
  }
  // The oldest is surely dead, though nobody has told.
  if (same.size() >= kInboundPerServerMax) inbound_.erase(same.front());
  uint64_t key = next_inbound_++;
  Inbound& entry = inbound_[key];
  entry.from = from;
  entry.incarnation = inbound.hello.incarnation;
  entry.stream = std::move(inbound.stream);
  LinkBack(inbound.hello);
  entry.stream->Start(
      {.on_message =
           [this, from, incarnation = inbound.hello.incarnation](
               const MessageView& message) {
             callbacks_.on_message(from, incarnation, message);
           },
       .on_closed = [this, key](absl::Status) { OnInboundClosed(key); },
       .on_bytes = nullptr,
       .on_written = nullptr});
}

void Peers::DropStreams() {
  links_.clear();
  members_.clear();
  inbound_.clear();
}

const Address& Peers::AddressOf(const Member& member, Index index) const {
  const auto it = places_.find(member.id);
  const bool said_later = it != places_.end() &&
                          it->second.configuration > index &&
                          !IsOther(it->second.incarnation, member);
  return said_later ? it->second.address : member.address;
}

void Peers::LinkBack(const Hello& hello) {
  if (hello.address.empty()) return;
  auto it = links_.find(hello.server_id);
  if (it == links_.end()) {
    links_[hello.server_id] = MakeLink(hello.server_id, hello.address);
  } else if (hello.configuration_index >
             callbacks_.own_hello().configuration_index) {
    it->second->SetAddress(hello.address);
  } else {
    return;
  }
  places_[hello.server_id] = {hello.configuration_index, hello.incarnation,
                              hello.address};
}

bool Peers::HasStreamFrom(ServerId id) const {
  for (const auto& [key, inbound] : inbound_) {
    if (inbound.from == id) return true;
  }
  return false;
}

void Peers::OnInboundClosed(uint64_t key) {
  auto it = inbound_.find(key);
  CHECK(it != inbound_.end());
  ServerId from = it->second.from;
  inbound_.erase(it);
  if (HasStreamFrom(from)) return;
  if (!members_.contains(from)) links_.erase(from);
  callbacks_.on_lost(from);
}

}  // namespace holdfast
