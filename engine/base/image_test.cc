#include "engine/base/image.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace holdfast {
namespace {

BatchView Batch(const std::vector<std::string>& records, uint64_t session = 0) {
  BatchBuilder builder;
  for (const std::string& record : records) {
    EXPECT_TRUE(builder.Add(record).ok());
  }
  return *BatchView::Parse(
      builder.Finish(SessionId(session), Sequence(session == 0 ? 0 : 1)));
}

ImageHeader Header() {
  return ImageHeader{.cluster = ClusterId(0xabcdef),
                     .cluster_name = "prod",
                     .time = WallTime(Duration(1234)),
                     .first_offset = Offset(11),
                     .end_offset = Offset(15)};
}

// The first batch begins before the first record.
std::vector<ImageBatch> Batches() {
  return {{Offset(10), WallTime(Duration(7)), Batch({"a", "b", "c"}, 5)},
          {Offset(13), WallTime(Duration(7)), Batch({"dd"})},
          {Offset(14), WallTime(Duration(9)), Batch({std::string(300, 'e')})}};
}

std::string Encode(const ImageHeader& header,
                   const std::vector<ImageBatch>& batches) {
  ImageEncoder encoder;
  std::string bytes(encoder.Begin(header).view());
  for (const ImageBatch& batch : batches) {
    absl::StrAppend(&bytes, Flatten(encoder.Add(batch)).view());
  }
  absl::StrAppend(&bytes, encoder.End().view());
  return bytes;
}

struct Decoded {
  absl::Status status;
  ImageDecoder decoder;
  std::vector<ImageBatch> batches;
};

Decoded Decode(absl::string_view bytes) {
  Decoded decoded;
  ImageDecoder& decoder = decoded.decoder;
  while (decoded.status.ok() && !decoder.complete()) {
    decoded.status = decoder.Take(
        Buffer::Copy(bytes.substr(decoder.position(), decoder.wanted())));
    if (decoder.batch().has_value()) {
      decoded.batches.push_back(*decoder.batch());
    }
  }
  return decoded;
}

bool Says(const absl::Status& status, absl::string_view text) {
  return absl::StrContains(status.message(), text);
}

TEST(Image, GivesBackWhatItWasMadeOf) {
  const std::string bytes = Encode(Header(), Batches());
  const Decoded decoded = Decode(bytes);
  ASSERT_TRUE(decoded.status.ok()) << decoded.status;
  EXPECT_EQ(decoded.decoder.position(), bytes.size());
  EXPECT_EQ(decoded.decoder.header(), Header());
  EXPECT_EQ(decoded.decoder.counts().batches, 3u);
  EXPECT_EQ(decoded.decoder.counts().records, 5u);
  ASSERT_EQ(decoded.batches.size(), 3u);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(decoded.batches[i].base_offset, Batches()[i].base_offset);
    EXPECT_EQ(decoded.batches[i].log_time, Batches()[i].log_time);
    EXPECT_EQ(decoded.batches[i].batch.bytes().view(),
              Batches()[i].batch.bytes().view());
  }
}

TEST(Image, OfAnEmptyLog) {
  ImageHeader header = Header();
  header.end_offset = header.first_offset;
  const Decoded decoded = Decode(Encode(header, {}));
  EXPECT_TRUE(decoded.status.ok()) << decoded.status;
  EXPECT_TRUE(decoded.batches.empty());
}

TEST(Image, RefusesEachFlippedByteAndNamesThePieceItIsIn) {
  const std::string good = Encode(Header(), Batches());
  // Where pieces begin: the header, then blocks and batches in turn.
  std::vector<size_t> begins = {0, kImageHeaderBytes};
  for (const ImageBatch& batch : Batches()) {
    begins.push_back(begins.back() + kImageBlockBytes);
    begins.push_back(begins.back() + batch.batch.bytes().size());
  }
  begins.push_back(good.size());
  size_t piece = 0;
  for (size_t at = 0; at < good.size(); ++at) {
    if (at == begins[piece + 1]) ++piece;
    std::string bytes = good;
    bytes[at] = static_cast<char>(bytes[at] ^ 0x10);
    const Decoded decoded = Decode(bytes);
    ASSERT_FALSE(decoded.status.ok()) << at;
    EXPECT_EQ(decoded.decoder.position(), begins[piece]) << at;
    const bool version = at >= 8 && at < 12;
    EXPECT_TRUE(Says(decoded.status,
                     absl::StrCat("at byte ", version ? 8 : begins[piece])))
        << decoded.status;
    EXPECT_EQ(absl::IsFailedPrecondition(decoded.status), version);
  }
}

TEST(Image, RefusesOneThatIsCutShortAnywhere) {
  const std::string good = Encode(Header(), Batches());
  for (size_t n = 0; n < good.size(); ++n) {
    const Decoded decoded = Decode(absl::string_view(good).substr(0, n));
    EXPECT_TRUE(absl::IsDataLoss(decoded.status)) << n;
    EXPECT_TRUE(Says(decoded.status,
                     absl::StrCat("cut short: it ends at byte ", n, ", ")))
        << decoded.status;
  }
}

TEST(Image, RefusesBatchesThatAreMissingOrMoved) {
  const std::vector<ImageBatch> good = Batches();
  const std::vector<std::vector<ImageBatch>> bad = {
      {},
      {good[0], good[1]},
      {good[0], good[2]},
      {good[1], good[2]},
      {good[0], good[2], good[1]},
      {good[0], good[1], good[1], good[2]}};
  for (const std::vector<ImageBatch>& batches : bad) {
    EXPECT_TRUE(absl::IsDataLoss(Decode(Encode(Header(), batches)).status));
  }
  // A stretch of another image, with the right offsets.
  ImageHeader other = Header();
  other.time += Duration(1);
  std::string mixed = Encode(Header(), good);
  mixed.replace(kImageHeaderBytes, std::string::npos,
                Encode(other, good).substr(kImageHeaderBytes));
  EXPECT_TRUE(absl::IsDataLoss(Decode(mixed).status));
}

}  // namespace
}  // namespace holdfast
