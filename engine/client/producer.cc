#include "engine/client/producer.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"
#include "engine/peer/client.pb.h"
#include "engine/peer/hello.h"

namespace holdfast {
namespace {

// Deadlines may be met so much later, which bounds how often all are looked
// at.
constexpr Duration kDeadlineGrain = 10ms;
// Of the pause before another session, from one in vain to the next.
constexpr uint32_t kDoublingsMax = 5;

ClientOutcome Outcome(ClientOutcome::Kind kind, ClientOutcome::Reason reason,
                      absl::string_view message) {
  ClientOutcome outcome;
  outcome.kind = kind;
  outcome.reason = reason;
  outcome.message = std::string(message);
  return outcome;
}

// Whether nobody but a leader that a majority has confirmed says so.
bool IsOnlyLeaders(const wire::AppendAnswer& answer) {
  return answer.result() == wire::APPEND_RESULT_COMMITTED ||
         answer.reason() == wire::REJECT_REASON_WRONG_OFFSET ||
         answer.reason() == wire::REJECT_REASON_SEQUENCE_GAP ||
         answer.reason() == wire::REJECT_REASON_UNKNOWN_SESSION;
}

ClientOutcome::Reason ReasonOf(wire::RejectReason reason) {
  switch (reason) {
    case wire::REJECT_REASON_WRONG_OFFSET:
      return ClientOutcome::Reason::kWrongOffset;
    case wire::REJECT_REASON_PERMISSION:
      return ClientOutcome::Reason::kPermission;
    case wire::REJECT_REASON_DEADLINE:
      return ClientOutcome::Reason::kUnavailable;
    default:
      return ClientOutcome::Reason::kMalformed;
  }
}

}  // namespace

Producer::Producer(Cluster* cluster)
    : cluster_(cluster), loop_(cluster->env().loop) {}

Producer::~Producer() {
  if (listener_ != 0) cluster_->Remove(listener_);
}

absl::Status Producer::Append(BatchBuilder batch,
                              const ClientAppendOptions& options,
                              ClientAppendFn done) {
  if (closed_) return absl::FailedPreconditionError("the client is closed");
  if (batch.empty()) {
    return absl::InvalidArgumentError("append: the batch has no record");
  }
  const ClientOptions& limits = cluster_->options();
  if (bytes_pending_ > 0 &&
      bytes_pending_ + batch.size() > limits.queue_bytes_max) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "append: ", bytes_pending_, " bytes wait already, the limit is ",
        limits.queue_bytes_max, ": wait for the outcome of one of them"));
  }
  Entry entry;
  entry.bytes = batch.size();
  entry.builder = std::move(batch);
  entry.expected_offset = options.expected_offset;
  entry.deadline = Later(loop_->Now(), options.timeout);
  entry.done = std::move(done);
  SetDeadlineTimer(entry.deadline);
  ++pending_;
  bytes_pending_ += entry.bytes;
  entries_.push_back(std::move(entry));
  Pump();
  return absl::OkStatus();
}

// --- Sending

void Producer::OnLeader(ServerConnection* leader) {
  if (leader != stream_ || leader->generation() != stream_generation_) {
    // What was in flight elsewhere may or may not arrive there.
    for (uint64_t n = first_; n < end(); ++n) NotInFlight(&At(n), n);
    no_space_.clear();
    stream_ = leader;
    stream_generation_ = leader->generation();
    leader->set_append_receiver(
        [this](ServerConnection* server, const wire::AppendAnswer& answer) {
          OnAnswer(server, answer);
        });
    pause_.Cancel();
    pausing_ = false;
  }
  Pump();
}

void Producer::OnOtherCluster() {
  broken_at_.reset();
  send_from_ = first_;
  const uint64_t to = end();
  for (uint64_t n = first_; n < to; ++n) At(n).sequence = Sequence(0);
  // Callers may append meanwhile: nothing is sent before all is settled.
  pausing_ = true;
  for (uint64_t n = first_; n < to; ++n) {
    if (!At(n).copies.empty()) {
      Settle(n, Outcome(ClientOutcome::Kind::kUnknown,
                        ClientOutcome::Reason::kNone,
                        "another cluster is there now, and its log may not "
                        "have what was sent before"));
    } else if (At(n).expected_offset.has_value()) {
      Settle(n, Outcome(ClientOutcome::Kind::kRejected,
                        ClientOutcome::Reason::kUnavailable,
                        "another cluster is there now: the offset that is "
                        "expected is one of the log before"));
    }
  }
  pausing_ = false;
  DropSettled();
  DropNeverSent();
}

