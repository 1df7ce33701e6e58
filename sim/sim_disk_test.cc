#include "sim/sim_disk.h"

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sim/sim_process.h"
#include "sim/world.h"

namespace holdfast {
namespace {

using ::testing::AnyOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

Buffers Bytes(const std::string& bytes) { return {Buffer::Copy(bytes)}; }

// A machine whose process can be crashed and started again.
class Machine {
 public:
  explicit Machine(uint64_t seed, SimDiskOptions options = {})
      : world_(seed), image_(&world_, 1, options) {
    Start();
  }
  ~Machine() { Stop(); }

  void Start() {
    process_ = std::make_unique<SimProcess>(&world_, 1, ++boot_, ClockModel{});
    disk_ = std::make_unique<SimDisk>(process_.get(), &image_);
  }
  void Stop() {
    process_->Kill();
    image_.ProcessDied(*process_);
    disk_ = nullptr;
    process_ = nullptr;
  }
  void CrashAndStart(bool power_lost) {
    Stop();
    if (power_lost) image_.PowerLost(boot_);
    Start();
  }
  void RunAll() {
    while (world_.scheduler.Step()) {
    }
  }

  std::unique_ptr<File> Open(const std::string& name, OpenMode mode) {
    std::unique_ptr<File> file;
    disk_->Open(name, mode, [&](absl::StatusOr<std::unique_ptr<File>> f) {
      if (f.ok()) file = *std::move(f);
    });
    RunAll();
    return file;
  }
  // Its name durable, too.
  std::unique_ptr<File> Create(const std::string& name) {
    std::unique_ptr<File> file = Open(name, OpenMode::kCreateNew);
    disk_->SyncDir([](absl::Status) {});
    RunAll();
    return file;
  }
  void Write(File* file, uint64_t at, const std::string& bytes) {
    file->Write(at, Bytes(bytes), [](absl::Status s) { EXPECT_TRUE(s.ok()); });
    RunAll();
  }
  void Sync(File* file) {
    file->Sync([](absl::Status s) { EXPECT_TRUE(s.ok()); });
    RunAll();
  }
  std::string ReadAll(const std::string& name) {
    std::unique_ptr<File> file = Open(name, OpenMode::kExisting);
    if (file == nullptr) return "(none)";
    std::string bytes;
    file->Read(0, 1 << 20, [&](absl::StatusOr<Buffer> b) {
      bytes = std::string(b->data(), b->size());
    });
    RunAll();
    return bytes;
  }
  std::vector<std::string> Names() {
    std::vector<std::string> names;
    disk_->List([&](absl::StatusOr<std::vector<FileInfo>> files) {
      for (const FileInfo& f : *files) names.push_back(f.name);
    });
    RunAll();
    return names;
  }

