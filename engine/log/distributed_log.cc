#include "engine/log/distributed_log.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/batch.h"
#include "engine/base/check.h"
#include "engine/base/lost_records.h"

namespace holdfast {
namespace {

// How long an overloaded leader asks a client to wait: about what it takes to
// commit what is queued on a slow disk.
constexpr Duration kRetryAfter = 20ms;

}  // namespace

class DistributedLog::TailOp : public PendingOp {
 public:
  TailOp(std::shared_ptr<TailWaits> waits, uint64_t id)
      : waits_(std::move(waits)), id_(id) {}
  ~TailOp() override { waits_->erase(id_); }

 private:
  const std::shared_ptr<TailWaits> waits_;
  const uint64_t id_;
};

DistributedLog::DistributedLog(const Env& env, LogOptions options,
                               InboundFn clients)
    : env_(env),
      options_(std::move(options)),
      clients_(std::move(clients)),
      node_(env, options_.node, this) {
  if (options_.machine == nullptr) return;
  applier_ = std::make_unique<Applier>(env.loop, &node_, options_.machine,
                                       options_.machine_slice_bytes,
                                       [this](Index index, std::string result) {
                                         OnApplied(index, std::move(result));
                                       });
}

DistributedLog::~DistributedLog() = default;

void DistributedLog::Open(DoneFn done) { node_.Open(std::move(done)); }

// --- Append ---

void DistributedLog::Answer(AppendFn done, AppendOutcome outcome) {
  env_.loop->Post(scope_.Wrap(
      [done = std::move(done), outcome = std::move(outcome)]() mutable {
        done(std::move(outcome));
      }));
}

std::string DistributedLog::NotLeaderMessage() const {
  ServerId leader = node_.leader();
  if (closing_) return "this server is closing";
  if (leader.value() == 0) return "no leader is known; an election may be on";
  return absl::StrCat("server ", leader.value(), " leads");
}

void DistributedLog::Append(Buffer batch, const AppendOptions& options,
                            AppendFn done) {
  using Reason = AppendOutcome::Reason;
  if (!node_.is_leader() || closing_) {
    return Answer(std::move(done),
                  AppendOutcome::NotLeader(NotLeaderMessage()));
  }
  absl::StatusOr<BatchView> view = BatchView::Parse(std::move(batch));
  if (!view.ok()) {
    return Answer(std::move(done), AppendOutcome::Rejected(
                                       Reason::kMalformed,
                                       std::string(view.status().message())));
  }
  uint32_t count = view->record_count();
  if (view->session().value() == 0) {
    return AppendNew(count, view->bytes(), options, std::move(done));
  }
  Sessions::Answer answer = sessions_.Check(view->session(), view->sequence());
  switch (answer.verdict) {
    case Sessions::Verdict::kNew:
      return AppendNew(count, view->bytes(), options, std::move(done));
    case Sessions::Verdict::kDuplicate: {
      ++stats_.duplicates_answered;
      PendingAppend pending;
      pending.outcome = AppendOutcome::Committed(answer.result.base_offset);
      pending.done = std::move(done);
      return AwaitCommit(answer.result.index, std::move(pending));
    }
    case Sessions::Verdict::kForgotten:
      ++stats_.duplicates_forgotten;
      return Answer(std::move(done),
                    AppendOutcome::Forgotten(absl::StrCat(
                        "sequence ", view->sequence().value(),
                        " was appended so long ago that its offset is "
                        "forgotten; a session remembers its last ",
                        Sessions::kResultsKept)));
    case Sessions::Verdict::kGap:
      ++stats_.sequence_gaps;
      return AnswerOnceSure(
          AppendOutcome::Rejected(
              Reason::kSequenceGap,
              absl::StrCat("expected sequence ", answer.expected.value(),
                           ", found ", view->sequence().value())),
          std::move(done));
    case Sessions::Verdict::kUnknownSession:
      ++stats_.unknown_sessions;
      return AnswerOnceSure(
          AppendOutcome::UnknownSession(
              absl::StrCat("session ", view->session().value(),
                           " isn't known: it expired, or was registered in "
                           "another log")),
          std::move(done));
  }
}

void DistributedLog::AppendNew(uint32_t record_count, Buffer batch,
                               const AppendOptions& options, AppendFn done) {
  Offset end = node_.tail().last().next_offset;
  if (options.expected_offset.has_value() && *options.expected_offset != end) {
    AppendOutcome outcome = AppendOutcome::Rejected(
        AppendOutcome::Reason::kWrongOffset,
        absl::StrCat("expected the log to end at offset ",
                     options.expected_offset->value(), ", it ends at ",
                     end.value()));
    outcome.offset = end;
    return AnswerOnceSure(std::move(outcome), std::move(done));
  }
  if (node_.handing_over()) {
    return Answer(std::move(done),
                  AppendOutcome::Overloaded(kRetryAfter,
                                            "leadership is being handed over"));
  }
  size_t bytes = batch.size();
  // Others may commit faster than this server's own disk writes.
  const uint64_t waiting =
      std::max<uint64_t>(pending_bytes_, node_.wal()->bytes_queued());
  if (waiting + bytes > options_.pending_bytes_max ||
      pending_.size() >= options_.pending_appends_max) {
    ++stats_.overloaded;
    return Answer(
        std::move(done),
        AppendOutcome::Overloaded(
            kRetryAfter,
            absl::StrCat(waiting,
                         " bytes wait for their commit, or for this server's "
                         "disk, already; at most ",
                         options_.pending_bytes_max)));
  }
  if (absl::Status room = CheckSpace(bytes); !room.ok()) {
    ++stats_.no_space;
    AppendOutcome outcome = AppendOutcome::Overloaded(
        kRetryAfterNoSpace, std::string(room.message()));
    outcome.reason = AppendOutcome::Reason::kNoSpace;
    return Answer(std::move(done), std::move(outcome));
  }
  PendingAppend pending;
  pending.bytes = bytes;
  pending.done = std::move(done);
  const EntryHeader& header =
      node_.Propose(EntryKind::kBatch, record_count, std::move(batch));
  pending.outcome = AppendOutcome::Committed(header.base_offset);
  pending_bytes_ += bytes;
  pending_.emplace(header.index, std::move(pending));
}

uint64_t DistributedLog::LogBytes() const {
  return node_.wal()->bytes() + node_.wal()->bytes_queued();
}

absl::Status DistributedLog::CheckSpace(size_t bytes) const {
  if (!node_.HasRoomForRecords()) {
    return absl::ResourceExhaustedError(
        node_.disk_space().is_short()
            ? "the leader's disk is full: make room there, or trim the log"
            : "the disks of too many servers are full: make room there, or "
              "trim the log");
  }
  const uint64_t has = LogBytes();
  if (options_.log_bytes_max.has_value() &&
      has + bytes > *options_.log_bytes_max) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the log takes ", has, " bytes, and may have at most ",
                     *options_.log_bytes_max, ": trim it, or allow more"));
  }
  return absl::OkStatus();
}

