#ifndef HOLDFAST_ENGINE_NODE_LOG_REPAIR_H_
#define HOLDFAST_ENGINE_NODE_LOG_REPAIR_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/base/inline_function.h"
#include "engine/base/types.h"
#include "engine/env/completion.h"
#include "engine/env/loop.h"
#include "engine/node/raft_codec.h"
#include "engine/wal/salvage.h"

namespace holdfast {

// Entries that were durable on this server and are damaged now: asks the other
// servers for them, one after the other, again and again, until one of them has
// them ("Protocol-Aware Recovery for Consensus-Based Storage", FAST 2018). As
// long as this server lacks them it has no part in Raft: it acknowledged them,
// so it may not vote, or be counted, as one that never had them.
//
// Whom it asks answers
// - with entries: those of that index and term are the same everywhere;
// - or that it lacks them. If they weren't committed in any term that this
//   server has been in, they may be dropped; it may have acknowledged them, in
//   its own term or before. The proof is an entry in that other server's log of
//   a term later than that of the last of them, and not before this server's:
//   the leader of that term lacked it, so it wasn't committed before (leader
//   completeness), nor was the acknowledgement counted afterwards. That says
//   nothing of those before it, which are asked for then, unless that log ends
//   before them. A question carries this server's term, which brings the others
//   there, and so those that they elect next.
// - or that it can't read them. One that mends its own log names the first
//   entry of the latest term that its log has had up to the last of them. The
//   leader of that term had nothing of an earlier one there or behind it: if it
//   is such a later term, it is the same proof. It counts only where nothing
//   whole goes with them (LogHole::at_end): of what was committed since without
//   this server that may be the only copy, and nobody there knows.
// - or that they are behind its checkpoint, which this server takes in place of
//   them.
class LogRepair {
 public:
  struct Callbacks {
    // The other servers.
    InlineFunction<std::vector<ServerId>()> others;
    // Whether this server may take itself for the only one, if there are none.
    InlineFunction<bool()> may_be_alone;
    // Up to where this server's log is committed, for Patience::kOnce.
    InlineFunction<Index()> commit;
    InlineFunction<void(const RepairQuestion&)> send;
    // An intact one, by its id's checksum, as encoded, of that server.
    InlineFunction<void(const CheckpointId&, std::string bytes, ServerId from)>
        on_checkpoint;
    InlineFunction<void(absl::string_view line)> log_line;
  };

  // `life`: of this process, unlike any other's; `last_number`: of its last
  // question. Whoever is asked has `timeout` to answer.
  LogRepair(Loop* loop, uint64_t life, Duration timeout, uint64_t last_number,
            Callbacks callbacks);

  enum class Patience {
    // Done when another server had some of them, or knows that they may go; or
    // never, if there is a checkpoint in their place.
    kEndless,
    // Done as well, or when each of the others said that it has none of the
    // first ones (Mended::lost_to); UNAVAILABLE: all others were asked, and
    // none gave them; ABORTED: nobody needs them any more. For who has a part
    // in Raft, and can do without them for now.
    kOnce,
  };
  // One at a time. DATA_LOSS: there is no other server.
  void Fetch(const LogHole& hole, Term term, Patience patience,
             ResultFn<Mended> done);
  // Asks for nothing but a checkpoint, up to that index at least. `failed`, if
  // there is no other server.
  void FetchCheckpoint(Index at_least, DoneFn failed);
  void OnAnswer(const RepairAnswer& answer);
  // The checkpoint won't do.
  void Again();
  // It stands for the entries that were asked for: ABORTED.
  void ReadAgain();
  const LogHole& hole() const { return hole_; }
  uint64_t last_number() const { return question_.number; }

  struct Stats {
    uint64_t asked = 0;
    uint64_t lacking = 0;
    uint64_t unreadable = 0;
    uint64_t never_committed = 0;
    uint64_t checkpoints = 0;

    template <typename Fn>  // fn(name, value)
    void ForEach(Fn fn) const {
      fn("repair_asked", asked);
      fn("repair_other_lacks", lacking);
      fn("repair_other_cannot_read", unreadable);
      fn("repair_never_committed", never_committed);
      fn("repair_by_checkpoint", checkpoints);
    }
  };
  const Stats& stats() const { return stats_; }

 private:
  void AskNext();
  // The next questions are for that checkpoint, from its beginning; without
  // bytes: for none.
  void AskForParts(const CheckpointId& id);
  void Ask();
  // `what` the one that was asked last says: that it has none of the hole's
  // entries up to `lacks_to`; 0: it can't say.
  void InVain(absl::string_view what, Index lacks_to = Index());
  void Finish(absl::StatusOr<Mended> mended);
  // What lacks the hole's last entry proves that it may go, or the first ones
  // are asked for.
  bool DropsOrAsksForFewer(const RepairAnswer& answer);
  bool IsNeverCommitted(const RepairAnswer& answer);
  // The leader of a later term lacked the hole's last entry.
  bool LeaderLacked(const RepairAnswer& answer) const;
  // Its log ends in a later term than that, and in no earlier one than this
  // server's.
  bool EndsBehind(const RepairAnswer& answer, Term term) const;
  // The same of one that can't read them: it has had such an entry, no later in
  // the log than the hole's last one.
  bool HadLaterTerm(const RepairAnswer& answer) const;
  // All of hole_, in the way that most others can answer.
  void AskForAll();
  // Whether it may have the first ones of them; the question is for these then.
  bool AskForFewer(const RepairAnswer& answer);
  void OnPart(const RepairAnswer& answer);

  Loop* const loop_;
  const Duration timeout_;
  Callbacks callbacks_;
  Patience patience_ = Patience::kEndless;
  LogHole hole_;             // that Fetch was told of
  RepairQuestion question_;  // the last one
  Term term_;                // this server's
  ResultFn<Mended> done_;
  bool asking_ = false;
  bool checkpoint_only_ = false;
  int alone_ = 0;  // times that there was nobody to ask
  size_t next_ = 0;
  size_t in_vain_ = 0;  // asked, of all others
  // Those of them that have none of the hole's entries up to lost_to_; and who
  // they all were when the first one was asked.
  std::vector<ServerId> lacking_;
  std::vector<ServerId> all_;
  Index lost_to_;
  Index told_of_;        // the last entry that the log line was about
  std::string answers_;  // in vain, since the last line about them
  std::string part_;     // of the checkpoint question_.id
  Timer timer_;
  Stats stats_;
};

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_NODE_LOG_REPAIR_H_
