#include "sim/sim_network.h"

#include <bit>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sim/sim_process.h"
#include "sim/world.h"

namespace holdfast {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Reads a connection to its end, all the time.
class Sink {
 public:
  explicit Sink(Connection* connection) : connection_(connection) { Read(); }
  const std::string& bytes() const { return bytes_; }
  bool ended() const { return ended_; }
  const absl::Status& status() const { return status_; }
  int reads() const { return reads_; }

 private:
  void Read() {
    connection_->Read(1 << 16, [this](absl::StatusOr<Buffer> b) {
      if (!b.ok()) {
        status_ = b.status();
        return;
      }
      if (b->empty()) {
        ended_ = true;
        return;
      }
      ++reads_;
      bytes_.append(b->data(), b->size());
      Read();
    });
  }
  Connection* connection_;
  std::string bytes_;
  bool ended_ = false;
  absl::Status status_;
  int reads_ = 0;
};

class SimNetworkTest : public ::testing::Test {
 protected:
  struct Host {
    Host(World* world, NetworkFabric* fabric, MachineId machine)
        : process(world, machine, 1, ClockModel{}), network(&process, fabric) {}
    SimProcess process;
    SimNetwork network;
  };

  explicit SimNetworkTest(SimNetworkOptions options = {.short_read_ppm = 0})
      : fabric_(&world_, options),
        one_(std::make_unique<Host>(&world_, &fabric_, 1)),
        two_(std::make_unique<Host>(&world_, &fabric_, 2)) {
    listener_ = Listen("m2:7400");
  }
  ~SimNetworkTest() override {
    one_->process.Kill();
    two_->process.Kill();
  }

  std::unique_ptr<Listener> Listen(const Address& address) {
    return *two_->network.Listen(
        address,
        [this](std::unique_ptr<Connection> c) { accepted_ = std::move(c); });
  }
  absl::Status Dial(const Address& address) {
    absl::Status status = absl::UnknownError("no answer");
    dial_ = one_->network.Dial(
        address, [&](absl::StatusOr<std::unique_ptr<Connection>> c) {
          status = c.status();
          if (c.ok()) dialled_ = *std::move(c);
        });
    Run(1s);
    return status;
  }
  void Connect() { ASSERT_TRUE(Dial("m2:7400").ok()); }
  // Runs what happens within that time.
  void Run(Duration length) {
    const TrueTime end = world_.now() + length;
    while (world_.scheduler.StepUntil(end)) {
    }
  }
  // The state of a write that is given back.
  std::shared_ptr<absl::Status> Write(Connection* to, const std::string& text) {
    auto status =
        std::make_shared<absl::Status>(absl::UnknownError("under way"));
    to->Write({Buffer::Copy(text)}, [status](absl::Status s) { *status = s; });
    return status;
  }
  void CrashTwo(bool power_lost) {
    two_->process.Kill();
    fabric_.ProcessDied(two_->process, power_lost);
    if (power_lost) fabric_.SetMachineUp(2, false);
    accepted_ = nullptr;
    listener_ = nullptr;
  }

