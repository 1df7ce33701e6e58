// History, which takes O(1) an operation, against a search of all orders in
// which the operations could have happened: on many small random histories,
// half of them with something wrong, both must come to the same verdict.
//
// An append whose first copy got no answer is sent again, under the same
// session and sequence. The search has both copies, each with an effect of its
// own, and a log that takes one of them and answers the other one with the
// place of the first. The checker is told of the call only, from the first copy
// to the answer.

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/base/random.h"
#include "gtest/gtest.h"
#include "sim/history.h"

namespace holdfast {
namespace {

constexpr uint64_t kHistories = 300'000;
constexpr int kNever = 1'000'000;

// One operation on a log of records, as a client sees it.
struct Op {
  enum class Kind { kAppend, kRead };
  enum class Outcome { kCommitted, kRejected, kUnknown };

  Kind kind = Kind::kAppend;
  int invoked = 0;
  int completed = kNever;  // unknown ones never are
  // An append whose first copy gets no answer: when the second one is sent,
  // whose answer completes it.
  int sent_again = kNever;
  // An append: of so many records, the first of which is named so.
  int first_record = 0;
  int count = 0;
  // Only if the log ends there; -1: wherever.
  int expected = -1;
  Outcome outcome = Outcome::kCommitted;
  int offset = 0;  // committed: where; refused for its condition: the end
  // A read of the whole log.
  std::vector<int> seen;
};

using Ops = std::vector<Op>;

std::string Name(int record) { return absl::StrCat("r", record); }

std::string ToString(const Ops& ops) {
  std::string text;
  for (const Op& op : ops) {
    absl::StrAppend(&text, "[", op.invoked, ", ", op.completed, "] ");
    if (op.kind == Op::Kind::kRead) {
      absl::StrAppend(&text, "read ", absl::StrJoin(op.seen, " "), "\n");
      continue;
    }
    absl::StrAppend(&text, "append of ", op.count, " from ", op.first_record,
                    ", expected ", op.expected, ", sent again at ",
                    op.sent_again, ": outcome ", static_cast<int>(op.outcome),
                    " at ", op.offset, "\n");
  }
  return text;
}

// --- The search ---

// Whether there is an order of the operations, each between its invocation and
// its completion, in which a log behaves as they say (Herlihy and Wing,
// "Linearizability", 1990; the search is Wing and Gong's).
class Search {
 public:
  explicit Search(const Ops& ops) {
    for (const Op& op : ops) {
      if (op.sent_again != kNever) copies_.push_back({&op, op.invoked, kNever});
      copies_.push_back({&op,
                         op.sent_again == kNever ? op.invoked : op.sent_again,
                         op.completed});
    }
  }
  bool Find() { return From(0, {}); }

 private:
  // Of an operation: all of it, but for an append that was sent again.
  struct Copy {
    const Op* op;
    int invoked;
    int completed;  // kNever: it got no answer
  };

  bool From(uint32_t done, const std::vector<int>& log) {
    if (!tried_.insert({done, log}).second) return false;
    int first_completion = kNever;
    bool all = true;
    for (size_t i = 0; i < copies_.size(); ++i) {
      if ((done >> i & 1) != 0) continue;
      first_completion = std::min(first_completion, copies_[i].completed);
      if (copies_[i].completed != kNever) all = false;
    }
    if (all) return true;  // what is left may never happen
    for (size_t i = 0; i < copies_.size(); ++i) {
      if ((done >> i & 1) != 0 || copies_[i].invoked > first_completion) {
        continue;
      }
      std::vector<int> after = log;
      if (Apply(copies_[i], &after) && From(done | uint32_t{1} << i, after)) {
        return true;
      }
    }
    return false;
  }

  // Whether it could happen now.
  static bool Apply(const Copy& copy, std::vector<int>* log) {
    const Op& op = *copy.op;
    const int end = static_cast<int>(log->size());
    if (op.kind == Op::Kind::kRead) return op.seen == *log;
    if (op.outcome == Op::Outcome::kRejected) {
      return op.expected < 0 || (end == op.offset && end != op.expected);
    }
    const bool answered = copy.completed != kNever;
    const auto first = std::find(log->begin(), log->end(), op.first_record);
    if (first != log->end()) {
      // The other copy was taken. Without an answer nothing comes of this one.
      return answered && op.offset == first - log->begin();
    }
    if (op.expected >= 0 && op.expected != end) return false;
    if (answered && op.offset != end) return false;
    for (int i = 0; i < op.count; ++i) log->push_back(op.first_record + i);
    return true;
  }

  std::vector<Copy> copies_;
  std::set<std::pair<uint32_t, std::vector<int>>> tried_;
};

// --- The checker ---

class Replay {
 public:
  explicit Replay(const Ops& ops) : ops_(ops), noted_(ops.size()) {}

