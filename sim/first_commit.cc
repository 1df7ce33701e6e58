#include "sim/first_commit.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/entry_kind.h"
#include "sim/catch_up.h"

namespace holdfast {
namespace {

// Behind that entry; 0: there is none.
Index FirstAppendBehind(const Tail& tail, Index before) {
  for (Index i = std::max(before + 1, tail.hot_first()); i <= tail.last().index;
       ++i) {
    if (tail.Find(i)->header.kind == EntryKind::kBatch) return i;
  }
  return Index(0);
}

}  // namespace

void FirstCommit::Look(TrueTime now, const SimServer& leader) {
  const RaftCore& core = *leader.node().core();
  const Tail& tail = leader.node().tail();
  if (std::exchange(term_, core.term()) != core.term()) {
    before_ = tail.last().index;
    entry_ = Index(0);
    done_ = false;
  }
  if (done_) return;
  const Index commit = leader.node().commit();
  if (entry_ == Index(0)) {
    entry_ = FirstAppendBehind(tail, before_);
    if (entry_ == Index(0)) return;
    since_ = now;
    const RaftOptions& raft = core.options();
    bound_ = round_trips_ + 4 * raft.election_timeout_max +
             SendingTime(bounds_->LogBytes(commit, entry_), raft);
  }
  const Margin margin = {.took = now - since_, .most = bound_};
  done_ = commit >= entry_ || margin.took > margin.most;
  if (!done_) return;
  if (worst_.most == Duration::zero() || margin.percent() > worst_.percent()) {
    worst_ = margin;
  }
  if (margin.took <= margin.most) return;
  verdict_->NotLive(absl::StrCat(
      "not settled: entry ", entry_.value(), ", an append, isn't committed ",
      ToMillis(margin.took), " ms after server ", leader.id().value(),
      " took it, which leads term ", term_.value(), " without faults; at most ",
      ToMillis(margin.most)));
}

}  // namespace holdfast
