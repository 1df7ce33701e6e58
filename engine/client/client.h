#ifndef HOLDFAST_ENGINE_CLIENT_CLIENT_H_
#define HOLDFAST_ENGINE_CLIENT_CLIENT_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "engine/base/batch.h"
#include "engine/base/types.h"
#include "engine/client/types.h"
#include "engine/env/completion.h"
#include "engine/env/env.h"
#include "engine/env/loop.h"
#include "engine/env/network.h"

namespace holdfast {

class Admin;
class Cluster;
class Producer;
class Reader;

// A log's client: one producer of records, and any number of readers. It
// finds the leader, follows it when it changes, and repeats what is safe to
// repeat. All of it runs on one Loop; no callback runs inside the call that
// takes it; callbacks may call the Client, but not destroy it.
//
//   Client client(env, options);
//   BatchBuilder batch;
//   batch.Add("hello");
//   client.Append(std::move(batch), {}, [](ClientOutcome outcome) { ... });
class Client {
 public:
  // Uses env's loop, network, security and seed; they outlive it. Connects
  // when it is first asked for something.
  Client(const Env& env, ClientOptions options);
  // As Close, without the callbacks.
  ~Client();

  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // --- Producing. One Client's batches get into the log in the order of the
  // calls; each at most once, however often it has to be sent.

  // Appends one batch. RESOURCE_EXHAUSTED, with nothing done, when
  // options.queue_bytes_max wait already: try again when `done` of another
  // one has run. FAILED_PRECONDITION when closed.
  absl::Status Append(BatchBuilder batch, const ClientAppendOptions& options,
                      ClientAppendFn done);
  // Appends without an outcome so far.
  size_t appends_pending() const;
  size_t append_bytes_pending() const;
  // 0: none yet.
  SessionId session() const;

  // --- Reading

  // Whole batches from the one with `from` on; none when the log ends there.
  // Whom it asks, and how often: see ClientReadOptions::server. OUT_OF_RANGE
  // beyond the log's end.
  void Read(Offset from, const ClientReadOptions& options, ClientReadFn done);

  // The committed log from `from` on, as it grows; goes on with another
  // server when one fails. Destroying the result ends it; it must go before
  // the Client.
  std::unique_ptr<ClientTail> Tail(Offset from,
                                   const ClientTailOptions& options,
                                   ClientTailCallbacks callbacks);

  // What one server says of itself.
  void Status(const Address& server, Duration timeout,
              ResultFn<ServerStatus> done);

  // --- Membership, for the role admin. Each is repeated with whoever leads
  // until its answer or the timeout. FAILED_PRECONDITION: refused, with the
  // reason, and nothing was changed. DEADLINE_EXCEEDED, with what stood in the
  // way: it may or may not have been done; it may be asked for again.

  // Adds the server at `address`, which waits to be joined as `id`; for a
  // member, moves it to the address, or makes a learner a voter. A learner
  // never votes.
  void Join(ServerId id, const Address& address, bool learner, Duration timeout,
            DoneFn done);
  // Removes these servers in one step.
  void Leave(const std::vector<ServerId>& ids, Duration timeout, DoneFn done);
  // Hands leadership over to that voter; 0: to the one that has most of the
  // log, and done when somebody else leads than at first.
  void Transfer(ServerId to, Duration timeout, DoneFn done);
  // Drops the records before `first`, for ever: reads of them get OUT_OF_RANGE.
  // Refused beyond the log's committed end.
  void Trim(Offset first, Duration timeout, DoneFn done);

  // Ends everything: appends that were sent get kUnknown, others
  // kRejected/kUnavailable; all else, tails too, CANCELLED. `done` runs after
  // those, and may destroy the tails and the Client. What is asked for
  // afterwards is CANCELLED, too, as long as the Client is there; an append is
  // FAILED_PRECONDITION. Called once.
  void Close(DoneFn done);

  // Where the client believes the leader to be; empty: not known.
  Address leader() const;
  // One line on what stands between this client and the leader: each server
  // that couldn't be reached or didn't help, and why.
  std::string Trouble() const;

 private:
  Loop* const loop_;
  std::unique_ptr<Cluster> cluster_;
  std::unique_ptr<Producer> producer_;
  std::unique_ptr<Reader> reader_;
  std::unique_ptr<Admin> admin_;
  bool closed_ = false;
  Timer close_;
};

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_CLIENT_CLIENT_H_
