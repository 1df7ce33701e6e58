#ifndef HOLDFAST_ENGINE_NODE_PEER_BOOTS_H_
#define HOLDFAST_ENGINE_NODE_PEER_BOOTS_H_

#include <cstdint>
#include <map>
#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/base/buffer.h"
#include "engine/base/configuration.h"
#include "engine/base/types.h"
#include "engine/env/completion.h"
#include "engine/env/disk.h"
#include "engine/peer/hello.h"
#include "engine/wal/replaced_file.h"

namespace holdfast {

// The latest start that was heard of, of one data directory of a server.
struct PeerBoot {
  Incarnation incarnation;
  uint64_t count = 0;  // Identity::boot_count
  uint64_t life = 0;   // drawn by that start; 0: not known

  bool operator==(const PeerBoot&) const = default;
};

// What this server remembers of the others' starts. A directory that was put
// back from a copy has forgotten what the server promised since: votes, and
// entries that it acknowledged. It must not take part as if it knew. It gives
// itself away by its starts: it counts fewer of them than are remembered, or
// the one that is remembered was another life than the directory names.
//
// A copy that is younger than the server's last start isn't noticed so; and
// nobody notices if all who would remember are gone.
class PeerBoots {
 public:
  // `failed`: the disk did.
  PeerBoots(Disk* disk, DoneFn failed);

  // Once, before all else. DATA_LOSS: the file is damaged; goes on with none.
  // UNAVAILABLE: the disk reports an error. It may be read the next time, and
  // must not be replaced meanwhile.
  void Open(DoneFn done);

  // The refusal of a server that comes back with an older copy.
  std::optional<Refusal> Judge(const Hello& hello) const;
  // The server was not refused. Remembers it, durably as soon as may be.
  // `members`: whom to keep in mind if there are too many.
  void Note(const Hello& hello, const Configuration& members);

  using Boots = std::map<ServerId, PeerBoot>;
  // What is remembered, and was durable before the present write, if any.
  const Boots& durable() const { return durable_; }

  // The file's bytes: magic, version, the boots, CRC32C.
  static Buffer Encode(const Boots& boots);
  // DATA_LOSS when the bytes aren't intact.
  static absl::StatusOr<Boots> Decode(absl::string_view bytes);

  // Tries again, after `failed` for want of room.
  void Save();

 private:
  static constexpr size_t kBootsMax = 4 * Configuration::kMembersMax;

  ReplacedFile file_;
  DoneFn failed_;
  Boots boots_;
  Boots writing_;
  Boots durable_;
  bool saving_ = false;
};

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_NODE_PEER_BOOTS_H_