  World world_{1};
  NetworkFabric fabric_;
  std::unique_ptr<Host> one_;
  std::unique_ptr<Host> two_;
  std::unique_ptr<Listener> listener_;
  std::unique_ptr<PendingOp> dial_;
  std::unique_ptr<Connection> dialled_;
  std::unique_ptr<Connection> accepted_;
};

TEST_F(SimNetworkTest, CarriesBytesBothWaysInOrder) {
  Connect();
  Sink at_two(accepted_.get());
  Sink at_one(dialled_.get());
  std::string sent;
  for (int i = 0; i < 50; ++i) {
    const std::string part = std::to_string(i) + ";";
    const std::shared_ptr<absl::Status> status = Write(dialled_.get(), part);
    EXPECT_FALSE(status->ok()) << "completed inside the call";
    Run(10us);
    EXPECT_TRUE(status->ok());
    sent += part;
  }
  Write(accepted_.get(), "back");
  Run(1s);
  EXPECT_EQ(at_two.bytes(), sent);
  EXPECT_EQ(at_one.bytes(), "back");
}

TEST_F(SimNetworkTest, AShutdownIsAProperEndBehindTheBytes) {
  Connect();
  Sink sink(accepted_.get());
  Write(dialled_.get(), "last words");
  Run(10us);
  dialled_->Shutdown([](absl::Status s) { EXPECT_TRUE(s.ok()); });
  Run(1s);
  EXPECT_EQ(sink.bytes(), "last words");
  EXPECT_TRUE(sink.ended());
  // The other way goes on.
  Sink back(dialled_.get());
  Write(accepted_.get(), "still here");
  Run(1s);
  EXPECT_EQ(back.bytes(), "still here");
}

TEST_F(SimNetworkTest, DestroyingAnEndAbortsTheStream) {
  Connect();
  Sink sink(accepted_.get());
  dialled_ = nullptr;
  Run(1s);
  EXPECT_FALSE(sink.ended());
  EXPECT_TRUE(absl::IsUnavailable(sink.status())) << sink.status();
  const std::shared_ptr<absl::Status> write = Write(accepted_.get(), "x");
  Run(1s);
  EXPECT_TRUE(absl::IsUnavailable(*write));
}

TEST_F(SimNetworkTest, AnAbortCompletesWhatIsOutstanding) {
  Connect();
  Sink sink(dialled_.get());
  dialled_->Abort();
  EXPECT_TRUE(sink.status().ok()) << "completed inside the call";
  Run(1s);
  EXPECT_TRUE(absl::IsCancelled(sink.status()));
}

TEST_F(SimNetworkTest, UnreadBytesPushBackOnTheSender) {
  Connect();
  const std::string big(1 << 20, 'x');
  const std::shared_ptr<absl::Status> write = Write(dialled_.get(), big);
  Run(10s);
  EXPECT_FALSE(write->ok());
  EXPECT_EQ(fabric_.memory_bytes(), SimNetworkOptions().window_bytes);
  Sink sink(accepted_.get());
  Run(10s);
  EXPECT_TRUE(write->ok());
  EXPECT_EQ(sink.bytes(), big);
  EXPECT_EQ(fabric_.memory_bytes(), 0u);
}

TEST_F(SimNetworkTest, AMachineThatDoesNotReadMayStillWrite) {
  Connect();
  Sink at_two(accepted_.get());
  Sink at_one(dialled_.get());
  fabric_.SetReads(2, false);
  const std::string big(1 << 20, 'x');
  const std::shared_ptr<absl::Status> write = Write(dialled_.get(), big);
  Write(accepted_.get(), "back");
  Run(10s);
  EXPECT_THAT(at_two.bytes(), IsEmpty());
  EXPECT_FALSE(write->ok());
  EXPECT_EQ(at_one.bytes(), "back");
  fabric_.SetReads(2, true);
  Run(10s);
  EXPECT_EQ(at_two.bytes(), big);
  EXPECT_TRUE(write->ok());
  EXPECT_EQ(fabric_.counts().unread, 1u);
}

TEST_F(SimNetworkTest, AMachineThatDoesNotReadLearnsOfAReset) {
  Connect();
  Sink at_two(accepted_.get());
  fabric_.SetReads(2, false);
  Write(dialled_.get(), "x");
  Run(1s);
  dialled_ = nullptr;
  Run(1s);
  EXPECT_THAT(at_two.bytes(), IsEmpty());
  EXPECT_TRUE(absl::IsUnavailable(at_two.status())) << at_two.status();
}

TEST_F(SimNetworkTest, TheNextProcessReads) {
  fabric_.SetReads(2, false);
  CrashTwo(false);
  two_ = std::make_unique<Host>(&world_, &fabric_, 2);
  listener_ = Listen("m2:7400");
  Connect();
  Sink at_two(accepted_.get());
  Write(dialled_.get(), "x");
  Run(1s);
  EXPECT_EQ(at_two.bytes(), "x");
}

TEST_F(SimNetworkTest, RefusesWhereNobodyListens) {
  EXPECT_THAT(std::string(Dial("m2:7401").message()), HasSubstr("refused"));
  EXPECT_THAT(std::string(Dial("nonsense").message()),
              HasSubstr("no such machine"));
  listener_ = nullptr;
  EXPECT_THAT(std::string(Dial("m2:7400").message()), HasSubstr("refused"));
}

TEST_F(SimNetworkTest, ListenChecksItsAddress) {
  const auto listen = [&](const Address& address) {
    return two_->network.Listen(address, [](std::unique_ptr<Connection>) {});
  };
  EXPECT_TRUE(absl::IsAlreadyExists(listen("m2:7400").status()));
  EXPECT_TRUE(absl::IsInvalidArgument(listen("m1:7400").status()));
  EXPECT_TRUE(absl::IsInvalidArgument(listen("m2").status()));
  EXPECT_TRUE(absl::IsInvalidArgument(listen("m2:99999").status()));
  absl::StatusOr<std::unique_ptr<Listener>> any = listen("m2:0");
  ASSERT_TRUE(any.ok());
  EXPECT_NE((*any)->address(), "m2:0");
}

TEST_F(SimNetworkTest, ADroppedDialNeverCompletes) {
  dial_ = one_->network.Dial("m2:7400",
                             [](absl::StatusOr<std::unique_ptr<Connection>>) {
                               ADD_FAILURE() << "completed";
                             });
  dial_ = nullptr;
  Run(10s);
}

TEST_F(SimNetworkTest, ACutDelaysBytesAndKeepsTheirOrder) {
  Connect();
  Sink sink(accepted_.get());
  std::string sent;
  const auto write = [&](const std::string& part) {
    Write(dialled_.get(), part);
    Run(20us);
    sent += part;
  };
  // Some are on their way when the link is cut, and when it heals.
  for (int i = 0; i < 10; ++i) write("before" + std::to_string(i));
  fabric_.SetCut(1, 2, true);
  for (int i = 0; i < 10; ++i) write("during" + std::to_string(i));
  Run(5s);
  const std::string got = sink.bytes();
  EXPECT_LT(got.size(), sent.size());
  for (int i = 0; i < 10; ++i) write("late" + std::to_string(i));
  fabric_.SetCut(1, 2, false);
  for (int i = 0; i < 10; ++i) write("after" + std::to_string(i));
  Run(5s);
  EXPECT_EQ(sink.bytes(), sent);
}

TEST_F(SimNetworkTest, AOneWayCutLetsTheOtherWayThrough) {
  Connect();
  Sink at_two(accepted_.get());
  Sink at_one(dialled_.get());
  fabric_.SetCut(1, 2, true);
  Write(dialled_.get(), "there");
  Write(accepted_.get(), "back");
  Run(5s);
  EXPECT_THAT(at_two.bytes(), IsEmpty());
  EXPECT_EQ(at_one.bytes(), "back");
}

TEST_F(SimNetworkTest, ACutBackWayKeepsTheWindowShut) {
  Connect();
  Sink sink(accepted_.get());
  fabric_.SetCut(2, 1, true);
  const std::string big(1 << 20, 'x');
  const std::shared_ptr<absl::Status> write = Write(dialled_.get(), big);
  Run(5s);
  EXPECT_FALSE(write->ok());
  EXPECT_EQ(sink.bytes().size(), SimNetworkOptions{}.window_bytes);
  fabric_.SetCut(2, 1, false);
  Run(5s);
  EXPECT_TRUE(write->ok());
  EXPECT_EQ(sink.bytes(), big);
}

TEST_F(SimNetworkTest, DialsWaitForACutToHeal) {
  fabric_.SetCut(2, 1, true);
  EXPECT_THAT(std::string(Dial("m2:7400").message()), HasSubstr("no answer"));
  dial_ = nullptr;
  fabric_.SetCut(2, 1, false);
  EXPECT_TRUE(Dial("m2:7400").ok());
}

TEST_F(SimNetworkTest, ACrashedProcessResetsItsStreams) {
  Connect();
  Sink sink(dialled_.get());
  CrashTwo(false);
  Run(1s);
  EXPECT_TRUE(absl::IsUnavailable(sink.status()));
  EXPECT_THAT(std::string(Dial("m2:7400").message()), HasSubstr("refused"));
}

TEST_F(SimNetworkTest, ALostMachineIsSilentUntilItIsBack) {
  Connect();
  Sink sink(dialled_.get());
  CrashTwo(true);
  const std::shared_ptr<absl::Status> write = Write(dialled_.get(), "hello?");
  Run(60s);
  EXPECT_TRUE(write->ok()) << "the kernel took it";
  EXPECT_TRUE(sink.status().ok()) << "nobody said anything";
  fabric_.SetMachineUp(2, true);
  Run(1s);
  EXPECT_TRUE(absl::IsUnavailable(sink.status()));
}

TEST_F(SimNetworkTest, AResetAcrossACutIsLostAndLeavesTheStreamHalfOpen) {
  Connect();
  Sink sink(accepted_.get());
  fabric_.SetCut(1, 2, true);
  dialled_ = nullptr;
  Run(1s);
  fabric_.SetCut(1, 2, false);
  Run(60s);
  EXPECT_TRUE(sink.status().ok());
  EXPECT_EQ(fabric_.counts().half_open, 1u);
  // Until it says something itself.
  Write(accepted_.get(), "hello?");
  Run(1s);
  EXPECT_TRUE(absl::IsUnavailable(sink.status()));
}

TEST_F(SimNetworkTest, ASlowLinkIsSlow) {
  Connect();
  Sink sink(accepted_.get());
  fabric_.SetSlow(1, 2, 300ms);
  Write(dialled_.get(), "x");
  Run(299ms);
  EXPECT_THAT(sink.bytes(), IsEmpty());
  Run(100ms);
  EXPECT_EQ(sink.bytes(), "x");
}

TEST_F(SimNetworkTest, AnEndMayBeDestroyedInItsOwnCompletions) {
  Connect();
  dialled_->Read(100, [&](absl::StatusOr<Buffer>) { dialled_ = nullptr; });
  accepted_->Write({Buffer::Copy("x")},
                   [&](absl::Status) { accepted_ = nullptr; });
  Run(1s);
  EXPECT_EQ(dialled_, nullptr);
  EXPECT_EQ(accepted_, nullptr);
}

class ShortReads : public SimNetworkTest {
 protected:
  ShortReads() : SimNetworkTest({.short_read_ppm = 500000}) {}
};

TEST_F(ShortReads, BringFewerBytesButAllOfThem) {
  Connect();
  Sink sink(accepted_.get());
  std::string text;
  for (int i = 0; i < 20; ++i) {
    const std::string part(100, static_cast<char>('a' + i));
    Write(dialled_.get(), part);
    Run(1s);
    text += part;
  }
  EXPECT_EQ(sink.bytes(), text);
  EXPECT_GT(sink.reads(), 20);
  EXPECT_GT(fabric_.counts().short_reads, 0u);
}

class ShortWrites : public SimNetworkTest {
 protected:
  ShortWrites()
      : SimNetworkTest({.short_read_ppm = 0, .short_write_ppm = 1000000}) {}
};

TEST_F(ShortWrites, GoOnWhereTheyStoppedUntilAllIsWritten) {
  Connect();
  Sink sink(accepted_.get());
  std::string text;
  for (int i = 0; i < 20; ++i) {
    std::string part;
    for (int j = 0; j < 100; ++j) part += static_cast<char>('a' + (i + j) % 26);
    const std::shared_ptr<absl::Status> write = Write(dialled_.get(), part);
    Run(10us);
    EXPECT_FALSE(write->ok()) << "it isn't all taken yet";
    Run(1s);
    EXPECT_TRUE(write->ok()) << *write;
    text += part;
  }
  EXPECT_EQ(sink.bytes(), text);
  EXPECT_GT(sink.reads(), 20);
  EXPECT_GT(fabric_.counts().short_writes, 20u);
}

TEST_F(ShortWrites, EndWithTheStream) {
  Connect();
  Sink sink(accepted_.get());
  const std::shared_ptr<absl::Status> write =
      Write(dialled_.get(), std::string(1000, 'x'));
  dialled_->Abort();
  Run(1s);
  EXPECT_TRUE(absl::IsCancelled(*write)) << *write;
  EXPECT_LT(sink.bytes().size(), 1000u);
}

class Resets : public SimNetworkTest {
 protected:
  Resets() : SimNetworkTest({.reset_ppm = 1000000, .short_read_ppm = 0}) {}
};

TEST_F(Resets, CutAWriteInItsMidst) {
  Connect();
  Sink at_one(dialled_.get());
  const std::shared_ptr<absl::Status> write =
      Write(dialled_.get(), std::string(1000, 'x'));
  size_t arrived = 0;
  accepted_->Read(2000, [&](absl::StatusOr<Buffer> b) {
    if (b.ok()) arrived = b->size();
  });
  Run(1s);
  EXPECT_TRUE(absl::IsUnavailable(*write));
  EXPECT_TRUE(absl::IsUnavailable(at_one.status()));
  EXPECT_LT(arrived, 1000u);
}

class Silence : public SimNetworkTest {
 protected:
  Silence() : SimNetworkTest({.silence_ppm = 1000000, .short_read_ppm = 0}) {}
};

TEST_F(Silence, NothingArrivesAndNobodyIsTold) {
  Connect();
  Sink at_one(dialled_.get());
  Sink at_two(accepted_.get());
  const std::shared_ptr<absl::Status> write = Write(dialled_.get(), "x");
  Run(60s);
  EXPECT_TRUE(write->ok());
  EXPECT_THAT(at_two.bytes(), IsEmpty());
  EXPECT_TRUE(at_one.status().ok());
  EXPECT_TRUE(at_two.status().ok());
}

class Flips : public SimNetworkTest {
 protected:
  Flips() : SimNetworkTest({.flip_ppm = 1000000, .short_read_ppm = 0}) {}
};

TEST_F(Flips, ChangeOneBit) {
  Connect();
  Sink at_two(accepted_.get());
  const std::string sent(1000, '\0');
  Write(dialled_.get(), sent);
  Run(1s);
  ASSERT_EQ(at_two.bytes().size(), sent.size());
  int bits = 0;
  for (char c : at_two.bytes()) bits += std::popcount(static_cast<uint8_t>(c));
  EXPECT_EQ(bits, 1);
  EXPECT_EQ(fabric_.counts().flips, 1u);
}

TEST_F(SimNetworkTest, AClogIsSharedByTheStreamsOfALink) {
  Connect();
  Sink sink(accepted_.get());
  std::unique_ptr<Connection> first = std::move(dialled_);
  std::unique_ptr<Connection> accepted = std::move(accepted_);
  Connect();
  Sink other(accepted_.get());
  fabric_.SetClogged(1, 2, 10000);
  Write(first.get(), std::string(10000, 'x'));
  Write(dialled_.get(), std::string(10000, 'y'));
  Run(1500ms);
  EXPECT_EQ(sink.bytes().size(), 10000u);
  EXPECT_THAT(other.bytes(), IsEmpty());
  Run(600ms);
  EXPECT_EQ(other.bytes().size(), 10000u);
  fabric_.SetClogged(1, 2, 0);
  Write(first.get(), std::string(10000, 'x'));
  Run(10ms);
  EXPECT_EQ(sink.bytes().size(), 20000u);
}

TEST_F(SimNetworkTest, WhatWaitsForAClogArrivesWhenItEnds) {
  Connect();
  Sink sink(accepted_.get());
  fabric_.SetClogged(1, 2, 1000);
  std::string sent;
  const auto write = [&](size_t bytes, char what) {
    Write(dialled_.get(), std::string(bytes, what));
    Run(1ms);
    sent += std::string(bytes, what);
  };
  write(60000, 'a');
  write(60000, 'b');
  Run(50s);
  EXPECT_THAT(sink.bytes(), IsEmpty());
  fabric_.SetClogged(1, 2, 0);
  write(10000, 'c');
  Run(10ms);
  EXPECT_EQ(sink.bytes(), sent);
  // As if there had been none.
  Run(100s);
  write(10000, 'd');
  Run(10ms);
  EXPECT_EQ(sink.bytes(), sent);
  EXPECT_EQ(fabric_.counts().held, 0u);
}

class Lingering : public SimNetworkTest {
 protected:
  Lingering()
      : SimNetworkTest(
            {.linger_ppm = 1000000, .linger_max = 60s, .short_read_ppm = 0}) {}
};

TEST_F(Lingering, AnOlderStreamsBytesComeAfterANewerOnes) {
  Connect();
  Sink older(accepted_.get());
  std::unique_ptr<Connection> accepted = std::move(accepted_);
  fabric_.SetSlow(1, 2, 100ms);
  Write(dialled_.get(), "old");
  Run(1ms);  // it is on its way
  fabric_.SetSlow(1, 2, Duration::zero());
  dialled_ = nullptr;
  Run(1ms);
  Connect();
  Sink newer(accepted_.get());
  Write(dialled_.get(), "new");
  Run(100ms);
  EXPECT_EQ(newer.bytes(), "new");
  EXPECT_THAT(older.bytes(), IsEmpty());
  EXPECT_EQ(fabric_.counts().lingered, 0u);
  Run(60s);
  EXPECT_EQ(older.bytes(), "old");
  EXPECT_EQ(fabric_.counts().lingered, 1u);
  EXPECT_TRUE(absl::IsUnavailable(older.status()));
}

TEST_F(Lingering, CountsOnlyWhatANewerStreamOvertook) {
  Connect();
  Sink older(accepted_.get());
  Write(dialled_.get(), "old");
  dialled_ = nullptr;
  Run(61s);
  EXPECT_EQ(older.bytes(), "old");
  std::unique_ptr<Connection> accepted = std::move(accepted_);
  Connect();
  Sink newer(accepted_.get());
  Write(dialled_.get(), "new");
  Run(1s);
  EXPECT_EQ(newer.bytes(), "new");
  EXPECT_EQ(fabric_.counts().lingered, 0u);
}

// Not that a link was cut, slow or narrow, but that something waited for it.
TEST_F(SimNetworkTest, CountsWhatCutsAndSlowAndCloggedLinksHoldUp) {
  Connect();
  Sink sink(accepted_.get());
  fabric_.SetClogged(1, 2, 1000);
  fabric_.SetSlow(1, 2, 1ms, LinkFault::kSlowLink);
  fabric_.SetCut(2, 1, true, LinkFault::kSplit);
  fabric_.SetCut(2, kFirstClient, true, LinkFault::kCutClient);
  fabric_.SetCut(kFirstClient, 2, true, LinkFault::kCutClient);
  Run(1s);
  EXPECT_EQ(fabric_.counts().clogged, 0u);
  for (const uint64_t felt : fabric_.counts().felt) EXPECT_EQ(felt, 0u);
  Write(dialled_.get(), "x");
  Write(accepted_.get(), "y");
  Host client(&world_, &fabric_, kFirstClient);
  std::unique_ptr<PendingOp> dial = client.network.Dial(
      "m2:7400", [](absl::StatusOr<std::unique_ptr<Connection>>) {});
  Run(1s);
  EXPECT_EQ(sink.bytes(), "x");
  EXPECT_EQ(fabric_.counts().clogged, 1u);
  EXPECT_EQ(fabric_.counts().of(LinkFault::kSlowLink), 1u);
  EXPECT_EQ(fabric_.counts().of(LinkFault::kSplit), 1u);
  EXPECT_GT(fabric_.counts().of(LinkFault::kCutClient), 1u);
  EXPECT_EQ(fabric_.counts().of(LinkFault::kOther), 0u);
  dial = nullptr;
  client.process.Kill();
}

class Refusals : public SimNetworkTest {
 protected:
  Refusals() : SimNetworkTest({.refuse_ppm = 1000000}) {}
};

TEST_F(Refusals, HappenThoughSomebodyListens) {
  EXPECT_THAT(std::string(Dial("m2:7400").message()), HasSubstr("refused"));
}

}  // namespace
}  // namespace holdfast
