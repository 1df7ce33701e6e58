#include "engine/base/buffer.h"

#include <cstddef>
#include <cstring>
#include <string>
#include <utility>

#include "engine/base/crc32c.h"
#include "gtest/gtest.h"

namespace holdfast {
namespace {

TEST(Buffer, CopiesShareTheirBytes) {
  Buffer a = Buffer::Copy("holdfast");
  Buffer b = a;
  EXPECT_EQ(a.data(), b.data());
  Buffer slice = b.Slice(4, 3);
  EXPECT_EQ(slice.view(), "fas");
  a = Buffer();
  b = Buffer();
  EXPECT_EQ(slice.view(), "fas");  // kept alive by the slice alone
  EXPECT_EQ(slice.bytes_pinned(), 8u);
  EXPECT_EQ(slice.SliceFrom(1).view(), "as");
}

TEST(Buffer, MovesLeaveAnEmptyOne) {
  Buffer a = Buffer::Copy("x");
  Buffer b = std::move(a);
  EXPECT_TRUE(a.empty());  // NOLINT: that is what is tested
  EXPECT_EQ(b.view(), "x");
  b = b.Slice(0, 1);
  EXPECT_EQ(b.view(), "x");
}

TEST(Buffer, EmptyOnesNeedNoMemory) {
  EXPECT_EQ(Buffer::Copy("").data(), nullptr);
  EXPECT_EQ(Buffer::Uninitialized(0).bytes_pinned(), 0u);
  EXPECT_TRUE(Buffer().Slice(0, 0).empty());
}

TEST(Buffer, ItsChecksumIsNotedWithIt) {
  const std::string bytes(5000, 'x');
  Buffer a = Buffer::Copy(bytes);
  EXPECT_EQ(a.Crc(), Crc32c(bytes));
  EXPECT_EQ(a.ExtendCrc(7), ExtendCrc32c(7, bytes));
  // Whoever notes a wrong one gets it back, wherever the bytes go as a whole.
  a.set_crc(1);
  const Buffer copy = a;
  EXPECT_EQ(copy.Crc(), 1u);
  EXPECT_EQ(copy.ExtendCrc(7), ConcatCrc32c(7, 1, bytes.size()));
  EXPECT_EQ(copy.Slice(0, bytes.size()).Crc(), 1u);
  // Not with a part of them, or what is written since.
  const absl::string_view part = absl::string_view(bytes).substr(1);
  EXPECT_EQ(copy.SliceFrom(1).Crc(), Crc32c(part));
  EXPECT_EQ(copy.SliceFrom(1).ExtendCrc(7), ExtendCrc32c(7, part));
  Buffer moved = std::move(a);
  EXPECT_EQ(moved.Crc(), 1u);
  a = Buffer::Copy(bytes);
  EXPECT_EQ(a.Crc(), Crc32c(bytes));
  a.set_crc(1);
  *a.data_mutable() = 'y';
  EXPECT_EQ(a.Crc(), Crc32c("y" + bytes.substr(1)));
}

TEST(Buffer, GivesMemoryOfTheCallersBackOnce) {
  static void* given = nullptr;
  static int times = 0;
  alignas(std::max_align_t) char memory[Buffer::kOverheadBytes + 5];
  {
    Buffer a = Buffer::In(memory, 5, [](void* back) {
      given = back;
      ++times;
    });
    std::memcpy(a.data_mutable(), "bytes", 5);
    EXPECT_EQ(a.view(), "bytes");
    EXPECT_EQ(a.bytes_pinned(), 5u);
    const Buffer slice = a.Slice(1, 2);
    a = Buffer();
    EXPECT_EQ(slice.view(), "yt");
    EXPECT_EQ(times, 0);
  }
  EXPECT_EQ(given, memory);
  EXPECT_EQ(times, 1);
}

TEST(Buffer, IsWrittenOnlyWhileUnshared) {
  Buffer a = Buffer::Zeroes(4);
  a.data_mutable()[0] = 'x';
  EXPECT_EQ(a.view(), absl::string_view("x\0\0\0", 4));
  Buffer b = a;
  EXPECT_DEATH(a.data_mutable(), "CHECK failed");
  b = Buffer();
  a.data_mutable()[1] = 'y';
}

TEST(BufferDeathTest, SlicesStayWithin) {
  const Buffer a = Buffer::Copy("abc");
  EXPECT_DEATH(a.Slice(4, 0), "CHECK failed");
  EXPECT_DEATH(a.Slice(1, 3), "CHECK failed");
}

TEST(Buffers, FlattenAndDropFront) {
  Buffers buffers = {Buffer::Copy("ab"), Buffer(), Buffer::Copy("cde")};
  EXPECT_EQ(TotalSize(buffers), 5u);
  EXPECT_EQ(Flatten(buffers).view(), "abcde");
  DropFront(&buffers, 1);
  EXPECT_EQ(Flatten(buffers).view(), "bcde");
  DropFront(&buffers, 2);
  EXPECT_EQ(Flatten(buffers).view(), "de");
  const Buffer only = buffers.back();
  EXPECT_EQ(Flatten(buffers).data(), only.data());  // one is shared
  DropFront(&buffers, 2);
  EXPECT_TRUE(buffers.empty());
  EXPECT_TRUE(Flatten(buffers).empty());
}

}  // namespace
}  // namespace holdfast