// What has a reason of the log's: true of that once its end is committed, and
// if no other leader's log was longer by then: a leader that has been replaced
// may not know it yet.
void DistributedLog::AnswerOnceSure(AppendOutcome outcome, AppendFn done) {
  PendingAppend pending;
  pending.outcome = std::move(outcome);
  pending.done = [this, done = std::move(done)](AppendOutcome judged) mutable {
    if (judged.reason == AppendOutcome::Reason::kNone) {
      // Leadership was lost on the way. This append came to nothing.
      return done(AppendOutcome::NotLeader(NotLeaderMessage()));
    }
    node_.ReadIndex([this, judged = std::move(judged), done = std::move(done)](
                        absl::StatusOr<Index> confirmed) mutable {
      done(confirmed.ok() ? std::move(judged)
                          : AppendOutcome::NotLeader(NotLeaderMessage()));
    });
  };
  AwaitCommit(node_.tail().last().index, std::move(pending));
}

void DistributedLog::AwaitCommit(Index index, PendingAppend pending) {
  if (index <= applied()) {
    return Answer(std::move(pending.done), std::move(pending.outcome));
  }
  pending_.emplace(index, std::move(pending));
}

// --- Trim ---

void DistributedLog::Trim(Offset first, DoneFn done) {
  node_.ReadIndex([this, first, done = std::move(done)](
                      absl::StatusOr<Index> confirmed) mutable {
    if (!confirmed.ok()) return done(confirmed.status());
    // Later: this may run within a step of the core.
    env_.loop->Post(
        scope_.Wrap([this, first, done = std::move(done)]() mutable {
          TrimOnceSure(first, std::move(done));
        }));
  });
}

