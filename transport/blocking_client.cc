#include "transport/blocking_client.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"
#include "transport/loop_thread.h"

namespace holdfast {
namespace {

ClientOutcome NotTried(ClientOutcome::Reason reason, const absl::Status& why) {
  ClientOutcome outcome;
  outcome.kind = ClientOutcome::Kind::kRejected;
  outcome.reason = reason;
  outcome.message = std::string(why.message());
  return outcome;
}

ClientOutcome::Reason ReasonOf(const absl::Status& refused) {
  if (absl::IsInvalidArgument(refused)) {
    return ClientOutcome::Reason::kMalformed;
  }
  if (absl::IsResourceExhausted(refused)) {
    return ClientOutcome::Reason::kUnavailable;
  }
  return ClientOutcome::Reason::kNone;
}

}  // namespace

// What all the faces share. It outlives the BlockingClient while somebody
// still waits in one of its calls, or holds a tail.
class BlockingClient::Core {
 public:
  // A tail as the loop knows it.
  struct TailState {
    // Set by whoever ends it: nothing is called any more.
    std::atomic<bool> over = false;
    // What the consumer wants at last.
    std::atomic<bool> paused = false;
    // The loop's.
    ClientTailCallbacks callbacks;
    std::unique_ptr<ClientTail> tail;
  };

  Core(std::unique_ptr<ClientHost> host, const BlockingClientConfig& config)
      : bytes_max_(config.client.queue_bytes_max),
        count_max_(config.appends_outstanding_max),
        wait_when_full_(config.wait_when_full),
        host_(std::move(host)) {
    thread_.Start(host_->loop());
  }

  LoopThread* thread() { return &thread_; }

  absl::Status Append(BatchBuilder batch, const ClientAppendOptions& options,
                      ClientAppendFn done);
  absl::Status Flush();

  // Runs start(client, giver) on the loop, and waits for what is given. `core`
  // stays as long as that takes.
  template <typename T, typename Start>
  static T Ask(std::shared_ptr<Core> core, Start start) {
    return core->thread_.Ask<T>([c = core.get(), start = std::move(start)](
                                    InlineFunction<void(T)> giver) {
      start(c->host_->client(), std::move(giver));
    });
  }

  absl::Status StartTail(Offset from, const ClientTailOptions& options,
                         std::shared_ptr<TailState> state);
  // From any thread; the last call counts, in whatever order they get there.
  void SetPaused(const std::shared_ptr<TailState>& state, bool paused);
  // When it returns no callback runs any more, unless on this thread.
  void EndTail(const std::shared_ptr<TailState>& state);

  void Close();

 private:
  struct Outstanding {
    uint64_t number;
    size_t bytes;
  };

  Outstanding Reserve(size_t bytes);  // with the mutex
  void FreeRoom(const Outstanding& append);
  void Settled(const Outstanding& append);

  const size_t bytes_max_;
  const size_t count_max_;
  const bool wait_when_full_;

  std::mutex mutex_;
  std::condition_variable room_;
  std::condition_variable settled_;
  size_t bytes_ = 0;
  size_t count_ = 0;
  uint64_t taken_ = 0;
  std::set<uint64_t> unsettled_;  // or whose callback hasn't returned

  std::once_flag closed_;
  // The loop's, until it has ended.
  std::unique_ptr<ClientHost> host_;
  std::set<std::shared_ptr<TailState>> tails_;

