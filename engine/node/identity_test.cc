#include "engine/node/identity.h"

#include <cstdint>
#include <functional>
#include <iostream>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/wal/testing/images.h"
#include "engine/wal/testing/memory_disk.h"
#include "engine/wal/testing/memory_loop.h"
#include "engine/wal/testing/wal_run.h"
#include "gtest/gtest.h"

namespace holdfast {
namespace {

Identity Some(uint64_t boot_count) {
  Identity identity;
  identity.id = ServerId(3);
  identity.incarnation = Incarnation(77);
  identity.boot_count = boot_count;
  identity.lives = {boot_count * 10, 5};
  identity.promise = Duration(12);
  identity.cluster_id = ClusterId(99);
  identity.cluster_name = "prod";
  return identity;
}

// As a server's starts write it one after the other.
Identity OfStart(uint64_t boot_count) {
  Identity identity = Some(boot_count);
  identity.lives.clear();
  for (uint64_t n = boot_count; n > 0; --n) identity.lives.push_back(n * 10);
  return identity;
}

class IdentityTest : public testing::Test {
 protected:
  void Write(const Identity& identity) {
    IdentityFile file(disk_.get());
    absl::Status status = absl::UnknownError("never");
    file.Write(identity, [&](absl::Status s) { status = std::move(s); });
    loop_.RunUntilIdle();
    ASSERT_TRUE(status.ok()) << status;
  }
  absl::StatusOr<Identity> Read() {
    IdentityFile file(disk_.get());
    absl::StatusOr<Identity> result = absl::UnknownError("never");
    file.Read([&](absl::StatusOr<Identity> found) { result = found; });
    loop_.RunUntilIdle();
    damage_ = file.damage();
    return result;
  }
  // It is written over what the disk, at rest, has; the power fails before each
  // completion of that, and at its end. Visits each image that is left, which
  // is the disk then; `durable`: that it is written was told.
  void ForEachImageOfWriting(const Identity& identity, Images* images,
                             const std::function<void(bool durable)>& visit) {
    const std::unique_ptr<MemoryDisk> before = std::move(disk_);
    bool over = false;
    for (uint64_t stop = 0; !over; ++stop) {
      SCOPED_TRACE(absl::StrCat("stopped after ", stop));
      disk_ = before->AfterCrash(&loop_, Everything);
      disk_->StopAfter(stop);
      bool durable = false;
      {
        IdentityFile file(disk_.get());
        file.Write(identity, [&](absl::Status s) { durable = s.ok(); });
        loop_.RunUntilIdle();
      }
      over = disk_->completions() < stop;
      const std::unique_ptr<MemoryDisk> stopped = std::move(disk_);
      images->ForEach(*stopped, [&](const MemoryDisk::Survives& survives) {
        SCOPED_TRACE(absl::StrCat("image ", images->count()));
        disk_ = stopped->AfterCrash(&loop_, survives);
        visit(durable);
      });
      if (HasFatalFailure()) return;
    }
  }

