#ifndef HOLDFAST_ENGINE_RAFT_TESTING_CHAOS_H_
#define HOLDFAST_ENGINE_RAFT_TESTING_CHAOS_H_

#include <cstdint>
#include <set>
#include <utility>

#include "absl/functional/function_ref.h"
#include "engine/raft/testing/cluster.h"

namespace holdfast {

// Uniform below its argument, which is above 0: from a seed, or from a
// fuzzer's bytes.
using Choose = absl::FunctionRef<uint64_t(uint64_t)>;

// Draws a cluster's options: small windows, so that their edges are met often.
RaftOptions ChooseOptions(Choose choose);

// Does to a TestCluster whatever may happen to a real one: messages come late,
// twice, out of order or never; disks lag; servers crash in the middle of a
// write and come back; links break one way; members change.
class Chaos {
 public:
  // Both outlive it. Takes over cluster->cut_link.
  Chaos(TestCluster* cluster, Choose choose);

  // One thing happens.
  void Act();
  // Faults end. CHECKs that before long there is a leader that commits, and
  // that all its members have equal logs.
  void Heal();

 private:
  ServerId ChooseServer();
  void DeliverSome();
  void WriteSome();
  void PassTime();
  void ProposeSome();
  void CrashOne();
  void RestartOne();
  void Notify();
  void ChangeLinks();
  void ReadColdSome();
  void DropSomeOfALog();
  void SendCheckpoints();
  void ChangeMembers();
  bool Healed();

  TestCluster& cluster_;
  Choose choose_;
  std::set<std::pair<ServerId, ServerId>> cut_;
  uint64_t reads_ = 0;
};

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_RAFT_TESTING_CHAOS_H_