  World world_;
  DiskImage image_;
  uint32_t boot_ = 0;
  std::unique_ptr<SimProcess> process_;
  std::unique_ptr<SimDisk> disk_;
};

TEST(SimDiskTest, ReadsWhatWasWritten) {
  Machine m(1);
  std::unique_ptr<File> file = m.Create("a");
  m.Write(file.get(), 0, "hello");
  m.Write(file.get(), 8000, "world");
  EXPECT_EQ(file->size(), 8005u);
  EXPECT_EQ(m.ReadAll("a"), "hello" + std::string(7995, '\0') + "world");
  file->Truncate(3, [](absl::Status s) { EXPECT_TRUE(s.ok()); });
  m.RunAll();
  EXPECT_EQ(file->size(), 3u);
  m.Write(file.get(), 5, "!");
  EXPECT_EQ(m.ReadAll("a"), std::string("hel\0\0!", 6));
}

// In both images, and what stands between the two.
TEST(SimDiskTest, TakesMemoryForWhatWasWritten) {
  constexpr uint64_t kPage = 4096;
  Machine m(1);
  const auto taken = [&m] { return m.image_.names().memory_bytes(); };
  std::unique_ptr<File> file = m.Create("a");
  m.disk_->Allocate("b", 1 << 20, [](absl::StatusOr<std::unique_ptr<File>> f) {
    EXPECT_TRUE(f.ok());
  });
  m.RunAll();
  EXPECT_EQ(taken(), 0u);
  m.Write(file.get(), 0, "hello");
  EXPECT_EQ(taken(), kPage + 5);
  m.Sync(file.get());
  EXPECT_EQ(taken(), 2 * kPage);
  EXPECT_EQ(m.image_.CopyDurable()->names().memory_bytes(), 2 * kPage);
  m.Write(file.get(), 2 * kPage, "world");
  EXPECT_EQ(taken(), 3 * kPage + 5);
  file->Truncate(0, [](absl::Status s) { EXPECT_TRUE(s.ok()); });
  m.RunAll();
  EXPECT_EQ(taken(), kPage + 5);
  m.Sync(file.get());
  EXPECT_EQ(taken(), 0u);
}

TEST(SimDiskTest, CompletionsNeverRunInsideTheCall) {
  Machine m(1);
  bool done = false;
  m.disk_->List([&](absl::StatusOr<std::vector<FileInfo>>) { done = true; });
  EXPECT_FALSE(done);
  m.RunAll();
  EXPECT_TRUE(done);
}

TEST(SimDiskTest, SaysWhatIsWrong) {
  Machine m(1);
  std::unique_ptr<File> file = m.Create("a");
  const auto open = [&](const std::string& name, OpenMode mode) {
    absl::Status status;
    m.disk_->Open(name, mode, [&](absl::StatusOr<std::unique_ptr<File>> f) {
      status = f.status();
    });
    m.RunAll();
    return status;
  };
  EXPECT_TRUE(absl::IsNotFound(open("b", OpenMode::kExisting)));
  EXPECT_TRUE(absl::IsAlreadyExists(open("a", OpenMode::kCreateNew)));
  EXPECT_THAT(std::string(open("b", OpenMode::kExisting).message()),
              HasSubstr("b"));
  absl::Status status;
  m.disk_->Remove("b", [&](absl::Status s) { status = s; });
  m.RunAll();
  EXPECT_TRUE(absl::IsNotFound(status));
  m.disk_->Rename("b", "c", [&](absl::Status s) { status = s; });
  m.RunAll();
  EXPECT_TRUE(absl::IsNotFound(status));
}

TEST(SimDiskTest, AFailedWriteHappensInPartAndFailsTheSync) {
  std::set<size_t> wrote;
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    Machine m(seed, {.write_error_ppm = 1'000'000});
    std::unique_ptr<File> file = m.Create("a");
    absl::Status write;
    absl::Status sync;
    file->Write(0, Bytes("1234"), [&](absl::Status s) { write = s; });
    file->Sync([&](absl::Status s) { sync = s; });
    m.RunAll();
    EXPECT_TRUE(absl::IsInternal(write)) << write;
    EXPECT_EQ(sync, write);
    const std::string bytes = m.ReadAll("a");
    EXPECT_EQ(bytes, std::string("1234").substr(0, bytes.size()));
    wrote.insert(bytes.size());
  }
  EXPECT_THAT(wrote, ElementsAre(0, 1, 2, 3));
}

TEST(SimDiskTest, AFailedReadGivesNothing) {
  Machine m(1, {.read_error_ppm = 1'000'000});
  std::unique_ptr<File> file = m.Create("a");
  m.Write(file.get(), 0, "x");
  absl::Status read;
  file->Read(0, 1, [&](absl::StatusOr<Buffer> b) { read = b.status(); });
  m.RunAll();
  EXPECT_TRUE(absl::IsDataLoss(read));
  EXPECT_THAT(std::string(read.message()), HasSubstr("a: the device"));
}

// The kernel takes for written what never reached the device, and says so to
// whoever tries it again.
TEST(SimDiskTest, ALaterSyncReportsSuccessAndDoesNotMakeUpForAFailedOne) {
  std::set<std::string> in_cache;
  std::set<std::string> on_device;
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    Machine m(seed);
    std::unique_ptr<File> file = m.Create("a");
    m.Write(file.get(), 0, std::string(512, '.'));
    m.Sync(file.get());
    m.Write(file.get(), 0, std::string(512, 'x'));
    m.image_.set_options({.sync_error_ppm = 1'000'000});
    absl::Status sync;
    file->Sync([&](absl::Status s) { sync = s; });
    m.RunAll();
    EXPECT_TRUE(absl::IsInternal(sync)) << sync;
    m.image_.set_options({});
    m.Write(file.get(), 512, "later");
    m.Sync(file.get());  // is told that all is durable
    m.CrashAndStart(false);
    file = m.Open("a", OpenMode::kExisting);
    in_cache.insert(m.ReadAll("a").substr(0, 1));
    m.Sync(file.get());
    m.CrashAndStart(true);
    const std::string bytes = m.ReadAll("a");
    on_device.insert(bytes.substr(0, 1));
    EXPECT_EQ(bytes.substr(512), "later");
  }
  EXPECT_THAT(in_cache, ElementsAre(".", "x"));
  EXPECT_THAT(on_device, ElementsAre(".", "x"));
}