// Listening makes the Cluster search.
void Producer::ListenWhileNeeded() {
  const bool needed = !entries_.empty() && !closed_;
  if (needed && listener_ == 0) {
    listener_ = cluster_->Add(this);
  } else if (!needed && listener_ != 0) {
    cluster_->Remove(std::exchange(listener_, 0));
  }
}

void Producer::Pump() {
  ListenWhileNeeded();
  if (entries_.empty() || closed_ || pausing_) return;
  ServerConnection* leader = cluster_->Leader();
  if (leader == nullptr) return;
  if (leader != stream_ || leader->generation() != stream_generation_) {
    OnLeader(leader);
    return;
  }
  if (broken_at_.has_value() && *broken_at_ <= first_) {
    broken_at_.reset();
    session_ = SessionId(0);
  }
  // Of another cluster only if it leads that.
  if (session_.value() == 0 || leader->IsOfAnother(cluster_id_)) {
    Register(leader);
    return;
  }
  // Elsewhere, where it isn't wanted any more.
  if (registering_ != 0) {
    registering_at_->Forget(std::exchange(registering_, 0));
  }
  const ClientOptions& options = cluster_->options();
  const size_t in_flight_max =
      std::min(options.appends_in_flight_max, kAppendsInFlightMax);
  leader->stream()->Cork();
  for (; send_from_ < end(); ++send_from_) {
    Entry& entry = At(send_from_);
    if (entry.settled || entry.in_flight != 0) continue;
    // One asks whether it leads: each of the others would come back.
    if ((in_flight_ > 0 && cluster_->confirmed() != leader) ||
        in_flight_ >= in_flight_max ||
        send_from_ - first_ >= kAppendsInFlightMax ||
        (in_flight_ > 0 &&
         bytes_in_flight_ + entry.bytes > options.append_bytes_in_flight_max) ||
        (entry.sequence.value() == 0 && !MayNumber(send_from_))) {
      break;
    }
    if (entry.sequence.value() == 0) Number(&entry);
    if (!SendCopy(leader, send_from_)) break;
  }
  leader->stream()->Uncork();
}

// Behind a break, numbers come from the next session only.
bool Producer::MayNumber(uint64_t number) const {
  return !broken_at_.has_value() || number < *broken_at_;
}

void Producer::Number(Entry* entry) {
  entry->sequence = next_sequence_;
  ++next_sequence_;
  entry->batch = entry->batch.empty()
                     ? entry->builder.Finish(session_, entry->sequence)
                     : RestampBatch(entry->batch, session_, entry->sequence);
}

bool Producer::SendCopy(ServerConnection* leader, uint64_t number) {
  Entry& entry = At(number);
  wire::Append request;
  const uint64_t id = cluster_->NextRequestId();
  request.set_request_id(id);
  if (entry.expected_offset.has_value()) {
    request.set_expected_offset(entry.expected_offset->value());
  }
  if (!leader->Send(WireType::kAppend, request,
                    absl::MakeConstSpan(&entry.batch, 1))) {
    return false;
  }
  entry.in_flight = id;
  entry.copies.push_back(id);
  by_request_.Set(id, number);
  ++in_flight_;
  bytes_in_flight_ += entry.bytes;
  return true;
}

void Producer::NotInFlight(Entry* entry, uint64_t number) {
  if (entry->in_flight == 0) return;
  entry->in_flight = 0;
  --in_flight_;
  bytes_in_flight_ -= entry->bytes;
  send_from_ = std::min(send_from_, number);
}

void Producer::PauseSending(Duration pause) {
  pausing_ = true;
  pause_ = loop_->After(pause, [this] {
    pausing_ = false;
    Pump();
  });
}

