#include "transport/embedded_node.h"

#include <utility>
#include <vector>

#include "engine/base/check.h"

namespace holdfast {
namespace {

// What the node's thread gives of a read, for the caller's to decode.
struct Found {
  ReadResult read;
  Offset first_offset;
};

// As a client gets it.
absl::StatusOr<ClientReadResult> Decode(Found all, Offset from) {
  ReadResult& found = all.read;
  ClientReadResult result;
  result.next = from;
  result.first_offset = all.first_offset;
  result.committed_end = found.committed_end;
  for (Entry& entry : found.batches) {
    absl::StatusOr<BatchView> batch =
        BatchView::Parse(std::move(entry.payload));
    if (!batch.ok()) return batch.status();
    result.batches.push_back(LogBatch{.base_offset = entry.header.base_offset,
                                      .from = result.next,
                                      .log_time = entry.header.log_time,
                                      .batch = *std::move(batch)});
    result.next = result.batches.back().end();
  }
  return result;
}

NodeStatus Describe(Service* service) {
  const Node& node = service->log().node();
  NodeStatus status;
  status.id = node.options().id;
  status.address = node.listen_address();
  status.leads = node.is_leader();
  status.leader = node.leader();
  if (status.leader.value() != 0) {
    status.leader_address = node.AddressOf(status.leader);
  }
  status.first_offset = service->log().first_offset();
  status.committed_end = service->log().committed_end();
  status.clients = service->client_count();
  return status;
}

AppendOutcome NotTried(const absl::Status& why) {
  return AppendOutcome::Rejected(AppendOutcome::Reason::kNone,
                                 std::string(why.message()));
}

}  // namespace

absl::StatusOr<std::unique_ptr<EmbeddedNode>> EmbeddedNode::Start(
    EmbeddedNodeConfig config) {
  std::unique_ptr<EmbeddedNode> node(new EmbeddedNode);
  node->loop_ = std::make_unique<EpollLoop>();
  node->log_line_ = std::move(config.log_line);
  node->on_stopped_ = std::move(config.on_stopped);
  absl::StatusOr<std::unique_ptr<Server>> server =
      Server::Create(node->loop_.get(), std::move(config),
                     node->log_line_ ? &node->log_line_ : nullptr);
  absl::Status made = server.status();
  if (made.ok()) node->server_ = *std::move(server);
  node->thread_.Start(node->loop_.get());
  if (!made.ok()) return made;
  EmbeddedNode* n = node.get();
  absl::Status opened = n->thread_.Ask<absl::Status>([n](DoneFn done) {
    Service* service = n->server_->service();
    service->OnFatal([n](absl::Status why) { n->OnFatal(std::move(why)); });
    service->Open([n, done = std::move(done)](absl::Status status) mutable {
      DoneFn last = std::move(done);
      n->serving_ = status.ok();
      // What didn't open can't be closed.
      if (!status.ok()) n->server_ = nullptr;
      last(std::move(status));
    });
  });
  if (opened.ok()) return node;
  n->Close();
  // It may have stopped before it had opened.
  return n->stopped_.ok() ? opened : n->stopped_;
}

EmbeddedNode::~EmbeddedNode() { Close(); }

// The server goes, and with it all that waits for it: but not within its call.
void EmbeddedNode::OnFatal(absl::Status why) {
  stopped_ = std::move(why);
  loop_->Post([this] {
    server_ = nullptr;
    if (closing_) return loop_->Stop();
    if (serving_ && on_stopped_) on_stopped_(stopped_);
  });
}

template <typename T, typename AskFn>
T EmbeddedNode::AskLog(AskFn ask) {
  return thread_.Ask<T>(
      [this, ask = std::move(ask)](InlineFunction<void(T)> done) {
        if (server_ == nullptr) return done(stopped_);
        ask(&server_->service()->log(), std::move(done));
      });
}

AppendOutcome EmbeddedNode::Append(absl::string_view record,
                                   const AppendOptions& options) {
  BatchBuilder batch(record.size() + kRecordHeaderBytes);
  if (absl::Status s = batch.Add(record); !s.ok()) {
    return AppendOutcome::Rejected(AppendOutcome::Reason::kMalformed,
                                   std::string(s.message()));
  }
  return Append(std::move(batch), options);
}

AppendOutcome EmbeddedNode::Append(BatchBuilder batch,
                                   const AppendOptions& options) {
  if (batch.empty()) {
    return AppendOutcome::Rejected(AppendOutcome::Reason::kMalformed,
                                   "append: the batch has no record");
  }
  if (absl::Status s = thread_.MayWait(); !s.ok()) return NotTried(s);
  Reply<AppendOutcome> reply;
  absl::Status taken = thread_.Run([this, options, bytes = batch.Finish(),
                                    giver = reply.Giver(AppendOutcome::Unknown(
                                        "the node stopped"))]() mutable {
    if (server_ == nullptr) return giver(NotTried(stopped_));
    server_->service()->log().Append(std::move(bytes), options,
                                     std::move(giver));
  });
  if (!taken.ok()) return NotTried(taken);
  return reply.Wait();
}

absl::StatusOr<ClientReadResult> EmbeddedNode::Read(Offset from, ReadMode mode,
                                                    size_t max_bytes) {
  auto found = AskLog<absl::StatusOr<Found>>(
      [from, mode, max_bytes](DistributedLog* log, ResultFn<Found> done) {
        log->Read(from, max_bytes, mode,
                  [log, done = std::move(done)](
                      absl::StatusOr<ReadResult> read) mutable {
                    if (!read.ok()) return done(std::move(read).status());
                    done(Found{*std::move(read), log->first_offset()});
                  });
      });
  if (!found.ok()) return found.status();
  return Decode(*std::move(found), from);
}

absl::StatusOr<ServerId> EmbeddedNode::WaitForLeader(Duration timeout) {
  return AskLog<absl::StatusOr<ServerId>>(
      [timeout](DistributedLog* log, ResultFn<ServerId> done) {
        log->WaitForLeader(timeout, std::move(done));
      });
}

absl::Status EmbeddedNode::Join(ServerId id, const Address& address,
                                bool learner) {
  return AskLog<absl::Status>(
      [id, address, learner](DistributedLog* log, DoneFn done) {
        log->Join(id, address, learner, std::move(done));
      });
}

absl::Status EmbeddedNode::Leave(const std::vector<ServerId>& ids) {
  return AskLog<absl::Status>([ids](DistributedLog* log, DoneFn done) {
    log->Leave(ids, std::move(done));
  });
}

absl::Status EmbeddedNode::Transfer(ServerId to) {
  return AskLog<absl::Status>([to](DistributedLog* log, DoneFn done) {
    log->Transfer(to, std::move(done));
  });
}

absl::Status EmbeddedNode::Trim(Offset first) {
  return AskLog<absl::Status>([first](DistributedLog* log, DoneFn done) {
    log->Trim(first, std::move(done));
  });
}

absl::StatusOr<NodeStatus> EmbeddedNode::Status() {
  return thread_.Ask<absl::StatusOr<NodeStatus>>(
      [this](ResultFn<NodeStatus> done) {
        if (server_ == nullptr) return done(stopped_);
        done(Describe(server_->service()));
      });
}

absl::Status EmbeddedNode::Run(InlineFunction<void(Service*)> task) {
  return thread_.Run([this, task = std::move(task)]() mutable {
    if (server_ != nullptr) task(server_->service());
  });
}

void EmbeddedNode::Close() {
  thread_.CheckMayWait();
  std::call_once(closed_, [this] {
    thread_.End([this] {
      closing_ = true;
      if (server_ == nullptr) return loop_->Stop();
      server_->service()->Close([this](absl::Status) { loop_->Stop(); });
    });
    server_ = nullptr;
    loop_ = nullptr;
  });
}

}  // namespace holdfast
