#include "engine/client/decode.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/peer/batches.h"
#include "engine/peer/hello.h"

namespace holdfast {

absl::StatusOr<std::vector<LogBatch>> DecodeLogBatches(const Buffer& payload,
                                                       uint32_t count,
                                                       Offset from) {
  absl::StatusOr<std::vector<SentBatch>> sent =
      DecodeSentBatches(payload, count);
  if (!sent.ok()) return sent.status();
  std::vector<LogBatch> batches;
  batches.reserve(sent->size());
  Offset next = from;
  for (SentBatch& one : *sent) {
    absl::StatusOr<BatchView> view = BatchView::Parse(std::move(one.bytes));
    if (!view.ok()) return view.status();
    LogBatch batch{.base_offset = one.base_offset,
                   .from = next,
                   .log_time = one.log_time,
                   .batch = *std::move(view)};
    const bool fits =
        batches.empty() ? batch.base_offset <= next : batch.base_offset == next;
    if (!fits || batch.end() <= next) {
      return absl::DataLossError(absl::StrCat(
          "offset ", next.value(), " was to come, the server sent ",
          batch.base_offset.value(), " to ", batch.end().value()));
    }
    next = batch.end();
    batches.push_back(std::move(batch));
  }
  return batches;
}

absl::Status CodeToStatus(wire::Code code, absl::string_view text) {
  const std::string why = OneLine(text);
  switch (code) {
    case wire::CODE_OK:
      return absl::OkStatus();
    case wire::CODE_OUT_OF_RANGE:
      return absl::OutOfRangeError(why);
    case wire::CODE_PERMISSION_DENIED:
      return absl::PermissionDeniedError(why);
    case wire::CODE_MALFORMED:
      return absl::InvalidArgumentError(why);
    case wire::CODE_REFUSED:
      return absl::FailedPreconditionError(why);
    case wire::CODE_RECORDS_LOST:
      return absl::DataLossError(why);
    default:
      return absl::UnavailableError(why);
  }
}

const char* ToString(ServerRole role) {
  switch (role) {
    case ServerRole::kUnknown:
      break;
    case ServerRole::kFollower:
      return "follower";
    case ServerRole::kCandidate:
      return "candidate";
    case ServerRole::kLeader:
      return "leader";
    case ServerRole::kLearner:
      return "learner";
    case ServerRole::kForming:
      return "forming";
  }
  return "unknown";
}

const char* ToString(MemberKind kind) {
  switch (kind) {
    case MemberKind::kUnknown:
      break;
    case MemberKind::kVoter:
      return "voter";
    case MemberKind::kLearner:
      return "learner";
    case MemberKind::kJoining:
      return "joining";
    case MemberKind::kLeaving:
      return "leaving";
  }
  return "unknown";
}

ServerStatus DecodeStatus(const wire::StatusAnswer& answer) {
  ServerStatus status;
  status.id = ServerId(answer.server_id());
  status.role = answer.role() <= wire::SERVER_ROLE_FORMING
                    ? static_cast<ServerRole>(answer.role())
                    : ServerRole::kUnknown;
  status.term = Term(answer.term());
  status.leader = ServerId(answer.leader().server_id());
  status.leader_address = answer.leader().address();
  status.commit = Index(answer.commit_index());
  status.applied = Index(answer.applied_index());
  status.last = Index(answer.last_index());
  status.first_offset = Offset(answer.first_offset());
  status.next_offset = Offset(answer.next_offset());
  for (const wire::MemberStatus& from : answer.members()) {
    MemberStatus member;
    member.id = ServerId(from.server_id());
    member.address = from.address();
    member.kind = from.kind() <= wire::MEMBER_KIND_LEAVING
                      ? static_cast<MemberKind>(from.kind())
                      : MemberKind::kUnknown;
    member.connected = from.connected();
    member.last_error = from.last_error();
    member.match = Index(from.match_index());
    status.members.push_back(std::move(member));
  }
  status.cluster_id = ClusterId(answer.cluster_id());
  status.cluster_name = answer.cluster_name();
  status.version = answer.version();
  status.incarnation = Incarnation(answer.incarnation());
  status.boot_count = answer.boot_count();
  status.text = answer.text();
  status.joint = answer.joint();
  status.lease = answer.lease();
  status.feature_level = answer.feature_level();
  status.feature_level_max = answer.feature_level_max();
  return status;
}

}  // namespace holdfast