void Producer::Register(ServerConnection* leader) {
  if (registering_ != 0) {
    if (registering_at_ == leader) return;
    registering_at_->Forget(registering_);
  }
  registering_ = cluster_->NextRequestId();
  registering_at_ = leader;
  wire::RegisterSession request;
  request.set_request_id(registering_);
  leader->Request(
      registering_, WireType::kRegisterSession, request,
      scope_.Wrap([this, leader](const absl::StatusOr<MessageView>& message) {
        OnRegistered(leader, message);
      }));
}

void Producer::OnRegistered(ServerConnection* server,
                            const absl::StatusOr<MessageView>& message) {
  registering_ = 0;
  wire::RegisterSessionAnswer answer;
  if (message.ok() &&
      !answer.ParseFromArray(message->header.data(),
                             static_cast<int>(message->header.size()))) {
    answer.set_code(wire::CODE_UNAVAILABLE);
  }
  const bool refused = absl::IsPermissionDenied(message.status()) ||
                       answer.code() == wire::CODE_PERMISSION_DENIED;
  if (refused) {
    const std::string why = OneLine(
        message.ok() ? answer.text() : std::string(message.status().message()));
    const uint64_t to = end();
    for (uint64_t n = first_; n < to; ++n) {
      Settle(n, Outcome(At(n).copies.empty() ? ClientOutcome::Kind::kRejected
                                             : ClientOutcome::Kind::kUnknown,
                        ClientOutcome::Reason::kPermission, why));
    }
    DropSettled();
    return;
  }
  if (!message.ok()) {
    // The stream is lost, and the Cluster searches; or it was refused.
    if (server->up()) PauseSending(cluster_->ShortPause());
    return;
  }
  switch (answer.code()) {
    case wire::CODE_OK:
      cluster_->Confirmed(server);
      if (server->IsOfAnother(cluster_id_)) OnOtherCluster();
      cluster_id_ = server->cluster_id();
      session_ = SessionId(answer.session_id());
      next_sequence_ = Sequence(1);
      Pump();
      return;
    case wire::CODE_NOT_LEADER:
      cluster_->NotLeader(server, answer.leader(), answer.text());
      Pump();
      return;
    case wire::CODE_OVERLOADED:
      return PauseFor(answer.retry_after_ms(),
                      answer.reason() == wire::REJECT_REASON_NO_SPACE,
                      answer.text());
    default:
      cluster_->NotLeader(server, answer.leader(), answer.text());
      return PauseSending(cluster_->ShortPause());
  }
}

// --- Answers

void Producer::OnAnswer(ServerConnection* server,
                        const wire::AppendAnswer& answer) {
  const uint64_t* found = by_request_.Find(answer.request_id());
  if (found == nullptr) return;  // settled meanwhile
  const uint64_t number = *found;
  Entry& entry = At(number);
  if (entry.in_flight == answer.request_id()) NotInFlight(&entry, number);
  const bool may_have_appended =
      answer.result() == wire::APPEND_RESULT_COMMITTED ||
      (answer.result() == wire::APPEND_RESULT_UNKNOWN &&
       answer.reason() != wire::REJECT_REASON_UNKNOWN_SESSION);
  if (IsOnlyLeaders(answer)) cluster_->Confirmed(server);
  if (!may_have_appended) {
    // That copy came to nothing.
    by_request_.Erase(answer.request_id());
    entry.copies.erase(std::find(entry.copies.begin(), entry.copies.end(),
                                 answer.request_id()));
  }
  switch (answer.result()) {
    case wire::APPEND_RESULT_COMMITTED: {
      sessions_left_ = 0;
      // The session's cluster had no id yet when it was registered.
      if (cluster_id_ == ClusterId()) cluster_id_ = server->cluster_id();
      no_space_.clear();
      ClientOutcome outcome;
      outcome.kind = ClientOutcome::Kind::kCommitted;
      outcome.offset = Offset(answer.base_offset());
      Settle(number, std::move(outcome));
      break;
    }
    case wire::APPEND_RESULT_REJECTED:
      OnRejected(number, answer);
      break;
    case wire::APPEND_RESULT_NOT_LEADER:
    case wire::APPEND_RESULT_OVERLOADED:
      OnNotAppended(number, server, answer);
      break;
    default:
      OnUnknown(number, answer);
      break;
  }
  DropSettled();
  Pump();
}