  MemoryLoop loop_;
  std::unique_ptr<MemoryDisk> disk_ = std::make_unique<MemoryDisk>(&loop_);
  absl::Status damage_;
};

TEST_F(IdentityTest, IsReadAsItWasWritten) {
  EXPECT_TRUE(absl::IsNotFound(Read().status()));
  Write(Some(1));
  EXPECT_EQ(Read().value(), Some(1));
  Identity retired = Some(1);
  retired.retired = true;
  Write(retired);
  EXPECT_EQ(Read().value(), retired);
  EXPECT_TRUE(damage_.ok());
}

TEST_F(IdentityTest, EitherFileIsEnough) {
  Write(Some(4));
  for (const std::string name :
       {IdentityFile::kName, IdentityFile::kCopyName}) {
    const std::string whole = disk_->Contents(name);
    for (size_t at = 0; at < whole.size(); ++at) {
      std::string bytes = whole;
      bytes[at] = static_cast<char>(bytes[at] ^ 1);
      disk_->SetContents(name, bytes);
      EXPECT_EQ(Read().value(), Some(4)) << name << " " << at;
      EXPECT_TRUE(absl::IsDataLoss(damage_));
    }
    disk_->SetContents(name, "");
    EXPECT_EQ(Read().value(), Some(4));
    disk_->Delete(name);
    EXPECT_EQ(Read().value(), Some(4));
    Write(Some(5));
    EXPECT_EQ(disk_->Contents(IdentityFile::kName),
              disk_->Contents(IdentityFile::kCopyName));
    Write(Some(4));
  }
}

TEST_F(IdentityTest, WithoutAnIntactOneThereIsNone) {
  Write(Some(4));
  disk_->SetContents(IdentityFile::kName, "rot");
  disk_->SetContents(IdentityFile::kCopyName, "rot");
  EXPECT_TRUE(absl::IsDataLoss(Read().status()));
  // It isn't a new directory.
  disk_->Delete(IdentityFile::kName);
  EXPECT_TRUE(absl::IsDataLoss(Read().status()));
}

TEST_F(IdentityTest, OneThatCannotBeReadIsWrittenAnew) {
  for (const std::string name :
       {IdentityFile::kName, IdentityFile::kCopyName}) {
    Write(Some(4));
    disk_->Refuse(name, 0, disk_->Contents(name).size());
    EXPECT_EQ(Read().value(), Some(4)) << name;
    EXPECT_TRUE(absl::IsDataLoss(damage_)) << damage_;
    Write(Some(5));
    EXPECT_EQ(Read().value(), Some(5));
    EXPECT_TRUE(damage_.ok()) << damage_;
  }
}

// It isn't a new directory, and the device may give them back.
TEST_F(IdentityTest, WhereNeitherCanBeReadThereIsNone) {
  Write(Some(4));
  for (const std::string name :
       {IdentityFile::kName, IdentityFile::kCopyName}) {
    disk_->Refuse(name, 0, disk_->Contents(name).size());
  }
  EXPECT_TRUE(absl::IsDataLoss(Read().status()));
  disk_->Refuse(IdentityFile::kName, 0, 0);
  EXPECT_EQ(Read().value(), Some(4));
}

TEST_F(IdentityTest, TwoDirectoriesAreNotMixed) {
  Write(Some(4));
  const std::string one = disk_->Contents(IdentityFile::kName);
  Identity other = Some(5);
  other.incarnation = Incarnation(78);
  Write(other);
  disk_->SetContents(IdentityFile::kName, one);
  EXPECT_TRUE(absl::IsDataLoss(Read().status()));
}

// A release that knows of no copy wrote the file alone: it is the later one,
// also if the copy has as many starts, of which it knows nothing.
TEST_F(IdentityTest, TheLaterOneCounts) {
  for (uint64_t boot_count : {3, 4, 6}) {
    Write(Some(4));
    Identity other = Some(boot_count);
    other.lives = {1234, 5};
    disk_->SetContents(IdentityFile::kName,
                       std::string(EncodeIdentity(other).view()));
    EXPECT_EQ(Read().value(), other);
  }
  // Else the copy is.
  Write(Some(4));
  Identity next = Some(5);
  next.lives = {1234, 40, 5};
  disk_->SetContents(IdentityFile::kCopyName,
                     std::string(EncodeIdentity(next).view()));
  EXPECT_EQ(Read().value(), next);
}

// Of the next start, too, which writes another one over what it found.
TEST_F(IdentityTest, AllImagesOfAPowerFailure) {
  Images images;
  Images of_next_starts;
  Write(OfStart(1));
  ForEachImageOfWriting(OfStart(2), &images, [&](bool durable) {
    const absl::StatusOr<Identity> found = Read();
    ASSERT_TRUE(found.ok()) << found.status();
    ASSERT_TRUE(*found == OfStart(2) || (!durable && *found == OfStart(1)));
    ForEachImageOfWriting(OfStart(3), &of_next_starts, [&](bool next_durable) {
      const absl::StatusOr<Identity> then = Read();
      ASSERT_TRUE(then.ok()) << then.status();
      ASSERT_TRUE(*then == OfStart(3) || (!next_durable && *then == *found));
    });
  });
  EXPECT_EQ(images.bounded() + of_next_starts.bounded(), 0u);
  std::cout << "identity: " << images.count() << " images, "
            << of_next_starts.count() << " of the next starts\n";
}

// A new directory's: before it is there nobody has heard of it.
TEST_F(IdentityTest, AllImagesOfTheFirstStart) {
  Images images;
  ForEachImageOfWriting(OfStart(1), &images, [&](bool durable) {
    const absl::StatusOr<Identity> found = Read();
    if (!durable && absl::IsNotFound(found.status())) return;
    ASSERT_TRUE(found.ok()) << found.status();
    ASSERT_EQ(*found, OfStart(1));
  });
  EXPECT_EQ(images.bounded(), 0u);
  std::cout << "identity, the first one: " << images.count() << " images\n";
}

}  // namespace
}  // namespace holdfast
