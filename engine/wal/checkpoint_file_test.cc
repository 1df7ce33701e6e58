#include "engine/wal/checkpoint_file.h"

#include <algorithm>
#include <functional>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/base/bytes.h"
#include "engine/base/crc32c.h"
#include "engine/base/random.h"
#include "engine/wal/log_map.h"
#include "engine/wal/testing/images.h"
#include "engine/wal/testing/memory_disk.h"
#include "engine/wal/testing/memory_loop.h"
#include "engine/wal/testing/wal_run.h"
#include "gtest/gtest.h"

namespace holdfast {
namespace {

constexpr Incarnation kOwner(42);

Checkpoint Example(uint64_t index) {
  Checkpoint c;
  c.point.index = Index(index);
  c.point.term = Term(7);
  c.point.next_offset = Offset(index * 3);
  c.point.log_time = WallTime(Duration(1234567890));
  c.point.chain = Mix64(index);
  c.configuration_index = Index(1);
  c.configuration = Buffer::Copy("members");
  c.first_offset = Offset(2);
  c.state = Buffer::Copy(std::string(1500, static_cast<char>(index)));
  c.machine_index = Index(index + 1);
  c.machine = Buffer::Copy("machine");
  c.map = Buffer::Copy("map");
  c.cluster = ClusterId(99);
  c.owner = kOwner;
  return c;
}

void ExpectSame(const Checkpoint& a, const Checkpoint& b) {
  EXPECT_EQ(EncodeCheckpoint(a).view(), EncodeCheckpoint(b).view());
}

// The checksum made right again.
std::string Stamped(std::string bytes) {
  StoreInt<uint32_t>(&bytes[12],
                     Crc32c(bytes.substr(0, 12) + bytes.substr(16)));
  return bytes;
}

class CheckpointFileTest : public testing::Test {
 protected:
  absl::StatusOr<CheckpointFile::Found> Open() {
    file_ = std::make_unique<CheckpointFile>(disk_.get(), kOwner, kind_);
    std::optional<absl::StatusOr<CheckpointFile::Found>> result;
    file_->Open([&](absl::StatusOr<CheckpointFile::Found> found) {
      result = std::move(found);
    });
    loop_.RunUntilIdle();
    if (!result.has_value()) return absl::UnavailableError("stopped");
    return *std::move(result);
  }
  bool Write(uint64_t index) {
    bool done = false;
    file_->Write(Example(index),
                 [&](absl::Status status) { done = status.ok(); });
    loop_.RunUntilIdle();
    return done;
  }
  void Crash(const MemoryDisk::Survives& survives) {
    file_ = nullptr;
    disk_ = disk_->AfterCrash(&loop_, survives);
  }
  // It is written behind the newest one of what the disk has durably; the power
  // fails before each completion of that, and at its end. Visits each image
  // that is left, which is the disk then; `least`: the newest one of which
  // anybody was told. `dies_first`: the process dies alone at that moment, and
  // the next one has opened what it left when the power fails.
  void ForEachImageOfWriting(uint64_t index, bool dies_first, Images* images,
                             const std::function<void(uint64_t least)>& visit) {
    file_ = nullptr;
    const std::unique_ptr<MemoryDisk> before = std::move(disk_);
    bool over = false;
    for (uint64_t stop = 0; !over; ++stop) {
      SCOPED_TRACE(absl::StrCat("stopped after ", stop));
      file_ = nullptr;
      disk_ = before->AfterCrash(&loop_, Everything);
      uint64_t least = Newest();
      const uint64_t end = disk_->completions() + stop;
      disk_->StopAfter(end);
      if (Write(index)) least = index;
      over = disk_->completions() < end;
      file_ = nullptr;
      if (dies_first) {
        disk_ = disk_->AfterProcessDeath(&loop_);
        const uint64_t found = Newest();
        ASSERT_TRUE(found == least || found == index) << found;
        least = found;
        file_ = nullptr;
      }
      const std::unique_ptr<MemoryDisk> stopped = std::move(disk_);
      images->ForEach(*stopped, [&](const MemoryDisk::Survives& survives) {
        SCOPED_TRACE(absl::StrCat("image ", images->count()));
        file_ = nullptr;
        disk_ = stopped->AfterCrash(&loop_, survives);
        visit(least);
      });
      if (HasFatalFailure()) return;
    }
  }
  // The index of the newest intact one, 0: none.
  uint64_t Newest() {
    auto found = Open();
    EXPECT_TRUE(found.ok()) << found.status();
    if (!found.ok() || !found->newest.has_value()) return 0;
    uint64_t index = found->newest->point.index.value();
    ExpectSame(*found->newest, Example(index));
    return index;
  }

