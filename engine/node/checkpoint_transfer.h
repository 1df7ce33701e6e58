#ifndef HOLDFAST_ENGINE_NODE_CHECKPOINT_TRANSFER_H_
#define HOLDFAST_ENGINE_NODE_CHECKPOINT_TRANSFER_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "engine/base/buffer.h"
#include "engine/base/inline_function.h"
#include "engine/base/types.h"
#include "engine/env/loop.h"
#include "engine/node/raft_codec.h"

namespace holdfast {

// Sends a leader's checkpoint to servers that are behind its log's first entry:
// one chunk at a time to each, and no more than so many bytes a second, so that
// nothing else has to wait; goes on where a lost connection, or another leader
// with the same checkpoint, left off.
class CheckpointSender {
 public:
  using SendFn = InlineFunction<void(const CheckpointChunk&, Buffer bytes)>;

  // `bytes_per_second_max`: to each server; not 0.
  CheckpointSender(Loop* loop, size_t chunk_bytes,
                   uint64_t bytes_per_second_max, SendFn send)
      : loop_(loop),
        chunk_bytes_(chunk_bytes),
        bytes_per_second_max_(bytes_per_second_max),
        send_(std::move(send)) {}

  // Those that need it, and the newest one (encoded). Others are forgotten.
  void SetReceivers(const std::vector<ServerId>& receivers,
                    const CheckpointId& id, const Buffer& checkpoint,
                    Term term);
  void OnAnswer(ServerId from, const CheckpointAnswer& answer);
  // Behind which entry the log is to stay for the sake of a server that has all
  // up to `match`: what follows the checkpoint that it is being sent, or has
  // got. Else it would need another one, and perhaps another behind that, for
  // ever. Nothing: not for its sake, since it gets none, has all up to
  // `enough`, or hasn't got on for long: with more of the checkpoint than ever,
  // or later with fewer entries up to `commit` that it lacks.
  std::optional<Index> HeldFor(ServerId receiver, Index match, Index enough,
                               Index commit);
  // A drop waits for that.
  void NoteHeld() { ++stats_.held; }

  struct Stats {
    uint64_t begun = 0;
    uint64_t repeated = 0;  // chunks without an answer
    uint64_t resumed = 0;   // where another stream, or leader, had left off
    uint64_t paced = 0;     // chunks that had to wait for their turn
    uint64_t held = 0;      // drops that waited for a receiver

    template <typename Fn>  // fn(name, value)
    void ForEach(Fn fn) const {
      fn("checkpoint_sending_begun", begun);
      fn("checkpoint_chunk_repeated", repeated);
      fn("checkpoint_sending_resumed", resumed);
      fn("checkpoint_chunk_paced", paced);
      fn("checkpoint_log_held", held);
    }
  };
  const Stats& stats() const { return stats_; }

 private:
  // Sent again when no answer has come for so long.
  static constexpr Duration kRetry = 200ms;
  // Who hasn't got on for so long is waited for no more; nor who writes all of
  // the checkpoint for longer than that.
  static constexpr Duration kPatience = 5s;
  static constexpr Duration kWritePatience = 30s;

  struct Transfer {
    CheckpointId id;
    Buffer bytes;
    Term term;
    uint64_t at = 0;  // what is to be sent next
    Instant not_before;
    Timer next;
  };

  struct Hold {
    Index at;
    Instant since;           // it last got on
    uint64_t left = 0;       // of the checkpoint's bytes, at least
    bool installed = false;  // from then on:
    uint64_t lacks = 0;      // entries, at least
  };

  void Send(ServerId to, Transfer* transfer);
  // As soon as its pace allows.
  void SendNext(ServerId to, Transfer* transfer);

  Loop* const loop_;
  const size_t chunk_bytes_;
  const uint64_t bytes_per_second_max_;
  SendFn send_;
  std::map<ServerId, Transfer> transfers_;
  Term term_;
  std::map<ServerId, Hold> holds_;  // of this term
  Stats stats_;
};

// Puts together what comes.
class CheckpointReceiver {
 public:
  // Returns what to answer. Chunks may come twice, late, out of order, and
  // from several leaders.
  CheckpointAnswer OnChunk(const CheckpointChunk& chunk,
                           absl::string_view bytes);
  // All of it is here.
  bool complete() const { return id_.bytes > 0 && bytes_.size() == id_.bytes; }
  const std::string& bytes() const { return bytes_; }
  void Clear();

 private:
  CheckpointId id_;
  std::string bytes_;
};

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_NODE_CHECKPOINT_TRANSFER_H_
