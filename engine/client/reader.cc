#include "engine/client/reader.h"

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "engine/client/decode.h"

namespace holdfast {
namespace {

class ReadRequest final : public Request {
 public:
  ReadRequest(Offset from, const ClientReadOptions& options, ClientReadFn done)
      : from_(from), done_(std::move(done)) {
    read_.set_from_offset(from.value());
    read_.set_max_bytes(options.max_bytes);
    read_.set_mode(options.mode == ClientReadMode::kLocal
                       ? wire::READ_MODE_LOCAL
                       : wire::READ_MODE_LINEARIZABLE);
  }

  void Send(ServerConnection* server, uint64_t id,
            ServerConnection::AnswerFn answer) override {
    read_.set_request_id(id);
    server->Request(id, WireType::kRead, read_, std::move(answer));
  }

  absl::StatusOr<RequestVerdict> OnAnswer(const MessageView& message) override {
    if (absl::Status s = ParseAnswer(message, WireType::kReadAnswer, &answer_);
        !s.ok()) {
      return s;
    }
    payload_ = message.payload;
    RequestVerdict verdict = VerdictOf(answer_);
    // Others that answer say who leads.
    verdict.by_leader = !answer_.has_leader();
    return verdict;
  }

  void Done(absl::Status status) override {
    if (answer_.code() == wire::CODE_RECORDS_LOST && absl::IsDataLoss(status)) {
      status = WhyNot(answer_);
    }
    if (!status.ok()) return done_(std::move(status));
    absl::StatusOr<std::vector<LogBatch>> batches =
        DecodeLogBatches(payload_, answer_.batch_count(), from_);
    if (!batches.ok()) return done_(batches.status());
    ClientReadResult result;
    result.next = batches->empty() ? from_ : batches->back().end();
    result.batches = *std::move(batches);
    result.committed_end = Offset(answer_.committed_end());
    result.first_offset = Offset(answer_.first_offset());
    done_(std::move(result));
  }

 private:
  const Offset from_;
  ClientReadFn done_;
  wire::Read read_;
  wire::ReadAnswer answer_;
  Buffer payload_;
};

class StatusRequest final : public Request {
 public:
  explicit StatusRequest(ResultFn<ServerStatus> done)
      : done_(std::move(done)) {}

  void Send(ServerConnection* server, uint64_t id,
            ServerConnection::AnswerFn answer) override {
    wire::Status request;
    request.set_request_id(id);
    server->Request(id, WireType::kStatus, request, std::move(answer));
  }

  absl::StatusOr<RequestVerdict> OnAnswer(const MessageView& message) override {
    if (absl::Status s =
            ParseAnswer(message, WireType::kStatusAnswer, &answer_);
        !s.ok()) {
      return s;
    }
    return RequestVerdict();
  }

  void Done(absl::Status status) override {
    if (!status.ok()) return done_(std::move(status));
    done_(DecodeStatus(answer_));
  }

 private:
  ResultFn<ServerStatus> done_;
  wire::StatusAnswer answer_;
};

}  // namespace

void Reader::Read(Offset from, const ClientReadOptions& options,
                  ClientReadFn done) {
  auto request = std::make_unique<ReadRequest>(from, options, std::move(done));
  if (options.mode == ClientReadMode::kLinearizable && options.server.empty()) {
    return requests_.AskLeader(std::move(request), options.timeout);
  }
  requests_.AskServer(options.server.empty()
                          ? cluster_->options().servers.front()
                          : options.server,
                      std::move(request), options.timeout);
}

void Reader::Status(const Address& server, Duration timeout,
                    ResultFn<ServerStatus> done) {
  requests_.AskServer(server, std::make_unique<StatusRequest>(std::move(done)),
                      timeout);
}

}  // namespace holdfast