  MemoryLoop loop_;
  std::unique_ptr<MemoryDisk> disk_ = std::make_unique<MemoryDisk>(&loop_);
  std::unique_ptr<CheckpointFile> file_;
  CheckpointKind kind_ = CheckpointKind::kBase;
};

TEST(CheckpointTest, BytesAreAsDocumented) {
  Checkpoint c = Example(5);
  std::string bytes(EncodeCheckpoint(c).view());
  ASSERT_EQ(bytes.size(), CheckpointBytes(c));
  EXPECT_EQ(bytes.substr(0, 8), "HfChkpt1");
  EXPECT_EQ(LoadInt<uint32_t>(&bytes[8]), 3u);
  EXPECT_EQ(LoadInt<uint32_t>(&bytes[12]),
            Crc32c(bytes.substr(0, 12) + bytes.substr(16)));
  EXPECT_EQ(LoadInt<uint64_t>(&bytes[16]), kOwner.value());
  EXPECT_EQ(LoadInt<uint64_t>(&bytes[24]), 99u);
  EXPECT_EQ(LoadInt<uint64_t>(&bytes[32]), 5u);
  EXPECT_EQ(LoadInt<uint64_t>(&bytes[40]), 7u);
  EXPECT_EQ(LoadInt<uint64_t>(&bytes[48]), 15u);
  EXPECT_EQ(LoadInt<int64_t>(&bytes[56]), 1234567890);
  EXPECT_EQ(LoadInt<uint64_t>(&bytes[64]), Mix64(5));
  EXPECT_EQ(LoadInt<uint64_t>(&bytes[72]), 1u);
  EXPECT_EQ(LoadInt<uint64_t>(&bytes[80]), 2u);
  EXPECT_EQ(LoadInt<uint32_t>(&bytes[88]), 7u);
  EXPECT_EQ(LoadInt<uint32_t>(&bytes[92]), 1500u);
  EXPECT_EQ(LoadInt<uint64_t>(&bytes[96]), 6u);
  EXPECT_EQ(LoadInt<uint64_t>(&bytes[104]), 7u);
  EXPECT_EQ(LoadInt<uint32_t>(&bytes[112]), 3u);
  EXPECT_EQ(LoadInt<uint32_t>(&bytes[116]), 0u);
  EXPECT_EQ(bytes.substr(120, 7), "members");
  EXPECT_EQ(bytes.substr(120 + 7 + 1500), "machinemap");
}

TEST(LogMapTest, DecodesOnlyWhatIsWhole) {
  const LogMap map{{{Index(1), Term(1)}, {Index(7), Term(4)}},
                   {{3, Index(1)}, {8, Index(5)}, {9, Index(9)}}};
  const Buffer bytes = EncodeLogMap(map);
  absl::StatusOr<LogMap> decoded = DecodeLogMap(bytes.view());
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(*decoded, map);
  for (size_t n = 0; n < bytes.size(); ++n) {
    EXPECT_TRUE(
        absl::IsDataLoss(DecodeLogMap(bytes.view().substr(0, n)).status()));
  }
  EXPECT_TRUE(
      absl::IsDataLoss(DecodeLogMap(absl::StrCat(bytes.view(), "x")).status()));
}

TEST(CheckpointTest, DecodesOnlyWhatIsWhole) {
  Buffer bytes = EncodeCheckpoint(Example(5));
  auto decoded = DecodeCheckpoint(bytes);
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_EQ(decoded->point, Example(5).point);
  ExpectSame(*decoded, Example(5));
  for (size_t n = 0; n < bytes.size(); ++n) {
    EXPECT_TRUE(absl::IsDataLoss(DecodeCheckpoint(bytes.Slice(0, n)).status()));
  }
  std::string more(bytes.view());
  EXPECT_TRUE(absl::IsDataLoss(
      DecodeCheckpoint(Buffer::Copy(Stamped(more + "x"))).status()));
  // Lengths that are wrong, index 0, a configuration or an offset to come, a
  // machine that is behind, or that isn't there.
  const std::pair<size_t, char> kBad[] = {{88, 100},  {92, 100}, {32, 0},
                                          {72, 100},  {80, 100}, {104, 100},
                                          {112, 100}, {96, 4},   {96, 0}};
  for (const auto& [at, byte] : kBad) {
    std::string bad(bytes.view());
    bad[at] = byte;
    EXPECT_TRUE(
        absl::IsDataLoss(DecodeCheckpoint(Buffer::Copy(Stamped(bad))).status()))
        << at;
  }
}

TEST(CheckpointTest, Names) {
  EXPECT_EQ(CheckpointName(CheckpointKind::kBase, Index(0xabc)),
            "0000000000000abc.checkpoint");
  EXPECT_EQ(
      ParseCheckpointName(CheckpointKind::kBase, "0000000000000abc.checkpoint"),
      Index(0xabc));
  for (const char* name :
       {"checkpoint.new", "0000000000000abc.segment",
        "0000000000000aBc.checkpoint", "000000000000abc.checkpoint"}) {
    EXPECT_FALSE(ParseCheckpointName(CheckpointKind::kBase, name).has_value())
        << name;
  }
}

TEST_F(CheckpointFileTest, KeepsTheNewestAndTheOneBefore) {
  EXPECT_EQ(Newest(), 0u);
  for (uint64_t index : {3, 10, 12, 20}) {
    ASSERT_TRUE(Write(index));
    Crash([](size_t, size_t) { return false; });
    EXPECT_EQ(Newest(), index);
  }
  // Their removal is durable with the next one's name.
  ASSERT_TRUE(Write(21));
  EXPECT_EQ(disk_->Names(),
            (std::vector<std::string>{
                CheckpointName(CheckpointKind::kBase, Index(20)),
                CheckpointName(CheckpointKind::kBase, Index(21))}));
}

TEST_F(CheckpointFileTest, AnyByteOfTheNewest) {
  ASSERT_EQ(Newest(), 0u);
  ASSERT_TRUE(Write(3));
  ASSERT_TRUE(Write(4));
  std::string name = CheckpointName(CheckpointKind::kBase, Index(4));
  std::string intact = disk_->Contents(name);
  for (size_t at = 0; at <= intact.size(); ++at) {
    SCOPED_TRACE(at);
    std::string bytes = intact;
    if (at < bytes.size()) {
      bytes[at] = static_cast<char>(bytes[at] ^ (1 << at % 8));
    } else {
      bytes += '\0';
    }
    disk_->SetContents(name, bytes);
    ASSERT_EQ(Newest(), 3u);
    ASSERT_EQ(file_->stats().damaged, 1u);
    EXPECT_EQ(disk_->Contents(name), bytes);
  }
  // The next one ends it, and may have its name.
  ASSERT_TRUE(Write(4));
  EXPECT_EQ(Newest(), 4u);
  EXPECT_EQ(file_->stats().damaged, 0u);
}

TEST_F(CheckpointFileTest, ADamagedOneAboveIsRemovedByTheNextWrite) {
  ASSERT_EQ(Newest(), 0u);
  ASSERT_TRUE(Write(3));
  disk_->SetContents(CheckpointName(CheckpointKind::kBase, Index(9)), "rot");
  // Another one's bytes under its name.
  disk_->SetContents(
      CheckpointName(CheckpointKind::kBase, Index(8)),
      disk_->Contents(CheckpointName(CheckpointKind::kBase, Index(3))));
  auto found = Open();
  ASSERT_TRUE(found.ok());
  EXPECT_EQ(found->damaged.size(), 2u);
  EXPECT_EQ(found->newest->point.index, Index(3));
  ASSERT_TRUE(Write(5));
  EXPECT_EQ(disk_->Names(),
            (std::vector<std::string>{
                CheckpointName(CheckpointKind::kBase, Index(3)),
                CheckpointName(CheckpointKind::kBase, Index(5)),
                CheckpointName(CheckpointKind::kBase, Index(8)),
                CheckpointName(CheckpointKind::kBase, Index(9))}));
  // They say how far the log had come, until a newer one does.
  ASSERT_TRUE(Write(10));
  EXPECT_EQ(disk_->Names(),
            (std::vector<std::string>{
                CheckpointName(CheckpointKind::kBase, Index(5)),
                CheckpointName(CheckpointKind::kBase, Index(10))}));
}

// Each is another one than its name says; none of both is taken or changed.
TEST_F(CheckpointFileTest, TwoUnderEachOthersNames) {
  ASSERT_EQ(Newest(), 0u);
  ASSERT_TRUE(Write(3));
  ASSERT_TRUE(Write(4));
  const std::string before = CheckpointName(kind_, Index(3));
  const std::string newest = CheckpointName(kind_, Index(4));
  const auto exchange = [&] {
    const std::string bytes = disk_->Contents(before);
    disk_->SetContents(before, disk_->Contents(newest));
    disk_->SetContents(newest, bytes);
  };
  exchange();
  auto found = Open();
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_FALSE(found->newest.has_value());
  EXPECT_EQ(found->damaged, (std::vector<std::string>{newest, before}));
  EXPECT_EQ(found->damaged_to, Index(4));
  EXPECT_TRUE(absl::IsDataLoss(found->damage)) << found->damage;
  EXPECT_TRUE(absl::StrContains(found->damage.message(), newest))
      << found->damage;
  exchange();
  EXPECT_EQ(Newest(), 4u);
  // The next one takes the place of both.
  exchange();
  ASSERT_EQ(Newest(), 0u);
  ASSERT_TRUE(Write(5));
  EXPECT_EQ(Newest(), 5u);
  EXPECT_EQ(file_->stats().damaged, 0u);
}

// Nobody reads it, as long as the newest one is whole.
TEST_F(CheckpointFileTest, AnyDamageOfTheOneBefore) {
  const std::string name = CheckpointName(kind_, Index(3));
  const std::function<void()> damages[] = {
      [&] { disk_->Flip(name, 100, 1); },
      [&] { disk_->SetContents(name, disk_->Contents(name).substr(0, 50)); },
      [&] { disk_->SetContents(name, ""); },
      [&] { disk_->Refuse(name, 0, disk_->Contents(name).size()); },
      [&] { disk_->Delete(name); },
  };
  for (const auto& damage : damages) {
    disk_ = std::make_unique<MemoryDisk>(&loop_);
    ASSERT_EQ(Newest(), 0u);
    ASSERT_TRUE(Write(3));
    ASSERT_TRUE(Write(4));
    damage();
    EXPECT_EQ(Newest(), 4u);
    EXPECT_EQ(file_->stats().damaged, 0u);
    ASSERT_TRUE(Write(5));
    EXPECT_EQ(disk_->Names(),
              (std::vector<std::string>{CheckpointName(kind_, Index(4)),
                                        CheckpointName(kind_, Index(5))}));
  }
}

// A read that fails each time; one that fails once is tried again, as below.
TEST_F(CheckpointFileTest, OneThatCannotBeReadIsAsADamagedOne) {
  ASSERT_EQ(Newest(), 0u);
  ASSERT_TRUE(Write(3));
  ASSERT_TRUE(Write(4));
  const std::string name = CheckpointName(kind_, Index(4));
  const size_t size = disk_->Contents(name).size();
  for (size_t from = 0; from < size; from += MemoryDisk::kSectorBytes) {
    disk_->Refuse(name, from, std::min(from + MemoryDisk::kSectorBytes, size));
    EXPECT_EQ(Newest(), 3u) << from;
    EXPECT_EQ(file_->stats().damaged, 1u);
  }
  disk_->Refuse(name, 0, 0);
  EXPECT_EQ(Newest(), 4u);
  EXPECT_EQ(file_->stats().damaged, 0u);
}

// A start may have had no use for the newest one, and know less of the log.
TEST_F(CheckpointFileTest, AnEarlierResumePointTakesThePlaceOfLaterOnes) {
  kind_ = CheckpointKind::kResume;
  ASSERT_EQ(Newest(), 0u);
  for (uint64_t index : {3, 10}) ASSERT_TRUE(Write(index));
  ASSERT_EQ(Newest(), 10u);
  ASSERT_TRUE(Write(10));
  EXPECT_EQ(Newest(), 10u);
  ASSERT_TRUE(Write(5));
  EXPECT_EQ(Newest(), 5u);
  EXPECT_EQ(disk_->Names(),
            std::vector<std::string>{CheckpointName(kind_, Index(5))});
}

// But what the log may yet have to begin behind stays, whatever is wrong with
// it.
TEST_F(CheckpointFileTest, OneThatIsDispensableIsRemoved) {
  const auto name = [this](uint64_t index) {
    return CheckpointName(kind_, Index(index));
  };
  const auto discard = [this](uint64_t index) {
    file_->Discard(Index(index));
    loop_.RunUntilIdle();
  };
  ASSERT_EQ(Newest(), 0u);
  EXPECT_TRUE(file_->Dispensable().empty());
  for (uint64_t index : {3, 4}) ASSERT_TRUE(Write(index));
  disk_->SetContents(name(9), "rot");
  for (const bool restarted : {false, true}) {
    if (restarted) {
      ASSERT_EQ(Newest(), 4u);
    }
    EXPECT_EQ(file_->Dispensable(), std::vector<Index>{Index(3)});
    for (uint64_t index : {2, 4, 9}) discard(index);
    EXPECT_EQ(disk_->Names(),
              (std::vector<std::string>{name(3), name(4), name(9)}));
  }
  // Not while another one is being written, which has it removed itself.
  bool done = false;
  file_->Write(Example(10), [&done](absl::Status s) { done = s.ok(); });
  file_->Discard(Index(3));
  EXPECT_EQ(file_->stats().removed, 0u);
  loop_.RunUntilIdle();
  EXPECT_TRUE(done);
  EXPECT_EQ(disk_->Names(), (std::vector<std::string>{name(4), name(10)}));
  const uint64_t removed = file_->stats().removed;
  discard(4);
  EXPECT_EQ(file_->stats().removed, removed + 1);
  EXPECT_TRUE(file_->Dispensable().empty());
  EXPECT_EQ(disk_->Names(), std::vector<std::string>{name(10)});
}

TEST_F(CheckpointFileTest, AnyResumePointIsDispensable) {
  kind_ = CheckpointKind::kResume;
  for (const uint64_t damaged : {4, 5}) {
    disk_ = std::make_unique<MemoryDisk>(&loop_);
    ASSERT_EQ(Newest(), 0u);
    for (uint64_t index : {3, 4, 5}) ASSERT_TRUE(Write(index));
    EXPECT_EQ(file_->Dispensable(), (std::vector<Index>{Index(4), Index(5)}));
    file_->Discard(Index(damaged));
    loop_.RunUntilIdle();
    const uint64_t left = 9 - damaged;
    EXPECT_EQ(file_->Dispensable(), std::vector<Index>{Index(left)});
    // It is the one before the next one.
    ASSERT_TRUE(Write(6));
    EXPECT_EQ(disk_->Names(),
              (std::vector<std::string>{CheckpointName(kind_, Index(left)),
                                        CheckpointName(kind_, Index(6))}));
  }
}

TEST_F(CheckpointFileTest, AReadThatFailsIsTriedAgain) {
  ASSERT_EQ(Newest(), 0u);
  ASSERT_TRUE(Write(3));
  ASSERT_TRUE(Write(4));
  // After the directory's sync and listing, and the file's opening.
  for (int steps = 1; steps <= 3; ++steps) {
    disk_->FailAt(disk_->completions() + steps);
    EXPECT_FALSE(Open().ok()) << steps;
  }
  disk_->FailAt(disk_->completions() + 4);
  EXPECT_EQ(Newest(), 4u);
  EXPECT_EQ(file_->stats().damaged, 0u);
}

TEST_F(CheckpointFileTest, NewerFormatAndOtherOwnerAreRefused) {
  ASSERT_EQ(Newest(), 0u);
  ASSERT_TRUE(Write(3));
  ASSERT_TRUE(Write(4));
  std::string name = CheckpointName(CheckpointKind::kBase, Index(4));
  std::string intact = disk_->Contents(name);
  for (size_t at : {8, 16}) {
    std::string bytes = intact;
    bytes[at] = 99;
    bytes = Stamped(bytes);
    disk_->SetContents(name, bytes);
    EXPECT_TRUE(absl::IsFailedPrecondition(Open().status())) << at;
    EXPECT_EQ(disk_->Contents(name), bytes);
  }
}

// Of each write, of a start that finds what a process left that died alone, and
// of what is written then.
TEST_F(CheckpointFileTest, AllImagesOfAPowerFailure) {
  for (const CheckpointKind kind :
       {CheckpointKind::kBase, CheckpointKind::kResume}) {
    kind_ = kind;
    Images images;
    Images of_next_writes;
    for (const bool dies_first : {false, true}) {
      disk_ = std::make_unique<MemoryDisk>(&loop_);
      ASSERT_EQ(Newest(), 0u);
      for (uint64_t index : {3, 4, 5}) ASSERT_TRUE(Write(index));
      ForEachImageOfWriting(6, dies_first, &images, [&](uint64_t least) {
        const uint64_t newest = Newest();
        ASSERT_TRUE(newest == 6 || newest == least) << newest;
        ASSERT_EQ(file_->stats().damaged, 0u);
        ForEachImageOfWriting(
            7, dies_first, &of_next_writes, [&](uint64_t next_least) {
              const uint64_t then = Newest();
              ASSERT_TRUE(then == 7 || then == next_least) << then;
              ASSERT_EQ(file_->stats().damaged, 0u);
              ASSERT_TRUE(Write(8));
              ASSERT_EQ(disk_->Names().size(), 2u);
            });
      });
      ASSERT_FALSE(HasFatalFailure());
    }
    EXPECT_EQ(images.bounded() + of_next_writes.bounded(), 0u);
    std::cout << CheckpointName(kind, Index(6)) << ": " << images.count()
              << " images, " << of_next_writes.count()
              << " of the next writes\n";
  }
}

TEST_F(CheckpointFileTest, AnErrorIsReported) {
  ASSERT_EQ(Newest(), 0u);
  ASSERT_TRUE(Write(3));
  uint64_t before = disk_->completions();
  ASSERT_TRUE(Write(4));
  uint64_t steps = disk_->completions() - before;
  ASSERT_EQ(steps, 6u);
  for (uint64_t failing = 1; failing <= steps; ++failing) {
    disk_ = std::make_unique<MemoryDisk>(&loop_);
    ASSERT_EQ(Newest(), 0u);
    ASSERT_TRUE(Write(3));
    disk_->FailAt(disk_->completions() + failing);
    EXPECT_FALSE(Write(4)) << failing;
  }
}

}  // namespace
}  // namespace holdfast