  LoopThread thread_{"the client"};
};

// --- Appends

BlockingClient::Core::Outstanding BlockingClient::Core::Reserve(size_t bytes) {
  ++count_;
  bytes_ += bytes;
  unsettled_.insert(++taken_);
  return {taken_, bytes};
}

void BlockingClient::Core::FreeRoom(const Outstanding& append) {
  std::lock_guard<std::mutex> lock(mutex_);
  --count_;
  bytes_ -= append.bytes;
  room_.notify_all();
}

void BlockingClient::Core::Settled(const Outstanding& append) {
  std::lock_guard<std::mutex> lock(mutex_);
  unsettled_.erase(append.number);
  settled_.notify_all();
}

absl::Status BlockingClient::Core::Append(BatchBuilder batch,
                                          const ClientAppendOptions& options,
                                          ClientAppendFn done) {
  if (batch.empty()) {
    return absl::InvalidArgumentError("append: the batch has no record");
  }
  const size_t bytes = batch.size();
  Outstanding append;
  {
    std::unique_lock<std::mutex> lock(mutex_);
    // As the Client counts, so that it never refuses what had room here. One
    // batch has room always.
    auto has_room = [this, bytes] {
      return count_ == 0 || (count_ < count_max_ &&
                             (bytes_ == 0 || bytes_ + bytes <= bytes_max_));
    };
    if (!has_room() && (!wait_when_full_ || thread_.is_current())) {
      return absl::ResourceExhaustedError(absl::StrCat(
          "append: ", count_, " appends of ", bytes_,
          " bytes are outstanding already, the limits are ", count_max_,
          " and ", bytes_max_, ": wait for the outcome of one of them"));
    }
    room_.wait(lock, has_room);
    append = Reserve(bytes);
  }
  absl::Status taken = thread_.Run([this, append, options,
                                    batch = std::move(batch),
                                    done = std::move(done)]() mutable {
    absl::Status queued = host_->client()->Append(
        std::move(batch), options,
        [this, append, done = std::move(done)](ClientOutcome outcome) mutable {
          // First: the callback may append the next one.
          FreeRoom(append);
          if (done) done(std::move(outcome));
          done = nullptr;
          Settled(append);
        });
    CHECK(queued.ok());
  });
  if (!taken.ok()) {
    FreeRoom(append);
    Settled(append);
  }
  return taken;
}

absl::Status BlockingClient::Core::Flush() {
  if (absl::Status s = thread_.MayWait(); !s.ok()) return s;
  std::unique_lock<std::mutex> lock(mutex_);
  settled_.wait(lock, [this, last = taken_] {
    return unsettled_.empty() || *unsettled_.begin() > last;
  });
  return absl::OkStatus();
}

// --- Tails

absl::Status BlockingClient::Core::StartTail(Offset from,
                                             const ClientTailOptions& options,
                                             std::shared_ptr<TailState> state) {
  return thread_.Run([this, from, options, state = std::move(state)] {
    if (state->over) return;
    TailState* s = state.get();
    ClientTailCallbacks callbacks;
    callbacks.on_batches = [s](std::vector<LogBatch> batches) {
      if (!s->over) s->callbacks.on_batches(std::move(batches));
    };
    if (s->callbacks.on_caught_up) {
      callbacks.on_caught_up = [s](Offset end) {
        if (!s->over) s->callbacks.on_caught_up(end);
      };
    }
    callbacks.on_end = [s](absl::Status why) {
      if (!s->over && s->callbacks.on_end) s->callbacks.on_end(std::move(why));
    };
    s->tail = host_->client()->Tail(from, options, std::move(callbacks));
    if (s->paused) s->tail->Pause();
    tails_.insert(state);
  });
}

void BlockingClient::Core::SetPaused(const std::shared_ptr<TailState>& state,
                                     bool paused) {
  state->paused = paused;
  auto apply = [state] {
    if (state->tail == nullptr) return;
    state->paused ? state->tail->Pause() : state->tail->Resume();
  };
  if (thread_.is_current()) return apply();
  // Refused: there is nothing to pause any more.
  thread_.Run(std::move(apply)).IgnoreError();
}

void BlockingClient::Core::EndTail(const std::shared_ptr<TailState>& state) {
  state->over = true;
  auto drop = [this, state] {
    state->tail = nullptr;
    state->callbacks = ClientTailCallbacks();
    tails_.erase(state);
  };
  // From a callback: this may be the tail's own, so it goes later.
  if (thread_.is_current()) {
    thread_.Run(std::move(drop)).IgnoreError();
    return;
  }
  absl::Status dropped =
      thread_.Ask<absl::Status>([drop = std::move(drop)](DoneFn done) mutable {
        drop();
        done(absl::OkStatus());
      });
  // The client is closed, or being closed just now.
  if (!dropped.ok()) Close();
}

void BlockingClient::Core::Close() {
  thread_.CheckMayWait();
  std::call_once(closed_, [this] {
    thread_.End([this] {
      host_->client()->Close([this](absl::Status) {
        // They have ended, and go before the client.
        for (const std::shared_ptr<TailState>& state : tails_) {
          state->tail = nullptr;
        }
        tails_.clear();
        host_->loop()->Stop();
      });
    });
    host_ = nullptr;
  });
}

class BlockingClient::Subscription final : public TailSubscription {
 public:
  Subscription(std::shared_ptr<Core> core,
               std::shared_ptr<Core::TailState> state)
      : core_(std::move(core)), state_(std::move(state)) {}
  ~Subscription() override { core_->EndTail(state_); }
  void Pause() override { core_->SetPaused(state_, true); }
  void Resume() override { core_->SetPaused(state_, false); }

