#include "engine/log/kv.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "engine/base/batch.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace holdfast {
namespace {

using ::testing::HasSubstr;
using ::testing::Optional;

// Applies batches to a machine, as a log does.
class KvTest : public testing::Test {
 protected:
  std::string Apply(KvMachine* machine, const std::vector<KvWrite>& writes) {
    BatchBuilder builder;
    for (const KvWrite& write : writes) {
      EXPECT_TRUE(KvMachine::AddTo(&builder, write).ok());
    }
    return ApplyBatch(machine, &builder);
  }
  std::string ApplyBatch(KvMachine* machine, BatchBuilder* builder) {
    const uint64_t count = builder->record_count();
    CommittedBatch batch{.index = ++index_,
                         .base_offset = end_,
                         .log_time = WallTime(),
                         .batch = *BatchView::Parse(builder->Finish())};
    end_ = end_ + count;
    return machine->Apply(batch);
  }
  static std::vector<std::string> Slices(SnapshotReader* reader, size_t bytes) {
    std::vector<std::string> slices;
    for (;;) {
      std::string slice = reader->Read(bytes);
      if (slice.empty()) return slices;
      slices.push_back(std::move(slice));
    }
  }
  static absl::Status Restore(KvMachine* machine,
                              const std::vector<std::string>& slices) {
    std::unique_ptr<SnapshotWriter> writer = machine->Restore();
    for (const std::string& slice : slices) {
      if (absl::Status s = writer->Write(slice); !s.ok()) return s;
    }
    return writer->Finish();
  }

  Index index_;
  Offset end_;
};

TEST_F(KvTest, PutsErasesAndComparesByVersion) {
  KvMachine kv;
  EXPECT_EQ(Apply(&kv, {{"a", "1", {}}, {"b", "2", {}}}), "++");
  EXPECT_THAT(kv.Get("a"), Optional(KvValue{"1", 1}));
  EXPECT_EQ(kv.Get("c"), std::nullopt);
  // Not there; there as the first write left it; and not any more.
  EXPECT_EQ(Apply(&kv, {{"c", "3", 0}, {"a", "4", 1}, {"a", "5", 1}}), "++!");
  EXPECT_THAT(kv.Get("a"), Optional(KvValue{"4", 4}));
  EXPECT_EQ(Apply(&kv, {{"b", std::nullopt, {}}, {"c", std::nullopt, 9}}),
            "+!");
  EXPECT_EQ(kv.Get("b"), std::nullopt);
  EXPECT_EQ(kv.size(), 2u);
  EXPECT_EQ(kv.end(), Offset(7));
}

TEST_F(KvTest, OtherRecordsMeanNothing) {
  KvMachine kv;
  BatchBuilder builder;
  ASSERT_TRUE(builder.Add("plain").ok());
  ASSERT_TRUE(builder.Add("key", {{"other", "put"}}, "value").ok());
  ASSERT_TRUE(KvMachine::AddTo(&builder, {"key", "it", {}}).ok());
  EXPECT_EQ(ApplyBatch(&kv, &builder), "..+");
  EXPECT_THAT(kv.Get("key"), Optional(KvValue{"it", 3}));
}

TEST_F(KvTest, SnapshotIsOfItsMomentHoweverItIsCut) {
  for (size_t bytes : {1, 7, 100, 1 << 20}) {
    KvMachine kv;
    for (int i = 0; i < 100; ++i) {
      Apply(
          &kv,
          {{std::to_string(i), std::string(static_cast<size_t>(i), 'v'), {}}});
    }
    std::unique_ptr<SnapshotReader> reader = kv.Snapshot();
    std::vector<std::string> slices = {reader->Read(bytes)};
    // Before, at and behind where the reader is.
    for (int i = 0; i < 150; ++i) {
      Apply(&kv,
            {{std::to_string(i),
              i % 2 == 0 ? std::optional<std::string>("later") : std::nullopt,
              {}}});
    }
    for (std::string& slice : Slices(reader.get(), bytes)) {
      slices.push_back(std::move(slice));
    }
    KvMachine restored;
    Apply(&restored, {{"gone", "", {}}});
    ASSERT_TRUE(Restore(&restored, slices).ok());
    EXPECT_EQ(restored.size(), 100u);
    for (uint64_t i = 0; i < 100; ++i) {
      std::optional<KvValue> value = restored.Get(std::to_string(i));
      ASSERT_TRUE(value.has_value());
      EXPECT_EQ(value->value, std::string(i, 'v'));
    }
    EXPECT_EQ(kv.Get("1"), std::nullopt);
    EXPECT_EQ(kv.Get("0")->value, "later");
  }
}

TEST_F(KvTest, DamagedSnapshotChangesNothing) {
  KvMachine kv;
  Apply(&kv, {{"a", "1", {}}, {"b", "2", {}}});
  std::vector<std::string> slices = Slices(kv.Snapshot().get(), 1 << 20);
  ASSERT_EQ(slices.size(), 1u);
  KvMachine other;
  Apply(&other, {{"mine", "1", {}}});
  const std::string whole = slices[0];
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_TRUE(absl::IsDataLoss(Restore(&other, {whole.substr(0, size)})));
  }
  EXPECT_TRUE(absl::IsDataLoss(Restore(&other, {whole, "more"})));
  std::string foreign = whole;
  foreign[0] ^= 1;
  absl::Status status = Restore(&other, {foreign});
  EXPECT_THAT(std::string(status.message()), HasSubstr("found other bytes"));
  EXPECT_TRUE(other.Get("mine").has_value());
  EXPECT_EQ(other.Get("a"), std::nullopt);
}

}  // namespace
}  // namespace holdfast
