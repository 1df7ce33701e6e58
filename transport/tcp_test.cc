#include "transport/tcp.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace holdfast {
namespace {

using testing::HasSubstr;

class TcpTest : public testing::Test {
 protected:
  void RunLoop() {
    Timer patience = loop_.After(60s, [this] {
      ADD_FAILURE() << "nothing happened for long";
      loop_.Stop();
    });
    loop_.Run();
  }

  absl::StatusOr<std::unique_ptr<Connection>> Dial(const Address& address) {
    std::optional<absl::StatusOr<std::unique_ptr<Connection>>> result;
    bool returned = false;
    auto dial = network_.Dial(
        address, [&](absl::StatusOr<std::unique_ptr<Connection>> c) {
          EXPECT_TRUE(returned);
          result = std::move(c);
          loop_.Stop();
        });
    returned = true;
    RunLoop();
    if (!result.has_value()) return absl::UnknownError("it never ended");
    return *std::move(result);
  }

  // Two ends of a connection.
  void MakePair() {
    auto listener =
        network_.Listen("127.0.0.1:0", [this](std::unique_ptr<Connection> c) {
          there_ = std::move(c);
          if (here_ != nullptr) loop_.Stop();
        });
    ASSERT_TRUE(listener.ok()) << listener.status();
    auto dial =
        network_.Dial((*listener)->address(),
                      [this](absl::StatusOr<std::unique_ptr<Connection>> c) {
                        ASSERT_TRUE(c.ok()) << c.status();
                        here_ = *std::move(c);
                        if (there_ != nullptr) loop_.Stop();
                      });
    RunLoop();
    ASSERT_NE(here_, nullptr);
    ASSERT_NE(there_, nullptr);
  }

  absl::StatusOr<std::string> Read(Connection* c, size_t max = 1000) {
    absl::StatusOr<std::string> result = absl::UnknownError("it never ended");
    c->Read(max, [&](absl::StatusOr<Buffer> bytes) {
      if (bytes.ok()) {
        result = std::string(bytes->view());
      } else {
        result = bytes.status();
      }
      loop_.Stop();
    });
    RunLoop();
    return result;
  }
  absl::Status Write(Connection* c, const std::string& text) {
    absl::Status result = absl::UnknownError("it never ended");
    c->Write({Buffer::Copy(text)}, [&](absl::Status s) {
      result = std::move(s);
      loop_.Stop();
    });
    RunLoop();
    return result;
  }
  absl::Status Shutdown(Connection* c) {
    absl::Status result = absl::UnknownError("it never ended");
    c->Shutdown([&](absl::Status s) {
      result = std::move(s);
      loop_.Stop();
    });
    RunLoop();
    return result;
  }

  EpollLoop loop_;
  TcpNetwork network_{&loop_};
  std::unique_ptr<Connection> here_;
  std::unique_ptr<Connection> there_;
};

TEST_F(TcpTest, Echo) {
  ASSERT_NO_FATAL_FAILURE(MakePair());
  ASSERT_TRUE(Write(here_.get(), "hello").ok());
  EXPECT_EQ(*Read(there_.get()), "hello");
  ASSERT_TRUE(Write(there_.get(), "and back").ok());
  EXPECT_EQ(*Read(here_.get(), 3), "and");
  EXPECT_EQ(*Read(here_.get()), " back");
  EXPECT_THAT(here_->Describe(), HasSubstr("127.0.0.1:"));
}

TEST_F(TcpTest, AHalfCloseIsAnEndAndTheOtherDirectionGoesOn) {
  ASSERT_NO_FATAL_FAILURE(MakePair());
  ASSERT_TRUE(Write(here_.get(), "last words").ok());
  ASSERT_TRUE(Shutdown(here_.get()).ok());
  EXPECT_EQ(*Read(there_.get()), "last words");
  EXPECT_EQ(*Read(there_.get()), "");
  ASSERT_TRUE(Write(there_.get(), "an answer").ok());
  ASSERT_TRUE(Shutdown(there_.get()).ok());
  EXPECT_EQ(*Read(here_.get()), "an answer");
  EXPECT_EQ(*Read(here_.get()), "");
}

TEST_F(TcpTest, AnAbortIsAnErrorForThePeerAndNoEnd) {
  ASSERT_NO_FATAL_FAILURE(MakePair());
  there_->Abort();
  there_ = nullptr;
  auto read = Read(here_.get());
  EXPECT_TRUE(absl::IsUnavailable(read.status())) << read.status();
}

TEST_F(TcpTest, AnAbortEndsOwnOperations) {
  ASSERT_NO_FATAL_FAILURE(MakePair());
  absl::Status read;
  here_->Read(100, [&](absl::StatusOr<Buffer> bytes) {
    read = bytes.status();
    loop_.Stop();
  });
  here_->Abort();
  EXPECT_TRUE(read.ok());  // not inside the call
  RunLoop();
  EXPECT_TRUE(absl::IsCancelled(read)) << read;
}

TEST_F(TcpTest, DestroyingAConnectionDropsItsCompletions) {
  ASSERT_NO_FATAL_FAILURE(MakePair());
  here_->Read(100, [](absl::StatusOr<Buffer>) { FAIL() << "it is gone"; });
  here_->Write({Buffer::Copy("x")},
               [](absl::Status) { FAIL() << "it is gone"; });
  here_ = nullptr;
  while (true) {
    auto read = Read(there_.get());
    if (!read.ok() || read->empty()) break;
  }
}

// Sends `left` bytes of a pattern, a write at a time.
class Sender {
 public:
  Sender(Connection* c, size_t total) : connection_(c), total_(total) {}
  void Next() {
    if (sent_ == total_) {
      connection_->Shutdown([](absl::Status s) { EXPECT_TRUE(s.ok()) << s; });
      return;
    }
    Buffers parts;
    for (size_t size : {size_t{1}, size_t{70000}, size_t{333}}) {
      size_t n = std::min(size, total_ - sent_);
      if (n == 0) continue;
      Buffer part = Buffer::Uninitialized(n);
      for (size_t i = 0; i < n; ++i) part.data_mutable()[i] = At(sent_ + i);
      sent_ += n;
      parts.push_back(std::move(part));
    }
    connection_->Write(std::move(parts), [this](absl::Status s) {
      ASSERT_TRUE(s.ok()) << s;
      ++writes_done_;
      Next();
    });
  }
  static char At(size_t i) { return static_cast<char>(i * 31 + i / 251); }
  size_t sent() const { return sent_; }

