#ifndef HOLDFAST_ENGINE_NODE_LOG_COMPARISON_H_
#define HOLDFAST_ENGINE_NODE_LOG_COMPARISON_H_

#include <cstdint>
#include <map>
#include <optional>

#include "engine/base/configuration.h"
#include "engine/base/types.h"
#include "engine/node/raft_codec.h"
#include "engine/node/tail.h"
#include "engine/raft/trail.h"

namespace holdfast {

// Compares the servers' logs by their chained hashes. Raft takes two entries of
// the same index and term for the same entry. If they aren't, the logs have
// diverged silently: a bug did it, bad memory, or a hand that put another file
// in a file's place; no checksum shows it.
//
// - A follower tells its leader, with each heartbeat's answer, up to where it
//   knows its log committed, and the hash there. The leader compares.
// - A follower compares each entry of an append with what it has and with what
//   it is to stand behind. One that doesn't fit is not taken, and the leader is
//   told of it.
// - A voter compares the candidate's last entry, and its last committed one,
//   with its own: another log gets no vote. A candidate whose log a leader's
//   entries have contradicted gets votes only from those that have its very
//   last entry.
//
// Which of two logs is wrong, a quorum of servers decides, whose logs are the
// same up to there. A server that has it against itself stops. Until then the
// one that differs counts for nothing: its answers confirm no reads and no
// leadership.
//
// Entries whose hashes a server has no more in memory (Tail::ChainAt) are
// compared only if a follower says that the leader's don't fit behind them: the
// leader looks at its disk.
class LogComparison {
 public:
  explicit LogComparison(const Tail* tail) : tail_(tail) {}

  // --- Anybody's ---
  // Adds what this server says of its log, whose picture `trail` is, to an
  // answer or to a request for votes.
  void Claim(const Message& message, const Trail& trail,
             MessageExtras* extras) const;
  // Where a leader's entries contradicted this log; nothing: nowhere. (At 0:
  // this log is empty.)
  const std::optional<LogClaim>& contradiction() const {
    return contradiction_;
  }

  // Whether what the leader of this term, or a later one, appends contradicts
  // this log. The message is well-formed.
  bool Contradicts(const ReceivedMessage& append, const Trail& trail);
  // The same of a checkpoint's last entry.
  bool Contradicts(const LogPoint& checkpoint, Term term, const Trail& trail);
  // The log was replaced.
  void ForgetContradiction() { contradiction_.reset(); }

  // A candidate's request is left without an answer.
  bool RefusesVote(const ReceivedMessage& request, const Trail& trail);
  // Whether this is a claim of this very log, as far as is known.
  bool Is(const LogClaim& claim) const;
  // Where that server's log differs, be it by its own word; also of one that
  // was told so and is gone since.
  std::optional<LogClaim> DifferenceOf(ServerId peer) const;

  // --- The leader's ---
  // This server begins to lead. Its log is the one of those that voted.
  void BeginToLead();
  // What a member says in an answer. The last word counts.
  void Note(ServerId from, const MessageExtras& extras);
  // Another life of that server, perhaps.
  void Forget(ServerId peer) { peers_.erase(peer); }
  // Whether its log is another one, as this server sees itself: its answers
  // shouldn't count. A member may say so of an entry that this one has no more
  // in memory; that alone isn't enough.
  bool Differs(ServerId peer) const;
  // What it says of an entry, not before `first`, that this server has to look
  // up on its disk to tell that. Nothing, until LookedUp.
  std::optional<LogClaim> ToLookUp(ServerId peer, Index first);
  // This server's log has that hash there; nothing: it couldn't be read.
  void LookedUp(ServerId peer, const LogClaim& claim,
                std::optional<uint64_t> chain);
  // Where it differs, if a quorum's logs, this one among them, are the same up
  // to there: it is to be told.
  std::optional<LogClaim> Condemn(ServerId peer, ServerId self,
                                  const Configuration& configuration);
  // Whether the logs of a quorum differ from this one.
  bool Outvoted(const Configuration& configuration) const;

  struct Stats {
    uint64_t contradicted = 0;
    uint64_t differing = 0;
    uint64_t looked_up = 0;
    uint64_t vote_withheld = 0;

    uint64_t any() const {
      return contradicted + differing + looked_up + vote_withheld;
    }
    template <typename Fn>  // fn(name, value)
    void ForEach(Fn fn) const {
      fn("log_contradicted", contradicted);
      fn("log_differing", differing);
      fn("log_looked_up", looked_up);
      fn("log_vote_withheld", vote_withheld);
    }
  };
  const Stats& stats() const { return stats_; }

 private:
  enum class Match : uint8_t {
    kUnknown,  // this server doesn't have it in memory
    kSame,
    kSaysOther,  // ... and the other one says that it isn't
    kOther,
  };
  struct Peer {
    Match match = Match::kUnknown;
    LogClaim claim;  // of which that holds
    bool looking_up = false;
  };

  const Peer* Find(ServerId id) const;
  Match Compare(const LogClaim& claim) const;
  std::optional<LogClaim> FindContradiction(const ReceivedMessage& append,
                                            const Trail& trail,
                                            bool* continues) const;
  void Contradict(const LogClaim& own, Term term);
  void Set(ServerId id, Match match, const LogClaim& claim);

  const Tail* const tail_;
  std::optional<LogClaim> contradiction_;
  Term contradiction_term_;
  std::map<ServerId, Peer> peers_;
  std::map<ServerId, LogClaim> condemned_;
  Stats stats_;
};

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_NODE_LOG_COMPARISON_H_
