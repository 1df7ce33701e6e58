// Files of checkpoints, at the end of each pass.

#include "engine/node/scrubber.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "engine/wal/testing/memory_disk.h"
#include "engine/wal/testing/wal_run.h"
#include "gtest/gtest.h"

namespace holdfast {
namespace {

constexpr uint64_t kBytesPerSecond = 1 << 20;

class ScrubberTest : public testing::Test {
 protected:
  ScrubberTest() {
    run_.OpenNew(Term(1));
    run_.Append(Term(1), {0, 100});
    run_.RunUntilIdle();
    files_ = {{CheckpointKind::kWaypoint, Index(5)},
              {CheckpointKind::kResume, Index(6)},
              {CheckpointKind::kBase, Index(7)}};
    for (const Scrubber::File& file : files_) {
      Checkpoint checkpoint;
      checkpoint.point.index = file.index;
      checkpoint.state = Buffer::Copy(std::string(3000, 's'));
      run_.disk().SetContents(Name(file),
                              std::string(EncodeCheckpoint(checkpoint).view()));
    }
  }

  static std::string Name(const Scrubber::File& file) {
    return CheckpointName(file.kind, file.index);
  }
  // Those of which it says that they are damaged, in one pass.
  std::vector<std::string> FoundInAPass() {
    std::vector<std::string> found;
    bool begun = false;
    Scrubber scrubber(
        &run_.loop(), &run_.disk(), &run_.wal(), kBytesPerSecond, 1h,
        Scrubber::Events{
            .on_pass =
                [&] {
                  begun = true;
                  return files_;
                },
            .on_damaged =
                [&](const Scrubber::File& file, const absl::Status& why) {
                  EXPECT_TRUE(absl::IsDataLoss(why)) << why;
                  found.push_back(Name(file));
                }});
    scrubber.Start();
    run_.loop().RunFor(1min);
    EXPECT_TRUE(begun);
    EXPECT_EQ(scrubber.passes(), 1u);
    EXPECT_EQ(scrubber.stats().files_damaged, found.size());
    return found;
  }

  WalRun run_;
  std::vector<Scrubber::File> files_;
};

TEST_F(ScrubberTest, FindsWhatIsDamagedOfThem) {
  EXPECT_TRUE(FoundInAPass().empty());
  for (const Scrubber::File& file : files_) {
    const std::string name = Name(file);
    const std::string intact = run_.disk().Contents(name);
    const std::string other =
        run_.disk().Contents(Name(files_[file.index == Index(5) ? 1 : 0]));
    const std::function<void()> damages[] = {
        [&] { run_.disk().Flip(name, 100, 1); },
        [&] { run_.disk().SetContents(name, intact.substr(0, 50)); },
        [&] { run_.disk().SetContents(name, ""); },
        [&] { run_.disk().SetContents(name, other); },
        [&] { run_.disk().Refuse(name, 2000, 2001); },
    };
    for (const auto& damage : damages) {
      damage();
      EXPECT_EQ(FoundInAPass(), std::vector<std::string>{name});
      run_.disk().SetContents(name, intact);
    }
    // It isn't there any more.
    run_.disk().Delete(name);
    EXPECT_TRUE(FoundInAPass().empty());
    run_.disk().SetContents(name, intact);
  }
}

TEST_F(ScrubberTest, AnErrorThatPassesIsNoDamage) {
  const uint64_t before = run_.disk().completions();
  EXPECT_TRUE(FoundInAPass().empty());
  const uint64_t all = run_.disk().completions() - before;
  ASSERT_GE(all, 2 * files_.size());
  // The last ones; the log is read before them.
  for (uint64_t i = all - 2 * files_.size() + 1; i <= all; ++i) {
    run_.disk().FailAt(run_.disk().completions() + i);
    EXPECT_TRUE(FoundInAPass().empty()) << i;
  }
}

TEST_F(ScrubberTest, WaitsForTheBytesAndTheInterval) {
  std::vector<Instant> passes;
  Scrubber scrubber(&run_.loop(), &run_.disk(), &run_.wal(), 1000, 10s,
                    Scrubber::Events{.on_pass =
                                         [&] {
                                           passes.push_back(run_.loop().Now());
                                           return files_;
                                         },
                                     .on_damaged = nullptr});
  scrubber.Start();
  run_.loop().RunFor(5min);
  ASSERT_GE(passes.size(), 2u);
  for (size_t i = 1; i < passes.size(); ++i) {
    // Some 9 KB of files, and the log.
    EXPECT_GE(passes[i] - passes[i - 1], 10s);
    EXPECT_LE(passes[i] - passes[i - 1], 40s);
  }
  scrubber.Stop();
  const size_t so_far = passes.size();
  run_.loop().RunFor(5min);
  EXPECT_LE(passes.size(), so_far + 1);
}

}  // namespace
}  // namespace holdfast