 private:
  Connection* const connection_;
  const size_t total_;
  size_t sent_ = 0;
  size_t writes_done_ = 0;
};

TEST_F(TcpTest, ABigTransferIsByteExactAndASlowReaderHoldsItsSenderBack) {
  constexpr size_t kTotal = 64 << 20;
  ASSERT_NO_FATAL_FAILURE(MakePair());
  Sender sender(here_.get(), kTotal);
  sender.Next();
  // Nobody reads: the sender comes to a stop. (Until it stands still for
  // some rounds; if it never did, it would end, and that is the failure.)
  size_t before = 0;
  for (int still = 0; still < 20;) {
    Timer pause = loop_.After(1ms, [this] { loop_.Stop(); });
    loop_.Run();
    still = sender.sent() == before ? still + 1 : 0;
    before = sender.sent();
  }
  EXPECT_LT(sender.sent(), kTotal);
  size_t got = 0;
  while (true) {
    auto bytes = Read(there_.get(), 100000);
    ASSERT_TRUE(bytes.ok()) << bytes.status();
    if (bytes->empty()) break;
    ASSERT_LE(bytes->size(), 100000u);
    for (char c : *bytes) {
      ASSERT_EQ(c, Sender::At(got)) << "at " << got;
      ++got;
    }
  }
  EXPECT_EQ(got, kTotal);
}

TEST_F(TcpTest, ARefusedDialSaysSo) {
  auto listener = network_.Listen("127.0.0.1:0", [](auto) {});
  ASSERT_TRUE(listener.ok()) << listener.status();
  Address address = (*listener)->address();
  listener->reset();
  auto dialled = Dial(address);
  EXPECT_TRUE(absl::IsUnavailable(dialled.status())) << dialled.status();
  EXPECT_THAT(std::string(dialled.status().message()), HasSubstr("refused"));
  EXPECT_THAT(std::string(dialled.status().message()), HasSubstr(address));
}

TEST_F(TcpTest, ADroppedDialReportsNothing) {
  auto listener = network_.Listen("127.0.0.1:0", [](auto) {});
  ASSERT_TRUE(listener.ok()) << listener.status();
  network_
      .Dial((*listener)->address(), [](auto) { FAIL() << "it was dropped"; })
      .reset();
  EXPECT_TRUE(Dial((*listener)->address()).ok());
}

TEST_F(TcpTest, APortInUse) {
  auto listener = network_.Listen("127.0.0.1:0", [](auto) {});
  ASSERT_TRUE(listener.ok()) << listener.status();
  auto second = network_.Listen((*listener)->address(), [](auto) {});
  EXPECT_TRUE(absl::IsAlreadyExists(second.status())) << second.status();
  EXPECT_THAT(std::string(second.status().message()), HasSubstr("in use"));
}

TEST_F(TcpTest, BadAddresses) {
  for (const char* bad :
       {"", ":", "nonsense", ":80", "host:", "host:x", "host:65536", "host:-1",
        "::1:80", "[::1]", "[]:1", "ho st:1", "host\n:1"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(ParseAddress(bad).status())) << bad;
    EXPECT_TRUE(
        absl::IsInvalidArgument(network_.Listen(bad, [](auto) {}).status()))
        << bad;
    auto dialled = Dial(bad);
    EXPECT_TRUE(absl::IsInvalidArgument(dialled.status())) << bad;
    EXPECT_THAT(std::string(dialled.status().message()),
                HasSubstr("expected HOST:PORT"));
  }
}

TEST_F(TcpTest, GoodAddresses) {
  auto name = ParseAddress("some.host:7400");
  ASSERT_TRUE(name.ok());
  EXPECT_EQ(name->host, "some.host");
  EXPECT_EQ(name->port, 7400);
  auto v6 = ParseAddress("[::1]:1");
  ASSERT_TRUE(v6.ok());
  EXPECT_EQ(v6->host, "::1");
  EXPECT_EQ(v6->port, 1);
}

}  // namespace
}  // namespace holdfast
