#include "sim/sim_connection.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "engine/base/check.h"
#include "engine/base/crc32c.h"
#include "engine/base/random.h"
#include "sim/fault_sites.h"

namespace holdfast {
namespace {

constexpr Duration kSynRetry = 200ms;
constexpr Duration kLocalDelay = 1us;

}  // namespace

MachineId MachineOfAddress(const Address& address) {
  absl::string_view rest = address;
  if (!absl::ConsumePrefix(&rest, "m")) return 0;
  const size_t colon = rest.find(':');
  if (colon == absl::string_view::npos) return 0;
  MachineId machine = 0;
  uint32_t port = 0;
  if (!absl::SimpleAtoi(rest.substr(colon + 1), &port) || port > 65535) {
    return 0;
  }
  return absl::SimpleAtoi(rest.substr(0, colon), &machine) ? machine : 0;
}

// --- SimConnection ---

SimConnection::SimConnection(NetworkFabric* fabric, SimProcess* process,
                             NetworkFabric::StreamPtr stream, int side)
    : fabric_(fabric),
      process_(process),
      stream_(std::move(stream)),
      side_(side),
      handle_(process->open_sockets()) {
  end().process = process;
  end().machine = process->machine();
  end().connection = this;
}

SimConnection::~SimConnection() {
  end().connection = nullptr;
  if (process_->alive()) fabric_->Leave(stream_, side_);
}

void SimConnection::Read(size_t max, ResultFn<Buffer> done) {
  CHECK_GT(max, size_t{0});
  if (!process_->BeginIo(SimProcess::Io::kNetwork)) return;
  CHECK(!read_done_);
  read_max_ = max;
  read_done_ = std::move(done);
  if (Readable() && !HeldBack()) CompleteReadSoon();
}

void SimConnection::Write(Buffers data, DoneFn done) {
  if (!process_->BeginIo(SimProcess::Io::kNetwork)) return;
  CHECK(!write_done_);
  CHECK(!shut_down_);
  write_done_ = std::move(done);
  pending_ = Flatten(data);
  if (Observer* observer = process_->world()->observer()) {
    observer->OnWrite(NetworkFabric::DirectionOf(*stream_, side_),
                      pending_.view());
  }
  const uint32_t crc = fabric_->ciphertext_ ? 0 : Crc32c(pending_.view());
  process_->world()->trace.Bytes(crc, pending_.size());
  SendSome();
}

void SimConnection::Shutdown(DoneFn done) {
  if (!process_->BeginIo(SimProcess::Io::kNetwork)) return;
  CHECK(!write_done_);
  shut_down_ = true;
  if (end().broken.ok()) {
    fabric_->Send(stream_, side_, NetworkFabric::Segment::Kind::kEnd, {});
  }
  Schedule(EventKind::kWriteDone,
           [done = std::move(done), broken = end().broken]() mutable {
             done(broken);
           });
}

void SimConnection::Abort() {
  if (!process_->BeginIo(SimProcess::Io::kNetwork)) return;
  fabric_->Leave(stream_, side_);
  OnBroken(absl::CancelledError("the connection was aborted"));
}

std::string SimConnection::Describe() const {
  return NetworkFabric::AddressOf(stream_->ends[1 - side_].machine);
}

void SimConnection::OnBroken(absl::Status why) {
  if (end().broken.ok()) end().broken = std::move(why);
  OnReceived();
  if (waits_for_room()) CompleteWriteSoon();
}

void SimConnection::Schedule(EventKind kind, Task task) {
  process_->world()->scheduler.At(process_->world()->now() + kLocalDelay,
                                  process_->actor(), kind,
                                  scope_.Wrap(std::move(task)));
}

void SimConnection::CompleteReadSoon() {
  completing_read_ = true;
  Schedule(EventKind::kReadDone, [this] {
    completing_read_ = false;
    absl::StatusOr<Buffer> result = TakeReceived();
    ResultFn<Buffer> done = std::move(read_done_);
    done(std::move(result));
  });
}

absl::StatusOr<Buffer> SimConnection::TakeReceived() {
  NetworkFabric::End& e = end();
  // A reset throws away what wasn't read.
  if (!e.broken.ok()) return e.broken;
  if (e.received_bytes == 0) return Buffer();
  size_t n = std::min(read_max_, e.received_bytes);
  const std::optional<uint64_t> cut = process_->world()->chance.Fault(
      faults::kShortRead, process_->chance_actor(), fabric_->draws_++,
      fabric_->options_.short_read_ppm);
  if (cut.has_value() && n > 1) {
    ++fabric_->counts_.short_reads;
    n = 1 + Below(*cut, n - 1);
  }
  Buffer out;
  if (e.received.front().size() >= n) {
    out = e.received.front().Slice(0, n);
    DropFront(&e.received, n);
  } else {
    out = Buffer::Uninitialized(n);
    char* to = out.data_mutable();
    for (size_t have = 0; have < n;) {
      const Buffer& front = e.received.front();
      const size_t taken = std::min(front.size(), n - have);
      std::memcpy(to + have, front.data(), taken);
      have += taken;
      DropFront(&e.received, taken);
    }
  }
  e.received_bytes -= n;
  if (Observer* observer = process_->world()->observer()) {
    observer->OnRead(NetworkFabric::DirectionOf(*stream_, 1 - side_), n);
  }
  fabric_->Credit(stream_, 1 - side_, n);
  return out;
}

void SimConnection::SendSome() {
  NetworkFabric::End& e = end();
  if (!e.broken.ok()) return CompleteWriteSoon();
  const size_t window = fabric_->options_.window_bytes;
  const size_t room = window > e.outstanding ? window - e.outstanding : 0;
  size_t n = std::min(room, pending_.size());
  if (n > 0) {
    n = TakenOf(n);
    Buffer part = pending_.Slice(0, n);
    pending_ = pending_.SliceFrom(n);
    SendPart(std::move(part));
    if (!e.broken.ok()) return;
  }
  if (pending_.empty()) CompleteWriteSoon();
}

size_t SimConnection::TakenOf(size_t bytes) {
  const SimNetworkOptions& options = fabric_->options_;
  World* const world = process_->world();
  const std::optional<uint64_t> cut =
      world->chance.Fault(faults::kShortWrite, process_->chance_actor(),
                          fabric_->draws_++, options.short_write_ppm);
  if (!cut.has_value() || bytes < 2) return bytes;
  ++fabric_->counts_.short_writes;
  world->scheduler.At(world->now() + options.delay_min, process_->actor(),
                      EventKind::kCredit, scope_.Wrap([this] { OnCredit(); }));
  return 1 + Below(*cut, bytes - 1);
}

void SimConnection::SendPart(Buffer part) {
  using Kind = NetworkFabric::Segment::Kind;
  const NetworkFabric::StreamPtr stream = stream_;
  const SimNetworkOptions& options = fabric_->options_;
  Chance& chance = process_->world()->chance;
  const ChanceActor actor = process_->chance_actor();
  const uint64_t ordinal = fabric_->draws_++;
  const std::optional<uint64_t> reset =
      chance.Fault(faults::kReset, actor, ordinal, options.reset_ppm);
  const std::optional<uint64_t> silence =
      chance.Fault(faults::kSilence, actor, ordinal, options.silence_ppm);
  const std::optional<uint64_t> flip =
      chance.Fault(faults::kFlip, actor, ordinal, options.flip_ppm);
  if (reset.has_value()) {
    ++fabric_->counts_.resets;
    fabric_->Tell(IncidentKind::kReset, end().machine,
                  stream->ends[1 - side_].machine);
    part = part.Slice(0, Below(*reset, part.size()));
  }
  if (flip.has_value() && !part.empty()) part = WithAFlip(part, *flip);
  end().outstanding += part.size();
  if (!part.empty()) fabric_->Send(stream, side_, Kind::kData, std::move(part));
  if (silence.has_value() && !stream->silent) {
    ++fabric_->counts_.half_open;
    ++fabric_->counts_.silenced;
    stream->silent = true;
    fabric_->Tell(IncidentKind::kSilence, end().machine,
                  stream->ends[1 - side_].machine);
  }
  if (reset.has_value()) {
    // A reset throws away what the other end hasn't read. Half of them come as
    // a proper end instead, as of a process whose kernel took only a part.
    const uint64_t which =
        faults::IsWritten(*reset) ? *reset : HashCombine(*reset, 1);
    fabric_->Send(stream, side_, which % 2 == 0 ? Kind::kReset : Kind::kEnd,
                  {});
    OnBroken(absl::UnavailableError("connection reset"));
  }
}

Buffer SimConnection::WithAFlip(const Buffer& part, uint64_t value) {
  ++fabric_->counts_.flips;
  fabric_->Tell(IncidentKind::kFlip, end().machine,
                stream_->ends[1 - side_].machine);
  Buffer flipped = Buffer::Copy(part.view());
  const uint64_t bit = Below(value, uint64_t{8} * part.size());
  flipped.data_mutable()[bit / 8] ^= static_cast<char>(1 << bit % 8);
  return flipped;
}

void SimConnection::CompleteWriteSoon() {
  completing_write_ = true;
  Schedule(EventKind::kWriteDone, [this] {
    completing_write_ = false;
    pending_ = Buffer();
    DoneFn done = std::move(write_done_);
    done(end().broken);
  });
}

// --- SimListener ---

SimListener::SimListener(NetworkFabric* fabric, SimProcess* process,
                         Address address, AcceptFn accept)
    : fabric_(fabric),
      process_(process),
      address_(std::move(address)),
      handle_(process->open_sockets()),
      accept_(std::make_shared<AcceptFn>(std::move(accept))) {
  fabric_->listeners_[address_] = this;
}

SimListener::~SimListener() {
  const auto it = fabric_->listeners_.find(address_);
  if (it != fabric_->listeners_.end() && it->second == this) {
    fabric_->listeners_.erase(it);
  }
}

void SimListener::Accept(std::unique_ptr<Connection> connection) {
  process_->CountAccepted();
  const std::shared_ptr<AcceptFn> accept = accept_;
  (*accept)(std::move(connection));
}

// --- SimDial ---

SimDial::SimDial(NetworkFabric* fabric, SimProcess* process, Address address,
                 ConnectDone done)
    : fabric_(fabric),
      process_(process),
      address_(std::move(address)),
      target_(MachineOfAddress(address_)),
      done_(std::move(done)) {
  Request();
}

void SimDial::Later(Duration delay, Task task) {
  world()->scheduler.At(world()->now() + delay, process_->actor(),
                        EventKind::kDial, scope_.Wrap(std::move(task)));
}

void SimDial::Request() {
  if (target_ == 0) {
    return Later(kLocalDelay, [this] {
      Finish(absl::UnavailableError(
          absl::StrCat("dial ", address_, ": no such machine")));
    });
  }
  Later(fabric_->Delay(process_->machine(), target_, 0),
        [this] { OnArrived(); });
}

void SimDial::OnArrived() {
  if (!fabric_->Up(target_) ||
      fabric_->HeldByCut(process_->machine(), target_)) {
    return Later(kSynRetry, [this] { Request(); });
  }
  const bool refused =
      world()
          ->chance
          .Fault(faults::kRefuse, process_->chance_actor(), fabric_->draws_++,
                 fabric_->options_.refuse_ppm)
          .has_value();
  if (refused) {
    ++fabric_->counts_.refused;
    fabric_->Tell(IncidentKind::kRefused, process_->machine(), target_);
  }
  const auto it = fabric_->listeners_.find(address_);
  if (refused || it == fabric_->listeners_.end() ||
      !it->second->process()->alive()) {
    return Later(fabric_->Delay(target_, process_->machine(), 0),
                 [this] { Refuse(); });
  }
  Accept(it->second);
}

void SimDial::Refuse() {
  if (fabric_->HeldByCut(target_, process_->machine())) {
    return Later(kSynRetry, [this] { Request(); });
  }
  Finish(absl::UnavailableError(
      absl::StrCat("dial ", address_, ": connection refused")));
}

void SimDial::Accept(SimListener* listener) {
  auto stream = std::make_shared<NetworkFabric::Stream>();
  stream->id = fabric_->next_stream_++;
  fabric_->streams_[stream->id] = stream;
  ++fabric_->counts_.connections;
  SimProcess* acceptor = listener->process();
  auto accepted = std::make_unique<SimConnection>(fabric_, acceptor, stream, 1);
  // The dialler's end stands from now on, so that bytes may arrive.
  connection_ = std::make_unique<SimConnection>(fabric_, process_, stream, 0);
  world()->scheduler.At(world()->now(), acceptor->actor(), EventKind::kAccept,
                        [fabric = fabric_, address = address_,
                         accepted = std::move(accepted)]() mutable {
                          const auto it = fabric->listeners_.find(address);
                          if (it != fabric->listeners_.end()) {
                            it->second->Accept(std::move(accepted));
                          }
                        });
  Answer();
}

void SimDial::Answer() {
  Later(fabric_->Delay(target_, process_->machine(), 0), [this] {
    // The answer is repeated until it gets through.
    if (fabric_->HeldByCut(target_, process_->machine())) {
      return Later(kSynRetry, [this] { Answer(); });
    }
    Finish(std::move(connection_));
  });
}

void SimDial::Finish(absl::StatusOr<std::unique_ptr<Connection>> result) {
  ConnectDone done = std::move(done_);
  done(std::move(result));  // may destroy this
}

}  // namespace holdfast
