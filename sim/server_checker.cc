#include "sim/server_checker.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "engine/base/lost_records.h"
#include "engine/raft/quorum.h"

namespace holdfast {

bool QuorumsOverlap(const Configuration& a, const Configuration& b) {
  std::vector<ServerId> servers;
  const auto add = [&servers](ServerId id) {
    if (!absl::c_linear_search(servers, id)) servers.push_back(id);
  };
  ForEachMember(a, add);
  ForEachMember(b, add);
  for (uint64_t some = 0; some < uint64_t{1} << servers.size(); ++some) {
    const auto is_among = [&](ServerId id) -> uint64_t {
      return some >> (absl::c_find(servers, id) - servers.begin()) & 1;
    };
    const auto is_left = [&](ServerId id) { return 1 - is_among(id); };
    if (QuorumValue(a, is_among) > 0 && QuorumValue(b, is_left) > 0) {
      return false;
    }
  }
  return true;
}

void ServerChecker::Check(SimServer& server) {
  if (!server.running() || !server.node().formed()) return;
  // Nothing holds of what somebody else wrote.
  if (server.forged()) return;
  const ClusterId cluster_id = server.node().identity().cluster_id;
  if (cluster_id_ == ClusterId()) cluster_id_ = cluster_id;
  if (cluster_id != cluster_id_) return;
  Seen& seen = seen_[server.machine()];
  if (seen.boot != server.boots()) {
    const Incarnation incarnation = server.node().identity().incarnation;
    const HardState kept =
        seen.incarnation == incarnation ? seen.durable_promise : HardState();
    seen = Seen{};
    seen.boot = server.boots();
    seen.server = &server;
    seen.incarnation = incarnation;
    seen.promise = seen.durable_promise = kept;
  }
  const RaftCore& core = *server.node().core();
  if (seen.core != &core || seen.steps != core.steps()) {
    seen.core = &core;
    seen.steps = core.steps();
    CheckStep(server, &seen);
  }
  CheckFitToLead(server, server.process()->loop()->Now(), seen);
  CheckNothingLost(server);
}

void ServerChecker::CheckNothingLost(const SimServer& server) const {
  if (may_lose_ || server.node().wal()->stats().entries_lost == 0) return;
  const std::vector<LostRecords> lost = server.node().wal()->lost();
  verdict_->Violate(absl::StrCat(
      "durability: server ", server.id().value(), " takes ",
      lost.empty()
          ? std::string("entries")
          : absl::StrCat("the records from offset ", lost.front().first.value(),
                         " up to ", lost.front().end.value()),
      " for lost, of which there are copies"));
}

void ServerChecker::CheckStep(SimServer& server, Seen* seen) {
  const RaftCore& core = *server.node().core();
  CheckInvariants(core);
  CheckEntries(server, seen);
  seen->durable = core.durable();
  seen->durable_term = core.trail().TermAt(seen->durable);
  const std::shared_ptr<const Configuration> before =
      std::exchange(seen->configuration, core.shared_configuration());
  seen->configuration_index = core.configuration_index();
  if (before != seen->configuration && core.role() == Role::kLeader &&
      !QuorumsOverlap(core.committed_configuration(), core.configuration())) {
    verdict_->Violate(absl::StrCat(
        "what is committed is kept: server ", server.id().value(),
        " leads term ", core.term().value(), " with a configuration, entry ",
        core.configuration_index().value(),
        ", that can decide without the committed one"));
  }
  CheckCommit(server, before.get(), seen);
  CheckTrimmed(server, seen);
  CheckVoteKept(server, seen);
  CheckMayStand(server, *seen);
  CheckVotes(server, seen);
  CheckLeader(server, seen);
  CheckLeases(server);
  CheckPromises(server);
  NoteProgress(core, server.process()->loop()->Now(), seen);
}

void ServerChecker::CheckLeases(const SimServer& server) const {
  const RaftCore& core = *server.node().core();
  if (core.role() != Role::kLeader) return;
  auto judge = [this](const SimServer& earlier, const SimServer& later) {
    if (!earlier.node().holds_lease()) return;
    verdict_->Violate(absl::StrCat(
        "leases: server ", earlier.id().value(), " holds a lease in term ",
        earlier.node().core()->term().value(), ", and server ",
        later.id().value(), " leads term ",
        later.node().core()->term().value()));
  };
  for (const auto& [machine, seen] : seen_) {
    if (seen.server == &server || !seen.running()) continue;
    const Node& node = seen.server->node();
    if (!node.is_leader()) continue;
    node.core()->term() < core.term() ? judge(*seen.server, server)
                                      : judge(server, *seen.server);
  }
}

void ServerChecker::CheckPromises(const SimServer& server) const {
  const bool leads = server.node().is_leader();
  if (leads && !server.node().holds_lease()) return;
  for (const auto& [machine, seen] : seen_) {
    if (seen.server == &server || !seen.running()) continue;
    if (leads) {
      CheckPromise(server, *seen.server);
    } else if (seen.server->node().holds_lease()) {
      CheckPromise(*seen.server, server);
    }
  }
}

// The leader holds a lease.
void ServerChecker::CheckPromise(const SimServer& leader,
                                 const SimServer& voter) const {
  const RaftCore& core = *leader.node().core();
  // A server with a new disk isn't the one that promised; nor does one know of
  // it that got an old copy of its disk back, whom the others refuse.
  const Member* member = core.configuration().Find(voter.id());
  if (member == nullptr || (voter.put_back() && !voter.forged()) ||
      member->incarnation != voter.node().identity().incarnation) {
    return;
  }
  const SimLoop& clock = *leader.process()->loop();
  for (const Progress& peer : core.progress()) {
    if (peer.id() != voter.id() || peer.promised <= clock.FreshNow()) continue;
    const RaftCore& other = *voter.node().core();
    auto violate = [&](absl::string_view what) {
      verdict_->Violate(absl::StrCat("leases: server ", leader.id().value(),
                                     " counts in term ", core.term().value(),
                                     " on the promise of server ",
                                     voter.id().value(), ", ", what));
    };
    if (other.term() > core.term() && other.vote() != ServerId()) {
      violate(absl::StrCat("which votes for server ", other.vote().value(),
                           " in term ", other.term().value()));
    }
    const Duration beyond =
        clock.ToTrue(peer.promised) -
        voter.process()->loop()->ToTrue(other.promised_until());
    if (beyond > Duration::zero()) {
      violate(absl::StrCat("for ", beyond / 1us, " us longer than it lasts"));
    }
  }
}

void ServerChecker::LogReplaced(Index from) {
  const size_t kept = from.value() - 1;
  configurations_.erase(configurations_.lower_bound(from),
                        configurations_.end());
  if (kept < committed_.size()) {
    std::fill(committed_.begin() + static_cast<ptrdiff_t>(kept),
              committed_.end(), 0);
  }
  if (kept < entries_.size()) entries_.resize(kept);
}

void ServerChecker::CheckTrimmed(const SimServer& server, Seen* seen) {
  const std::pair now(server.node().commit(), server.log().trimmed_to());
  if (seen->trimmed == now) return;
  seen->trimmed = now;
  auto [it, first] = trimmed_.emplace(now);
  if (first || it->second == now.second) return;
  verdict_->Violate(absl::StrCat(
      "server ", server.id().value(), ", with entries committed up to ",
      now.first.value(), ", takes all before offset ", now.second.value(),
      " for trimmed, another one all before ", it->second.value()));
}

void ServerChecker::CheckMayStand(const SimServer& server, const Seen& seen) {
  const RaftCore& core = *server.node().core();
  if (core.role() != Role::kPreCandidate && core.role() != Role::kCandidate) {
    return;
  }
  const auto names = [&](const Configuration& configuration) {
    const Member* self = configuration.Find(server.id());
    return self != nullptr && self->incarnation == seen.incarnation;
  };
  // By the committed one as well, while the last one may come to nothing.
  if (names(core.configuration()) || names(core.committed_configuration())) {
    return;
  }
  verdict_->Violate(absl::StrCat(
      "election safety: server ", server.id().value(), " stands in term ",
      core.term().value(), ", though no ", "configuration names its disk"));
}

void ServerChecker::CheckVotes(const SimServer& server, Seen* seen) {
  const RaftCore& core = *server.node().core();
  if (core.role() != Role::kCandidate && core.role() != Role::kLeader) return;
  if (core.term() != seen->stood) {
    seen->stood = core.term();
    seen->votes = 0;
  }
  for (; seen->votes < core.votes().size(); ++seen->votes) {
    const auto& [voter, vote] = core.votes()[seen->votes];
    if (vote != Vote::kGranted) continue;
    // One that a configuration just removed may still stand.
    const Member* member = core.configuration().Find(voter);
    const Incarnation incarnation =
        member == nullptr ? seen->incarnation : member->incarnation;
    CheckVote(voter, incarnation, server);
  }
}

void ServerChecker::CheckVoteKept(const SimServer& server, Seen* seen) {
  const RaftCore& core = *server.node().core();
  const HardState now = core.hard_state();
  const HardState before = std::exchange(seen->promise, now);
  if (core.hard_state_durable()) seen->durable_promise = now;
  if (now.term > before.term) return;
  if (now.term == before.term &&
      (before.vote == ServerId() || now.vote == before.vote)) {
    return;
  }
  verdict_->Violate(absl::StrCat(
      "election safety: server ", server.id().value(), " takes back its vote ",
      "in term ", before.term.value(), " for server ", before.vote.value()));
}

void ServerChecker::CheckVote(ServerId voter, Incarnation incarnation,
                              const SimServer& candidate) {
  const Term term = candidate.node().core()->term();
  auto [it, first] =
      votes_.emplace(std::tuple(term, voter, incarnation), candidate.id());
  if (!first && it->second != candidate.id()) {
    return verdict_->Violate(absl::StrCat(
        "election safety: server ", voter.value(), " votes in term ",
        term.value(), " for server ", it->second.value(), " and for server ",
        candidate.id().value()));
  }
  // One whose disk was replaced since doesn't come back under this incarnation.
  const Seen* seen = Find(voter);
  if (seen == nullptr || seen->incarnation != incarnation ||
      seen->server->put_back() ||
      HasVotedDurably(seen->server->disk()->names(), term, candidate.id())) {
    return;
  }
  verdict_->Violate(absl::StrCat("election safety: server ",
                                 candidate.id().value(), " counts the vote of ",
                                 "server ", voter.value(), " in term ",
                                 term.value(), ", which isn't durable there"));
}

void ServerChecker::CheckLeader(const SimServer& server, Seen* seen) {
  const RaftCore& core = *server.node().core();
  if (core.role() != Role::kLeader || core.term() == seen->led) return;
  seen->led = core.term();
  auto [it, first] = leaders_.emplace(core.term(), server.id());
  if (!first) {
    // In another life too: the term's vote was durable.
    return verdict_->Violate(
        absl::StrCat("election safety: term ", core.term().value(),
                     " has two leaders, server ", it->second.value(),
                     " and server ", server.id().value()));
  }
  // Leader completeness, for what was committed in earlier terms (a leader
  // may be elected late, when a later term's has committed more already), at
  // the last such entry: its hash covers all before it.
  auto mark = commits_.rbegin();
  while (mark != commits_.rend() && mark->second >= core.term()) ++mark;
  if (mark == commits_.rend()) return;
  Index committed = mark->first;
  const Tail& tail = server.node().tail();
  if (tail.last().index < committed) {
    return verdict_->Violate(
        absl::StrCat("leader completeness: server ", server.id().value(),
                     " leads term ", core.term().value(), " with a log up to ",
                     tail.last().index.value(), ", but entries up to ",
                     committed.value(), " were committed in earlier terms"));
  }
  const Entry* entry = tail.Find(committed);
  uint64_t chain = committed_[committed.value() - 1];
  if (entry != nullptr && entry->header.chain != chain) {
    verdict_->Violate(absl::StrCat(
        "leader completeness: server ", server.id().value(), " leads term ",
        core.term().value(), " with another entry ", committed.value(),
        " than the committed one"));
  }
}

void ServerChecker::NoteProgress(const RaftCore& core, Instant now,
                                 Seen* seen) {
  if (core.persisted_sequence() != seen->persisted || !seen->persisting) {
    seen->persisted = core.persisted_sequence();
    seen->persisting_since = now;
  }
  seen->persisting = core.persisted_sequence() < core.sequence();
  if (core.role() != Role::kLeader) return;
  const uint64_t heard = QuorumValue(core.configuration(), [&](ServerId id) {
    for (const Progress& p : core.progress()) {
      if (p.id() == id && id != core.id()) return ToOrdered(p.last_heard);
    }
    return ToOrdered(Instant::max());
  });
  seen->heard = FromOrdered(heard);
}

void ServerChecker::CheckFitToLead(const SimServer& server, Instant now,
                                   const Seen& seen) {
  const RaftCore& core = *server.node().core();
  // A process that was paused finds what it has to do when it goes on.
  if (core.role() != Role::kLeader || core.wake() < now) return;
  const RaftOptions& options = core.options();
  const Duration disk =
      seen.persisting ? now - seen.persisting_since : Duration::zero();
  const Duration silence = now - std::min(seen.heard, now);
  auto violate = [&](absl::string_view what, Duration length) {
    verdict_->Violate(absl::StrCat("server ", server.id().value(),
                                   " leads on in term ", core.term().value(),
                                   ", though ", what, " for ", ToMillis(length),
                                   " ms"));
  };
  if (disk > options.disk_stall_timeout) {
    violate("its disk has done nothing", disk);
  }
  if (silence > options.election_timeout_max + options.heartbeat_interval) {
    violate("no quorum has answered it", silence);
  }
}

void ServerChecker::CheckEntries(const SimServer& server, Seen* seen) {
  const Tail& tail = server.node().tail();
  if (tail.last() == seen->last) return;
  // From where the log was known, or from the last committed entry if that
  // was cut.
  Index from = seen->last.index + 1;
  const Entry* known = tail.Find(seen->last.index);
  if (known == nullptr || known->header.chain != seen->last.chain) {
    from = tail.committed().index + 1;
  }
  for (Index i = std::max(from, tail.hot_first()); i <= tail.last().index;
       ++i) {
    const EntryHeader& h = tail.Find(i)->header;
    if (entries_.size() < i.value()) entries_.resize(i.value());
    auto [it, first] = entries_[i.value() - 1].emplace(h.term, h.chain);
    if (!first && it->second != h.chain) {
      verdict_->Violate(
          absl::StrCat("log matching: server ", server.id().value(),
                       " has an entry ", i.value(), " of term ", h.term.value(),
                       " behind another log than the same entry elsewhere"));
    }
  }
  seen->last = tail.last();
  const Trail& trail = server.node().core()->trail();
  seen->base = trail.base_index();
  seen->runs = trail.runs();
}

void ServerChecker::CheckCommit(const SimServer& server,
                                const Configuration* before, Seen* seen) {
  const Tail& tail = server.node().tail();
  Index commit = tail.committed().index;
  if (commit == seen->commit) return;
  if (commit < seen->commit) {
    verdict_->Violate(absl::StrCat(
        "server ", server.id().value(), " took back its commit index from ",
        seen->commit.value(), " to ", commit.value()));
  }
  const bool first = committed_.size() < commit.value();
  const RaftCore& core = *server.node().core();
  const Index decided = core.committed_configuration_index();
  const auto [same, is_new] =
      configurations_.emplace(decided, core.committed_configuration());
  if (!is_new && same->second != core.committed_configuration()) {
    verdict_->Violate(
        absl::StrCat("state-machine safety: server ", server.id().value(),
                     " takes another configuration, entry ", decided.value(),
                     ", for the last committed one than another server did"));
  }
  if (committed_configuration_ == nullptr ||
      decided > committed_configuration_index_) {
    committed_configuration_ =
        std::make_shared<Configuration>(core.committed_configuration());
    committed_configuration_index_ = decided;
  }
  if (first) {
    committed_.resize(commit.value());
    // The term in which it was committed is this one or an earlier one.
    commits_.emplace_back(commit, server.node().core()->term());
  }
  auto check = [&](Index i, uint64_t chain) {
    uint64_t& known = committed_[i.value() - 1];
    if (known == 0) known = chain;
    if (known == chain) return;
    verdict_->Violate(absl::StrCat("state-machine safety: server ",
                                   server.id().value(), " takes another entry ",
                                   i.value(), " for committed than before"));
  };
  for (Index i = std::max(seen->commit + 1, tail.hot_first()); i < commit;
       ++i) {
    check(i, tail.Find(i)->header.chain);
  }
  check(commit, tail.committed().chain);
  seen->commit = commit;
  if (first) CheckDurable(server, before);
  if (commit.value() == committed_.size()) {
    CheckKept(commit, tail.committed().term);
  }
}

std::vector<std::shared_ptr<const Configuration>>
ServerChecker::ConfigurationsInForce() const {
  std::vector<std::shared_ptr<const Configuration>> in_force;
  if (committed_configuration_ == nullptr) return in_force;
  in_force.push_back(committed_configuration_);
  for (const auto& [machine, seen] : seen_) {
    if (seen.configuration != nullptr &&
        seen.configuration_index > committed_configuration_index_) {
      in_force.push_back(seen.configuration);
    }
  }
  return in_force;
}

bool ServerChecker::MayDecide(ServerId id) const {
  return absl::c_any_of(ConfigurationsInForce(), [id](const auto& each) {
    return each->Find(id) != nullptr;
  });
}

Incarnation ServerChecker::IncarnationOf(MachineId machine) const {
  const auto it = seen_.find(machine);
  return it == seen_.end() ? Incarnation() : it->second.incarnation;
}

bool ServerChecker::Seen::Has(Index index, Term term) const {
  if (index <= base) return true;
  if (index > last.index) return false;
  auto run = std::upper_bound(
      runs.begin(), runs.end(), index,
      [](Index i, const Trail::Run& r) { return i < r.first; });
  return run != runs.begin() && std::prev(run)->term == term;
}

const ServerChecker::Seen* ServerChecker::Find(ServerId id) const {
  auto it = seen_.find(static_cast<MachineId>(id.value()));
  return it == seen_.end() ? nullptr : &it->second;
}

void ServerChecker::CheckDurable(const SimServer& leader,
                                 const Configuration* before) {
  const RaftCore& core = *leader.node().core();
  // A leader that died as it committed it wasn't seen to.
  if (core.role() != Role::kLeader) return;
  const LogPoint& commit = leader.node().tail().committed();
  auto durable = [&](ServerId id) -> uint64_t {
    const Seen* voter = Find(id);
    return voter != nullptr &&
           voter->server->HadDurably(commit.index, commit.term);
  };
  if (QuorumValue(core.configuration(), durable) > 0) return;
  if (before != nullptr && QuorumValue(*before, durable) > 0) return;
  verdict_->Violate(absl::StrCat(
      "durability: server ", leader.id().value(), " takes entry ",
      commit.index.value(), " of term ", commit.term.value(),
      " for committed, which isn't durable on the disks of a quorum"));
}

void ServerChecker::CheckKept(Index index, Term term) {
  for (const auto& entry : seen_) {
    const Seen& candidate = entry.second;
    if (candidate.configuration == nullptr || candidate.Has(index, term)) {
      continue;
    }
    // Nor does a server with a new disk stand for the old one.
    const Member* itself =
        candidate.configuration->Find(candidate.server->id());
    if (itself == nullptr || itself->incarnation != candidate.incarnation) {
      continue;
    }
    auto votes = [&](ServerId id) -> uint64_t {
      const Seen* found = Find(id);
      if (found == nullptr) return 0;
      const Seen& voter = *found;
      // A server with a new disk doesn't vote for the old one.
      const Member* known = candidate.configuration->Find(id);
      if (voter.incarnation != known->incarnation) return 0;
      // One that died in the midst of an event had perhaps more on disk than
      // was seen after the event before, but not more than it had written.
      const bool sure = voter.running();
      const Term last_term = sure ? voter.durable_term : voter.last.term;
      const Index last = sure ? voter.durable : voter.last.index;
      return std::pair(candidate.last.term, candidate.last.index) >=
             std::pair(last_term, last);
    };
    if (QuorumValue(*candidate.configuration, votes) == 0) continue;
    verdict_->Violate(
        absl::StrCat("entry ", index.value(), " of term ", term.value(),
                     " is taken for committed, but server ", entry.first,
                     " without it could be elected, and it be lost"));
  }
}

}  // namespace holdfast
