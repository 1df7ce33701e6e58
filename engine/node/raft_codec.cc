#include "engine/node/raft_codec.h"

#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/base/configuration.h"
#include "engine/base/crc32c.h"
#include "engine/node/raft.pb.h"

namespace holdfast {
namespace {

// A larger payload is sent from where it lies; a smaller one is cheaper to
// copy than to describe.
constexpr size_t kShareBytesMin = 16 << 10;

void SetClaim(const LogClaim& claim, wire::LogClaim* proto) {
  proto->set_index(claim.index.value());
  proto->set_chain(claim.chain);
}

LogClaim GetClaim(const wire::LogClaim& proto) {
  return {Index(proto.index()), proto.chain()};
}

}  // namespace

std::string EncodeRaftHeader(const Message& message,
                             const MessageExtras& extras) {
  wire::RaftMessage proto;
  proto.set_type(static_cast<uint32_t>(message.type));
  proto.set_from(message.from.value());
  proto.set_to(message.to.value());
  proto.set_term(message.term.value());
  proto.set_index(message.index.value());
  proto.set_log_term(message.log_term.value());
  proto.set_commit(message.commit.value());
  proto.set_rejected(message.rejected);
  proto.set_hint_index(message.hint_index.value());
  proto.set_hint_term(message.hint_term.value());
  proto.set_read_round(message.read_round);
  proto.set_transfer(message.transfer);
  proto.set_sent_at_ns(
      static_cast<uint64_t>(message.sent_at.time_since_epoch().count()));
  proto.set_promise_ns(static_cast<uint64_t>(message.promise.count()));
  proto.set_entry_count(static_cast<uint32_t>(message.entries.size()));
  proto.set_short_of_space(extras.short_of_space);
  proto.set_must_take(extras.must_take);
  if (extras.claim.index != Index()) {
    SetClaim(extras.claim, proto.mutable_claim());
  }
  proto.set_contradicted(extras.contradicted);
  proto.set_last_chain(extras.last_chain);
  if (extras.condemned.index != Index()) {
    SetClaim(extras.condemned, proto.mutable_condemned());
  }
  proto.set_trimmed_to(extras.trimmed_to.value());
  return proto.SerializeAsString();
}

Buffers EncodeEntries(const std::vector<const Entry*>& entries) {
  size_t copied = 0;
  for (const Entry* e : entries) {
    copied += kEntryHeaderBytes;
    if (e->payload.size() < kShareBytesMin) copied += e->payload.size();
  }
  Buffer gathered = Buffer::Uninitialized(copied);
  char* to = gathered.data_mutable();
  size_t filled = 0;
  // Runs of `gathered` up to each shared payload; sliced once it is written.
  std::vector<std::pair<size_t, const Entry*>> shared;
  for (const Entry* e : entries) {
    EncodeEntryHeader(e->header, to + filled);
    filled += kEntryHeaderBytes;
    if (e->payload.size() >= kShareBytesMin) {
      shared.emplace_back(filled, e);
    } else if (!e->payload.empty()) {
      std::memcpy(to + filled, e->payload.data(), e->payload.size());
      filled += e->payload.size();
    }
  }
  Buffers buffers;
  size_t from = 0;
  for (const auto& [end, entry] : shared) {
    buffers.push_back(gathered.Slice(from, end - from));
    buffers.push_back(entry->payload);
    from = end;
  }
  if (from < copied) buffers.push_back(gathered.SliceFrom(from));
  return buffers;
}

absl::StatusOr<EntryMeta> MetaOf(const Entry& entry) {
  EntryMeta meta;
  meta.index = entry.header.index;
  meta.term = entry.header.term;
  meta.size =
      static_cast<uint32_t>(kEntryHeaderBytes) + entry.header.payload_size;
  meta.kind = entry.header.kind;
  if (meta.kind == EntryKind::kConfiguration) {
    absl::StatusOr<Configuration> c = DecodeConfiguration(entry.payload.view());
    if (!c.ok()) return c.status();
    meta.configuration = std::make_shared<const Configuration>(*std::move(c));
  }
  return meta;
}

namespace {

// Of a payload that is nothing but entries.
absl::StatusOr<std::vector<Entry>> DecodeEntries(absl::string_view what,
                                                 uint32_t count,
                                                 const Buffer& payload) {
  if (count > payload.size() / kEntryHeaderBytes) {
    return absl::InvalidArgumentError(absl::StrCat(
        what, ": ", count, " entries in ", payload.size(), " bytes"));
  }
  std::vector<Entry> entries;
  entries.reserve(count);
  size_t at = 0;
  for (uint32_t i = 0; i < count; ++i) {
    absl::StatusOr<Entry> entry = DecodeEntry(payload.SliceFrom(at));
    if (!entry.ok()) return entry.status();
    if (Crc32c(entry->payload.view()) != entry->header.payload_crc) {
      return absl::DataLossError(absl::StrCat(what, ": the payload of entry ",
                                              entry->header.index.value(),
                                              " doesn't match its checksum"));
    }
    entry->payload.set_crc(entry->header.payload_crc);
    at += EntryBytes(*entry);
    entries.push_back(*std::move(entry));
  }
  if (at != payload.size()) {
    return absl::InvalidArgumentError(absl::StrCat(
        what, ": ", payload.size() - at, " bytes behind its last entry"));
  }
  return entries;
}

}  // namespace

absl::StatusOr<ReceivedMessage> DecodeRaftMessage(absl::string_view header,
                                                  const Buffer& payload) {
  wire::RaftMessage proto;
  if (!proto.ParseFromArray(header.data(), static_cast<int>(header.size()))) {
    return absl::InvalidArgumentError("Raft message: its header can't be read");
  }
  if (proto.type() > 255) {
    return absl::InvalidArgumentError(
        absl::StrCat("Raft message: unknown type ", proto.type()));
  }
  ReceivedMessage received;
  Message& m = received.message;
  m.type = static_cast<MessageType>(proto.type());
  m.from = ServerId(proto.from());
  m.to = ServerId(proto.to());
  m.term = Term(proto.term());
  m.index = Index(proto.index());
  m.log_term = Term(proto.log_term());
  m.commit = Index(proto.commit());
  m.rejected = proto.rejected();
  m.hint_index = Index(proto.hint_index());
  m.hint_term = Term(proto.hint_term());
  m.read_round = proto.read_round();
  m.transfer = proto.transfer();
  m.sent_at = Instant(Duration(static_cast<int64_t>(proto.sent_at_ns())));
  m.promise = Duration(static_cast<int64_t>(proto.promise_ns()));
  received.extras.short_of_space = proto.short_of_space();
  received.extras.must_take = proto.must_take();
  received.extras.claim = GetClaim(proto.claim());
  received.extras.contradicted = proto.contradicted();
  received.extras.last_chain = proto.last_chain();
  received.extras.condemned = GetClaim(proto.condemned());
  received.extras.trimmed_to = Offset(proto.trimmed_to());
  absl::StatusOr<std::vector<Entry>> entries =
      DecodeEntries("Raft message", proto.entry_count(), payload);
  if (!entries.ok()) return entries.status();
  m.entries.reserve(entries->size());
  for (const Entry& entry : *entries) {
    absl::StatusOr<EntryMeta> meta = MetaOf(entry);
    if (!meta.ok()) return meta.status();
    m.entries.push_back(*std::move(meta));
  }
  received.entries = *std::move(entries);
  return received;
}

namespace {

// Chunks and answers share most fields, by name.
template <typename Proto, typename Value>
void SetCommon(const Value& value, Proto* proto) {
  proto->set_from(value.from.value());
  proto->set_to(value.to.value());
  proto->set_term(value.term.value());
  proto->set_index(value.id.index.value());
  proto->set_chain(value.id.chain);
  proto->set_bytes(value.id.bytes);
  proto->set_crc(value.id.crc);
}

template <typename Proto, typename Value>
absl::Status GetCommon(absl::string_view header, Proto* proto, Value* value) {
  if (!proto->ParseFromArray(header.data(), static_cast<int>(header.size()))) {
    return absl::InvalidArgumentError("checkpoint: its header can't be read");
  }
  value->from = ServerId(proto->from());
  value->to = ServerId(proto->to());
  value->term = Term(proto->term());
  value->id.index = Index(proto->index());
  value->id.chain = proto->chain();
  value->id.bytes = proto->bytes();
  value->id.crc = proto->crc();
  if (value->id.bytes == 0 || value->id.bytes > kCheckpointBytesMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("checkpoint: expected 1 to ", kCheckpointBytesMax,
                     " bytes, found ", value->id.bytes));
  }
  return absl::OkStatus();
}

}  // namespace

