#include "sim/old_copies.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"

namespace holdfast {
namespace {

constexpr Duration kLetGoEvery = 4s;

bool Formed(const SimServer& server) {
  return server.running() && server.node().formed();
}

}  // namespace

OldCopies::OldCopies(World* world, Verdict* verdict,
                     std::vector<SimServer*> servers,
                     std::function<SimServer*()> leader,
                     std::function<void(SimServer*)> wiped, const Atlas* atlas)
    : world_(world),
      verdict_(verdict),
      servers_(std::move(servers)),
      leader_(std::move(leader)),
      wiped_(std::move(wiped)),
      atlas_(atlas) {}

bool OldCopies::Strike(SimServer* server) {
  if (!Formed(*server) || under_way()) return false;
  const Node& node = server->node();
  Copy& copy = copies_[server->machine()];
  if (copy.image == nullptr ||
      copy.incarnation != node.identity().incarnation) {
    Take(server, &copy);
    return false;
  }
  if (!MayBePutBack(server, copy)) return false;
  std::set<Incarnation>& known_by = known_by_[server->machine()];
  known_by.clear();
  for (const Member& m : node.configuration()->Everyone()) {
    known_by.insert(m.incarnation);
  }
  world_->Note(absl::StrCat("the disk of server ", server->machine(),
                            " comes back as it was in its start ", copy.boot));
  server->Crash(true);
  wiped_(server);
  server->PutBackDisk(std::move(copy.image));
  copies_.erase(server->machine());
  ++put_back_;
  server->Start();
  LetGoLater(server);
  return true;
}

void OldCopies::Take(SimServer* server, Copy* copy) {
  const RaftCore& core = *server->node().core();
  if (core.durable() < core.configuration_index()) return;  // not in the copy
  if (!atlas_->IsWhole(server)) return;
  *copy = Copy{.image = server->disk()->CopyDurable(),
               .incarnation = server->node().identity().incarnation,
               .boot = server->boots(),
               .configuration = core.shared_configuration()};
}

bool OldCopies::MayVoteAlone(const SimServer& server, const Copy& copy,
                             const Configuration& now) const {
  for (const std::vector<Member>* voters :
       {&copy.configuration->voters, &copy.configuration->old_voters}) {
    size_t others = 0;
    for (const Member& m : *voters) {
      if (m.id == server.id()) continue;
      const Member* known = now.Find(m.id);
      if (known == nullptr || known->incarnation != m.incarnation) return true;
      ++others;
    }
    if (!voters->empty() && others == 0) return true;
  }
  return false;
}

bool OldCopies::under_way() const {
  return std::any_of(servers_.begin(), servers_.end(),
                     [](SimServer* server) { return server->put_back(); });
}

SimServer* OldCopies::Machine(ServerId id) const {
  for (SimServer* server : servers_) {
    if (server->id() == id) return server;
  }
  CHECK(false);
}

bool OldCopies::MayBePutBack(SimServer* victim, const Copy& copy) const {
  const SimServer& server = *victim;
  SimServer* leader = leader_();
  if (leader == nullptr || leader == &server) return false;
  // A copy of its present start isn't noticed.
  if (server.boots() == copy.boot) return false;
  const RaftCore& core = *server.node().core();
  const Configuration& now = leader->node().core()->configuration();
  // Nor is it, or another one, about to vote.
  const bool quiet = !now.joint() && now.joining.empty() &&
                     now == core.configuration() &&
                     now == leader->node().core()->committed_configuration();
  if (!quiet || now.Find(server.id()) == nullptr ||
      MayVoteAlone(server, copy, now)) {
    return false;
  }
  size_t voters = 0;
  for (const Member& m : now.Everyone()) {
    if (m.id == server.id()) continue;
    SimServer* const other = Machine(m.id);
    if (!Formed(*other) || other->put_back() ||
        other->node().identity().incarnation != m.incarnation ||
        !HasAllOf(other, core) || !Remembers(*other, server)) {
      return false;
    }
    voters += other->node().core()->is_voter() ? 1 : 0;
  }
  return voters > now.voters.size() / 2 && atlas_->MayReplace(victim);
}

bool OldCopies::HasAllOf(SimServer* other, const RaftCore& core) const {
  const RaftCore& theirs = *other->node().core();
  return atlas_->IsWhole(other) && theirs.hard_state_durable() &&
         theirs.term() >= core.term() &&
         theirs.durable() >= core.last_index() &&
         theirs.trail().Has(core.last_index(), core.last_term());
}

bool OldCopies::Remembers(const SimServer& other,
                          const SimServer& server) const {
  const PeerBoots::Boots& boots = other.node().peer_boots()->durable();
  auto it = boots.find(server.id());
  const Identity& identity = server.node().identity();
  return it != boots.end() &&
         it->second == PeerBoot{.incarnation = identity.incarnation,
                                .count = identity.boot_count,
                                .life = identity.lives.front()};
}

void OldCopies::Check(const SimServer& server) {
  if (!server.node().formed()) return;
  const ServerId leader = server.node().core()->leader();
  if (leader == ServerId()) return;
  if (leader == server.id()) {
    return verdict_->Violate(
        absl::StrCat("server ", server.id().value(),
                     " leads with an older copy of its disk"));
  }
  const SimServer& other = *Machine(leader);
  if (!Formed(other) || !known_by_[server.machine()].contains(
                            other.node().identity().incarnation)) {
    return;
  }
  verdict_->Violate(absl::StrCat(
      "server ", server.id().value(),
      " takes part with an older copy of its disk, and its leader, server ",
      leader.value(), ", knew of a later start"));
}

void OldCopies::LetGoLater(SimServer* server) {
  world_->scheduler.At(world_->now() + kLetGoEvery, kWorldActor,
                       EventKind::kWorkload, [this, server] { LetGo(server); });
}

void OldCopies::LetGo(SimServer* server) {
  if (!server->put_back()) return;  // somebody else has replaced it
  LetGoLater(server);
  SimServer* leader = leader_();
  if (leader == nullptr || leader == server) return;
  leader->log().Leave({server->id()}, [this, server](absl::Status status) {
    if (!status.ok() && !absl::IsNotFound(status)) return;
    // Later: this is within the leader's own code.
    world_->scheduler.At(world_->now(), kWorldActor, EventKind::kWorkload,
                         [this, server] { Replace(server); });
  });
}

void OldCopies::Replace(SimServer* server) {
  if (!server->put_back()) return;
  world_->Note(absl::StrCat("server ", server->machine(),
                            ", which had an older copy, gets an empty disk"));
  ++replaced_;
  wiped_(server);
  server->BeginAnew();
}

}  // namespace holdfast
