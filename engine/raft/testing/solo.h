#ifndef HOLDFAST_ENGINE_RAFT_TESTING_SOLO_H_
#define HOLDFAST_ENGINE_RAFT_TESTING_SOLO_H_

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "engine/base/check.h"
#include "engine/raft/core.h"
#include "engine/raft/testing/cluster.h"

namespace holdfast {

// One core whose peers are played by the test: for rules about what a server
// does with a given message. Server 1, of the voters 1..n.
class Solo {
 public:
  // A log with entries of the given terms: the first is the configuration.
  // They are known to be committed up to `commit`.
  explicit Solo(uint64_t n = 3, std::vector<uint64_t> terms = {1},
                uint64_t commit = 1, HardState hard_state = {},
                RaftOptions options = {}) {
    std::vector<uint64_t> voters;
    for (uint64_t id = 1; id <= n; ++id) voters.push_back(id);
    RaftRecovered recovered;
    for (uint64_t term : terms) {
      EntryMeta e = Entry(recovered.trail.last_index().value() + 1, term);
      if (e.index == Index(1)) {
        e.kind = EntryKind::kConfiguration;
        e.configuration =
            std::make_shared<const Configuration>(MakeConfiguration(voters));
      }
      recovered.trail.Append(e);
    }
    recovered.hard_state = hard_state;
    recovered.hard_state.term =
        std::max(hard_state.term, recovered.trail.last_term());
    recovered.commit_hint = Index(commit);
    options.id = ServerId(1);
    options.incarnation = Incarnation(1);
    core_ = std::make_unique<RaftCore>(options, std::move(recovered), now_);
  }

  static EntryMeta Entry(uint64_t index, uint64_t term, uint32_t size = 100) {
    EntryMeta e;
    e.index = Index(index);
    e.term = Term(term);
    e.size = size;
    return e;
  }
  static Message From(uint64_t from, MessageType type, uint64_t term) {
    Message m;
    m.type = type;
    m.from = ServerId(from);
    m.to = ServerId(1);
    m.term = Term(term);
    return m;
  }
  // An append of entries of the given terms behind (prev, prev_term).
  static Message Append(uint64_t from, uint64_t term, uint64_t prev,
                        uint64_t prev_term, std::vector<uint64_t> terms,
                        uint64_t commit = 0) {
    Message m = From(from, MessageType::kAppendRequest, term);
    m.index = Index(prev);
    m.log_term = Term(prev_term);
    m.commit = Index(commit);
    for (uint64_t t : terms) m.entries.push_back(Entry(++prev, t));
    return m;
  }
  static Message VoteRequest(uint64_t from, uint64_t term, uint64_t last,
                             uint64_t last_term) {
    Message m = From(from, MessageType::kVoteRequest, term);
    m.index = Index(last);
    m.log_term = Term(last_term);
    return m;
  }

  const RaftOutput& Step(InputEvent event) {
    core_->Step({now_, std::move(event)}, &out_);
    CheckInvariants(*core_);
    return out_;
  }
  const RaftOutput& Get(Message message) {
    return Step(Receive{std::move(message)});
  }
  // All writes under way complete.
  const RaftOutput& Persist() { return Step(Persisted{core_->sequence()}); }
  void Advance(Duration by) { now_ += by; }
  const RaftOutput& Timeout() {
    now_ = std::max(now_, core_->wake());
    return Step(Tick{});
  }
  const RaftOutput& Propose(size_t count = 1, uint32_t size = 100) {
    struct Propose propose;
    propose.entries.resize(count);
    for (EntryMeta& e : propose.entries) e.size = size;
    return Step(std::move(propose));
  }
  // Wins an election with everybody's votes; its no-op is durable.
  void Lead() {
    while (core_->role() == Role::kFollower) Timeout();
    GetVotes(MessageType::kPreVoteAnswer, core_->term().value() + 1);
    Persist();
    GetVotes(MessageType::kVoteAnswer, core_->term().value());
    Persist();
  }
  void GetVotes(MessageType type, uint64_t term) {
    for (const Member& m : core_->configuration().voters) {
      if (m.id != ServerId(1)) Get(From(m.id.value(), type, term));
    }
  }
  // A peer accepts all up to `match`.
  const RaftOutput& Accept(uint64_t from, uint64_t match) {
    Message m = From(from, MessageType::kAppendAnswer, core_->term().value());
    m.index = Index(match);
    return Get(m);
  }
  // The log's terms, from index 1.
  std::vector<uint64_t> Terms() const {
    std::vector<uint64_t> terms;
    for (uint64_t i = 1; i <= core_->last_index().value(); ++i) {
      terms.push_back(core_->trail().TermAt(Index(i)).value());
    }
    return terms;
  }
  const RaftCore& core() const { return *core_; }
  const RaftOutput& out() const { return out_; }
  Instant now() const { return now_; }

 private:
  Instant now_ = Instant(1s);
  std::unique_ptr<RaftCore> core_;
  RaftOutput out_;
};

// What came out, by type and by receiver.
inline std::vector<Message> OfType(const RaftOutput& out, MessageType type) {
  std::vector<Message> found;
  for (const Message& m : out.messages) {
    if (m.type == type) found.push_back(m);
  }
  return found;
}

inline std::vector<Message> AppendsTo(const RaftOutput& out, uint64_t to) {
  std::vector<Message> found;
  for (const Message& m : OfType(out, MessageType::kAppendRequest)) {
    if (m.to == ServerId(to)) found.push_back(m);
  }
  return found;
}

inline Message HeartbeatAnswer(const Solo& s, uint64_t from, uint64_t last,
                               uint64_t round = 0, bool lacking = false) {
  Message m =
      Solo::From(from, MessageType::kHeartbeatAnswer, s.core().term().value());
  m.index = Index(last);
  m.read_round = round;
  m.rejected = lacking;
  return m;
}

inline const Progress& ProgressOf(const Solo& s, uint64_t id) {
  for (const Progress& p : s.core().progress()) {
    if (p.id() == ServerId(id)) return p;
  }
  CHECK(false);
  return s.core().progress().front();
}

// A leader of three whose peers have all it has, and hear of nothing more.
inline Solo Leader(RaftOptions options = {}, uint64_t n = 3) {
  Solo s(n, {1}, 1, {}, options);
  s.Lead();
  for (uint64_t id = 2; id <= n; ++id) s.Accept(id, 2);
  return s;
}

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_RAFT_TESTING_SOLO_H_
