#include "engine/log/sessions.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/base/batch.h"
#include "engine/base/bytes.h"
#include "engine/base/check.h"

namespace holdfast {

Buffer EncodeSessionLimits(const SessionLimits& limits) {
  Buffer payload = Buffer::Uninitialized(12);
  ByteWriter w(payload.data_mutable(), payload.size());
  w.Int<uint64_t>(static_cast<uint64_t>(ToMillis(limits.idle_max)));
  w.Int<uint32_t>(limits.count_max);
  return payload;
}

absl::StatusOr<SessionLimits> DecodeSessionLimits(absl::string_view payload) {
  ByteReader r(payload);
  const uint64_t idle_ms = r.Int<uint64_t>();
  SessionLimits limits;
  limits.count_max = r.Int<uint32_t>();
  constexpr uint64_t kIdleMsMax = uint64_t{1} << 40;  // 34 years
  if (!r.ok() || !r.rest().empty() || idle_ms > kIdleMsMax) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a session's registration: expected 12 bytes and at most ", kIdleMsMax,
        " ms, found ", payload.size(), " bytes and ", idle_ms, " ms"));
  }
  limits.idle_max = std::chrono::milliseconds(idle_ms);
  return limits;
}

Sessions::Answer Sessions::Check(SessionId session, Sequence sequence) const {
  Answer answer;
  auto it = sessions_.find(session);
  if (it == sessions_.end()) return answer;
  const Session& s = it->second;
  answer.expected = s.last + 1;
  if (sequence > s.last) {
    answer.verdict = sequence == s.last + 1 ? Verdict::kNew : Verdict::kGap;
    return answer;
  }
  uint64_t back = s.last - sequence;  // 0: the latest
  if (sequence.value() == 0 || back >= s.results.size()) {
    answer.verdict = Verdict::kForgotten;
    return answer;
  }
  answer.verdict = Verdict::kDuplicate;
  answer.result = s.results[s.results.size() - 1 - back];
  return answer;
}

absl::Status Sessions::Apply(const Entry& entry) {
  const EntryHeader& h = entry.header;
  if (h.kind == EntryKind::kSession) {
    const absl::StatusOr<SessionLimits> limits =
        DecodeSessionLimits(entry.payload.view());
    if (!limits.ok()) return limits.status();
    Register(h.index, h.log_time, *limits);
  } else if (h.kind == EntryKind::kLost) {
    EndAll(h.index);
  } else if (h.kind == EntryKind::kBatch) {
    const absl::StatusOr<BatchHeader> batch =
        ReadBatchHeader(entry.payload.view());
    if (!batch.ok()) return batch.status();
    if (batch->session != SessionId() &&
        !Record(batch->session, batch->sequence, {h.index, h.base_offset},
                h.log_time)) {
      return absl::FailedPreconditionError(
          absl::StrCat("entry ", h.index.value(),
                       " isn't the next one of its producer's session"));
    }
  }
  return absl::OkStatus();
}

void Sessions::Register(Index index, WallTime at, const SessionLimits& limits) {
  SessionId id(index.value());
  CHECK(!sessions_.contains(id));
  Undo undo{.index = index,
            .session = id,
            .registered = true,
            .ended_all = false,
            .displaced = {},
            .active = {},
            .ended = {}};
  auto end = [&](auto it) {
    ++ended_;
    undo.ended.emplace_back(it->first, std::move(it->second));
    return sessions_.erase(it);
  };
  for (auto it = sessions_.begin(); it != sessions_.end();) {
    it = at - it->second.active > limits.idle_max ? end(it) : std::next(it);
  }
  while (sessions_.size() >= std::max<uint32_t>(limits.count_max, 1)) {
    end(std::min_element(sessions_.begin(), sessions_.end(),
                         [](const auto& a, const auto& b) {
                           return a.second.active < b.second.active;
                         }));
  }
  sessions_[id].active = at;
  undos_.push_back(std::move(undo));
}

