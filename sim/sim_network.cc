#include "sim/sim_network.h"

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "engine/base/callback_scope.h"
#include "engine/base/check.h"
#include "engine/base/crc32c.h"

namespace holdfast {
namespace {

constexpr ChanceSite kDelay("net/delay");
constexpr ChanceSite kTail("net/tail");
constexpr ChanceSite kReset("net/reset");
constexpr ChanceSite kShortRead("net/short_read");

constexpr Duration kSynRetry = 200ms;
constexpr Duration kLocalDelay = 1us;

// The machine in "mN:PORT"; 0 if it isn't one.
MachineId MachineOf(const Address& address) {
  absl::string_view rest = address;
  MachineId machine = 0;
  if (!absl::ConsumePrefix(&rest, "m")) return 0;
  rest = rest.substr(0, rest.find(':'));
  return absl::SimpleAtoi(rest, &machine) ? machine : 0;
}

}  // namespace

// One end of a stream in a process's hands.
class SimConnection final : public Connection {
 public:
  SimConnection(NetworkFabric* fabric, SimProcess* process,
                NetworkFabric::StreamPtr stream, int side)
      : fabric_(fabric),
        process_(process),
        stream_(std::move(stream)),
        side_(side) {
    end().process = process;
    end().machine = process->machine();
    end().connection = this;
  }
  ~SimConnection() override {
    end().connection = nullptr;
    if (process_->alive()) fabric_->Leave(stream_, side_);
  }

  void Read(size_t max, ResultFn<Buffer> done) override {
    if (!process_->BeginIo()) return;
    CHECK(!read_done_);
    read_max_ = max;
    read_done_ = std::move(done);
    if (Readable()) CompleteReadSoon();
  }

  void Write(Buffers data, DoneFn done) override {
    if (!process_->BeginIo()) return;
    CHECK(!write_done_);
    CHECK(!shut_down_);
    write_done_ = std::move(done);
    pending_ = Flatten(data);
    process_->world()->trace.Bytes(Crc32c(pending_.view()), pending_.size());
    SendSome();
  }

  void Shutdown(DoneFn done) override {
    if (!process_->BeginIo()) return;
    CHECK(!write_done_);
    shut_down_ = true;
    if (end().broken.ok()) {
      fabric_->Send(stream_, side_,
                    {NetworkFabric::Segment::Kind::kEnd, Buffer()});
    }
    Schedule(EventKind::kWriteDone,
             [done = std::move(done), broken = end().broken]() mutable {
               done(broken);
             });
  }

  void Abort() override {
    if (!process_->BeginIo()) return;
    fabric_->Leave(stream_, side_);
    OnBroken(absl::CancelledError("the connection was aborted"));
  }

  std::string Describe() const override {
    return NetworkFabric::AddressOf(stream_->ends[1 - side_].machine);
  }

  // --- The fabric's calls ---

  void OnReceived() {
    if (read_done_ && !completing_read_) CompleteReadSoon();
  }
  void OnCredit() {
    if (write_done_ && !completing_write_) SendSome();
  }
  void OnBroken(absl::Status why) {
    if (end().broken.ok()) end().broken = std::move(why);
    OnReceived();
    if (write_done_ && !completing_write_) CompleteWriteSoon();
  }

 private:
  NetworkFabric::End& end() { return stream_->ends[side_]; }
  bool Readable() {
    return end().received_bytes > 0 || end().end_received || !end().broken.ok();
  }

  void Schedule(EventKind kind, Task task) {
    process_->world()->scheduler.At(process_->world()->now() + kLocalDelay,
                                    process_->actor(), kind,
                                    scope_.Wrap(std::move(task)));
  }

  void CompleteReadSoon() {
    completing_read_ = true;
    Schedule(EventKind::kReadDone, [this] {
      completing_read_ = false;
      absl::StatusOr<Buffer> result = TakeReceived();
      ResultFn<Buffer> done = std::move(read_done_);
      done(std::move(result));
    });
  }

