#ifndef HOLDFAST_ENGINE_WAL_TESTING_DAMAGED_LOG_H_
#define HOLDFAST_ENGINE_WAL_TESTING_DAMAGED_LOG_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/wal/testing/wal_run.h"
#include "engine/wal/wal.h"
#include "gtest/gtest.h"

namespace holdfast {

// A log of several segments, of which some replace others' entries, and other
// servers that have all of it.
class DamagedLog : public testing::Test {
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

  // The same for another log, one by one, whatever is asked for.
  static void HelpFrom(const WalRun& whole, WalRun* run) {
    run->SetMend([&whole](const LogHole& hole, Term, ResultFn<Mended> done) {
      done(Mended{.entries = {whole.log()[hole.first.value() - 1]}});
    });
  }

  // Writes a log whose newest segment, the second one, was begun so late that
  // no mark covers it.
  static void WriteAndBeginASegment(WalRun* run) {
    ASSERT_TRUE(run->Open().ok());
    run->SetHardStateAndAppend({Term(1), ServerId(1)}, {0, 100, 500});
    run->RunUntilIdle();
    run->SetHardState({Term(2), ServerId(1)});
    run->CutAndAppend(Index(2), Term(2), {300, 20});
    while (!run->all_persisted()) run->RunTasks(1);
  }

  // Each file with a bit flipped; `step`: from the byte where it was to the one
  // of the next time.
  template <typename Step, typename Expect>
  void ForEachFlip(Step step, Expect expect) {
    for (const NamedFile& file : segments_) {
      const size_t used = file.bytes.find_last_not_of('\0') + 1;
      for (size_t at = 0; at < used; at += step(at)) {
        SCOPED_TRACE(absl::StrCat(file.name, " at ", at));
        std::string bytes = file.bytes;
        bytes[at] = static_cast<char>(bytes[at] ^ (1 << at % 8));
        ASSERT_NO_FATAL_FAILURE(expect(file.name, bytes));
      }
    }
  }
  // All of a header's first bytes.
  static size_t FewSteps(size_t at) { return at < 80 ? 1 : 7; }

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

  // Opens what is left of it with nobody to ask: it has nothing but the log's
  // entries, and says which are missing; or it refuses.
  void ExpectPart(WalRun* after, const std::vector<Entry>& log) {
    const std::vector<std::string> names = after->disk().Names();
    std::vector<std::string> before;
    for (const std::string& name : names) {
      before.push_back(after->disk().Contents(name));
    }
    const absl::Status opened = after->OpenInPart();
    if (!opened.ok()) {
      ASSERT_TRUE(absl::IsDataLoss(opened)) << opened;
      ++refused_;
      return;
    }
    uint64_t lost = 0;
    ASSERT_EQ(after->WhyNotPartOf(log, &lost), "");
    lost_ += lost;
    ++parts_;
    ASSERT_EQ(after->disk().Names(), names);
    for (size_t i = 0; i < names.size(); ++i) {
      ASSERT_EQ(after->disk().Contents(names[i]), before[i]);
    }
  }
  void ExpectPart(const std::string& name, const std::string& bytes) {
    WalRun after(run_, Everything);
    after.disk().SetContents(name, bytes);
    ExpectPart(&after, run_.log());
  }

  WalRun run_;
  std::vector<NamedFile> segments_;
  std::vector<LogHole> asked_;
  int mended_ = 0;
  // Of logs that were opened in part.
  int parts_ = 0;
  int refused_ = 0;
  uint64_t lost_ = 0;  // entries of them
};

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_WAL_TESTING_DAMAGED_LOG_H_