// Of this process none succeeds; a later one finds what is durable.
TEST(SimDiskTest, NoLaterSyncOfTheDirectoryMakesUpForAFailedOne) {
  std::set<std::vector<std::string>> found;
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    Machine m(seed);
    m.Open("a", OpenMode::kCreateNew);
    absl::Status sync;
    const auto sync_directory = [&] {
      m.disk_->SyncDir([&](absl::Status s) { sync = s; });
      m.RunAll();
    };
    m.image_.set_options({.sync_error_ppm = 1'000'000});
    sync_directory();
    EXPECT_TRUE(absl::IsInternal(sync)) << sync;
    m.image_.set_options({});
    m.Open("b", OpenMode::kCreateNew);
    EXPECT_THAT(m.Names(), ElementsAre("a", "b"));
    sync_directory();
    EXPECT_TRUE(absl::IsInternal(sync)) << "of this Disk";
    m.CrashAndStart(false);
    const std::vector<std::string> names = m.Names();
    found.insert(names);
    sync_directory();
    EXPECT_TRUE(sync.ok()) << sync;
    m.CrashAndStart(true);
    EXPECT_EQ(m.Names(), names);
  }
  using Names = std::vector<std::string>;
  EXPECT_THAT(found, ElementsAre(Names{"a", "b"}, Names{"b"}));
}

TEST(SimDiskTest, ANameThatIsMadeAnewAfterAFailedSyncIsDurable) {
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    Machine m(seed);
    m.Open("a", OpenMode::kCreateNew);
    m.image_.set_options({.sync_error_ppm = 1'000'000});
    m.disk_->SyncDir([](absl::Status) {});
    m.RunAll();
    m.image_.set_options({});
    m.CrashAndStart(false);
    m.disk_->Remove("a", [](absl::Status) {});  // if it is found
    m.RunAll();
    m.Create("a");
    m.CrashAndStart(true);
    EXPECT_THAT(m.Names(), ElementsAre("a"));
  }
}

TEST(SimDiskTest, AFullDiskSaysSoAndFailsTheSync) {
  Machine m(1);
  EXPECT_FALSE(m.image_.short_of_room());
  m.image_.set_capacity(100);
  EXPECT_TRUE(m.image_.short_of_room());
  std::unique_ptr<File> file = m.Create("a");
  m.Write(file.get(), 0, std::string(100, 'x'));
  absl::Status wrote;
  absl::Status synced;
  file->Write(100, Bytes("y"), [&](absl::Status s) { wrote = s; });
  file->Sync([&](absl::Status s) { synced = s; });
  m.RunAll();
  EXPECT_TRUE(absl::IsResourceExhausted(wrote));
  EXPECT_FALSE(synced.ok());
  uint64_t left = 1;
  m.disk_->FreeSpace([&](absl::StatusOr<uint64_t> n) { left = *n; });
  m.RunAll();
  EXPECT_EQ(left, 0u);
}

TEST(SimDiskTest, AProcessCrashKeepsWhatWasWritten) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    Machine m(seed);
    std::unique_ptr<File> file = m.Open("a", OpenMode::kCreateNew);
    m.Write(file.get(), 0, "kept");
    file = nullptr;
    m.CrashAndStart(false);
    EXPECT_EQ(m.ReadAll("a"), "kept");
    // ... still unsynced.
    EXPECT_EQ(m.image_.names().Find("a")->unsynced(), 1u);
  }
}

TEST(SimDiskTest, APowerLossKeepsWhatWasSynced) {
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    Machine m(seed);
    std::unique_ptr<File> file = m.Create("a");
    m.Write(file.get(), 0, "first");
    m.Sync(file.get());
    m.Write(file.get(), 5, "+rest");
    file = nullptr;
    m.CrashAndStart(true);
    EXPECT_THAT(m.ReadAll("a"), AnyOf("first", "first+rest",
                                      std::string("first\0\0\0\0\0", 10)));
  }
}

