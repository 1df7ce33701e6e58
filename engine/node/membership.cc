#include "engine/node/membership.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/base/check.h"

namespace holdfast {
namespace {

bool Has(const std::vector<Member>& members, ServerId id) {
  return std::any_of(members.begin(), members.end(),
                     [id](const Member& m) { return m.id == id; });
}

bool Contains(const std::vector<ServerId>& ids, ServerId id) {
  return std::find(ids.begin(), ids.end(), id) != ids.end();
}

void Insert(std::vector<Member>* members, const Member& member) {
  members->insert(std::upper_bound(members->begin(), members->end(), member,
                                   [](const Member& a, const Member& b) {
                                     return a.id < b.id;
                                   }),
                  member);
}

// Returns how many went.
size_t Erase(std::vector<Member>* members, const std::vector<ServerId>& ids) {
  return std::erase_if(*members,
                       [&](const Member& m) { return Contains(ids, m.id); });
}

std::string Name(ServerId id) { return absl::StrCat("server ", id.value()); }

}  // namespace

absl::StatusOr<Configuration> WithServer(const Configuration& now,
                                         const Member& member, bool learner) {
  CHECK(!now.joint());
  for (const Member& other : now.Everyone()) {
    if (other.id != member.id && other.address == member.address) {
      return absl::AlreadyExistsError(absl::StrCat(
          "expected an address of its own for ", Name(member.id),
          ", found that ", member.address, " is that of ", Name(other.id)));
    }
  }
  Configuration next = now;
  const Member* known = now.Find(member.id);
  if (known == nullptr) {
    if (now.Everyone().size() >= Configuration::kMembersMax) {
      return absl::FailedPreconditionError(
          absl::StrCat("expected fewer than ", Configuration::kMembersMax,
                       " members, found as many"));
    }
    Insert(learner ? &next.learners : &next.joining, member);
    return next;
  }
  if (known->incarnation != member.incarnation) {
    return absl::AlreadyExistsError(absl::StrCat(
        Name(member.id),
        " is a member with another data directory: let the old one leave "
        "first, then this one join"));
  }
  if (learner && !Has(now.learners, member.id)) {
    return absl::AlreadyExistsError(absl::StrCat(
        Name(member.id),
        " votes, or is about to: let it leave first, then join as a learner"));
  }
  for (auto* list : {&next.voters, &next.learners, &next.joining}) {
    for (Member& m : *list) {
      if (m.id == member.id) m.address = member.address;
    }
  }
  if (!learner && Erase(&next.learners, {member.id}) > 0) {
    Insert(&next.joining, member);
  }
  return next;
}

absl::StatusOr<Configuration> WithoutServers(const Configuration& now,
                                             const std::vector<ServerId>& ids) {
  CHECK(!now.joint());
  for (ServerId id : ids) {
    if (now.Find(id) == nullptr) {
      return absl::NotFoundError(absl::StrCat(
          "expected members, found that ", Name(id), " isn't one; members are ",
          absl::StrJoin(now.Everyone(), ", ",
                        [](std::string* out, const Member& m) {
                          absl::StrAppend(out, m.id.value());
                        })));
    }
  }
  Configuration next = now;
  Erase(&next.learners, ids);
  Erase(&next.joining, ids);
  if (Erase(&next.voters, ids) == 0) return next;
  if (next.voters.empty()) {
    return absl::FailedPreconditionError(
        "expected a voter to stay, found that all would leave: the cluster "
        "would be no more");
  }
  next.old_voters = now.voters;
  return next;
}

Configuration WithPromoted(const Configuration& now,
                           const std::vector<ServerId>& ids) {
  CHECK(!now.joint());
  Configuration next = now;
  for (const Member& m : now.joining) {
    if (Contains(ids, m.id)) Insert(&next.voters, m);
  }
  Erase(&next.joining, ids);
  next.old_voters = now.voters;
  return next;
}

Configuration WithoutOld(const Configuration& joint) {
  Configuration next = joint;
  next.old_voters.clear();
  return next;
}

Membership::Membership(const Env& env, ServerId self, Host* host)
    : env_(env), self_(self), host_(host) {}

Membership::~Membership() = default;

bool Membership::leads() const {
  const RaftCore* core = host_->raft();
  return core != nullptr && core->role() == Role::kLeader;
}

const Configuration& Membership::configuration() const {
  return host_->raft()->configuration();
}

void Membership::Answer(DoneFn done, absl::Status status) {
  env_.loop->Post(scope_.Wrap(
      [done = std::move(done), status = std::move(status)]() mutable {
        done(std::move(status));
      }));
}

absl::Status Membership::NotLeader() const {
  return absl::UnavailableError("this server doesn't lead");
}

void Membership::OnceSure(DoneFn done, InlineFunction<void(DoneFn)> then) {
  host_->ReadIndex([this, done = std::move(done), then = std::move(then)](
                       absl::StatusOr<Index> confirmed) mutable {
    if (!confirmed.ok()) return Answer(std::move(done), confirmed.status());
    // Later: this may run within a step of the core.
    env_.loop->Post(scope_.Wrap(
        [this, done = std::move(done), then = std::move(then)]() mutable {
          if (!leads()) return Answer(std::move(done), NotLeader());
          then(std::move(done));
        }));
  });
}

// --- Join ---

void Membership::Join(ServerId id, Address address, bool learner, DoneFn done) {
  OnceSure(std::move(done), [this, id, address = std::move(address),
                             learner](DoneFn answer) mutable {
    BeginJoin(id, std::move(address), learner, std::move(answer));
  });
}

void Membership::BeginJoin(ServerId id, Address address, bool learner,
                           DoneFn done) {
  if (id == ServerId() || address.empty() ||
      address.size() > Configuration::kAddressBytesMax) {
    return Answer(std::move(done),
                  absl::InvalidArgumentError(absl::StrCat(
                      "expected an id above 0 and an address of 1 to ",
                      Configuration::kAddressBytesMax, " bytes, found ",
                      id.value(), " and ", address.size())));
  }
  if (id == self_) {
    // It can't dial itself, but knows what it would say. If the others couldn't
    // reach it there, they could never agree on anything else.
    const Member* own = configuration().Find(self_);
    if (own != nullptr && configuration().voters.size() > 1 &&
        address != own->address && address != host_->Advertised()) {
      return Answer(
          std::move(done),
          absl::FailedPreconditionError(absl::StrCat(
              "expected ", own->address, " or ", host_->Advertised(), " as ",
              Name(self_),
              "'s address, as that server was told at its start, "
              "found ",
              address,
              ": start it with that one, or hand its "
              "leadership over first, so that another server tries it")));
    }
    return OnProbed(Member{id, Incarnation(), std::move(address)}, learner,
                    host_->OwnHello(), std::move(done));
  }
  // Who can't be reached must not become a member; and this tells which data
  // directory the id stands for.
  const uint64_t key = next_probe_++;
  DialOptions dial{.address = address,
                   .hello = host_->OwnHello(),
                   .expected_server = id,
                   .deadline = 1s,
                   .stream = {}};
  dial.hello.kind = StreamKind::kRaft;
  Probe& probe = probes_[key];
  probe.member = Member{id, Incarnation(), std::move(address)};
  probe.learner = learner;
  probe.done = std::move(done);
  probe.dial = DialServer(
      env_.loop, env_.network, env_.security, std::move(dial),
      [this, key](absl::StatusOr<OutboundStream> dialed) {
        auto met = probes_.extract(key);
        Probe& waiting = met.mapped();
        OnProbed(std::move(waiting.member), waiting.learner,
                 dialed.ok() ? absl::StatusOr<Hello>(std::move(dialed->hello))
                             : dialed.status(),
                 std::move(waiting.done));
      });
}

void Membership::OnProbed(Member member, bool learner,
                          absl::StatusOr<Hello> met, DoneFn done) {
  if (!leads()) return Answer(std::move(done), NotLeader());
  if (met.ok()) {
    if (met->cluster_id.value() != 0 &&
        met->cluster_id != host_->OwnHello().cluster_id) {
      return Answer(
          std::move(done),
          absl::FailedPreconditionError(absl::StrCat(
              "expected a server with an empty data directory, found that ",
              Name(member.id), " belongs to another cluster")));
    }
    if (met->feature_level_max < configuration().feature_level) {
      ++stats_.too_old;
      return Answer(
          std::move(done),
          absl::FailedPreconditionError(absl::StrCat(
              "expected a server that supports the cluster's feature level ",
              configuration().feature_level, ", found that ", Name(member.id),
              " supports levels up to ", met->feature_level_max,
              ": run a newer release there")));
    }
    member.incarnation = met->incarnation;
  } else if (const Member* known = configuration().Find(member.id)) {
    // It is down: fine, as long as nothing is to be changed.
    member.incarnation = known->incarnation;
  }
  absl::StatusOr<Configuration> next =
      configuration().joint() ? absl::UnavailableError("")
                              : WithServer(configuration(), member, learner);
  if (!met.ok() && next.ok() && *next != configuration()) {
    const bool refused = absl::IsFailedPrecondition(met.status());
    next =
        absl::Status(refused ? absl::StatusCode::kFailedPrecondition
                             : absl::StatusCode::kUnavailable,
                     absl::StrCat(Name(member.id), " at ", member.address,
                                  " can't be met: ", met.status().message()));
  }
  Begin(std::move(next), Change{.index = Index(),
                                .member = std::move(member),
                                .voter = !learner,
                                .gone = {},
                                .done = std::move(done)});
}

// --- Leave ---

void Membership::Leave(std::vector<ServerId> ids, DoneFn done) {
  OnceSure(std::move(done),
           [this, ids = std::move(ids)](DoneFn answer) mutable {
             BeginLeave(std::move(ids), std::move(answer));
           });
}

void Membership::BeginLeave(std::vector<ServerId> ids, DoneFn done) {
  if (ids.empty()) {
    return Answer(std::move(done),
                  absl::InvalidArgumentError("expected ids, found none"));
  }
  absl::StatusOr<Configuration> next =
      configuration().joint() ? absl::UnavailableError("")
                              : WithoutServers(configuration(), ids);
  if (next.ok()) {
    if (absl::Status reach = CheckReach(*next); !reach.ok()) next = reach;
  }
  if (next.ok() && Contains(ids, self_)) {
    const ServerId successor = BestSuccessor(ids);
    if (successor != ServerId()) {
      ++stats_.handed_over_to_leave;
      host_->HandOver(successor);
    }
    return Answer(
        std::move(done),
        absl::UnavailableError(
            successor == ServerId()
                ? "the leader itself is to leave, but can reach no "
                  "voter to hand over to"
                : absl::StrCat("the leader itself is to leave: it "
                               "hands over to ",
                               Name(successor), ", which can remove it")));
  }
  Begin(std::move(next), Change{.index = Index(),
                                .member = {},
                                .voter = false,
                                .gone = std::move(ids),
                                .done = std::move(done)});
}

absl::Status Membership::CheckReach(const Configuration& next) {
  if (!next.joint()) return absl::OkStatus();
  const RaftCore& core = *host_->raft();
  const Instant since = env_.loop->Now() - core.options().election_timeout_max;
  size_t reached = 0;
  for (const Progress& p : core.progress()) {
    if (!Has(next.voters, p.id())) continue;
    if (p.id() == self_ || p.last_heard >= since) ++reached;
  }
  if (reached > next.voters.size() / 2) return absl::OkStatus();
  ++stats_.no_reach;
  return absl::UnavailableError(absl::StrCat(
      "of the ", next.voters.size(), " voters that would stay, only ", reached,
      " can be reached: the cluster would stop. Nothing was "
      "changed"));
}

ServerId Membership::BestSuccessor(
    const std::vector<ServerId>& excluded) const {
  const RaftCore& core = *host_->raft();
  const Instant since = env_.loop->Now() - core.options().election_timeout_max;
  const Progress* best = nullptr;
  for (const Progress& p : core.progress()) {
    const bool eligible = p.id() != self_ &&
                          Has(configuration().voters, p.id()) &&
                          !Contains(excluded, p.id()) && p.last_heard >= since;
    if (!eligible) continue;
    if (best == nullptr || p.match() > best->match()) best = &p;
  }
  return best == nullptr ? ServerId() : best->id();
}

// --- Both ---

void Membership::Begin(absl::StatusOr<Configuration> next, Change change) {
  if (next.ok() && *next == configuration()) {
    change.index = host_->raft()->configuration_index();
  } else if (!may_change()) {
    // Nor is anything refused for what isn't committed.
    ++stats_.busy;
    return Answer(std::move(change.done),
                  absl::UnavailableError("another change is under way"));
  } else if (!next.ok()) {
    return Answer(std::move(change.done), next.status());
  } else {
    change.index = host_->ProposeConfiguration(*next);
  }
  changes_.push_back(std::move(change));
  // It may be so already; but no answer comes within the call.
  env_.loop->Post(scope_.Wrap([this] { Advance(); }));
}

bool Membership::may_change() const {
  // A server that hands over waits for nothing new to be in the log.
  return host_->MayPropose() && host_->raft()->transfer_to() == ServerId();
}

absl::Status Membership::Judge(const Change& change) const {
  const RaftCore& core = *host_->raft();
  if (core.role() != Role::kLeader) return NotLeader();
  if (core.committed_configuration_index() < change.index) {
    return absl::UnknownError("not committed yet");
  }
  const Configuration& now = core.committed_configuration();
  if (now.joint()) return absl::UnknownError("half way");
  for (ServerId id : change.gone) {
    if (now.Find(id) != nullptr) return absl::UnknownError("still there");
  }
  if (!change.gone.empty()) return absl::OkStatus();
  const Member* member = now.Find(change.member.id);
  if (member == nullptr || *member != change.member) {
    return absl::FailedPreconditionError(
        absl::StrCat(Name(change.member.id),
                     " was removed, or moved, before it had joined"));
  }
  if (change.voter && !Has(now.voters, change.member.id)) {
    return absl::UnknownError("catching up");
  }
  return absl::OkStatus();
}

void Membership::Advance() {
  if (host_->raft() == nullptr) return;
  for (auto it = changes_.begin(); it != changes_.end();) {
    absl::Status status = Judge(*it);
    if (absl::IsUnknown(status)) {
      ++it;
      continue;
    }
    Answer(std::move(it->done), std::move(status));
    it = changes_.erase(it);
  }
  for (auto it = transfers_.begin(); it != transfers_.end();) {
    absl::Status status = Judge(*it);
    if (absl::IsUnknown(status)) {
      ++it;
      continue;
    }
    Answer(std::move(it->done), std::move(status));
    it = transfers_.erase(it);
  }
  CarryOn();
}

void Membership::CarryOn() {
  const RaftCore& core = *host_->raft();
  if (core.role() != Role::kLeader) return;
  if (!configuration().joining.empty() && !sampling_) Sample();
  if (!may_change()) return;
  if (configuration().joint()) {
    ++stats_.finished;
    if (core.configuration_index() < core.term_start()) ++stats_.inherited;
    host_->ProposeConfiguration(WithoutOld(configuration()));
  } else if (std::vector<ServerId> ready = CaughtUp(); !ready.empty()) {
    stats_.promoted += ready.size();
    host_->ProposeConfiguration(WithPromoted(configuration(), ready));
  } else if (const uint32_t level = CommonFeatureLevel();
             level > configuration().feature_level) {
    ++stats_.raised;
    Configuration raised = configuration();
    raised.feature_level = level;
    host_->ProposeConfiguration(raised);
  }
}

uint32_t Membership::CommonFeatureLevel() const {
  uint32_t level = host_->OwnHello().feature_level_max;
  for (const Member& m : configuration().Everyone()) {
    if (m.id != self_) level = std::min(level, host_->SupportedLevel(m));
  }
  return level;
}

std::vector<ServerId> Membership::CaughtUp() const {
  const RaftCore& core = *host_->raft();
  std::vector<ServerId> ready;
  if (older_sample_ == Index() || sampled_term_ != core.term()) return ready;
  const Instant since = env_.loop->Now() - core.options().election_timeout_min;
  for (const Progress& p : core.progress()) {
    if (Has(configuration().joining, p.id()) && p.match() >= older_sample_ &&
        p.last_heard >= since) {
      ready.push_back(p.id());
    }
  }
  return ready;
}

void Membership::Sample() {
  const RaftCore& core = *host_->raft();
  sampling_ = core.role() == Role::kLeader && !configuration().joining.empty();
  if (!sampling_ || sampled_term_ != core.term()) sample_ = Index();
  sampled_term_ = core.term();
  older_sample_ = sample_;
  if (!sampling_) return;
  sample_ = core.last_index();
  sample_timer_ =
      env_.loop->After(core.options().election_timeout_min / 2, [this] {
        if (host_->raft() == nullptr) return;  // it stops
        Sample();
        Advance();
      });
}

// --- Transfer ---

void Membership::Transfer(ServerId to, DoneFn done) {
  OnceSure(std::move(done),
           [this, to](DoneFn answer) { BeginTransfer(to, std::move(answer)); });
}

void Membership::BeginTransfer(ServerId to, DoneFn done) {
  if (to == self_) return Answer(std::move(done), absl::OkStatus());
  const bool any = to == ServerId();
  if (any) to = BestSuccessor({});
  if (any && to == ServerId()) {
    return Answer(std::move(done),
                  absl::UnavailableError("no other voter can be reached"));
  }
  if (!Has(configuration().voters, to)) {
    return Answer(
        std::move(done),
        absl::FailedPreconditionError(absl::StrCat(
            "expected a voter to hand over to, found that ", Name(to),
            Has(configuration().Everyone(), to) ? " doesn't vote"
                                                : " isn't a member")));
  }
  host_->HandOver(to);
  transfers_.push_back(PendingTransfer{.term = host_->raft()->term(),
                                       .to = to,
                                       .any = any,
                                       .done = std::move(done)});
}

absl::Status Membership::Judge(const PendingTransfer& transfer) const {
  const RaftCore& core = *host_->raft();
  if (core.term() == transfer.term) {
    if (core.role() != Role::kLeader) return NotLeader();
    if (core.transfer_to() == transfer.to) {
      return absl::UnknownError("under way");
    }
    return absl::UnavailableError(
        absl::StrCat(Name(transfer.to), " didn't take over in time"));
  }
  if (core.leader() == ServerId()) return absl::UnknownError("not known yet");
  if (core.leader() == transfer.to ||
      (transfer.any && core.leader() != self_)) {
    return absl::OkStatus();
  }
  return absl::UnavailableError(
      absl::StrCat(Name(core.leader()), " was elected instead"));
}

void Membership::Close() {
  sample_timer_.Cancel();
  std::map<uint64_t, Probe> probes = std::move(probes_);
  std::list<Change> changes = std::move(changes_);
  std::list<PendingTransfer> transfers = std::move(transfers_);
  probes_.clear();
  changes_.clear();
  transfers_.clear();
  for (auto& [key, probe] : probes) Answer(std::move(probe.done), NotLeader());
  for (Change& c : changes) Answer(std::move(c.done), NotLeader());
  for (PendingTransfer& t : transfers) Answer(std::move(t.done), NotLeader());
}

}  // namespace holdfast
