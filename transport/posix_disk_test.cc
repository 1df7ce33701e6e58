#include "transport/posix_disk.h"

#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>

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

size_t CountOpenFiles() {
  size_t count = 0;
  for (const auto& unused :
       std::filesystem::directory_iterator("/proc/self/fd")) {
    static_cast<void>(unused);
    ++count;
  }
  return count;
}

class PosixDiskTest : public testing::TestWithParam<DiskBackend> {
 protected:
  PosixDiskTest() {
    std::string pattern = testing::TempDir() + "/holdfast-disk.XXXXXX";
    directory_ = mkdtemp(pattern.data());
  }
  void SetUp() override {
    if (GetParam() == DiskBackend::kIoUring) {
      auto uring = Uring::Create(&loop_);
      if (!uring.ok()) GTEST_SKIP() << "no io_uring: " << uring.status();
    }
    disk_ = OpenDisk(directory_);
  }
  ~PosixDiskTest() override {
    disk_ = nullptr;
    std::filesystem::remove_all(directory_);
  }

  // That it gets the lock, once another one's helper threads have ended, which
  // let go of the directory then.
  void ExpectLock(PosixDisk* disk) {
    absl::Status taken = absl::UnknownError("");
    const Instant limit = loop_.FreshNow() + 60s;
    while (!taken.ok() && loop_.FreshNow() < limit) {
      taken = Do([&](auto done) { disk->Lock(std::move(done)); });
    }
    EXPECT_TRUE(taken.ok()) << taken;
  }
  std::unique_ptr<PosixDisk> OpenDisk(const std::string& path) {
    auto disk = PosixDisk::Open(&loop_, path, GetParam());
    EXPECT_TRUE(disk.ok()) << disk.status();
    if (!disk.ok()) return nullptr;
    EXPECT_EQ((*disk)->backend(), GetParam());
    return *std::move(disk);
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
  // Whether it comes to be true while the loop runs.
  template <typename Condition>
  bool Eventually(Condition condition) {
    const Instant limit = loop_.FreshNow() + 30s;
    while (!condition()) {
      if (loop_.FreshNow() > limit) return false;
      Timer pause = loop_.After(1ms, [this] { loop_.Stop(); });
      loop_.Run();
    }
    return true;
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

TEST_P(PosixDiskTest, ReadsBackWhatWasWritten) {
  std::unique_ptr<File> file = Create("a");
  EXPECT_EQ(file->size(), 0u);
  ASSERT_TRUE(Write(file.get(), 0,
                    {Buffer::Copy("hello"), Buffer(), Buffer::Copy(" world")})
                  .ok());
  EXPECT_EQ(file->size(), 11u);
  EXPECT_TRUE(Do([&](auto done) { file->Sync(std::move(done)); }).ok());
  EXPECT_EQ(Read(file.get(), 0, 11), "hello world");
  EXPECT_EQ(Read(file.get(), 6, 3), "wor");
  EXPECT_EQ(Read(file.get(), 6, 5'000'000), "world");
  EXPECT_EQ(Read(file.get(), 11, 10), "");
  EXPECT_EQ(Read(file.get(), 0, 0), "");
  EXPECT_EQ(Read(file.get(), 1000, 10), "");
}

// The memory of one may serve the next, but not while anybody has it.
TEST_P(PosixDiskTest, LargeReadsOneAfterTheOtherAndSideBySide) {
  constexpr size_t kMiB = 1 << 20;
  std::string bytes(4 * kMiB, '\0');
  for (size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<char>(i / 4096 * 7 + i);
  }
  std::unique_ptr<File> file = Create("a");
  ASSERT_TRUE(Write(file.get(), 0, {Buffer::Copy(bytes)}).ok());
  std::vector<std::pair<size_t, Buffer>> kept;
  size_t at = 0;
  for (size_t n : {3 * kMiB, 2 * kMiB, 1 * kMiB, size_t{9}, kMiB + 5, 2 * kMiB,
                   2 * kMiB, size_t{0}, 3 * kMiB, kMiB - 1, kMiB}) {
    at = (at + 4096) % kMiB;
    ASSERT_EQ(Read(file.get(), at, n), bytes.substr(at, n)) << n;
    absl::StatusOr<Buffer> read =
        Get<Buffer>([&](auto done) { file->Read(at, n, std::move(done)); });
    ASSERT_TRUE(read.ok()) << read.status();
    kept.emplace_back(at + n / 3, read->SliceFrom(n / 3));
    if (kept.size() > 2) kept.erase(kept.begin());
    for (const auto& [from, buffer] : kept) {
      ASSERT_EQ(buffer.view(),
                absl::string_view(bytes).substr(from, buffer.size()));
    }
  }
}

TEST_P(PosixDiskTest, AnotherOpenSeesTheBytesAndTheSize) {
  std::unique_ptr<File> file = Create("a");
  ASSERT_TRUE(Write(file.get(), 5, {Buffer::Copy("xyz")}).ok());
  file = nullptr;
  auto again = OpenFile("a", OpenMode::kExisting);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ((*again)->size(), 8u);
  EXPECT_EQ(Read(again->get(), 0, 100), std::string(5, '\0') + "xyz");
}

TEST_P(PosixDiskTest, EmptyWritesComplete) {
  std::unique_ptr<File> file = Create("a");
  EXPECT_TRUE(Write(file.get(), 0, {}).ok());
  EXPECT_TRUE(Write(file.get(), 0, {Buffer(), Buffer()}).ok());
  EXPECT_EQ(file->size(), 0u);
}

TEST_P(PosixDiskTest, WritesOfMorePartsThanOneCallTakes) {
  std::unique_ptr<File> file = Create("a");
  Buffers parts;
  std::string expected;
  for (int i = 0; i < 5000; ++i) {
    std::string part = absl::StrCat("part ", i, ";");
    expected += part;
    parts.push_back(Buffer::Copy(part));
  }
  std::string order;
  auto note = [&order](char c) {
    return [&order, c](absl::Status s) {
      EXPECT_TRUE(s.ok()) << s;
      order += c;
    };
  };
  file->Write(0, std::move(parts), note('w'));
  file->Sync(note('s'));
  file->Write(expected.size(), {Buffer::Copy("end")}, note('W'));
  ASSERT_TRUE(Do([&](auto done) { file->Sync(std::move(done)); }).ok());
  EXPECT_EQ(order, "wsW");
  EXPECT_EQ(Read(file.get(), 0, expected.size() + 4), expected + "end");
}

TEST_P(PosixDiskTest, ASyncCompletesBehindTheWritesBeforeIt) {
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

TEST_P(PosixDiskTest, ASyncCoversTheWritesBeforeItAndNoLaterOnes) {
  std::unique_ptr<File> file = Create("a");
  std::string order;
  auto note = [&order](char c) {
    return [&order, c](absl::Status s) {
      order += c;
      order += s.ok() ? '+' : '-';
    };
  };
  file->Write(0, {Buffer::Copy("1")}, note('a'));
  file->Sync(note('b'));
  // Beyond what any file system takes.
  file->Write(uint64_t{INT64_MAX} - 2, {Buffer::Copy("bad")}, note('c'));
  file->Sync(note('d'));
  file->Write(1, {Buffer::Copy("2")}, note('e'));
  file->Sync([&](absl::Status s) {
    note('f')(std::move(s));
    loop_.Stop();
  });
  RunLoop();
  EXPECT_EQ(order, "a+b+c-d-e+f-");
  EXPECT_EQ(Read(file.get(), 0, 10), "12");
}

TEST_P(PosixDiskTest, SyncsFollowWritesThatAreUnderWay) {
  std::unique_ptr<File> file = Create("a");
  constexpr uint64_t kRounds = 200;
  constexpr size_t kBytes = 10000;
  uint64_t written = 0;
  uint64_t synced = 0;
  for (uint64_t i = 0; i < kRounds; ++i) {
    // So that some start while others are in flight.
    if (i % 7 == 0) loop_.Post([this] { loop_.Stop(); });
    if (i % 7 == 0) RunLoop();
    file->Write(i * kBytes, {Buffer::Zeroes(kBytes)}, [&](absl::Status s) {
      EXPECT_TRUE(s.ok()) << s;
      ++written;
    });
    file->Sync([&, i](absl::Status s) {
      EXPECT_TRUE(s.ok()) << s;
      EXPECT_EQ(synced++, i);
      EXPECT_GT(written, i);
    });
  }
  EXPECT_TRUE(Eventually([&] { return synced == kRounds; }));
}

TEST_P(PosixDiskTest, ManyFilesAtOnceWithMoreThanTheKernelTakes) {
  constexpr int kFiles = 40;
  constexpr uint64_t kWrites = 300;
  std::vector<std::unique_ptr<File>> files;
  for (int i = 0; i < kFiles; ++i) files.push_back(Create(absl::StrCat(i)));
  std::vector<std::string> expected(kFiles);
  uint64_t left = kFiles * (2 * kWrites + 1);
  auto ended = [&](absl::Status s) {
    EXPECT_TRUE(s.ok()) << s;
    if (--left == 0) loop_.Stop();
  };
  for (uint64_t n = 0; n < kWrites; ++n) {
    for (int i = 0; i < kFiles; ++i) {
      std::string text = absl::StrCat(i, ":", n, ";");
      files[i]->Write(expected[i].size(), {Buffer::Copy(text)}, ended);
      files[i]->Read(n, 10, [&](auto read) { ended(read.status()); });
      expected[i] += text;
    }
  }
  for (auto& file : files) file->Sync(ended);
  RunLoop();
  EXPECT_EQ(left, 0u);
  for (int i = 0; i < kFiles; ++i) {
    EXPECT_EQ(Read(files[i].get(), 0, 1 << 20), expected[i]);
  }
}

TEST_P(PosixDiskTest, AnOverlapOfWritesInFlightIsABug) {
  testing::GTEST_FLAG(death_test_style) = "threadsafe";
  std::unique_ptr<File> file = Create("a");
  auto overlap = [&] {
    file->Write(0, {Buffer::Copy("0123456789")}, [](absl::Status) {});
    file->Write(9, {Buffer::Copy("x")}, [](absl::Status) {});
  };
  EXPECT_DEATH(overlap(), "");
}

TEST_P(PosixDiskTest, NeighboursAndLaterWritesAreNoOverlap) {
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

TEST_P(PosixDiskTest, TruncateCutsAndExtends) {
  std::unique_ptr<File> file = Create("a");
  ASSERT_TRUE(Write(file.get(), 0, {Buffer::Copy("0123456789")}).ok());
  EXPECT_TRUE(Do([&](auto done) { file->Truncate(4, std::move(done)); }).ok());
  EXPECT_EQ(file->size(), 4u);
  EXPECT_TRUE(Do([&](auto done) { file->Truncate(6, std::move(done)); }).ok());
  EXPECT_EQ(Read(file.get(), 0, 10), std::string("0123\0\0", 6));
}

TEST_P(PosixDiskTest, TruncateKeepsItsPlaceAmongWrites) {
  std::unique_ptr<File> file = Create("a");
  file->Write(0, {Buffer::Copy("0123456789")}, [](absl::Status) {});
  file->Truncate(4, [](absl::Status) {});
  file->Write(10, {Buffer::Copy("xy")}, [](absl::Status) {});
  EXPECT_TRUE(Do([&](auto done) { file->Sync(std::move(done)); }).ok());
  EXPECT_EQ(file->size(), 12u);
  EXPECT_EQ(Read(file.get(), 0, 20), std::string("0123\0\0\0\0\0\0xy", 12));
}

TEST_P(PosixDiskTest, AllocatesZeroes) {
  auto file = Get<std::unique_ptr<File>>(
      [&](auto done) { disk_->Allocate("z", 3'000'001, std::move(done)); });
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ((*file)->size(), 3'000'001u);
  EXPECT_EQ(Read(file->get(), 0, 4'000'000), std::string(3'000'001, '\0'));
  auto again = Get<std::unique_ptr<File>>(
      [&](auto done) { disk_->Allocate("z", 10, std::move(done)); });
  EXPECT_TRUE(absl::IsAlreadyExists(again.status())) << again.status();
}

TEST_P(PosixDiskTest, ErrorsNameTheFileAndHaveTheirCode) {
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

TEST_P(PosixDiskTest, AFailedWriteFailsEverySyncBehindIt) {
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

TEST_P(PosixDiskTest, AFullDiskFailsTheWriteAndTheSyncBehindIt) {
  std::filesystem::create_symlink("/dev/full", directory_ + "/full");
  auto file = OpenFile("full", OpenMode::kExisting);
  ASSERT_TRUE(file.ok()) << file.status();
  absl::Status written;
  (*file)->Write(0, {Buffer::Copy("x")},
                 [&](absl::Status s) { written = std::move(s); });
  absl::Status synced = Do([&](auto done) { (*file)->Sync(std::move(done)); });
  EXPECT_TRUE(absl::IsResourceExhausted(written)) << written;
  EXPECT_TRUE(absl::IsResourceExhausted(synced)) << synced;
  EXPECT_THAT(std::string(synced.message()), HasSubstr("full"));
  EXPECT_EQ((*file)->size(), 0u);
}

TEST_P(PosixDiskTest, AShortWriteGoesOnWithTheRest) {
  signal(SIGXFSZ, SIG_IGN);
  constexpr size_t kLimit = 1 << 20;
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  rlimit limit{kLimit, before.rlim_max};
  std::unique_ptr<File> file = Create("a");
  absl::Status written;
  file->Write(0, {Buffer::Zeroes(kLimit - 5)}, [](absl::Status) {});
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
  // The kernel takes five bytes of it, and then says why it takes no more.
  file->Write(kLimit - 5, {Buffer::Copy("012"), Buffer::Copy("3456789")},
              [&](absl::Status s) { written = std::move(s); });
  absl::Status synced = Do([&](auto done) { file->Sync(std::move(done)); });
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  EXPECT_TRUE(absl::IsResourceExhausted(written)) << written;
  EXPECT_TRUE(absl::IsResourceExhausted(synced)) << synced;
  EXPECT_EQ(Read(file.get(), kLimit - 5, 100), "01234");
  EXPECT_EQ(file->size(), kLimit - 5);
}

TEST_P(PosixDiskTest, AnErrorOfTheDeviceIsDataLossAndAFailedSyncFinal) {
  // At address 0 there is nothing, and nothing there can be synced.
  std::filesystem::create_symlink("/proc/self/mem", directory_ + "/bad");
  auto file = OpenFile("bad", OpenMode::kExisting);
  ASSERT_TRUE(file.ok()) << file.status();
  auto bytes =
      Get<Buffer>([&](auto done) { (*file)->Read(0, 10, std::move(done)); });
  EXPECT_TRUE(absl::IsDataLoss(bytes.status())) << bytes.status();
  EXPECT_THAT(std::string(bytes.status().message()), HasSubstr("bad"));
  absl::Status first = Do([&](auto done) { (*file)->Sync(std::move(done)); });
  EXPECT_THAT(std::string(first.message()), HasSubstr("fdatasync bad"));
  absl::Status second = Do([&](auto done) { (*file)->Sync(std::move(done)); });
  EXPECT_EQ(second, first);
}

TEST_P(PosixDiskTest, ListsRegularFilesByName) {
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

// Else a log whose newest segment can't be looked at would seem to end before.
TEST_P(PosixDiskTest, DoesNotListWhereAFileCannotBeLookedAt) {
  Create("a");
  std::filesystem::create_symlink("nowhere", directory_ + "/b");
  const auto list = [&] {
    return Get<std::vector<FileInfo>>(
        [&](auto done) { disk_->List(std::move(done)); });
  };
  auto listed = list();
  ASSERT_TRUE(listed.ok()) << listed.status();
  EXPECT_EQ(listed->size(), 1u);
  // Links that lead to each other.
  std::filesystem::create_symlink("d", directory_ + "/c");
  std::filesystem::create_symlink("c", directory_ + "/d");
  listed = list();
  EXPECT_THAT(std::string(listed.status().message()), HasSubstr("stat"));
}

TEST_P(PosixDiskTest, ReadsBehindADroppedCache) {
  const std::unique_ptr<File> file = Create("a");
  ASSERT_TRUE(Write(file.get(), 0, {Buffer::Copy("abc")}).ok());
  ASSERT_TRUE(Do([&](auto done) { file->Sync(std::move(done)); }).ok());
  for (int i = 0; i < 20; ++i) {
    file->DropCache();
    file->DropCache();
    auto early =
        Get<Buffer>([&](auto done) { file->Read(0, 2, std::move(done)); });
    ASSERT_TRUE(early.ok()) << early.status();
    EXPECT_EQ(early->view(), "ab");
    EXPECT_EQ(Read(file.get(), 1, 2), "bc");
  }
  file->DropCache();
  file->Read(0, 3, [](absl::StatusOr<Buffer>) { FAIL() << "dropped"; });
}

TEST_P(PosixDiskTest, RenamesOverWhatIsThereAndRemoves) {
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

TEST_P(PosixDiskTest, OneDiskAtATimeHasTheLock) {
  ASSERT_TRUE(Do([&](auto done) { disk_->Lock(std::move(done)); }).ok());
  std::unique_ptr<PosixDisk> other = OpenDisk(directory_);
  absl::Status refused = Do([&](auto done) { other->Lock(std::move(done)); });
  EXPECT_TRUE(absl::IsFailedPrecondition(refused)) << refused;
  EXPECT_THAT(std::string(refused.message()), HasSubstr("in use"));
  disk_ = nullptr;
  ExpectLock(other.get());
}

// A file outlives its disk while the kernel may write to it, as to one that
// hangs: nobody else may use the directory so long.
TEST_P(PosixDiskTest, AFileThatIsLeftKeepsTheLock) {
  auto file = OpenFile("left", OpenMode::kCreateNew);
  ASSERT_TRUE(file.ok()) << file.status();
  ASSERT_TRUE(Do([&](auto done) { disk_->Lock(std::move(done)); }).ok());
  disk_ = nullptr;
  std::unique_ptr<PosixDisk> other = OpenDisk(directory_);
  for (int i = 0; i < 100; ++i) {
    EXPECT_TRUE(absl::IsFailedPrecondition(
        Do([&](auto done) { other->Lock(std::move(done)); })));
  }
  *file = nullptr;
  ExpectLock(other.get());
}

TEST_P(PosixDiskTest, TellsTheFreeSpace) {
  auto space =
      Get<uint64_t>([&](auto done) { disk_->FreeSpace(std::move(done)); });
  ASSERT_TRUE(space.ok()) << space.status();
  EXPECT_GT(*space, 0u);
}

TEST_P(PosixDiskTest, MakesTheDirectoryWithItsParents) {
  std::string path = directory_ + "/x/y/z";
  EXPECT_NE(OpenDisk(path), nullptr);
  EXPECT_TRUE(std::filesystem::is_directory(path));
}

TEST_P(PosixDiskTest, AFileIsNoDataDirectory) {
  std::ofstream(directory_ + "/file") << "x";
  auto disk = PosixDisk::Open(&loop_, directory_ + "/file", GetParam());
  ASSERT_FALSE(disk.ok());
  EXPECT_THAT(std::string(disk.status().message()), HasSubstr("/file"));
}

TEST_P(PosixDiskTest, DestroyingAFileDropsItsCompletions) {
  std::unique_ptr<File> file = Create("a");
  for (uint64_t i = 0; i < 50; ++i) {
    file->Write(i * 4, {Buffer::Copy("abcd")},
                [](absl::Status) { FAIL() << "the file is gone"; });
    file->Read(0, 4,
               [](absl::StatusOr<Buffer>) { FAIL() << "the file is gone"; });
  }
  file->Sync([](absl::Status) { FAIL() << "the file is gone"; });
  const size_t open = CountOpenFiles();
  file = nullptr;
  // It is closed when all of these have ended.
  EXPECT_TRUE(Eventually([&] { return CountOpenFiles() < open; }));
}

TEST_P(PosixDiskTest, WritesUnderWayKeepTheirBytesWhenTheirOwnerGoes) {
  // So that malloc hands out the same memory again.
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  constexpr size_t kBytes = 64 << 10;
  constexpr uint64_t kWrites = 60;
  for (int round = 0; round < 10; ++round) {
    const std::string name = absl::StrCat(round);
    std::unique_ptr<File> file = Create(name);
    bool gone = false;
    auto ended = [&gone](absl::Status) { EXPECT_FALSE(gone); };
    Buffers data;
    for (uint64_t i = 0; i < kWrites; ++i) {
      data.push_back(Buffer::Copy(std::string(kBytes, 'x')));
    }
    // The memory that is handed out first is written last.
    for (uint64_t i = 0; i < kWrites; ++i) {
      file->Write(i * kBytes, {std::move(data.back())}, ended);
      data.pop_back();
    }
    file->Sync(ended);
    loop_.Post([this] { loop_.Stop(); });
    RunLoop();
    file = nullptr;
    gone = true;
    if (round % 2 == 0) disk_ = nullptr;
    // Takes the memory if it was let go of.
    Buffers others;
    for (uint64_t i = 0; i < 2 * kWrites; ++i) {
      others.push_back(Buffer::Copy(std::string(kBytes, 'y')));
    }
    // A thread doesn't start what waits behind the job it has when its disk
    // goes; a chain that the kernel has runs to its end.
    if (disk_ != nullptr || GetParam() == DiskBackend::kIoUring) {
      EXPECT_TRUE(Eventually([&] {
        return std::filesystem::file_size(directory_ + "/" + name) ==
               kWrites * kBytes;
      }));
    }
    if (disk_ == nullptr) disk_ = OpenDisk(directory_);
    auto again = OpenFile(name, OpenMode::kExisting);
    ASSERT_TRUE(again.ok()) << again.status();
    std::string found = Read(again->get(), 0, kWrites * kBytes);
    EXPECT_EQ(found.find('y'), std::string::npos);
  }
}

TEST_P(PosixDiskTest, DestroyingTheDiskDropsItsCompletions) {
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

TEST_P(PosixDiskTest, AFilesLastUseMayBeWhatWaitsAsTheDiskGoes) {
  auto file = OpenFile("a", OpenMode::kCreateNew);
  ASSERT_TRUE(file.ok()) << file.status();
  // It is written for a while; the other one waits behind it.
  disk_->Allocate("z", 64 << 20, [](absl::StatusOr<std::unique_ptr<File>>) {});
  disk_->SyncDir([file = *std::move(file)](absl::Status) {});
  disk_ = nullptr;
}

TEST_P(PosixDiskTest, NothingStaysOpenBehindADisk) {
  std::unique_ptr<File> file = Create("a");
  file = nullptr;
  disk_ = nullptr;
  size_t before = 0;
  EXPECT_TRUE(Eventually(
      [&] { return before == std::exchange(before, CountOpenFiles()); }));
  for (int round = 0; round < 20; ++round) {
    disk_ = OpenDisk(directory_);
    file = *OpenFile("a", OpenMode::kExisting);
    file->Write(0, {Buffer::Zeroes(100000)}, [](absl::Status) {});
    file->Sync([](absl::Status) {});
    file->Read(0, 100000, [](absl::StatusOr<Buffer>) {});
    for (int i = 0; i < 10; ++i) {
      disk_->Open("a", OpenMode::kExisting,
                  [](absl::StatusOr<std::unique_ptr<File>>) {});
    }
    // Some of it is under way then.
    loop_.Post([this] { loop_.Stop(); });
    RunLoop();
    // In either order.
    if (round % 2 == 0) file = nullptr;
    disk_ = nullptr;
    file = nullptr;
  }
  EXPECT_TRUE(Eventually([&] { return CountOpenFiles() <= before; }))
      << CountOpenFiles() << " files are open, " << before << " before";
}

INSTANTIATE_TEST_SUITE_P(Backends, PosixDiskTest,
                         testing::Values(DiskBackend::kThreads,
                                         DiskBackend::kIoUring),
                         [](const auto& tested) {
                           return tested.param == DiskBackend::kThreads
                                      ? "Threads"
                                      : "IoUring";
                         });

}  // namespace
}  // namespace holdfast
