#ifndef HOLDFAST_ENGINE_NODE_RAFT_CODEC_H_
#define HOLDFAST_ENGINE_NODE_RAFT_CODEC_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/base/buffer.h"
#include "engine/raft/message.h"
#include "engine/wal/entry.h"

namespace holdfast {

// Between the core's messages, which have no payloads, and the wire's.

// The Protobuf header; entries are counted, not contained.
std::string EncodeRaftHeader(const Message& message);

// The entries as they follow the header: small ones gathered into one
// buffer, large payloads shared without a copy.
Buffers EncodeEntries(const std::vector<const Entry*>& entries);

// What a core may be told of an entry.
absl::StatusOr<EntryMeta> MetaOf(const Entry& entry);

struct ReceivedMessage {
  Message message;
  std::vector<Entry> entries;  // share the received payload's bytes
};

// INVALID_ARGUMENT when it isn't a well-formed message, DATA_LOSS when an
// entry's payload doesn't match its checksum.
absl::StatusOr<ReceivedMessage> DecodeRaftMessage(absl::string_view header,
                                                  const Buffer& payload);

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_NODE_RAFT_CODEC_H_
