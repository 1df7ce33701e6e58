#ifndef HOLDFAST_TRANSPORT_EMBEDDED_NODE_H_
#define HOLDFAST_TRANSPORT_EMBEDDED_NODE_H_

#include <cstddef>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/base/batch.h"
#include "engine/base/time.h"
#include "engine/base/types.h"
#include "engine/client/types.h"
#include "engine/log/distributed_log.h"
#include "engine/service/service.h"
#include "transport/loop_thread.h"
#include "transport/server.h"

namespace holdfast {

struct EmbeddedNodeConfig : NodeConfig {
  // Both are called on the node's thread, which they mustn't hold up; empty:
  // nobody is told. A line for the operator.
  LogLineFn log_line;
  // The node that served can't go on (its disk failed, say), and has stopped.
  // At most once; Close is still to be called, by another thread.
  DoneFn on_stopped;
};

struct NodeStatus {
  ServerId id;
  Address address;  // where it listens
  bool leads = false;
  ServerId leader;  // 0: not known
  Address leader_address;
  Offset first_offset;   // what came before was trimmed
  Offset committed_end;  // as far as this server knows
  size_t clients = 0;    // connected
};

// A whole server within a process, on a thread of its own: it listens for the
// other servers and for clients, as `holdfast node` does.
//
//   EmbeddedNodeConfig config;
//   config.data_dir = "/var/lib/app/log";
//   config.node().id = ServerId(1);
//   config.node().listen = "10.0.0.1:7400";
//   config.node().bootstrap = {{ServerId(1), {}, "10.0.0.1:7400"}, ...};
//   config.certs = "certs";
//   auto node = EmbeddedNode::Start(std::move(config));
//   auto leader = (*node)->WaitForLeader(30s);
//   AppendOutcome outcome = (*node)->Append("hello");
//
// Any thread may call anything, and all but Run waits for its answer. On the
// node's own thread (log_line, on_stopped, tasks of Run) what waits answers
// FAILED_PRECONDITION. Each call that waits ends when the node is closed.
class EmbeddedNode {
 public:
  // Returns when it serves; a new cluster's leader comes once its servers have
  // met. Errors: what is wrong with the config, or as DistributedLog::Open.
  static absl::StatusOr<std::unique_ptr<EmbeddedNode>> Start(
      EmbeddedNodeConfig config);
  // As Close. No other call may be under way: let Close end them first.
  ~EmbeddedNode();

  EmbeddedNode(const EmbeddedNode&) = delete;
  EmbeddedNode& operator=(const EmbeddedNode&) = delete;

  // Appends one record or batch through this server: kNotLeader when another
  // one leads, kOverloaded when too much waits, and nothing is repeated. A
  // BlockingClient finds the leader itself, and repeats without doubling.
  // kRejected with kNone: it wasn't tried (the node is closed or has stopped,
  // or this is its own thread). Answers once the log's fate decides, which a
  // leader without a majority learns when it steps down.
  AppendOutcome Append(absl::string_view record,
                       const AppendOptions& options = {});
  AppendOutcome Append(BatchBuilder batch, const AppendOptions& options = {});

  // Whole batches from the one with `from` on, about max_bytes of them; none
  // when the log ends there. Linearizable: UNAVAILABLE when it knows no leader
  // that can be confirmed. Local: what this server knows to be committed.
  // OUT_OF_RANGE beyond the end, and before what was trimmed.
  absl::StatusOr<ClientReadResult> Read(Offset from,
                                        ReadMode mode = ReadMode::kLinearizable,
                                        size_t max_bytes = 1 << 20);

  // Who leads, once this server knows; DEADLINE_EXCEEDED.
  absl::StatusOr<ServerId> WaitForLeader(Duration timeout);

  // FAILED_PRECONDITION when closed; why it stopped, if it has.
  absl::StatusOr<NodeStatus> Status();

  // --- As DistributedLog's: only the leader does them, UNAVAILABLE elsewhere,
  // or when it isn't known to be done: they may be repeated, at any leader. A
  // BlockingClient finds the leader, and repeats by itself.

  absl::Status Join(ServerId id, const Address& address, bool learner = false);
  absl::Status Leave(const std::vector<ServerId>& ids);
  absl::Status Transfer(ServerId to = ServerId(0));
  absl::Status Trim(Offset first);

  // Runs `task` on the node's thread with all that the engine offers there,
  // such as asynchronous appends and tails; it mustn't wait for anything, and
  // what it gets (a PendingOp) is to be destroyed there too.
  // FAILED_PRECONDITION when closed. It is dropped, uncalled, if the node has
  // stopped.
  absl::Status Run(InlineFunction<void(Service*)> task);

  // Stops serving: appends under way get kUnknown, all else an error. All calls
  // may go on meanwhile, and fail afterwards. The directory may stay locked for
  // a moment, until what was begun there has ended. Not on the node's thread
  // (CHECK).
  void Close();

 private:
  EmbeddedNode() = default;
  void OnFatal(absl::Status why);
  // Asks the log, on the loop, and waits.
  template <typename T, typename AskFn>
  T AskLog(AskFn ask);

  std::once_flag closed_;
  // The loop's, until it has ended.
  std::unique_ptr<EpollLoop> loop_;
  LogLineFn log_line_;
  DoneFn on_stopped_;
  absl::Status stopped_;  // not OK: why server_ is gone
  bool serving_ = false;  // Start has succeeded
  bool closing_ = false;
  std::unique_ptr<Server> server_;

  LoopThread thread_{"the node"};
};

}  // namespace holdfast

#endif  // HOLDFAST_TRANSPORT_EMBEDDED_NODE_H_
