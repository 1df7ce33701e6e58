#include "sim/kv_workload.h"

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "engine/base/check.h"

namespace holdfast {
namespace {

constexpr ChanceSite kPause("kv/pause");
constexpr ChanceSite kWhat("kv/what");
constexpr ChanceSite kKey("kv/key");
constexpr ChanceSite kSize("kv/size");

constexpr Duration kPauseMax = 400ms;
constexpr uint64_t kKeys = 6;
constexpr uint64_t kOutstandingMax = 4;
constexpr uint64_t kValueBytesMax = 400;

std::string Describe(const std::optional<KvValue>& value) {
  if (!value.has_value()) return "nothing";
  return absl::StrCat("\"", value->value.substr(0, 30), "\" of version ",
                      value->version);
}

}  // namespace

// --- The model ---

char KvModel::Apply(const RecordView& record, Offset at) {
  if (!record.key().has_value()) return KvMachine::kNotKv;
  std::string op;
  std::string expected;
  for (const RecordHeader& header : record.headers()) {
    if (header.name == "kv") op = std::string(header.value);
    if (header.name == "kv-expected") expected = std::string(header.value);
  }
  if (op.empty()) return KvMachine::kNotKv;
  const std::string key(*record.key());
  if (!expected.empty()) {
    const std::optional<KvValue> found = Get(key, at);
    const KvVersion version = found.has_value() ? found->version : 0;
    if (expected != absl::StrCat(version)) return KvMachine::kConflict;
  }
  std::optional<std::string> value;
  if (op == "put") value = std::string(record.value());
  keys_[key][at.value()] = std::move(value);
  return KvMachine::kApplied;
}

void KvModel::Applied(const CommittedBatch& batch, const std::string& result,
                      const std::string& who) {
  if (batch.base_offset > end_) {
    return verdict_->Violate(absl::StrCat(
        who, " applied offset ", batch.base_offset.value(),
        " before any server had applied those from ", end_.value(), " on"));
  }
  std::string expected;
  Offset at = batch.base_offset;
  RecordCursor cursor = batch.batch.Records();
  for (RecordView record; cursor.Next(&record); ++at) {
    if (at == end_) {
      results_[at.value()] = Apply(record, at);
      ++end_;
    }
    expected += results_.at(at.value());
  }
  if (result == expected) return;
  verdict_->Violate(absl::StrCat("state machine: ", who,
                                 " applied the batch at offset ",
                                 batch.base_offset.value(), " with the result ",
                                 result, ", expected ", expected));
}

std::optional<KvValue> KvModel::Get(const std::string& key, Offset end) const {
  auto writes = keys_.find(key);
  if (writes == keys_.end()) return std::nullopt;
  auto it = writes->second.lower_bound(end.value());
  if (it == writes->second.begin()) return std::nullopt;
  --it;
  if (!it->second.has_value()) return std::nullopt;
  return KvValue{*it->second, it->first + 1};
}

void KvModel::Saw(const std::string& key, const std::optional<KvValue>& found,
                  Offset end, const std::string& who) {
  const std::optional<KvValue> expected = Get(key, end);
  if (found == expected) return;
  verdict_->Violate(absl::StrCat(
      "state machine: ", who, ", which applied the log before offset ",
      end.value(), ", has ", Describe(found), " for key ", key, ", expected ",
      Describe(expected)));
}

void KvModel::Wrote(Offset at, const std::optional<std::string>& result,
                    const std::string& who) {
  auto it = results_.find(at.value());
  if (it != results_.end() && result == std::string(1, it->second)) return;
  verdict_->Violate(absl::StrCat("state machine: ", who, "'s write at offset ",
                                 at.value(), " was answered with the result ",
                                 result.value_or("none")));
}

// --- The actor ---

std::string KvActor::Checked::Apply(const CommittedBatch& batch) {
  std::string result = actor_->machine_.Apply(batch);
  actor_->kv_->model->Applied(batch, result, actor_->who_);
  return result;
}

std::unique_ptr<SnapshotReader> KvActor::Checked::Snapshot() {
  return actor_->machine_.Snapshot();
}

std::unique_ptr<SnapshotWriter> KvActor::Checked::Restore() {
  return actor_->machine_.Restore();
}

KvActor::KvActor(KvWorld* kv, SimProcess* process, std::string who)
    : kv_(kv),
      process_(process),
      who_(std::move(who)),
      checked_(this),
      calls_(kv->world, process->machine()) {}

void KvActor::Start(DistributedLog* log) {
  log_ = log;
  store_ = std::make_unique<KvStore>(log, &machine_);
  ActLater();
}

uint64_t KvActor::Draw(const ChanceSite& site, uint64_t bound) {
  return kv_->world->chance.Below(site, process_->chance_actor(), draws_++,
                                  bound);
}

void KvActor::ActLater() {
  const uint64_t pause = Draw(kPause, static_cast<uint64_t>(kPauseMax.count()));
  next_ = process_->loop()->After(Duration(static_cast<int64_t>(pause)),
                                  [this] { Act(); });
}

void KvActor::Act() {
  if (kv_->quiet) return;
  ActLater();
  if (outstanding_ >= kOutstandingMax) return;
  const std::string key = absl::StrCat("k", Draw(kKey, kKeys));
  const uint64_t what = Draw(kWhat, 10);
  if (what < 4 || !log_->node().is_leader()) return Get(key);
  KvWrite write;
  write.key = key;
  // Each write is unlike every other one.
  std::string value =
      absl::StrCat("kv-", process_->actor(), "-", written_++, "-");
  const uint64_t size = Draw(kSize, kValueBytesMax);
  value.resize(std::max<size_t>(value.size(), size), 'v');
  write.value = std::move(value);
  if (what >= 7) {
    const std::optional<KvValue> known = machine_.Get(key);
    // Now and then a condition that can't hold.
    const bool stale = Draw(kWhat, 4) == 0;
    write.expected = known.has_value() && !stale ? known->version : 0;
  }
  Write(std::move(write));
}

void KvActor::Get(const std::string& key) {
  ++outstanding_;
  const Offset noted = kv_->history->Invoke();
  const uint64_t call = calls_.Begin("get", [&] { return key; });
  store_->Get(key, [this, call, key,
                    noted](absl::StatusOr<std::optional<KvValue>> found) {
    --outstanding_;
    if (!found.ok()) {
      return calls_.End(call, CallEnd::kFailed,
                        [&] { return found.status().ToString(); });
    }
    ++kv_->counts->gets;
    calls_.End(
        call, CallEnd::kDone, [&] { return Describe(*found); }, machine_.end());
    kv_->history->LinearizableEnd(machine_.end(), noted, who_);
    kv_->model->Saw(key, *found, machine_.end(), who_);
  });
}

void KvActor::Write(KvWrite write) {
  const std::string record = *write.value;
  kv_->history->AppendInvoked(record);
  ++outstanding_;
  const Offset noted = kv_->history->Invoke();
  const uint64_t call = calls_.Begin("put", [&] { return write.key; });
  absl::Status taken =
      store_->Write(write, [this, call, record, noted](KvWritten written) {
        --outstanding_;
        const AppendOutcome& append = written.append;
        if (append.kind == AppendOutcome::Kind::kUnknown) {
          calls_.End(call, CallEnd::kUnknown, [] { return ""; });
          return kv_->history->AppendUnknown();
        }
        if (append.kind != AppendOutcome::Kind::kCommitted) {
          calls_.End(call, CallEnd::kRejected, [] { return ""; });
          return kv_->history->AppendRejected(record, who_);
        }
        ++kv_->counts->writes;
        calls_.End(
            call, CallEnd::kDone,
            [&] {
              return absl::StrCat("at offset ", append.offset.value(),
                                  written.applied ? "" : ", not applied");
            },
            append.offset + 1);
        if (!written.applied) ++kv_->counts->conflicts;
        kv_->history->AppendCommitted(record, append.offset, noted, who_);
        kv_->model->Wrote(append.offset, append.result, who_);
      });
  CHECK(taken.ok());
}

}  // namespace holdfast