std::string EncodeChunkHeader(const CheckpointChunk& chunk) {
  wire::CheckpointChunk proto;
  SetCommon(chunk, &proto);
  proto.set_at(chunk.at);
  return proto.SerializeAsString();
}

std::string EncodeCheckpointAnswer(const CheckpointAnswer& answer) {
  wire::CheckpointAnswer proto;
  SetCommon(answer, &proto);
  proto.set_received(answer.received);
  return proto.SerializeAsString();
}

absl::StatusOr<CheckpointChunk> DecodeChunkHeader(absl::string_view header) {
  wire::CheckpointChunk proto;
  CheckpointChunk chunk;
  absl::Status common = GetCommon(header, &proto, &chunk);
  if (!common.ok()) return common;
  chunk.at = proto.at();
  return chunk;
}

absl::StatusOr<CheckpointAnswer> DecodeCheckpointAnswer(
    absl::string_view header) {
  wire::CheckpointAnswer proto;
  CheckpointAnswer answer;
  absl::Status common = GetCommon(header, &proto, &answer);
  if (!common.ok()) return common;
  answer.received = proto.received();
  return answer;
}

// --- Followers' reads

namespace {

// Questions and their answers share these fields, by name.
template <typename Proto, typename Value>
void SetAsked(const Value& value, Proto* proto) {
  proto->set_from(value.from.value());
  proto->set_to(value.to.value());
  proto->set_life(value.life);
  proto->set_number(value.number);
}

template <typename Proto, typename Value>
void GetAsked(const Proto& proto, Value* value) {
  value->from = ServerId(proto.from());
  value->to = ServerId(proto.to());
  value->life = proto.life();
  value->number = proto.number();
}

}  // namespace

