#include "engine/node/remote_reads.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace holdfast {
namespace {

constexpr int kWaits = 10;

}  // namespace

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
  if (answered_.empty()) {
    late_ = loop_->After(kWaits * timeout_, [this] { FailLate(); });
  }
  const Instant until = loop_->Now() + kWaits * timeout_;
  for (ResultFn<Index>& done : asked_) {
    answered_.emplace(answer.index, Answered{until, std::move(done)});
  }
  asked_.clear();
  if (!next_.empty()) AskNext(asked_of_);
  OnCommit(commit);
}

void RemoteReads::OnCommit(Index commit) {
  while (!answered_.empty() && answered_.begin()->first <= commit) {
    auto node = answered_.extract(answered_.begin());
    node.mapped().done(node.key());
  }
  if (answered_.empty()) late_.Cancel();
}

// The disk here is full, say, or hangs.
void RemoteReads::FailLate() {
  std::vector<ResultFn<Index>> failed;
  Instant next = Instant::max();
  for (auto it = answered_.begin(); it != answered_.end();) {
    if (it->second.until > loop_->Now()) {
      next = std::min(next, it->second.until);
      ++it;
      continue;
    }
    failed.push_back(std::move(it->second.done));
    it = answered_.erase(it);
  }
  if (!answered_.empty()) {
    late_ = loop_->At(next, [this] { FailLate(); });
  }
  stats_.failed += failed.size();
  for (ResultFn<Index>& done : failed) {
    done(absl::UnavailableError(
        "this server is behind the leader, and doesn't catch up"));
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
  std::multimap<Index, Answered> answered = std::move(answered_);
  answered_.clear();
  late_.Cancel();
  FailAsked(why);
  for (auto& [index, read] : answered) read.done(why);
}

}  // namespace holdfast
