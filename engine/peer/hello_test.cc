#include "engine/peer/hello.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace holdfast {
namespace {

using ::testing::HasSubstr;

MessageView MessageOf(WireType type, absl::string_view header) {
  MessageView message;
  message.type = type;
  message.header = header;
  return message;
}

Hello SomeHello() {
  Hello hello;
  hello.kind = StreamKind::kRaft;
  hello.cluster_name = "orders";
  hello.cluster_id = ClusterId(0xffffffffffffffff);
  hello.server_id = ServerId(3);
  hello.incarnation = Incarnation(0x0123456789abcdef);
  hello.lives = {12, 11};
  hello.boot_count = 5;
  hello.configuration_index = Index(77);
  hello.address = "10.0.0.3:7400";
  hello.features = 9;
  return hello;
}

TEST(Hello, SurvivesItsEncoding) {
  const std::string bytes = EncodeHello(SomeHello());
  absl::StatusOr<Hello> decoded =
      DecodeHello(MessageOf(WireType::kHello, bytes));
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_EQ(*decoded, SomeHello());
  EXPECT_EQ(Describe(*decoded),
            "server 3 (incarnation 0123456789abcdef, boot 5)");
}

TEST(Hello, RefusesWhatIsNone) {
  const std::string good = EncodeHello(SomeHello());
  EXPECT_FALSE(DecodeHello(MessageOf(WireType::kRaft, good)).ok());
  EXPECT_FALSE(DecodeHello(MessageOf(WireType::kHello, "")).ok());
  EXPECT_FALSE(DecodeHello(MessageOf(WireType::kHello, "\xff")).ok());
  MessageView with_payload = MessageOf(WireType::kHello, good);
  with_payload.payload = Buffer::Copy("x");
  EXPECT_FALSE(DecodeHello(with_payload).ok());
  Hello bad = SomeHello();
  bad.client_name = std::string(256, 'x');
  EXPECT_FALSE(DecodeHello(MessageOf(WireType::kHello, EncodeHello(bad))).ok());
  bad = SomeHello();
  bad.kind = static_cast<StreamKind>(3);
  EXPECT_FALSE(DecodeHello(MessageOf(WireType::kHello, EncodeHello(bad))).ok());
  bad = SomeHello();
  bad.version_min = 2;
  EXPECT_FALSE(DecodeHello(MessageOf(WireType::kHello, EncodeHello(bad))).ok());
}

TEST(Refusal, SurvivesItsEncodingInOneLine) {
  const Refusal refusal{.reason = RefusalReason::kNotMember,
                        .text = "server 7\nisn't \x1b[31m \"one\""};
  const std::string bytes = EncodeRefusal(refusal);
  const absl::Status status =
      DecodeHelloAnswer(MessageOf(WireType::kRefusal, bytes)).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status));
  EXPECT_EQ(status.message(),
            "refused (not a member): server 7?isn't ?[31m 'one'");
  EXPECT_EQ(ReasonOf(status), RefusalReason::kNotMember);
  const absl::Status with = WithContext("m1:7400: hello", status);
  EXPECT_EQ(with.message(),
            "m1:7400: hello: refused (not a member): server 7?isn't ?[31m "
            "'one'");
  EXPECT_EQ(ReasonOf(with), RefusalReason::kNotMember);
  EXPECT_EQ(ReasonOf(absl::FailedPreconditionError("refused")), std::nullopt);
  absl::StatusOr<Refusal> later = DecodeRefusal(
      MessageOf(WireType::kRefusal,
                EncodeRefusal(Refusal{.reason = static_cast<RefusalReason>(99),
                                      .text = "?"})));
  EXPECT_EQ(later->reason, RefusalReason::kUnspecified);
}

TEST(Refusal, LongTextsAreCutToFitAHello) {
  const std::string bytes = EncodeRefusal(Refusal{
      .reason = RefusalReason::kVersion, .text = std::string(1 << 20, 'x')});
  EXPECT_LT(bytes.size(), kHelloBytesMax);
}

TEST(Hello, AgreesOnTheLatestCommonVersion) {
  Hello a = SomeHello();
  Hello b = SomeHello();
  EXPECT_EQ(AgreeOnVersion(a, b), 1u);
  a.version_max = 4;
  b.version_min = 2;
  b.version_max = 3;
  EXPECT_EQ(AgreeOnVersion(a, b), 3u);
  b.version_min = 5;
  b.version_max = 6;
  EXPECT_EQ(AgreeOnVersion(a, b), std::nullopt);
}

}  // namespace
}  // namespace holdfast
