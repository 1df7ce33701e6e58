#ifndef HOLDFAST_ENGINE_LOG_KV_H_
#define HOLDFAST_ENGINE_LOG_KV_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "engine/base/batch.h"
#include "engine/base/types.h"
#include "engine/env/completion.h"
#include "engine/log/distributed_log.h"
#include "engine/log/state_machine.h"

namespace holdfast {

// Which write made a value: one more than its record's offset; 0: there is
// none. It rises with each write of a key, and never repeats.
using KvVersion = uint64_t;

struct KvValue {
  std::string value;
  KvVersion version = 0;

  bool operator==(const KvValue&) const = default;
};

struct KvWrite {
  std::string key;
  // Nothing: the key is erased.
  std::optional<std::string> value;
  // Only if the key has this version; 0: only if it isn't there.
  std::optional<KvVersion> expected;
};

// A small key-value state, as an example of a StateMachine and to test the
// interface: what the log's records with a key and the header "kv" say. Other
// records mean nothing to it, so a log may carry both.
class KvMachine : public StateMachine {
 public:
  KvMachine();

  // As a record of a batch. Errors: see BatchBuilder::Add.
  static absl::Status AddTo(BatchBuilder* batch, const KvWrite& write);

  // As of the last Apply. Nothing: not there.
  std::optional<KvValue> Get(absl::string_view key) const;
  // Behind the last record that was applied.
  Offset end() const { return end_; }
  size_t size() const;

  // StateMachine. A batch's result has a character for each record: kApplied,
  // kConflict (the key had another version), kNotKv.
  static constexpr char kApplied = '+';
  static constexpr char kConflict = '!';
  static constexpr char kNotKv = '.';
  std::string Apply(const CommittedBatch& batch) override;
  std::unique_ptr<SnapshotReader> Snapshot() override;
  std::unique_ptr<SnapshotWriter> Restore() override;

 private:
  using Shard = std::map<std::string, KvValue, std::less<>>;
  // A snapshot shares the shards; one is copied when it is written to
  // meanwhile.
  using Shards = std::array<std::shared_ptr<Shard>, 64>;
  class Reader;
  class Writer;

  static size_t ShardOf(absl::string_view key);
  char ApplyRecord(const RecordView& record, Offset at);
  Shard* Mutable(size_t shard);

  Shards shards_;
  Offset end_;
};

// What became of a write.
struct KvWritten {
  // kCommitted: see `applied`. Otherwise, as for any append.
  AppendOutcome append;
  // The condition held, or there was none.
  bool applied = false;
  KvVersion version = 0;  // of the value, when applied
};
using KvWrittenFn = InlineFunction<void(KvWritten)>;

// Linearizable operations on a KvMachine, at one server of its log. Calls and
// callbacks as DistributedLog's; it needn't live until they come.
class KvStore {
 public:
  // `machine` is the one in the log's options.
  KvStore(DistributedLog* log, const KvMachine* machine)
      : log_(log), machine_(machine) {}

  // Only the leader takes writes. INVALID_ARGUMENT, and nothing is done, when
  // the write is too large for a record.
  absl::Status Write(const KvWrite& write, KvWrittenFn done);
  // UNAVAILABLE as DistributedLog::ReadBarrier.
  void Get(std::string key, ResultFn<std::optional<KvValue>> done);

 private:
  DistributedLog* const log_;
  const KvMachine* const machine_;
};

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_LOG_KV_H_
