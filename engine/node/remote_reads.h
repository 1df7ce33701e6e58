#ifndef HOLDFAST_ENGINE_NODE_REMOTE_READS_H_
#define HOLDFAST_ENGINE_NODE_REMOTE_READS_H_

#include <cstdint>
#include <map>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/base/inline_function.h"
#include "engine/base/types.h"
#include "engine/env/completion.h"
#include "engine/env/loop.h"
#include "engine/node/raft_codec.h"

namespace holdfast {

// A follower's linearizable reads: it asks the leader up to where the log has
// to be committed here (Ongaro's thesis, section 6.4, at its end). One question
// is under way at a time; reads that come in meanwhile share the next one, as
// an answer counts only for reads that began before its question.
class RemoteReads {
 public:
  using SendFn = InlineFunction<void(const ReadIndexQuestion&)>;

  // `life`: of this process, unlike any other's. Whoever is asked has `timeout`
  // to answer.
  RemoteReads(Loop* loop, uint64_t life, Duration timeout, SendFn send)
      : loop_(loop), life_(life), timeout_(timeout), send_(std::move(send)) {}

  // Done once all up to the index is committed here. UNAVAILABLE when the
  // leader doesn't answer, or doesn't lead; or when that isn't committed here
  // within ten times the time that it has to answer.
  void Ask(ServerId leader, Index commit, ResultFn<Index> done);
  void OnAnswer(const ReadIndexAnswer& answer, Index commit);
  // More is committed here.
  void OnCommit(Index commit);
  void FailAll(const absl::Status& why);

  struct Stats {
    uint64_t asked = 0;
    uint64_t answered = 0;
    uint64_t failed = 0;
    uint64_t foreign = 0;  // answers to questions of an earlier life, or late
    uint64_t waited = 0;   // reads, for entries that came later

    template <typename Fn>  // fn(name, value)
    void ForEach(Fn fn) const {
      fn("remote_read_asked", asked);
      fn("remote_read_answered", answered);
      fn("remote_read_failed", failed);
      fn("remote_read_foreign_answer", foreign);
      fn("remote_read_waited", waited);
    }
  };
  const Stats& stats() const { return stats_; }

 private:
  struct Answered {
    Instant until;
    ResultFn<Index> done;
  };

  void AskNext(ServerId leader);
  void FailLate();
  void FailAsked(const absl::Status& why);

  Loop* const loop_;
  const uint64_t life_;
  const Duration timeout_;
  SendFn send_;
  uint64_t question_ = 0;               // the last one's number
  std::vector<ResultFn<Index>> asked_;  // by that one; empty: none under way
  ServerId asked_of_;
  std::vector<ResultFn<Index>> next_;
  std::multimap<Index, Answered> answered_;  // wait for the commit
  Timer timer_;
  Timer late_;  // while there are any
  Stats stats_;
};

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_NODE_REMOTE_READS_H_
