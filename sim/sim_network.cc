#include "sim/sim_network.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/base/check.h"
#include "sim/fault_sites.h"
#include "sim/sim_connection.h"

namespace holdfast {
namespace {

constexpr ChanceSite kDelay("net/delay");

Duration TimeFor(size_t bytes, uint64_t bytes_per_s) {
  return Duration(static_cast<int64_t>(bytes * 1000000000 / bytes_per_s));
}

}  // namespace

NetworkFabric::NetworkFabric(World* world, SimNetworkOptions options)
    : world_(world), options_(options) {}

NetworkFabric::~NetworkFabric() = default;

Address NetworkFabric::AddressOf(MachineId machine) {
  return absl::StrCat("m", machine, ":7400");
}

// --- The ways ---

Duration NetworkFabric::Delay(MachineId from, MachineId to, size_t bytes) {
  const ChanceActor link{from * 1000 + to, 0};
  const uint64_t ordinal = draws_++;
  const auto span = static_cast<uint64_t>(
      (options_.delay_max - options_.delay_min).count() + 1);
  const uint64_t drawn = world_->chance.Below(kDelay, link, ordinal, span);
  Duration delay = options_.delay_min + Duration(static_cast<int64_t>(drawn));
  delay += TimeFor(bytes, options_.bytes_per_s);
  const std::optional<uint64_t> tail =
      world_->chance.Fault(faults::kTail, link, ordinal, options_.tail_ppm);
  if (tail.has_value()) {
    ++counts_.tails;
    delay += faults::LengthBelow(*tail, options_.tail_max);
  }
  if (!clogged_.empty()) delay += Queued(from, to, bytes);
  if (slow_.empty()) return delay;
  const auto slow = slow_.find(Link{from, to});
  if (slow == slow_.end()) return delay;
  CountFelt(slow->second.by);
  return delay + slow->second.delay;
}

Duration NetworkFabric::Queued(MachineId from, MachineId to, size_t bytes) {
  const auto it = clogged_.find(Link{from, to});
  if (it == clogged_.end()) return Duration::zero();
  Clog& clog = it->second;
  clog.free_at =
      std::max(clog.free_at, world_->now()) + TimeFor(bytes, clog.bytes_per_s);
  const Duration queued = clog.free_at - world_->now();
  if (queued > Duration::zero()) ++counts_.clogged;
  return queued;
}

bool NetworkFabric::HeldByCut(MachineId from, MachineId to) {
  const auto cut = cuts_.find(Link{from, to});
  if (cut == cuts_.end()) return false;
  CountFelt(cut->second);
  return true;
}

void NetworkFabric::Send(const StreamPtr& stream, int from, Segment::Kind kind,
                         Buffer data) {
  ++counts_.segments;
  End& sender = stream->ends[from];
  const Duration delay =
      Delay(sender.machine, stream->ends[1 - from].machine, data.size());
  const TrueTime arrives = std::max(world_->now() + delay, sender.last_arrival);
  sender.last_arrival = arrives;
  const bool first = sender.on_way.empty();
  sender.on_way.push_back({kind, arrives, std::move(data)});
  if (first) DeliverAt(arrives, stream, from);
}

void NetworkFabric::DeliverAt(TrueTime when, const StreamPtr& stream,
                              int from) {
  stream->ends[from].due = when;
  world_->scheduler.At(when, kWorldActor, EventKind::kDeliver,
                       [this, stream, from, when] {
                         if (stream->ends[from].due != when) return;
                         Deliver(stream, from);
                       });
}

void NetworkFabric::Deliver(const StreamPtr& stream, int from) {
  End& sender = stream->ends[from];
  const End& receiver = stream->ends[1 - from];
  if (stream->silent) {
    sender.on_way.clear();
    return;
  }
  if (before_arrival_ && !sender.on_way.empty() &&
      sender.on_way.front().kind == Segment::Kind::kData &&
      !Cut(sender.machine, receiver.machine)) {
    before_arrival_(sender.machine, receiver.machine);
  }
  if (HeldByCut(sender.machine, receiver.machine) || !Up(receiver.machine)) {
    ++counts_.held;
    if (sender.connection == nullptr || !sender.broken.ok()) {
      // Nobody is left to send it again.
      ++counts_.half_open;
      sender.on_way.clear();
    } else {
      sender.stalled = true;
    }
    return;
  }
  while (!sender.on_way.empty() &&
         sender.on_way.front().arrives <= world_->now()) {
    Segment segment = std::move(sender.on_way.front());
    sender.on_way.pop_front();
    Arrive(stream, from, std::move(segment));
  }
  if (!sender.on_way.empty()) {
    DeliverAt(sender.on_way.front().arrives, stream, from);
  }
}

void NetworkFabric::Arrive(const StreamPtr& stream, int from, Segment segment) {
  End& receiver = stream->ends[1 - from];
  if (receiver.connection == nullptr) {
    // Nobody is there, and the machine says so.
    if (segment.kind == Segment::Kind::kReset) return;
    Send(stream, 1 - from, Segment::Kind::kReset, {});
    return;
  }
  switch (segment.kind) {
    case Segment::Kind::kData:
      if (world_->observer() != nullptr) {
        world_->observer()->OnArrive(DirectionOf(*stream, from),
                                     segment.data.size());
      }
      NoteOrder(*stream, from);
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

void NetworkFabric::NoteOrder(const Stream& stream, int from) {
  const End& sender = stream.ends[from];
  uint64_t& newest =
      newest_arrived_[Link{sender.machine, stream.ends[1 - from].machine}];
  if (sender.lingers && newest > stream.id) ++counts_.lingered;
  newest = std::max(newest, stream.id);
}

void NetworkFabric::Resume(const StreamPtr& stream, int from) {
  End& sender = stream->ends[from];
  if (!std::exchange(sender.stalled, false)) return;
  const End& receiver = stream->ends[1 - from];
  const Duration delay = Delay(sender.machine, receiver.machine, 0);
  DeliverAt(world_->now() + delay, stream, from);
}

void NetworkFabric::Drain(const StreamPtr& stream, int from) {
  End& sender = stream->ends[from];
  if (sender.on_way.empty() || sender.lingers) return;
  const TrueTime soon = world_->now() + options_.delay_max;
  for (Segment& segment : sender.on_way) {
    segment.arrives = std::min(segment.arrives, soon);
  }
  sender.last_arrival = std::min(sender.last_arrival, soon);
  if (!sender.stalled && soon < sender.due) DeliverAt(soon, stream, from);
}

void NetworkFabric::Break(const StreamPtr& stream, int end, absl::Status why) {
  SimConnection* connection = stream->ends[end].connection;
  if (connection != nullptr) connection->OnBroken(std::move(why));
}

void NetworkFabric::Credit(const StreamPtr& stream, int from, size_t bytes) {
  End& sender = stream->ends[from];
  if (Cut(stream->ends[1 - from].machine, sender.machine)) {
    sender.credit_held += bytes;
    return;
  }
  CHECK_LE(bytes, sender.outstanding);
  sender.outstanding -= bytes;
  if (sender.connection == nullptr || !sender.connection->waits_for_room()) {
    return;
  }
  world_->scheduler.At(world_->now() + options_.delay_min, kWorldActor,
                       EventKind::kCredit, [stream, from] {
                         SimConnection* c = stream->ends[from].connection;
                         if (c != nullptr) c->OnCredit();
                       });
}

void NetworkFabric::Leave(const StreamPtr& stream, int end) {
  End& e = stream->ends[end];
  if (!e.broken.ok()) return;
  GiveUp(stream, end, "the connection is gone");
  Send(stream, end, Segment::Kind::kReset, {});
}

void NetworkFabric::GiveUp(const StreamPtr& stream, int end,
                           absl::string_view why) {
  End& e = stream->ends[end];
  e.broken = absl::CancelledError(why);
  if (std::exchange(e.stalled, false)) e.on_way.clear();
  Linger(stream, end);
}

void NetworkFabric::Linger(const StreamPtr& stream, int from) {
  End& sender = stream->ends[from];
  if (sender.on_way.empty()) return;
  const MachineId to = stream->ends[1 - from].machine;
  const std::optional<uint64_t> late = world_->chance.Fault(
      faults::kLinger, ChanceActor{sender.machine * 1000 + to, 0}, draws_++,
      options_.linger_ppm);
  if (!late.has_value()) return;
  const Duration by = faults::LengthBelow(*late, options_.linger_max);
  sender.lingers = true;
  for (Segment& segment : sender.on_way) segment.arrives += by;
  // The end of it comes once all that can have been read.
  sender.last_arrival += by + 1ms;
  Tell(IncidentKind::kLinger, sender.machine, to, by);
}

// --- What goes wrong ---

std::vector<NetworkFabric::StreamPtr> NetworkFabric::Streams() {
  std::vector<StreamPtr> streams;
  for (auto it = streams_.begin(); it != streams_.end();) {
    if (StreamPtr stream = it->second.lock()) {
      streams.push_back(std::move(stream));
      ++it;
    } else {
      it = streams_.erase(it);
    }
  }
  return streams;
}

void NetworkFabric::ProcessDied(const SimProcess& process, bool power_lost) {
  not_reading_.erase(process.machine());
  for (const StreamPtr& stream : Streams()) {
    for (int side : {0, 1}) {
      End& e = stream->ends[side];
      if (e.process != &process) continue;
      e.process = nullptr;
      e.connection = nullptr;
      const bool was_whole = e.broken.ok();
      GiveUp(stream, side, "the process died");
      if (power_lost) {
        ++counts_.half_open;
      } else if (was_whole) {
        Send(stream, side, Segment::Kind::kReset, {});
      }
    }
  }
  std::erase_if(listeners_, [&](const auto& listener) {
    return listener.second->process() == &process;
  });
}

void NetworkFabric::SetMachineUp(MachineId machine, bool up) {
  up_[machine] = up;
  if (!up) return;
  // What was sent to it again and again gets an answer now: a reset.
  for (const StreamPtr& stream : Streams()) {
    for (int side : {0, 1}) {
      if (stream->ends[1 - side].machine == machine) Resume(stream, side);
    }
  }
}

void NetworkFabric::SetCut(MachineId from, MachineId to, bool cut,
                           LinkFault by) {
  if (cut) {
    cuts_[Link{from, to}] = by;
    return Tell(IncidentKind::kCut, from, to);
  }
  if (cuts_.erase(Link{from, to}) == 0) return;
  Tell(IncidentKind::kHeal, from, to);
  for (const StreamPtr& stream : Streams()) {
    for (int side : {0, 1}) {
      if (stream->ends[side].machine != from ||
          stream->ends[1 - side].machine != to) {
        continue;
      }
      Resume(stream, side);
      // Its word of what it has read gets through, too.
      const size_t credit =
          std::exchange(stream->ends[1 - side].credit_held, 0);
      if (credit > 0) Credit(stream, 1 - side, credit);
    }
  }
}

void NetworkFabric::SetSlow(MachineId from, MachineId to, Duration delay,
                            LinkFault by) {
  if (delay == Duration::zero()) {
    if (slow_.erase(Link{from, to}) > 0) Tell(IncidentKind::kFast, from, to);
  } else {
    slow_[Link{from, to}] = {delay, by};
    Tell(IncidentKind::kSlow, from, to, delay);
  }
}

void NetworkFabric::SetClogged(MachineId from, MachineId to,
                               uint64_t bytes_per_s) {
  if (bytes_per_s > 0) {
    clogged_[Link{from, to}].bytes_per_s = bytes_per_s;
    return Tell(IncidentKind::kClog, from, to, Duration::zero(), bytes_per_s);
  }
  if (clogged_.erase(Link{from, to}) == 0) return;
  Tell(IncidentKind::kFast, from, to);
  for (const StreamPtr& stream : Streams()) {
    for (int side : {0, 1}) {
      const bool of_link = stream->ends[side].machine == from &&
                           stream->ends[1 - side].machine == to;
      if (of_link) Drain(stream, side);
    }
  }
}

void NetworkFabric::SetReads(MachineId machine, bool reads) {
  if (!reads) {
    not_reading_.insert(machine);
    return;
  }
  if (not_reading_.erase(machine) == 0) return;
  for (const StreamPtr& stream : Streams()) {
    for (const End& e : stream->ends) {
      const bool is_its = e.machine == machine && e.connection != nullptr;
      if (is_its && e.connection->ReadOn()) ++counts_.unread;
    }
  }
}

void NetworkFabric::HealAll() {
  while (!cuts_.empty()) {
    const Link link = cuts_.begin()->first;
    SetCut(link.first, link.second, false);
  }
  while (!slow_.empty()) {
    const Link link = slow_.begin()->first;
    SetSlow(link.first, link.second, Duration::zero());
  }
  while (!clogged_.empty()) {
    const Link link = clogged_.begin()->first;
    SetClogged(link.first, link.second, 0);
  }
  while (!not_reading_.empty()) SetReads(*not_reading_.begin(), true);
}

std::vector<std::pair<MachineId, MachineId>> NetworkFabric::CutLinks() const {
  std::vector<Link> links;
  for (const auto& [link, by] : cuts_) links.push_back(link);
  return links;
}

uint64_t NetworkFabric::memory_bytes() const {
  uint64_t bytes = 0;
  for (const auto& [id, held] : streams_) {
    const StreamPtr stream = held.lock();
    if (stream == nullptr) continue;
    for (const End& end : stream->ends) bytes += end.outstanding;
  }
  return bytes;
}

// --- SimNetwork ---

absl::StatusOr<std::unique_ptr<Listener>> SimNetwork::Listen(
    const Address& address, AcceptFn accept) {
  if (!process_->BeginIo(SimProcess::Io::kNetwork))
    return absl::UnavailableError("the process died");
  if (MachineOfAddress(address) != process_->machine()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "listen on ", address, ": expected m", process_->machine(), ":PORT"));
  }
  Address bound = address;
  if (absl::EndsWith(bound, ":0")) {
    bound.pop_back();
    absl::StrAppend(&bound, fabric_->next_port_++);
  }
  if (fabric_->listeners_.contains(bound)) {
    return absl::AlreadyExistsError(
        absl::StrCat("listen on ", bound, ": the port is in use"));
  }
  return std::make_unique<SimListener>(fabric_, process_, std::move(bound),
                                       std::move(accept));
}

std::unique_ptr<PendingOp> SimNetwork::Dial(const Address& address,
                                            ConnectDone done) {
  // Dead: an operation that never completes.
  if (!process_->BeginIo(SimProcess::Io::kNetwork))
    return std::make_unique<PendingOp>();
  return std::make_unique<SimDial>(fabric_, process_, address, std::move(done));
}

}  // namespace holdfast
