#include "engine/service/status.h"

#include <string>

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

void AddMember(const Node& node, const Member& member, bool voter,
               wire::StatusAnswer* answer) {
  wire::MemberStatus* m = answer->add_members();
  m->set_server_id(member.id.value());
  m->set_address(member.address);
  m->set_voter(voter);
  if (member.id == node.options().id) {
    m->set_connected(true);
  } else {
    m->set_connected(node.peers().connected(member.id));
    m->set_last_error(
        std::string(node.peers().last_error(member.id).message()));
  }
  if (!node.formed()) return;
  for (const Progress& progress : node.core()->progress()) {
    if (progress.id() == member.id) {
      m->set_match_index(progress.match().value());
    }
  }
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
      AddMember(node, m, true, &answer);
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
  for (const Member& m : configuration.Everyone()) {
    bool learner = false;
    for (const Member& l : configuration.learners) learner |= l.id == m.id;
    AddMember(node, m, !learner, &answer);
  }
  return answer;
}

}  // namespace holdfast
