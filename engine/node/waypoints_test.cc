#include "engine/node/waypoints.h"

#include <cstdint>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/wal/testing/images.h"
#include "engine/wal/testing/memory_disk.h"
#include "engine/wal/testing/memory_loop.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace holdfast {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::Not;

constexpr Incarnation kOwner(5);

class WaypointsTest : public testing::Test {
 protected:
  WaypointsTest() { Open(); }

  // By another process.
  void Open() {
    waypoints_ = std::make_unique<Waypoints>(disk_.get(), kOwner);
    absl::Status opened = absl::UnknownError("never");
    waypoints_->Open([&](absl::Status s) { opened = std::move(s); });
    loop_.RunUntilIdle();
    ASSERT_TRUE(opened.ok()) << opened;
  }
  // Whether it is done.
  bool Write(uint64_t index) {
    Checkpoint checkpoint;
    checkpoint.point = LogPoint{.index = Index(index), .chain = index * 3};
    checkpoint.state = Buffer::Copy(absl::StrCat("state ", index));
    bool ok = false;
    waypoints_->Write(std::move(checkpoint),
                      [&](absl::Status s) { ok = s.ok(); });
    loop_.RunUntilIdle();
    return ok;
  }
  absl::StatusOr<Checkpoint> Read(uint64_t index) {
    absl::StatusOr<Checkpoint> result = absl::UnknownError("never");
    waypoints_->Read(Index(index), [&](absl::StatusOr<Checkpoint> c) {
      if (!c.ok()) waypoints_->Discard(Index(index));
      result = std::move(c);
    });
    loop_.RunUntilIdle();
    return result;
  }
  uint64_t Floor(uint64_t up_to) {
    return waypoints_->Floor(Index(up_to)).value();
  }
  static std::string Name(uint64_t index) {
    return CheckpointName(CheckpointKind::kWaypoint, Index(index));
  }

  MemoryLoop loop_;
  std::unique_ptr<MemoryDisk> disk_ = std::make_unique<MemoryDisk>(&loop_);
  std::unique_ptr<Waypoints> waypoints_;
};

TEST_F(WaypointsTest, AreFoundAgainUntilTheyAreRemoved) {
  EXPECT_EQ(Floor(100), 0u);
  // The second time the same one, or an earlier one: the log's end was known
  // less far after a start.
  for (uint64_t index : {10, 20, 30, 20, 25}) ASSERT_TRUE(Write(index));
  for (int life = 0; life < 2; ++life) {
    EXPECT_EQ(Floor(9), 0u);
    EXPECT_EQ(Floor(10), 10u);
    EXPECT_EQ(Floor(29), 25u);
    EXPECT_EQ(Floor(100), 30u);
    absl::StatusOr<Checkpoint> read = Read(20);
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(read->point.chain, 60u);
    EXPECT_EQ(read->owner, kOwner);
    EXPECT_EQ(read->state.view(), "state 20");
    Open();
  }
  waypoints_->RemoveTo(Index(25));
  loop_.RunUntilIdle();
  EXPECT_EQ(waypoints_->stats().removed, 3u);
  EXPECT_EQ(Floor(29), 0u);
  EXPECT_EQ(disk_->Names(), std::vector<std::string>{Name(30)});
}

TEST_F(WaypointsTest, WhatIsNoneIsTakenOut) {
  for (uint64_t index : {10, 20, 30, 40, 50}) ASSERT_TRUE(Write(index));
  disk_->SetContents(Name(20), "rot");
  disk_->SetContents(Name(30), disk_->Contents(Name(10)));
  disk_->Delete(Name(40));
  EXPECT_TRUE(absl::IsDataLoss(Read(20).status()));
  EXPECT_TRUE(absl::IsDataLoss(Read(30).status()));
  EXPECT_TRUE(absl::IsNotFound(Read(40).status()));
  EXPECT_EQ(Floor(49), 10u);
  EXPECT_TRUE(Read(10).ok());
  EXPECT_EQ(waypoints_->stats().damaged, 3u);
  EXPECT_EQ(disk_->Names(), (std::vector<std::string>{Name(10), Name(50)}));
  // Another directory's.
  waypoints_ = std::make_unique<Waypoints>(disk_.get(), Incarnation(6));
  waypoints_->Open([](absl::Status) {});
  loop_.RunUntilIdle();
  EXPECT_EQ(Floor(100), 50u);
  EXPECT_TRUE(absl::IsDataLoss(Read(50).status()));
  EXPECT_EQ(Floor(100), 10u);
}

TEST_F(WaypointsTest, AFailedWriteLeavesNothing) {
  ASSERT_TRUE(Write(10));
  const uint64_t completions = disk_->completions();
  ASSERT_TRUE(Write(20));
  const uint64_t per_write = disk_->completions() - completions;
  for (uint64_t i = 1; i <= per_write; ++i) {
    SCOPED_TRACE(i);
    disk_->FailAt(disk_->completions() + i);
    const bool done = Write(30);
    EXPECT_EQ(Floor(100), done ? 30u : 20u);
    EXPECT_THAT(disk_->Names(),
                Not(Contains(HasSubstr(ReplacedFile::kNewSuffix))));
    waypoints_->Discard(Index(30));
    EXPECT_TRUE(Read(20).ok());
  }
}

// Of a third one's writing, while the first one is removed.
TEST_F(WaypointsTest, AllImagesOfAPowerFailure) {
  Images images;
  bool over = false;
  for (uint64_t stop = 0; !over; ++stop) {
    SCOPED_TRACE(absl::StrCat("stopped after ", stop));
    waypoints_ = nullptr;
    disk_ = std::make_unique<MemoryDisk>(&loop_);
    Open();
    for (uint64_t index : {10, 20}) ASSERT_TRUE(Write(index));
    const uint64_t end = disk_->completions() + stop;
    disk_->StopAfter(end);
    waypoints_->RemoveTo(Index(10));
    const bool done = Write(30);
    over = disk_->completions() < end;
    waypoints_ = nullptr;
    const std::unique_ptr<MemoryDisk> stopped = std::move(disk_);
    images.ForEach(*stopped, [&](const MemoryDisk::Survives& survives) {
      SCOPED_TRACE(absl::StrCat("image ", images.count()));
      waypoints_ = nullptr;
      disk_ = stopped->AfterCrash(&loop_, survives);
      Open();
      ASSERT_TRUE(Floor(100) == 30 || (Floor(100) == 20 && !done));
      ASSERT_EQ(Floor(29), 20u);
      for (uint64_t index : {10, 20, 30}) {
        if (Floor(index) != index) continue;
        ASSERT_TRUE(Read(index).ok()) << index;
      }
      ASSERT_EQ(waypoints_->stats().damaged, 0u);
      ASSERT_THAT(disk_->Names(),
                  Not(Contains(HasSubstr(ReplacedFile::kNewSuffix))));
    });
    if (HasFatalFailure()) return;
  }
  EXPECT_EQ(images.bounded(), 0u);
  std::cout << "a waypoint: " << images.count() << " images\n";
}

}  // namespace
}  // namespace holdfast
