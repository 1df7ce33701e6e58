#ifndef HOLDFAST_ENGINE_CLIENT_PRODUCER_H_
#define HOLDFAST_ENGINE_CLIENT_PRODUCER_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>

#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "engine/base/batch.h"
#include "engine/base/buffer.h"
#include "engine/base/callback_scope.h"
#include "engine/base/lookup_map.h"
#include "engine/base/types.h"
#include "engine/client/cluster.h"
#include "engine/client/server_connection.h"
#include "engine/client/types.h"
#include "engine/env/loop.h"

namespace holdfast {

// A client's appends, from the call to the outcome (Ongaro's thesis, section
// 6.3). Internal to the client.
//
// Batches are numbered within a session that the log knows, and sent in order
// to the likely leader, many at once. The leader takes only the next number,
// and answers one it has with the place it has it at. So anything may be sent
// again, through any leader: whatever was refused because of the moment (not
// the leader, overloaded, an earlier one missing) or has no answer.
//
// Each copy that was sent counts until an answer says that it came to
// nothing. A batch is certainly not in the log exactly if no copy counts any
// more. The caller whose time is up before that gets kUnknown, and the batch
// is still sent until its place is known, since later ones wait behind it.
//
// A batch that is refused for good leaves its number unused, so nothing behind
// it can get into the log any more under this session: the ones behind it that
// were numbered get new numbers in a new session, after the ones before it are
// settled. (If a copy of the refused one still counts, its number may yet be
// used: then those behind it are kUnknown.) Likewise where the log doesn't know
// the session any more, or has lost what was acknowledged; then the batch
// itself goes on in the new session, too.
//
// A session is one log's. Where another cluster has taken the servers' place
// (of a log that was recovered or restored, say), nobody can tell what became
// of what was sent before: that is kUnknown. What was never sent goes on in a
// new session, unless it expects an offset of the log before.
class Producer final : public LeaderListener {
 public:
  explicit Producer(Cluster* cluster);
  ~Producer() override;

  absl::Status Append(BatchBuilder batch, const ClientAppendOptions& options,
                      ClientAppendFn done);
  // All that waits gets its outcome. Nothing may follow.
  void Close();

  size_t pending() const { return pending_; }
  size_t bytes_pending() const { return bytes_pending_; }
  SessionId session() const { return session_; }

 private:
  struct Entry {
    BatchBuilder builder;  // until it is numbered
    Buffer batch;
    Sequence sequence;  // 0: not numbered
    std::optional<Offset> expected_offset;
    Instant deadline;
    ClientAppendFn done;
    size_t bytes = 0;
    bool reported = false;  // the caller has his outcome
    bool settled = false;   // nothing more to do
    // The copy that is on its way on the present stream; 0: none.
    uint64_t in_flight = 0;
    // Copies that count, by request.
    absl::InlinedVector<uint64_t, 2> copies;
  };

  void OnLeader(ServerConnection* leader) override;
  void OnOtherCluster();
  void OnAnswer(ServerConnection* server, const wire::AppendAnswer& answer);
  void OnNotAppended(uint64_t number, ServerConnection* server,
                     const wire::AppendAnswer& answer);
  void OnRejected(uint64_t number, const wire::AppendAnswer& answer);
  void OnUnknown(uint64_t number, const wire::AppendAnswer& answer);
  void PauseFor(uint32_t retry_after_ms, bool no_space,
                const std::string& text);

  void Register(ServerConnection* leader);
  void OnRegistered(ServerConnection* server,
                    const absl::StatusOr<MessageView>& message);
  void Pump();
  bool MayNumber(uint64_t number) const;
  void Number(Entry* entry);
  bool SendCopy(ServerConnection* leader, uint64_t number);
  void PauseSending(Duration pause);
  void NotInFlight(Entry* entry, uint64_t number);

  // The entry's number won't be used (`clean`), or may be.
  void BreakSession(uint64_t number, bool clean);
  // The session can't take the entry. Unless a copy of it counts, no number
  // from its own on will be used: it waits for a new session.
  void LeaveSession(uint64_t number, absl::string_view why);
  // No number from this entry's on will be used: they get new ones.
  void Renumber(uint64_t number);
  void Settle(uint64_t number, ClientOutcome outcome);
  void Report(Entry* entry, ClientOutcome outcome);
  void DropSettled();
  // Of those that were never numbered, also in the midst of others.
  void DropNeverSent();
  void CheckDeadlines();
  void SetDeadlineTimer(Instant deadline);
  void ListenWhileNeeded();

  Entry& At(uint64_t number) { return entries_[number - first_]; }
  uint64_t end() const { return first_ + entries_.size(); }

  Cluster* const cluster_;
  Loop* const loop_;
  uint64_t listener_ = 0;  // 0: not listening

  // In the order of the calls; the first one isn't settled.
  std::deque<Entry> entries_;
  uint64_t first_ = 0;  // number of entries_.front()
  // Copies of it with this id or a later one were sent when all before it were
  // settled.
  uint64_t first_since_ = 0;
  // No entry before this one waits to be sent.
  uint64_t send_from_ = 0;
  size_t pending_ = 0;
  size_t bytes_pending_ = 0;
  size_t in_flight_ = 0;
  size_t bytes_in_flight_ = 0;
  LookupMap<uint64_t, uint64_t> by_request_;

  // Of the session's log; 0: not known.
  ClusterId cluster_id_;
  SessionId session_;
  Sequence next_sequence_;
  uint32_t sessions_left_ = 0;  // since something was committed
  // The session can't go on: entries from here on wait for a new one, until
  // those before are settled.
  std::optional<uint64_t> broken_at_;
  uint64_t registering_ = 0;  // the request; 0: none
  ServerConnection* registering_at_ = nullptr;

  // The stream that copies are in flight on.
  ServerConnection* stream_ = nullptr;
  uint64_t stream_generation_ = 0;
  bool pausing_ = false;
  std::string no_space_;  // what the last refusal says, if it was for that
  Timer pause_;
  Instant deadline_at_ = kNever;
  Timer deadline_;
  bool closed_ = false;
  CallbackScope scope_;
};

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_CLIENT_PRODUCER_H_
