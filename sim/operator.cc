#include "sim/operator.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"

namespace holdfast {
namespace {

constexpr ChanceSite kPause("operator/pause");
constexpr ChanceSite kWhat("operator/what");
constexpr ChanceSite kWhom("operator/whom");
constexpr ChanceSite kReplace("operator/replace");
constexpr ChanceSite kClient("operator/client");
constexpr ChanceSite kTimes("operator/times");

constexpr Duration kPauseMax = 3s;
constexpr Duration kReplaceMax = 3s;
// What was asked for is done by then, or isn't any more.
constexpr Duration kUnderWayMax = 30s;
// Of those who ask by a client: its --timeout.
constexpr Duration kPatience = 10s;
// What a client has sent, and waits for no more, is taken by then, or never.
constexpr Duration kOnItsWayMax = 8s;

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

void Operator::AskBy(std::vector<SimClient*> clients, TrueTime until) {
  clients_ = std::move(clients);
  until_ = until;
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
  Whom whom;
  uint64_t times = 1;
  if (clients_.empty()) {
    whom.leader = leader_();
    if (whom.leader == nullptr) return;
  } else {
    whom.client = clients_[Draw(kClient, clients_.size())];
    // One that is asked to end goes soon, with whatever it was asked last.
    if (!whom.client->running() || whom.client->paused() ||
        whom.client->closing()) {
      return;
    }
    if (Draw(kTimes, 8) == 0) times += 1 + Draw(kTimes, 7);
  }
  for (; times > 0; --times) ActOnce(whom);
}

void Operator::ActOnce(const Whom& whom) {
  const uint64_t what = Draw(kWhat, 100);
  if (what < 20) {
    if (does_.trims) Trim(whom);
  } else if (what < 40) {
    if (does_.transfers) Transfer(whom);
  } else if (does_.members) {
    what < 75 ? Join(whom) : Leave(whom);
  }
}

template <typename Request>
void Operator::Ask(const Whom& whom, const std::string& what, Request request,
                   const std::vector<Asked*>& asked, DoneFn done) {
  for (Asked* a : asked) a->Note(world_->now());
  DoneFn answered = [this, whom, what,
                     done = std::move(done)](absl::Status status) mutable {
    Note(whom, what, status);
    done(std::move(status));
  };
  if (whom.client == nullptr) {
    return request(&whom.leader->log(), std::move(answered));
  }
  for (Asked* a : asked) ++a->waiting;
  const Duration patience = std::min(kPatience, until_ - world_->now());
  whom.client->Ask(
      what,
      [request, patience](Client* client, DoneFn outcome) {
        request(client, patience, std::move(outcome));
      },
      [this, asked,
       answered = std::move(answered)](absl::Status status) mutable {
        for (Asked* a : asked) {
          --a->waiting;
          a->Note(world_->now());
        }
        answered(std::move(status));
      });
}

void Operator::Join(const Whom& whom) {
  SimServer* server = servers_[Draw(kWhom, servers_.size())];
  const bool learner = Draw(kWhat, 4) == 0;
  const TrueTime asked = world_->now();
  Ask(
      whom,
      absl::StrCat("join of server ", server->machine(),
                   learner ? " as a learner" : ""),
      [learner, id = server->id(),
       address = NetworkFabric::AddressOf(server->machine())](auto* to,
                                                              auto... rest) {
        to->Join(id, address, learner, std::move(rest)...);
      },
      {&joins_[server->machine()]},
      [this, server, asked,
       by_client = whom.client != nullptr](const absl::Status& status) {
        // What a client gave up may be on its way to somebody who is paused.
        if (by_client && !status.ok() && !absl::IsFailedPrecondition(status)) {
          joins_[server->machine()].Note(world_->now() + kOnItsWayMax);
        }
        if (!status.ok()) return;
        ++counts_.joins;
        Believe(*server, true, asked);
      });
}

void Operator::Leave(const Whom& whom) {
  if (may_leave_ && !may_leave_()) return;
  std::vector<SimServer*> gone = {servers_[Draw(kWhom, servers_.size())]};
  SimServer* second = servers_[Draw(kWhom, servers_.size())];
  if (Draw(kWhat, 4) == 0 && second != gone[0]) gone.push_back(second);
  std::vector<SimServer*> all = WaitedForToLeave();
  all.insert(all.end(), gone.begin(), gone.end());
  if (atlas_ != nullptr && !atlas_->MayLeave(all)) return;
  std::vector<ServerId> ids;
  std::vector<Asked*> notes = {&any_leave_};
  for (SimServer* s : gone) {
    ids.push_back(s->id());
    notes.push_back(&leaves_[s->machine()]);
  }
  Ask(
      whom,
      absl::StrCat("leave of ", gone.size(), ", server ", gone[0]->machine(),
                   " first"),
      [ids](auto* to, auto... rest) { to->Leave(ids, std::move(rest)...); },
      notes,
      [this, gone, asked = world_->now(),
       by_client = whom.client != nullptr](const absl::Status& status) {
        if (absl::IsNotFound(status) && gone.size() == 1) {
          Believe(*gone[0], false, asked);
        }
        if (!status.ok()) return;
        ++counts_.leaves;
        // A client may be told long after it was done.
        const TrueTime since = (by_client ? asked : world_->now()) - 2s;
        for (SimServer* server : gone) {
          Believe(*server, false, asked);
          const uint64_t wait =
              Draw(kReplace, static_cast<uint64_t>(kReplaceMax.count()));
          After(Duration(static_cast<int64_t>(wait)),
                [this, server, since] { Replace(server, since); });
        }
      });
}

std::vector<SimServer*> Operator::WaitedForToLeave() const {
  std::vector<SimServer*> leaving;
  for (SimServer* server : servers_) {
    const auto found = leaves_.find(server->machine());
    if (found != leaves_.end() && found->second.waiting > 0) {
      leaving.push_back(server);
    }
  }
  return leaving;
}

bool Operator::IsLeaving(const SimServer& server) const {
  const auto found = leaves_.find(server.machine());
  return found != leaves_.end() && found->second.Since(world_->now() - 8s);
}

void Operator::Transfer(const Whom& whom) {
  ServerId id;
  if (Draw(kWhat, 2) == 0) id = servers_[Draw(kWhom, servers_.size())]->id();
  Ask(
      whom, absl::StrCat("transfer to server ", id.value()),
      [id](auto* to, auto... rest) { to->Transfer(id, std::move(rest)...); },
      {},
      [this](const absl::Status& status) {
        if (status.ok()) ++counts_.transfers;
      });
}

void Operator::Trim(const Whom& whom) {
  // Now and then all of it, mostly a part.
  const uint64_t end = history_->established().value();
  const uint64_t part = 1 + Draw(kWhat, 8);
  const Offset first(end * part / 8);
  history_->TrimInvoked(first);
  Ask(
      whom, absl::StrCat("trim before ", first.value()),
      [first](auto* to, auto... rest) { to->Trim(first, std::move(rest)...); },
      {},
      [this, first](const absl::Status& status) {
        if (!status.ok()) return;
        ++counts_.trims;
        history_->TrimDone(first);
      });
}

void Operator::Replace(SimServer* server, TrueTime since) {
  // Somebody may have had it join again, directory and all.
  const bool joined = joins_[server->machine()].Since(since);
  if (!running_ || joined) return;
  if (atlas_ != nullptr && !atlas_->MayReplace(server)) {
    return After(1s, [this, server, since] { Replace(server, since); });
  }
  world_->Note(absl::StrCat("server ", server->machine(), " gets a new disk"));
  ++counts_.replaced;
  wiped_(server);
  server->BeginAnew();
}

void Operator::Believe(const SimServer& server, bool member, TrueTime asked) {
  // Unless somebody asked for the opposite at about that time.
  if (may_leave_ && !may_leave_()) return;
  const auto& opposite = member ? leaves_ : joins_;
  const auto it = opposite.find(server.machine());
  if (it != opposite.end() && it->second.Since(asked - kUnderWayMax)) return;
  // Or it has left for the sake of its disk before the answer came.
  const auto replaced = replaced_.find(server.machine());
  if (replaced != replaced_.end() && replaced->second >= asked) return;
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

void Operator::Note(const Whom& whom, const std::string& what,
                    const absl::Status& status) {
  const std::string who =
      whom.client == nullptr
          ? "operator"
          : absl::StrCat("operator, by ", NameOf(whom.client->machine()));
  world_->Note(absl::StrCat(who, ": ", what, ": ",
                            status.ok() ? "done" : status.ToString()));
  if (status.ok()) return;
  ++counts_.refused;
  // Anything else would be news to an operator.
  bool known =
      absl::IsUnavailable(status) || absl::IsFailedPrecondition(status);
  if (whom.client == nullptr) {
    known = known || absl::IsAlreadyExists(status) || absl::IsNotFound(status);
  } else {
    known =
        known || absl::IsDeadlineExceeded(status) || absl::IsCancelled(status);
  }
  if (known) return;
  verdict_->Violate(absl::StrCat(who, ": ", what, ": ", status.ToString()));
}

}  // namespace holdfast
