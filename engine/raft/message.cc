#include "engine/raft/message.h"

#include "absl/strings/str_cat.h"

namespace holdfast {
namespace {

// Keeps arithmetic on indexes far from wrapping around.
constexpr uint64_t kIndexMax = uint64_t{1} << 62;
constexpr Duration kPromiseMax = 1h;

bool EntriesWellFormed(const Message& m) {
  Index index = m.index;
  Term term = m.log_term;
  for (const EntryMeta& e : m.entries) {
    if (e.index != index + 1 || e.term < term || e.term > m.term) return false;
    if ((e.kind == EntryKind::kConfiguration) != (e.configuration != nullptr)) {
      return false;
    }
    index = e.index;
    term = e.term;
  }
  return true;
}

}  // namespace

bool IsAnswer(MessageType type) {
  switch (type) {
    case MessageType::kPreVoteAnswer:
    case MessageType::kVoteAnswer:
    case MessageType::kAppendAnswer:
    case MessageType::kHeartbeatAnswer:
      return true;
    case MessageType::kPreVoteRequest:
    case MessageType::kVoteRequest:
    case MessageType::kAppendRequest:
    case MessageType::kHeartbeat:
    case MessageType::kTimeoutNow:
      return false;
  }
  return false;
}

const char* ToString(MessageType type) {
  switch (type) {
    case MessageType::kPreVoteRequest:
      return "PreVoteRequest";
    case MessageType::kPreVoteAnswer:
      return "PreVoteAnswer";
    case MessageType::kVoteRequest:
      return "VoteRequest";
    case MessageType::kVoteAnswer:
      return "VoteAnswer";
    case MessageType::kAppendRequest:
      return "AppendRequest";
    case MessageType::kAppendAnswer:
      return "AppendAnswer";
    case MessageType::kHeartbeat:
      return "Heartbeat";
    case MessageType::kHeartbeatAnswer:
      return "HeartbeatAnswer";
    case MessageType::kTimeoutNow:
      return "TimeoutNow";
  }
  return "UnknownMessage";
}

std::string ToString(const Message& m) {
  std::string text = absl::StrCat(m.from.value(), "->", m.to.value(), " ",
                                  ToString(m.type), " term=", m.term.value());
  switch (m.type) {
    case MessageType::kPreVoteRequest:
    case MessageType::kVoteRequest:
      absl::StrAppend(&text, " last=", m.index.value(), "/", m.log_term.value(),
                      m.transfer ? " transfer" : "");
      break;
    case MessageType::kPreVoteAnswer:
    case MessageType::kVoteAnswer:
      absl::StrAppend(&text, m.rejected ? " refused" : " granted");
      break;
    case MessageType::kAppendRequest:
      absl::StrAppend(&text, " prev=", m.index.value(), "/", m.log_term.value(),
                      " commit=", m.commit.value(), " entries=[");
      for (size_t i = 0; i < m.entries.size(); ++i) {
        absl::StrAppend(&text, i == 0 ? "" : " ", m.entries[i].index.value(),
                        "/", m.entries[i].term.value());
      }
      absl::StrAppend(&text, "]");
      break;
    case MessageType::kAppendAnswer:
      if (m.rejected) {
        absl::StrAppend(&text, " refused prev=", m.index.value(),
                        " hint=", m.hint_index.value(), "/",
                        m.hint_term.value());
      } else {
        absl::StrAppend(&text, " match=", m.index.value());
      }
      break;
    case MessageType::kHeartbeat:
      absl::StrAppend(&text, " sent=", m.index.value(), "/", m.log_term.value(),
                      " commit=", m.commit.value(), " round=", m.read_round);
      break;
    case MessageType::kHeartbeatAnswer:
      absl::StrAppend(&text, m.rejected ? " lacking" : "",
                      " last=", m.index.value(), " round=", m.read_round);
      break;
    case MessageType::kTimeoutNow:
      absl::StrAppend(&text, " last=", m.index.value(), "/",
                      m.log_term.value());
      break;
  }
  return text;
}

bool IsWellFormed(const Message& m) {
  if (m.from == ServerId() || m.to == ServerId() || m.from == m.to) {
    return false;
  }
  if (m.term == Term() || m.log_term > m.term) return false;
  // No server counts so far; the next one must not be 0 again.
  if (m.term.value() > kIndexMax) return false;
  if (m.index.value() > kIndexMax || m.commit.value() > kIndexMax ||
      m.hint_index.value() > kIndexMax) {
    return false;
  }
  if (m.index == Index() && m.log_term != Term()) return false;
  if (m.type != MessageType::kAppendRequest && !m.entries.empty()) return false;
  if (m.type != MessageType::kVoteRequest && m.transfer) return false;
  if (m.promise < Duration::zero() || m.promise > kPromiseMax) return false;
  switch (m.type) {
    case MessageType::kPreVoteRequest:
    case MessageType::kPreVoteAnswer:
    case MessageType::kVoteRequest:
    case MessageType::kVoteAnswer:
    case MessageType::kHeartbeat:
    case MessageType::kHeartbeatAnswer:
    case MessageType::kTimeoutNow:
      return true;
    case MessageType::kAppendRequest:
      return EntriesWellFormed(m);
    case MessageType::kAppendAnswer:
      // Nothing precedes the first entry that could be refused.
      return !m.rejected || m.index != Index();
  }
  return false;
}

}  // namespace holdfast
