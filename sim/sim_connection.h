#ifndef HOLDFAST_SIM_SIM_CONNECTION_H_
#define HOLDFAST_SIM_SIM_CONNECTION_H_

#include <memory>
#include <string>

#include "engine/base/callback_scope.h"
#include "engine/env/network.h"
#include "sim/sim_network.h"

namespace holdfast {

// The parts of sim/sim_network.h that processes hold in their hands; private
// to the simulated network.

// One end of a stream.
class SimConnection final : public Connection {
 public:
  SimConnection(NetworkFabric* fabric, SimProcess* process,
                NetworkFabric::StreamPtr stream, int side);
  ~SimConnection() override;

  void Read(size_t max, ResultFn<Buffer> done) override;
  void Write(Buffers data, DoneFn done) override;
  void Shutdown(DoneFn done) override;
  void Abort() override;
  std::string Describe() const override;

  // --- The fabric's calls ---

  void OnReceived() {
    if (read_done_ && !completing_read_ && !HeldBack()) CompleteReadSoon();
  }
  // Its machine reads again. Returns whether something had waited for that.
  bool ReadOn() {
    const bool waited = read_done_ && !completing_read_ && Readable();
    if (waited) CompleteReadSoon();
    return waited;
  }
  bool waits_for_room() const { return write_done_ && !completing_write_; }
  // There is room again.
  void OnCredit() {
    if (waits_for_room()) SendSome();
  }
  void OnBroken(absl::Status why);

 private:
  NetworkFabric::End& end() { return stream_->ends[side_]; }
  bool Readable() {
    return end().received_bytes > 0 || end().end_received || !end().broken.ok();
  }
  // Nothing is read from it now, though it may be readable.
  bool HeldBack() {
    return end().broken.ok() && !fabric_->Reads(process_->machine());
  }
  void Schedule(EventKind kind, Task task);
  void CompleteReadSoon();
  void CompleteWriteSoon();
  absl::StatusOr<Buffer> TakeReceived();
  // Of what waits to be sent, as much as there is room for.
  void SendSome();
  // Of so many bytes that there is room for, how many are taken now; for the
  // rest the writer comes again a moment later.
  size_t TakenOf(size_t bytes);
  void SendPart(Buffer part);
  Buffer WithAFlip(const Buffer& part, uint64_t value);

  NetworkFabric* const fabric_;
  SimProcess* const process_;
  const NetworkFabric::StreamPtr stream_;
  const int side_;
  const OpenHandle handle_;
  size_t read_max_ = 0;
  ResultFn<Buffer> read_done_;
  bool completing_read_ = false;
  Buffer pending_;
  DoneFn write_done_;
  bool completing_write_ = false;
  bool shut_down_ = false;
  CallbackScope scope_;
};

class SimListener final : public Listener {
 public:
  SimListener(NetworkFabric* fabric, SimProcess* process, Address address,
              AcceptFn accept);
  ~SimListener() override;
  Address address() const override { return address_; }

  SimProcess* process() const { return process_; }
  // Runs the callback, which may destroy this.
  void Accept(std::unique_ptr<Connection> connection);

 private:
  NetworkFabric* const fabric_;
  SimProcess* const process_;
  const Address address_;
  const OpenHandle handle_;
  const std::shared_ptr<AcceptFn> accept_;
};

// One dial: the request travels, is accepted, refused or lost, and the answer
// travels back. A lost one is repeated for ever, as the caller has a deadline.
class SimDial final : public PendingOp {
 public:
  SimDial(NetworkFabric* fabric, SimProcess* process, Address address,
          ConnectDone done);

 private:
  World* world() { return process_->world(); }
  void Later(Duration delay, Task task);
  void Request();
  void OnArrived();
  void Refuse();
  void Accept(SimListener* listener);
  // The answer is on its way back.
  void Answer();
  void Finish(absl::StatusOr<std::unique_ptr<Connection>> result);

  NetworkFabric* const fabric_;
  SimProcess* const process_;
  const Address address_;
  const MachineId target_;
  ConnectDone done_;
  std::unique_ptr<SimConnection> connection_;
  CallbackScope scope_;
};

// The machine in "mN:PORT"; 0 if it isn't one.
MachineId MachineOfAddress(const Address& address);

}  // namespace holdfast

#endif  // HOLDFAST_SIM_SIM_CONNECTION_H_
