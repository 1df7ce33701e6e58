#include "engine/raft/testing/cluster.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"

namespace holdfast {
namespace {

std::vector<Member> MakeMembers(const std::vector<uint64_t>& ids) {
  std::vector<Member> members;
  for (uint64_t id : ids) {
    members.push_back(
        {ServerId(id), Incarnation(id), absl::StrCat("server", id, ":1")});
  }
  return members;
}

std::string Ids(const char* name, const std::vector<Member>& members) {
  if (members.empty()) return "";
  std::string text = absl::StrCat(name, "=");
  for (size_t i = 0; i < members.size(); ++i) {
    absl::StrAppend(&text, i == 0 ? "" : ",", members[i].id.value());
  }
  return text;
}

}  // namespace

Configuration MakeConfiguration(const std::vector<uint64_t>& voters,
                                const std::vector<uint64_t>& learners,
                                const std::vector<uint64_t>& old_voters) {
  Configuration configuration;
  configuration.voters = MakeMembers(voters);
  configuration.learners = MakeMembers(learners);
  configuration.old_voters = MakeMembers(old_voters);
  return configuration;
}

TestCluster::TestCluster(uint64_t n, const Configuration& configuration,
                         const RaftOptions& options)
    : options_(options) {
  EntryMeta first;
  first.index = Index(1);
  first.term = Term(1);
  first.size = 100;
  first.kind = EntryKind::kConfiguration;
  first.configuration = std::make_shared<const Configuration>(configuration);
  facts_[{1, 1}] = {Term(), first.size, first.kind};
  committed_.push_back(first);
  for (uint64_t i = 1; i <= n; ++i) {
    Server& s = servers_[i];
    s.options = options;
    s.options.id = ServerId(i);
    s.options.incarnation = Incarnation(i);
    if (IsMember(configuration, s.options.id)) {
      s.hard_state.term = Term(1);
      s.log.push_back(first);
      s.commit_hint = Index(1);
    }
    Restart(s.options.id);
  }
}

// --- Whatever may happen ----------------------------------------------------

void TestCluster::Step(ServerId id, InputEvent event) {
  Server& s = server(id);
  if (s.core == nullptr) return;
  const Index old_commit = s.core->commit();
  if (const auto* read = std::get_if<ReadRequest>(&event)) {
    s.reads[read->id] = committed_.back().index;
  }
  s.core->Step({now_, event}, &output_);
  CheckInvariants(*s.core);
  CheckRole(s);
  Carry(&s, old_commit);
  CheckCommit(s, old_commit);
  CheckReads(&s);
  if (on_step) on_step(id, event, output_);
}

// As the driver does: hand everything on.
void TestCluster::Carry(Server* s, Index old_commit) {
  if (output_.installed) {
    s->log = *installing_;
    s->base = s->log.back().index;
    s->memory.clear();
    for (auto& [persist, hint] : s->writes) {
      persist.entries.clear();
      persist.cut_from.reset();
    }
  }
  if (output_.persist.has_value()) {
    const RaftPersist& p = *output_.persist;
    CheckPersist(*s, p, old_commit);
    if (p.cut_from.has_value()) {
      s->memory.erase(s->memory.lower_bound(p.cut_from->value()),
                      s->memory.end());
    }
    for (const EntryMeta& e : p.entries) s->memory[e.index.value()] = e;
    s->writes.emplace_back(p, s->core->durable_commit());
  }
  for (const Message& m : output_.messages) {
    CheckMessage(*s, m);
    if (!cut_link || !cut_link(m)) network_.push_back(m);
  }
  for (const RaftColdRead& read : output_.cold_reads) {
    s->cold_reads.push_back(read);
  }
  CHECK(s->memory.empty() ||
        s->memory.rbegin()->first == s->core->last_index().value());
  s->memory.erase(s->memory.begin(),
                  s->memory.lower_bound(s->core->hot_first().value()));
  CHECK_EQ(s->memory.size(), s->core->last_index() + 1 - s->core->hot_first());
}

void TestCluster::TickDue() {
  for (auto& [id, s] : servers_) {
    if (s.core != nullptr && s.core->wake() <= now_) Step(ServerId(id), Tick{});
  }
}

void TestCluster::Deliver(size_t i, bool keep) {
  CHECK_LT(i, network_.size());
  Message message = network_[i];
  if (!keep) Forget(i);
  const ServerId to = message.to;
  Step(to, Receive{std::move(message)});
}

void TestCluster::Forget(size_t i) {
  network_.erase(network_.begin() + static_cast<ptrdiff_t>(i));
}

void TestCluster::CompleteWrite(ServerId id) { CompleteWrites(id, 1); }

void TestCluster::CompleteWrites(ServerId id, size_t n) {
  Server& s = server(id);
  uint64_t sequence = 0;
  for (size_t i = 0; i < n; ++i) {
    CHECK(!s.writes.empty());
    auto [persist, hint] = std::move(s.writes.front());
    s.writes.pop_front();
    ApplyWrite(&s, persist, 2 + persist.entries.size());
    s.commit_hint = std::max(s.commit_hint, hint);
    sequence = persist.sequence;
  }
  Step(id, Persisted{sequence});
}

void TestCluster::ApplyWrite(Server* s, const RaftPersist& p, size_t parts) {
  if (parts >= 1 && p.hard_state.has_value()) {
    CHECK_GE(p.hard_state->term, s->hard_state.term);
    s->hard_state = *p.hard_state;
  }
  if (parts >= 2 && p.cut_from.has_value()) {
    s->log.resize(p.cut_from->value() - 1);
  }
  for (size_t i = 0; i < p.entries.size() && i + 2 < parts; ++i) {
    CHECK_EQ(p.entries[i].index.value(), s->log.size() + 1);
    s->log.push_back(p.entries[i]);
  }
}

void TestCluster::CompleteColdRead(ServerId id, bool ok) {
  Server& s = server(id);
  CHECK(!s.cold_reads.empty());
  const RaftColdRead read = s.cold_reads.front();
  s.cold_reads.pop_front();
  if (s.core == nullptr) return;
  if (!ok) return Step(id, ColdFailed{read.to, read.token});
  std::vector<EntryMeta> entries;
  uint64_t bytes = 0;
  for (uint64_t i = read.first.value(); i <= s.log.size(); ++i) {
    const EntryMeta& e = s.log[i - 1];
    if (!entries.empty() && bytes + e.size > read.max_bytes) break;
    bytes += e.size;
    entries.push_back(e);
  }
  if (read.term != s.core->term() || s.core->role() != Role::kLeader) {
    CHECK(!s.core->ColdAppend(read, {}).has_value());
    return Step(id, ColdSent{read.to, read.token, read.first, 1});
  }
  CHECK(!entries.empty());
  const Index last = entries.back().index;
  std::optional<Message> m = s.core->ColdAppend(read, std::move(entries));
  if (m.has_value() && !(cut_link && cut_link(*m))) network_.push_back(*m);
  Step(id, ColdSent{read.to, read.token, last, bytes});
}

void TestCluster::Crash(ServerId id, size_t whole, size_t parts) {
  Server& s = server(id);
  if (s.core == nullptr) return;
  s.core->stats().ForEach(
      [this](const char* name, uint64_t value) { stats_[name] += value; });
  s.core = nullptr;
  for (size_t i = 0; i < s.writes.size() && i <= whole; ++i) {
    const RaftPersist& p = s.writes[i].first;
    ApplyWrite(&s, p, i < whole ? 2 + p.entries.size() : parts);
  }
  s.writes.clear();
  s.cold_reads.clear();
  s.memory.clear();
  s.reads.clear();
}

void TestCluster::Restart(ServerId id) {
  Server& s = server(id);
  if (s.core != nullptr) return;
  s.options.boot_count = ++s.boots;
  if (s.options.leases && s.boots > 1) {
    s.options.earlier_promise = s.options.election_timeout_min;
  }
  RaftRecovered recovered;
  recovered.hard_state = s.hard_state;
  recovered.commit_hint = s.commit_hint;
  recovered.trail = TrailBehind(s);
  for (const EntryMeta& e : s.log) {
    if (e.index <= s.base) continue;
    recovered.trail.Append(e);
    s.memory[e.index.value()] = e;
    recovered.trail.Evict(s.options.hot_bytes, e.index);
  }
  s.core = std::make_unique<RaftCore>(s.options, std::move(recovered), now_);
  CheckInvariants(*s.core);
  s.memory.erase(s.memory.begin(),
                 s.memory.lower_bound(s.core->hot_first().value()));
}

Trail TestCluster::TrailBehind(const Server& s) {
  if (s.base == Index()) return Trail();
  Trail::ConfigurationAt configuration{Index(),
                                       std::make_shared<Configuration>()};
  for (const EntryMeta& e : s.log) {
    if (e.index > s.base || e.configuration == nullptr) continue;
    configuration = {e.index, e.configuration};
  }
  return Trail(s.base, s.log[s.base.value() - 1].term, configuration);
}

void TestCluster::Compact(ServerId id, Index up_to) {
  Server& s = server(id);
  if (s.core == nullptr) return;
  up_to = std::min(up_to, s.core->durable_commit());
  if (up_to <= s.base) return;
  s.base = up_to;
  Step(id, Compacted{up_to});
}

void TestCluster::InstallCheckpoint(ServerId from, ServerId to) {
  Server& s = server(to);
  const Server& source = server(from);
  const Trail behind = TrailBehind(source);
  // A term is durable before a checkpoint of it.
  if (s.core == nullptr || behind.base_index() == Index() ||
      s.core->term() < behind.base_term() || !s.core->hard_state_durable()) {
    return;
  }
  const std::vector<EntryMeta> prefix(
      source.log.begin(),
      source.log.begin() + static_cast<ptrdiff_t>(source.base.value()));
  installing_ = &prefix;
  Step(to, holdfast::InstallCheckpoint{behind.base_index(), behind.base_term(),
                                       behind.configurations().front()});
  installing_ = nullptr;
}

void TestCluster::Settle() {
  for (bool busy = true; busy;) {
    busy = false;
    while (!network_.empty()) {
      Deliver(0);
      busy = true;
    }
    for (auto& [id, s] : servers_) {
      if (!s.writes.empty()) {
        CompleteWrites(ServerId(id), s.writes.size());
        busy = true;
      }
      if (!s.cold_reads.empty()) {
        CompleteColdRead(ServerId(id));
        busy = true;
      }
    }
  }
}

void TestCluster::Run(Duration by) {
  const Instant end = now_ + by;
  while (now_ < end) {
    Settle();
    Advance(1ms);
    TickDue();
  }
  Settle();
}

void TestCluster::Propose(ServerId id, size_t count, uint32_t size) {
  struct Propose propose;
  propose.entries.resize(count);
  for (EntryMeta& e : propose.entries) e.size = size;
  Step(id, std::move(propose));
}

void TestCluster::ProposeConfiguration(ServerId id,
                                       const Configuration& configuration) {
  struct Propose propose;
  propose.entries.resize(1);
  propose.entries[0].kind = EntryKind::kConfiguration;
  propose.entries[0].size = 100;
  propose.entries[0].configuration =
      std::make_shared<const Configuration>(configuration);
  Step(id, std::move(propose));
}

void TestCluster::Read(ServerId id, uint64_t read_id) {
  Step(id, ReadRequest{read_id});
}

// --- What there is ----------------------------------------------------------

TestCluster::Server& TestCluster::server(ServerId id) {
  auto it = servers_.find(id.value());
  CHECK(it != servers_.end());
  return it->second;
}

std::vector<ServerId> TestCluster::ids() const {
  std::vector<ServerId> ids;
  for (const auto& [id, s] : servers_) ids.push_back(ServerId(id));
  return ids;
}

ServerId TestCluster::leader() {
  ServerId leader;
  Term term;
  for (auto& [id, s] : servers_) {
    if (s.core == nullptr || s.core->role() != Role::kLeader) continue;
    if (s.core->term() < term) continue;
    term = s.core->term();
    leader = ServerId(id);
  }
  return leader;
}

std::map<std::string, uint64_t> TestCluster::Stats() {
  std::map<std::string, uint64_t> sum = stats_;
  for (auto& [id, s] : servers_) {
    if (s.core == nullptr) continue;
    s.core->stats().ForEach(
        [&sum](const char* name, uint64_t value) { sum[name] += value; });
  }
  return sum;
}

std::string TestCluster::Describe() {
  std::string text;
  for (ServerId id : ids()) absl::StrAppend(&text, Describe(id), "\n");
  return text;
}

std::string TestCluster::Describe(ServerId id) {
  const Server& s = server(id);
  if (s.core == nullptr) return absl::StrCat(id.value(), ": down");
  const RaftCore& c = *s.core;
  std::string text = absl::StrCat(
      id.value(), ": ", ToString(c.role()), " term=", c.term().value(),
      " vote=", c.vote().value(), " leader=", c.leader().value(),
      " last=", c.last_index().value(), "/", c.last_term().value(),
      " commit=", c.commit().value(), " durable=", c.durable().value());
  if (!c.is_voter()) absl::StrAppend(&text, " (no voter)");
  absl::StrAppend(&text, " configuration=", c.configuration_index().value(),
                  Ids(" voters", c.configuration().voters),
                  Ids(" old", c.configuration().old_voters),
                  Ids(" learners", c.configuration().learners));
  for (const Progress& p : c.progress()) {
    if (p.id() == id) continue;
    absl::StrAppend(&text, " [", p.id().value(), " ", ToString(p.state()),
                    " match=", p.match().value(), " next=", p.next().value(),
                    p.cold_token != 0 ? " cold" : "", "]");
  }
  return text;
}

// --- Safety -----------------------------------------------------------------

void TestCluster::CheckPersist(const Server& s, const RaftPersist& p,
                               Index old_commit) {
  // Leader append-only.
  CHECK(s.core->role() != Role::kLeader || !p.cut_from.has_value());
  if (p.cut_from.has_value()) CHECK_GT(*p.cut_from, old_commit);
  for (const EntryMeta& e : p.entries) {
    // Log matching: whoever has an entry with this index and term has the same
    // one, and the same one before it; by induction, the same log up to it.
    const Fact fact = {s.core->trail().TermAt(e.index - 1), e.size, e.kind};
    auto [it, fresh] =
        facts_.try_emplace({e.index.value(), e.term.value()}, fact);
    CHECK(it->second == fact);
    // An entry comes into the world at its term's leader only.
    if (fresh) CHECK(s.core->role() == Role::kLeader);
  }
}

void TestCluster::CheckMessage(const Server& s, const Message& m) {
  CHECK(m.from == s.options.id);
  CHECK(m.to != s.options.id);
  CHECK(IsWellFormed(m));
  // Nothing is said in a term before the term is durable.
  const bool pre_vote = m.type == MessageType::kPreVoteRequest ||
                        (m.type == MessageType::kPreVoteAnswer && !m.rejected);
  if (!pre_vote) CHECK_EQ(m.term, s.hard_state.term);
  switch (m.type) {
    case MessageType::kVoteRequest:
      CHECK(s.hard_state.vote == m.from);
      break;
    case MessageType::kVoteAnswer:
      if (!m.rejected) CHECK(s.hard_state.vote == m.to);
      break;
    case MessageType::kAppendRequest:
      CHECK(s.core->role() == Role::kLeader);
      for (const EntryMeta& e : m.entries) {
        auto it = s.memory.find(e.index.value());
        CHECK(it != s.memory.end() && it->second == e);
      }
      break;
    case MessageType::kAppendAnswer:
      if (m.rejected) break;
      // Acknowledged means durable, and the very same entries.
      CHECK_LE(m.index.value(), s.log.size());
      CHECK_LE(m.index, s.core->last_index());
      for (uint64_t i = m.index.value();
           i > s.core->trail().base_index().value(); --i) {
        CHECK_EQ(s.log[i - 1].term, s.core->trail().TermAt(Index(i)));
        // Below its commit index nothing changes any more.
        if (i + 20 < s.core->commit().value()) break;
      }
      break;
    default:
      break;
  }
}

void TestCluster::CheckRole(const Server& s) {
  if (s.core->role() != Role::kLeader) return;
  // Nobody holds a lease that isn't the last leader.
  for (const auto& [id, other] : servers_) {
    CHECK(other.core == nullptr || other.core->term() >= s.core->term() ||
          !other.core->HoldsLease(now_));
    CHECK(other.core == nullptr || other.core->role() != Role::kLeader ||
          other.core->term() <= s.core->term() || !s.core->HoldsLease(now_));
  }
  // Election safety.
  auto [it, fresh] = leaders_.try_emplace(s.core->term().value(), s.options.id);
  CHECK(it->second == s.options.id);
  if (!fresh) return;
  // Leader completeness.
  for (const EntryMeta& e : committed_) {
    if (e.index < s.core->trail().base_index()) continue;
    CHECK_LE(e.index, s.core->last_index());
    CHECK_EQ(e.term, s.core->trail().TermAt(e.index));
  }
}

void TestCluster::CheckCommit(const Server& s, Index old_commit) {
  const Index commit = s.core->commit();
  CHECK_GE(commit, old_commit);
  if (commit == old_commit) return;
  // State-machine safety.
  for (Index i = std::max(old_commit + 1, s.core->trail().base_index());
       i <= commit; ++i) {
    const Term term = s.core->trail().TermAt(i);
    if (i.value() <= committed_.size()) {
      CHECK_EQ(term, committed_[i.value() - 1].term);
      continue;
    }
    // The leader is the first to know.
    CHECK(s.core->role() == Role::kLeader || s.core->leader() == ServerId());
    EntryMeta meta;
    meta.index = i;
    meta.term = term;
    committed_.push_back(meta);
  }
  if (s.core->role() == Role::kLeader) CheckQuorumHas(s, commit);
}

// Committed means that a majority has it on disk.
void TestCluster::CheckQuorumHas(const Server& s, Index index) {
  const Term term = s.core->trail().TermAt(index);
  CHECK_EQ(term, s.core->term());
  const uint64_t have =
      QuorumValue(s.core->configuration(), [&](ServerId id) -> uint64_t {
        const std::vector<EntryMeta>& log = server(id).log;
        return log.size() >= index.value() &&
               log[index.value() - 1].term == term;
      });
  CHECK_EQ(have, uint64_t{1});
}

void TestCluster::CheckReads(Server* s) {
  for (const ReadReady& ready : output_.reads_ready) {
    auto it = s->reads.find(ready.id);
    CHECK(it != s->reads.end());
    CHECK_GE(ready.index, it->second);
    CHECK_LE(ready.index, s->core->commit());
    s->reads.erase(it);
    reads_ready_.push_back(ready);
  }
  for (uint64_t id : output_.reads_failed) {
    CHECK(s->reads.erase(id) == 1);
    reads_failed_.push_back(id);
  }
  if (s->core->role() != Role::kLeader) CHECK(s->reads.empty());
}

}  // namespace holdfast
