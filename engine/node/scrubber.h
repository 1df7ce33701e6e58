#ifndef HOLDFAST_ENGINE_NODE_SCRUBBER_H_
#define HOLDFAST_ENGINE_NODE_SCRUBBER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/base/buffer.h"
#include "engine/base/callback_scope.h"
#include "engine/base/time.h"
#include "engine/base/types.h"
#include "engine/env/disk.h"
#include "engine/env/loop.h"
#include "engine/wal/checkpoint_file.h"
#include "engine/wal/replaced_file.h"
#include "engine/wal/wal.h"

namespace holdfast {

// Reads the whole log from the disk, over and over, for damage that nobody else
// would find before the copies on other servers have decayed, too; the log has
// what is damaged repaired (Wal::Scrub). A pass reads so many bytes a second,
// and begins `interval` after the one before began, or when that ends. At the
// log's end `on_pass` looks at what else this server needs, and names the files
// of checkpoints that nobody reads before a start, or a trim: these are read,
// too, one after the other.
class Scrubber {
 public:
  struct File {
    CheckpointKind kind = CheckpointKind::kBase;
    Index index;
  };
  struct Events {
    std::function<std::vector<File>()> on_pass;
    // This one isn't what its name says, whenever it is read.
    std::function<void(const File& file, const absl::Status& why)> on_damaged;
  };

  // `bytes_per_second`: not 0. `wal` outlives it, and is open.
  Scrubber(Loop* loop, Disk* disk, Wal* wal, uint64_t bytes_per_second,
           Duration interval, Events events);

  void Start() { Continue(); }
  void Stop() { stopped_ = true; }

  uint64_t passes() const { return passes_; }

  struct Stats {
    uint64_t files_damaged = 0;

    template <typename Fn>  // fn(name, value)
    void ForEach(Fn fn) const {
      fn("scrub_found_damaged_file", files_damaged);
    }
  };
  const Stats& stats() const { return stats_; }

 private:
  void Continue();
  void OnScrubbed(const Wal::Scrubbed& scrubbed);
  // The last one of files_; at their end waits for the next pass.
  void ReadFile(int times);
  void OnFileRead(int times, const absl::StatusOr<Buffer>& bytes);

  Loop* const loop_;
  Disk* const disk_;
  Wal* const wal_;
  const uint64_t bytes_per_second_;
  const Duration interval_;
  const Events events_;
  Instant began_;
  uint64_t passes_ = 0;
  bool stopped_ = false;
  std::vector<File> files_;  // that are left in this pass
  std::unique_ptr<ReplacedFile> reading_;
  Timer timer_;
  Stats stats_;
  CallbackScope scope_;
};

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_NODE_SCRUBBER_H_