void DistributedLog::TrimOnceSure(Offset first, DoneFn done) {
  if (!node_.is_leader() || closing_ || node_.handing_over()) {
    return done(absl::UnavailableError(NotLeaderMessage()));
  }
  if (first > committed_end()) {
    return done(absl::OutOfRangeError(absl::StrCat(
        "expected an offset up to the log's end, ", committed_end().value(),
        ", found ", first.value(), ": nothing was trimmed")));
  }
  if (first <= trimmed_to_) return done(absl::OkStatus());
  PendingAppend pending;
  pending.trim_done = std::move(done);
  const EntryHeader& header =
      node_.Propose(EntryKind::kTrim, 0, EncodeTrim(first));
  pending_.emplace(header.index, std::move(pending));
}

void DistributedLog::CheckRetention() {
  const bool limited = options_.retention_bytes.has_value() ||
                       options_.retention_age.has_value();
  if (!limited || !node_.is_leader() || closing_) return;
  retention_ = env_.loop->After(options_.retention_check_interval,
                                [this] { CheckRetention(); });
  std::optional<WallTime> before;
  if (options_.retention_age.has_value()) {
    before = env_.loop->WallNow() - *options_.retention_age;
  }
  const Offset first =
      std::min(node_.wal()->OffsetToKeep(options_.retention_bytes, before),
               committed_end());
  const Offset said = trims_.empty() ? trimmed_to_ : trims_.rbegin()->second;
  if (first <= std::max(trimmed_to_, said) || node_.handing_over()) return;
  ++stats_.trims_by_retention;
  node_.Propose(EntryKind::kTrim, 0, EncodeTrim(first));
}

void DistributedLog::RegisterSession(ResultFn<SessionId> done) {
  if (!node_.is_leader() || closing_ || node_.handing_over()) {
    env_.loop->Post(scope_.Wrap(
        [done = std::move(done), why = NotLeaderMessage()]() mutable {
          done(absl::UnavailableError(why));
        }));
    return;
  }
  if (absl::Status room = CheckSpace(0); !room.ok()) {
    return env_.loop->Post(
        scope_.Wrap([done = std::move(done), room = std::move(room)]() mutable {
          done(std::move(room));
        }));
  }
  PendingAppend pending;
  pending.session_done = std::move(done);
  const EntryHeader& header = node_.Propose(
      EntryKind::kSession, 0, EncodeSessionLimits(options_.sessions));
  pending_.emplace(header.index, std::move(pending));
}

void DistributedLog::FailPendingFrom(Index from, absl::string_view why) {
  auto first = pending_.lower_bound(from);
  std::vector<PendingAppend> failed;
  for (auto it = first; it != pending_.end(); ++it) {
    pending_bytes_ -= it->second.bytes;
    failed.push_back(std::move(it->second));
  }
  pending_.erase(first, pending_.end());
  for (PendingAppend& p : failed) {
    if (p.done) {
      p.done(AppendOutcome::Unknown(std::string(why)));
    } else if (p.trim_done) {
      p.trim_done(absl::UnavailableError(why));
    } else {
      p.session_done(absl::UnavailableError(why));
    }
  }
}

// --- What the node tells ---

void DistributedLog::OnEntry(const Entry& entry) {
  const EntryHeader& header = entry.header;
  const uint64_t ended = sessions_.ended();
  // The leader that appended it had judged it against this same prefix.
  CHECK(sessions_.Apply(entry).ok());
  stats_.sessions_ended += sessions_.ended() - ended;
  if (header.kind == EntryKind::kTrim) {
    absl::StatusOr<Offset> first = DecodeTrim(entry.payload.view());
    CHECK(first.ok());
    trims_[header.index] = *first;
  }
}

void DistributedLog::OnCut(Index from) {
  sessions_.Cut(from);
  trims_.erase(trims_.lower_bound(from), trims_.end());
  FailPendingFrom(from, "another leader's log replaced the entry");
}

void DistributedLog::OnCommit(Index commit) {
  sessions_.Commit(commit);
  while (!trims_.empty() && trims_.begin()->first <= commit) {
    ++stats_.trims;
    trimmed_to_ = std::max(trimmed_to_, trims_.begin()->second);
    trims_.erase(trims_.begin());
  }
  if (applier_ != nullptr) {
    applier_->OnCommit();
  } else {
    CompletePending(commit, std::nullopt);
  }
  WakeTails();
  if (!node_.formed()) return;
  DropTrimmed();
  TakeResume();
}

Index DistributedLog::applied() const {
  return applier_ != nullptr ? applier_->applied() : node_.commit();
}

void DistributedLog::OnApplied(Index index, std::string result) {
  CompletePending(index, std::move(result));
  while (!barriers_.empty() && barriers_.begin()->first <= applied()) {
    barriers_.extract(barriers_.begin()).mapped()(node_.CheckSameLog());
  }
}

