#include "engine/base/batch.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/bytes.h"
#include "engine/base/check.h"
#include "engine/base/crc32c.h"

namespace holdfast {
namespace {

constexpr uint8_t kVersion = 1;
constexpr uint8_t kCodecPlain = 0;
constexpr uint32_t kNoKey = 0xffffffff;
constexpr size_t kHeaderLengthsBytes = 6;
constexpr size_t kCrcAt = 4;
constexpr size_t kCrcFrom = 8;
constexpr size_t kSessionAt = 16;
constexpr size_t kSequenceAt = 24;
constexpr size_t kFirstCapacity = 256;

template <typename... Parts>
absl::Status Malformed(const Parts&... parts) {
  return absl::InvalidArgumentError(absl::StrCat("batch: ", parts...));
}

// The next header at the front of `reader`.
RecordHeader TakeHeader(ByteReader* reader) {
  const size_t name_length = reader->Int<uint16_t>();
  const size_t value_length = reader->Int<uint32_t>();
  RecordHeader header;
  header.name = reader->Bytes(name_length);
  header.value = reader->Bytes(value_length);
  return header;
}

// Checks the record at the front and takes it off.
absl::Status TakeRecord(absl::string_view* records, uint32_t number) {
  ByteReader reader(*records);
  const size_t length = reader.Int<uint32_t>();
  const uint32_t key_length = reader.Int<uint32_t>();
  const size_t header_count = reader.Int<uint16_t>();
  const uint16_t zero = reader.Int<uint16_t>();
  if (!reader.ok() || length > reader.rest().size()) {
    return Malformed("record ", number, " runs over the end of the batch");
  }
  if (length > kRecordBytesMax) {
    return Malformed("record ", number, " has ", length,
                     " bytes, the limit is ", kRecordBytesMax);
  }
  if (zero != 0) {
    return Malformed("record ", number, ": its reserved bytes aren't zero");
  }
  ByteReader body(reader.Bytes(length));
  if (key_length != kNoKey) body.Bytes(key_length);
  for (size_t i = 0; i < header_count && body.ok(); ++i) TakeHeader(&body);
  if (!body.ok()) {
    return Malformed("record ", number,
                     ": its key and headers are longer than itself");
  }
  *records = reader.rest();
  return absl::OkStatus();
}

// The checksum of a whole batch, whose own field `crc` is right.
uint32_t WholeCrc(const char* batch, size_t size, uint32_t crc) {
  return ConcatCrc32c(Crc32c({batch, kCrcFrom}), crc, size - kCrcFrom);
}

// Makes a batch that is finished otherwise, all of the Buffer, that producer's.
void Stamp(Buffer* whole, SessionId session, Sequence sequence) {
  char* batch = whole->data_mutable();
  const size_t size = whole->size();
  CHECK_EQ(session.value() == 0, sequence.value() == 0);
  StoreInt<uint64_t>(batch + kSessionAt, session.value());
  StoreInt<uint64_t>(batch + kSequenceAt, sequence.value());
  const absl::string_view covered(batch + kCrcFrom, size - kCrcFrom);
  const uint32_t crc = Crc32c(covered);
  StoreInt<uint32_t>(batch + kCrcAt, crc);
  whole->set_crc(WholeCrc(batch, size, crc));
}

}  // namespace

std::vector<RecordHeader> RecordView::headers() const {
  std::vector<RecordHeader> headers;
  headers.reserve(header_count_);
  ByteReader reader(headers_);
  for (size_t i = 0; i < header_count_; ++i) {
    headers.push_back(TakeHeader(&reader));
  }
  CHECK(reader.ok());
  return headers;
}

bool RecordCursor::Next(RecordView* record) {
  if (rest_.empty()) return false;
  ByteReader reader(rest_);
  const size_t length = reader.Int<uint32_t>();
  const uint32_t key_length = reader.Int<uint32_t>();
  record->header_count_ = reader.Int<uint16_t>();
  reader.Int<uint16_t>();
  ByteReader body(reader.Bytes(length));
  record->key_.reset();
  if (key_length != kNoKey) record->key_ = body.Bytes(key_length);
  const absl::string_view behind_key = body.rest();
  for (size_t i = 0; i < record->header_count_; ++i) TakeHeader(&body);
  CHECK(reader.ok() && body.ok());  // BatchView::Parse has seen to it
  record->value_ = body.rest();
  record->headers_ =
      behind_key.substr(0, behind_key.size() - record->value_.size());
  rest_ = reader.rest();
  return true;
}

absl::StatusOr<BatchHeader> ReadBatchHeader(absl::string_view bytes) {
  if (bytes.size() < kBatchHeaderBytes) {
    return Malformed("only ", bytes.size(), " bytes, its header alone has ",
                     kBatchHeaderBytes);
  }
  ByteReader reader(bytes);
  BatchHeader header;
  header.length = reader.Int<uint32_t>();
  header.crc = reader.Int<uint32_t>();
  const uint8_t version = reader.Int<uint8_t>();
  const uint8_t codec = reader.Int<uint8_t>();
  const uint16_t zero = reader.Int<uint16_t>();
  header.record_count = reader.Int<uint32_t>();
  header.session = SessionId(reader.Int<uint64_t>());
  header.sequence = Sequence(reader.Int<uint64_t>());
  if (header.length < kBatchHeaderBytes || header.length > kBatchBytesMax) {
    return Malformed("its length field says ", header.length,
                     " bytes, expected ", kBatchHeaderBytes, " to ",
                     kBatchBytesMax);
  }
  if (version != kVersion || codec != kCodecPlain) {
    return Malformed("version ", version, ", codec ", codec,
                     ": this server knows version ", kVersion, ", codec ",
                     kCodecPlain);
  }
  if (zero != 0) return Malformed("its reserved bytes aren't zero");
  if (header.record_count == 0) return Malformed("it has no record");
  if ((header.session.value() == 0) != (header.sequence.value() == 0)) {
    return Malformed("session ", header.session.value(), " with sequence ",
                     header.sequence.value(), ": both or neither must be 0");
  }
  return header;
}

Buffer RestampBatch(const Buffer& batch, SessionId session, Sequence sequence) {
  CHECK_GE(batch.size(), kBatchHeaderBytes);
  Buffer copy = Buffer::Copy(batch.view());
  Stamp(&copy, session, sequence);
  return copy;
}

absl::StatusOr<BatchView> BatchView::Parse(Buffer bytes) {
  absl::StatusOr<BatchHeader> header = ReadBatchHeader(bytes.view());
  if (!header.ok()) return header.status();
  if (header->length != bytes.size()) {
    return Malformed("its length field says ", header->length,
                     " bytes, it came with ", bytes.size());
  }
  const uint32_t crc = Crc32c(bytes.view().substr(kCrcFrom));
  if (crc != header->crc) {
    return absl::DataLossError(absl::StrCat(
        "batch: its checksum is ", absl::Hex(header->crc, absl::kZeroPad8),
        ", its bytes give ", absl::Hex(crc, absl::kZeroPad8),
        ": it was damaged on its way; send it again"));
  }
  absl::string_view records = bytes.view().substr(kBatchHeaderBytes);
  for (uint32_t i = 0; i < header->record_count; ++i) {
    if (absl::Status record = TakeRecord(&records, i); !record.ok()) {
      return record;
    }
  }
  if (!records.empty()) {
    return Malformed(records.size(), " bytes behind its last record");
  }
  bytes.set_crc(WholeCrc(bytes.data(), bytes.size(), crc));
  BatchView view;
  view.header_ = *header;
  view.bytes_ = std::move(bytes);
  return view;
}

RecordCursor BatchView::Records() const {
  return RecordCursor(bytes_.view().substr(kBatchHeaderBytes));
}

RecordCursor BatchView::RecordsFrom(uint64_t skip) const {
  absl::string_view rest = bytes_.view().substr(kBatchHeaderBytes);
  for (; skip > 0 && !rest.empty(); --skip) {
    rest.remove_prefix(kRecordHeaderBytes + LoadInt<uint32_t>(rest.data()));
  }
  return RecordCursor(rest);
}

BatchBuilder::BatchBuilder(size_t bytes_hint) {
  if (bytes_hint > 0) Reserve(bytes_hint);
}

void BatchBuilder::Reserve(size_t more) {
  if (bytes_.size() >= size_ + more) return;
  const size_t capacity = std::max(
      {size_ + more, kFirstCapacity, std::min(2 * size_, kBatchBytesMax)});
  Buffer larger = Buffer::Uninitialized(capacity);
  if (size_ > kBatchHeaderBytes) {
    std::memcpy(larger.data_mutable() + kBatchHeaderBytes,
                bytes_.data() + kBatchHeaderBytes, size_ - kBatchHeaderBytes);
  }
  bytes_ = std::move(larger);
}

absl::Status BatchBuilder::Add(absl::string_view value) {
  return Add(std::nullopt, {}, value);
}

absl::Status BatchBuilder::Add(std::optional<absl::string_view> key,
                               const std::vector<RecordHeader>& headers,
                               absl::string_view value) {
  size_t length = value.size();
  if (key.has_value()) length += key->size();
  for (const RecordHeader& header : headers) {
    if (header.name.size() > UINT16_MAX) {
      return absl::InvalidArgumentError(
          absl::StrCat("record: a header's name has ", header.name.size(),
                       " bytes, the limit is ", UINT16_MAX));
    }
    length += kHeaderLengthsBytes + header.name.size() + header.value.size();
  }
  if (headers.size() > UINT16_MAX) {
    return absl::InvalidArgumentError(absl::StrCat(
        "record: ", headers.size(), " headers, the limit is ", UINT16_MAX));
  }
  if (length > kRecordBytesMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("record: ", length, " bytes, the limit is ",
                     kRecordBytesMax, " (16 MiB): split it"));
  }
  const size_t whole = kRecordHeaderBytes + length;
  if (size_ + whole > kBatchBytesMax) {
    return absl::ResourceExhaustedError(
        absl::StrCat("batch: ", size_, " bytes, no room for ", whole,
                     " more; the limit is ", kBatchBytesMax));
  }
  Reserve(whole);
  ByteWriter writer(bytes_.data_mutable() + size_, whole);
  writer.Int<uint32_t>(static_cast<uint32_t>(length));
  writer.Int<uint32_t>(key.has_value() ? static_cast<uint32_t>(key->size())
                                       : kNoKey);
  writer.Int<uint16_t>(static_cast<uint16_t>(headers.size()));
  writer.Int<uint16_t>(0);
  if (key.has_value()) writer.Bytes(*key);
  for (const RecordHeader& header : headers) {
    writer.Int<uint16_t>(static_cast<uint16_t>(header.name.size()));
    writer.Int<uint32_t>(static_cast<uint32_t>(header.value.size()));
    writer.Bytes(header.name);
    writer.Bytes(header.value);
  }
  writer.Bytes(value);
  size_ += whole;
  ++record_count_;
  return absl::OkStatus();
}

Buffer BatchBuilder::Finish(SessionId session, Sequence sequence) {
  CHECK(!empty());
  char* to = bytes_.data_mutable();
  ByteWriter writer(to, kBatchHeaderBytes);
  writer.Int<uint32_t>(static_cast<uint32_t>(size_));
  writer.Int<uint32_t>(0);
  writer.Int<uint8_t>(kVersion);
  writer.Int<uint8_t>(kCodecPlain);
  writer.Int<uint16_t>(0);
  writer.Int<uint32_t>(record_count_);
  writer.Int<uint64_t>(0);
  writer.Int<uint64_t>(0);
  Buffer batch = bytes_.Slice(0, size_);
  *this = BatchBuilder();
  Stamp(&batch, session, sequence);
  return batch;
}

}  // namespace holdfast
