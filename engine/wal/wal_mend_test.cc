// Damage of a disk that other servers help to repair: whatever was synced and
// is damaged, Open asks for it, and has all of the log again; and what it wrote
// for that survives a power failure at any point.

#include <algorithm>
#include <cstdint>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/wal/testing/wal_run.h"
#include "engine/wal/wal.h"
#include "gtest/gtest.h"

namespace holdfast {
namespace {

bool Everything(size_t, size_t) { return true; }

class WalMendTest : public testing::Test {
 protected:
  void SetUp() override {
    WriteLogWithACut(&run_, {5000, 5000, 3000, 300});
    for (const std::string& name : run_.disk().Names()) {
      if (!ParseSegmentName(name).has_value()) continue;
      std::string bytes = run_.disk().Contents(name);
      if (bytes.find_last_not_of('\0') == std::string::npos) continue;  // spare
      segments_.push_back({name, std::move(bytes)});
    }
    ASSERT_GE(segments_.size(), 4u);
  }

  struct NamedFile {
    std::string name;
    std::string bytes;
  };

  // The others have all of the log. They give so many entries at once.
  void Help(WalRun* run, size_t at_once = 1000) {
    run->SetMend(
        [this, at_once](const LogHole& hole, Term term, ResultFn<Mended> done) {
          asked_.push_back(hole);
          // Of the server, or none for what is only read.
          ASSERT_TRUE(term == Term(4) || term == Term());
          Mended mended;
          for (const Entry& e : run_.log()) {
            if (e.header.index < hole.first || e.header.index > hole.last)
              continue;
            if (mended.entries.size() < at_once) mended.entries.push_back(e);
            if (e.header.index == hole.last) {
              ASSERT_EQ(e.header.term, hole.last_term);
            }
          }
          ASSERT_FALSE(mended.entries.empty());
          done(std::move(mended));
        });
  }

  // Opens the log with a file replaced: it has all of it, and another start
  // that asks nobody has, too.
  void ExpectMended(const std::string& name, const std::string& bytes) {
    WalRun after(run_, Everything);
    after.disk().SetContents(name, bytes);
    Help(&after, asked_.size() % 3 == 0 ? 1 : 1000);
    const size_t asked = asked_.size();
    ASSERT_TRUE(after.Open().ok());
    ASSERT_TRUE(SameEntries(after.recovered(), run_.log()));
    ASSERT_EQ(after.wal().hard_state(), run_.wal().hard_state());
    if (asked_.size() == asked) return;
    ++mended_;
    EXPECT_EQ(after.wal().stats().segments_mended, 1u);
    // It can be read, and written to.
    auto read = after.Read(after.wal().first_index(), 1 << 20);
    ASSERT_TRUE(read.ok()) << read.status();
    after.SetHardStateAndAppend({Term(5), ServerId(1)}, {0, 100});
    after.RunUntilIdle();
    ASSERT_TRUE(after.all_persisted());
    WalRun again(after, Everything);
    ASSERT_TRUE(again.Open().ok());
    ASSERT_EQ(again.WhyNotOf(after.Outcomes()), "");
  }

