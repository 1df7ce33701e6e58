#include "engine/node/log_repair.h"

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "engine/base/crc32c.h"
#include "engine/wal/testing/memory_loop.h"
#include "engine/wal/testing/wal_run.h"
#include "gtest/gtest.h"

namespace holdfast {
namespace {

constexpr ServerId kTwo(2);
constexpr ServerId kThree(3);
constexpr Duration kTimeout = 500ms;

class LogRepairTest : public testing::Test {
 protected:
  LogRepairTest() {
    LogPoint last;
    for (int i = 0; i < 9; ++i) {
      log_.push_back(NextEntry(last, Term(i < 6 ? 3 : 4), 100));
      last = PointAfter(log_.back().header);
    }
  }
  void Fetch(LogHole hole, Term term,
             LogRepair::Patience patience = LogRepair::Patience::kEndless) {
    result_.reset();
    repair_.Fetch(hole, term, patience,
                  [this](absl::StatusOr<Mended> m) { result_ = std::move(m); });
  }
  RepairAnswer Answer(RepairOutcome outcome) const {
    RepairAnswer answer;
    answer.from = asked_.back().to;
    answer.life = asked_.back().life;
    answer.number = asked_.back().number;
    answer.outcome = outcome;
    return answer;
  }
  RepairAnswer Lacks(Index log_index, Term log_term) const {
    RepairAnswer answer = Answer(RepairOutcome::kLacks);
    answer.log_index = log_index;
    answer.log_term = log_term;
    return answer;
  }
  RepairAnswer Has(Index first, Index last) const {
    RepairAnswer answer = Answer(RepairOutcome::kEntries);
    answer.log_term = log_.back().header.term;
    for (Index i = first; i <= last; ++i) {
      answer.entries.push_back(log_[i.value() - 1]);
    }
    return answer;
  }
  void NextTimeout() { ASSERT_TRUE(loop_.RunOne()); }

