#include "sim/sim_client.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"
#include "sim/fault_sites.h"

namespace holdfast {
namespace {

constexpr ChanceSite kPause("client/pause");
constexpr ChanceSite kWhat("client/what");
constexpr ChanceSite kRecords("client/records");
constexpr ChanceSite kSize("client/size");
constexpr ChanceSite kReadFrom("client/read_from");
constexpr ChanceSite kReadAt("client/read_at");
constexpr ChanceSite kExpect("client/expect");
constexpr ChanceSite kTailAt("client/tail_at");

// An outcome comes within this, or the append is taken for unknown.
constexpr Duration kAppendTimeout = 20s;
constexpr Duration kLastAppendTimeout = 600s;
constexpr uint32_t kReadBytes = 4 << 10;
// A tail's reader sleeps up to so long.
constexpr Duration kTailPauseMax = 2s;
// A closed client that doesn't go at once stays for so long.
constexpr Duration kClosedFor = 100ms;

}  // namespace

SimClient::SimClient(World* world, NetworkFabric* fabric, MachineId machine,
                     History* history, SimClientOptions options)
    : world_(world),
      fabric_(fabric),
      machine_(machine),
      history_(history),
      options_(std::move(options)),
      name_(NameOf(machine)),
      calls_(world, machine) {}

SimClient::~SimClient() { End(); }

void SimClient::End() {
  if (!running()) return;
  DropObjects();
  CHECK_EQ(
      world_->scheduler.CountPending(life_->process.actor(), EventKind::kTimer),
      size_t{0});
  EndLife(IncidentKind::kEnd);
}

void SimClient::Close(bool goes_at_once, std::function<void()> ended) {
  CHECK(running() && !life_->closing);
  life_->closing = true;
  life_->next.Cancel();
  life_->tail_resume.Cancel();
  life_->client->Close(
      [this, goes_at_once, ended = std::move(ended)](absl::Status) mutable {
        OnClosed(goes_at_once, std::move(ended));
      });
}

void SimClient::OnClosed(bool goes_at_once, std::function<void()> ended) {
  Life& life = *life_;
  life.closed = true;
  life.tail_resume.Cancel();
  if (!life.under_way.empty()) {
    history_->ClientBroke(name_,
                          absl::StrCat("is closed, but ", life.under_way.size(),
                                       " calls have no outcome"));
  }
  if (goes_at_once) {
    life.tail = nullptr;
    life.client = nullptr;
    return EndOnceClosed(ended);
  }
  // It is refused, or has its outcome all the same.
  Append(false);
  Read();
  StartTail();
  life.next = life.process.loop()->After(
      kClosedFor, [this, ended = std::move(ended)] { EndOnceClosed(ended); });
}

void SimClient::EndOnceClosed(const std::function<void()>& ended) {
  // Not within its own code.
  world_->scheduler.AfterThisEvent([this, ended] {
    if (!running()) return;
    if (!life_->under_way.empty()) {
      history_->ClientBroke(
          name_, absl::StrCat("leaves ", life_->under_way.size(),
                              " calls without an outcome once it is closed"));
    }
    End();
    ended();
  });
}

void SimClient::Answered(uint64_t call) {
  if (life_->under_way.erase(call) > 0) return;
  history_->ClientBroke(
      name_, absl::StrCat("calls back for call ", call, " once too often"));
}

void SimClient::Start() {
  CHECK(!running());
  ++boots_;
  Tell(IncidentKind::kStart);
  life_ = std::make_unique<Life>(
      world_, machine_, boots_,
      DrawClock(&world_->chance, machine_, options_.clock_limits));
  Life& life = *life_;
  if (life.process.loop()->drifts()) ++drifts_;
  life.security = make_security_(life.process.loop());
  if (options_.admin) {
    life.security =
        WatchAdminTraffic(std::move(life.security), &admin_traffic_);
  }
  life.network = std::make_unique<SimNetwork>(&life.process, fabric_);
  ClientOptions options;
  options.servers = options_.servers;
  options.name = absl::StrCat("c", machine_);
  options.cluster_name = "sim";
  options.queue_bytes_max = options_.queue_bytes_max;
  life.client = std::make_unique<Client>(
      Env{.loop = life.process.loop(),
          .network = life.network.get(),
          .security = life.security.get(),
          .seed = HashCombine(HashCombine(world_->chance.seed(), machine_),
                              boots_)},
      options);
  ActLater();
}

void SimClient::Crash() { EndLife(IncidentKind::kCrash); }

void SimClient::EndLife(IncidentKind how) {
  Tell(how);
  tail_call_ = 0;
  last_waits_ = false;
  life_->process.Kill();
  fabric_->ProcessDied(life_->process, false);
  for (; outstanding_ > 0; --outstanding_) history_->AppendUnknown();
  DropObjects();
  CHECK_EQ(*life_->process.open_sockets(), size_t{0});
  late_timers_ += life_->process.loop()->late_timers();
  std::map<uint64_t, DoneFn> asked = std::move(life_->asked);
  life_ = nullptr;
  for (auto& [call, done] : asked) {
    ++asked_.unknown;
    done(absl::UnavailableError(absl::StrCat(name_, " is gone")));
  }
}

void SimClient::AddStats(std::map<std::string, uint64_t>* totals) const {
  (*totals)["happened_drift"] += drifts_;
  (*totals)["happened_late_timer"] +=
      late_timers_ + (running() ? life_->process.loop()->late_timers() : 0);
  (*totals)["admin_overloaded"] += admin_traffic_.overloaded;
  (*totals)["admin_done"] += asked_.done;
  (*totals)["admin_refused"] += asked_.refused;
  (*totals)["admin_cancelled"] += asked_.cancelled;
  (*totals)["admin_unknown"] += asked_.unknown;
}

void SimClient::DropObjects() {
  life_->next.Cancel();
  life_->tail_resume.Cancel();
  life_->tail = nullptr;
  life_->client = nullptr;
}

void SimClient::Tell(IncidentKind kind) const {
  if (Observer* observer = world_->observer()) {
    observer->OnIncident({.kind = kind, .machine = machine_});
  }
}

void SimClient::ActLater() {
  uint64_t span = static_cast<uint64_t>(options_.pause_max.count());
  Duration pause(static_cast<int64_t>(world_->chance.Below(
      kPause, life_->process.chance_actor(), draws_++, span)));
  life_->next = life_->process.loop()->After(pause, [this] { Act(); });
}

void SimClient::Act() {
  if (quiet_) return;
  const uint32_t most = options_.operations_max;
  if (most > 0 && acted_ == most) return;
  ++acted_;
  uint64_t what =
      world_->chance.Below(kWhat, life_->process.chance_actor(), draws_++, 100);
  if (options_.reads && what < 15) {
    Read();
  } else if (options_.tails && what < 20) {
    StartTail();
  } else if (outstanding_ < options_.appends_outstanding_max) {
    Append(false);
  }
  ActLater();
}

void SimClient::Burst(uint64_t appends) {
  const uint32_t most = options_.operations_max;
  for (; appends > 0 && running() && !quiet_; --appends) {
    if (most > 0 && acted_ == most) return;
    ++acted_;
    Append(false);
  }
}

void SimClient::Append(bool last) {
  ChanceActor actor = life_->process.chance_actor();
  uint64_t count = 1 + world_->chance.Below(kRecords, actor, draws_++,
                                            options_.records_per_batch_max);
  BatchBuilder batch;
  auto records = std::make_shared<std::vector<std::string>>();
  for (uint64_t i = 0; i < count; ++i) {
    std::string record =
        absl::StrCat("m", machine_, "-", boots_, "-", appended_++, "-");
    uint64_t size = world_->chance.Below(kSize, actor, draws_++,
                                         options_.record_bytes_max + 1);
    record.resize(std::max<size_t>(record.size(), size), 'x');
    CHECK(batch.Add(record).ok());
    records->push_back(std::move(record));
  }
  Offset noted = history_->Invoke();
  ClientAppendOptions options;
  options.timeout = last ? kLastAppendTimeout : kAppendTimeout;
  // Mostly when it may well succeed.
  const uint64_t expect_percent = outstanding_ == 0 ? 25 : 5;
  if (world_->chance.Below(kExpect, actor, draws_++, 100) < expect_percent &&
      options_.conditions && !last) {
    options.expected_offset = noted;
  }
  // One life of a client is one producer, though it may have several sessions.
  history_->AppendInvoked(*records, uint64_t{machine_} << 32 | boots_,
                          options.expected_offset);
  ++outstanding_;
  const uint64_t call = calls_.Begin("append", [&] {
    return absl::StrCat(
        count, " records, ", records->front().substr(0, 20), " on",
        options.expected_offset.has_value()
            ? absl::StrCat(", if the log ends at ", noted.value())
            : "");
  });
  life_->under_way.insert(call);
  absl::Status taken = life_->client->Append(
      std::move(batch), options,
      [this, call, records, noted, last,
       expected = options.expected_offset](ClientOutcome outcome) {
        --outstanding_;
        Answered(call);
        if (expected.has_value()) {
          history_->Conditional(*expected, outcome, noted, name_);
        }
        OnAppended(call, *records, noted, outcome);
        const bool committed = outcome.kind == ClientOutcome::Kind::kCommitted;
        if (last && committed) settled_ = true;
        // One before it may have spoilt their session.
        const bool waits = std::exchange(last_waits_, false);
        if ((waits || (last && !committed)) && !life_->closing) Append(true);
      });
  if (life_->closing && !absl::IsFailedPrecondition(taken)) {
    history_->ClientBroke(
        name_,
        absl::StrCat("was closed, and says of an append: ", taken.ToString()));
  }
  if (!taken.ok()) {
    --outstanding_;
    life_->under_way.erase(call);
    if (last) last_waits_ = true;
    calls_.End(call, CallEnd::kRejected, [] { return "not taken"; });
    for (const std::string& r : *records) history_->AppendRejected(r, name_);
  }
}

void SimClient::OnAppended(uint64_t call,
                           const std::vector<std::string>& records,
                           Offset noted, const ClientOutcome& outcome) {
  auto message = [&] { return outcome.message; };
  switch (outcome.kind) {
    case ClientOutcome::Kind::kCommitted:
      calls_.End(
          call, CallEnd::kDone,
          [&] { return absl::StrCat("at offset ", outcome.offset.value()); },
          outcome.offset + records.size());
      for (size_t i = 0; i < records.size(); ++i) {
        history_->AppendCommitted(records[i], outcome.offset + i, noted, name_);
      }
      return;
    case ClientOutcome::Kind::kRejected:
      calls_.End(call, CallEnd::kRejected, message, outcome.offset);
      for (const std::string& r : records) history_->AppendRejected(r, name_);
      return;
    case ClientOutcome::Kind::kUnknown:
      calls_.End(call, CallEnd::kUnknown, message);
      history_->AppendUnknown();
      return;
  }
}

void SimClient::Read() {
  uint64_t end = history_->established().value();
  uint64_t from = world_->chance.Below(kReadFrom, life_->process.chance_actor(),
                                       draws_++, end + 1);
  Offset noted = history_->Invoke();
  const Offset trimmed = history_->trimmed();
  ClientReadOptions options;
  options.timeout = 10s;
  options.max_bytes = kReadBytes;
  // Some of them at any server, which asks the leader, or knows itself.
  const size_t servers = options_.servers.size();
  const uint64_t whom =
      world_->chance.Below(kReadAt, life_->process.chance_actor(), draws_++,
                           (options_.names_servers ? 4 : 3) * servers);
  const bool local =
      options_.names_servers && whom >= servers && whom < 2 * servers;
  if (whom < servers || local)
    options.server = options_.servers[whom % servers];
  if (local) options.mode = ClientReadMode::kLocal;
  const uint64_t call = calls_.Begin("read", [&] {
    return absl::StrCat(
        "from offset ", from, options.server.empty() ? "" : " at server ",
        options.server.empty() ? "" : absl::StrCat(whom % servers + 1),
        local ? ", as it knows it" : "");
  });
  life_->under_way.insert(call);
  life_->client->Read(
      Offset(from), options,
      [this, call, noted, from, trimmed,
       local](absl::StatusOr<ClientReadResult> result) {
        Answered(call);
        if (life_->closed && !absl::IsCancelled(result.status())) {
          history_->ClientBroke(name_,
                                absl::StrCat("was closed, and says of a read: ",
                                             result.status().ToString()));
        }
        if (!result.ok()) {
          calls_.End(call, CallEnd::kFailed,
                     [&] { return result.status().ToString(); });
          // The log is known to reach beyond where it was to be
          // read, and to be trimmed only so far.
          CHECK(!absl::IsOutOfRange(result.status()) || local ||
                history_->MayBeTrimmed(Offset(from)));
          return;
        }
        if (!local) history_->ReadFrom(Offset(from), trimmed, name_);
        const size_t records = history_->Saw(result->batches, name_);
        calls_.End(
            call, CallEnd::kDone,
            [&] {
              return absl::StrCat(records, " records; the log ends at ",
                                  result->committed_end.value());
            },
            result->committed_end);
        if (local) return;
        history_->LinearizableEnd(result->committed_end, noted, name_);
      });
}

void SimClient::Ask(const std::string& what, const SendFn& send, DoneFn done) {
  CHECK(options_.admin);
  const uint64_t call = calls_.Begin("ask", [&] { return what; });
  life_->under_way.insert(call);
  life_->asked.emplace(call, std::move(done));
  send(life_->client.get(), [this, call](absl::Status outcome) {
    OnAsked(call, std::move(outcome));
  });
}

void SimClient::OnAsked(uint64_t call, absl::Status outcome) {
  Answered(call);
  auto asked = life_->asked.extract(call);
  if (asked.empty()) return;  // it was said that this is once too often
  const bool cancelled = absl::IsCancelled(outcome);
  if (cancelled ? !life_->closing : life_->closed) {
    history_->ClientBroke(
        name_, absl::StrCat(cancelled ? "isn't" : "was",
                            " closed, and says of an operator's request: ",
                            outcome.ToString()));
  }
  const bool refused = absl::IsFailedPrecondition(outcome);
  ++(outcome.ok() ? asked_.done
     : refused    ? asked_.refused
     : cancelled  ? asked_.cancelled
                  : asked_.unknown);
  calls_.End(call,
             outcome.ok() ? CallEnd::kDone
             : refused    ? CallEnd::kRejected
                          : CallEnd::kUnknown,
             [&] { return outcome.ok() ? "" : outcome.ToString(); });
  asked.mapped()(std::move(outcome));
}

void SimClient::StartTail() {
  Life& life = *life_;
  ClientTailCallbacks callbacks;
  callbacks.on_batches = [this](std::vector<LogBatch> batches) {
    OnTail(batches);
  };
  uint64_t end = history_->established().value();
  // From near the end, as most do.
  Offset from(end > 20 ? end - 20 : 0);
  callbacks.on_end = [this, from](absl::Status why) { OnTailEnd(from, why); };
  life.tail_at.reset();
  if (options_.names_servers) {
    const uint64_t whom =
        world_->chance.Below(kTailAt, life.process.chance_actor(), draws_++,
                             3 * options_.servers.size());
    if (whom < options_.servers.size()) life.tail_at = whom;
  }
  if (tail_call_ != 0) {
    life.under_way.erase(tail_call_);
    calls_.End(tail_call_, CallEnd::kDone, [] { return "dropped"; });
  }
  tail_call_ = calls_.Begin("tail", [&] {
    return absl::StrCat("from offset ", from.value(),
                        life.tail_at.has_value()
                            ? absl::StrCat(" at server ", *life.tail_at + 1)
                            : "");
  });
  life.under_way.insert(tail_call_);
  life.tail_next = from;
  life.tail_ended = false;
  life.tail_paused = false;
  life.tail_resume.Cancel();
  ClientTailOptions options;
  options.credit_bytes = options_.tail_credit_bytes;
  if (life.tail_at.has_value()) {
    options.server = options_.servers[*life.tail_at];
  }
  life.tail = life.client->Tail(from, options, std::move(callbacks));
}

void SimClient::OnTailEnd(Offset from, const absl::Status& why) {
  Life& life = *life_;
  Answered(tail_call_);
  life.tail_ended = true;
  const bool cancelled = life.closing && absl::IsCancelled(why);
  if (life.closed && !cancelled) {
    history_->ClientBroke(
        name_,
        absl::StrCat("was closed, and says of a tail: ", why.ToString()));
  }
  // That server may be gone, in whatever way, or not have come so far.
  const bool may_end =
      life.tail_at.has_value() &&
      (absl::IsUnavailable(why) || absl::IsDeadlineExceeded(why) ||
       (absl::IsOutOfRange(why) && life.tail_next == from));
  if (!may_end && !cancelled) history_->TailEnded(life.tail_next, why, name_);
  calls_.End(tail_call_, CallEnd::kFailed, [&] { return why.ToString(); });
  tail_call_ = 0;
  // Of another cluster's log another tail.
  if (absl::IsFailedPrecondition(why)) {
    life.tail_resume = life.process.loop()->After(0ns, [this] { StartTail(); });
  }
}

void SimClient::OnTail(const std::vector<LogBatch>& batches) {
  Life& life = *life_;
  uint64_t largest = 0;
  for (const LogBatch& batch : batches) {
    history_->TailBrought(batch.from, life.tail_next, name_);
    life.tail_next = batch.end();
    const uint64_t bytes = batch.batch.bytes().size();
    largest = std::max(largest, bytes);
    life.tail_paused_bytes += bytes;
  }
  history_->Saw(batches, name_);
  if (life.tail_paused) {
    return history_->TailPaused(life.tail_paused_bytes,
                                options_.tail_credit_bytes + largest, name_);
  }
  const uint64_t ordinal = draws_++;
  if (quiet_) return;
  const std::optional<uint64_t> slow =
      world_->chance.Fault(faults::kSlowReader, life.process.chance_actor(),
                           ordinal, options_.slow_reader_ppm);
  if (!slow.has_value()) return;
  ++slow_readers_;
  PauseTail(faults::LengthBelow(*slow, kTailPauseMax));
}

void SimClient::PauseTail(Duration length) {
  Life& life = *life_;
  life.tail->Pause();
  life.tail_paused = true;
  life.tail_paused_bytes = 0;
  life.tail_resume =
      life.process.loop()->After(length, [this] { ResumeTail(); });
}

void SimClient::ResumeTail() {
  if (life_ == nullptr || !life_->tail_paused) return;
  life_->tail_paused = false;
  life_->tail_resume.Cancel();
  life_->tail->Resume();
}

bool SimClient::TailDone() const {
  if (life_ == nullptr || life_->tail == nullptr || life_->tail_ended) {
    return true;
  }
  const bool due = !life_->tail_at.has_value() || !options_.takes_part ||
                   options_.takes_part(*life_->tail_at);
  return !due || life_->tail_next >= history_->established();
}

void SimClient::Settle() {
  settled_ = false;
  ResumeTail();
  Append(true);
}

std::string SimClient::Describe() const {
  return absl::StrCat(
      name_, ": ", outstanding_, " appends outstanding; ",
      TailDone() ? ""
                 : absl::StrCat("its tail is at ", life_->tail_next.value(),
                                " of ", history_->established().value(), "; "),
      life_ == nullptr ? "not running" : life_->client->Trouble());
}

}  // namespace holdfast
