#include "engine/client/reader.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/client/decode.h"
#include "engine/peer/client.pb.h"

namespace holdfast {
namespace {

absl::Status Unreadable(ServerConnection* server) {
  return absl::UnavailableError(
      absl::StrCat(server->address(), ": its answer can't be read"));
}

}  // namespace

Reader::Reader(Cluster* cluster)
    : cluster_(cluster), loop_(cluster->env().loop) {}

Reader::~Reader() {
  if (listener_ != 0) cluster_->Remove(listener_);
}

void Reader::Read(Offset from, const ClientReadOptions& options,
                  ClientReadFn done) {
  Pending pending;
  pending.from = from;
  pending.options = options;
  pending.read_done = std::move(done);
  const uint64_t id = Add(std::move(pending), options.timeout);
  if (options.mode == ClientReadMode::kLinearizable) {
    ListenWhileNeeded();
    SendToLeader(id);
  } else {
    AskServer(id, options.server.empty() ? cluster_->options().servers.front()
                                         : options.server);
  }
}

void Reader::Status(const Address& server, Duration timeout,
                    ResultFn<ServerStatus> done) {
  Pending pending;
  pending.options.mode = ClientReadMode::kLocal;
  pending.status_done = std::move(done);
  AskServer(Add(std::move(pending), timeout), server);
}

uint64_t Reader::Add(Pending pending, Duration timeout) {
  const uint64_t id = next_id_++;
  pending.deadline = loop_->After(timeout, [this, id, timeout] {
    Pending& late = pending_.at(id);
    std::string why = cluster_->Trouble();
    if (!late.last_error.ok()) why = std::string(late.last_error.message());
    Fail(id, absl::DeadlineExceededError(
                 absl::StrCat("no answer within ", ToMillis(timeout), " ms",
                              why.empty() ? "" : ": ", why)));
  });
  pending_.emplace(id, std::move(pending));
  return id;
}

// Listening makes the Cluster search.
void Reader::ListenWhileNeeded() {
  const bool needed =
      std::any_of(pending_.begin(), pending_.end(), [](const auto& one) {
        return one.second.options.mode == ClientReadMode::kLinearizable;
      });
  if (needed && listener_ == 0) {
    listener_ = cluster_->Add(this);
  } else if (!needed && listener_ != 0) {
    cluster_->Remove(std::exchange(listener_, 0));
  }
}

void Reader::OnLeader(ServerConnection* leader) {
  std::vector<uint64_t> ids;
  for (const auto& [id, pending] : pending_) {
    if (pending.options.mode == ClientReadMode::kLinearizable &&
        pending.server != leader) {
      ids.push_back(id);
    }
  }
  for (uint64_t id : ids) SendToLeader(id);
}

void Reader::SendToLeader(uint64_t id) {
  ServerConnection* leader = cluster_->Leader();
  if (leader != nullptr) SendRead(id, leader);
}

void Reader::AskServer(uint64_t id, const Address& address) {
  ServerConnection* server = cluster_->Server(address);
  server->WhenUp(scope_.Wrap([this, id, server](const absl::Status& status) {
    auto it = pending_.find(id);
    if (it == pending_.end()) return;
    if (!status.ok()) return Fail(id, status);
    if (it->second.status_done) {
      SendStatus(id, server);
    } else {
      SendRead(id, server);
    }
  }));
}

void Reader::SendRead(uint64_t id, ServerConnection* server) {
  Pending& pending = pending_.at(id);
  if (pending.server != nullptr) pending.server->Forget(pending.request);
  pending.retry.Cancel();
  pending.server = server;
  pending.request = cluster_->NextRequestId();
  wire::Read request;
  request.set_request_id(pending.request);
  request.set_from_offset(pending.from.value());
  request.set_max_bytes(pending.options.max_bytes);
  request.set_mode(pending.options.mode == ClientReadMode::kLocal
                       ? wire::READ_MODE_LOCAL
                       : wire::READ_MODE_LINEARIZABLE);
  server->Request(
      pending.request, WireType::kRead, request,
      scope_.Wrap([this, id, server](const absl::StatusOr<MessageView>& m) {
        OnReadAnswer(id, server, m);
      }));
}

void Reader::OnReadAnswer(uint64_t id, ServerConnection* server,
                          const absl::StatusOr<MessageView>& message) {
  Pending& pending = pending_.at(id);
  pending.server = nullptr;
  const bool retries = pending.options.mode == ClientReadMode::kLinearizable;
  if (!message.ok()) {
    if (!retries || !absl::IsUnavailable(message.status())) {
      return Fail(id, message.status());
    }
    return TryAgain(id, message.status(), cluster_->ShortPause());
  }
  wire::ReadAnswer answer;
  if (!answer.ParseFromArray(message->header.data(),
                             static_cast<int>(message->header.size()))) {
    return Fail(id, Unreadable(server));
  }
  const absl::Status status = CodeToStatus(answer.code(), answer.text());
  if (!status.ok()) {
    if (!retries || !absl::IsUnavailable(status)) return Fail(id, status);
    if (answer.code() == wire::CODE_NOT_LEADER ||
        answer.code() == wire::CODE_STOPPING) {
      cluster_->NotLeader(server, answer.leader(), answer.text());
    }
    return TryAgain(
        id, status,
        std::max(Duration(std::chrono::milliseconds(answer.retry_after_ms())),
                 cluster_->ShortPause()));
  }
  if (retries) cluster_->Confirmed(server);
  absl::StatusOr<std::vector<LogBatch>> batches =
      DecodeLogBatches(message->payload, answer.batch_count(), pending.from);
  if (!batches.ok()) return Fail(id, batches.status());
  ClientReadResult result;
  result.next = batches->empty() ? pending.from : batches->back().end();
  result.batches = *std::move(batches);
  result.committed_end = Offset(answer.committed_end());
  result.first_offset = Offset(answer.first_offset());
  Pending done;
  if (Take(id, &done)) done.read_done(std::move(result));
}

void Reader::SendStatus(uint64_t id, ServerConnection* server) {
  Pending& pending = pending_.at(id);
  pending.server = server;
  pending.request = cluster_->NextRequestId();
  wire::Status request;
  request.set_request_id(pending.request);
  server->Request(
      pending.request, WireType::kStatus, request,
      scope_.Wrap([this, id](const absl::StatusOr<MessageView>& message) {
        OnStatusAnswer(id, message);
      }));
}

void Reader::OnStatusAnswer(uint64_t id,
                            const absl::StatusOr<MessageView>& message) {
  Pending& pending = pending_.at(id);
  ServerConnection* server = std::exchange(pending.server, nullptr);
  if (!message.ok()) return Fail(id, message.status());
  wire::StatusAnswer answer;
  if (!answer.ParseFromArray(message->header.data(),
                             static_cast<int>(message->header.size()))) {
    return Fail(id, Unreadable(server));
  }
  Pending done;
  if (Take(id, &done)) done.status_done(DecodeStatus(answer));
}

// After the pause, or as soon as there is another leader.
void Reader::TryAgain(uint64_t id, absl::Status why, Duration pause) {
  Pending& pending = pending_.at(id);
  pending.last_error = std::move(why);
  pending.retry = loop_->After(pause, [this, id] { SendToLeader(id); });
}

bool Reader::Take(uint64_t id, Pending* pending) {
  auto it = pending_.find(id);
  if (it == pending_.end()) return false;
  *pending = std::move(it->second);
  pending_.erase(it);
  pending->deadline.Cancel();
  pending->retry.Cancel();
  if (pending->server != nullptr) pending->server->Forget(pending->request);
  ListenWhileNeeded();
  return true;
}

void Reader::Fail(uint64_t id, absl::Status why) {
  Pending pending;
  if (!Take(id, &pending)) return;
  if (pending.read_done) {
    pending.read_done(std::move(why));
  } else {
    pending.status_done(std::move(why));
  }
}

void Reader::Close() {
  while (!pending_.empty()) {
    Fail(pending_.begin()->first, absl::CancelledError("the client is closed"));
  }
}

}  // namespace holdfast
