#include "sim/report/recorder.h"

#include <algorithm>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/match.h"

namespace holdfast {

using FactKind = Recording::FactKind;

Recorder::Recorder(Simulation* simulation, Options options)
    : simulation_(simulation),
      options_(options),
      streams_(
          simulation->options().tls,
          [this](const StreamDirection& where, WireText wire, uint64_t bytes) {
            return OnMessage(where, std::move(wire), bytes);
          }) {
  recording_.servers = static_cast<uint32_t>(simulation->server_count());
  recording_.clients = static_cast<uint32_t>(simulation->client_count());
  simulation_->world()->trace.set_observer(this);
}

Recorder::~Recorder() { simulation_->world()->trace.set_observer(nullptr); }

Moment Recorder::Now() const {
  const World& world = *simulation_->world();
  return {world.trace.events(), world.now()};
}

void Recorder::Add(FactKind kind, size_t index) {
  recording_.facts.push_back({Now().event, kind, static_cast<uint32_t>(index)});
}

const Recording& Recorder::Finish() {
  TakeViolation();
  recording_.end = Now();
  return recording_;
}

// --- Events ---

void Recorder::OnProcess(ActorId actor, MachineId machine, uint32_t /*boot*/) {
  machine_of_.resize(std::max<size_t>(machine_of_.size(), actor + 1));
  machine_of_[actor] = machine;
}

void Recorder::OnEvent(const Event& event) {
  now_running_ =
      event.actor < machine_of_.size() ? machine_of_[event.actor] : 0;
  if (event.time > options_.to) return;
  recording_.events.push_back(
      {event.number, event.time, now_running_, event.kind, event.cause});
}

bool Recorder::AfterEvent() {
  if (now_running_ != 0) TakeState(now_running_);
  for (MachineId machine : touched_) TakeState(machine);
  touched_.clear();
  TakeViolation();
  return options_.stop_after == 0 || Now().event < options_.stop_after;
}

void Recorder::OnNote(TrueTime time, const std::string& text) {
  if (over()) return;
  recording_.notes.push_back({{Now().event, time}, text});
  Add(FactKind::kNote, recording_.notes.size() - 1);
}

void Recorder::OnPause(ActorId actor, TrueTime until) {
  if (actor >= machine_of_.size()) return;
  OnIncident({.kind = IncidentKind::kPause,
              .machine = machine_of_[actor],
              .length = until - Now().time});
}

void Recorder::OnIncident(const Incident& incident) {
  if (!over()) {
    recording_.marks.push_back({Now(), incident});
    Add(FactKind::kMark, recording_.marks.size() - 1);
  }
  switch (incident.kind) {
    case IncidentKind::kStart:
      touched_.push_back(incident.machine);
      break;
    case IncidentKind::kCrash:
    case IncidentKind::kPowerLoss:
      touched_.push_back(incident.machine);
      OnDeath(incident.machine);
      break;
    default:
      break;
  }
}

void Recorder::OnDeath(MachineId machine) {
  const auto first = OnMachine(machine, 0);
  for (auto it = disk_under_way_.lower_bound(first);
       it != disk_under_way_.end() && it->first.first == machine;
       it = disk_under_way_.erase(it)) {
    recording_.disk[it->second].ended = Now();
    recording_.disk[it->second].died = true;
  }
  for (auto it = calls_under_way_.lower_bound(first);
       it != calls_under_way_.end() && it->first.first == machine;
       it = calls_under_way_.erase(it)) {
    recording_.calls[it->second].ended = Now();
    recording_.calls[it->second].result = "its process died";
  }
}

// --- Messages ---

void Recorder::OnWrite(const StreamDirection& where, absl::string_view bytes) {
  if (!over()) streams_.Write(where, bytes);
}

void Recorder::OnArrive(const StreamDirection& where, size_t bytes) {
  if (over()) return;
  streams_.Arrive(where, bytes, [this](uint32_t number) {
    recording_.messages[number].arrived = Now();
    Add(FactKind::kArrived, number);
  });
}

void Recorder::OnRead(const StreamDirection& where, size_t bytes) {
  if (over()) return;
  streams_.Read(where, bytes, [this](uint32_t number) {
    recording_.messages[number].read = Now();
    Add(FactKind::kRead, number);
  });
}

uint32_t Recorder::OnMessage(const StreamDirection& where, WireText wire,
                             uint64_t bytes) {
  const auto number = static_cast<uint32_t>(recording_.messages.size());
  recording_.messages.push_back({.name = wire.name,
                                 .group = wire.group,
                                 .from = where.from,
                                 .to = where.to,
                                 .bytes = bytes,
                                 .text = std::move(wire.text),
                                 .sent = Now()});
  Add(FactKind::kSent, number);
  Pair(where, wire.exchange, number);
  return number;
}

void Recorder::Pair(const StreamDirection& where, const Exchange& exchange,
                    uint32_t message) {
  if (exchange.part == Exchange::Part::kNone) return;
  const uint64_t stream = exchange.same_stream ? where.stream : 0;
  if (exchange.part == Exchange::Part::kRequest) {
    asked_[Topic(where.from, where.to, stream, exchange.topic,
                 exchange.raft_topic)]
        .push_back({exchange.number, message});
    return;
  }
  std::deque<Asked>& asked = asked_[Topic(where.to, where.from, stream,
                                          exchange.topic, exchange.raft_topic)];
  std::erase_if(asked, [&](const Asked& a) {
    Recording::Message& request = recording_.messages[a.message];
    if (!request.read.has_value()) return false;
    const bool fits = exchange.up_to ? a.number <= exchange.number
                                     : a.number == exchange.number;
    if (fits) request.answer = message;
    return fits;
  });
}

// --- Disks and calls ---

void Recorder::OnDiskBegin(MachineId machine, const DiskAction& action) {
  if (over()) return;
  recording_.disk.push_back({.machine = machine,
                             .what = action.what,
                             .file = action.file,
                             .from = action.from,
                             .bytes = action.bytes,
                             .begun = Now(),
                             .due = action.due});
  const size_t index = recording_.disk.size() - 1;
  disk_under_way_[{machine, action.id}] = static_cast<uint32_t>(index);
  Add(FactKind::kDiskBegun, index);
}

void Recorder::OnDiskEnd(MachineId machine, uint64_t id) {
  const auto it = disk_under_way_.find({machine, id});
  if (it == disk_under_way_.end()) return;
  if (!over()) {
    recording_.disk[it->second].ended = Now();
    Add(FactKind::kDiskEnded, it->second);
  }
  disk_under_way_.erase(it);
}

void Recorder::OnCall(const ClientCall& call) {
  if (over()) return;
  recording_.calls.push_back({.machine = call.machine,
                              .what = call.what,
                              .detail = call.detail,
                              .begun = Now()});
  const size_t index = recording_.calls.size() - 1;
  calls_under_way_[{call.machine, call.id}] = static_cast<uint32_t>(index);
  Add(FactKind::kCalled, index);
}

void Recorder::OnReturn(MachineId machine, uint64_t id, CallEnd end,
                        const std::string& detail, uint64_t shown) {
  const auto it = calls_under_way_.find({machine, id});
  if (it == calls_under_way_.end()) return;
  if (!over()) {
    Recording::Call& call = recording_.calls[it->second];
    call.ended = Now();
    call.end = end;
    call.result = detail;
    call.shown = shown;
    Add(FactKind::kReturned, it->second);
  }
  calls_under_way_.erase(it);
}

// --- Servers ---

void Recorder::TakeState(MachineId machine) {
  if (machine >= kFirstClient || over()) return;
  const SimServer& server = *simulation_->server(machine);
  Recording::State now{.at = Now(), .machine = machine};
  if (server.running()) {
    now.looks = ServerLooks::kForming;
    const RaftCore* core = server.node().core();
    if (core != nullptr) {
      switch (core->role()) {
        case Role::kFollower:
          now.looks =
              core->is_voter() ? ServerLooks::kFollower : ServerLooks::kLearner;
          break;
        case Role::kPreCandidate:
          now.looks = ServerLooks::kPreCandidate;
          break;
        case Role::kCandidate:
          now.looks = ServerLooks::kCandidate;
          break;
        case Role::kLeader:
          now.looks = ServerLooks::kLeader;
          break;
      }
      now.term = core->term().value();
      now.vote = core->vote().value();
      now.leader = core->leader().value();
      now.commit = core->commit().value();
      now.last = core->last_index().value();
      now.durable = core->durable().value();
    }
  }
  const auto [it, first] = state_.emplace(machine, now);
  if (!first && it->second.SameAs(now)) return;
  it->second = now;
  recording_.states.push_back(now);
  Add(FactKind::kState, recording_.states.size() - 1);
}

void Recorder::TakeViolation() {
  const Verdict& verdict = simulation_->verdict();
  if (verdict.ok() || verdict.kind() == Verdict::Kind::kStopped ||
      recording_.violation.has_value()) {
    return;
  }
  Recording::Violation violation;
  violation.at = Now();
  violation.kind = verdict.kind();
  violation.what = verdict.what();
  violation.machines = MachinesIn(verdict.what());
  FindCalls(&violation);
  recording_.violation = std::move(violation);
}

// What a client was told in this very event; and for an order in time that is
// broken, what had shown the log to be longer before that call began.
void Recorder::FindCalls(Recording::Violation* violation) const {
  const std::vector<Recording::Call>& calls = recording_.calls;
  const auto named = [&](const Recording::Call& call) {
    return absl::c_linear_search(violation->machines, call.machine);
  };
  for (uint32_t i = 0; i < calls.size(); ++i) {
    if (calls[i].ended.has_value() &&
        calls[i].ended->event == violation->at.event && named(calls[i])) {
      violation->calls.push_back(i);
    }
  }
  if (violation->calls.empty() ||
      !absl::StartsWith(violation->what, "linearizability")) {
    return;
  }
  const Recording::Call& late = calls[violation->calls.front()];
  std::optional<uint32_t> early;
  for (uint32_t i = 0; i < calls.size(); ++i) {
    if (!calls[i].ended.has_value() || calls[i].shown == 0 ||
        calls[i].ended->event > late.begun.event || !named(calls[i])) {
      continue;
    }
    if (!early.has_value() || calls[i].shown > calls[*early].shown) early = i;
  }
  if (early.has_value()) violation->calls.push_back(*early);
}

}  // namespace holdfast