  absl::StatusOr<Buffer> TakeReceived() {
    NetworkFabric::End& e = end();
    // A reset throws away what wasn't read.
    if (!e.broken.ok()) return e.broken;
    if (e.received_bytes == 0) return Buffer();
    size_t n = std::min(read_max_, e.received_bytes);
    std::optional<uint64_t> cut = process_->world()->chance.Fault(
        kShortRead, process_->chance_actor(), fabric_->draws_++,
        fabric_->options_.short_read_ppm);
    if (cut.has_value() && n > 1) {
      ++fabric_->counts_.short_reads;
      n = 1 + Below(*cut, n - 1);
    }
    Buffer out = Buffer::Uninitialized(n);
    char* to = out.data_mutable();
    size_t have = 0;
    while (have < n) {
      const Buffer& front = e.received.front();
      size_t taken = std::min(front.size(), n - have);
      std::memcpy(to + have, front.data(), taken);
      have += taken;
      DropFront(&e.received, taken);
    }
    e.received_bytes -= n;
    fabric_->Credit(stream_, 1 - side_, n);
    return out;
  }

  void SendSome() {
    NetworkFabric::End& e = end();
    if (!e.broken.ok()) return CompleteWriteSoon();
    size_t window = fabric_->options_.window_bytes;
    size_t room = window > e.outstanding ? window - e.outstanding : 0;
    size_t n = std::min(room, pending_.size());
    if (n > 0) {
      Buffer part = pending_.Slice(0, n);
      pending_ = pending_.SliceFrom(n);
      std::optional<uint64_t> reset = process_->world()->chance.Fault(
          kReset, process_->chance_actor(), fabric_->draws_++,
          fabric_->options_.reset_ppm);
      if (reset.has_value()) {
        ++fabric_->counts_.resets;
        part = part.Slice(0, Below(*reset, n));
      }
      e.outstanding += part.size();
      if (!part.empty()) {
        fabric_->Send(stream_, side_,
                      {NetworkFabric::Segment::Kind::kData, std::move(part)});
      }
      if (reset.has_value()) {
        fabric_->Send(stream_, side_,
                      {NetworkFabric::Segment::Kind::kReset, Buffer()});
        return OnBroken(absl::UnavailableError("connection reset"));
      }
    }
    if (pending_.empty()) CompleteWriteSoon();
  }

  void CompleteWriteSoon() {
    completing_write_ = true;
    Schedule(EventKind::kWriteDone, [this] {
      completing_write_ = false;
      pending_ = Buffer();
      DoneFn done = std::move(write_done_);
      done(end().broken);
    });
  }

  NetworkFabric* const fabric_;
  SimProcess* const process_;
  const NetworkFabric::StreamPtr stream_;
  const int side_;
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
              AcceptFn accept)
      : fabric_(fabric),
        process_(process),
        address_(std::move(address)),
        accept_(std::move(accept)) {
    fabric_->listeners_[address_] = this;
  }
  ~SimListener() override {
    auto it = fabric_->listeners_.find(address_);
    if (it != fabric_->listeners_.end() && it->second == this) {
      fabric_->listeners_.erase(it);
    }
  }
  Address address() const override { return address_; }

  SimProcess* process() const { return process_; }
  void Accept(std::unique_ptr<Connection> connection) {
    accept_(std::move(connection));
  }

 private:
  NetworkFabric* const fabric_;
  SimProcess* const process_;
  const Address address_;
  AcceptFn accept_;
};

// One dial: the request travels, is accepted, refused or lost, and the answer
// travels back.
class SimDial final : public PendingOp {
 public:
  SimDial(NetworkFabric* fabric, SimProcess* process, Address address,
          ConnectDone done)
      : fabric_(fabric),
        process_(process),
        address_(std::move(address)),
        target_(MachineOf(address_)),
        done_(std::move(done)) {
    Request();
  }

 private:
  World* world() { return process_->world(); }

  void Later(Duration delay, Task task) {
    world()->scheduler.At(world()->now() + delay, process_->actor(),
                          EventKind::kDial, scope_.Wrap(std::move(task)));
  }

  void Request() {
    MachineId from = process_->machine();
    if (target_ == 0) {
      return Later(kLocalDelay, [this] {
        Finish(absl::UnavailableError(
            absl::StrCat(address_, ": no such machine")));
      });
    }
    Later(fabric_->Delay(from, target_, 0), [this] { OnArrived(); });
  }

