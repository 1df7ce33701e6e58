#include "engine/peer/testing/memory_network.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"

namespace holdfast {
namespace {

// One direction.
struct Pipe {
  Buffers data;
  size_t bytes = 0;
  bool ended = false;
  bool broken = false;
  MemoryConnection* reader = nullptr;
  MemoryConnection* writer = nullptr;
};

}  // namespace

class MemoryConnection final : public Connection {
 public:
  MemoryConnection(MemoryNetwork* network, std::shared_ptr<Pipe> in,
                   std::shared_ptr<Pipe> out)
      : network_(network), id_(network->next_id_++), in_(in), out_(out) {
    in_->reader = this;
    out_->writer = this;
    network_->connections_.emplace(id_, this);
  }
  ~MemoryConnection() override {
    network_->connections_.erase(id_);
    in_->reader = nullptr;
    out_->writer = nullptr;
    Break();
  }

  void Read(size_t max, ResultFn<Buffer> done) override {
    CHECK(!read_done_);
    CHECK_GT(max, 0u);
    ++network_->reads_;
    read_max_ = max;
    read_done_ = std::move(done);
    TryRead();
  }
  void Write(Buffers data, DoneFn done) override {
    CHECK(!write_done_ && !shut_down_);
    CHECK_GT(TotalSize(data), 0u);
    ++network_->writes_;
    writing_ = std::move(data);
    write_done_ = std::move(done);
    TryWrite();
  }
  void Shutdown(DoneFn done) override {
    CHECK(!write_done_ && !shut_down_);
    shut_down_ = true;
    out_->ended = true;
    if (out_->reader != nullptr) out_->reader->TryRead();
    shutdown_done_ = std::move(done);
    shutdown_timer_ = network_->loop_->After(
        0ns, [this] { shutdown_done_(absl::OkStatus()); });
  }
  void Abort() override {
    aborted_ = true;
    Break();
    TryRead();
    TryWrite();
  }
  std::string Describe() const override { return absl::StrCat("memory:", id_); }

  void TryRead() {
    if (!read_done_) return;
    const bool ready =
        aborted_ ||
        (!network_->black_hole_ && (in_->bytes > 0 || in_->ended)) ||
        in_->broken;
    if (!ready) return;
    read_timer_ = network_->loop_->After(0ns, [this] { FinishRead(); });
  }
  void TryWrite() {
    if (!write_done_) return;
    if (!out_->broken && !aborted_) {
      MoveBytes();
      if (!writing_.empty()) return;
    }
    write_timer_ = network_->loop_->After(0ns, [this] { FinishWrite(); });
  }
  void Break() {
    for (Pipe* pipe : {in_.get(), out_.get()}) {
      pipe->broken = true;
      if (pipe->reader != nullptr) pipe->reader->TryRead();
      if (pipe->writer != nullptr) pipe->writer->TryWrite();
    }
  }

 private:
  void MoveBytes() {
    bool moved = false;
    while (!writing_.empty() && out_->bytes < network_->capacity_) {
      const size_t n =
          std::min(writing_.front().size(), network_->capacity_ - out_->bytes);
      if (n > 0) {
        out_->data.push_back(
            Buffer::Copy(writing_.front().view().substr(0, n)));
      }
      out_->bytes += n;
      DropFront(&writing_, n);
      moved = true;
    }
    if (moved && out_->reader != nullptr) out_->reader->TryRead();
  }

  void FinishRead() {
    ResultFn<Buffer> done = std::move(read_done_);
    if (aborted_) return done(absl::CancelledError("aborted"));
    if (in_->bytes > 0 && !network_->black_hole_) {
      const size_t n = std::min({in_->bytes, read_max_, network_->read_max_});
      Buffer bytes = Buffer::Uninitialized(n);
      char* to = bytes.data_mutable();
      size_t have = 0;
      for (const Buffer& piece : in_->data) {
        const size_t take = std::min(piece.size(), n - have);
        std::memcpy(to + have, piece.data(), take);
        have += take;
        if (have == n) break;
      }
      DropFront(&in_->data, n);
      in_->bytes -= n;
      if (in_->writer != nullptr) in_->writer->TryWrite();
      return done(std::move(bytes));
    }
    if (in_->ended && in_->bytes == 0) return done(Buffer());
    done(absl::UnavailableError("connection reset"));
  }

