#include "engine/client/admin.h"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "engine/client/decode.h"

namespace holdfast {
namespace {

// `Fields` is the request as it is sent.
template <typename Fields>
class AdminRequest : public Request {
 public:
  AdminRequest(WireType type, Fields fields, DoneFn done)
      : type_(type), fields_(std::move(fields)), done_(std::move(done)) {}

  void Send(ServerConnection* server, uint64_t id,
            ServerConnection::AnswerFn answer) override {
    fields_.set_request_id(id);
    server->Request(id, type_, fields_, std::move(answer));
  }

  absl::StatusOr<RequestVerdict> OnAnswer(const MessageView& message) override {
    wire::AdminAnswer answer;
    if (absl::Status s = ParseAnswer(message, WireType::kAdminAnswer, &answer);
        !s.ok()) {
      return s;
    }
    return VerdictOf(answer);
  }

  void Done(absl::Status status) override { done_(std::move(status)); }

 private:
  const WireType type_;
  Fields fields_;
  DoneFn done_;
};

// Asks for the leader's status, then sends the request to that very server:
// what an earlier copy, whose answer was lost, has done shows in the status.
template <typename Fields>
class AfterStatus : public AdminRequest<Fields> {
 public:
  using AdminRequest<Fields>::AdminRequest;

  void Send(ServerConnection* server, uint64_t id,
            ServerConnection::AnswerFn answer) override {
    if (std::exchange(may_send_, false)) {
      return AdminRequest<Fields>::Send(server, id, std::move(answer));
    }
    wire::Status request;
    request.set_request_id(id);
    server->Request(id, WireType::kStatus, request, std::move(answer));
  }

  absl::StatusOr<RequestVerdict> OnAnswer(const MessageView& message) override {
    if (message.type != WireType::kStatusAnswer) {
      return AdminRequest<Fields>::OnAnswer(message);
    }
    wire::StatusAnswer status;
    if (absl::Status s = ParseAnswer(message, WireType::kStatusAnswer, &status);
        !s.ok()) {
      return s;
    }
    RequestVerdict verdict;
    if (status.role() != wire::SERVER_ROLE_LEADER) {
      verdict.code = wire::CODE_NOT_LEADER;
      verdict.text = "it isn't the leader";
      verdict.leader = status.leader();
      return verdict;
    }
    may_send_ = verdict.ask_on = !IsDone(status);
    return verdict;
  }

 private:
  // Told each time before the request is sent; true: it needn't be.
  virtual bool IsDone(const wire::StatusAnswer& leader) = 0;

  bool may_send_ = false;
};

// A transfer to whoever has most of the log: sent again to the one that it made
// the leader, it would move leadership on once more.
class TransferAway final : public AfterStatus<wire::Transfer> {
 public:
  explicit TransferAway(DoneFn done)
      : AfterStatus(WireType::kTransfer, wire::Transfer(), std::move(done)) {}

 private:
  bool IsDone(const wire::StatusAnswer& leader) override {
    if (from_ == 0) from_ = leader.server_id();
    return leader.server_id() != from_;
  }

  uint64_t from_ = 0;  // who led at first
};

// Sent again after it was done, it is refused, since those that left are
// members no more.
class LeaveRequest final : public AfterStatus<wire::Leave> {
 public:
  LeaveRequest(wire::Leave leave, DoneFn done)
      : AfterStatus(WireType::kLeave, leave, std::move(done)),
        ids_(leave.server_ids().begin(), leave.server_ids().end()) {}

  absl::StatusOr<RequestVerdict> OnAnswer(const MessageView& message) override {
    absl::StatusOr<RequestVerdict> verdict = AfterStatus::OnAnswer(message);
    if (verdict.ok() && verdict->code == wire::CODE_REFUSED && gone_) {
      return RequestVerdict();
    }
    return verdict;
  }

 private:
  // The answer to the request tells, which a committed configuration stands
  // behind.
  bool IsDone(const wire::StatusAnswer& leader) override {
    const auto is_member = [&leader](uint64_t id) {
      return std::any_of(
          leader.members().begin(), leader.members().end(),
          [id](const wire::MemberStatus& m) { return m.server_id() == id; });
    };
    if (std::exchange(first_, false)) {
      were_members_ = std::all_of(ids_.begin(), ids_.end(), is_member);
    }
    gone_ = were_members_ && std::none_of(ids_.begin(), ids_.end(), is_member);
    return false;
  }

  const std::vector<uint64_t> ids_;
  bool first_ = true;
  bool were_members_ = false;  // all of them, at first
  bool gone_ = false;          // and now none of them is
};

}  // namespace

void Admin::Join(ServerId id, const Address& address, bool learner,
                 Duration timeout, DoneFn done) {
  wire::Join join;
  join.set_server_id(id.value());
  join.set_address(address);
  join.set_learner(learner);
  requests_.AskLeader(std::make_unique<AdminRequest<wire::Join>>(
                          WireType::kJoin, std::move(join), std::move(done)),
                      timeout);
}

void Admin::Leave(const std::vector<ServerId>& ids, Duration timeout,
                  DoneFn done) {
  wire::Leave leave;
  for (ServerId id : ids) leave.add_server_ids(id.value());
  requests_.AskLeader(
      std::make_unique<LeaveRequest>(std::move(leave), std::move(done)),
      timeout);
}

void Admin::Transfer(ServerId to, Duration timeout, DoneFn done) {
  if (to.value() == 0) {
    return requests_.AskLeader(std::make_unique<TransferAway>(std::move(done)),
                               timeout);
  }
  wire::Transfer transfer;
  transfer.set_to_server_id(to.value());
  requests_.AskLeader(
      std::make_unique<AdminRequest<wire::Transfer>>(
          WireType::kTransfer, std::move(transfer), std::move(done)),
      timeout);
}

void Admin::Trim(Offset first, Duration timeout, DoneFn done) {
  wire::Trim trim;
  trim.set_first_offset(first.value());
  requests_.AskLeader(std::make_unique<AdminRequest<wire::Trim>>(
                          WireType::kTrim, trim, std::move(done)),
                      timeout);
}

}  // namespace holdfast