  void OnArrived() {
    MachineId from = process_->machine();
    auto up = fabric_->up_.find(target_);
    bool silent = up != fabric_->up_.end() && !up->second;
    if (silent || fabric_->Cut(from, target_) || fabric_->Cut(target_, from)) {
      return Later(kSynRetry, [this] { Request(); });
    }
    auto it = fabric_->listeners_.find(address_);
    if (it == fabric_->listeners_.end() || !it->second->process()->alive()) {
      return Later(fabric_->Delay(target_, from, 0), [this] {
        Finish(absl::UnavailableError(
            absl::StrCat(address_, ": connection refused")));
      });
    }
    auto stream = std::make_shared<NetworkFabric::Stream>();
    stream->id = fabric_->next_stream_++;
    fabric_->streams_[stream->id] = stream;
    ++fabric_->counts_.connections;
    SimProcess* acceptor = it->second->process();
    auto accepted =
        std::make_unique<SimConnection>(fabric_, acceptor, stream, 1);
    // The dialler's end stands from now on, so that bytes may arrive.
    connection_ = std::make_unique<SimConnection>(fabric_, process_, stream, 0);
    NetworkFabric* fabric = fabric_;
    world()->scheduler.At(
        world()->now(), acceptor->actor(), EventKind::kAccept,
        [fabric, address = address_, accepted = std::move(accepted)]() mutable {
          auto listener = fabric->listeners_.find(address);
          if (listener == fabric->listeners_.end()) return;
          listener->second->Accept(std::move(accepted));
        });
    Later(fabric_->Delay(target_, from, 0),
          [this] { Finish(std::move(connection_)); });
  }

  void Finish(absl::StatusOr<std::unique_ptr<Connection>> result) {
    ConnectDone done = std::move(done_);
    done(std::move(result));  // may destroy this
  }

  NetworkFabric* const fabric_;
  SimProcess* const process_;
  const Address address_;
  const MachineId target_;
  ConnectDone done_;
  std::unique_ptr<SimConnection> connection_;
  CallbackScope scope_;
};

// --- NetworkFabric ---

NetworkFabric::NetworkFabric(World* world, SimNetworkOptions options)
    : world_(world), options_(options) {}

NetworkFabric::~NetworkFabric() = default;

Address NetworkFabric::AddressOf(MachineId machine) {
  return absl::StrCat("m", machine, ":7400");
}

Duration NetworkFabric::Delay(MachineId from, MachineId to, size_t bytes) {
  ChanceActor link{from * 1000 + to, 0};
  uint64_t ordinal = draws_++;
  uint64_t span = static_cast<uint64_t>(
      (options_.delay_max - options_.delay_min).count() + 1);
  Duration delay =
      options_.delay_min + Duration(static_cast<int64_t>(world_->chance.Below(
                               kDelay, link, ordinal, span)));
  delay +=
      Duration(static_cast<int64_t>(bytes * 1000000000 / options_.bytes_per_s));
  std::optional<uint64_t> tail =
      world_->chance.Fault(kTail, link, ordinal, options_.tail_ppm);
  if (tail.has_value()) {
    ++counts_.tails;
    delay += Duration(static_cast<int64_t>(
        Below(*tail, static_cast<uint64_t>(options_.tail_max.count()))));
  }
  if (auto it = slow_.find(Link{from, to}); it != slow_.end()) {
    delay += it->second;
  }
  return delay;
}

void NetworkFabric::Send(const StreamPtr& stream, int from, Segment segment) {
  ++counts_.segments;
  End& sender = stream->ends[from];
  Duration delay = Delay(sender.machine, stream->ends[1 - from].machine,
                         segment.data.size());
  TrueTime arrival = std::max(world_->now() + delay, sender.last_arrival);
  sender.last_arrival = arrival;
  world_->scheduler.At(
      arrival, kWorldActor, EventKind::kDeliver,
      [this, stream, from, segment = std::move(segment)]() mutable {
        Arrive(stream, from, std::move(segment));
      });
}

void NetworkFabric::Arrive(const StreamPtr& stream, int from, Segment segment) {
  End& sender = stream->ends[from];
  End& receiver = stream->ends[1 - from];
  if (Cut(sender.machine, receiver.machine) || !sender.held.empty()) {
    ++counts_.held;
    sender.held.push_back(std::move(segment));
    return;
  }
  if (receiver.connection == nullptr) {
    // Nobody is there. A machine that is up says so, one that is down doesn't.
    auto up = up_.find(receiver.machine);
    bool silent = up != up_.end() && !up->second;
    if (segment.kind == Segment::Kind::kReset) return;
    if (silent) {
      ++counts_.half_open;
      return;
    }
    Send(stream, 1 - from, {Segment::Kind::kReset, Buffer()});
    return;
  }
  switch (segment.kind) {
    case Segment::Kind::kData:
      receiver.received_bytes += segment.data.size();
      receiver.received.push_back(std::move(segment.data));
      break;
    case Segment::Kind::kEnd:
      receiver.end_received = true;
      break;
    case Segment::Kind::kReset:
      return Break(stream, 1 - from,
                   absl::UnavailableError("connection reset by peer"));
  }
  receiver.connection->OnReceived();
}

