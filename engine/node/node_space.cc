// What a Node takes into its log, and what it leaves, when disks are full.

#include <algorithm>
#include <cstdint>
#include <vector>

#include "engine/node/node.h"
#include "engine/raft/quorum.h"

namespace holdfast {
namespace {

// Small ones, that a full disk keeps for what is no record.
constexpr uint64_t kKeptSegments = 2;

}  // namespace

bool Node::TakesIn(const ReceivedMessage& received) {
  const Message& message = received.message;
  const Instant now = env_.loop->Now();
  // Not for long: a leader that asks what this server has hears of it, since it
  // waits for more than a heartbeat before it asks again.
  const bool lately = message.term == refused_in_ &&
                      now - refused_at_ < options_.raft.heartbeat_interval;
  if (!HasRoomFor(received.entries, received.extras.must_take)) {
    ++records_refused_;
    refused_behind_ =
        lately ? std::min(refused_behind_, message.index) : message.index;
    refused_in_ = message.term;
    refused_at_ = now;
    return false;
  }
  // What isn't a record may come behind records that were refused. To say that
  // those before it are missing would bring them again at once, and so on.
  const bool behind_refused = message.type == MessageType::kAppendRequest &&
                              lately && message.index > refused_behind_;
  return !behind_refused || core_->trail().Has(message.index, message.log_term);
}

bool Node::HasRoomFor(const std::vector<Entry>& entries, bool must_take) {
  if (!space_.is_short()) return true;
  // What is no record may be what brings more room.
  bool records = false;
  uint64_t bytes = wal_->bytes_queued();
  for (const Entry& entry : entries) {
    if (core_->trail().Has(entry.header.index, entry.header.term)) continue;
    records = records || entry.header.kind == EntryKind::kBatch;
    bytes += FrameBytes(EntryBytes(entry));
  }
  if (!records) return true;
  const uint64_t room = wal_->room();
  if (bytes + options_.wal.segment_bytes / 4 <= room) return true;
  // Only what the cluster can't do without is worth the rest of the room: a
  // hard state that waits behind records would be the end of its votes. Small
  // segments take up to twice what is in them.
  const uint64_t needed = 2 * (bytes - std::min(bytes, room));
  if (!must_take || needed + kKeptSegments * options_.wal.small_segment_bytes >
                        space_.spare_bytes()) {
    return false;
  }
  space_.NoteUse(needed);
  return true;
}

void Node::NoteShortage(ServerId peer, bool short_of_space) {
  if (short_of_space) {
    short_peers_.insert(peer);
  } else {
    short_peers_.erase(peer);
  }
}

bool Node::HasRoomForRecords() const {
  if (space_.is_short()) return false;
  if (short_peers_.empty()) return true;
  // One that isn't there makes no room for what others have none for.
  const Instant heard = env_.loop->Now() - options_.raft.election_timeout_max;
  const auto has_room = [this, heard](const Progress& peer) {
    const bool there = peer.id() == options_.id || peer.last_heard >= heard;
    return there && !short_peers_.contains(peer.id());
  };
  return QuorumValue(*configuration(), [&](ServerId voter) -> uint64_t {
           for (const Progress& peer : core_->progress()) {
             if (peer.id() == voter) return has_room(peer) ? 1 : 0;
           }
           return 0;
         }) > 0;
}

}  // namespace holdfast