  WalRun run_;
  std::vector<NamedFile> segments_;
  std::vector<LogHole> asked_;
  int mended_ = 0;
};

TEST_F(WalMendTest, AnyByte) {
  for (const NamedFile& file : segments_) {
    const size_t used = file.bytes.find_last_not_of('\0') + 1;
    for (size_t at = 0; at < used; at += at < 80 ? 1 : 7) {
      SCOPED_TRACE(absl::StrCat(file.name, " at ", at));
      std::string bytes = file.bytes;
      bytes[at] = static_cast<char>(bytes[at] ^ (1 << at % 8));
      ASSERT_NO_FATAL_FAILURE(ExpectMended(file.name, bytes));
    }
  }
  EXPECT_GT(mended_, 1000);
}

TEST_F(WalMendTest, AnyBlock) {
  for (size_t block : {512, 4096}) {
    for (const NamedFile& file : segments_) {
      const size_t used = file.bytes.find_last_not_of('\0') + 1;
      for (size_t at = 0; at < used; at += block) {
        for (char fill : {'\0', '\xff', 'x'}) {
          SCOPED_TRACE(absl::StrCat(file.name, " at ", at, " of ", block));
          std::string bytes = file.bytes;
          size_t n = std::min(block, bytes.size() - at);
          bytes.replace(at, n, n, fill);
          ASSERT_NO_FATAL_FAILURE(ExpectMended(file.name, bytes));
        }
      }
    }
  }
  EXPECT_GT(mended_, 100);
}

TEST_F(WalMendTest, MisdirectedBlocks) {
  for (const NamedFile& file : segments_) {
    const size_t used = file.bytes.find_last_not_of('\0') + 1;
    for (const NamedFile& source : segments_) {
      for (size_t to = 0; to + 512 <= used; to += 512) {
        for (size_t from = 0; from + 512 <= used; from += 1536) {
          SCOPED_TRACE(absl::StrCat(file.name, " from ", from, " of ",
                                    source.name, " to ", to));
          std::string bytes = file.bytes;
          bytes.replace(to, 512, source.bytes, from, 512);
          ASSERT_NO_FATAL_FAILURE(ExpectMended(file.name, bytes));
        }
      }
    }
  }
}

// All but the newest may end anywhere.
TEST_F(WalMendTest, Truncated) {
  for (const NamedFile& file : segments_) {
    if (file.name == segments_.back().name) continue;
    for (size_t end = 0; end < file.bytes.size(); end += 300) {
      SCOPED_TRACE(absl::StrCat(file.name, " ends at ", end));
      ASSERT_NO_FATAL_FAILURE(
          ExpectMended(file.name, file.bytes.substr(0, end)));
    }
  }
  EXPECT_GT(mended_, 10);
}

// In several places of several files at once.
TEST_F(WalMendTest, ManyPlaces) {
  for (size_t stride : {500, 1300, 5000}) {
    WalRun after(run_, Everything);
    for (const NamedFile& file : segments_) {
      std::string bytes = file.bytes;
      const size_t used = file.bytes.find_last_not_of('\0') + 1;
      // The newest one's last marks stay.
      const size_t end =
          file.name == segments_.back().name ? used - 4096 - 128 : used;
      for (size_t at = kSegmentHeaderBytes; at < end; at += stride) {
        bytes[at] ^= 0x10;
      }
      after.disk().SetContents(file.name, bytes);
    }
    Help(&after, 2);
    ASSERT_TRUE(after.Open().ok());
    EXPECT_TRUE(SameEntries(after.recovered(), run_.log()));
    EXPECT_GE(after.wal().stats().segments_mended, 2u);
  }
}

// Of a file nothing is left that tells what it was, and of the next one no
// header.
TEST_F(WalMendTest, TwoNeighbours) {
  for (size_t i = 0; i + 1 < segments_.size(); ++i) {
    for (size_t end : {size_t{0}, size_t{2489}, kSegmentHeaderBytes}) {
      SCOPED_TRACE(absl::StrCat(segments_[i].name, " ends at ", end));
      WalRun after(run_, Everything);
      after.disk().SetContents(segments_[i].name,
                               segments_[i].bytes.substr(0, end));
      std::string next = segments_[i + 1].bytes;
      next.replace(0, kSegmentHeaderBytes, kSegmentHeaderBytes, '\0');
      after.disk().SetContents(segments_[i + 1].name, next);
      Help(&after);
      ASSERT_TRUE(after.Open().ok());
      EXPECT_TRUE(SameEntries(after.recovered(), run_.log()));
    }
  }
}

// Its frames don't say that anything was synced, as there was no time for it:
// the next segment's header does.
TEST_F(WalMendTest, AHeaderOfASegmentThatWasSoonCut) {
  WalRun run;
  ASSERT_TRUE(run.Open().ok());
  run.SetHardStateAndAppend({Term(1), ServerId(1)}, {0, 100, 2000});
  run.RunUntilIdle();
  run.SetHardState({Term(2), ServerId(1)});
  run.CutAndAppend(Index(1), Term(2), {5000, 500});
  run.SetHardState({Term(3), ServerId(1)});
  run.CutAndAppend(Index(2), Term(3), {300, 20});
  run.RunUntilIdle();
  for (bool next_too : {false, true}) {
    SCOPED_TRACE(next_too);
    WalRun after(run, Everything);
    after.disk().Flip(SegmentName(2), 40, 1);
    if (next_too) after.disk().Flip(SegmentName(3), 40, 1);
    after.SetMend([&](const LogHole& hole, Term, ResultFn<Mended> done) {
      done(Mended{.entries = {run.log()[hole.first.value() - 1]}});
    });
    const absl::Status opened = after.Open();
    ASSERT_TRUE(opened.ok()) << opened;
    EXPECT_TRUE(SameEntries(after.recovered(), run.log()));
  }
}

// Of a segment that replaced an entry nothing is left, and of the next one no
// header: what was replaced isn't gone on with.
TEST_F(WalMendTest, NothingLeftOfASegmentThatReplaced) {
  WalRun run;
  ASSERT_TRUE(run.Open().ok());
  run.SetHardStateAndAppend({Term(1), ServerId(1)}, {0, 100, 200});
  run.RunUntilIdle();
  run.SetHardState({Term(2), ServerId(1)});
  run.CutAndAppend(Index(2), Term(2), {300, 20});
  run.RunUntilIdle();
  run.SetHardState({Term(3), ServerId(1)});
  run.CutAndAppend(Index(3), Term(3), {40});
  run.RunUntilIdle();
  WalRun after(run, Everything);
  after.disk().SetContents(SegmentName(2), "");
  after.disk().Flip(SegmentName(3), 40, 1);
  after.SetMend([&](const LogHole& hole, Term, ResultFn<Mended> done) {
    done(Mended{.entries = {run.log()[hole.first.value() - 1]}});
  });
  const absl::Status opened = after.Open();
  EXPECT_TRUE(absl::IsDataLoss(opened)) << opened;
}

// That the entries that it replaced were never committed says nothing of those
// that stand behind it.
TEST_F(WalMendTest, ASegmentThatReplacedIsGone) {
  WalRun run;
  run.set_commit_max(Index(0));
  ASSERT_TRUE(run.Open().ok());
  run.SetHardStateAndAppend({Term(1), ServerId(1)}, {0, 100, 200});
  run.Append(Term(1), {300, 400});
  run.SetHardStateAndAppend({Term(2), ServerId(1)}, {0});
  run.RunUntilIdle();
  run.SetHardState({Term(3), ServerId(1)});
  run.CutAndAppend(Index(4), Term(3), {6000, 4000, 200});
  run.RunUntilIdle();
  run.Append(Term(3), {7000, 50});
  run.RunUntilIdle();
  const std::vector<Entry> log = run.log();
  WalRun after(run, Everything);
  after.disk().Delete(SegmentName(2));
  after.SetMend([&](const LogHole& hole, Term, ResultFn<Mended> done) {
    if (hole.last_term != Term(3)) {
      return done(Mended{.entries = {}, .never_committed = true});
    }
    done(Mended{.entries = {log[hole.first.value() - 1]}});
  });
  const absl::Status opened = after.Open();
  ASSERT_TRUE(opened.ok()) << opened;
  EXPECT_TRUE(SameEntries(after.recovered(), log));
}

// An error ends the start, wherever it strikes, or does nothing: the next start
// finds all of the log.
TEST_F(WalMendTest, AnOperationFailsAtAnyMoment) {
  bool over = false;
  for (uint64_t failing = 1; !over; ++failing) {
    SCOPED_TRACE(failing);
    WalRun after(run_, Everything);
    std::string bytes = segments_[1].bytes;
    bytes[kSegmentHeaderBytes + 100] ^= 1;
    after.disk().SetContents(segments_[1].name, bytes);
    after.disk().SetContents("hardstate-1", "");
    after.disk().FailAt(failing);
    Help(&after);
    if (after.Open().ok()) {
      ASSERT_TRUE(SameEntries(after.recovered(), run_.log()));
      over = after.disk().completions() < failing;
    }
    WalRun again(after, Everything);
    Help(&again);
    ASSERT_TRUE(again.Open().ok());
    ASSERT_TRUE(SameEntries(again.recovered(), run_.log()));
  }
}

// Behind a checkpoint only what comes after it is asked for.
TEST_F(WalMendTest, BehindACheckpoint) {
  for (Index index(1); index < run_.last().index; ++index) {
    for (const NamedFile& file : segments_) {
      const size_t used = file.bytes.find_last_not_of('\0') + 1;
      for (size_t at = 0; at < used; at += 211) {
        SCOPED_TRACE(absl::StrCat("behind ", index.value(), ": ", file.name,
                                  " at ", at));
        WalRun after(run_, Everything);
        after.SetCheckpoint(run_.PointAt(index));
        std::string bytes = file.bytes;
        bytes[at] ^= 2;
        after.disk().SetContents(file.name, bytes);
        Help(&after);
        asked_.clear();
        ASSERT_TRUE(after.Open().ok());
        for (const LogHole& hole : asked_) EXPECT_GT(hole.first, index);
        ASSERT_EQ(
            after.WhyNotOf({{run_.log(), run_.wal().hard_state(), LogPoint()}}),
            "");
        WalRun again(after, Everything);
        again.SetCheckpoint(run_.PointAt(index));
        ASSERT_TRUE(again.Open().ok());
        ASSERT_EQ(
            again.WhyNotOf({{run_.log(), run_.wal().hard_state(), LogPoint()}}),
            "");
      }
    }
  }
}

// A start from a resume point doesn't read what is before it; but it looks
// whether all segments are there.
TEST_F(WalMendTest, HeadersBeforeAResumePoint) {
  for (Index at(1); at <= run_.last().index; ++at) {
    const WalResume resume = run_.ResumeAt(at);
    for (const NamedFile& file : segments_) {
      for (size_t damaged : {0, 50, 4090}) {
        for (bool truncated : {false, true}) {
          SCOPED_TRACE(absl::StrCat("resume at ", at.value(), ": ", file.name,
                                    " at ", damaged));
          // Of the newest one's end nothing else tells.
          if (truncated && file.name == segments_.back().name) continue;
          WalRun after(run_, Everything);
          after.SetResume(resume);
          std::string bytes = file.bytes;
          bytes[damaged] ^= 1;
          if (truncated) bytes.resize(damaged);
          after.disk().SetContents(file.name, bytes);
          if (absl::Status alone = after.Open(); !alone.ok()) {
            ASSERT_EQ(alone.code(), absl::StatusCode::kDataLoss) << alone;
            Help(&after);
            ASSERT_TRUE(after.Reopen().ok());
          }
          for (Index i(1); i <= run_.last().index; ++i) {
            auto read = after.Read(i, 1);
            ASSERT_TRUE(read.ok()) << read.status();
            ASSERT_EQ(read->front().header, run_.log()[i.value() - 1].header);
          }
          WalRun again(after, Everything);
          again.SetResume(resume);
          ASSERT_TRUE(again.Open().ok());
        }
      }
    }
  }
}

// Damage that is found when it is read, in a log that is being written.
TEST_F(WalMendTest, Reading) {
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
TEST_F(WalMendTest, ReadingTheSegmentThatIsWritten) {
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
TEST_F(WalMendTest, ReadingWithoutHelp) {
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

// What was never committed may be gone everywhere: the log ends before it then.
TEST_F(WalMendTest, WhatWasNeverCommittedIsDropped) {
  int dropped = 0;
  for (const NamedFile& file : segments_) {
    const size_t used = file.bytes.find_last_not_of('\0') + 1;
    for (size_t at = kSegmentHeaderBytes; at < used; at += 100) {
      SCOPED_TRACE(absl::StrCat(file.name, " at ", at));
      WalRun after(run_, Everything);
      std::string bytes = file.bytes;
      bytes[at] ^= 0x40;
      after.disk().SetContents(file.name, bytes);
      Index first;
      after.SetMend([&](const LogHole& hole, Term, ResultFn<Mended> done) {
        first = hole.first;
        done(Mended{.entries = {}, .never_committed = true});
      });
      const absl::Status opened = after.Open();
      // Never what frames call committed, whatever others say.
      if (absl::IsDataLoss(opened)) continue;
      ASSERT_TRUE(opened.ok()) << opened;
      if (first == Index()) continue;
      ++dropped;
      std::vector<Entry> before = run_.log();
      before.resize(first.value() - 1);
      ASSERT_TRUE(SameEntries(after.recovered(), before));
      EXPECT_GT(after.wal().stats().entries_dropped, 0u);
      after.Append(Term(4), {100, 2000});
      after.RunUntilIdle();
      WalRun again(after, Everything);
      ASSERT_TRUE(again.Open().ok());
      ASSERT_EQ(again.WhyNotOf(after.Outcomes()), "");
    }
  }
  EXPECT_GT(dropped, 3);
}

// Others' bytes aren't taken on trust.
TEST_F(WalMendTest, ForeignEntriesAreNotTaken) {
  const NamedFile& file = segments_[1];
  std::string bytes = file.bytes;
  bytes[kSegmentHeaderBytes + 100] ^= 1;
  for (int how = 0; how < 3; ++how) {
    WalRun after(run_, Everything);
    after.disk().SetContents(file.name, bytes);
    int asked = 0;
    after.SetMend([&](const LogHole& hole, Term, ResultFn<Mended> done) {
      Mended mended;
      for (const Entry& e : run_.log()) {
        if (e.header.index >= hole.first && e.header.index <= hole.last) {
          mended.entries.push_back(e);
        }
      }
      Entry& e = mended.entries.front();
      if (++asked <= 2 && how == 0) e.header.chain ^= 1;
      if (asked <= 2 && how == 1) {
        e.payload = Buffer::Copy(std::string(e.payload.size(), 'x'));
      }
      if (asked <= 2 && how == 2) mended.entries.erase(mended.entries.begin());
      done(std::move(mended));
    });
    ASSERT_TRUE(after.Open().ok());
    EXPECT_EQ(asked, how == 2 && run_.log().empty() ? 0 : 3);
    EXPECT_TRUE(SameEntries(after.recovered(), run_.log()));
  }
}

// Nobody answers, or the process dies at any moment, or the power fails: the
// next start finds what this one found, or what it has mended.
TEST_F(WalMendTest, PowerFailsAtAnyMoment) {
  const auto survives = [](uint64_t choice) {
    return [choice](size_t write, size_t sector) {
      return ((write * 7 + sector * 13 + choice * 31) >> (choice % 3)) % 2 == 0;
    };
  };
  for (const NamedFile& file : segments_) {
    const size_t used = file.bytes.find_last_not_of('\0') + 1;
    for (size_t at = kSegmentHeaderBytes + 40; at < used; at += 1500) {
      for (bool drop : {false, true}) {
        for (size_t tasks = 0; tasks < 60; ++tasks) {
          SCOPED_TRACE(absl::StrCat(file.name, " at ", at, ", ", tasks,
                                    " tasks", drop ? ", dropped" : ""));
          WalRun after(run_, Everything);
          std::string bytes = file.bytes;
          bytes[at] ^= 8;
          after.disk().SetContents(file.name, bytes);
          Index first;
          if (drop) {
            after.SetMend(
                [&](const LogHole& hole, Term, ResultFn<Mended> done) {
                  first = hole.first;
                  done(Mended{.entries = {}, .never_committed = true});
                });
          } else {
            Help(&after);
          }
          after.OpenFor(tasks);
          for (uint64_t choice = 0; choice < 4; ++choice) {
            WalRun again(after, survives(choice));
            Help(&again);
            ASSERT_TRUE(again.Open().ok());
            const std::vector<Entry>& found = again.recovered();
            std::vector<Entry> expected = run_.log();
            if (first != Index() && found.size() < expected.size()) {
              expected.resize(first.value() - 1);
            }
            ASSERT_TRUE(SameEntries(found, expected));
            for (const std::string& name : again.disk().Names()) {
              ASSERT_FALSE(absl::EndsWith(name, ".new")) << name;
            }
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace holdfast