TEST(SimDiskTest, APowerLossKeepsAnySubsetOfWritesAndTearsThem) {
  std::set<std::string> outcomes;
  int torn = 0;
  for (uint64_t seed = 1; seed <= 400; ++seed) {
    Machine m(seed);
    std::unique_ptr<File> file = m.Create("a");
    m.Write(file.get(), 0, std::string(2048, '.'));
    m.Sync(file.get());
    m.Write(file.get(), 0, std::string(512, 'a'));
    m.Write(file.get(), 512, std::string(1024, 'b'));
    file = nullptr;
    m.CrashAndStart(true);
    const std::string bytes = m.ReadAll("a");
    ASSERT_EQ(bytes.size(), 2048u);
    std::string sectors;
    for (int i = 0; i < 4; ++i) {
      // A sector is old or new, never mixed.
      ASSERT_EQ(bytes.substr(i * 512, 512), std::string(512, bytes[i * 512]));
      sectors += bytes[i * 512];
    }
    outcomes.insert(sectors);
    torn += static_cast<int>(m.image_.counts().torn_writes);
  }
  // Each sector independently of the others.
  EXPECT_THAT(outcomes, ElementsAre("....", "..b.", ".b..", ".bb.", "a...",
                                    "a.b.", "ab..", "abb."));
  EXPECT_GT(torn, 50);
}

TEST(SimDiskTest, SomeWritesAreTornBetweenPages) {
  constexpr uint64_t kPage = FileImage::kPage;
  std::set<std::string> outcomes;  // of those that were
  int within_pages = 0;
  for (uint64_t seed = 1; seed <= 400; ++seed) {
    Machine m(seed, {.tear_ppm = 1'000'000});
    std::unique_ptr<File> file = m.Create("a");
    m.Write(file.get(), 0, std::string(4 * kPage, '.'));
    m.Sync(file.get());
    m.Write(file.get(), 0, std::string(4 * kPage, 'x'));
    file = nullptr;
    m.CrashAndStart(true);
    const std::string bytes = m.ReadAll("a");
    ASSERT_EQ(bytes.size(), 4 * kPage);
    std::string pages;
    for (uint64_t i = 0; i < 4; ++i) {
      const std::string page = bytes.substr(i * kPage, kPage);
      pages += page == std::string(kPage, page[0]) ? page[0] : '?';
    }
    const bool whole = pages.find('?') == std::string::npos;
    if (!whole) ++within_pages;
    if (m.image_.counts().torn_pages == 0) continue;
    EXPECT_TRUE(whole) << pages;
    outcomes.insert(pages);
  }
  // Any subset of the pages but none and all.
  EXPECT_EQ(outcomes.size(), 14u);
  EXPECT_FALSE(outcomes.contains("....") || outcomes.contains("xxxx"));
  EXPECT_GT(within_pages, 100);
}

TEST(SimDiskTest, ALengthMayBeDurableBeforeItsBytes) {
  std::set<std::string> outcomes;
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    Machine m(seed, {.tear_ppm = 1'000'000});
    std::unique_ptr<File> file = m.Create("a");
    m.Write(file.get(), 0, std::string(1024, 'x'));
    file = nullptr;
    m.CrashAndStart(true);
    const std::string bytes = m.ReadAll("a");
    std::string sectors;
    for (size_t i = 0; i < bytes.size(); i += 512) {
      sectors += bytes[i] == '\0' ? '0' : bytes[i];
    }
    EXPECT_EQ(m.image_.counts().length_first, sectors.ends_with('0') ? 1u : 0u);
    outcomes.insert(sectors);
  }
  EXPECT_THAT(outcomes, ElementsAre("", "00", "0x", "x", "x0", "xx"));
}

TEST(SimDiskTest, NamesAreDurableAfterSyncDir) {
  std::set<std::vector<std::string>> outcomes;
  for (uint64_t seed = 1; seed <= 100; ++seed) {
    Machine m(seed);
    std::unique_ptr<File> file = m.Create("durable");
    m.Open("new", OpenMode::kCreateNew);
    m.disk_->Rename("durable", "renamed", [](absl::Status) {});
    m.RunAll();
    EXPECT_THAT(m.Names(), ElementsAre("new", "renamed"));
    file = nullptr;
    m.CrashAndStart(true);
    outcomes.insert(m.Names());
  }
  using Names = std::vector<std::string>;
  EXPECT_THAT(outcomes, ElementsAre(Names{"durable"}, Names{"durable", "new"},
                                    Names{"new", "renamed"}, Names{"renamed"}));
}