  void FinishWrite() {
    DoneFn done = std::move(write_done_);
    const bool failed = !writing_.empty();
    writing_.clear();
    if (aborted_) return done(absl::CancelledError("aborted"));
    if (failed) return done(absl::UnavailableError("connection reset"));
    done(absl::OkStatus());
  }

  MemoryNetwork* const network_;
  const uint64_t id_;
  const std::shared_ptr<Pipe> in_;
  const std::shared_ptr<Pipe> out_;
  size_t read_max_ = 0;
  ResultFn<Buffer> read_done_;
  Buffers writing_;
  DoneFn write_done_;
  DoneFn shutdown_done_;
  bool shut_down_ = false;
  bool aborted_ = false;
  Timer read_timer_;
  Timer write_timer_;
  Timer shutdown_timer_;
};

class MemoryNetwork::MemoryListener final : public Listener {
 public:
  MemoryListener(MemoryNetwork* network, Address address, AcceptFn accept)
      : network_(network),
        address_(std::move(address)),
        accept_(std::move(accept)) {}
  ~MemoryListener() override { network_->listeners_.erase(address_); }
  Address address() const override { return address_; }
  void Accept(std::unique_ptr<Connection> connection) {
    accept_(std::move(connection));
  }

 private:
  MemoryNetwork* const network_;
  const Address address_;
  AcceptFn accept_;
};

class MemoryNetwork::MemoryDial final : public PendingOp {
 public:
  MemoryDial(MemoryNetwork* network, Address address, ConnectDone done)
      : network_(network),
        address_(std::move(address)),
        done_(std::move(done)) {
    Try();
  }

 private:
  void Try() {
    timer_ = network_->loop_->After(network_->black_hole_ ? 10ms : 0ms,
                                    [this] { Finish(); });
  }
  void Finish() {
    if (network_->black_hole_) return Try();
    ConnectDone done = std::move(done_);
    auto it = network_->listeners_.find(address_);
    if (it == network_->listeners_.end()) {
      return done(absl::UnavailableError("connection refused"));
    }
    auto [dialled, accepted] = network_->Pair();
    it->second->Accept(std::move(accepted));
    done(std::move(dialled));
  }

  MemoryNetwork* const network_;
  const Address address_;
  ConnectDone done_;
  Timer timer_;
};

MemoryNetwork::~MemoryNetwork() { CHECK(connections_.empty()); }

absl::StatusOr<std::unique_ptr<Listener>> MemoryNetwork::Listen(
    const Address& address, AcceptFn accept) {
  if (listeners_.count(address) > 0) {
    return absl::AlreadyExistsError(absl::StrCat(address, " is in use"));
  }
  auto listener =
      std::make_unique<MemoryListener>(this, address, std::move(accept));
  listeners_.emplace(address, listener.get());
  return listener;
}

std::unique_ptr<PendingOp> MemoryNetwork::Dial(const Address& address,
                                               ConnectDone done) {
  ++dials_;
  return std::make_unique<MemoryDial>(this, address, std::move(done));
}

std::pair<std::unique_ptr<Connection>, std::unique_ptr<Connection>>
MemoryNetwork::Pair() {
  auto there = std::make_shared<Pipe>();
  auto back = std::make_shared<Pipe>();
  auto first = std::make_unique<MemoryConnection>(this, back, there);
  auto second = std::make_unique<MemoryConnection>(this, there, back);
  return {std::move(first), std::move(second)};
}

void MemoryNetwork::set_black_hole(bool on) {
  black_hole_ = on;
  for (auto& [id, connection] : connections_) connection->TryRead();
}

void MemoryNetwork::ResetAll() {
  for (auto& [id, connection] : connections_) connection->Break();
}

}  // namespace holdfast
