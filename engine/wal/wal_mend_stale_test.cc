// Blocks as they were earlier: a device has lost a write, and said that it was
// done. What was appended to the block since isn't there.

#include <algorithm>
#include <cstddef>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/wal/frame.h"
#include "engine/wal/segment.h"
#include "engine/wal/testing/damaged_log.h"
#include "engine/wal/testing/wal_run.h"
#include "gtest/gtest.h"

namespace holdfast {
namespace {

class WalMendStaleTest : public DamagedLog {
 protected:
  // Each block of this size, as it was at each moment before it had its last
  // frame, or before it had any: frames, and headers, take multiples of 64
  // bytes, and only zeroes were there before.
  template <typename Expect>
  void ForEachStale(size_t block, Expect expect) {
    for (const NamedFile& file : segments_) {
      const size_t used = file.bytes.find_last_not_of('\0') + 1;
      for (size_t at = 0; at < used; at += block) {
        const size_t end = std::min(at + block, used);
        for (size_t from = at; from < end; from += kFrameAlignment) {
          SCOPED_TRACE(absl::StrCat(file.name, " from ", from, " to ", end));
          std::string bytes = file.bytes;
          bytes.replace(from, end - from, end - from, '\0');
          if (bytes == file.bytes) continue;
          ASSERT_NO_FATAL_FAILURE(expect(file.name, bytes));
        }
      }
    }
  }
};

// With others to ask all of it is there.
TEST_F(WalMendStaleTest, IsMended) {
  for (size_t block : {512, 4096}) {
    ASSERT_NO_FATAL_FAILURE(ForEachStale(
        block, [this](const std::string& name, const std::string& bytes) {
          ExpectMended(name, bytes);
        }));
  }
  EXPECT_GT(mended_, 100);
}

// With nobody to ask it says so, or has all of it; it never takes what was
// durable for never written.
TEST_F(WalMendStaleTest, IsNoTornTail) {
  const auto expect_all_or_refused = [this](const std::string& name,
                                            const std::string& bytes) {
    WalRun after(run_, Everything);
    after.disk().SetContents(name, bytes);
    const absl::Status opened = after.Open();
    if (!opened.ok()) {
      ++refused_;
      ASSERT_TRUE(absl::IsDataLoss(opened)) << opened;
      ASSERT_TRUE(absl::StrContains(opened.message(), "file ")) << opened;
      return;
    }
    ASSERT_TRUE(SameEntries(after.recovered(), run_.log()));
  };
  for (size_t block : {512, 4096}) {
    ASSERT_NO_FATAL_FAILURE(ForEachStale(block, expect_all_or_refused));
  }
  EXPECT_GT(refused_, 100);
}

}  // namespace
}  // namespace holdfast
