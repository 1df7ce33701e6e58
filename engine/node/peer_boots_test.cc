#include "engine/node/peer_boots.h"

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "engine/base/crc32c.h"
#include "engine/node/identity.h"
#include "engine/wal/testing/memory_disk.h"
#include "engine/wal/testing/memory_loop.h"
#include "gtest/gtest.h"

namespace holdfast {
namespace {

Hello HelloOf(uint64_t incarnation, std::vector<uint64_t> lives,
              uint64_t boot_count) {
  Hello hello;
  hello.server_id = ServerId(3);
  hello.incarnation = Incarnation(incarnation);
  hello.boot_count = boot_count;
  hello.lives = std::move(lives);
  return hello;
}

class PeerBootsTest : public testing::Test {
 protected:
  PeerBootsTest() { Open(); }
  // As another process on the same disk.
  void Open() {
    boots_.emplace(&disk_, [](absl::Status) { ADD_FAILURE(); });
    std::optional<absl::Status> opened;
    boots_->Open([&](absl::Status s) { opened = s; });
    loop_.RunUntilIdle();
    ASSERT_TRUE(opened.has_value());
    EXPECT_TRUE(opened->ok()) << *opened;
  }
  void Note(const Hello& hello) {
    boots_->Note(hello, Configuration());
    loop_.RunUntilIdle();
  }
  bool Refuses(const Hello& hello) {
    std::optional<Refusal> refusal = boots_->Judge(hello);
    if (!refusal.has_value()) return false;
    EXPECT_EQ(refusal->reason, RefusalReason::kOldCopy);
    return true;
  }

  MemoryLoop loop_;
  MemoryDisk disk_{&loop_};
  std::optional<PeerBoots> boots_;
};

TEST_F(PeerBootsTest, AcceptsWhatGoesOn) {
  EXPECT_FALSE(Refuses(HelloOf(7, {30, 20, 10}, 3)));
  Note(HelloOf(7, {30, 20, 10}, 3));
  EXPECT_FALSE(Refuses(HelloOf(7, {30, 20, 10}, 3)));      // the same
  EXPECT_FALSE(Refuses(HelloOf(7, {40, 30, 20, 10}, 4)));  // the next
  EXPECT_FALSE(Refuses(HelloOf(7, {60, 50, 40, 30}, 6)));  // some later
  EXPECT_FALSE(Refuses(HelloOf(7, {90, 80, 70}, 9)));      // much later
  EXPECT_FALSE(Refuses(HelloOf(8, {1}, 1)));               // another directory
}

TEST_F(PeerBootsTest, RefusesWhatFallsBack) {
  Note(HelloOf(7, {30, 20, 10}, 3));
  EXPECT_TRUE(Refuses(HelloOf(7, {20, 10}, 2)));
  EXPECT_TRUE(Refuses(HelloOf(7, {31, 20, 10}, 3)));      // another third life
  EXPECT_TRUE(Refuses(HelloOf(7, {41, 31, 20, 10}, 4)));  // and its next
}

TEST_F(PeerBootsTest, GoesByTheCountIfThatIsAllThereIs) {
  Note(HelloOf(7, {}, 3));
  EXPECT_TRUE(Refuses(HelloOf(7, {}, 2)));
  EXPECT_FALSE(Refuses(HelloOf(7, {}, 3)));
  EXPECT_FALSE(Refuses(HelloOf(7, {30, 20, 10}, 3)));
}

TEST_F(PeerBootsTest, RemembersAcrossStarts) {
  Note(HelloOf(7, {30, 20, 10}, 3));
  Open();
  EXPECT_TRUE(Refuses(HelloOf(7, {31, 20, 10}, 3)));
  EXPECT_EQ(boots_->durable().at(ServerId(3)),
            (PeerBoot{Incarnation(7), 3, 30}));
}

// It isn't taken for none, as a damaged one is: it may be read the next time.
TEST_F(PeerBootsTest, WhatCannotBeReadIsNotForgotten) {
  Note(HelloOf(7, {30, 20, 10}, 3));
  for (const uint64_t failing : {1, 2}) {  // the opening, the reading
    disk_.FailAt(disk_.completions() + failing);
    PeerBoots boots(&disk_, [](absl::Status) { ADD_FAILURE(); });
    absl::Status opened;
    boots.Open([&](absl::Status s) { opened = s; });
    loop_.RunUntilIdle();
    EXPECT_TRUE(absl::IsUnavailable(opened)) << opened;
  }
  Open();
  EXPECT_TRUE(Refuses(HelloOf(7, {31, 20, 10}, 3)));
}

TEST_F(PeerBootsTest, EachByteOfTheFileIsChecked) {
  const PeerBoots::Boots boots = {{ServerId(3), {Incarnation(7), 3, 30}},
                                  {ServerId(4), {Incarnation(8), 1, 31}}};
  const Buffer whole = PeerBoots::Encode(boots);
  absl::StatusOr<PeerBoots::Boots> back = PeerBoots::Decode(whole.view());
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(*back, boots);
  for (size_t i = 0; i < whole.size(); ++i) {
    std::string bytes(whole.view());
    bytes[i] ^= 1;
    EXPECT_TRUE(absl::IsDataLoss(PeerBoots::Decode(bytes).status())) << i;
    EXPECT_FALSE(PeerBoots::Decode(whole.view().substr(0, i)).ok()) << i;
  }
}

TEST(IdentityTest, AFileOfTheFirstFormatIsRead) {
  Identity identity{.id = ServerId(3),
                    .incarnation = Incarnation(7),
                    .boot_count = 5,
                    .cluster_id = ClusterId(9),
                    .cluster_name = "prod"};
  const Buffer now = EncodeIdentity(identity);
  EXPECT_EQ(*DecodeIdentity(now.view()), identity);
  // Without flags, promise, number of lives, and checksum; the version is
  // behind the magic.
  std::string old(now.view().substr(0, now.size() - 20));
  old[8] = 1;
  const uint32_t crc = Crc32c(old);
  old.append(reinterpret_cast<const char*>(&crc), sizeof(crc));
  absl::StatusOr<Identity> read = DecodeIdentity(old);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(*read, identity);
}

}  // namespace
}  // namespace holdfast
