#ifndef HOLDFAST_SIM_TESTING_CUT_NETWORK_H_
#define HOLDFAST_SIM_TESTING_CUT_NETWORK_H_

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "engine/base/callback_scope.h"
#include "engine/env/loop.h"
#include "engine/env/network.h"

namespace holdfast {

// What becomes of a connection, at one byte of one of its directions.
struct Cut {
  enum class Kind : uint8_t {
    kNone,
    kReset,    // the reader gets an error, and then the other end a reset
    kEnd,      // the reader gets an end
    kSilence,  // nothing gets through any more, either way
    kFlip,     // the bit of that byte arrives as the other one
  };
  Kind kind = Kind::kNone;
  int side = 0;      // whose bytes: 0, of who dialled; 1, of who accepted
  size_t after = 0;  // bytes of its that are read before
  int bit = 0;       // kFlip: 0 to 7
};

// What two CutNetworks, at the two ends of one connection, have in common.
// Outlives them.
struct CutPlan {
  Cut cut;
  size_t read_max = SIZE_MAX;       // bytes that a read brings
  std::array<size_t, 2> read = {};  // bytes of each side that were read
  bool silent = false;
  int connections = 0;  // ends of connections that somebody holds

  // For the next connection.
  void Begin(const Cut& next) {
    cut = next;
    read = {};
    silent = false;
  }
};

// One end of a connection that is cut at an exact byte, as its reader counts
// them.
class CutConnection final : public Connection {
 public:
  CutConnection(Loop* loop, std::unique_ptr<Connection> inner, CutPlan* plan,
                int side)
      : loop_(loop), plan_(plan), from_(1 - side), inner_(std::move(inner)) {
    ++plan_->connections;
  }
  ~CutConnection() override { --plan_->connections; }

  void Read(size_t max, ResultFn<Buffer> done) override {
    if (plan_->silent) return;  // and never completes
    max = std::min(max, plan_->read_max);
    if (Ends()) {
      const size_t left = plan_->cut.after - plan_->read[from_];
      if (left == 0) return Strike(max, std::move(done));
      max = std::min(max, left);
    }
    inner_->Read(max, [this, done = std::move(done)](
                          absl::StatusOr<Buffer> bytes) mutable {
      if (bytes.ok()) *bytes = Count(*std::move(bytes));
      done(std::move(bytes));
    });
  }
  void Write(Buffers data, DoneFn done) override {
    if (plan_->silent) return Succeed(std::move(done));
    inner_->Write(std::move(data), std::move(done));
  }
  void Shutdown(DoneFn done) override {
    if (plan_->silent) return Succeed(std::move(done));
    inner_->Shutdown(std::move(done));
  }
  void Abort() override { inner_->Abort(); }
  std::string Describe() const override { return inner_->Describe(); }

 private:
  // Whether what is read here has an end before its time.
  bool Ends() const {
    return plan_->cut.side == from_ && plan_->cut.kind != Cut::Kind::kNone &&
           plan_->cut.kind != Cut::Kind::kFlip;
  }

  void Strike(size_t max, ResultFn<Buffer> done) {
    switch (plan_->cut.kind) {
      case Cut::Kind::kReset:
        inner_->Abort();
        return inner_->Read(max, std::move(done));
      case Cut::Kind::kEnd:
        return loop_->Post(scope_.Wrap(
            [done = std::move(done)]() mutable { done(Buffer()); }));
      default:
        plan_->silent = true;
    }
  }

  void Succeed(DoneFn done) {
    loop_->Post(scope_.Wrap(
        [done = std::move(done)]() mutable { done(absl::OkStatus()); }));
  }

  Buffer Count(Buffer bytes) {
    const size_t begin = plan_->read[from_];
    plan_->read[from_] += bytes.size();
    const Cut& cut = plan_->cut;
    if (cut.kind != Cut::Kind::kFlip || cut.side != from_ ||
        cut.after < begin || cut.after >= plan_->read[from_]) {
      return bytes;
    }
    Buffer flipped = Buffer::Copy(bytes.view());
    flipped.data_mutable()[cut.after - begin] ^=
        static_cast<char>(1 << cut.bit);
    return flipped;
  }

  Loop* const loop_;
  CutPlan* const plan_;
  const int from_;  // the side whose bytes are read here
  std::unique_ptr<Connection> inner_;
  CallbackScope scope_;
};

// A process's Network whose connections are cut as the plan says.
class CutNetwork final : public Network {
 public:
  CutNetwork(Loop* loop, Network* network, CutPlan* plan)
      : loop_(loop), network_(network), plan_(plan) {}

  absl::StatusOr<std::unique_ptr<Listener>> Listen(const Address& address,
                                                   AcceptFn accept) override {
    return network_->Listen(
        address, [this, accept = std::move(accept)](
                     std::unique_ptr<Connection> connection) mutable {
          accept(Wrap(std::move(connection), 1));
        });
  }

  std::unique_ptr<PendingOp> Dial(const Address& address,
                                  ConnectDone done) override {
    return network_->Dial(
        address,
        [this, done = std::move(done)](
            absl::StatusOr<std::unique_ptr<Connection>> connection) mutable {
          if (!connection.ok()) return done(connection.status());
          done(Wrap(*std::move(connection), 0));
        });
  }

 private:
  std::unique_ptr<Connection> Wrap(std::unique_ptr<Connection> inner,
                                   int side) {
    return std::make_unique<CutConnection>(loop_, std::move(inner), plan_,
                                           side);
  }

  Loop* const loop_;
  Network* const network_;
  CutPlan* const plan_;
};

}  // namespace holdfast

#endif  // HOLDFAST_SIM_TESTING_CUT_NETWORK_H_
