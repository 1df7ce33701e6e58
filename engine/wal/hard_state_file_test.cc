#include "engine/wal/hard_state_file.h"

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "engine/base/bytes.h"
#include "engine/base/crc32c.h"
#include "engine/wal/testing/memory_disk.h"
#include "engine/wal/testing/memory_loop.h"
#include "gtest/gtest.h"

namespace holdfast {
namespace {

constexpr Incarnation kOwner(42);
const HardState kOld{Term(3), ServerId(1)};
const HardState kNew{Term(4), ServerId(2)};

class HardStateFileTest : public testing::Test {
 protected:
  absl::StatusOr<HardStateFile::Found> Open(bool expected = true) {
    file_ = std::make_unique<HardStateFile>(disk_.get(), kOwner);
    std::optional<absl::StatusOr<HardStateFile::Found>> result;
    file_->Open(expected, [&](absl::StatusOr<HardStateFile::Found> found) {
      result = std::move(found);
    });
    loop_.RunUntilIdle();
    if (!result.has_value()) return absl::UnavailableError("stopped");
    return *result;
  }
  bool Write(const HardState& state) {
    bool done = false;
    file_->Write(state, [&](absl::Status status) { done = status.ok(); });
    loop_.RunUntilIdle();
    return done;
  }
  static std::string Name(int which) {
    return HardStateCopyName(static_cast<size_t>(which));
  }
  std::string Copy(int which) { return disk_->Contents(Name(which)); }
  void SetCopy(int which, std::string bytes) {
    disk_->SetContents(Name(which), std::move(bytes));
  }
  void Crash(bool survives) {
    file_ = nullptr;
    disk_ = disk_->AfterCrash(&loop_,
                              [survives](size_t, size_t) { return survives; });
  }

