#include "transport/epoll_loop.h"

#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gtest/gtest.h"

namespace holdfast {
namespace {

constexpr int kTasks = 10000;

TEST(EpollLoopTest, RunsTimersInTheOrderOfTimeThenSubmission) {
  EpollLoop loop;
  std::string order;
  const Instant soon = loop.Now() + 2ms;
  Timer d = loop.At(soon + 1ms, [&] {
    order += 'd';
    loop.Stop();
  });
  Timer a = loop.At(soon, [&] { order += 'a'; });
  Timer b = loop.At(soon, [&] { order += 'b'; });
  Timer c = loop.At(soon, [&] { order += 'c'; });
  loop.Run();
  EXPECT_EQ(order, "abcd");
}

TEST(EpollLoopTest, RunsWhatIsOverdueInOrderToo) {
  EpollLoop loop;
  std::string order;
  Timer b = loop.At(loop.Now() - 1s, [&] {
    order += 'b';
    loop.Stop();
  });
  Timer a = loop.At(loop.Now() - 2s, [&] { order += 'a'; });
  loop.Run();
  EXPECT_EQ(order, "ab");
}

TEST(EpollLoopTest, NeverRunsATaskInsideTheCallThatScheduledIt) {
  EpollLoop loop;
  std::string order;
  Timer inner;
  loop.Post([&] {
    loop.Post([&] { order += 'p'; });
    inner = loop.At(loop.Now() - 1ms, [&] {
      order += 't';
      loop.Stop();
    });
    order += '1';
  });
  loop.Run();
  EXPECT_EQ(order, "1pt");
}

TEST(EpollLoopTest, CancelledTimersDontRun) {
  EpollLoop loop;
  bool ran = false;
  Timer cancelled = loop.After(1ms, [&] { ran = true; });
  {
    Timer dropped = loop.After(1ms, [&] { ran = true; });
  }
  Timer replaced = loop.After(1ms, [&] { ran = true; });
  Timer last = loop.After(3ms, [&] { loop.Stop(); });
  replaced = loop.After(2ms, [] {});
  cancelled.Cancel();
  loop.Run();
  EXPECT_FALSE(ran);
  last.Cancel();  // harmless: it has run
}

TEST(EpollLoopTest, ACancelledTimersSlotDoesNotHurtItsNextOwner) {
  EpollLoop loop;
  Timer first = loop.After(1ms, [] { FAIL() << "was cancelled"; });
  first.Cancel();
  bool ran = false;
  Timer second = loop.After(1ms, [&] {
    ran = true;
    loop.Stop();
  });
  first.Cancel();
  first = Timer();
  loop.Run();
  EXPECT_TRUE(ran);
}

TEST(EpollLoopTest, ATaskMayCancelAnotherThatIsDue) {
  EpollLoop loop;
  std::string order;
  const Instant due = loop.Now() - 1ms;
  Timer victim;
  Timer first = loop.At(due, [&] {
    order += 'a';
    victim.Cancel();
  });
  victim = loop.At(due, [&] { order += 'v'; });
  Timer last = loop.At(due, [&] {
    order += 'z';
    loop.Stop();
  });
  loop.Run();
  EXPECT_EQ(order, "az");
}

TEST(EpollLoopTest, RunsPostedTasksInOrder) {
  EpollLoop loop;
  std::vector<int> order;
  for (int i = 0; i < 100; ++i) {
    loop.Post([&order, i] { order.push_back(i); });
  }
  loop.Post([&] { loop.Stop(); });
  loop.Run();
  ASSERT_EQ(order.size(), 100u);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(order[static_cast<size_t>(i)], i);
}

// Posts itself again and again.
void PostForEver(EpollLoop* loop, const bool* stop) {
  if (!*stop) loop->Post([loop, stop] { PostForEver(loop, stop); });
}

TEST(EpollLoopTest, TasksThatPostTasksDontStarveTimers) {
  EpollLoop loop;
  bool stop = false;
  PostForEver(&loop, &stop);
  Timer timer = loop.After(1ms, [&] {
    stop = true;
    loop.Stop();
  });
  loop.Run();
  EXPECT_TRUE(stop);
}

TEST(EpollLoopTest, NowStandsStillWithinATask) {
  EpollLoop loop;
  loop.Post([&] {
    Instant now = loop.Now();
    Instant fresh = loop.FreshNow();
    while (loop.FreshNow() == fresh) continue;
    EXPECT_EQ(loop.Now(), now);
    EXPECT_LE(now, fresh);
    loop.Stop();
  });
  loop.Run();
}

TEST(EpollLoopTest, TakesTasksFromAnotherThreadInItsOrder) {
  EpollLoop loop;
  std::vector<int> order;
  std::thread::id here = std::this_thread::get_id();
  std::thread thread([&, inbox = loop.inbox()] {
    for (int i = 0; i < kTasks; ++i) {
      Task task = [&order, &loop, here, i] {
        EXPECT_EQ(std::this_thread::get_id(), here);
        order.push_back(i);
        if (i == kTasks - 1) loop.Stop();
      };
      if (i % 3 == 1) {
        inbox->RunLater(std::move(task));
      } else {
        inbox->Run(std::move(task));
      }
    }
  });
  loop.Run();
  thread.join();
  ASSERT_EQ(order.size(), size_t{kTasks});
  for (int i = 0; i < kTasks; ++i) {
    ASSERT_EQ(order[static_cast<size_t>(i)], i);
  }
}

TEST(EpollLoopTest, TheInboxOutlivesTheLoopAndDropsWhatComesTooLate) {
  std::shared_ptr<LoopInbox> inbox;
  auto dropped = std::make_shared<int>(0);
  {
    EpollLoop loop;
    inbox = loop.inbox();
    inbox->Run([dropped] { FAIL() << "the loop never ran"; });
  }
  EXPECT_EQ(dropped.use_count(), 1);
  inbox->Run([dropped] { FAIL() << "there is no loop"; });
  EXPECT_EQ(dropped.use_count(), 1);
}

TEST(EpollLoopTest, RunsAgainAfterStop) {
  EpollLoop loop;
  int runs = 0;
  for (int i = 0; i < 3; ++i) {
    loop.Post([&] {
      ++runs;
      loop.Stop();
    });
    loop.Run();
  }
  EXPECT_EQ(runs, 3);
}

class Reader : public EventHandler {
 public:
  Reader(EpollLoop* loop, int fd) : loop_(loop), fd_(fd) {
    loop_->Add(fd_, this);
  }
  ~Reader() override {
    loop_->Remove(fd_, this);
    close(fd_);
  }
  void OnEvents(uint32_t) override {
    char c;
    while (read(fd_, &c, 1) == 1) got_ += c;
    if (got_ == "hello") loop_->Stop();
  }
  const std::string& got() const { return got_; }

 private:
  EpollLoop* const loop_;
  const int fd_;
  std::string got_;
};

TEST(EpollLoopTest, HandsOutADescriptorsEvents) {
  EpollLoop loop;
  int fds[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
  Reader reader(&loop, fds[0]);
  loop.Post([&] { EXPECT_EQ(write(fds[1], "hel", 3), 3); });
  Timer later = loop.After(1ms, [&] { EXPECT_EQ(write(fds[1], "lo", 2), 2); });
  loop.Run();
  EXPECT_EQ(reader.got(), "hello");
  close(fds[1]);
}

}  // namespace
}  // namespace holdfast
