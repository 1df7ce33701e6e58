#include "sim/operator.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"

namespace holdfast {
namespace {

constexpr ChanceSite kPause("operator/pause");
constexpr ChanceSite kWhat("operator/what");
constexpr ChanceSite kWhom("operator/whom");
constexpr ChanceSite kReplace("operator/replace");

constexpr Duration kPauseMax = 3s;
constexpr Duration kReplaceMax = 3s;
// What was asked for is done by then, or isn't any more.
constexpr Duration kUnderWayMax = 30s;

}  // namespace

Operator::Operator(World* world, Verdict* verdict, History* history, Does does,
                   std::vector<SimServer*> servers,
                   std::function<SimServer*()> leader,
                   std::function<void(SimServer*)> wiped)
    : world_(world),
      verdict_(verdict),
      history_(history),
      does_(does),
      servers_(std::move(servers)),
      leader_(std::move(leader)),
      wiped_(std::move(wiped)) {}

uint64_t Operator::Draw(const ChanceSite& site, uint64_t bound) {
  return world_->chance.Below(site, ChanceActor{}, draws_++, bound);
}

void Operator::After(Duration delay, Task task) {
  world_->scheduler.At(world_->now() + delay, kWorldActor, EventKind::kWorkload,
                       std::move(task));
}

void Operator::Start() {
  running_ = true;
  ActLater();
}

void Operator::ActLater() {
  const uint64_t pause = Draw(kPause, static_cast<uint64_t>(kPauseMax.count()));
  After(Duration(static_cast<int64_t>(pause)), [this] {
    if (!running_) return;
    Act();
    ActLater();
  });
}

void Operator::Act() {
  SimServer* leader = leader_();
  if (leader == nullptr) return;
  const uint64_t what = Draw(kWhat, 100);
  if (what < 20) {
    if (does_.trims) Trim(leader);
  } else if (what < 40) {
    if (does_.transfers) Transfer(leader);
  } else if (does_.members) {
    what < 75 ? Join(leader) : Leave(leader);
  }
}

void Operator::Join(SimServer* leader) {
  SimServer* server = servers_[Draw(kWhom, servers_.size())];
  const bool learner = Draw(kWhat, 4) == 0;
  const TrueTime asked = world_->now();
  last_join_[server->machine()] = asked;
  leader->log().Join(server->id(), NetworkFabric::AddressOf(server->machine()),
                     learner,
                     [this, server, learner, asked](absl::Status status) {
                       Note(absl::StrCat("join of server ", server->machine(),
                                         learner ? " as a learner" : ""),
                            status);
                       if (!status.ok()) return;
                       ++counts_.joins;
                       Believe(*server, true, asked);
                     });
}

void Operator::Leave(SimServer* leader) {
  if (may_leave_ && !may_leave_()) return;
  std::vector<SimServer*> gone = {servers_[Draw(kWhom, servers_.size())]};
  SimServer* second = servers_[Draw(kWhom, servers_.size())];
  if (Draw(kWhat, 4) == 0 && second != gone[0]) gone.push_back(second);
  if (atlas_ != nullptr && !atlas_->MayLeave(gone)) return;
  const TrueTime asked = world_->now();
  last_leave_ = asked;
  for (SimServer* s : gone) leaves_[s->machine()] = world_->now();
  std::vector<ServerId> ids;
  for (SimServer* s : gone) ids.push_back(s->id());
  leader->log().Leave(std::move(ids), [this, gone = std::move(gone),
                                       asked](absl::Status status) {
    Note(absl::StrCat("leave of ", gone.size(), ", server ", gone[0]->machine(),
                      " first"),
         status);
    if (absl::IsNotFound(status) && gone.size() == 1) {
      Believe(*gone[0], false, asked);
    }
    if (!status.ok()) return;
    ++counts_.leaves;
    for (SimServer* server : gone) {
      Believe(*server, false, asked);
      const uint64_t wait =
          Draw(kReplace, static_cast<uint64_t>(kReplaceMax.count()));
      After(Duration(static_cast<int64_t>(wait)),
            [this, server, left = world_->now()] { Replace(server, left); });
    }
  });
}

bool Operator::IsLeaving(const SimServer& server) const {
  const auto asked = leaves_.find(server.machine());
  return asked != leaves_.end() && world_->now() - asked->second < 8s;
}

void Operator::Transfer(SimServer* leader) {
  ServerId to;
  if (Draw(kWhat, 2) == 0) to = servers_[Draw(kWhom, servers_.size())]->id();
  leader->log().Transfer(to, [this, to](absl::Status status) {
    Note(absl::StrCat("transfer to server ", to.value()), status);
    if (status.ok()) ++counts_.transfers;
  });
}

void Operator::Trim(SimServer* leader) {
  // Now and then all of it, mostly a part.
  const uint64_t end = history_->established().value();
  const uint64_t part = 1 + Draw(kWhat, 8);
  const Offset first(end * part / 8);
  history_->TrimInvoked(first);
  leader->log().Trim(first, [this, first](absl::Status status) {
    Note(absl::StrCat("trim before ", first.value()), status);
    if (!status.ok()) return;
    ++counts_.trims;
    history_->TrimDone(first);
  });
}

void Operator::Replace(SimServer* server, TrueTime left) {
  // Somebody may have had it join again, directory and all.
  auto join = last_join_.find(server->machine());
  const bool joined = join != last_join_.end() && join->second > left - 2s;
  if (!running_ || joined) return;
  if (atlas_ != nullptr && !atlas_->MayReplace(server)) {
    return After(1s, [this, server, left] { Replace(server, left); });
  }
  world_->Note(absl::StrCat("server ", server->machine(), " gets a new disk"));
  ++counts_.replaced;
  wiped_(server);
  server->BeginAnew();
}

void Operator::Believe(const SimServer& server, bool member, TrueTime asked) {
  // Unless somebody asked for the opposite at about that time.
  if (may_leave_ && !may_leave_()) return;
  const auto& opposite = member ? leaves_ : last_join_;
  const auto it = opposite.find(server.machine());
  if (it != opposite.end() && it->second > asked - kUnderWayMax) return;
  answers_.push_back({&server, member});
}

void Operator::CheckAnswers(const Configuration& committed) {
  for (const Answer& answer : std::exchange(answers_, {})) {
    const ServerId id = answer.server->id();
    if ((committed.Find(id) != nullptr) == answer.member) continue;
    verdict_->Violate(absl::StrCat(
        "operator: was told that server ", id.value(),
        answer.member ? " has joined" : " has left, or is no member",
        ", which isn't so in the last configuration that is committed"));
  }
}

void Operator::Note(const std::string& what, const absl::Status& status) {
  world_->Note(absl::StrCat("operator: ", what, ": ",
                            status.ok() ? "done" : status.ToString()));
  if (status.ok()) return;
  ++counts_.refused;
  // Anything else would be news to an operator.
  const bool known = absl::IsUnavailable(status) ||
                     absl::IsFailedPrecondition(status) ||
                     absl::IsAlreadyExists(status) || absl::IsNotFound(status);
  if (!known) {
    verdict_->Violate(
        absl::StrCat("operator: ", what, ": ", status.ToString()));
  }
}

}  // namespace holdfast