  MemoryLoop loop_;
  std::unique_ptr<MemoryDisk> disk_ = std::make_unique<MemoryDisk>(&loop_);
  std::unique_ptr<HardStateFile> file_;
};

TEST_F(HardStateFileTest, BytesAreAsDocumented) {
  ASSERT_TRUE(Open(false).ok());
  ASSERT_TRUE(Write(kNew));
  for (int which : {0, 1}) {
    std::string bytes = Copy(which);
    ASSERT_EQ(bytes.size(), kHardStateBytes);
    EXPECT_EQ(bytes.substr(0, 8), "HfState1");
    EXPECT_EQ(LoadInt<uint32_t>(&bytes[8]), 1u);
    EXPECT_EQ(LoadInt<uint32_t>(&bytes[12]),
              Crc32c(bytes.substr(0, 12) + bytes.substr(16)));
    EXPECT_EQ(LoadInt<uint64_t>(&bytes[16]), kOwner.value());
    EXPECT_EQ(LoadInt<uint64_t>(&bytes[24]), 2u);
    EXPECT_EQ(LoadInt<uint64_t>(&bytes[32]), 4u);
    EXPECT_EQ(LoadInt<uint64_t>(&bytes[40]), 2u);
  }
}

TEST_F(HardStateFileTest, SurvivesPowerFailure) {
  auto found = Open(false);
  ASSERT_TRUE(found.ok());
  EXPECT_FALSE(found->state.has_value());
  ASSERT_TRUE(Write(kOld));
  ASSERT_TRUE(Write(kNew));
  Crash(false);
  found = Open();
  ASSERT_TRUE(found.ok());
  EXPECT_EQ(found->state, kNew);
  EXPECT_FALSE(found->repaired);
}

TEST_F(HardStateFileTest, EitherCopyIsEnough) {
  ASSERT_TRUE(Open(false).ok());
  ASSERT_TRUE(Write(kNew));
  for (int which : {0, 1}) {
    for (size_t at = 0; at < kHardStateBytes; ++at) {
      std::string bytes = Copy(which);
      bytes[at] ^= 16;
      SetCopy(which, bytes);
      auto found = Open();
      ASSERT_TRUE(found.ok()) << found.status();
      EXPECT_EQ(found->state, kNew);
      EXPECT_TRUE(found->repaired);
      EXPECT_FALSE(Open()->repaired);
      EXPECT_EQ(Copy(0), Copy(1));
    }
  }
}

TEST_F(HardStateFileTest, NeitherCopyIsRefused) {
  ASSERT_TRUE(Open(false).ok());
  ASSERT_TRUE(Write(kNew));
  SetCopy(0, std::string(kHardStateBytes, 'x'));
  SetCopy(1, "");
  EXPECT_TRUE(absl::IsDataLoss(Open().status()));
  EXPECT_TRUE(Open(false).ok());
}

// The device lost a write, and says nothing.
TEST_F(HardStateFileTest, AnOlderCopyIsWrittenAnew) {
  for (int which : {0, 1}) {
    disk_ = std::make_unique<MemoryDisk>(&loop_);
    ASSERT_TRUE(Open(false).ok());
    ASSERT_TRUE(Write(kOld));
    const std::string older = Copy(which);
    ASSERT_TRUE(Write(kNew));
    SetCopy(which, older);
    auto found = Open();
    ASSERT_TRUE(found.ok()) << found.status();
    EXPECT_EQ(found->state, kNew);
    EXPECT_TRUE(found->repaired);
    EXPECT_EQ(Copy(0), Copy(1));
  }
}

// The other one may be older than it seems: the device lost a write of it.
TEST_F(HardStateFileTest, AReadThatFailsOnceMakesNoOlderCopyTheNewest) {
  for (int older : {0, 1}) {
    for (uint64_t completion = 1; completion <= 12; ++completion) {
      disk_ = std::make_unique<MemoryDisk>(&loop_);
      ASSERT_TRUE(Open(false).ok());
      ASSERT_TRUE(Write(kOld));
      const std::string bytes = Copy(older);
      ASSERT_TRUE(Write(kNew));
      SetCopy(older, bytes);
      disk_->FailAt(disk_->completions() + completion);
      auto found = Open();
      if (found.ok()) {
        EXPECT_EQ(found->state, kNew) << older << ", " << completion;
      }
    }
  }
}

TEST_F(HardStateFileTest, ACopyThatCannotBeReadIsWrittenAnew) {
  ASSERT_TRUE(Open(false).ok());
  ASSERT_TRUE(Write(kNew));
  for (int which : {0, 1}) {
    disk_->Refuse(Name(which), 0, kHardStateBytes);
    auto found = Open();
    ASSERT_TRUE(found.ok()) << found.status();
    EXPECT_EQ(found->state, kNew);
    EXPECT_TRUE(found->repaired);
    // What is written to a block makes it one that can be read.
    disk_->Refuse(Name(which), 0, 0);
    EXPECT_FALSE(Open()->repaired);
    EXPECT_EQ(Copy(0), Copy(1));
  }
}

// Nothing is written then: the device may give them back.
TEST_F(HardStateFileTest, CopiesOfWhichNeitherCanBeReadAreRefused) {
  ASSERT_TRUE(Open(false).ok());
  ASSERT_TRUE(Write(kNew));
  const std::string before = Copy(0);
  for (int which : {0, 1}) disk_->Refuse(Name(which), 0, kHardStateBytes);
  EXPECT_TRUE(absl::IsDataLoss(Open().status()));
  for (int which : {0, 1}) {
    EXPECT_EQ(Copy(which), before);
    disk_->Refuse(Name(which), 0, 0);
  }
  auto found = Open();
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->state, kNew);
  EXPECT_FALSE(found->repaired);
}

TEST_F(HardStateFileTest, NeverGoesBackAtAnyPoint) {
  for (bool survives : {false, true}) {
    for (uint64_t stop = 0; stop < 20; ++stop) {
      disk_ = std::make_unique<MemoryDisk>(&loop_);
      ASSERT_TRUE(Open(false).ok());
      ASSERT_TRUE(Write(kOld));
      disk_->StopAfter(disk_->completions() + stop);
      bool promised = Write(kNew);
      Crash(survives);
      // And again, while it is made good.
      disk_->StopAfter(stop % 7);
      HardState seen = kOld;
      if (auto found = Open(); found.ok()) seen = *found->state;
      Crash(!survives);
      auto found = Open();
      ASSERT_TRUE(found.ok()) << found.status();
      EXPECT_TRUE(found->state == kNew ||
                  (!promised && seen == kOld && found->state == kOld));
    }
  }
}

TEST_F(HardStateFileTest, FirstStartCutShort) {
  for (bool survives : {false, true}) {
    for (uint64_t stop = 0; stop < 20; ++stop) {
      disk_ = std::make_unique<MemoryDisk>(&loop_);
      disk_->StopAfter(stop);
      (void)Open(false);
      Crash(survives);
      EXPECT_TRUE(Open(false).ok());
      EXPECT_TRUE(Write(kOld));
    }
  }
}

TEST_F(HardStateFileTest, NewerFormatAndOtherOwnerAreRefused) {
  ASSERT_TRUE(Open(false).ok());
  std::string intact = Copy(0);
  for (size_t at : {8, 16}) {
    std::string bytes = intact;
    bytes[at] = 99;
    StoreInt<uint32_t>(&bytes[12],
                       Crc32c(bytes.substr(0, 12) + bytes.substr(16)));
    SetCopy(0, bytes);
    EXPECT_TRUE(absl::IsFailedPrecondition(Open().status()));
    EXPECT_EQ(Copy(0), bytes);
  }
}

TEST_F(HardStateFileTest, AnErrorIsReported) {
  ASSERT_TRUE(Open(false).ok());
  for (int i = 1; i <= 4; ++i) {
    ASSERT_TRUE(Open().ok());
    disk_->FailAt(disk_->completions() + static_cast<uint64_t>(i));
    EXPECT_FALSE(Write(kNew)) << i;
  }
}

}  // namespace
}  // namespace holdfast
