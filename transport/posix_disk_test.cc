#include "transport/posix_disk.h"

#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace holdfast {
namespace {

using testing::HasSubstr;

class PosixDiskTest : public testing::Test {
 protected:
  PosixDiskTest() {
    std::string pattern = testing::TempDir() + "/holdfast-disk.XXXXXX";
    directory_ = mkdtemp(pattern.data());
    disk_ = OpenDisk(directory_);
  }
  ~PosixDiskTest() override {
    disk_ = nullptr;
    std::filesystem::remove_all(directory_);
  }

  std::unique_ptr<PosixDisk> OpenDisk(const std::string& path) {
    auto disk = PosixDisk::Open(&loop_, path);
    EXPECT_TRUE(disk.ok()) << disk.status();
    return disk.ok() ? *std::move(disk) : nullptr;
  }

  // Runs `operation(done)` and waits for what it reports.
  template <typename T, typename Operation>
  absl::StatusOr<T> Get(Operation operation) {
    std::optional<absl::StatusOr<T>> result;
    bool returned = false;
    operation([&](absl::StatusOr<T> r) {
      EXPECT_TRUE(returned);
      result = std::move(r);
      loop_.Stop();
    });
    returned = true;
    RunLoop();
    if (!result.has_value()) return absl::UnknownError("it never ended");
    return *std::move(result);
  }
  template <typename Operation>
  absl::Status Do(Operation operation) {
    absl::Status result = absl::UnknownError("it never ended");
    bool returned = false;
    operation([&](absl::Status s) {
      EXPECT_TRUE(returned);
      result = std::move(s);
      loop_.Stop();
    });
    returned = true;
    RunLoop();
    return result;
  }
  void RunLoop() {
    Timer patience = loop_.After(60s, [this] {
      ADD_FAILURE() << "nothing happened for long";
      loop_.Stop();
    });
    loop_.Run();
  }

  absl::StatusOr<std::unique_ptr<File>> OpenFile(const std::string& name,
                                                 OpenMode mode) {
    return Get<std::unique_ptr<File>>(
        [&](auto done) { disk_->Open(name, mode, std::move(done)); });
  }
  std::unique_ptr<File> Create(const std::string& name) {
    auto file = OpenFile(name, OpenMode::kCreateNew);
    EXPECT_TRUE(file.ok()) << file.status();
    return *std::move(file);
  }
  absl::Status Write(File* file, uint64_t at, Buffers data) {
    return Do(
        [&](auto done) { file->Write(at, std::move(data), std::move(done)); });
  }
  std::string Read(File* file, uint64_t at, size_t n) {
    auto bytes =
        Get<Buffer>([&](auto done) { file->Read(at, n, std::move(done)); });
    EXPECT_TRUE(bytes.ok()) << bytes.status();
    return bytes.ok() ? std::string(bytes->view()) : "";
  }

