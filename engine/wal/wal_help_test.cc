// What a log whose start waits for others, to have its damage mended, gives
// others meanwhile.

#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "engine/wal/testing/damaged_log.h"
#include "engine/wal/testing/wal_run.h"
#include "engine/wal/wal.h"
#include "gtest/gtest.h"

namespace holdfast {
namespace {

class WalHelpTest : public DamagedLog {
 protected:
  // Opens it until it waits for help, which never comes: for what. Nothing: it
  // needs none.
  std::optional<LogHole> OpenUntilItWaits(WalRun* run) {
    waits_.reset();
    run->SetMend([this](const LogHole& hole, Term, ResultFn<Mended> done) {
      waits_ = hole;
      held_ = std::move(done);
    });
    run->OpenFor(1000);
    return waits_;
  }
  // What a start that waits for others gives one that asks it.
  static absl::StatusOr<WholeEntries> ReadWhileMending(WalRun* run,
                                                       const LogHole& hole) {
    absl::StatusOr<WholeEntries> result = absl::InternalError("no answer");
    run->wal().ReadWhileMending(
        hole, /*has_last=*/false, 1 << 20,
        [&result](absl::StatusOr<WholeEntries> r) { result = std::move(r); });
    run->RunUntilIdle();
    return result;
  }

 private:
  std::optional<LogHole> waits_;
  ResultFn<Mended> held_;
};

// Frames behind the damage say so. Another server, which doesn't know the term
// of what it lacks, may have waited for just that, as this one waits for it.
TEST_F(WalHelpTest, WhatIsWholeBeforeAHoleIsKnownToBeCommitted) {
  const NamedFile& first = segments_.front();
  int holes = 0;
  for (size_t at = kSegmentHeaderBytes + 200; at + 2000 < first.bytes.size();
       at += 1000) {
    WalRun after(run_, Everything);
    after.disk().Flip(first.name, at, 1);
    const std::optional<LogHole> hole = OpenUntilItWaits(&after);
    if (!hole.has_value() || hole->first == Index(1)) continue;
    ++holes;
    const auto whole =
        ReadWhileMending(&after, {.first = Index(1), .last = Index(1)});
    ASSERT_TRUE(whole.ok()) << at << ": " << whole.status();
    EXPECT_TRUE(SameEntries(whole->entries, {run_.log().front()}));
    EXPECT_TRUE(absl::IsOutOfRange(
        ReadWhileMending(&after, {.first = hole->first, .last = hole->first})
            .status()));
  }
  EXPECT_GT(holes, 0);
}

// Whoever helps has to know whether anything whole would go with what is
// missing.
TEST_F(WalHelpTest, ItSaysWhetherAnythingWholeStandsBehindAHole) {
  int at_end = 0;
  for (const NamedFile& file : segments_) {
    const size_t used = file.bytes.find_last_not_of('\0') + 1;
    for (size_t at = kSegmentHeaderBytes; at < used; at += 64) {
      SCOPED_TRACE(absl::StrCat(file.name, " at ", at));
      WalRun after(run_, Everything);
      after.disk().Flip(file.name, at, 1);
      const std::optional<LogHole> hole = OpenUntilItWaits(&after);
      if (!hole.has_value()) continue;
      const bool last = hole->first == run_.log().back().header.index;
      ASSERT_EQ(hole->at_end, last);
      at_end += last ? 1 : 0;
    }
  }
  EXPECT_GT(at_end, 0);
}

// A start that waits gives what stands behind its own hole, too: whom it waits
// for may wait for that.
TEST_F(WalHelpTest, WhileItWaitsItGivesWhatItHasNotPassed) {
  WalRun after(run_, Everything);
  after.disk().Flip(segments_.front().name, kSegmentHeaderBytes + 200, 1);
  const std::optional<LogHole> waits = OpenUntilItWaits(&after);
  ASSERT_TRUE(waits.has_value());
  const auto read = [&](Index first, Index last, Term term) {
    return ReadWhileMending(&after,
                            {.first = first, .last = last, .last_term = term});
  };
  const auto given_of = [](const absl::StatusOr<WholeEntries>& whole) {
    return whole.ok() ? whole->entries.size() : size_t{1000};
  };
  const std::vector<Entry>& log = run_.log();
  size_t given = 0;
  for (size_t to = waits->last.value(); to < log.size(); ++to) {
    for (size_t from = waits->last.value(); from <= to; ++from) {
      SCOPED_TRACE(absl::StrCat(from + 1, " to ", to + 1));
      const EntryHeader& last = log[to].header;
      const auto whole = read(log[from].header.index, last.index, last.term);
      ASSERT_TRUE(whole.ok()) << whole.status();
      // As many as one file has of them.
      ASSERT_FALSE(whole->entries.empty());
      ASSERT_LE(whole->entries.size(), to - from + 1);
      for (size_t i = 0; i < whole->entries.size(); ++i) {
        ASSERT_EQ(whole->entries[i].header.chain, log[from + i].header.chain);
        ASSERT_TRUE(SameEntries({whole->entries[i]}, {log[from + i]}));
      }
      given += whole->entries.size();
      // Of another term, they aren't what was asked for.
      EXPECT_EQ(given_of(read(log[from].header.index, last.index, Term(9))),
                0u);
    }
  }
  EXPECT_GT(given, 20u);
  // Its own hole isn't to be had, nor what is behind the log's end; but what
  // stands before that, if it is of one term.
  EXPECT_EQ(given_of(read(waits->first, waits->last, waits->last_term)), 0u);
  const Index last(log.size());
  EXPECT_EQ(given_of(read(last + 1, last + 1, Term(4))), 0u);
  EXPECT_EQ(given_of(read(last, last + 1, Term(4))), 1u);
  EXPECT_EQ(given_of(read(last, last + 1, Term(5))), 0u);
}

// It doesn't know whether that is whole; but what isn't, it doesn't give: the
// other one would take its own entries before for the wrong ones.
TEST_F(WalHelpTest, WhileItWaitsItGivesNothingDamaged) {
  const std::vector<Entry>& log = run_.log();
  size_t lacked = 0;
  for (const NamedFile& file : segments_) {
    if (file.name == segments_.front().name) continue;
    const size_t used = file.bytes.find_last_not_of('\0') + 1;
    for (size_t i = 0; i < 2 * used; i += i % 4096 < 400 ? 3 : 101) {
      const size_t at = i % used;
      // Without the header nothing tells of the first frame, but the second.
      const bool headerless = i >= used;
      SCOPED_TRACE(absl::StrCat(file.name, " at ", at, headerless ? "h" : ""));
      WalRun after(run_, Everything);
      if (headerless) after.disk().Flip(file.name, 20, 1);
      after.disk().Flip(segments_.front().name, kSegmentHeaderBytes + 200, 1);
      after.disk().Flip(file.name, at, 16);
      const std::optional<LogHole> waits = OpenUntilItWaits(&after);
      ASSERT_TRUE(waits.has_value());
      Index first = waits->last + 1;
      while (first <= log.back().header.index) {
        const auto whole =
            ReadWhileMending(&after, {.first = first,
                                      .last = log.back().header.index,
                                      .last_term = log.back().header.term});
        if (!whole.ok() || whole->entries.empty()) {
          first = first + 1;
          ++lacked;
          continue;
        }
        for (const Entry& entry : whole->entries) {
          const Entry& right = log[first.value() - 1];
          // Of that one, who asks knows by the hash that it continues.
          if (headerless && &entry == &whole->entries.front()) {
            first = first + 1;
            continue;
          }
          ASSERT_TRUE(SameEntries({entry}, {right}));
          ASSERT_EQ(entry.header.chain, right.header.chain);
          first = first + 1;
        }
      }
    }
  }
  EXPECT_GT(lacked, 100u);
}

}  // namespace
}  // namespace holdfast
