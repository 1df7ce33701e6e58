#ifndef HOLDFAST_ENGINE_NODE_IDENTITY_H_
#define HOLDFAST_ENGINE_NODE_IDENTITY_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/base/buffer.h"
#include "engine/base/time.h"
#include "engine/base/types.h"
#include "engine/env/completion.h"
#include "engine/env/disk.h"
#include "engine/wal/replaced_file.h"

namespace holdfast {

// Whose data directory this is. Kept in the file `identity` and in a copy of
// it, each replaced as a whole by rename.
struct Identity {
  ServerId id;
  // Drawn once, when the directory is made, and durable before the first
  // hello: a wiped disk under the same id comes back with another one.
  Incarnation incarnation;
  // Starts of a process on this directory; 1 for the first.
  uint64_t boot_count = 0;
  // Drawn anew by each of the last starts, the latest first: by them, the other
  // servers tell a directory from an older copy of it (PeerBoots).
  std::vector<uint64_t> lives;
  // The longest time for which any process so far may have promised a leader to
  // vote for nobody else (RaftOptions::leases).
  Duration promise = Duration::zero();
  // Another server has said that this is an older copy, or remembers more of
  // its log than there is: it never serves again.
  bool retired = false;
  // 0 until the cluster is formed; then the chained hash of its first entry.
  ClusterId cluster_id;
  // The operators' name of the cluster, the one in the certificates.
  std::string cluster_name;

  static constexpr size_t kLivesKept = 8;

  bool operator==(const Identity&) const = default;
};

// The file's bytes: magic, version, the fields, CRC32C.
Buffer EncodeIdentity(const Identity& identity);
// DATA_LOSS when the bytes aren't an intact identity.
absl::StatusOr<Identity> DecodeIdentity(absl::string_view bytes);

// Reads and replaces the identity of one data directory, in both its files: one
// that is intact is enough. Operations must not overlap. Destroying it drops
// their completions.
class IdentityFile {
 public:
  static constexpr char kName[] = "identity";
  static constexpr char kCopyName[] = "identity.copy";
  static bool IsName(absl::string_view name) {
    return name == kName || name == kCopyName;
  }

  explicit IdentityFile(Disk* disk);

  // NOT_FOUND in a new directory; DATA_LOSS: neither is intact, or they are of
  // two directories.
  void Read(ResultFn<Identity> done);
  // What was wrong with one of them, as it was read; the next Write repairs it.
  const absl::Status& damage() const { return damage_; }
  // Done when the new identity is durable, data and names.
  void Write(const Identity& identity, DoneFn done);

 private:
  absl::StatusOr<Identity> Choose(absl::StatusOr<Identity> copy,
                                  absl::StatusOr<Identity> file);

  ReplacedFile file_;
  ReplacedFile copy_;
  absl::Status damage_;
};

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_NODE_IDENTITY_H_
