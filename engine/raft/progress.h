#ifndef HOLDFAST_ENGINE_RAFT_PROGRESS_H_
#define HOLDFAST_ENGINE_RAFT_PROGRESS_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "engine/base/time.h"
#include "engine/base/types.h"

namespace holdfast {

enum class ProgressState : uint8_t {
  // Where the logs agree is not known: one small append at a time.
  kProbe = 1,
  // The logs agree up to next - 1: appends are pipelined.
  kReplicate = 2,
  // Needs entries that a checkpoint stands for; gets heartbeats only.
  kCheckpoint = 3,
};

const char* ToString(ProgressState state);

// A leader's view of one server of the configuration, itself included
// (Raft, figure 2: nextIndex and matchIndex).
class Progress {
 public:
  struct Sent {
    Index last;
    uint64_t bytes;
  };

  Progress(ServerId id, Index next, Instant now)
      : last_heard(now), last_progress(now), id_(id), next_(next) {}

  ServerId id() const { return id_; }
  // Durable on that server and equal to the leader's log.
  Index match() const { return match_; }
  // The next entry to send.
  Index next() const { return next_; }
  ProgressState state() const { return state_; }
  uint64_t bytes_in_flight() const { return bytes_in_flight_; }
  size_t messages_in_flight() const { return in_flight_.size() - head_; }
  const Sent& in_flight(size_t i) const { return in_flight_[head_ + i]; }

  // An append up to `last` went out. While probing `next` stays, and nothing
  // more goes out until an answer or a reason to repeat it.
  void OnSent(Index last, uint64_t bytes);
  // The server has all up to `match`. Returns whether that is news.
  bool OnAccepted(Index match);
  // Starts over behind what is known to match, at `next`.
  void Probe(Index next);
  void Replicate();
  void NeedCheckpoint();

  // --- What the core notes here ---
  // Its own index is durable up to here (the leader's own entry).
  void SetMatch(Index match) { match_ = match; }

  bool probe_sent = false;
  // The last message of the current term that came from it.
  Instant last_heard;
  // The last append or heartbeat to it, and the commit index it carried.
  Instant last_sent;
  Index commit_sent;
  // The greatest ReadIndex round it has answered.
  uint64_t read_round = 0;
  // Until then, by the leader's clock, it votes for nobody else (lease.cc).
  Instant promised;
  // Not 0: the cold read for it that is being done.
  uint64_t cold_token = 0;

  // A heartbeat's answer says that an entry is missing which was sent: lost,
  // or still on its way behind the heartbeat. Resent when this has lasted for
  // `retry_delay` without any new entry arriving there.
  bool lacks = false;
  Index lacks_last;
  // When something last arrived there, was sent anew, or was found missing.
  Instant last_progress;
  Duration retry_delay = Duration::zero();

 private:
  void ClearInFlight();

  ServerId id_;
  Index match_;
  Index next_;
  ProgressState state_ = ProgressState::kProbe;
  std::vector<Sent> in_flight_;  // ascending; dead before head_
  size_t head_ = 0;
  uint64_t bytes_in_flight_ = 0;
};

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_RAFT_PROGRESS_H_
