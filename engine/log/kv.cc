#include "engine/log/kv.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "engine/base/bytes.h"
#include "engine/base/check.h"
#include "engine/base/crc32c.h"

namespace holdfast {
namespace {

constexpr char kHeader[] = "kv";
constexpr char kPut[] = "put";
constexpr char kErase[] = "erase";
constexpr char kExpectedHeader[] = "kv-expected";

// A snapshot: magic u64, end u64, number of keys u64; then of each key: size
// of the key u32, of the value u32, version u64, key, value. Little-endian.
constexpr uint64_t kSnapshotMagic = 0x31736176764b6648;  // "HfKvvas1"
constexpr size_t kSnapshotHeaderBytes = 24;
constexpr size_t kItemHeaderBytes = 16;

}  // namespace

KvMachine::KvMachine() {
  for (std::shared_ptr<Shard>& shard : shards_) {
    shard = std::make_shared<Shard>();
  }
}

absl::Status KvMachine::AddTo(BatchBuilder* batch, const KvWrite& write) {
  std::vector<RecordHeader> headers = {
      {kHeader, write.value.has_value() ? kPut : kErase}};
  const std::string expected = absl::StrCat(write.expected.value_or(0));
  if (write.expected.has_value()) {
    headers.push_back({kExpectedHeader, expected});
  }
  return batch->Add(absl::string_view(write.key), headers,
                    write.value.value_or(""));
}

size_t KvMachine::ShardOf(absl::string_view key) {
  return Crc32c(key) % std::tuple_size<Shards>::value;
}

KvMachine::Shard* KvMachine::Mutable(size_t shard) {
  std::shared_ptr<Shard>& s = shards_[shard];
  if (s.use_count() > 1) s = std::make_shared<Shard>(*s);
  return s.get();
}

std::optional<KvValue> KvMachine::Get(absl::string_view key) const {
  const Shard& shard = *shards_[ShardOf(key)];
  auto it = shard.find(key);
  if (it == shard.end()) return std::nullopt;
  return it->second;
}

size_t KvMachine::size() const {
  size_t size = 0;
  for (const std::shared_ptr<Shard>& shard : shards_) size += shard->size();
  return size;
}

std::string KvMachine::Apply(const CommittedBatch& batch) {
  std::string result;
  Offset at = batch.base_offset;
  RecordCursor cursor = batch.batch.Records();
  for (RecordView record; cursor.Next(&record); ++at) {
    result += ApplyRecord(record, at);
  }
  end_ = at;
  return result;
}

char KvMachine::ApplyRecord(const RecordView& record, Offset at) {
  if (!record.key().has_value()) return kNotKv;
  std::optional<bool> put;
  std::optional<KvVersion> expected;
  for (const RecordHeader& header : record.headers()) {
    if (header.name == kHeader && header.value == kPut) put = true;
    if (header.name == kHeader && header.value == kErase) put = false;
    KvVersion version = 0;
    if (header.name == kExpectedHeader &&
        absl::SimpleAtoi(header.value, &version)) {
      expected = version;
    }
  }
  if (!put.has_value()) return kNotKv;
  const absl::string_view key = *record.key();
  const size_t shard = ShardOf(key);
  if (expected.has_value()) {
    auto it = shards_[shard]->find(key);
    const KvVersion found =
        it == shards_[shard]->end() ? 0 : it->second.version;
    if (found != *expected) return kConflict;
  }
  if (*put) {
    Mutable(shard)->insert_or_assign(
        std::string(key), KvValue{std::string(record.value()), at.value() + 1});
  } else {
    Mutable(shard)->erase(std::string(key));
  }
  return kApplied;
}

// --- Snapshots ---

class KvMachine::Reader : public SnapshotReader {
 public:
  explicit Reader(const KvMachine& machine)
      : shards_(machine.shards_), end_(machine.end_), size_(machine.size()) {}