 private:
  const std::shared_ptr<Core> core_;
  const std::shared_ptr<Core::TailState> state_;
};

// --- The client

BlockingClient::BlockingClient(std::shared_ptr<Core> core)
    : core_(std::move(core)) {}

BlockingClient::~BlockingClient() { Close(); }

absl::StatusOr<std::unique_ptr<BlockingClient>> BlockingClient::Connect(
    BlockingClientConfig config) {
  absl::StatusOr<std::unique_ptr<ClientHost>> host = ClientHost::Create(config);
  if (!host.ok()) return host.status();
  std::unique_ptr<BlockingClient> client(
      new BlockingClient(std::make_shared<Core>(*std::move(host), config)));
  if (config.connect_timeout > Duration::zero()) {
    // Only a leader that is sure to lead answers that the log isn't so long.
    absl::Status found =
        client->Read(Offset(UINT64_MAX), {.timeout = config.connect_timeout})
            .status();
    if (!found.ok() && !absl::IsOutOfRange(found)) return found;
  }
  return client;
}

ClientOutcome BlockingClient::Append(absl::string_view record,
                                     const ClientAppendOptions& options) {
  BatchBuilder batch(record.size() + kRecordHeaderBytes);
  if (absl::Status s = batch.Add(record); !s.ok()) {
    return NotTried(ClientOutcome::Reason::kMalformed, s);
  }
  return Append(std::move(batch), options);
}

ClientOutcome BlockingClient::Append(BatchBuilder batch,
                                     const ClientAppendOptions& options) {
  const std::shared_ptr<Core> core = core_;
  if (absl::Status s = core->thread()->MayWait(); !s.ok()) {
    return NotTried(ClientOutcome::Reason::kNone, s);
  }
  Reply<ClientOutcome> reply;
  absl::Status taken =
      core->Append(std::move(batch), options, reply.Giver(ClientOutcome()));
  if (!taken.ok()) return NotTried(ReasonOf(taken), taken);
  return reply.Wait();
}

absl::Status BlockingClient::AppendAsync(BatchBuilder batch,
                                         const ClientAppendOptions& options,
                                         ClientAppendFn done) {
  const std::shared_ptr<Core> core = core_;
  return core->Append(std::move(batch), options, std::move(done));
}

absl::Status BlockingClient::Flush() {
  const std::shared_ptr<Core> core = core_;
  return core->Flush();
}

absl::StatusOr<ClientReadResult> BlockingClient::Read(
    Offset from, const ClientReadOptions& options) {
  return Core::Ask<absl::StatusOr<ClientReadResult>>(
      core_, [from, options](Client* client, ClientReadFn done) {
        client->Read(from, options, std::move(done));
      });
}

absl::StatusOr<ServerStatus> BlockingClient::Status(const Address& server,
                                                    Duration timeout) {
  return Core::Ask<absl::StatusOr<ServerStatus>>(
      core_, [server, timeout](Client* client, ResultFn<ServerStatus> done) {
        client->Status(server, timeout, std::move(done));
      });
}

absl::Status BlockingClient::Join(ServerId id, const Address& address,
                                  bool learner, Duration timeout) {
  return Core::Ask<absl::Status>(
      core_, [id, address, learner, timeout](Client* client, DoneFn done) {
        client->Join(id, address, learner, timeout, std::move(done));
      });
}

absl::Status BlockingClient::Leave(const std::vector<ServerId>& ids,
                                   Duration timeout) {
  return Core::Ask<absl::Status>(core_,
                                 [ids, timeout](Client* client, DoneFn done) {
                                   client->Leave(ids, timeout, std::move(done));
                                 });
}

absl::Status BlockingClient::Transfer(ServerId to, Duration timeout) {
  return Core::Ask<absl::Status>(
      core_, [to, timeout](Client* client, DoneFn done) {
        client->Transfer(to, timeout, std::move(done));
      });
}

absl::Status BlockingClient::Trim(Offset first, Duration timeout) {
  return Core::Ask<absl::Status>(
      core_, [first, timeout](Client* client, DoneFn done) {
        client->Trim(first, timeout, std::move(done));
      });
}

void BlockingClient::Close() { core_->Close(); }

absl::StatusOr<std::unique_ptr<TailSubscription>> BlockingClient::Tail(
    Offset from, const ClientTailOptions& options,
    ClientTailCallbacks callbacks) {
  if (!callbacks.on_batches) {
    return absl::InvalidArgumentError("tail: expected on_batches");
  }
  auto state = std::make_shared<Core::TailState>();
  state->callbacks = std::move(callbacks);
  if (absl::Status s = core_->StartTail(from, options, state); !s.ok()) {
    return s;
  }
  return std::make_unique<Subscription>(core_, std::move(state));
}

// --- TailReader

namespace {

// A wait_for beyond what the clock can count ends at once.
constexpr Duration kWaitMax = 24h * 365;

// What was read ahead.
struct TailQueue {
  explicit TailQueue(size_t bytes_before_pause)
      : pause_bytes(bytes_before_pause) {}

