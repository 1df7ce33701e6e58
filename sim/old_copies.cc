#include "sim/old_copies.h"

#include <algorithm>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "engine/base/check.h"
#include "engine/wal/checkpoint_file.h"
#include "engine/wal/segment.h"

namespace holdfast {
namespace {

constexpr Duration kLetGoEvery = 4s;

bool Formed(const SimServer& server) {
  return server.running() && server.node().formed();
}

// In a segment's bytes, the last entry, behind which there are at most marks,
// becomes another one, written a moment later. Null: there is none, or another
// one wouldn't fit.
Buffer WithAnotherLastEntry(const Buffer& bytes, Index* index) {
  const absl::StatusOr<SegmentHeader> header =
      DecodeSegmentHeader(bytes.view().substr(0, kSegmentHeaderBytes));
  if (!header.ok()) return Buffer();
  const SegmentScan scan = ScanSegment(bytes.view(), *header);
  std::vector<Entry> entries;
  for (const FoundFrame& frame : scan.frames) {
    if (frame.header.kind != FrameKind::kEntry) continue;
    absl::StatusOr<Entry> entry =
        DecodeEntry(bytes.SliceFrom(frame.position + kLogFrameHeaderBytes));
    CHECK(entry.ok());
    entries.push_back(*std::move(entry));
  }
  if (entries.empty()) return Buffer();
  const Entry last = std::move(entries.back());
  entries.pop_back();
  const LogPoint before =
      entries.empty() ? header->previous : PointAfter(entries.back().header);
  entries.push_back(
      SealEntry(before, last.header.term, last.header.kind, last.header.count,
                last.header.log_time + Duration(1), last.payload));
  *index = last.header.index;
  FrameWriter writer(*header);
  Buffers buffers = {EncodeSegmentHeader(*header)};
  for (const Entry& entry : entries) {
    writer.AppendEntry(entry, writer.position(), scan.commit, &buffers);
  }
  writer.AppendRestingMarks(writer.position(), scan.commit, &buffers);
  if (writer.position() > bytes.size()) return Buffer();
  Buffer forged = Buffer::Zeroes(bytes.size());
  char* to = forged.data_mutable();
  for (const Buffer& buffer : buffers) {
    to = std::copy(buffer.view().begin(), buffer.view().end(), to);
  }
  return forged;
}

// Returns the entry's index; 0: that isn't possible. Nothing else on the disk
// may know of the entry.
Index ForgeLastEntry(DiskImage* disk) {
  std::string newest;
  Index known;
  for (const auto& [name, file] : disk->names().durable()) {
    // One that was allocated, perhaps in part, hasn't begun.
    const Buffer magic = file->durable().Read(0, sizeof(uint64_t));
    if (ParseSegmentName(name).has_value() &&
        magic.view() != Buffer::Zeroes(magic.size()).view()) {
      newest = std::max(newest, name);
    }
    for (CheckpointKind kind : {CheckpointKind::kBase, CheckpointKind::kResume,
                                CheckpointKind::kWaypoint}) {
      known =
          std::max(known, ParseCheckpointName(kind, name).value_or(Index()));
    }
  }
  if (newest.empty()) return Index();
  const SparseBytes& all = disk->names().durable().at(newest)->durable();
  Index index;
  Buffer forged = WithAnotherLastEntry(all.Read(0, all.size()), &index);
  // The first one is the cluster's name.
  if (forged.empty() || index <= std::max(known, Index(1))) return Index();
  disk->Spoil({.file = newest, .bytes = std::move(forged)});
  return index;
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
  ++put_back_;
  PutBack(server, std::move(copy.image), /*forged=*/false);
  copies_.erase(server->machine());
  return true;
}

bool OldCopies::Forge(SimServer* server) {
  if (!Formed(*server) || under_way() || !MayBeForged(server)) return false;
  std::unique_ptr<DiskImage> image = server->disk()->CopyDurable();
  const Index last = server->node().core()->durable();
  const Index index = ForgeLastEntry(image.get());
  if (index == Index() || index != last) return false;
  forged_index_ = index;
  world_->Note(absl::StrCat("on the disk of server ", server->machine(),
                            ", entry ", index.value(), " becomes another one"));
  ++forged_;
  PutBack(server, std::move(image), /*forged=*/true);
  return true;
}

bool OldCopies::Wipe(SimServer* server) {
  if (!Formed(*server) || under_way()) return false;
  // Alone, or with others that are gone, it would form another cluster.
  const std::vector<Member>& first = server->first_members();
  const bool all_know =
      first.size() > 1 && absl::c_all_of(first, [&](const Member& m) {
        return Formed(*Machine(m.id));
      });
  if (!all_know ||
      !CanDoWithout(server, [](const SimServer&) { return true; })) {
    return false;
  }
  world_->Note(absl::StrCat("the disk of server ", server->machine(),
                            " is wiped, and it starts again"));
  ++wiped_count_;
  PutBack(server, nullptr, /*forged=*/false);
  return true;
}

void OldCopies::PutBack(SimServer* server, std::unique_ptr<DiskImage> image,
                        bool forged) {
  empty_.erase(server->machine());
  if (image == nullptr) empty_.insert(server->machine());
  server->Crash(true);
  wiped_(server);
  server->PutBackDisk(std::move(image), forged);
  server->Start();
  LetGoLater(server);
}

bool OldCopies::MayBeForged(SimServer* victim) const {
  const RaftCore& core = *victim->node().core();
  // What it has promised is in the copy.
  return core.hard_state_durable() && core.durable() == core.last_index() &&
         atlas_->IsWhole(victim) &&
         CanDoWithout(victim, [](const SimServer&) { return true; });
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

uint64_t OldCopies::memory_bytes() const {
  uint64_t bytes = 0;
  for (const auto& [machine, copy] : copies_) {
    if (copy.image != nullptr) bytes += copy.image->names().memory_bytes();
  }
  return bytes;
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
  // A copy of its present start isn't noticed.
  if (leader == nullptr || leader == &server || server.boots() == copy.boot) {
    return false;
  }
  return !MayVoteAlone(server, copy, leader->node().core()->configuration()) &&
         CanDoWithout(victim, [this, &server](const SimServer& other) {
           return Remembers(other, server);
         });
}

bool OldCopies::CanDoWithout(
    SimServer* victim, absl::FunctionRef<bool(const SimServer&)> knows) const {
  SimServer* leader = leader_();
  if (leader == nullptr) return false;
  const RaftCore& core = *victim->node().core();
  const Configuration& now = leader->node().core()->configuration();
  // Nobody is about to become a voter, or to be none any more.
  const bool quiet = !now.joint() && now.joining.empty() &&
                     now == core.configuration() &&
                     now == leader->node().core()->committed_configuration();
  if (!quiet || now.Find(victim->id()) == nullptr) return false;
  size_t voters = 0;
  for (const Member& m : now.Everyone()) {
    if (m.id == victim->id()) continue;
    SimServer* const other = Machine(m.id);
    if (!Formed(*other) || other->put_back() ||
        other->node().identity().incarnation != m.incarnation ||
        !HasAllOf(other, core) || !knows(*other)) {
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

void OldCopies::Check(SimServer* put_back) {
  const SimServer& server = *put_back;
  if (!server.node().formed()) return;
  if (empty_.contains(server.machine())) {
    // Its own log may not say yet who it is.
    SimServer* const leads = leader_();
    if (leads == nullptr) return;
    const Member* member = leads->node().configuration()->Find(server.id());
    if (member != nullptr &&
        member->incarnation == server.node().identity().incarnation) {
      // It had left, though nobody could say so, and was joined anew.
      empty_.erase(server.machine());
      return put_back->Healed();
    }
    return verdict_->Violate(
        absl::StrCat("server ", server.id().value(),
                     " takes part under its id, though its disk was wiped"));
  }
  const ServerId leader = server.node().core()->leader();
  if (leader == ServerId()) return;
  if (leader == server.id()) {
    return verdict_->Violate(
        absl::StrCat("server ", server.id().value(), " leads with ",
                     server.forged() ? "an entry that nobody else has"
                                     : "an older copy of its disk"));
  }
  if (server.forged()) {
    if (server.node().base().index >= forged_index_) put_back->Healed();
    return;
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
  // It hasn't been told yet.
  if (server->forged() && server->failure().ok()) return;
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
                            ", whose disk was another one, gets an empty one"));
  ++replaced_;
  empty_.erase(server->machine());
  wiped_(server);
  server->BeginAnew();
}

}  // namespace holdfast