void Sessions::EndAll(Index index) {
  Undo undo{.index = index,
            .session = SessionId(),
            .registered = false,
            .ended_all = true,
            .displaced = {},
            .active = {},
            .ended = {}};
  for (auto& [id, session] : sessions_) {
    ++ended_;
    undo.ended.emplace_back(id, std::move(session));
  }
  sessions_.clear();
  undos_.push_back(std::move(undo));
}

bool Sessions::Record(SessionId session, Sequence sequence,
                      const Result& result, WallTime at) {
  if (Check(session, sequence).verdict != Verdict::kNew) return false;
  Session& s = sessions_[session];
  Undo undo{.index = result.index,
            .session = session,
            .registered = false,
            .ended_all = false,
            .displaced = {},
            .active = s.active,
            .ended = {}};
  s.last = sequence;
  s.active = at;
  s.results.push_back(result);
  if (s.results.size() > kResultsKept) {
    undo.displaced = s.results.front();
    s.results.pop_front();
  }
  undos_.push_back(std::move(undo));
  return true;
}

void Sessions::Cut(Index from) {
  while (!undos_.empty() && undos_.back().index >= from) {
    Undo& undo = undos_.back();
    if (undo.registered || undo.ended_all) {
      if (undo.registered) sessions_.erase(undo.session);
      for (auto& [id, session] : undo.ended) {
        sessions_.emplace(id, std::move(session));
      }
    } else {
      Session& s = sessions_.at(undo.session);
      CHECK(!s.results.empty());
      s.results.pop_back();
      s.last = s.last - 1;
      s.active = undo.active;
      if (undo.displaced.has_value()) s.results.push_front(*undo.displaced);
    }
    undos_.pop_back();
  }
}

Buffer Sessions::Encode() const {
  size_t size = 8;
  for (const auto& [id, session] : sessions_) {
    size += 8 + 8 + 8 + 4 + session.results.size() * 16;
  }
  Buffer bytes = Buffer::Uninitialized(size);
  ByteWriter w(bytes.data_mutable(), bytes.size());
  w.Int<uint64_t>(sessions_.size());
  for (const auto& [id, session] : sessions_) {
    w.Int<uint64_t>(id.value());
    w.Int<uint64_t>(session.last.value());
    w.Int<int64_t>(session.active.time_since_epoch().count());
    w.Int<uint32_t>(static_cast<uint32_t>(session.results.size()));
    for (const Result& result : session.results) {
      w.Int<uint64_t>(result.index.value());
      w.Int<uint64_t>(result.base_offset.value());
    }
  }
  CHECK_EQ(w.room(), size_t{0});
  return bytes;
}

absl::StatusOr<Sessions> Sessions::Decode(absl::string_view bytes) {
  ByteReader r(bytes);
  Sessions sessions;
  const uint64_t count = r.Int<uint64_t>();
  for (uint64_t i = 0; i < count && r.ok(); ++i) {
    const SessionId id(r.Int<uint64_t>());
    Session session;
    session.last = Sequence(r.Int<uint64_t>());
    session.active = WallTime(Duration(r.Int<int64_t>()));
    const uint32_t results = r.Int<uint32_t>();
    if (results > kResultsKept || results > session.last.value() ||
        (!sessions.sessions_.empty() &&
         id <= sessions.sessions_.rbegin()->first)) {
      return absl::InvalidArgumentError("sessions: they contradict themselves");
    }
    for (uint32_t k = 0; k < results; ++k) {
      const Index index(r.Int<uint64_t>());
      const Offset base_offset(r.Int<uint64_t>());
      session.results.push_back(Result{index, base_offset});
    }
    sessions.sessions_.emplace(id, std::move(session));
  }
  if (!r.ok() || !r.rest().empty()) {
    return absl::InvalidArgumentError("sessions: their length is wrong");
  }
  return sessions;
}

void Sessions::Commit(Index commit) {
  while (!undos_.empty() && undos_.front().index <= commit) {
    undos_.pop_front();
  }
}

}  // namespace holdfast
