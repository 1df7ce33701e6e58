#include "engine/client/tailer.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/client/decode.h"
#include "engine/peer/client.pb.h"

namespace holdfast {
namespace {

// A server takes no more.
constexpr uint32_t kTailCreditBytesMax = 1 << 30;

}  // namespace

Tailer::Tailer(Cluster* cluster, Offset from, ClientTailOptions options,
               ClientTailCallbacks callbacks)
    : cluster_(cluster),
      loop_(cluster->env().loop),
      options_(std::move(options)),
      callbacks_(std::make_shared<ClientTailCallbacks>(std::move(callbacks))),
      next_(from) {
  options_.credit_bytes =
      std::clamp(options_.credit_bytes, uint32_t{1}, kTailCreditBytesMax);
  if (cluster_->closed()) {
    retry_ = loop_->After(0ns, [this] { Cancel(); });
    return;
  }
  on_close_ = cluster_->OnClose([this] { Cancel(); });
  if (options_.server.empty()) {
    listener_ = cluster_->Add(this);
    if (ServerConnection* leader = cluster_->Leader()) Begin(leader);
    return;
  }
  ServerConnection* server = cluster_->Server(options_.server);
  server->WhenUp(scope_.Wrap([this, server](const absl::Status& status) {
    if (ended_) return;
    if (status.ok()) {
      Begin(server);
    } else {
      End(status);
    }
  }));
}

Tailer::~Tailer() {
  if (listener_ != 0) cluster_->Remove(listener_);
  cluster_->ForgetOnClose(on_close_);
  Leave();
}

// Stops the tail that is under way, if any.
void Tailer::Leave() {
  ServerConnection* server = std::exchange(server_, nullptr);
  if (server == nullptr) return;
  server->Forget(request_);
  wire::StopTail stop;
  stop.set_request_id(request_);
  server->Send(WireType::kStopTail, stop);
}

void Tailer::OnLeader(ServerConnection* leader) {
  if (!ended_ && server_ != leader) Begin(leader);
}

void Tailer::EndBeforeOther(ServerConnection* server) {
  End(absl::FailedPreconditionError(absl::StrCat(
      server->address(),
      ": another cluster is there now, whose offsets may be other records'; "
      "begin anew where its log is to be read")));
}

void Tailer::Begin(ServerConnection* server) {
  Leave();
  retry_.Cancel();
  server_ = server;
  request_ = cluster_->NextRequestId();
  // While paused nothing is asked for; Resume grants it then.
  uint32_t credit = paused_ ? 0 : options_.credit_bytes;
  delivered_bytes_ = options_.credit_bytes - credit;
  // Of another cluster's log it wants to know only whether the server leads
  // that: then it sends what stands anywhere in it.
  const bool other = server->IsOfAnother(cluster_id_);
  if (other) credit = 1;
  wire::Tail request;
  request.set_request_id(request_);
  request.set_from_offset(other ? 0 : next_.value());
  request.set_credit_bytes(credit);
  request.set_leader_only(options_.server.empty());
  server->Request(
      request_, WireType::kTail, request,
      scope_.Wrap([this, server](const absl::StatusOr<MessageView>& message) {
        OnMessage(server, message);
      }),
      /*keep=*/true);
}

void Tailer::OnMessage(ServerConnection* server,
                       const absl::StatusOr<MessageView>& message) {
  if (!message.ok()) {
    server_ = nullptr;
    if (absl::IsUnavailable(message.status())) {
      Lose(message.status());
    } else {
      End(message.status());
    }
  } else if (message->type == WireType::kTailData) {
    OnData(server, *message);
  } else if (message->type == WireType::kTailEnd) {
    OnTailEnd(server, *message);
  }
}

void Tailer::OnData(ServerConnection* server, const MessageView& message) {
  // Only who leads sends any.
  if (server->IsOfAnother(cluster_id_)) {
    Leave();
    return EndBeforeOther(server);
  }
  if (server->cluster_id() != ClusterId()) cluster_id_ = server->cluster_id();
  wire::TailData data;
  if (!data.ParseFromArray(message.header.data(),
                           static_cast<int>(message.header.size()))) {
    Leave();
    return Lose(absl::UnavailableError(
        absl::StrCat(server->address(), ": its answer can't be read")));
  }
  absl::StatusOr<std::vector<LogBatch>> batches =
      DecodeLogBatches(message.payload, data.batch_count(), next_);
  if (!batches.ok()) {
    Leave();
    return Lose(absl::UnavailableError(
        absl::StrCat(server->address(), ": ", batches.status().message())));
  }
  delivered_bytes_ += message.payload.size();
  // A callback may destroy this.
  const std::weak_ptr<int> alive = alive_;
  const std::shared_ptr<ClientTailCallbacks> callbacks = callbacks_;
  if (!batches->empty()) {
    next_ = batches->back().end();
    callbacks->on_batches(*std::move(batches));
    if (alive.expired()) return;
  }
  if (callbacks->on_caught_up && next_ >= Offset(data.committed_end())) {
    callbacks->on_caught_up(next_);
    if (alive.expired()) return;
  }
  GrantCredit();
}

// By halves: few messages, and the server needn't stop meanwhile.
void Tailer::GrantCredit() {
  if (paused_ || server_ == nullptr ||
      delivered_bytes_ < options_.credit_bytes / 2) {
    return;
  }
  wire::TailCredit credit;
  credit.set_request_id(request_);
  credit.set_credit_bytes(delivered_bytes_);
  if (server_->Send(WireType::kTailCredit, credit)) delivered_bytes_ = 0;
}

void Tailer::OnTailEnd(ServerConnection* server, const MessageView& message) {
  server->Forget(request_);
  server_ = nullptr;
  wire::TailEnd end;
  if (!end.ParseFromArray(message.header.data(),
                          static_cast<int>(message.header.size()))) {
    end.set_code(wire::CODE_UNAVAILABLE);
  }
  absl::Status why = WhyNot(end);
  if (why.ok()) why = absl::UnavailableError("the server ended the tail");
  if (!absl::IsUnavailable(why) && server->IsOfAnother(cluster_id_)) {
    return EndBeforeOther(server);
  }
  if (!absl::IsUnavailable(why)) return End(std::move(why));
  // Any other reason is the log's, which another server wouldn't know better.
  if (options_.server.empty() && LeadsNoMore(end.code())) {
    cluster_->NotLeader(server, end.leader(), end.text());
  }
  Lose(std::move(why));
}

void Tailer::Lose(absl::Status why) {
  if (!options_.server.empty()) return End(std::move(why));
  retry_ = loop_->After(cluster_->ShortPause(), [this] {
    ServerConnection* leader = cluster_->Leader();
    if (leader != nullptr && server_ != leader) Begin(leader);
  });
}

void Tailer::End(absl::Status why) {
  if (std::exchange(ended_, true)) return;
  if (listener_ != 0) cluster_->Remove(std::exchange(listener_, 0));
  retry_.Cancel();
  const std::shared_ptr<ClientTailCallbacks> callbacks = callbacks_;
  if (callbacks->on_end) callbacks->on_end(std::move(why));
}

void Tailer::Cancel() {
  Leave();
  End(absl::CancelledError("the client is closed"));
}

void Tailer::Pause() { paused_ = true; }

void Tailer::Resume() {
  paused_ = false;
  GrantCredit();
}

}  // namespace holdfast
