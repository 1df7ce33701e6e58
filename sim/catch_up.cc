#include "sim/catch_up.h"

#include "absl/strings/str_cat.h"
#include "engine/node/cold_read_pace.h"
#include "engine/wal/checkpoint_file.h"

namespace holdfast {
namespace {

// To the follower and back: twice the longest delay, two syncs of its disk (one
// may be under way), and a file for its next segment.
constexpr Duration kRoundTrip = 6ms;
// The same without its disk, for a chunk of a checkpoint.
constexpr Duration kChunkRoundTrip = 1ms;
// Of entries from the leader's files, one read after the other.
constexpr Duration kRead = 200us;
// Of a thousand messages, each way, two take up to 40 ms longer: on average, so
// much each.
constexpr Duration kTail = 80us;
// A stream that has been half open: it is silent for 1.5 s, and 1 s longer for
// the bytes of its window; then back-off, and the deadline of a dial.
constexpr Duration kNewStream = 1500ms + 1s + 1s + 1s;

// Of the same log.
Index CommonTo(const SimServer& leader, const Member& member,
               const SimServer& server) {
  if (!server.running() || !server.node().formed() ||
      server.node().identity().incarnation != member.incarnation) {
    return Index(0);
  }
  const RaftCore& core = *server.node().core();
  const Index last = core.durable();
  const Trail& trail = leader.node().core()->trail();
  if (last < core.trail().base_index() || last < trail.base_index()) {
    return core.commit();
  }
  return trail.Has(last, core.trail().TermAt(last)) ? last : core.commit();
}

// Of the checkpoint that the leader would send.
uint64_t CheckpointBytes(const SimServer& leader) {
  const Index base = leader.node().base().index;
  const auto file =
      leader.disk()->names().Find(CheckpointName(CheckpointKind::kBase, base));
  return file == nullptr ? 0 : file->now().size();
}

Duration Times(uint64_t n, Duration each) {
  return static_cast<int64_t>(n) * each;
}

}  // namespace

Duration SendingTime(uint64_t log_bytes, const RaftOptions& raft) {
  // Two messages in a row hold more than one has room for.
  const uint64_t messages = 2 * log_bytes / raft.max_append_bytes + 2;
  const uint64_t rounds = messages / raft.max_messages_in_flight +
                          2 * log_bytes / raft.max_bytes_in_flight + 2;
  return Times(rounds, kRoundTrip) + Times(messages, kRead + 2 * kTail);
}

// The next leader begins anew.
void CatchUp::Under(const SimServer& leader) {
  const Term term = leader.node().core()->term();
  if (std::exchange(term_, term) == term) return;
  std::erase_if(laggards_,
                [](const auto& noted) { return !noted.second.caught_up; });
}

CatchUp::Laggard CatchUp::Note(TrueTime now, const SimServer& leader,
                               const Member& member,
                               const SimServer& server) const {
  const RaftCore& core = *leader.node().core();
  const RaftOptions& raft = core.options();
  const NodeOptions& node = leader.node().options();
  Laggard laggard{.since = now, .to = core.commit()};
  const Index from = CommonTo(leader, member, server);
  laggard.caught_up = from >= laggard.to;
  uint64_t chunks = 0;
  const Index base = core.trail().base_index();
  laggard.by_checkpoint = from < base;
  if (laggard.by_checkpoint) {
    // Perhaps one that is under way, which isn't enough, and the next.
    laggard.bytes = 2 * CheckpointBytes(leader);
    chunks = laggard.bytes / node.checkpoint_chunk_bytes + 2;
  }
  const uint64_t log = bounds_->LogBytes(std::max(from, base), laggard.to);
  laggard.bytes += log;
  laggard.bound = kNewStream + 4 * raft.election_timeout_max +
                  TimeFor(laggard.bytes, node.catch_up_bytes_per_second) +
                  SendingTime(log, raft) +
                  Times(chunks, kChunkRoundTrip + 2 * kTail);
  return laggard;
}

void CatchUp::LookAt(TrueTime now, const SimServer& leader,
                     const Member& member, const SimServer& server) {
  // It has nothing of the kind in mind.
  if (server.forged()) return;
  const std::pair who(member.id, member.incarnation);
  auto it = laggards_.find(who);
  if (it == laggards_.end()) {
    it = laggards_.emplace(who, Note(now, leader, member, server)).first;
    if (it->second.caught_up) return;
    ++worst_.laggards;
    worst_.bytes = std::max(worst_.bytes, it->second.bytes);
  }
  Laggard& laggard = it->second;
  if (laggard.caught_up) return;
  // What it lacked may be dropped, where that is more than is kept: then it
  // needs a checkpoint.
  if (!laggard.by_checkpoint &&
      CommonTo(leader, member, server) <
          leader.node().core()->trail().base_index()) {
    laggard = Note(now, leader, member, server);
    if (laggard.caught_up) return;
  }
  const Duration took = now - laggard.since;
  laggard.caught_up =
      server.running() && server.node().formed() &&
      server.node().identity().incarnation == member.incarnation &&
      server.node().core()->durable_commit() >= laggard.to;
  if (laggard.caught_up || took > laggard.bound) {
    worst_.percent = std::max(worst_.percent, took * 100 / laggard.bound);
    worst_.took = std::max(worst_.took, took);
  }
  if (laggard.caught_up || took <= laggard.bound) return;
  verdict_->NotLive(absl::StrCat(
      "not settled: server ", member.id.value(), " lacked ", laggard.bytes,
      " bytes up to entry ", laggard.to.value(), " when server ",
      leader.id().value(), " led without faults, and still does after ",
      ToMillis(took), " ms; at most ", ToMillis(laggard.bound)));
}

}  // namespace holdfast
