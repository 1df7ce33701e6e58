#ifndef HOLDFAST_ENGINE_NODE_RAFT_CODEC_H_
#define HOLDFAST_ENGINE_NODE_RAFT_CODEC_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/base/buffer.h"
#include "engine/raft/message.h"
#include "engine/wal/checkpoint_file.h"
#include "engine/wal/entry.h"
#include "engine/wal/salvage.h"

namespace holdfast {

// Between the core's messages, which have no payloads, and the wire's.

// What a server says of its log: up to and with this entry, its chained hash is
// that. Index 0: nothing.
struct LogClaim {
  Index index;
  uint64_t chain = 0;

  bool operator==(const LogClaim&) const = default;
};

// What the node says with a core's message.
struct MessageExtras {
  // Heartbeat's answer: the sender's disk is short of space.
  bool short_of_space = false;
  // Append request: the leader takes no more records, since too many disks are
  // short, and needs these.
  bool must_take = false;
  // Heartbeat's answer, vote and pre-vote request: see LogComparison.
  LogClaim claim;
  bool contradicted = false;
  // Vote and pre-vote request: the chained hash at the candidate's last entry;
  // 0: of an older release.
  uint64_t last_chain = 0;
  // Heartbeat: a quorum has another log than the receiver claimed.
  LogClaim condemned;
  // Heartbeat, if the receiver is short of space: committed trims dropped the
  // records before this offset.
  Offset trimmed_to;
};

// The Protobuf header; entries are counted, not contained.
std::string EncodeRaftHeader(const Message& message,
                             const MessageExtras& extras);

// The entries as they follow the header: small ones gathered into one
// buffer, large payloads shared without a copy.
Buffers EncodeEntries(const std::vector<const Entry*>& entries);

// What a core may be told of an entry.
absl::StatusOr<EntryMeta> MetaOf(const Entry& entry);

struct ReceivedMessage {
  Message message;
  std::vector<Entry> entries;  // share the received payload's bytes
  MessageExtras extras;
};

// INVALID_ARGUMENT when it isn't a well-formed message, DATA_LOSS when an
// entry's payload doesn't match its checksum.
absl::StatusOr<ReceivedMessage> DecodeRaftMessage(absl::string_view header,
                                                  const Buffer& payload);

// --- Checkpoints on their way to a server that is far behind

// Which one. Equal ids mean equal bytes.
struct CheckpointId {
  Index index;
  uint64_t chain = 0;
  uint64_t bytes = 0;
  uint32_t crc = 0;

  bool operator==(const CheckpointId&) const = default;
};

struct CheckpointChunk {
  ServerId from;
  ServerId to;
  Term term;
  CheckpointId id;
  uint64_t at = 0;
};

struct CheckpointAnswer {
  ServerId from;
  ServerId to;
  Term term;
  CheckpointId id;
  uint64_t received = 0;
};

std::string EncodeChunkHeader(const CheckpointChunk& chunk);
std::string EncodeCheckpointAnswer(const CheckpointAnswer& answer);
// INVALID_ARGUMENT when it isn't one; also for one of a checkpoint larger than
// kCheckpointBytesMax.
absl::StatusOr<CheckpointChunk> DecodeChunkHeader(absl::string_view header);
absl::StatusOr<CheckpointAnswer> DecodeCheckpointAnswer(
    absl::string_view header);

// --- Followers' linearizable reads

struct ReadIndexQuestion {
  ServerId from;
  ServerId to;
  uint64_t life = 0;  // of the process that asks
  uint64_t number = 0;
};

struct ReadIndexAnswer {
  ServerId from;
  ServerId to;
  uint64_t life = 0;
  uint64_t number = 0;
  Index index;  // 0: leadership couldn't be confirmed
};

std::string EncodeReadIndexQuestion(const ReadIndexQuestion& question);
std::string EncodeReadIndexAnswer(const ReadIndexAnswer& answer);
// INVALID_ARGUMENT when it isn't one.
absl::StatusOr<ReadIndexQuestion> DecodeReadIndexQuestion(
    absl::string_view header);
absl::StatusOr<ReadIndexAnswer> DecodeReadIndexAnswer(absl::string_view header);

// --- Damaged entries

// A hole in a server's log (engine/wal/salvage.h), or, with id.bytes above 0,
// the bytes from `at` on of the checkpoint that an answer spoke of.
struct RepairQuestion {
  ServerId from;
  ServerId to;
  uint64_t life = 0;  // of the process that asks
  uint64_t number = 0;
  Term term;  // of the server that asks
  LogHole hole;
  CheckpointId id;
  uint64_t at = 0;
};

// The numbers are on the wire.
enum class RepairOutcome : uint8_t {
  kEntries = 1,  // from the hole's first one on
  // Its log has another entry than the hole's last one, or none there.
  kLacks = 2,
  // It has them, and can't read them now: damaged_to.
  kUnreadable = 3,
  // It begins behind a checkpoint that stands for all of them.
  kCheckpoint = 4,
  kPart = 5,  // of that checkpoint
};

struct RepairAnswer {
  ServerId from;
  ServerId to;
  uint64_t life = 0;
  uint64_t number = 0;
  RepairOutcome outcome = RepairOutcome::kUnreadable;
  // Of its last entry. kUnreadable of a server that mends its log: of the first
  // entry of the latest term that its log has had up to the hole's last one.
  Index log_index;
  Term log_term;
  // kUnreadable: from the hole's first entry up to there they are damaged; 0:
  // it can't say, or is of a release that doesn't.
  Index damaged_to;
  CheckpointId id;
  uint64_t at = 0;
  std::vector<Entry> entries;  // share the payload's bytes
  Buffer part;
};

std::string EncodeRepairQuestion(const RepairQuestion& question);
// Without the payload, which is EncodeEntries(entries), or the part.
std::string EncodeRepairAnswer(const RepairAnswer& answer);
// INVALID_ARGUMENT when it isn't one, DATA_LOSS when an entry's payload doesn't
// match its checksum.
absl::StatusOr<RepairQuestion> DecodeRepairQuestion(absl::string_view header);
absl::StatusOr<RepairAnswer> DecodeRepairAnswer(absl::string_view header,
                                                const Buffer& payload);

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_NODE_RAFT_CODEC_H_
