#include "sim/scheduler.h"

#include <algorithm>
#include <string>
#include <vector>

#include "engine/base/random.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace holdfast {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class SchedulerTest : public ::testing::Test {
 protected:
  Scheduler::EventId In(Duration delay, std::string name,
                        ActorId actor = kWorldActor) {
    return scheduler_.At(scheduler_.now() + delay, actor, EventKind::kTimer,
                         [this, name] { ran_.push_back(name); });
  }
  void RunAll() {
    while (scheduler_.Step()) {
    }
  }

  Trace trace_;
  Scheduler scheduler_{&trace_};
  std::vector<std::string> ran_;
};

TEST_F(SchedulerTest, PausedActorCatchesUpInOrder) {
  const ActorId actor = scheduler_.AddActor();
  In(1ms, "a", actor);
  In(2ms, "b");
  In(2ms, "c", actor);
  const Scheduler::EventId cancelled = In(3ms, "d", actor);
  In(5ms, "e", actor);
  In(6ms, "f", actor);
  In(0ms, "now", actor);
  scheduler_.Pause(actor, scheduler_.now() + 5ms);
  scheduler_.Pause(actor, scheduler_.now() + 4ms);  // is over by then
  EXPECT_FALSE(scheduler_.StepUntil(scheduler_.now() + 1ms));
  In(3ms, "g");
  EXPECT_TRUE(scheduler_.Step());  // b
  scheduler_.Cancel(cancelled);
  RunAll();
  EXPECT_THAT(ran_, ElementsAre("b", "g", "a", "c", "e", "now", "f"));
}

TEST_F(SchedulerTest, PausedActorCanBeDropped) {
  const ActorId actor = scheduler_.AddActor();
  In(1ms, "a", actor);
  In(2ms, "b");
  scheduler_.Pause(actor, scheduler_.now() + 5ms);
  EXPECT_TRUE(scheduler_.Step());
  scheduler_.DropActor(actor);
  EXPECT_FALSE(scheduler_.Step());
  EXPECT_THAT(ran_, ElementsAre("b"));
}

TEST_F(SchedulerTest, RunsByTimeThenBySequence) {
  In(2ms, "c");
  In(1ms, "a");
  In(2ms, "d");
  In(1ms, "b");
  RunAll();
  EXPECT_THAT(ran_, ElementsAre("a", "b", "c", "d"));
  EXPECT_EQ(scheduler_.now(), TrueTime(2ms));
  EXPECT_EQ(scheduler_.dispatched(), 4u);
}

TEST_F(SchedulerTest, NothingRunsInsideTheCallThatScheduledIt) {
  bool inside = false;
  scheduler_.At(TrueTime(1ms), kWorldActor, EventKind::kTimer, [&] {
    inside = true;
    In(-5ms, "due at once");
    EXPECT_THAT(ran_, IsEmpty());
    inside = false;
  });
  RunAll();
  EXPECT_FALSE(inside);
  EXPECT_THAT(ran_, ElementsAre("due at once"));
}

TEST_F(SchedulerTest, WhatIsDueAtOnceComesBehindWhatWasDueAlready) {
  scheduler_.At(TrueTime(1ms), kWorldActor, EventKind::kTimer,
                [&] { In(0ms, "posted"); });
  In(1ms, "scheduled before");
  RunAll();
  EXPECT_THAT(ran_, ElementsAre("scheduled before", "posted"));
}

TEST_F(SchedulerTest, CancelledEventsDontRun) {
  const Scheduler::EventId a = In(1ms, "a");
  const Scheduler::EventId b = In(0ms, "b");
  In(2ms, "c");
  scheduler_.Cancel(a);
  scheduler_.Cancel(a);
  scheduler_.Cancel(b);
  scheduler_.Cancel(0);
  EXPECT_EQ(scheduler_.pending(), 1u);
  RunAll();
  EXPECT_THAT(ran_, ElementsAre("c"));
}

TEST_F(SchedulerTest, AnOldIdDoesntCancelTheNextUserOfItsSlot) {
  const Scheduler::EventId old = In(1ms, "old");
  scheduler_.Cancel(old);
  In(1ms, "new");
  scheduler_.Cancel(old);
  RunAll();
  EXPECT_THAT(ran_, ElementsAre("new"));
}

TEST_F(SchedulerTest, ADroppedActorsEventsAreGone) {
  const ActorId actor = scheduler_.AddActor();
  In(1ms, "its timer", actor);
  In(0ms, "its post", actor);
  In(1ms, "the world's");
  scheduler_.DropActor(actor);
  EXPECT_EQ(In(1ms, "too late", actor), 0u);
  RunAll();
  EXPECT_THAT(ran_, ElementsAre("the world's"));
}