  const size_t pause_bytes;
  std::mutex mutex;
  std::condition_variable more;
  std::deque<LogBatch> batches;
  size_t bytes = 0;
  bool paused = false;
  absl::Status end;  // not OK: behind the batches nothing follows
  // What is left of the first batch; `next` is its next record's offset.
  std::optional<RecordCursor> cursor;
  Offset next;

  // With the mutex, both.
  bool MustPause() {
    return bytes >= pause_bytes && !std::exchange(paused, true);
  }
  bool MayResume() {
    return bytes <= pause_bytes / 2 && std::exchange(paused, false);
  }

  // With the mutex. False when there is none.
  bool TakeRecord(LogRecord* record) {
    for (; !batches.empty(); batches.pop_front(), cursor.reset()) {
      const LogBatch& first = batches.front();
      if (!cursor.has_value()) {
        cursor = first.Records();
        next = first.from;
      }
      if (cursor->Next(&record->record)) {
        record->offset = next;
        ++next;
        record->log_time = first.log_time;
        record->bytes = first.batch.bytes();
        return true;
      }
      bytes -= first.batch.bytes().size();
    }
    return false;
  }
};

}  // namespace

struct TailReader::Shared {
  std::shared_ptr<BlockingClient::Core> core;
  std::shared_ptr<BlockingClient::Core::TailState> state;
  std::shared_ptr<TailQueue> queue;
};

absl::StatusOr<std::unique_ptr<TailReader>> BlockingClient::Tail(
    Offset from, const ClientTailOptions& options) {
  // One half is with the reader when the other one is on its way.
  ClientTailOptions halved = options;
  halved.credit_bytes = std::max(options.credit_bytes / 2, 1u);
  auto state = std::make_shared<Core::TailState>();
  auto queue = std::make_shared<TailQueue>(halved.credit_bytes);
  state->callbacks.on_batches =
      [queue, s = state.get()](std::vector<LogBatch> batches) {
        std::lock_guard<std::mutex> lock(queue->mutex);
        for (LogBatch& batch : batches) {
          queue->bytes += batch.batch.bytes().size();
          queue->batches.push_back(std::move(batch));
        }
        if (queue->MustPause()) {
          s->paused = true;
          s->tail->Pause();
        }
        queue->more.notify_all();
      };
  state->callbacks.on_end = [queue](absl::Status why) {
    std::lock_guard<std::mutex> lock(queue->mutex);
    queue->end = std::move(why);
    queue->more.notify_all();
  };
  if (absl::Status s = core_->StartTail(from, halved, state); !s.ok()) return s;
  return std::unique_ptr<TailReader>(
      new TailReader(std::make_unique<TailReader::Shared>(
          TailReader::Shared{core_, std::move(state), std::move(queue)})));
}

TailReader::TailReader(std::unique_ptr<Shared> shared)
    : shared_(std::move(shared)) {}

TailReader::~TailReader() { shared_->core->EndTail(shared_->state); }

absl::StatusOr<LogRecord> TailReader::Next(Duration timeout) {
  LoopThread* thread = shared_->core->thread();
  TailQueue* queue = shared_->queue.get();
  std::unique_lock<std::mutex> lock(queue->mutex);
  auto has_news = [queue] {
    return !queue->batches.empty() || !queue->end.ok();
  };
  LogRecord record;
  bool found = queue->TakeRecord(&record);
  if (!found && queue->end.ok() && timeout > Duration::zero()) {
    if (absl::Status s = thread->MayWait(); !s.ok()) return s;
    queue->more.wait_for(lock, std::min(timeout, kWaitMax), has_news);
    found = queue->TakeRecord(&record);
  }
  if (queue->MayResume()) shared_->core->SetPaused(shared_->state, false);
  if (found) return record;
  if (!queue->end.ok()) return queue->end;
  return absl::DeadlineExceededError("no record came in time");
}

}  // namespace holdfast
