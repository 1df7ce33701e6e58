#include "engine/client/fake_server.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"
#include "engine/peer/batches.h"

namespace holdfast {
namespace {

template <typename Proto>
Proto Parse(const MessageView& message) {
  Proto proto;
  CHECK(proto.ParseFromArray(message.header.data(),
                             static_cast<int>(message.header.size())));
  return proto;
}

}  // namespace

FakeServer::FakeServer(Loop* loop, Network* network, Security* security,
                       FakeLog* log, Address address)
    : log_(log),
      address_(std::move(address)),
      acceptor_(
          loop, network, security, AcceptorOptions(),
          {.judge = [this](const PeerIdentity&, const Hello&) -> HelloVerdict {
             Hello hello;
             hello.server_id = ServerId(1);
             hello.cluster_id =
                 cluster_ == ClusterId() ? log_->cluster : cluster_;
             return hello;
           },
           .on_raft = [](InboundStream) {},
           .on_client =
               [this](InboundStream inbound) { OnClient(std::move(inbound)); },
           .log_line = nullptr}) {
  CHECK(acceptor_.Listen(address_).ok());
}

void FakeServer::OnClient(InboundStream inbound) {
  const uint64_t id = next_stream_++;
  MessageStream* stream = inbound.stream.get();
  streams_.emplace(id, std::move(inbound.stream));
  stream->Start(
      {.on_message = [this, id](const MessageView& m) { OnMessage(id, m); },
       .on_closed = [this, id](const absl::Status&) { streams_.erase(id); },
       .on_bytes = nullptr,
       .on_written = nullptr});
}

void FakeServer::OnMessage(uint64_t id, const MessageView& message) {
  MessageStream* stream = streams_.at(id).get();
  switch (message.type) {
    case WireType::kRegisterSession:
      return OnRegister(stream, message);
    case WireType::kAppend:
      return OnAppend(stream, message);
    case WireType::kRead:
      return OnRead(stream, message);
    case WireType::kTail: {
      const auto tail = Parse<wire::Tail>(message);
      if (tail.leader_only() && !leads()) {
        wire::TailEnd end;
        end.set_request_id(tail.request_id());
        end.set_code(wire::CODE_NOT_LEADER);
        FillHint(end.mutable_leader());
        stream->Send(WireType::kTailEnd, end);
        return;
      }
      tails_.push_back({.stream = id,
                        .request = tail.request_id(),
                        .next = Offset(tail.from_offset()),
                        .credit = static_cast<int64_t>(tail.credit_bytes())});
      return PushTails();
    }
    case WireType::kTailCredit: {
      const auto credit = Parse<wire::TailCredit>(message);
      for (FakeTail& tail : tails_) {
        if (tail.stream == id && tail.request == credit.request_id()) {
          tail.credit += static_cast<int64_t>(credit.credit_bytes());
        }
      }
      return PushTails();
    }
    case WireType::kStopTail: {
      const uint64_t request = Parse<wire::StopTail>(message).request_id();
      std::erase_if(tails_, [&](const FakeTail& tail) {
        return tail.stream == id && tail.request == request;
      });
      return;
    }
    case WireType::kStatus: {
      wire::StatusAnswer answer;
      answer.set_request_id(Parse<wire::Status>(message).request_id());
      answer.set_server_id(static_cast<uint64_t>(address_.back() - '0'));
      FillHint(answer.mutable_leader());
      answer.set_role(leads() ? wire::SERVER_ROLE_LEADER
                              : wire::SERVER_ROLE_FOLLOWER);
      answer.set_next_offset(log_->end.value());
      answer.set_term(7);
      wire::MemberStatus* member = answer.add_members();
      member->set_server_id(2);
      member->set_address("s:2");
      member->set_kind(wire::MEMBER_KIND_VOTER);
      for (const auto& [joined, address] : log_->members) {
        member = answer.add_members();
        member->set_server_id(joined);
        member->set_address(address);
      }
      stream->Send(WireType::kStatusAnswer, answer);
      return;
    }
    case WireType::kJoin:
    case WireType::kLeave:
    case WireType::kTransfer:
      return OnAdmin(stream, message);
    default:
      CHECK(false);
  }
}

void FakeServer::FillHint(wire::LeaderHint* hint) const {
  if (hints_) hint->set_address(log_->leader);
}

void FakeServer::OnRegister(MessageStream* stream, const MessageView& message) {
  wire::RegisterSessionAnswer answer;
  answer.set_request_id(Parse<wire::RegisterSession>(message).request_id());
  if (read_only_) return RefuseRole(stream, answer.request_id());
  if (leads()) {
    answer.set_session_id(++log_->sessions);
    log_->results[log_->sessions];
  } else {
    answer.set_code(wire::CODE_NOT_LEADER);
    FillHint(answer.mutable_leader());
  }
  stream->Send(WireType::kRegisterSessionAnswer, answer);
}

void FakeServer::RefuseRole(MessageStream* stream, uint64_t request) {
  wire::RequestRefused refused;
  refused.set_request_id(request);
  refused.set_code(wire::CODE_PERMISSION_DENIED);
  refused.set_text("only reads");
  stream->Send(WireType::kRequestRefused, refused);
}

void FakeServer::OnAppend(MessageStream* stream, const MessageView& message) {
  const auto request = Parse<wire::Append>(message);
  ++appends_;
  unanswered_max_ = std::max(unanswered_max_, ++unanswered_);
  wire::AppendAnswer answer;
  answer.set_request_id(request.request_id());
  if (!leads()) {
    answer.set_result(wire::APPEND_RESULT_NOT_LEADER);
    FillHint(answer.mutable_leader());
  } else if (mode_ == Mode::kOverloaded && mode_count_ > 0) {
    --mode_count_;
    answer.set_result(wire::APPEND_RESULT_OVERLOADED);
    answer.set_retry_after_ms(100);
  } else if (mode_ != Mode::kSwallow) {
    Take(request, message.payload, &answer);
  }
  if (leads() && (mode_ == Mode::kSilent || mode_ == Mode::kSwallow)) return;
  if (leads() && mode_ == Mode::kUnknown) {
    answer.set_result(wire::APPEND_RESULT_UNKNOWN);
  }
  --unanswered_;
  stream->Send(WireType::kAppendAnswer, answer);
}

void FakeServer::Take(const wire::Append& request, const Buffer& payload,
                      wire::AppendAnswer* answer) {
  absl::StatusOr<BatchView> batch = BatchView::Parse(payload);
  CHECK(batch.ok());
  const auto session = log_->results.find(batch->session().value());
  if (session == log_->results.end()) {
    answer->set_result(wire::APPEND_RESULT_UNKNOWN);
    answer->set_final(true);
    answer->set_reason(wire::REJECT_REASON_UNKNOWN_SESSION);
    answer->set_text("its session isn't known");
    return;
  }
  std::vector<Offset>& results = session->second;
  const uint64_t sequence = batch->sequence().value();
  answer->set_result(wire::APPEND_RESULT_REJECTED);
  if (sequence <= results.size()) {
    answer->set_result(wire::APPEND_RESULT_COMMITTED);
    answer->set_base_offset(results[sequence - 1].value());
  } else if (sequence != results.size() + 1) {
    answer->set_reason(wire::REJECT_REASON_SEQUENCE_GAP);
  } else if (request.has_expected_offset() &&
             request.expected_offset() != log_->end.value()) {
    answer->set_reason(wire::REJECT_REASON_WRONG_OFFSET);
    answer->set_base_offset(log_->end.value());
  } else {
    answer->set_result(wire::APPEND_RESULT_COMMITTED);
    answer->set_base_offset(log_->end.value());
    results.push_back(log_->end);
    log_->batches.push_back({.base = log_->end, .bytes = payload});
    log_->end += batch->record_count();
  }
}

void FakeServer::OnRead(MessageStream* stream, const MessageView& message) {
  const auto request = Parse<wire::Read>(message);
  ++reads_;
  wire::ReadAnswer answer;
  answer.set_request_id(request.request_id());
  answer.set_committed_end(log_->end.value());
  Buffers payload;
  if (request.mode() == wire::READ_MODE_LINEARIZABLE && !leads()) {
    answer.set_code(wire::CODE_NOT_LEADER);
    FillHint(answer.mutable_leader());
  } else if (request.from_offset() > log_->end.value()) {
    answer.set_code(wire::CODE_OUT_OF_RANGE);
    answer.set_text("beyond the end");
  } else if (log_->lost_from <= Offset(request.from_offset()) &&
             Offset(request.from_offset()) < log_->lost_end) {
    answer.set_code(wire::CODE_RECORDS_LOST);
    answer.set_lost_from(log_->lost_from.value());
    answer.set_lost_end(log_->lost_end.value());
  } else {
    const Offset from(request.from_offset());
    for (const FakeLog::Batch& batch : log_->batches) {
      const uint32_t count = ReadBatchHeader(batch.bytes.view())->record_count;
      if (batch.base + count <= from) continue;
      if (TotalSize(payload) >= request.max_bytes()) break;
      AppendSentBatch(SentBatch{.log_time = WallTime(Duration(5)),
                                .base_offset = batch.base,
                                .bytes = batch.bytes},
                      &payload);
      answer.set_batch_count(answer.batch_count() + 1);
    }
  }
  stream->Send(WireType::kReadAnswer, answer, payload, MessagePriority::kBulk);
}

void FakeServer::OnAdmin(MessageStream* stream, const MessageView& message) {
  ++admin_requests_;
  wire::AdminAnswer answer;
  answer.set_request_id(Parse<wire::AnswerId>(message).request_id());
  if (read_only_) return RefuseRole(stream, answer.request_id());
  if (!leads()) {
    answer.set_code(wire::CODE_NOT_LEADER);
    FillHint(answer.mutable_leader());
  } else if (!refusal_.empty()) {
    answer.set_code(wire::CODE_REFUSED);
    answer.set_text(refusal_);
  } else if (mode_ == Mode::kOverloaded && mode_count_ > 0) {
    --mode_count_;
    answer.set_code(wire::CODE_OVERLOADED);
    answer.set_text("too many");
    answer.set_retry_after_ms(100);
  } else if (!Leavable(message)) {
    answer.set_code(wire::CODE_REFUSED);
    answer.set_text("it isn't a member");
  } else {
    if (mode_ != Mode::kSwallow) Change(message);
    if (mode_ == Mode::kSilent || mode_ == Mode::kSwallow) return;
    if (mode_ == Mode::kUnknown) {
      answer.set_code(wire::CODE_UNAVAILABLE);
      answer.set_text("it takes long");
    }
  }
  stream->Send(WireType::kAdminAnswer, answer);
}

bool FakeServer::Leavable(const MessageView& message) const {
  if (message.type != WireType::kLeave) return true;
  const auto leave = Parse<wire::Leave>(message);
  return std::all_of(
      leave.server_ids().begin(), leave.server_ids().end(),
      [this](uint64_t id) { return log_->members.contains(id); });
}

// At 0, leadership goes round.
void FakeServer::Change(const MessageView& message) {
  if (message.type == WireType::kJoin) {
    const auto join = Parse<wire::Join>(message);
    log_->members[join.server_id()] = join.address();
  } else if (message.type == WireType::kLeave) {
    const auto leave = Parse<wire::Leave>(message);
    for (uint64_t id : leave.server_ids()) log_->members.erase(id);
  } else {
    uint64_t to = Parse<wire::Transfer>(message).to_server_id();
    if (to == 0) to = static_cast<uint64_t>(address_.back() - '0') % 3 + 1;
    log_->leader = absl::StrCat("s:", to);
    ++log_->transfers;
  }
}

void FakeServer::PushTails() {
  for (FakeTail& tail : tails_) {
    auto stream = streams_.find(tail.stream);
    if (stream == streams_.end()) continue;
    for (const FakeLog::Batch& batch : log_->batches) {
      const uint32_t count = ReadBatchHeader(batch.bytes.view())->record_count;
      if (batch.base + count <= tail.next) continue;
      if (tail.credit <= 0) break;
      Buffers payload;
      AppendSentBatch(SentBatch{.log_time = WallTime(Duration(5)),
                                .base_offset = batch.base,
                                .bytes = batch.bytes},
                      &payload);
      wire::TailData data;
      data.set_request_id(tail.request);
      data.set_batch_count(1);
      data.set_committed_end(log_->end.value());
      tail.credit -= static_cast<int64_t>(TotalSize(payload));
      tail_bytes_ += TotalSize(payload);
      tail.next = batch.base + count;
      stream->second->Send(WireType::kTailData, data, payload,
                           MessagePriority::kBulk);
    }
  }
}

void FakeServer::EndTails(wire::TailEnd end) {
  for (FakeTail& tail : std::exchange(tails_, {})) {
    auto stream = streams_.find(tail.stream);
    if (stream == streams_.end()) continue;
    end.set_request_id(tail.request);
    FillHint(end.mutable_leader());
    stream->second->Send(WireType::kTailEnd, end);
  }
}

}  // namespace holdfast
