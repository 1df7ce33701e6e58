#ifndef HOLDFAST_ENGINE_RAFT_MESSAGE_H_
#define HOLDFAST_ENGINE_RAFT_MESSAGE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/base/configuration.h"
#include "engine/base/entry_kind.h"
#include "engine/base/time.h"
#include "engine/base/types.h"

namespace holdfast {

// All that the core knows of a log entry: its payload stays with the driver.
struct EntryMeta {
  Index index;
  Term term;
  // Bytes the entry takes in a message and in memory: header and payload.
  uint32_t size = 0;
  EntryKind kind = EntryKind::kBatch;
  // Not null exactly for kConfiguration. Whoever receives a message decodes
  // it from the entry's payload before the core sees the message.
  std::shared_ptr<const Configuration> configuration;

  bool operator==(const EntryMeta&) const = default;
};

// The numbers are on the wire.
enum class MessageType : uint8_t {
  kPreVoteRequest = 1,  // Ongaro's thesis, section 9.6
  kPreVoteAnswer = 2,
  kVoteRequest = 3,  // RequestVote (Raft, figure 2)
  kVoteAnswer = 4,
  kAppendRequest = 5,  // AppendEntries
  kAppendAnswer = 6,
  kHeartbeat = 7,  // no entries, never waits for a disk
  kHeartbeatAnswer = 8,
  kTimeoutNow = 9,  // stand for election at once (thesis, section 3.10)
};

// What servers' cores say to each other. One flat struct; which fields count
// is said per type. Fields that don't count are zero.
struct Message {
  MessageType type = MessageType::kHeartbeat;
  ServerId from;
  ServerId to;
  // The sender's term. Pre-vote requests, and answers that grant them, carry
  // the term that the candidate would start: its own plus one.
  Term term;

  // Vote and pre-vote request: index and term of the candidate's last entry.
  // Timeout now: those of the leader's.
  // Append request: those of the entry right before `entries`.
  // Heartbeat: those of the last entry sent to this follower, so that it can
  //   tell when one got lost on the way.
  // Append answer: accepted, the last index that is known to equal the
  //   leader's and is durable here; rejected, the request's index
  //   (`log_term` is 0).
  // Heartbeat answer: the follower's last index (`log_term` is 0).
  Index index;
  Term log_term;

  // Append request, heartbeat: the leader's commit index (in a heartbeat
  // bounded by what the follower is known to have).
  Index commit;

  // Answers: refused. Of a heartbeat: the entry it names is not here.
  bool rejected = false;

  // Rejected append answer: from where to look for the last common entry: no
  // entry after hint_index can match, and the one at hint_index has hint_term.
  Index hint_index;
  Term hint_term;

  // Heartbeat and its answer: the number of the latest round of leadership
  // confirmation (ReadIndex, thesis section 6.4), echoed.
  uint64_t read_round = 0;

  // Heartbeat: when it was sent, by the leader's clock, if the leader wants
  // promises. Its answer: the same echoed, and for how long from the answer on,
  // by the follower's clock, it votes for nobody else (lease.cc); 0: no
  // promise.
  Instant sent_at;
  Duration promise = Duration::zero();

  // Vote request: the leader itself asked for this election, so that it
  // counts though the leader is alive.
  bool transfer = false;

  // Append request: consecutive, from index + 1.
  std::vector<EntryMeta> entries;

  bool operator==(const Message&) const = default;
};

// What answers a request.
bool IsAnswer(MessageType type);

// "VoteRequest", "AppendAnswer", ...
const char* ToString(MessageType type);

// One line with the fields that count: for logs and transcripts.
std::string ToString(const Message& message);

// Whether a message could have been sent by a correct server at all: known
// type, a term, consecutive entries with terms that don't fall or exceed the
// sender's. The core ignores (and counts) what is not.
bool IsWellFormed(const Message& message);

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_RAFT_MESSAGE_H_