TEST_F(SchedulerTest, DroppingATaskMayCancelAnother) {
  const ActorId actor = scheduler_.AddActor();
  class CancelsOther {
   public:
    CancelsOther(Scheduler* scheduler, Scheduler::EventId other)
        : scheduler_(scheduler), other_(other) {}
    ~CancelsOther() { scheduler_->Cancel(other_); }

   private:
    Scheduler* scheduler_;
    Scheduler::EventId other_;
  };
  const Scheduler::EventId other = In(1ms, "other", actor);
  auto cancels = std::make_shared<CancelsOther>(&scheduler_, other);
  scheduler_.At(TrueTime(2ms), actor, EventKind::kTimer,
                [cancels = std::move(cancels)] {});
  scheduler_.DropActor(actor);
  EXPECT_EQ(scheduler_.pending(), 0u);
}

TEST_F(SchedulerTest, ActsRightAfterTheNthEventOfAnActor) {
  const ActorId actor = scheduler_.AddActor();
  In(1ms, "1", actor);
  In(1ms, "world");
  In(1ms, "2", actor);
  In(1ms, "3", actor);
  scheduler_.AfterEventsOf(actor, 2, [&] {
    ran_.push_back("crash");
    scheduler_.DropActor(actor);
  });
  RunAll();
  EXPECT_THAT(ran_, ElementsAre("1", "world", "2", "crash"));
}

TEST_F(SchedulerTest, StepUntilStopsAtTheLimit) {
  In(1ms, "a");
  In(3ms, "b");
  EXPECT_TRUE(scheduler_.StepUntil(TrueTime(2ms)));
  EXPECT_FALSE(scheduler_.StepUntil(TrueTime(2ms)));
  EXPECT_EQ(scheduler_.now(), TrueTime(2ms));
  EXPECT_TRUE(scheduler_.StepUntil(TrueTime(3ms)));
  EXPECT_THAT(ran_, ElementsAre("a", "b"));
}

// Against a sort, with thousands of timers that are set and cancelled.
TEST_F(SchedulerTest, KeepsTheTotalOrderUnderManyCancels) {
  const DrawKey key{.seed = 7, .site = Site("scheduler_test")};
  uint64_t draws = 0;
  std::vector<std::pair<int64_t, int>> expected;
  std::vector<int> ran;
  std::vector<std::pair<Scheduler::EventId, std::pair<int64_t, int>>> live;
  for (int i = 0; i < 20000; ++i) {
    const auto at = static_cast<int64_t>(DrawBelow(key, draws++, 5000));
    const Scheduler::EventId id =
        scheduler_.At(TrueTime(Duration(at)), kWorldActor, EventKind::kTimer,
                      [&ran, i] { ran.push_back(i); });
    live.push_back({id, {at, i}});
    if (DrawBelow(key, draws++, 10) < 7) {
      const size_t victim = DrawBelow(key, draws++, live.size());
      scheduler_.Cancel(live[victim].first);
      live.erase(live.begin() + static_cast<long>(victim));
    }
  }
  for (const auto& [id, what] : live) expected.push_back(what);
  // Those due at time 0 come first and in the order of the calls, as all do.
  std::stable_sort(
      expected.begin(), expected.end(),
      [](const auto& a, const auto& b) { return a.first < b.first; });
  EXPECT_EQ(scheduler_.pending(), live.size());
  RunAll();
  ASSERT_EQ(ran.size(), expected.size());
  for (size_t i = 0; i < ran.size(); ++i) {
    ASSERT_EQ(ran[i], expected[i].second) << "at place " << i;
  }
}

TEST_F(SchedulerTest, TheTraceTellsRunsApart) {
  const auto hash = [](Duration delay, EventKind kind) {
    Trace trace;
    Scheduler scheduler(&trace);
    scheduler.At(TrueTime(delay), kWorldActor, kind, [] {});
    while (scheduler.Step()) {
    }
    return trace.hash();
  };
  EXPECT_EQ(hash(1ms, EventKind::kTimer), hash(1ms, EventKind::kTimer));
  EXPECT_NE(hash(1ms, EventKind::kTimer), hash(2ms, EventKind::kTimer));
  EXPECT_NE(hash(1ms, EventKind::kTimer), hash(1ms, EventKind::kPost));
}

}  // namespace
}  // namespace holdfast
