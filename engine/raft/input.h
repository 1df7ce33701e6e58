#ifndef HOLDFAST_ENGINE_RAFT_INPUT_H_
#define HOLDFAST_ENGINE_RAFT_INPUT_H_

// What goes into RaftCore::Step and what comes out: values only.

#include <cstdint>
#include <optional>
#include <variant>
#include <vector>

#include "engine/base/hard_state.h"
#include "engine/base/time.h"
#include "engine/base/types.h"
#include "engine/raft/message.h"
#include "engine/raft/trail.h"

namespace holdfast {

// What a server's disk gave back, all of it durable.
struct RaftRecovered {
  HardState hard_state;  // term at least trail.last_term()
  Trail trail;           // its hot entries: those whose payloads are in memory
  // An index up to which the log was once known to be committed and durable
  // (RaftCore::durable_commit()); may be too low, and beyond the log's end.
  Index commit_hint;
};

// --- Inputs -----------------------------------------------------------------

// Time has passed. Due once RaftOutput::wake is reached; harmless at any time.
struct Tick {};

// A message that came in, addressed to this server.
struct Receive {
  Message message;
};

// Entries to append, in order: size and kind are given (and configuration, for
// a kConfiguration, which comes alone); index and term are assigned here. The
// first gets trail().last_index() + 1, provided that role() is kLeader.
// Otherwise all of them come back as RaftOutput::rejected_proposals.
struct Propose {
  std::vector<EntryMeta> entries;
};

// All of RaftOutput::persist up to this sequence is durable. Rising.
struct Persisted {
  uint64_t sequence = 0;
};

// Wants an index to read at, linearizably: answered in RaftOutput::reads_ready
// or reads_failed, possibly by a later step. The caller chooses the id.
struct ReadRequest {
  uint64_t id = 0;
};

// The connection on which that peer sends to us is gone: its process may be.
struct PeerLost {
  ServerId peer;
};

// Some message given out for that peer may never arrive (the connection to it
// broke, its queue was full): resend without waiting to find out.
struct SendLost {
  ServerId peer;
};

// Hand leadership over to that voter, once it has all of the log: nothing new
// should be proposed meanwhile. Done when another leads, given up after an
// election timeout; see RaftCore::transfer_to. Nothing happens unless this is
// the leader, and that another voter.
struct Transfer {
  ServerId to;
};

// A RaftColdRead was read, and RaftCore::ColdAppend's message handed to the
// network; or it will not be.
struct ColdSent {
  ServerId to;
  uint64_t token = 0;
  Index last_index;
  uint64_t bytes = 0;
};
struct ColdFailed {
  ServerId to;
  uint64_t token = 0;
};

// The driver has a durable checkpoint that stands for all entries up to
// `up_to`, committed and durable ones, and drops these.
struct Compacted {
  Index up_to;
};

// A checkpoint came from a leader, and is durable here: it stands for all
// entries up to `index`, which were committed. If the log doesn't hold that
// entry, the checkpoint takes the place of all of it: see
// RaftOutput::installed.
struct InstallCheckpoint {
  Index index;
  Term term;
  Trail::ConfigurationAt configuration;
};

using InputEvent = std::variant<Tick, Receive, Propose, Persisted, ReadRequest,
                                PeerLost, SendLost, Transfer, ColdSent,
                                ColdFailed, Compacted, InstallCheckpoint>;

struct RaftInput {
  Instant now;  // never before an earlier one
  InputEvent event;
};

// --- RaftOutput ---

// To be written as one: the hard state first, then the cut, then the entries.
struct RaftPersist {
  uint64_t sequence = 0;  // one more than the RaftPersist before
  std::optional<HardState> hard_state;
  // Entries from here on are gone, also those of earlier Persists still in
  // flight.
  std::optional<Index> cut_from;
  // Consecutive, up to the log's new end. In answer to Receive: the last ones
  // of that message's. In answer to Propose: the proposed ones. Otherwise: a
  // new leader's no-op.
  std::vector<EntryMeta> entries;
};

// A peer lacks entries whose payloads are not in memory: read [first, ...]
// from the log on disk, at least one entry, and then as many more as
// max_bytes allow. All that is cold is durable here.
struct RaftColdRead {
  ServerId to;
  uint64_t token = 0;
  Term term;  // the leader's
  Index first;
  Index prev_index;
  Term prev_term;
  uint64_t max_bytes = 0;
};

struct ReadReady {
  uint64_t id = 0;
  Index index;  // read once all up to here is applied
};

struct RaftOutput {
  std::optional<RaftPersist> persist;
  // May be sent at once, whatever becomes of `persist`; in order per receiver.
  // The entries of appends are hot: their payloads are in memory, or came with
  // this very step.
  std::vector<Message> messages;
  std::vector<RaftColdRead> cold_reads;
  // Also by accessor. Committed is what a quorum has on disk, which may be
  // before this server's own disk has it.
  Index commit;
  bool commit_advanced = false;
  std::vector<ReadReady> reads_ready;
  std::vector<uint64_t> reads_failed;
  size_t rejected_proposals = 0;
  // The log is empty behind the checkpoint now, on disk too as far as the core
  // is concerned: what was being written of the old one doesn't count.
  bool installed = false;
  // Role, term, leader, transfer: see the accessors.
  bool role_changed = false;
  // Step a Tick when this is reached.
  Instant wake = kNever;

  // As new, but keeps memory.
  void Clear();
};

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_RAFT_INPUT_H_
