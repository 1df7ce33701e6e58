#include "engine/node/identity.h"

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "engine/wal/testing/memory_disk.h"
#include "engine/wal/testing/memory_loop.h"
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
  // Without what follows.
  void BeginToWrite(const Identity& identity, size_t tasks) {
    IdentityFile file(disk_.get());
    file.Write(identity, [](absl::Status) {});
    for (size_t i = 0; i < tasks; ++i) loop_.RunOne();
  }
  void LosePower(size_t pattern) {
    disk_ = disk_->AfterCrash(&loop_, [pattern](size_t op, size_t sector) {
      return pattern < 2 ? pattern == 1 : (op + sector + pattern) % 2 == 0;
    });
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

TEST_F(IdentityTest, PowerFailsAtAnyMoment) {
  for (size_t tasks = 0; tasks < 30; ++tasks) {
    for (size_t pattern = 0; pattern < 6; ++pattern) {
      disk_ = std::make_unique<MemoryDisk>(&loop_);
      Write(Some(1));
      BeginToWrite(Some(2), tasks);
      LosePower(pattern);
      absl::StatusOr<Identity> found = Read();
      ASSERT_TRUE(found.ok()) << tasks << " " << found.status();
      EXPECT_TRUE(*found == Some(1) || *found == Some(2));
      Write(Some(3));
      LosePower(0);
      EXPECT_EQ(Read().value(), Some(3));
    }
  }
}

}  // namespace
}  // namespace holdfast
