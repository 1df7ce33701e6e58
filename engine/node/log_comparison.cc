#include "engine/node/log_comparison.h"

#include <utility>

#include "engine/raft/quorum.h"

namespace holdfast {
namespace {

LogClaim ClaimOf(const LogPoint& point) { return {point.index, point.chain}; }

}  // namespace

void LogComparison::Claim(const Message& message, const Trail& trail,
                          MessageExtras* extras) const {
  extras->claim = ClaimOf(tail_->committed());
  if (message.type == MessageType::kHeartbeatAnswer) {
    if (contradiction_.has_value() && contradiction_term_ == message.term) {
      extras->contradicted = true;
      extras->claim = *contradiction_;
    }
    return;
  }
  extras->contradicted = contradiction_.has_value();
  // The log may have changed while the request waited for the disk.
  if (trail.Has(message.index, message.log_term)) {
    extras->last_chain = tail_->ChainAt(message.index).value_or(0);
  }
}

LogComparison::Match LogComparison::Compare(const LogClaim& claim) const {
  const std::optional<uint64_t> own = tail_->ChainAt(claim.index);
  if (!own.has_value()) return Match::kUnknown;
  return *own == claim.chain ? Match::kSame : Match::kOther;
}

bool LogComparison::Is(const LogClaim& claim) const {
  return Compare(claim) == Match::kSame;
}

// --- What leaders send ---

bool LogComparison::Contradicts(const ReceivedMessage& append,
                                const Trail& trail) {
  bool continues = false;
  const std::optional<LogClaim> own =
      FindContradiction(append, trail, &continues);
  if (own.has_value()) Contradict(*own, append.message.term);
  if (continues) ForgetContradiction();
  return own.has_value();
}

bool LogComparison::Contradicts(const LogPoint& checkpoint, Term term,
                                const Trail& trail) {
  if (checkpoint.index > tail_->committed().index &&
      !trail.Has(checkpoint.index, checkpoint.term)) {
    return false;
  }
  if (Compare(ClaimOf(checkpoint)) != Match::kOther) return false;
  Contradict({checkpoint.index, *tail_->ChainAt(checkpoint.index)}, term);
  return true;
}

void LogComparison::Contradict(const LogClaim& own, Term term) {
  ++stats_.contradicted;
  contradiction_ = own;
  contradiction_term_ = term;
}

// `continues`: it brings entries that fit behind this log.
std::optional<LogClaim> LogComparison::FindContradiction(
    const ReceivedMessage& append, const Trail& trail, bool* continues) const {
  const LogPoint& committed = tail_->committed();
  const Message& message = append.message;
  if (!trail.Has(message.index, message.log_term)) {
    // It isn't asked to have it; but what is committed can't be another entry.
    if (message.index > committed.index) return std::nullopt;
    return ClaimOf(committed);
  }
  std::optional<LogPoint> end;
  for (const Entry& entry : append.entries) {
    const EntryHeader& header = entry.header;
    if (trail.Has(header.index, header.term)) {
      const LogClaim theirs = {header.index, header.chain};
      if (Compare(theirs) != Match::kOther) continue;
      return LogClaim{header.index, *tail_->ChainAt(header.index)};
    }
    if (header.index <= committed.index) return ClaimOf(committed);
    if (!end.has_value()) end = tail_->PointAt(header.index - 1);
    if (!Continues(*end, header)) return ClaimOf(*end);
    end = PointAfter(header);
  }
  *continues = end.has_value();
  return std::nullopt;
}

// --- Votes ---

bool LogComparison::RefusesVote(const ReceivedMessage& request,
                                const Trail& trail) {
  const MessageExtras& extras = request.extras;
  const LogClaim last = {request.message.index, extras.last_chain};
  Match match = Match::kUnknown;
  // Behind its base, the trail doesn't know the terms any more.
  if (extras.last_chain != 0 && last.index >= trail.base_index() &&
      trail.Has(last.index, request.message.log_term)) {
    match = Compare(last);
  }
  LogClaim differs = last;
  if (match != Match::kOther && extras.claim.index != Index() &&
      extras.claim.index <= tail_->committed().index &&
      Compare(extras.claim) == Match::kOther) {
    match = Match::kOther;
    differs = extras.claim;
  }
  if (match == Match::kOther) {
    Set(request.message.from, Match::kOther, differs);
  } else if (!extras.contradicted || match == Match::kSame) {
    return false;
  }
  ++stats_.vote_withheld;
  return true;
}

// --- Of others ---

const LogComparison::Peer* LogComparison::Find(ServerId id) const {
  const auto it = peers_.find(id);
  return it == peers_.end() ? nullptr : &it->second;
}

void LogComparison::Set(ServerId id, Match match, const LogClaim& claim) {
  Peer& peer = peers_[id];
  const bool said_before = peer.claim == claim && peer.match >= match;
  if (match >= Match::kSaysOther) {
    // What was looked up of it stays known.
    if (said_before) return;
    ++stats_.differing;
  }
  peer = {.match = match, .claim = claim};
}

std::optional<LogClaim> LogComparison::DifferenceOf(ServerId id) const {
  const Peer* peer = Find(id);
  if (peer != nullptr && peer->match >= Match::kSaysOther) return peer->claim;
  const auto it = condemned_.find(id);
  if (it == condemned_.end()) return std::nullopt;
  return it->second;
}

// --- The leader ---

void LogComparison::BeginToLead() {
  peers_.clear();
  ForgetContradiction();
}

void LogComparison::Note(ServerId from, const MessageExtras& extras) {
  // Of an older release, or a server that knows of nothing committed yet.
  if (extras.claim.index == Index()) return Forget(from);
  Match match = Compare(extras.claim);
  // If it is contradicted although its log is this one, then what it was sent
  // isn't this log either.
  if (match == Match::kSame) condemned_.erase(from);
  if (match == Match::kUnknown && extras.contradicted) {
    match = Match::kSaysOther;
  }
  Set(from, match, extras.claim);
}

bool LogComparison::Differs(ServerId id) const {
  const Peer* peer = Find(id);
  return peer != nullptr && peer->match == Match::kOther;
}

std::optional<LogClaim> LogComparison::ToLookUp(ServerId id, Index first) {
  const auto it = peers_.find(id);
  if (it == peers_.end()) return std::nullopt;
  Peer& peer = it->second;
  if (peer.match != Match::kSaysOther || peer.claim.index < first ||
      std::exchange(peer.looking_up, true)) {
    return std::nullopt;
  }
  ++stats_.looked_up;
  return peer.claim;
}

void LogComparison::LookedUp(ServerId id, const LogClaim& claim,
                             std::optional<uint64_t> chain) {
  const auto it = peers_.find(id);
  if (it == peers_.end() || it->second.match != Match::kSaysOther ||
      it->second.claim != claim) {
    return;
  }
  Peer& peer = it->second;
  if (!chain.has_value()) {
    peer.looking_up = false;
  } else if (*chain != claim.chain) {
    peer.match = Match::kOther;
  }
}

std::optional<LogClaim> LogComparison::Condemn(
    ServerId id, ServerId self, const Configuration& configuration) {
  if (!Differs(id)) return std::nullopt;
  const LogClaim differs = Find(id)->claim;
  // By what this log is now.
  const auto same_to = [this, self](ServerId voter) -> uint64_t {
    if (voter == self) return tail_->last().index.value();
    const Peer* other = Find(voter);
    const bool same =
        other != nullptr && other->match == Match::kSame && Is(other->claim);
    return same ? other->claim.index.value() : 0;
  };
  if (QuorumValue(configuration, same_to) < differs.index.value()) {
    return std::nullopt;
  }
  condemned_[id] = differs;
  return differs;
}

bool LogComparison::Outvoted(const Configuration& configuration) const {
  return QuorumValue(configuration, [this](ServerId voter) -> uint64_t {
           const Peer* peer = Find(voter);
           return peer != nullptr && peer->match >= Match::kSaysOther ? 1 : 0;
         }) > 0;
}

}  // namespace holdfast
