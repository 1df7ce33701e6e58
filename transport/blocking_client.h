#ifndef HOLDFAST_TRANSPORT_BLOCKING_CLIENT_H_
#define HOLDFAST_TRANSPORT_BLOCKING_CLIENT_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/base/batch.h"
#include "engine/base/time.h"
#include "engine/base/types.h"
#include "engine/client/types.h"
#include "transport/client_host.h"

namespace holdfast {

struct BlockingClientConfig : ClientConfig {
  // Appends that may be outstanding at once, from the call until the outcome,
  // beside the bound on their bytes (client.queue_bytes_max).
  size_t appends_outstanding_max = 4096;
  // Beyond them AppendAsync waits; or else it answers RESOURCE_EXHAUSTED.
  bool wait_when_full = true;
  // How long Connect looks for a leader; 0: it doesn't.
  Duration connect_timeout = 30s;
};

// A record of the log. Copies share its bytes.
struct LogRecord {
  Offset offset;
  WallTime log_time;  // of its batch, by the leader's clock
  RecordView record;  // of `bytes`
  Buffer bytes;

  absl::string_view value() const { return record.value(); }
};

// The log from an offset on, record by record, as it grows. It reads ahead up
// to a bound, and asks the server for nothing beyond it: who takes the records
// slowly slows down nobody else. Any thread may take some; each record is given
// once. Destroying it, with nobody in Next, ends it; it may outlive its client.
class TailReader {
 public:
  ~TailReader();
  TailReader(const TailReader&) = delete;
  TailReader& operator=(const TailReader&) = delete;

  // The next record. DEADLINE_EXCEEDED if none came within `timeout`: try
  // again. Anything else is the end: OUT_OF_RANGE when what should come next
  // was trimmed, PERMISSION_DENIED, CANCELLED when the client was closed (what
  // was read ahead comes first), or what ended the one server that was asked.
  // Beyond the log's end it waits.
  absl::StatusOr<LogRecord> Next(Duration timeout);

 private:
  friend class BlockingClient;
  struct Shared;
  explicit TailReader(std::unique_ptr<Shared> shared);

  const std::unique_ptr<Shared> shared_;
};

// A tail with callbacks; destroying it ends it. Once it is destroyed no
// callback runs any more: it waits for one that runs on the client's thread,
// unless it is destroyed there. It may outlive its client.
class TailSubscription {
 public:
  virtual ~TailSubscription() = default;
  // For a consumer that can't keep up. While paused the server isn't asked for
  // more; what is on its way (options.credit_bytes, and one batch more) is
  // still delivered. From any thread, also in callbacks; no waiting.
  virtual void Pause() = 0;
  virtual void Resume() = 0;
};

// A client of a cluster for ordinary, threaded programs. It has a thread of
// its own, on which a Client (engine/client/client.h) runs; what that promises
// holds here: one client's appends are in the log in the order in which they
// were taken, each at most once.
//
//   BlockingClientConfig config;
//   config.client.servers = {"10.0.0.1:7400", "10.0.0.2:7400"};
//   config.client.name = "app";
//   config.certs = "certs";
//   auto client = BlockingClient::Connect(config);
//   ClientOutcome outcome = (*client)->Append("hello");
//   auto tail = (*client)->Tail(Offset(0));
//   auto record = (*tail)->Next(5s);
//
// Any thread may call anything. Callbacks run on the client's thread: they
// should be short, for they hold up all else, and they may call what doesn't
// wait; what waits answers FAILED_PRECONDITION there. A call that has a timeout
// ends with it, and each ends when the client is closed.
class BlockingClient {
 public:
  // Finds the leader, to tell soon what is wrong: INVALID_ARGUMENT, what is
  // wrong with the certificates, PERMISSION_DENIED, or UNAVAILABLE or
  // DEADLINE_EXCEEDED with what stood in the way.
  static absl::StatusOr<std::unique_ptr<BlockingClient>> Connect(
      BlockingClientConfig config);
  // As Close. Calls that wait in other threads get their answers; none may
  // begin.
  ~BlockingClient();

  BlockingClient(const BlockingClient&) = delete;
  BlockingClient& operator=(const BlockingClient&) = delete;

  // --- Producing

  // Appends one record, or one batch, and waits for the outcome: at most
  // options.timeout, and as long as it takes to have room (see AppendAsync).
  // kRejected with kNone: it wasn't tried (the client is closed, or this is a
  // callback).
  ClientOutcome Append(absl::string_view record,
                       const ClientAppendOptions& options = {});
  ClientOutcome Append(BatchBuilder batch,
                       const ClientAppendOptions& options = {});

  // If OK, `done` (may be empty) runs exactly once. Else nothing was done:
  // INVALID_ARGUMENT (no record), FAILED_PRECONDITION (closed),
  // RESOURCE_EXHAUSTED when as much as may be is outstanding; it waits for room
  // instead if the config says so and this isn't a callback.
  absl::Status AppendAsync(BatchBuilder batch,
                           const ClientAppendOptions& options,
                           ClientAppendFn done);
  // Waits until all appends taken so far have their outcomes, and their
  // callbacks have returned.
  absl::Status Flush();

  // --- Reading

  // As Client::Read.
  absl::StatusOr<ClientReadResult> Read(Offset from,
                                        const ClientReadOptions& options = {});
  // The two forms of Client::Tail. options.credit_bytes bounds what is read
  // ahead (and one batch more). FAILED_PRECONDITION when closed; no waiting.
  absl::StatusOr<std::unique_ptr<TailReader>> Tail(
      Offset from, const ClientTailOptions& options = {});
  // on_end is told CANCELLED when the client is closed. INVALID_ARGUMENT
  // without on_batches; the other callbacks are optional.
  absl::StatusOr<std::unique_ptr<TailSubscription>> Tail(
      Offset from, const ClientTailOptions& options,
      ClientTailCallbacks callbacks);

  // --- The cluster: as Client's

  absl::StatusOr<ServerStatus> Status(const Address& server,
                                      Duration timeout = 30s);
  absl::Status Join(ServerId id, const Address& address, bool learner = false,
                    Duration timeout = 60s);
  absl::Status Leave(const std::vector<ServerId>& ids, Duration timeout = 30s);
  absl::Status Transfer(ServerId to = ServerId(0), Duration timeout = 30s);
  absl::Status Trim(Offset first, Duration timeout = 30s);

  // Ends everything, and answers everybody: appends that were sent get
  // kUnknown, others kRejected; all else CANCELLED; then the callbacks are
  // over. All calls may go on meanwhile, and answer FAILED_PRECONDITION
  // afterwards. Not from a callback (CHECK).
  void Close();

 private:
  class Core;
  class Subscription;
  friend class TailReader;
  explicit BlockingClient(std::shared_ptr<Core> core);

  const std::shared_ptr<Core> core_;
};

}  // namespace holdfast

#endif  // HOLDFAST_TRANSPORT_BLOCKING_CLIENT_H_