  std::string Read(size_t max_bytes) override {
    std::string bytes;
    auto append = [&bytes](auto value) {
      char raw[sizeof(value)];
      StoreInt(raw, value);
      bytes.append(raw, sizeof(raw));
    };
    if (!begun_) {
      begun_ = true;
      append(kSnapshotMagic);
      append(end_.value());
      append(uint64_t{size_});
    }
    while (shard_ < shards_.size() && bytes.size() < max_bytes) {
      const Shard& shard = *shards_[shard_];
      auto it = after_.has_value() ? shard.upper_bound(*after_) : shard.begin();
      for (; it != shard.end() && bytes.size() < max_bytes; ++it) {
        const auto& [key, value] = *it;
        append(static_cast<uint32_t>(key.size()));
        append(static_cast<uint32_t>(value.value.size()));
        append(uint64_t{value.version});
        bytes += key;
        bytes += value.value;
        after_ = key;
      }
      if (it != shard.end()) break;
      shards_[shard_++] = nullptr;
      after_.reset();
    }
    return bytes;
  }

 private:
  Shards shards_;
  const Offset end_;
  const size_t size_;
  bool begun_ = false;
  size_t shard_ = 0;
  std::optional<std::string> after_;  // the last key that was read of it
};

class KvMachine::Writer : public SnapshotWriter {
 public:
  explicit Writer(KvMachine* machine) : machine_(machine) {}

  absl::Status Write(absl::string_view bytes) override {
    rest_.append(bytes.data(), bytes.size());
    size_t at = 0;
    if (!begun_ && rest_.size() >= kSnapshotHeaderBytes) {
      ByteReader r(rest_);
      if (r.Int<uint64_t>() != kSnapshotMagic) {
        return absl::DataLossError(
            "expected the snapshot of a key-value machine, found other bytes");
      }
      restored_.end_ = Offset(r.Int<uint64_t>());
      items_ = r.Int<uint64_t>();
      begun_ = true;
      at = kSnapshotHeaderBytes;
    }
    while (begun_ && rest_.size() - at >= kItemHeaderBytes) {
      ByteReader r(absl::string_view(rest_).substr(at));
      const size_t key_size = r.Int<uint32_t>();
      const size_t value_size = r.Int<uint32_t>();
      const KvVersion version = r.Int<uint64_t>();
      if (r.rest().size() < key_size + value_size) break;
      const absl::string_view key = r.rest().substr(0, key_size);
      const absl::string_view value = r.rest().substr(key_size, value_size);
      restored_.Mutable(ShardOf(key))
          ->insert_or_assign(std::string(key),
                             KvValue{std::string(value), version});
      at += kItemHeaderBytes + key_size + value_size;
    }
    rest_.erase(0, at);
    return absl::OkStatus();
  }

  absl::Status Finish() override {
    if (!begun_ || !rest_.empty() || restored_.size() != items_) {
      return absl::DataLossError(
          absl::StrCat("expected ", items_, " keys, found ", restored_.size(),
                       ", and ", rest_.size(), " bytes behind them"));
    }
    std::swap(machine_->shards_, restored_.shards_);
    machine_->end_ = restored_.end_;
    return absl::OkStatus();
  }

 private:
  KvMachine* const machine_;
  KvMachine restored_;
  bool begun_ = false;
  uint64_t items_ = 0;
  std::string rest_;
};

std::unique_ptr<SnapshotReader> KvMachine::Snapshot() {
  return std::make_unique<Reader>(*this);
}

std::unique_ptr<SnapshotWriter> KvMachine::Restore() {
  return std::make_unique<Writer>(this);
}

// --- The store ---

absl::Status KvStore::Write(const KvWrite& write, KvWrittenFn done) {
  BatchBuilder batch;
  if (absl::Status added = KvMachine::AddTo(&batch, write); !added.ok()) {
    return added;
  }
  log_->Append(batch.Finish(), {},
               [done = std::move(done)](AppendOutcome outcome) mutable {
                 KvWritten written;
                 written.applied =
                     outcome.result == std::string(1, KvMachine::kApplied);
                 if (written.applied) {
                   written.version = outcome.offset.value() + 1;
                 }
                 written.append = std::move(outcome);
                 done(std::move(written));
               });
  return absl::OkStatus();
}

void KvStore::Get(std::string key, ResultFn<std::optional<KvValue>> done) {
  log_->ReadBarrier([machine = machine_, key = std::move(key),
                     done = std::move(done)](absl::Status status) mutable {
    if (!status.ok()) return done(std::move(status));
    done(machine->Get(key));
  });
}

}  // namespace holdfast