TEST(SimDiskTest, ASyncCoversTheWritesSubmittedBeforeIt) {
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    Machine m(seed);
    std::unique_ptr<File> file = m.Create("a");
    bool synced = false;
    file->Write(0, Bytes("0"), [](absl::Status) {});
    file->Write(1, Bytes("1"), [](absl::Status) {});
    file->Sync([&](absl::Status) { synced = true; });
    file->Write(2, Bytes("2"), [](absl::Status) {});
    while (!synced) ASSERT_TRUE(m.world_.scheduler.Step());
    EXPECT_EQ(m.image_.names().Find("a")->durable().size(), 2u);
    file = nullptr;
    m.CrashAndStart(true);
    EXPECT_THAT(m.ReadAll("a"), AnyOf("01", "012", std::string("01\0", 3)));
  }
}

TEST(SimDiskTest, WritesCompleteInAnyOrder) {
  std::set<std::string> orders;
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    Machine m(seed);
    std::unique_ptr<File> file = m.Create("a");
    std::string order;
    file->Write(0, Bytes("x"), [&](absl::Status) { order += "0"; });
    file->Write(1, Bytes("y"), [&](absl::Status) { order += "1"; });
    m.RunAll();
    orders.insert(order);
  }
  EXPECT_THAT(orders, ElementsAre("01", "10"));
}

TEST(SimDiskTest, WhatWasUnderWayAtACrashHappensOrNotOrInPart) {
  std::set<std::string> outcomes;
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    Machine m(seed);
    std::unique_ptr<File> file = m.Create("a");
    file->Write(0, Bytes("abc"),
                [](absl::Status) { ADD_FAILURE() << "the process is dead"; });
    file = nullptr;
    m.CrashAndStart(false);
    outcomes.insert(m.ReadAll("a"));
  }
  EXPECT_THAT(outcomes, ElementsAre("", "a", "ab", "abc"));
}

TEST(SimDiskTest, DestroyingAFileDropsTheCompletionNotTheWrite) {
  Machine m(1);
  std::unique_ptr<File> file = m.Create("a");
  auto captured = std::make_shared<int>(1);
  file->Write(0, Bytes("abc"), [captured](absl::Status) { ADD_FAILURE(); });
  file->Sync([](absl::Status) { ADD_FAILURE(); });
  file = nullptr;
  EXPECT_EQ(captured.use_count(), 1);
  m.RunAll();
  EXPECT_EQ(m.ReadAll("a"), "abc");
  EXPECT_EQ(m.image_.names().Find("a")->unsynced(), 0u);
}

TEST(SimDiskTest, AFileMayBeDestroyedInItsOwnCompletion) {
  Machine m(1);
  std::unique_ptr<File> file = m.Create("a");
  file->Write(0, Bytes("abc"), [&](absl::Status) { file = nullptr; });
  m.RunAll();
  EXPECT_EQ(file, nullptr);
}

TEST(SimDiskTest, DestroyingTheDiskDropsItsCompletionsAndTheLock) {
  Machine m(1);
  m.disk_->Lock([](absl::Status s) { EXPECT_TRUE(s.ok()); });
  m.RunAll();
  SimDisk other(m.process_.get(), &m.image_);
  absl::Status status;
  other.Lock([&](absl::Status s) { status = s; });
  m.RunAll();
  EXPECT_TRUE(absl::IsFailedPrecondition(status));
  m.disk_->List([](absl::StatusOr<std::vector<FileInfo>>) { ADD_FAILURE(); });
  m.disk_ = std::make_unique<SimDisk>(m.process_.get(), &m.image_);
  other.Lock([&](absl::Status s) { status = s; });
  m.RunAll();
  EXPECT_TRUE(status.ok());
}

TEST(SimDiskTest, ACrashReleasesTheLock) {
  Machine m(1);
  m.disk_->Lock([](absl::Status s) { EXPECT_TRUE(s.ok()); });
  m.RunAll();
  m.CrashAndStart(false);
  m.disk_->Lock([](absl::Status s) { EXPECT_TRUE(s.ok()); });
  m.RunAll();
}

