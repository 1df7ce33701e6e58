#include "engine/node/disk_space.h"

#include <cstdint>
#include <iostream>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "engine/wal/testing/images.h"
#include "engine/wal/testing/memory_disk.h"
#include "engine/wal/testing/memory_loop.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace holdfast {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr uint64_t kReserve = 64 << 10;
constexpr uint64_t kSegment = 16 << 10;
// In which it looks several times whether there is room.
constexpr Duration kLong = 10s;

class DiskSpaceTest : public testing::Test {
 protected:
  // Another process on the disk.
  void Start() {
    space_ = std::make_unique<DiskSpace>(
        &loop_, disk_.get(), kReserve, kSegment,
        DiskSpace::Callbacks{.log_is_short = [] { return false; },
                             .make_segment = [] {},
                             .log_line = [](absl::string_view) {},
                             .not_made = [](const absl::Status&) {}});
    space_->Prepare([this] { space_->Begin(); });
    loop_.RunFor(kLong);
  }
  // It is made, given up for something that finds no room, and made again. What
  // waited was called?
  bool MakeGiveUpAndMakeAgain() {
    bool called = false;
    Start();
    disk_->set_full(true);
    space_->Await([&called] { called = true; });
    loop_.RunFor(1s);
    disk_->set_full(false);
    loop_.RunFor(kLong);
    return called;
  }
  void ExpectWhole() {
    ASSERT_THAT(disk_->Names(), ElementsAre(DiskSpace::kReserveName));
    ASSERT_EQ(disk_->Contents(DiskSpace::kReserveName).size(), kReserve);
    ASSERT_EQ(space_->spare_bytes(), kReserve);
    ASSERT_FALSE(space_->given_up());
    ASSERT_FALSE(space_->is_short());
  }

  MemoryLoop loop_;
  std::unique_ptr<MemoryDisk> disk_ = std::make_unique<MemoryDisk>(&loop_);
  std::unique_ptr<DiskSpace> space_;
};

TEST_F(DiskSpaceTest, TheReserveIsGivenUpAndMadeAgain) {
  EXPECT_TRUE(MakeGiveUpAndMakeAgain());
  EXPECT_EQ(space_->stats().reserves_given_up, 1u);
  EXPECT_EQ(space_->stats().shortages, 1u);
  ExpectWhole();
}

// Nothing of it is ever synced by itself, and nobody reads it: whatever is left
// of it, the next start has it whole where there is room, and doesn't hold on
// to any of it where there is none.
TEST_F(DiskSpaceTest, AllImagesOfAPowerFailure) {
  Images images;
  bool over = false;
  for (uint64_t stop = 0; !over; ++stop) {
    SCOPED_TRACE(absl::StrCat("stopped after ", stop));
    space_ = nullptr;
    disk_ = std::make_unique<MemoryDisk>(&loop_);
    disk_->StopAfter(stop);
    MakeGiveUpAndMakeAgain();
    over = disk_->completions() < stop;
    space_ = nullptr;
    const std::unique_ptr<MemoryDisk> stopped = std::move(disk_);
    images.ForEach(*stopped, [&](const MemoryDisk::Survives& survives) {
      for (const bool full : {false, true}) {
        SCOPED_TRACE(absl::StrCat("image ", images.count(), ", full: ", full));
        space_ = nullptr;
        disk_ = stopped->AfterCrash(&loop_, survives);
        disk_->set_full(full);
        Start();
        if (full) {
          ASSERT_THAT(disk_->Names(), IsEmpty());
          ASSERT_TRUE(space_->given_up());
          ASSERT_TRUE(space_->is_short());
          disk_->set_full(false);
          loop_.RunFor(kLong);
        }
        ASSERT_NO_FATAL_FAILURE(ExpectWhole());
      }
    });
    if (HasFatalFailure()) return;
  }
  EXPECT_EQ(images.bounded(), 0u);
  std::cout << "the reserve: " << images.count() << " images\n";
}

}  // namespace
}  // namespace holdfast
