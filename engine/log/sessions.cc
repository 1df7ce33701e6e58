#include "engine/log/sessions.h"

#include <utility>

#include "engine/base/check.h"

namespace holdfast {

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

void Sessions::Register(Index index) {
  SessionId id(index.value());
  CHECK(!sessions_.contains(id));
  sessions_[id];
  undos_.push_back(
      Undo{.index = index, .session = id, .registered = true, .displaced = {}});
}

bool Sessions::Record(SessionId session, Sequence sequence,
                      const Result& result) {
  if (Check(session, sequence).verdict != Verdict::kNew) return false;
  Session& s = sessions_[session];
  Undo undo{.index = result.index,
            .session = session,
            .registered = false,
            .displaced = {}};
  s.last = sequence;
  s.results.push_back(result);
  if (s.results.size() > kResultsKept) {
    undo.displaced = s.results.front();
    s.results.pop_front();
  }
  undos_.push_back(undo);
  return true;
}

void Sessions::Cut(Index from) {
  while (!undos_.empty() && undos_.back().index >= from) {
    const Undo& undo = undos_.back();
    if (undo.registered) {
      sessions_.erase(undo.session);
    } else {
      Session& s = sessions_.at(undo.session);
      CHECK(!s.results.empty());
      s.results.pop_back();
      s.last = s.last - 1;
      if (undo.displaced.has_value()) s.results.push_front(*undo.displaced);
    }
    undos_.pop_back();
  }
}

void Sessions::Commit(Index commit) {
  while (!undos_.empty() && undos_.front().index <= commit) {
    undos_.pop_front();
  }
}

}  // namespace holdfast
