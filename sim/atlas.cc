#include "sim/atlas.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/algorithm/container.h"
#include "engine/node/identity.h"
#include "engine/raft/quorum.h"
#include "engine/wal/checkpoint_file.h"
#include "engine/wal/hard_state_file.h"
#include "engine/wal/segment.h"

namespace holdfast {
namespace {

using Image = std::shared_ptr<FileImage>;

Buffer Bytes(const FileImage& file) {
  return file.durable().Read(0, file.durable().size());
}

std::optional<size_t> HardStateCopyOf(const std::string& name) {
  for (size_t which : {0, 1}) {
    if (name == HardStateCopyName(which)) return which;
  }
  return std::nullopt;
}

absl::StatusOr<HardStateCopy> ReadHardState(const FileImage& file) {
  return DecodeHardStateCopy(file.durable().Read(0, kHardStateBytes).view());
}

bool MayDamageHardState(const SimServer& server, size_t which,
                        const NameTable& disk, const FileImage& after) {
  if (server.running() && (which != 0 || !server.node().formed())) return false;
  const std::string name = HardStateCopyName(which);
  const std::string other = HardStateCopyName(1 - which);
  const auto it = disk.durable().find(other);
  if (it == disk.durable().end() ||
      !server.disk()->AtRest(other, 0, UINT64_MAX)) {
    return false;
  }
  const absl::StatusOr<HardStateCopy> kept = ReadHardState(*it->second);
  if (!kept.ok()) return false;
  const absl::StatusOr<HardStateCopy> then = ReadHardState(after);
  if (then.ok() && then->sequence >= kept->sequence) return false;
  const absl::StatusOr<HardStateCopy> before =
      ReadHardState(*disk.durable().at(name));
  return !before.ok() || kept->sequence >= before->sequence;
}

absl::StatusOr<Identity> ReadIdentity(const FileImage& file) {
  const SparseBytes& bytes = file.durable();
  return DecodeIdentity(bytes.Read(0, bytes.size()).view());
}

bool MayDamageIdentity(const SimServer& server, const std::string& name,
                       const FileImage& after) {
  const bool is_copy = name == IdentityFile::kCopyName;
  const std::string other =
      is_copy ? IdentityFile::kName : IdentityFile::kCopyName;
  const NameTable::Files& files = server.disk()->names().durable();
  const auto it = files.find(other);
  if (ReadIdentity(after).ok() || it == files.end() ||
      !server.disk()->AtRest(other, 0, UINT64_MAX)) {
    return false;
  }
  const absl::StatusOr<Identity> kept = ReadIdentity(*it->second);
  if (!kept.ok()) return false;
  const absl::StatusOr<Identity> before = ReadIdentity(*files.at(name));
  return !before.ok() || *before == *kept;
}

Image After(const Damage& damage, const FileImage& file) {
  Image after = file.CopyDurable();
  if (damage.kind == DamageKind::kTruncate ||
      damage.kind == DamageKind::kVanish) {
    after->CutShort(damage.from);
  } else {
    after->Overwrite(damage.from, damage.bytes);
  }
  return after;
}

bool IsShrinking(const NameTable& disk) {
  return absl::c_any_of(disk.durable(), [&disk](const auto& file) {
    return ParseSegmentName(file.first).has_value() &&
           disk.Find(file.first) != file.second;
  });
}

bool Stands(const std::vector<Member>& members, const Member& wanted) {
  return absl::c_any_of(members, [&wanted](const Member& m) {
    return m.id == wanted.id && m.incarnation == wanted.incarnation;
  });
}

}  // namespace

std::optional<Index> CheckpointIndexOf(const std::string& name) {
  for (CheckpointKind kind : {CheckpointKind::kBase, CheckpointKind::kResume,
                              CheckpointKind::kWaypoint}) {
    std::optional<Index> index = ParseCheckpointName(kind, name);
    if (index.has_value()) return index;
  }
  return std::nullopt;
}

bool IsCheckpoint(const FileImage& file, Index index) {
  const absl::StatusOr<Checkpoint> found = DecodeCheckpoint(Bytes(file));
  return found.ok() && found->point.index == index;
}

bool Atlas::MayDamage(SimServer* server, const Damage& damage) const {
  const DiskImage& disk = *server->disk();
  // Whoever helps might help with what was forged.
  const bool anybody_forged =
      absl::c_any_of(servers_, [](const SimServer* s) { return s->forged(); });
  const bool vanishes = damage.kind == DamageKind::kVanish;
  if (server->put_back() || anybody_forged || (vanishes && server->running()) ||
      !disk.AtRest(damage.file, damage.from, damage.end())) {
    return false;
  }
  const NameTable::Files& files = disk.names().durable();
  const Image after = After(damage, *files.at(damage.file));
  if (const auto which = HardStateCopyOf(damage.file); which.has_value()) {
    return MayDamageHardState(*server, *which, disk.names(), *after);
  }
  if (IdentityFile::IsName(damage.file)) {
    return MayDamageIdentity(*server, damage.file, *after);
  }
  std::vector<View> views = Look();
  const std::vector<Need> before = Unmet(views);
  View& view = *absl::c_find_if(
      views, [server](const View& v) { return v.server == server; });
  if (const auto id = ParseSegmentName(damage.file); id.has_value()) {
    if (!view.log->Contains(*id)) return false;
    auto log = std::make_shared<DurableLog>(view.log->With(*id, after));
    // What the device refuses to read there may have been more than marks, to
    // a start; and there may be no room for what follows where a file ends.
    const bool of_marks = damage.kind != DamageKind::kRefused &&
                          damage.kind != DamageKind::kTruncate &&
                          log->ShowsEnd(*id, damage.from);
    if (!log->Shows(*id, damage.end()) && !of_marks &&
        !(beyond_model_ && log->IsNewest(*id))) {
      return false;
    }
    view.log = std::move(log);
  } else if (const auto index = CheckpointIndexOf(damage.file);
             index.has_value()) {
    // Bytes of another checkpoint of the same entry might.
    if (IsCheckpoint(*after, *index)) return false;
    NameTable::Files with = files;
    if (vanishes) {
      with.erase(damage.file);
    } else {
      with[damage.file] = after;
    }
    const Checkpoints left = CheckpointsOf(with);
    if (left.newest < view.checkpoints.newest && !CanDoWith(left, view)) {
      return false;
    }
    view.checkpoints = left;
  } else {
    return false;
  }
  const std::vector<Need> then = Unmet(views);
  return std::includes(before.begin(), before.end(), then.begin(), then.end());
}

bool Atlas::MayReplace(SimServer* server) const {
  return CanDoWithout({server});
}

bool Atlas::MayLeave(const std::vector<SimServer*>& gone) const {
  if (!AnyDamage()) return true;
  // What only the last voter has would be committed by it.
  for (const auto& c : checker_->ConfigurationsInForce()) {
    const auto left = absl::c_count_if(c->voters, [&](const Member& m) {
      return !absl::c_linear_search(gone, Find(m.id));
    });
    if (left < 2) return false;
  }
  return CanDoWithout(gone);
}

bool Atlas::MayBeDown(const std::vector<SimServer*>& down) const {
  const std::vector<Need> unmet = Unmet(Without(Look(), down));
  return AreQuorum([&](const SimServer& server) {
    return server.running() && server.failure().ok() && IsMember(server) &&
           !absl::c_linear_search(down, &server) &&
           absl::c_none_of(unmet, [&server](const Need& need) {
             return std::get<MachineId>(need) == server.machine();
           });
  });
}

bool Atlas::IsWhole(SimServer* server) const {
  return !server->disk()->damaged() || IsWhole(LookAt(server));
}

bool Atlas::IsWhole(const View& view) {
  return !view.log->damaged() &&
         view.checkpoints.newest == view.checkpoints.intact;
}

bool Atlas::AnyDamage() const {
  return absl::c_any_of(
      servers_, [](SimServer* server) { return server->disk()->damaged(); });
}

SimServer* Atlas::Find(ServerId id) const {
  const auto it = absl::c_find_if(
      servers_, [id](SimServer* server) { return server->id() == id; });
  return it == servers_.end() ? nullptr : *it;
}

bool Atlas::IsMember(const SimServer& server) const {
  if (server.put_back() || IsLeaving(server)) return false;
  const Member itself{server.id(), checker_->IncarnationOf(server.machine()),
                      ""};
  const auto all = checker_->ConfigurationsInForce();
  return !all.empty() && absl::c_all_of(all, [&](const auto& c) {
    return Stands(c->voters, itself) || Stands(c->learners, itself);
  });
}

bool Atlas::OthersCanLead(const SimServer& without,
                          const std::vector<View>& views) const {
  return AreQuorum([&](const SimServer& server) {
    return &server != &without && absl::c_any_of(views, [&](const View& v) {
      return v.server == &server && v.member && IsWhole(v);
    });
  });
}

bool Atlas::AreQuorum(absl::FunctionRef<bool(const SimServer&)> fit) const {
  const auto counts = [&](ServerId id) -> uint64_t {
    const SimServer* server = Find(id);
    return server != nullptr && fit(*server);
  };
  const auto all = checker_->ConfigurationsInForce();
  return !all.empty() && absl::c_all_of(all, [&](const auto& c) {
    return QuorumValue(*c, counts) > 0;
  });
}

Atlas::View Atlas::LookAt(SimServer* server) const {
  const NameTable& disk = server->disk()->names();
  return {.server = server,
          // Not owned: the server's own.
          .log = std::shared_ptr<const DurableLog>(
              std::shared_ptr<const DurableLog>(), &server->WholeLog()),
          .checkpoints = CheckpointsOf(disk.durable()),
          .member = IsMember(*server),
          .shrinking = IsShrinking(disk)};
}

std::vector<Atlas::View> Atlas::Without(std::vector<View> views,
                                        const std::vector<SimServer*>& gone) {
  std::erase_if(views, [&gone](const View& view) {
    return absl::c_linear_search(gone, view.server);
  });
  return views;
}

std::vector<Atlas::View> Atlas::Look() const {
  std::vector<View> views;
  for (SimServer* server : servers_) views.push_back(LookAt(server));
  return views;
}

Atlas::Checkpoints Atlas::CheckpointsOf(const NameTable::Files& files) {
  Checkpoints found;
  for (const auto& [name, file] : files) {
    const std::optional<Index> index =
        ParseCheckpointName(CheckpointKind::kBase, name);
    if (!index.has_value()) continue;
    found.newest = std::max(found.newest, *index);
    if (IsCheckpoint(*file, *index)) {
      found.intact = std::max(found.intact, *index);
    }
  }
  return found;
}

std::vector<Atlas::Need> Atlas::Unmet(const std::vector<View>& views) const {
  std::vector<Need> unmet;
  for (const View& view : views) {
    view.log->ForEachDamaged([&](Index index, Term term) {
      if (!IsMet(view, index, term, views)) {
        unmet.emplace_back(view.server->machine(), index, term);
      }
    });
    if (!HasCheckpoint(view, views)) {
      unmet.emplace_back(view.server->machine(), view.checkpoints.newest,
                         Term());
    }
  }
  absl::c_sort(unmet);
  return unmet;
}

bool Atlas::IsMet(const View& view, Index index, Term term,
                  const std::vector<View>& views) const {
  bool had = false;
  for (SimServer* other : servers_) {
    if (other == view.server) continue;
    had = had || other->HadDurably(index, term);
  }
  if (!had) return OthersCanLead(*view.server, views);
  return absl::c_any_of(views, [&](const View& other) {
    if (other.server == view.server || !other.member) return false;
    return other.log->HasIntact(index, term) ||
           (other.checkpoints.intact >= index &&
            other.log->before_first() >= index);
  });
}

bool Atlas::HasCheckpoint(const View& view,
                          const std::vector<View>& views) const {
  const Checkpoints& own = view.checkpoints;
  if (own.intact == own.newest) return true;
  if (!view.shrinking && view.log->GoesOn(own.intact, own.newest)) return true;
  return absl::c_any_of(views, [&](const View& other) {
    return other.server != view.server && other.member &&
           other.checkpoints.intact >= own.newest;
  });
}

bool Atlas::CanDoWith(const Checkpoints& left, const View& view) {
  return left.intact == left.newest && !view.shrinking &&
         view.log->GoesOn(left.newest, view.checkpoints.newest);
}

bool Atlas::CanDoWithout(const std::vector<SimServer*>& gone) const {
  if (!AnyDamage()) return true;
  std::vector<View> views = Look();
  const std::vector<Need> before = Unmet(views);
  const std::vector<Need> then = Unmet(Without(std::move(views), gone));
  return std::includes(before.begin(), before.end(), then.begin(), then.end());
}

}  // namespace holdfast
