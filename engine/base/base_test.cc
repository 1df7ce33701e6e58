// The small headers: bytes, random, inline_function, lookup_map, types,
// configuration, callback_scope.

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "engine/base/bytes.h"
#include "engine/base/callback_scope.h"
#include "engine/base/configuration.h"
#include "engine/base/inline_function.h"
#include "engine/base/lookup_map.h"
#include "engine/base/random.h"
#include "engine/base/types.h"
#include "gtest/gtest.h"

namespace holdfast {
namespace {

TEST(Bytes, WriterAndReaderAgree) {
  std::string bytes(15, '\0');
  ByteWriter writer(bytes.data(), bytes.size());
  writer.Int<uint32_t>(0x01020304);
  writer.Int<uint64_t>(5);
  writer.Bytes("abc");
  EXPECT_EQ(writer.room(), 0u);
  EXPECT_EQ(bytes.substr(0, 4), "\4\3\2\1");  // little-endian
  ByteReader reader(bytes);
  EXPECT_EQ(reader.Int<uint32_t>(), 0x01020304u);
  EXPECT_EQ(reader.Int<uint64_t>(), 5u);
  EXPECT_EQ(reader.Bytes(3), "abc");
  EXPECT_TRUE(reader.ok());
  EXPECT_EQ(reader.Int<uint8_t>(), 0u);
  EXPECT_FALSE(reader.ok());
}

TEST(Bytes, AReadPastTheEndSpoilsAllThatFollow) {
  ByteReader reader("abcd");
  EXPECT_EQ(reader.Int<uint64_t>(), 0u);
  EXPECT_FALSE(reader.ok());
  EXPECT_EQ(reader.Bytes(1), "");
  ByteReader runs("abcd");
  EXPECT_EQ(runs.Bytes(5), "");
  EXPECT_FALSE(runs.ok());
}

TEST(BytesDeathTest, WritersStayWithin) {
  std::string bytes(3, '\0');
  ByteWriter writer(bytes.data(), bytes.size());
  EXPECT_DEATH(writer.Int<uint32_t>(1), "CHECK failed");
  EXPECT_DEATH(writer.Bytes("abcd"), "CHECK failed");
}

// These values are in tapes and seeds that people keep.
TEST(Random, DrawsAreFixedByTheirKey) {
  const DrawKey key{.seed = 1, .site = Site("site"), .actor = Actor(2, 3)};
  EXPECT_EQ(Draw(key, 0), Draw(key, 0));
  EXPECT_NE(Draw(key, 0), Draw(key, 1));
  DrawKey other = key;
  other.seed = 2;
  EXPECT_NE(Draw(key, 0), Draw(other, 0));
  other = key;
  other.site = Site("sites");
  EXPECT_NE(Draw(key, 0), Draw(other, 0));
  other = key;
  other.actor = Actor(3, 2);
  EXPECT_NE(Draw(key, 0), Draw(other, 0));
  EXPECT_EQ(Mix64(0), 0xe220a8397b1dcdafu);  // SplitMix64's first output
}

TEST(Random, DrawBelowIsWithinItsBoundAndUniform) {
  const DrawKey key{.seed = 1, .site = Site("below"), .actor = 0};
  std::array<int, 10> counts{};
  for (uint64_t i = 0; i < 100'000; ++i) ++counts.at(DrawBelow(key, i, 10));
  for (int count : counts) EXPECT_NEAR(count, 10'000, 400);
  EXPECT_EQ(Below(UINT64_MAX, 7), 6u);
  EXPECT_EQ(Below(0, 7), 0u);
  EXPECT_EQ(DrawBelow(key, 0, 1), 0u);
}

TEST(InlineFunction, CallsSmallAndLargeCaptures) {
  int small = 0;
  InlineFunction<int(int)> f = [&small](int n) { return small += n; };
  EXPECT_EQ(f(2), 2);
  EXPECT_EQ(f(3), 5);  // a call doesn't consume it
  std::array<int, 100> large{};
  large[99] = 7;
  InlineFunction<int(int)> g = [large](int n) { return large[99] + n; };
  EXPECT_EQ(g(1), 8);
  f = std::move(g);
  EXPECT_EQ(f(2), 9);
  EXPECT_FALSE(g);  // NOLINT: that is what is tested
}

TEST(InlineFunction, DestroysItsCaptureOnce) {
  auto token = std::make_shared<int>(1);
  const std::weak_ptr<int> alive = token;
  {
    InlineFunction<void()> f = [token = std::move(token)] {};
    InlineFunction<void()> g = std::move(f);
    EXPECT_FALSE(alive.expired());
    g = nullptr;
    EXPECT_TRUE(alive.expired());
  }
  auto padding = std::array<char, 100>();
  token = std::make_shared<int>(2);
  const std::weak_ptr<int> heap = token;
  {
    InlineFunction<void()> f = [token = std::move(token), padding] {
      (void)padding;
    };
    InlineFunction<void()> g = std::move(f);
    EXPECT_FALSE(heap.expired());
  }
  EXPECT_TRUE(heap.expired());
}

TEST(InlineFunction, TakesMoveOnlyArgumentsAndCaptures) {
  InlineFunction<int(std::unique_ptr<int>)> f =
      [own = std::make_unique<int>(2)](std::unique_ptr<int> p) {
        return *own + *p;
      };
  EXPECT_EQ(f(std::make_unique<int>(3)), 5);
}

TEST(InlineFunctionDeathTest, AnEmptyOneCantBeCalled) {
  InlineFunction<void()> f;
  EXPECT_FALSE(f);
  EXPECT_DEATH(f(), "CHECK failed");
}

TEST(LookupMap, FindsSetsAndErases) {
  LookupMap<Index, std::string> map;
  EXPECT_TRUE(map.empty());
  EXPECT_EQ(map.Find(Index(1)), nullptr);
  EXPECT_EQ(map.Set(Index(1), "a"), "a");
  map[Index(2)] = "b";
  EXPECT_EQ(*map.Find(Index(2)), "b");
  EXPECT_EQ(map.Set(Index(2), "c"), "c");
  EXPECT_EQ(map.size(), 2u);
  EXPECT_TRUE(map.Contains(Index(1)));
  EXPECT_TRUE(map.Erase(Index(1)));
  EXPECT_FALSE(map.Erase(Index(1)));
  map.Clear();
  EXPECT_TRUE(map.empty());
}

TEST(Number, CountsAndCompares) {
  Index index(5);
  EXPECT_EQ(index + 2, Index(7));
  EXPECT_EQ(Index(7) - index, 2u);
  EXPECT_LT(index, Index(6));
  EXPECT_EQ(++index, Index(6));
  EXPECT_EQ(ToString(index), "6");
  static_assert(!std::is_convertible_v<Index, Offset>);
  static_assert(!std::is_convertible_v<uint64_t, Index>);
}

TEST(CallbackScope, DropsWhatComesTooLate) {
  int calls = 0;
  std::optional<CallbackScope> scope;
  scope.emplace();
  auto early = scope->Wrap([&calls](int n) { calls += n; });
  early(1);
  EXPECT_EQ(calls, 1);
  scope->DropAll();
  early(1);
  EXPECT_EQ(calls, 1);
  auto late = scope->Wrap([&calls](int n) { calls += n; });
  late(1);
  EXPECT_EQ(calls, 2);
  scope.reset();
  late(1);
  EXPECT_EQ(calls, 2);
}

Member MemberOf(uint64_t id) {
  return Member{.id = ServerId(id),
                .incarnation = Incarnation(100 + id),
                .address = "host:" + std::to_string(id)};
}

TEST(Configuration, SurvivesItsEncoding) {
  Configuration configuration;
  configuration.voters = {MemberOf(1), MemberOf(2), MemberOf(3)};
  configuration.old_voters = {MemberOf(1), MemberOf(4)};
  configuration.learners = {MemberOf(9)};
  const Buffer bytes = EncodeConfiguration(configuration);
  absl::StatusOr<Configuration> decoded = DecodeConfiguration(bytes.view());
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_EQ(*decoded, configuration);
  EXPECT_TRUE(decoded->joint());
  EXPECT_EQ(decoded->Find(ServerId(9))->address, "host:9");
  EXPECT_EQ(decoded->Find(ServerId(5)), nullptr);
  EXPECT_EQ(decoded->Everyone().size(), 5u);
  for (size_t n = 0; n < bytes.size(); ++n) {
    EXPECT_FALSE(DecodeConfiguration(bytes.view().substr(0, n)).ok()) << n;
  }
  EXPECT_FALSE(DecodeConfiguration(std::string(bytes.view()) + "x").ok());
}

}  // namespace
}  // namespace holdfast
