#include "engine/service/client_session.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"
#include "engine/base/lost_records.h"
#include "engine/env/address.h"
#include "engine/peer/batches.h"
#include "engine/service/status.h"

namespace holdfast {
namespace {

// Of what Join and Leave name. Servers say their addresses in hellos, which
// take no more.
constexpr int kServerIdsMax = 1024;
// A change of members that can't go on now won't within the next round trips.
constexpr uint32_t kAdminRetryAfterMs = 100;

ClientRole RoleOf(const PeerIdentity& peer) {
  switch (peer.kind) {
    case PeerIdentity::Kind::kUnproved:
      return ClientRole::kAdmin;  // plaintext: whoever reaches the port
    case PeerIdentity::Kind::kServer:
      return ClientRole::kRead;
    case PeerIdentity::Kind::kClient:
      return peer.role;
  }
  return ClientRole::kNone;
}

absl::string_view ToString(ClientRole role) {
  switch (role) {
    case ClientRole::kNone:
      return "none";
    case ClientRole::kRead:
      return "read";
    case ClientRole::kWrite:
      return "write";
    case ClientRole::kAdmin:
      return "admin";
  }
  return "?";
}

wire::Code CodeOf(const absl::Status& status) {
  if (status.ok()) return wire::CODE_OK;
  if (absl::IsOutOfRange(status)) return wire::CODE_OUT_OF_RANGE;
  if (absl::IsUnavailable(status)) return wire::CODE_UNAVAILABLE;
  if (LostRecordsOf(status).has_value()) return wire::CODE_RECORDS_LOST;
  return wire::CODE_STOPPING;
}

std::string Text(const absl::Status& status) {
  return std::string(status.message());
}

template <typename Answer>
void FillLost(const absl::Status& status, Answer* answer) {
  const std::optional<LostRecords> lost = LostRecordsOf(status);
  if (!lost.has_value()) return;
  answer->set_lost_from(lost->first.value());
  answer->set_lost_end(lost->end.value());
}

// Of a connection's first reads, and at least.
constexpr size_t kReadBytesExpected = 64 << 10;

size_t BytesOf(const ReadResult& result) {
  size_t bytes = 0;
  for (const Entry& batch : result.batches) bytes += batch.payload.size();
  return bytes;
}

// The batches as sent, and their number of bytes.
Buffers SentBatches(std::vector<Entry>& batches) {
  Buffers payload;
  for (Entry& entry : batches) {
    AppendSentBatch(SentBatch{.log_time = entry.header.log_time,
                              .base_offset = entry.header.base_offset,
                              .bytes = std::move(entry.payload)},
                    &payload);
  }
  return payload;
}

}  // namespace

ClientSession::ClientSession(const Env& env, const ServiceOptions& options,
                             DistributedLog* log, InboundStream inbound,
                             Task on_gone)
    : env_(env),
      options_(options),
      log_(log),
      peer_(std::move(inbound.peer)),
      role_(RoleOf(peer_)),
      on_gone_(std::move(on_gone)),
      stream_(std::move(inbound.stream)) {
  stream_->Start({.on_message = [this](const MessageView& m) { OnMessage(m); },
                  .on_closed =
                      [this](absl::Status) {
                        if (!std::exchange(ended_, true)) on_gone_();
                      },
                  .on_bytes = nullptr,
                  .on_written = [this] { OnWritten(); }});
}

// --- Requests ---

void ClientSession::OnMessage(const MessageView& message) {
  if (ended_) return;
  switch (message.type) {
    case WireType::kRegisterSession:
      return OnRegister(message);
    case WireType::kAppend:
      return OnAppend(message);
    case WireType::kRead:
      return OnRead(message);
    case WireType::kTail:
      return OnTail(message);
    case WireType::kTailCredit:
      return OnTailCredit(message);
    case WireType::kStopTail:
      return OnStopTail(message);
    case WireType::kStatus:
      return OnStatus(message);
    case WireType::kJoin:
      return OnJoin(message);
    case WireType::kLeave:
      return OnLeave(message);
    case WireType::kTransfer:
      return OnTransfer(message);
    case WireType::kTrim:
      return OnTrim(message);
    default:
      return End(absl::StrCat("not a request: message type ",
                              static_cast<int>(message.type)));
  }
}

template <typename Request>
bool ClientSession::Parse(const MessageView& message, Request* request) {
  if (request->ParseFromArray(message.header.data(),
                              static_cast<int>(message.header.size()))) {
    return true;
  }
  End("a request's header can't be read");
  return false;
}

bool ClientSession::Allowed(uint64_t request, ClientRole needed,
                            absl::string_view what) {
  if (role_ >= needed) return true;
  Refuse(request, wire::CODE_PERMISSION_DENIED,
         absl::StrCat(what, " needs the role ", ToString(needed),
                      "; the certificate of \"", peer_.name, "\" has the role ",
                      ToString(role_)));
  return false;
}

void ClientSession::OnRegister(const MessageView& message) {
  wire::RegisterSession request;
  if (!Parse(message, &request)) return;
  uint64_t id = request.request_id();
  if (!Allowed(id, ClientRole::kWrite, "registering a session")) return;
  ++requests_;
  log_->RegisterSession(scope_.Wrap([this,
                                     id](absl::StatusOr<SessionId> session) {
    wire::RegisterSessionAnswer answer;
    answer.set_request_id(id);
    if (session.ok()) {
      answer.set_session_id(session->value());
    } else {
      bool leads = log_->node().is_leader();
      answer.set_code(leads ? wire::CODE_UNAVAILABLE : wire::CODE_NOT_LEADER);
      if (absl::IsResourceExhausted(session.status())) {
        answer.set_code(wire::CODE_OVERLOADED);
        answer.set_reason(wire::REJECT_REASON_NO_SPACE);
        answer.set_retry_after_ms(
            static_cast<uint32_t>(ToMillis(kRetryAfterNoSpace)));
      }
      answer.set_text(Text(session.status()));
      FillLeader(answer.mutable_leader());
    }
    Send(WireType::kRegisterSessionAnswer, answer);
    RequestDone();
  }));
  Regulate();
}

void ClientSession::OnAppend(const MessageView& message) {
  wire::Append request;
  if (!Parse(message, &request)) return;
  uint64_t id = request.request_id();
  if (!Allowed(id, ClientRole::kWrite, "appending")) return;
  AppendOptions options;
  if (request.has_expected_offset()) {
    options.expected_offset = Offset(request.expected_offset());
  }
  ++requests_;
  log_->Append(message.payload, options,
               scope_.Wrap([this, id](AppendOutcome outcome) {
                 AnswerAppend(id, outcome);
                 RequestDone();
               }));
  Regulate();
}

void ClientSession::AnswerAppend(uint64_t request,
                                 const AppendOutcome& outcome) {
  wire::AppendAnswer answer;
  answer.set_request_id(request);
  answer.set_result(static_cast<wire::AppendResult>(outcome.kind));
  answer.set_reason(static_cast<wire::RejectReason>(outcome.reason));
  answer.set_base_offset(outcome.offset.value());
  answer.set_retry_after_ms(
      static_cast<uint32_t>(ToMillis(outcome.retry_after)));
  answer.set_final(outcome.final);
  if (outcome.kind != AppendOutcome::Kind::kCommitted) {
    answer.set_text(outcome.message);
    FillLeader(answer.mutable_leader());
  }
  Send(WireType::kAppendAnswer, answer);
}

void ClientSession::OnRead(const MessageView& message) {
  wire::Read request;
  if (!Parse(message, &request)) return;
  uint64_t id = request.request_id();
  if (!Allowed(id, ClientRole::kRead, "reading")) return;
  ReadMode mode;
  if (request.mode() == wire::READ_MODE_LINEARIZABLE) {
    mode = ReadMode::kLinearizable;
  } else if (request.mode() == wire::READ_MODE_LOCAL) {
    mode = ReadMode::kLocal;
  } else {
    return Refuse(id, wire::CODE_MALFORMED, "unknown mode of reading");
  }
  ++requests_;
  reads_.push_back(
      {.request = id,
       .from = Offset(request.from_offset()),
       .bytes = std::min(request.max_bytes(), options_.read_bytes_max),
       .mode = mode,
       .expected =
           std::min<size_t>(request.max_bytes(),
                            std::max(kReadBytesExpected, last_read_bytes_))});
  StartReads();
  Regulate();
}

void ClientSession::StartReads() {
  while (!reads_.empty() && !full() && !ended_) {
    const WaitingRead read = reads_.front();
    if (reads_under_way_ > 0 &&
        stream_->bytes_queued() + read_bytes_under_way_ + read.expected >
            answers_max() / 2) {
      return;
    }
    reads_.pop_front();
    ++reads_under_way_;
    read_bytes_under_way_ += read.expected;
    log_->Read(read.from, read.bytes, read.mode,
               scope_.Wrap([this, read](absl::StatusOr<ReadResult> result) {
                 --reads_under_way_;
                 read_bytes_under_way_ -= read.expected;
                 OnReadDone(read, std::move(result));
                 StartReads();
               }));
  }
}

void ClientSession::OnReadDone(WaitingRead read,
                               absl::StatusOr<ReadResult> result) {
  read.expected = result.ok() ? BytesOf(*result) : 0;
  // Small ones come in between.
  last_read_bytes_ = std::max(read.expected, last_read_bytes_ / 2);
  if (!Fits(read.expected, answers_max())) {
    // Others brought more than was expected. Once there is room for it, again.
    reads_.push_back(read);
    return;
  }
  AnswerRead(read.request, std::move(result));
  RequestDone();
}

void ClientSession::AnswerRead(uint64_t request,
                               absl::StatusOr<ReadResult> result) {
  wire::ReadAnswer answer;
  answer.set_request_id(request);
  answer.set_first_offset(log_->first_offset().value());
  if (!result.ok()) {
    bool elsewhere =
        absl::IsUnavailable(result.status()) && !log_->node().is_leader();
    answer.set_code(elsewhere ? wire::CODE_NOT_LEADER
                              : CodeOf(result.status()));
    answer.set_text(Text(result.status()));
    FillLost(result.status(), &answer);
    answer.set_committed_end(log_->committed_end().value());
    FillLeader(answer.mutable_leader());
    return Send(WireType::kReadAnswer, answer);
  }
  answer.set_batch_count(static_cast<uint32_t>(result->batches.size()));
  answer.set_committed_end(result->committed_end.value());
  // So that nobody takes this server for the leader.
  if (!log_->node().is_leader()) FillLeader(answer.mutable_leader());
  Send(WireType::kReadAnswer, answer, SentBatches(result->batches));
}

// --- Tails ---

void ClientSession::OnTail(const MessageView& message) {
  wire::Tail request;
  if (!Parse(message, &request)) return;
  uint64_t id = request.request_id();
  if (!Allowed(id, ClientRole::kRead, "tailing")) return;
  if (tails_.contains(id) || tails_.size() >= options_.tails_per_client_max) {
    return Refuse(
        id, wire::CODE_MALFORMED,
        absl::StrCat("expected at most ", options_.tails_per_client_max,
                     " tails on one connection, each with an id of "
                     "its own"));
  }
  TailState& tail = tails_[id];
  tail.next = Offset(request.from_offset());
  tail.leader_only = request.leader_only();
  tail.credit =
      static_cast<int64_t>(std::min<uint64_t>(request.credit_bytes(), 1 << 30));
  if (tail.leader_only && !log_->node().is_leader()) return OnNotLeading();
  PushTail(id);
}

void ClientSession::OnNotLeading() {
  std::vector<uint64_t> ids;
  for (const auto& [id, tail] : tails_) {
    if (tail.leader_only) ids.push_back(id);
  }
  for (uint64_t id : ids) {
    EndTail(id, wire::CODE_NOT_LEADER, "this server doesn't lead");
  }
}

void ClientSession::OnTailCredit(const MessageView& message) {
  wire::TailCredit request;
  if (!Parse(message, &request)) return;
  auto it = tails_.find(request.request_id());
  if (it == tails_.end()) return;  // it ended while this was on its way
  it->second.credit +=
      static_cast<int64_t>(std::min<uint64_t>(request.credit_bytes(), 1 << 30));
  PushTail(request.request_id());
}

void ClientSession::OnStopTail(const MessageView& message) {
  wire::StopTail request;
  if (!Parse(message, &request)) return;
  if (tails_.contains(request.request_id())) {
    EndTail(request.request_id(), wire::CODE_OK, "");
  }
}

void ClientSession::PushTail(uint64_t id) {
  TailState& tail = tails_.at(id);
  if (tail.waiting != nullptr || tail.credit <= 0 || full()) return;
  size_t bytes = std::min<size_t>(static_cast<size_t>(tail.credit),
                                  options_.read_bytes_max);
  tail.waiting = log_->Tail(
      tail.next, bytes, scope_.Wrap([this, id](absl::StatusOr<ReadResult> r) {
        OnTailData(id, std::move(r));
      }));
}

void ClientSession::OnTailData(uint64_t id, absl::StatusOr<ReadResult> result) {
  TailState& tail = tails_.at(id);
  tail.waiting = nullptr;
  if (!result.ok()) {
    wire::TailEnd end;
    end.set_code(CodeOf(result.status()));
    end.set_text(Text(result.status()));
    FillLost(result.status(), &end);
    return EndTail(id, std::move(end));
  }
  // Others have filled the queue meanwhile. It is read again then. Reads take
  // half of the room, and a little more if they bring more than was expected.
  if (!Fits(BytesOf(*result), answers_max() / 4 * 3)) return;
  last_pushed_ = id;
  if (!result->batches.empty()) {
    const EntryHeader& last = result->batches.back().header;
    tail.next = last.base_offset + last.count;
  }
  wire::TailData data;
  data.set_request_id(id);
  data.set_batch_count(static_cast<uint32_t>(result->batches.size()));
  data.set_committed_end(result->committed_end.value());
  Buffers payload = SentBatches(result->batches);
  tail.credit -= static_cast<int64_t>(TotalSize(payload));
  Send(WireType::kTailData, data, std::move(payload));
  if (!ended_) PushTail(id);
}

void ClientSession::EndTail(uint64_t id, wire::Code code,
                            absl::string_view text) {
  wire::TailEnd end;
  end.set_code(code);
  end.set_text(std::string(text));
  EndTail(id, std::move(end));
}

void ClientSession::EndTail(uint64_t id, wire::TailEnd end) {
  tails_.erase(id);
  end.set_request_id(id);
  FillLeader(end.mutable_leader());
  Send(WireType::kTailEnd, end);
}

// --- The operators' ---

void ClientSession::OnJoin(const MessageView& message) {
  wire::Join request;
  if (!Parse(message, &request)) return;
  uint64_t id = request.request_id();
  if (!Allowed(id, ClientRole::kAdmin, "changing members")) return;
  absl::string_view address = request.address();
  absl::StatusOr<HostPort> parsed = ParseAddress(address);
  if (request.server_id() == 0 ||
      address.size() > Configuration::kAddressBytesMax || !parsed.ok() ||
      parsed->port == 0) {
    return Refuse(id, wire::CODE_MALFORMED,
                  absl::StrCat("join: expected a server's id above 0 and its "
                               "HOST:PORT of at most ",
                               Configuration::kAddressBytesMax, " bytes"));
  }
  if (!BeginAdmin(id)) return;
  log_->Join(ServerId(request.server_id()), Address(address), request.learner(),
             AdminDone(id));
  Regulate();
}

void ClientSession::OnLeave(const MessageView& message) {
  wire::Leave request;
  if (!Parse(message, &request)) return;
  uint64_t id = request.request_id();
  if (!Allowed(id, ClientRole::kAdmin, "changing members")) return;
  std::vector<ServerId> ids;
  if (request.server_ids_size() <= kServerIdsMax) {
    for (uint64_t server : request.server_ids()) ids.emplace_back(server);
  }
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  if (ids.empty() || ids.front().value() == 0) {
    return Refuse(id, wire::CODE_MALFORMED,
                  absl::StrCat("leave: expected 1 to ", kServerIdsMax,
                               " servers' ids above 0"));
  }
  if (!BeginAdmin(id)) return;
  log_->Leave(std::move(ids), AdminDone(id));
  Regulate();
}

void ClientSession::OnTransfer(const MessageView& message) {
  wire::Transfer request;
  if (!Parse(message, &request)) return;
  uint64_t id = request.request_id();
  if (!Allowed(id, ClientRole::kAdmin, "transferring leadership")) return;
  if (!BeginAdmin(id)) return;
  log_->Transfer(ServerId(request.to_server_id()), AdminDone(id));
  Regulate();
}

void ClientSession::OnTrim(const MessageView& message) {
  wire::Trim request;
  if (!Parse(message, &request)) return;
  uint64_t id = request.request_id();
  if (!Allowed(id, ClientRole::kAdmin, "trimming")) return;
  if (!BeginAdmin(id)) return;
  log_->Trim(Offset(request.first_offset()), AdminDone(id));
  Regulate();
}

bool ClientSession::BeginAdmin(uint64_t request) {
  if (admin_requests_ >= options_.admin_requests_per_client_max) {
    AnswerAdmin(request, wire::CODE_OVERLOADED,
                absl::StrCat("expected at most ",
                             options_.admin_requests_per_client_max,
                             " changes under way on one connection"));
    return false;
  }
  ++admin_requests_;
  ++requests_;
  return true;
}

DoneFn ClientSession::AdminDone(uint64_t request) {
  return scope_.Wrap([this, request](absl::Status done) {
    wire::Code code = wire::CODE_REFUSED;
    if (done.ok()) {
      code = wire::CODE_OK;
    } else if (absl::IsUnavailable(done)) {
      code = log_->node().is_leader() ? wire::CODE_UNAVAILABLE
                                      : wire::CODE_NOT_LEADER;
    }
    --admin_requests_;
    AnswerAdmin(request, code, done.message());
    RequestDone();
  });
}

void ClientSession::AnswerAdmin(uint64_t request, wire::Code code,
                                absl::string_view text) {
  wire::AdminAnswer answer;
  answer.set_request_id(request);
  answer.set_code(code);
  answer.set_text(std::string(text));
  FillLeader(answer.mutable_leader());
  if (code == wire::CODE_UNAVAILABLE || code == wire::CODE_OVERLOADED) {
    answer.set_retry_after_ms(kAdminRetryAfterMs);
  }
  Send(WireType::kAdminAnswer, answer);
}

// --- The rest ---

void ClientSession::OnStatus(const MessageView& message) {
  wire::Status request;
  if (!Parse(message, &request)) return;
  wire::StatusAnswer answer = DescribeStatus(*log_);
  answer.set_request_id(request.request_id());
  answer.set_version(options_.version);
  Send(WireType::kStatusAnswer, answer);
}

void ClientSession::FillLeader(wire::LeaderHint* hint) const {
  ServerId leader = log_->node().leader();
  if (leader.value() == 0) return;
  hint->set_server_id(leader.value());
  hint->set_address(log_->node().AddressOf(leader));
}

void ClientSession::Refuse(uint64_t request, wire::Code code,
                           absl::string_view text) {
  wire::RequestRefused refused;
  refused.set_request_id(request);
  refused.set_code(code);
  refused.set_text(std::string(text));
  Send(WireType::kRequestRefused, refused);
}

// --- Sending, and its bounds ---

void ClientSession::GatherAnswers() {
  if (gathering_) return;
  gathering_ = true;
  stream_->Cork();
  env_.loop->Post(scope_.Wrap([this] {
    gathering_ = false;
    stream_->Uncork();
  }));
}

template <typename Answer>
void ClientSession::Send(WireType type, const Answer& answer, Buffers payload) {
  if (ended_) return;
  GatherAnswers();
  MessagePriority priority =
      payload.empty() ? MessagePriority::kControl : MessagePriority::kBulk;
  if (!stream_->Send(type, answer, payload, priority)) {
    return End("the client takes no answers");
  }
  Regulate();
}

uint64_t ClientSession::answers_max() const {
  // Less what else may be queued meanwhile.
  const auto& stream = options_.log.node.peers.acceptor.client_stream;
  return stream.queue_bytes_max - stream.queue_bytes_max / 16;
}

bool ClientSession::Fits(size_t bytes, uint64_t room) const {
  const size_t queued = stream_->bytes_queued();
  return bytes == 0 || queued == 0 || queued + bytes <= room;
}

bool ClientSession::full() const {
  return stream_->bytes_queued() > options_.answer_bytes_per_client_max;
}

void ClientSession::RequestDone() {
  --requests_;
  Regulate();
}

void ClientSession::Regulate() {
  if (ended_) return;
  bool pause = requests_ >= options_.requests_per_client_max || full();
  if (pause == paused_) return;
  paused_ = pause;
  if (pause) {
    stream_->PauseReading();
  } else {
    stream_->ResumeReading();
  }
}

ClientLoad ClientSession::load() const {
  return {.requests = requests_,
          .tails = tails_.size(),
          .answer_bytes = stream_->bytes_queued(),
          .reads_on = !paused_ && !ended_};
}

void ClientSession::OnWritten() {
  Regulate();
  if (full()) return;
  StartReads();
  // In turn, from behind the one that was last.
  std::vector<uint64_t> ids;
  for (const auto& [id, tail] : tails_) ids.push_back(id);
  std::rotate(ids.begin(),
              std::upper_bound(ids.begin(), ids.end(), last_pushed_),
              ids.end());
  for (uint64_t id : ids) PushTail(id);
}

void ClientSession::End(absl::string_view why) {
  if (std::exchange(ended_, true)) return;
  if (env_.log_line != nullptr && *env_.log_line) {
    (*env_.log_line)(absl::StrCat("event=client_dropped client=\"", peer_.name,
                                  "\" from=", stream_->Describe(), " why=\"",
                                  why, "\""));
  }
  // Later, since the caller is within one of this object's own functions.
  env_.loop->Post(scope_.Wrap([this] { on_gone_(); }));
}

}  // namespace holdfast
