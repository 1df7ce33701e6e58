#include "engine/node/remote_reads.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace holdfast {

void RemoteReads::Ask(ServerId leader, Index commit, ResultFn<Index> done) {
  // What was committed meanwhile may have freed others.
  OnCommit(commit);
  next_.push_back(std::move(done));
  if (asked_.empty()) AskNext(leader);
}

void RemoteReads::AskNext(ServerId leader) {
  ++question_;
  ++stats_.asked;
  asked_ = std::move(next_);
  next_.clear();
  asked_of_ = leader;
  timer_ = loop_->After(timeout_, [this] {
    FailAsked(absl::UnavailableError(absl::StrCat(
        "server ", asked_of_.value(), ", the leader, doesn't answer")));
  });
  send_(ReadIndexQuestion{.to = leader, .life = life_, .number = question_});
}

void RemoteReads::OnAnswer(const ReadIndexAnswer& answer, Index commit) {
  if (answer.life != life_ || answer.number != question_ ||
      answer.from != asked_of_ || asked_.empty()) {
    ++stats_.foreign;
    return;
  }
  if (answer.index == Index(0)) {
    return FailAsked(absl::UnavailableError(absl::StrCat(
        "server ", answer.from.value(), " couldn't confirm that it leads")));
  }
  timer_.Cancel();
  ++stats_.answered;
  if (answer.index > commit) stats_.waited += asked_.size();
  for (ResultFn<Index>& done : asked_) {
    answered_.emplace(answer.index, std::move(done));
  }
  asked_.clear();
  if (!next_.empty()) AskNext(asked_of_);
  OnCommit(commit);
}

void RemoteReads::OnCommit(Index commit) {
  while (!answered_.empty() && answered_.begin()->first <= commit) {
    auto node = answered_.extract(answered_.begin());
    node.mapped()(node.key());
  }
}

void RemoteReads::FailAsked(const absl::Status& why) {
  timer_.Cancel();
  std::vector<ResultFn<Index>> failed = std::move(asked_);
  asked_.clear();
  for (ResultFn<Index>& done : next_) failed.push_back(std::move(done));
  next_.clear();
  stats_.failed += failed.size();
  for (ResultFn<Index>& done : failed) done(why);
}

void RemoteReads::FailAll(const absl::Status& why) {
  std::multimap<Index, ResultFn<Index>> answered = std::move(answered_);
  answered_.clear();
  FailAsked(why);
  for (auto& [index, done] : answered) done(why);
}

}  // namespace holdfast
