#include "engine/node/forming.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"
#include "engine/base/entry_kind.h"

namespace holdfast {

Entry MakeFirstEntry(const Configuration& configuration) {
  return SealEntry(LogPoint{}, Term(1), EntryKind::kConfiguration, 0,
                   WallTime{}, EncodeConfiguration(configuration));
}

Forming::Forming(std::vector<Member> named, ServerId self,
                 Incarnation incarnation)
    : named_(std::move(named)) {
  std::sort(named_.begin(), named_.end(),
            [](const Member& a, const Member& b) { return a.id < b.id; });
  heard_[self] = Hello{incarnation, ClusterId()};
}

void Forming::Heard(ServerId id, Incarnation incarnation,
                    ClusterId cluster_id) {
  heard_[id] = Hello{incarnation, cluster_id};
}

std::vector<ServerId> Forming::Missing() const {
  std::vector<ServerId> missing;
  for (const Member& m : named_) {
    if (!heard_.contains(m.id)) missing.push_back(m.id);
  }
  return missing;
}

std::optional<Entry> Forming::FirstEntry() const {
  if (!Missing().empty() || !Obstacle().ok()) return std::nullopt;
  Configuration configuration;
  configuration.voters = named_;
  for (Member& m : configuration.voters) {
    m.incarnation = heard_.at(m.id).incarnation;
  }
  return MakeFirstEntry(configuration);
}

absl::Status Forming::Obstacle() const {
  if (!Missing().empty()) return absl::OkStatus();
  Configuration configuration;
  configuration.voters = named_;
  for (Member& m : configuration.voters) {
    m.incarnation = heard_.at(m.id).incarnation;
  }
  ClusterId mine(MakeFirstEntry(configuration).header.chain);
  for (const Member& m : named_) {
    const Hello& hello = heard_.at(m.id);
    if (hello.cluster_id.value() == 0 || hello.cluster_id == mine) continue;
    return absl::FailedPreconditionError(absl::StrCat(
        "server ", m.id.value(),
        " belongs to a formed cluster that this directory isn't part of: "
        "either --bootstrap differs between the servers, or a data directory "
        "was replaced after the cluster was formed; such a server must join "
        "anew"));
  }
  return absl::OkStatus();
}

}  // namespace holdfast
