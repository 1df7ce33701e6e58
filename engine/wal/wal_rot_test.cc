// Damage of a disk, as opposed to what a crash leaves: what was synced and
// marked is there, or Open says where it isn't.

#include <algorithm>
#include <climits>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/base/crc32c.h"
#include "engine/wal/testing/wal_run.h"
#include "engine/wal/wal.h"
#include "gtest/gtest.h"

namespace holdfast {
namespace {

class WalRotTest : public testing::Test {
 protected:
  void SetUp() override {
    WriteLogWithACut(&run_);
    for (const std::string& name : run_.disk().Names()) {
      files_.push_back({name, run_.disk().Contents(name)});
    }
    ASSERT_GE(files_.size(), 5u);
  }

  struct NamedFile {
    std::string name;
    std::string bytes;
  };

  // Opens the log with one file replaced: it refuses and says where, or has
  // all of it.
  void ExpectNoHarm(const std::string& name, const std::string& bytes) {
    WalRun after(run_, Everything);
    after.disk().SetContents(name, bytes);
    absl::Status opened = after.Open();
    if (!opened.ok()) {
      ++refused_;
      ASSERT_EQ(opened.code(), absl::StatusCode::kDataLoss) << opened;
      ASSERT_TRUE(absl::StrContains(opened.message(), "file ")) << opened;
      ASSERT_TRUE(absl::StrContains(opened.message(), "position ")) << opened;
      // It changed nothing; so the repaired file is accepted.
      for (const NamedFile& file : files_) {
        if (file.name == name) after.disk().SetContents(name, file.bytes);
      }
      ASSERT_TRUE(after.Reopen().ok());
    } else {
      ++recovered_;
    }
    ASSERT_TRUE(SameEntries(after.recovered(), run_.log()));
    ASSERT_EQ(after.wal().hard_state(), run_.wal().hard_state());
  }

  // The segments that hold nothing behind the entry.
  std::set<std::string> LeftoversAt(Index index) const {
    std::set<std::string> leftovers;
    Index live_last = run_.last().index;
    for (auto file = files_.rbegin(); file != files_.rend(); ++file) {
      if (!ParseSegmentName(file->name).has_value()) continue;
      auto header =
          DecodeSegmentHeader(file->bytes.substr(0, kSegmentHeaderBytes));
      if (!header.ok()) continue;  // the spare
      if (live_last <= index) leftovers.insert(file->name);
      live_last = std::min(live_last, header->first_index() - 1);
    }
    return leftovers;
  }
  // Opens it behind an entry with a file replaced, or missing: it has all of
  // it, or refuses, but not for a file that holds nothing behind the entry.
  void ExpectNoHarmBehind(Index index, const std::string& name,
                          const std::optional<std::string>& bytes) {
    WalRun after(run_, Everything);
    after.SetCheckpoint(run_.PointAt(index));
    if (bytes.has_value()) {
      after.disk().SetContents(name, *bytes);
    } else {
      after.disk().Delete(name);
    }
    absl::Status opened = after.Open();
    if (!opened.ok()) {
      ++refused_;
      ASSERT_EQ(opened.code(), absl::StatusCode::kDataLoss) << opened;
      ASSERT_FALSE(LeftoversAt(index).contains(name)) << opened;
      return;
    }
    ++recovered_;
    ASSERT_EQ(
        after.WhyNotOf({{run_.log(), run_.wal().hard_state(), LogPoint()}}),
        "");
  }