  bool Run() {
    std::vector<std::pair<int, size_t>> events;
    for (size_t i = 0; i < ops_.size(); ++i) {
      events.emplace_back(ops_[i].invoked, i);
      if (ops_[i].completed != kNever) {
        events.emplace_back(ops_[i].completed, i);
      }
    }
    std::sort(events.begin(), events.end());
    for (const auto& [time, i] : events) {
      time == ops_[i].invoked ? Invoke(i) : Complete(i);
    }
    return verdict_.ok();
  }
  const std::string& what() const { return verdict_.what(); }

 private:
  static std::vector<std::string> Records(const Op& op) {
    std::vector<std::string> records;
    for (int i = 0; i < op.count; ++i) {
      records.push_back(Name(op.first_record + i));
    }
    return records;
  }
  void Invoke(size_t i) {
    noted_[i] = history_.Invoke();
    if (ops_[i].kind == Op::Kind::kAppend) {
      std::optional<Offset> expected;
      if (ops_[i].expected >= 0) {
        expected = Offset(static_cast<uint64_t>(ops_[i].expected));
      }
      history_.AppendInvoked(Records(ops_[i]), /*producer=*/0, expected);
    }
  }
  void Complete(size_t i) {
    const Op& op = ops_[i];
    const std::string who = absl::StrCat("op ", i);
    if (op.kind == Op::Kind::kRead) {
      for (size_t at = 0; at < op.seen.size(); ++at) {
        history_.Saw(Name(op.seen[at]), Offset(at), who);
      }
      return history_.LinearizableEnd(Offset(op.seen.size()), noted_[i], who);
    }
    const bool committed = op.outcome == Op::Outcome::kCommitted;
    const Offset offset(static_cast<uint64_t>(op.offset));
    if (op.expected >= 0) {
      ClientOutcome outcome;
      outcome.kind = committed ? ClientOutcome::Kind::kCommitted
                               : ClientOutcome::Kind::kRejected;
      outcome.reason = committed ? ClientOutcome::Reason::kNone
                                 : ClientOutcome::Reason::kWrongOffset;
      outcome.offset = offset;
      history_.Conditional(Offset(static_cast<uint64_t>(op.expected)), outcome,
                           noted_[i], who);
    }
    const std::vector<std::string> records = Records(op);
    for (size_t r = 0; r < records.size(); ++r) {
      if (committed) {
        history_.AppendCommitted(records[r], offset + r, noted_[i], who);
      } else {
        history_.AppendRejected(records[r], who);
      }
    }
  }

  const Ops& ops_;
  std::vector<Offset> noted_;
  Verdict verdict_;
  History history_{&verdict_};
};

// --- The histories ---

class Generator {
 public:
  // `collapses`: the log knows a second copy for what it is.
  Generator(uint64_t seed, bool collapses)
      : seed_(seed), collapses_(collapses) {}

  // One that such a log could have made; it ends with a read.
  Ops Make() {
    const size_t count = 2 + Draw(6);
    // When, whose, and whether of the copy whose answer is awaited.
    std::vector<std::tuple<int, size_t, bool>> effects;
    Ops ops(count);
    for (size_t i = 0; i < count; ++i) {
      Op& op = ops[i];
      const int at = 10 + static_cast<int>(Draw(60));
      op.invoked = at - 1 - static_cast<int>(Draw(20));
      op.completed = at + 1 + static_cast<int>(Draw(20));
      effects.emplace_back(at, i, true);
      if (Draw(3) != 0) continue;
      op.sent_again =
          op.invoked +
          static_cast<int>(Draw(static_cast<uint64_t>(at - op.invoked)));
      // The first copy is lost, or comes before the second one or after it.
      if (Draw(3) == 0) continue;
      effects.emplace_back(op.invoked + 1 + static_cast<int>(Draw(60)), i,
                           false);
    }
    std::sort(effects.begin(), effects.end());
    std::vector<int> log;
    std::vector<bool> begun(count);
    for (const auto& [at, i, awaited] : effects) {
      if (!begun[i]) Begin(&ops[i], log);
      begun[i] = true;
      Happen(&ops[i], awaited, &log);
    }
    Op last;
    last.kind = Op::Kind::kRead;
    last.invoked = 200;
    last.completed = 201;
    last.seen = log;
    ops.push_back(last);
    MakeMomentsDistinct(&ops);
    return ops;
  }

  // Changes something that was seen, or when.
  void Spoil(Ops* ops) {
    Op& op = (*ops)[Draw(ops->size())];
    switch (Draw(6)) {
      case 0:  // sees an older log
        if (!op.seen.empty()) op.seen.resize(Draw(op.seen.size()));
        break;
      case 1:  // sees two records exchanged
        if (op.seen.size() > 1) {
          std::swap(op.seen[Draw(op.seen.size())],
                    op.seen[Draw(op.seen.size())]);
        }
        break;
      case 2:  // is told another place
        op.offset = std::max(0, op.offset + static_cast<int>(Draw(5)) - 2);
        break;
      case 3:  // is told that it came to nothing: so no copy counts any more
        op.outcome = Op::Outcome::kRejected;
        op.sent_again = kNever;
        if (op.completed == kNever) op.completed = 199;
        break;
      case 4: {  // happens later, or earlier
        const int by = (static_cast<int>(Draw(41)) - 20) * 8;
        op.invoked += by;
        if (op.sent_again != kNever) op.sent_again += by;
        if (op.completed != kNever) op.completed += by;
        break;
      }
      case 5:  // sees a record twice
        if (!op.seen.empty()) op.seen.push_back(op.seen[Draw(op.seen.size())]);
        break;
    }
    // The last one reads what all have left.
    ops->back().invoked = 1000;
    ops->back().completed = 1001;
    MakeMomentsDistinct(ops);
  }

