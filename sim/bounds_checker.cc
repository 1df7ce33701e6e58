#include "sim/bounds_checker.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "engine/base/entry_kind.h"

namespace holdfast {
namespace {

// Entries that no append's bytes stand for: no-ops, configurations, sessions
// and trims.
constexpr uint64_t kOtherEntries = 16 << 10;
// Heartbeats, answers and questions in a peer's queue.
constexpr uint64_t kControl = 64 << 10;
// A chunk of a checkpoint is sent again each 200 ms, until the stream is given
// up for its silence, or has brought an answer.
constexpr uint64_t kChunkCopies = 16;
// With each of some heartbeats to six followers.
constexpr uint64_t kBacktracksASecond = 200;

uint64_t BytesOf(const Entry& entry) {
  return kEntryHeaderBytes + entry.payload.size();
}

}  // namespace

void BoundsChecker::Check(const SimServer& server) {
  if (!server.running()) return;
  CheckPeerQueues(server);
  CheckService(server, server.service().options());
  if (!server.node().formed()) return;
  const RaftCore& core = *server.node().core();
  Seen& seen = seen_[server.machine()];
  if (seen.boot != server.boots()) {
    seen = Seen{};
    seen.boot = server.boots();
  }
  NoteEntries(server.node().tail(), &seen);
  if (core.role() == Role::kLeader) {
    for (const Progress& peer : core.progress()) {
      if (peer.id() != core.id()) CheckWindow(server, peer, &seen);
    }
  }
  CheckWal(server, &seen);
  CheckMemory(server);
  CheckSpace(server, &seen);
  CheckBacktracks(server, &seen);
}

void BoundsChecker::Check(const SimClient& client) {
  if (!client.running()) return;
  CheckAppends(client, client.options().queue_bytes_max);
  CheckAdmin(client, client.options().admin_requests_max);
}

void BoundsChecker::CheckAppends(const SimClient& client,
                                 size_t queue_bytes_max) {
  // One alone is taken, however large it is.
  if (client.client().appends_pending() < 2) return;
  const size_t bytes = client.client().append_bytes_pending();
  if (bytes <= queue_bytes_max) return;
  Violate(absl::StrCat("client ", client.machine()),
          "bytes of appends that wait for their outcome", bytes,
          queue_bytes_max);
}

// What servers have of it; they don't tell, but it shows in their answers.
void BoundsChecker::CheckAdmin(const SimClient& client, size_t requests_max) {
  const size_t most = client.admin_traffic().under_way_max;
  if (most <= requests_max) return;
  Violate(absl::StrCat("client ", client.machine()),
          "operators' requests under way on one connection", most,
          requests_max);
}

void BoundsChecker::CheckService(const SimServer& server,
                                 const ServiceOptions& bounds) {
  CheckClients(server, bounds);
  CheckStrangers(server, bounds.log.node.peers.acceptor);
  if (server.node().formed()) CheckPending(server, bounds.log);
}

void BoundsChecker::CheckBacktracks(const SimServer& server, Seen* seen) {
  const Instant now = server.process()->loop()->Now();
  const uint64_t backtracks = server.node().core()->stats().backtrack;
  if (now - seen->backtracks_at > 1s) {
    seen->backtracks_at = now;
    seen->backtracks = backtracks;
  }
  if (backtracks - seen->backtracks <= kBacktracksASecond) return;
  verdict_->Violate(absl::StrCat(
      "bounds: server ", server.id().value(), " moved followers back ",
      backtracks - seen->backtracks, " times within ",
      ToMillis(now - seen->backtracks_at), " ms, to send the same again"));
}

void BoundsChecker::NoteEntries(const Tail& tail, Seen* seen) {
  const Index from = std::max(std::min(seen->last, tail.committed().index) + 1,
                              tail.hot_first());
  if (seen->last == tail.last().index) return;
  for (Index i = from; i <= tail.last().index; ++i) {
    const uint64_t bytes = BytesOf(*tail.Find(i));
    entry_max_ = std::max(entry_max_, bytes);
    if (entry_bytes_.size() < i.value()) entry_bytes_.resize(i.value());
    entry_bytes_[i.value() - 1] = static_cast<uint32_t>(bytes);
  }
  seen->last = tail.last().index;
}

uint64_t BoundsChecker::LogBytes(Index from, Index to) const {
  const uint64_t end = std::min<uint64_t>(to.value(), entry_bytes_.size());
  uint64_t bytes = 0;
  for (uint64_t i = from.value(); i < end; ++i) bytes += entry_bytes_[i];
  return bytes;
}

void BoundsChecker::CheckWindow(const SimServer& server, const Progress& peer,
                                Seen* seen) {
  const RaftOptions& raft = server.node().core()->options();
  const size_t messages = peer.messages_in_flight();
  Judge(server, "messages in flight to server ", peer.id(), messages,
        raft.max_messages_in_flight);
  if (messages > 0) {
    // The last one is sent while there is room for a byte.
    const uint64_t last = peer.in_flight(messages - 1).bytes;
    Judge(server, "bytes in one message to server ", peer.id(), last,
          MessageMax(raft));
    Judge(server, "bytes in flight, before the last message, to server ",
          peer.id(), peer.bytes_in_flight() - last,
          raft.max_bytes_in_flight - 1);
  }
  if (peer.state() != ProgressState::kReplicate) return;
  const std::pair window(peer.match(), peer.next());
  if (std::exchange(seen->windows[peer.id()], window) == window) return;
  CheckSent(server, peer);
}

// All that the follower isn't known to have, of what was sent: the messages
// that bring it were at least as many as it fills.
void BoundsChecker::CheckSent(const SimServer& server, const Progress& peer) {
  const RaftCore& core = *server.node().core();
  uint64_t bytes = 0;
  uint64_t messages = 0;
  uint64_t in_message = core.options().max_append_bytes;
  for (Index i = std::max(peer.match() + 1, core.hot_first()); i < peer.next();
       ++i) {
    if (in_message >= core.options().max_append_bytes) {
      in_message = 0;
      ++messages;
    }
    const uint64_t size = core.trail().Hot(i)->size;
    in_message += size;
    bytes += size;
  }
  Judge(server, "bytes sent and not acknowledged to server ", peer.id(), bytes,
        WindowMax(core.options()));
  Judge(server, "messages sent and not acknowledged to server ", peer.id(),
        messages, core.options().max_messages_in_flight);
}

// What is left of a full disk isn't for records.
void BoundsChecker::CheckSpace(const SimServer& server, Seen* seen) {
  const Node& node = server.node();
  if (!node.is_leader() || !node.disk_space().is_short()) {
    seen->full_end.reset();
    return;
  }
  const Offset end = node.tail().last().next_offset;
  if (!seen->full_end.has_value()) seen->full_end = end;
  Judge(server, "records taken, since its disk was full, by server ",
        server.id(), end - *seen->full_end, 0);
}

void BoundsChecker::CheckWal(const SimServer& server, Seen* seen) {
  const RaftCore& core = *server.node().core();
  const uint64_t queued = server.node().wal()->bytes_queued();
  const bool leads = core.role() == Role::kLeader;
  const Index base = core.trail().base_index();
  const uint64_t terms = core.term().value() - seen->term.value();
  if (queued == 0) {
    seen->wal_max = 0;
  } else if (seen->wal_max == 0 || terms > 0 || base != seen->base ||
             leads != seen->led) {
    // A leader takes no append while as much as that waits here already, but
    // what one task takes is put here at its end. A follower's acknowledgement
    // needs the disk, and its leader's window that; what a checkpoint stands
    // for is acknowledged with it, and may be waiting still. Who led when the
    // task began may have taken appends in it, and then heard of a leader.
    seen->wal_max += kOtherEntries;
    if (leads || seen->led) {
      seen->wal_max += 2 * server.log().options().pending_bytes_max;
    }
    if (!leads) {
      seen->wal_max += std::max<uint64_t>(terms, 1) * WindowMax(core.options());
    }
  }
  seen->term = core.term();
  seen->base = base;
  seen->led = leads;
  Judge(server, "bytes of entries that wait for its disk", ServerId(), queued,
        seen->wal_max);
}

void BoundsChecker::CheckMemory(const SimServer& server) {
  const DistributedLog& log = server.log();
  const RaftCore& core = *log.node().core();
  // More only of what isn't both committed and durable.
  if (core.hot_first() <= core.durable_commit()) {
    Judge(server, "bytes of entries in memory", ServerId(),
          core.trail().hot_bytes(), core.options().hot_bytes);
  }
  // The payloads are those of the hot entries.
  Judge(server, "entries in memory that are no longer hot", ServerId(),
        core.hot_first() -
            std::min(core.hot_first(), log.node().tail().hot_first()),
        0);
}

void BoundsChecker::CheckPeerQueues(const SimServer& server) {
  const NodeOptions& node = server.node().options();
  // Besides what is in flight: what was sent before it was given up for lost,
  // though it was merely slow, and what was sent anew since; not more, for the
  // leader waits twice as long each time.
  const uint64_t bound = 3 * WindowMax(node.raft) + kControl +
                         kChunkCopies * node.checkpoint_chunk_bytes;
  server.node().peers().ForEachQueue([&](ServerId id, size_t queued) {
    Judge(server, "bytes queued for server ", id, queued, bound);
  });
}

void BoundsChecker::CheckPending(const SimServer& server,
                                 const LogOptions& bounds) {
  const DistributedLog& log = server.log();
  const Node& node = log.node();
  Judge(server, "bytes of batches that wait for their commit", ServerId(),
        log.pending_bytes(), bounds.pending_bytes_max);
  if (!node.is_leader()) return;
  // Counted anew: somebody waits for each batch of its own term that isn't
  // committed, or, if it has a machine, applied.
  const Tail& tail = node.tail();
  const Index answered =
      log.applier() == nullptr ? node.commit() : log.applier()->applied();
  const Index first =
      std::max({answered + 1, node.core()->term_start(), tail.hot_first()});
  if (tail.last().index < first + bounds.pending_appends_max) return;
  uint64_t batches = 0;
  for (Index i = first; i <= tail.last().index; ++i) {
    batches += tail.Find(i)->header.kind == EntryKind::kBatch;
  }
  Judge(server, "appends that wait for their commit", ServerId(), batches,
        bounds.pending_appends_max);
}

void BoundsChecker::CheckClients(const SimServer& server,
                                 const ServiceOptions& bounds) {
  Judge(server, "clients", ServerId(), server.service().client_count(),
        bounds.clients_max);
  const uint64_t answers_max =
      bounds.log.node.peers.acceptor.client_stream.queue_bytes_max;
  server.service().ForEachClient([&](const ClientLoad& client) {
    Judge(server, "requests of a client", ServerId(), client.requests,
          bounds.requests_per_client_max);
    Judge(server, "tails of a client", ServerId(), client.tails,
          bounds.tails_per_client_max);
    Judge(server, "bytes of answers that a client hasn't taken", ServerId(),
          client.answer_bytes, answers_max);
    const bool full =
        client.answer_bytes > bounds.answer_bytes_per_client_max ||
        client.requests >= bounds.requests_per_client_max;
    Judge(server, "clients read from beyond their bounds", ServerId(),
          full && client.reads_on ? 1 : 0, 0);
  });
}

// Counted anew: connections of which nothing has become so far. Those that were
// refused aren't among them, though they may stay until their peers have read
// that.
void BoundsChecker::CheckStrangers(const SimServer& server,
                                   const AcceptorOptions& bounds) {
  const AcceptorCounts& counts = server.node().peers().counts();
  const uint64_t known = counts.accepted + counts.refused_full +
                         counts.refused_first_byte + counts.refused_handshake +
                         counts.refused_hello + counts.timed_out + counts.lost;
  const uint64_t accepted = server.process()->accepted();
  Judge(server, "connections that haven't said who they are", ServerId(),
        accepted - std::min(accepted, known), bounds.pending_max);
}

void BoundsChecker::Violate(absl::string_view who, absl::string_view what,
                            uint64_t found, uint64_t bound) {
  verdict_->Violate(absl::StrCat("bounds: ", who, " has ", found, " ", what,
                                 "; at most ", bound));
}

}  // namespace holdfast
