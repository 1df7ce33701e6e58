#include "engine/node/log_repair.h"

#include <algorithm>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "engine/base/check.h"
#include "engine/base/crc32c.h"

namespace holdfast {
namespace {

// So many times others have to answer until a server that knows of none takes
// itself for the only one.
constexpr int kAloneMax = 20;

}  // namespace

LogRepair::LogRepair(Loop* loop, uint64_t life, Duration timeout,
                     uint64_t last_number, Callbacks callbacks)
    : loop_(loop), timeout_(timeout), callbacks_(std::move(callbacks)) {
  question_.life = life;
  question_.number = last_number;
}

void LogRepair::Fetch(const LogHole& hole, Term term, Patience patience,
                      ResultFn<Mended> done) {
  CHECK(!asking_);
  asking_ = true;
  checkpoint_only_ = false;
  patience_ = patience;
  done_ = std::move(done);
  // What came the last time didn't fit.
  const bool in_vain = hole_.first != Index(0) && hole.first <= hole_.first;
  hole_ = hole;
  AskForAll();
  question_.term = term_ = term;
  AskForParts(CheckpointId());
  if (hole.last != told_of_ && hole.log_behind == Term()) {
    told_of_ = hole.last;
    callbacks_.log_line(absl::StrCat(
        "event=log_damaged first=", hole.first.value(),
        " last=", hole.last.value(), " last_term=", hole.last_term.value()));
  }
  in_vain_ = 0;
  lacking_.clear();
  all_ = callbacks_.others();
  if (in_vain) {
    timer_ = loop_->After(timeout_, [this] { AskNext(); });
    return;
  }
  // Whoever had the ones before most likely has these.
  const std::vector<ServerId> others = callbacks_.others();
  if (!absl::c_linear_search(others, question_.to)) return AskNext();
  Ask();
}

void LogRepair::FetchCheckpoint(Index at_least, DoneFn failed) {
  CHECK(!asking_);
  asking_ = true;
  checkpoint_only_ = true;
  patience_ = Patience::kEndless;
  done_ = [failed = std::move(failed)](absl::StatusOr<Mended> none) mutable {
    failed(none.status());
  };
  hole_ = LogHole{.first = at_least, .last = at_least};
  question_.term = term_ = Term();
  in_vain_ = 0;
  AskNext();
}

void LogRepair::Again() {
  asking_ = true;
  InVain("has a checkpoint that won't do");
}

void LogRepair::ReadAgain() {
  Finish(absl::AbortedError("a checkpoint stands for them now"));
}

void LogRepair::AskForAll() {
  question_.hole = hole_;
  if (hole_.later == Index()) return;
  question_.hole.last = hole_.later;
  question_.hole.last_term = hole_.later_term;
}

void LogRepair::AskNext() {
  AskForAll();
  AskForParts(CheckpointId());
  const std::vector<ServerId> others = callbacks_.others();
  if (others.empty() && patience_ == Patience::kOnce) {
    return Finish(absl::UnavailableError("there is no other server any more"));
  }
  if (others.empty()) {
    // It has to hear of one first.
    if (++alone_ > kAloneMax && callbacks_.may_be_alone()) {
      return Finish(
          absl::DataLossError("no other server is known that may have them"));
    }
    timer_ = loop_->After(timeout_, [this] { AskNext(); });
    return;
  }
  if (in_vain_ < others.size()) {
    question_.to = others[next_++ % others.size()];
    return Ask();
  }
  in_vain_ = 0;
  const bool lost = others == all_ && absl::c_all_of(all_, [this](ServerId id) {
                      return absl::c_linear_search(lacking_, id);
                    });
  if (patience_ == Patience::kOnce && lost) {
    answers_.clear();
    return Finish(
        Mended{.entries = {}, .lost_to = std::min(lost_to_, hole_.last)});
  }
  if (patience_ == Patience::kOnce) {
    return Finish(absl::UnavailableError(
        absl::StrCat("entries ", question_.hole.first.value(), " to ",
                     question_.hole.last.value(), " are damaged here; ",
                     std::exchange(answers_, {}))));
  }
  callbacks_.log_line(absl::StrCat(
      "event=repair_waits first=", hole_.first.value(),
      " last=", hole_.last.value(), " answers=\"", answers_, "\""));
  answers_.clear();
  timer_ = loop_->After(timeout_, [this] { AskNext(); });
}

void LogRepair::AskForParts(const CheckpointId& id) {
  question_.id = id;
  question_.at = 0;
  part_.clear();
}

void LogRepair::Ask() {
  ++question_.number;
  ++stats_.asked;
  timer_ = loop_->After(timeout_, [this] { InVain("doesn't answer"); });
  callbacks_.send(question_);
}

void LogRepair::InVain(absl::string_view what, Index lacks_to) {
  ++in_vain_;
  if (lacks_to >= hole_.first) {
    lost_to_ = lacking_.empty() ? lacks_to : std::min(lost_to_, lacks_to);
    lacking_.push_back(question_.to);
  }
  absl::StrAppend(&answers_, answers_.empty() ? "" : ", ", "server ",
                  question_.to.value(), " ", what);
  AskNext();
}

void LogRepair::OnAnswer(const RepairAnswer& answer) {
  if (!asking_ || answer.life != question_.life ||
      answer.number != question_.number || answer.from != question_.to) {
    return;
  }
  const LogHole& hole = question_.hole;
  switch (answer.outcome) {
    case RepairOutcome::kEntries: {
      if (checkpoint_only_) return InVain("has no checkpoint of them");
      if (hole_.log_behind > Term() && !EndsBehind(answer, hole_.log_behind)) {
        return InVain("has no later term yet");
      }
      Mended mended;
      for (const Entry& entry : answer.entries) {
        if (entry.header.index > std::min(hole.last, hole_.last)) break;
        // Committed there in a term that this server hasn't been in: then it
        // had another one, which can't have been.
        if (patience_ == Patience::kEndless && hole.last_term == Term() &&
            entry.header.term > term_) {
          mended.never_committed = mended.entries.empty();
          break;
        }
        // Whatever its log has there now, it isn't these.
        const Term term = entry.header.term;
        const LogHole& known = patience_ == Patience::kOnce ? hole_ : hole;
        if (known.last_term > Term() &&
            (term > known.last_term ||
             (entry.header.index == known.last && term != known.last_term))) {
          return InVain("has other entries");
        }
        mended.entries.push_back(entry);
      }
      if (mended.never_committed) ++stats_.never_committed;
      if (mended.entries.empty() && !mended.never_committed) {
        return InVain("has other entries");
      }
      return Finish(std::move(mended));
    }
    case RepairOutcome::kLacks:
      ++stats_.lacking;
      if (DropsOrAsksForFewer(answer)) return;
      return InVain("lacks them",
                    answer.log_index < hole.first ? hole_.last : Index());
    case RepairOutcome::kUnreadable:
      ++stats_.unreadable;
      if (HadLaterTerm(answer) && DropsOrAsksForFewer(answer)) return;
      return InVain("can't read them", answer.damaged_to);
    case RepairOutcome::kCheckpoint:
      if (answer.id.bytes == 0 || answer.id.index < hole.first) {
        return InVain("begins behind them");
      }
      AskForParts(answer.id);
      return Ask();
    case RepairOutcome::kPart:
      return OnPart(answer);
  }
}

bool LogRepair::DropsOrAsksForFewer(const RepairAnswer& answer) {
  if (IsNeverCommitted(answer)) {
    ++stats_.never_committed;
    Finish(Mended{.entries = {}, .never_committed = true});
    return true;
  }
  if (!AskForFewer(answer)) return false;
  Ask();
  return true;
}

bool LogRepair::IsNeverCommitted(const RepairAnswer& answer) {
  const LogHole& hole = question_.hole;
  // Without its term it isn't known which one it was: what goes for a later one
  // says nothing of it.
  if (patience_ == Patience::kOnce || hole.last_term == Term() ||
      hole_.last_term == Term()) {
    return false;
  }
  // It says nothing of those before it, unless that leader's own ones begin
  // there.
  return LeaderLacked(answer) &&
         (hole.first == hole.last || answer.log_index <= hole.first);
}

bool LogRepair::LeaderLacked(const RepairAnswer& answer) const {
  return EndsBehind(answer, question_.hole.last_term);
}

bool LogRepair::EndsBehind(const RepairAnswer& answer, Term term) const {
  return answer.log_term > term && answer.log_term >= term_;
}

bool LogRepair::HadLaterTerm(const RepairAnswer& answer) const {
  return hole_.at_end && answer.log_index > Index() &&
         answer.log_index <= question_.hole.last && LeaderLacked(answer);
}

bool LogRepair::AskForFewer(const RepairAnswer& answer) {
  LogHole& hole = question_.hole;
  // It may have all of them, and not the later one yet.
  if (hole_.later > Index() && hole.last_term > Term()) {
    hole = hole_;
    return true;
  }
  if (hole.first == hole.last) return false;
  // It has the first ones of them: those of one term are the same everywhere.
  if (hole.one_term && answer.log_term == hole.last_term &&
      answer.log_index >= hole.first && answer.log_index < hole.last) {
    hole.last = answer.log_index;
    return true;
  }
  if (hole.last_term == Term()) return false;
  // Nothing goes from a server that has a part in Raft. But of what the other
  // one has, some may be committed, and is the log's then.
  if (patience_ == Patience::kOnce) {
    const Index last =
        std::min({hole.last, answer.log_index, callbacks_.commit()});
    if (last < hole.first) return false;
    hole.last = last;
    hole.last_term = Term();
    return true;
  }
  if (!LeaderLacked(answer)) return false;
  // The last one goes; those before it may be the log's.
  if (hole.one_term) {
    hole.last = hole.first + (hole.last - hole.first) / 2;
  } else {
    hole.last = hole.first;
    hole.last_term = Term();
  }
  return true;
}

void LogRepair::Finish(absl::StatusOr<Mended> mended) {
  timer_.Cancel();
  asking_ = false;
  ResultFn<Mended> done = std::move(done_);
  done_ = nullptr;
  done(std::move(mended));
}

void LogRepair::OnPart(const RepairAnswer& answer) {
  const bool fits = answer.id == question_.id && answer.at == part_.size() &&
                    !answer.part.empty() &&
                    answer.part.size() <= answer.id.bytes - answer.at;
  if (fits) part_.append(answer.part.data(), answer.part.size());
  if (fits && part_.size() < question_.id.bytes) {
    question_.at = part_.size();
    return Ask();
  }
  if (!fits || Crc32c(part_) != question_.id.crc) {
    return InVain("gave another checkpoint than it said");
  }
  timer_.Cancel();
  asking_ = false;
  ++stats_.checkpoints;
  callbacks_.on_checkpoint(question_.id, std::move(part_), answer.from);
}

}  // namespace holdfast
