#ifndef HOLDFAST_ENGINE_BASE_BATCH_H_
#define HOLDFAST_ENGINE_BASE_BATCH_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/base/buffer.h"
#include "engine/base/types.h"

namespace holdfast {

// A batch is what one append carries: records, encoded and checksummed by the
// client, in bytes that travel, are replicated, stored and read back
// unchanged. All integers are little-endian.
//
//    0  length        u32   of the whole batch, these 32 bytes included
//    4  crc           u32   CRC32C of the bytes from 8 on
//    8  version       u8    1
//    9  codec         u8    0: records as they are
//   10  zero          u16
//   12  record_count  u32   at least 1
//   16  session       u64   the producer's session; 0: none
//   24  sequence      u64   numbers the session's batches from 1; 0: none
//   32  records, one behind the other, each:
//        0  length        u32   of what follows these 12 bytes
//        4  key_length    u32   0xffffffff: no key
//        8  header_count  u16
//       10  zero          u16
//       12  key
//           headers, each: name_length u16, value_length u32, name, value
//           value: the rest
inline constexpr size_t kBatchHeaderBytes = 32;
inline constexpr size_t kRecordHeaderBytes = 12;
// The largest record: its key, headers (6 bytes of lengths each) and value.
inline constexpr size_t kRecordBytesMax = 16 << 20;
// The largest batch: one with the largest record, and some room.
inline constexpr size_t kBatchBytesMax = (16 << 20) + (64 << 10);

// A record's header, such as {"content-type", "text/plain"}. Names may repeat
// and keep their order.
struct RecordHeader {
  absl::string_view name;
  absl::string_view value;

  bool operator==(const RecordHeader&) const = default;
};

// One record within its batch's bytes, which it doesn't own.
class RecordView {
 public:
  const std::optional<absl::string_view>& key() const { return key_; }
  absl::string_view value() const { return value_; }
  size_t header_count() const { return header_count_; }
  std::vector<RecordHeader> headers() const;

 private:
  friend class BatchView;
  friend class RecordCursor;
  std::optional<absl::string_view> key_;
  absl::string_view value_;
  absl::string_view headers_;
  uint16_t header_count_ = 0;
};

// Walks the records of a batch that was validated.
//
//   RecordCursor cursor = batch.Records();
//   RecordView record;
//   while (cursor.Next(&record)) Use(record);
class RecordCursor {
 public:
  // False behind the last one.
  bool Next(RecordView* record);

 private:
  friend class BatchView;
  explicit RecordCursor(absl::string_view rest) : rest_(rest) {}
  absl::string_view rest_;
};

// The fields in front of the records.
struct BatchHeader {
  uint32_t length = 0;
  uint32_t crc = 0;
  uint32_t record_count = 0;
  SessionId session;
  Sequence sequence;
};

// Reads the header at the front of `bytes`: length within limits, known
// version and codec, a session with a sequence or neither. Looks neither at
// the records nor at the checksum: for bytes that were validated before, such
// as a log entry's payload. INVALID_ARGUMENT otherwise.
absl::StatusOr<BatchHeader> ReadBatchHeader(absl::string_view bytes);

// A copy of an intact batch under another session and sequence.
Buffer RestampBatch(const Buffer& batch, SessionId session, Sequence sequence);

// A batch, checked completely and without a copy. Shares the bytes.
class BatchView {
 public:
  // `bytes` must be exactly one batch: INVALID_ARGUMENT when its framing,
  // count or limits are wrong, DATA_LOSS when its checksum is.
  static absl::StatusOr<BatchView> Parse(Buffer bytes);

  const BatchHeader& header() const { return header_; }
  uint32_t record_count() const { return header_.record_count; }
  SessionId session() const { return header_.session; }
  Sequence sequence() const { return header_.sequence; }
  const Buffer& bytes() const { return bytes_; }

  RecordCursor Records() const;
  // The records from the `skip`-th on (0: all): if the batch stands at offset
  // b, those from offset b + skip on.
  RecordCursor RecordsFrom(uint64_t skip) const;

 private:
  BatchHeader header_;
  Buffer bytes_;
};

// Makes a batch.
//
//   BatchBuilder builder;
//   builder.Add("value");
//   Buffer batch = builder.Finish(session, Sequence(1));
//
// The bytes are written where the finished Buffer has them.
class BatchBuilder {
 public:
  // `bytes_hint`: how much the records will take, if known.
  explicit BatchBuilder(size_t bytes_hint = 0);
  // Leave the other one empty.
  BatchBuilder(BatchBuilder&& other) noexcept { *this = std::move(other); }
  BatchBuilder& operator=(BatchBuilder&& other) noexcept {
    bytes_ = std::exchange(other.bytes_, Buffer());
    size_ = std::exchange(other.size_, kBatchHeaderBytes);
    record_count_ = std::exchange(other.record_count_, 0);
    return *this;
  }

  // INVALID_ARGUMENT, with nothing added, when the record is larger than
  // kRecordBytesMax or a header's name or their number beyond 65535;
  // RESOURCE_EXHAUSTED when the batch has no room left: finish it, and start
  // another.
  absl::Status Add(absl::string_view value);
  absl::Status Add(std::optional<absl::string_view> key,
                   const std::vector<RecordHeader>& headers,
                   absl::string_view value);

  bool empty() const { return record_count_ == 0; }
  uint32_t record_count() const { return record_count_; }
  // Of the batch as it is.
  size_t size() const { return size_; }

  // The batch, stamped. Needs a record; leaves the builder empty. Session and
  // sequence are both 0 or both not.
  Buffer Finish(SessionId session = SessionId(0),
                Sequence sequence = Sequence(0));

 private:
  void Reserve(size_t more);

  Buffer bytes_;
  size_t size_ = kBatchHeaderBytes;
  uint32_t record_count_ = 0;
};

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_BASE_BATCH_H_