void Producer::OnNotAppended(uint64_t /*number*/, ServerConnection* server,
                             const wire::AppendAnswer& answer) {
  if (answer.result() == wire::APPEND_RESULT_NOT_LEADER) {
    no_space_.clear();
    cluster_->NotLeader(server, answer.leader(), answer.text());
    return;
  }
  if (pausing_) return;
  PauseFor(answer.retry_after_ms(),
           answer.reason() == wire::REJECT_REASON_NO_SPACE, answer.text());
}

void Producer::PauseFor(uint32_t retry_after_ms, bool no_space,
                        const std::string& text) {
  no_space_ = no_space ? OneLine(text) : "";
  PauseSending(std::max(Duration(std::chrono::milliseconds(retry_after_ms)),
                        cluster_->ShortPause()));
}

void Producer::OnRejected(uint64_t number, const wire::AppendAnswer& answer) {
  Entry& entry = At(number);
  if (answer.reason() == wire::REJECT_REASON_SEQUENCE_GAP) {
    // One before it was refused for the moment, and will be sent again first.
    // If there was none, the log, as a confirmed leader has it, lacks what was
    // acknowledged: its servers came back with older disks, say.
    if (number == first_ && answer.request_id() >= first_since_) {
      LeaveSession(number, OneLine(answer.text()));
    }
    return;
  }
  // A wrong offset, or a passed deadline, is so only as long as no other copy
  // got in before.
  const bool clean = entry.copies.empty();
  const ClientOutcome::Reason reason = ReasonOf(answer.reason());
  ClientOutcome outcome = Outcome(
      clean ? ClientOutcome::Kind::kRejected : ClientOutcome::Kind::kUnknown,
      reason, OneLine(answer.text()));
  outcome.offset = Offset(answer.base_offset());
  BreakSession(number, clean);
  Settle(number, std::move(outcome));
}

void Producer::OnUnknown(uint64_t number, const wire::AppendAnswer& answer) {
  if (answer.reason() == wire::REJECT_REASON_UNKNOWN_SESSION) {
    return LeaveSession(number, OneLine(answer.text()));
  }
  if (answer.final()) {
    BreakSession(number, false);
    Settle(number,
           Outcome(ClientOutcome::Kind::kUnknown, ClientOutcome::Reason::kNone,
                   OneLine(answer.text())));
    return;
  }
  // Sending it again tells.
  if (!pausing_) PauseSending(cluster_->ShortPause());
}

// --- Settling

void Producer::BreakSession(uint64_t number, bool clean) {
  uint64_t numbered_end = end();
  while (numbered_end > number + 1 &&
         At(numbered_end - 1).sequence.value() == 0) {
    --numbered_end;
  }
  if (clean && numbered_end == number + 1) {
    // The last one that was numbered: the next one takes its place.
    if (session_.value() != 0 && !broken_at_.has_value()) {
      next_sequence_ = At(number).sequence;
    }
    return;
  }
  if (clean) return Renumber(number + 1);
  // First: Settle calls callers, who may append.
  broken_at_ = std::min(broken_at_.value_or(number + 1), number + 1);
  send_from_ = std::min(send_from_, number + 1);
  for (uint64_t n = number + 1; n < numbered_end; ++n) {
    Settle(n,
           Outcome(ClientOutcome::Kind::kUnknown, ClientOutcome::Reason::kNone,
                   "an earlier append of its session has an unknown "
                   "outcome"));
  }
}

void Producer::Renumber(uint64_t number) {
  broken_at_ = std::min(broken_at_.value_or(number), number);
  send_from_ = std::min(send_from_, number);
  const uint64_t to = end();
  for (uint64_t n = number; n < to; ++n) {
    Entry& entry = At(n);
    if (entry.settled || entry.sequence.value() == 0) continue;
    // Nobody waits for its place any more.
    if (entry.reported) {
      Settle(n, ClientOutcome());
      entry.sequence = Sequence(0);
      continue;
    }
    NotInFlight(&entry, n);
    for (uint64_t id : entry.copies) by_request_.Erase(id);
    entry.copies.clear();
    entry.sequence = Sequence(0);
  }
}

