#include "engine/client/requests.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/client/decode.h"

namespace holdfast {

Requests::Requests(Cluster* cluster)
    : cluster_(cluster), loop_(cluster->env().loop) {}

Requests::~Requests() {
  if (listener_ != 0) cluster_->Remove(listener_);
}

void Requests::AskLeader(std::unique_ptr<Request> request, Duration timeout) {
  const uint64_t id = Add(std::move(request), true, timeout);
  if (closed_) return;
  ListenWhileNeeded();
  SendToLeader(id);
}

void Requests::AskServer(const Address& address,
                         std::unique_ptr<Request> request, Duration timeout) {
  const uint64_t id = Add(std::move(request), false, timeout);
  if (closed_) return;
  ServerConnection* server = cluster_->Server(address);
  server->WhenUp(scope_.Wrap([this, id, server](const absl::Status& status) {
    if (!pending_.contains(id)) return;
    if (!status.ok()) return Finish(id, status);
    Send(id, server);
  }));
}

uint64_t Requests::Add(std::unique_ptr<Request> request, bool to_leader,
                       Duration timeout) {
  const uint64_t id = next_id_++;
  Pending pending;
  pending.request = std::move(request);
  pending.to_leader = to_leader && !closed_;
  if (closed_) {
    pending.deadline = loop_->After(0ns, [this, id] { Cancel(id); });
    pending_.emplace(id, std::move(pending));
    return id;
  }
  pending.deadline = loop_->After(timeout, [this, id, timeout] {
    // What was last said of this request, and the state of all servers, which
    // often says the same.
    std::string why(pending_.at(id).last_error.message());
    const std::string trouble = cluster_->Trouble();
    if (absl::StrContains(trouble, why)) {
      why = trouble;
    } else if (!trouble.empty()) {
      absl::StrAppend(&why, "; ", trouble);
    }
    Finish(id, absl::DeadlineExceededError(
                   absl::StrCat("no result within ", ToMillis(timeout), " ms",
                                why.empty() ? "" : ": ", why)));
  });
  pending_.emplace(id, std::move(pending));
  return id;
}

// Listening makes the Cluster search.
void Requests::ListenWhileNeeded() {
  const bool needed =
      std::any_of(pending_.begin(), pending_.end(),
                  [](const auto& one) { return one.second.to_leader; });
  if (needed && listener_ == 0) {
    listener_ = cluster_->Add(this);
  } else if (!needed && listener_ != 0) {
    cluster_->Remove(std::exchange(listener_, 0));
  }
}

void Requests::OnLeader(ServerConnection* leader) {
  std::vector<uint64_t> ids;
  for (const auto& [id, pending] : pending_) {
    if (pending.to_leader && pending.server != leader) ids.push_back(id);
  }
  for (uint64_t id : ids) SendToLeader(id);
}

void Requests::SendToLeader(uint64_t id) {
  ServerConnection* leader = cluster_->Leader();
  if (leader != nullptr) Send(id, leader);
}

void Requests::Send(uint64_t id, ServerConnection* server) {
  Pending& pending = pending_.at(id);
  if (pending.server != nullptr) pending.server->Forget(pending.request_id);
  pending.retry.Cancel();
  pending.server = server;
  pending.request_id = cluster_->NextRequestId();
  pending.request->Send(
      server, pending.request_id,
      scope_.Wrap([this, id, server](const absl::StatusOr<MessageView>& m) {
        OnAnswer(id, server, m);
      }));
}

void Requests::OnAnswer(uint64_t id, ServerConnection* server,
                        const absl::StatusOr<MessageView>& message) {
  Pending& pending = pending_.at(id);
  pending.server = nullptr;
  if (!message.ok()) {
    if (!pending.to_leader || !absl::IsUnavailable(message.status())) {
      return Finish(id, message.status());
    }
    return TryAgain(id, message.status(), cluster_->ShortPause());
  }
  const absl::StatusOr<RequestVerdict> verdict =
      pending.request->OnAnswer(*message);
  if (!verdict.ok()) {
    return Finish(id, absl::UnavailableError(absl::StrCat(
                          server->address(), ": its answer can't be read")));
  }
  const absl::Status status = CodeToStatus(verdict->code, verdict->text);
  if (!status.ok()) {
    if (!pending.to_leader || !absl::IsUnavailable(status)) {
      return Finish(id, status);
    }
    if (LeadsNoMore(verdict->code)) {
      cluster_->NotLeader(server, verdict->leader, verdict->text);
    }
    return TryAgain(
        id, status,
        std::max(Duration(std::chrono::milliseconds(verdict->retry_after_ms)),
                 cluster_->ShortPause()));
  }
  if (pending.to_leader && verdict->by_leader) cluster_->Confirmed(server);
  if (verdict->ask_on) return Send(id, server);
  Finish(id, absl::OkStatus());
}

// After the pause, or as soon as there is another leader.
void Requests::TryAgain(uint64_t id, absl::Status why, Duration pause) {
  Pending& pending = pending_.at(id);
  pending.last_error = std::move(why);
  pending.retry = loop_->After(pause, [this, id] { SendToLeader(id); });
}

void Requests::Finish(uint64_t id, absl::Status status) {
  auto it = pending_.find(id);
  if (it == pending_.end()) return;
  Pending pending = std::move(it->second);
  pending_.erase(it);
  pending.deadline.Cancel();
  pending.retry.Cancel();
  if (pending.server != nullptr) pending.server->Forget(pending.request_id);
  ListenWhileNeeded();
  pending.request->Done(std::move(status));
}

void Requests::Cancel(uint64_t id) {
  Finish(id, absl::CancelledError("the client is closed"));
}

void Requests::Close() {
  closed_ = true;
  std::vector<uint64_t> ids;
  for (const auto& [id, pending] : pending_) ids.push_back(id);
  for (uint64_t id : ids) Cancel(id);
}

}  // namespace holdfast