std::string EncodeReadIndexQuestion(const ReadIndexQuestion& question) {
  wire::ReadIndexQuestion proto;
  SetAsked(question, &proto);
  return proto.SerializeAsString();
}

std::string EncodeReadIndexAnswer(const ReadIndexAnswer& answer) {
  wire::ReadIndexAnswer proto;
  SetAsked(answer, &proto);
  proto.set_index(answer.index.value());
  return proto.SerializeAsString();
}

absl::StatusOr<ReadIndexQuestion> DecodeReadIndexQuestion(
    absl::string_view header) {
  wire::ReadIndexQuestion proto;
  if (!proto.ParseFromArray(header.data(), static_cast<int>(header.size()))) {
    return absl::InvalidArgumentError("read index: can't be read");
  }
  ReadIndexQuestion question;
  GetAsked(proto, &question);
  return question;
}

absl::StatusOr<ReadIndexAnswer> DecodeReadIndexAnswer(
    absl::string_view header) {
  wire::ReadIndexAnswer proto;
  if (!proto.ParseFromArray(header.data(), static_cast<int>(header.size()))) {
    return absl::InvalidArgumentError("read index: can't be read");
  }
  ReadIndexAnswer answer;
  GetAsked(proto, &answer);
  answer.index = Index(proto.index());
  return answer;
}

// --- Damaged entries