void DistributedLog::CompletePending(Index up_to,
                                     const std::optional<std::string>& result) {
  while (!pending_.empty() && pending_.begin()->first <= up_to) {
    auto node = pending_.extract(pending_.begin());
    PendingAppend& p = node.mapped();
    pending_bytes_ -= p.bytes;
    if (p.done) {
      if (p.outcome.kind == AppendOutcome::Kind::kCommitted) {
        p.outcome.result = result;
      }
      p.done(std::move(p.outcome));
    } else if (p.trim_done) {
      p.trim_done(absl::OkStatus());
    } else {
      p.session_done(SessionId(node.key().value()));
    }
  }
}

void DistributedLog::OnRole() {
  if (!node_.is_leader()) {
    FailPendingFrom(Index(0), "this server stopped leading before the commit");
  }
  TellLeaderWaiters();
  // On the Loop: this is within a step of the core.
  if (node_.is_leader()) {
    retention_ =
        env_.loop->After(Duration::zero(), [this] { CheckRetention(); });
  }
  if (role_changed_) role_changed_();
}

void DistributedLog::FailBarriers() {
  std::multimap<Index, DoneFn> barriers = std::move(barriers_);
  barriers_.clear();
  for (auto& [index, done] : barriers) {
    done(absl::UnavailableError("this server doesn't serve"));
  }
}

std::string DistributedLog::WhyNoClient() {
  if (!clients_) return "this server is for its own process only";
  return why_no_client_ ? why_no_client_() : std::string();
}

void DistributedLog::OnClient(InboundStream client) {
  clients_(std::move(client));
}

void DistributedLog::OnStopped(absl::Status why) {
  FailPendingFrom(Index(0), why.message());
  FailBarriers();
  if (applier_ != nullptr) applier_->Close();
  if (fatal_) std::exchange(fatal_, nullptr)(std::move(why));
}

// --- Reading ---

void DistributedLog::ReadBarrier(DoneFn done) {
  CHECK(applier_ != nullptr);
  node_.ReadIndexAnywhere(
      [this, done = std::move(done)](absl::StatusOr<Index> index) mutable {
        if (!index.ok()) return done(index.status());
        if (closing_)
          return done(absl::UnavailableError("this server is closing"));
        if (*index <= applied()) return done(node_.CheckSameLog());
        barriers_.emplace(*index, std::move(done));
      });
}

Offset DistributedLog::committed_end() const {
  return node_.tail().committed().next_offset;
}

Offset DistributedLog::first_offset() const {
  return std::max(trimmed_to_, node_.base().next_offset);
}

void DistributedLog::Read(Offset from, size_t max_bytes, ReadMode mode,
                          ReadFn done) {
  if (mode == ReadMode::kLocal) {
    return ReadCommitted(from, max_bytes, std::move(done));
  }
  node_.ReadIndexAnywhere([this, from, max_bytes, done = std::move(done)](
                              absl::StatusOr<Index> index) mutable {
    if (!index.ok()) return done(index.status());
    CHECK_LE(*index, node_.commit());
    ReadCommitted(from, max_bytes, std::move(done));
  });
}

void DistributedLog::ReadCommitted(Offset from, size_t max_bytes, ReadFn done) {
  Offset end = committed_end();
  const absl::Status same = node_.CheckSameLog();
  if (same.ok() && from < end && from >= first_offset()) {
    return ScanFrom(node_.FloorIndexOfOffset(from), from, max_bytes,
                    std::move(done));
  }
  absl::StatusOr<ReadResult> result =
      ReadResult{.batches = {}, .committed_end = end};
  if (!same.ok()) {
    result = same;
  } else if (from < first_offset()) {
    result = absl::OutOfRangeError(absl::StrCat(
        "offset ", from.value(), " was trimmed: the log holds ",
        first_offset().value(), " up to ", end.value(), " (exclusive)"));
  } else if (from > end) {
    result = absl::OutOfRangeError(absl::StrCat(
        "offset ", from.value(), " is beyond the log, which holds ",
        first_offset().value(), " up to ", end.value(), " (exclusive)"));
  }
  env_.loop->Post(scope_.Wrap(
      [done = std::move(done), result = std::move(result)]() mutable {
        done(std::move(result));
      }));
}