  MemoryLoop loop_;
  std::vector<Entry> log_;  // 1 to 6 of term 3, 7 to 9 of term 4
  std::vector<ServerId> others_{kTwo, kThree};
  bool alone_ = false;
  Index commit_{9};
  std::vector<RepairQuestion> asked_;
  std::optional<absl::StatusOr<Mended>> result_;
  std::string checkpoint_;
  LogRepair repair_{
      &loop_, 77, kTimeout, 0,
      LogRepair::Callbacks{
          .others = [this] { return others_; },
          .may_be_alone = [this] { return alone_; },
          .commit = [this] { return commit_; },
          .send = [this](const RepairQuestion& q) { asked_.push_back(q); },
          .on_checkpoint = [this](const CheckpointId&, std::string bytes,
                                  ServerId) { checkpoint_ = std::move(bytes); },
          .log_line = [](absl::string_view) {}}};
};

TEST_F(LogRepairTest, WhoDoesNotAnswerIsFollowedByTheNext) {
  Fetch({Index(2), Index(3), Term(3), true}, Term(5));
  EXPECT_EQ(asked_.back().to, kTwo);
  EXPECT_EQ(asked_.back().term, Term(5));
  const RepairAnswer late = Has(Index(2), Index(3));
  NextTimeout();
  EXPECT_EQ(asked_.back().to, kThree);
  repair_.OnAnswer(late);  // to an earlier question
  EXPECT_FALSE(result_.has_value());
  // More than was asked for, of which not all is taken.
  repair_.OnAnswer(Has(Index(2), Index(5)));
  ASSERT_TRUE(result_.has_value() && result_->ok());
  EXPECT_EQ((*result_)->entries.size(), 2u);
  // That one first, the next time.
  Fetch({Index(5), Index(5), Term(3), true}, Term(5));
  EXPECT_EQ(asked_.back().to, kThree);
}

TEST_F(LogRepairTest, WhoIsNoMemberAnyMoreIsNotAsked) {
  using enum LogRepair::Patience;
  Fetch({Index(2), Index(2), Term(3), true}, Term(5), kOnce);
  EXPECT_EQ(asked_.back().to, kTwo);
  repair_.OnAnswer(Has(Index(2), Index(2)));
  others_ = {kThree};
  Fetch({Index(4), Index(4), Term(3), true}, Term(5), kOnce);
  EXPECT_EQ(asked_.back().to, kThree);
  NextTimeout();
  ASSERT_TRUE(result_.has_value());
  EXPECT_EQ(result_->status().code(), absl::StatusCode::kUnavailable);
}

// Who has a later entry has them all; who hasn't may have them nonetheless.
TEST_F(LogRepairTest, ALaterEntryStandsForALastOneOfUnknownTerm) {
  const LogHole hole{.first = Index(5),
                     .last = Index(6),
                     .last_term = Term(),
                     .one_term = false,
                     .behind_gap = false,
                     .later = Index(8),
                     .later_term = Term(4)};
  for (bool has_later : {true, false}) {
    Fetch(hole, Term(5));
    // They are asked for once more, as if they hadn't fit.
    if (!has_later) NextTimeout();
    EXPECT_EQ(asked_.back().hole.last, Index(8));
    EXPECT_EQ(asked_.back().hole.last_term, Term(4));
    if (!has_later) {
      const ServerId to = asked_.back().to;
      repair_.OnAnswer(Lacks(Index(7), Term(4)));
      EXPECT_EQ(asked_.back().to, to);
      EXPECT_EQ(asked_.back().hole.last, Index(6));
      EXPECT_EQ(asked_.back().hole.last_term, Term());
      // Nor are they committed, as far as that one knows.
      repair_.OnAnswer(Lacks(Index(7), Term(4)));
      EXPECT_NE(asked_.back().to, to);
      EXPECT_EQ(asked_.back().hole.last, Index(8));
      // That the later one was never committed says nothing of these.
      repair_.OnAnswer(Lacks(Index(4), Term(5)));
      EXPECT_FALSE(result_.has_value());
      EXPECT_EQ(asked_.back().hole.last_term, Term());
    }
    repair_.OnAnswer(Has(Index(5), Index(8)));
    ASSERT_TRUE(result_.has_value() && result_->ok());
    EXPECT_EQ((*result_)->entries.size(), 2u);
  }
}

// A follower that is behind may have the only copies of a hole's first entries.
TEST_F(LogRepairTest, WhoHasTheFirstOnesIsAskedForThese) {
  for (LogRepair::Patience patience :
       {LogRepair::Patience::kOnce, LogRepair::Patience::kEndless}) {
    Fetch({Index(2), Index(6), Term(3), true}, Term(5), patience);
    repair_.OnAnswer(Lacks(Index(4), Term(3)));
    EXPECT_EQ(asked_.back().to, kTwo);
    EXPECT_EQ(asked_.back().hole.last, Index(4));
    repair_.OnAnswer(Has(Index(2), Index(4)));
    ASSERT_TRUE(result_.has_value());
    ASSERT_TRUE(result_->ok());
    EXPECT_EQ((*result_)->entries.size(), 3u);
  }
}

// Lost is what each of the others says that it hasn't, and no more than that.
TEST_F(LogRepairTest, WhatEachOtherOneLacksIsLost) {
  const auto damaged_to = [this](Index last) {
    RepairAnswer answer = Answer(RepairOutcome::kUnreadable);
    answer.damaged_to = last;
    return answer;
  };
  const auto fetch = [this] {
    Fetch({Index(2), Index(8), Term(4), false}, Term(5),
          LogRepair::Patience::kOnce);
    // What came last didn't fit.
    if (asked_.empty() || result_.has_value()) NextTimeout();
  };
  const auto lost_to = [this] {
    return result_.has_value() && result_->ok() ? (*result_)->lost_to : Index();
  };
  fetch();
  repair_.OnAnswer(damaged_to(Index(5)));
  EXPECT_FALSE(result_.has_value());
  repair_.OnAnswer(damaged_to(Index(4)));
  EXPECT_EQ(lost_to(), Index(4));
  EXPECT_TRUE((*result_)->entries.empty());

  // Not beyond what was asked for.
  fetch();
  NextTimeout();
  repair_.OnAnswer(damaged_to(Index(30)));
  repair_.OnAnswer(damaged_to(Index(20)));
  EXPECT_EQ(lost_to(), Index(8));

  // One that begins before them has none of them.
  fetch();
  NextTimeout();
  repair_.OnAnswer(Lacks(Index(1), Term(3)));
  repair_.OnAnswer(damaged_to(Index(6)));
  EXPECT_EQ(lost_to(), Index(6));

  // One that ends within them is asked for what it knows to be committed.
  fetch();
  NextTimeout();
  repair_.OnAnswer(damaged_to(Index(8)));
  repair_.OnAnswer(Lacks(Index(5), Term(3)));
  EXPECT_FALSE(result_.has_value());
  EXPECT_EQ(asked_.back().hole.last, Index(5));
  EXPECT_EQ(asked_.back().hole.last_term, Term());
  repair_.OnAnswer(damaged_to(Index(3)));
  EXPECT_EQ(lost_to(), Index(3));

  // That can't be more than this server knows to be committed; and what isn't
  // of the hole's terms isn't this log's.
  commit_ = Index(3);
  fetch();
  NextTimeout();
  repair_.OnAnswer(Lacks(Index(5), Term(3)));
  EXPECT_EQ(asked_.back().hole.last, Index(3));
  RepairAnswer later = Has(Index(2), Index(3));
  later.entries[1].header.term = Term(5);
  repair_.OnAnswer(later);
  EXPECT_FALSE(result_.has_value());
  repair_.OnAnswer(damaged_to(Index(8)));
  EXPECT_FALSE(result_->ok());
  commit_ = Index(1);
  fetch();
  NextTimeout();
  repair_.OnAnswer(Lacks(Index(5), Term(3)));
  repair_.OnAnswer(damaged_to(Index(8)));
  EXPECT_FALSE(result_->ok());
  commit_ = Index(9);

  // Nor when the others aren't those that were asked.
  fetch();
  NextTimeout();
  repair_.OnAnswer(damaged_to(Index(8)));
  others_ = {kTwo};
  repair_.OnAnswer(damaged_to(Index(8)));
  EXPECT_FALSE(result_->ok());
  others_ = {kTwo, kThree};

  // Who doesn't answer, or can't say, may have them.
  for (int how = 0; how < 3; ++how) {
    fetch();
    NextTimeout();
    repair_.OnAnswer(damaged_to(Index(8)));
    if (how == 0) NextTimeout();
    if (how == 1) repair_.OnAnswer(Answer(RepairOutcome::kUnreadable));
    if (how == 2) {
      repair_.OnAnswer(Lacks(Index(5), Term(3)));
      repair_.OnAnswer(Lacks(Index(5), Term(3)));
    }
    ASSERT_TRUE(result_.has_value()) << how;
    EXPECT_EQ(result_->status().code(), absl::StatusCode::kUnavailable);
  }
}

TEST_F(LogRepairTest, EndlessPatienceAsksAgain) {
  Fetch({Index(2), Index(3), Term(3), true}, Term(5));
  for (int round = 0; round < 5; ++round) {
    for (ServerId id : {kTwo, kThree}) {
      EXPECT_EQ(asked_.back().to, id);
      repair_.OnAnswer(Answer(RepairOutcome::kUnreadable));
    }
    NextTimeout();
  }
  EXPECT_FALSE(result_.has_value());
}

// A leader of a later term lacked it.
TEST_F(LogRepairTest, ALaterTermProvesThatAnEntryMayGo) {
  const LogHole hole{Index(6), Index(6), Term(3), true};
  // Not in this server's term: it may have acknowledged the entry in that.
  Fetch(hole, Term(5));
  repair_.OnAnswer(Lacks(Index(8), Term(4)));
  EXPECT_FALSE(result_.has_value());
  // Nor by an entry of its own term.
  repair_.OnAnswer(Lacks(Index(5), Term(3)));
  EXPECT_FALSE(result_.has_value());
  NextTimeout();
  repair_.OnAnswer(Lacks(Index(5), Term(5)));
  ASSERT_TRUE(result_.has_value() && result_->ok());
  EXPECT_TRUE((*result_)->never_committed);
}

// Who mends its own log can't say what it lacks. But the leader of an entry
// that it has had lacked all of earlier terms that would stand there or behind.
TEST_F(LogRepairTest, AnEntryOfALaterTermProvesIt) {
  const auto had = [this](Index index, Term term) {
    RepairAnswer answer = Lacks(index, term);
    answer.outcome = RepairOutcome::kUnreadable;
    return answer;
  };
  LogHole hole{Index(5), Index(6), Term(3), true};
  hole.at_end = true;
  Fetch(hole, Term(5));
  // What that leader had before isn't known; or this server may have
  // acknowledged the entries in its own term; or the release doesn't tell.
  repair_.OnAnswer(had(Index(7), Term(5)));
  repair_.OnAnswer(had(Index(5), Term(4)));
  NextTimeout();
  repair_.OnAnswer(had(Index(), Term(5)));
  EXPECT_FALSE(result_.has_value());
  EXPECT_EQ(asked_.back().to, kThree);
  // Of those before it, it says nothing.
  repair_.OnAnswer(had(Index(6), Term(5)));
  EXPECT_FALSE(result_.has_value());
  EXPECT_EQ(asked_.back().to, kThree);
  EXPECT_EQ(asked_.back().hole.last, Index(5));
  repair_.OnAnswer(had(Index(5), Term(5)));
  ASSERT_TRUE(result_.has_value() && result_->ok());
  EXPECT_TRUE((*result_)->never_committed);
  // What would go with them may have been committed since, without this server.
  for (bool at_end : {false, true}) {
    hole.at_end = at_end;
    Fetch(hole, Term(5));
    NextTimeout();
    repair_.OnAnswer(had(Index(5), Term(5)));
    EXPECT_EQ(result_.has_value(), at_end);
    if (!at_end) repair_.OnAnswer(Has(Index(5), Index(6)));
    ASSERT_TRUE(result_.has_value() && result_->ok());
    EXPECT_EQ((*result_)->never_committed, at_end);
  }
}

// Only a log of a later term shows what had been committed before.
TEST_F(LogRepairTest, WhoseLogMustBeOfALaterTerm) {
  LogHole hole{Index(5), Index(5), Term(3), true};
  hole.log_behind = Term(3);
  Fetch(hole, Term(4));
  RepairAnswer answer = Has(Index(5), Index(5));
  answer.log_term = Term(3);
  repair_.OnAnswer(answer);
  EXPECT_FALSE(result_.has_value());
  answer = Has(Index(5), Index(5));
  answer.log_term = Term();  // of who mends its own
  repair_.OnAnswer(answer);
  EXPECT_FALSE(result_.has_value());
  NextTimeout();
  repair_.OnAnswer(Has(Index(5), Index(5)));
  ASSERT_TRUE(result_.has_value() && result_->ok());
  EXPECT_EQ((*result_)->entries.size(), 1u);
}

// It says nothing of the entries before that one.
TEST_F(LogRepairTest, TheOnesBeforeItAreAskedForFirst) {
  Fetch({Index(2), Index(6), Term(3), true}, Term(4));
  repair_.OnAnswer(Lacks(Index(7), Term(4)));
  EXPECT_FALSE(result_.has_value());
  EXPECT_EQ(asked_.back().hole.first, Index(2));
  EXPECT_EQ(asked_.back().hole.last, Index(4));
  repair_.OnAnswer(Lacks(Index(7), Term(4)));
  EXPECT_EQ(asked_.back().hole.last, Index(3));
  repair_.OnAnswer(Has(Index(2), Index(3)));
  ASSERT_TRUE(result_.has_value() && result_->ok());
  EXPECT_FALSE((*result_)->never_committed);
  EXPECT_EQ((*result_)->entries.size(), 2u);
}

// Of which terms they are isn't known: what is committed there is right.
TEST_F(LogRepairTest, WithoutTermsOneIsAskedForThatIsCommitted) {
  Fetch({Index(5), Index(8), Term(4), false}, Term(5));
  repair_.OnAnswer(Lacks(Index(9), Term(5)));
  EXPECT_FALSE(result_.has_value());
  EXPECT_EQ(asked_.back().hole.last, Index(5));
  EXPECT_EQ(asked_.back().hole.last_term, Term());
  repair_.OnAnswer(Lacks(Index(9), Term(5)));
  EXPECT_FALSE(result_.has_value());
  EXPECT_EQ(asked_.back().to, kThree);
  EXPECT_EQ(asked_.back().hole.last, Index(8));  // all of them again
}

TEST_F(LogRepairTest, ACommittedEntryOfALaterTermProvesIt) {
  // 7 to 9 are of term 4.
  Fetch({Index(6), Index(8), Term(), false}, Term(3));
  repair_.OnAnswer(Has(Index(6), Index(8)));
  ASSERT_TRUE(result_.has_value() && result_->ok());
  EXPECT_FALSE((*result_)->never_committed);
  EXPECT_EQ((*result_)->entries.size(), 1u);
  Fetch({Index(7), Index(8), Term(), false}, Term(3));
  repair_.OnAnswer(Has(Index(7), Index(8)));
  ASSERT_TRUE(result_.has_value() && result_->ok());
  EXPECT_TRUE((*result_)->never_committed);
}

// The leader of that term had nothing from there on.
TEST_F(LogRepairTest, ALogThatEndsBeforeThemProvesItForAll) {
  Fetch({Index(7), Index(9), Term(4), false}, Term(5));
  repair_.OnAnswer(Lacks(Index(6), Term(3)));  // it may be behind
  EXPECT_FALSE(result_.has_value());
  repair_.OnAnswer(Lacks(Index(6), Term(5)));
  ASSERT_TRUE(result_.has_value() && result_->ok());
  EXPECT_TRUE((*result_)->never_committed);
  // Or its own ones from there on.
  Fetch({Index(7), Index(9), Term(4), false}, Term(5));
  NextTimeout();
  repair_.OnAnswer(Lacks(Index(7), Term(5)));
  ASSERT_TRUE(result_.has_value() && result_->ok());
  EXPECT_TRUE((*result_)->never_committed);
}

// Nor is what has another term at the hole's end, or within it.
TEST_F(LogRepairTest, EntriesOfOtherTermsAreNotTaken) {
  Fetch({Index(5), Index(6), Term(2), false}, Term(5));
  repair_.OnAnswer(Has(Index(5), Index(6)));
  EXPECT_FALSE(result_.has_value());
  repair_.OnAnswer(Has(Index(5), Index(5)));
  EXPECT_FALSE(result_.has_value());
}

// What came didn't fit: it is another one's turn, after a while.
TEST_F(LogRepairTest, WhatDidNotFitIsNotAskedForAtOnce) {
  Fetch({Index(2), Index(3), Term(3), true}, Term(5));
  repair_.OnAnswer(Has(Index(2), Index(3)));
  const size_t asked = asked_.size();
  Fetch({Index(1), Index(3), Term(3), true}, Term(5));
  EXPECT_EQ(asked_.size(), asked);
  NextTimeout();
  EXPECT_EQ(asked_.size(), asked + 1);
  EXPECT_EQ(asked_.back().to, kThree);
}

// Those of one term are the same everywhere.
TEST_F(LogRepairTest, WhoHasTheFirstOnesGivesThem) {
  Fetch({Index(2), Index(6), Term(3), true}, Term(5));
  repair_.OnAnswer(Lacks(Index(4), Term(3)));
  EXPECT_EQ(asked_.back().to, kTwo);
  EXPECT_EQ(asked_.back().hole.last, Index(4));
  repair_.OnAnswer(Has(Index(2), Index(4)));
  ASSERT_TRUE(result_.has_value() && result_->ok());
  EXPECT_EQ((*result_)->entries.size(), 3u);
}

TEST_F(LogRepairTest, ACheckpointComesInParts) {
  const std::string bytes(1000, 'c');
  const CheckpointId id{Index(8), 5, bytes.size(), Crc32c(bytes)};
  Fetch({Index(2), Index(6), Term(3), true}, Term(5));
  RepairAnswer answer = Answer(RepairOutcome::kCheckpoint);
  answer.id = id;
  repair_.OnAnswer(answer);
  for (size_t at = 0; at < bytes.size(); at += 400) {
    EXPECT_EQ(asked_.back().id, id);
    EXPECT_EQ(asked_.back().at, at);
    RepairAnswer part = Answer(RepairOutcome::kPart);
    part.id = id;
    part.at = at;
    part.part = Buffer::Copy(absl::string_view(bytes).substr(at, 400));
    repair_.OnAnswer(part);
  }
  EXPECT_EQ(checkpoint_, bytes);
  EXPECT_FALSE(result_.has_value());
  repair_.ReadAgain();
  EXPECT_EQ(result_->status().code(), absl::StatusCode::kAborted);
}

TEST_F(LogRepairTest, WhoKnowsOfNobodyWaitsOrIsAlone) {
  others_.clear();
  Fetch({Index(2), Index(2), Term(3), true}, Term(5));
  for (int i = 0; i < 100; ++i) NextTimeout();
  EXPECT_FALSE(result_.has_value());
  alone_ = true;
  NextTimeout();
  ASSERT_TRUE(result_.has_value());
  EXPECT_EQ(result_->status().code(), absl::StatusCode::kDataLoss);
  EXPECT_TRUE(asked_.empty());
}

}  // namespace
}  // namespace holdfast
