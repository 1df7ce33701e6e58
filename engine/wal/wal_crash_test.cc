// Power failures at every point of a workload, and of the recovery from them.

#include <algorithm>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/base/random.h"
#include "engine/wal/testing/wal_run.h"
#include "engine/wal/wal.h"
#include "gtest/gtest.h"

namespace holdfast {
namespace {

struct Choice {
  std::string name;
  MemoryDisk::Survives survives;
};

// None, all, each single one, all but each single one, and sectors by chance.
std::vector<Choice> Choices(size_t ops, uint64_t seed, size_t random) {
  std::vector<Choice> choices;
  choices.push_back({"none", [](size_t, size_t) { return false; }});
  if (ops == 0) return choices;
  choices.push_back({"all", [](size_t, size_t) { return true; }});
  for (size_t i = 0; ops > 1 && i < ops; ++i) {
    choices.push_back(
        {absl::StrCat("only ", i), [i](size_t op, size_t) { return op == i; }});
    choices.push_back({absl::StrCat("all but ", i),
                       [i](size_t op, size_t) { return op != i; }});
  }
  for (size_t i = 0; i < random; ++i) {
    DrawKey key{.seed = seed, .site = Site("survives"), .actor = i};
    choices.push_back(
        {absl::StrCat("random ", i), [key](size_t op, size_t sector) {
           return DrawBelow(key, op << 20 | sector, 2) == 1;
         }});
    // Sparse ones: one sector in sixteen is lost.
    choices.push_back(
        {absl::StrCat("dense ", i), [key](size_t op, size_t sector) {
           return DrawBelow(key, op << 20 | sector, 16) != 1;
         }});
  }
  return choices;
}

// Issues the workload while the loop runs along; some steps come one right
// behind the other, others find the log at rest.
void RunWorkload(WalRun* run, uint64_t seed) {
  uint64_t ordinal = 0;
  auto draw = [&](uint64_t bound) {
    DrawKey key{.seed = seed, .site = Site("workload")};
    return DrawBelow(key, ordinal++, bound);
  };
  Term term(run->wal().hard_state().term + 1);
  run->SetHardState({term, ServerId(1)});
  for (int step = 0; step < 22; ++step) {
    switch (draw(8)) {
      case 0:
        ++term;
        run->SetHardStateAndAppend({term, ServerId(draw(4))}, {0});
        break;
      case 1:
      case 2: {
        uint64_t length = run->last().index.value();
        if (length < 2) break;
        uint64_t back = 1 + draw(std::min<uint64_t>(length, 8));
        ++term;
        run->SetHardState({term, ServerId(0)});
        std::vector<size_t> sizes(1 + draw(3), draw(3000));
        run->CutAndAppend(Index(length - back), term, sizes);
        break;
      }
      case 3:
        run->Append(term, {9000});
        break;
      case 4:
        run->Append(term, {20000 + draw(3) * 4096});  // oversize
        break;
      default: {
        std::vector<size_t> sizes;
        for (uint64_t n = 1 + draw(5); n > 0; --n) {
          sizes.push_back(draw(2500));
        }
        run->Append(term, sizes);
      }
    }
    uint64_t pause = draw(12);
    if (pause == 0) {
      run->RunUntilIdle();
    } else {
      run->RunTasks(pause);
    }
  }
  run->RunUntilIdle();
}

// The same with checkpoints: prefixes are dropped behind the log's own ones,
// and others replace a log that is shorter, that holds another entry, or that
// goes on behind them.
void RunCheckpointWorkload(WalRun* run, uint64_t seed) {
  uint64_t ordinal = 0;
  auto draw = [&](uint64_t bound) {
    DrawKey key{.seed = seed, .site = Site("checkpoints")};
    return DrawBelow(key, ordinal++, bound);
  };
  Term term(run->wal().hard_state().term + 1);
  run->SetHardState({term, ServerId(1)});
  for (int step = 0; step < 24; ++step) {
    // A checkpoint's term was promised before it is written.
    Term promised = run->wal().hard_state().term;
    LogPoint last = run->last();
    uint64_t behind = last.index - run->checkpoint().index;
    switch (draw(8)) {
      case 0:
      case 1: {
        if (behind == 0) break;
        LogPoint at = run->PointAt(last.index - draw(std::min(behind, 40ul)));
        if (at.term > promised) break;
        run->SetCheckpoint(at);
        run->wal().DropTo(at);
        break;
      }
      case 2: {
        LogPoint base = last;
        uint64_t how = draw(3);
        if (how == 0 && behind > 0) {  // as the log has it, or otherwise
          base = run->PointAt(last.index - draw(std::min(behind, 40ul)));
          if (draw(2) == 0) base.chain ^= 1;
        } else {
          base.index += 1 + draw(5);
          base.next_offset += 3;
          base.chain += 77;
          base.term = std::max(base.term, promised);
        }
        if (base.term > promised) break;
        run->ResetTo(base);
        break;
      }
      case 3: {
        if (behind < 2) break;
        uint64_t back = 1 + draw(std::min(behind, 8ul));
        ++term;
        run->SetHardState({term, ServerId(0)});
        std::vector<size_t> sizes(1 + draw(3), draw(3000));
        run->CutAndAppend(last.index - back, term, sizes);
        break;
      }
      case 4:
        run->Append(term, {9000 + draw(3) * 6000});  // some are oversize
        break;
      default: {
        std::vector<size_t> sizes;
        for (uint64_t n = 1 + draw(5); n > 0; --n) {
          sizes.push_back(draw(3500));
        }
        run->Append(term, sizes);
      }
    }
    uint64_t pause = draw(12);
    if (pause == 0) {
      run->RunUntilIdle();
    } else {
      run->RunTasks(pause);
    }
  }
  run->RunUntilIdle();
}

using Outcomes = std::vector<WalRun::State>;
using Workload = void (*)(WalRun*, uint64_t seed);

void ExpectRecovered(WalRun* after, const Outcomes& before) {
  absl::Status opened = after->Open();
  ASSERT_TRUE(opened.ok()) << opened;
  ASSERT_EQ(after->WhyNotOf(before), "");
}

// Recovers, and crashes at each point of the recovery, too.
void CrashDuringRecovery(const WalRun& before,
                         const MemoryDisk::Survives& survives, uint64_t seed) {
  Outcomes outcomes = before.Outcomes();
  for (uint64_t stop = 0;; ++stop) {
    WalRun interrupted(before, survives);
    interrupted.disk().StopAfter(stop);
    bool complete = interrupted.Open().ok();
    for (const Choice& choice :
         Choices(interrupted.disk().unsynced_ops(), seed + stop, 1)) {
      SCOPED_TRACE(absl::StrCat("recovery stopped after ", stop,
                                ", then survives: ", choice.name));
      WalRun again(interrupted, choice.survives);
      ASSERT_NO_FATAL_FAILURE(ExpectRecovered(&again, outcomes));
    }
    if (complete && interrupted.disk().completions() < stop) break;
  }
}

void CrashEverywhere(Workload workload, uint64_t seed, bool during_recovery) {
  for (uint64_t stop = 0;; ++stop) {
    WalRun run;
    ASSERT_TRUE(run.Open().ok());
    uint64_t started = run.disk().completions();
    run.disk().StopAfter(started + stop);
    workload(&run, seed);
    Outcomes outcomes = run.Outcomes();
    std::vector<Choice> choices =
        Choices(run.disk().unsynced_ops(), seed + stop, 3);
    for (size_t i = 0; i < choices.size(); ++i) {
      SCOPED_TRACE(absl::StrCat("seed ", seed, ", stopped after ", stop,
                                ", survives: ", choices[i].name));
      if (during_recovery) {
        if ((i + stop) % 5 != 0) continue;
        ASSERT_NO_FATAL_FAILURE(
            CrashDuringRecovery(run, choices[i].survives, seed));
        continue;
      }
      WalRun after(run, choices[i].survives);
      ASSERT_NO_FATAL_FAILURE(ExpectRecovered(&after, outcomes));
      // It goes on from there, and crashes once more.
      uint64_t later = (stop * 7 + i * 13) % 60;
      after.disk().StopAfter(after.disk().completions() + later);
      workload(&after, seed + 1);
      Outcomes later_outcomes = after.Outcomes();
      for (const Choice& choice :
           Choices(after.disk().unsynced_ops(), seed + later, 1)) {
        SCOPED_TRACE(absl::StrCat("then stopped after ", later,
                                  ", survives: ", choice.name));
        WalRun last(after, choice.survives);
        ASSERT_NO_FATAL_FAILURE(ExpectRecovered(&last, later_outcomes));
      }
    }
    if (run.disk().completions() < started + stop) break;
  }
}

class WalCrashTest : public testing::TestWithParam<uint64_t> {};

TEST_P(WalCrashTest, AnywhereAndThenAnywhere) {
  CrashEverywhere(RunWorkload, GetParam(), false);
}

TEST_P(WalCrashTest, AnywhereAndDuringRecovery) {
  CrashEverywhere(RunWorkload, GetParam(), true);
}

TEST_P(WalCrashTest, WithCheckpointsAnywhereAndThenAnywhere) {
  CrashEverywhere(RunCheckpointWorkload, GetParam(), false);
}

TEST_P(WalCrashTest, WithCheckpointsAnywhereAndDuringRecovery) {
  CrashEverywhere(RunCheckpointWorkload, GetParam(), true);
}

INSTANTIATE_TEST_SUITE_P(Seeds, WalCrashTest,
                         testing::Range(uint64_t{1}, uint64_t{4}));

// The process dies alone: all that was written can still be read, and the
// power fails later.
void RestartThenPowerFailure(WalRun* run, uint64_t seed) {
  Outcomes outcomes = run->Outcomes();
  run->disk().FailAt(0);
  absl::Status opened = run->Reopen();
  ASSERT_TRUE(opened.ok()) << opened;
  ASSERT_EQ(run->WhyNotOf(outcomes), "");
  // What the new process recovers is what it may tell others.
  outcomes = run->Outcomes();
  for (const Choice& choice : Choices(run->disk().unsynced_ops(), seed, 3)) {
    SCOPED_TRACE(absl::StrCat("survives: ", choice.name));
    WalRun after(*run, choice.survives);
    ASSERT_NO_FATAL_FAILURE(ExpectRecovered(&after, outcomes));
  }
}

TEST(WalRestartTest, AnywhereThenPowerFailure) {
  for (Workload workload : {RunWorkload, RunCheckpointWorkload}) {
    for (uint64_t stop = 0;; ++stop) {
      WalRun run;
      ASSERT_TRUE(run.Open().ok());
      uint64_t started = run.disk().completions();
      run.disk().StopAfter(started + stop);
      workload(&run, 5);
      bool complete = run.disk().completions() < started + stop;
      run.disk().StopAfter(UINT64_MAX);
      SCOPED_TRACE(absl::StrCat("stopped after ", stop));
      ASSERT_NO_FATAL_FAILURE(RestartThenPowerFailure(&run, stop));
      if (complete) break;
    }
  }
}

// The process dies, and the power fails while the next one recovers: what was
// in the page cache only may be torn below what the recovery wrote already.
void RestartAndFailDuringRecovery(const WalRun& before, uint64_t seed) {
  Outcomes outcomes = before.Outcomes();
  for (uint64_t stop = 0;; ++stop) {
    WalRun interrupted(before);
    interrupted.disk().StopAfter(stop);
    bool complete = interrupted.Open().ok();
    for (const Choice& choice :
         Choices(interrupted.disk().unsynced_ops(), seed + stop, 1)) {
      SCOPED_TRACE(absl::StrCat("recovery stopped after ", stop,
                                ", then survives: ", choice.name));
      WalRun again(interrupted, choice.survives);
      ASSERT_NO_FATAL_FAILURE(ExpectRecovered(&again, outcomes));
    }
    if (complete && interrupted.disk().completions() < stop) break;
  }
}

TEST(WalRestartTest, AnywhereThenPowerFailureDuringRecovery) {
  for (Workload workload : {RunWorkload, RunCheckpointWorkload}) {
    for (uint64_t stop = 0;; ++stop) {
      WalRun run;
      ASSERT_TRUE(run.Open().ok());
      uint64_t started = run.disk().completions();
      run.disk().StopAfter(started + stop);
      workload(&run, 10);
      SCOPED_TRACE(absl::StrCat("stopped after ", stop));
      ASSERT_NO_FATAL_FAILURE(RestartAndFailDuringRecovery(run, stop));
      if (run.disk().completions() < started + stop) break;
    }
  }
}

TEST(WalRestartTest, AfterAnErrorThenPowerFailureDuringRecovery) {
  for (Workload workload : {RunWorkload, RunCheckpointWorkload}) {
    for (uint64_t failing = 1;; ++failing) {
      WalRun run;
      ASSERT_TRUE(run.Open().ok());
      uint64_t started = run.disk().completions();
      run.disk().FailAt(started + failing);
      workload(&run, 11);
      SCOPED_TRACE(absl::StrCat("failing ", failing));
      ASSERT_NO_FATAL_FAILURE(RestartAndFailDuringRecovery(run, failing));
      if (run.disk().completions() < started + failing) break;
    }
  }
}

// Each operation fails once. After a failed sync the data can be read, but no
// later sync makes it durable.
TEST(WalRestartTest, AfterAnErrorThenPowerFailure) {
  for (uint64_t seed = 6; seed < 10; ++seed) {
    for (uint64_t failing = 1;; ++failing) {
      WalRun run;
      ASSERT_TRUE(run.Open().ok());
      uint64_t started = run.disk().completions();
      run.disk().FailAt(started + failing);
      (seed % 2 == 0 ? RunWorkload : RunCheckpointWorkload)(&run, seed);
      bool complete = run.disk().completions() < started + failing;
      SCOPED_TRACE(absl::StrCat("seed ", seed, ", failing ", failing));
      ASSERT_NO_FATAL_FAILURE(RestartThenPowerFailure(&run, failing));
      if (complete) break;
    }
  }
}

// Recovery's own operations fail: it says so, and the next one succeeds.
TEST(WalRestartTest, AfterAnErrorOfRecovery) {
  WalRun run;
  ASSERT_TRUE(run.Open().ok());
  run.disk().StopAfter(run.disk().completions() + 40);
  RunWorkload(&run, 9);
  Outcomes outcomes = run.Outcomes();
  for (uint64_t failing = 1;; ++failing) {
    SCOPED_TRACE(absl::StrCat("failing ", failing));
    WalRun after(run, [](size_t op, size_t) { return op % 2 == 0; });
    after.disk().FailAt(failing);
    bool opened = after.Open().ok();
    bool complete = after.disk().completions() < failing;
    if (opened) {
      ASSERT_NO_FATAL_FAILURE(RestartThenPowerFailure(&after, failing));
    } else {
      absl::Status again = after.Reopen();
      ASSERT_TRUE(again.ok()) << again;
      ASSERT_EQ(after.WhyNotOf(outcomes), "");
      ASSERT_NO_FATAL_FAILURE(RestartThenPowerFailure(&after, failing));
    }
    if (complete) break;
  }
}

// One step with a checkpoint over a log of many segments, an old suffix of
// which was cut just before, and the power failing anywhere in it: whichever
// of the files that go are left, they look neither like a log with a gap nor
// like this one.
struct Step {
  const char* name;
  void (*run)(WalRun*);
};

constexpr Step kSteps[] = {
    {"drop",
     [](WalRun* run) {
       run->SetCheckpoint(run->PointAt(Index(21)));
       run->wal().DropTo(run->checkpoint());
       run->Append(Term(2), {3000, 3000});
     }},
    {"cut and drop",
     [](WalRun* run) {
       run->SetCheckpoint(run->PointAt(Index(11)));
       run->CutAndAppend(Index(11), Term(2), {100});
       run->RunTasks(1);
       run->wal().DropTo(run->checkpoint());
       run->Append(Term(2), {3000, 3000});
     }},
    {"reset to another log",
     [](WalRun* run) {
       LogPoint base = run->PointAt(Index(7));
       base.chain ^= 1;
       run->ResetTo(base);
       run->Append(Term(2), {100, 9000, 9000});
     }},
    {"reset to a longer log",
     [](WalRun* run) {
       LogPoint base = run->last();
       base.index += 10;
       base.chain ^= 1;
       run->ResetTo(base);
       run->Append(Term(2), {15000});
       base.index += 10;
       run->ResetTo(base);
     }},
    {"reset to the same log",
     [](WalRun* run) {
       run->ResetTo(run->PointAt(Index(9)));
       run->Append(Term(2), {100});
     }},
};

void WriteLongLog(WalRun* run) {
  ASSERT_TRUE(run->Open().ok());
  run->SetHardStateAndAppend({Term(1), ServerId(1)}, {0});
  run->Append(Term(1), std::vector<size_t>(24, 3000));
  run->RunUntilIdle();
  run->SetHardState({Term(2), ServerId(1)});
  run->CutAndAppend(Index(16), Term(2), std::vector<size_t>(12, 3000));
  run->RunUntilIdle();
  ASSERT_TRUE(run->all_persisted());
}

class WalCheckpointTest : public testing::TestWithParam<Step> {};

TEST_P(WalCheckpointTest, PowerFailsAnywhere) {
  for (uint64_t stop = 0;; ++stop) {
    SCOPED_TRACE(absl::StrCat(GetParam().name, " stopped after ", stop));
    WalRun run;
    ASSERT_NO_FATAL_FAILURE(WriteLongLog(&run));
    uint64_t started = run.disk().completions();
    run.disk().StopAfter(started + stop);
    GetParam().run(&run);
    run.RunUntilIdle();
    for (const Choice& choice : Choices(run.disk().unsynced_ops(), stop, 2)) {
      SCOPED_TRACE(absl::StrCat("survives: ", choice.name));
      ASSERT_NO_FATAL_FAILURE(CrashDuringRecovery(run, choice.survives, stop));
    }
    ASSERT_NO_FATAL_FAILURE(RestartAndFailDuringRecovery(run, stop));
    bool complete = run.disk().completions() < started + stop;
    run.disk().StopAfter(UINT64_MAX);
    ASSERT_NO_FATAL_FAILURE(RestartThenPowerFailure(&run, stop));
    if (complete) break;
  }
}

INSTANTIATE_TEST_SUITE_P(Steps, WalCheckpointTest, testing::ValuesIn(kSteps));

}  // namespace
}  // namespace holdfast