 private:
  uint64_t Draw(uint64_t bound) {
    return DrawBelow(
        DrawKey{.seed = seed_, .site = Site("history"), .actor = 0}, draws_++,
        bound);
  }

  // What it is, when the first of its copies comes to the log.
  void Begin(Op* op, const std::vector<int>& log) {
    if (Draw(3) == 0) {
      op->kind = Op::Kind::kRead;
      op->sent_again = kNever;
      return;
    }
    op->first_record = records_;
    op->count = 1 + static_cast<int>(Draw(2));
    records_ += op->count;
    if (Draw(4) == 0) {
      op->expected = static_cast<int>(log.size() + Draw(2));
    }
  }

  void Happen(Op* op, bool awaited, std::vector<int>* log) {
    if (op->kind == Op::Kind::kRead) {
      if (awaited) op->seen = *log;
      return;
    }
    const int end = static_cast<int>(log->size());
    const auto first = std::find(log->begin(), log->end(), op->first_record);
    const bool known = collapses_ && first != log->end();
    const bool happens = !known && (op->expected < 0 || op->expected == end);
    if (awaited) {
      // Rejected is only what has no other copy that might still come.
      const bool unknown =
          Draw(4) == 0 || (op->sent_again != kNever && !known && !happens);
      if (unknown) op->completed = kNever;
      op->outcome = unknown            ? Op::Outcome::kUnknown
                    : known || happens ? Op::Outcome::kCommitted
                                       : Op::Outcome::kRejected;
      op->offset = known ? static_cast<int>(first - log->begin()) : end;
      if (unknown && Draw(2) == 0) return;
    }
    if (!happens) return;
    for (int i = 0; i < op->count; ++i) log->push_back(op->first_record + i);
  }

  // No two moments are the same, and their order is kept.
  static void MakeMomentsDistinct(Ops* ops) {
    std::vector<std::pair<std::pair<int, size_t>, int*>> moments;
    for (size_t i = 0; i < ops->size(); ++i) {
      Op& op = (*ops)[i];
      moments.push_back({{op.invoked, 3 * i}, &op.invoked});
      if (op.sent_again != kNever) {
        moments.push_back({{op.sent_again, 3 * i + 1}, &op.sent_again});
      }
      if (op.completed != kNever) {
        moments.push_back({{op.completed, 3 * i + 2}, &op.completed});
      }
    }
    std::sort(moments.begin(), moments.end());
    for (size_t i = 0; i < moments.size(); ++i) {
      *moments[i].second = static_cast<int>(i);
    }
  }

  const uint64_t seed_;
  const bool collapses_;
  uint64_t draws_ = 0;
  int records_ = 0;
};

// Whether an append that was sent again succeeded.
bool HasRepeated(const Ops& ops) {
  return std::any_of(ops.begin(), ops.end(), [](const Op& op) {
    return op.sent_again != kNever && op.outcome == Op::Outcome::kCommitted;
  });
}

TEST(HistoryExact, AgreesWithASearchOfAllOrders) {
  uint64_t faulty = 0;
  uint64_t repeated = 0;
  for (uint64_t seed = 0; seed < kHistories; ++seed) {
    const bool collapses = seed % 8 != 1;
    const bool good = seed % 4 == 0;
    Generator generator(seed, collapses);
    Ops ops = generator.Make();
    // Much of what is changed leaves a history that might have been.
    for (int i = 0; i < 3 && !good && collapses; ++i) generator.Spoil(&ops);
    const bool linearizable = Search(ops).Find();
    ASSERT_TRUE(linearizable || !good) << ToString(ops);
    Replay replay(ops);
    ASSERT_EQ(replay.Run(), linearizable)
        << "seed " << seed << ": " << replay.what() << "\n"
        << ToString(ops);
    faulty += linearizable ? 0 : 1;
    repeated += HasRepeated(ops) ? 1 : 0;
  }
  std::printf(
      "%llu histories, %llu of them faulty, %llu with an append that was "
      "sent again and succeeded\n",
      static_cast<unsigned long long>(kHistories),
      static_cast<unsigned long long>(faulty),
      static_cast<unsigned long long>(repeated));
  EXPECT_GE(faulty, uint64_t{100'000});
  EXPECT_GE(kHistories - faulty, uint64_t{100'000});
  EXPECT_GE(repeated, uint64_t{100'000});
}

}  // namespace
}  // namespace holdfast