void DistributedLog::ScanFrom(Index index, Offset from, size_t max_bytes,
                              ReadFn done) {
  node_.ReadEntries(
      index, max_bytes,
      [this, index, from, max_bytes, done = std::move(done)](
          absl::StatusOr<std::vector<Entry>> entries) mutable {
        if (!entries.ok()) {
          // Perhaps it was trimmed while it was being read, or what is before
          // it was dropped.
          if (from < first_offset() || absl::IsOutOfRange(entries.status())) {
            return ReadCommitted(from, max_bytes, std::move(done));
          }
          const std::optional<LostRecords> missing =
              MissingRecordsOf(entries.status());
          // Those that are wanted may stand behind them.
          if (missing.has_value() && missing->end <= from &&
              missing->last_index < node_.commit()) {
            return ScanFrom(missing->last_index + 1, from, max_bytes,
                            std::move(done));
          }
          return done(entries.status());
        }
        CHECK(!entries->empty());
        ReadResult result;
        result.committed_end = committed_end();
        for (Entry& entry : *entries) {
          const EntryHeader& h = entry.header;
          index = h.index;
          if (h.base_offset + h.count <= from) continue;
          if (h.kind == EntryKind::kLost) {
            if (!result.batches.empty()) break;
            return done(LostRecordsError(
                {h.base_offset, h.base_offset + h.count, h.index}));
          }
          if (h.kind != EntryKind::kBatch) continue;
          result.batches.push_back(std::move(entry));
        }
        if (result.batches.empty() && index < node_.commit()) {
          return ScanFrom(index + 1, from, max_bytes, std::move(done));
        }
        done(std::move(result));
      });
}

std::unique_ptr<PendingOp> DistributedLog::Tail(Offset from, size_t max_bytes,
                                                ReadFn done) {
  uint64_t id = next_waiter_++;
  TailWait& wait = (*tails_)[id];
  wait.from = from;
  wait.bytes_max = max_bytes;
  wait.done = std::move(done);
  // Beyond the end it waits too: this server may be behind the one that told
  // the reader of `from`.
  if (from < committed_end()) ReadForTail(id);
  return std::make_unique<TailOp>(tails_, id);
}

void DistributedLog::ReadForTail(uint64_t id) {
  TailWait& wait = tails_->at(id);
  wait.reading = true;
  ReadCommitted(wait.from, wait.bytes_max,
                scope_.Wrap([this, id](absl::StatusOr<ReadResult> result) {
                  auto it = tails_->find(id);
                  if (it == tails_->end()) return;
                  ReadFn done = std::move(it->second.done);
                  tails_->erase(it);
                  done(std::move(result));
                }));
}

void DistributedLog::WakeTails() {
  if (tails_->empty()) return;
  Offset end = committed_end();
  std::vector<uint64_t> ready;
  for (const auto& [id, wait] : *tails_) {
    if (!wait.reading && wait.from < end) ready.push_back(id);
  }
  for (uint64_t id : ready) ReadForTail(id);
}

// --- Membership ---

void DistributedLog::Join(ServerId id, Address address, bool learner,
                          DoneFn done) {
  node_.membership().Join(id, std::move(address), learner, std::move(done));
}

void DistributedLog::Leave(std::vector<ServerId> ids, DoneFn done) {
  node_.membership().Leave(std::move(ids), std::move(done));
}

void DistributedLog::Transfer(ServerId to, DoneFn done) {
  node_.membership().Transfer(to, std::move(done));
}

// --- Leader, close ---

void DistributedLog::WaitForLeader(Duration timeout, ResultFn<ServerId> done) {
  uint64_t id = next_waiter_++;
  LeaderWaiter& waiter = leader_waiters_[id];
  waiter.done = std::move(done);
  waiter.deadline = env_.loop->After(timeout, [this, id, timeout] {
    ResultFn<ServerId> expired = std::move(leader_waiters_.at(id).done);
    leader_waiters_.erase(id);
    expired(absl::DeadlineExceededError(
        absl::StrCat("no leader within ", ToMillis(timeout),
                     " ms; is a majority of the "
                     "servers up and connected?")));
  });
  env_.loop->Post(scope_.Wrap([this] { TellLeaderWaiters(); }));
}

void DistributedLog::TellLeaderWaiters() {
  ServerId leader = node_.leader();
  if (leader.value() == 0) return;
  std::map<uint64_t, LeaderWaiter> waiters = std::move(leader_waiters_);
  leader_waiters_.clear();
  for (auto& [id, waiter] : waiters) waiter.done(leader);
}

void DistributedLog::Close(DoneFn done) {
  closing_ = true;
  FailPendingFrom(Index(0), "this server is closing");
  FailBarriers();
  tails_->clear();
  if (applier_ != nullptr) applier_->Close();
  node_.Close(std::move(done));
}

}  // namespace holdfast