void Producer::LeaveSession(uint64_t number, absl::string_view why) {
  // That copy's answer tells more.
  if (At(number).in_flight != 0) return;
  if (At(number).copies.empty()) {
    Renumber(number);
    // With more producers than the log has sessions for, each new one ends
    // another one.
    const uint32_t doublings = std::min(sessions_left_++, kDoublingsMax);
    if (!pausing_) PauseSending(cluster_->ShortPause() * (1 << doublings));
    return;
  }
  BreakSession(number, false);
  Settle(number, Outcome(ClientOutcome::Kind::kUnknown,
                         ClientOutcome::Reason::kNone, why));
}

void Producer::Report(Entry* entry, ClientOutcome outcome) {
  if (std::exchange(entry->reported, true)) return;
  ClientAppendFn done = std::move(entry->done);
  --pending_;
  bytes_pending_ -= entry->bytes;
  if (done) done(std::move(outcome));
}

// May call the caller, who may append; entries keep their places.
void Producer::Settle(uint64_t number, ClientOutcome outcome) {
  Entry& entry = At(number);
  if (entry.settled) return;
  NotInFlight(&entry, number);
  entry.settled = true;
  for (uint64_t id : entry.copies) by_request_.Erase(id);
  entry.copies.clear();
  entry.batch = Buffer();
  entry.builder = BatchBuilder();
  Report(&entry, std::move(outcome));
}

void Producer::DropSettled() {
  while (!entries_.empty() && entries_.front().settled) {
    entries_.pop_front();
    ++first_;
    first_since_ = cluster_->NextRequestId();
  }
  send_from_ = std::max(send_from_, first_);
}

void Producer::DropNeverSent() {
  auto unsent = entries_.end();
  while (unsent != entries_.begin() &&
         std::prev(unsent)->sequence.value() == 0) {
    --unsent;
  }
  // Nobody counts by their numbers.
  const uint64_t from =
      first_ + static_cast<uint64_t>(unsent - entries_.begin());
  send_from_ = std::min(send_from_, from);
  if (broken_at_.has_value()) broken_at_ = std::min(*broken_at_, from);
  entries_.erase(std::remove_if(unsent, entries_.end(),
                                [](const Entry& e) { return e.settled; }),
                 entries_.end());
}

void Producer::SetDeadlineTimer(Instant deadline) {
  if (deadline >= deadline_at_) return;
  deadline_at_ = deadline;
  deadline_ = loop_->At(deadline, [this] { CheckDeadlines(); });
}

void Producer::CheckDeadlines() {
  const Instant now = loop_->Now();
  deadline_at_ = kNever;
  Instant next = kNever;
  std::string why;
  const uint64_t to = end();
  for (uint64_t n = first_; n < to; ++n) {
    Entry& entry = At(n);
    if (entry.settled || entry.reported) continue;
    if (entry.deadline > now) {
      next = std::min(next, entry.deadline);
      continue;
    }
    if (why.empty()) {
      const std::string trouble =
          no_space_.empty() ? cluster_->Trouble() : no_space_;
      why = absl::StrCat("no leader acknowledged it in time",
                         trouble.empty() ? "" : ": ", trouble);
    }
    if (entry.copies.empty()) {
      if (entry.sequence.value() != 0) BreakSession(n, true);
      Settle(n, Outcome(ClientOutcome::Kind::kRejected,
                        no_space_.empty() ? ClientOutcome::Reason::kUnavailable
                                          : ClientOutcome::Reason::kNoSpace,
                        why));
    } else {
      Report(&entry, Outcome(ClientOutcome::Kind::kUnknown,
                             ClientOutcome::Reason::kNone, why));
    }
  }
  DropSettled();
  DropNeverSent();
  if (next != kNever) SetDeadlineTimer(std::max(next, now + kDeadlineGrain));
  Pump();
}

void Producer::Close() {
  closed_ = true;
  const uint64_t to = end();
  for (uint64_t n = first_; n < to; ++n) {
    if (At(n).copies.empty()) {
      Settle(n, Outcome(ClientOutcome::Kind::kRejected,
                        ClientOutcome::Reason::kUnavailable,
                        "the client was closed before it was sent"));
    } else {
      Settle(n, Outcome(ClientOutcome::Kind::kUnknown,
                        ClientOutcome::Reason::kNone,
                        "the client was closed before it was acknowledged"));
    }
  }
  DropSettled();
  ListenWhileNeeded();
  pause_.Cancel();
  deadline_.Cancel();
}

}  // namespace holdfast
