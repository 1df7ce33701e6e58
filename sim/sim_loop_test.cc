#include "sim/sim_loop.h"

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sim/fault_sites.h"
#include "sim/sim_process.h"
#include "sim/world.h"

namespace holdfast {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

void RunAll(World* world) {
  while (world->scheduler.Step()) {
  }
}

TEST(SimLoopTest, TimersRunInOrderAndDieWhenDestroyed) {
  World world(1);
  SimProcess process(&world, 1, 1, ClockModel{});
  Loop* loop = process.loop();
  std::vector<std::string> ran;
  Timer b = loop->After(2ms, [&] { ran.push_back("b"); });
  Timer a = loop->After(1ms, [&] { ran.push_back("a"); });
  {
    Timer dropped = loop->After(1ms, [&] { ran.push_back("dropped"); });
  }
  Timer never = loop->At(kNever, [&] { ran.push_back("never"); });
  loop->Post([&] { ran.push_back("posted"); });
  EXPECT_THAT(ran, IsEmpty());
  RunAll(&world);
  EXPECT_THAT(ran, ElementsAre("posted", "a", "b"));
}

TEST(SimLoopTest, SlackMakesTimersLateAndBringsThemTogether) {
  for (int64_t drift : {-20000, 0, 20000}) {
    World world(1);
    SimProcess process(&world, 1, 1,
                       ClockModel{.drift_ppm = drift, .timer_slack = 4ms});
    SimLoop* loop = process.loop();
    std::vector<TrueTime> rang;
    std::vector<Timer> timers;
    for (Duration after :
         {Duration(1ns), Duration(1ms), Duration(3ms), Duration(3999999ns),
          Duration(9ms), Duration(11ms)}) {
      const Instant due = loop->Now() + after;
      timers.push_back(loop->At(due, [&, due] {
        EXPECT_GE(loop->Now(), due);
        EXPECT_LE(loop->Now(), due + 5ms);
        rang.push_back(world.now());
      }));
    }
    {
      Timer cancelled = loop->After(1ms, [] {});
    }
    bool posted = false;
    loop->Post([&] { posted = world.now() == TrueTime(); });
    RunAll(&world);
    EXPECT_TRUE(posted);
    ASSERT_EQ(rang.size(), 6u);
    for (TrueTime time : rang) {
      EXPECT_EQ(time.time_since_epoch() % Duration(4ms), Duration::zero());
    }
    EXPECT_EQ(rang[0], rang[2]);
    EXPECT_EQ(loop->late_timers(), 6u);
  }
}

TEST(SimLoopTest, AFastClockRingsEarlyByTrueTime) {
  World world(1);
  SimProcess fast(&world, 1, 1, ClockModel{.drift_ppm = 10000});
  SimProcess slow(&world, 2, 1, ClockModel{.drift_ppm = -10000});
  TrueTime fast_rang{};
  TrueTime slow_rang{};
  Timer a = fast.loop()->After(101ms, [&] { fast_rang = world.now(); });
  Timer b = slow.loop()->After(99ms, [&] { slow_rang = world.now(); });
  RunAll(&world);
  EXPECT_EQ(fast_rang, TrueTime(100ms));
  // To the nanosecond that its rounding costs.
  EXPECT_GE(slow_rang, TrueTime(100ms - 1ns));
  EXPECT_LE(slow_rang, TrueTime(100ms));
}

TEST(SimLoopTest, ATimerNeverRingsBeforeItsInstant) {
  for (int64_t drift : {-20000, -137, -1, 0, 1, 137, 20000}) {
    World world(1);
    SimProcess process(&world, 1, 1, ClockModel{.drift_ppm = drift});
    SimLoop* loop = process.loop();
    for (Duration after : {Duration(1ns), Duration(999ns), Duration(1000001ns),
                           Duration(123456789ns), Duration(59s)}) {
      const Instant when = loop->ToLocal(TrueTime{}) + after;
      const TrueTime t = loop->ToTrue(when);
      EXPECT_GE(loop->ToLocal(t), when) << drift << " " << after.count();
      EXPECT_LT(loop->ToLocal(t - 1ns), when) << drift << " " << after.count();
    }
  }
}

constexpr ClockLimits kLimits{.drift_ppm_max = 20000, .timer_slack_max = 8ms};

TEST(SimLoopTest, ClocksAreDrawnWithinTheirLimits) {
  int slow = 0;
  for (uint64_t seed = 1; seed <= 1000; ++seed) {
    World world(seed);
    const ClockModel clock = DrawClock(&world.chance, 1, kLimits);
    EXPECT_LE(std::abs(clock.drift_ppm), kLimits.drift_ppm_max);
    EXPECT_GE(clock.timer_slack, Duration::zero());
    EXPECT_LE(clock.timer_slack, kLimits.timer_slack_max);
    slow += clock.drift_ppm < 0 ? 1 : 0;
    // Of its next life, too.
    EXPECT_EQ(DrawClock(&world.chance, 1, kLimits).drift_ppm, clock.drift_ppm);
    EXPECT_EQ(world.chance.tape().entries.size(), 4u);
  }
  EXPECT_GT(slow, 400);
  EXPECT_LT(slow, 600);
}

TEST(SimLoopTest, ClocksWithoutLimitsAreRight) {
  World world(1);
  const ClockModel clock = DrawClock(&world.chance, 1, ClockLimits{});
  EXPECT_EQ(clock.drift_ppm, 0);
  EXPECT_EQ(clock.timer_slack, Duration::zero());
  EXPECT_EQ(world.chance.draws(), 0u);
}

TEST(SimLoopTest, ATapeSaysWhichClocksAreWrong) {
  World world(1);
  Tape tape;
  const auto strike = [&tape](const ChanceSite& site, MachineId machine,
                              uint64_t draw, uint64_t value) {
    tape.entries.push_back(
        {site.name, machine, TapeEntry::Place(0, draw), value});
  };
  strike(faults::kDrift, 1, 0, faults::Written(0x8000, 0));
  strike(faults::kDrift, 2, 1, faults::Written(0x8000, 1));
  strike(faults::kLateTimer, 2, 0, faults::Written(0x4000, 0));
  world.chance.Replay(tape);
  const ClockModel one = DrawClock(&world.chance, 1, kLimits);
  EXPECT_EQ(one.drift_ppm, 10000);
  EXPECT_EQ(one.timer_slack, Duration::zero());
  const ClockModel two = DrawClock(&world.chance, 2, kLimits);
  EXPECT_EQ(two.drift_ppm, 0);
  EXPECT_NEAR(static_cast<double>(two.timer_slack.count()), 2e6, 5000);
  EXPECT_EQ(DrawClock(&world.chance, 2, kLimits).drift_ppm, -10000);
  EXPECT_EQ(world.chance.tape().entries.size(), 3u);
}

TEST(SimLoopTest, OnlyTheWallClockJumps) {
  World world(1);
  SimProcess process(&world, 1, 1, ClockModel{});
  const Instant now = process.loop()->Now();
  const WallTime wall = process.loop()->WallNow();
  process.loop()->JumpWall(-1h);
  EXPECT_EQ(process.loop()->Now(), now);
  EXPECT_EQ(process.loop()->WallNow(), wall - 1h);
}

TEST(SimProcessTest, AKilledProcessRunsNothing) {
  World world(1);
  auto process = std::make_unique<SimProcess>(&world, 1, 1, ClockModel{});
  std::vector<std::string> ran;
  process->loop()->Post([&] { ran.push_back("post"); });
  Timer timer = process->loop()->After(1ms, [&] { ran.push_back("timer"); });
  process->Kill();
  EXPECT_FALSE(process->alive());
  EXPECT_FALSE(process->BeginIo(SimProcess::Io::kDisk));
  Timer late = process->loop()->After(1ms, [&] { ran.push_back("late"); });
  RunAll(&world);
  EXPECT_THAT(ran, IsEmpty());
}

TEST(SimProcessTest, DiesBeforeItsNthOperationAndTheTaskGoesOnWithoutEffect) {
  World world(1);
  SimProcess process(&world, 1, 1, ClockModel{});
  std::vector<bool> began;
  bool task_over = false;
  bool died = false;
  process.DieBeforeIo(3, SimProcess::Io::kAny, [&] {
    EXPECT_TRUE(task_over);
    died = true;
    process.Kill();
  });
  process.loop()->Post([&] {
    for (int i = 0; i < 4; ++i)
      began.push_back(process.BeginIo(SimProcess::Io::kDisk));
    task_over = true;
  });
  process.loop()->Post([&] { ADD_FAILURE() << "runs after its death"; });
  RunAll(&world);
  EXPECT_TRUE(died);
  EXPECT_THAT(began, ElementsAre(true, true, false, false));
}

TEST(SimProcessTest, DiesBeforeAnOperationOfOneKind) {
  World world(1);
  SimProcess process(&world, 1, 1, ClockModel{});
  process.DieBeforeIo(1, SimProcess::Io::kDisk, [] {});
  EXPECT_TRUE(process.BeginIo(SimProcess::Io::kNetwork));
  EXPECT_FALSE(process.BeginIo(SimProcess::Io::kDisk));
  EXPECT_FALSE(process.BeginIo(SimProcess::Io::kNetwork));
}

}  // namespace
}  // namespace holdfast