TEST(SimDiskTest, AllocatedFilesAreDurableZeroes) {
  Machine m(3);
  std::unique_ptr<File> file;
  m.disk_->Allocate("seg", 10000, [&](absl::StatusOr<std::unique_ptr<File>> f) {
    file = *std::move(f);
  });
  m.disk_->List([](absl::StatusOr<std::vector<FileInfo>>) {});
  m.RunAll();
  m.disk_->SyncDir([](absl::Status) {});
  m.RunAll();
  EXPECT_EQ(file->size(), 10000u);
  file = nullptr;
  m.CrashAndStart(true);
  EXPECT_EQ(m.ReadAll("seg"), std::string(10000, '\0'));
}

// How long the file is; -1: it isn't there.
int64_t LengthOf(const Machine& m, const std::string& name) {
  const std::shared_ptr<FileImage> file = m.image_.names().Find(name);
  return file == nullptr ? -1 : static_cast<int64_t>(file->now().size());
}

TEST(SimDiskTest, AnAllocationEndsAnywhereWithItsProcess) {
  for (const bool power_lost : {false, true}) {
    std::set<int64_t> lengths;
    for (uint64_t seed = 1; seed <= 400; ++seed) {
      Machine m(seed);
      m.disk_->Allocate("seg", 3, [](absl::StatusOr<std::unique_ptr<File>>) {
        ADD_FAILURE() << "the process is dead";
      });
      m.CrashAndStart(power_lost);
      lengths.insert(LengthOf(m, "seg"));
    }
    EXPECT_THAT(lengths, ElementsAre(-1, 0, 1, 2, 3));
  }
}

TEST(SimDiskTest, WhatACutAllocationLeavesIsNotDurable) {
  std::set<int64_t> unsynced;
  std::set<int64_t> named;
  for (uint64_t seed = 1; seed <= 400; ++seed) {
    Machine m(seed);
    m.disk_->Allocate("seg", 3, [](absl::StatusOr<std::unique_ptr<File>>) {});
    m.CrashAndStart(false);
    const int64_t length = LengthOf(m, "seg");
    const bool cut = m.image_.counts().cut_in_flight > 0;
    if (length < 0) continue;
    const bool syncs_directory = seed % 2 == 0;
    if (syncs_directory) {
      m.disk_->SyncDir([](absl::Status) {});
      m.RunAll();
    }
    m.CrashAndStart(true);
    const int64_t left = LengthOf(m, "seg");
    // Its name is another matter than its length.
    if (syncs_directory) {
      EXPECT_GE(left, 0);
    }
    if (!cut) {
      EXPECT_THAT(left, AnyOf(-1, 3)) << "it was synced, its name perhaps not";
      continue;
    }
    EXPECT_THAT(left, AnyOf(-1, 0, length));
    (syncs_directory ? named : unsynced).insert(left);
  }
  EXPECT_THAT(unsynced, ElementsAre(-1, 0, 1, 2, 3));
  EXPECT_THAT(named, ElementsAre(0, 1, 2, 3));
}

TEST(SimDiskTest, ACutAllocationTakesNoMoreThanThereIsRoomFor) {
  std::set<int64_t> lengths;
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    Machine m(seed, {.drop_in_flight_ppm = 0, .cut_in_flight_ppm = 1'000'000});
    m.image_.set_capacity(2);
    m.disk_->Allocate("seg", 9, [](absl::StatusOr<std::unique_ptr<File>>) {});
    m.CrashAndStart(false);
    lengths.insert(LengthOf(m, "seg"));
  }
  EXPECT_THAT(lengths, ElementsAre(0, 1, 2));
}

TEST(SimDiskDeathTest, OverlappingWritesInFlightAreABug) {
  Machine m(1);
  std::unique_ptr<File> file = m.Create("a");
  file->Write(0, Bytes("abc"), [](absl::Status) {});
  EXPECT_DEATH(file->Write(2, Bytes("x"), [](absl::Status) {}), "CHECK");
  EXPECT_DEATH(file->Truncate(1, [](absl::Status) {}), "CHECK");
  file->Write(3, Bytes("x"), [](absl::Status) {});
}

}  // namespace
}  // namespace holdfast
