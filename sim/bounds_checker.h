#ifndef HOLDFAST_SIM_BOUNDS_CHECKER_H_
#define HOLDFAST_SIM_BOUNDS_CHECKER_H_

#include <cstdint>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "engine/base/types.h"
#include "engine/log/distributed_log.h"
#include "engine/raft/core.h"
#include "engine/service/service.h"
#include "sim/server.h"
#include "sim/sim_client.h"
#include "sim/violation.h"

namespace holdfast {

// That what a server holds for others is bounded, after each of its events:
// what is in flight to each follower, what waits for its disk, for a commit,
// for a peer's or a client's stream, how many clients it has, and connections
// of whom it doesn't know yet, and what it has of its log in memory. And, after
// a client's, what waits there to be appended, and operators' requests that a
// server has of it. The bounds are those of the options, with what one message
// or request may exceed them by; it counts by itself where the engine's own
// count could be what is wrong. And that no leader sends a follower the same
// again and again as fast as the link goes.
class BoundsChecker {
 public:
  explicit BoundsChecker(Verdict* verdict) : verdict_(verdict) {}

  void Check(const SimServer& server);
  void Check(const SimClient& client);
  // The same of what clients have of a server, and of what a client has, by
  // other bounds than those it runs with: for tests.
  void CheckService(const SimServer& server, const ServiceOptions& bounds);
  void CheckAppends(const SimClient& client, size_t queue_bytes_max);
  void CheckAdmin(const SimClient& client, size_t requests_max);

  // What the entries behind `from` up to `to` have, the latest that any server
  // had there.
  uint64_t LogBytes(Index from, Index to) const;

 private:
  // What was seen of a server in one of its lives.
  struct Seen {
    uint32_t boot = 0;
    Index last;
    Term term;
    Index base;
    bool led = false;
    // What may wait for its disk: what each leader since it had nothing to
    // write may have sent, and it may itself have taken.
    uint64_t wal_max = 0;
    // Where its log ended when it led and its disk was found to be full.
    std::optional<Offset> full_end;
    // Of each follower: what it was known to have, and what was sent, when
    // that was looked at.
    std::map<ServerId, std::pair<Index, Index>> windows;
    // How often it had moved followers back by then.
    uint64_t backtracks = 0;
    Instant backtracks_at;
  };

  void NoteEntries(const Tail& tail, Seen* seen);
  void CheckWindow(const SimServer& server, const Progress& peer, Seen* seen);
  void CheckSent(const SimServer& server, const Progress& peer);
  void CheckWal(const SimServer& server, Seen* seen);
  void CheckMemory(const SimServer& server);
  void CheckSpace(const SimServer& server, Seen* seen);
  void CheckBacktracks(const SimServer& server, Seen* seen);
  void CheckPeerQueues(const SimServer& server);
  void CheckClients(const SimServer& server, const ServiceOptions& bounds);
  void CheckStrangers(const SimServer& server, const AcceptorOptions& bounds);
  void CheckPending(const SimServer& server, const LogOptions& bounds);
  // What one message may bring: as many entries as fill it, the last one whole.
  uint64_t MessageMax(const RaftOptions& raft) const {
    return raft.max_append_bytes + entry_max_;
  }
  uint64_t WindowMax(const RaftOptions& raft) const {
    return raft.max_bytes_in_flight + MessageMax(raft);
  }
  void Judge(const SimServer& server, absl::string_view what, ServerId peer,
             uint64_t found, uint64_t bound) {
    if (found <= bound) return;
    Violate(absl::StrCat("server ", server.id().value()),
            absl::StrCat(what,
                         peer == ServerId() ? "" : absl::StrCat(peer.value())),
            found, bound);
  }
  void Violate(absl::string_view who, absl::string_view what, uint64_t found,
               uint64_t bound);

  Verdict* const verdict_;
  uint64_t entry_max_ = 0;             // the largest that any server has had
  std::vector<uint32_t> entry_bytes_;  // by index - 1
  std::map<MachineId, Seen> seen_;
};

}  // namespace holdfast

#endif  // HOLDFAST_SIM_BOUNDS_CHECKER_H_
