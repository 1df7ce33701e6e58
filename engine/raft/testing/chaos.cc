#include "engine/raft/testing/chaos.h"

#include <algorithm>
#include <cstdio>
#include <vector>

#include "engine/base/check.h"

namespace holdfast {

RaftOptions ChooseOptions(Choose choose) {
  RaftOptions options;
  options.seed = choose(1000);
  options.hot_bytes = choose(3) == 0 ? options.hot_bytes : choose(3000);
  options.max_append_bytes = 100 + choose(1000);
  options.max_probe_bytes = choose(500);
  options.max_bytes_in_flight = 100 + choose(3000);
  options.max_messages_in_flight = 1 + choose(5);
  options.leases = choose(2) == 0;
  options.clock_drift_ppm_max = 0;  // all have one clock
  return options;
}

Chaos::Chaos(TestCluster* cluster, Choose choose)
    : cluster_(*cluster), choose_(choose) {
  cluster_.cut_link = [this](const Message& m) {
    return cut_.contains({m.from, m.to});
  };
}

ServerId Chaos::ChooseServer() {
  const std::vector<ServerId> ids = cluster_.ids();
  return ids[choose_(ids.size())];
}

void Chaos::Act() {
  const uint64_t what = choose_(128);
  if (what < 60) {
    DeliverSome();
  } else if (what < 84) {
    WriteSome();
  } else if (what < 96) {
    PassTime();
  } else if (what < 106) {
    ProposeSome();
  } else if (what < 110) {
    ServerId at = cluster_.leader();
    if (at == ServerId() || choose_(8) == 0) at = ChooseServer();
    cluster_.Read(at, ++reads_);
  } else if (what < 112) {
    CrashOne();
  } else if (what < 116) {
    RestartOne();
  } else if (what < 118) {
    if (!cluster_.network().empty()) {
      cluster_.Drop(choose_(cluster_.network().size()));
    }
  } else if (what < 121) {
    Notify();
  } else if (what < 123) {
    ChangeLinks();
  } else if (what < 125) {
    ReadColdSome();
  } else if (what < 126) {
    DropSomeOfALog();
  } else if (what < 127) {
    SendCheckpoints();
  } else {
    ChangeMembers();
  }
}

void Chaos::DeliverSome() {
  for (uint64_t n = 1 + choose_(16); n > 0; --n) {
    const size_t waiting = cluster_.network().size();
    if (waiting == 0) return;
    const size_t i = choose_(8) > 0 ? 0 : choose_(waiting);
    cluster_.Deliver(i, /*keep=*/choose_(16) == 0);
  }
}

void Chaos::WriteSome() {
  const ServerId only = ChooseServer();
  const bool all = choose_(3) > 0;
  for (ServerId id : cluster_.ids()) {
    if (!all && id != only) continue;
    const size_t n = cluster_.server(id).writes.size();
    if (n > 0) cluster_.CompleteWrites(id, 1 + choose_(n));
  }
}

void Chaos::PassTime() {
  const bool long_time = choose_(32) == 0;
  cluster_.Advance(1ms * (1 + choose_(long_time ? 1500 : 50)));
  if (choose_(4) > 0) {
    cluster_.TickDue();
  } else {
    cluster_.Step(ChooseServer(), Tick{});
  }
}

void Chaos::ProposeSome() {
  ServerId to = cluster_.leader();
  if (to == ServerId() || choose_(8) == 0) to = ChooseServer();
  const size_t count = 1 + choose_(4);
  cluster_.Propose(to, count, static_cast<uint32_t>(1 + choose_(400)));
}

void Chaos::CrashOne() {
  const ServerId id = ChooseServer();
  const size_t whole = choose_(cluster_.server(id).writes.size() + 1);
  const size_t parts = choose_(5);
  cluster_.Crash(id, whole, parts);
}

void Chaos::RestartOne() {
  for (ServerId id : cluster_.ids()) {
    if (!cluster_.up(id)) return cluster_.Restart(id);
  }
}

void Chaos::Notify() {
  const ServerId id = ChooseServer();
  const ServerId other = ChooseServer();
  switch (choose_(4)) {
    case 2:
      if (cluster_.leader() == ServerId()) return;
      return cluster_.Step(cluster_.leader(), Transfer{other});
    case 1:
      return cluster_.Step(id, SendLost{other});
    default:
      if (!cluster_.up(id)) return;
      return cluster_.Step(id, PeerLost{cluster_.core(id).leader()});
  }
}

void Chaos::ChangeLinks() {
  if (choose_(3) > 0) return cut_.clear();
  const ServerId from = ChooseServer();
  const bool both_ways = choose_(2) == 0;
  for (ServerId to : cluster_.ids()) {
    if (choose_(2) == 0) continue;
    cut_.insert({from, to});
    if (both_ways) cut_.insert({to, from});
  }
}

void Chaos::ReadColdSome() {
  for (ServerId id : cluster_.ids()) {
    if (cluster_.server(id).cold_reads.empty()) continue;
    cluster_.CompleteColdRead(id, /*ok=*/choose_(8) > 0);
  }
}

void Chaos::DropSomeOfALog() {
  const ServerId id = ChooseServer();
  if (!cluster_.up(id)) return;
  const Index last = cluster_.core(id).last_index();
  cluster_.Compact(id, Index(choose_(last.value() + 1)));
}

void Chaos::SendCheckpoints() {
  // From anybody that has one: also of former leaders, and not needed.
  if (choose_(2) == 0) {
    const ServerId from = ChooseServer();
    const ServerId to = ChooseServer();
    if (from != to) cluster_.InstallCheckpoint(from, to);
    return;
  }
  const ServerId leader = cluster_.leader();
  if (leader == ServerId()) return;
  for (const Progress& peer : cluster_.core(leader).progress()) {
    if (peer.state() != ProgressState::kCheckpoint) continue;
    return cluster_.InstallCheckpoint(leader, peer.id());
  }
}

void Chaos::ChangeMembers() {
  const ServerId leader = cluster_.leader();
  if (leader == ServerId()) return;
  Configuration next = cluster_.core(leader).configuration();
  if (next.joint()) {
    next.old_voters.clear();
  } else {
    std::vector<uint64_t> voters;
    std::vector<uint64_t> learners;
    for (ServerId id : cluster_.ids()) {
      (choose_(3) > 0 ? voters : learners).push_back(id.value());
    }
    if (voters.empty()) return;
    const std::vector<Member> old_voters = next.voters;
    next = MakeConfiguration(voters);
    next.old_voters = old_voters;
    for (const Member& m : MakeConfiguration(learners).voters) {
      if (!IsVoter(next, m.id)) next.learners.push_back(m);
    }
  }
  cluster_.ProposeConfiguration(leader, next);
}

void Chaos::Heal() {
  cut_.clear();
  for (ServerId id : cluster_.ids()) cluster_.Restart(id);
  // A lost message costs a retry, each a longer one, up to four timeouts.
  for (int i = 0; i < 30; ++i) {
    cluster_.Run(1s);
    const ServerId leader = cluster_.leader();
    if (leader == ServerId()) continue;
    for (const Progress& peer : cluster_.core(leader).progress()) {
      if (peer.state() != ProgressState::kCheckpoint) continue;
      cluster_.InstallCheckpoint(leader, peer.id());
    }
    const size_t ready = cluster_.reads_ready().size();
    cluster_.Propose(leader, 1);
    cluster_.Read(leader, ++reads_);
    cluster_.Run(300ms);
    if (cluster_.reads_ready().size() > ready && Healed()) return;
  }
  std::fprintf(stderr, "not healed:\n%s", cluster_.Describe().c_str());
  CHECK(false);
}

bool Chaos::Healed() {
  const ServerId leader = cluster_.leader();
  if (leader == ServerId()) return false;
  const RaftCore& lead = cluster_.core(leader);
  if (lead.commit() != lead.last_index()) return false;
  bool equal = true;
  ForEachMember(lead.configuration(), [&](ServerId id) {
    const RaftCore& core = cluster_.core(id);
    equal = equal && core.commit() == lead.commit() &&
            core.last_term() == lead.last_term() &&
            core.last_index() == lead.last_index() &&
            core.durable() == lead.durable() && core.leader() == leader;
  });
  return equal;
}

}  // namespace holdfast
