#include "sim/admin_traffic.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "engine/base/buffer.h"
#include "engine/peer/client.pb.h"
#include "engine/peer/message.h"

namespace holdfast {
namespace {

bool IsAdmin(WireType type) {
  return type >= WireType::kJoin && type <= WireType::kTrim;
}

// Others refer to a tail that was asked for.
bool HasAnIdOfItsOwn(WireType type) {
  return type >= WireType::kRegisterSession && type <= WireType::kTrim &&
         type != WireType::kTailCredit && type != WireType::kStopTail;
}

template <typename Header>
Header Parsed(const MessageView& message) {
  Header header;
  // Its checksum was right, and each end reads it as it likes.
  if (!header.ParseFromArray(message.header.data(),
                             static_cast<int>(message.header.size()))) {
    header.Clear();
  }
  return header;
}

// One direction of a connection.
class Messages {
 public:
  template <typename Fn>  // fn(message)
  void Take(const Buffer& bytes, Fn fn) {
    if (broken_ || bytes.empty()) return;
    decoder_.Push(bytes);
    MessageView message;
    while (!broken_) {
      const absl::StatusOr<bool> got = decoder_.Next(&message);
      broken_ = !got.ok();  // a bit was flipped; the connection ends
      if (broken_ || !*got) return;
      fn(message);
    }
  }

 private:
  MessageDecoder decoder_;
  bool broken_ = false;
};

// A client's connection, and what its server has under way there.
class WatchedConnection final : public Connection {
 public:
  WatchedConnection(std::unique_ptr<Connection> connection, AdminTraffic* seen)
      : seen_(seen), connection_(std::move(connection)) {}

  void Read(size_t max, ResultFn<Buffer> done) override {
    connection_->Read(max, [this, done = std::move(done)](
                               absl::StatusOr<Buffer> bytes) mutable {
      if (bytes.ok()) {
        received_.Take(*bytes, [this](const MessageView& m) { OnAnswer(m); });
      }
      done(std::move(bytes));  // may destroy this
    });
  }
  void Write(Buffers data, DoneFn done) override {
    for (const Buffer& bytes : data) {
      sent_.Take(bytes, [this](const MessageView& m) { OnRequest(m); });
    }
    connection_->Write(std::move(data), std::move(done));
  }
  void Shutdown(DoneFn done) override {
    connection_->Shutdown(std::move(done));
  }
  void Abort() override { connection_->Abort(); }
  std::string Describe() const override { return connection_->Describe(); }

 private:
  void OnRequest(const MessageView& message) {
    if (!HasAnIdOfItsOwn(message.type)) return;
    const uint64_t place = ++requests_;
    places_[Parsed<wire::AnswerId>(message).request_id()] = place;
    if (IsAdmin(message.type)) unanswered_.insert(place);
  }

  void OnAnswer(const MessageView& message) {
    if (message.type < WireType::kRegisterSessionAnswer) return;
    const auto it = places_.find(Parsed<wire::AnswerId>(message).request_id());
    if (it == places_.end()) return;
    const uint64_t place = it->second;
    // More may come for a tail.
    if (message.type != WireType::kTailData) places_.erase(it);
    bool was_under_way = unanswered_.erase(place) > 0;
    if (message.type == WireType::kAdminAnswer &&
        Parsed<wire::AdminAnswer>(message).code() == wire::CODE_OVERLOADED) {
      ++seen_->overloaded;
      was_under_way = false;
    } else if (message.type == WireType::kRequestRefused) {
      was_under_way = false;
    }
    const auto before = static_cast<size_t>(
        std::distance(unanswered_.begin(), unanswered_.lower_bound(place)));
    seen_->under_way_max =
        std::max(seen_->under_way_max, before + (was_under_way ? 1 : 0));
  }

  AdminTraffic* const seen_;
  Messages sent_;
  Messages received_;
  uint64_t requests_ = 0;
  std::map<uint64_t, uint64_t> places_;  // by id, in the order of sending
  std::set<uint64_t> unanswered_;        // places of operators' requests
  const std::unique_ptr<Connection> connection_;  // destroyed first
};

class WatchedSecurity final : public Security {
 public:
  WatchedSecurity(std::unique_ptr<Security> security, AdminTraffic* seen)
      : seen_(seen), security_(std::move(security)) {}

  std::unique_ptr<PendingOp> Connect(std::unique_ptr<Connection> raw,
                                     Buffer preface,
                                     const std::string& expected_server,
                                     SecureDone done) override {
    return security_->Connect(
        std::move(raw), std::move(preface), expected_server,
        [seen = seen_, done = std::move(done)](
            absl::StatusOr<SecuredConnection> secured) mutable {
          if (secured.ok()) {
            secured->connection = std::make_unique<WatchedConnection>(
                std::move(secured->connection), seen);
          }
          done(std::move(secured));
        });
  }
  // Clients accept nothing.
  std::unique_ptr<PendingOp> Accept(std::unique_ptr<Connection> raw,
                                    SecureDone done) override {
    return security_->Accept(std::move(raw), std::move(done));
  }

 private:
  AdminTraffic* const seen_;
  const std::unique_ptr<Security> security_;
};

}  // namespace

std::unique_ptr<Security> WatchAdminTraffic(std::unique_ptr<Security> security,
                                            AdminTraffic* seen) {
  return std::make_unique<WatchedSecurity>(std::move(security), seen);
}

}  // namespace holdfast
