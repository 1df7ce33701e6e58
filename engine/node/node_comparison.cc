// What a server makes of it when another one's log isn't its own
// (LogComparison).

#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/node/node.h"

namespace holdfast {
namespace {

// Of an entry that is looked up, with some behind it.
constexpr size_t kLookUpBytes = 64 << 10;

absl::Status Forgotten(Index acknowledged, Index last) {
  return absl::DataLossError(absl::StrCat(
      "this server has acknowledged entries up to ", acknowledged.value(),
      " to its leader, and its log ends at entry ", last.value(),
      ": its disk has lost what was durable, perhaps all of the newest "
      "segment's file; let the server leave, clear its directory, and let it "
      "join anew"));
}

absl::Status OtherLogs(absl::string_view whose, Index index) {
  return absl::DataLossError(absl::StrCat(
      "entry ", index.value(), ", or one before it, isn't the same in this ",
      whose,
      " log and in those of a quorum of the cluster: let the server leave, "
      "clear its directory, and let it join anew"));
}

}  // namespace

bool Node::Compare(const ReceivedMessage& received) {
  const Message& message = received.message;
  // The core ignores and counts what isn't.
  if (!IsWellFormed(message)) return true;
  const std::optional<LogClaim> contradicted = comparison_.contradiction();
  const std::optional<LogClaim> differed =
      comparison_.DifferenceOf(message.from);
  const bool counts = Counts(received);
  const auto tell = [this, &message](absl::string_view event,
                                     const std::optional<LogClaim>& before,
                                     const std::optional<LogClaim>& now) {
    if (now == before || !now.has_value()) return;
    LogLine(absl::StrCat("event=", event, " peer=", message.from.value(),
                         " index=", now->index.value()));
  };
  tell("log_contradicted", contradicted, comparison_.contradiction());
  const std::optional<LogClaim> differs =
      comparison_.DifferenceOf(message.from);
  tell("log_differs", differed, differs);
  if (!is_leader()) return counts;
  if (differs.has_value() && differs != differed) CheckOutvoted(differs->index);
  const std::optional<LogClaim> claim =
      comparison_.ToLookUp(message.from, base_.point.index);
  if (claim.has_value() && !stopped_) LookUp(message.from, *claim);
  return counts && !stopped_;
}

void Node::CheckOutvoted(Index at) {
  if (comparison_.Outvoted(*configuration())) {
    Stop(OtherLogs("leader's", at));
  }
}

void Node::LookUp(ServerId peer, const LogClaim& claim) {
  if (claim.index == base_.point.index) {
    return comparison_.LookedUp(peer, claim, base_.point.chain);
  }
  wal_->Read(claim.index, kLookUpBytes,
             scope_.Wrap([this, peer,
                          claim](absl::StatusOr<std::vector<Entry>> entries) {
               if (stopped_ || !is_leader()) return;
               if (!entries.ok()) {
                 return comparison_.LookedUp(peer, claim, std::nullopt);
               }
               if (absl::Status own = CheckRead(*entries); !own.ok()) {
                 return Stop(std::move(own));
               }
               comparison_.LookedUp(peer, claim, entries->front().header.chain);
             }));
}

absl::Status Node::CheckRead(const std::vector<Entry>& entries) const {
  std::optional<uint64_t> before =
      tail_.ChainAt(entries.front().header.index - 1);
  for (const Entry& entry : entries) {
    const EntryHeader& header = entry.header;
    const std::optional<uint64_t> known = tail_.ChainAt(header.index);
    const bool fits =
        !before.has_value() || ChainHash(*before, header) == header.chain;
    if (!fits || known.value_or(header.chain) != header.chain) {
      return absl::DataLossError(absl::StrCat(
          "entry ", header.index.value(),
          " on this server's disk is another one than it once wrote, though "
          "its checksums are right; a start anew asks the other servers"));
    }
    before = header.chain;
  }
  return absl::OkStatus();
}

bool Node::Counts(const ReceivedMessage& received) {
  const Message& message = received.message;
  const Trail& trail = core_->trail();
  switch (message.type) {
    case MessageType::kPreVoteRequest:
    case MessageType::kVoteRequest:
      return !comparison_.RefusesVote(received, trail);
    case MessageType::kAppendRequest:
      // An old leader hears from the core that it is one.
      return message.term < core_->term() ||
             !comparison_.Contradicts(received, trail);
    case MessageType::kHeartbeat:
      // It names what this server has acknowledged in the leader's term.
      if (message.term < core_->term() ||
          message.commit <= core_->last_index()) {
        return true;
      }
      // A later leader may not know what it had acknowledged.
      Retire(Forgotten(message.commit, core_->last_index()));
      return false;
    case MessageType::kHeartbeatAnswer:
    case MessageType::kAppendAnswer:
      if (message.term != core_->term() || !is_leader()) return true;
      if (message.type == MessageType::kHeartbeatAnswer) {
        comparison_.Note(message.from, received.extras);
      }
      return !comparison_.Differs(message.from);
    default:
      return true;
  }
}

absl::Status Node::CheckSameLog() const {
  if (!comparison_.contradiction().has_value()) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat(
      "what a leader sent doesn't continue this server's log: entry ",
      comparison_.contradiction()->index.value(),
      ", or one before it, isn't the same in the two"));
}

void Node::OnCondemned(const LogClaim& condemned) {
  if (condemned.index == Index()) return;
  if (comparison_.Is(condemned)) Stop(OtherLogs("server's", condemned.index));
}

}  // namespace holdfast