  EpollLoop loop_;
  std::string directory_;
  std::unique_ptr<PosixDisk> disk_;
};

TEST_F(PosixDiskTest, ReadsBackWhatWasWritten) {
  std::unique_ptr<File> file = Create("a");
  EXPECT_EQ(file->size(), 0u);
  ASSERT_TRUE(Write(file.get(), 0,
                    {Buffer::Copy("hello"), Buffer(), Buffer::Copy(" world")})
                  .ok());
  EXPECT_EQ(file->size(), 11u);
  EXPECT_TRUE(Do([&](auto done) { file->Sync(std::move(done)); }).ok());
  EXPECT_EQ(Read(file.get(), 0, 11), "hello world");
  EXPECT_EQ(Read(file.get(), 6, 3), "wor");
  EXPECT_EQ(Read(file.get(), 6, 100), "world");
  EXPECT_EQ(Read(file.get(), 11, 10), "");
  EXPECT_EQ(Read(file.get(), 1000, 10), "");
}

TEST_F(PosixDiskTest, AnotherOpenSeesTheBytesAndTheSize) {
  std::unique_ptr<File> file = Create("a");
  ASSERT_TRUE(Write(file.get(), 5, {Buffer::Copy("xyz")}).ok());
  file = nullptr;
  auto again = OpenFile("a", OpenMode::kExisting);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ((*again)->size(), 8u);
  EXPECT_EQ(Read(again->get(), 0, 100), std::string(5, '\0') + "xyz");
}

TEST_F(PosixDiskTest, WritesOfMorePartsThanOneCallTakes) {
  std::unique_ptr<File> file = Create("a");
  Buffers parts;
  std::string expected;
  for (int i = 0; i < 5000; ++i) {
    std::string part = absl::StrCat("part ", i, ";");
    expected += part;
    parts.push_back(Buffer::Copy(part));
  }
  ASSERT_TRUE(Write(file.get(), 0, std::move(parts)).ok());
  EXPECT_EQ(Read(file.get(), 0, expected.size() + 1), expected);
}

TEST_F(PosixDiskTest, ASyncCompletesBehindTheWritesBeforeIt) {
  std::unique_ptr<File> file = Create("a");
  std::string order;
  for (uint64_t i = 0; i < 20; ++i) {
    file->Write(i * 4, {Buffer::Copy("abcd")}, [&](absl::Status s) {
      EXPECT_TRUE(s.ok()) << s;
      order += 'w';
    });
  }
  file->Sync([&](absl::Status s) {
    EXPECT_TRUE(s.ok()) << s;
    order += 's';
    loop_.Stop();
  });
  RunLoop();
  EXPECT_EQ(order, std::string(20, 'w') + 's');
  EXPECT_EQ(file->size(), 80u);
}

TEST_F(PosixDiskTest, AnOverlapOfWritesInFlightIsABug) {
  testing::GTEST_FLAG(death_test_style) = "threadsafe";
  std::unique_ptr<File> file = Create("a");
  auto overlap = [&] {
    file->Write(0, {Buffer::Copy("0123456789")}, [](absl::Status) {});
    file->Write(9, {Buffer::Copy("x")}, [](absl::Status) {});
  };
  EXPECT_DEATH(overlap(), "");
}

TEST_F(PosixDiskTest, NeighboursAndLaterWritesAreNoOverlap) {
  std::unique_ptr<File> file = Create("a");
  int left = 2;
  auto done = [&](absl::Status s) {
    EXPECT_TRUE(s.ok()) << s;
    if (--left == 0) loop_.Stop();
  };
  file->Write(5, {Buffer::Copy("56789")}, done);
  file->Write(0, {Buffer::Copy("01234")}, done);
  RunLoop();
  ASSERT_TRUE(Write(file.get(), 3, {Buffer::Copy("xxx")}).ok());
  EXPECT_EQ(Read(file.get(), 0, 10), "012xxx6789");
}

TEST_F(PosixDiskTest, TruncateCutsAndExtends) {
  std::unique_ptr<File> file = Create("a");
  ASSERT_TRUE(Write(file.get(), 0, {Buffer::Copy("0123456789")}).ok());
  EXPECT_TRUE(Do([&](auto done) { file->Truncate(4, std::move(done)); }).ok());
  EXPECT_EQ(file->size(), 4u);
  EXPECT_TRUE(Do([&](auto done) { file->Truncate(6, std::move(done)); }).ok());
  EXPECT_EQ(Read(file.get(), 0, 10), std::string("0123\0\0", 6));
}

TEST_F(PosixDiskTest, AllocatesZeroes) {
  auto file = Get<std::unique_ptr<File>>(
      [&](auto done) { disk_->Allocate("z", 3'000'001, std::move(done)); });
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ((*file)->size(), 3'000'001u);
  EXPECT_EQ(Read(file->get(), 0, 4'000'000), std::string(3'000'001, '\0'));
  auto again = Get<std::unique_ptr<File>>(
      [&](auto done) { disk_->Allocate("z", 10, std::move(done)); });
  EXPECT_TRUE(absl::IsAlreadyExists(again.status())) << again.status();
}

TEST_F(PosixDiskTest, ErrorsNameTheFileAndHaveTheirCode) {
  auto missing = OpenFile("missing", OpenMode::kExisting);
  EXPECT_TRUE(absl::IsNotFound(missing.status())) << missing.status();
  EXPECT_THAT(std::string(missing.status().message()), HasSubstr("missing"));
  std::unique_ptr<File> file = Create("a");
  auto twice = OpenFile("a", OpenMode::kCreateNew);
  EXPECT_TRUE(absl::IsAlreadyExists(twice.status())) << twice.status();
  EXPECT_TRUE(absl::IsNotFound(
      Do([&](auto done) { disk_->Remove("missing", std::move(done)); })));
  EXPECT_TRUE(absl::IsNotFound(
      Do([&](auto done) { disk_->Rename("missing", "b", std::move(done)); })));
}

TEST_F(PosixDiskTest, AFailedWriteFailsEverySyncBehindIt) {
  std::unique_ptr<File> file = Create("a");
  ASSERT_TRUE(Write(file.get(), 0, {Buffer::Copy("good")}).ok());
  // Beyond what any file system takes.
  absl::Status failed =
      Write(file.get(), uint64_t{INT64_MAX} - 2, {Buffer::Copy("bad")});
  EXPECT_FALSE(failed.ok());
  EXPECT_THAT(std::string(failed.message()), HasSubstr("a"));
  EXPECT_EQ(file->size(), 4u);
  for (int i = 0; i < 2; ++i) {
    EXPECT_FALSE(Do([&](auto done) { file->Sync(std::move(done)); }).ok());
  }
}

TEST_F(PosixDiskTest, ListsRegularFilesByName) {
  for (const char* name : {"b", "a", "c"}) {
    ASSERT_TRUE(Write(Create(name).get(), 0, {Buffer::Copy(name)}).ok());
  }
  std::filesystem::create_directory(directory_ + "/folder");
  auto list = Get<std::vector<FileInfo>>(
      [&](auto done) { disk_->List(std::move(done)); });
  ASSERT_TRUE(list.ok()) << list.status();
  std::string names;
  for (const FileInfo& f : *list) absl::StrAppend(&names, f.name, f.size, " ");
  EXPECT_EQ(names, "a1 b1 c1 ");
}

TEST_F(PosixDiskTest, RenamesOverWhatIsThereAndRemoves) {
  ASSERT_TRUE(Write(Create("a").get(), 0, {Buffer::Copy("new")}).ok());
  ASSERT_TRUE(Write(Create("b").get(), 0, {Buffer::Copy("older")}).ok());
  ASSERT_TRUE(
      Do([&](auto done) { disk_->Rename("a", "b", std::move(done)); }).ok());
  ASSERT_TRUE(Do([&](auto done) { disk_->SyncDir(std::move(done)); }).ok());
  auto b = OpenFile("b", OpenMode::kExisting);
  ASSERT_TRUE(b.ok()) << b.status();
  EXPECT_EQ(Read(b->get(), 0, 10), "new");
  ASSERT_TRUE(Do([&](auto done) { disk_->Remove("b", std::move(done)); }).ok());
  EXPECT_TRUE(absl::IsNotFound(OpenFile("b", OpenMode::kExisting).status()));
}

TEST_F(PosixDiskTest, OneDiskAtATimeHasTheLock) {
  ASSERT_TRUE(Do([&](auto done) { disk_->Lock(std::move(done)); }).ok());
  std::unique_ptr<PosixDisk> other = OpenDisk(directory_);
  absl::Status refused = Do([&](auto done) { other->Lock(std::move(done)); });
  EXPECT_TRUE(absl::IsFailedPrecondition(refused)) << refused;
  EXPECT_THAT(std::string(refused.message()), HasSubstr("in use"));
  disk_ = nullptr;
  // Its helper threads let go of the directory when they end.
  absl::Status taken = refused;
  const Instant limit = loop_.FreshNow() + 60s;
  while (!taken.ok() && loop_.FreshNow() < limit) {
    taken = Do([&](auto done) { other->Lock(std::move(done)); });
  }
  EXPECT_TRUE(taken.ok()) << taken;
}

TEST_F(PosixDiskTest, TellsTheFreeSpace) {
  auto space =
      Get<uint64_t>([&](auto done) { disk_->FreeSpace(std::move(done)); });
  ASSERT_TRUE(space.ok()) << space.status();
  EXPECT_GT(*space, 0u);
}

TEST_F(PosixDiskTest, MakesTheDirectoryWithItsParents) {
  std::string path = directory_ + "/x/y/z";
  EXPECT_NE(OpenDisk(path), nullptr);
  EXPECT_TRUE(std::filesystem::is_directory(path));
}

TEST_F(PosixDiskTest, AFileIsNoDataDirectory) {
  std::ofstream(directory_ + "/file") << "x";
  auto disk = PosixDisk::Open(&loop_, directory_ + "/file");
  ASSERT_FALSE(disk.ok());
  EXPECT_THAT(std::string(disk.status().message()), HasSubstr("/file"));
}

TEST_F(PosixDiskTest, DestroyingAFileDropsItsCompletions) {
  std::unique_ptr<File> file = Create("a");
  for (uint64_t i = 0; i < 50; ++i) {
    file->Write(i * 4, {Buffer::Copy("abcd")},
                [](absl::Status) { FAIL() << "the file is gone"; });
    file->Read(0, 4,
               [](absl::StatusOr<Buffer>) { FAIL() << "the file is gone"; });
  }
  file->Sync([](absl::Status) { FAIL() << "the file is gone"; });
  file = nullptr;
  // Another file's sync comes behind all of these.
  std::unique_ptr<File> other = Create("b");
  EXPECT_TRUE(Do([&](auto done) { other->Sync(std::move(done)); }).ok());
}

TEST_F(PosixDiskTest, DestroyingTheDiskDropsItsCompletions) {
  for (int i = 0; i < 20; ++i) {
    disk_->Open(absl::StrCat("f", i), OpenMode::kCreateNew,
                [](absl::StatusOr<std::unique_ptr<File>>) {
                  FAIL() << "the disk is gone";
                });
    disk_->SyncDir([](absl::Status) { FAIL() << "the disk is gone"; });
  }
  disk_ = nullptr;
  std::unique_ptr<PosixDisk> other = OpenDisk(directory_);
  EXPECT_TRUE(Do([&](auto done) { other->SyncDir(std::move(done)); }).ok());
}

}  // namespace
}  // namespace holdfast