void NetworkFabric::Break(const StreamPtr& stream, int end, absl::Status why) {
  SimConnection* connection = stream->ends[end].connection;
  if (connection != nullptr) connection->OnBroken(std::move(why));
}

void NetworkFabric::Credit(const StreamPtr& stream, int from, size_t bytes) {
  // As TCP's window: what was read makes room at once (its delay is in that
  // of the bytes).
  End& sender = stream->ends[from];
  CHECK_LE(bytes, sender.outstanding);
  sender.outstanding -= bytes;
  if (sender.connection == nullptr) return;
  world_->scheduler.At(world_->now() + options_.delay_min, kWorldActor,
                       EventKind::kCredit, [stream, from] {
                         SimConnection* c = stream->ends[from].connection;
                         if (c != nullptr) c->OnCredit();
                       });
}

void NetworkFabric::Leave(const StreamPtr& stream, int end) {
  if (!stream->ends[end].broken.ok()) return;
  stream->ends[end].broken = absl::CancelledError("the connection is gone");
  Send(stream, end, {Segment::Kind::kReset, Buffer()});
}

void NetworkFabric::ProcessDied(const SimProcess& process, bool power_lost) {
  std::vector<StreamPtr> streams;
  for (auto it = streams_.begin(); it != streams_.end();) {
    if (StreamPtr stream = it->second.lock()) {
      streams.push_back(std::move(stream));
      ++it;
    } else {
      it = streams_.erase(it);
    }
  }
  for (const StreamPtr& stream : streams) {
    for (int side : {0, 1}) {
      End& e = stream->ends[side];
      if (e.process != &process) continue;
      e.process = nullptr;
      e.connection = nullptr;
      bool was_whole = e.broken.ok();
      e.broken = absl::CancelledError("the process died");
      if (power_lost) {
        e.held.clear();
      } else if (was_whole) {
        Send(stream, side, {Segment::Kind::kReset, Buffer()});
      }
    }
  }
  for (auto it = listeners_.begin(); it != listeners_.end();) {
    it = it->second->process() == &process ? listeners_.erase(it)
                                           : std::next(it);
  }
}

void NetworkFabric::SetCut(MachineId from, MachineId to, bool cut) {
  if (cut) {
    cuts_[Link{from, to}] = true;
    return;
  }
  if (cuts_.erase(Link{from, to}) == 0) return;
  // What was held gets through now, in order.
  for (const auto& [id, weak] : streams_) {
    StreamPtr stream = weak.lock();
    if (stream == nullptr) continue;
    for (int side : {0, 1}) {
      End& sender = stream->ends[side];
      if (sender.machine != from || stream->ends[1 - side].machine != to) {
        continue;
      }
      std::deque<Segment> held = std::move(sender.held);
      sender.held.clear();
      for (Segment& segment : held) Send(stream, side, std::move(segment));
    }
  }
}

void NetworkFabric::SetSlow(MachineId from, MachineId to, Duration delay) {
  if (delay == Duration::zero()) {
    slow_.erase(Link{from, to});
  } else {
    slow_[Link{from, to}] = delay;
  }
}

void NetworkFabric::HealAll() {
  while (!cuts_.empty()) {
    Link link = cuts_.begin()->first;
    SetCut(link.first, link.second, false);
  }
  slow_.clear();
}

// --- SimNetwork ---

absl::StatusOr<std::unique_ptr<Listener>> SimNetwork::Listen(
    const Address& address, AcceptFn accept) {
  if (!process_->BeginIo()) return absl::UnavailableError("the process died");
  if (fabric_->listeners_.contains(address)) {
    return absl::AlreadyExistsError(
        absl::StrCat("listen on ", address, ": the port is in use"));
  }
  return std::make_unique<SimListener>(fabric_, process_, address,
                                       std::move(accept));
}

std::unique_ptr<PendingOp> SimNetwork::Dial(const Address& address,
                                            ConnectDone done) {
  if (!process_->BeginIo()) return nullptr;
  return std::make_unique<SimDial>(fabric_, process_, address, std::move(done));
}

}  // namespace holdfast
