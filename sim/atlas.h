#ifndef HOLDFAST_SIM_ATLAS_H_
#define HOLDFAST_SIM_ATLAS_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "absl/functional/function_ref.h"
#include "engine/base/configuration.h"
#include "engine/base/types.h"
#include "sim/file_image.h"
#include "sim/server.h"
#include "sim/server_checker.h"

namespace holdfast {

// Of a checkpoint's, resume point's or waypoint's file.
std::optional<Index> CheckpointIndexOf(const std::string& name);
// Whether its durable bytes pass for a checkpoint with that last entry.
bool IsCheckpoint(const FileImage& file, Index index);

// Decides which damage of storage at rest may happen (sim/damage.h), and what
// must wait while it isn't repaired, so that whatever is lost, served wrong, or
// never comes back is the engine's doing: there was enough on the disks to tell
// that something is damaged, and to get it back. (The word is from "Protocol-
// Aware Recovery for Consensus-Based Storage", FAST 2018, whose model of faults
// this is, and TigerBeetle's simulator.) It looks at the disks alone, at what a
// power loss would leave of them. The rules:
//
// 1. What is damaged shows that it is. Of a segment, what lies before a frame
//    header, in the same file, that stays intact and says that all up to there
//    was synced; or anything, once a later segment is sure to have begun. Its
//    header only if no earlier file holds entries that it replaces
//    (DurableLog::Shows). Of the last marks of the newest segment all but one,
//    but for what the device refuses to read, and a file that ends early
//    (DurableLog::ShowsEnd). Other files no longer pass for what they were. The
//    newest segment is free of this rule beyond the model.
// 2. Each entry that is damaged here and that another server ever had durably
//    is intact on the disk of another member; or that member no longer has it,
//    as a durable checkpoint of it stands for that part of the log. An entry
//    that nobody else ever had wasn't durable on a quorum; but only a leader of
//    a later term can tell. So it may be damaged where the other voters, those
//    of which nothing is damaged, are a quorum of each configuration that may
//    decide. Less would do: what is left of a later entry that is damaged on
//    another server, if its term isn't before any that this one has promised by
//    the time it starts. Nobody knows that yet, so it isn't allowed here
//    (mutual_help_scenarios_test has it).
// 3. Of the hard state one copy, while the other one is intact and of the same
//    promise or a later one. What it becomes may pass for an earlier one. A
//    running server overwrites copy 0 first, and a write may be torn or fail:
//    of a running server copy 0 only, once it has started.
// 4. The newest checkpoint only if another member has an intact one at or
//    behind it, or this server has another one to which its log goes back
//    without a gap, no file of which it is removing.
//    The one before, resume points and waypoints at any time. One that is gone
//    with its name only in the latter case: nothing says then that it was
//    there, so nobody asks for it.
// 5. Of `identity` and its copy one, while the other one is intact and says the
//    same. `peers` never.
// 6. Nothing is gone with its name while its server runs, which has it open.
// 7. A disk that holds, for any of this, what no other member has isn't
//    replaced, and its server isn't asked to leave.
//
// A member is one of all configurations that may decide: the last one known to
// be committed and all later ones in servers' logs; with that incarnation, not
// with an older copy of its disk, and nobody has asked it to leave.
class Atlas {
 public:
  Atlas(const ServerChecker* checker, std::vector<SimServer*> servers)
      : checker_(checker), servers_(std::move(servers)) {}

  // Whether somebody has asked it to leave of late; optional.
  void set_leaving(std::function<bool(const SimServer&)> leaving) {
    leaving_ = std::move(leaving);
  }

  // Damage of the newest segment needn't show: the engine has no way to tell it
  // from an end that was torn.
  void set_beyond_model(bool beyond) { beyond_model_ = beyond; }

  bool MayDamage(SimServer* server, const Damage& damage) const;
  // Whether the others can do without its disk.
  bool MayReplace(SimServer* server) const;
  // Whether these servers may be asked to leave together.
  bool MayLeave(const std::vector<SimServer*>& gone) const;
  // Whether the others can go on while these are down together.
  bool MayBeDown(const std::vector<SimServer*>& down) const;
  // Nothing of its log is damaged, nor is its newest checkpoint.
  bool IsWhole(SimServer* server) const;

 private:
  struct Checkpoints {
    Index newest;  // by name; 0: none
    Index intact;  // the newest one that is; 0: none
  };
  // A server and its disk.
  struct View {
    SimServer* server = nullptr;
    std::shared_ptr<const DurableLog> log;
    Checkpoints checkpoints;
    bool member = false;
    // Its log is losing its beginning: a file is removed, though a power loss
    // might bring it back.
    bool shrinking = false;
  };
  // What a server needs from another one, and doesn't find: an entry, or, with
  // term 0, a checkpoint.
  using Need = std::tuple<MachineId, Index, Term>;

  bool IsMember(const SimServer& server) const;
  // Whether the voters without this one can elect a leader, none of them having
  // to be repaired first.
  bool OthersCanLead(const SimServer& without,
                     const std::vector<View>& views) const;
  // Whether those of which that holds are a quorum of each configuration that
  // may decide.
  bool AreQuorum(absl::FunctionRef<bool(const SimServer&)> fit) const;
  bool IsLeaving(const SimServer& server) const {
    return leaving_ != nullptr && leaving_(server);
  }
  SimServer* Find(ServerId id) const;
  View LookAt(SimServer* server) const;
  std::vector<View> Look() const;
  static std::vector<View> Without(std::vector<View> views,
                                   const std::vector<SimServer*>& gone);
  static Checkpoints CheckpointsOf(const NameTable::Files& files);
  static bool IsWhole(const View& view);
  std::vector<Need> Unmet(const std::vector<View>& views) const;
  bool IsMet(const View& view, Index index, Term term,
             const std::vector<View>& views) const;
  bool HasCheckpoint(const View& view, const std::vector<View>& views) const;
  // Whether a start from these of its checkpoints comes to the same as one from
  // those that it has.
  static bool CanDoWith(const Checkpoints& left, const View& view);
  bool CanDoWithout(const std::vector<SimServer*>& gone) const;
  bool AnyDamage() const;

  const ServerChecker* const checker_;
  const std::vector<SimServer*> servers_;
  std::function<bool(const SimServer&)> leaving_;
  bool beyond_model_ = false;
};

}  // namespace holdfast

#endif  // HOLDFAST_SIM_ATLAS_H_