  WalRun run_;
  std::vector<NamedFile> files_;
  int refused_ = 0;
  int recovered_ = 0;
};

TEST_F(WalRotTest, AnyByte) {
  for (const NamedFile& file : files_) {
    size_t used = file.bytes.find_last_not_of('\0') + 1;
    for (size_t at = 0; at < std::min(used + 200, file.bytes.size()); ++at) {
      SCOPED_TRACE(absl::StrCat(file.name, " at ", at));
      std::string bytes = file.bytes;
      bytes[at] = static_cast<char>(bytes[at] ^ (1 << at % 8));
      ASSERT_NO_FATAL_FAILURE(ExpectNoHarm(file.name, bytes));
    }
  }
  EXPECT_GT(refused_, 10000);
  EXPECT_GT(recovered_, 100);
}

TEST_F(WalRotTest, AnyBlock) {
  for (size_t block : {512, 4096}) {
    for (const NamedFile& file : files_) {
      for (size_t at = 0; at < file.bytes.size(); at += block) {
        for (char fill : {'\0', '\xff', 'x'}) {
          SCOPED_TRACE(absl::StrCat(file.name, " at ", at, " of ", block));
          std::string bytes = file.bytes;
          size_t n = std::min(block, bytes.size() - at);
          bytes.replace(at, n, n, fill);
          ASSERT_NO_FATAL_FAILURE(ExpectNoHarm(file.name, bytes));
        }
      }
    }
  }
  EXPECT_GT(refused_, 30);
}

// A block that holds what another place of the file holds, or used to hold.
TEST_F(WalRotTest, MisdirectedBlocks) {
  for (const NamedFile& file : files_) {
    for (size_t to = 0; to + 512 <= file.bytes.size(); to += 512) {
      for (size_t from = 0; from + 512 <= file.bytes.size(); from += 1536) {
        SCOPED_TRACE(absl::StrCat(file.name, " from ", from, " to ", to));
        std::string bytes = file.bytes;
        bytes.replace(to, 512, file.bytes, from, 512);
        ASSERT_NO_FATAL_FAILURE(ExpectNoHarm(file.name, bytes));
      }
    }
  }
}

TEST_F(WalRotTest, AnyByteBehindACheckpoint) {
  for (Index index(1); index <= run_.last().index; ++index) {
    int refused = std::exchange(refused_, 0);
    if (index == Index(1)) refused = INT_MAX;
    for (const NamedFile& file : files_) {
      size_t used = file.bytes.find_last_not_of('\0') + 1;
      for (size_t at = 0; at < used; at += at < kSegmentHeaderBytes ? 5 : 29) {
        SCOPED_TRACE(absl::StrCat("behind ", index.value(), ": ", file.name,
                                  " at ", at));
        std::string bytes = file.bytes;
        bytes[at] = static_cast<char>(bytes[at] ^ (1 << at % 8));
        ASSERT_NO_FATAL_FAILURE(ExpectNoHarmBehind(index, file.name, bytes));
      }
    }
    // The further it stands, the less of the log matters.
    EXPECT_LE(refused_, refused);
  }
  EXPECT_EQ(refused_, 0);
  EXPECT_GT(recovered_, 10000);
}

TEST_F(WalRotTest, AnyBlockAndFileBehindACheckpoint) {
  std::set<std::string> all = LeftoversAt(run_.last().index);
  for (Index index(1); index <= run_.last().index; ++index) {
    for (const NamedFile& file : files_) {
      SCOPED_TRACE(absl::StrCat("behind ", index.value(), ": ", file.name));
      // Of the newest segment nobody else knows.
      if (all.contains(file.name) && file.name != *all.rbegin()) {
        ASSERT_NO_FATAL_FAILURE(
            ExpectNoHarmBehind(index, file.name, std::nullopt));
      }
      for (size_t at = 0; at < file.bytes.size(); at += 512) {
        for (char fill : {'\0', 'x'}) {
          std::string bytes = file.bytes;
          size_t n = std::min<size_t>(512, bytes.size() - at);
          bytes.replace(at, n, n, fill);
          ASSERT_NO_FATAL_FAILURE(ExpectNoHarmBehind(index, file.name, bytes));
        }
      }
    }
  }
  EXPECT_GT(refused_, 30);
  EXPECT_GT(recovered_, 1000);
}

// Of the segments behind a checkpoint, any may be missing and the others
// damaged.
TEST_F(WalRotTest, AnyLeftoversOfACheckpoint) {
  for (Index index(1); index <= run_.last().index; ++index) {
    std::set<std::string> leftovers = LeftoversAt(index);
    for (uint64_t choice = 0; choice < uint64_t{1} << leftovers.size();
         ++choice) {
      WalRun after(run_, Everything);
      after.SetCheckpoint(run_.PointAt(index));
      uint64_t bits = choice;
      for (const std::string& name : leftovers) {
        if (bits % 2 == 0) {
          after.disk().Delete(name);
        } else {
          std::string bytes = after.disk().Contents(name);
          bytes[kSegmentHeaderBytes + 70] ^= 1;
          after.disk().SetContents(name, bytes);
        }
        bits /= 2;
      }
      absl::Status opened = after.Open();
      ASSERT_TRUE(opened.ok()) << index.value() << " " << choice << opened;
      ASSERT_EQ(
          after.WhyNotOf({{run_.log(), run_.wal().hard_state(), LogPoint()}}),
          "");
    }
  }
}

// Without its mark, an unsynced tail may be cut, but only from the damage on.
TEST_F(WalRotTest, AnyByteOfATailThatIsNotMarked) {
  WalRun run;
  ASSERT_TRUE(run.Open().ok());
  run.SetHardStateAndAppend({Term(1), ServerId(1)}, {0, 100, 500});
  run.RunUntilIdle();
  size_t marked = run.log().size();
  run.Append(Term(1), {200, 300});
  while (!run.all_persisted()) run.RunTasks(1);
  std::string name = SegmentName(1);
  std::string intact = run.disk().Contents(name);
  size_t used = intact.find_last_not_of('\0') + 1;
  size_t cut = 0;
  for (size_t at = 0; at < used; ++at) {
    SCOPED_TRACE(at);
    WalRun after(run, Everything);
    std::string bytes = intact;
    bytes[at] ^= 4;
    after.disk().SetContents(name, bytes);
    if (!after.Open().ok()) continue;
    ASSERT_GE(after.recovered().size(), marked);
    std::vector<Entry> prefix = run.log();
    prefix.resize(after.recovered().size());
    ASSERT_TRUE(SameEntries(after.recovered(), prefix));
    if (after.recovered().size() < run.log().size()) ++cut;
  }
  EXPECT_GT(cut, 300u);
}

TEST_F(WalRotTest, MissingFiles) {
  std::vector<std::string> segments;
  for (const NamedFile& file : files_) {
    if (ParseSegmentName(file.name).has_value()) segments.push_back(file.name);
  }
  // The last one is the spare, and of the last but one nobody knows.
  for (size_t i = 0; i + 2 < segments.size(); ++i) {
    WalRun after(run_, Everything);
    after.disk().Delete(segments[i]);
    absl::Status opened = after.Open();
    EXPECT_EQ(opened.code(), absl::StatusCode::kDataLoss) << segments[i];
  }
  for (int copies : {1, 2}) {
    WalRun after(run_, Everything);
    after.disk().Delete("hardstate-0");
    if (copies == 2) after.disk().Delete("hardstate-1");
    EXPECT_EQ(after.Open().ok(), copies == 1);
  }
}

// The header of a segment whose first frame was torn says how far the log had
// come, though no mark does.
TEST_F(WalRotTest, ABeginningProvesWhatStoodBeforeIt) {
  WalOptions options = SmallWalOptions();
  options.mark_every_bytes = options.segment_bytes;
  WalRun run(options);
  ASSERT_TRUE(run.Open().ok());
  run.SetHardStateAndAppend({Term(1), ServerId(1)}, {0, 5000, 5000});
  run.Append(Term(1), {5000});
  while (run.wal().stats().segments_begun < 2) run.RunTasks(1);
  ASSERT_EQ(run.wal().stats().marks, 0u);
  auto header_only = [](size_t, size_t sector) { return sector < 8; };
  WalRun intact(run, header_only);
  ASSERT_TRUE(intact.Open().ok());
  EXPECT_EQ(intact.recovered().size(), 3u);
  WalRun rotten(run, header_only);
  std::string bytes = rotten.disk().Contents(SegmentName(1));
  bytes[kSegmentHeaderBytes + 6000] ^= 1;
  rotten.disk().SetContents(SegmentName(1), bytes);
  EXPECT_EQ(rotten.Open().code(), absl::StatusCode::kDataLoss);
}

TEST_F(WalRotTest, OldHardStateIsRefused) {
  WalRun young;
  ASSERT_TRUE(young.Open().ok());
  young.SetHardState({Term(3), ServerId(2)});
  young.RunUntilIdle();
  WalRun after(run_, Everything);
  for (const char* name : {"hardstate-0", "hardstate-1"}) {
    after.disk().SetContents(name, young.disk().Contents(name));
  }
  EXPECT_EQ(after.Open().code(), absl::StatusCode::kDataLoss);
}

TEST_F(WalRotTest, HardStateWithoutALogIsExpected) {
  WalRun run;
  ASSERT_TRUE(run.Open().ok());
  run.SetHardState({Term(3), ServerId(2)});  // a vote before the first entry
  run.RunUntilIdle();
  WalRun after(run, Everything);
  for (const char* name : {"hardstate-0", "hardstate-1"}) {
    after.disk().SetContents(name, std::string(kHardStateBytes, 'x'));
  }
  EXPECT_EQ(after.Open().code(), absl::StatusCode::kDataLoss);
}

TEST_F(WalRotTest, AnotherDirectorysFilesAreRefused) {
  WalOptions options = SmallWalOptions();
  MemoryLoop loop;
  for (const char* name : {"hardstate-0", "0000000000000001.segment"}) {
    MemoryDisk disk(&loop);
    disk.SetContents(name, run_.disk().Contents(name));
    Wal wal(&loop, &disk, Incarnation(WalRun::kOwner + 1), options, {});
    absl::Status opened;
    wal.Open([](const Entry&, Index) {},
             [&opened](absl::Status status) { opened = std::move(status); });
    loop.RunUntilIdle();
    EXPECT_EQ(opened.code(), absl::StatusCode::kFailedPrecondition) << name;
  }
}

// A record may hold the very bytes of a frame that claims more than is true.
TEST_F(WalRotTest, RecordsCannotPoseAsFrames) {
  WalRun run;
  ASSERT_TRUE(run.Open().ok());
  run.SetHardStateAndAppend({Term(1), ServerId(1)}, {0});
  run.RunUntilIdle();
  LogPoint last = run.last();
  uint64_t position =
      kSegmentHeaderBytes +
      run.disk().Contents(SegmentName(1)).substr(4096).find_last_not_of('\0');
  Entry forged = NextEntry(last, Term(1), 3000);
  Buffer payload = Buffer::Copy(forged.payload.view());
  LogFrameHeader lie;
  lie.segment = 1;
  lie.kind = FrameKind::kMark;
  lie.synced_to = static_cast<uint32_t>(position + 256);
  for (size_t at = 0; at + 64 <= payload.size(); at += 64) {
    // Behind the frame's header and the entry's.
    const uint64_t frame = (position / kFrameAlignment + 1) * kFrameAlignment;
    EncodeLogFrameHeader(lie, frame + 128 + at, payload.data_mutable() + at);
  }
  forged.payload = payload;
  EntryHeader& h = forged.header;
  h.payload_crc = Crc32c(payload.view());
  h.chain = ChainHash(last.chain, h);
  WalWrite write;
  write.sequence = 2;
  write.entries.push_back(forged);
  run.wal().Write(std::move(write), Index(1));
  // Only the last of its sectors is lost.
  WalRun after(run, [](size_t, size_t sector) { return sector < 5; });
  absl::Status opened = after.Open();
  EXPECT_TRUE(opened.ok()) << opened;
  EXPECT_EQ(after.recovered().size(), 1u);
}

}  // namespace
}  // namespace holdfast
