#ifndef HOLDFAST_ENGINE_NODE_MEMBERSHIP_H_
#define HOLDFAST_ENGINE_NODE_MEMBERSHIP_H_

#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/base/callback_scope.h"
#include "engine/base/configuration.h"
#include "engine/base/inline_function.h"
#include "engine/base/types.h"
#include "engine/env/completion.h"
#include "engine/env/env.h"
#include "engine/env/loop.h"
#include "engine/peer/dialer.h"
#include "engine/peer/hello.h"
#include "engine/raft/core.h"

namespace holdfast {

// --- The next configuration, as a pure function of the present one (plain,
// not joint): FAILED_PRECONDITION or ALREADY_EXISTS when there is none.

// With `member` as a learner, or on its way to be a voter; moved, when it is a
// member with another address. The same when it is all so already.
absl::StatusOr<Configuration> WithServer(const Configuration& now,
                                         const Member& member, bool learner);
// Without these; joint if one of them votes.
absl::StatusOr<Configuration> WithoutServers(const Configuration& now,
                                             const std::vector<ServerId>& ids);
// With these of now.joining as voters: joint.
Configuration WithPromoted(const Configuration& now,
                           const std::vector<ServerId>& ids);
// What a joint configuration leads to.
Configuration WithoutOld(const Configuration& joint);

// Changes of the cluster's servers, at the leader. All voters change by joint
// consensus (Ongaro's thesis, section 4.3); a server that joins receives the
// log first, and votes once it has caught up (4.2.1). What is to become of a
// change is in the log: `joining` and joint configurations are carried on by
// whoever leads.
class Membership {
 public:
  // The server.
  class Host {
   public:
    virtual ~Host() = default;
    // Null until it is formed, and when it has stopped.
    virtual const RaftCore* raft() const = 0;
    virtual Hello OwnHello() const = 0;
    // Where others reach it, as it was told at its start.
    virtual const Address& Advertised() const = 0;
    // Whether ProposeConfiguration may be called now.
    virtual bool MayPropose() const = 0;
    // What that member supports, if it has said so and is connected; else 0.
    virtual uint32_t SupportedLevel(const Member& member) const = 0;
    // Returns its index.
    virtual Index ProposeConfiguration(const Configuration& next) = 0;
    // Not within a step of the core.
    virtual void HandOver(ServerId to) = 0;
    // As Node's.
    virtual void ReadIndex(ResultFn<Index> done) = 0;
  };

  Membership(const Env& env, ServerId self, Host* host);
  ~Membership();

  // See DistributedLog.
  void Join(ServerId id, Address address, bool learner, DoneFn done);
  void Leave(std::vector<ServerId> ids, DoneFn done);
  void Transfer(ServerId to, DoneFn done);

  // Commit, role, leader or configuration may have changed: carries on what
  // is under way.
  void Advance();
  // Answers all that waits, UNAVAILABLE.
  void Close();

  // How often what happens rarely has happened.
  struct Stats {
    uint64_t promoted = 0;   // servers that had caught up
    uint64_t finished = 0;   // joint configurations
    uint64_t inherited = 0;  // of these, those of another leader
    uint64_t handed_over_to_leave = 0;
    uint64_t busy = 0;      // another change was under way
    uint64_t no_reach = 0;  // who would stay couldn't be reached
    uint64_t raised = 0;    // feature levels
    uint64_t too_old = 0;   // servers that don't support the cluster's

    template <typename Fn>  // fn(name, value)
    void ForEach(Fn fn) const {
      fn("membership_promoted", promoted);
      fn("membership_finished", finished);
      fn("membership_inherited", inherited);
      fn("membership_handed_over_to_leave", handed_over_to_leave);
      fn("membership_busy", busy);
      fn("membership_no_reach", no_reach);
      fn("membership_level_raised", raised);
      fn("membership_too_old", too_old);
    }
  };
  const Stats& stats() const { return stats_; }

 private:
  // Waits until the committed configuration is as it should be.
  struct Change {
    Index index;  // of the configuration that began it
    // Of a Join: who is to be there, and whether as a voter. Of a Leave: who
    // isn't to be.
    Member member;
    bool voter = false;
    std::vector<ServerId> gone;
    DoneFn done;
  };
  struct PendingTransfer {
    Term term;
    ServerId to;
    bool any = false;  // whoever leads next will do
    DoneFn done;
  };

  bool leads() const;
  const Configuration& configuration() const;
  void Answer(DoneFn done, absl::Status status);
  // Only a leader that is sure to be one judges what may be changed.
  void OnceSure(DoneFn done, InlineFunction<void(DoneFn)> then);
  void BeginJoin(ServerId id, Address address, bool learner, DoneFn done);
  void BeginLeave(std::vector<ServerId> ids, DoneFn done);
  absl::Status NotLeader() const;
  void OnProbed(Member member, bool learner, absl::StatusOr<Hello> met,
                DoneFn done);
  void Begin(absl::StatusOr<Configuration> next, Change change);
  // OK, an answer, or UNKNOWN as long as it is under way.
  absl::Status Judge(const Change& change) const;
  absl::Status Judge(const PendingTransfer& transfer) const;
  // Whether enough of the voters to be have been heard lately.
  absl::Status CheckReach(const Configuration& next);
  void BeginTransfer(ServerId to, DoneFn done);
  ServerId BestSuccessor(const std::vector<ServerId>& excluded) const;
  bool may_change() const;
  void CarryOn();
  // The highest level that all members support.
  uint32_t CommonFeatureLevel() const;
  std::vector<ServerId> CaughtUp() const;
  void Sample();

  const Env env_;
  const ServerId self_;
  Host* const host_;
  std::list<Change> changes_;
  std::list<PendingTransfer> transfers_;
  struct Probe {
    Member member;
    bool learner = false;
    DoneFn done;
    std::unique_ptr<PendingOp> dial;
  };
  std::map<uint64_t, Probe> probes_;
  uint64_t next_probe_ = 1;

  // The end of the log one, and two, sampling intervals ago (0: not known): who
  // has the latter is less than that behind.
  Index sample_;
  Index older_sample_;
  Term sampled_term_;
  bool sampling_ = false;
  Timer sample_timer_;
  Stats stats_;
  CallbackScope scope_;
};

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_NODE_MEMBERSHIP_H_
