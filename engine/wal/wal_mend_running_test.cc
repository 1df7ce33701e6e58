// Damage that shows while the log is open: by a read, or by looking for it.

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/wal/testing/damaged_log.h"
#include "engine/wal/testing/wal_run.h"
#include "engine/wal/wal.h"
#include "gtest/gtest.h"

namespace holdfast {
namespace {

using WalMendRunningTest = DamagedLog;

// Damage that is found when it is read, in a log that is being written.
TEST_F(WalMendRunningTest, Reading) {
  for (const NamedFile& file : segments_) {
    const size_t used = file.bytes.find_last_not_of('\0') + 1;
    for (size_t at = kSegmentHeaderBytes; at < used; at += 97) {
      SCOPED_TRACE(absl::StrCat(file.name, " at ", at));
      WalRun after(run_, Everything);
      Help(&after, 1 + at % 3);
      ASSERT_TRUE(after.Open().ok());
      after.disk().Flip(file.name, at, 1);
      size_t done = 0;
      for (Index i(1); i <= run_.last().index; ++i) {
        after.wal().Read(i, 3000, [&, i](auto read) {
          ASSERT_TRUE(read.ok()) << read.status();
          for (const Entry& e : *read) {
            const Entry& expected = run_.log()[e.header.index.value() - 1];
            ASSERT_TRUE(SameEntries({e}, {expected}));
          }
          ASSERT_EQ(read->front().header.index, i);
          ++done;
        });
        if (i == Index(5)) after.Append(Term(4), {100, 3000});
      }
      after.Append(Term(4), {10});
      after.RunUntilIdle();
      ASSERT_EQ(done, run_.last().index.value());
      // A second time from the file as it is now.
      for (Index i(1); i <= after.last().index; ++i) {
        ASSERT_TRUE(after.Read(i, 1).ok()) << i.value();
      }
      ASSERT_TRUE(after.all_persisted());
      WalRun again(after, Everything);
      ASSERT_TRUE(again.Open().ok());
      ASSERT_EQ(again.WhyNotOf(after.Outcomes()), "");
    }
  }
  EXPECT_GT(asked_.size(), 100u);
}

// The segment that is written to: the next entries begin another one.
TEST_F(WalMendRunningTest, ReadingTheSegmentThatIsWritten) {
  WalRun run;
  ASSERT_TRUE(run.Open().ok());
  run.SetHardStateAndAppend({Term(1), ServerId(1)}, {0, 100, 500});
  run.RunUntilIdle();
  const std::vector<Entry> log = run.log();
  const std::string name = SegmentName(1);
  for (size_t at = kSegmentHeaderBytes; at < kSegmentHeaderBytes + 900;
       at += 50) {
    SCOPED_TRACE(at);
    WalRun after(run, Everything);
    after.SetMend([&](const LogHole& hole, Term, ResultFn<Mended> done) {
      auto at_index = [&](Index i) {
        return log.begin() + static_cast<ptrdiff_t>(i.value() - 1);
      };
      done(Mended{.entries = {at_index(hole.first), at_index(hole.last + 1)}});
    });
    ASSERT_TRUE(after.Open().ok());
    after.SetHardStateAndAppend({Term(2), ServerId(1)}, {0, 300, 20});
    after.RunUntilIdle();
    const uint64_t begun = after.wal().stats().segments_begun;
    after.disk().Flip(name, at, 1);
    for (Index i(1); i <= after.last().index; ++i) {
      ASSERT_TRUE(after.Read(i, 1).ok()) << i.value();
    }
    after.Append(Term(2), {40});
    after.RunUntilIdle();
    ASSERT_TRUE(after.all_persisted());
    ASSERT_GE(after.wal().stats().segments_begun, begun);
    WalRun again(after, Everything);
    ASSERT_TRUE(again.Open().ok());
    ASSERT_EQ(again.WhyNotOf(after.Outcomes()), "");
  }
}

// Who can't be helped hears so, and asks again.
TEST_F(WalMendRunningTest, ReadingWithoutHelp) {
  WalRun after(run_, Everything);
  int asked = 0;
  after.SetMend([&](const LogHole&, Term, ResultFn<Mended> done) {
    ++asked;
    if (asked < 3) return done(absl::UnavailableError("nobody has them"));
    done(Mended{.entries = {run_.log()[0]}});
  });
  ASSERT_TRUE(after.Open().ok());
  after.disk().Flip(segments_[0].name, kSegmentHeaderBytes + 70, 1);
  for (int i = 1; i <= 2; ++i) {
    EXPECT_EQ(after.Read(Index(1), 1).status().code(),
              absl::StatusCode::kUnavailable);
    EXPECT_EQ(asked, i);
  }
  EXPECT_TRUE(after.Read(Index(1), 1).ok());
  EXPECT_EQ(asked, 3);
}

// What is damaged while the log is open is found by looking at all of it, at
// whatever pace, and mended.
TEST_F(WalMendRunningTest, Scrubbing) {
  auto pass = [](WalRun* run, size_t at_once) {
    for (bool end = false; !end;) {
      bool done = false;
      run->wal().Scrub(at_once, [&](absl::StatusOr<Wal::Scrubbed> s) {
        done = true;
        end = s->reached_end;
      });
      run->RunUntilIdle();
      if (!done) return;
    }
  };
  for (const NamedFile& file : segments_) {
    const size_t used = file.bytes.find_last_not_of('\0') + 1;
    for (size_t at = 0; at < used; at += at < 80 ? 13 : 701) {
      SCOPED_TRACE(absl::StrCat(file.name, " at ", at));
      WalRun after(run_, Everything);
      Help(&after);
      ASSERT_TRUE(after.Open().ok());
      pass(&after, at % 2 == 0 ? 1 : 1 << 20);
      ASSERT_EQ(after.wal().stats().scrub_found, 0u);
      after.disk().Flip(file.name, at, 0x20);
      pass(&after, at % 2 == 0 ? 1 : 1 << 20);
      // Of what isn't an entry, only the header matters.
      const uint64_t found = after.wal().stats().scrub_found;
      EXPECT_EQ(after.wal().stats().segments_mended, found);
      mended_ += static_cast<int>(found);
      pass(&after, 4096);
      ASSERT_EQ(after.wal().stats().scrub_found, found);
      WalRun again(after, Everything);
      ASSERT_TRUE(again.Open().ok());
      ASSERT_TRUE(SameEntries(again.recovered(), run_.log()));
    }
  }
  EXPECT_GT(mended_, 30);
}

}  // namespace
}  // namespace holdfast
