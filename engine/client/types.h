#ifndef HOLDFAST_ENGINE_CLIENT_TYPES_H_
#define HOLDFAST_ENGINE_CLIENT_TYPES_H_

// What the client's face (client.h) takes and gives.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "engine/base/batch.h"
#include "engine/base/inline_function.h"
#include "engine/base/time.h"
#include "engine/base/types.h"
#include "engine/env/completion.h"
#include "engine/env/network.h"

namespace holdfast {

struct ClientOptions {
  // Where to start; at least one. Others are learned from hints.
  std::vector<Address> servers;
  // For the hello: the one in the client's certificate.
  std::string name;
  // Empty: any (what the certificates say counts).
  std::string cluster_name;

  // For connection, handshake and hello together.
  Duration dial_deadline = 1s;
  // Pause before asking again when no server helped; doubles up to the max.
  Duration backoff_min = 20ms;
  Duration backoff_max = 250ms;
  // A server that says nothing for so long is given up; it is pinged before.
  Duration silence_max = 1s;

  // Appends sent and unanswered at once, at most kAppendsInFlightMax.
  size_t appends_in_flight_max = 256;
  size_t append_bytes_in_flight_max = 32 << 20;
  // Appends that wait, in flight or not.
  size_t queue_bytes_max = 64 << 20;
};

// A server remembers the results of a session's last 1024 batches. Half of
// them leaves room for any batch to be sent again and still be known.
inline constexpr size_t kAppendsInFlightMax = 512;

struct ClientAppendOptions {
  // Append only if the batch's first record gets just this offset.
  std::optional<Offset> expected_offset;
  // Then the outcome is kUnknown, or if it certainly isn't in the log kRejected
  // with kUnavailable or kNoSpace.
  Duration timeout = 30s;
};

// What became of an append.
struct ClientOutcome {
  enum class Kind : uint8_t {
    kCommitted = 1,  // in the log for ever, from `offset` on
    kRejected = 2,   // not in the log, now or later
    kUnknown = 3,    // may be in the log, now or later
  };
  enum class Reason : uint8_t {
    kNone = 0,
    kMalformed = 1,    // not a batch within the server's limits
    kWrongOffset = 2,  // the log's end isn't the expected offset
    kPermission = 3,   // this client may not append
    // Nobody could append it in time; or it expects an offset, and another
    // cluster has taken the servers' place.
    kUnavailable = 4,
    kNoSpace = 5,  // likewise, for want of room on the servers' disks
  };
  Kind kind = Kind::kUnknown;
  Reason reason = Reason::kNone;
  Offset offset;        // kCommitted; kWrongOffset: the log's end
  std::string message;  // for people; empty when committed
};
using ClientAppendFn = InlineFunction<void(ClientOutcome)>;

enum class ClientReadMode : uint8_t {
  // Sees every append acknowledged before the call.
  kLinearizable = 1,
  // What one server knows to be committed.
  kLocal = 2,
};

struct ClientReadOptions {
  ClientReadMode mode = ClientReadMode::kLinearizable;
  // Whom to ask, once; empty: the leader, until the timeout, or for kLocal the
  // first one of ClientOptions::servers.
  Address server;
  // About how much to bring.
  uint32_t max_bytes = 1 << 20;
  Duration timeout = 30s;
};

// A batch of the log, checked against its checksum.
struct LogBatch {
  Offset base_offset;
  // The first record that was asked for, which may be within the batch.
  Offset from;
  WallTime log_time;
  BatchView batch;

  Offset end() const { return base_offset + batch.record_count(); }
  // The records from `from` on.
  RecordCursor Records() const { return batch.RecordsFrom(from - base_offset); }
};

struct ClientReadResult {
  std::vector<LogBatch> batches;
  // Where to read on.
  Offset next;
  // The end of the committed log, as the server knew it; the first offset
  // that it keeps.
  Offset committed_end;
  Offset first_offset;
};
// OUT_OF_RANGE: before the first offset that is kept, or beyond the end;
// DATA_LOSS: the next record is lost (engine/base/lost_records.h says up to
// where, and the log goes on behind it); PERMISSION_DENIED; UNAVAILABLE: nobody
// could answer in time; CANCELLED: the client was closed.
using ClientReadFn = ResultFn<ClientReadResult>;

struct ClientTailOptions {
  // Whom to ask; empty: the leader, and its successors.
  Address server;
  // Bytes that may be on their way: 1 to 1 GiB, which stands for more.
  uint32_t credit_bytes = 1 << 20;
};

struct ClientTailCallbacks {
  // The next batches, without a gap; never empty.
  InlineFunction<void(std::vector<LogBatch>)> on_batches;
  // Optional: with the batches just delivered, all that was committed, as far
  // as the server knew, has been; it ends at this offset.
  InlineFunction<void(Offset)> on_caught_up;
  // It can't go on: OUT_OF_RANGE, PERMISSION_DENIED, DATA_LOSS (as of a read:
  // another tail may begin behind what is lost); FAILED_PRECONDITION: another
  // cluster has taken the servers' place, and offsets may be other records';
  // with options.server also that server's failure; CANCELLED: the client was
  // closed. Nothing follows.
  InlineFunction<void(absl::Status)> on_end;
};

// A tail under way; destroying it ends it, also within its callbacks.
class ClientTail {
 public:
  virtual ~ClientTail() = default;
  // While paused the server isn't asked for more; what is on its way (see
  // credit_bytes, and one batch more) is still delivered.
  virtual void Pause() = 0;
  virtual void Resume() = 0;
  // The next offset to be delivered.
  virtual Offset next() const = 0;
};

enum class ServerRole : uint8_t {
  kUnknown = 0,
  kFollower = 1,
  kCandidate = 2,
  kLeader = 3,
  kLearner = 4,
  kForming = 5,
};
// "leader", "follower", ...
const char* ToString(ServerRole role);

enum class MemberKind : uint8_t {
  kUnknown = 0,
  kVoter = 1,
  kLearner = 2,  // receives the log, never votes
  kJoining = 3,  // receives the log, votes once it has caught up
  kLeaving = 4,  // a voter, until the change under way is done
};
// "voter", "learner", ...
const char* ToString(MemberKind kind);

struct MemberStatus {
  ServerId id;
  Address address;
  MemberKind kind = MemberKind::kUnknown;
  // As seen by the server that was asked.
  bool connected = false;
  std::string last_error;
  Index match;  // a leader's
};

struct ServerStatus {
  ServerId id;
  ServerRole role = ServerRole::kUnknown;
  Term term;
  ServerId leader;  // 0: not known
  Address leader_address;
  Index commit;
  Index applied;
  Index last;
  Offset first_offset;
  Offset next_offset;
  std::vector<MemberStatus> members;
  // Voters are being changed: decisions need a majority of the old ones and
  // one of the new ones.
  bool joint = false;
  // It leads, and reads without asking for now (RaftOptions::leases).
  bool lease = false;
  // The cluster's, as committed, 0 from a server that isn't formed; and the
  // highest one that this server supports (engine/base/entry_kind.h).
  uint32_t feature_level = 0;
  uint32_t feature_level_max = 0;
  ClusterId cluster_id;
  std::string cluster_name;
  std::string version;
  Incarnation incarnation;
  uint64_t boot_count = 0;
  std::string text;  // what stands in its way
};

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_CLIENT_TYPES_H_
