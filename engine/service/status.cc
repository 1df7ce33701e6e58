#include "engine/service/status.h"

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/base/lost_records.h"

namespace holdfast {
namespace {

wire::ServerRole RoleOf(const RaftCore& core) {
  switch (core.role()) {
    case Role::kFollower:
      return core.is_voter() ? wire::SERVER_ROLE_FOLLOWER
                             : wire::SERVER_ROLE_LEARNER;
    case Role::kPreCandidate:
    case Role::kCandidate:
      return wire::SERVER_ROLE_CANDIDATE;
    case Role::kLeader:
      return wire::SERVER_ROLE_LEADER;
  }
  return wire::SERVER_ROLE_UNSPECIFIED;
}

wire::MemberKind KindOf(const Configuration& configuration, ServerId id) {
  auto has = [id](const std::vector<Member>& members) {
    return std::any_of(members.begin(), members.end(),
                       [id](const Member& m) { return m.id == id; });
  };
  if (has(configuration.voters)) return wire::MEMBER_KIND_VOTER;
  if (has(configuration.joining)) return wire::MEMBER_KIND_JOINING;
  if (has(configuration.learners)) return wire::MEMBER_KIND_LEARNER;
  return wire::MEMBER_KIND_LEAVING;
}

void AddMember(const Node& node, const Member& member, wire::MemberKind kind,
               wire::StatusAnswer* answer) {
  wire::MemberStatus* m = answer->add_members();
  m->set_server_id(member.id.value());
  m->set_address(member.address);
  m->set_kind(kind);
  if (member.id == node.options().id) {
    m->set_connected(true);
  } else {
    m->set_connected(node.peers().connected(member.id));
    m->set_last_error(
        std::string(node.peers().last_error(member.id).message()));
  }
  const std::optional<LogClaim> differs =
      node.log_comparison().DifferenceOf(member.id);
  if (differs.has_value()) {
    m->set_last_error(absl::StrCat("its log isn't this server's: entry ",
                                   differs->index.value(),
                                   ", or one before it, ", "differs"));
  }
  if (!node.formed()) return;
  for (const Progress& progress : node.core()->progress()) {
    if (progress.id() == member.id) {
      m->set_match_index(progress.match().value());
    }
  }
}

// Of all of them; the first ones by their offsets.
std::string DescribeLost(const std::vector<LostRecords>& lost) {
  constexpr size_t kNamed = 8;
  std::string text = "records are lost, damaged on every server that had them:";
  for (size_t i = 0; i < std::min(lost.size(), kNamed); ++i) {
    absl::StrAppend(&text, i == 0 ? " " : ", ", lost[i].first.value(), " to ",
                    lost[i].end.value());
  }
  absl::StrAppend(&text, " (exclusive)");
  if (lost.size() > kNamed) {
    absl::StrAppend(&text, ", and ", lost.size() - kNamed, " more stretches");
  }
  return text;
}

}  // namespace

wire::StatusAnswer DescribeStatus(const DistributedLog& log) {
  const Node& node = log.node();
  wire::StatusAnswer answer;
  answer.set_server_id(node.options().id.value());
  answer.set_cluster_name(node.options().cluster_name);
  answer.set_cluster_id(node.identity().cluster_id.value());
  answer.set_incarnation(node.identity().incarnation.value());
  answer.set_boot_count(node.identity().boot_count);
  answer.set_feature_level_max(node.options().feature_level_max);
  answer.set_commit_index(node.commit().value());
  // The record log is its own state: what is committed is applied.
  answer.set_applied_index(node.commit().value());
  answer.set_last_index(node.tail().last().index.value());
  answer.set_first_offset(log.first_offset().value());
  answer.set_next_offset(log.committed_end().value());
  if (!node.formed()) {
    answer.set_role(wire::SERVER_ROLE_FORMING);
    answer.set_text(std::string(node.forming_status().message()));
    for (const Member& m : node.options().bootstrap) {
      AddMember(node, m, wire::MEMBER_KIND_VOTER, &answer);
    }
    return answer;
  }
  answer.set_role(RoleOf(*node.core()));
  answer.set_term(node.core()->term().value());
  if (ServerId leader = node.leader(); leader.value() != 0) {
    answer.mutable_leader()->set_server_id(leader.value());
    answer.mutable_leader()->set_address(node.AddressOf(leader));
  }
  const Configuration& configuration = *node.configuration();
  answer.set_joint(configuration.joint());
  answer.set_lease(node.holds_lease());
  answer.set_feature_level(
      node.core()->committed_configuration().feature_level);
  for (const Member& m : configuration.Everyone()) {
    AddMember(node, m, KindOf(configuration, m.id), &answer);
  }
  const std::vector<LostRecords> lost = node.wal()->lost();
  if (absl::Status same = node.CheckSameLog(); !same.ok()) {
    answer.set_text(std::string(same.message()));
  } else if (!lost.empty()) {
    answer.set_text(DescribeLost(lost));
  } else if (node.is_leader()) {
    answer.set_text(std::string(log.CheckSpace(0).message()));
  } else if (node.disk_space().is_short()) {
    answer.set_text("this server's disk is full");
  }
  return answer;
}

}  // namespace holdfast