namespace {

void SetPart(const CheckpointId& id, uint64_t at, wire::CheckpointPart* proto) {
  proto->set_index(id.index.value());
  proto->set_chain(id.chain);
  proto->set_bytes(id.bytes);
  proto->set_crc(id.crc);
  proto->set_at(at);
}

absl::Status GetPart(const wire::CheckpointPart& proto, CheckpointId* id,
                     uint64_t* at) {
  *id = CheckpointId{.index = Index(proto.index()),
                     .chain = proto.chain(),
                     .bytes = proto.bytes(),
                     .crc = proto.crc()};
  *at = proto.at();
  if (id->bytes <= kCheckpointBytesMax && *at <= id->bytes) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "repair: expected a checkpoint of at most ", kCheckpointBytesMax,
      " bytes, found position ", *at, " of ", id->bytes));
}

}  // namespace

std::string EncodeRepairQuestion(const RepairQuestion& question) {
  wire::RepairQuestion proto;
  SetAsked(question, &proto);
  proto.set_term(question.term.value());
  proto.set_first(question.hole.first.value());
  proto.set_last(question.hole.last.value());
  proto.set_last_term(question.hole.last_term.value());
  proto.set_behind_gap(question.hole.behind_gap);
  if (question.id.bytes > 0) {
    SetPart(question.id, question.at, proto.mutable_part_of());
  }
  return proto.SerializeAsString();
}

std::string EncodeRepairAnswer(const RepairAnswer& answer) {
  wire::RepairAnswer proto;
  SetAsked(answer, &proto);
  proto.set_outcome(static_cast<uint32_t>(answer.outcome));
  proto.set_entry_count(static_cast<uint32_t>(answer.entries.size()));
  proto.set_log_index(answer.log_index.value());
  proto.set_log_term(answer.log_term.value());
  proto.set_damaged_to(answer.damaged_to.value());
  if (answer.id.bytes > 0) {
    SetPart(answer.id, answer.at, proto.mutable_part_of());
  }
  return proto.SerializeAsString();
}

absl::StatusOr<RepairQuestion> DecodeRepairQuestion(absl::string_view header) {
  wire::RepairQuestion proto;
  if (!proto.ParseFromArray(header.data(), static_cast<int>(header.size())) ||
      proto.first() == 0 || proto.first() > proto.last()) {
    return absl::InvalidArgumentError("repair: not a question");
  }
  RepairQuestion question;
  GetAsked(proto, &question);
  question.term = Term(proto.term());
  question.hole.first = Index(proto.first());
  question.hole.last = Index(proto.last());
  question.hole.last_term = Term(proto.last_term());
  question.hole.behind_gap = proto.behind_gap();
  absl::Status part = GetPart(proto.part_of(), &question.id, &question.at);
  if (!part.ok()) return part;
  return question;
}

absl::StatusOr<RepairAnswer> DecodeRepairAnswer(absl::string_view header,
                                                const Buffer& payload) {
  wire::RepairAnswer proto;
  if (!proto.ParseFromArray(header.data(), static_cast<int>(header.size())) ||
      proto.outcome() < 1 || proto.outcome() > 5) {
    return absl::InvalidArgumentError("repair: not an answer");
  }
  RepairAnswer answer;
  GetAsked(proto, &answer);
  answer.outcome = static_cast<RepairOutcome>(proto.outcome());
  answer.log_index = Index(proto.log_index());
  answer.log_term = Term(proto.log_term());
  answer.damaged_to = Index(proto.damaged_to());
  absl::Status part = GetPart(proto.part_of(), &answer.id, &answer.at);
  if (!part.ok()) return part;
  if (answer.outcome == RepairOutcome::kPart) {
    answer.part = payload;
    return answer;
  }
  absl::StatusOr<std::vector<Entry>> entries =
      DecodeEntries("repair", proto.entry_count(), payload);
  if (!entries.ok()) return entries.status();
  answer.entries = *std::move(entries);
  return answer;
}

}  // namespace holdfast
